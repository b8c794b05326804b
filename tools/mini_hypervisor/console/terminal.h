/*
 * The terminal on stdin. It is not changed before a guest first reads. From then on keys reach the guest one by one and
 * are not echoed, as on a real serial line; Ctrl-C, Ctrl-\ and Ctrl-Z keep their meaning, and Ctrl-D ends the input.
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
    bool changed;          /* the terminal is in our mode; `saved` is its original one */
    bool wanted;           /* a guest reads: set our mode again after Ctrl-Z and fg */
    struct termios saved;
};

void terminal_init(struct terminal *terminal, int fd);

/* Called before a guest waits for a key. */
void terminal_prepare(struct terminal *terminal);

/* Restore the original mode, at the end and before the process is stopped. Works in the background too. */
void terminal_restore(struct terminal *terminal);

/* The process was continued: set our mode again if a guest has been reading. */
void terminal_resume(struct terminal *terminal);

/* True when `byte`, read from the terminal in our mode, means the end of the input. */
bool terminal_is_end(struct terminal *terminal, unsigned char byte);

#endif
