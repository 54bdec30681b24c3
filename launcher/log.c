/* The container's log, in the format of Docker's json-file driver: one JSON object a line,
 *
 *      {"log":"hello\n","stream":"stdout","time":"2026-11-21T03:49:33.659402074Z"}
 *
 * What docker's --log-opt labels, env and tag add stands behind the stream, the same in every line:
 * "attrs":{"tag":"web"}. What came by one read(2) has one time, but each line of it a nanosecond more, so that each has
 * one of its own.
 *
 * A line longer than 16 KiB is written in parts, all but the last without its "\n" (so readers join them), all with the
 * time of the first; what the container leaves without "\n" at its end likewise. Parts end between characters.
 *
 * Rotation happens between lines, before the file would grow past max_size: name → name.1 → name.2 …, max_files in all.
 * A single file is replaced: the next one begins as name.new and takes the name with its first lines, so that who reads
 * the end of the log finds some at any moment.
 *
 * Writing may fail (ENOSPC, EIO) and never holds up the container: the file is cut back to whole lines, the container's
 * bytes in the lines that went missing are counted, and the next lines are tried afresh.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

enum { PART = 16384, ATTRS = 16384, LINE_EXTRA = 128, NAME = 256, TIME = 30, FRACTION = 20 };
enum { OUT_SIZE = 6 * (PART + 1) + LINE_EXTRA + ATTRS + 32768 };

struct line {
    size_t length;
    bool continued; /* a first part of this line is in the log */
    char time[TIME]; /* of that first part */
    unsigned char bytes[PART];
};

static struct {
    int dir, fd;
    char name[NAME];
    uint64_t max_size, size; /* of the file, without what is still in `out_` */
    uint32_t max_files;
    bool unnamed; /* the file is name.new yet */
    uint64_t lost, written;
    size_t out_length, out_source; /* bytes in `out_`, and how many of the container's bytes they carry */
    const char *attrs; /* "" or ,"attrs":{…} */
    size_t attrs_length;
    time_t second;
    char now[TIME + 1]; /* "2026-11-21T03:49:33.659402074Z": of the chunk being logged, and then of its next line */
} log_ = {.dir = -1, .fd = -1};

/* Apart from what begins with a value: the program's file holds none of their zeros. */
static char out_[OUT_SIZE];
static struct line lines_[SOURCES];

uint64_t log_lost(void) { return log_.lost; }
uint64_t log_written(void) { return log_.written; }

/* A supervisor that was killed in the middle of a line left it open: the next line must not grow onto it. */
static void close_broken_line(void) {
    char last = '\n';
    bool there = log_.size && pread(log_.fd, &last, 1, (off_t)log_.size - 1) == 1;
    if (there && last != '\n' && write(log_.fd, "\n", 1) == 1)
        log_.size++;
}

static int open_file(const char *name, int flags) {
    struct stat stat;
    int fd = openat(log_.dir, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
    if (fd < 0)
        return -1;
    if (fstat(fd, &stat) < 0) {
        close(fd);
        return -1;
    }
    if (log_.fd >= 0)
        close(log_.fd);
    log_.fd = fd;
    log_.size = (uint64_t)stat.st_size;
    return 0;
}

int log_attributes(const char *attributes) {
    if (strlen(attributes) > ATTRS)
        return E2BIG;
    log_.attrs = attributes;
    log_.attrs_length = strlen(attributes);
    return 0;
}

int log_open(int dir, const char *name, uint64_t max_size, uint32_t max_files) {
    if (strlen(name) + 12 > NAME) {
        errno = ENAMETOOLONG;
        return -1;
    }
    log_.dir = dir;
    log_.max_size = max_size;
    log_.max_files = max_files ? max_files : 1;
    log_.unnamed = false;
    strcpy(log_.name, name);
    if (open_file(log_.name, 0) < 0)
        return -1;
    close_broken_line();
    return 0;
}

/* "name.n", or for 0 the name itself. */
static const char *old_name(char *to, uint32_t n) {
    snprintf(to, NAME + 12, n ? "%s.%u" : "%s", log_.name, n);
    return to;
}

static const char *new_name(char *to) {
    snprintf(to, NAME + 12, "%s.new", log_.name);
    return to;
}

/* Of a single file that is full. When there cannot be another, it is emptied. */
static void replace(void) {
    char name[NAME + 12];
    if (open_file(new_name(name), O_TRUNC) == 0)
        log_.unnamed = true;
    else if (ftruncate(log_.fd, 0) == 0)
        log_.size = 0;
}

/* After its first lines: also when they could not be written, for the old file may be what fills the disk. */
static void name_file(void) {
    char name[NAME + 12];
    if (log_.unnamed && renameat(log_.dir, new_name(name), log_.dir, log_.name) == 0)
        log_.unnamed = false;
}

/* The file becomes name.1, that name.2 …, up to the first number that is free, or the last that is allowed; then a
 * fresh file. When that cannot be, the old one is written on. max_files may be a million: only what is there
 * is moved. The oldest is unlinked and not replaced: ext4 writes out at once what replaces another file (ext4(5),
 * auto_da_alloc), and a flood would wait for the disk. */
static void rotate(void) {
    char from[NAME + 12], to[NAME + 12];
    uint32_t free = 1;
    if (log_.max_files == 1) {
        replace();
        return;
    }
    while (free < log_.max_files - 1 && faccessat(log_.dir, old_name(to, free), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        free++;
    unlinkat(log_.dir, old_name(to, free), 0);
    for (uint32_t n = free; n >= 1; n--)
        renameat(log_.dir, old_name(from, n - 1), log_.dir, old_name(to, n));
    if (open_file(log_.name, 0) < 0)
        renameat(log_.dir, old_name(from, 1), log_.dir, old_name(to, 0));
}

/* `out` holds whole lines only. */
static void flush(void) {
    size_t done = 0;
    while (done < log_.out_length) {
        ssize_t n = write(log_.fd, out_ + done, log_.out_length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done == log_.out_length) {
        log_.size += done;
        log_.written += done;
    } else {
        log_.lost += log_.out_source;
        if (done && ftruncate(log_.fd, (off_t)log_.size) < 0)
            log_.size += done; /* a broken line stays, but the count of bytes is right */
    }
    log_.out_length = log_.out_source = 0;
    name_file();
}

static void show_second(time_t second) {
    struct tm tm;
    gmtime_r(&second, &tm);
    strftime(log_.now, sizeof log_.now, "%Y-%m-%dT%H:%M:%S.000000000Z", &tm);
    log_.second = second;
}

static void look_at_the_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != log_.second || !log_.now[0])
        show_second(now.tv_sec);
    for (long i = TIME - 2, rest = now.tv_nsec; i >= FRACTION; i--, rest /= 10)
        log_.now[i] = (char)('0' + rest % 10);
}

/* The next line's nanosecond: counted in the text itself, where it is seldom more than the last digit. */
static void tick(void) {
    for (int i = TIME - 2; i >= FRACTION; i--) {
        if (log_.now[i]++ < '9')
            return;
        log_.now[i] = '0';
    }
    show_second(log_.second + 1);
}

static inline char *put(char *to, const char *text) {
    size_t length = strlen(text); /* the compiler's: each is a literal */
    memcpy(to, text, length);
    return to + length;
}

/* One entry: a whole line, or with `ends` false a part of one. */
static void entry(int which, const unsigned char *bytes, size_t length, bool ends) {
    struct line *line = &lines_[which];
    if (OUT_SIZE - log_.out_length < 6 * length + LINE_EXTRA + log_.attrs_length)
        flush();
    if (!line->continued) {
        memcpy(line->time, log_.now, TIME);
        tick();
    }
    char *start = out_ + log_.out_length, *to = put(start, "{\"log\":\"");
    to += json_escape(to, bytes, length);
    to = ends ? put(to, "\\n\",\"stream\":\"") : put(to, "\",\"stream\":\"");
    to = which == SOURCE_OUT ? put(to, "stdout\"") : put(to, "stderr\"");
    if (log_.attrs_length)
        memcpy(to, log_.attrs, log_.attrs_length);
    to = put(to + log_.attrs_length, ",\"time\":\"");
    memcpy(to, line->time, TIME);
    to = put(to + TIME, "\"}\n");
    size_t size = (size_t)(to - start), held = log_.out_length;
    if (log_.max_size && log_.size + held + size > log_.max_size && log_.size + held > 0) {
        flush();
        rotate();
        memmove(out_, start, size);
    }
    log_.out_length += size;
    log_.out_source += length + ends;
    line->continued = !ends;
}

/* `length` bytes without a newline go to the end of the pending line; it is written in parts as it fills up. */
static void append(int which, const unsigned char *bytes, size_t length) {
    struct line *line = &lines_[which];
    while (length) {
        size_t take = PART - line->length < length ? PART - line->length : length;
        memcpy(line->bytes + line->length, bytes, take);
        line->length += take;
        bytes += take;
        length -= take;
        if (line->length == PART) {
            size_t whole = utf8_cut(line->bytes, PART);
            entry(which, line->bytes, whole, false);
            line->length = PART - whole;
            memmove(line->bytes, line->bytes + whole, line->length);
        }
    }
}

void log_feed(int which, const unsigned char *bytes, size_t length) {
    struct line *line = &lines_[which];
    if (log_.fd < 0)
        return;
    look_at_the_clock();
    while (length) {
        const unsigned char *newline = memchr(bytes, '\n', length);
        size_t size = newline ? (size_t)(newline - bytes) : length;
        if (newline && !line->length && size < PART) {
            entry(which, bytes, size, true); /* the common case: a whole line, not copied */
        } else {
            append(which, bytes, size);
            if (newline) {
                entry(which, line->bytes, line->length, true);
                line->length = 0;
            }
        }
        size += newline != NULL;
        bytes += size;
        length -= size;
    }
    flush();
}

/* What there is of a line, but for a character that is cut: for a reader who is to have all that came so far. */
void log_part(int which) {
    struct line *line = &lines_[which];
    if (log_.fd < 0 || !line->length)
        return;
    size_t whole = utf8_cut(line->bytes, line->length);
    look_at_the_clock();
    entry(which, line->bytes, whole, false);
    line->length -= whole;
    memmove(line->bytes, line->bytes + whole, line->length);
    flush();
}

void log_end(int which) {
    struct line *line = &lines_[which];
    if (log_.fd < 0 || !line->length)
        return;
    look_at_the_clock();
    entry(which, line->bytes, line->length, false);
    line->length = 0;
    flush();
}

void log_close(void) {
    if (log_.fd >= 0)
        close(log_.fd);
    log_.fd = -1;
    memset(lines_, 0, sizeof lines_);
    log_.lost = log_.written = 0;
}
