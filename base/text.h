/* Text for people, passed in pieces to a sink. */
#ifndef MH_CORE_TEXT_H
#define MH_CORE_TEXT_H

#include "mh/debug_target.h"

struct text_output {
    mh_text_sink *sink;
    void *ctx;
    bool has_color; /* it is shown on a terminal: text_color() may be used */
};

enum text_color {
    TEXT_PLAIN,
    TEXT_DIM,
    TEXT_RED,
    TEXT_GREEN,
    TEXT_YELLOW,
    TEXT_BLUE,
    TEXT_MAGENTA,
    TEXT_CYAN,
};

/* The escape sequence that begins a color, or ends it (TEXT_PLAIN); "" without colors. */
const char *text_color(const struct text_output *output, enum text_color color);

/* Hand on a printf-formatted text; what exceeds 511 bytes is cut. */
void text_say(const struct text_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
