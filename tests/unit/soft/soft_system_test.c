/* Privileged and system instructions, one at a time: what they do, and what they raise (Intel SDM volume 2). */
#include "soft/soft_cpu.h"

#include "soft/soft_descriptor.h"
#include "soft/soft_flags.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#include <string.h>

#define CODE 0x1000u
#define DATA 0x8000u
#define GDT 0x12000u
#define TSS 0x13000u
#define RING0_STACK 0x41000u
#define STACK 0x31000u
#define NOT_CANONICAL 0x800000000000ull
#define NO_FAULT 0xffu

enum selector {
    CODE0 = 0x08,
    DATA0 = 0x10,
    DATA3 = 0x1b,
    CODE3 = 0x23,
    TSS_SELECTOR = 0x28,
    FREE_TSS = 0x38,
    CODE_32 = 0x48,
    READ_ONLY = 0x50,
    NOT_PRESENT = 0x58,
    GATE_TO_0 = 0x60,
    LDT = 0x70,
    CODE_32_RING3 = 0x80,
    WITH_BASE = 0x88,
    EXECUTE_ONLY = 0x90,
    GDT_END = 0x98,
};

static const uint64_t gdt[] = {
    0,
    0x00af9b000000ffff, /* CODE0 */
    0x00cf93000000ffff, /* DATA0 */
    0x00cff3000000ffff, /* DATA3 */
    0x00affb000000ffff, /* CODE3 */
    0x00008b0130000067, /* TSS_SELECTOR */
    0,
    0x0000890130000067, /* FREE_TSS */
    0,
    0x00cf9b000000ffff, /* CODE_32 */
    0x00cf91000000ffff, /* READ_ONLY */
    0x00cf13000000ffff, /* NOT_PRESENT */
    0x0000ec0000082000, /* GATE_TO_0: CODE0:2000H, for ring 3 */
    0,
    0x00008200a000000f, /* LDT */
    0,
    0x00cffb000000ffff, /* CODE_32_RING3 */
    0x12cff2345678ffff, /* WITH_BASE, of ring 3 */
    0x00af99000000ffff, /* EXECUTE_ONLY */
};

static struct soft_machine machine;
static struct soft_cpu *cpu;

static int set_up(void **state)
{
    (void)state;
    if (!soft_machine_create(&machine))
        return -1;
    cpu = machine.soft;
    soft_machine_put(&machine, GDT, gdt, sizeof gdt);
    soft_machine_put64(&machine, TSS + X86_TSS_RSP0, RING0_STACK);
    soft_machine_put64(&machine, TSS + X86_TSS_IST1, MH_SYSTEM_AREA + BOOT_FAULT_STACK_TOP);
    cpu->gdt = (struct mh_x86_table){.base = GDT, .limit = GDT_END - 1};
    cpu->seg[MH_TR].base = TSS;
    cpu->gpr[MH_RSP] = STACK;
    cpu->gpr[MH_RAX] = DATA;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    soft_machine_destroy(&machine);
    return 0;
}

static void begin_again(void)
{
    (void)tear_down(NULL);
    assert_int_equal(set_up(NULL), 0);
}

/* Execute one instruction; returns the vector of the exception it raised, or NO_FAULT. */
#define step(code) step_bytes(code, sizeof(code) - 1)

static unsigned step_bytes(const char *code, size_t length)
{
    soft_machine_load(&machine, CODE, code, length);
    assert_int_equal(soft_machine_run(&machine, CPU_STEP), CPU_EXIT_STEP);
    const int stub = boot_stub_at(cpu->rip);
    return stub < 0 ? NO_FAULT : (unsigned)stub;
}

static void expect_error(uint32_t error)
{
    assert_int_equal(soft_machine_get64(&machine, cpu->gpr[MH_RSP]), error);
}

static uint64_t data(void)
{
    return soft_machine_get64(&machine, DATA);
}

/* ---- who may execute what ---- */

struct privilege_case {
    const char *name, *code;
    uint8_t length, ring0, ring3; /* the vector raised */
};

#define CASE(name, code, ring0, ring3)                                                                                 \
    {                                                                                                                  \
        name, code, sizeof(code) - 1, ring0, ring3                                                                     \
    }

static const struct privilege_case privilege_cases[] = {
    CASE("cli", "\xfa", NO_FAULT, VECTOR_GP),
    CASE("sti", "\xfb", NO_FAULT, VECTOR_GP),
    CASE("invd", "\x0f\x08", NO_FAULT, VECTOR_GP),
    CASE("wbinvd", "\x0f\x09", NO_FAULT, VECTOR_GP),
    CASE("clts", "\x0f\x06", NO_FAULT, VECTOR_GP),
    CASE("mov rbx, cr0", "\x0f\x20\xc3", NO_FAULT, VECTOR_GP),
    CASE("mov rbx, cr1", "\x0f\x20\xcb", VECTOR_UD, VECTOR_UD),
    CASE("mov rbx, cr8", "\x44\x0f\x20\xc3", NO_FAULT, VECTOR_GP),
    CASE("mov rbx, cr9", "\x44\x0f\x20\xcb", VECTOR_UD, VECTOR_UD),
    CASE("mov cr3, rax", "\x0f\x22\xd8", NO_FAULT, VECTOR_GP),
    CASE("mov rbx, dr7", "\x0f\x21\xfb", NO_FAULT, VECTOR_GP),
    CASE("mov rbx, dr8", "\x44\x0f\x21\xc3", VECTOR_UD, VECTOR_UD),
    CASE("mov dr0, rax", "\x0f\x23\xc0", NO_FAULT, VECTOR_GP),
    CASE("lgdt [rax]", "\x0f\x01\x10", NO_FAULT, VECTOR_GP),
    CASE("lidt [rax]", "\x0f\x01\x18", NO_FAULT, VECTOR_GP),
    CASE("lmsw bx", "\x0f\x01\xf3", NO_FAULT, VECTOR_GP),
    CASE("invlpg [rax]", "\x0f\x01\x38", NO_FAULT, VECTOR_GP),
    CASE("swapgs", "\x0f\x01\xf8", NO_FAULT, VECTOR_GP),
    CASE("lldt bx", "\x0f\x00\xd3", NO_FAULT, VECTOR_GP),
    CASE("ltr bx", "\x0f\x00\xdb", VECTOR_GP, VECTOR_GP),
    CASE("rdmsr", "\x0f\x32", VECTOR_GP, VECTOR_GP),
    CASE("wrmsr", "\x0f\x30", VECTOR_GP, VECTOR_GP),
    CASE("rdpmc", "\x0f\x33", VECTOR_GP, VECTOR_GP),
    CASE("rdtsc", "\x0f\x31", NO_FAULT, NO_FAULT),
    CASE("hlt", "\xf4", NO_FAULT, VECTOR_GP),
    CASE("sgdt [rax]", "\x0f\x01\x00", NO_FAULT, NO_FAULT),
    CASE("smsw bx", "\x66\x0f\x01\xe3", NO_FAULT, NO_FAULT),
    CASE("str ebx", "\x0f\x00\xcb", NO_FAULT, NO_FAULT),
    CASE("0f 00 /6", "\x0f\x00\xf3", VECTOR_UD, VECTOR_UD),
    CASE("0f 01 /5 with memory", "\x0f\x01\x28", VECTOR_UD, VECTOR_UD),
    CASE("vmcall", "\x0f\x01\xc1", VECTOR_UD, VECTOR_UD),
    CASE("monitor", "\x0f\x01\xc8", VECTOR_UD, VECTOR_UD),
    CASE("mwait", "\x0f\x01\xc9", VECTOR_UD, VECTOR_UD),
    CASE("vmrun", "\x0f\x01\xd8", VECTOR_UD, VECTOR_UD),
    CASE("vmmcall", "\x0f\x01\xd9", VECTOR_UD, VECTOR_UD),
    CASE("rdpkru", "\x0f\x01\xee", VECTOR_UD, VECTOR_UD),
    CASE("clac with 66", "\x66\x0f\x01\xca", VECTOR_UD, VECTOR_UD),
    CASE("invpcid rbx, [rax]", "\x66\x0f\x38\x82\x18", VECTOR_UD, VECTOR_UD),
    CASE("mov cs, ebx", "\x8e\xcb", VECTOR_UD, VECTOR_UD),
    CASE("mov ebx, segment 6", "\x8c\xf3", VECTOR_UD, VECTOR_UD),
    CASE("rdfsbase without CR4.FSGSBASE", "\xf3\x48\x0f\xae\xc3", VECTOR_UD, VECTOR_UD),
    CASE("xgetbv without CR4.OSXSAVE", "\x0f\x01\xd0", VECTOR_UD, VECTOR_UD),
    CASE("sysret", "\x48\x0f\x07", NO_FAULT, VECTOR_GP),
};

static void expect_privilege(const struct privilege_case *row, unsigned ring, unsigned vector)
{
    begin_again();
    soft_machine_set_ring(&machine, ring);
    cpu->cr4 &= ~(uint64_t)MH_CR4_OSXSAVE;
    cpu->gpr[MH_RCX] = 0x3000;
    cpu->gpr[MH_RBX] = 0;
    soft_machine_load(&machine, CODE, row->code, row->length);
    print_message("%s in ring %u\n", row->name, ring);
    const enum cpu_exit_kind kind = soft_machine_run(&machine, CPU_STEP);
    assert_true(kind == CPU_EXIT_STEP || kind == CPU_EXIT_HALT);
    const int stub = boot_stub_at(cpu->rip);
    assert_int_equal(stub < 0 ? NO_FAULT : (unsigned)stub, vector);
    if (vector == VECTOR_GP)
        expect_error(0);
    assert_int_equal(cpu->instructions, 1); /* or the fault */
}

static void each_instruction_checks_its_ring(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(privilege_cases); i++) {
        expect_privilege(&privilege_cases[i], 0, privilege_cases[i].ring0);
        expect_privilege(&privilege_cases[i], 3, privilege_cases[i].ring3);
    }
}

static void iopl_lets_ring_3_change_if(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    soft_set_rflags(cpu, 0x3202);
    assert_int_equal(step("\xfa"), NO_FAULT);
    assert_int_equal(soft_rflags(cpu), 0x3002);
}

static void umip_hides_tables_from_ring_3(void **state)
{
    (void)state;
    static const char *const codes[] = {"\x0f\x01\x08", "\x0f\x01\xe3", "\x0f\x00\xcb"}; /* sidt, smsw, str */
    for (unsigned i = 0; i < COUNT(codes); i++) {
        begin_again();
        cpu->cr4 |= 1u << 11;
        soft_machine_set_ring(&machine, 3);
        assert_int_equal(step_bytes(codes[i], 3), VECTOR_GP);
    }
}

/* ---- control and debug registers ---- */

static const struct {
    const char *name, *code; /* mov crN, rax */
    uint64_t value;
    bool allowed;
} control_cases[] = {
    {"CR0 as it is", "\x0f\x22\xc0", 0x80050033, true},
    {"CR0 with reserved bits", "\x0f\x22\xc0", 0x800d0073, true},
    {"CR0 with an upper half", "\x0f\x22\xc0", 0x180050033, false},
    {"CR0 without PG", "\x0f\x22\xc0", 0x00050033, false},
    {"CR0 without PE", "\x0f\x22\xc0", 0x80050032, false},
    {"CR0 with NW, not CD", "\x0f\x22\xc0", 0xa0050033, false},
    {"CR0 with NW and CD", "\x0f\x22\xc0", 0xe0050033, true},
    {"CR3 with bit 63", "\x0f\x22\xd8", 1ull << 63, false},
    {"CR3 with bit 52", "\x0f\x22\xd8", 1ull << 52, false},
    {"CR4 as it is", "\x0f\x22\xe0", 0x620, true},
    {"CR4 without PAE", "\x0f\x22\xe0", 0x600, false},
    {"CR4 with LA57", "\x0f\x22\xe0", 0x1620, false},
    {"CR4 with PCIDE", "\x0f\x22\xe0", 0x20620, false},
    {"CR4 with VMXE", "\x0f\x22\xe0", 0x2620, false},
    {"CR4 with bit 63", "\x0f\x22\xe0", 1ull << 63 | 0x620, false},
};

static void control_registers_refuse_what_does_not_exist(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(control_cases); i++) {
        begin_again();
        print_message("%s\n", control_cases[i].name);
        cpu->gpr[MH_RAX] = control_cases[i].value;
        assert_int_equal(step_bytes(control_cases[i].code, 3), control_cases[i].allowed ? NO_FAULT : VECTOR_GP);
    }
}

static void reserved_bits_of_cr0_are_ignored(void **state)
{
    (void)state;
    cpu->gpr[MH_RAX] = 0x9ff7ffef;
    assert_int_equal(step("\x0f\x22\xc0"), NO_FAULT);
    assert_int_equal(cpu->cr0, 0x8005003f);
}

static void lmsw_cannot_clear_pe(void **state)
{
    (void)state;
    cpu->gpr[MH_RBX] = 0xfff8; /* TS of the low four bits */
    assert_int_equal(step("\x0f\x01\xf3"), NO_FAULT);
    assert_int_equal(cpu->cr0 & 0xf, 9);
}

static void cr8_has_four_bits(void **state)
{
    (void)state;
    cpu->gpr[MH_RAX] = 0x1f;
    assert_int_equal(step("\x44\x0f\x22\xc0"), VECTOR_GP);
}

static void a_write_of_cr3_is_reported_on_request(void **state)
{
    (void)state;
    const uint64_t old = cpu->cr3;
    machine.request.report = CPU_REPORT_CR3;
    cpu->gpr[MH_RAX] = old | 0x18;
    soft_machine_code(&machine, CODE, "\x0f\x22\xd8");
    assert_int_equal(soft_machine_run(&machine, CPU_RUN), CPU_EXIT_CR3_WRITTEN);
    assert_int_equal(machine.exit.old_cr3, old);
    assert_int_equal(machine.exit.new_cr3, old | 0x18);
    assert_int_equal(cpu->rip, CODE + 3);
}

static void debug_registers_have_fixed_bits(void **state)
{
    (void)state;
    cpu->gpr[MH_RAX] = 0;
    assert_int_equal(step("\x0f\x23\xf0"), NO_FAULT);
    assert_int_equal(cpu->dr6, 0xffff0ff0);
    cpu->gpr[MH_RAX] = 0xdf00; /* all but GD */
    assert_int_equal(step("\x0f\x23\xf8"), NO_FAULT);
    assert_int_equal(cpu->dr7, 0x700);
    cpu->gpr[MH_RAX] = 1ull << 32;
    assert_int_equal(step("\x0f\x23\xf8"), VECTOR_GP);
}

static void dr4_is_dr6_unless_de_is_set(void **state)
{
    (void)state;
    assert_int_equal(step("\x0f\x21\xe3"), NO_FAULT);
    assert_int_equal(cpu->gpr[MH_RBX], 0xffff0ff0);
    cpu->cr4 |= MH_CR4_DE;
    assert_int_equal(step("\x0f\x21\xe3"), VECTOR_UD);
}

static void general_detect_traps_access_to_debug_registers(void **state)
{
    (void)state;
    cpu->dr7 = 0x2400;
    assert_int_equal(step("\x0f\x21\xc3"), VECTOR_DB);
    assert_int_equal(cpu->dr6, 0xffff2ff0);
    assert_int_equal(cpu->dr7, 0x400);
    assert_int_equal(soft_machine_get64(&machine, cpu->gpr[MH_RSP]), CODE); /* a fault */
}

/* ---- MSRs ---- */

static const struct {
    uint32_t index;
    uint64_t value;
    bool allowed;
} msr_cases[] = {
    {0xc0000080, 0xd01, true},          /* EFER as it is */
    {0xc0000080, 0xc01, false},         /* without LME */
    {0xc0000080, 0x1d01, false},        /* with SVME */
    {0xc0000081, UINT64_MAX, true},     /* STAR */
    {0xc0000082, 0x7fffffffffff, true}, /* LSTAR */
    {0xc0000082, NOT_CANONICAL, false},
    {0xc0000083, NOT_CANONICAL, false},     /* CSTAR */
    {0xc0000084, 0x47700, true},            /* SFMASK */
    {0xc0000100, 0xffff800000000000, true}, /* FS.base */
    {0xc0000100, NOT_CANONICAL, false},
    {0xc0000101, NOT_CANONICAL, false}, /* GS.base */
    {0xc0000102, NOT_CANONICAL, false}, /* KERNEL_GS_BASE */
    {0xc0000103, 5, true},              /* TSC_AUX */
    {0x277, 0x0007040600070406, true},  /* PAT */
    {0x277, 0x0002040600070406, false},
    {0x1b, 0xfee00900, true},  /* APIC_BASE */
    {0x1b, 0xfee00d00, false}, /* x2APIC */
    {0x174, 8, true},          /* SYSENTER_CS */
    {0xfe, 0x508, false},      /* MTRRCAP is read-only */
    {0x2ff, 0xc06, true},      /* MTRR_DEF_TYPE */
    {0x2ff, 0xc02, false},
    {0x200, 0x80000006, true}, /* a variable range */
    {0x200, 0x80000106, false},
    {0x201, 0x80000800, true},
    {0x26f, 0x0606060606060606, true}, /* a fixed range */
    {0x26f, 0x0706060606060606, false},
    {0x48, 0, false}, /* SPEC_CTRL */
    {0x12345, 0, false},
};

static void msrs_are_checked_and_read_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(msr_cases); i++) {
        begin_again();
        print_message("MSR %x = %llx\n", msr_cases[i].index, (unsigned long long)msr_cases[i].value);
        cpu->gpr[MH_RCX] = msr_cases[i].index;
        cpu->gpr[MH_RAX] = msr_cases[i].value & UINT32_MAX;
        cpu->gpr[MH_RDX] = msr_cases[i].value >> 32;
        assert_int_equal(step("\x0f\x30"), msr_cases[i].allowed ? NO_FAULT : VECTOR_GP);
        if (!msr_cases[i].allowed)
            continue;
        cpu->gpr[MH_RAX] = cpu->gpr[MH_RDX] = UINT64_MAX;
        assert_int_equal(step("\x0f\x32"), NO_FAULT);
        assert_true((cpu->gpr[MH_RAX] | cpu->gpr[MH_RDX] << 32) == msr_cases[i].value);
    }
}

static void the_time_stamp_counts_instructions(void **state)
{
    (void)state;
    cpu->gpr[MH_RCX] = 0x10;
    cpu->gpr[MH_RAX] = 1000;
    cpu->gpr[MH_RDX] = 1;
    assert_int_equal(step("\x0f\x30"), NO_FAULT);
    assert_int_equal(step("\x0f\x31"), NO_FAULT);
    assert_int_equal(cpu->gpr[MH_RAX], 1001);
    assert_int_equal(cpu->gpr[MH_RDX], 1);
    cpu->cr4 |= 4; /* TSD */
    soft_machine_set_ring(&machine, 3);
    assert_int_equal(step("\x0f\x31"), VECTOR_GP);
}

/* ---- segment registers ---- */

static const struct {
    const char *name;
    uint8_t modrm; /* mov sreg, ebx: 8e d3 is SS, db DS, e3 FS */
    uint16_t selector;
    unsigned ring, vector;
    uint32_t error;
} segment_cases[] = {
    {"DS", 0xdb, DATA0, 0, NO_FAULT, 0},
    {"DS null in ring 3", 0xdb, 3, 3, NO_FAULT, 0},
    {"DS of ring 0 in ring 3", 0xdb, DATA0, 3, VECTOR_GP, DATA0},
    {"DS with RPL 3 of DPL 0", 0xdb, DATA0 | 3, 0, VECTOR_GP, DATA0},
    {"DS readable code", 0xdb, CODE0, 0, NO_FAULT, 0},
    {"DS execute-only", 0xdb, EXECUTE_ONLY, 0, VECTOR_GP, EXECUTE_ONLY},
    {"DS read-only", 0xdb, READ_ONLY, 0, NO_FAULT, 0},
    {"DS system", 0xdb, TSS_SELECTOR, 0, VECTOR_GP, TSS_SELECTOR},
    {"DS not present", 0xdb, NOT_PRESENT, 0, VECTOR_NP, NOT_PRESENT},
    {"DS beyond the table", 0xdb, GDT_END, 0, VECTOR_GP, GDT_END},
    {"DS without LDT", 0xdb, 4, 0, VECTOR_GP, 4},
    {"SS", 0xd3, DATA0, 0, NO_FAULT, 0},
    {"SS null in ring 0", 0xd3, 0, 0, NO_FAULT, 0},
    {"SS null in ring 3", 0xd3, 3, 3, VECTOR_GP, 0},
    {"SS null with RPL 3", 0xd3, 3, 0, VECTOR_GP, 0},
    {"SS of ring 3 in ring 0", 0xd3, DATA3, 0, VECTOR_GP, DATA3 & ~3u},
    {"SS read-only", 0xd3, READ_ONLY, 0, VECTOR_GP, READ_ONLY},
    {"SS code", 0xd3, CODE0, 0, VECTOR_GP, CODE0},
    {"SS not present", 0xd3, NOT_PRESENT, 0, VECTOR_SS, NOT_PRESENT},
};

static void segment_registers_are_checked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(segment_cases); i++) {
        begin_again();
        print_message("%s\n", segment_cases[i].name);
        const char code[] = {(char)0x8e, (char)segment_cases[i].modrm};
        cpu->gpr[MH_RBX] = segment_cases[i].selector;
        soft_machine_set_ring(&machine, segment_cases[i].ring);
        assert_int_equal(step_bytes(code, sizeof code), segment_cases[i].vector);
        if (segment_cases[i].vector != NO_FAULT)
            expect_error(segment_cases[i].error);
    }
}

static void a_segment_register_takes_base_and_accessed_bit(void **state)
{
    (void)state;
    cpu->gpr[MH_RBX] = WITH_BASE | 3;
    assert_int_equal(step("\x8e\xe3"), NO_FAULT);
    assert_int_equal(cpu->seg[MH_FS].base, 0x12345678);
    assert_int_equal(cpu->seg[MH_FS].selector, WITH_BASE | 3);
    assert_int_equal(soft_machine_get64(&machine, GDT + WITH_BASE), 0x12cff3345678ffff);
}

static void fs_goes_over_the_stack(void **state)
{
    (void)state;
    cpu->seg[MH_FS].selector = DATA3;
    assert_int_equal(step("\x0f\xa0"), NO_FAULT); /* push fs */
    assert_int_equal(cpu->gpr[MH_RSP], STACK - 8);
    assert_int_equal(soft_machine_get64(&machine, STACK - 8), DATA3);
    assert_int_equal(step("\x0f\xa9"), NO_FAULT); /* pop gs */
    assert_int_equal(cpu->seg[MH_GS].selector, DATA3);
    assert_int_equal(cpu->gpr[MH_RSP], STACK);
}

static void ltr_marks_the_tss_busy(void **state)
{
    (void)state;
    cpu->gpr[MH_RBX] = FREE_TSS;
    assert_int_equal(step("\x0f\x00\xdb"), NO_FAULT);
    assert_int_equal(cpu->seg[MH_TR].base, TSS);
    assert_int_equal(cpu->seg[MH_TR].attributes, 0x8b);
    assert_int_equal(soft_machine_get64(&machine, GDT + FREE_TSS), 0x00008b0130000067);
    assert_int_equal(step("\x0f\x00\xdb"), VECTOR_GP); /* now it is busy */
    expect_error(FREE_TSS);
}

static void the_ldt_is_a_second_table(void **state)
{
    (void)state;
    soft_machine_put64(&machine, 0xa008, 0x00cff3000000ffff);
    cpu->gpr[MH_RBX] = LDT;
    assert_int_equal(step("\x0f\x00\xd3"), NO_FAULT);
    cpu->gpr[MH_RBX] = 0xf; /* entry 1 of the LDT, RPL 3 */
    assert_int_equal(step("\x8e\xe3"), NO_FAULT);
    cpu->gpr[MH_RBX] = 0x14;
    assert_int_equal(step("\x8e\xe3"), VECTOR_GP);
    expect_error(0x14);
}

static const struct {
    const char *name;
    uint16_t selector;
    bool lar, lsl, verr, verw; /* ZF, in ring 0 */
} look_cases[] = {
    {"null", 0, false, false, false, false},           {"beyond the table", GDT_END, false, false, false, false},
    {"data", DATA0, true, true, true, true},           {"data with RPL 3", DATA0 | 3, false, false, false, false},
    {"code", CODE0, true, true, true, false},          {"execute-only", EXECUTE_ONLY, true, true, false, false},
    {"read-only", READ_ONLY, true, true, true, false}, {"not present", NOT_PRESENT, true, true, true, true},
    {"TSS", TSS_SELECTOR, true, true, false, false},   {"call gate", GATE_TO_0, true, false, false, false},
};

static bool zf_after(const char *code, size_t length, uint16_t selector)
{
    cpu->gpr[MH_RBX] = selector;
    assert_int_equal(step_bytes(code, length), NO_FAULT);
    return soft_rflags(cpu) & SOFT_ZF;
}

static void selectors_can_be_looked_at(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(look_cases); i++) {
        const uint16_t selector = look_cases[i].selector;
        print_message("%s\n", look_cases[i].name);
        assert_int_equal(zf_after("\x0f\x02\xcb", 3, selector), look_cases[i].lar);
        assert_int_equal(zf_after("\x0f\x03\xcb", 3, selector), look_cases[i].lsl);
        assert_int_equal(zf_after("\x0f\x00\xe3", 3, selector), look_cases[i].verr);
        assert_int_equal(zf_after("\x0f\x00\xeb", 3, selector), look_cases[i].verw);
    }
    (void)zf_after("\x0f\x02\xcb", 3, DATA0);
    assert_int_equal(cpu->gpr[MH_RCX], 0xcf9300);
    (void)zf_after("\x0f\x03\xcb", 3, DATA0);
    assert_int_equal(cpu->gpr[MH_RCX], 0xffffffff);
}

/* ---- tables ---- */

static void tables_are_stored_and_loaded(void **state)
{
    (void)state;
    assert_int_equal(step("\x0f\x01\x00"), NO_FAULT); /* sgdt [rax] */
    assert_true(data() == ((GDT_END - 1) | (uint64_t)GDT << 16));
    soft_machine_put64(&machine, DATA, 0x1230fff);
    soft_machine_put64(&machine, DATA + 8, 0);
    assert_int_equal(step("\x0f\x01\x18"), NO_FAULT); /* lidt [rax] */
    assert_int_equal(cpu->idt.limit, 0xfff);
    assert_int_equal(cpu->idt.base, 0x123);
}

static void a_table_must_be_at_a_canonical_address(void **state)
{
    (void)state;
    soft_machine_put64(&machine, DATA, 0);
    soft_machine_put64(&machine, DATA + 8, 0x8000);
    assert_int_equal(step("\x0f\x01\x10"), VECTOR_GP);
    expect_error(0);
}

/* ---- IRET ---- */

static void put_frame(uint64_t rip, uint16_t cs, uint64_t rflags, uint64_t rsp, uint16_t ss)
{
    const uint64_t frame[] = {rip, cs, rflags, rsp, ss};
    cpu->gpr[MH_RSP] = STACK;
    soft_machine_put(&machine, STACK, frame, sizeof frame);
}

static const struct {
    const char *name;
    uint64_t rip;
    uint16_t cs, ss;
    unsigned vector;
    uint32_t error;
} iret_cases[] = {
    {"to the same ring", 0x3000, CODE0, DATA0, NO_FAULT, 0},
    {"to the same ring without SS", 0x3000, CODE0, 0, NO_FAULT, 0},
    {"to ring 3", 0x3000, CODE3, DATA3, NO_FAULT, 0},
    {"to ring 3 without SS", 0x3000, CODE3, 0, VECTOR_GP, 0},
    {"to ring 3 with a stack of ring 0", 0x3000, CODE3, DATA0, VECTOR_GP, DATA0},
    {"null CS", 0x3000, 0, DATA0, VECTOR_GP, 0},
    {"data in CS", 0x3000, DATA0, DATA0, VECTOR_GP, DATA0},
    {"DPL 0 with RPL 3", 0x3000, CODE0 | 3, DATA3, VECTOR_GP, CODE0},
    {"CS beyond the table", 0x3000, GDT_END, DATA0, VECTOR_GP, GDT_END},
    {"SS not present", 0x3000, CODE0, NOT_PRESENT, VECTOR_SS, NOT_PRESENT},
    {"SS read-only", 0x3000, CODE0, READ_ONLY, VECTOR_GP, READ_ONLY},
    {"rip not canonical", NOT_CANONICAL, CODE0, DATA0, VECTOR_GP, 0},
    {"rip not canonical in ring 3", NOT_CANONICAL, CODE3, DATA3, VECTOR_GP, 0},
};

static void iret_checks_what_it_returns_to(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(iret_cases); i++) {
        begin_again();
        print_message("IRETQ %s\n", iret_cases[i].name);
        put_frame(iret_cases[i].rip, iret_cases[i].cs, 2, 0x5000, iret_cases[i].ss);
        assert_int_equal(step("\x48\xcf"), iret_cases[i].vector);
        if (iret_cases[i].vector != NO_FAULT) {
            expect_error(iret_cases[i].error);
            continue;
        }
        assert_int_equal(cpu->rip, iret_cases[i].rip);
        assert_int_equal(cpu->gpr[MH_RSP], 0x5000);
        assert_int_equal(cpu->seg[MH_CS].selector, iret_cases[i].cs);
        assert_int_equal(cpu->seg[MH_SS].selector, iret_cases[i].ss);
    }
}

static void iret_to_ring_3_drops_segments_of_ring_0(void **state)
{
    (void)state;
    cpu->seg[MH_GS].base = 0x7777;
    put_frame(0x3000, CODE3, 0x202, 0x5000, DATA3);
    assert_int_equal(step("\x48\xcf"), NO_FAULT);
    assert_int_equal(cpu->seg[MH_DS].selector, 0);
    assert_int_equal(cpu->seg[MH_GS].selector, 0);
    assert_int_equal(cpu->seg[MH_GS].base, 0x7777);
    assert_int_equal(cpu->user, 1);
}

static void iret_of_ring_3_loads_neither_iopl_nor_if(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    soft_set_rflags(cpu, 0x202);
    put_frame(0x3000, CODE3, 0x243cd7, 0x5000, DATA3);
    assert_int_equal(step("\x48\xcf"), NO_FAULT);
    assert_int_equal(soft_rflags(cpu), 0x240ed7);
}

static void iret_with_nt_is_refused(void **state)
{
    (void)state;
    soft_set_rflags(cpu, 0x4002);
    put_frame(0x3000, CODE0, 2, 0x5000, DATA0);
    assert_int_equal(step("\x48\xcf"), VECTOR_GP);
}

static void iretd_pops_four_bytes_each(void **state)
{
    (void)state;
    const uint32_t frame[] = {0x3000, CODE0, 2, 0x5000, DATA0};
    soft_machine_put(&machine, STACK, frame, sizeof frame);
    assert_int_equal(step("\xcf"), NO_FAULT);
    assert_int_equal(cpu->rip, 0x3000);
    assert_int_equal(cpu->gpr[MH_RSP], 0x5000);
}

/* ---- SYSCALL, SYSRET ---- */

static void syscall_and_sysret_change_rings(void **state)
{
    (void)state;
    cpu->msrs.star = (uint64_t)(DATA3 - 8) << 48 | (uint64_t)CODE0 << 32;
    cpu->msrs.lstar = 0x3000;
    cpu->msrs.sfmask = 0x200;
    soft_machine_set_ring(&machine, 3);
    soft_set_rflags(cpu, 0x246);
    assert_int_equal(step("\x0f\x05"), NO_FAULT);
    assert_int_equal(cpu->rip, 0x3000);
    assert_int_equal(cpu->gpr[MH_RCX], CODE + 2);
    assert_int_equal(cpu->gpr[MH_R11], 0x246);
    assert_int_equal(soft_rflags(cpu), 0x46);
    assert_int_equal(cpu->seg[MH_CS].selector, CODE0);
    assert_int_equal(cpu->seg[MH_SS].selector, DATA0);
    assert_int_equal(step("\x48\x0f\x07"), NO_FAULT);
    assert_int_equal(cpu->rip, CODE + 2);
    assert_int_equal(soft_rflags(cpu), 0x246);
    assert_int_equal(cpu->seg[MH_CS].selector, CODE3);
    assert_int_equal(cpu->seg[MH_SS].selector, DATA3);
}

static void syscall_must_be_enabled(void **state)
{
    (void)state;
    cpu->efer &= ~(uint64_t)MH_EFER_SCE;
    assert_int_equal(step("\x0f\x05"), VECTOR_UD);
    soft_machine_set_ring(&machine, 3);
    assert_int_equal(step("\x48\x0f\x07"), VECTOR_UD); /* before the ring is looked at */
}

/* Intel faults in ring 0, AMD in ring 3. */
static void sysret_to_a_bad_address_faults_where_the_vendor_says(void **state)
{
    (void)state;
    cpu->gpr[MH_RCX] = NOT_CANONICAL;
    soft_machine_code(&machine, CODE, "\x48\x0f\x07");
    assert_int_equal(soft_machine_run(&machine, CPU_STEP), CPU_EXIT_STEP);
    if (machine.cpuid.is_amd) {
        assert_int_equal(cpu->rip, NOT_CANONICAL);
        assert_int_equal(soft_cpl(cpu), 3);
    } else {
        assert_int_equal(boot_stub_at(cpu->rip), VECTOR_GP);
    }
}

/* ---- far branches ---- */

static void put_far_pointer(uint64_t offset, uint16_t selector)
{
    uint8_t pointer[6];
    memcpy(pointer, &offset, 4);
    memcpy(pointer + 4, &selector, 2);
    soft_machine_put(&machine, DATA, pointer, sizeof pointer);
}

static const struct {
    const char *name;
    uint16_t selector;
    unsigned vector;
    uint32_t error;
} far_cases[] = {
    {"to code", CODE0, NO_FAULT, 0},
    {"to null", 0, VECTOR_GP, 0},
    {"to data", DATA0, VECTOR_GP, DATA0},
    {"to another ring", CODE3 & ~3u, VECTOR_GP, CODE3 & ~3u},
    {"with RPL 3", CODE0 | 3, VECTOR_GP, CODE0},
    {"to a TSS", TSS_SELECTOR, VECTOR_GP, TSS_SELECTOR},
};

static void far_jumps_are_checked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(far_cases); i++) {
        begin_again();
        print_message("far jump %s\n", far_cases[i].name);
        put_far_pointer(0x3000, far_cases[i].selector);
        assert_int_equal(step("\xff\x28"), far_cases[i].vector); /* jmp far [rax] */
        if (far_cases[i].vector != NO_FAULT)
            expect_error(far_cases[i].error);
    }
}

static void a_call_gate_leads_to_ring_0_and_back(void **state)
{
    (void)state;
    soft_machine_set_ring(&machine, 3);
    put_far_pointer(0, GATE_TO_0 | 3);
    assert_int_equal(step("\xff\x18"), NO_FAULT); /* call far [rax] */
    assert_int_equal(cpu->rip, 0x2000);
    assert_int_equal(cpu->seg[MH_CS].selector, CODE0);
    assert_int_equal(cpu->seg[MH_SS].selector, 0);
    assert_int_equal(cpu->gpr[MH_RSP], RING0_STACK - 32);
    assert_int_equal(soft_machine_get64(&machine, RING0_STACK - 32), CODE + 2);
    assert_int_equal(soft_machine_get64(&machine, RING0_STACK - 16), STACK);
    assert_int_equal(step("\x48\xcb"), NO_FAULT); /* retfq */
    assert_int_equal(cpu->rip, CODE + 2);
    assert_int_equal(soft_cpl(cpu), 3);
    assert_int_equal(cpu->gpr[MH_RSP], STACK);
}

/* ---- what this processor does not have ---- */

static void expect_unsupported(const char *code, size_t length)
{
    const uint64_t rsp = cpu->gpr[MH_RSP];
    soft_machine_load(&machine, CODE, code, length);
    assert_int_equal(soft_machine_run(&machine, CPU_STEP), CPU_EXIT_ERROR);
    assert_true(machine.exit.is_unsupported);
    assert_text_has(machine.exit.text, "compatibility mode");
    assert_int_equal(machine.exit.instruction_length, length);
    assert_memory_equal(machine.exit.instruction, code, length);
    assert_int_equal(cpu->rip, CODE);
    assert_int_equal(cpu->gpr[MH_RSP], rsp);
    assert_int_equal(cpu->instructions, 0);
}

static void entering_32_bit_code_ends_the_machine(void **state)
{
    (void)state;
    put_far_pointer(0x3000, CODE_32);
    expect_unsupported("\xff\x28", 2);
    put_frame(0x3000, CODE_32_RING3 | 3, 2, 0x5000, DATA3);
    expect_unsupported("\x48\xcf", 2);
    expect_unsupported("\x0f\x07", 2); /* SYSRET without REX.W */
}

/* ---- CPUID and XCR0 ---- */

static void cpuid_follows_the_control_registers(void **state)
{
    (void)state;
    cpu->gpr[MH_RAX] = 1;
    cpu->cr4 &= ~(uint64_t)MH_CR4_OSXSAVE;
    assert_int_equal(step("\x0f\xa2"), NO_FAULT);
    assert_int_equal(cpu->gpr[MH_RCX] >> 27 & 1, 0);
    if (!x86_cpuid_has(&machine.cpuid, X86_FEATURE_XSAVE))
        return;
    cpu->cr4 |= MH_CR4_OSXSAVE;
    cpu->gpr[MH_RAX] = 1;
    assert_int_equal(step("\x0f\xa2"), NO_FAULT);
    assert_int_equal(cpu->gpr[MH_RCX] >> 27 & 1, 1);
    cpu->gpr[MH_RAX] = 0xd;
    cpu->gpr[MH_RCX] = 0;
    assert_int_equal(step("\x0f\xa2"), NO_FAULT);
    assert_int_equal(cpu->gpr[MH_RBX], 576); /* XCR0 is 1 */
}

/* As KVM does it: an APIC that is disabled is not announced. */
static void cpuid_follows_the_apic_base(void **state)
{
    (void)state;
    static const struct {
        uint64_t base;
        bool announced;
    } cases[] = {{0xfee00900, true}, {0xfee00100, false}};
    for (unsigned i = 0; i < COUNT(cases); i++) {
        begin_again();
        cpu->msrs.apic_base = cases[i].base;
        cpu->gpr[MH_RAX] = 1;
        assert_int_equal(step("\x0f\xa2"), NO_FAULT);
        assert_int_equal(cpu->gpr[MH_RDX] >> 9 & 1, cases[i].announced);
    }
}

static void xsetbv_keeps_the_rules_of_xcr0(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        bool allowed;
    } cases[] = {{1, true}, {3, true}, {0, false}, {2, false}, {5, false}, {9, false}, {1ull << 63 | 1, false}};
    if (!x86_cpuid_has(&machine.cpuid, X86_FEATURE_XSAVE))
        return;
    for (unsigned i = 0; i < COUNT(cases); i++) {
        begin_again();
        cpu->cr4 |= MH_CR4_OSXSAVE;
        cpu->gpr[MH_RAX] = cases[i].value & UINT32_MAX;
        cpu->gpr[MH_RDX] = cases[i].value >> 32;
        cpu->gpr[MH_RCX] = 0;
        assert_int_equal(step("\x0f\x01\xd1"), cases[i].allowed ? NO_FAULT : VECTOR_GP);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_instruction_checks_its_ring),
        TEST(iopl_lets_ring_3_change_if),
        TEST(umip_hides_tables_from_ring_3),
        TEST(control_registers_refuse_what_does_not_exist),
        TEST(reserved_bits_of_cr0_are_ignored),
        TEST(lmsw_cannot_clear_pe),
        TEST(cr8_has_four_bits),
        TEST(a_write_of_cr3_is_reported_on_request),
        TEST(debug_registers_have_fixed_bits),
        TEST(dr4_is_dr6_unless_de_is_set),
        TEST(general_detect_traps_access_to_debug_registers),
        TEST(msrs_are_checked_and_read_back),
        TEST(the_time_stamp_counts_instructions),
        TEST(segment_registers_are_checked),
        TEST(a_segment_register_takes_base_and_accessed_bit),
        TEST(fs_goes_over_the_stack),
        TEST(ltr_marks_the_tss_busy),
        TEST(the_ldt_is_a_second_table),
        TEST(selectors_can_be_looked_at),
        TEST(tables_are_stored_and_loaded),
        TEST(a_table_must_be_at_a_canonical_address),
        TEST(iret_checks_what_it_returns_to),
        TEST(iret_to_ring_3_drops_segments_of_ring_0),
        TEST(iret_of_ring_3_loads_neither_iopl_nor_if),
        TEST(iret_with_nt_is_refused),
        TEST(iretd_pops_four_bytes_each),
        TEST(syscall_and_sysret_change_rings),
        TEST(syscall_must_be_enabled),
        TEST(sysret_to_a_bad_address_faults_where_the_vendor_says),
        TEST(far_jumps_are_checked),
        TEST(a_call_gate_leads_to_ring_0_and_back),
        TEST(entering_32_bit_code_ends_the_machine),
        TEST(cpuid_follows_the_control_registers),
        TEST(cpuid_follows_the_apic_base),
        TEST(xsetbv_keeps_the_rules_of_xcr0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
