#include "string.h"

/*
 * The string instructions are one instruction for any number of bytes. That is fast on every processor, and much faster
 * than a loop where a hypervisor has to emulate each instruction. They also keep the compiler from recognizing a loop
 * as memcpy and making memcpy call itself.
 */
void *memcpy(void *to, const void *from, size_t length)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t length)
{
    unsigned char *last_to = (unsigned char *)to + length - 1;
    const unsigned char *last_from = (const unsigned char *)from + length - 1;

    if ((size_t)to - (size_t)from >= length) /* `to` does not begin inside `from`: forwards is safe */
        return memcpy(to, from, length);

    __asm__ volatile("std\n\t"
                     "rep movsb\n\t"
                     "cld" /* the ABI wants the direction flag clear */
                     : "+D"(last_to), "+S"(last_from), "+c"(length)
                     :
                     : "memory", "cc");
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(byte) : "memory");
    return start;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const unsigned char *a = left;
    const unsigned char *b = right;

    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}

size_t strlen(const char *text)
{
    const volatile char *end = text; /* volatile: or the compiler may make this loop a call of strlen */

    while (*end)
        end++;
    return (size_t)(end - text);
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, (size_t)-1);
}

int strncmp(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char a = (unsigned char)left[i];
        unsigned char b = (unsigned char)right[i];

        if (a != b || a == 0)
            return a - b;
    }
    return 0;
}

char *strchr(const char *text, int character)
{
    for (; *text != (char)character; text++)
        if (*text == 0)
            return NULL;
    return (char *)text;
}

size_t strlcpy(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);

    if (size > 0) {
        size_t copied = length < size ? length : size - 1;

        memcpy(to, from, copied);
        to[copied] = 0;
    }
    return length;
}
