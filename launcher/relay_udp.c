/* UDP: for each peer of a port a socket of our own, connected to the container, so that answers find back.
 *
 * Peers are in a table of a fixed size, found by hash, and in a list by their last use: the oldest goes when it has
 * been silent for `SILENT_MS` (as Docker's proxy has it), or when a new one needs its place. Answers leave from the
 * address that the peer had sent to (ip(7), IP_PKTINFO), else it would not take them for answers. A datagram that finds
 * no room is lost, as datagrams are. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "launcher.h"
#include "relay.h"

#ifndef RELAY_SILENT_MS /* a test has less patience */
#define RELAY_SILENT_MS 90000
#endif

enum { MAX_PEERS = 1024, BUCKETS = 1024, SILENT_MS = RELAY_SILENT_MS, DATAGRAMS = 32 };

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } peer;
    socklen_t size;
    union {
        struct in_pktinfo four;
        struct in6_pktinfo six;
    } local;
};

struct peer {
    struct watched watched;
    const struct held *held; /* NULL: the place is free */
    struct address address;
    int64_t last;
    struct peer *older, *newer, *next; /* by use; in its bucket */
};

static struct peer peers_[MAX_PEERS];
static struct peer *free_, *oldest_, *newest_, *buckets_[BUCKETS];
static uint32_t used_; /* places that were ever taken */

void udp_prepare(const struct held *held) {
    int on = 1, six = 0;
    socklen_t size = sizeof six;
    getsockopt(held->fd, SOL_SOCKET, SO_DOMAIN, &six, &size);
    if (six == AF_INET6)
        setsockopt(held->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    else
        setsockopt(held->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

static const void *bytes_of(const struct address *address, size_t *size, uint16_t *port) {
    bool six = address->peer.any.sa_family == AF_INET6;
    *port = six ? address->peer.six.sin6_port : address->peer.four.sin_port;
    *size = six ? sizeof address->peer.six.sin6_addr : sizeof address->peer.four.sin_addr;
    return six ? (const void *)&address->peer.six.sin6_addr : (const void *)&address->peer.four.sin_addr;
}

static unsigned bucket_of(const struct held *held, const struct address *address) {
    size_t size;
    uint16_t port;
    const unsigned char *bytes = bytes_of(address, &size, &port);
    uint32_t hash = 2166136261u ^ port ^ (uint32_t)held->fd << 16; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash % BUCKETS;
}

/* The same peer, which sends to the same address of ours. */
static bool same(const struct address *a, const struct address *b) {
    size_t size, other;
    uint16_t port, its;
    const void *bytes = bytes_of(a, &size, &port), *theirs = bytes_of(b, &other, &its);
    if (size != other || port != its || memcmp(bytes, theirs, size) != 0)
        return false;
    if (a->peer.any.sa_family == AF_INET6)
        return a->peer.six.sin6_scope_id == b->peer.six.sin6_scope_id &&
               memcmp(&a->local.six.ipi6_addr, &b->local.six.ipi6_addr, sizeof a->local.six.ipi6_addr) == 0;
    return a->local.four.ipi_spec_dst.s_addr == b->local.four.ipi_spec_dst.s_addr;
}

static void unlink_use(struct peer *peer) {
    *(peer->older ? &peer->older->newer : &oldest_) = peer->newer;
    *(peer->newer ? &peer->newer->older : &newest_) = peer->older;
}

static void link_use(struct peer *peer) {
    peer->last = now_ms();
    peer->older = newest_;
    peer->newer = NULL;
    *(newest_ ? &newest_->newer : &oldest_) = peer;
    newest_ = peer;
}

static void end_peer(struct peer *peer) {
    struct peer **at = &buckets_[bucket_of(peer->held, &peer->address)];
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    unlink_use(peer);
    relay_close(&peer->watched);
    relay_closed();
    peer->held = NULL;
    peer->next = free_;
    free_ = peer;
}

static bool pass_back(struct peer *peer, size_t length) {
    union {
        struct cmsghdr header;
        unsigned char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct iovec part = {relay_chunk, length};
    struct msghdr message = {.msg_name = &peer->address.peer, .msg_namelen = peer->address.size, .msg_iov = &part,
                             .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memset(&control, 0, sizeof control);
    bool six = peer->address.peer.any.sa_family == AF_INET6;
    size_t size = six ? sizeof(struct in6_pktinfo) : sizeof(struct in_pktinfo);
    control.header.cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
    control.header.cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
    control.header.cmsg_len = CMSG_LEN(size);
    message.msg_controllen = CMSG_SPACE(size);
    memcpy(CMSG_DATA(&control.header), &peer->address.local, size);
    return sendmsg(peer->held->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN || errno == ENOBUFS;
}

/* The container's answers. ECONNREFUSED: nobody listens there, and the next datagram begins anew. */
static void peer_ready(struct watched *watched, uint32_t events) {
    struct peer *peer = (struct peer *)watched;
    (void)events;
    for (int i = 0; i < DATAGRAMS; i++) {
        ssize_t n = recv(watched->fd, relay_chunk, sizeof relay_chunk, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0 || !pass_back(peer, (size_t)n)) {
            end_peer(peer);
            return;
        }
        unlink_use(peer);
        link_use(peer);
    }
}

static struct peer *take_place(void) {
    if (!free_ && used_ < MAX_PEERS)
        return &peers_[used_++];
    if (!free_)
        end_peer(oldest_);
    struct peer *peer = free_;
    free_ = peer->next;
    return peer;
}

static struct peer *find_peer(const struct held *held, const struct address *address) {
    struct peer **bucket = &buckets_[bucket_of(held, address)];
    for (struct peer *peer = *bucket; peer; peer = peer->next)
        if (peer->held == held && same(&peer->address, address)) {
            unlink_use(peer);
            link_use(peer);
            return peer;
        }
    int fd = relay_connect(held, SOCK_DGRAM);
    if (fd < 0)
        return NULL;
    struct peer *peer = take_place();
    *peer = (struct peer){.held = held, .address = *address, .next = buckets_[bucket_of(held, address)]};
    buckets_[bucket_of(held, address)] = peer;
    peer->watched = (struct watched){.event = peer_ready, .fd = fd};
    link_use(peer);
    relay_opened();
    if (relay_watch(&peer->watched, EPOLLIN))
        return peer;
    end_peer(peer);
    return NULL;
}

/* What answers come from: the address that was asked, or the kernel's choice for one that many have. By which link they
 * go is the routes' matter, but for an address that means nothing without it. */
static void take_local(struct address *from, const struct cmsghdr *c) {
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *local = &from->local.six;
        memcpy(local, CMSG_DATA(c), sizeof *local);
        if (IN6_IS_ADDR_MULTICAST(&local->ipi6_addr))
            memset(&local->ipi6_addr, 0, sizeof local->ipi6_addr);
        else if (!IN6_IS_ADDR_LINKLOCAL(&local->ipi6_addr))
            local->ipi6_ifindex = 0;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        memcpy(&from->local.four, CMSG_DATA(c), sizeof from->local.four);
        from->local.four.ipi_ifindex = 0;
    }
}

static ssize_t receive(const struct held *held, struct address *from) {
    union {
        struct cmsghdr header;
        unsigned char space[128];
    } control;
    struct iovec part = {relay_chunk, sizeof relay_chunk};
    struct msghdr message = {.msg_name = &from->peer, .msg_namelen = sizeof from->peer,
                             .msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    memset(from, 0, sizeof *from);
    ssize_t n = recvmsg(held->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    from->size = message.msg_namelen;
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        take_local(from, c);
    return n;
}

void udp_receive(const struct held *held) {
    struct address from;
    for (int i = 0; i < DATAGRAMS; i++) {
        ssize_t n = receive(held, &from);
        if (n < 0)
            return;
        struct peer *peer = find_peer(held, &from);
        if (peer && send(peer->watched.fd, relay_chunk, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
            errno == ECONNREFUSED)
            end_peer(peer);
    }
}

int64_t udp_expire(int64_t now) {
    while (oldest_ && now - oldest_->last >= SILENT_MS)
        end_peer(oldest_);
    return oldest_ ? oldest_->last + SILENT_MS : -1;
}

void udp_end(void) {
    while (oldest_)
        end_peer(oldest_);
}
