/* clone3(2): the one process that a plan makes, and what its parent does until it has exec'd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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

/* The process between: it goes into the user namespace, as its root, and nobody comes back from there. What it clones
 * is its brother (CLONE_PARENT); the namespaces made with it belong to that user namespace. Its status is an errno. */
static _Noreturn void clone_within(struct run *run, uint64_t flags, int userns, int channel, int told) {
    int pidfd = -1;
    struct clone_args args = {.flags = flags | CLONE_PIDFD | CLONE_PARENT, .pidfd = (uint64_t)(uintptr_t)&pidfd};
    if (setns(userns, CLONE_NEWUSER) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
        syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        _exit(errno);
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        close(told);
        child_main(run, channel);
    }
    _exit(pid < 0 ? errno : send_descriptor(told, pidfd));
}

static pid_t pid_of(int pidfd) {
    char path[32], text[512], *at;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    if (read_file(AT_FDCWD, path, text, sizeof text) < 0 || !(at = strstr(text, "\nPid:")))
        return -1;
    return (pid_t)strtol(at + 5, NULL, 10);
}

/* Who is cloned by a process of another user namespace is our child all the same; its pid is read where we see it. */
static int take_brother(struct run *run, pid_t between, int told, int channel) {
    unsigned char byte;
    int status = 0;
    uint32_t count = 0;
    (void)!receive(told, &byte, 1, &run->child.pidfd, &count, 1);
    if (waitpid(between, &status, 0) < 0)
        return errno;
    if (!count)
        return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : ECHILD;
    run->child.pid = pid_of(run->child.pidfd);
    run->channel = channel;
    return run->child.pid > 0 ? 0 : ESRCH;
}

static int op_clone_within(struct run *run, const struct op *op) {
    int ends[2], told[2], cgroup = handle_of(run, op, CLONE_AT_CGROUP);
    struct clone_args args = {
        .flags = cgroup >= 0 ? CLONE_INTO_CGROUP : 0,
        .exit_signal = SIGCHLD,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, told) < 0) {
        int error = errno;
        close(ends[0]), close(ends[1]);
        return error;
    }
    long between = syscall(SYS_clone3, &args, sizeof args);
    if (between == 0) {
        close(ends[0]), close(told[0]);
        clone_within(run, op_number(op, CLONE_AT_FLAGS), handle_of(run, op, CLONE_AT_USERNS), ends[1], told[1]);
    }
    int error = between < 0 ? errno : 0;
    close(ends[1]), close(told[1]);
    if (!error)
        error = take_brother(run, (pid_t)between, told[0], ends[0]);
    close(told[0]);
    if (error)
        close(ends[0]);
    return error;
}

int op_clone(struct run *run, const struct op *op) {
    if (handle_of(run, op, CLONE_AT_USERNS) >= 0)
        return op_clone_within(run, op);
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

/* Until the channel ends: by exec, or by the child's death; or until the engine, which had its deadline, is gone while
 * the child hangs in a step. A terminal's master may come on the channel. */
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
        if (got < 0 && errno == ECONNRESET)
            continue; /* once, when "go" came too late to be read: what the child had sent comes after it (unix(7)) */
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
