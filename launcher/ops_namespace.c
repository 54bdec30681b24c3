/* Namespaces: joined, made, and what belongs to them: names, lo, id maps. clone3 itself is in clone.c. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

/* The descriptor first, then the check: from then on the pid cannot be another's. */
int op_pidfd(struct run *run, const struct op *op) {
    pid_t pid = (pid_t)op_number(op, PIDFD_AT_PID);
    int error = keep(run, op, PIDFD_AT_PIDFD, syscall(SYS_pidfd_open, pid, 0));
    if (error)
        return error;
    return start_time_of(pid) == op_number(op, PIDFD_AT_START_TIME) ? 0 : ESRCH;
}

int op_join(struct run *run, const struct op *op) {
    return setns(handle_of(run, op, JOIN_AT_NAMESPACE), (int)op_number(op, JOIN_AT_FLAGS)) < 0 ? errno : 0;
}

int op_unshare(struct run *run, const struct op *op) {
    (void)run;
    return unshare((int)op_number(op, UNSHARE_AT_FLAGS)) < 0 ? errno : 0;
}

int op_id_map(struct run *run, const struct op *op) {
    const struct field *data = &op->fields[ID_MAP_AT_DATA];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%.32s", (int)run->child.pid, op_text(op, ID_MAP_AT_FILE));
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return errno;
    int error = write(file, data->bytes, data->length) < 0 ? errno : 0;
    close(file);
    return error;
}

int op_loopback(struct run *run, const struct op *op) {
    struct ifreq link = {.ifr_name = "lo"};
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)run, (void)op;
    if (any < 0)
        return errno;
    int error = ioctl(any, SIOCGIFFLAGS, &link) < 0 ? errno : 0;
    link.ifr_flags |= IFF_UP;
    if (!error && ioctl(any, SIOCSIFFLAGS, &link) < 0)
        error = errno;
    close(any);
    return error;
}

int op_hostname(struct run *run, const struct op *op) {
    (void)run;
    return sethostname(op_text(op, HOSTNAME_AT_NAME), op->fields[HOSTNAME_AT_NAME].length) < 0 ? errno : 0;
}

int op_domainname(struct run *run, const struct op *op) {
    (void)run;
    return setdomainname(op_text(op, DOMAINNAME_AT_NAME), op->fields[DOMAINNAME_AT_NAME].length) < 0 ? errno : 0;
}
