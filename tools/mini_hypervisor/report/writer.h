/* JSON of any length, written to a file through a buffer. */
#ifndef MH_TOOL_REPORT_WRITER_H
#define MH_TOOL_REPORT_WRITER_H

#include "observe/json_line.h"

#include <stdatomic.h>
#include <stdbool.h>

#define WRITER_BUFFER 65536u
/* What may be put between two calls of writer_line(). */
#define WRITER_LINE 4096u

struct writer {
    int fd;
    const atomic_bool *ending; /* see output_write() */
    int error;                 /* minus an errno, after which nothing more is written */
    struct json_line line;
    char buffer[WRITER_BUFFER];
};

void writer_begin(struct writer *writer, int fd, const atomic_bool *ending);
/* Write what is left. 0, or minus an errno of any write. */
int writer_end(struct writer *writer);

/* Where the next up to WRITER_LINE bytes go. */
struct json_line *writer_line(struct writer *writer);

/* Bytes of any length, as they are. */
void writer_put(struct writer *writer, const void *bytes, size_t length);
/* Bytes of any length, as the inside of a string. */
void writer_put_escaped(struct writer *writer, const void *bytes, size_t length);

/* Members of an object, and elements of an array. */
void writer_key(struct writer *writer, const char *key);
void writer_comma(struct writer *writer); /* unless it would be the first element */
void writer_text(struct writer *writer, const char *key, const char *text);
void writer_number(struct writer *writer, const char *key, uint64_t value);
void writer_hex(struct writer *writer, const char *key, uint64_t value);
void writer_bool(struct writer *writer, const char *key, bool value);
/* "{", "[", "}" or "]". */
void writer_bracket(struct writer *writer, const char *bracket);

#endif
