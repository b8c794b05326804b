/* Closing the streams of open_memstream() without missing its failures. */
#ifndef MH_TOOL_TEXT_STREAM_H
#define MH_TOOL_TEXT_STREAM_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Close what open_memstream(text, ...) returned, also NULL. Returns true with the text in *text, to be freed, or false
 * with *text NULL when there was not enough memory. fclose() alone does not report every such failure.
 */
bool text_stream_close(FILE *stream, char **text);

#endif
