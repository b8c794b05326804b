/*
 * A tiny kernel that runs programs in ring 3 and does for them what the hypervisor does for it.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 *
 * In ring 3, `out` and `hlt` are not allowed: the processor stops before such an instruction and enters the kernel with
 * a general protection fault. The kernel looks at the instruction, does what it would have done, and lets the program
 * continue after it. This is called trap and emulate, and it is how the first hypervisors worked. What a program has no
 * business doing ends it.
 *
 * An `iret` leaves ring 0. To come back takes two tables: the interrupt descriptor table (IDT) says which code handles
 * which fault, and the task state segment (TSS) says which stack this code gets, because the program's cannot be
 * trusted. The machine starts with a TSS that has a stack for ring 0, so the kernel brings an IDT only; from then on,
 * faults it has no entry for are no longer reported by the hypervisor.
 */
#include "console.h"
#include "mh/guest_abi.h"
#include "x86.h"

#include <stddef.h>
#include <stdint.h>

#define VECTOR_PROTECTION_FAULT 13
#define VECTOR_PAGE_FAULT 14

#define STACK_SIZE 4096

/* ---- The programs: parts of the same image, run where they are, for RAM is mapped for ring 3 as well. ---- */

static void user_putchar(char character)
{
    __asm__ volatile("outb %0, %1" : : "a"(character), "i"(MH_PORT_SERIAL));
}

static void user_print(const char *text)
{
    while (*text)
        user_putchar(*text++);
}

static void user_exit(void)
{
    __asm__ volatile("hlt");
}

static void polite_program(void)
{
    uint16_t cs;

    __asm__("movw %%cs, %0" : "=r"(cs));
    user_print("  this is ring ");
    user_putchar((char)('0' + (cs & 3))); /* the lowest two bits of cs are the ring */
    user_print("\n  every byte of this is a fault, and nobody notices\n");
    user_exit();
}

static void curious_program(void)
{
    user_print("  what do the page tables look like?\n");
    *(volatile uint64_t *)MH_SYSTEM_AREA;
    user_print("  never printed\n");
}

static void bossy_program(void)
{
    user_print("  I switch paging off\n");
    __asm__ volatile("movq %0, %%cr0" : : "r"(1ul));
    user_print("  never printed\n");
}

/* ---- The kernel. First how it runs one program after the other. ---- */

static const struct {
    const char *name;
    void (*entry)(void);
} programs[] = {
    {"polite", polite_program},
    {"curious", curious_program},
    {"bossy", bossy_program},
};

/* In entry.S. */
void __attribute__((noreturn)) enter_user(void (*program)(void), void *stack_top);
void protection_fault_entry(void);
void page_fault_entry(void);

static size_t next_program;

static void __attribute__((noreturn)) run_next_program(void)
{
    static char user_stack[STACK_SIZE] __attribute__((aligned(16)));
    size_t number = next_program++;

    if (number == sizeof(programs) / sizeof(programs[0])) {
        puts("kernel: no more programs");
        halt();
    }
    printf("kernel: starting %s\n", programs[number].name);
    enter_user(programs[number].entry, user_stack + sizeof(user_stack));
}

/* ---- What it does when a program traps. ---- */

/* The stack as entry.S hands it over: from `error_code` on the processor pushed it. */
struct trap {
    uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11;
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

void handle_trap(struct trap *trap);

static void __attribute__((noreturn)) end_program(const char *why)
{
    printf("kernel: %s; program ended\n", why);
    run_next_program();
}

/* A real kernel could not be sure that all bytes of the instruction can be read. */
static void emulate(struct trap *trap)
{
    const uint8_t *instruction = (const uint8_t *)trap->rip;

    if (instruction[0] == 0xe6 && instruction[1] == MH_PORT_SERIAL) { /* outb %al, $0xe9 */
        putchar((int)trap->rax);
        trap->rip += 2;
    } else if (instruction[0] == 0xf4) { /* hlt */
        end_program("halted");
    } else {
        end_program("an instruction that is not for ring 3");
    }
}

void handle_trap(struct trap *trap)
{
    if ((trap->cs & 3) == 0) { /* not a program: a mistake in this file */
        printf("kernel: vector %lu at 0x%lx, in the kernel itself\n", trap->vector, trap->rip);
        halt();
    }
    if (trap->vector == VECTOR_PROTECTION_FAULT)
        emulate(trap);
    else
        end_program("page fault");
}

/* ---- What it tells the processor at the start. ---- */

/* One entry of the IDT: where the handler is, in three pieces. */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t interrupt_stack;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

#define GATE_INTERRUPT 0x8e /* present, 64-bit, interrupts off while it runs */

static void set_gate(struct gate *gate, void (*handler)(void))
{
    uint64_t address = (uintptr_t)handler;

    gate->offset_low = (uint16_t)address;
    gate->offset_middle = (uint16_t)(address >> 16);
    gate->offset_high = (uint32_t)(address >> 32);
    gate->selector = MH_SEL_KERNEL_CODE;
    gate->type = GATE_INTERRUPT;
}

static void load_handlers(void)
{
    static struct gate idt[VECTOR_PAGE_FAULT + 1];
    const struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};

    set_gate(&idt[VECTOR_PROTECTION_FAULT], protection_fault_entry);
    set_gate(&idt[VECTOR_PAGE_FAULT], page_fault_entry);
    lidt(&pointer);
}

int main(void)
{
    load_handlers();
    run_next_program();
}
