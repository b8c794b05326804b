#include "loop_guest.h"

#include <string.h>

#define ROOM 0x180u /* bytes that the longest part of a guest takes */
#define INDEX 9u    /* a register that holds small numbers */
#define CALLED 8u   /* holds addresses of code */

static uint64_t below(struct loop_guest *guest, uint64_t limit)
{
    return chance_below(guest->chance, limit);
}

static bool percent(struct loop_guest *guest, unsigned percent)
{
    return chance_percent(guest->chance, percent);
}

static void put(struct loop_guest *guest, const void *bytes, size_t length)
{
    memcpy(guest->code + guest->at, bytes, length);
    guest->at += (unsigned)length;
}

static void put_byte(struct loop_guest *guest, unsigned byte)
{
    guest->code[guest->at++] = (uint8_t)byte;
}

static void put32(struct loop_guest *guest, uint64_t value)
{
    put(guest, &value, 4);
}

/* A distance of 32 bits, of the instruction that ends with it. */
static void put_distance(struct loop_guest *guest, unsigned target)
{
    put32(guest, (uint64_t)target - (guest->at + 4));
}

static void patch_distance(struct loop_guest *guest, unsigned at)
{
    const uint32_t distance = guest->at - (at + 4);
    memcpy(guest->code + at, &distance, sizeof distance);
}

/* ---- operands ---- */

/* RBX, RBP and R13 are pointers to data, which these leave alone. */
static bool is_pointer(unsigned reg)
{
    return reg == MH_RBX || reg == MH_RBP || reg == MH_R13;
}

static unsigned some_register(struct loop_guest *guest)
{
    for (;;) {
        const unsigned reg = (unsigned)below(guest, MH_GPR_COUNT);
        if (reg != MH_RSP && !is_pointer(reg) && reg != INDEX && reg != CALLED)
            return reg;
    }
}

static unsigned some_pointer(struct loop_guest *guest)
{
    static const uint8_t pointers[] = {MH_RBX, MH_RBP, MH_R13};
    return pointers[below(guest, sizeof pointers)];
}

static unsigned some_size(struct loop_guest *guest)
{
    static const uint8_t sizes[] = {1, 2, 4, 4, 4, 8, 8, 8};
    return sizes[below(guest, sizeof sizes)];
}

/* Prefixes and opcode; byte operations have the even one. `map`: 0 or 0x0f. */
static void put_opcode(struct loop_guest *guest, unsigned map, unsigned opcode, unsigned size, unsigned rex)
{
    if (size == 2)
        put_byte(guest, 0x66);
    put_byte(guest, 0x40 | (size == 8 ? 8 : 0) | rex);
    if (map != 0)
        put_byte(guest, map);
    put_byte(guest, opcode);
}

static void put_registers(struct loop_guest *guest, unsigned map, unsigned opcode, unsigned size, unsigned reg,
                          unsigned rm)
{
    put_opcode(guest, map, opcode, size, (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0));
    put_byte(guest, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* `reg` and memory near a pointer, sometimes with an index; `behind`: bytes of an immediate, for addresses that are
 * relative to rip. */
static void put_memory(struct loop_guest *guest, unsigned map, unsigned opcode, unsigned size, unsigned reg,
                       unsigned behind)
{
    const unsigned base = some_pointer(guest), rex = reg >= 8 ? 4 : 0;
    const uint64_t kind = below(guest, 16);
    if (kind == 0) {
        put_opcode(guest, map, opcode, size, rex);
        put_byte(guest, (reg & 7) << 3 | 5);
        const uint64_t place = LOOP_DATA + below(guest, LOOP_DATA_SIZE);
        put32(guest, place - (LOOP_CODE + guest->at + 4 + behind));
    } else if (kind == 1) {
        put_opcode(guest, map, opcode, size, rex);
        put_byte(guest, (reg & 7) << 3 | 4);
        put_byte(guest, 0x25);
        put32(guest, LOOP_DATA + below(guest, LOOP_DATA_SIZE));
    } else if (kind < 5) {
        put_opcode(guest, map, opcode, size, rex | 2 | (base >= 8 ? 1 : 0));
        put_byte(guest, 0x80 | (reg & 7) << 3 | 4);
        put_byte(guest, (unsigned)below(guest, 4) << 6 | (INDEX & 7) << 3 | (base & 7));
        put32(guest, below(guest, 64));
    } else {
        put_opcode(guest, map, opcode, size, rex | (base >= 8 ? 1 : 0));
        put_byte(guest, 0x40 | (reg & 7) << 3 | (base & 7));
        put_byte(guest, (unsigned)below(guest, 128));
    }
}

static void put_immediate(struct loop_guest *guest, unsigned size)
{
    const uint64_t value = chance_integer(guest->chance);
    put(guest, &value, size < 4 ? size : 4);
}

/* ---- parts ---- */

static void alu(struct loop_guest *guest)
{
    const unsigned operation = (unsigned)below(guest, 8), size = some_size(guest), wide = size > 1;
    const unsigned reg = some_register(guest);
    switch (below(guest, 7)) {
    case 0:
    case 1:
        put_registers(guest, 0, operation << 3 | (unsigned)below(guest, 2) * 2 | wide, size, reg, some_register(guest));
        break;
    case 2:
        put_registers(guest, 0, 0x80 | wide, size, operation, reg);
        put_immediate(guest, size);
        break;
    case 3:
        put_memory(guest, 0, 0x80 | wide, size, operation, size < 4 ? size : 4);
        put_immediate(guest, size);
        break;
    case 4:
        put_registers(guest, 0, 0x84 | wide, size, reg, some_register(guest)); /* test */
        break;
    default:
        put_memory(guest, 0, operation << 3 | (unsigned)below(guest, 2) * 2 | wide, size, reg, 0);
    }
}

static void move(struct loop_guest *guest)
{
    static const uint8_t extensions[] = {0xb6, 0xb7, 0xbe, 0xbf};
    const unsigned size = some_size(guest), wide = size > 1, reg = some_register(guest);
    switch (below(guest, 8)) {
    case 0:
        put_registers(guest, 0, 0x8a | wide, size, reg, some_register(guest));
        break;
    case 1:
    case 2:
        put_memory(guest, 0, 0x8a | wide, size, reg, 0);
        break;
    case 3:
    case 4:
        put_memory(guest, 0, 0x88 | wide, size, reg, 0);
        break;
    case 5:
        put_memory(guest, 0x0f, extensions[below(guest, 4)], size < 4 ? 4 : size, reg, 0);
        break;
    case 6:
        put_memory(guest, 0, 0x8d, size < 4 ? 4 : size, reg, 0); /* lea */
        break;
    default:
        put_registers(guest, 0x0f, extensions[below(guest, 4)], size < 4 ? 4 : size, reg, some_register(guest));
    }
}

static void unary(struct loop_guest *guest)
{
    const unsigned size = some_size(guest), wide = size > 1, reg = some_register(guest);
    const unsigned opcode = percent(guest, 50) ? 0xfe : 0xf6; /* inc, dec; not to idiv */
    const unsigned digit = opcode == 0xfe ? (unsigned)below(guest, 2) : (unsigned)below(guest, 6) + 2;
    if (percent(guest, 30))
        put_memory(guest, 0, opcode | wide, size, digit, 0);
    else
        put_registers(guest, 0, opcode | wide, size, digit, reg);
}

static void shift(struct loop_guest *guest)
{
    const unsigned size = some_size(guest), wide = size > 1, digit = (unsigned)below(guest, 8);
    const bool by_cl = percent(guest, 40);
    if (percent(guest, 20))
        put_memory(guest, 0, (by_cl ? 0xd2 : 0xc0) | wide, size, digit, by_cl ? 0 : 1);
    else
        put_registers(guest, 0, (by_cl ? 0xd2 : 0xc0) | wide, size, digit, some_register(guest));
    if (!by_cl)
        put_byte(guest, (unsigned)below(guest, 70));
}

static void multiply(struct loop_guest *guest)
{
    const unsigned size = some_size(guest) < 8 ? 4 : 8, reg = some_register(guest);
    switch (below(guest, 3)) {
    case 0:
        put_registers(guest, 0x0f, 0xaf, size, reg, some_register(guest));
        break;
    case 1:
        put_memory(guest, 0x0f, 0xaf, size, reg, 0);
        break;
    default:
        put_registers(guest, 0, 0x69, size, reg, some_register(guest));
        put_immediate(guest, size);
    }
}

/* Tests and scans of bits. */
static void bits(struct loop_guest *guest)
{
    static const uint8_t tests[] = {0xa3, 0xab, 0xb3, 0xbb}, scans[] = {0xbc, 0xbd, 0xb8};
    const unsigned size = some_size(guest) < 8 ? 4 : 8, reg = some_register(guest);
    const uint64_t kind = below(guest, 3), scan = below(guest, 3);
    if (kind == 0) {
        put_registers(guest, 0x0f, tests[below(guest, 4)], size, some_register(guest), reg);
    } else if (kind == 1) {
        put_registers(guest, 0x0f, 0xba, size, 4 + (unsigned)below(guest, 4), reg);
        put_byte(guest, (unsigned)below(guest, 70));
    } else {
        if (scan == 2 || percent(guest, 50)) /* POPCNT, TZCNT, LZCNT */
            put_byte(guest, 0xf3);
        put_registers(guest, 0x0f, scans[scan], size, reg, some_register(guest));
    }
}

static void condition(struct loop_guest *guest)
{
    const unsigned code = (unsigned)below(guest, 16);
    if (percent(guest, 50))
        put_registers(guest, 0x0f, 0x40 | code, percent(guest, 50) ? 4 : 8, some_register(guest), some_register(guest));
    else
        put_registers(guest, 0x0f, 0x90 | code, 1, 0, some_register(guest));
}

static void push_and_pop(struct loop_guest *guest)
{
    static const uint8_t opcodes[] = {0x50, 0x58};
    for (unsigned i = 0; i < 2; i++) {
        const unsigned reg = some_register(guest);
        if (reg >= 8)
            put_byte(guest, 0x41);
        put_byte(guest, opcodes[i] | (reg & 7));
    }
}

/* A pointer is set again, or moves; so does the index. */
static void pointer(struct loop_guest *guest)
{
    const unsigned reg = some_pointer(guest), rex = reg >= 8 ? 0x49 : 0x48;
    if (percent(guest, 50)) {
        put_byte(guest, rex);
        put_byte(guest, 0xc7);
        put_byte(guest, 0xc0 | (reg & 7));
        put32(guest, LOOP_DATA + below(guest, LOOP_DATA_SIZE - 256));
    } else if (percent(guest, 50)) {
        put_byte(guest, rex);
        put_byte(guest, 0x83);
        put_byte(guest, (percent(guest, 50) ? 0xc0 : 0xe8) | (reg & 7)); /* add, sub */
        put_byte(guest, (unsigned)below(guest, 64));
    } else {
        put(guest, "\x41\xb9", 2); /* mov $n, %r9d */
        put32(guest, below(guest, 16));
    }
}

static void random_instruction(struct loop_guest *guest)
{
    struct encoding encoding;
    unsigned form = (unsigned)below(guest, guest->form_count);
    if (percent(guest, 50)) /* one-byte opcodes are few among the forms, and many in programs */
        form = (unsigned)below(guest, 3000) % guest->form_count;
    encoding_make(guest->chance, &guest->forms[form], percent(guest, 70) ? ENCODING_LIKELY : 0, &encoding);
    put(guest, encoding.bytes, encoding.length);
}

static void sse(struct loop_guest *guest)
{
    static const uint8_t opcodes[] = {0x10, 0x11, 0x28, 0x29, 0x51, 0x54, 0x57, 0x58, 0x59, 0x5c, 0x5d,
                                      0x5e, 0xc6, 0x6f, 0x7f, 0xd4, 0xef, 0xfe, 0x2d, 0x2a, 0x5a, 0x2e};
    static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};
    const unsigned prefix = prefixes[below(guest, 4)], opcode = opcodes[below(guest, sizeof opcodes)];
    const unsigned reg = (unsigned)below(guest, MH_GPR_COUNT);
    if (prefix != 0)
        put_byte(guest, prefix);
    if (percent(guest, 50))
        put_memory(guest, 0x0f, opcode, 4, reg, opcode == 0xc6);
    else
        put_registers(guest, 0x0f, opcode, 4, reg, (unsigned)below(guest, MH_GPR_COUNT));
    if (opcode == 0xc6)
        put_byte(guest, (unsigned)below(guest, 256));
}

static void string(struct loop_guest *guest)
{
    static const uint8_t opcodes[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xa6, 0xa7};
    put_byte(guest, 0xb9); /* ecx, esi, edi */
    put32(guest, below(guest, percent(guest, 90) ? 20 : 3000));
    put_byte(guest, 0xbe);
    put32(guest, LOOP_DATA + below(guest, LOOP_DATA_SIZE - 256));
    put_byte(guest, 0xbf);
    put32(guest, LOOP_DATA + below(guest, LOOP_DATA_SIZE - 256));
    put_byte(guest, percent(guest, 50) ? 0xf3 : 0xf2);
    if (percent(guest, 30))
        put_byte(guest, 0x48);
    put_byte(guest, opcodes[below(guest, sizeof opcodes)]);
}

/* A store into code that was written before. */
static void change_code(struct loop_guest *guest)
{
    const unsigned target = (unsigned)below(guest, guest->at + 1);
    put(guest, "\xc6\x05", 2);
    put32(guest, (uint64_t)target - (guest->at + 5));
    put_byte(guest, percent(guest, 70) ? guest->code[target] : 0x90);
}

/* ---- what only ring 0 may ---- */

static uint64_t some_entry(struct loop_guest *guest)
{
    const uint64_t area = percent(guest, 80) ? LOOP_DATA : LOOP_CODE;
    return LOOP_PAGE_TABLE + ((area >> 12) + below(guest, 4)) * 8;
}

/* Exchange two entries, or change bits of one; with the stale translations of a processor that keeps none. */
static void page_table(struct loop_guest *guest)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x20, 0x40, 0x60};
    const uint64_t one = some_entry(guest), other = some_entry(guest);
    if (percent(guest, 30)) {
        put(guest, "\x48\x8b\x04\x25", 4); /* mov one, %rax; xchg %rax, other; mov %rax, one */
        put32(guest, one);
        put(guest, "\x48\x87\x04\x25", 4);
        put32(guest, other);
        put(guest, "\x48\x89\x04\x25", 4);
        put32(guest, one);
        return;
    }
    put(guest, percent(guest, 30) ? "\x80\x34\x25" : "\x80\x0c\x25", 3); /* xorb, orb $mask, one */
    put32(guest, one);
    put_byte(guest, masks[below(guest, sizeof masks)]);
    if (percent(guest, 50)) {
        put(guest, "\x80\x24\x25", 3); /* andb $~60, other: not accessed, not dirty */
        put32(guest, other);
        put_byte(guest, 0x9f);
    }
}

static void debug_registers(struct loop_guest *guest)
{
    const unsigned number = (unsigned)below(guest, 4);
    put_byte(guest, 0xb8);
    put32(guest, percent(guest, 50) ? LOOP_CODE + below(guest, guest->at + 1) : LOOP_DATA + below(guest, 0x1000));
    put(guest, "\x0f\x23", 2); /* mov %rax, %drN */
    put_byte(guest, 0xc0 | number << 3);
    put_byte(guest, 0xb8);
    put32(guest, percent(guest, 30) ? 0x400 : 0x400 | 1u << 2 * number | below(guest, 4) << (16 + 4 * number));
    put(guest, "\x0f\x23\xf8", 3); /* mov %rax, %dr7 */
}

static void kernel(struct loop_guest *guest)
{
    if (!guest->is_kernel)
        return;
    switch (below(guest, 8)) {
    case 0:
        put(guest, "\x0f\x20\xd8\x0f\x22\xd8", 6); /* cr3 */
        break;
    case 1:
        debug_registers(guest);
        break;
    case 2:
        put(guest, "\xe6\x10", 2); /* out */
        break;
    case 3:
        put(guest, "\x0f\x01\x3b", 3); /* invlpg (%rbx) */
        break;
    default:
        page_table(guest);
    }
}

/* Flags by POPF: rarely with TF, RF or AC. */
static void flags(struct loop_guest *guest)
{
    uint64_t value = chance_rflags(guest->chance) & 0xcd5;
    if (percent(guest, 5))
        value |= MH_RFLAGS_TF;
    put_byte(guest, 0x68);
    put32(guest, value);
    put_byte(guest, 0x9d);
}

/* ---- branches ---- */

static void some_parts(struct loop_guest *guest, unsigned depth);

static void branch_over(struct loop_guest *guest, unsigned depth)
{
    put_byte(guest, 0x0f);
    put_byte(guest, 0x80 | (unsigned)below(guest, 16));
    const unsigned at = guest->at;
    guest->at += 4;
    some_parts(guest, depth);
    patch_distance(guest, at);
}

/* mov $n, counter; 1: ...; decl counter; jnz 1b */
static void loop(struct loop_guest *guest, unsigned depth)
{
    const uint64_t counter = LOOP_COUNTERS + 8ull * (guest->counters++ % 64);
    put(guest, "\xc7\x04\x25", 3);
    put32(guest, counter);
    put32(guest, below(guest, 60) + 1);
    const unsigned top = guest->at;
    some_parts(guest, depth);
    put(guest, "\xff\x0c\x25", 3);
    put32(guest, counter);
    put(guest, "\x0f\x85", 2);
    put_distance(guest, top);
}

/* An instruction of a loop that goes over memory: its pointers and its counter, RCX, are left alone. */
static void stream(struct loop_guest *guest)
{
    static const uint8_t registers[] = {MH_RAX, MH_RDX, MH_RDI, MH_R10, MH_R12, MH_R14};
    static const uint8_t opcodes[] = {0x01, 0x03, 0x2b, 0x33, 0x31, 0x3b, 0x89, 0x8b, 0x89, 0x8b, 0x8a, 0x88, 0x00};
    const unsigned reg = registers[below(guest, sizeof registers)];
    switch (below(guest, 6)) {
    case 0:
        put_registers(guest, 0, 0x03 | (unsigned)below(guest, 7) << 3, 8, reg, registers[below(guest, 6)]);
        break;
    case 1: { /* movsd, addsd; movupd, and loads that have to be aligned */
        static const uint8_t sse[][2] = {{0xf2, 0x10}, {0xf2, 0x11}, {0xf2, 0x58},
                                         {0x66, 0x10}, {0x66, 0x11}, {0x66, 0x28}};
        const uint8_t *const one = sse[below(guest, 6)];
        put_byte(guest, one[0]);
        put_memory(guest, 0x0f, one[1], 4, (unsigned)below(guest, MH_GPR_COUNT), 0);
        break;
    }
    default: {
        const unsigned opcode = opcodes[below(guest, sizeof opcodes)];
        put_memory(guest, 0, opcode, (opcode & 1) == 0 ? 1 : some_size(guest), reg, 0);
    }
    }
}

/* mov $n,%ecx; 1: ...; add $n,pointer; ...; dec %ecx; jnz 1b */
static void stream_loop(struct loop_guest *guest)
{
    static const int8_t strides[] = {1, 4, 8, 8, 16, 64, 127, -8, -1};
    static const uint16_t rounds[] = {5, 100, 100, 2000};
    pointer(guest);
    put_byte(guest, 0xb9);
    put32(guest, below(guest, rounds[below(guest, 4)]) + 1);
    const unsigned top = guest->at;
    for (uint64_t n = below(guest, 5) + 1; n > 0; n--)
        stream(guest);
    for (uint64_t n = below(guest, 3); n > 0; n--) {
        const unsigned reg = some_pointer(guest);
        put_byte(guest, reg >= 8 ? 0x49 : 0x48);
        put_byte(guest, 0x83);
        put_byte(guest, 0xc0 | (reg & 7));
        put_byte(guest, (uint8_t)strides[below(guest, sizeof strides)]);
    }
    if (percent(guest, 50))
        put(guest, "\xff\xc9", 2); /* dec %ecx */
    else
        put(guest, "\x83\xe9\x01", 3); /* sub $1,%ecx */
    put(guest, "\x0f\x85", 2);
    put_distance(guest, top);
}

/* Calls and jumps of every kind to a function, or to what is behind them. */
static void call(struct loop_guest *guest)
{
    if (guest->function_count == 0)
        return;
    const unsigned target = guest->functions[below(guest, guest->function_count)];
    const uint64_t kind = below(guest, 6);
    if (kind < 2) {
        put_byte(guest, 0xe8);
        put_distance(guest, target);
        return;
    }
    put(guest, "\x4c\x8d\x05", 3); /* lea target(%rip), %r8 */
    put_distance(guest, target);
    if (kind == 2) {
        put(guest, "\x41\xff\xd0", 3); /* call *%r8 */
    } else if (kind == 3) {
        put(guest, "\xe8\x04\x00\x00\x00\xeb\x07\x90\x90", 9); /* call 1f; jmp 2f; 1: */
        put(guest, "\x41\x50\xc3\x90\x90", 5);                 /* push %r8; ret; 2: */
    } else {
        put(guest, "\x4c\x89\x04\x25", 4); /* mov %r8, address */
        put32(guest, LOOP_COUNTERS + 0x400);
        put(guest, kind == 4 ? "\xff\x14\x25" : "\xff\x24\x25", 3); /* call, jmp *address */
        put32(guest, LOOP_COUNTERS + 0x400);
    }
}

static void some_part(struct loop_guest *guest, unsigned depth)
{
    static void (*const parts[])(struct loop_guest *) = {
        alu,   alu,   alu,          alu,      alu,  move,      move,    move, move,    unary,
        unary, shift, push_and_pop, multiply, bits, condition, pointer, sse,  pointer, random_instruction};
    static void (*const rare[])(struct loop_guest *) = {string, change_code, kernel, flags, kernel, call, call};
    const uint64_t kind = below(guest, 100);
    if (guest->at + ROOM > LOOP_CODE_SIZE)
        return;
    if (kind < 6 && depth > 0)
        loop(guest, depth - 1);
    else if (kind < 9 && depth > 0)
        stream_loop(guest);
    else if (kind < 17 && depth > 0)
        branch_over(guest, depth - 1);
    else if (kind < 24)
        rare[below(guest, sizeof rare / sizeof rare[0])](guest);
    else
        parts[below(guest, sizeof parts / sizeof parts[0])](guest);
}

static void some_parts(struct loop_guest *guest, unsigned depth)
{
    for (uint64_t n = below(guest, 12) + 1; n > 0; n--)
        some_part(guest, depth);
}

/* Somewhere further on, often where a page ends. */
static void move_on(struct loop_guest *guest)
{
    const unsigned next_page = (guest->at | 0xfff) + 1;
    guest->at += (unsigned)below(guest, 0x100);
    if (percent(guest, 30) && next_page + 0x800 < LOOP_CODE_SIZE)
        guest->at = next_page - 1 - (unsigned)below(guest, 64);
}

static void function(struct loop_guest *guest)
{
    move_on(guest);
    guest->functions[guest->function_count++] = guest->at;
    some_parts(guest, 1);
    put_byte(guest, 0xc3);
}

void loop_guest_write(struct loop_guest *guest)
{
    guest->at = 5; /* for a jump over the functions */
    guest->counters = guest->function_count = 0;
    memset(guest->code, 0x90, sizeof guest->code);
    for (uint64_t n = below(guest, 6); n > 0 && guest->at < LOOP_CODE_SIZE / 2; n--)
        function(guest);
    const unsigned top = guest->at;
    guest->at = 0;
    put_byte(guest, 0xe9);
    put_distance(guest, top);
    guest->at = top;
    for (uint64_t n = below(guest, 8) + 2; n > 0; n--) {
        pointer(guest);
        some_parts(guest, 2);
    }
    put_byte(guest, 0xe9);
    put_distance(guest, top);
}
