/* Messages on stderr. Each is written by one call, so that those of different threads do not mix. */
#ifndef MH_TOOL_MESSAGE_H
#define MH_TOOL_MESSAGE_H

#include <stddef.h>

/* "mini_hypervisor: " and a printf-formatted line, or several; control bytes other than newlines are replaced
 * by '?'. A long one is cut when there is no memory for it. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copy `text` with '?' for control bytes, so that names cannot control the terminal. Always ends in a NUL. */
void message_printable(const char *text, char *to, size_t size);

#endif
