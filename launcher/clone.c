/* clone3(2): the one process that a plan makes, and what its parent does until it has exec'd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
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

int op_supervise(struct run *run, const struct op *op) {
    static int groups[64];
    static const char *paths[64];
    const struct field *cgroups = &op->fields[SUPERVISE_AT_CGROUPS];
    struct supervision *s = &run->supervision;
    if (cgroups->count > sizeof groups / sizeof groups[0])
        return E2BIG;
    for (uint32_t i = 0; i < cgroups->count; i++) {
        groups[i] = run->handles[cgroups->numbers[i]];
        paths[i] = i < run->made_count ? run->made[i] : NULL;
    }
    *s = (struct supervision){
        .flags = (uint32_t)op_number(op, SUPERVISE_AT_FLAGS),
        .run_dir = handle_of(run, op, SUPERVISE_AT_RUN_DIR),
        .log_dir = handle_of(run, op, SUPERVISE_AT_LOG_DIR),
        .log_name = op_text(op, SUPERVISE_AT_LOG_NAME),
        .log_size = op_number(op, SUPERVISE_AT_LOG_SIZE),
        .log_files = op_number(op, SUPERVISE_AT_LOG_FILES),
        .identity = op_text(op, SUPERVISE_AT_IDENTITY),
        .cgroup_count = cgroups->count,
        .cgroups = groups,
        .cgroup_paths = paths,
        .root = handle_of(run, op, SUPERVISE_AT_ROOT),
    };
    int error = stdio_open(s, &run->stdio);
    if (error)
        return error;
    return run->attachers ? control_read_attachers(s, run->control, run->attachers) : 0;
}
