/* The exit record: RUN_DIR/exit, one JSON object, complete when it is there (written as exit.tmp, renamed). It needs no
 * fsync: it must survive the engine, not the machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor.h"

/* exit.tmp may be there: empty, made ahead, or of one that was killed here. Not O_TRUNC: ext4 then writes to the disk
 * at close(2) what is in it by then (auto_da_alloc). */
static bool write_record(const struct supervisor *s) {
    int dir = s->supervision->run_dir;
    if (dir < 0)
        return false;
    int fd = openat(dir, "exit.tmp", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, s->record, s->record_length);
    struct stat there;
    if (n >= 0 && (fstat(fd, &there) < 0 || (there.st_size > n && ftruncate(fd, n) < 0)))
        n = -1;
    close(fd);
    return n == (ssize_t)s->record_length && renameat(dir, "exit.tmp", dir, "exit") == 0;
}

static const char *memory_group(const struct supervision *supervision) {
    for (uint32_t i = 0; i < supervision->cgroup_count; i++) {
        const char *path = supervision->cgroup_paths[i];
        if (path && (faccessat(supervision->cgroups[i], "memory.oom_control", F_OK, 0) == 0 ||
                     faccessat(supervision->cgroups[i], "memory.events", F_OK, 0) == 0))
            return path;
    }
    return NULL;
}

static uint64_t rusage_ns(const struct rusage *usage) {
    return ((uint64_t)usage->ru_utime.tv_sec + (uint64_t)usage->ru_stime.tv_sec) * 1000000000 +
           ((uint64_t)usage->ru_utime.tv_usec + (uint64_t)usage->ru_stime.tv_usec) * 1000;
}

bool exit_record(struct supervisor *s, const char *failure) {
    struct group_usage usage = {0};
    char victim[128] = "", escaped[6 * sizeof victim];
    groups_read(s->supervision, &usage);
    if (!usage.cpu_ns)
        usage.cpu_ns = rusage_ns(&s->usage);
    const char *memory = usage.oom_kills ? memory_group(s->supervision) : NULL;
    if (memory)
        oom_victim(memory, victim, sizeof victim);
    escaped[json_escape(escaped, (unsigned char *)victim, strlen(victim))] = 0;
    /* Not "out of memory": an OOM kill may have been hours ago, and who else sent a signal the engine knows. */
    const char *reason = failure ? failure : s->signal ? "signal" : "exited";
    int n = snprintf(s->record, sizeof s->record,
                     "{\"version\":1,\"pid\":%d,\"exit_code\":%d,\"signal\":%d,\"oom_killed\":%s,\"oom_count\":%llu,"
                     "\"oom_victim\":\"%s\",\"peak_memory\":%llu,\"cpu_ns\":%llu,"
                     "\"started_at\":%llu,\"finished_at\":%llu,\"log_lost\":%llu,\"reason\":\"%s\"}\n",
                     (int)s->child->pid, s->signal ? 128 + s->signal : s->status, s->signal,
                     usage.oom_kills ? "true" : "false", (unsigned long long)usage.oom_kills, escaped,
                     (unsigned long long)usage.peak_memory, (unsigned long long)usage.cpu_ns,
                     (unsigned long long)s->started_at, (unsigned long long)s->finished_at,
                     (unsigned long long)log_lost(), reason);
    s->record_length = n > 0 && (size_t)n < sizeof s->record ? (size_t)n : 0;
    return write_record(s);
}
