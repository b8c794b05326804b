/* The memory and string functions every C program leans on; compilers emit calls to the first four by themselves. */
#ifndef SDK_STRING_H
#define SDK_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *left, const void *right, size_t length);

size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t length);
char *strchr(const char *text, int character);

/* Like strcpy, but never writes more than `size` bytes and always ends with a zero. Returns the length of `from`. */
size_t strlcpy(char *to, const char *from, size_t size);

#endif
