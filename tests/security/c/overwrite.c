/* The attacker of test_launcher_overwrite.py, root of a container: opens /proc/PID/exe of every process that appears,
 * until one is the host's launcher, stopping and continuing it meanwhile; then tries all that would change that file.
 *
 *      overwrite MARK SECONDS      MARK: words that only the launcher's program has. Prints what it could do, each
 *                                  with an errno.
 *      overwrite LINK ONE OTHER    LINK leads to one or the other, in turn and without end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *mark;

static int is_launcher(int fd) {
    static char bytes[4 << 20];
    ssize_t length = pread(fd, bytes, sizeof bytes, 0);
    return length > 0 && memmem(bytes, (size_t)length, mark, strlen(mark)) != NULL;
}

static void say(const char *what, int failed) {
    printf("%s %d\n", what, failed < 0 ? errno : 0);
    fflush(stdout);
}

/* Nothing is changed where it succeeds: the mode and owner that it has, an open for writing without a write. */
static void try_all(int fd) {
    time_t end = time(NULL) + 2;
    char path[64];
    struct stat now;
    int writable;
    fstat(fd, &now);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    puts("reached 0");
    say("chmod", fchmod(fd, now.st_mode & 07777));
    say("chown", fchown(fd, now.st_uid, now.st_gid));
    say("xattr", fsetxattr(fd, "user.wardian", "", 0, 0));
    fremovexattr(fd, "user.wardian");
    do /* the text of a running program is busy: until it has ended */
        writable = open(path, O_WRONLY | O_CLOEXEC);
    while (writable < 0 && errno == ETXTBSY && time(NULL) < end);
    say("write", writable);
}

static int same(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int look(int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    if (same(path, "/proc/self/exe"))
        return 0;
    for (int round = 0; round < 200; round++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            return 0;
        if (fd >= 0 && is_launcher(fd)) {
            try_all(fd);
            return 1;
        }
        if (fd >= 0)
            close(fd);
        kill(pid, round % 2 ? SIGCONT : SIGSTOP);
    }
    kill(pid, SIGCONT);
    return 0;
}

static void alternate(const char *link, char **targets) {
    char next[256];
    snprintf(next, sizeof next, "%s.next", link);
    for (int round = 0;; round++) {
        if (symlink(targets[round % 2], next) < 0 || rename(next, link) < 0)
            _exit(1);
        usleep(200);
    }
}

int main(int count, char **arguments) {
    if (count == 4)
        alternate(arguments[1], arguments + 2);
    if (count < 3)
        return 2;
    mark = arguments[1];
    time_t end = time(NULL) + atoi(arguments[2]);
    puts("looking 0");
    fflush(stdout);
    while (time(NULL) < end) {
        DIR *all = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(all));)
            if (atoi(entry->d_name) > 1 && atoi(entry->d_name) != getpid() && look(atoi(entry->d_name)))
                return 0;
        closedir(all);
    }
    return 0;
}
