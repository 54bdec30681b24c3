/* Bytes → ops. No system calls, and nothing is trusted: every length is checked against what is left, every handle
 * against what an earlier op made, every phase against the order HOST, clone, PARENT or CHILD, exec. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher.h"

struct shape {
    const char *name;
    const char *types;
};

#define SHAPE(NAME, name, number, types) [number] = {#name, types},
static const struct shape shapes[] = {OPERATIONS(SHAPE)};
#undef SHAPE

enum { NUMBER_COUNT = sizeof shapes / sizeof shapes[0] };

/* The unread rest of the plan, and the block that lists are put into. */
struct reader {
    const unsigned char *at, *end;
    const char *reason;
    unsigned char *arena;
    size_t arena_left;
};

const char *op_name(uint16_t number) {
    return number < NUMBER_COUNT && shapes[number].name ? shapes[number].name : "unknown";
}

static int refuse(struct reader *r, const char *reason) {
    if (!r->reason)
        r->reason = reason;
    return EINVAL;
}

static uint64_t take(struct reader *r, unsigned bytes) {
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < bytes) {
        refuse(r, "truncated");
        r->at = r->end;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return value;
}

/* A piece of the arena. Lists take at most 8 bytes for each 4 that they have in the plan, and 8 for their end. */
static void *piece(struct reader *r, size_t size) {
    if (size > r->arena_left) {
        refuse(r, "lists are too long");
        return NULL;
    }
    void *result = r->arena;
    r->arena += size;
    r->arena_left -= size;
    return result;
}

static void take_bytes(struct reader *r, struct field *field, int text) {
    uint32_t length = (uint32_t)take(r, 4);
    size_t left = (size_t)(r->end - r->at);
    if (r->reason || left < length || left - length < (size_t)text) {
        refuse(r, "truncated");
        return;
    }
    field->bytes = r->at;
    field->length = length;
    r->at += length;
    if (text && *r->at++ != 0)
        refuse(r, "a text without its end");
    else if (text && memchr(field->bytes, 0, length))
        refuse(r, "a NUL within a text");
}

static void take_handle(struct reader *r, const struct plan *plan, const unsigned char *made, uint64_t *number) {
    *number = take(r, 4);
    if (*number != PROTOCOL_NONE && (*number >= plan->handles || !made[*number]))
        refuse(r, "a handle that nothing has made");
}

/* A list has no places for what is not there. */
static void take_listed_handle(struct reader *r, const struct plan *plan, const unsigned char *made, uint64_t *number) {
    take_handle(r, plan, made, number);
    if (*number == PROTOCOL_NONE)
        refuse(r, "no handle within a list");
}

static void take_new(struct reader *r, const struct plan *plan, unsigned char *made, uint64_t *number) {
    *number = take(r, 4);
    if (*number >= plan->handles || made[*number])
        refuse(r, "a new handle out of range or made before");
    else
        made[*number] = 1;
}

static uint32_t take_count(struct reader *r, unsigned least) {
    uint32_t count = (uint32_t)take(r, 4);
    if (count > (size_t)(r->end - r->at) / least) {
        refuse(r, "a list longer than the plan");
        return 0;
    }
    return count;
}

static void take_texts(struct reader *r, struct field *field) {
    field->count = take_count(r, 5);
    char **texts = piece(r, ((size_t)field->count + 1) * sizeof *texts);
    if (!texts)
        return;
    for (uint32_t i = 0; i < field->count && !r->reason; i++) {
        struct field item = {0};
        take_bytes(r, &item, 1);
        texts[i] = (char *)(uintptr_t)item.bytes; /* execve's argv is not const */
    }
    texts[field->count] = NULL;
    field->texts = texts;
}

static void take_numbers(struct reader *r, const struct plan *plan, const unsigned char *made, struct field *field,
                         int handles) {
    field->count = take_count(r, handles ? 4 : 8);
    uint64_t *numbers = piece(r, (size_t)field->count * sizeof *numbers);
    for (uint32_t i = 0; numbers && i < field->count; i++) {
        if (!handles)
            numbers[i] = take(r, 8);
        else
            take_listed_handle(r, plan, made, &numbers[i]);
    }
    field->numbers = numbers;
}

static void take_field(struct reader *r, const struct plan *plan, unsigned char *made, char type, struct field *field) {
    switch (type) {
    case 'u': field->number = take(r, 8); break;
    case 'h': take_handle(r, plan, made, &field->number); break;
    case 'n': take_new(r, plan, made, &field->number); break;
    case 's': take_bytes(r, field, 1); break;
    case 'b': take_bytes(r, field, 0); break;
    case 'l': take_texts(r, field); break;
    case 'H': take_numbers(r, plan, made, field, 1); break;
    case 'U': take_numbers(r, plan, made, field, 0); break;
    }
}

static void take_op(struct reader *r, const struct plan *plan, unsigned char *made, struct op *op) {
    op->number = (uint16_t)take(r, 2);
    op->phase = (uint8_t)take(r, 1);
    op->flags = (uint8_t)take(r, 1);
    uint32_t length = (uint32_t)take(r, 4);
    if (r->reason)
        return;
    if (op->number >= NUMBER_COUNT || !shapes[op->number].name) {
        refuse(r, "an unknown operation");
        return;
    }
    if (op->phase > PHASE_CHILD || op->flags & ~OP_FLAG_MAY_FAIL || length > (size_t)(r->end - r->at)) {
        refuse(r, "a bad operation header");
        return;
    }
    const unsigned char *end = r->end, *limit = r->at + length;
    r->end = limit;
    const char *types = shapes[op->number].types;
    for (int i = 0; types[i] && !r->reason; i++)
        take_field(r, plan, made, types[i], &op->fields[i]);
    if (!r->reason && r->at != limit)
        refuse(r, "an operation with trailing bytes");
    r->end = end;
}

/* One clone with all HOST ops before it and none after it, one supervise before it, exec last and only there. */
static int check_order(struct plan *plan) {
    uint32_t clones = 0, supervises = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct op *op = &plan->ops[i];
        if ((op->phase == PHASE_HOST) != (clones == 0))
            return plan->reason = "an operation in the wrong phase", EINVAL;
        if (op->number == OP_SUPERVISE && (supervises++ || op->phase != PHASE_HOST))
            return plan->reason = "supervise out of order", EINVAL;
        if ((op->number == OP_EXEC) != (i + 1 == plan->count))
            return plan->reason = "exec is not the last operation", EINVAL;
        if (op->number == OP_CLONE)
            clones++;
    }
    if (clones != 1 || supervises != 1 || plan->ops[plan->count - 1].phase != PHASE_CHILD)
        return plan->reason = "no clone, no supervise or no exec", EINVAL;
    return 0;
}

static int take_header(struct reader *r, struct plan *plan, size_t length) {
    if (take(r, 4) != PROTOCOL_PLAN_MAGIC)
        return refuse(r, "not a plan");
    if (take(r, 2) != PROTOCOL_VERSION)
        return refuse(r, "a plan of another version");
    take(r, 2);
    uint32_t total = (uint32_t)take(r, 4);
    plan->count = (uint32_t)take(r, 4);
    plan->slots = (uint32_t)take(r, 4);
    plan->handles = (uint32_t)take(r, 4);
    plan->fail_step = (uint32_t)take(r, 4);
    take(r, 4);
    if (r->reason)
        return EINVAL;
    if (total != length)
        return refuse(r, "truncated, or too long");
    if (!plan->count || plan->count > PROTOCOL_MAX_OPS || plan->handles > PROTOCOL_MAX_HANDLES ||
        plan->slots > plan->handles)
        return refuse(r, "counts out of range");
    if (plan->count > (size_t)(r->end - r->at) / SIZE_OP_HEADER)
        return refuse(r, "truncated");
    return 0;
}

static int take_ops(struct reader *r, struct plan *plan) {
    unsigned char made[PROTOCOL_MAX_HANDLES] = {0};
    memset(made, 1, plan->slots);
    for (uint32_t i = 0; i < plan->count; i++) {
        take_op(r, plan, made, &plan->ops[i]);
        if (r->reason)
            return EINVAL;
    }
    return r->at == r->end ? check_order(plan) : refuse(r, "trailing bytes");
}

int plan_decode(struct plan *plan, const unsigned char *data, size_t length) {
    *plan = (struct plan){0};
    struct reader r = {.at = data, .end = data + length};
    int error = length > PROTOCOL_MAX_PLAN ? refuse(&r, "too long") : take_header(&r, plan, length);
    if (!error) {
        size_t ops = plan->count * sizeof *plan->ops;
        r.arena_left = 2 * length + 16 * (size_t)plan->count;
        plan->ops = calloc(1, ops + r.arena_left);
        if (!plan->ops)
            return plan->reason = "no memory", ENOMEM;
        r.arena = (unsigned char *)plan->ops + ops;
        error = take_ops(&r, plan);
    }
    plan->offset = (uint32_t)(r.at - data);
    if (r.reason)
        plan->reason = r.reason;
    return error;
}

void plan_free(struct plan *plan) {
    free(plan->ops);
    plan->ops = NULL;
}
