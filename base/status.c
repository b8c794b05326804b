#include "mh/status.h"

#include <stdio.h>
#include <string.h>

enum mh_status mh_fail(struct mh_error *err, enum mh_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    for (char *c = err->text; *c != '\0'; c++) {
        if (*c == '\n')
            *c = '?'; /* names may hold anything, but an error is one line */
    }
    return status;
}

enum mh_status mh_fail_in(struct mh_error *err, const char *format, ...)
{
    char text[sizeof err->text];
    memcpy(text, err->text, sizeof text);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t prefix = used < 0 ? 0 : (size_t)used;
    if (prefix < sizeof err->text)
        snprintf(err->text + prefix, sizeof err->text - prefix, "%s", text);
    return err->status;
}
