#include "kvm_guest.h"

#include "x86/boot_state.h"
#include "x86/paging.h"

#include <string.h>

#define HLT 0xf4
#define IMAGE_RANDOM 0x8000u /* bytes from 0 that are random, where they are not code */
#define ROUNDS_MAX 20u
#define MXCSR_MASKS 0x1f80u
#define COMMON_HANDLER (BOOT_STUBS + (BOOT_VECTORS + 1) * BOOT_STUB_SIZE)

/* kvm_guest_code.S */
extern const uint8_t kvm_guest_handler[], kvm_guest_handler_end[];
extern const uint8_t *const kvm_guest_snippets[], *const kvm_guest_snippets_end[];

/* ---- code ---- */

struct writer {
    struct chance *chance;
    uint8_t *image;
    unsigned at;
};

static void writer_put(struct writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->image + writer->at, bytes, length);
    writer->at += (unsigned)length;
}

static uint32_t writer_msr(struct chance *chance)
{
    static const uint32_t msrs[] = {0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176};
    return msrs[chance_below(chance, sizeof msrs / sizeof msrs[0])];
}

/* What takes the place of a hole; `pages` are two of the data, `after` is behind the snippet. */
static uint32_t writer_fill(struct chance *chance, unsigned hole, const uint32_t pages[2], uint32_t after)
{
    switch (hole) {
    case GUEST_HOLE_DATA:
        return GUEST_DATA + (uint32_t)chance_below(chance, 0x1000);
    case GUEST_HOLE_COUNT:
        return 1 + (uint32_t)chance_below(chance, 40);
    case GUEST_HOLE_MSR:
        return writer_msr(chance);
    case GUEST_HOLE_PAGE:
        return pages[0];
    case GUEST_HOLE_OTHER_PAGE:
        return pages[1];
    case GUEST_HOLE_PAGE_ENTRY:
        return MH_SYSTEM_AREA + BOOT_RAM_PT + pages[0] / PAGE_4K * 8;
    case GUEST_HOLE_OTHER_ENTRY:
        return MH_SYSTEM_AREA + BOOT_RAM_PT + pages[1] / PAGE_4K * 8;
    case GUEST_HOLE_AFTER:
        return after;
    default:
        return ((uint32_t)chance_next(chance) & INT32_MAX) | hole;
    }
}

static uint32_t random_page(struct chance *chance)
{
    return GUEST_DATA + PAGE_4K * (uint32_t)chance_below(chance, (GUEST_DATA_MASK + 8) / PAGE_4K) +
           8 * (uint32_t)chance_below(chance, PAGE_4K / 8);
}

static void writer_snippet(struct writer *writer)
{
    const size_t count = (size_t)(kvm_guest_snippets_end - kvm_guest_snippets) - 1;
    const size_t which = chance_below(writer->chance, count);
    const uint8_t *from = kvm_guest_snippets[which], *end = kvm_guest_snippets[which + 1];
    const uint32_t pages[2] = {random_page(writer->chance), random_page(writer->chance)};
    const uint32_t after = writer->at + (uint32_t)(end - from);
    while (from < end) {
        uint32_t value = 0;
        memcpy(&value, from, end - from >= 4 ? sizeof value : 0);
        const bool is_hole = end - from >= 4 && value >= GUEST_HOLE && value <= GUEST_HOLE + GUEST_HOLE_AFTER;
        if (is_hole) {
            value = writer_fill(writer->chance, value - GUEST_HOLE, pages, after);
            writer_put(writer, &value, sizeof value);
            from += sizeof value;
        } else {
            writer_put(writer, from++, 1);
        }
    }
}

/* A loop of snippets. */
static void fill_with_snippets(struct writer *writer)
{
    static const uint8_t again[] = {0xff, 0x0c, 0x25, 0x00, GUEST_ROUNDS >> 8, 0x00, 0x00, 0x0f, 0x85};
    const uint32_t rounds = 1 + (uint32_t)chance_below(writer->chance, ROUNDS_MAX);
    const uint64_t snippets = 10 + chance_below(writer->chance, 50);
    const uint8_t end = HLT;
    memcpy(writer->image + GUEST_ROUNDS, &rounds, sizeof rounds);
    writer->at = GUEST_ENTRY;
    for (uint64_t i = 0; i < snippets; i++)
        writer_snippet(writer);
    writer_put(writer, again, sizeof again); /* dec dword [GUEST_ROUNDS]; jnz */
    const uint32_t back = GUEST_ENTRY - (writer->at + 4);
    writer_put(writer, &back, sizeof back);
    writer_put(writer, &end, sizeof end);
}

/* All kinds of instructions, most of them valid, among snippets. */
static void fill_with_encodings(struct writer *writer, const struct form *forms, unsigned form_count, bool likely)
{
    struct encoding encoding;
    for (writer->at = 0; writer->at < GUEST_CODE_SIZE;) {
        if (likely && chance_percent(writer->chance, 30)) {
            writer_snippet(writer);
            continue;
        }
        unsigned form = (unsigned)chance_below(writer->chance, form_count);
        if (chance_percent(writer->chance, 50)) /* one-byte opcodes are few among the forms, and many in programs */
            form = (unsigned)chance_below(writer->chance, 3000) % form_count;
        encoding_make(writer->chance, &forms[form], likely ? ENCODING_LIKELY : 0, &encoding);
        writer_put(writer, encoding.bytes, encoding.length);
    }
}

/* ---- registers ---- */

static void random_registers(struct chance *chance, struct mh_cpu_state *state)
{
    uint32_t mxcsr;
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        if (i != MH_RSP)
            state->general.gpr[i] =
                chance_percent(chance, 60) ? chance_below(chance, GUEST_RAM_SIZE) : chance_integer(chance);
    state->general.rflags = chance_rflags(chance) & ~(uint64_t)MH_RFLAGS_IF;
    for (unsigned i = 0; i < 4; i++)
        state->dr[i] = chance_below(chance, GUEST_RAM_SIZE);
    chance_xsave(chance, state->xsave);
    state->xsave[0] |= 0x3f; /* see kvm_known.c about floating-point exceptions that are not masked */
    state->xsave[2] &= 0x7f;
    state->xsave[3] &= 0x7f;
    memcpy(&mxcsr, state->xsave + 24, sizeof mxcsr);
    mxcsr |= MXCSR_MASKS;
    memcpy(state->xsave + 24, &mxcsr, sizeof mxcsr);
    if (state->xcr0 == 0) {
        state->xcr0 = MH_XCR0_X87;
        state->xsave[512] = MH_XCR0_X87 | MH_XCR0_SSE;
        memset(state->xsave + 576, 0, MH_XSAVE_SIZE - 576);
    }
}

/* QEMU 7.2 ends with a failed assertion when it comes upon VROUNDSS or VROUNDSD with VEX.L, even if it is not executed.
 */
static void remove_vround(uint8_t image[GUEST_RAM_SIZE])
{
    for (unsigned at = 0; at < GUEST_RAM_SIZE - 3; at++)
        if (image[at] == 0xc4 && (image[at + 1] & 0x1f) == FORM_0F3A && (image[at + 2] & 4) != 0 &&
            (image[at + 3] & 0xfe) == 0x0a)
            image[at + 3] = 0x90;
}

void kvm_guest_make(struct chance *chance, const struct form *forms, unsigned form_count, const struct x86_cpuid *cpuid,
                    struct kvm_guest *guest)
{
    const struct guest_ram ram = {.ram_size = GUEST_RAM_SIZE};
    struct writer writer = {.chance = chance, .image = guest->image};
    memset(guest->image, HLT, sizeof guest->image);
    for (unsigned at = 0; at < IMAGE_RANDOM; at += sizeof(uint64_t)) {
        uint64_t bytes = chance_next(chance);
        memcpy(guest->image + at, &bytes, sizeof bytes);
    }
    for (unsigned at = GUEST_DATA; at < GUEST_DATA + GUEST_DATA_MASK; at += sizeof(uint64_t)) {
        uint64_t bytes = chance_integer(chance);
        memcpy(guest->image + at, &bytes, sizeof bytes);
    }
    guest->boot = (struct mh_cpu_state){.general = boot_general(&ram, GUEST_ENTRY),
                                        .system = boot_system(cpuid->xcr0 != 0),
                                        .msrs = boot_msrs(),
                                        .xcr0 = cpuid->xcr0,
                                        .dr6 = BOOT_DR6,
                                        .dr7 = BOOT_DR7};
    guest->boot.system.cr0 &= ~(uint64_t)MH_CR0_AM; /* QEMU has no #AC */
    for (unsigned i = 0; i < MH_SEG_COUNT; i++)     /* which QEMU drops even when an IRET stays in ring 3 */
        if (i != MH_CS && i != MH_SS && i < MH_LDTR) {
            guest->boot.system.seg[i].selector = MH_SEL_USER_DATA;
            guest->boot.system.seg[i].attributes |= 3 << 5; /* DPL */
        }
    /* SYSCALL goes to code, SYSRET to ring 3 */
    guest->boot.msrs.star = (uint64_t)(MH_SEL_KERNEL_DATA | 3) << 48 | (uint64_t)MH_SEL_KERNEL_CODE << 32;
    guest->boot.msrs.lstar = GUEST_ENTRY + chance_below(chance, 0x800);
    guest->boot.msrs.sfmask = RFLAGS_ARITHMETIC | MH_RFLAGS_DF; /* QEMU clears these flags in any case */
    random_registers(chance, &guest->boot);
    if (guest->for_emulator)
        guest->boot.general.rflags &= ~(uint64_t)MH_RFLAGS_AC;
    switch (chance_below(chance, 4)) {
    case 0:
        fill_with_snippets(&writer);
        break;
    case 1:
        fill_with_encodings(&writer, forms, form_count, true);
        break;
    case 2:
        fill_with_encodings(&writer, forms, form_count, false);
        break;
    default:
        break;
    }
    remove_vround(guest->image);
}

/* ---- memory ---- */

static void write_stub(uint8_t *system_area, unsigned vector)
{
    const unsigned start = BOOT_STUBS + vector * BOOT_STUB_SIZE;
    const bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
    const uint8_t code[] = {0x6a, 0, 0x6a, (uint8_t)vector, 0xe9}; /* push 0; push vector; jmp */
    const size_t skipped = has_error ? 2 : 0, length = sizeof code - skipped;
    const uint32_t distance = (uint32_t)(COMMON_HANDLER - (start + length + sizeof distance));
    memcpy(system_area + start, code + skipped, length);
    memcpy(system_area + start + length, &distance, sizeof distance);
}

void kvm_guest_load(const struct kvm_guest *guest, struct guest_ram *ram)
{
    uint8_t *system_area = ram_system_area(ram);
    const uint64_t first = GUEST_LOG_FIRST;
    const uint64_t table = (MH_SYSTEM_AREA + BOOT_RAM_PT) | PAGING_PRESENT | PAGING_WRITE | PAGING_USER;
    memset(system_area, 0, MH_SYSTEM_AREA_SIZE);
    boot_write_system_area(ram, PAGE_4K);
    memcpy(system_area + BOOT_PD, &table, sizeof table); /* RAM of a machine is at least 2 MB; this is less */
    for (unsigned page = 0; guest->for_emulator && page < GUEST_RAM_SIZE / PAGE_4K; page++)
        system_area[BOOT_RAM_PT + page * sizeof(uint64_t)] |= PAGING_ACCESSED | PAGING_DIRTY;
    memcpy(ram->host, guest->image, sizeof guest->image);
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++)
        write_stub(system_area, vector);
    memcpy(system_area + COMMON_HANDLER, kvm_guest_handler, (size_t)(kvm_guest_handler_end - kvm_guest_handler));
    memcpy(system_area + (GUEST_LOG - MH_SYSTEM_AREA), &first, sizeof first);
}
