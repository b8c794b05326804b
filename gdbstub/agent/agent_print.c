/*
 * printf for agent expressions. The format comes from the debugger, the arguments possibly from the guest, so neither
 * is passed to the C library as it is: each conversion is parsed, checked and rebuilt.
 */
#include "agent/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIELD_MAX 1000 /* of width and precision */
#define PIECE 64u      /* bytes of a string read at once; an aligned piece never crosses a page boundary */

struct output {
    size_t length;
    char text[AGENT_OUTPUT_MAX + 1]; /* and the terminator of snprintf() */
};

/* One conversion of a format. */
struct conversion {
    char flags[8];
    int width;
    int precision; /* -1: none */
    unsigned bits; /* of the argument */
    char type;
};

struct format {
    const char *at, *end;
};

static enum mh_status format_fail(struct mh_error *err, const char *what)
{
    return mh_fail(err, MH_ERR_USAGE, "printf: %s", what);
}

static void output_put(struct output *output, char c)
{
    if (output->length < AGENT_OUTPUT_MAX)
        output->text[output->length++] = c;
}

/* --- parsing the format --- */

/* Return the character of an escape sequence, 0 if it is not known. */
static char format_unescape(char c)
{
    static const char names[] = "abefnrtv\\\"'", values[] = "\a\b\033\f\n\r\t\v\\\"'";
    const char *found = c ? strchr(names, c) : NULL;

    return found != NULL ? values[found - names] : '\0';
}

static bool format_eat(struct format *format, char c)
{
    bool there = format->at < format->end && *format->at == c;

    format->at += there;
    return there;
}

/* Returns false if the number is unreasonably large. */
static bool format_read_number(struct format *format, int *number)
{
    for (*number = 0; format->at < format->end && *format->at >= '0' && *format->at <= '9'; format->at++) {
        *number = *number * 10 + (*format->at - '0');
        if (*number > FIELD_MAX)
            return false;
    }
    return true;
}

static void format_read_flags(struct format *format, struct conversion *conversion)
{
    size_t count = 0;

    while (format->at < format->end && *format->at && strchr("-+ #0", *format->at) != NULL) {
        if (strchr(conversion->flags, *format->at) == NULL && count < sizeof conversion->flags - 1)
            conversion->flags[count++] = *format->at;
        format->at++;
    }
}

static unsigned format_read_bits(struct format *format)
{
    if (format_eat(format, 'h'))
        return format_eat(format, 'h') ? 8 : 16;
    if (format_eat(format, 'l'))
        return format_eat(format, 'l'), 64;
    return format_eat(format, 'z') || format_eat(format, 'j') || format_eat(format, 't') ? 64 : 32;
}

/* Parse what follows a '%'. Returns false if the conversion is not known. */
static bool format_read_conversion(struct format *format, struct conversion *conversion)
{
    *conversion = (struct conversion){.precision = -1};
    format_read_flags(format, conversion);
    if (!format_read_number(format, &conversion->width))
        return false;
    if (format_eat(format, '.') && !format_read_number(format, &conversion->precision))
        return false;
    conversion->bits = format_read_bits(format);
    if (format->at == format->end)
        return false;
    conversion->type = *format->at++;
    if (conversion->type == 'c' || conversion->type == 's' || conversion->type == 'p')
        return conversion->bits == 32 && strspn(conversion->flags, "-") == strlen(conversion->flags);
    return conversion->type && strchr("diouxX", conversion->type) != NULL;
}

/* --- conversions --- */

#define SPEC_MAX 24u

/* Write the conversion for snprintf(), with width and precision as arguments and `modifier` before its type. */
static void conversion_write_spec(const struct conversion *conversion, const char *modifier, char spec[SPEC_MAX])
{
    snprintf(spec, SPEC_MAX, "%%%s*.*%s%c", conversion->flags, modifier, conversion->type);
}

/* Count what snprintf() has appended, cut off where the buffer ends. */
static void output_advance(struct output *output, int printed)
{
    size_t room = AGENT_OUTPUT_MAX - output->length;

    if (printed > 0)
        output->length += (size_t)printed < room ? (size_t)printed : room;
}

static void output_number(struct output *output, const struct conversion *conversion, uint64_t value)
{
    size_t room = sizeof output->text - output->length;
    char spec[SPEC_MAX];

    conversion_write_spec(conversion, "ll", spec);
    value <<= 64 - conversion->bits;
    if (conversion->type == 'd' || conversion->type == 'i')
        value = (uint64_t)((int64_t)value >> (64 - conversion->bits));
    else
        value >>= 64 - conversion->bits;
    output_advance(output, snprintf(output->text + output->length, room, spec, conversion->width, conversion->precision,
                                    (long long)value));
}

static void output_character(struct output *output, const struct conversion *conversion, uint64_t value)
{
    size_t room = sizeof output->text - output->length;
    char spec[SPEC_MAX];

    conversion_write_spec(conversion, "", spec);
    output_advance(output, snprintf(output->text + output->length, room, spec, conversion->width, conversion->precision,
                                    (int)(uint8_t)value));
}

static void output_text(struct output *output, const struct conversion *conversion, const char *text)
{
    size_t room = sizeof output->text - output->length;
    char spec[SPEC_MAX];

    conversion_write_spec(conversion, "", spec);
    output_advance(output,
                   snprintf(output->text + output->length, room, spec, conversion->width, conversion->precision, text));
}

/* Copy a string from the guest, at most `most` bytes, and terminate it. Returns false if a part is not mapped. */
static bool guest_read_string(const struct agent_ops *ops, uint64_t address, char *to, size_t most)
{
    size_t length = 0;

    while (length < most) {
        size_t piece = PIECE - (address + length) % PIECE;

        piece = piece < most - length ? piece : most - length;
        if (!ops->read_memory(ops->ctx, address + length, to + length, piece))
            return false;
        if (memchr(to + length, '\0', piece) != NULL)
            return true;
        length += piece;
    }
    to[length] = '\0';
    return true;
}

static enum mh_status output_guest_string(const struct agent_ops *ops, struct output *output,
                                          const struct conversion *conversion, uint64_t address, struct mh_error *err)
{
    size_t most = AGENT_OUTPUT_MAX - output->length;
    char text[AGENT_OUTPUT_MAX + 1] = "(null)";

    if (conversion->precision >= 0 && (size_t)conversion->precision < most)
        most = (size_t)conversion->precision;
    if (address != 0 && !guest_read_string(ops, address, text, most))
        return mh_fail(err, MH_ERR_RANGE, "printf: cannot read the string at 0x%" PRIx64, address);
    output_text(output, conversion, text);
    return MH_OK;
}

static void output_pointer(struct output *output, struct conversion *conversion, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "0x%" PRIx64, value);
    conversion->type = 's';
    conversion->precision = -1;
    output_text(output, conversion, text);
}

static enum mh_status output_convert(const struct agent_ops *ops, struct output *output, struct conversion *conversion,
                                     uint64_t value, struct mh_error *err)
{
    if (conversion->type == 's')
        return output_guest_string(ops, output, conversion, value, err);
    if (conversion->type == 'c')
        output_character(output, conversion, value);
    else if (conversion->type == 'p')
        output_pointer(output, conversion, value);
    else
        output_number(output, conversion, value);
    return MH_OK;
}

/* Output one character that is not part of a conversion. Returns false if an escape sequence is not known. */
static bool output_literal(struct format *format, struct output *output)
{
    char c = *format->at++;

    if (c == '\\') {
        c = format->at < format->end ? format_unescape(*format->at++) : '\0';
        if (!c)
            return false;
    }
    output_put(output, c);
    return true;
}

enum mh_status agent_print(const struct agent_ops *ops, const char *format, size_t length, const uint64_t *arguments,
                           unsigned count, struct mh_error *err)
{
    struct format rest = {format, format + length};
    struct output output;
    struct conversion conversion;
    enum mh_status status = MH_OK;

    output.length = 0;
    while (rest.at < rest.end && status == MH_OK) {
        if (!format_eat(&rest, '%')) {
            if (!output_literal(&rest, &output))
                return format_fail(err, "unknown escape sequence");
        } else if (format_eat(&rest, '%')) {
            output_put(&output, '%');
        } else {
            if (!format_read_conversion(&rest, &conversion))
                return format_fail(err, "unknown conversion");
            if (count-- == 0)
                return format_fail(err, "more conversions than arguments");
            status = output_convert(ops, &output, &conversion, *arguments++, err);
        }
    }
    if (status == MH_OK && ops->print != NULL && output.length > 0)
        ops->print(ops->ctx, output.text, output.length);
    return status;
}
