#include "message.h"

#include "output.h"

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

void message(const char *format, ...)
{
    char *line = NULL;
    size_t length = 0;
    FILE *text = open_memstream(&line, &length);
    if (text == NULL)
        return;
    fputs("mini_hypervisor: ", text);
    va_list args;
    va_start(args, format);
    vfprintf(text, format, args);
    va_end(args);
    fputc('\n', text);
    if (fclose(text) == 0) {
        for (size_t i = 0; i < length; i++) { /* paths and words of the command line may hold anything */
            if (is_control(line[i]) && line[i] != '\n')
                line[i] = '?';
        }
        output_write(STDERR_FILENO, line, length, NULL);
    }
    free(line);
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
