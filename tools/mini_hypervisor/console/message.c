#include "console/message.h"

#include "console/output.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_control(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte < 0x20 || byte == 0x7f;
}

#define PREFIX "mini_hypervisor: "
#define BRIEF 512u /* bytes of a message that needs no allocation */

/* Paths and arguments may contain anything. */
static void message_hide_controls(char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (is_control(line[i]) && line[i] != '\n')
            line[i] = '?';
    }
}

static void message_write(char *line, size_t length)
{
    line[length++] = '\n';
    message_hide_controls(line, length);
    output_write(STDERR_FILENO, line, length, NULL);
}

void message(const char *format, ...)
{
    const size_t prefix = sizeof PREFIX - 1;
    char brief[BRIEF + 1] = PREFIX;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int more = vsnprintf(brief + prefix, BRIEF - prefix, format, args);
    size_t length = prefix + (more < 0 ? 0 : (size_t)more);
    char *whole = length < BRIEF ? NULL : malloc(length + 2);
    if (whole != NULL) {
        memcpy(whole, PREFIX, prefix);
        vsnprintf(whole + prefix, length + 1 - prefix, format, again);
        message_write(whole, length);
    } else
        message_write(brief, strlen(brief));
    va_end(again);
    va_end(args);
    free(whole);
}

void message_printable(const char *text, char *to, size_t size)
{
    size_t used = 0;
    for (; *text != '\0' && used + 1 < size; text++) {
        unsigned char byte = (unsigned char)*text;
        to[used] = '?';
        if (byte >= 0x20 && byte != 0x7f)
            to[used] = *text;
        used++;
    }
    to[used] = '\0';
}
