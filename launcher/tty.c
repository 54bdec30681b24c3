/* The container's terminal, by its master. */
#include <errno.h>
#include <sys/ioctl.h>

#include "supervisor.h"

int tty_resize(int master, bool tty, uint32_t rows, uint32_t columns) {
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (!tty)
        return ENOTTY;
    if (master < 0)
        return ESRCH;
    if (rows > 0xFFFF || columns > 0xFFFF)
        return EINVAL;
    return ioctl(master, TIOCSWINSZ, &size) < 0 ? errno : 0;
}
