/* `--init`: process 1 stays this program's code instead of becoming the command, which is its child.
 *
 * A process 1 without handlers is told nothing by its children's signals, and nobody else reaps the orphans of its
 * namespace (pid_namespaces(7)). This one is the container's in all that a plan made of it: its ids, capabilities and
 * filter, and no more closed to it than any other process 1: programs write to /proc/1/fd/1. Its memory has nothing
 * that the container cannot read elsewhere, its program is behind a read-only mount (runtime/program.py). */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor.h"

/* What is about process 1 itself: faults, and a terminal's stops for who is not in its foreground. */
static int forwarded(int number) {
    static const int own[] = {SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (number == own[i])
            return 0;
    return number > 0;
}

/* Everybody who has ended. The command's own end is this process's too, once all the dead are reaped. */
static void reap(pid_t command) {
    int status, code = -1;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
        if (ended == command)
            code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code >= 0 || (ended < 0 && errno == ECHILD))
        _exit(code >= 0 ? code : 127);
}

static _Noreturn void serve(pid_t command, const sigset_t *all) {
    for (;;) {
        int number = sigwaitinfo(all, NULL);
        if (number == SIGCHLD)
            reap(command);
        else if (forwarded(number))
            kill(command, number);
    }
}

/* The command is the terminal's foreground, in a group of its own, so that Ctrl-C reaches it and not its init. */
static void to_foreground(void) {
    setpgid(0, 0);
    pid_t group = getpgrp();
    (void)!ioctl(0, TIOCSPGRP, &group); /* ENOTTY: no terminal. SIGTTOU is still blocked here */
}

struct sets {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

/* An exec takes from who is not root all capabilities but the ambient ones (capabilities(7)): process 1, which execs
 * nothing, gives them away by hand. Of a filter that forbids capset(2) `read_sets` tells while it can still be said. */
static int read_sets(struct sets *sets) {
    sets->header = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0};
    if (syscall(SYS_capget, &sets->header, sets->data) < 0 || syscall(SYS_capset, &sets->header, sets->data) < 0)
        return errno;
    return 0;
}

static void keep_ambient(struct sets *sets) {
    if (geteuid() == 0)
        return;
    for (int i = 0; i < 2; i++)
        sets->data[i].permitted = sets->data[i].effective = 0;
    for (unsigned long cap = 0; cap < 64; cap++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            sets->data[cap / 32].permitted = sets->data[cap / 32].effective |= 1U << cap % 32;
    if (syscall(SYS_capset, &sets->header, sets->data) < 0)
        _exit(126);
}

/* For ps: its arguments and its name. */
static void take_name(char *argument, const char *name) {
    size_t room = argument ? strlen(argument) : 0;
    prctl(PR_SET_NAME, name, 0, 0, 0);
    if (room >= strlen(name))
        strncpy(argument, name, room); /* and zeros to the end */
}

int op_init(struct run *run, const struct op *op) {
    sigset_t all, before;
    struct sets sets;
    (void)op;
    int error = seal(run);
    if (!error)
        error = read_sets(&sets);
    if (error)
        return error;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* a blocked signal is kept for process 1, an unhandled one is lost */
    pid_t command = fork();
    if (command < 0)
        return errno;
    if (command == 0) {
        to_foreground();
        sigprocmask(SIG_SETMASK, &before, NULL);
        return 0;
    }
    keep_ambient(&sets);
    take_name(run->name, "wardian-init");
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* for a pid namespace that is not its own */
    munmap(run->progress, run->progress_size);
    syscall(SYS_close_range, 3U, ~0u, 0);
    serve(command, &all);
}
