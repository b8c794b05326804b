/* Delivery of exceptions against the manual's tables (Intel SDM volume 3, chapter 6). */
#include "soft/soft_cpu.h"

#include "soft/soft_descriptor.h"
#include "soft/soft_flags.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

#define IDT 0x10000u
#define GDT 0x12000u
#define TSS 0x13000u
#define HANDLERS 0x20000u
#define STACK_TOP 0x31008u /* not aligned to 16 */
#define RING0_STACK 0x41008u
#define IST2_STACK 0x51008u
#define RIP 0x1234u
#define UNMAPPED 0x400000u
#define NOT_CANONICAL 0x800000000000ull

#define GATE_INTERRUPT 0x8eu
#define GATE_TRAP 0x8fu
#define GATE_OF_RING3 0x60u

/* Selectors of the test's GDT. */
enum selector {
    CODE0 = 0x08,
    DATA0 = 0x10,
    DATA3 = 0x1b,
    CODE3 = 0x23,
    TSS_SELECTOR = 0x28, /* two entries */
    CODE_NOT_PRESENT = 0x38,
    CODE_32 = 0x40,
    CODE_CONFORMING = 0x48,
    CODE_NOT_ACCESSED = 0x50,
    CODE_RING3_ONLY = 0x58,
    GDT_END = 0x60,
};

static const uint64_t gdt[] = {
    0,
    0x00af9b000000ffff, /* CODE0 */
    0x00cf93000000ffff, /* DATA0 */
    0x00cff3000000ffff, /* DATA3 */
    0x00affb000000ffff, /* CODE3 */
    0,
    0,
    0x00af1b000000ffff, /* CODE_NOT_PRESENT */
    0x00cf9b000000ffff, /* CODE_32 */
    0x00af9f000000ffff, /* CODE_CONFORMING */
    0x00af9a000000ffff, /* CODE_NOT_ACCESSED */
    0x00affb000000ffff, /* CODE_RING3_ONLY */
};

static struct soft_machine machine;
static struct soft_cpu *cpu;

static void set_gate(unsigned vector, uint16_t selector, unsigned attributes, unsigned ist, uint64_t offset)
{
    soft_machine_put64(&machine, IDT + vector * 16,
                       (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 | (uint64_t)attributes << 40 |
                           (offset >> 16 & 0xffff) << 48);
    soft_machine_put64(&machine, IDT + vector * 16 + 8, offset >> 32);
}

static uint64_t handler(unsigned vector)
{
    return HANDLERS + vector * 16u;
}

static int set_up(void **state)
{
    (void)state;
    if (!soft_machine_create(&machine))
        return -1;
    cpu = machine.soft;
    soft_machine_put(&machine, GDT, gdt, sizeof gdt);
    for (unsigned vector = 0; vector < 256; vector++)
        set_gate(vector, CODE0, GATE_INTERRUPT, 0, handler(vector));
    soft_machine_put64(&machine, TSS + X86_TSS_RSP0, RING0_STACK);
    soft_machine_put64(&machine, TSS + X86_TSS_IST1, UNMAPPED);
    soft_machine_put64(&machine, TSS + X86_TSS_IST1 + 8, IST2_STACK);
    soft_machine_put64(&machine, TSS + X86_TSS_IST1 + 16, NOT_CANONICAL);
    cpu->gdt = (struct mh_x86_table){.base = GDT, .limit = GDT_END - 1};
    cpu->idt = (struct mh_x86_table){.base = IDT, .limit = 256 * 16 - 1};
    cpu->seg[MH_TR] = (struct mh_x86_segment){
        .base = TSS, .limit = X86_TSS_IST1 + 24 - 1, .selector = TSS_SELECTOR, .attributes = 0x8b};
    cpu->rip = RIP;
    cpu->gpr[MH_RSP] = STACK_TOP;
    soft_set_rflags(cpu, 0x202);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    soft_machine_destroy(&machine);
    return 0;
}

/* ---- what a gate can lead to ---- */

struct gate_case {
    const char *name;
    uint16_t selector;
    uint8_t attributes, ist;
    uint64_t offset;
    unsigned ring;
    /* the fault raised instead, and its error code without EXT */
    unsigned vector;
    uint32_t error;
    uint64_t cr2;
};

#define TESTED 6u                  /* #UD and INT 6 alike */
#define IDT_ERROR (TESTED * 8 + 2) /* vector, IDT bit */

/* Intel SDM volume 2, INT n: the checks in the order of the operation section. */
static const struct gate_case gate_cases[] = {
    {"call gate", CODE0, 0x8c, 0, 0x20000, 0, VECTOR_GP, IDT_ERROR, 0},
    {"task gate", CODE0, 0x85, 0, 0x20000, 0, VECTOR_GP, IDT_ERROR, 0},
    {"16-bit gate", CODE0, 0x86, 0, 0x20000, 0, VECTOR_GP, IDT_ERROR, 0},
    {"S bit", CODE0, 0x9e, 0, 0x20000, 0, VECTOR_GP, IDT_ERROR, 0},
    {"not present", CODE0, 0x0e, 0, 0x20000, 0, VECTOR_NP, IDT_ERROR, 0},
    {"wrong type and not present", CODE0, 0x0c, 0, 0x20000, 0, VECTOR_GP, IDT_ERROR, 0},
    {"null selector", 3, 0x8e, 0, 0x20000, 0, VECTOR_GP, 0, 0},
    {"selector beyond the table", GDT_END, 0x8e, 0, 0x20000, 0, VECTOR_GP, GDT_END, 0},
    {"selector in no LDT", 0xc, 0x8e, 0, 0x20000, 0, VECTOR_GP, 0xc, 0},
    {"data segment", DATA0, 0x8e, 0, 0x20000, 0, VECTOR_GP, DATA0, 0},
    {"system descriptor", TSS_SELECTOR, 0x8e, 0, 0x20000, 0, VECTOR_GP, TSS_SELECTOR, 0},
    {"code of an outer ring", CODE_RING3_ONLY, 0x8e, 0, 0x20000, 0, VECTOR_GP, CODE_RING3_ONLY, 0},
    {"code not present", CODE_NOT_PRESENT, 0x8e, 0, 0x20000, 0, VECTOR_NP, CODE_NOT_PRESENT, 0},
    {"32-bit code", CODE_32, 0x8e, 0, 0x20000, 0, VECTOR_GP, CODE_32, 0},
    {"RPL is not in the error code", CODE_32 | 3, 0x8e, 0, 0x20000, 0, VECTOR_GP, CODE_32, 0},
    {"offset not canonical", CODE0, 0x8e, 0, NOT_CANONICAL, 0, VECTOR_GP, 0, 0},
    {"IST without memory", CODE0, 0x8e, 1, 0x20000, 0, VECTOR_PF, 2, UNMAPPED - 8},
    {"IST not canonical", CODE0, 0x8e, 3, 0x20000, 0, VECTOR_SS, 0, 0},
    {"IST beyond the TSS", CODE0, 0x8e, 4, 0x20000, 0, VECTOR_TS, TSS_SELECTOR, 0},
    {"stack is checked before the offset", CODE0, 0x8e, 3, NOT_CANONICAL, 0, VECTOR_SS, 0, 0},
};

static void expect_frame_error(uint32_t error)
{
    assert_int_equal(soft_machine_get64(&machine, cpu->gpr[MH_RSP]), error);
}

static void deliver_through(const struct gate_case *row, bool is_software)
{
    (void)tear_down(NULL);
    assert_int_equal(set_up(NULL), 0);
    set_gate(TESTED, row->selector, row->attributes, row->ist, row->offset);
    cpu->fault = (struct soft_fault){.vector = TESTED, .is_software = is_software, .length = is_software ? 2 : 0};
    print_message("%s, %s\n", row->name, is_software ? "INT n" : "#UD");
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, row->vector);
    assert_int_equal(cpu->rip, handler(row->vector));
    const bool ext = !is_software && row->vector != VECTOR_PF;
    expect_frame_error(row->error | ext);
    assert_int_equal(soft_machine_get64(&machine, cpu->gpr[MH_RSP] + 8), RIP);
    assert_true(soft_machine_get64(&machine, cpu->gpr[MH_RSP] + 24) & MH_RFLAGS_RF);
    assert_int_equal(cpu->cr2, row->cr2);
    assert_int_equal(cpu->instructions, 1); /* INT n did not complete: this is the fault */
}

static void a_bad_gate_raises_what_the_manual_says(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(gate_cases); i++) {
        deliver_through(&gate_cases[i], false);
        deliver_through(&gate_cases[i], true);
    }
}

static void the_limit_of_the_idt_counts(void **state)
{
    (void)state;
    cpu->idt.limit = 0x80 * 16 + 14; /* the last byte of gate 80H is missing */
    cpu->fault = (struct soft_fault){.vector = 0x80, .is_software = true, .length = 2};
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, VECTOR_GP);
    expect_frame_error(0x80 * 8 + 2);
}

static void an_idt_without_memory_leads_to_a_triple_fault(void **state)
{
    (void)state;
    const struct soft_cpu before = *cpu;
    cpu->idt.base = UNMAPPED;
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_TRIPLE_FAULT);
    assert_memory_equal(cpu->gpr, before.gpr, sizeof before.gpr);
    assert_memory_equal(cpu->seg, before.seg, sizeof before.seg);
    assert_int_equal(cpu->rip, RIP);
    assert_int_equal(cpu->cr2, before.cr2);
}

static void a_triple_fault_shows_the_page_fault_that_led_to_it(void **state)
{
    (void)state;
    cpu->idt.base = UNMAPPED;
    soft_raise_error(cpu, VECTOR_PF, 0);
    cpu->fault.address = 0x123456;
    assert_int_equal(soft_deliver(cpu), SOFT_TRIPLE_FAULT);
    assert_int_equal(cpu->cr2, 0x123456);
}

/* INT n checks DPL, hardware exceptions do not; it comes before presence. */
static void int_n_needs_the_privilege_of_its_gate(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    set_gate(0x80, CODE0, 0x0e, 0, handler(0x80));
    cpu->fault = (struct soft_fault){.vector = 0x80, .is_software = true, .length = 2};
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, VECTOR_GP);
    expect_frame_error(0x80 * 8 + 2);
}

static void int_n_of_ring_3_gets_through_a_gate_of_ring_3(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    set_gate(0x80, CODE0, GATE_INTERRUPT | GATE_OF_RING3, 0, handler(0x80));
    cpu->fault = (struct soft_fault){.vector = 0x80, .is_software = true, .length = 2};
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, 0x80);
    assert_int_equal(soft_machine_get64(&machine, cpu->gpr[MH_RSP]), RIP + 2);
    assert_int_equal(cpu->instructions, 1);
}

/* ---- table 6-5 ---- */

enum second {
    CONTRIBUTORY, /* the first one's gate is not present */
    PAGE_FAULT,   /* its stack has no memory */
};

struct double_case {
    unsigned first;
    bool is_software;
    enum second second;
    unsigned delivered; /* TRIPLE: none */
};

#define TRIPLE 0xffu

static const struct double_case double_cases[] = {
    {VECTOR_UD, false, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_UD, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_DB, false, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_NM, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_MF, false, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_AC, false, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_XM, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_DE, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_DE, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_TS, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_TS, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_NP, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_NP, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_SS, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_SS, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_GP, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_GP, false, PAGE_FAULT, VECTOR_PF},
    {VECTOR_PF, false, CONTRIBUTORY, VECTOR_DF},
    {VECTOR_PF, false, PAGE_FAULT, VECTOR_DF},
    {VECTOR_DF, false, CONTRIBUTORY, TRIPLE},
    {VECTOR_DF, false, PAGE_FAULT, TRIPLE},
    /* an INT n is benign whatever its vector */
    {VECTOR_GP, true, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_PF, true, PAGE_FAULT, VECTOR_DF},
    {VECTOR_SS, true, CONTRIBUTORY, VECTOR_NP},
    {VECTOR_DF, true, CONTRIBUTORY, VECTOR_NP},
};

static void the_second_exception_is_judged_by_the_table(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(double_cases); i++) {
        const struct double_case *row = &double_cases[i];
        (void)tear_down(NULL);
        assert_int_equal(set_up(NULL), 0);
        set_gate(row->first, CODE0, row->second == CONTRIBUTORY ? 0x0e : 0x8e, row->second == PAGE_FAULT, 0x20000);
        soft_raise(cpu, (uint8_t)row->first);
        cpu->fault.is_software = row->is_software;
        print_message("vector %u, %s\n", row->first, row->second == CONTRIBUTORY ? "contributory" : "page fault");
        const enum soft_delivery expected = row->delivered == TRIPLE ? SOFT_TRIPLE_FAULT : SOFT_DELIVERED;
        assert_int_equal(soft_deliver(cpu), expected);
        if (expected == SOFT_DELIVERED)
            assert_int_equal(cpu->rip, handler(row->delivered));
        if (row->delivered == VECTOR_DF)
            expect_frame_error(0);
    }
}

/* ---- a successful delivery ---- */

struct frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

static struct frame frame_at(uint64_t rsp)
{
    return (struct frame){
        soft_machine_get64(&machine, rsp),      soft_machine_get64(&machine, rsp + 8),
        soft_machine_get64(&machine, rsp + 16), soft_machine_get64(&machine, rsp + 24),
        soft_machine_get64(&machine, rsp + 32),
    };
}

static void the_same_ring_keeps_its_stack(void **state)
{
    (void)state;
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->gpr[MH_RSP], (STACK_TOP & ~15u) - 40);
    const struct frame frame = frame_at(cpu->gpr[MH_RSP]);
    assert_int_equal(frame.rip, RIP);
    assert_int_equal(frame.cs, MH_SEL_KERNEL_CODE);
    assert_int_equal(frame.rflags, 0x202 | MH_RFLAGS_RF);
    assert_int_equal(frame.rsp, STACK_TOP);
    assert_int_equal(frame.ss, MH_SEL_KERNEL_DATA);
    assert_int_equal(cpu->seg[MH_SS].selector, MH_SEL_KERNEL_DATA);
    assert_int_equal(soft_rflags(cpu), 2);
}

static void an_inner_ring_has_a_stack_of_its_own(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    soft_raise_error(cpu, VECTOR_GP, 0x1234);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->gpr[MH_RSP], (RING0_STACK & ~15u) - 48);
    expect_frame_error(0x1234);
    const struct frame frame = frame_at(cpu->gpr[MH_RSP] + 8);
    assert_int_equal(frame.cs, MH_SEL_USER_CODE);
    assert_int_equal(frame.rsp, STACK_TOP);
    assert_int_equal(frame.ss, MH_SEL_USER_DATA);
    assert_int_equal(cpu->seg[MH_CS].selector, CODE0);
    assert_int_equal(cpu->seg[MH_SS].selector, 0);
    assert_int_equal(cpu->user, 0);
}

static void an_ist_stack_leaves_ss_alone_in_the_same_ring(void **state)
{
    (void)state;
    set_gate(VECTOR_UD, CODE0, GATE_INTERRUPT, 2, handler(VECTOR_UD));
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->gpr[MH_RSP], (IST2_STACK & ~15u) - 40);
    assert_int_equal(cpu->seg[MH_SS].selector, MH_SEL_KERNEL_DATA);
}

static void conforming_code_keeps_the_ring(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    set_gate(VECTOR_UD, CODE_CONFORMING, GATE_INTERRUPT, 0, handler(VECTOR_UD));
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->seg[MH_CS].selector, CODE_CONFORMING | 3);
    assert_int_equal(cpu->seg[MH_SS].selector, MH_SEL_USER_DATA);
    assert_int_equal(cpu->gpr[MH_RSP], (STACK_TOP & ~15u) - 40);
}

static void a_trap_gate_leaves_if_alone(void **state)
{
    (void)state;
    set_gate(VECTOR_UD, CODE0, GATE_TRAP, 0, handler(VECTOR_UD));
    soft_set_rflags(cpu, 0x247fd7 | MH_RFLAGS_RF); /* all flags but IOPL and VM */
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(soft_rflags(cpu), 0x243ed7 & ~0x4000); /* TF, NT and RF are clear */
}

static void the_accessed_bit_of_the_code_segment_is_set(void **state)
{
    (void)state;
    set_gate(VECTOR_UD, CODE_NOT_ACCESSED, GATE_INTERRUPT, 0, handler(VECTOR_UD));
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(soft_machine_get64(&machine, GDT + CODE_NOT_ACCESSED), 0x00af9b000000ffff);
    assert_int_equal(cpu->seg[MH_CS].attributes, 0xa09b);
}

/* ---- RF, Intel SDM volume 3, 17.3.1.1 ---- */

static const struct {
    const char *name;
    struct soft_fault fault;
    bool rf_before, rf_pushed;
} rf_cases[] = {
    {"fault", {.vector = VECTOR_UD}, false, true},
    {"fault with RF set", {.vector = VECTOR_UD}, true, true},
    {"page fault", {.vector = VECTOR_PF, .has_error_code = true}, false, true},
    {"double fault", {.vector = VECTOR_DF, .has_error_code = true}, false, true},
    {"single step", {.vector = VECTOR_DB, .is_trap = true, .dr6 = 1u << 14}, false, false},
    {"step between repetitions", {.vector = VECTOR_DB, .is_trap = true, .dr6 = 1u << 14}, true, true},
    {"instruction breakpoint", {.vector = VECTOR_DB, .dr6 = 1}, false, false},
    {"general detect", {.vector = VECTOR_DB, .dr6 = 1u << 13}, false, true},
    {"INT n", {.vector = 0x80, .is_software = true, .length = 2}, true, false},
    {"INT3", {.vector = VECTOR_BP, .is_software = true, .length = 1}, false, false},
    {"INT1", {.vector = VECTOR_DB, .is_trap = true, .length = 1}, true, false},
};

static void rf_is_pushed_for_faults(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(rf_cases); i++) {
        (void)tear_down(NULL);
        assert_int_equal(set_up(NULL), 0);
        print_message("%s\n", rf_cases[i].name);
        soft_set_rflags(cpu, rf_cases[i].rf_before ? 2 | MH_RFLAGS_RF : 2);
        cpu->fault = rf_cases[i].fault;
        assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
        const struct frame frame = frame_at(cpu->gpr[MH_RSP] + (rf_cases[i].fault.has_error_code ? 8 : 0));
        assert_int_equal((frame.rflags & MH_RFLAGS_RF) != 0, rf_cases[i].rf_pushed);
        assert_int_equal(frame.rip, RIP + rf_cases[i].fault.length);
        assert_false(soft_rflags(cpu) & MH_RFLAGS_RF);
    }
}

/* ---- registers that exceptions change ---- */

static void a_debug_exception_says_why_in_dr6_and_clears_gd(void **state)
{
    (void)state;
    cpu->dr6 = 0xffff8ff5; /* BT, B2 and B0 */
    cpu->dr7 = 0x2400;     /* GD */
    soft_raise(cpu, VECTOR_DB);
    cpu->fault.dr6 = 1u << 13 | 2;
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->dr6, 0xffffaff2); /* B0 to B3 are replaced, the rest adds up */
    assert_int_equal(cpu->dr7, 0x400);
}

static void int1_leaves_dr6_alone(void **state)
{
    (void)state;
    cpu->dr6 = 0xffff0ff5;
    cpu->fault = (struct soft_fault){.vector = VECTOR_DB, .is_trap = true, .length = 1};
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->dr6, 0xffff0ff5);
}

static void a_page_fault_during_a_page_fault_owns_cr2(void **state)
{
    (void)state;
    set_gate(VECTOR_PF, CODE0, GATE_INTERRUPT, 1, handler(VECTOR_PF));
    soft_raise_error(cpu, VECTOR_PF, 0);
    cpu->fault.address = 0x123456;
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, VECTOR_DF);
    assert_int_equal(cpu->cr2, UNMAPPED - 8);
}

/* ---- the first push that fails decides ---- */

#define SECOND_LARGE_PAGE 0x400000u

static void a_frame_that_crosses_into_a_missing_page_changes_nothing(void **state)
{
    (void)state;
    /* 2 MB at 4 MB lead to physical 0; the 2 MB below are missing. */
    soft_machine_put64(&machine, MH_SYSTEM_AREA + BOOT_PD + 2 * 8, 0x87);
    cpu->gpr[MH_RSP] = SECOND_LARGE_PAGE + 0x18;
    soft_machine_put64(&machine, 0x8, 0x1111);
    set_gate(VECTOR_PF, CODE0, GATE_INTERRUPT, 2, handler(VECTOR_PF));
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, VECTOR_PF);
    assert_int_equal(cpu->cr2, SECOND_LARGE_PAGE - 8);
    assert_int_equal(soft_machine_get64(&machine, 0x8), 0x1111); /* the first push is not visible */
    const struct frame frame = frame_at(cpu->gpr[MH_RSP] + 8);
    assert_int_equal(frame.rsp, SECOND_LARGE_PAGE + 0x18);
}

static void a_stack_that_is_not_canonical_raises_a_stack_fault(void **state)
{
    (void)state;
    cpu->gpr[MH_RSP] = NOT_CANONICAL + 0x1000;
    set_gate(VECTOR_SS, CODE0, GATE_INTERRUPT, 2, handler(VECTOR_SS));
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(cpu->fault.vector, VECTOR_SS);
    expect_frame_error(1); /* EXT */
}

/* The system area is for ring 0 only: tables are read with the rights of ring 0 in any ring. */
static void tables_are_read_with_the_rights_of_ring_0(void **state)
{
    (void)state;
    cpu->idt.base = MH_SYSTEM_AREA + BOOT_IDT;
    cpu->idt.limit = BOOT_VECTORS * 16 - 1;
    soft_machine_put64(&machine, TSS + X86_TSS_IST1, IST2_STACK);
    soft_machine_set_ring(&machine, 3);
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_DELIVERED);
    assert_int_equal(boot_stub_at(cpu->rip), VECTOR_UD);
}

/* Sends a page of the guest's address space to where no memory is. */
static void a_stack_beyond_memory_leaves_the_guest(void **state)
{
    (void)state;
    soft_machine_put64(&machine, MH_SYSTEM_AREA + BOOT_PD + 2 * 8, 0x200087);
    cpu->gpr[MH_RSP] = SECOND_LARGE_PAGE + 0x100;
    soft_raise(cpu, VECTOR_UD);
    assert_int_equal(soft_deliver(cpu), SOFT_NO_MEMORY);
    assert_int_equal(machine.exit.kind, CPU_EXIT_NO_MEMORY);
    assert_int_equal(machine.exit.physical, 0x2000f8);
    assert_int_equal(cpu->rip, RIP);
    assert_int_equal(cpu->fault.vector, VECTOR_UD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bad_gate_raises_what_the_manual_says),
        TEST(the_limit_of_the_idt_counts),
        TEST(an_idt_without_memory_leads_to_a_triple_fault),
        TEST(a_triple_fault_shows_the_page_fault_that_led_to_it),
        TEST(int_n_needs_the_privilege_of_its_gate),
        TEST(int_n_of_ring_3_gets_through_a_gate_of_ring_3),
        TEST(the_second_exception_is_judged_by_the_table),
        TEST(the_same_ring_keeps_its_stack),
        TEST(an_inner_ring_has_a_stack_of_its_own),
        TEST(an_ist_stack_leaves_ss_alone_in_the_same_ring),
        TEST(conforming_code_keeps_the_ring),
        TEST(a_trap_gate_leaves_if_alone),
        TEST(the_accessed_bit_of_the_code_segment_is_set),
        TEST(rf_is_pushed_for_faults),
        TEST(a_debug_exception_says_why_in_dr6_and_clears_gd),
        TEST(int1_leaves_dr6_alone),
        TEST(a_page_fault_during_a_page_fault_owns_cr2),
        TEST(a_frame_that_crosses_into_a_missing_page_changes_nothing),
        TEST(a_stack_that_is_not_canonical_raises_a_stack_fault),
        TEST(tables_are_read_with_the_rights_of_ring_0),
        TEST(a_stack_beyond_memory_leaves_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
