#include "debug/monitor_info.h"

#include "debug/debug.h"
#include "machine/guest_mem.h"
#include "x86/descriptors.h"
#include "x86/page_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- info mem: virtual addresses that follow each other with the same rights, wherever they lead to ---- */

struct mem_listing {
    const struct text_output *output;
    struct page_mapping run; /* `start` equals `end`: none yet */
};

static void info_say_run(const struct mem_listing *listing)
{
    const struct page_mapping *run = &listing->run;
    if (run->start != run->end)
        text_say(listing->output, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", run->start, run->end,
                 run->end - run->start, run->user ? 'u' : '-', run->writable ? 'w' : '-');
}

static void info_add_mapping(void *ctx, const struct page_mapping *mapping)
{
    struct mem_listing *listing = ctx;
    struct page_mapping *run = &listing->run;
    if (run->start != run->end && run->end == mapping->start && run->user == mapping->user &&
        run->writable == mapping->writable) {
        run->end = mapping->end;
        return;
    }
    info_say_run(listing);
    *run = *mapping;
}

static bool info_has_tables(const struct paging_mode *mode, const struct text_output *output)
{
    const bool has = (mode->cr0 & MH_CR0_PG) != 0 && (mode->efer & MH_EFER_LMA) != 0;
    if (!has)
        text_say(output, "PG disabled\n");
    return has;
}

static enum mh_status info_mem(struct debug *debug, const struct text_output *output, struct mh_error *err)
{
    (void)err;
    const struct paging_mode mode = guest_paging_mode(debug->vm);
    struct mem_listing listing = {.output = output};
    if (info_has_tables(&mode, output))
        page_map_each(&debug->vm->ram, &mode, info_add_mapping, &listing);
    info_say_run(&listing);
    return MH_OK;
}

/* ---- info tlb: one line a page, with the bits of its last entry ---- */

/* Tables that lead to themselves map more than anybody reads. */
#define INFO_PAGES_MAX 65536u

struct tlb_listing {
    const struct text_output *output;
    const struct guest_ram *ram;
    struct paging_mode mode;
    unsigned pages;
};

static void info_say_page(const struct text_output *output, uint64_t address, const struct paging_walk *walk)
{
    const uint64_t entry = walk->step[walk->steps - 1].entry;
    const struct {
        uint64_t bit;
        char letter;
    } bits[] = {{PAGING_NX, 'X'}, {1u << 8, 'G'}, {PAGING_LARGE, 'P'}, {PAGING_DIRTY, 'D'}, {PAGING_ACCESSED, 'A'},
                {1u << 4, 'C'},   {1u << 3, 'T'}, {PAGING_USER, 'U'},  {PAGING_WRITE, 'W'}};
    char letters[sizeof bits / sizeof bits[0] + 1] = "";
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        /* of a 4 KB page bit 7 is PAT */
        const bool is_set = (entry & bits[i].bit) != 0 && (bits[i].bit != PAGING_LARGE || walk->page_size != PAGE_4K);
        letters[i] = is_set ? bits[i].letter : '-';
    }
    text_say(output, "%016" PRIx64 ": %016" PRIx64 " %s\n", address, walk->physical.v, letters);
}

static void info_add_pages(void *ctx, const struct page_mapping *mapping)
{
    struct tlb_listing *listing = ctx;
    struct paging_walk walk;
    for (uint64_t at = mapping->start; at != mapping->end && listing->pages < INFO_PAGES_MAX; at += walk.page_size) {
        if (!paging_walk(listing->ram, &listing->mode, mh_gva_of(at), &walk))
            return;
        info_say_page(listing->output, at, &walk);
        listing->pages++;
    }
}

static enum mh_status info_tlb(struct debug *debug, const struct text_output *output, struct mh_error *err)
{
    (void)err;
    struct tlb_listing listing = {.output = output, .ram = &debug->vm->ram, .mode = guest_paging_mode(debug->vm)};
    if (info_has_tables(&listing.mode, output))
        page_map_each(&debug->vm->ram, &listing.mode, info_add_pages, &listing);
    if (listing.pages == INFO_PAGES_MAX)
        text_say(output, "(and more)\n");
    return MH_OK;
}

/* ---- info registers ---- */

static void info_say_general(const struct text_output *output, const struct mh_x86_general *general)
{
    static const struct {
        const char *name;
        enum mh_gpr gpr;
    } order[] = {{"RAX", MH_RAX}, {"RBX", MH_RBX}, {"RCX", MH_RCX}, {"RDX", MH_RDX}, {"RSI", MH_RSI}, {"RDI", MH_RDI},
                 {"RBP", MH_RBP}, {"RSP", MH_RSP}, {"R8 ", MH_R8},  {"R9 ", MH_R9},  {"R10", MH_R10}, {"R11", MH_R11},
                 {"R12", MH_R12}, {"R13", MH_R13}, {"R14", MH_R14}, {"R15", MH_R15}};
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        text_say(output, "%s=%016" PRIx64 "%c", order[i].name, general->gpr[order[i].gpr], i % 4 == 3 ? '\n' : ' ');
}

static void info_say_flags(const struct text_output *output, const struct mh_x86_regs *regs, bool is_halted)
{
    static const struct {
        unsigned bit;
        char letter;
    } bits[] = {{10, 'D'}, {11, 'O'}, {7, 'S'}, {6, 'Z'}, {4, 'A'}, {2, 'P'}, {0, 'C'}};
    char letters[sizeof bits / sizeof bits[0] + 1] = "";
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++)
        letters[i] = (regs->general.rflags >> bits[i].bit & 1) != 0 ? bits[i].letter : '-';
    text_say(output, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " [%s] CPL=%u II=0 A20=1 SMM=0 HLT=%u\n", regs->general.rip,
             regs->general.rflags, letters, regs->system.seg[MH_CS].selector & X86_SELECTOR_RPL, is_halted);
}

static void info_kind_of_system_segment(uint16_t attributes, char *text, size_t size)
{
    const char *name = "Reserved";
    if ((attributes & X86_SEGMENT_TYPE) == X86_LDT)
        name = "LDT";
    else if ((attributes & X86_SEGMENT_TYPE) == X86_TSS_AVAILABLE)
        name = "TSS64-avl";
    else if ((attributes & X86_SEGMENT_TYPE) == X86_TSS_BUSY)
        name = "TSS64-busy";
    snprintf(text, size, "%s", name);
}

static void info_kind_of_segment(uint16_t attributes, char *text, size_t size)
{
    const char accessed = (attributes & X86_SEGMENT_ACCESSED) != 0 ? 'A' : '-';
    if ((attributes & X86_SEGMENT_CODE_OR_DATA) == 0)
        info_kind_of_system_segment(attributes, text, size);
    else if ((attributes & X86_SEGMENT_CODE) != 0)
        snprintf(text, size, "%s [%c%c%c]",
                 (attributes & X86_SEGMENT_LONG) != 0         ? "CS64"
                 : (attributes & X86_SEGMENT_DEFAULT_32) != 0 ? "CS32"
                                                              : "CS16",
                 (attributes & X86_SEGMENT_CONFORMING) != 0 ? 'C' : '-',
                 (attributes & X86_SEGMENT_READABLE) != 0 ? 'R' : '-', accessed);
    else /* where code has the bit for conforming, data has the one for growing downwards */
        snprintf(text, size, "DS   [%c%c%c]", (attributes & X86_SEGMENT_CONFORMING) != 0 ? 'E' : '-',
                 (attributes & X86_SEGMENT_WRITABLE) != 0 ? 'W' : '-', accessed);
}

/* The second half of the descriptor, with the bits of the limit that it has, and none of the base. */
static uint32_t info_descriptor_flags(const struct mh_x86_segment *segment)
{
    const bool in_pages = (segment->attributes & X86_SEGMENT_GRANULARITY) != 0;
    const uint32_t limit = in_pages ? segment->limit >> 12 : segment->limit;
    return (uint32_t)segment->attributes << 8 | (limit & 0xf0000);
}

static void info_say_segment(const struct text_output *output, const char *name, const struct mh_x86_segment *segment)
{
    char kind[32] = "";
    text_say(output, "%-3s=%04x %016" PRIx64 " %08x %08x", name, segment->selector, segment->base, segment->limit,
             info_descriptor_flags(segment));
    if ((segment->attributes & X86_SEGMENT_PRESENT) != 0) {
        info_kind_of_segment(segment->attributes, kind, sizeof kind);
        text_say(output, " DPL=%u %s", x86_dpl(segment->attributes), kind);
    }
    text_say(output, "\n");
}

static void info_say_system(const struct text_output *output, const struct mh_x86_system *system,
                            const struct mh_cpu_state *state)
{
    static const struct {
        const char *name;
        enum mh_seg seg;
    } segments[] = {{"ES", MH_ES}, {"CS", MH_CS}, {"SS", MH_SS},    {"DS", MH_DS},
                    {"FS", MH_FS}, {"GS", MH_GS}, {"LDT", MH_LDTR}, {"TR", MH_TR}};
    for (unsigned i = 0; i < sizeof segments / sizeof segments[0]; i++)
        info_say_segment(output, segments[i].name, &system->seg[segments[i].seg]);
    text_say(output, "GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", system->gdt.base,
             system->gdt.limit, system->idt.base, system->idt.limit);
    text_say(output, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", system->cr0,
             system->cr2, system->cr3, system->cr4);
    text_say(output, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 " \n", state->dr[0],
             state->dr[1], state->dr[2], state->dr[3]);
    text_say(output, "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n", state->dr6, state->dr7,
             system->efer);
}

#define X87_TOP(fstat) ((fstat) >> 11 & 7u)

/* By number, while ours are by their place on the stack. */
static void info_say_x87(const struct text_output *output, const struct mh_x86_fpu *fpu)
{
    const unsigned top = X87_TOP(fpu->fstat);
    unsigned valid = 0;
    for (unsigned i = 0; i < 8; i++)
        valid |= (unsigned)((fpu->ftag >> 2 * i & 3) != 3) << i;
    text_say(output, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", fpu->fctrl, fpu->fstat, top, valid, fpu->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = fpu->st[(i - top) & 7];
        uint64_t mantissa;
        uint16_t exponent;
        memcpy(&mantissa, st, sizeof mantissa);
        memcpy(&exponent, st + sizeof mantissa, sizeof exponent);
        text_say(output, "FPR%u=%016" PRIx64 " %04x%c", i, mantissa, exponent, i % 2 == 1 ? '\n' : ' ');
    }
}

static void info_say_vectors(const struct text_output *output, const struct mh_x86_fpu *fpu)
{
    for (unsigned i = 0; i < 16; i++) {
        uint64_t halves[2];
        memcpy(halves, fpu->xmm[i], sizeof halves);
        text_say(output, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, halves[1], halves[0], i % 2 == 1 ? '\n' : ' ');
    }
}

static enum mh_status info_registers(struct debug *debug, const struct text_output *output, struct mh_error *err)
{
    struct cpu *cpu = debug->vm->cpu;
    struct mh_x86_regs regs;
    struct mh_cpu_state state;
    cpu->ops->finish_io(cpu);
    enum mh_status status = cpu->ops->read_regs(cpu, MH_REGS_GENERAL | MH_REGS_SYSTEM | MH_REGS_FPU, &regs, err);
    if (status == MH_OK)
        status = cpu->ops->save(cpu, &state, err);
    if (status != MH_OK)
        return status;
    text_say(output, "\nCPU#0\n");
    info_say_general(output, &regs.general);
    info_say_flags(output, &regs, debug->last_stop.kind == MH_STOP_HALTED);
    info_say_system(output, &regs.system, &state);
    info_say_x87(output, &regs.fpu);
    info_say_vectors(output, &regs.fpu);
    return MH_OK;
}

enum mh_status monitor_info(struct debug *debug, const char *what, const struct text_output *output,
                            struct mh_error *err)
{
    static const struct {
        const char *name;
        enum mh_status (*say)(struct debug *, const struct text_output *, struct mh_error *);
    } kinds[] = {{"mem", info_mem}, {"registers", info_registers}, {"tlb", info_tlb}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(what, kinds[i].name) == 0)
            return kinds[i].say(debug, output, err);
    }
    return mh_fail(err, MH_ERR_RANGE, "info: say mem, registers or tlb");
}
