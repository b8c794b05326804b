#include "console/console.h"

#include "console/output.h"
#include "console/text_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void console_init(struct console *console, int fd, bool by_line, bool labels, const atomic_bool *ending)
{
    *console = (struct console){
        .fd = fd,
        .by_line = by_line,
        .labels = labels,
        .is_terminal = isatty(fd) == 1,
        .ending = ending,
        .at_line_start = true,
    };
    const char *no_colour = getenv("NO_COLOR");
    console->colours = console->is_terminal && (no_colour == NULL || *no_colour == '\0');
    pthread_mutex_init(&console->mutex, NULL);
}

void console_destroy(struct console *console)
{
    pthread_mutex_destroy(&console->mutex);
}

void console_port_init(struct console_port *port, struct console *console, const char *label, unsigned number)
{
    *port = (struct console_port){.console = console, .label = label, .colour = 31 + number % 6};
}

void console_port_destroy(struct console_port *port)
{
    free(port->line);
    port->line = NULL;
}

static int console_put(struct console *console, const void *bytes, size_t length)
{
    if (length == 0)
        return 0;
    if (console->gave_up)
        return -EINTR;
    console->at_line_start = ((const char *)bytes)[length - 1] == '\n';
    int result = output_write(console->fd, bytes, length, console->ending);
    console->gave_up = result == -EINTR;
    return result;
}

static void console_port_add_label(const struct console_port *port, FILE *text)
{
    if (!port->console->labels)
        return;
    if (port->console->colours)
        fprintf(text, "\033[%um%s|\033[0m ", port->colour, port->label);
    else
        fprintf(text, "%s| ", port->label);
}

/* Write the first `length` bytes that are held back: whole lines, or the part of one that is due now. */
static int console_port_emit(struct console_port *port, size_t length)
{
    struct console *console = port->console;
    char *composed = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&composed, &size);
    if (text == NULL)
        return -errno;
    bool continues = console->open == port;
    if (console->open != NULL && !continues)
        fputc('\n', text);
    for (size_t at = 0; at < length;) {
        const char *newline = memchr(port->line + at, '\n', length - at);
        size_t end = newline == NULL ? length : (size_t)(newline - port->line) + 1;
        if (!continues)
            console_port_add_label(port, text);
        continues = false;
        fwrite(port->line + at, 1, end - at, text);
        at = end;
    }
    if (!text_stream_close(text, &composed))
        return -ENOMEM; /* keep the bytes: there may be memory later */
    int result = console_put(console, composed, size);
    free(composed);
    console->open = length > 0 && port->line[length - 1] != '\n' ? port : NULL;
    port->length -= length;
    memmove(port->line, port->line + length, port->length);
    return result;
}

static int console_port_reserve(struct console_port *port, size_t more)
{
    if (port->capacity - port->length >= more)
        return 0;
    size_t capacity = (port->length + more + 1023) & ~(size_t)1023;
    char *line = realloc(port->line, capacity);
    if (line == NULL)
        return -ENOMEM;
    port->line = line;
    port->capacity = capacity;
    return 0;
}

static int console_port_write_lines(struct console_port *port, const uint8_t *bytes, size_t length)
{
    int result = console_port_reserve(port, length);
    if (result < 0)
        return result;
    memcpy(port->line + port->length, bytes, length);
    port->length += length;
    port->held_since_tick = false;
    if (port->length >= CONSOLE_LINE_MAX)
        return console_port_emit(port, port->length);
    const char *newline = memrchr(port->line, '\n', port->length);
    return newline == NULL ? 0 : console_port_emit(port, (size_t)(newline - port->line) + 1);
}

int console_port_write(struct console_port *port, const uint8_t *bytes, size_t length)
{
    struct console *console = port->console;
    pthread_mutex_lock(&console->mutex);
    int result = console->by_line ? console_port_write_lines(port, bytes, length) : console_put(console, bytes, length);
    pthread_mutex_unlock(&console->mutex);
    return result;
}

int console_port_flush(struct console_port *port)
{
    struct console *console = port->console;
    pthread_mutex_lock(&console->mutex);
    int result = port->length > 0 ? console_port_emit(port, port->length) : 0;
    pthread_mutex_unlock(&console->mutex);
    return result;
}

/* A terminal stopped with Ctrl-S is not writable; the thread that ticks must not wait for it. */
static bool is_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    return poll(&poll_fd, 1, 0) == 1;
}

void console_port_tick(struct console_port *port)
{
    struct console *console = port->console;
    if (!console->is_terminal || !console->by_line || pthread_mutex_trylock(&console->mutex) != 0)
        return;
    if (port->length > 0 && port->held_since_tick && is_writable(console->fd))
        console_port_emit(port, port->length);
    port->held_since_tick = port->length > 0;
    pthread_mutex_unlock(&console->mutex);
}

void console_end_line(struct console *console)
{
    if (!console->is_terminal)
        return;
    pthread_mutex_lock(&console->mutex);
    if (!console->at_line_start)
        console_put(console, "\n", 1);
    console->open = NULL;
    pthread_mutex_unlock(&console->mutex);
}
