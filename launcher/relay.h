/* The relay: a process that carries what reaches a published port's socket to the container.
 *
 * The firewall leads nearly every connection there without it. It has the rest: [::1], which cannot be led away; IPv6
 * to a container with IPv4 alone; and all of them while somebody has flushed the rules. The supervisor forks it at the
 * first connection, and it ends when it has had nothing to do for a while.
 *
 *      client ──► held socket ──► TCP: a pair of sockets, each way with its own end (half-close)
 *                                 UDP: a socket of our own for each peer, so that answers find back
 *
 * Nothing blocks. What one side does not take is kept, at most one buffer of it each way, and the other side is not
 * read meanwhile. Its supervisor speaks to it by a leash: any byte means "let go of the ports, keep the connections"
 * and is answered when that is done; its end means "the container has ended", after which what is there is passed on
 * for a moment still. */
#ifndef WARDIAN_RELAY_H
#define WARDIAN_RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where a port leads. `family` is AF_INET or AF_INET6, `port` in host order; IPv4 has the first four bytes. */
struct target {
    uint32_t key;
    uint16_t family, port;
    unsigned char address[16];
};

struct held {
    int fd;
    int protocol; /* IPPROTO_* */
    struct target target;
};

/* relay.c. In the forked process; returns its exit status. */
int relay_run(const struct held *held, uint32_t count, int leash, int supervisor);

enum { RELAY_CHUNK = 65536 };

/* Something in the relay's loop. An event may come for one that was ended by another of the same round: `gone`. */
struct watched {
    void (*event)(struct watched *self, uint32_t events);
    int fd;
    uint32_t interest;
    bool gone;
    struct watched *next_gone;
};

bool relay_watch(struct watched *watched, uint32_t interest); /* 0: not looked at; false: the kernel looks at no more */
void relay_close(struct watched *watched); /* the descriptor, and out of the loop */
void relay_free_later(struct watched *first_member); /* at the round's end; the pointer is also the memory's */
void relay_rest(void); /* out of descriptors or memory: no new connections for a moment */
void relay_opened(void);
void relay_closed(void);
int relay_connect(const struct held *held, int type); /* a socket on its way to the target, or -1 */
extern unsigned char relay_chunk[RELAY_CHUNK];

bool relay_filter(void); /* relay_filter.c: from here on only the calls that a relay makes; false: that cannot be */

/* relay_tcp.c, relay_udp.c */
void tcp_prepare(uint32_t descriptors);
void tcp_accept(const struct held *held);
void udp_receive(const struct held *held);
void udp_prepare(const struct held *held);
int64_t udp_expire(int64_t now); /* ends what is too old; when the next one is, -1: there is none */
void udp_end(void);

#endif
