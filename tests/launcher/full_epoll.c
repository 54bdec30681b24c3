/* Linked with --wrap=epoll_ctl: the relay's user has no watch left for a connection (epoll(7), max_user_watches), which
 * is the whole machine's limit and not a test's to change. Its listening sockets and its leash are watched as ever. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

static int option(int fd, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    static bool relay; /* known before its filter allows no such question */
    char name[16] = "";
    int family = option(fd, SO_DOMAIN);
    if (!relay && prctl(PR_GET_NAME, name, 0, 0, 0) == 0)
        relay = !strcmp(name, "wardian-relay");
    if (operation == EPOLL_CTL_ADD && relay && (family == AF_INET || family == AF_INET6) &&
        option(fd, SO_ACCEPTCONN) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}
