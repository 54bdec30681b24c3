/* Carrying out steps, on either side of clone; and the child's whole life until exec. Nothing here allocates. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "executor.h"

#define FUNCTION(NAME, name, number, types) [number] = op_##name,
static op_function *const functions[] = {OPERATIONS(FUNCTION)};
#undef FUNCTION

uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void explain(struct run *run, const char *text) {
    snprintf(run->progress->text, sizeof run->progress->text, "%s", text);
}

int keep(struct run *run, const struct op *op, int at, long descriptor) {
    if (descriptor < 0)
        return errno;
    run->handles[op->fields[at].number] = (int)descriptor;
    return 0;
}

static int fail(struct run *run, uint32_t step, int error) {
    run->progress->step = step;
    run->progress->failed = 1;
    return error;
}

int run_steps(struct run *run, int phase) {
    uint64_t before = monotonic_ns();
    for (uint32_t step = 0; step < run->plan.count; step++) {
        const struct op *op = &run->plan.ops[step];
        if (op->phase != phase)
            continue;
        int error = step == run->plan.fail_step ? ECANCELED : functions[op->number](run, op);
        uint64_t after = monotonic_ns();
        run->progress->records[step].ns = after - before + (after == before);
        run->progress->records[step].error = error;
        before = after;
        if (error && (step == run->plan.fail_step || !(op->flags & OP_FLAG_MAY_FAIL)))
            return fail(run, step, error);
    }
    return 0;
}

static int has_parent_steps(const struct plan *plan) {
    for (uint32_t step = 0; step < plan->count; step++)
        if (plan->ops[step].phase == PHASE_PARENT)
            return 1;
    return 0;
}

/* "go" is waited for only where the launcher has steps of its own to do first: a wait costs 0.1 ms on a busy machine.
 * That the launcher lives is looked at before exec (op_exec, or the filter before it). */
_Noreturn void child_main(struct run *run, int channel) {
    char go;
    run->channel = channel;
    if (!has_parent_steps(&run->plan) || recv(channel, &go, 1, 0) == 1)
        run_steps(run, PHASE_CHILD);
    _exit(127);
}
