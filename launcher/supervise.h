/* The seam between the executor (main.c, decode.c, ops_*.c, child.c) and the supervisor (everything that this header's
 * users implement: supervise.c stream.c stdio.c log.c tty.c attach.c control.c exit.c group.c).
 *
 * One launcher process is first the executor of a plan and then, once the child has exec'd, its supervisor. The executor
 * decodes the plan's SUPERVISE op into `struct supervision`, calls the functions below in this order and gives the rest of
 * the process's life to `supervise`:
 *
 *      stdio_open            before clone: pipes, log file, listening socket: whatever may fail, fails here
 *      stdio_child           in the child, after the plan's last op but before privileges go: descriptors 0, 1, 2
 *      supervise             after RUNNING was sent: never returns to the executor's business
 *      stdio_close           instead of supervise when the launch failed: nothing is left
 */
#ifndef WARDIAN_SUPERVISE_H
#define WARDIAN_SUPERVISE_H

#include <stdint.h>
#include <sys/types.h>

enum {
    SUPERVISE_TTY = 1,          /* stdio is a pseudo-terminal: its master arrives from the child's CONSOLE op */
    SUPERVISE_OPEN_STDIN = 2,   /* stdin is a pipe (else /dev/null; a terminal always has one) */
    SUPERVISE_STDIN_ONCE = 4,   /* the end of the first attacher's input is the end of the container's */
    SUPERVISE_KILL_GROUP = 8,   /* PID namespace is shared: when the child ends, kill the rest of its groups */
    SUPERVISE_REMOVE_GROUP = 16 /* the groups are ours alone: remove them after the exit record (not for exec) */
};

/* What one control group can tell or do; a v2 group has GROUP_UNIFIED and is asked for everything it has. */
enum { GROUP_UNIFIED = 1, GROUP_MEMORY = 2, GROUP_CPUACCT = 4, GROUP_FREEZER = 8 };

#define MAX_GROUPS 20

struct group {
    uint32_t flags;
    const char *path; /* absolute, of the launcher's mount namespace; points into the plan */
};

struct supervision {
    uint32_t flags;
    int run_dir;            /* supervisor.sock and exit live here; -1: neither (no engine: `wardian-runtime run`) */
    int log_dir;            /* -1: no log */
    const char *log_name;   /* "ID-json.log" */
    uint64_t log_max_size;  /* bytes; 0: never rotate */
    uint32_t log_max_files; /* all files together, at least 1 */
    uint32_t grace_ms;      /* how long output of a stray process is still taken after the child's end; 0: 50 */
    unsigned group_count;
    struct group groups[MAX_GROUPS];
};

struct stdio {
    int child[3];  /* what becomes 0, 1, 2 in the child; -1 with a terminal */
    int parent[3]; /* our ends; -1 where there is none */
};

struct child {
    pid_t pid;
    int pidfd;
    uint64_t start_time; /* field 22 of /proc/PID/stat, in clock ticks after boot */
    struct stdio stdio;
    int tty_master; /* -1 without a terminal */
};

/* 0, or -1 with errno; *what then names the step in words. */
int stdio_open(struct supervision *supervision, struct stdio *stdio, const char **what);
/* dup2 onto 0, 1, 2 and give the pipes to `owner` (so that a user may reopen /dev/stdout). Async-signal-safe. */
int stdio_child(const struct stdio *stdio, uid_t owner);
void stdio_close(struct supervision *supervision, struct stdio *stdio);
/* Returns the launcher's own exit status. `control` stays the first client: EXITED is sent on it unasked. */
int supervise(struct supervision *supervision, struct child *child, int control);

#endif
