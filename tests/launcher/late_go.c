/* Linked with --wrap=poll: a child that needs no "go", and so never reads it, sends its terminal's master and execs
 * just after its launcher has said "go" and before that looks. Exit status 0: the launcher has the master all the same.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../launcher/executor.h"

static int child = -1;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout) {
    if (child >= 0)
        close(child); /* the exec, with "go" unread: ECONNRESET for the launcher (unix(7)) */
    child = -1;
    return __real_poll(fds, count, timeout);
}

int main(void) {
    struct op ops[1] = {0};
    struct run run = {.control = -1};
    int ends[2], master = open("/dev/null", O_RDWR);
    run.plan.ops = ops, run.plan.count = 1;
    run.supervision.flags = SUPERVISE_TTY;
    run.child.tty_master = -1;
    run.progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (master < 0 || run.progress == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return 99;
    run.channel = ends[0], child = ends[1];
    if (send_descriptor(child, master))
        return 98;
    run.progress->exec_started = 1;
    int error = await_exec(&run);
    printf("errno %d, master %d: %.*s\n", error, run.child.tty_master, PROTOCOL_MAX_TEXT, run.progress->text);
    return error || run.child.tty_master < 0;
}
