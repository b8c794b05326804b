/* One line of JSON, built without allocating. It has to be quick: a trace writes two lines for each exit. */
#ifndef MH_TOOL_JSON_LINE_H
#define MH_TOOL_JSON_LINE_H

#include <stddef.h>
#include <stdint.h>

/* Where the next byte goes, and where the buffer ends; what does not fit is left out. */
struct json_line {
    char *at;
    char *end;
};

/* The most bytes that `length` bytes of a string become, without quotes. */
#define JSON_ESCAPED_MAX(length) (6u * (length))

/* Text as it is: brackets, and names that need no escapes. */
void json_put(struct json_line *line, const char *text);

/* The name of a member, with a comma before unless it is the first of its object, and the colon. */
void json_put_key(struct json_line *line, const char *key);

/* Values. Hexadecimal ones are strings ("0x1f"): numbers above 2^53 are not exact in JSON. */
void json_put_number(struct json_line *line, uint64_t value);
void json_put_signed(struct json_line *line, int64_t value);
void json_put_hex(struct json_line *line, uint64_t value);
/* Nanoseconds as microseconds with three digits after the point. */
void json_put_microseconds(struct json_line *line, uint64_t ns);
/* Any bytes, each as a character of Latin-1. */
void json_put_string(struct json_line *line, const void *bytes, size_t length);
/* The same without quotes, for a string in pieces. */
void json_put_escaped(struct json_line *line, const void *bytes, size_t length);

#endif
