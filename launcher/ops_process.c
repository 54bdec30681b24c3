/* What a process is besides where it is: limits, ids, capabilities, filter; and exec. Raw system calls for ids: a
 * libc's wrappers would first look for other threads. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

/* Without CAP_SYS_RESOURCE the hard limit cannot be raised: as much as can be had, and EPERM is told. The launcher
 * raises the child's: in a user namespace that is nobody's to do (getrlimit(2)). */
int op_rlimit(struct run *run, const struct op *op) {
    pid_t whose = op->phase == PHASE_PARENT ? run->child.pid : 0;
    uint64_t want[2] = {op_number(op, RLIMIT_AT_SOFT), op_number(op, RLIMIT_AT_HARD)}, have[2];
    unsigned resource = (unsigned)op_number(op, RLIMIT_AT_RESOURCE);
    if (syscall(SYS_prlimit64, whose, resource, want, NULL) == 0)
        return 0;
    int error = errno;
    if (error != EPERM || syscall(SYS_prlimit64, whose, resource, NULL, have) < 0)
        return error;
    want[1] = want[1] < have[1] ? want[1] : have[1];
    want[0] = want[0] < want[1] ? want[0] : want[1];
    syscall(SYS_prlimit64, whose, resource, want, NULL);
    return error;
}

int op_bounding(struct run *run, const struct op *op) {
    (void)run;
    for (unsigned long cap = 0; cap < 64; cap++)
        if (!(op_number(op, BOUNDING_AT_KEEP) >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL ? 0 : errno; /* EINVAL: past the last one that this kernel knows */
    return 0;
}

int op_user(struct run *run, const struct op *op) {
    (void)run;
    const struct field *groups = &op->fields[USER_AT_GROUPS];
    gid_t list[1024];
    uid_t uid = (uid_t)op_number(op, USER_AT_UID);
    gid_t gid = (gid_t)op_number(op, USER_AT_GID);
    if (groups->count > sizeof list / sizeof list[0])
        return E2BIG;
    for (uint32_t i = 0; i < groups->count; i++)
        list[i] = (gid_t)groups->numbers[i];
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setgroups, groups->count, list) < 0)
        return errno;
    if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
        return errno;
    return 0;
}

int op_capabilities(struct run *run, const struct op *op) {
    (void)run;
    uint64_t effective = op_number(op, CAPABILITIES_AT_EFFECTIVE), permitted = op_number(op, CAPABILITIES_AT_PERMITTED);
    uint64_t inheritable = op_number(op, CAPABILITIES_AT_INHERITABLE), ambient = op_number(op, CAPABILITIES_AT_AMBIENT);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> 32 * i);
        data[i].permitted = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return errno;
    for (unsigned long cap = 0; cap < 64; cap++)
        if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return errno;
    return 0;
}

int op_no_new_privileges(struct run *run, const struct op *op) {
    (void)run, (void)op;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0;
}

/* What the launcher inherited must not be the container's: blocked and ignored signals (Python ignores SIGPIPE). */
static void reset_signals(void) {
    sigset_t none;
    struct sigaction usual = {.sa_handler = SIG_DFL};
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &usual, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A launcher that was killed meanwhile has closed its end of the channel: nobody could wait for what runs without. */
static int launcher_lives(const struct run *run) {
    char go;
    ssize_t got;
    do
        got = recv(run->channel, &go, 1, MSG_DONTWAIT);
    while (got == 1);
    return got < 0 && errno == EAGAIN;
}

/* Descriptors and signals as the container gets them; before a filter, whose profile need not allow these calls. */
int seal(const struct run *run) {
    static int done;
    if (done)
        return 0;
    if (!launcher_lives(run))
        return ECANCELED;
    reset_signals();
    done = 1;
    return syscall(SYS_close_range, 3U, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? errno : 0;
}

int op_seccomp(struct run *run, const struct op *op) {
    const struct field *program = &op->fields[SECCOMP_AT_PROGRAM];
    static struct sock_filter aligned[BPF_MAXINSNS]; /* the plan's bytes may stand anywhere */
    if (program->length > sizeof aligned)
        return E2BIG;
    int error = seal(run);
    if (error)
        return error;
    memcpy(aligned, program->bytes, program->length);
    struct sock_fprog filter = {(unsigned short)(program->length / sizeof aligned[0]), aligned};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)op_number(op, SECCOMP_AT_FLAGS), &filter);
    return result < 0 ? errno : 0;
}

int op_umask(struct run *run, const struct op *op) {
    (void)run;
    umask((mode_t)op_number(op, UMASK_AT_MASK));
    return 0;
}

int op_chdir(struct run *run, const struct op *op) {
    char where[4096];
    (void)run;
    if (chdir(op_text(op, CHDIR_AT_PATH)) < 0)
        return errno;
    /* The kernel says "(unreachable)…" for a place outside the root. */
    if (syscall(SYS_getcwd, where, sizeof where) < 0)
        return errno;
    return where[0] == '/' ? 0 : EXDEV;
}

int op_exec(struct run *run, const struct op *op) {
    int error = seal(run);
    if (error)
        return error;
    run->progress->exec_started = monotonic_ns();
    execve(op_text(op, EXEC_AT_PATH), op->fields[EXEC_AT_ARGUMENTS].texts, op->fields[EXEC_AT_ENVIRONMENT].texts);
    return errno;
}
