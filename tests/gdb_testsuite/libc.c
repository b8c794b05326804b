/*
 * The part of a C library that gdb's test programs need, behind glibc's headers. The SDK's string.c has the memory
 * functions, and its console.c prints; its printf is called sdk_printf here, as it has no floating point. There are no
 * signals, processes or files: programs that need them do not link, and their tests are reported as untested.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

FILE *stdin, *stdout, *stderr;

void _exit(int status)
{
    (void)status; /* a machine has no exit status */
    for (;;)
        __asm__ volatile("hlt");
}

void exit(int status)
{
    _exit(status);
}

void abort(void)
{
    for (;;)
        __asm__ volatile("ud2");
}

/*
 * The memory behind the program, so that it belongs to no symbol, which some tests would see. It is never given back. A
 * word in front of each piece has its size.
 */
#define HEAP_SIZE (4u << 20)

void *malloc(size_t size)
{
    extern char guest_end[]; /* of guest.ld */
    static size_t used;
    size_t whole = (size + 31) & ~(size_t)15;
    if (size > HEAP_SIZE || whole > HEAP_SIZE - used)
        return NULL;
    char *piece = guest_end + used;
    used += whole;
    *(size_t *)piece = size;
    return piece + 16;
}

void free(void *piece)
{
    (void)piece;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* zero, as it is never used twice */
}

void *realloc(void *piece, size_t size)
{
    void *grown = malloc(size);
    if (grown != NULL && piece != NULL) {
        size_t old = *(size_t *)((char *)piece - 16);
        memcpy(grown, piece, old < size ? old : size);
    }
    return grown;
}

char *strcpy(char *to, const char *from)
{
    return memcpy(to, from, strlen(from) + 1);
}

char *strcat(char *to, const char *from)
{
    strcpy(to + strlen(to), from);
    return to;
}

int atoi(const char *text)
{
    int number = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        number = 10 * number + (*text - '0');
    return number;
}

char *strncpy(char *to, const char *from, size_t length)
{
    size_t i = 0;
    for (; i < length && from[i] != '\0'; i++)
        to[i] = from[i];
    memset(to + i, 0, length - i);
    return to;
}

int sdk_printf(const char *format, ...);

static int print_double(double value)
{
    int length = 0;
    if (value < 0) {
        length += sdk_printf("-");
        value = -value;
    }
    value += 0.0000005;
    long whole = (long)value;
    return length + sdk_printf("%ld.%06ld", whole, (long)((value - (double)whole) * 1000000));
}

/* One conversion at a time goes to the SDK, with what is in front of it. Integers of any width can be passed as long.
 */
int vprintf(const char *format, va_list arguments)
{
    int length = 0;
    while (*format != '\0') {
        char part[256] = "";
        size_t at = 0;
        while (*format != '\0' && *format != '%' && at < sizeof part - 32)
            part[at++] = *format++;
        size_t conversion = at;
        if (*format == '%') {
            do
                part[at++] = *format++;
            while (*format != '\0' && strchr("diuxXpscfFeEgG%", *format) == NULL && at < sizeof part - 2);
            part[at++] = *format++;
        }
        bool is_double = at > conversion && strchr("fFeEgG", part[at - 1]) != NULL;
        bool takes_none = at == conversion || part[at - 1] == '%';
        part[is_double ? conversion : at] = '\0';
        length += is_double || takes_none ? sdk_printf(part) : sdk_printf(part, va_arg(arguments, long));
        if (is_double)
            length += print_double(va_arg(arguments, double));
    }
    return length;
}

int printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vprintf(format, arguments);
    va_end(arguments);
    return length;
}

int fprintf(FILE *file, const char *format, ...)
{
    va_list arguments;
    (void)file;
    va_start(arguments, format);
    int length = vprintf(format, arguments);
    va_end(arguments);
    return length;
}

int fputs(const char *text, FILE *file)
{
    return fprintf(file, "%s", text);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    (void)file;
    for (size_t i = 0; i < size * count; i++)
        putchar(((const char *)data)[i]);
    return count;
}

int fputc(int character, FILE *file)
{
    (void)file;
    return putchar(character);
}

int fflush(FILE *file)
{
    (void)file;
    return 0;
}

int setvbuf(FILE *file, char *buffer, int mode, size_t size)
{
    (void)file, (void)buffer, (void)mode, (void)size;
    return 0;
}

void setbuf(FILE *file, char *buffer)
{
    (void)file, (void)buffer;
}

int fileno(FILE *file)
{
    (void)file;
    return 0;
}

/* Files are the serial port. */
ssize_t write(int fd, const void *data, size_t length)
{
    (void)fd;
    return (ssize_t)fwrite(data, 1, length, NULL);
}

ssize_t read(int fd, void *data, size_t length)
{
    char *to = data;
    size_t got = 0;
    (void)fd;
    while (got < length && (got == 0 || to[got - 1] != '\n')) {
        int character = getchar();
        if (character < 0)
            break;
        to[got++] = (char)character;
    }
    return (ssize_t)got;
}

int isatty(int fd)
{
    (void)fd;
    return 1;
}

char *getenv(const char *name)
{
    (void)name;
    return NULL;
}

pid_t getpid(void)
{
    return 1;
}

/* There is no clock: limits that programs set themselves never come, and they wait as long as it takes to say so. */
unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

unsigned sleep(unsigned seconds)
{
    (void)seconds;
    return 0;
}

int usleep(useconds_t microseconds)
{
    (void)microseconds;
    return 0;
}
