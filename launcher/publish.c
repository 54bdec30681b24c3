/* Published ports: the host's sockets, bound by the engine, held here as long as the container runs. Each is a
 * reservation that has an owner; for what reaches one nevertheless the relay is forked (relay.h says when that is).
 *
 * They are all in an epoll of their own, which the supervisor's looks at as one: left alone while a relay runs. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol.gen.h"
#include "relay.h"
#include "supervisor.h"

/* MAX_HELD: every port of two families; memory is touched only for those that are there. */
enum { MAX_HELD = 1 << 17, MAX_RELAYS = 8, LET_GO_MS = 200, REST_MS = 100 };

static struct held held_[MAX_HELD];
static uint32_t count_;
static int ready_ = -1; /* the epoll of all */
static uint32_t ready_watched_;
static int64_t rest_until_;

/* Those that let go of the ports already still have connections; `current_` has the ports. */
static struct relay {
    pid_t pid; /* 0: the slot is free */
    int pidfd, leash;
    uint32_t watched, number; /* in the order of their beginning */
} relays_[MAX_RELAYS];
static int current_ = -1;
static uint32_t begun_;

static void look(struct supervisor *s) {
    bool wanted = count_ && current_ < 0 && !rest_until_;
    if (ready_ >= 0 && !watch(s, ready_, TAG_PUBLISHED, 0, 0, &ready_watched_, wanted ? EPOLLIN : 0) && wanted)
        rest_until_ = now_ms() + REST_MS; /* tried again then */
}

static void forget_relay(struct supervisor *s, unsigned slot) {
    struct relay *relay = &relays_[slot];
    watch(s, relay->pidfd, TAG_RELAY, slot, 0, &relay->watched, 0);
    close(relay->pidfd);
    close(relay->leash);
    *relay = (struct relay){0};
    if (current_ == (int)slot)
        current_ = -1;
}

static void kill_relay(struct supervisor *s, unsigned slot) {
    kill(relays_[slot].pid, SIGKILL);
    while (waitpid(relays_[slot].pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget_relay(s, slot);
}

/* Only one of those that let go of the ports can be in the way, as there is no current one; then the oldest goes. */
static unsigned free_slot(struct supervisor *s) {
    unsigned oldest = 0;
    for (unsigned slot = 0; slot < MAX_RELAYS; slot++) {
        if (!relays_[slot].pid)
            return slot;
        if (relays_[slot].number < relays_[oldest].number)
            oldest = slot;
    }
    kill_relay(s, oldest);
    return oldest;
}

/* After this no other process has the ports' sockets: a relay that does not say so at once is ended. */
static void let_go(struct supervisor *s) {
    if (current_ < 0)
        return;
    struct relay *relay = &relays_[current_];
    struct pollfd answer = {.fd = relay->leash, .events = POLLIN};
    char byte = 0;
    if (send(relay->leash, &byte, 1, MSG_NOSIGNAL) != 1 || poll(&answer, 1, LET_GO_MS) != 1 ||
        recv(relay->leash, &byte, 1, MSG_DONTWAIT) != 1)
        kill_relay(s, (unsigned)current_);
    current_ = -1;
}

static bool start_relay(struct supervisor *s, unsigned slot) {
    int ends[2];
    pid_t self = getpid();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(relay_run(held_, count_, ends[1], self));
    close(ends[1]);
    int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0) {
        close(ends[0]);
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        return false;
    }
    relays_[slot] = (struct relay){.pid = pid, .pidfd = pidfd, .leash = ends[0], .number = ++begun_};
    if (!watch(s, pidfd, TAG_RELAY, slot, 0, &relays_[slot].watched, EPOLLIN)) {
        kill_relay(s, slot); /* whose end nobody would hear of */
        return false;
    }
    current_ = (int)slot;
    return true;
}

void publish_arrived(struct supervisor *s) {
    if (count_ && current_ < 0 && !start_relay(s, free_slot(s)))
        rest_until_ = now_ms() + REST_MS;
    look(s);
}

void publish_relay_ended(struct supervisor *s, unsigned slot) {
    int status = 0;
    if (!relays_[slot].pid || waitpid(relays_[slot].pid, &status, WNOHANG) != relays_[slot].pid)
        return;
    if (status)
        rest_until_ = now_ms() + REST_MS; /* it could not begin, or was killed: not again and again at once */
    forget_relay(s, slot);
    look(s);
}

int publish_patience(struct supervisor *s) {
    if (rest_until_ && now_ms() >= rest_until_) {
        rest_until_ = 0;
        look(s);
    }
    int64_t left = rest_until_ - now_ms();
    return !rest_until_ ? -1 : left > 0 ? (int)left : 0;
}

bool publish_relays(void) {
    for (unsigned slot = 0; slot < MAX_RELAYS; slot++)
        if (relays_[slot].pid)
            return true;
    return false;
}

static bool decode(struct target *target, const unsigned char *bytes) {
    memcpy(&target->key, bytes, 4);
    memcpy(&target->family, bytes + 4, 2);
    memcpy(&target->port, bytes + 6, 2);
    memcpy(target->address, bytes + 8, 16);
    return (target->family == AF_INET || target->family == AF_INET6) && target->port;
}

static int option(int fd, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

/* What does not listen would be ready all the time. */
static int hold(int fd, const struct target *target) {
    struct epoll_event event = {.events = EPOLLIN};
    int family = option(fd, SO_DOMAIN), protocol = option(fd, SO_PROTOCOL);
    if (count_ == MAX_HELD)
        return ENFILE;
    if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_UDP && option(fd, SO_ACCEPTCONN) != 1))
        return EINVAL;
    if (epoll_ctl(ready_, EPOLL_CTL_ADD, fd, &event) < 0)
        return errno;
    held_[count_++] = (struct held){.fd = fd, .protocol = protocol, .target = *target};
    return 0;
}

/* Not with close(2) alone: a relay that has the same socket would keep it in the epoll (epoll(7)). */
static void drop(struct held *held) {
    epoll_ctl(ready_, EPOLL_CTL_DEL, held->fd, NULL);
    close(held->fd);
}

/* What an engine says when it starts: nobody's connection is to suffer from that. */
static bool leads_there(const struct target *target) {
    for (uint32_t i = 0; i < count_; i++) {
        const struct target *now = &held_[i].target;
        if (now->key == target->key && (now->family != target->family || now->port != target->port ||
                                        memcmp(now->address, target->address, sizeof now->address) != 0))
            return false;
    }
    return true;
}

static void lead_elsewhere(const struct target *target) {
    for (uint32_t i = 0; i < count_; i++)
        if (held_[i].target.key == target->key)
            held_[i].target = *target;
}

int publish_take(struct supervisor *s, const unsigned char *targets, uint32_t count, const int *sockets) {
    struct target target;
    uint32_t before = count_;
    int error = 0;
    bool news = sockets != NULL;
    if (ready_ < 0 && (ready_ = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return errno;
    for (uint32_t i = 0; i < count; i++) {
        if (!decode(&target, targets + (size_t)i * SIZE_TARGET))
            return EINVAL;
        news = news || !leads_there(&target);
    }
    if (!news)
        return 0;
    let_go(s); /* the relay knows the ports as they were when it began */
    for (uint32_t i = 0; i < count && !error; i++) {
        decode(&target, targets + (size_t)i * SIZE_TARGET);
        if (sockets)
            error = hold(sockets[i], &target);
        else
            lead_elsewhere(&target);
    }
    while (error && count_ > before) /* who sent them closes them */
        epoll_ctl(ready_, EPOLL_CTL_DEL, held_[--count_].fd, NULL);
    look(s);
    return error;
}

int publish_remove(struct supervisor *s, uint32_t key) {
    uint32_t kept = 0, before = count_;
    let_go(s);
    for (uint32_t i = 0; i < count_; i++) {
        if (key == PROTOCOL_NONE || held_[i].target.key == key)
            drop(&held_[i]);
        else
            held_[kept++] = held_[i];
    }
    count_ = kept;
    look(s);
    return kept < before || key == PROTOCOL_NONE ? 0 : ENOENT;
}

/* The container has ended: its ports are free when this returns; what its last words are on the way of is finished. */
void publish_end(struct supervisor *s) {
    publish_remove(s, PROTOCOL_NONE);
    for (unsigned slot = 0; slot < MAX_RELAYS; slot++)
        if (relays_[slot].pid)
            shutdown(relays_[slot].leash, SHUT_RDWR);
    rest_until_ = 0;
}
