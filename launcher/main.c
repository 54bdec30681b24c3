/* The launcher's life: a plan comes in on descriptor 3, is checked and carried out, and then the process is the supervisor.
 * When any step fails everything made is undone before the engine hears of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor.h"

enum { CONTROL = 3 };

int hello(void);

/* One message with its descriptors appended to `fds`. Returns its length, or -1. */
static ssize_t receive(int control, unsigned char *data, size_t size, int *fds, uint32_t *count, uint32_t room) {
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
static int take_plan(struct run *run, unsigned char **data, uint32_t *length, int *fds) {
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

static int prepare(struct run *run, const int *slots) {
    run->progress_size = sizeof *run->progress + run->plan.count * sizeof run->progress->records[0];
    run->progress = mmap(NULL, run->progress_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run->handles = malloc((run->plan.handles + 1) * sizeof *run->handles);
    run->made = malloc((run->plan.count + 1) * sizeof *run->made);
    if (run->progress == MAP_FAILED || !run->handles || !run->made)
        return run->plan.reason = "no memory", ENOMEM;
    memset(run->handles, -1, (run->plan.handles + 1) * sizeof *run->handles);
    memcpy(run->handles, slots, run->plan.slots * sizeof *slots);
    run->stdio = (struct stdio){{-1, -1, -1}, {-1, -1, -1}};
    run->child = (struct child){.pidfd = -1, .tty_master = -1, .stdio = &run->stdio};
    run->empty = -1;
    return 0;
}

/* Until the channel ends: by exec, or by the child's death; or until the engine, which had its deadline, is gone while the
 * child hangs in a step. A terminal's master may come on the channel. */
static void wait_for_exec(struct run *run) {
    unsigned char byte;
    for (;;) {
        int fds[1];
        uint32_t count = 0;
        struct pollfd both[2] = {{.fd = run->channel, .events = POLLIN}, {.fd = run->control}};
        if (poll(both, 2, -1) > 0 && !both[0].revents)
            break;
        ssize_t got = receive(run->channel, &byte, 1, fds, &count, 1);
        if (count)
            run->child.tty_master = fds[0];
        if (got <= 0)
            break;
    }
    close(run->channel);
}

/* 0 when the child has exec'd. */
static int judge(struct run *run) {
    struct progress *progress = run->progress;
    uint32_t last = run->plan.count - 1;
    if (progress->failed)
        return progress->records[progress->step].error;
    if (progress->exec_started) {
        progress->records[last].ns = monotonic_ns() - progress->exec_started;
        return 0;
    }
    for (progress->step = 0; progress->step < last && progress->records[progress->step].ns; progress->step++)
        ;
    progress->failed = 1;
    explain(run, "the child died in this step");
    return progress->records[progress->step].error = ECHILD;
}

static int carry_out(struct run *run) {
    int error = run_steps(run, PHASE_HOST);
    if (error)
        return error;
    error = run_steps(run, PHASE_PARENT);
    if (!error) {
        send(run->channel, "g", 1, MSG_NOSIGNAL);
        wait_for_exec(run);
        error = judge(run);
    }
    return error;
}

static void undo(struct run *run) {
    if (run->child.pid > 0) {
        kill(run->child.pid, SIGKILL);
        while (waitpid(run->child.pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (run->supervision.identity)
        stdio_close(&run->supervision, &run->stdio);
    while (run->made_count) {
        const char *path = run->made[--run->made_count];
        /* A group is busy for a moment after its last process has been reaped. */
        for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 200; tries++)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static int kept(const struct run *run, int fd) {
    const struct supervision *s = &run->supervision;
    if (fd == s->run_dir || fd == s->log_dir || fd == s->root)
        return 1;
    for (uint32_t i = 0; i < s->cgroup_count; i++)
        if (fd == s->cgroups[i])
            return 1;
    return 0;
}

/* The supervisor keeps what it uses: namespaces, layers and the plan's other descriptors end with the launch. */
static void let_go(struct run *run) {
    for (uint32_t i = 0; i < run->plan.handles; i++)
        if (run->handles[i] >= 0 && !kept(run, run->handles[i]))
            close(run->handles[i]);
    munmap(run->progress, run->progress_size);
}

static uint64_t unix_time_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int launch(struct run *run) {
    static int fds[PROTOCOL_MAX_HANDLES + 1];
    unsigned char *data = NULL;
    uint32_t length = 0;
    int error = take_plan(run, &data, &length, fds);
    if (!error)
        error = prepare(run, fds + 1);
    if (error) {
        report_refusal(run->control, &run->plan, error);
        return 2;
    }
    if (carry_out(run)) {
        undo(run);
        report_progress(run);
        report_failure(run);
        return 1;
    }
    run->child.start_time = start_time_of(run->child.pid);
    run->child.started_at = unix_time_ns();
    report_progress(run);
    if (report_running(run)) { /* the engine gave up waiting: nobody knows of the container, so it goes */
        undo(run);
        return 1;
    }
    let_go(run);
    return supervise(&run->supervision, &run->child, run->control);
}

int main(int argc, char **argv) {
    static struct run run;
    const char *name = argc ? strrchr(argv[0], '/') : NULL;
    name = name ? name + 1 : argc ? argv[0] : "";
    if (strcmp(name, "hello") == 0 || (argc > 1 && strcmp(argv[1], "hello") == 0))
        return hello();
    struct stat what;
    if (fstat(CONTROL, &what) < 0 || !S_ISSOCK(what.st_mode)) {
        fputs("wardian-launcher: started by Wardian with a control socket on descriptor 3; alone it knows only `hello`\n", stderr);
        return 2;
    }
    /* Not ptraceable and /proc/PID/exe not readable for a container into which it goes (CVE-2016-9962, CVE-2019-5736). */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
    syscall(SYS_close_range, CONTROL + 1, ~0U, 0); /* whatever the engine's own starter left open is not the container's to hold */
    umask(0);
    run.control = CONTROL;
    return launch(&run);
}
