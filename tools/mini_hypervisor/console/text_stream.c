#include "console/text_stream.h"

#include <stdlib.h>

bool text_stream_close(FILE *stream, char **text)
{
    /* it may close well and leave no text, when the last thing it did was to make the text shorter */
    if (stream != NULL && fclose(stream) == 0 && *text != NULL)
        return true;
    if (stream != NULL)
        free(*text);
    *text = NULL;
    return false;
}
