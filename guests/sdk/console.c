#include "console.h"

#include "mh/guest_abi.h"
#include "string.h"
#include "x86.h"

#include <stdint.h>

#define BACKSPACE 0x08
#define DELETE 0x7f /* what the backspace key of most terminals sends */

int putchar(int character)
{
    outb(MH_PORT_SERIAL, (uint8_t)character);
    return (unsigned char)character;
}

/*
 * A loop of single outs, not `rep outsb`: KVM can collect single outs in a buffer and hand them over by the hundred,
 * but leaves the guest for every byte of a rep outsb.
 */
void put_bytes(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        putchar(bytes[i]);
}

int puts(const char *text)
{
    put_bytes(text, strlen(text));
    putchar('\n');
    return 0;
}

int getchar(void)
{
    uint8_t byte = inb(MH_PORT_SERIAL);

    return byte == MH_SERIAL_EOF ? EOF : byte;
}

/* Take back the last byte of a line of `length` bytes, on the screen too. Returns the new length. */
static size_t take_back(size_t length, bool echo)
{
    if (length == 0)
        return 0;
    if (echo)
        put_bytes("\b \b", 3);
    return length - 1;
}

long getline(char *line, size_t size, bool echo)
{
    size_t length = 0;
    int c = getchar();

    line[0] = 0;
    if (c == EOF)
        return EOF;

    for (; c != EOF && c != '\n' && c != '\r'; c = getchar()) {
        if (c == BACKSPACE || c == DELETE) {
            length = take_back(length, echo);
        } else if (length + 1 < size) {
            line[length++] = (char)c;
            if (echo)
                putchar(c);
        }
    }
    if (echo)
        putchar('\n');
    line[length] = 0;
    return (long)length;
}

/* One %-conversion, read off the format. */
struct conversion {
    bool left;  /* flag `-` */
    bool zeros; /* flag `0` */
    bool wide;  /* `l`, `ll` or `z`: the argument is 64 bits wide */
    int width;
    char kind; /* the letter; 0 when the format ended first */
};

/* A va_list that can be handed on by its address: plain ones cannot, where they are arrays. */
struct arguments {
    va_list list;
};

static int put_repeated(char c, int count)
{
    for (int i = 0; i < count; i++)
        putchar(c);
    return count > 0 ? count : 0;
}

/* Print `sign` (one byte, or none when 0) and `length` bytes of text, filled up to the width. Returns the bytes
 * printed. */
static int put_field(const struct conversion *conversion, char sign, const char *text, size_t length)
{
    int used = (int)length + (sign != 0);
    int padding = conversion->width > used ? conversion->width - used : 0;
    bool zeros = conversion->zeros && !conversion->left;

    if (!conversion->left && !zeros)
        put_repeated(' ', padding);
    if (sign)
        putchar(sign);
    if (zeros)
        put_repeated('0', padding);
    put_bytes(text, length);
    if (conversion->left)
        put_repeated(' ', padding);
    return used + padding;
}

static int put_number(const struct conversion *conversion, char sign, uint64_t value, unsigned base)
{
    const char *digits = conversion->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[20]; /* 2^64 has 20 decimal digits */
    char *first = text + sizeof(text);

    do {
        *--first = digits[value % base];
        value /= base;
    } while (value);
    return put_field(conversion, sign, first, (size_t)(text + sizeof(text) - first));
}

static int put_signed(const struct conversion *conversion, int64_t value)
{
    if (value < 0)
        return put_number(conversion, '-', -(uint64_t)value, 10);
    return put_number(conversion, 0, (uint64_t)value, 10);
}

static int put_string(const struct conversion *conversion, const char *text)
{
    struct conversion spaces = *conversion;

    spaces.zeros = false;
    if (!text)
        text = "(null)";
    return put_field(&spaces, 0, text, strlen(text));
}

static int put_pointer(const struct conversion *conversion, const void *pointer)
{
    put_bytes("0x", 2);
    return 2 + put_number(conversion, 0, (uintptr_t)pointer, 16);
}

static int64_t next_signed(const struct conversion *conversion, struct arguments *arguments)
{
    return conversion->wide ? va_arg(arguments->list, int64_t) : va_arg(arguments->list, int);
}

static uint64_t next_unsigned(const struct conversion *conversion, struct arguments *arguments)
{
    return conversion->wide ? va_arg(arguments->list, uint64_t) : va_arg(arguments->list, unsigned);
}

/* Read a conversion, `format` pointing after its %. Returns where the format continues. */
static const char *read_conversion(const char *format, struct conversion *conversion)
{
    *conversion = (struct conversion){0};
    for (; *format == '-' || *format == '0'; format++) {
        if (*format == '-')
            conversion->left = true;
        else
            conversion->zeros = true;
    }
    for (; *format >= '0' && *format <= '9'; format++)
        conversion->width = conversion->width * 10 + (*format - '0');
    for (; *format == 'l' || *format == 'z'; format++)
        conversion->wide = true;
    conversion->kind = *format;
    return *format ? format + 1 : format;
}

/* Print one conversion. Returns the bytes printed, or -1 when there is no such conversion. */
static int put_conversion(const struct conversion *conversion, struct arguments *arguments)
{
    char character;

    switch (conversion->kind) {
    case 'd':
    case 'i':
        return put_signed(conversion, next_signed(conversion, arguments));
    case 'u':
        return put_number(conversion, 0, next_unsigned(conversion, arguments), 10);
    case 'x':
    case 'X':
        return put_number(conversion, 0, next_unsigned(conversion, arguments), 16);
    case 'p':
        return put_pointer(conversion, va_arg(arguments->list, const void *));
    case 's':
        return put_string(conversion, va_arg(arguments->list, const char *));
    case 'c':
        character = (char)va_arg(arguments->list, int);
        return put_field(conversion, 0, &character, 1);
    case '%':
        putchar('%');
        return 1;
    default:
        return -1;
    }
}

int vprintf(const char *format, va_list list)
{
    struct arguments arguments;
    int printed = 0;

    va_copy(arguments.list, list);
    while (*format) {
        struct conversion conversion;
        const char *rest;
        int count;

        if (*format != '%') {
            putchar(*format++);
            printed++;
            continue;
        }
        rest = read_conversion(format + 1, &conversion);
        count = put_conversion(&conversion, &arguments);
        if (count < 0) { /* which argument it was meant for is not known: stop here */
            put_bytes(format, strlen(format));
            printed += (int)strlen(format);
            break;
        }
        printed += count;
        format = rest;
    }
    va_end(arguments.list);
    return printed;
}

int printf(const char *format, ...)
{
    va_list list;
    int printed;

    va_start(list, format);
    printed = vprintf(format, list);
    va_end(list);
    return printed;
}
