/* Small files of the kernel's, below an open directory: one read or one write each, nothing allocated. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "launcher.h"

ssize_t read_file(int directory, const char *name, char *to, size_t size) {
    to[0] = 0;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, to, size - 1);
    int error = errno;
    close(fd);
    to[length > 0 ? length : 0] = 0;
    errno = error;
    return length;
}

int write_file(int directory, const char *name, const void *data, size_t length) {
    int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, data, length) < 0 ? errno : 0;
    close(fd);
    return error;
}
