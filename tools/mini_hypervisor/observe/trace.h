/*
 * --trace: writes every event to a file that Perfetto and chrome://tracing can open. Source: "Trace Event Format", JSON
 * Array Format. Each line is an event; the format does not require the closing bracket, so the file can be read even
 * after the program was killed.
 *
 * One buffer holds the lines of all machines in their order. It is written when it is full, at each tick, and at the
 * end.
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

    pthread_mutex_t mutex; /* guards the members below: all machines and the supervisor write here */
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

/* Write the rest and the end, and close the file. Afterwards trace->is_over says whether a write has failed. */
void trace_close(struct trace *trace);

/* Nanoseconds on CLOCK_MONOTONIC. */
uint64_t trace_now(void);

/* Name a track. Each machine has the track of its number; the debugger of all machines has the next one. */
void trace_name_track(struct trace *trace, size_t track, const char *name);

/* Write an event of the machine of that track, at `now`, or a packet from its debugger. Any thread. */
void trace_event(struct trace *trace, size_t track, uint64_t now, const struct mh_event *event);
void trace_command(struct trace *trace, size_t track, const char *packet);

/* Write what the buffer holds, unless another thread does or the file is not writable. Never waits for long. */
void trace_tick(struct trace *trace);

#endif
