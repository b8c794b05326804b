/*
 * Phase 1 of the course: the serial port. Prints a line, and then what it reads, in capitals.
 *
 *     echo hello | mini_hypervisor --memory 4 --page 2 --guest guest.img
 */
#include <stdint.h>

#define SERIAL 0xE9
#define END_OF_INPUT 0xFF

static void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static void print(const char *text)
{
    for (; *text != '\0'; text++)
        outb(SERIAL, (uint8_t)*text);
}

static uint8_t capital(uint8_t byte)
{
    return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

int main(void)
{
    uint8_t byte;

    print("phase 1: type something\n");
    while ((byte = inb(SERIAL)) != END_OF_INPUT)
        outb(SERIAL, capital(byte));
    print("phase 1: done\n");
    return 0;
}
