/* Lines on stderr for the person at the terminal. Each leaves in one write, so that threads do not mix theirs. */
#ifndef MH_TOOL_MESSAGE_H
#define MH_TOOL_MESSAGE_H

#include <stddef.h>

/* "mini_hypervisor: " and a printf-formatted line, or several; other control bytes than newlines come out as '?'.
 * Without memory a long one is cut. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copy `text` with control bytes as '?', so that names cannot steer the terminal. Always ends in a NUL. */
void message_printable(const char *text, char *to, size_t size);

#endif
