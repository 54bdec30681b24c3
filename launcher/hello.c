/* `wardian-launcher hello`, the one file of the image wardian/hello: what a container sees of itself. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "executor.h"

static const char *const namespaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

static const struct {
    const char *name;
    int number;
} limits[] = {
    {"processes", RLIMIT_NPROC},
    {"open files", RLIMIT_NOFILE},
    {"core size", RLIMIT_CORE},
    {"locked memory", RLIMIT_MEMLOCK},
    {"stack", RLIMIT_STACK},
};

static void print_limit(const char *name, rlim_t soft, rlim_t hard) {
    printf("  %-16s", name);
    for (int i = 0; i < 2; i++) {
        rlim_t value = i ? hard : soft;
        if (value == RLIM_INFINITY)
            printf(" %12s", "unlimited");
        else
            printf(" %12llu", (unsigned long long)value);
    }
    putchar('\n');
}

/* The lines of a file that begin with one of `starts` (NULL-terminated), indented; every line without `starts`. */
static void print_lines(const char *path, const char *const *starts) {
    char line[1024];
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        int wanted = !starts;
        for (const char *const *start = starts; start && *start; start++)
            wanted |= strncmp(line, *start, strlen(*start)) == 0;
        if (wanted)
            printf("  %s", line);
    }
    fclose(file);
}

/* Fields 5, 4 past the dash, and 6 of /proc/self/mountinfo: where, type, options. */
static void print_mounts(void) {
    char line[4096], where[1024], options[512], type[64];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        const char *dash = strstr(line, " - ");
        if (dash && sscanf(line, "%*s %*s %*s %*s %1023s %511s", where, options) == 2 &&
            sscanf(dash, " - %63s", type) == 1)
            printf("  %-28s %-8s %s\n", where, type, options);
    }
    fclose(file);
}

int hello(void) {
    static const char *const wanted[] = {"CapBnd",     "CapEff",   "CapPrm", "CapInh", "CapAmb",
                                         "NoNewPrivs", "Seccomp:", "Uid",    "Gid",    NULL};
    struct utsname system;
    struct rlimit limit;
    char path[64], target[64];
    uname(&system);
    printf("Hello from a Wardian container.\n\npid %d   host name %s   kernel %s %s\n\nnamespaces\n", (int)getpid(),
           system.nodename, system.release, system.machine);
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0)
            printf("  %.*s\n", (int)length, target);
    }
    puts("\nlimits                    soft         hard");
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (getrlimit(limits[i].number, &limit) == 0)
            print_limit(limits[i].name, limit.rlim_cur, limit.rlim_max);
    puts("\ncontrol groups");
    print_lines("/proc/self/cgroup", NULL);
    puts("\ncredentials");
    print_lines("/proc/self/status", wanted);
    puts("\nmounts");
    print_mounts();
    return fflush(stdout) == 0 ? 0 : 1;
}
