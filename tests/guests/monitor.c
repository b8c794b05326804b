/*
 * Does what the test asks for, a command at a time, read from the serial port. A command is a letter and its arguments,
 * little-endian:
 *
 *   p address:8 length:4 bytes   put them into memory; answers '.'
 *   g address:8 length:4         get memory; answers the bytes
 *   o port:2 width:1 value:4     OUT; answers '.'
 *   i port:2 width:1             IN; answers the value:4
 *   w length:4 bytes             write them to the file port one by one; answers '.'
 *   r length:4                   read that many from the file port; answers the bytes
 *   h, x, s                      halt; an invalid opcode; spin. The end of the input halts, too.
 */
#include <stdint.h>

#define SERIAL 0xe9
#define FILES 0x278

static void out8(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static uint64_t get(unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)in8(SERIAL) << (8 * i);
    return value;
}

static void out(uint16_t port, uint8_t width, uint32_t value)
{
    if (width == 1)
        asm volatile("outb %b0, %w1" : : "a"(value), "Nd"(port) : "memory");
    else if (width == 2)
        asm volatile("outw %w0, %w1" : : "a"(value), "Nd"(port) : "memory");
    else
        asm volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static uint32_t in(uint16_t port, uint8_t width)
{
    uint32_t value = 0;
    if (width == 1)
        asm volatile("inb %w1, %b0" : "+a"(value) : "Nd"(port) : "memory");
    else if (width == 2)
        asm volatile("inw %w1, %w0" : "+a"(value) : "Nd"(port) : "memory");
    else
        asm volatile("inl %w1, %0" : "+a"(value) : "Nd"(port) : "memory");
    return value;
}

static void answer_number(uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out8(SERIAL, (uint8_t)(value >> (8 * i)));
}

static void command(uint8_t letter)
{
    uint64_t address;
    uint32_t length;
    uint16_t port;
    uint8_t width;
    switch (letter) {
    case 'p':
        address = get(8);
        for (length = (uint32_t)get(4); length > 0; length--)
            *(volatile uint8_t *)address++ = in8(SERIAL);
        out8(SERIAL, '.');
        break;
    case 'g':
        address = get(8);
        for (length = (uint32_t)get(4); length > 0; length--)
            out8(SERIAL, *(volatile uint8_t *)address++);
        break;
    case 'o':
        port = (uint16_t)get(2);
        width = (uint8_t)get(1);
        out(port, width, (uint32_t)get(4));
        out8(SERIAL, '.');
        break;
    case 'i':
        port = (uint16_t)get(2);
        width = (uint8_t)get(1);
        answer_number(in(port, width));
        break;
    case 'w':
        for (length = (uint32_t)get(4); length > 0; length--)
            out8(FILES, in8(SERIAL));
        out8(SERIAL, '.');
        break;
    case 'r':
        for (length = (uint32_t)get(4); length > 0; length--)
            out8(SERIAL, in8(FILES));
        break;
    case 'h':
    case 0xff:
        asm volatile("hlt");
        break;
    case 'x':
        asm volatile("ud2");
        break;
    case 's':
        for (;;)
            asm volatile("pause");
    default:
        out8(SERIAL, '?');
    }
}

__attribute__((section(".start"), noreturn)) void _start(void)
{
    for (;;)
        command(in8(SERIAL));
}
