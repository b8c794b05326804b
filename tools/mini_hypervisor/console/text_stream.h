/* Text gathered in memory: what open_memstream() does, with its failures told. */
#ifndef MH_TOOL_TEXT_STREAM_H
#define MH_TOOL_TEXT_STREAM_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Close a stream that open_memstream(text, ...) made; NULL when it could not. Returns true with the text in *text, to
 * be freed. False when there was no memory for all of it: *text is NULL then. fclose() alone does not always tell.
 */
bool text_stream_close(FILE *stream, char **text);

#endif
