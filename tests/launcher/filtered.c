/* Behind the relay's filter: does what is named, and exits 0 when it lives. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../launcher/relay.h"

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (!relay_filter())
        return 1;
    if (!strcmp(what, "inet"))
        return socket(AF_INET, SOCK_DGRAM, 0) < 0 || socket(AF_INET6, SOCK_STREAM, 0) < 0;
    if (!strcmp(what, "memory"))
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    if (!strcmp(what, "unix"))
        return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
    if (!strcmp(what, "netlink"))
        return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
    if (!strcmp(what, "code"))
        return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    if (!strcmp(what, "open"))
        return open("/dev/null", O_RDONLY) < 0;
    if (!strcmp(what, "kill"))
        return kill(getppid(), 0) < 0;
    if (!strcmp(what, "fork"))
        return fork() < 0;
    if (!strcmp(what, "exec"))
        return execv("/bin/true", arguments);
    return 2;
}
