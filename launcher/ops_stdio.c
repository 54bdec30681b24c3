/* The process's stdin, stdout and stderr: the supervisor's pipes, or a terminal of the container's own devpts; and what
 * the supervisor is told of the container. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "executor.h"

/* The path of a group that this plan made for the container alone; NULL: joined, or shared, not ours to empty. */
static const char *path_of_group(const struct run *run, uint64_t handle) {
    for (uint32_t i = 0; i < run->plan.count; i++) {
        const struct op *op = &run->plan.ops[i];
        if (op->number == OP_CGROUP_MAKE && op_number(op, CGROUP_MAKE_AT_DIRECTORY) == handle)
            return op_number(op, CGROUP_MAKE_AT_SHARED) ? NULL : op_text(op, CGROUP_MAKE_AT_PATH);
    }
    return NULL;
}

int op_supervise(struct run *run, const struct op *op) {
    static int groups[64];
    static const char *paths[64];
    const struct field *cgroups = &op->fields[SUPERVISE_AT_CGROUPS];
    struct supervision *s = &run->supervision;
    if (cgroups->count > sizeof groups / sizeof groups[0])
        return E2BIG;
    for (uint32_t i = 0; i < cgroups->count; i++) {
        groups[i] = run->handles[cgroups->numbers[i]];
        paths[i] = path_of_group(run, cgroups->numbers[i]);
    }
    *s = (struct supervision){
        .flags = (uint32_t)op_number(op, SUPERVISE_AT_FLAGS),
        .run_dir = handle_of(run, op, SUPERVISE_AT_RUN_DIR),
        .log_dir = handle_of(run, op, SUPERVISE_AT_LOG_DIR),
        .log_name = op_text(op, SUPERVISE_AT_LOG_NAME),
        .log_size = op_number(op, SUPERVISE_AT_LOG_SIZE),
        .log_files = op_number(op, SUPERVISE_AT_LOG_FILES),
        .identity = op_text(op, SUPERVISE_AT_IDENTITY),
        .cgroup_count = cgroups->count,
        .cgroups = groups,
        .cgroup_paths = paths,
        .root = handle_of(run, op, SUPERVISE_AT_ROOT),
    };
    int error = stdio_open(s, &run->stdio);
    if (error)
        return error;
    return run->attachers ? control_read_attachers(s, run->control, run->attachers) : 0;
}

int op_listener(struct run *run, const struct op *op) {
    return stdio_listen_on(handle_of(run, op, LISTENER_AT_SOCKET));
}

int op_timeout(struct run *run, const struct op *op) {
    run->supervision.timeout_s = op_number(op, TIMEOUT_AT_SECONDS);
    return 0;
}

int op_log_attributes(struct run *run, const struct op *op) {
    (void)run;
    return log_attributes(op_text(op, LOG_ATTRIBUTES_AT_JSON));
}

/* The last one that it becomes: of a new user namespace it is root first. */
static uid_t owner_of(const struct run *run) {
    for (uint32_t i = run->plan.count; i-- > 0;)
        if (run->plan.ops[i].number == OP_USER)
            return (uid_t)op_number(&run->plan.ops[i], USER_AT_UID);
    return (uid_t)-1;
}

int op_stdio_owner(struct run *run, const struct op *op) {
    for (int i = 0; i < 3; i++)
        if (run->stdio.ours[i] >= 0 &&
            fchown(run->stdio.child[i], (uid_t)op_number(op, STDIO_OWNER_AT_UID), (gid_t)-1) < 0)
            return errno;
    return 0;
}

static bool is_null(int fd) {
    struct stat what;
    return fstat(fd, &what) == 0 && S_ISCHR(what.st_mode) && what.st_rdev == makedev(1, 3); /* null(4) */
}

/* Looked at before it is opened: to open a device is to use it. And once more after, for an exec's container may have
 * put another there meanwhile: one that its device group, which holds for us by now, lets it use itself. Not through
 * /proc/self/fd: that may be anything of the container's too. */
static int open_if_null(int root) {
    int node = open_in_root(root, "/dev/null", O_PATH);
    int null = node >= 0 && is_null(node) ? open_in_root(root, "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK) : -1;
    if (node >= 0)
        close(node);
    if (null < 0 || (is_null(null) && fcntl(null, F_SETFL, 0) == 0))
        return null;
    close(null);
    return -1;
}

/* The container's own /dev/null, or -1: only the null device itself will do, for what stands in the image under this
 * name may be anything. */
static int open_own_null(const struct run *run) {
    if (run->supervision.root >= 0)
        return open_if_null(run->supervision.root);
    int joined = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int null = open_if_null(joined);
    close(joined);
    return null;
}

/* Without a client that writes to it, stdin is /dev/null: the container's, as a path that it can see leads there (it is
 * the host's, read-only, where the container has none). */
int op_stdio(struct run *run, const struct op *op) {
    (void)op;
    int error = stdio_child(&run->stdio, owner_of(run));
    int null = !error && run->stdio.ours[0] < 0 ? open_own_null(run) : -1;
    if (null < 0)
        return error;
    error = dup2(null, 0) < 0 ? errno : 0;
    close(null);
    return error;
}

int op_session(struct run *run, const struct op *op) {
    (void)run, (void)op;
    return setsid() < 0 ? errno : 0;
}

int send_descriptor(int channel, int descriptor) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {0};
    char byte = 't';
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    return sendmsg(channel, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* The terminal's file over /dev/console of the root, as a bind. */
static int bind_console(int root, int terminal) {
    int target = make_in_root(root, "/dev/console", CREATE_FILE, 0600);
    if (target < 0)
        return errno;
    int tree = (int)syscall(SYS_open_tree, terminal, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC);
    unsigned by_descriptor = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    int error = tree < 0 || syscall(SYS_move_mount, tree, "", target, "", by_descriptor) < 0 ? errno : 0;
    if (tree >= 0)
        close(tree);
    close(target);
    return error;
}

static int take_terminal(int terminal, uid_t owner) {
    struct stat now;
    if (fstat(terminal, &now) == 0 && owner != (uid_t)-1 && now.st_uid != owner)
        (void)!fchown(terminal, owner, (gid_t)-1); /* a user namespace may not know the owner */
    if (setsid() < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        return errno;
    for (int i = 0; i < 3; i++)
        if (dup2(terminal, i) < 0)
            return errno;
    return 0;
}

int op_console(struct run *run, const struct op *op) {
    int root = handle_of(run, op, CONSOLE_AT_ROOT), unlock = 0;
    struct winsize size = {
        .ws_row = (unsigned short)op_number(op, CONSOLE_AT_ROWS),
        .ws_col = (unsigned short)op_number(op, CONSOLE_AT_COLUMNS),
    };
    int here = root >= 0 ? root : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int master = open_in_root(here, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return errno;
    int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return errno;
    if (size.ws_row && ioctl(master, TIOCSWINSZ, &size) < 0)
        return errno;
    int error = root >= 0 ? bind_console(root, terminal) : 0;
    if (!error)
        error = send_descriptor(run->channel, master);
    if (!error)
        error = take_terminal(terminal, owner_of(run));
    close(master);
    close(terminal);
    return error;
}
