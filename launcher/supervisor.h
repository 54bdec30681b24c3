/* Inside the supervisor: its one state and what its files offer each other. The executor sees launcher.h only.
 *
 *      container's stdout, stderr (or terminal) ──► source ──► log
 *                                                    └──────► attachers that want it (8-byte frames, or raw)
 *      attachers' sockets, early bytes ──► sink ──► container's stdin (or terminal)
 *      clients (engine) ──► control: ATTACH RELEASE RESIZE STATUS WAIT CLOSE_STDIN LOG_SYNC PUBLISH UNPUBLISH LET_GO
 *      the host's sockets of published ports ──► publish: held; the first connection that reaches one starts the relay
 *
 * Everything is in fixed buffers: a source is read again only when its last chunk has gone to every attacher, so a slow
 * attacher slows the container, as in Docker; nothing is allocated while the container runs.
 */
#ifndef WARDIAN_SUPERVISOR_H
#define WARDIAN_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "launcher.h"

enum { CHUNK = 65536, MAX_ATTACHERS = 64, MAX_CLIENTS = 32, MAX_DETACH_KEYS = PROTOCOL_MAX_DETACH_KEYS };
enum { SOURCE_OUT, SOURCE_ERR, SOURCES };

/* One end of the container's output. `waiting` attachers have not yet taken all of `bytes[0..length]`. */
struct source {
    int fd; /* -1: ended, or never was */
    uint32_t watched;
    uint32_t length;
    uint32_t waiting;
    bool idle; /* the last read found nothing */
    bool wide; /* its pipe was widened */
    uint32_t quick; /* small reads, each right after the one before */
    int64_t read_at; /* CLOCK_MONOTONIC, ns: the last one's end */
    int64_t left; /* after the child's end: what was in the pipe then and is not read yet */
    unsigned char bytes[CHUNK];
};

/* The container's input. Attachers are read only while it is empty. */
struct sink {
    int fd;
    uint32_t watched;
    uint32_t sent, length;
    bool closing; /* close it once it is empty */
    unsigned char bytes[CHUNK];
};

struct attacher {
    int fd; /* -1: the slot is free */
    int early; /* a memfd with bytes that the engine had already read from the socket, or -1 */
    uint32_t generation; /* tells this attacher's events from those of the slot's last one */
    uint32_t watched;
    uint32_t flags; /* ATTACH_* of the protocol */
    bool reading; /* its input is still wanted */
    bool hung_up; /* nothing more can be sent to it */
    bool ending; /* close it when it has everything */
    bool pending[SOURCES];
    int turn; /* the source whose frame is half sent, or -1 */
    uint32_t sent; /* bytes of that frame, header included */
    uint32_t key_count, keys_matched;
    uint32_t held_by, held_serial; /* the client that holds it, by its generation (0: none), and the ATTACH's serial */
    unsigned char keys[MAX_DETACH_KEYS];
};

struct client {
    int fd;
    uint32_t generation;
    uint32_t watched;
    bool waits;
    uint32_t serial; /* of its WAIT */
};

enum phase { RUNNING, DRAINING, ENDED, RECORDED };

struct supervisor {
    struct supervision *supervision;
    struct child *child;
    enum phase phase;
    int epoll, listener;
    uint32_t child_watched, listener_watched;
    bool deaf; /* the listener is left alone for a moment */
    bool unheard; /* a client is not watched: it is asked now and then */
    uint32_t generations;
    struct source sources[SOURCES];
    unsigned held; /* attachers that are; while there are any, the sources are not read */
    struct sink sink;
    struct attacher attachers[MAX_ATTACHERS];
    struct client clients[MAX_CLIENTS];
    int64_t exited_at; /* CLOCK_MONOTONIC, ms */
    int64_t due_at;     /* the same, of the timeout; 0: none */
    int64_t rest_until; /* the same, of what has ENDED: then all is let go */
    bool timed_out;
    uint64_t started_at, finished_at; /* Unix time, ns */
    int status, signal; /* how the child ended */
    struct rusage usage;
    char record[2048];
    size_t record_length;
};

/* supervise.c: what an epoll event is about. A tag is kind, slot and generation. */
enum tag { TAG_SOURCE, TAG_SINK, TAG_ATTACHER, TAG_CLIENT, TAG_LISTENER, TAG_CHILD, TAG_PUBLISHED, TAG_RELAY };
/* Brings the interest in `fd` from *have to `want`; 0 removes it from the loop. False: the kernel watches no more (a
 * user has so many watches, epoll(7)), which only who comes new is told: what is to be back soon stays in the loop,
 * with EPOLLET for none, and hears at most once of an end. */
bool watch(struct supervisor *s, int fd, enum tag kind, unsigned slot, uint32_t generation, uint32_t *have,
           uint32_t want);

/* stream.c */
void source_read(struct supervisor *s, int which);
void source_drain(struct supervisor *s, int which);
void source_taken(struct supervisor *s, int which); /* one attacher fewer waits for the chunk */
void source_end(struct supervisor *s, int which);
bool source_watch(struct supervisor *s, int which); /* false: as watch */
bool sink_watch(struct supervisor *s, bool full);   /* the same; `full`: it waits for room */
void sink_write(struct supervisor *s);
void sink_close(struct supervisor *s);

/* attach.c */
/* Its slot, or -1 and errno. */
int attacher_add(struct supervisor *s, int fd, int early, uint32_t flags, const unsigned char *keys,
                 uint32_t key_count);
void attacher_hold(struct supervisor *s, unsigned slot, uint32_t by, uint32_t serial);
bool attacher_release(struct supervisor *s, uint32_t by, uint32_t serial);
void attachers_drop_held(struct supervisor *s, uint32_t by);
void attacher_event(struct supervisor *s, unsigned slot, uint32_t events);
void attacher_offer(struct supervisor *s, unsigned slot, int which);
void attachers_resume_input(struct supervisor *s);
void attachers_stop_input(struct supervisor *s);
void attachers_end(struct supervisor *s);
unsigned attachers_count(const struct supervisor *s);
bool attacher_watch(struct supervisor *s, unsigned slot); /* false: as watch */

/* stdio.c */
int stdio_listener(void);
void stdio_close_child(struct stdio *stdio);

/* log.c */
int log_open(int dir, const char *name, uint64_t max_size, uint32_t max_files);
void log_feed(int which, const unsigned char *bytes, size_t length);
void log_end(int which);
void log_part(int which);
void log_close(void);
uint64_t log_lost(void);
uint64_t log_written(void);

/* json.c: the inside of a JSON string; at most 6 bytes for each byte of input. */
size_t json_escape(char *to, const unsigned char *from, size_t length);
/* How many of the first `limit` bytes to take so that no character is cut. */
size_t utf8_cut(const unsigned char *bytes, size_t limit);

/* tty.c */
int tty_resize(int master, bool tty, uint32_t rows, uint32_t columns); /* 0 or an errno */

/* control.c */
int control_listen(int run_dir);
void control_accept(struct supervisor *s);
void control_hear(struct supervisor *s, bool hear);
void control_add(struct supervisor *s, int fd, bool waits); /* `waits`: for the end, unasked */
void control_event(struct supervisor *s, unsigned slot, uint32_t events);
void control_ask_unheard(struct supervisor *s);
bool control_take_early_attachers(struct supervisor *s); /* false: one cannot be watched */
void control_announce_exit(struct supervisor *s);

/* publish.c: the host's sockets of the container's published ports, each with where it leads. */
/* 0 or an errno. */
int publish_take(struct supervisor *s, const unsigned char *targets, uint32_t count, const int *sockets);
int publish_remove(struct supervisor *s, uint32_t key); /* 0 or an errno */
void publish_arrived(struct supervisor *s);
void publish_relay_ended(struct supervisor *s, unsigned slot);
void publish_end(struct supervisor *s);
bool publish_relays(void); /* whether a relay still runs */
int publish_patience(struct supervisor *s); /* ms until it must be looked at again, -1: no need */

/* group.c: the container's control groups, of either version: each is asked for the files that it has. */
struct group_usage {
    uint64_t oom_kills, peak_memory, cpu_ns;
};
void groups_read(const struct supervision *supervision, struct group_usage *usage);
void groups_remove(const struct supervision *supervision);

/* kmsg.c: "name (pid N)" of the last process killed for the memory of the group at `path` (or below), or "". */
void oom_victim(const char *path, char *victim, size_t size);

/* exit.c */
bool exit_record(struct supervisor *s, const char *failure); /* false: none is on disk (it is full, say) */

#endif
