/* Inside the executor: its one state, and what its files offer each other. The supervisor sees launcher.h only.
 *
 *      launcher: HOST ops ─ clone ┬─ PARENT ops ─ "go" ───────── end of file on `channel`: exec'd ─ RUNNING ─ supervise
 *                                 └─ (waits for "go") ─ CHILD ops ─ exec, if the launcher lives
 *
 * What the child did is read from `progress`, a page that both share; the channel carries only "go", a terminal's
 * master, and its own end: for the launcher that is exec or death, for the child its launcher's death, and then it does
 * not exec. After clone nothing is allocated. */
#ifndef WARDIAN_EXECUTOR_H
#define WARDIAN_EXECUTOR_H

#include "launcher.h"

struct record {
    int32_t error; /* errno or 0 */
    uint64_t ns;
};

struct progress {
    int failed;            /* a step failed: `step` names it and `text` may say more */
    uint32_t step;         /* of the failure */
    uint64_t exec_started; /* CLOCK_MONOTONIC, ns */
    char text[PROTOCOL_MAX_TEXT];
    struct record records[]; /* one for each op of the plan; ns 0: not reached */
};

struct run {
    struct plan plan;
    char *name;   /* our argv[0] */
    int *handles; /* descriptors, -1: not made yet */
    struct progress *progress;
    size_t progress_size;
    int control;        /* to the engine */
    uint32_t attachers; /* that come before start */
    int channel;        /* launcher's or child's end of the socket pair */
    int empty;          /* the child's empty read-only tmpfs for masks, -1 */
    const char **made;  /* groups to be removed when the launch fails, in order of making */
    uint32_t made_count;
    struct supervision supervision;
    struct stdio stdio;
    struct child child;
};

typedef int op_function(struct run *run, const struct op *op); /* 0 or an errno */

#define DECLARE(NAME, name, number, types) op_function op_##name;
OPERATIONS(DECLARE)
#undef DECLARE

/* child.c */
int run_steps(struct run *run, int phase); /* 0 when all went well, else an errno and progress->failed */
_Noreturn void child_main(struct run *run, int channel);
uint64_t monotonic_ns(void);
static inline int handle_of(const struct run *run, const struct op *op, int at) {
    uint64_t number = op->fields[at].number;
    return number == PROTOCOL_NONE ? -1 : run->handles[number];
}
/* Keeps a new descriptor under its handle; a negative one is the errno of the call before. */
int keep(struct run *run, const struct op *op, int at, long descriptor);
void explain(struct run *run, const char *text); /* more about a failure */

/* ops_process.c: descriptors and signals as the container gets them, once; 0 or an errno. */
int seal(const struct run *run);

/* receive.c */
ssize_t receive(int control, unsigned char *data, size_t size, int *fds, uint32_t *count, uint32_t room);
int take_plan(struct run *run, unsigned char **data, uint32_t *length, int *fds);

/* report.c */
void report_refusal(int control, const struct plan *plan, int error);
void report_progress(const struct run *run);
void report_failure(const struct run *run);
int report_running(const struct run *run); /* an errno when nobody listens */

/* inroot.c: paths within a container's root, as if it were / (openat2(2), RESOLVE_IN_ROOT). Descriptor or -1. */
int open_in_root(int root, const char *path, int flags);
/* Makes what is missing: directories above, and the last as `create` says (CREATE_*). */
int make_in_root(int root, const char *path, int create, unsigned mode);
/* The directory of a path's last component, made when missing, and that component. */
int parent_in_root(int root, const char *path, const char **name);

/* ops_stdio.c: by SCM_RIGHTS, with one byte; 0 or an errno */
int send_descriptor(int channel, int descriptor);

/* clone.c */
/* The child's steps and exec, after the launcher's: 0 when it has exec'd, else an errno. */
int await_exec(struct run *run);
uint64_t start_time_of(pid_t pid); /* field 22 of /proc/PID/stat, 0: no such process */

/* What the program does besides launching; each returns the process's exit status. */
int hello(void);                      /* hello.c */
int spaces(int control, int network); /* spaces.c */

#endif
