/* A supervisor without an executor, for tests under sanitizers: forks the command as it is and supervises it.
 *
 *      supervised FLAGS RUN_DIR LOG_DIR LOG_NAME MAX_SIZE MAX_FILES ATTACHERS CGROUP COMMAND [ARGUMENT …]
 *
 * Descriptor 3 is the launch socket: ATTACHERS messages come first, RUNNING goes out. LOG_DIR "-": no log. CGROUP "-":
 * none; else a directory that the child enters (version 1 by `tasks`, else `cgroup.procs`). */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../launcher/supervisor.h"

static void check(int bad, const char *what) {
    if (bad) {
        perror(what);
        exit(99);
    }
}

static void run_child(struct stdio *stdio, const char *terminal, int tasks, char **command) {
    setsid();
    if (terminal) {
        int slave = open(terminal, O_RDWR);
        ioctl(slave, TIOCSCTTY, 0);
        for (int i = 0; i < 3; i++)
            dup2(slave, i);
    } else if (stdio_child(stdio, getuid())) {
        _exit(98);
    }
    if (tasks >= 0 && write(tasks, "0", 1) != 1)
        _exit(97);
    close_range(3, ~0U, 0);
    execv(command[0], command);
    _exit(127);
}

static uint64_t start_time(pid_t pid) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static void send_running(const struct child *child) {
    unsigned char message[SIZE_CONTROL_HEADER + SIZE_RUNNING] = {0};
    uint32_t header[3] = {PROTOCOL_CONTROL_MAGIC, PROTOCOL_VERSION | KIND_RUNNING << 16, SIZE_RUNNING};
    uint32_t pid = (uint32_t)child->pid;
    memcpy(message, header, sizeof header);
    memcpy(message + SIZE_CONTROL_HEADER, &pid, 4);
    memcpy(message + SIZE_CONTROL_HEADER + 8, &child->start_time, 8);
    memcpy(message + SIZE_CONTROL_HEADER + 16, &child->started_at, 8);
    send(3, message, sizeof message, MSG_NOSIGNAL);
}

int main(int count, char **arguments) {
    static struct supervision supervision;
    static struct stdio stdio;
    static const char *paths[1];
    static int groups[1];
    const char *terminal = NULL;
    int tasks = -1;
    check(count < 10, "arguments");
    fcntl(3, F_SETFD, FD_CLOEXEC);
    supervision.flags = (uint32_t)atoi(arguments[1]);
    supervision.root = -1;
    supervision.run_dir = open(arguments[2], O_PATH | O_CLOEXEC);
    supervision.log_dir = strcmp(arguments[3], "-") ? open(arguments[3], O_PATH | O_CLOEXEC) : -1;
    supervision.log_name = arguments[4];
    supervision.log_size = strtoull(arguments[5], NULL, 10);
    supervision.log_files = strtoull(arguments[6], NULL, 10);
    if (strcmp(arguments[8], "-")) {
        paths[0] = arguments[8];
        groups[0] = open(paths[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        tasks = openat(groups[0], "tasks", O_WRONLY | O_CLOEXEC);
        if (tasks < 0)
            tasks = openat(groups[0], "cgroup.procs", O_WRONLY | O_CLOEXEC);
        supervision.cgroups = groups;
        supervision.cgroup_paths = paths;
        supervision.cgroup_count = 1;
    }
    check(control_read_attachers(&supervision, 3, (uint32_t)atoi(arguments[7])), "attachers");
    check(stdio_open(&supervision, &stdio), "stdio_open");
    struct child child = {.stdio = &stdio, .tty_master = -1, .started_at = unix_ns()};
    if (supervision.flags & SUPERVISE_TTY) {
        child.tty_master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        check(child.tty_master < 0 || grantpt(child.tty_master) || unlockpt(child.tty_master), "ptmx");
        terminal = ptsname(child.tty_master);
    }
    child.pid = fork();
    check(child.pid < 0, "fork");
    if (child.pid == 0)
        run_child(&stdio, terminal, tasks, arguments + 9);
    child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
    child.start_time = start_time(child.pid);
    send_running(&child);
    return supervise(&supervision, &child, 3);
}
