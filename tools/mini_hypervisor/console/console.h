/*
 * stdout, shared by the machines whose serial port leads there.
 *
 * One machine: its bytes go out as they are. Several, or with labels: whole lines, so that those of different machines
 * never mix. A line that is not finished is held back until it is, or until its machine waits for input, ends, or fills
 * its buffer; on a terminal also when it has been held for a tick. When another machine prints after such a part of a
 * line, it starts on a line of its own.
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
    bool labels;      /* "name| " before each line */
    bool is_terminal; /* colours, and parts of lines shown by ticks */
    bool colours;
    const atomic_bool *ending; /* set when the process is about to end: see output_write() */

    pthread_mutex_t mutex;           /* guards the members below and all ports */
    const struct console_port *open; /* whose unfinished line stands on the screen; NULL: none */
    bool at_line_start;              /* nothing printed, or the last byte was a newline */
    bool gave_up;                    /* ending, and nobody takes our bytes: the other machines do not wait again */
};

#define CONSOLE_LINE_MAX 65536u

/* One machine's way to the console. */
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

/* The machine printed bytes. 0, or minus an errno as output_write() tells. */
int console_port_write(struct console_port *port, const uint8_t *bytes, size_t length);
/* Show an unfinished line as it is: before waiting for input, and at the end. Same results. */
int console_port_flush(struct console_port *port);

/* Called every few milliseconds: on a terminal, show a line that stayed unfinished since the last tick. Never blocks.
 */
void console_port_tick(struct console_port *port);

/* Begin a fresh line when something else is about to be written to the same terminal. */
void console_end_line(struct console *console);

#endif
