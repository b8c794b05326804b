/*
 * Guest-physical memory, from 0: the tables, then the areas. Ring 0 sees all of it through one 2 MB page at HIGH, and
 * ring 3 nothing but the areas. Each gate of the IDT leads to an address of its own, on an empty stack; nothing there
 * is ever executed, because the run reports exceptions.
 */
#include "soft_side.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft.h"
#include "translate.h"
#include "x86/paging.h"

#include <stdio.h>
#include <string.h>

#define HIGH 0xffff900000000000ull

enum layout {
    PML4 = 0x1000,
    PDPT = 0x2000,
    PD = 0x3000,
    PT_CODE = 0x4000,
    PT_DATA = 0x5000,
    PDPT_HIGH = 0x6000,
    PD_HIGH = 0x7000,
    IDT = 0x8000,
    GDT = 0x9000,
    TSS = 0xa000,
    STACK_TOP = 0xc000,
    STUBS = 0xd000,
    CODE = 0x10000,
    DATA = CODE + AREA_CODE_SIZE,
    RAM = 0x200000,
};

#define GDT_ENTRIES 16u
#define GDT_CPU 15u /* whose limit is the number of the CPU in Linux */
#define TSS_SELECTOR 0x40u
#define TSS_LIMIT 0x206fu /* with the I/O map behind it: as Linux has it */
#define STUB_SIZE 4u
#define VECTORS 256u
#define GATE_INTERRUPT 0x8eull
#define GATE_RING3 0xeeull
#define TABLE (PAGING_PRESENT | PAGING_WRITE | PAGING_USER | PAGING_ACCESSED)
#define LEAF (PAGING_PRESENT | PAGING_ACCESSED | PAGING_DIRTY)

static void put(const struct soft_side *side, uint64_t at, uint64_t value)
{
    memcpy(side->ram.host + at, &value, sizeof value);
}

static void write_page_tables(const struct soft_side *side)
{
    put(side, PML4, PDPT | TABLE);
    put(side, PML4 + (HIGH >> 39 & 511) * 8, PDPT_HIGH | TABLE);
    put(side, PDPT_HIGH, PD_HIGH | TABLE);
    put(side, PD_HIGH, LEAF | PAGING_WRITE | PAGING_LARGE);
    put(side, PDPT, PD | TABLE);
    put(side, PD + (AREA_CODE >> 21) * 8, PT_CODE | TABLE);
    put(side, PD + (AREA_DATA >> 21) * 8, PT_DATA | TABLE);
    for (uint64_t page = 0; page < AREA_CODE_SIZE / PAGE_4K; page++)
        put(side, PT_CODE + page * 8, (CODE + page * PAGE_4K) | LEAF | PAGING_WRITE | PAGING_USER);
    for (uint64_t page = 0; page < AREA_DATA_SIZE / PAGE_4K; page++) {
        uint64_t rights = page * PAGE_4K < AREA_DATA_WRITABLE ? PAGING_USER : PAGING_USER | PAGING_WRITE;
        put(side, PT_DATA + page * 8, (DATA + page * PAGE_4K) | LEAF | rights | PAGING_NX);
    }
}

/* The segments of Linux (arch/x86/kernel/cpu/common.c), because ring 3 can look at them with LAR. */
static void write_gdt(const struct soft_side *side)
{
    static const uint64_t segments[] = {0,
                                        0x00cf9b000000ffff,
                                        0x00af9b000000ffff,
                                        0x00cf93000000ffff,
                                        0x00cffb000000ffff,
                                        0x00cff3000000ffff,
                                        0x00affb000000ffff,
                                        [GDT_CPU] = 0x0040f50000000000};
    memcpy(side->ram.host + GDT, segments, sizeof segments);
    uint64_t base = HIGH + TSS;
    put(side, GDT + TSS_SELECTOR, TSS_LIMIT | (base & 0xffffff) << 16 | 0x8bull << 40 | (base >> 24 & 0xff) << 56);
    put(side, GDT + TSS_SELECTOR + 8, base >> 32);
}

static void write_tss(const struct soft_side *side)
{
    put(side, TSS + 4, HIGH + STACK_TOP);  /* RSP0 */
    put(side, TSS + 36, HIGH + STACK_TOP); /* IST1 */
    side->ram.host[TSS + 102] = 0xff;      /* the I/O map lies beyond the limit */
    side->ram.host[TSS + 103] = 0xff;
}

static void write_idt(const struct soft_side *side)
{
    for (uint64_t vector = 0; vector < VECTORS; vector++) {
        uint64_t target = HIGH + STUBS + vector * STUB_SIZE;
        uint64_t type = vector == 3 || vector == 4 || vector == 0x80 ? GATE_RING3 : GATE_INTERRUPT;
        put(side, IDT + vector * 16,
            (target & 0xffff) | 0x10ull << 16 | 1ull << 32 | type << 40 | (target >> 16 & 0xffff) << 48);
        put(side, IDT + vector * 16 + 8, target >> 32);
    }
}

static void fill_boot(struct mh_cpu_state *boot, uint64_t xcr0)
{
    *boot = (struct mh_cpu_state){.xcr0 = xcr0, .dr6 = 0xffff0ff0, .dr7 = 0x400};
    boot->msrs.pat = 0x0007040600070406;
    boot->msrs.apic_base = 0xfee00900;
    boot->msrs.misc_enable = 1;
    boot->system = (struct mh_x86_system){
        .seg = {[MH_CS] = {.limit = 0xffffffff, .selector = AREA_CS, .attributes = 0xa0fb},
                [MH_SS] = {.limit = 0xffffffff, .selector = AREA_SS, .attributes = 0xc0f3},
                [MH_TR] = {.base = HIGH + TSS, .limit = TSS_LIMIT, .selector = TSS_SELECTOR, .attributes = 0x8b}},
        .gdt = {.base = HIGH + GDT, .limit = GDT_ENTRIES * 8 - 1},
        .idt = {.base = HIGH + IDT, .limit = VECTORS * 16 - 1},
        .cr0 = MH_CR0_PE | MH_CR0_MP | MH_CR0_ET | MH_CR0_NE | MH_CR0_WP | MH_CR0_AM | MH_CR0_PG,
        .cr3 = PML4,
        .cr4 =
            MH_CR4_PAE | MH_CR4_OSFXSR | MH_CR4_OSXMMEXCPT | 1u << 16 /* FSGSBASE */ | (xcr0 != 0 ? MH_CR4_OSXSAVE : 0),
        .efer = MH_EFER_SCE | MH_EFER_LME | MH_EFER_LMA | MH_EFER_NXE,
    };
    boot->xsave[1] = 3; /* FCW 0x37f, MXCSR 0x1f80 */
    boot->xsave[0] = 0x7f;
    boot->xsave[25] = 0x1f;
    boot->xsave[24] = 0x80;
}

bool soft_side_create(struct soft_side *side)
{
    struct mh_error err;
    *side = (struct soft_side){0};
    x86_cpuid_init(&side->cpuid);
    fill_boot(&side->boot, side->cpuid.xcr0);
    if (ram_create(&side->ram, RAM, &err) != MH_OK) {
        printf("%s\n", err.text);
        return false;
    }
    write_page_tables(side);
    write_gdt(side);
    write_tss(side);
    write_idt(side);
    if (soft_cpu_create(&side->ram, &side->cpuid, &side->boot, &side->cpu, &err) != MH_OK) {
        printf("%s\n", err.text);
        return false;
    }
    side->code = translate_if_asked(side->cpu);
    return true;
}

void soft_side_destroy(struct soft_side *side)
{
    if (side->cpu != NULL)
        side->cpu->ops->destroy(side->cpu);
    host_code_destroy(side->code);
    ram_free(&side->ram);
}

uint8_t *soft_side_code(const struct soft_side *side)
{
    return side->ram.host + CODE;
}

uint8_t *soft_side_data(const struct soft_side *side)
{
    return side->ram.host + DATA;
}

void soft_side_code_changed(struct soft_side *side, size_t offset, size_t length)
{
    side->cpu->ops->memory_changed(side->cpu, mh_gpa_of(CODE + offset), length);
}

static bool has_error_code(uint8_t vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void read_frame(const struct soft_side *side, const struct mh_cpu_state *state, struct outcome *outcome)
{
    uint64_t frame[6] = {0};
    uint64_t at = state->general.gpr[MH_RSP] - HIGH;
    bool with_error = has_error_code(outcome->vector);
    if (at > RAM - sizeof frame)
        return;
    memcpy(with_error ? frame : frame + 1, side->ram.host + at, sizeof frame - (with_error ? 0 : 8));
    outcome->error_code = (uint32_t)frame[0];
    outcome->rip = frame[1];
    outcome->cs = (uint16_t)frame[2];
    outcome->rflags = frame[3];
    outcome->gpr[MH_RSP] = frame[4];
    outcome->ss = (uint16_t)frame[5];
}

static void describe(struct soft_side *side, const struct cpu_exit *exit, struct outcome *outcome)
{
    struct mh_cpu_state state;
    struct mh_error err;
    if (side->cpu->ops->save(side->cpu, &state, &err) != MH_OK) {
        outcome->kind = OUTCOME_OTHER;
        snprintf(outcome->text, sizeof outcome->text, "save: %.200s", err.text);
        return;
    }
    const struct mh_x86_segment *seg = state.system.seg;
    memcpy(outcome->gpr, state.general.gpr, sizeof outcome->gpr);
    memcpy(outcome->xsave, state.xsave, sizeof outcome->xsave);
    outcome_write_out_initial(outcome->xsave);
    outcome->ds = seg[MH_DS].selector;
    outcome->es = seg[MH_ES].selector;
    outcome->fs = seg[MH_FS].selector;
    outcome->gs = seg[MH_GS].selector;
    outcome->fs_base = seg[MH_FS].base;
    outcome->gs_base = seg[MH_GS].base;
    outcome->rip = state.general.rip;
    outcome->rflags = state.general.rflags;
    outcome->cs = seg[MH_CS].selector;
    outcome->ss = seg[MH_SS].selector;
    outcome->error_code = 0;
    outcome->vector = exit->vector;
    outcome->cr2 = exit->vector == 14 && outcome->kind == OUTCOME_EXCEPTION ? state.system.cr2 : 0;
    if (outcome->kind == OUTCOME_EXCEPTION)
        read_frame(side, &state, outcome);
}

static void name_exit(const struct cpu_exit *exit, struct outcome *outcome)
{
    outcome->kind = OUTCOME_OTHER;
    if (exit->kind == CPU_EXIT_FAULT_DELIVERED) {
        outcome->kind = OUTCOME_EXCEPTION;
        outcome->text[0] = 0;
    } else if (exit->kind == CPU_EXIT_COUNT_REACHED) {
        outcome->kind = OUTCOME_HUNG;
        outcome->text[0] = 0;
    } else if (exit->kind == CPU_EXIT_ERROR) {
        snprintf(outcome->text, sizeof outcome->text, "error: %.300s", exit->text);
    } else {
        snprintf(outcome->text, sizeof outcome->text, "exit %d", (int)exit->kind);
    }
}

void soft_side_run(struct soft_side *side, const struct start *start, uint64_t limit, struct outcome *outcome)
{
    struct mh_error err;
    struct mh_cpu_state *boot = &side->boot;
    memcpy(boot->general.gpr, start->gpr, sizeof boot->general.gpr);
    boot->general.rip = start->rip;
    boot->general.rflags = start->rflags;
    boot->system.seg[MH_FS].base = start->fs_base;
    boot->system.seg[MH_GS].base = start->gs_base;
    memcpy(boot->xsave, start->xsave, sizeof boot->xsave);
    if (side->cpu->ops->restore(side->cpu, boot, &err) != MH_OK) {
        outcome->kind = OUTCOME_OTHER;
        snprintf(outcome->text, sizeof outcome->text, "restore: %.200s", err.text);
        return;
    }
    struct cpu_request request = {.mode = CPU_UNTIL, .report = CPU_REPORT_FAULTS};
    side->cpu->ops->instructions(side->cpu, &request.until);
    request.until += limit;
    struct cpu_exit exit = {0};
    side->cpu->ops->run(side->cpu, &request, &exit);
    name_exit(&exit, outcome);
    describe(side, &exit, outcome);
}

bool soft_side_is_unsupported(const struct outcome *outcome)
{
    return outcome->kind == OUTCOME_OTHER && strstr(outcome->text, "compatibility mode") != NULL;
}

bool soft_side_has(const struct soft_side *side, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
    uint32_t result[4];
    x86_cpuid_query(&side->cpuid, leaf, subleaf, result);
    return (result[reg] >> bit & 1) != 0;
}
