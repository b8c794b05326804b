/*
 * Reads a letter, and makes a mistake that programs make: one for each cause that `mh why` knows. Page 0
 * can be unmapped, for the program begins at 64 KB.
 */
#include "console.h"
#include "x86.h"

#include <stdint.h>

typedef void function(void);

static volatile uint64_t zero;
static uint64_t page_table[512] __attribute__((aligned(4096)));
static volatile uint64_t data[4] = {0x0b0f0b0f0b0f0b0f, 1, 2, 3}; /* as code: ud2 */
static const uint64_t constants[4] = {0x0b0f0b0f0b0f0b0f, 1, 2, 3};
static volatile unsigned depth;

struct node {
    struct node *next;
    char name[8];
};

static volatile struct node node = {.next = (struct node *)(uintptr_t)&data};

static void recurse(void)
{
    volatile char frame[512];
    frame[0] = (char)depth++;
    if (zero == 0)
        recurse();
    frame[1] = frame[0];
}

/* Give the first 2 MB pages of 4 KB, and take the first of them away, and one below the stack. */
static void map_small_pages(void)
{
    const uint64_t *pml4 = (const uint64_t *)read_cr3();
    const uint64_t *pdpt = (const uint64_t *)(pml4[0] & ~0xfffull);
    uint64_t *pd = (uint64_t *)(pdpt[0] & ~0xfffull);
    for (unsigned i = 1; i < 512; i++)
        page_table[i] = (uint64_t)i << 12 | 3;
    page_table[0x1f0] = 0;
    pd[0] = (uintptr_t)page_table | 3;
    __asm__ volatile("mov %0, %%cr3" ::"r"(pml4) : "memory");
}

static void overflow_stack(void)
{
    map_small_pages();
    recurse();
}

static void overrun_program(void)
{
    __asm__ volatile("mov $_start + 8, %rsp\n ud2");
}

static void call_null(void)
{
    map_small_pages();
    ((function *)(uintptr_t)zero)();
}

static void follow_null(void)
{
    map_small_pages();
    ((struct node *)(uintptr_t)zero)->name[0] = 'x';
}

static void call_wild(void)
{
    ((function *)(uintptr_t)(0x7000000000 + zero))();
}

static void jump_into_data(void)
{
    ((function *)(uintptr_t)data)();
}

static void execute_constants(void)
{
    ((function *)(uintptr_t)constants)();
}

static void return_wrongly(void)
{
    __asm__ volatile("movabs $0x1234567800, %rax\n push %rax\n ret");
}

static void return_to_text(void)
{
    __asm__ volatile("movabs $0x6f77206f6c6c6568, %rax\n push %rax\n ret"); /* hello wo */
}

static void follow_text(void)
{
    const char *name = "abcdef";
    for (unsigned i = 0; i <= 6; i++)
        ((volatile char *)&node.next)[i] = name[i];
    node.next->name[0] = 'x';
}

static void overwrite_code(void)
{
    volatile uint8_t *code = (volatile uint8_t *)(uintptr_t)recurse;
    code[0] = 0x06; /* no instruction in 64-bit mode */
    recurse();
}

static void run_beyond_the_end(void)
{
    for (volatile uint64_t *at = (volatile uint64_t *)0x100000;; at++)
        *at = 1;
}

static void divide_too_far(void)
{
    __asm__ volatile("mov $5, %edx\n mov $1, %ecx\n div %ecx");
}

static void misalign(void)
{
    __asm__ volatile("mov $0x100008, %eax\n movaps (%rax), %xmm0");
}

static void use_missing_gate(void)
{
    __asm__ volatile("int $200");
}

static void load_empty_table(void)
{
    const struct table_pointer {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof data - 1, (uintptr_t)page_table};
    __asm__ volatile("lidt %0\n ud2" ::"m"(table));
}

static void return_from_nothing(void)
{
    __asm__ volatile("push $0\n push $0\n push $0\n push $0\n push $0x10\n iretq");
}

static void write_unknown_register(void)
{
    __asm__ volatile("mov $0x12345, %ecx\n wrmsr");
}

static void set_reserved_bit(void)
{
    __asm__ volatile("mov %cr4, %rax\n bts $31, %rax\n mov %rax, %cr4");
}

static void wander_off(void)
{
    __asm__ volatile("jmp .+3\n .byte 0x06, 0x06, 0x06");
}

static void breakpoint_left(void)
{
    __asm__ volatile("int3");
}

static void forbid_vectors(void)
{
    __asm__ volatile("mov %cr0, %rax\n or $8, %rax\n mov %rax, %cr0\n movaps %xmm0, %xmm1");
}

static void lose_stack(void)
{
    __asm__ volatile("mov $0x7000000000, %rsp\n push %rax");
}

struct mistake {
    char letter;
    function *make;
};

static const struct mistake mistakes[] = {
    {'o', overflow_stack},
    {'O', overrun_program},
    {'r', recurse},
    {'n', call_null},
    {'N', follow_null},
    {'w', call_wild},
    {'d', jump_into_data},
    {'c', execute_constants},
    {'p', return_wrongly},
    {'P', return_to_text},
    {'t', follow_text},
    {'m', overwrite_code},
    {'e', run_beyond_the_end},
    {'q', divide_too_far},
    {'a', misalign},
    {'g', use_missing_gate},
    {'i', load_empty_table},
    {'f', return_from_nothing},
    {'s', write_unknown_register},
    {'R', set_reserved_bit},
    {'u', wander_off},
    {'b', breakpoint_left},
    {'v', forbid_vectors},
    {'l', lose_stack},
};

__attribute__((noinline)) static void make(int letter)
{
    for (unsigned i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        if (mistakes[i].letter == letter)
            mistakes[i].make();
    }
    puts("no such mistake");
}

int main(void)
{
    make(getchar());
    return 0;
}
