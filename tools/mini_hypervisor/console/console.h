/*
 * stdout, shared by the machines whose serial port leads there.
 *
 * Bytes of a single machine are written as they are. Several machines, or any with labels, write whole lines, so that
 * lines of different machines never mix. An unfinished line is held back until it is complete, or until its machine
 * waits for input, ends, or fills its buffer; on a terminal also until it has been held for a tick. Output of another
 * machine after such a part of a line starts on a new line.
 */
#ifndef MH_TOOL_CONSOLE_H
#define MH_TOOL_CONSOLE_H

#include "mh/status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct console_port;

struct console {
    int fd;
    bool by_line;     /* gather lines; otherwise bytes go out raw */
    bool labels;      /* "NAME| " before each line */
    bool is_terminal; /* colours, and unfinished lines shown by ticks */
    bool colours;
    const atomic_bool *ending; /* set when the process is about to end: see output_write() */

    pthread_mutex_t mutex;           /* guards the members below and all ports */
    const struct console_port *open; /* whose unfinished line is on the screen; NULL: none */
    bool at_line_start;              /* nothing printed, or the last byte was a newline */
    bool gave_up;                    /* ending, and stdout is not writable: the other machines do not wait again */
};

#define CONSOLE_LINE_MAX 65536u

/* One machine's output to the console. */
struct console_port {
    struct console *console;
    const char *label;
    unsigned colour;
    char *line; /* what is held back */
    size_t length, capacity;
    bool held_since_tick;
};

void console_init(struct console *console, int fd, bool by_line, bool labels, const atomic_bool *ending);
void console_destroy(struct console *console);

/* `number` picks the label's colour. */
void console_port_init(struct console_port *port, struct console *console, const char *label, unsigned number);
void console_port_destroy(struct console_port *port);

/* The machine printed bytes. Returns what output_write() does. */
int console_port_write(struct console_port *port, const uint8_t *bytes, size_t length);
/* Write an unfinished line as it is, before waiting for input and at the end. Returns the same. */
int console_port_flush(struct console_port *port);

/* Called every few milliseconds: on a terminal, write a line that has been unfinished since the last call. Never
 * blocks. */
void console_port_tick(struct console_port *port);

/* Start a new line if needed, before something else is written to the same terminal. */
void console_end_line(struct console *console);

#endif
