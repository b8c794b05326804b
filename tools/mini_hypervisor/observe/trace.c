#include "observe/trace.h"

#include "console/message.h"
#include "console/output.h"
#include "mh/guest_abi.h"
#include "observe/json_line.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STRING_MAX 4096u /* the bytes of a string instruction in one event, and longer than any other text */
#define LINE_MAX_BYTES (JSON_ESCAPED_MAX(STRING_MAX) + 1024u)

uint64_t trace_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- writing; the caller holds the mutex ---- */

/* The guests continue without a trace. The file should end with a whole line. */
static void trace_give_up(struct trace *trace, int error)
{
    trace->is_over = true;
    trace->length = 0;
    if (trace->is_regular && ftruncate(trace->fd, (off_t)trace->written) != 0)
        error = errno;
    message("the trace cannot be written: %s; it ends here", error == EINTR ? "it is not being read" : strerror(error));
}

static void trace_flush(struct trace *trace)
{
    int result = output_write(trace->fd, trace->buffer, trace->length, trace->ending);
    if (result < 0) {
        trace_give_up(trace, -result);
        return;
    }
    trace->written += trace->length;
    trace->length = 0;
}

static void trace_make_room(struct trace *trace, size_t length)
{
    if (TRACE_BUFFER_SIZE - trace->length < length)
        trace_flush(trace);
}

/* ---- lines ---- */

/* Begin a line, with room for the longest; trace_end_line() must follow. */
static struct json_line trace_begin_line(struct trace *trace, const char *phase, size_t track, uint64_t now)
{
    pthread_mutex_lock(&trace->mutex);
    trace_make_room(trace, LINE_MAX_BYTES);
    char *at = trace->buffer + trace->length;
    struct json_line line = {.at = at, .end = at + LINE_MAX_BYTES};
    json_put(&line, "{\"ph\":\"");
    json_put(&line, phase);
    json_put(&line, "\",\"pid\":1,\"tid\":");
    json_put_number(&line, track);
    json_put_key(&line, "ts");
    json_put_microseconds(&line, now - trace->start);
    return line;
}

static void trace_end_line(struct trace *trace, struct json_line *line)
{
    json_put(line, "},\n");
    if (!trace->is_over)
        trace->length = (size_t)(line->at - trace->buffer);
    pthread_mutex_unlock(&trace->mutex);
}

static void line_put_text(struct json_line *line, const char *key, const char *text)
{
    json_put_key(line, key);
    json_put_string(line, text, strnlen(text, STRING_MAX));
}

static void line_put_hex(struct json_line *line, const char *key, uint64_t value)
{
    json_put_key(line, key);
    json_put_hex(line, value);
}

static void line_put_number(struct json_line *line, const char *key, uint64_t value)
{
    json_put_key(line, key);
    json_put_number(line, value);
}

static void line_put_port(struct json_line *line, const struct mh_event *event)
{
    line_put_hex(line, "port", event->port);
    line_put_number(line, "width", event->width);
    line_put_number(line, "count", event->count);
    line_put_hex(line, "value", event->value);
    if (event->port != MH_PORT_SERIAL || event->width != 1)
        return;
    json_put_key(line, "bytes");
    json_put_string(line, event->data, event->count < STRING_MAX ? event->count : STRING_MAX);
}

static void line_put_file(struct json_line *line, const struct mh_event *event)
{
    line_put_text(line, "file", event->name);
    json_put_key(line, "result");
    json_put_signed(line, event->result);
}

/* A name in two parts. */
static void line_put_name(struct json_line *line, const char *first, const char *second)
{
    json_put_key(line, "name");
    json_put(line, "\"");
    json_put(line, first);
    json_put(line, second);
    json_put(line, "\"");
}

static void line_put_event_name(struct json_line *line, const struct mh_event *event)
{
    switch (event->kind) {
    case MH_EVENT_PORT:
        line_put_name(line, event->port == MH_PORT_SERIAL ? "serial " : "port ", event->is_in ? "in" : "out");
        break;
    case MH_EVENT_FILE:
        line_put_name(line, "file ", mh_file_op_name(event->op));
        break;
    case MH_EVENT_FAULT:
        line_put_name(line, "fault", ", handled");
        break;
    case MH_EVENT_INTERRUPT:
        line_put_name(line, "interrupt", "");
        break;
    case MH_EVENT_CR3:
        line_put_name(line, "cr3", "");
        break;
    case MH_EVENT_EXIT:
        line_put_name(line, event->reason, "");
        break;
    case MH_EVENT_STOP:
        line_put_name(line, "stop: ", mh_stop_name(event->stop->kind));
        break;
    case MH_EVENT_ENTER:
        break;
    }
}

static void line_put_arguments(struct json_line *line, const struct mh_event *event)
{
    if (event->has_rip)
        line_put_hex(line, "rip", event->rip);
    if (event->has_instructions && event->kind != MH_EVENT_EXIT) /* of a crash, that one is from the fault stub */
        line_put_number(line, "instruction", event->instructions);
    switch (event->kind) {
    case MH_EVENT_PORT:
        line_put_port(line, event);
        break;
    case MH_EVENT_FILE:
        line_put_file(line, event);
        break;
    case MH_EVENT_FAULT:
        line_put_number(line, "vector", event->vector);
        line_put_hex(line, "handler", event->handler);
        break;
    case MH_EVENT_INTERRUPT:
        line_put_number(line, "vector", event->vector);
        break;
    case MH_EVENT_CR3:
        line_put_hex(line, "old", event->old);
        line_put_hex(line, "new", event->now);
        break;
    case MH_EVENT_STOP:
        line_put_text(line, "what", event->text);
        break;
    case MH_EVENT_ENTER:
    case MH_EVENT_EXIT:
        break;
    }
}

/* An exit begins a slice of time outside the guest, which the next entry ends; everything else is an instant. */
static const char *event_phase(const struct mh_event *event)
{
    return event->kind == MH_EVENT_EXIT ? "B" : event->kind == MH_EVENT_ENTER ? "E" : "i";
}

void trace_event(struct trace *trace, size_t track, uint64_t now, const struct mh_event *event)
{
    if (trace->fd < 0)
        return;
    struct json_line line = trace_begin_line(trace, event_phase(event), track, now);
    if (event->kind != MH_EVENT_ENTER) {
        line_put_event_name(&line, event);
        json_put(&line, ",\"args\":{");
        line_put_arguments(&line, event);
        json_put(&line, "}");
    }
    trace_end_line(trace, &line);
}

/* An event with a text as its only argument. */
static void trace_text(struct trace *trace, const char *phase, size_t track, const char *name, const char *key,
                       const char *text)
{
    if (trace->fd < 0)
        return;
    struct json_line line = trace_begin_line(trace, phase, track, trace_now());
    line_put_name(&line, name, "");
    json_put(&line, ",\"args\":{");
    line_put_text(&line, key, text);
    json_put(&line, "}");
    trace_end_line(trace, &line);
}

void trace_command(struct trace *trace, size_t track, const char *packet)
{
    trace_text(trace, "i", track, "gdb", "packet", packet);
}

void trace_name_track(struct trace *trace, size_t track, const char *name)
{
    trace_text(trace, "M", track, "thread_name", "name", name);
}

/* ---- the file ---- */

static void trace_put(struct trace *trace, const char *words)
{
    size_t length = strlen(words);
    trace_make_room(trace, length);
    if (trace->is_over)
        return;
    memcpy(trace->buffer + trace->length, words, length);
    trace->length += length;
}

enum mh_status trace_open(struct trace *trace, const char *path, const atomic_bool *ending, struct mh_error *err)
{
    struct stat status;
    const char *why = NULL;
    *trace = (struct trace){.ending = ending, .start = trace_now()};
    trace->fd = output_open(path, &why);
    if (trace->fd < 0)
        return mh_fail(err, MH_ERR_IO, "--trace %s: cannot open it: %s", path, why);
    trace->is_regular = fstat(trace->fd, &status) == 0 && S_ISREG(status.st_mode);
    trace->buffer = malloc(TRACE_BUFFER_SIZE);
    if (trace->buffer == NULL) {
        close(trace->fd);
        trace->fd = -1;
        return mh_fail(err, MH_ERR_HOST, "--trace %s: not enough memory", path);
    }
    pthread_mutex_init(&trace->mutex, NULL);
    trace_put(trace, "[\n");
    trace_text(trace, "M", 0, "process_name", "name", "mini_hypervisor");
    return MH_OK;
}

void trace_close(struct trace *trace)
{
    if (trace->fd < 0)
        return;
    pthread_mutex_lock(&trace->mutex);
    trace_put(trace, "{\"ph\":\"M\",\"pid\":1,\"name\":\"end\",\"args\":{}}\n]\n");
    if (!trace->is_over)
        trace_flush(trace);
    pthread_mutex_unlock(&trace->mutex);
    close(trace->fd);
    free(trace->buffer);
    pthread_mutex_destroy(&trace->mutex);
    trace->fd = -1;
}

/* PIPE_BUF bytes at a time: a pipe that polls as writable takes them without blocking. */
static void trace_flush_some(struct trace *trace)
{
    struct pollfd poll_fd = {.fd = trace->fd, .events = POLLOUT};
    while (trace->length > 0 && poll(&poll_fd, 1, 0) == 1) {
        ssize_t written = write(trace->fd, trace->buffer, trace->length < PIPE_BUF ? trace->length : PIPE_BUF);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            trace_give_up(trace, errno);
        if (written <= 0)
            return;
        trace->length -= (size_t)written;
        memmove(trace->buffer, trace->buffer + written, trace->length);
    }
}

void trace_tick(struct trace *trace)
{
    if (trace->fd < 0 || pthread_mutex_trylock(&trace->mutex) != 0)
        return;
    if (trace->is_regular)
        trace_flush(trace);
    else
        trace_flush_some(trace);
    pthread_mutex_unlock(&trace->mutex);
}
