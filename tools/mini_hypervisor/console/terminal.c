#include "console/terminal.h"

#include <signal.h>
#include <unistd.h>

void terminal_init(struct terminal *terminal, int fd)
{
    *terminal = (struct terminal){.fd = fd, .is_terminal = isatty(fd) == 1};
    pthread_mutex_init(&terminal->mutex, NULL);
}

/* The caller holds the mutex. */
static void terminal_set_mode(struct terminal *terminal)
{
    /* in the background read() will stop us; until then the terminal belongs to another job */
    if (terminal->changed || tcgetpgrp(terminal->fd) != getpgrp() || tcgetattr(terminal->fd, &terminal->saved) != 0)
        return;
    struct termios mode = terminal->saved;
    mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    terminal->changed = tcsetattr(terminal->fd, TCSANOW, &mode) == 0;
}

void terminal_prepare(struct terminal *terminal)
{
    if (!terminal->is_terminal)
        return;
    pthread_mutex_lock(&terminal->mutex);
    terminal->wanted = true;
    terminal_set_mode(terminal);
    pthread_mutex_unlock(&terminal->mutex);
}

void terminal_restore(struct terminal *terminal)
{
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTOU); /* it would stop us when we are in the background */
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    pthread_mutex_lock(&terminal->mutex);
    if (terminal->changed)
        tcsetattr(terminal->fd, TCSANOW, &terminal->saved);
    terminal->changed = false;
    pthread_mutex_unlock(&terminal->mutex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void terminal_resume(struct terminal *terminal)
{
    pthread_mutex_lock(&terminal->mutex);
    if (terminal->wanted)
        terminal_set_mode(terminal);
    pthread_mutex_unlock(&terminal->mutex);
}

bool terminal_is_end(struct terminal *terminal, unsigned char byte)
{
    pthread_mutex_lock(&terminal->mutex);
    bool is_end = terminal->changed && byte == terminal->saved.c_cc[VEOF];
    pthread_mutex_unlock(&terminal->mutex);
    return is_end;
}
