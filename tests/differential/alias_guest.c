#include "alias_guest.h"

#include "x86/boot_state.h"
#include "x86/paging.h"

#include <string.h>

#define ROOM 0x200u /* bytes that the longest part of a guest takes */
#define PATCHES 32u

/* What a register is known to hold. */
enum holding { UNKNOWN, ADDRESS, NUMBER };

struct writer {
    struct loop_guest *guest;
    struct chance *chance;
    uint8_t holds[MH_GPR_COUNT];      /* enum holding */
    unsigned patches[PATCHES], count; /* offsets of immediates of 32 bits, which may be changed */
};

static unsigned below(struct writer *writer, unsigned limit)
{
    return (unsigned)chance_below(writer->chance, limit);
}

static bool percent(struct writer *writer, unsigned percent)
{
    return chance_percent(writer->chance, percent);
}

static void byte(struct writer *writer, unsigned value)
{
    writer->guest->code[writer->guest->at++] = (uint8_t)value;
}

static void bytes(struct writer *writer, const char *text, unsigned length)
{
    memcpy(writer->guest->code + writer->guest->at, text, length);
    writer->guest->at += length;
}
#define BYTES(writer, text) bytes(writer, text, sizeof(text) - 1)

static void word(struct writer *writer, uint64_t value)
{
    memcpy(writer->guest->code + writer->guest->at, &value, 4);
    writer->guest->at += 4;
}

static void distance(struct writer *writer, unsigned target)
{
    word(writer, (uint64_t)target - (writer->guest->at + 4));
}

static void patch_distance(struct writer *writer, unsigned at)
{
    const uint32_t value = writer->guest->at - (at + 4);
    memcpy(writer->guest->code + at, &value, sizeof value);
}

static void forget(struct writer *writer)
{
    memset(writer->holds, UNKNOWN, sizeof writer->holds);
}

/* ---- registers and addresses ---- */

/* A destination: any but the stack pointer. What it held is not known any more. */
static unsigned destination(struct writer *writer)
{
    unsigned reg;
    do
        reg = below(writer, MH_GPR_COUNT);
    while (reg == MH_RSP);
    writer->holds[reg] = UNKNOWN;
    return reg;
}

static uint32_t some_alias(struct writer *writer)
{
    static const uint32_t aliases[] = {0, 0, ALIAS_LARGE, ALIAS_SMALL};
    return aliases[below(writer, 4)];
}

/* Often near the end of a page. */
static uint32_t some_place(struct writer *writer)
{
    const uint32_t any = LOOP_DATA + below(writer, LOOP_DATA_SIZE - 0x1000);
    return some_alias(writer) + (percent(writer, 40) ? (any | 0xfff) - below(writer, 24) : any);
}

/* mov $value, %reg; its immediate may be changed later. */
static void load(struct writer *writer, unsigned reg, uint32_t value, enum holding holding)
{
    if (reg >= 8)
        byte(writer, 0x41);
    byte(writer, 0xb8 | (reg & 7));
    word(writer, value);
    writer->holds[reg] = (uint8_t)holding;
}

/* A register that holds this, perhaps after an instruction that loads it. */
static unsigned holder(struct writer *writer, enum holding holding)
{
    const unsigned first = below(writer, MH_GPR_COUNT);
    for (unsigned i = 0; i < MH_GPR_COUNT && percent(writer, 90); i++) {
        const unsigned reg = (first + i) % MH_GPR_COUNT;
        if (writer->holds[reg] == holding && reg != MH_RSP)
            return reg;
    }
    const unsigned reg = destination(writer);
    load(writer, reg, holding == ADDRESS ? some_place(writer) : below(writer, 64), holding);
    return reg;
}

static unsigned some_size(struct writer *writer)
{
    static const uint8_t sizes[] = {1, 2, 4, 4, 8, 8};
    return sizes[below(writer, sizeof sizes)];
}

/* An instruction: `opcode` has 0x0f in its second byte if it is of that map. */
static void opcode(struct writer *writer, unsigned code, unsigned size, unsigned rex, bool needs_rex)
{
    if (size == 2)
        byte(writer, 0x66);
    rex |= size == 8 ? 8 : 0;
    if (rex != 0 || needs_rex)
        byte(writer, 0x40 | rex);
    if (code > 0xff)
        byte(writer, 0x0f);
    byte(writer, code & 0xff);
}

/* Without REX, bytes of the registers 4 to 7 are AH to BH. */
static void with_register(struct writer *writer, unsigned code, unsigned size, unsigned reg, unsigned rm)
{
    opcode(writer, code, size, (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0), percent(writer, 60));
    byte(writer, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void address_bytes(struct writer *writer, unsigned reg, unsigned base, unsigned index, bool is_long)
{
    const bool has_index = index != MH_RSP, needs_sib = has_index || (base & 7) == 4;
    byte(writer, (is_long ? 0x80 : 0x40) | (reg & 7) << 3 | (needs_sib ? 4 : base & 7));
    if (needs_sib)
        byte(writer, (has_index ? below(writer, 4) << 6 : 0) | (index & 7) << 3 | (base & 7));
    if (is_long)
        word(writer, (uint64_t)below(writer, 512) - 256);
    else
        byte(writer, (below(writer, 48) - 16) & 0xff);
}

static void with_address(struct writer *writer, unsigned code, unsigned size, unsigned reg, unsigned base,
                         unsigned index)
{
    opcode(writer, code, size, (reg >= 8 ? 4 : 0) | (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0), percent(writer, 60));
    address_bytes(writer, reg, base, index, percent(writer, 20));
}

/* An operand in memory, which may be relative to rip. `behind`: bytes of an immediate. */
static void with_memory(struct writer *writer, unsigned code, unsigned size, unsigned reg, unsigned behind)
{
    if (percent(writer, 8)) {
        opcode(writer, code, size, reg >= 8 ? 4 : 0, percent(writer, 60));
        byte(writer, (reg & 7) << 3 | 5);
        word(writer,
             (uint64_t)LOOP_DATA + below(writer, LOOP_DATA_SIZE) - (LOOP_CODE + writer->guest->at + 4 + behind));
        return;
    }
    const unsigned base = percent(writer, 8) ? (unsigned)MH_RSP : holder(writer, ADDRESS);
    const unsigned index = percent(writer, 25) ? holder(writer, NUMBER) : (unsigned)MH_RSP;
    with_address(writer, code, size, reg, base, index);
}

static void immediate(struct writer *writer, unsigned size)
{
    const uint64_t value = chance_integer(writer->chance);
    for (unsigned i = 0; i < (size < 4 ? size : 4); i++)
        byte(writer, (unsigned)(value >> 8 * i) & 0xff);
}

/* ---- plain instructions ---- */

static void alu(struct writer *writer)
{
    const unsigned size = some_size(writer), wide = size > 1, operation = below(writer, 8), kind = below(writer, 6);
    const unsigned code = operation << 3 | wide;
    if (kind < 2) {
        const unsigned reg = destination(writer);
        with_register(writer, code | 2, size, reg, below(writer, MH_GPR_COUNT));
    } else if (kind == 2) {
        with_register(writer, 0x80 | wide, size, operation, destination(writer));
        immediate(writer, size);
    } else if (kind == 3) {
        with_memory(writer, 0x80 | wide, size, operation, size < 4 ? size : 4);
        immediate(writer, size);
    } else if (kind == 4) {
        with_memory(writer, code, size, below(writer, MH_GPR_COUNT), 0);
    } else {
        with_memory(writer, code | 2, size, destination(writer), 0);
    }
}

static void move(struct writer *writer)
{
    static const uint16_t extensions[] = {0xfb6, 0xfb7, 0xfbe, 0xfbf, 0x63};
    const unsigned size = some_size(writer), wide = size > 1, from = below(writer, MH_GPR_COUNT);
    switch (below(writer, 7)) {
    case 0:
        with_register(writer, 0x8a | wide, size, destination(writer), from);
        break;
    case 1:
        with_memory(writer, 0x88 | wide, size, from, 0);
        break;
    case 2:
        with_memory(writer, 0xc6 | wide, size, 0, size < 4 ? size : 4);
        immediate(writer, size);
        break;
    case 3:
        with_register(writer, extensions[below(writer, 5)], size, destination(writer), from);
        break;
    case 4:
        with_memory(writer, extensions[below(writer, 5)], size, destination(writer), 0);
        break;
    default:
        with_memory(writer, 0x8a | wide, size, destination(writer), 0);
    }
}

static void lea(struct writer *writer)
{
    const unsigned base = below(writer, MH_GPR_COUNT), index = below(writer, MH_GPR_COUNT);
    const unsigned kind = below(writer, 4);
    const unsigned reg = kind == 0 && base != MH_RSP    ? base
                         : kind == 1 && index != MH_RSP ? index
                                                        : destination(writer);
    writer->holds[reg] = UNKNOWN;
    with_address(writer, 0x8d, some_size(writer) < 8 ? 4 : 8, reg, base, index);
}

static void one_operand(struct writer *writer)
{
    const unsigned size = some_size(writer), wide = size > 1, kind = below(writer, 10);
    const bool is_step = kind < 4;
    const unsigned code = (is_step ? 0xfe : 0xf6) | wide, digit = is_step ? kind & 1 : 2 + (kind & 1);
    if (percent(writer, 30))
        with_memory(writer, code, size, digit, 0);
    else
        with_register(writer, code, size, digit, destination(writer));
}

static void shift(struct writer *writer)
{
    static const uint8_t codes[] = {0xc0, 0xd0, 0xd2};
    const unsigned size = some_size(writer), code = codes[below(writer, 3)] | (size > 1), digit = below(writer, 8);
    if (percent(writer, 10))
        with_memory(writer, code, size, digit, code < 0xd0);
    else
        with_register(writer, code, size, digit, percent(writer, 10) ? (unsigned)MH_RCX : destination(writer));
    writer->holds[MH_RCX] = UNKNOWN;
    if (code < 0xd0)
        byte(writer, below(writer, 70));
}

/* IMUL, MUL, DIV, IDIV; mostly of what can be divided. */
static void multiply(struct writer *writer)
{
    const unsigned size = percent(writer, 50) ? 4 : 8, kind = below(writer, 5);
    if (kind == 0) {
        with_register(writer, 0xfaf, size, destination(writer), below(writer, MH_GPR_COUNT));
    } else if (kind == 1) {
        with_memory(writer, 0xfaf, size, destination(writer), 0);
    } else if (kind == 2) {
        with_register(writer, 0x69, size, destination(writer), below(writer, MH_GPR_COUNT));
        immediate(writer, 4);
    } else {
        const unsigned reg = below(writer, MH_GPR_COUNT);
        if (kind == 4)
            BYTES(writer, "\x48\x99"); /* cqo */
        with_register(writer, 0xf7, size, 4 + below(writer, 4), reg);
        writer->holds[MH_RAX] = writer->holds[MH_RDX] = UNKNOWN;
    }
}

/* What changes some flags, or moves them. */
static void some_flags(struct writer *writer)
{
    static const uint8_t single[] = {0xf5, 0xf8, 0xf9, 0xfc, 0xfd, 0x9e, 0x9f, 0x98, 0x99};
    const unsigned kind = below(writer, 8);
    writer->holds[MH_RAX] = writer->holds[MH_RDX] = UNKNOWN;
    if (kind < 2) {
        byte(writer, single[below(writer, sizeof single)]);
    } else if (kind == 2) {
        byte(writer, 0x9c); /* pushf, and sometimes pop */
        byte(writer, percent(writer, 70) ? 0x9d : 0x58);
    } else if (kind == 3) {
        with_register(writer, 0xfba, 8, 4 + below(writer, 4), destination(writer)); /* bt, bts, btr, btc */
        byte(writer, below(writer, 64));
    } else if (kind < 6) {
        with_register(writer, 0xf90 + below(writer, 16), 1, 0, destination(writer));
    } else {
        with_register(writer, 0xf40 + below(writer, 16), some_size(writer) < 8 ? 4 : 8, destination(writer),
                      below(writer, MH_GPR_COUNT));
    }
}

static void exchange(struct writer *writer)
{
    const unsigned size = some_size(writer), wide = size > 1;
    static const uint16_t codes[] = {0x86, 0xfc0, 0xfb0};
    const unsigned code = codes[below(writer, 3)] | wide, reg = destination(writer);
    writer->holds[MH_RAX] = UNKNOWN;
    if (percent(writer, 60))
        with_memory(writer, code, size, reg, 0);
    else
        with_register(writer, code, size, reg, destination(writer));
}

static void sse(struct writer *writer)
{
    static const uint8_t codes[] = {0x10, 0x11, 0x28, 0x29, 0x58, 0x59, 0x5c, 0x57, 0xef, 0xfe, 0x6f, 0x7f, 0x14};
    static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};
    const unsigned prefix = prefixes[below(writer, 4)], code = codes[below(writer, sizeof codes)];
    const unsigned base = holder(writer, ADDRESS);
    if (percent(writer, 50))
        load(writer, base, (some_place(writer) & ~15u) + 16 * below(writer, 2), ADDRESS);
    if (prefix != 0)
        byte(writer, prefix);
    const unsigned reg = below(writer, MH_GPR_COUNT);
    opcode(writer, 0xf00 | code, 4, (reg >= 8 ? 4 : 0) | (base >= 8 ? 1 : 0), false);
    byte(writer, 0x40 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4)
        byte(writer, 0x24);
    byte(writer, 16 * below(writer, 3));
}

/* ---- the stack ---- */

static void set_stack(struct writer *writer)
{
    const uint32_t end = some_alias(writer) + LOOP_DATA + 0x1000 * (1 + below(writer, 6));
    load(writer, MH_RSP, end + below(writer, 64) - 32, UNKNOWN);
}

static void stack(struct writer *writer)
{
    if (percent(writer, 10))
        set_stack(writer);
    for (unsigned n = 1 + below(writer, 5); n > 0; n--) {
        const unsigned kind = below(writer, 12), reg = below(writer, MH_GPR_COUNT);
        if (kind < 5) {
            if (reg >= 8)
                byte(writer, 0x41);
            byte(writer, 0x50 | (reg & 7));
        } else if (kind < 9) {
            const unsigned to = destination(writer);
            if (to >= 8)
                byte(writer, 0x41);
            byte(writer, 0x58 | (to & 7));
        } else if (kind == 9) {
            BYTES(writer, "\x54\x5c"); /* push %rsp; pop %rsp */
        } else if (kind == 10) {
            load(writer, MH_RBP, some_place(writer), ADDRESS);
            byte(writer, 0xc9); /* leave */
            writer->holds[MH_RBP] = UNKNOWN;
            set_stack(writer);
        } else {
            BYTES(writer, "\x66\x50\x66\x58"); /* push %ax; pop %ax */
        }
    }
}

/* ---- code that changes ---- */

static void remember_patch(struct writer *writer, unsigned at)
{
    writer->patches[writer->count++ % PATCHES] = at;
}

/* mov $n, %reg, whose constant may be changed. */
static void changeable(struct writer *writer)
{
    load(writer, destination(writer), below(writer, 64), UNKNOWN);
    remember_patch(writer, writer->guest->at - 4);
}

/* Change some of the immediate at `at`: by an instruction relative to rip, or at an alias. */
static void change(struct writer *writer, unsigned at)
{
    const unsigned size = 1u << below(writer, 3), place = at + below(writer, 4), kind = below(writer, 4);
    const unsigned code = (kind == 0 ? 0xc6u : kind == 1 ? 0x80u : kind == 2 ? 0xfeu : 0x88u) | (size > 1);
    opcode(writer, code, size, 0, false);
    const unsigned behind = kind > 1 ? 0 : size < 4 ? size : 4;
    if (percent(writer, 50)) {
        byte(writer, 5);
        word(writer, (uint64_t)place - (writer->guest->at + 4 + behind));
    } else {
        BYTES(writer, "\x04\x25");
        word(writer, LOOP_CODE + place + some_alias(writer));
    }
    for (unsigned i = 0; i < behind; i++)
        byte(writer, below(writer, 64));
}

static void change_code(struct writer *writer)
{
    if (writer->count == 0 || percent(writer, 50)) { /* one that comes soon */
        const unsigned at = writer->guest->at;
        change(writer, at + 24);
        while (writer->guest->at < at + 20)
            byte(writer, 0x90);
        writer->guest->at = at + 20 + below(writer, 3);
        memset(writer->guest->code + at + 20, 0x90, 4);
        changeable(writer);
        return;
    }
    const unsigned known = writer->count < PATCHES ? writer->count : PATCHES;
    change(writer, writer->patches[below(writer, known)]);
}

/* rep movsb, stosb, stosq: over data, or over an immediate */
static void string(struct writer *writer)
{
    load(writer, MH_RCX, below(writer, percent(writer, 20) ? 5000 : 40), UNKNOWN);
    load(writer, MH_RSI, some_place(writer), UNKNOWN);
    load(writer, MH_RDI, some_place(writer), UNKNOWN);
    if (writer->count != 0 && percent(writer, 20)) {
        load(writer, MH_RCX, 1 + below(writer, 4), UNKNOWN);
        load(writer, MH_RDI, LOOP_CODE + writer->patches[0] + some_alias(writer), UNKNOWN);
    }
    byte(writer, 0xf3);
    byte(writer, percent(writer, 50) ? 0xa4 : 0xaa);
}

/* ---- branches ---- */

static void parts(struct writer *writer, unsigned depth);

/* To the next instruction, at another alias. */
static void change_alias(struct writer *writer)
{
    const unsigned reg = destination(writer), rex = reg >= 8 ? 0x41 : 0x40;
    byte(writer, reg >= 8 ? 0x4c : 0x48); /* lea 1f(%rip), %reg */
    byte(writer, 0x8d);
    byte(writer, (reg & 7) << 3 | 5);
    word(writer, 6 + 1 + 7 + 1 + 2);
    byte(writer, rex); /* and $0x1fffff, %reg; or $alias, %reg; jmp *%reg */
    byte(writer, 0x81);
    byte(writer, 0xe0 | (reg & 7));
    word(writer, 0x1fffff);
    byte(writer, rex);
    byte(writer, 0x81);
    byte(writer, 0xc8 | (reg & 7));
    word(writer, some_alias(writer));
    byte(writer, rex);
    byte(writer, 0xff);
    byte(writer, 0xe0 | (reg & 7));
}

static void branch(struct writer *writer, unsigned depth)
{
    byte(writer, 0x0f);
    byte(writer, 0x80 | below(writer, 16));
    const unsigned at = writer->guest->at;
    writer->guest->at += 4;
    parts(writer, depth);
    patch_distance(writer, at);
    forget(writer);
}

/* A counter in memory, or a register. */
static void loop(struct writer *writer, unsigned depth)
{
    const uint64_t counter = LOOP_COUNTERS + 8ull * (writer->guest->counters++ % 64);
    BYTES(writer, "\xc7\x04\x25");
    word(writer, counter);
    word(writer, below(writer, 40) + 1);
    forget(writer);
    const unsigned top = writer->guest->at;
    parts(writer, depth);
    BYTES(writer, "\xff\x0c\x25");
    word(writer, counter);
    BYTES(writer, "\x0f\x85");
    distance(writer, top);
}

static void call(struct writer *writer)
{
    struct loop_guest *const guest = writer->guest;
    forget(writer);
    if (guest->function_count == 0)
        return;
    const unsigned target = guest->functions[below(writer, guest->function_count)];
    if (percent(writer, 40)) {
        byte(writer, 0xe8);
        distance(writer, target);
        return;
    }
    BYTES(writer, "\x4c\x8d\x05"); /* lea target(%rip), %r8; xor $alias, %r8; call *%r8 */
    distance(writer, target);
    if (percent(writer, 50)) {
        BYTES(writer, "\x49\x81\xf0");
        word(writer, percent(writer, 50) ? ALIAS_LARGE : ALIAS_SMALL);
    }
    BYTES(writer, "\x41\xff\xd0");
}

/* Exceptions: #UD, #BP, #GP or HLT, #PF, #DE. Their handler skips three bytes, but for traps. */
static void fault(struct writer *writer)
{
    static const char *const three[] = {"\x0f\x0b\x90", "\xcc\x90\x90", "\x0f\x01\xf9", "\xf0\x0f\x0b"};
    bytes(writer, three[below(writer, 4)], 3);
}

/* ---- what only ring 0 may ---- */

static uint64_t table_entry(struct writer *writer)
{
    const uint64_t area = percent(writer, 70) ? LOOP_DATA : LOOP_CODE;
    return LOOP_PAGE_TABLE + ((area >> 12) + below(writer, 4)) * 8;
}

/* Exchange an alias: a large page or a table, with or without rights. */
static void change_directory(struct writer *writer)
{
    static const uint32_t entries[] = {0x87, 0x83, 0xe7, 0x85, LOOP_PAGE_TABLE | 7, LOOP_PAGE_TABLE | 5, 0x86};
    BYTES(writer, "\xc7\x04\x25");
    word(writer, MH_SYSTEM_AREA + BOOT_PD + 8 * (1 + below(writer, 2)));
    word(writer, entries[below(writer, sizeof entries / sizeof entries[0])]);
}

static void kernel(struct writer *writer)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x20, 0x40, 0x60};
    if (!writer->guest->is_kernel)
        return;
    writer->holds[MH_RAX] = UNKNOWN;
    switch (below(writer, 8)) {
    case 0:
        BYTES(writer, "\x0f\x20\xd8\x0f\x22\xd8"); /* cr3 */
        break;
    case 1:
        BYTES(writer, "\x0f\x20\xc0\x0f\xba\xf8\x10\x0f\x22\xc0"); /* change CR0.WP */
        break;
    case 2:
        with_address(writer, 0xf01, 4, 7, holder(writer, ADDRESS), MH_RSP); /* invlpg */
        break;
    case 3: /* to ring 3: push ss, rsp, rflags, cs, rip; iretq */
        BYTES(writer, "\x48\x89\xe0\x6a\x1b\x50\x9c\x6a\x23\x48\x8d\x05\x03\x00\x00\x00\x50\x48\xcf");
        break;
    case 4:
    case 5:
        change_directory(writer);
        break;
    default:
        BYTES(writer, "\x80\x34\x25"); /* xorb $mask, entry */
        word(writer, table_entry(writer));
        byte(writer, masks[below(writer, sizeof masks)]);
    }
}

/* ---- all of it ---- */

static void part(struct writer *writer, unsigned depth)
{
    static void (*const plain[])(struct writer *) = {
        alu,   alu, alu,      move, move,        lea, one_operand, shift, some_flags, multiply, some_flags,
        stack, sse, exchange, alu,  one_operand, lea, changeable,  move,  stack,      alu};
    static void (*const rare[])(struct writer *) = {change_code, change_code, change_alias, string, call,
                                                    call,        fault,       kernel,       kernel};
    const unsigned kind = below(writer, 100);
    if (writer->guest->at + ROOM > LOOP_CODE_SIZE)
        return;
    if (kind < 8 && depth > 0)
        loop(writer, depth - 1);
    else if (kind < 18 && depth > 0)
        branch(writer, depth - 1);
    else if (kind < 28)
        rare[below(writer, sizeof rare / sizeof rare[0])](writer);
    else
        plain[below(writer, sizeof plain / sizeof plain[0])](writer);
}

static void parts(struct writer *writer, unsigned depth)
{
    for (unsigned n = below(writer, 14) + 1; n > 0; n--)
        part(writer, depth);
}

static void function(struct writer *writer)
{
    struct loop_guest *const guest = writer->guest;
    const unsigned next_page = (guest->at | 0xfff) + 1;
    if (percent(writer, 40) && next_page + 0x800 < LOOP_CODE_SIZE)
        guest->at = next_page - 1 - below(writer, 64);
    guest->functions[guest->function_count++] = guest->at;
    forget(writer);
    parts(writer, 1);
    byte(writer, 0xc3);
}

void alias_guest_write(struct loop_guest *guest)
{
    struct writer writer = {.guest = guest, .chance = guest->chance};
    guest->at = 5; /* for a jump over the functions */
    guest->counters = guest->function_count = 0;
    memset(guest->code, 0x90, sizeof guest->code);
    for (unsigned n = below(&writer, 6); n > 0 && guest->at < LOOP_CODE_SIZE / 2; n--)
        function(&writer);
    const unsigned top = guest->at;
    guest->at = 0;
    byte(&writer, 0xe9);
    distance(&writer, top);
    guest->at = top;
    for (unsigned n = below(&writer, 8) + 2; n > 0; n--) {
        set_stack(&writer);
        forget(&writer);
        parts(&writer, 2);
    }
    byte(&writer, 0xe9);
    distance(&writer, top);
}

void alias_guest_map(uint8_t *system_area, uint32_t page_size)
{
    const uint64_t all = PAGING_PRESENT | PAGING_WRITE | PAGING_USER;
    const uint64_t large = all | PAGING_LARGE, table = (MH_SYSTEM_AREA + BOOT_RAM_PT) | all;
    const uint64_t entries[] = {large, page_size == PAGE_4K ? table : large};
    memcpy(system_area + BOOT_PD + 8, entries, sizeof entries);
}
