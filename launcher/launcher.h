/* The launcher: carries out a plan, then stays as the container's supervisor.
 *
 * Executor: main.c (life), receive.c, decode.c (bytes → ops, no system calls), clone.c, child.c (what runs after
 * clone), ops_*.c (one function for an op), inroot.c, report.c; spaces.c (namespaces ahead). Supervisor: supervise.c,
 * stdio.c, stream.c, attach.c, control.c, log.c, json.c, tty.c, group.c, kmsg.c, publish.c, exit.c. Relay, which it
 * forks: relay.c, relay_tcp.c, relay_udp.c, relay_filter.c.
 * The numbers of the protocol are generated from src/wardian/runtime/protocol.py. */
#ifndef WARDIAN_LAUNCHER_H
#define WARDIAN_LAUNCHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.gen.h"

/* ---- a decoded plan (decode.c) ---- */

struct field {
    uint64_t number;            /* u, h, n */
    const unsigned char *bytes; /* s (NUL-terminated), b */
    uint32_t length;            /* s, b: bytes without the NUL */
    uint32_t count;             /* l, H, U */
    char **texts;               /* l: NULL-terminated */
    uint64_t *numbers;          /* H, U */
};

struct op {
    uint16_t number;
    uint8_t phase;
    uint8_t flags;
    struct field fields[PROTOCOL_MAX_FIELDS];
};

struct plan {
    uint32_t count;     /* ops */
    uint32_t slots;     /* handles that came with HELLO */
    uint32_t handles;   /* all handles, slots first */
    uint32_t fail_step; /* a test's wish: this step answers ECANCELED; PROTOCOL_NONE: no step */
    struct op *ops;
    uint32_t offset;    /* where decoding stopped */
    const char *reason; /* why */
};

/* 0, or an errno with plan->offset and plan->reason. Allocates plan->ops and `arena` (both one block each). */
int plan_decode(struct plan *plan, const unsigned char *data, size_t length);
void plan_free(struct plan *plan);

const char *op_name(uint16_t number);

static inline const char *op_text(const struct op *op, int at) { return (const char *)op->fields[at].bytes; }
static inline uint64_t op_number(const struct op *op, int at) { return op->fields[at].number; }

/* ---- small files (file.c), for both sides ---- */

/* NUL-terminated; -1 with errno, then it is "". */
ssize_t read_file(int directory, const char *name, char *to, size_t size);
int write_file(int directory, const char *name, const void *data, size_t length); /* 0 or an errno */

/* ---- the seam with the supervisor ---- */

/* The container's end of stdio and ours. -1: none. Filled by stdio_open before clone. */
struct stdio {
    int child[3]; /* dup2'd onto 0, 1, 2 by stdio_child; -1: /dev/null was opened instead at stdio_open */
    int ours[3];  /* write end of stdin, read ends of stdout and stderr */
};

/* Decoded from the SUPERVISE op; descriptors, not handles. */
struct supervision {
    uint32_t flags;       /* SUPERVISE_* */
    int run_dir;          /* supervisor.sock and the exit record go here */
    int log_dir;          /* -1: no log */
    const char *log_name; /* file name in log_dir, "ID-json.log" */
    uint64_t log_size;    /* rotate at this many bytes; 0: never */
    uint64_t log_files;
    const char *identity; /* container id */
    uint32_t cgroup_count;
    const int *cgroups; /* directories, made by the plan: counters are read and the groups removed at the end */
    const char *const *cgroup_paths; /* their paths, for rmdir (NULL: joined, not ours to remove) */
    int root;             /* the root's mount descriptor, -1: none */
    uint64_t timeout_s;   /* the container is ended so many seconds after its start; 0: never */
};

struct child {
    pid_t pid;
    int pidfd;
    uint64_t start_time; /* field 22 of /proc/PID/stat */
    struct stdio *stdio;
    int tty_master; /* -1: no terminal; the supervisor makes it non-blocking */
    uint64_t started_at; /* Unix time in ns, as RUNNING says it */
};

/* supervise.c; each returns 0 or an errno unless said otherwise. */
void stdio_prepare(void); /* before the plan comes: the input of a process that has none */
int stdio_listen_on(int socket); /* one that was made before, for stdio_open to leave as it is; 0 or an errno */
/* Before clone: pipes (or nothing for a tty), log, socket. */
int stdio_open(struct supervision *supervision, struct stdio *stdio);
/* In the child: dup2 onto 0, 1, 2; a pipe's owner may reopen /dev/stdout. */
int stdio_child(struct stdio *stdio, uid_t owner);
/* Instead of supervise: the launch failed, nothing stays. */
void stdio_close(struct supervision *supervision, struct stdio *stdio);
int log_attributes(const char *attributes); /* JSON for every line from now on; kept. 0 or an errno */
/* Returns the launcher's exit status. */
int supervise(struct supervision *supervision, struct child *child, int control_fd);
/* Before clone: receives `count` ATTACH messages from the control socket and keeps them for supervise(). */
int control_read_attachers(struct supervision *supervision, int control_fd, uint32_t count);
/* group.c: ends every process of the groups that the plan made. */
void groups_kill(const struct supervision *supervision);
void groups_thaw(const struct supervision *supervision); /* version 1 delivers no SIGKILL to what is frozen */
uint64_t unix_ns(void); /* CLOCK_REALTIME */
int64_t now_ms(void);   /* CLOCK_MONOTONIC */

#endif
