/* Mutates plans and decodes them: built with ASan and UBSan by test_decoder.py, which gives seed plans as files.
 * usage: fuzz_decode ROUNDS PLAN…; also a libFuzzer target (-DLIBFUZZER). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../launcher/launcher.h"

/* Reads every byte that a decoded plan points to, so that a sanitizer sees what is out of bounds. */
static unsigned touch(const struct plan *plan) {
    unsigned sum = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct op *op = &plan->ops[i];
        sum += (unsigned)strlen(op_name(op->number));
        for (int f = 0; f < (int)PROTOCOL_MAX_FIELDS; f++) {
            const struct field *field = &op->fields[f];
            for (uint32_t n = 0; field->bytes && n < field->length; n++)
                sum += field->bytes[n];
            for (uint32_t n = 0; field->texts && n < field->count; n++)
                sum += (unsigned)strlen(field->texts[n]);
            for (uint32_t n = 0; field->numbers && n < field->count; n++)
                sum += (unsigned)field->numbers[n];
        }
    }
    return sum;
}

static int decode(const unsigned char *data, size_t length) {
    struct plan plan;
    unsigned char *exact = malloc(length ? length : 1); /* a block of just this size: one byte past it is seen */
    memcpy(exact, data, length);
    int error = plan_decode(&plan, exact, length);
    if (!error)
        touch(&plan);
    else if (!plan.reason)
        abort();
    plan_free(&plan);
    free(exact);
    return error;
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t length) { return decode(data, length), 0; }
#else

static uint64_t state = 88172645463325252u;

static uint32_t chance(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % below);
}

static size_t mutate(unsigned char *data, size_t length, size_t room) {
    static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff};
    for (uint32_t n = 1 + chance(4); n && length; n--) {
        size_t at = chance((uint32_t)length);
        switch (chance(6)) {
        case 0: data[at] ^= (unsigned char)(1u << chance(8)); break;
        case 1: data[at] = edges[chance(sizeof edges)]; break;
        case 2: memset(data + at, 0xff, length - at < 4 ? length - at : 4); break;
        case 3: length = at; break;
        case 4:
            if (length < room)
                memmove(data + at + 1, data + at, length++ - at);
            break;
        case 5: memmove(data + at, data + at + 1, --length - at); break;
        }
    }
    /* Most rounds must come past the length in the header. */
    if (length >= 12 && chance(8))
        for (int i = 0; i < 4; i++)
            data[8 + i] = (unsigned char)(length >> 8 * i);
    return length;
}

int main(int argc, char **argv) {
    static unsigned char plan[1 << 20], copy[1 << 20];
    unsigned long rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, refused = 0;
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t length = file ? fread(plan, 1, sizeof plan - 64, file) : 0;
        if (!file || decode(plan, length))
            return fprintf(stderr, "%s is no good plan\n", argv[i]), 1;
        fclose(file);
        for (size_t cut = 0; cut < length; cut++)
            if (!decode(plan, cut))
                return fprintf(stderr, "%s cut at %zu was taken\n", argv[i], cut), 1;
        for (unsigned long round = 0; round < rounds; round++) {
            memcpy(copy, plan, length);
            refused += decode(copy, mutate(copy, length, sizeof copy)) != 0;
        }
    }
    printf("%lu refused\n", refused);
    return 0;
}
#endif
