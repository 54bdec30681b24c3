/* The container's stdio before it runs: pipes, the log file, the listening socket; and the child's side of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervisor.h"

enum { OUT_OF_THE_WAY = 512 };

static int listener_ = -1, null_ = -1;

int stdio_listener(void) { return listener_; }

int stdio_listen_on(int socket) {
    listener_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    return listener_ < 0 ? errno : 0;
}

static int make_pipe(int *child, int *parent, bool input) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    *child = ends[input ? 0 : 1];
    *parent = ends[input ? 1 : 0];
    return fcntl(*parent, F_SETFL, O_NONBLOCK);
}

/* Through a read-only mount of its own: the file is the host's, and the container's root could chmod /dev/stdin. */
static int open_null(void) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    char path[32];
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | O_CLOEXEC);
    if (tree < 0)
        /* Who may not mount does not own it either. */
        return errno == EPERM ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", tree);
    int set = (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr);
    int null = set < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC), saved = errno;
    close(tree);
    errno = saved;
    return null;
}

/* Its mount takes long to be let go of (an RCU grace period): made while the launcher waits for its plan. On a high
 * number, where it leaves no gap between those of the plan when it is not wanted. */
void stdio_prepare(void) {
    int null = open_null();
    if (null < 0)
        return;
    null_ = fcntl(null, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    close(null);
}

/* What was made, or what is made now when that failed. */
static int take_null(bool wanted) {
    int null = null_;
    null_ = -1;
    if (wanted)
        return null >= 0 ? null : open_null();
    if (null >= 0)
        close(null);
    return -1;
}

static int make_streams(const struct supervision *supervision, struct stdio *stdio) {
    bool from_null = !(supervision->flags & (SUPERVISE_TTY | SUPERVISE_OPEN_STDIN));
    if ((stdio->child[0] = take_null(from_null)) < 0 && from_null)
        return -1;
    if (supervision->flags & SUPERVISE_TTY)
        return 0;
    if (supervision->flags & SUPERVISE_OPEN_STDIN && make_pipe(&stdio->child[0], &stdio->ours[0], true) < 0)
        return -1;
    if (make_pipe(&stdio->child[1], &stdio->ours[1], false) < 0)
        return -1;
    return make_pipe(&stdio->child[2], &stdio->ours[2], false);
}

int stdio_open(struct supervision *supervision, struct stdio *stdio) {
    *stdio = (struct stdio){{-1, -1, -1}, {-1, -1, -1}};
    if (make_streams(supervision, stdio) < 0)
        goto failed;
    if (supervision->log_dir >= 0 && log_open(supervision->log_dir, supervision->log_name, supervision->log_size,
                                              (uint32_t)supervision->log_files) < 0)
        goto failed;
    if (supervision->run_dir >= 0 && listener_ < 0 && (listener_ = control_listen(supervision->run_dir)) < 0)
        goto failed;
    return 0;
failed:;
    int saved = errno;
    stdio_close(supervision, stdio);
    return saved;
}

int stdio_child(struct stdio *stdio, uid_t owner) {
    if (stdio->child[1] < 0)
        return 0;
    for (int i = 0; i < 3; i++) {
        /* /dev/null is not the container's: only pipes change hands. An id that is not mapped: EINVAL. */
        bool pipe = i || stdio->ours[0] >= 0;
        if (pipe && fchown(stdio->child[i], owner, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM)
            return errno;
        if (stdio->child[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(stdio->child[i], i) < 0)
            return errno;
    }
    return 0;
}

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void stdio_close_child(struct stdio *stdio) {
    for (int i = 0; i < 3; i++)
        close_end(&stdio->child[i]);
}

void stdio_close(struct supervision *supervision, struct stdio *stdio) {
    stdio_close_child(stdio);
    for (int i = 0; i < 3; i++)
        close_end(&stdio->ours[i]);
    log_close();
    if (listener_ >= 0)
        unlinkat(supervision->run_dir, "supervisor.sock", 0);
    close_end(&listener_);
}
