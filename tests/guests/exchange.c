/*
 * Takes part in the exchange as the test asks for, a command at a time, read from the serial port with interrupts off:
 *
 *   o port:2 width:1 value:4     OUT; answers '.'
 *   i port:2 width:1             IN; answers the value:4
 *   d                            load an IDT with a handler that counts; answers '.'
 *   b                            load an IDT that has room for nothing; answers '.'
 *   n                            STI, HLT, CLI: wait for an interrupt; answers how many there were:4
 *   e                            STI, an OUT, CLI: take one that is there; answers how many there were:4
 *   h                            halt. The end of the input halts, too.
 */
#include "interrupts.h"
#include "x86.h"

#define VECTOR MH_VECTOR_EXCHANGE

static struct idt_gate idt[VECTOR + 1];
static volatile uint32_t interrupts;

__attribute__((interrupt)) static void count(struct interrupt_frame *frame)
{
    (void)frame;
    interrupts++;
}

static uint32_t get(unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)inb(MH_PORT_SERIAL) << (8 * i);
    return value;
}

static void put(uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        outb(MH_PORT_SERIAL, (uint8_t)(value >> (8 * i)));
}

static void out(uint16_t port, unsigned width, uint32_t value)
{
    if (width == 1)
        outb(port, (uint8_t)value);
    else if (width == 2)
        __asm__ volatile("outw %w0, %w1" : : "a"(value), "d"(port) : "memory");
    else
        outl(port, value);
}

static uint32_t in(uint16_t port, unsigned width)
{
    uint32_t value = 0;
    if (width == 1)
        return inb(port);
    if (width == 2)
        __asm__ volatile("inw %w1, %w0" : "+a"(value) : "d"(port) : "memory");
    else
        value = inl(port);
    return value;
}

static void command(uint8_t letter)
{
    const struct table_pointer nothing = {.limit = 0, .base = (uintptr_t)idt};
    uint16_t port;
    unsigned width;
    switch (letter) {
    case 'o':
        port = (uint16_t)get(2);
        width = get(1);
        out(port, width, get(4));
        break;
    case 'i':
        port = (uint16_t)get(2);
        put(in(port, get(1)));
        return;
    case 'd':
        idt_set(idt, VECTOR, count);
        idt_load(idt, VECTOR + 1);
        break;
    case 'b':
        lidt(&nothing);
        break;
    case 'n':
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        put(interrupts);
        return;
    case 'e':
        __asm__ volatile("sti; outb %%al, $0x80; cli" : : "a"(0) : "memory");
        put(interrupts);
        return;
    default:
        halt();
    }
    outb(MH_PORT_SERIAL, '.');
}

int main(void)
{
    for (;;)
        command(inb(MH_PORT_SERIAL));
}
