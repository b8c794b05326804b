/* Text through the serial port: a guest prints to the hypervisor's stdout and reads its stdin. */
#ifndef SDK_CONSOLE_H
#define SDK_CONSOLE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define EOF (-1)

/* Print one byte. Returns it. */
int putchar(int character);

/* Print `text` and a newline. Returns 0. */
int puts(const char *text);

/* Print `length` bytes, whatever they are. */
void put_bytes(const char *bytes, size_t length);

/*
 * Wait for the next byte of the input. Returns 0 to 254, or EOF at its end.
 * The port says "end" with the byte 0xff, so an input that contains this byte ends there too.
 */
int getchar(void);

/*
 * Read a line of at most size - 1 bytes into `line`: without its newline, ended by a zero; what is too much is dropped.
 * The backspace key takes the last byte back. With `echo`, every byte is printed as it arrives: a terminal does not
 * show by itself what is typed to a guest.
 * Returns the length of the line, or EOF when the input ended before the line began; then `line` is empty.
 */
long getline(char *line, size_t size, bool echo);

/*
 * printf with %d %i %u %x %X %p %s %c and %%; `l`, `ll` and `z` for wide numbers; a width, and the flags `-` (align
 * left) and `0` (pad with zeros). A conversion it does not know is printed as it stands, and nothing more.
 * Returns the number of bytes printed.
 */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

#endif
