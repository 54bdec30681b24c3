/* What the engine asks of a supervisor: on the socket that it launched us with, and on RUN_DIR/supervisor.sock.
 * The messages and their order are drawn in src/wardian/runtime/protocol.py. A message that is not exactly one of them
 * ends its connection; nobody but our own user (and root) may connect. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol.gen.h"
#include "supervisor.h"

enum {
    MAX_REST = PROTOCOL_MAX_TARGETS * SIZE_TARGET,
    MAX_REQUEST = SIZE_CONTROL_HEADER + SIZE_REQUEST + MAX_REST,
    PASSED = PROTOCOL_MAX_FDS,
    LAUNCH_PATIENCE_MS = 10000
};

/* A message is carried out before the next one is read, so that one buffer is enough. */
struct request {
    uint32_t kind, serial, numbers[2];
    uint32_t rest_length;
    const unsigned char *rest;
    int *passed;
    unsigned passed_count;
};

static unsigned char bytes_[MAX_REQUEST + 1];
static int passed_[PASSED];

/* Attachers that came with the launch, before there was a supervisor. */
static struct early {
    uint32_t flags, key_count;
    unsigned char keys[MAX_DETACH_KEYS];
    int fd, early;
} early_[MAX_ATTACHERS];
static unsigned early_count_;

int control_listen(int run_dir) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* By descriptor: RUN_DIR's own path may be longer than sun_path (unix(7)). */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/supervisor.sock", run_dir);
    unlinkat(run_dir, "supervisor.sock", 0); /* of an earlier run: the engine holds this directory's lock */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, MAX_CLIENTS) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void close_passed(struct request *request) {
    for (unsigned i = 0; i < request->passed_count; i++)
        close(request->passed[i]);
    request->passed_count = 0;
}

static void take_passed(struct request *request, struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (request->passed_count < PASSED)
                request->passed[request->passed_count++] = fd;
            else
                close(fd);
        }
    }
}

/* What belongs to each kind, and nothing else. Of a PUBLISH some sockets may be missing: we have no room for more,
 * which is answered. */
static bool complete(const struct request *request) {
    if (request->kind == KIND_ATTACH)
        return request->rest_length <= MAX_DETACH_KEYS && request->rest_length == request->numbers[1] &&
               request->passed_count == (request->numbers[0] & ATTACHER_EARLY ? 2 : 1);
    if (request->kind == KIND_PUBLISH)
        return request->numbers[0] <= PROTOCOL_MAX_TARGETS &&
               request->rest_length == request->numbers[0] * SIZE_TARGET &&
               request->passed_count <= (request->numbers[1] & PUBLISH_SOCKETS ? request->numbers[0] : 0);
    return request->rest_length == 0 && request->passed_count == 0;
}

/* The decoder: exactly a header, a request, and what follows it. Little-endian, as every machine that we run on. */
static bool decode(struct request *request, const unsigned char *bytes, size_t size) {
    uint32_t magic, length;
    uint16_t version, kind;
    if (size < SIZE_CONTROL_HEADER + SIZE_REQUEST || size > MAX_REQUEST)
        return false;
    memcpy(&magic, bytes, 4);
    memcpy(&version, bytes + 4, 2);
    memcpy(&kind, bytes + 6, 2);
    memcpy(&length, bytes + 8, 4);
    memcpy(&request->serial, bytes + SIZE_CONTROL_HEADER, 4);
    memcpy(request->numbers, bytes + SIZE_CONTROL_HEADER + 4, 8);
    request->rest = bytes + SIZE_CONTROL_HEADER + SIZE_REQUEST;
    request->rest_length = (uint32_t)(size - SIZE_CONTROL_HEADER - SIZE_REQUEST);
    request->kind = kind;
    return magic == PROTOCOL_CONTROL_MAGIC && version == PROTOCOL_VERSION && length == size - SIZE_CONTROL_HEADER &&
           complete(request);
}

/* 1: a request, 0: none there, -1: the connection is over, or speaks something else (EPROTO). */
static int receive(int fd, int flags, struct request *request) {
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(PASSED * sizeof(int))];
    } control;
    struct iovec part = {bytes_, sizeof bytes_};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    *request = (struct request){.passed = passed_};
    do
        n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    take_passed(request, &message);
    bool whole = n > 0 && !(message.msg_flags & MSG_TRUNC) && decode(request, bytes_, (size_t)n);
    if (whole && (!(message.msg_flags & MSG_CTRUNC) || request->kind == KIND_PUBLISH))
        return 1;
    close_passed(request);
    errno = n ? EPROTO : ECONNRESET;
    return -1;
}

static void keep_early(struct early *early, const struct request *request) {
    early->flags = request->numbers[0];
    early->key_count = request->numbers[1];
    memcpy(early->keys, request->rest, request->rest_length);
    early->fd = request->passed[0];
    early->early = request->passed_count > 1 ? request->passed[1] : -1;
}

int control_read_attachers(struct supervision *supervision, int control_fd, uint32_t count) {
    (void)supervision;
    if (count > MAX_ATTACHERS)
        return EUSERS;
    for (; early_count_ < count; early_count_++) {
        struct pollfd poll_one = {.fd = control_fd, .events = POLLIN};
        int ready = poll(&poll_one, 1, LAUNCH_PATIENCE_MS);
        if (ready <= 0)
            return ready ? errno : ETIMEDOUT;
        struct request request;
        if (receive(control_fd, MSG_DONTWAIT, &request) != 1)
            return EPROTO;
        if (request.kind != KIND_ATTACH) {
            close_passed(&request);
            return EPROTO;
        }
        keep_early(&early_[early_count_], &request);
    }
    return 0;
}

static int attach(struct supervisor *s, const struct client *client, struct request *request) {
    int early = request->passed_count > 1 ? request->passed[1] : -1;
    int added = s->phase >= ENDED ? (errno = ESRCH, -1)
                                  : attacher_add(s, request->passed[0], early, request->numbers[0], request->rest,
                                                 request->numbers[1]);
    int error = added < 0 ? errno : 0;
    if (added >= 0)
        request->passed_count = 0; /* they are the attacher's now */
    if (added >= 0 && request->numbers[0] & ATTACHER_HELD)
        attacher_hold(s, (unsigned)added, client->generation, request->serial);
    close_passed(request);
    return error;
}

bool control_take_early_attachers(struct supervisor *s) {
    for (unsigned i = 0; i < early_count_; i++) { /* there are as many slots */
        const struct early *one = &early_[i];
        if (attacher_add(s, one->fd, one->early, one->flags, one->keys, one->key_count) < 0)
            return false;
    }
    early_count_ = 0;
    attachers_resume_input(s);
    return true;
}

static void answer(int fd, uint16_t kind, const void *body, uint32_t length, const void *text, size_t text_length) {
    unsigned char header[SIZE_CONTROL_HEADER];
    uint32_t magic = PROTOCOL_CONTROL_MAGIC, total = length + (uint32_t)text_length;
    uint16_t version = PROTOCOL_VERSION;
    memcpy(header, &magic, 4);
    memcpy(header + 4, &version, 2);
    memcpy(header + 6, &kind, 2);
    memcpy(header + 8, &total, 4);
    struct iovec parts[3] = {{header, sizeof header}, {(void *)body, length}, {(void *)text, text_length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); /* who does not read what it asked for goes without */
}

static void answer_errno(int fd, uint32_t serial, int error) {
    uint32_t body[2] = {serial, (uint32_t)error};
    _Static_assert(sizeof body == SIZE_ANSWER, "the table's ANSWER");
    answer(fd, KIND_ANSWER, body, sizeof body, NULL, 0);
}

static void answer_exited(const struct supervisor *s, int fd, uint32_t serial) {
    uint32_t body[2] = {serial, 0};
    answer(fd, s->phase == ENDED ? KIND_ENDED : KIND_EXITED, body, sizeof body, s->record, s->record_length);
}

static void answer_state(const struct supervisor *s, int fd, uint32_t serial) {
    struct {
        uint32_t serial;
        int32_t error;
        uint32_t pid, attachers;
        uint64_t written, lost;
    } body = {serial, 0, (uint32_t)s->child->pid, attachers_count(s), log_written(), log_lost()};
    _Static_assert(sizeof body == SIZE_STATE, "the table's STATE");
    answer(fd, KIND_STATE, &body, sizeof body, NULL, 0);
}

/* What the container wrote before this was asked is in the log at the answer, not what a slow attacher holds up. */
static void sync_log(struct supervisor *s) {
    for (int which = 0; which < SOURCES; which++)
        source_drain(s, which);
}

static int close_stdin(struct supervisor *s) {
    if (s->supervision->flags & SUPERVISE_TTY)
        return ENOTTY;
    s->sink.closing = true;
    sink_write(s);
    return 0;
}

/* All targets of a message, or none of them. */
static int publish(struct supervisor *s, struct request *request) {
    bool sockets = request->numbers[1] & PUBLISH_SOCKETS;
    int error = s->phase != RUNNING                                        ? ESRCH
                : sockets && request->passed_count != request->numbers[0] ? EMFILE
                                                                           : 0;
    if (!error)
        error = publish_take(s, request->rest, request->numbers[0], sockets ? request->passed : NULL);
    if (!error)
        request->passed_count = 0; /* they are held now */
    close_passed(request);
    return error;
}

static int carry_out(struct supervisor *s, const struct client *client, struct request *request) {
    int error;
    switch (request->kind) {
    case KIND_ATTACH:
        error = attach(s, client, request);
        attachers_resume_input(s);
        return error;
    case KIND_RELEASE:
        return attacher_release(s, client->generation, request->numbers[0]) ? 0 : ESRCH;
    case KIND_RESIZE:
        return tty_resize(s->sources[SOURCE_OUT].fd, s->supervision->flags & SUPERVISE_TTY, request->numbers[0],
                          request->numbers[1]);
    case KIND_CLOSE_STDIN:
        return close_stdin(s);
    case KIND_LOG_SYNC:
        sync_log(s);
        return 0;
    case KIND_PUBLISH:
        return publish(s, request);
    case KIND_UNPUBLISH:
        return publish_remove(s, request->numbers[0]);
    case KIND_LET_GO:
        if (s->phase == ENDED)
            s->rest_until = 0;
        return 0;
    default:
        return ENOSYS;
    }
}

static void client_drop(struct supervisor *s, unsigned slot) {
    struct client *client = &s->clients[slot];
    watch(s, client->fd, TAG_CLIENT, slot, client->generation, &client->watched, 0);
    close(client->fd);
    client->fd = -1;
    attachers_drop_held(s, client->generation);
}

static void client_request(struct supervisor *s, struct client *client, struct request *request) {
    if (request->kind == KIND_STATUS) {
        answer_state(s, client->fd, request->serial);
    } else if (request->kind == KIND_WAIT) {
        client->waits = true;
        client->serial = request->serial;
        if (s->phase >= ENDED)
            answer_exited(s, client->fd, client->serial);
    } else {
        answer_errno(client->fd, request->serial, carry_out(s, client, request));
    }
}

void control_event(struct supervisor *s, unsigned slot, uint32_t events) {
    struct client *client = &s->clients[slot];
    struct request request;
    (void)events;
    for (;;) {
        int got = receive(client->fd, MSG_DONTWAIT, &request);
        if (got == 0)
            return;
        if (got < 0) {
            client_drop(s, slot);
            return;
        }
        client_request(s, client, &request);
    }
}

static int free_slot(const struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_CLIENTS; slot++)
        if (s->clients[slot].fd < 0)
            return (int)slot;
    return -1;
}

/* Nobody is turned away: who comes may be the engine, which would take its supervisor for lost, and end the container.
 * An engine waits for the end, and one lives at a time: the oldest of those who do not wait goes, or else of all. */
static unsigned make_room(struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_CLIENTS; slot++)
        control_event(s, slot, 0); /* who has asked is answered, who has gone is gone */
    int gone = free_slot(s);
    if (gone >= 0)
        return (unsigned)gone;
    unsigned least = 0;
    for (unsigned slot = 1; slot < MAX_CLIENTS; slot++) {
        const struct client *one = &s->clients[slot], *other = &s->clients[least];
        if (one->waits == other->waits ? one->generation < other->generation : other->waits)
            least = slot;
    }
    client_drop(s, least);
    return least;
}

void control_add(struct supervisor *s, int fd, bool waits) {
    int found = free_slot(s);
    unsigned slot = found >= 0 ? (unsigned)found : make_room(s);
    struct client *client = &s->clients[slot];
    *client = (struct client){.fd = fd, .generation = ++s->generations, .waits = waits};
    if (!watch(s, fd, TAG_CLIENT, slot, client->generation, &client->watched, EPOLLIN))
        s->unheard = true;
}

/* The listener is looked at, or not while no descriptor is free for who waits there: it would be ready all the time. */
void control_hear(struct supervisor *s, bool hear) {
    s->deaf = !watch(s, s->listener, TAG_LISTENER, 0, 0, &s->listener_watched, hear ? EPOLLIN : 0) || !hear;
}

/* An engine that is turned away takes its supervisor for lost, and ends the container: while the kernel watches no more
 * it is answered late, and heard again as soon as may be. */
void control_ask_unheard(struct supervisor *s) {
    s->unheard = false;
    for (unsigned slot = 0; slot < MAX_CLIENTS; slot++) {
        struct client *client = &s->clients[slot];
        if (client->fd < 0 || client->watched)
            continue;
        if (!watch(s, client->fd, TAG_CLIENT, slot, client->generation, &client->watched, EPOLLIN))
            s->unheard = true;
        control_event(s, slot, 0);
    }
}

void control_accept(struct supervisor *s) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        control_hear(s, errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM);
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != 0 && peer.uid != geteuid()))
        close(fd);
    else
        control_add(s, fd, false);
}

void control_announce_exit(struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_CLIENTS; slot++)
        if (s->clients[slot].fd >= 0 && s->clients[slot].waits)
            answer_exited(s, s->clients[slot].fd, s->clients[slot].serial);
}
