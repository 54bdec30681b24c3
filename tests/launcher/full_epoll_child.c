/* Linked with --wrap=epoll_ctl: the supervisor has no watch left for the end of its child (epoll(7), max_user_watches),
 * which is the whole machine's limit and not a test's to change. */
#include <errno.h>
#include <sys/epoll.h>

#include "../../launcher/supervisor.h"

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    if (operation == EPOLL_CTL_ADD && (event->data.u64 & 0xFF) == TAG_CHILD) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}
