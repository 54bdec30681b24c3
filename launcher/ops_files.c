/* Directories, devices and links within the container's root, and writes to the host's /proc. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "executor.h"

int op_open(struct run *run, const struct op *op) {
    int flags = (int)op_number(op, OPEN_AT_FLAGS) | O_CLOEXEC;
    return keep(run, op, OPEN_AT_HANDLE, open(op_text(op, OPEN_AT_PATH), flags));
}

static int own(int parent, const char *name, uint64_t uid, uint64_t gid) {
    if (!uid && !gid)
        return 0;
    return fchownat(parent, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

int op_mkdir(struct run *run, const struct op *op) {
    const char *name, *path = op_text(op, MKDIR_AT_PATH);
    int root = handle_of(run, op, MKDIR_AT_ROOT), there = open_in_root(root, path, O_PATH | O_DIRECTORY);
    if (there >= 0)
        return close(there), 0;
    int parent = parent_in_root(root, path, &name), error = 0;
    if (parent < 0)
        return errno;
    if (mkdirat(parent, name, (mode_t)op_number(op, MKDIR_AT_MODE)) < 0)
        error = errno;
    else
        error = own(parent, name, op_number(op, MKDIR_AT_UID), op_number(op, MKDIR_AT_GID));
    close(parent);
    return error;
}

int op_mknod(struct run *run, const struct op *op) {
    const char *name;
    int parent = parent_in_root(handle_of(run, op, MKNOD_AT_ROOT), op_text(op, MKNOD_AT_PATH), &name), error = 0;
    if (parent < 0)
        return errno;
    if (mknodat(parent, name, (mode_t)op_number(op, MKNOD_AT_MODE), (dev_t)op_number(op, MKNOD_AT_DEVICE)) < 0)
        error = errno;
    else
        error = own(parent, name, op_number(op, MKNOD_AT_UID), op_number(op, MKNOD_AT_GID));
    close(parent);
    return error;
}

int op_symlink(struct run *run, const struct op *op) {
    const char *name;
    int parent = parent_in_root(handle_of(run, op, SYMLINK_AT_ROOT), op_text(op, SYMLINK_AT_PATH), &name), error = 0;
    if (parent < 0)
        return errno;
    if (symlinkat(op_text(op, SYMLINK_AT_TARGET), parent, name) < 0 && errno != EEXIST)
        error = errno;
    close(parent);
    return error;
}

int op_write_in(struct run *run, const struct op *op) {
    const struct field *data = &op->fields[WRITE_IN_AT_DATA];
    int directory = handle_of(run, op, WRITE_IN_AT_DIRECTORY);
    return write_file(directory, op_text(op, WRITE_IN_AT_PATH), data->bytes, data->length);
}

int op_write(struct run *run, const struct op *op) {
    (void)run;
    const struct field *data = &op->fields[WRITE_AT_DATA];
    int file = open(op_text(op, WRITE_AT_PATH), O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return errno;
    int error = write(file, data->bytes, data->length) < 0 ? errno : 0;
    close(file);
    return error;
}
