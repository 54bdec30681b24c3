/* `wardian-launcher user` or `user+network`: a user namespace for a container that is to be, and a network namespace
 * made inside it, for the engine to prepare. They live by the descriptors that the engine takes of this process, which
 * ends when the engine closes its socket (src/wardian/runtime/userns.py).
 *
 *      launcher                        engine
 *      unshare(CLONE_NEWUSER)   u ──►  writes /proc/PID/uid_map and gid_map
 *      its root now             ◄── m
 *      unshare(CLONE_NEWNET)    n ──►  opens /proc/PID/ns/user and net, closes
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

/* 0 when the other side said something, else an end. */
static int said(int control, const char *word) {
    char byte;
    return send(control, word, 1, MSG_NOSIGNAL) == 1 && recv(control, &byte, 1, 0) == 1 ? 0 : -1;
}

int spaces(int control, int network) {
    if (unshare(CLONE_NEWUSER) < 0)
        return errno;
    if (said(control, "u") < 0)
        return 1;
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
        syscall(SYS_setresuid, 0, 0, 0) < 0 || (network && unshare(CLONE_NEWNET) < 0))
        return errno;
    (void)!said(control, "n");
    return 0;
}
