/* clone3(2): the one process that a plan makes, and what its parent does until it has exec'd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

uint64_t start_time_of(pid_t pid) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return 0;
    text[length] = 0;
    /* Field 2 is the name in parentheses and may hold anything; field 22 is the 20th after it. */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

int op_clone(struct run *run, const struct op *op) {
    int ends[2], pidfd = -1, cgroup = handle_of(run, op, CLONE_AT_CGROUP);
    struct clone_args args = {
        .flags = op_number(op, CLONE_AT_FLAGS) | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        close(ends[0]);
        child_main(run, ends[1]);
    }
    int error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (error) {
        close(ends[0]);
        return error;
    }
    run->channel = ends[0];
    run->child.pid = (pid_t)pid;
    run->child.pidfd = pidfd;
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

/* A failure that the child did not tell itself. */
static int blame(struct run *run, uint32_t step, int error, const char *text) {
    run->progress->step = step;
    run->progress->failed = 1;
    explain(run, text);
    return run->progress->records[step].error = error;
}

/* 0 when the child has exec'd. */
static int judge(struct run *run) {
    struct progress *progress = run->progress;
    uint32_t last = run->plan.count - 1, step = 0;
    if (progress->failed)
        return progress->records[progress->step].error;
    if (!progress->exec_started) {
        while (step < last && progress->records[step].ns)
            step++;
        return blame(run, step, ECHILD, "the child died in this step");
    }
    if (run->supervision.flags & SUPERVISE_TTY && run->child.tty_master < 0)
        return blame(run, last, EMFILE, "no descriptor was free for its terminal");
    progress->records[last].ns = monotonic_ns() - progress->exec_started;
    return 0;
}

int await_exec(struct run *run) {
    send(run->channel, "g", 1, MSG_NOSIGNAL);
    wait_for_exec(run);
    return judge(run);
}
