/* Mounts by descriptor: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

/* <sys/mount.h> and <linux/mount.h> do not go together in every libc: of the first only these five are needed. */
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
enum { DETACH = 2 };

static int configure(int fs, unsigned command, const char *key, const void *value, int aux) {
    return syscall(SYS_fsconfig, fs, command, key, value, aux) < 0 ? errno : 0;
}

/* The kernel's own words about a failure on this context. Each message is "e text\n". */
static int explained(struct run *run, int fs, int error) {
    char text[256];
    ssize_t length;
    if (error && fcntl(fs, F_SETFL, O_NONBLOCK) == 0 && (length = read(fs, text, sizeof text - 1)) > 2) {
        text[length] = 0;
        text[strcspn(text, "\n")] = 0;
        explain(run, text + 2);
    }
    return error;
}

int op_fs_open(struct run *run, const struct op *op) {
    return keep(run, op, FS_OPEN_AT_FS, syscall(SYS_fsopen, op_text(op, FS_OPEN_AT_TYPE), FSOPEN_CLOEXEC));
}

int op_fs_flag(struct run *run, const struct op *op) {
    int fs = handle_of(run, op, FS_FLAG_AT_FS);
    return explained(run, fs, configure(fs, FSCONFIG_SET_FLAG, op_text(op, FS_FLAG_AT_KEY), NULL, 0));
}

int op_fs_string(struct run *run, const struct op *op) {
    int fs = handle_of(run, op, FS_STRING_AT_FS);
    const char *value = op_text(op, FS_STRING_AT_VALUE);
    return explained(run, fs, configure(fs, FSCONFIG_SET_STRING, op_text(op, FS_STRING_AT_KEY), value, 0));
}

int op_fs_path(struct run *run, const struct op *op) {
    int fs = handle_of(run, op, FS_PATH_AT_FS);
    int error = keep(run, op, FS_PATH_AT_HELD, open(op_text(op, FS_PATH_AT_PATH), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (error)
        return error;
    int held = handle_of(run, op, FS_PATH_AT_HELD);
    return explained(run, fs, configure(fs, FSCONFIG_SET_FD, op_text(op, FS_PATH_AT_KEY), NULL, held));
}

int op_fs_handle(struct run *run, const struct op *op) {
    int fs = handle_of(run, op, FS_HANDLE_AT_FS), held = handle_of(run, op, FS_HANDLE_AT_HANDLE);
    return explained(run, fs, configure(fs, FSCONFIG_SET_FD, op_text(op, FS_HANDLE_AT_KEY), NULL, held));
}

static long create_mount(int fs, uint64_t attributes) {
    if (configure(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        return -1;
    return syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
}

int op_fs_mount(struct run *run, const struct op *op) {
    int fs = handle_of(run, op, FS_MOUNT_AT_FS);
    int error = keep(run, op, FS_MOUNT_AT_MOUNT, create_mount(fs, op_number(op, FS_MOUNT_AT_ATTRIBUTES)));
    return explained(run, fs, error);
}

int op_open_in(struct run *run, const struct op *op) {
    int root = handle_of(run, op, OPEN_IN_AT_ROOT);
    int flags = (int)op_number(op, OPEN_IN_AT_FLAGS);
    return keep(run, op, OPEN_IN_AT_HANDLE, open_in_root(root, op_text(op, OPEN_IN_AT_PATH), flags));
}

/* Idmapped layers over where they are without: before Linux 6.15 an overlay takes only mounts of this namespace. */
static int cover(const char *place, int over) {
    if (over < 0)
        return 0;
    return syscall(SYS_move_mount, over, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -1 : 0;
}

/* In a mount namespace that ends with this function: the host never sees the mount. */
int op_legacy_overlay(struct run *run, const struct op *op) {
    int before = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), error = 0;
    const char *target = op_text(op, LEGACY_OVERLAY_AT_TARGET), *options = op_text(op, LEGACY_OVERLAY_AT_OPTIONS);
    if (before < 0)
        return errno;
    int over = handle_of(run, op, LEGACY_OVERLAY_AT_OVER);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, 1UL << 14 | 1UL << 18, NULL) < 0 ||
        cover(op_text(op, LEGACY_OVERLAY_AT_PLACE), over) < 0 ||
        chdir(op_text(op, LEGACY_OVERLAY_AT_DIRECTORY)) < 0 || mount("overlay", target, "overlay", 0, options) < 0) {
        error = errno;
    } else {
        error = keep(run, op, LEGACY_OVERLAY_AT_MOUNT,
                     syscall(SYS_open_tree, AT_FDCWD, target, OPEN_TREE_CLONE | O_CLOEXEC));
        umount2(target, DETACH);
    }
    if (setns(before, CLONE_NEWNS) < 0 && !error)
        error = errno;
    close(before);
    return error;
}

int op_tree(struct run *run, const struct op *op) {
    unsigned flags = OPEN_TREE_CLONE | O_CLOEXEC | (op_number(op, TREE_AT_RECURSIVE) ? AT_RECURSIVE : 0);
    return keep(run, op, TREE_AT_MOUNT, syscall(SYS_open_tree, AT_FDCWD, op_text(op, TREE_AT_PATH), flags));
}

static long clone_unlinked(const char *path) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int at = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (at < 0)
        return -1;
    long tree = syscall(SYS_open_tree, at, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC);
    int error = errno;
    close(at);
    errno = error;
    return tree;
}

/* setns(2) into a mount namespace makes its root the working directory and the root: so does the way back. */
int op_tree_in(struct run *run, const struct op *op) {
    int before = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), error = 0;
    if (before < 0)
        return errno;
    if (setns(handle_of(run, op, TREE_IN_AT_NAMESPACE), CLONE_NEWNS) < 0)
        error = errno;
    else
        error = keep(run, op, TREE_IN_AT_MOUNT, clone_unlinked(op_text(op, TREE_IN_AT_PATH)));
    if (setns(before, CLONE_NEWNS) < 0 && !error)
        error = errno;
    close(before);
    return error;
}

/* A path in a tree that others write is resolved within it, and the mount is made of what was found, by descriptor. */
int op_subtree(struct run *run, const struct op *op) {
    unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC;
    if (op_number(op, SUBTREE_AT_RECURSIVE))
        flags |= AT_RECURSIVE;
    int found = open_in_root(handle_of(run, op, SUBTREE_AT_ROOT), op_text(op, SUBTREE_AT_PATH), O_PATH);
    if (found < 0)
        return errno;
    int error = keep(run, op, SUBTREE_AT_MOUNT, syscall(SYS_open_tree, found, "", flags));
    close(found);
    return error;
}

static int set_attributes(int mount_fd, struct mount_attr *attr, int recursive) {
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    return syscall(SYS_mount_setattr, mount_fd, "", flags, attr, sizeof *attr) < 0 ? errno : 0;
}

int op_set_mount(struct run *run, const struct op *op) {
    int userns = handle_of(run, op, SET_MOUNT_AT_USERNS);
    struct mount_attr attr = {
        .attr_set = op_number(op, SET_MOUNT_AT_SET),
        .attr_clr = op_number(op, SET_MOUNT_AT_CLEAR),
        .propagation = op_number(op, SET_MOUNT_AT_PROPAGATION),
        .userns_fd = userns < 0 ? 0 : (uint64_t)userns,
    };
    return set_attributes(handle_of(run, op, SET_MOUNT_AT_MOUNT), &attr, op_number(op, SET_MOUNT_AT_RECURSIVE) != 0);
}

static int move(int mount_fd, int target) {
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return syscall(SYS_move_mount, mount_fd, "", target, "", flags) < 0 ? errno : 0;
}

static int attach(int mount_fd, int root, const char *path, int create) {
    struct stat what;
    if (create == CREATE_LIKE)
        create = fstat(mount_fd, &what) == 0 && !S_ISDIR(what.st_mode) ? CREATE_FILE : CREATE_DIRECTORY;
    int target = make_in_root(root, path, create, create == CREATE_FILE ? 0644 : 0755);
    if (target < 0)
        return errno;
    int error = move(mount_fd, target);
    close(target);
    return error;
}

int op_attach(struct run *run, const struct op *op) {
    int create = (int)op_number(op, ATTACH_AT_CREATE);
    int mount = handle_of(run, op, ATTACH_AT_MOUNT), root = handle_of(run, op, ATTACH_AT_ROOT);
    return attach(mount, root, op_text(op, ATTACH_AT_TARGET), create);
}

static int set_option(int fs, char *option) {
    char key[64];
    size_t length = strcspn(option, "=");
    if (!option[length])
        return configure(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
    if (length >= sizeof key)
        return EINVAL;
    memcpy(key, option, length);
    key[length] = 0;
    return configure(fs, FSCONFIG_SET_STRING, key, option + length + 1, 0);
}

static bool names_mode(const struct field *options) {
    for (uint32_t i = 0; i < options->count; i++)
        if (strncmp(options->texts[i], "mode=", 5) == 0)
            return true;
    return false;
}

/* A tmpfs that says no mode has that of the directory it covers, as with Docker; the owner is root. */
static int like_covered(int fs, int root, const char *target) {
    struct stat covered;
    int fd = open_in_root(root, target, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return 0;
    int error = fstat(fd, &covered) < 0 ? errno : 0;
    close(fd);
    char mode[8];
    snprintf(mode, sizeof mode, "%o", covered.st_mode & 07777);
    return error ? error : configure(fs, FSCONFIG_SET_STRING, "mode", mode, 0);
}

int op_mount(struct run *run, const struct op *op) {
    const char *source = op_text(op, MOUNT_AT_SOURCE);
    int fs = (int)syscall(SYS_fsopen, op_text(op, MOUNT_AT_TYPE), FSOPEN_CLOEXEC);
    if (fs < 0)
        return errno;
    int error = *source ? configure(fs, FSCONFIG_SET_STRING, "source", source, 0) : 0;
    for (uint32_t i = 0; !error && i < op->fields[MOUNT_AT_OPTIONS].count; i++)
        error = set_option(fs, op->fields[MOUNT_AT_OPTIONS].texts[i]);
    if (!error && strcmp(op_text(op, MOUNT_AT_TYPE), "tmpfs") == 0 && !names_mode(&op->fields[MOUNT_AT_OPTIONS]))
        error = like_covered(fs, handle_of(run, op, MOUNT_AT_ROOT), op_text(op, MOUNT_AT_TARGET));
    long made = error ? -1 : create_mount(fs, op_number(op, MOUNT_AT_ATTRIBUTES));
    if (!error && made < 0)
        error = errno;
    explained(run, fs, error);
    close(fs);
    if (error)
        return error;
    int create = (int)op_number(op, MOUNT_AT_CREATE);
    error = attach((int)made, handle_of(run, op, MOUNT_AT_ROOT), op_text(op, MOUNT_AT_TARGET), create);
    close((int)made);
    return error;
}

int op_propagation(struct run *run, const struct op *op) {
    (void)run;
    return mount(NULL, "/", NULL, op_number(op, PROPAGATION_AT_FLAGS), NULL) < 0 ? errno : 0;
}

int op_attach_root(struct run *run, const struct op *op) {
    int root = handle_of(run, op, ATTACH_ROOT_AT_MOUNT);
    if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(root) < 0)
        return errno;
    return 0;
}

/* pivot_root(2), notes: with "." for both, the old root is stacked under the new one and needs no directory in it. */
int op_pivot(struct run *run, const struct op *op) {
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || fchdir(handle_of(run, op, PIVOT_AT_ROOT)) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return errno;
    if (fchdir(old) < 0 || umount2(".", DETACH) < 0 || chdir("/") < 0)
        return errno;
    close(old);
    return 0;
}

/* An empty read-only tmpfs: the first mask attaches it, the others clone it. Not cloned while detached: before Linux
 * 6.15 only a mount of the caller's own mount namespace can be (EINVAL). */
static long empty_directory(struct run *run) {
    if (run->empty >= 0)
        return syscall(SYS_open_tree, run->empty, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC);
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0)
        return -1;
    configure(fs, FSCONFIG_SET_STRING, "size", "0", 0);
    configure(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);
    configure(fs, FSCONFIG_SET_STRING, "mode", "0555", 0);
    run->empty = (int)create_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    int error = errno;
    close(fs);
    errno = error;
    return run->empty;
}

/* The host's /dev/null, read-only: writing to the device stays possible, chmod of the host's file does not. */
static long null_file(void) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    long cover = syscall(SYS_open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | O_CLOEXEC);
    int error = cover < 0 ? 0 : set_attributes((int)cover, &attr, 0);
    if (!error)
        return cover;
    close((int)cover);
    errno = error;
    return -1;
}

int op_mask(struct run *run, const struct op *op) {
    struct stat what;
    int target = open_in_root(handle_of(run, op, MASK_AT_ROOT), op_text(op, MASK_AT_PATH), O_PATH);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    if (fstat(target, &what) < 0)
        return errno;
    long cover = S_ISDIR(what.st_mode) ? empty_directory(run) : null_file();
    int error = cover < 0 ? errno : move((int)cover, target);
    if (cover >= 0 && cover != run->empty)
        close((int)cover);
    close(target);
    return error;
}

int op_read_only(struct run *run, const struct op *op) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    int target = open_in_root(handle_of(run, op, READ_ONLY_AT_ROOT), op_text(op, READ_ONLY_AT_PATH), O_PATH);
    if (target < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    long copy = syscall(SYS_open_tree, target, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | O_CLOEXEC);
    int error = copy < 0 ? errno : set_attributes((int)copy, &attr, 1);
    if (!error)
        error = move((int)copy, target);
    if (copy >= 0)
        close((int)copy);
    close(target);
    return error;
}
