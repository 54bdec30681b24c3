/* What the launcher tells the engine. Only RUNNING must arrive: a container that nobody heard of is taken back. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "executor.h"

static unsigned char *put(unsigned char *at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

static unsigned char *put_header(unsigned char *at, uint16_t kind, size_t length) {
    at = put(at, PROTOCOL_CONTROL_MAGIC, 4);
    at = put(at, PROTOCOL_VERSION, 2);
    return put(put(at, kind, 2), length, 4);
}

static unsigned char *put_record(unsigned char *at, uint32_t step, int error, uint64_t ns) {
    return put(put(put(at, step, 4), (uint32_t)error, 4), ns, 8);
}

static void tell(int control, uint16_t kind, uint32_t step, int error, uint64_t ns, const char *text) {
    unsigned char message[SIZE_CONTROL_HEADER + SIZE_RECORD + PROTOCOL_MAX_TEXT];
    size_t length = strnlen(text, PROTOCOL_MAX_TEXT);
    unsigned char *at = put_header(message, kind, SIZE_RECORD + length);
    at = put_record(at, step, error, ns);
    memcpy(at, text, length);
    send(control, message, (size_t)(at - message) + length, MSG_NOSIGNAL);
}

void report_refusal(int control, const struct plan *plan, int error) {
    tell(control, KIND_REFUSED, plan->offset, error, 0, plan->reason ? plan->reason : "");
}

void report_progress(const struct run *run) {
    enum { BATCH = 512 };
    static unsigned char message[SIZE_CONTROL_HEADER + BATCH * SIZE_RECORD];
    const struct progress *progress = run->progress;
    for (uint32_t step = 0; step < run->plan.count;) {
        unsigned char *at = message + SIZE_CONTROL_HEADER;
        for (; step < run->plan.count && at < message + sizeof message; step++)
            if (progress->records[step].ns && !(progress->failed && step == progress->step))
                at = put_record(at, step, progress->records[step].error, progress->records[step].ns);
        size_t length = (size_t)(at - message);
        put_header(message, KIND_DONE, length - SIZE_CONTROL_HEADER);
        send(run->control, message, length, MSG_NOSIGNAL);
    }
    for (uint32_t step = 0; step < run->plan.count; step++)
        if (progress->records[step].error && !(progress->failed && step == progress->step))
            tell(run->control, KIND_NOTE, step, progress->records[step].error, progress->records[step].ns, "");
}

void report_failure(const struct run *run) {
    const struct progress *progress = run->progress;
    const struct record *record = &progress->records[progress->step];
    tell(run->control, KIND_FAILED, progress->step, record->error, record->ns, progress->text);
}

int report_running(const struct run *run) {
    unsigned char message[SIZE_CONTROL_HEADER + SIZE_RUNNING];
    unsigned char *at = put_header(message, KIND_RUNNING, SIZE_RUNNING);
    at = put(put(at, (uint32_t)run->child.pid, 4), 0, 4);
    at = put(put(at, run->child.start_time, 8), run->child.started_at, 8);
    return send(run->control, message, (size_t)(at - message), MSG_NOSIGNAL) < 0 ? ECANCELED : 0;
}
