/*
 * --trace: everything that happens, in a file that Perfetto and chrome://tracing show. Source: "Trace Event Format",
 * JSON Array Format. A line is an event; the closing bracket is optional there, so a run that was killed leaves a file
 * that can be read.
 *
 * Lines gather in one buffer for all machines, in the order in which they came. It is written when it is full, at each
 * tick, and at the end.
 */
#ifndef MH_TOOL_TRACE_H
#define MH_TOOL_TRACE_H

#include "mh/event.h"
#include "mh/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define TRACE_BUFFER_SIZE 65536u

struct trace {
    int fd; /* -1: nothing is traced */
    bool is_regular;
    const atomic_bool *ending; /* see output_write() */
    uint64_t start;            /* trace_now() at the beginning, from which the file's times count */

    pthread_mutex_t mutex; /* guards what follows: all machines and the supervisor write here */
    char *buffer;
    size_t length;
    uint64_t written; /* bytes that are in the file */
    bool is_over;     /* a write failed */
};

/*
 * Create or overwrite the file and begin. MH_OK, or MH_ERR_IO with what is wrong and trace->fd -1. The other functions
 * do nothing with a trace that is not open.
 */
enum mh_status trace_open(struct trace *trace, const char *path, const atomic_bool *ending, struct mh_error *err);

/* Write the rest, and the end. */
void trace_close(struct trace *trace);

/* Nanoseconds on CLOCK_MONOTONIC. */
uint64_t trace_now(void);

/* What the track is called; each machine has one, by its number, and so may others. */
void trace_name_track(struct trace *trace, size_t track, const char *name);

/* At `now`, this happened to the machine of that track; or its debugger sent this packet. Any thread. */
void trace_event(struct trace *trace, size_t track, uint64_t now, const struct mh_event *event);
void trace_command(struct trace *trace, size_t track, const char *packet);

/* Let what has gathered out, unless somebody is at it or the file's other side does not take it. Never waits for long.
 */
void trace_tick(struct trace *trace);

#endif
