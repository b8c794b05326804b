/*
 * A guest that needs nothing of this project: no SDK, no headers, its own Makefile and linker script, as students write
 * it from the description of the machine alone. It runs unchanged.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 */
#include <stdint.h>

static void outb(uint16_t port, uint8_t value)
{
    asm("outb %0,%1" : /* empty */ : "a"(value), "Nd"(port) : "memory");
}

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void)
{
    const char *p;

    for (p = "Hello, world!\n"; *p; ++p)
        outb(0xE9, *p);

    for (;;)
        asm("hlt");
}
