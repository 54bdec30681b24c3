/* Whom the OOM killer chose, from the kernel's own log (Documentation/ABI/testing/dev-kmsg): its line reads
 *
 *      oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/wardian/containers/ID,task_memcg=…,task=NAME,pid=N,uid=U
 *
 * Asked only when the group counted a kill. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor.h"

/* The path below the hierarchy's root: /sys/fs/cgroup/memory/wardian/x has /wardian/x in the kernel's words, and a
 * group below it /wardian/x/y. */
static bool is_group_or_below(const char *path, const char *group, size_t length) {
    for (const char *tail = strchr(path, '/'); tail; tail = strchr(tail + 1, '/')) {
        size_t size = strlen(tail);
        bool whole = size == length || (size < length && group[size] == '/');
        if (size > 1 && whole && strncmp(tail, group, size) == 0)
            return true;
    }
    return false;
}

static void take_victim(const char *line, const char *path, char *victim, size_t size) {
    const char *group = strstr(line, "oom_memcg="), *task = strstr(line, ",task="), *pid = strstr(line, ",pid=");
    if (!group || !task || !pid || pid < task)
        return;
    group += strlen("oom_memcg=");
    task += strlen(",task=");
    pid += strlen(",pid=");
    if (is_group_or_below(path, group, strcspn(group, ",")))
        snprintf(victim, size, "%.*s (pid %.*s)", (int)(pid - strlen(",pid=") - task), task,
                 (int)strcspn(pid, ",\n"), pid);
}

void oom_victim(const char *path, char *victim, size_t size) {
    static char line[8192];
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    victim[0] = 0;
    for (ssize_t n; fd >= 0;) {
        n = read(fd, line, sizeof line - 1);
        if (n < 0 && (errno == EPIPE || errno == EINTR))
            continue; /* EPIPE: records were overwritten while we read; the next read goes on */
        if (n <= 0)
            break;
        line[n] = 0;
        if (strstr(line, "oom-kill:"))
            take_victim(line, path, victim, size);
    }
    if (fd >= 0)
        close(fd);
}
