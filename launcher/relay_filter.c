/* The system calls that a relay makes from its first look at the ports on: seccomp(2), in the kernel's own words (BPF).
 * Whoever makes it do another has killed it; the supervisor forks the next one. Numbers are those of the machine's
 * headers; x32's have a bit that none of them has. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "relay.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "which AUDIT_ARCH_* of linux/audit.h is this?"
#endif

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (what))
/* An int: the kernel looks at these 32 bits of the register and no more. */
#define ARGUMENT(index) LOAD(offsetof(struct seccomp_data, args) + (index) * sizeof(__u64))
#define WHEN(value, skip_unless) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip_unless))
#define END(how) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_##how)
#define ALLOW(call) WHEN(SYS_##call, 1), END(ALLOW)
#define ALLOW_NO_CODE(call) /* memory that can be executed is none of its business */ \
    WHEN(SYS_##call, 4), ARGUMENT(2), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), END(KILL_PROCESS), \
        END(ALLOW)

static struct sock_filter program[] = {
    LOAD(offsetof(struct seccomp_data, arch)), WHEN(NATIVE, 1), LOAD(offsetof(struct seccomp_data, nr)),
    /* the loop */
#ifdef SYS_epoll_wait
    ALLOW(epoll_wait),
#endif
    ALLOW(epoll_pwait), ALLOW(epoll_ctl), ALLOW(clock_gettime),
    /* sockets */
    WHEN(SYS_socket, 6), ARGUMENT(0), WHEN(AF_INET, 1), END(ALLOW), WHEN(AF_INET6, 1), END(ALLOW), END(KILL_PROCESS),
    ALLOW(accept4), ALLOW(connect), ALLOW(recvfrom), ALLOW(recvmsg), ALLOW(sendto), ALLOW(sendmsg), ALLOW(getsockopt),
    ALLOW(setsockopt), ALLOW(shutdown), ALLOW(close),
    /* memory, and the end */
    ALLOW(brk), ALLOW_NO_CODE(mmap), ALLOW_NO_CODE(mprotect), ALLOW(mremap), ALLOW(munmap), ALLOW(madvise),
    ALLOW(getrandom), ALLOW(exit_group),
#ifdef __SANITIZE_ADDRESS__ /* its end, and what a report begins with: a test sees that there is one */
    ALLOW(write), ALLOW(getpid), ALLOW(ioctl), ALLOW(futex), ALLOW(open), ALLOW(read), ALLOW(readlink), ALLOW(pipe2),
    ALLOW(sigaltstack),
#endif
    END(KILL_PROCESS),
};

bool relay_filter(void) {
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0 || errno == ENOSYS; /* a kernel without it */
}
