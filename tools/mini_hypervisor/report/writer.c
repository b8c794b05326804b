#include "report/writer.h"

#include "console/output.h"

#include <string.h>

void writer_begin(struct writer *writer, int fd, const atomic_bool *ending)
{
    writer->fd = fd;
    writer->ending = ending;
    writer->error = 0;
    /* json_put_key() looks at the byte before */
    writer->buffer[0] = '\n';
    writer->line = (struct json_line){.at = writer->buffer + 1, .end = writer->buffer + WRITER_BUFFER};
}

/* The last byte stays, for json_put_key(). */
static void writer_flush(struct writer *writer)
{
    const size_t length = (size_t)(writer->line.at - writer->buffer) - 1;
    if (length > 0 && writer->error == 0)
        writer->error = output_write(writer->fd, writer->buffer + 1, length, writer->ending);
    writer->buffer[0] = writer->line.at[-1];
    writer->line.at = writer->buffer + 1;
}

int writer_end(struct writer *writer)
{
    writer_flush(writer);
    return writer->error;
}

struct json_line *writer_line(struct writer *writer)
{
    if ((size_t)(writer->line.end - writer->line.at) < WRITER_LINE)
        writer_flush(writer);
    return &writer->line;
}

void writer_put(struct writer *writer, const void *bytes, size_t length)
{
    const char *from = bytes;
    while (length > 0) {
        struct json_line *line = writer_line(writer);
        const size_t room = (size_t)(line->end - line->at), piece = length < room ? length : room;
        memcpy(line->at, from, piece);
        line->at += piece;
        from += piece;
        length -= piece;
    }
}

void writer_put_escaped(struct writer *writer, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    while (length > 0) {
        const size_t most = WRITER_LINE / JSON_ESCAPED_MAX(1), piece = length < most ? length : most;
        json_put_escaped(writer_line(writer), from, piece);
        from += piece;
        length -= piece;
    }
}

void writer_key(struct writer *writer, const char *key)
{
    json_put_key(writer_line(writer), key);
}

void writer_comma(struct writer *writer)
{
    struct json_line *line = writer_line(writer);
    if (line->at[-1] != '[')
        json_put(line, ",");
}

void writer_text(struct writer *writer, const char *key, const char *text)
{
    writer_key(writer, key);
    writer_put(writer, "\"", 1);
    writer_put_escaped(writer, text, strlen(text));
    writer_put(writer, "\"", 1);
}

void writer_number(struct writer *writer, const char *key, uint64_t value)
{
    writer_key(writer, key);
    json_put_number(&writer->line, value);
}

void writer_hex(struct writer *writer, const char *key, uint64_t value)
{
    writer_key(writer, key);
    json_put_hex(&writer->line, value);
}

void writer_bool(struct writer *writer, const char *key, bool value)
{
    writer_key(writer, key);
    json_put(&writer->line, value ? "true" : "false");
}

void writer_bracket(struct writer *writer, const char *bracket)
{
    json_put(writer_line(writer), bracket);
}
