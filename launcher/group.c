/* The container's control groups at its end: what they counted, killing what is left in them, removing them.
 *
 * Version 1 does not add up the OOM kills of the groups below (measured on 6.18), version 2's memory.events does
 * (cgroup-v2.rst); the walk asks each group below for version 1 only. What a group is, is told by the files that it has. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

enum { MAX_DEPTH = 16, KILL_ROUNDS = 200 };

/* The content of a small file, NUL-terminated; "" when it cannot be read. */
static bool read_file(int dir, const char *name, char *to, size_t size) {
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    to[0] = 0;
    if (fd < 0)
        return false;
    ssize_t n = read(fd, to, size - 1);
    close(fd);
    to[n > 0 ? n : 0] = 0;
    return n >= 0;
}

static bool write_file(int dir, const char *name, const char *text) {
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) >= 0;
    close(fd);
    return written;
}

/* The number after `key` at the head of a line ("oom_kill 3"), or 0. */
static uint64_t number_of(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    return 0;
}

static uint64_t number_in(int dir, const char *name) {
    char text[64];
    return read_file(dir, name, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

/* Calls `visit` for every group below `dir`, deepest first, then removes it when `remove`. Entries by getdents64(2) into
 * the stack: readdir(3) allocates. */
static void walk(int dir, unsigned depth, bool remove, void (*visit)(int dir, void *), void *argument) {
    struct entry {
        uint64_t inode, offset;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    _Alignas(8) char entries[2048];
    if (depth == MAX_DEPTH)
        return;
    for (;;) {
        long size = syscall(SYS_getdents64, dir, entries, sizeof entries);
        if (size <= 0)
            return;
        bool removed = false;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const void *)(entries + at);
            at += entry->length;
            if (entry->type != DT_DIR || entry->name[0] == '.')
                continue;
            int below = openat(dir, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below < 0)
                continue;
            walk(below, depth + 1, remove, visit, argument);
            if (visit)
                visit(below, argument);
            close(below);
            removed |= remove && unlinkat(dir, entry->name, AT_REMOVEDIR) == 0;
        }
        if (removed)
            lseek(dir, 0, SEEK_SET); /* offsets of a directory that changed mean nothing */
    }
}

static int reopen(const struct supervision *supervision, uint32_t i) {
    return openat(supervision->cgroups[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* an offset of our own */
}

static void add_oom_kills_v1(int dir, void *argument) {
    char text[256];
    if (read_file(dir, "memory.oom_control", text, sizeof text))
        *(uint64_t *)argument += number_of(text, "oom_kill");
}

void groups_read(const struct supervision *supervision, struct group_usage *usage) {
    char text[4096];
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        int dir = supervision->cgroups[i];
        if (read_file(dir, "memory.oom_control", text, sizeof text)) {
            add_oom_kills_v1(dir, &usage->oom_kills);
            usage->peak_memory = number_in(dir, "memory.max_usage_in_bytes");
            int own = reopen(supervision, i);
            if (own >= 0) {
                walk(own, 0, false, add_oom_kills_v1, &usage->oom_kills);
                close(own);
            }
        } else if (read_file(dir, "memory.events", text, sizeof text)) {
            usage->oom_kills = number_of(text, "oom_kill");
            usage->peak_memory = number_in(dir, "memory.peak"); /* since Linux 5.19 */
        }
        if (!usage->cpu_ns)
            usage->cpu_ns = number_in(dir, "cpuacct.usage");
        if (!usage->cpu_ns && read_file(dir, "cpu.stat", text, sizeof text))
            usage->cpu_ns = number_of(text, "usage_usec") * 1000;
    }
}

static bool kill_listed(int dir) {
    char text[16384];
    bool any = false;
    if (!read_file(dir, "cgroup.procs", text, sizeof text))
        return false;
    for (char *at = text, *end; *at; at = end + (*end == '\n')) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end != '\n')
            break; /* a number that the buffer's end cut would be another's: the next round reads it */
        if (pid > 0 && kill((pid_t)pid, SIGKILL) == 0)
            any = true;
    }
    return any;
}

static void kill_below(int dir, void *argument) { *(bool *)argument |= kill_listed(dir); }

/* One round over a version 1 group, frozen so that nothing forks away meanwhile. */
static bool kill_round(const struct supervision *supervision, uint32_t i, bool freezer) {
    int own = reopen(supervision, i);
    bool any = kill_listed(supervision->cgroups[i]);
    if (own >= 0) {
        walk(own, 0, false, kill_below, &any);
        close(own);
    }
    if (freezer)
        write_file(supervision->cgroups[i], "freezer.state", "THAWED"); /* SIGKILL waits for the thaw on version 1 */
    return any;
}

/* All that is left in the groups; returns when it is gone (200 ms at most). */
void groups_kill(const struct supervision *supervision) {
    struct timespec pause = {.tv_nsec = 1000000};
    uint32_t chosen = supervision->cgroup_count;
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        if (!supervision->cgroup_paths[i])
            continue; /* joined: not all in it is the container's */
        if (write_file(supervision->cgroups[i], "cgroup.kill", "1"))
            return;
        char state[32];
        if (chosen == supervision->cgroup_count || read_file(supervision->cgroups[i], "freezer.state", state, sizeof state))
            chosen = i;
    }
    for (int round = 0; chosen < supervision->cgroup_count && round < KILL_ROUNDS; round++) {
        bool freezer = write_file(supervision->cgroups[chosen], "freezer.state", "FROZEN");
        if (!kill_round(supervision, chosen, freezer))
            return;
        nanosleep(&pause, NULL);
    }
}

void groups_remove(const struct supervision *supervision) {
    struct timespec pause = {.tv_nsec = 1000000};
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        const char *path = supervision->cgroup_paths[i];
        if (!path || rmdir(path) == 0)
            continue;
        if (errno != EBUSY && errno != ENOTEMPTY)
            continue;
        int own = reopen(supervision, i);
        if (own >= 0) {
            walk(own, 0, true, NULL, NULL);
            close(own);
        }
        for (int round = 0; round < 50 && rmdir(path) < 0 && errno == EBUSY; round++) /* the last process is still leaving */
            nanosleep(&pause, NULL);
    }
}
