/* Text for people, passed in pieces to a sink. */
#ifndef MH_CORE_TEXT_H
#define MH_CORE_TEXT_H

#include "mh/debug_target.h"

struct text_output {
    mh_text_sink *sink;
    void *ctx;
};

/* Hand on a printf-formatted text; what exceeds 511 bytes is cut. */
void text_say(const struct text_output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
