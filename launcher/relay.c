/* The relay's life and loop. See relay.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"
#include "relay.h"

/* IDLE_MS: how long nothing may be open until the process goes; ENDING_MS: how long after the container's end what is
 * there is still passed on. */
enum { IDLE_MS = 3000, ENDING_MS = 2000, REST_MS = 100, EVENTS = 64, MAX_FD = 1 << 20, NOBODY = 65534 };

unsigned char relay_chunk[RELAY_CHUNK];

static const struct held *held_;
static uint32_t count_;
static int epoll_ = -1, ports_ = -1;
static uint32_t open_;
static int64_t idle_since_, rest_until_, end_by_ = INT64_MAX;
static bool let_go_;
static struct watched ports_watched_, leash_;
static struct watched *gone_;

/* A user has so many watches and no more (epoll(7), max_user_watches): who is not heard of does not wait forever. */
bool relay_watch(struct watched *watched, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = watched};
    if (watched->interest == interest)
        return true;
    int operation = !interest ? EPOLL_CTL_DEL : watched->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(epoll_, operation, watched->fd, &event) < 0 && interest)
        return false;
    watched->interest = interest;
    return true;
}

void relay_close(struct watched *watched) {
    if (watched->gone)
        return;
    relay_watch(watched, 0);
    close(watched->fd);
    watched->gone = true;
}

void relay_free_later(struct watched *first_member) {
    first_member->next_gone = gone_;
    gone_ = first_member;
}

static void free_gone(void) {
    while (gone_) {
        struct watched *next = gone_->next_gone;
        free(gone_);
        gone_ = next;
    }
}

void relay_opened(void) { open_++; }

void relay_closed(void) {
    if (--open_ == 0)
        idle_since_ = now_ms();
}

static void hear(bool hear) {
    if (ports_ >= 0 && !relay_watch(&ports_watched_, hear ? EPOLLIN : 0))
        rest_until_ = now_ms() + REST_MS;
}

void relay_rest(void) {
    rest_until_ = now_ms() + REST_MS;
    hear(false);
}

int relay_connect(const struct held *held, int type) {
    const struct target *target = &held->target;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(target->port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(target->port)};
    memcpy(&six.sin6_addr, target->address, sizeof six.sin6_addr);
    memcpy(&four.sin_addr, target->address, sizeof four.sin_addr);
    const void *address = target->family == AF_INET ? (const void *)&four : (const void *)&six;
    socklen_t size = target->family == AF_INET ? sizeof four : sizeof six;
    int fd = socket(target->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, held->protocol);
    if (fd < 0)
        return -1;
    if (connect(fd, address, size) == 0 || errno == EINPROGRESS)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void ports_ready(struct watched *self, uint32_t events) {
    struct epoll_event ready[EVENTS];
    (void)events;
    int count = epoll_wait(ports_, ready, EVENTS, 0);
    for (int i = 0; i < count && self->interest; i++) {
        const struct held *held = &held_[ready[i].data.u32];
        if (held->protocol == IPPROTO_UDP)
            udp_receive(held);
        else
            tcp_accept(held);
    }
}

/* An answer of a UDP peer goes out by the port's socket, so those end here. */
static void let_ports_go(void) {
    if (let_go_)
        return;
    let_go_ = true;
    hear(false);
    close(ports_);
    ports_ = -1;
    udp_end();
    for (uint32_t i = 0; i < count_; i++)
        close(held_[i].fd);
}

static void leash_pulled(struct watched *self, uint32_t events) {
    char byte;
    ssize_t n = recv(self->fd, &byte, 1, MSG_DONTWAIT);
    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    let_ports_go();
    if (n == 1) {
        send(self->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    relay_watch(self, 0);
    end_by_ = now_ms() + ENDING_MS;
}

/* All but the ports, the leash and 0 to 2: the container's streams, the clients', the engine's. */
static void close_others(int leash) {
    static unsigned char kept[MAX_FD / CHAR_BIT];
    int highest = leash;
    for (uint32_t i = 0; i <= count_; i++) {
        int fd = i < count_ ? held_[i].fd : leash;
        highest = fd > highest ? fd : highest;
        if (fd < MAX_FD)
            kept[fd / CHAR_BIT] |= (unsigned char)(1u << fd % CHAR_BIT);
    }
    int first = 3;
    for (int fd = 3; fd <= highest && fd < MAX_FD; fd++) {
        if (!(kept[fd / CHAR_BIT] & 1u << fd % CHAR_BIT))
            continue;
        if (fd > first)
            syscall(SYS_close_range, first, fd - 1, 0);
        first = fd + 1;
    }
    syscall(SYS_close_range, first, ~0U, 0);
}

/* It reads what anybody sends: root's rights are of no use for that, and the kernel may take it when memory is short.
 * Root without capabilities still owns root's files, and may speak to the engine: so it is nobody, or not at all. */
static bool give_up_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) < 0) {
        /* then as unlikely as its supervisor */
    }
    if (fd >= 0)
        close(fd);
    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        return false;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0;
}

/* Its parent has one thread, so that this is the parent's death and no thread's. A change of the user forgets it
 * (prctl(2)), so it comes after; the parent may have died before. */
static bool end_with(int supervisor) {
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == supervisor;
}

/* How many descriptors are left, of as many as may be had. */
static uint32_t spare_descriptors(void) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    uint32_t all = limit.rlim_cur < MAX_FD ? (uint32_t)limit.rlim_cur : MAX_FD;
    uint32_t ours = count_ + 6; /* 0 to 2, leash, epolls */
    return all > ours ? all - ours : 0;
}

static bool begin(int leash) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    ports_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0 || ports_ < 0)
        return false;
    for (uint32_t i = 0; i < count_; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (held_[i].protocol == IPPROTO_UDP)
            udp_prepare(&held_[i]);
        if (epoll_ctl(ports_, EPOLL_CTL_ADD, held_[i].fd, &event) < 0)
            return false;
    }
    leash_ = (struct watched){.event = leash_pulled, .fd = leash};
    ports_watched_ = (struct watched){.event = ports_ready, .fd = ports_};
    if (!relay_watch(&leash_, EPOLLIN))
        return false;
    hear(true);
    return true;
}

/* Milliseconds until something is due; 0: now, and -2: nothing more is to be done, ever. */
static int64_t due(int64_t now) {
    int64_t next = INT64_MAX, expires = udp_expire(now);
    if (open_ == 0 && (let_go_ || now - idle_since_ >= IDLE_MS))
        return -2;
    if (now >= end_by_)
        return -2;
    if (rest_until_ && now >= rest_until_) {
        rest_until_ = 0;
        hear(true);
    }
    next = end_by_ < next ? end_by_ : next;
    next = rest_until_ && rest_until_ < next ? rest_until_ : next;
    next = expires >= 0 && expires < next ? expires : next;
    next = open_ == 0 && idle_since_ + IDLE_MS < next ? idle_since_ + IDLE_MS : next;
    return next == INT64_MAX ? -1 : next > now ? next - now : 0;
}

int relay_run(const struct held *held, uint32_t count, int leash, int supervisor) {
    struct epoll_event events[EVENTS];
    held_ = held;
    count_ = count;
    prctl(PR_SET_NAME, "wardian-relay", 0, 0, 0);
    close_others(leash);
    if (!give_up_rights() || !end_with(supervisor) || !begin(leash))
        return 1;
    tcp_prepare(spare_descriptors());
    if (!relay_filter())
        return 1;
    idle_since_ = now_ms();
    for (;;) {
        int64_t patience = due(now_ms());
        if (patience == -2)
            return 0;
        int n = epoll_wait(epoll_, events, EVENTS, (int)patience);
        for (int i = 0; i < n; i++) {
            struct watched *watched = events[i].data.ptr;
            if (!watched->gone && watched->interest)
                watched->event(watched, events[i].events);
        }
        free_gone();
    }
}
