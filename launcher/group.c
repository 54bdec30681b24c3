/* The container's control groups at its end: what they counted, killing what is left in them, removing them.
 *
 * Version 1 does not add up the OOM kills of the groups below (measured on 6.18), version 2's memory.events does
 * (cgroup-v2.rst); the walk asks each group below for version 1 only. A group's files tell what it is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

/* MAX_DEPTH: a level costs a descriptor and 2 KiB of stack. What holds a killed process longer sits in the kernel (a
 * dead NFS server, say): the exit is not kept back for it. */
enum { MAX_DEPTH = 128, DEADLINE_MS = 3000 };

static int write_text(int dir, const char *name, const char *text) { return write_file(dir, name, text, strlen(text)); }

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
    return read_file(dir, name, text, sizeof text) > 0 ? strtoull(text, NULL, 10) : 0;
}

/* Calls `visit` for every group below `dir`, deepest first, then removes it when `remove`. Entries by getdents64(2)
 * into the stack: readdir(3) allocates. */
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
            if (entry->type != DT_DIR || strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
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
    if (read_file(dir, "memory.oom_control", text, sizeof text) > 0)
        *(uint64_t *)argument += number_of(text, "oom_kill");
}

void groups_read(const struct supervision *supervision, struct group_usage *usage) {
    char text[4096];
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        int dir = supervision->cgroups[i];
        if (read_file(dir, "memory.oom_control", text, sizeof text) > 0) {
            add_oom_kills_v1(dir, &usage->oom_kills);
            usage->peak_memory = number_in(dir, "memory.max_usage_in_bytes");
            int own = reopen(supervision, i);
            if (own >= 0) {
                walk(own, 0, false, add_oom_kills_v1, &usage->oom_kills);
                close(own);
            }
        } else if (read_file(dir, "memory.events", text, sizeof text) > 0) {
            usage->oom_kills = number_of(text, "oom_kill");
            usage->peak_memory = number_in(dir, "memory.peak"); /* since Linux 5.19 */
        }
        if (!usage->cpu_ns)
            usage->cpu_ns = number_in(dir, "cpuacct.usage");
        if (!usage->cpu_ns && read_file(dir, "cpu.stat", text, sizeof text) > 0)
            usage->cpu_ns = number_of(text, "usage_usec") * 1000;
    }
}

static bool kill_listed(int dir) {
    char text[16384];
    bool any = false;
    if (read_file(dir, "cgroup.procs", text, sizeof text) <= 0)
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
        write_text(supervision->cgroups[i], "freezer.state", "THAWED"); /* SIGKILL waits for the thaw on version 1 */
    return any;
}

/* Whether version 2 says that somebody is in the group or below. */
static bool populated(int dir) {
    char text[256];
    return read_file(dir, "cgroup.events", text, sizeof text) > 0 && number_of(text, "populated");
}

/* Until who is in the group changes, or a millisecond: version 1 tells of no change, and version 2 only of the last
 * process's (cgroup-v2.rst, cgroup.events: POLLPRI once the file, which must have been read before, is another). */
static void wait_for_change(int dir, int64_t deadline) {
    char text[256];
    int64_t left = deadline - now_ms();
    int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    ssize_t length = events < 0 ? -1 : read(events, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    struct pollfd change = {.fd = events, .events = POLLPRI};
    if (left > 0 && number_of(text, "populated"))
        poll(&change, 1, (int)left);
    else
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (events >= 0)
        close(events);
}

/* Version 1: whoever is listed, in rounds until nobody is. */
static void kill_listed_until_gone(const struct supervision *supervision, uint32_t i, int64_t deadline) {
    for (;;) {
        bool freezer = write_text(supervision->cgroups[i], "freezer.state", "FROZEN") == 0;
        if (!kill_round(supervision, i, freezer) || now_ms() >= deadline)
            return;
        wait_for_change(supervision->cgroups[i], deadline);
    }
}

/* All that is left in the groups; returns when it is gone (or after DEADLINE_MS). */
void groups_kill(const struct supervision *supervision) {
    int64_t deadline = now_ms() + DEADLINE_MS;
    uint32_t chosen = supervision->cgroup_count;
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        int dir = supervision->cgroups[i];
        if (!supervision->cgroup_paths[i])
            continue; /* joined: not all in it is the container's */
        if (write_text(dir, "cgroup.kill", "1") == 0) {
            while (populated(dir) && now_ms() < deadline)
                wait_for_change(dir, deadline);
            return;
        }
        char state[32];
        if (chosen == supervision->cgroup_count || read_file(dir, "freezer.state", state, sizeof state) > 0)
            chosen = i;
    }
    if (chosen < supervision->cgroup_count)
        kill_listed_until_gone(supervision, chosen, deadline);
}

void groups_thaw(const struct supervision *supervision) {
    for (uint32_t i = 0; i < supervision->cgroup_count; i++)
        if (supervision->cgroup_paths[i])
            write_text(supervision->cgroups[i], "freezer.state", "THAWED"); /* ENOENT: another controller's */
}

/* Busy is a group while its last process is still leaving, and one that has groups below. */
static void remove_group(const struct supervision *supervision, uint32_t i, int64_t deadline) {
    const char *path = supervision->cgroup_paths[i];
    while (rmdir(path) < 0 && (errno == EBUSY || errno == ENOTEMPTY)) {
        int own = reopen(supervision, i);
        if (own >= 0) {
            walk(own, 0, true, NULL, NULL);
            close(own);
        }
        if (rmdir(path) == 0 || now_ms() >= deadline)
            return;
        wait_for_change(supervision->cgroups[i], deadline);
    }
}

void groups_remove(const struct supervision *supervision) {
    int64_t deadline = now_ms() + DEADLINE_MS;
    for (uint32_t i = 0; i < supervision->cgroup_count; i++)
        if (supervision->cgroup_paths[i])
            remove_group(supervision, i, deadline);
}
