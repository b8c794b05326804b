#include "console/text_stream.h"

#include <stdlib.h>

bool text_stream_close(FILE *stream, char **text)
{
    /* fclose() can succeed and leave no text, when making the buffer shorter was the last thing it did */
    if (stream != NULL && fclose(stream) == 0 && *text != NULL)
        return true;
    if (stream != NULL)
        free(*text);
    *text = NULL;
    return false;
}
