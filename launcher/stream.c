/* The container's output (sources) and input (sink). All descriptors here are non-blocking. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

enum { DRAIN_CHUNKS = 64, WIDE = 1 << 18, QUICK_NS = 100000, FLOOD = 32, REST_NS = 200000 };

bool source_watch(struct supervisor *s, int which) {
    struct source *source = &s->sources[which];
    uint32_t want = source->length || s->held ? EPOLLET : EPOLLIN;
    return source->fd < 0 || watch(s, source->fd, TAG_SOURCE, (unsigned)which, 0, &source->watched, want);
}

bool sink_watch(struct supervisor *s, bool full) {
    struct sink *sink = &s->sink;
    return sink->fd < 0 || watch(s, sink->fd, TAG_SINK, 0, 0, &sink->watched, full ? EPOLLOUT : EPOLLET);
}

void source_end(struct supervisor *s, int which) {
    struct source *source = &s->sources[which];
    if (source->fd < 0)
        return;
    watch(s, source->fd, TAG_SOURCE, (unsigned)which, 0, &source->watched, 0);
    close(source->fd);
    source->fd = -1;
    source->left = 0;
}

/* A container that writes faster than it is read gets a wider pipe (F_SETPIPE_SZ): it, we and who is attached then
 * change places a quarter as often. Only such a one: what is in the pipe is its memory. A terminal has none: EBADF. */
static void widen(struct source *source) {
    if (!source->wide)
        (void)!fcntl(source->fd, F_SETPIPE_SZ, WIDE);
    source->wide = true;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* In a flood of small writes each would wake us for itself: half of the time would go there. After some in a row we let
 * the pipe fill for a moment, as long as that brings less than half a chunk. */
static void rest(struct source *source, ssize_t n) {
    struct timespec moment = {.tv_nsec = REST_NS};
    source->quick = n < CHUNK / 2 && now_ns() - source->read_at < QUICK_NS ? source->quick + 1 : 0;
    if (source->quick >= FLOOD)
        nanosleep(&moment, NULL);
    source->read_at = now_ns();
}

/* Takes what is there, at most one chunk, to the log and to the attachers; nothing while the last one waits for one,
 * or one of them is held. */
void source_read(struct supervisor *s, int which) {
    struct source *source = &s->sources[which];
    if (source->fd < 0 || source->length || s->held)
        return;
    ssize_t n = read(source->fd, source->bytes, CHUNK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        source->idle = errno == EAGAIN;
        return;
    }
    if (n <= 0) { /* EIO: the last holder of the terminal's other side is gone (pty(7)) */
        source_end(s, which);
        return;
    }
    source->idle = false;
    source->left -= n;
    if (n == CHUNK)
        widen(source);
    log_feed(which, source->bytes, (size_t)n);
    source->length = (uint32_t)n;
    source->waiting = 1; /* ourselves, until every attacher was asked */
    for (unsigned slot = 0; slot < MAX_ATTACHERS; slot++)
        attacher_offer(s, slot, which);
    source_taken(s, which);
    source_watch(s, which);
    if (s->phase == RUNNING)
        rest(source, n);
}

/* What is there now, or as much of it as can be taken; bounded, for a writer may be quicker than we. */
void source_drain(struct supervisor *s, int which) {
    struct source *source = &s->sources[which];
    source->idle = false;
    for (int chunks = 0; chunks < DRAIN_CHUNKS && source->fd >= 0 && !source->length && !source->idle; chunks++) {
        if (s->held)
            break;
        source_read(s, which);
    }
}

void source_taken(struct supervisor *s, int which) {
    struct source *source = &s->sources[which];
    if (--source->waiting)
        return;
    source->length = 0;
    source_watch(s, which);
}

void sink_close(struct supervisor *s) {
    struct sink *sink = &s->sink;
    if (sink->fd >= 0) {
        watch(s, sink->fd, TAG_SINK, 0, 0, &sink->watched, 0);
        close(sink->fd);
    }
    sink->fd = -1;
    sink->sent = sink->length = 0;
    attachers_stop_input(s);
}

/* Writes what is pending. When all of it is gone the attachers may bring more, or the input ends. */
void sink_write(struct supervisor *s) {
    struct sink *sink = &s->sink;
    while (sink->fd >= 0 && sink->sent < sink->length) {
        ssize_t n = write(sink->fd, sink->bytes + sink->sent, sink->length - sink->sent);
        if (n > 0) {
            sink->sent += (uint32_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            sink_watch(s, true);
            return;
        } else if (n == 0 || errno != EINTR) { /* EPIPE: the container closed its input */
            sink_close(s);
            return;
        }
    }
    sink->sent = sink->length = 0;
    if (sink->fd < 0)
        return;
    sink_watch(s, false);
    if (sink->closing)
        sink_close(s);
}
