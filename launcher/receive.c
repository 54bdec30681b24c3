/* What the engine sends to be carried out: HELLO with the plan's file and descriptors, MORE of them when one message
 * cannot hold all (src/wardian/runtime/protocol.py). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor.h"

/* One message with its descriptors appended to `fds`. Returns its length, or -1. */
ssize_t receive(int control, unsigned char *data, size_t size, int *fds, uint32_t *count, uint32_t room) {
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * (PROTOCOL_MAX_FDS + 3))];
    struct iovec part = {data, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t length = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    if (length < 0 || message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
        return -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t many = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (many > room - *count)
            return -1;
        memcpy(fds + *count, CMSG_DATA(header), many * sizeof(int));
        *count += many;
    }
    return length;
}

static uint32_t word(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int bad_header(const unsigned char *data, ssize_t length, unsigned kind, unsigned least) {
    return length < (ssize_t)(SIZE_CONTROL_HEADER + least) || word(data) != PROTOCOL_CONTROL_MAGIC ||
           (data[4] | data[5] << 8) != PROTOCOL_VERSION || (unsigned)(data[6] | data[7] << 8) != kind ||
           word(data + 8) != (uint32_t)length - SIZE_CONTROL_HEADER;
}

/* The plan and its descriptors. `fds[0]` is the plan's file, the slots follow. */
int take_plan(struct run *run, unsigned char **data, uint32_t *length, int *fds) {
    unsigned char message[SIZE_CONTROL_HEADER + SIZE_HELLO];
    uint32_t count = 0, room = PROTOCOL_MAX_HANDLES + 1;
    ssize_t got = receive(run->control, message, sizeof message, fds, &count, room);
    if (bad_header(message, got, KIND_HELLO, SIZE_HELLO) || !count)
        return run->plan.reason = "a bad first message", EPROTO;
    *length = word(message + SIZE_CONTROL_HEADER);
    uint32_t slots = word(message + SIZE_CONTROL_HEADER + 4);
    run->attachers = word(message + SIZE_CONTROL_HEADER + 8);
    while (count < slots + 1 && slots < room) {
        got = receive(run->control, message, sizeof message, fds, &count, room);
        if (bad_header(message, got, KIND_MORE, 0))
            return run->plan.reason = "a bad message of descriptors", EPROTO;
    }
    if (count != slots + 1 || *length > PROTOCOL_MAX_PLAN)
        return run->plan.reason = "a plan too long, or other than the promised descriptors", EPROTO;
    *data = malloc(*length + 1);
    if (!*data)
        return run->plan.reason = "no memory", ENOMEM;
    if (pread(fds[0], *data, *length, 0) != (ssize_t)*length)
        return run->plan.reason = "the plan's file is shorter than promised", EPROTO;
    close(fds[0]);
    int error = plan_decode(&run->plan, *data, *length);
    if (!error && run->plan.slots != slots)
        return run->plan.reason = "other than the promised descriptors", EPROTO;
    return error;
}
