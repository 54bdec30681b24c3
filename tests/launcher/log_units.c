/* The log's and JSON's corners that no process shows at will. Prints nothing and ends with 0 when all is well. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../launcher/supervisor.h"

static void escapes(const char *from, size_t length, const char *wanted) {
    char *exact = malloc(6 * length + 1); /* to the byte: the sanitizer sees one too many */
    size_t size = json_escape(exact, (const unsigned char *)from, length);
    if (size != strlen(wanted) || memcmp(exact, wanted, size)) {
        fprintf(stderr, "%.*s is not %s\n", (int)size, exact, wanted);
        exit(1);
    }
    free(exact);
}

static void test_escape(void) {
    escapes("plain", 5, "plain");
    escapes("a\"\\\n\r\t\x1b", 7, "a\\\"\\\\\\n\\r\\u0009\\u001b");
    escapes("<&>\x7f", 4, "\\u003c\\u0026\\u003e\x7f" + 0);
    escapes("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    escapes("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9, "\\u2028\\u2029\xe2\x80\xaa");
    escapes("\xff\xc3", 2, "\\ufffd\\ufffd");
    escapes("\xc0\x80", 2, "\\ufffd\\ufffd");                 /* overlong */
    escapes("\xed\xa0\x80", 3, "\\ufffd\\ufffd\\ufffd");      /* a surrogate */
    escapes("\xf4\x90\x80\x80", 4, "\\ufffd\\ufffd\\ufffd\\ufffd"); /* past U+10FFFF */
    escapes("\xe2\x82", 2, "\\ufffd\\ufffd");                 /* cut off */
    escapes("\0", 1, "\\u0000");
}

/* Each byte at each place of a line that is taken by sixteens, and what comes after it. */
static void test_escape_of_each_byte_at_each_place(void) {
    char line[41], wanted[6 * sizeof line + 1], one[7];
    for (int byte = 0; byte < 256; byte++) {
        if (byte < 0x80 && byte >= 0x20 && !strchr("\"\\<>&", byte))
            snprintf(one, sizeof one, "%c", byte);
        else if (byte == '"' || byte == '\\')
            snprintf(one, sizeof one, "\\%c", byte);
        else if (byte == '\n' || byte == '\r')
            strcpy(one, byte == '\n' ? "\\n" : "\\r");
        else
            snprintf(one, sizeof one, "\\u%04x", byte < 0x80 ? byte : 0xfffd);
        for (size_t length = 1; length <= sizeof line; length++)
            for (size_t at = 0; at < length; at++) {
                memset(line, 'x', length);
                line[at] = (char)byte;
                snprintf(wanted, sizeof wanted, "%.*s%s%.*s", (int)at, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", one,
                         (int)(length - at - 1), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
                escapes(line, length, wanted);
            }
    }
}

static void test_cut(void) {
    assert(utf8_cut((const unsigned char *)"abcd", 4) == 4);
    assert(utf8_cut((const unsigned char *)"abc\xc3", 4) == 3);
    assert(utf8_cut((const unsigned char *)"ab\xe2\x82", 4) == 2);
    assert(utf8_cut((const unsigned char *)"b\xe2\x82\xac", 4) == 4);
    assert(utf8_cut((const unsigned char *)"\xf0\x9f\x98", 3) == 3); /* never nothing */
    assert(utf8_cut((const unsigned char *)"a\x80\x80\x80\x80", 5) == 5); /* no character at all */
}

static off_t size_of(int dir, const char *name) {
    struct stat stat;
    return fstatat(dir, name, &stat, 0) < 0 ? -1 : stat.st_size;
}

static void test_rotation(int dir) {
    assert(log_open(dir, "r.log", 1000, 3) == 0);
    for (int i = 0; i < 100; i++)
        log_feed(SOURCE_OUT, (const unsigned char *)"0123456789\n", 11);
    for (const char *const *name = (const char *const[]){"r.log", "r.log.1", "r.log.2", NULL}; *name; name++)
        assert(size_of(dir, *name) > 0 && size_of(dir, *name) <= 1000);
    assert(size_of(dir, "r.log.3") == -1);
    assert(log_lost() == 0);
    log_close();
    assert(log_open(dir, "one.log", 500, 1) == 0);
    for (int i = 0; i < 100; i++)
        log_feed(SOURCE_OUT, (const unsigned char *)"0123456789\n", 11);
    assert(size_of(dir, "one.log") > 0 && size_of(dir, "one.log") <= 500 && size_of(dir, "one.log.1") == -1);
    log_close();
}

/* As many as a person may say: an old number that is free ends the moving, and none is tried that is not there. */
static void test_rotation_with_room_for_many(int dir) {
    assert(log_open(dir, "many.log", 100, 1000000000) == 0);
    alarm(20);
    for (int i = 0; i < 50; i++)
        log_feed(SOURCE_OUT, (const unsigned char *)"0123456789\n", 11);
    assert(size_of(dir, "many.log.49") > 0 && size_of(dir, "many.log.50") == -1);
    assert(unlinkat(dir, "many.log.7", 0) == 0);
    log_feed(SOURCE_OUT, (const unsigned char *)"0123456789\n", 11);
    alarm(0);
    assert(size_of(dir, "many.log.7") > 0 && size_of(dir, "many.log.50") == -1);
    log_close();
}

static void test_long_lines_at_every_offset(int dir) {
    static unsigned char bytes[50000];
    memset(bytes, 'x', sizeof bytes);
    for (size_t at = 16380; at < 16390; at++) {
        assert(log_open(dir, "long.log", 0, 1) == 0);
        bytes[at] = '\n';
        log_feed(SOURCE_ERR, bytes, at - 100);
        log_feed(SOURCE_ERR, bytes + at - 100, sizeof bytes - (at - 100));
        log_end(SOURCE_ERR);
        bytes[at] = 'x';
        log_close();
    }
    memset(bytes, 0xff, sizeof bytes); /* the widest escape of all, one line larger than any buffer */
    assert(log_open(dir, "wide.log", 0, 1) == 0);
    for (int i = 0; i < 20; i++)
        log_feed(SOURCE_OUT, bytes, 32768);
    log_end(SOURCE_OUT);
    assert(log_written() > 20 * 32768 * 6ULL && log_lost() == 0);
    log_close();
}

static void test_broken_last_line(int dir) {
    int fd = openat(dir, "broken.log", O_WRONLY | O_CREAT, 0600);
    assert(write(fd, "{\"log\":\"bro", 11) == 11);
    close(fd);
    assert(log_open(dir, "broken.log", 0, 1) == 0);
    log_feed(SOURCE_OUT, (const unsigned char *)"next\n", 5);
    log_close();
    char text[200] = "";
    fd = openat(dir, "broken.log", O_RDONLY);
    assert(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert(strncmp(text, "{\"log\":\"bro\n{\"log\":\"next\\n\"", 27) == 0);
}

static void read_back(int dir, const char *name, char *text, size_t size) {
    int fd = openat(dir, name, O_RDONLY);
    ssize_t n = read(fd, text, size - 1);
    assert(n > 0);
    text[n] = 0;
    close(fd);
}

/* Linked with --wrap=clock_gettime: the moment at which the log looks is the test's. */
static struct timespec clock_;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    if (!clock_.tv_sec)
        return __real_clock_gettime(clock, now);
    *now = clock_;
    return 0;
}

/* A nanosecond for each line, over the end of a second and of a day; the parts of one have the first one's. */
static void test_times(int dir) {
    static unsigned char part[16384];
    static char text[40000];
    memset(part, 'p', sizeof part);
    assert(log_open(dir, "times.log", 0, 1) == 0);
    clock_ = (struct timespec){.tv_sec = 1763769599, .tv_nsec = 999999998};
    log_feed(SOURCE_OUT, (const unsigned char *)"a\nb\nc\nd\n", 8);
    log_feed(SOURCE_ERR, part, sizeof part);
    clock_ = (struct timespec){.tv_sec = 1763769600, .tv_nsec = 99};
    log_feed(SOURCE_OUT, (const unsigned char *)"e\nf\n", 4);
    log_feed(SOURCE_ERR, (const unsigned char *)"end\n", 4);
    clock_.tv_sec = 0;
    log_close();
    read_back(dir, "times.log", text, sizeof text);
    const char *at = text;
    for (const char *const *time = (const char *const[]){
             "2025-11-21T23:59:59.999999998Z", "2025-11-21T23:59:59.999999999Z", "2025-11-22T00:00:00.000000000Z",
             "2025-11-22T00:00:00.000000001Z", "2025-11-21T23:59:59.999999998Z", "2025-11-22T00:00:00.000000099Z",
             "2025-11-22T00:00:00.000000100Z", "2025-11-21T23:59:59.999999998Z", NULL};
         *time; time++) {
        at = strstr(at, "\"time\":\"");
        assert(at && !strncmp(at + 8, *time, 30));
        at += 8;
    }
    assert(!strstr(at, "\"time\""));
}

/* The oldest goes, and the others keep their order. */
static void test_rotation_keeps_the_newest(int dir) {
    char text[1000], line[] = "line 0\n";
    assert(log_open(dir, "order.log", 100, 3) == 0); /* a line of these a file */
    for (; line[5] < '6'; line[5]++)
        log_feed(SOURCE_OUT, (const unsigned char *)line, 7);
    log_close();
    for (const char *const *name = (const char *const[]){"order.log", "order.log.1", "order.log.2", NULL}; *name;
         name++) {
        line[5]--;
        read_back(dir, *name, text, sizeof text);
        line[6] = 0;
        assert(strstr(text, line) && strchr(text, '\n') == text + strlen(text) - 1);
    }
    assert(size_of(dir, "order.log.3") == -1);
}

int main(int count, char **arguments) {
    int dir = count > 1 ? open(arguments[1], O_PATH | O_DIRECTORY) : -1;
    assert(dir >= 0);
    test_escape();
    test_escape_of_each_byte_at_each_place();
    test_cut();
    test_rotation(dir);
    test_rotation_with_room_for_many(dir);
    test_long_lines_at_every_offset(dir);
    test_broken_last_line(dir);
    test_times(dir);
    test_rotation_keeps_the_newest(dir);
    return 0;
}
