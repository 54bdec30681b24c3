/* Paths within a container's root. Nothing there is trusted: no symbolic link leads out, a magic link leads nowhere. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor.h"

int open_in_root(int root, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The directory `path` of `root`, each missing component made on the way. */
static int make_directories(int root, char *path) {
    int parent = open_in_root(root, "/", O_PATH | O_DIRECTORY);
    for (char *name = path; parent >= 0 && *name;) {
        while (*name == '/')
            name++;
        if (!*name)
            break;
        char *slash = strchrnul(name, '/'), saved = *slash;
        *slash = 0;
        int next = open_in_root(root, path, O_PATH | O_DIRECTORY);
        if (next < 0 && errno == ENOENT && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST))
            next = open_in_root(root, path, O_PATH | O_DIRECTORY);
        int error = errno;
        close(parent);
        *slash = saved;
        errno = error;
        parent = next;
        name = slash;
    }
    return parent;
}

int parent_in_root(int root, const char *path, const char **name) {
    char copy[4096];
    size_t length = strlen(path);
    while (length && path[length - 1] == '/')
        length--;
    if (length >= sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(copy, path, length);
    copy[length] = 0;
    char *slash = strrchr(copy, '/');
    *name = path + (slash ? slash + 1 - copy : 0);
    if (slash)
        *slash = 0;
    const char *above = slash && slash > copy ? copy : "/";
    int parent = open_in_root(root, above, O_PATH | O_DIRECTORY);
    return parent < 0 && errno == ENOENT ? make_directories(root, copy) : parent;
}

int make_in_root(int root, const char *path, int create, unsigned mode) {
    int found = open_in_root(root, path, O_PATH);
    if (found >= 0 || errno != ENOENT || create == CREATE_NOTHING)
        return found;
    const char *name;
    int parent = parent_in_root(root, path, &name);
    if (parent < 0)
        return -1;
    int made = create == CREATE_DIRECTORY ? mkdirat(parent, name, mode)
                                          : openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int error = errno;
    if (made > 0)
        close(made);
    close(parent);
    errno = error;
    return made < 0 && error != EEXIST ? -1 : open_in_root(root, path, O_PATH);
}
