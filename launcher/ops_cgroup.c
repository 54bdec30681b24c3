/* Control groups: directories, limits, and entering (cgroups(7)). */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

/* The directories above, which are shared and stay. */
static int make_above(const char *path) {
    char copy[4096];
    size_t length = strlen(path);
    if (length >= sizeof copy)
        return -1;
    memcpy(copy, path, length + 1);
    for (char *slash = copy; (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return 0;
}

/* mkdir with the directories above it. -1 with errno; EEXIST says that it is there. ENOENT says that one above is
 * missing, which somebody who shares it may have removed, empty, since we made it. */
static int make_path(const char *path) {
    int made = mkdir(path, 0755);
    for (int tries = 0; made < 0 && errno == ENOENT && tries < 5; tries++) {
        if (make_above(path) < 0 && errno != ENOENT)
            return -1;
        made = mkdir(path, 0755);
    }
    return made;
}

int op_cgroup_make(struct run *run, const struct op *op) {
    const char *path = op_text(op, CGROUP_MAKE_AT_PATH);
    int shared = op_number(op, CGROUP_MAKE_AT_SHARED) != 0;
    /* What an earlier run of this container has left is removed; it is EBUSY when a process is still in it. */
    if (!shared && rmdir(path) < 0 && errno != ENOENT)
        return errno;
    if (make_path(path) < 0 && errno != EEXIST)
        return errno;
    if (!shared)
        run->made[run->made_count++] = path;
    return keep(run, op, CGROUP_MAKE_AT_DIRECTORY, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* The groups above may be empty too: they get theirs first, and from then on groups made in them come with it
 * (cgroup.clone_children): a write compares a group with all its neighbours, 0.5 ms where there are 500. `depth` ends
 * what cannot end otherwise. */
static int inherit(int directory, const char *file, int depth) {
    char value[4096];
    ssize_t length = read_file(directory, file, value, sizeof value);
    if (length < 0)
        return errno;
    if (length > 1 || depth > 32)
        return 0;
    int above = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0)
        return errno;
    int error = inherit(above, file, depth + 1);
    length = error ? 0 : read_file(above, file, value, sizeof value);
    close(above);
    if (error || length <= 1)
        return error;
    error = write_file(directory, file, value, (size_t)length);
    if (!error && depth)
        (void)write_file(directory, "cgroup.clone_children", "1", 1);
    return error;
}

int op_cgroup_inherit(struct run *run, const struct op *op) {
    return inherit(handle_of(run, op, CGROUP_INHERIT_AT_DIRECTORY), op_text(op, CGROUP_INHERIT_AT_FILE), 0);
}

int op_cgroup_write(struct run *run, const struct op *op) {
    const struct field *data = &op->fields[CGROUP_WRITE_AT_DATA];
    int directory = handle_of(run, op, CGROUP_WRITE_AT_DIRECTORY);
    return write_file(directory, op_text(op, CGROUP_WRITE_AT_FILE), data->bytes, data->length);
}

int op_cgroup_tasks(struct run *run, const struct op *op) {
    int directory = handle_of(run, op, CGROUP_TASKS_AT_DIRECTORY);
    const char *file = op_text(op, CGROUP_TASKS_AT_FILE);
    return keep(run, op, CGROUP_TASKS_AT_TASKS, openat(directory, file, O_WRONLY | O_CLOEXEC));
}

int op_cgroup_enter(struct run *run, const struct op *op) {
    return write(handle_of(run, op, CGROUP_ENTER_AT_TASKS), "0", 1) < 0 ? errno : 0;
}

int op_cgroup_devices(struct run *run, const struct op *op) {
    const struct field *program = &op->fields[CGROUP_DEVICES_AT_PROGRAM];
    union bpf_attr load = {0}, attach = {0};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = (uint64_t)(uintptr_t)program->bytes;
    load.insn_cnt = program->length / 8;
    load.license = (uint64_t)(uintptr_t) "Apache-2.0";
    int loaded = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (loaded < 0)
        return errno;
    attach.target_fd = (uint32_t)handle_of(run, op, CGROUP_DEVICES_AT_DIRECTORY);
    attach.attach_bpf_fd = (uint32_t)loaded;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    int error = syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0 ? errno : 0;
    close(loaded);
    return error;
}
