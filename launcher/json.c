/* JSON strings as Docker's json-file log writes them (RFC 8259 section 7): `<`, `>`, `&` and U+2028/2029 escaped too,
 * each byte that is no part of valid UTF-8 (RFC 3629 section 4) as U+FFFD. */
#include <string.h>

#include "supervisor.h"

/* Length of the valid character at `from`, or 0. */
static size_t utf8_length(const unsigned char *from, size_t left) {
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } ranges[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
        {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (from[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (from[0] < ranges[i].first_low || from[0] > ranges[i].first_high)
            continue;
        if (left < ranges[i].length || from[1] < ranges[i].second_low || from[1] > ranges[i].second_high)
            return 0;
        for (size_t k = 2; k < ranges[i].length; k++)
            if ((from[k] & 0xC0) != 0x80)
                return 0;
        return ranges[i].length;
    }
    return 0;
}

static size_t escape_ascii(char *to, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    switch (byte) {
    case '"':
    case '\\':
        to[0] = '\\';
        to[1] = (char)byte;
        return 2;
    case '\n':
        memcpy(to, "\\n", 2);
        return 2;
    case '\r':
        memcpy(to, "\\r", 2);
        return 2;
    default:
        memcpy(to, "\\u00", 4);
        to[4] = digits[byte >> 4];
        to[5] = digits[byte & 15];
        return 6;
    }
}

static bool plain(unsigned char byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\' && byte != '<' && byte != '>' && byte != '&';
}

/* What gcc and clang make one register of, on a processor that has such. */
enum { WIDE = 16 };
typedef unsigned char wide __attribute__((vector_size(WIDE)));
typedef signed char wide_signed __attribute__((vector_size(WIDE)));

/* As signed numbers those from 0x80 on are below 0x20 too; `<` and `>` differ in one bit. */
static bool all_plain(wide bytes) {
    wide special = (wide)((wide_signed)bytes < 0x20) | (wide)(bytes == '"') | (wide)(bytes == '\\') |
                   (wide)(bytes == '&') | (wide)((bytes | 2) == '>');
    uint64_t halves[2];
    memcpy(halves, &special, WIDE);
    return !(halves[0] | halves[1]);
}

/* How many plain bytes `from` begins with; they are copied. Most of a log is nothing else, so they are taken by
 * sixteens. In `to` that many may be overwritten after them, but no more than there are in `from`. */
static size_t copy_plain(char *to, const unsigned char *from, size_t length) {
    size_t i = 0;
    for (; i + WIDE <= length; i += WIDE) {
        wide bytes;
        memcpy(&bytes, from + i, WIDE);
        memcpy(to + i, &bytes, WIDE);
        if (!all_plain(bytes))
            break;
    }
    for (; i < length && plain(from[i]); i++)
        to[i] = (char)from[i];
    return i;
}

size_t json_escape(char *to, const unsigned char *from, size_t length) {
    size_t out = 0;
    for (size_t i = 0; i < length;) {
        if (plain(from[i])) {
            size_t span = copy_plain(to + out, from + i, length - i);
            out += span;
            i += span;
            continue;
        }
        if (from[i] < 0x80) {
            out += escape_ascii(to + out, from[i++]);
            continue;
        }
        size_t width = utf8_length(from + i, length - i);
        if (width == 0) {
            memcpy(to + out, "\\ufffd", 6);
            out += 6;
            i++;
        } else if (width == 3 && from[i] == 0xE2 && from[i + 1] == 0x80 && (from[i + 2] & 0xFE) == 0xA8) {
            memcpy(to + out, from[i + 2] == 0xA8 ? "\\u2028" : "\\u2029", 6);
            out += 6;
            i += 3;
        } else {
            memcpy(to + out, from + i, width);
            out += width;
            i += width;
        }
    }
    return out;
}

size_t utf8_cut(const unsigned char *bytes, size_t limit) {
    for (size_t back = 1; back <= 3 && back < limit; back++) {
        unsigned char byte = bytes[limit - back];
        if ((byte & 0xC0) == 0x80)
            continue; /* the middle of a character: look for its first byte */
        size_t needs = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
        return needs > back ? limit - back : limit;
    }
    return limit;
}
