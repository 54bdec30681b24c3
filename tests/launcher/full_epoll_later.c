/* Linked with --wrap=epoll_ctl: while the file that FULL_EPOLL names is there, the supervisor has no watch left for
 * anything that comes new (epoll(7), max_user_watches), which is the whole machine's limit and not a test's to change.
 * Once it is gone nobody asks again: the relay's filter allows no such question. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    static bool was_full, over;
    bool full = operation == EPOLL_CTL_ADD && !over && access(getenv("FULL_EPOLL"), F_OK) == 0;
    over = over || (operation == EPOLL_CTL_ADD && was_full && !full);
    was_full = was_full || full;
    if (full) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, operation, fd, event);
}
