/* The launcher's life: a plan comes in on descriptor 3, is checked and carried out, and then the process is the
 * supervisor. When any step fails everything made is undone before the engine hears of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor.h"

enum { CONTROL = 3, DEATH_MS = 3000 };

static int prepare(struct run *run, const int *slots) {
    run->progress_size = sizeof *run->progress + run->plan.count * sizeof run->progress->records[0];
    run->progress = mmap(NULL, run->progress_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run->handles = malloc((run->plan.handles + 1) * sizeof *run->handles);
    run->made = malloc((run->plan.count + 1) * sizeof *run->made);
    if (run->progress == MAP_FAILED || !run->handles || !run->made)
        return run->plan.reason = "no memory", ENOMEM;
    memset(run->handles, -1, (run->plan.handles + 1) * sizeof *run->handles);
    memcpy(run->handles, slots, run->plan.slots * sizeof *slots);
    run->stdio = (struct stdio){{-1, -1, -1}, {-1, -1, -1}};
    run->child = (struct child){.pidfd = -1, .tty_master = -1, .stdio = &run->stdio};
    run->empty = -1;
    return 0;
}

static int carry_out(struct run *run) {
    int error = run_steps(run, PHASE_HOST);
    if (error)
        return error;
    error = run_steps(run, PHASE_PARENT);
    return error ? error : await_exec(run);
}

/* Not for ever: what a dead server or a frozen group holds does not die of SIGKILL. Then the engine hears that. */
static void kill_child(struct run *run) {
    struct pollfd end = {.fd = run->child.pidfd, .events = POLLIN};
    char text[PROTOCOL_MAX_TEXT];
    int64_t deadline = now_ms() + DEATH_MS, left = DEATH_MS;
    kill(run->child.pid, SIGKILL);
    while (left > 0 && poll(&end, 1, (int)left) < 0 && errno == EINTR)
        left = deadline - now_ms();
    if (waitpid(run->child.pid, NULL, WNOHANG) == 0) {
        const char *said = run->progress->text;
        const char *between = *said ? "; " : "";
        snprintf(text, sizeof text, "%.400s%sits process %d does not die", said, between, (int)run->child.pid);
        explain(run, text);
    }
}

static void undo(struct run *run) {
    if (run->child.pid > 0) {
        kill_child(run);
        if (run->supervision.flags & SUPERVISE_SHARED_PID)
            groups_kill(&run->supervision); /* what it has begun: no pid namespace ends with it */
    }
    if (run->supervision.identity)
        stdio_close(&run->supervision, &run->stdio);
    while (run->made_count) {
        const char *path = run->made[--run->made_count];
        /* A group is busy for a moment after its last process has been reaped. */
        for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 200; tries++)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static int kept(const struct run *run, int fd) {
    const struct supervision *s = &run->supervision;
    if (fd == s->run_dir || fd == s->log_dir || fd == s->root)
        return 1;
    for (uint32_t i = 0; i < s->cgroup_count; i++)
        if (fd == s->cgroups[i])
            return 1;
    return 0;
}

/* The supervisor keeps what it uses: namespaces, layers and the plan's other descriptors end with the launch. */
static void let_go(struct run *run) {
    for (uint32_t i = 0; i < run->plan.handles; i++)
        if (run->handles[i] >= 0 && !kept(run, run->handles[i]))
            close(run->handles[i]);
    munmap(run->progress, run->progress_size);
}

static int launch(struct run *run) {
    static int fds[PROTOCOL_MAX_HANDLES + 1];
    unsigned char *data = NULL;
    uint32_t length = 0;
    int error = take_plan(run, &data, &length, fds);
    if (!error)
        error = prepare(run, fds + 1);
    if (error) {
        report_refusal(run->control, &run->plan, error);
        return 2;
    }
    if (carry_out(run)) {
        undo(run);
        report_progress(run);
        report_failure(run);
        return 1;
    }
    run->child.start_time = start_time_of(run->child.pid);
    run->child.started_at = unix_ns();
    report_progress(run);
    if (report_running(run)) { /* the engine gave up waiting: nobody knows of the container, so it goes */
        undo(run);
        return 1;
    }
    let_go(run);
    return supervise(&run->supervision, &run->child, run->control);
}

int main(int argc, char **argv) {
    static struct run run;
    const char *name = argc ? strrchr(argv[0], '/') : NULL;
    name = name ? name + 1 : argc ? argv[0] : "";
    if (strcmp(name, "hello") == 0 || (argc > 1 && strcmp(argv[1], "hello") == 0))
        return hello();
    struct stat what;
    if (fstat(CONTROL, &what) < 0 || !S_ISSOCK(what.st_mode)) {
        fputs("wardian-launcher: started by Wardian with a control socket on descriptor 3; "
              "alone it knows only `hello`\n", stderr);
        return 2;
    }
    /* Not ptraceable and /proc/PID/exe not readable for a container into which it goes (CVE-2016-9962,
     * CVE-2019-5736). */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NAME, "wardian-launcher", 0, 0, 0); /* for ps: the path that we were started by is a descriptor's */
    fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
    /* Whatever the engine's own starter left open is not the container's to hold. */
    syscall(SYS_close_range, CONTROL + 1, ~0U, 0);
    umask(0);
    if (argc > 1 && strncmp(argv[1], "user", 4) == 0)
        return spaces(CONTROL, strcmp(argv[1], "user+network") == 0);
    stdio_prepare();
    run.control = CONTROL;
    run.name = argc ? argv[0] : NULL;
    return launch(&run);
}
