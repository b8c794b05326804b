/* Interrupts: the table of handlers, and waiting. */
#ifndef SDK_INTERRUPTS_H
#define SDK_INTERRUPTS_H

#include "mh/guest_abi.h"
#include "string.h"
#include "x86.h"

#include <stddef.h>
#include <stdint.h>

/* A gate of the interrupt descriptor table (Intel SDM volume 3, 6.14.1). */
struct idt_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;  /* stack of the TSS; 0: the handler uses the interrupted stack */
    uint8_t type; /* 0x8e: present, ring 0, interrupts are off in the handler */
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t zero;
};

#ifdef __clang__
/* It warns of calls in handlers, which save no vector registers: guests use none (-mgeneral-regs-only). */
#pragma clang diagnostic ignored "-Winterrupt-service-routine"
#endif

/* What the processor pushes. A handler is a function
 *     __attribute__((interrupt)) void handler(struct interrupt_frame *frame)
 * which saves all registers and returns with IRET. */
struct interrupt_frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

static inline void sidt(struct table_pointer *pointer)
{
    __asm__ volatile("sidt %0" : "=m"(*pointer));
}

static inline void idt_set(struct idt_gate *idt, unsigned vector, void (*handler)(struct interrupt_frame *))
{
    uint64_t address = (uintptr_t)handler;

    idt[vector] = (struct idt_gate){
        .offset_low = (uint16_t)address,
        .selector = MH_SEL_KERNEL_CODE,
        .type = 0x8e,
        .offset_middle = (uint16_t)(address >> 16),
        .offset_high = (uint32_t)(address >> 32),
    };
}

/*
 * Use a table of `count` gates. The table the guest started with leads the exceptions to the hypervisor's report of a
 * crash: they keep leading there.
 */
static inline void idt_load(struct idt_gate *idt, size_t count)
{
    struct table_pointer pointer;

    sidt(&pointer);
    memcpy(idt, (const void *)(uintptr_t)pointer.base, pointer.limit + 1u);
    pointer.limit = (uint16_t)(count * sizeof(*idt) - 1);
    pointer.base = (uintptr_t)idt;
    lidt(&pointer);
}

static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* Wait for an interrupt. STI takes effect after the instruction behind it, so none can come before the HLT. */
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

#endif
