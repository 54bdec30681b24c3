/* Linked with --wrap=epoll_ctl: while the file that FULL_EPOLL names is there, the supervisor has no watch left for
 * anything that comes new (epoll(7), max_user_watches), which is the whole machine's limit and not a test's to change. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    if (operation == EPOLL_CTL_ADD && access(getenv("FULL_EPOLL"), F_OK) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}
