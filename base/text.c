#include "text.h"

#include <stdarg.h>
#include <stdio.h>

void text_say(const struct text_output *output, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length > 0)
        output->sink(output->ctx, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

const char *text_color(const struct text_output *output, enum text_color color)
{
    /* the eight colors that every terminal has, in the shades its user chose (ECMA-48, 8.3.117) */
    static const char *const sequences[] = {
        [TEXT_PLAIN] = "\033[0m",   [TEXT_DIM] = "\033[2m",   [TEXT_RED] = "\033[31m",     [TEXT_GREEN] = "\033[32m",
        [TEXT_YELLOW] = "\033[33m", [TEXT_BLUE] = "\033[34m", [TEXT_MAGENTA] = "\033[35m", [TEXT_CYAN] = "\033[36m"};
    return output->has_color ? sequences[color] : "";
}
