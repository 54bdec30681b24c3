/* TCP (and SCTP, whose one-to-one sockets are used alike): pairs of sockets.
 *
 * Each end has what it did not take yet (`rest`) and whether its sender has finished. A direction is: read from one
 * end, send to the other; at the end of file, once all is sent, shutdown(2). When both are done the pair is closed. An
 * error on either side resets both: a client must not take half an answer for a whole one.
 *
 * A source (an address; of IPv6 the network of a link, as who has one address there has them all) may have as many
 * connections as there are places left: one alone has half of them, two a third each, and one more finds room. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "relay.h"

#ifndef RELAY_MAX_KEPT /* a test has less to send */
#define RELAY_MAX_KEPT (32 << 20)
#endif

/* MAX_KEPT: what all may have that was not taken yet; past it each has a little, and none waits for another. */
enum { CLIENT, CONTAINER, MAX_CONNECTIONS = 8192, ACCEPTS = 16, SOURCES = 1 << 14 };
enum { MAX_KEPT = RELAY_MAX_KEPT, LITTLE = 4096 };
enum { KEEPALIVE_S = 15, KEEPALIVE_PROBES = 9 };

struct end {
    struct watched watched;
    struct connection *connection;
    unsigned char *rest; /* NULL: it has taken everything */
    uint32_t sent, length;
    bool finished; /* it has sent its end of file */
    bool broken; /* its error is known, and waits for what it had sent before to be taken */
};

struct connection {
    struct end ends[2]; /* the first member, for relay_free_later */
    uint16_t *of_source; /* how many its source has */
    bool connecting;
};

static uint32_t connections_, places_;
static size_t kept_;
static uint16_t of_sources_[SOURCES]; /* by hash, of a seed that nobody knows; who falls together shares */
static uint32_t seed_;

static struct end *other_of(struct end *end) {
    struct connection *connection = end->connection;
    return end == &connection->ends[CLIENT] ? &connection->ends[CONTAINER] : &connection->ends[CLIENT];
}

static void forget_rest(struct end *end) {
    if (end->rest)
        kept_ -= end->length;
    free(end->rest);
    end->rest = NULL;
}

static void finish(struct connection *connection) {
    for (int i = 0; i < 2; i++) {
        relay_close(&connection->ends[i].watched);
        forget_rest(&connection->ends[i]);
    }
    --*connection->of_source;
    connections_--;
    relay_closed();
    relay_free_later(&connection->ends[CLIENT].watched);
}

static void reset(struct connection *connection) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++)
        setsockopt(connection->ends[i].watched.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    finish(connection);
}

static bool look(struct connection *connection) {
    for (int i = 0; i < 2; i++) {
        struct end *end = &connection->ends[i], *other = &connection->ends[!i];
        uint32_t interest = EPOLLERR; /* always told of what is watched */
        if (connection->connecting)
            interest |= i == CONTAINER ? EPOLLOUT : 0u;
        else
            interest |= (!end->finished && !other->rest ? EPOLLIN : 0u) | (end->rest ? EPOLLOUT : 0u);
        if (interest == EPOLLERR && (end->broken || other->finished))
            interest = 0; /* it would tell of its error, or hang up, all the time */
        if (!relay_watch(&end->watched, interest))
            return false;
    }
    return true;
}

/* 1: all of it went, 0: some is kept, -1: nobody takes it. */
static int pass_on(struct end *to, const unsigned char *bytes, size_t length) {
    ssize_t n = send(to->watched.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return -1;
    size_t went = n > 0 ? (size_t)n : 0;
    if (went == length)
        return 1;
    to->rest = malloc(length - went);
    if (!to->rest)
        return -1;
    memcpy(to->rest, bytes + went, length - went);
    to->length = (uint32_t)(length - went);
    kept_ += to->length;
    to->sent = 0;
    return 0;
}

/* False: the connection is over. */
static bool take(struct end *from) {
    struct end *to = other_of(from);
    ssize_t n = recv(from->watched.fd, relay_chunk, kept_ < MAX_KEPT ? sizeof relay_chunk : LITTLE, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0) {
        from->finished = true;
        shutdown(to->watched.fd, SHUT_WR);
        return true;
    }
    return pass_on(to, relay_chunk, (size_t)n) >= 0;
}

static bool flush(struct end *to) {
    ssize_t n = send(to->watched.fd, to->rest + to->sent, to->length - to->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    to->sent += (uint32_t)n;
    if (to->sent == to->length)
        forget_rest(to);
    return true;
}

static bool connected(struct end *container) {
    int error = 0;
    socklen_t size = sizeof error;
    container->connection->connecting = false;
    return getsockopt(container->watched.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error;
}

/* What an event at one end moves. False: the connection is over. */
static bool go_on(struct end *end, uint32_t events) {
    const struct connection *connection = end->connection;
    if (connection->connecting)
        return end == &connection->ends[CONTAINER] && connected(end);
    if (end->rest && events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && !flush(end))
        return false;
    if (!end->finished && !other_of(end)->rest)
        return !(events & (EPOLLIN | EPOLLERR | EPOLLHUP)) || take(end);
    if (events & EPOLLERR && end->finished)
        return false;
    end->broken = end->broken || events & EPOLLERR;
    return true;
}

static void end_ready(struct watched *watched, uint32_t events) {
    struct end *end = (struct end *)watched;
    struct connection *connection = end->connection;
    if (!go_on(end, events))
        reset(connection);
    else if (connection->ends[CLIENT].finished && connection->ends[CONTAINER].finished)
        finish(connection); /* the end of file is read only when all before it was sent */
    else if (!look(connection))
        reset(connection);
}

/* Bytes go on as they come, and a peer that has vanished is found out: as a program of Go's would have it. */
static void tune(int fd, int protocol) {
    const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    for (size_t i = 0; protocol == IPPROTO_TCP && i < sizeof options / sizeof options[0]; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

void tcp_prepare(uint32_t descriptors) {
    places_ = descriptors / 2 < MAX_CONNECTIONS ? descriptors / 2 : MAX_CONNECTIONS;
    if (getrandom(&seed_, sizeof seed_, GRND_NONBLOCK) < 0)
        seed_ = (uint32_t)getpid();
}

static uint16_t *count_of(const struct sockaddr_in6 *source) {
    const struct in6_addr *six = &source->sin6_addr;
    const void *bytes = IN6_IS_ADDR_V4MAPPED(six) ? &six->s6_addr[12] : six->s6_addr;
    size_t size = IN6_IS_ADDR_V4MAPPED(six) ? 4 : 8;
    if (source->sin6_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)source)->sin_addr;
        size = 4;
    }
    uint32_t hash = 2166136261u ^ seed_; /* FNV-1a, and its upper bits into the lower */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 16777619u;
    return &of_sources_[(hash ^ hash >> 15) % SOURCES];
}

static bool open_connection(const struct held *held, int client, uint16_t *of_source) {
    struct connection *connection = calloc(1, sizeof *connection);
    int container = connection ? relay_connect(held, SOCK_STREAM) : -1;
    if (container < 0) {
        free(connection);
        return false;
    }
    int fds[2] = {client, container};
    for (int i = 0; i < 2; i++) {
        tune(fds[i], held->protocol);
        connection->ends[i].connection = connection;
        connection->ends[i].watched = (struct watched){.event = end_ready, .fd = fds[i]};
    }
    connection->connecting = true;
    connection->of_source = of_source;
    ++*of_source;
    connections_++;
    relay_opened();
    if (!look(connection)) {
        reset(connection);
        relay_rest();
    }
    return true;
}

static void refuse(int client) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client);
}

void tcp_accept(const struct held *held) {
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_in6 source = {0};
        socklen_t size = sizeof source;
        if (connections_ >= places_) {
            relay_rest();
            return;
        }
        int client = accept4(held->fd, (struct sockaddr *)&source, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                relay_rest();
            return; /* the others tell of one connection, or of none */
        }
        uint16_t *of_source = count_of(&source);
        if (*of_source >= places_ - connections_) {
            refuse(client);
            continue;
        }
        if (!open_connection(held, client, of_source)) {
            int error = errno;
            refuse(client);
            if (error == EMFILE || error == ENFILE || error == ENOMEM)
                relay_rest();
        }
    }
}
