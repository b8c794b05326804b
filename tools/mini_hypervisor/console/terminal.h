/*
 * The terminal on stdin. It is left alone until a guest first reads; then keys reach the guest one by one and without
 * being echoed, as on a real serial line, while Ctrl-C, Ctrl-\ and Ctrl-Z keep their meaning and Ctrl-D ends the input.
 */
#ifndef MH_TOOL_TERMINAL_H
#define MH_TOOL_TERMINAL_H

#include <pthread.h>
#include <stdbool.h>
#include <termios.h>

struct terminal {
    int fd;
    bool is_terminal;
    pthread_mutex_t mutex; /* guards the members below */
    bool changed;          /* the terminal is in our mode; `saved` holds its own */
    bool wanted;           /* a guest reads: after Ctrl-Z and fg our mode is to come back */
    struct termios saved;
};

void terminal_init(struct terminal *terminal, int fd);

/* Called before a guest waits for a key. */
void terminal_prepare(struct terminal *terminal);

/* Give the terminal back as it was: at the end, and before the process is stopped. Works from the background too. */
void terminal_restore(struct terminal *terminal);

/* After the process was continued: take the terminal again if a guest had been reading from it. */
void terminal_resume(struct terminal *terminal);

/* True when `byte`, read from the terminal in our mode, means the end of the input. */
bool terminal_is_end(struct terminal *terminal, unsigned char byte);

#endif
