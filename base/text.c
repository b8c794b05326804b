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
