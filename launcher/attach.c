/* Attachers: clients' sockets that the engine handed over. Output goes to them raw or in Docker's frames
 *
 *      byte 0: 1 stdout, 2 stderr    bytes 1-3: 0    bytes 4-7: length, big-endian    then the bytes
 *
 * and what they send goes to the container's input, first the bytes that the engine had already read from the socket.
 *
 * The end of an attacher's input ends the container's only with SUPERVISE_STDIN_ONCE and without a terminal; else it
 * ends the attachment, as in Docker: `echo x | docker attach C` comes back. So do the detach keys.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol.gen.h"
#include "supervisor.h"

enum { FRAME_HEADER = 8, LAST_WORDS = 1 << 20, INPUT_ROUNDS = 16 };

static bool wants(const struct attacher *a, int which) {
    return a->flags & (which == SOURCE_OUT ? ATTACHER_STDOUT : ATTACHER_STDERR);
}

static bool in_use(const struct attacher *a) { return a->fd >= 0 || a->early >= 0; }

static bool has_pending(const struct attacher *a) { return a->pending[SOURCE_OUT] || a->pending[SOURCE_ERR]; }

/* Closing a socket with unread bytes resets it, and the client would see ECONNRESET for the end of its output: so what
 * it still sent is read away first, after shutdown(2) has stopped it from sending more. */
static void close_politely(int fd) {
    static unsigned char waste[4096];
    shutdown(fd, SHUT_RDWR);
    for (size_t total = 0; total < LAST_WORDS; total += sizeof waste)
        if (recv(fd, waste, sizeof waste, MSG_DONTWAIT) <= 0)
            break;
    close(fd);
}

static void forget_output(struct supervisor *s, struct attacher *a) {
    for (int which = 0; which < SOURCES; which++) {
        a->flags &= ~(uint32_t)(ATTACHER_STDOUT | ATTACHER_STDERR);
        if (a->pending[which]) {
            a->pending[which] = false;
            source_taken(s, which);
        }
    }
    a->turn = -1;
}

/* Nothing more is read from the container: what it wrote is in the log, to the last byte, and the engine shows that to
 * the client first. A client that takes long over it holds the container up, as any slow one does. */
void attacher_hold(struct supervisor *s, unsigned slot, uint32_t by, uint32_t serial) {
    struct attacher *a = &s->attachers[slot];
    a->held_by = by;
    a->held_serial = serial;
    s->held++;
    for (int which = 0; which < SOURCES; which++) {
        log_part(which);
        source_watch(s, which);
    }
}

static void let_go(struct supervisor *s, struct attacher *a) {
    if (!a->held_by)
        return;
    a->held_by = 0;
    s->held--;
    for (int which = 0; which < SOURCES; which++)
        source_watch(s, which);
}

static void attacher_drop(struct supervisor *s, unsigned slot) {
    struct attacher *a = &s->attachers[slot];
    int fd = a->fd, early = a->early;
    if (fd >= 0)
        watch(s, fd, TAG_ATTACHER, slot, a->generation, &a->watched, 0);
    a->fd = a->early = -1;
    a->reading = false;
    let_go(s, a);
    forget_output(s, a);
    if (early >= 0)
        close(early);
    if (fd >= 0)
        close_politely(fd);
}

bool attacher_watch(struct supervisor *s, unsigned slot) {
    struct attacher *a = &s->attachers[slot];
    uint32_t want = EPOLLHUP; /* always told; named so that the socket stays watched */
    if (a->fd < 0)
        return true;
    if (a->reading && s->sink.fd >= 0 && !s->sink.length)
        want |= EPOLLIN;
    if (has_pending(a))
        want |= EPOLLOUT;
    return watch(s, a->fd, TAG_ATTACHER, slot, a->generation, &a->watched, a->hung_up ? 0 : want);
}

static int next_source(const struct attacher *a) {
    if (a->turn >= 0)
        return a->turn;
    for (int which = 0; which < SOURCES; which++)
        if (a->pending[which])
            return which;
    return -1;
}

/* Sends one source's chunk, or the rest of it. 1: all of it, 0: the socket is full, -1: nobody is there. */
static int send_chunk(struct supervisor *s, struct attacher *a, int which) {
    const struct source *source = &s->sources[which];
    unsigned char header[FRAME_HEADER] = {(unsigned char)(which + 1)};
    uint32_t length = htonl(source->length), header_size = a->flags & ATTACHER_FRAMED ? FRAME_HEADER : 0;
    memcpy(header + 4, &length, 4);
    while (a->sent < header_size + source->length) {
        uint32_t head = a->sent < header_size ? header_size - a->sent : 0;
        uint32_t body = a->sent > header_size ? a->sent - header_size : 0;
        struct iovec parts[2] = {{header + header_size - head, head},
                                 {(void *)(source->bytes + body), source->length - body}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(a->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        a->sent += (uint32_t)n;
    }
    return 1;
}

static void attacher_flush(struct supervisor *s, unsigned slot) {
    struct attacher *a = &s->attachers[slot];
    for (int which; a->fd >= 0 && (which = next_source(a)) >= 0;) {
        if (a->turn < 0) {
            a->turn = which;
            a->sent = 0;
        }
        int sent = send_chunk(s, a, which);
        if (sent < 0) {
            attacher_drop(s, slot);
            return;
        }
        if (sent == 0)
            break;
        a->turn = -1;
        a->pending[which] = false;
        source_taken(s, which);
    }
    if (a->ending && !has_pending(a))
        attacher_drop(s, slot);
    else
        attacher_watch(s, slot);
}

void attacher_offer(struct supervisor *s, unsigned slot, int which) {
    struct attacher *a = &s->attachers[slot];
    if (a->fd < 0 || a->ending || !wants(a, which))
        return;
    a->pending[which] = true;
    s->sources[which].waiting++;
    attacher_flush(s, slot);
}

/* Copies input to the sink without the detach keys. A key is held back until it is clear that the sequence goes on
 * otherwise. True when the whole sequence was typed. */
static bool take_input(struct sink *sink, struct attacher *a, const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (a->key_count && bytes[i] == a->keys[a->keys_matched]) {
            if (++a->keys_matched == a->key_count)
                return true;
            continue;
        }
        memcpy(sink->bytes + sink->length, a->keys, a->keys_matched);
        sink->length += a->keys_matched;
        a->keys_matched = a->key_count && bytes[i] == a->keys[0] && a->key_count > 1;
        if (!a->keys_matched)
            sink->bytes[sink->length++] = bytes[i];
    }
    return false;
}

static void input_ended(struct supervisor *s, unsigned slot) {
    struct attacher *a = &s->attachers[slot];
    uint32_t flags = s->supervision->flags;
    a->reading = false;
    if ((flags & SUPERVISE_STDIN_ONCE) && !(flags & SUPERVISE_TTY)) {
        s->sink.closing = true;
        sink_write(s);
    } else {
        a->ending = true;
    }
    if (a->hung_up)
        attacher_drop(s, slot);
    else
        attacher_flush(s, slot);
}

/* 1: input was taken, 0: none there now, -1: it has ended. */
static ssize_t read_input(struct attacher *a, unsigned char *bytes, size_t size) {
    ssize_t n;
    if (a->early >= 0) {
        n = read(a->early, bytes, size);
        if (n > 0)
            return n;
        close(a->early);
        a->early = -1;
    }
    do
        n = recv(a->fd, bytes, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    return n > 0 ? n : -1;
}

/* What was read from any client before goes first: the end of another's input must not cut it off. */
static bool must_wait(const struct supervisor *s, const struct attacher *a) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS && a->early < 0; slot++)
        if (s->attachers[slot].early >= 0 && s->attachers[slot].reading)
            return true;
    return false;
}

/* What it left behind: that has an end, and epoll(7) would not tell of its rest again. */
static bool is_bounded(const struct attacher *a) { return a->early >= 0 || a->hung_up; }

/* After some rounds the others have their turn: a client and a container may keep pace for ever. */
static void attacher_input(struct supervisor *s, unsigned slot) {
    static unsigned char bytes[CHUNK - MAX_DETACH_KEYS];
    struct attacher *a = &s->attachers[slot];
    int rounds = 0;
    while (a->fd >= 0 && a->reading && s->sink.fd >= 0 && !s->sink.length && !must_wait(s, a)) {
        if (!is_bounded(a) && rounds++ == INPUT_ROUNDS)
            break;
        ssize_t n = read_input(a, bytes, sizeof bytes);
        if (n == 0 && !a->hung_up)
            break;
        if (n <= 0) {
            input_ended(s, slot);
            return;
        }
        bool detached = take_input(&s->sink, a, bytes, (size_t)n);
        sink_write(s);
        if (detached) {
            a->reading = false;
            a->ending = true;
            attacher_flush(s, slot);
            return;
        }
    }
    attacher_watch(s, slot);
}

/* Of a client that has gone: whether it sent what is to be read still. */
static bool left_input(const struct attacher *a) {
    int there = 0;
    return a->early >= 0 || ioctl(a->fd, FIONREAD, &there) < 0 || there > 0;
}

void attacher_event(struct supervisor *s, unsigned slot, uint32_t events) {
    struct attacher *a = &s->attachers[slot];
    if (events & (EPOLLHUP | EPOLLERR)) { /* nobody is there to read; what they sent before they left still counts */
        a->hung_up = true;
        forget_output(s, a);
        attacher_watch(s, slot);
        if (!a->reading)
            attacher_drop(s, slot);
        else if (!left_input(a) && !must_wait(s, a))
            input_ended(s, slot); /* even while the container takes no input: a slot is not held for nothing */
    }
    if (a->fd >= 0 && (events & EPOLLOUT))
        attacher_flush(s, slot);
    if (a->fd >= 0 && a->reading)
        attacher_input(s, slot);
}

/* After the sink ran empty, or attachers came: nothing else would tell of their early bytes. */
void attachers_resume_input(struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS && !s->sink.length; slot++)
        if (s->attachers[slot].fd >= 0 && s->attachers[slot].reading)
            attacher_input(s, slot);
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++)
        attacher_watch(s, slot);
}

/* The container takes no more input. */
void attachers_stop_input(struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++) {
        s->attachers[slot].reading = false;
        if (s->attachers[slot].fd >= 0 && s->attachers[slot].hung_up)
            attacher_drop(s, slot);
        else
            attacher_watch(s, slot);
    }
}

int attacher_add(struct supervisor *s, int fd, int early, uint32_t flags, const unsigned char *keys,
                 uint32_t key_count) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++) {
        struct attacher *a = &s->attachers[slot];
        if (in_use(a))
            continue;
        *a = (struct attacher){.fd = fd, .early = early, .generation = ++s->generations, .flags = flags, .turn = -1,
                               .key_count = key_count, .reading = flags & ATTACHER_STDIN && s->sink.fd >= 0};
        memcpy(a->keys, keys, key_count);
        if (attacher_watch(s, slot))
            return (int)slot;
        a->fd = a->early = -1; /* whose they were closes them */
        a->reading = false;
        return -1;
    }
    errno = EUSERS;
    return -1;
}

/* False: it has left meanwhile. */
bool attacher_release(struct supervisor *s, uint32_t by, uint32_t serial) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++) {
        struct attacher *a = &s->attachers[slot];
        if (a->fd < 0 || a->held_by != by || a->held_serial != serial)
            continue;
        let_go(s, a);
        return true;
    }
    return false;
}

/* Their client has gone before it had shown them all: what follows would have a gap. */
void attachers_drop_held(struct supervisor *s, uint32_t by) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++)
        if (s->attachers[slot].fd >= 0 && s->attachers[slot].held_by == by)
            attacher_drop(s, slot);
}

/* Each is closed as soon as it has everything. */
void attachers_end(struct supervisor *s) {
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++) {
        s->attachers[slot].ending = true;
        if (s->attachers[slot].fd >= 0)
            attacher_flush(s, slot);
    }
}

unsigned attachers_count(const struct supervisor *s) {
    unsigned count = 0;
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++)
        count += in_use(&s->attachers[slot]);
    return count;
}
