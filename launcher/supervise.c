/* The supervisor's life:
 *
 *      RUNNING    one epoll loop over the container's output and input, attachers, clients and its end (a pidfd)
 *         │ the child ended: its status; in a shared PID namespace the rest of its group is killed
 *      DRAINING   what is in the pipes is taken, then for `GRACE_MS` what a process still writes that holds them;
 *         │       a slow attacher is waited for, but after `DRAIN_MS` no longer by the engine
 *      ENDED      exit record on disk, waiters told; attachers get the rest and are closed. What takes the kernel
 *         │       longest comes after that, once the engine has had the processor or asks for it. With STREAMS_FIRST
 *         │       waiters are not told yet: who was attached asks the engine at once, which reads the record
 *      RECORDED   groups removed, root let go, socket gone, waiters told of that
 *         │
 *        end
 *
 * It holds no descriptor of the engine's, has its own session and ignores the signals that a terminal or a group's end
 * may bring. PR_SET_PDEATHSIG is not used: it fires when the forking thread ends (prctl(2)). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

enum { GRACE_MS = 50, DRAIN_MS = 2000, DEAF_MS = 100, RELAY_MS = 3000, REST_MS = 3 };
enum { EVENTS = 32, TERMINAL_BUFFER = 65536 };

static struct supervisor supervisor_;

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t unix_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool watch(struct supervisor *s, int fd, enum tag kind, unsigned slot, uint32_t generation, uint32_t *have,
           uint32_t want) {
    struct epoll_event event = {.events = want, .data.u64 = (uint64_t)generation << 32 | (uint64_t)slot << 8 | kind};
    if (*have == want)
        return true;
    int operation = !want ? EPOLL_CTL_DEL : *have ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    bool done = epoll_ctl(s->epoll, operation, fd, &event) == 0;
    if (done || !want)
        *have = want;
    return done;
}

static void ignore_signals(void) {
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1,
                                  SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
}

/* The kernel's OOM killer must not take the one that records its kills. Fails where we lack CAP_SYS_RESOURCE. */
static void protect_from_oom(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "-999", 4) < 0) {
        /* then as likely as any other process */
    }
    close(fd);
}

/* Two descriptors a published port, more than a usual soft limit has; the hard one is the administrator's. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void take_streams(struct supervisor *s) {
    struct child *child = s->child;
    s->sources[SOURCE_OUT].fd = s->sources[SOURCE_ERR].fd = s->sink.fd = -1;
    if (child->tty_master >= 0) {
        fcntl(child->tty_master, F_SETFL, O_NONBLOCK);
        s->sources[SOURCE_OUT].fd = child->tty_master;
        s->sink.fd = fcntl(child->tty_master, F_DUPFD_CLOEXEC, 0); /* epoll knows one interest for a descriptor */
        return;
    }
    s->sink.fd = child->stdio->ours[0];
    s->sources[SOURCE_OUT].fd = child->stdio->ours[1];
    s->sources[SOURCE_ERR].fd = child->stdio->ours[2];
}

static int set_up(struct supervisor *s, int control) {
    for (unsigned i = 0; i < MAX_ATTACHERS; i++)
        s->attachers[i].fd = s->attachers[i].early = -1;
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        s->clients[i].fd = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = stdio_listener();
    if (s->epoll < 0 || !watch(s, s->child->pidfd, TAG_CHILD, 0, 0, &s->child_watched, EPOLLIN))
        return -1;
    take_streams(s);
    if (s->listener >= 0)
        control_hear(s, true);
    if (control >= 0)
        control_add(s, control, true);
    if (!sink_watch(s, false) || !control_take_early_attachers(s)) /* before anything is read from the container */
        return -1;
    for (int which = 0; which < SOURCES; which++)
        if (!source_watch(s, which))
            return -1;
    return 0;
}

/* waitid(2) as the kernel has it: its fifth argument, which libc hides, is the usage of this one child. */
static void take_status(struct supervisor *s) {
    siginfo_t info = {0};
    while (syscall(SYS_waitid, P_PIDFD, s->child->pidfd, &info, WEXITED, &s->usage) < 0 && errno == EINTR)
        ;
    s->signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    s->status = info.si_code == CLD_EXITED ? info.si_status : 0;
    s->finished_at = unix_ns();
    s->exited_at = now_ms();
}

static void child_ended(struct supervisor *s) {
    watch(s, s->child->pidfd, TAG_CHILD, 0, 0, &s->child_watched, 0);
    take_status(s);
    s->phase = DRAINING;
    publish_end(s); /* the ports are free before anybody hears of the end */
    if (s->supervision->flags & SUPERVISE_SHARED_PID)
        groups_kill(s->supervision);
    sink_close(s);
    for (int which = 0; which < SOURCES; which++) {
        struct source *source = &s->sources[which];
        int there = 0;
        if (source->fd >= 0 && ioctl(source->fd, FIONREAD, &there) < 0)
            there = 0;
        source->left = s->supervision->flags & SUPERVISE_TTY ? TERMINAL_BUFFER : there;
        source_drain(s, which);
    }
}

/* The ended container's root and groups, or a slow attacher's supervisor would keep the old overlay mounted when the
 * next run mounts another one on the same upper directory (overlayfs.rst: undefined). Before EXITED is told. */
static void close_container(struct supervision *supervision) {
    for (uint32_t i = 0; i < supervision->cgroup_count; i++)
        close(supervision->cgroups[i]);
    supervision->cgroup_count = 0;
    if (supervision->root >= 0)
        close(supervision->root);
    supervision->root = -1;
}

/* An overlay's end writes out what the file system of its upper directory has in memory (syncfs(2)), and a group of
 * cpuset waits for the whole machine: milliseconds, or with a busy disk many. */
static void let_go(struct supervisor *s) {
    groups_remove(s->supervision);
    close_container(s->supervision);
    if (s->listener >= 0) {
        control_hear(s, false);
        unlinkat(s->supervision->run_dir, "supervisor.sock", 0);
        close(s->listener);
        s->listener = -1;
        s->deaf = false;
    }
    s->phase = RECORDED;
    control_announce_exit(s);
}

/* A rest before the root goes: the engine is often woken on this very processor. */
static void record_exit(struct supervisor *s) {
    for (int which = 0; which < SOURCES; which++)
        log_end(which);
    bool kept = exit_record(s, s->timed_out && s->signal == SIGKILL ? "timeout" : NULL);
    bool tells = s->supervision->flags & SUPERVISE_TELLS_FIRST;
    bool streams = s->supervision->flags & SUPERVISE_STREAMS_FIRST && kept && attachers_count(s);
    if (!tells && !streams) {
        let_go(s);
        return;
    }
    s->phase = ENDED;
    s->rest_until = now_ms() + REST_MS;
    if (tells)
        control_announce_exit(s);
}

/* After the grace a stray process's pipe is closed once what was there at the end is read. True: all is sent. */
static bool drained(struct supervisor *s) {
    bool over = now_ms() - s->exited_at >= GRACE_MS, all = true;
    for (int which = 0; which < SOURCES; which++) {
        struct source *source = &s->sources[which];
        if (source->fd >= 0 && over && !source->length && !s->held) {
            while (source->fd >= 0 && !source->length && !source->idle && source->left > 0)
                source_read(s, which);
            if (!source->length && (source->idle || source->left <= 0))
                source_end(s, which);
        }
        all = all && source->fd < 0 && !source->length;
    }
    return all;
}

/* Its time is over. What ended by itself at that very moment has its own end on record: a zombie takes a signal too. */
static void time_out(struct supervisor *s) {
    s->due_at = 0;
    s->timed_out = syscall(SYS_pidfd_send_signal, s->child->pidfd, SIGKILL, NULL, 0) == 0;
    groups_thaw(s->supervision);
}

/* What is due after the container's end. False: the supervisor is done. */
static bool go_on(struct supervisor *s) {
    if (s->phase == RUNNING) {
        if (s->due_at && now_ms() >= s->due_at)
            time_out(s);
        return true;
    }
    bool all = drained(s);
    if (s->phase == DRAINING && (all || now_ms() - s->exited_at >= DRAIN_MS))
        record_exit(s);
    else if (s->phase == ENDED && now_ms() >= s->rest_until)
        let_go(s);
    if (!all)
        return true;
    for (int which = 0; which < SOURCES; which++)
        log_end(which); /* nothing, unless the record did not wait */
    attachers_end(s);
    return s->phase == ENDED || attachers_count(s) > 0 || (publish_relays() && now_ms() - s->exited_at < RELAY_MS);
}

static int64_t due_at(uint64_t seconds) {
    enum { LONGEST_S = 1 << 30 }; /* 34 years: more than that is never, and no overflow */
    return seconds && seconds <= LONGEST_S ? now_ms() + (int64_t)seconds * 1000 : 0;
}

static int sooner(int patience, int64_t left) {
    int most = left < 0 ? 0 : left > 1 << 30 ? 1 << 30 : (int)left;
    return patience < 0 || most < patience ? most : patience;
}

static int patience(struct supervisor *s) {
    int rest = s->phase == RUNNING ? publish_patience(s) : -1;
    if (s->deaf || s->unheard)
        return DEAF_MS;
    if (s->phase == RUNNING)
        return s->due_at ? sooner(rest, s->due_at - now_ms()) : rest;
    if (s->phase == ENDED)
        return sooner(-1, s->rest_until - now_ms());
    int64_t since = now_ms() - s->exited_at;
    bool open = s->sources[SOURCE_OUT].fd >= 0 || s->sources[SOURCE_ERR].fd >= 0;
    if (open && since < GRACE_MS)
        return (int)(GRACE_MS - since);
    if (s->phase == DRAINING)
        return (int)(since < DRAIN_MS ? DRAIN_MS - since : 0);
    return publish_relays() && since < RELAY_MS ? (int)(RELAY_MS - since) : -1;
}

static void dispatch(struct supervisor *s, const struct epoll_event *event) {
    unsigned slot = event->data.u64 >> 8 & 0xFFFFFF;
    uint32_t generation = (uint32_t)(event->data.u64 >> 32);
    switch ((enum tag)(event->data.u64 & 0xFF)) {
    case TAG_SOURCE:
        source_read(s, (int)slot);
        break;
    case TAG_SINK:
        sink_write(s);
        if (s->sink.fd >= 0 && !s->sink.length)
            attachers_resume_input(s);
        break;
    case TAG_ATTACHER:
        if (s->attachers[slot].fd >= 0 && s->attachers[slot].generation == generation)
            attacher_event(s, slot, event->events);
        break;
    case TAG_CLIENT:
        if (s->clients[slot].fd >= 0 && s->clients[slot].generation == generation)
            control_event(s, slot, event->events);
        break;
    case TAG_LISTENER:
        control_accept(s);
        break;
    case TAG_CHILD:
        if (s->phase == RUNNING)
            child_ended(s);
        break;
    case TAG_PUBLISHED:
        publish_arrived(s);
        break;
    case TAG_RELAY:
        publish_relay_ended(s, slot);
        break;
    }
}

/* Without a loop that hears of its end nobody could wait for the container: it goes, and the record says why. What it
 * was connected to is closed first: if there is no loop because descriptors ran out, what follows needs some. */
static int give_up(struct supervisor *s) {
    syscall(SYS_pidfd_send_signal, s->child->pidfd, SIGKILL, NULL, 0);
    take_status(s);
    stdio_close(s->supervision, s->child->stdio);
    if (s->supervision->flags & SUPERVISE_SHARED_PID)
        groups_kill(s->supervision);
    exit_record(s, "the supervisor could not start");
    groups_remove(s->supervision);
    return 1;
}

int supervise(struct supervision *supervision, struct child *child, int control) {
    struct supervisor *s = &supervisor_;
    struct epoll_event events[EVENTS];
    s->supervision = supervision;
    s->child = child;
    s->started_at = child->started_at ? child->started_at : unix_ns();
    s->due_at = due_at(supervision->timeout_s);
    ignore_signals();
    raise_descriptor_limit();
    if (chdir("/") < 0) {
        /* then some directory of the engine's stays busy, and no more */
    }
    if (child->stdio)
        stdio_close_child(child->stdio);
    if (set_up(s, control) < 0)
        return give_up(s);
    protect_from_oom();
    while (go_on(s)) {
        int count = epoll_wait(s->epoll, events, EVENTS, patience(s));
        if (s->deaf)
            control_hear(s, true);
        if (s->unheard)
            control_ask_unheard(s);
        for (int i = 0; i < count; i++)
            dispatch(s, &events[i]);
    }
    return 0;
}
