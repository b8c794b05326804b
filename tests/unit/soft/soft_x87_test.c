/* x87: pending exceptions, pointers, environments, and what enables it. Results are compared in tests/differential. */
#include "soft/soft_simd.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#define CODE 0x10000u
#define DATA 0x3000u
#define NO_FAULT (-1)
#define HLT "\xf4"
#define FLD1 "\xd9\xe8"
#define FLDZ "\xd9\xee"
#define FDIVP "\xde\xf9"
#define FCW_ZERO_DIVIDE_UNMASKED 0x037bu
#define FCW_INVALID_UNMASKED 0x037eu

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSI] = DATA;
    return 0;
}

/* Run code that ends with HLT. The vector of the exception it raised, or NO_FAULT. */
static int run(struct soft_machine *machine, const char *code, size_t length)
{
    soft_machine_load(machine, CODE, code, length);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    return boot_stub_at(machine->soft->rip);
}

#define RUN(machine, code) run(machine, code HLT, sizeof(code HLT) - 1)

static uint16_t status(const struct soft_machine *machine)
{
    return xsave_get16(machine->soft, XSAVE_FSW);
}

/* ---- what enables it ---- */

static void em_and_ts_raise_nm(void **state)
{
    struct soft_machine *machine = *state;
    const uint64_t cr0 = machine->soft->cr0;
    machine->soft->cr0 = cr0 | CR0_EM;
    assert_int_equal(RUN(machine, FLD1), EXCEPTION_NM);
    assert_int_equal(RUN(machine, "\x9b"), NO_FAULT); /* wait */
    machine->soft->cr0 = cr0 | CR0_TS;
    assert_int_equal(RUN(machine, "\xdb\xe3"), EXCEPTION_NM); /* fninit */
    assert_int_equal(RUN(machine, "\x9b"), EXCEPTION_NM);
    machine->soft->cr0 = (cr0 | CR0_TS) & ~(uint64_t)MH_CR0_MP;
    assert_int_equal(RUN(machine, "\x9b"), NO_FAULT);
}

static void opcodes_without_an_instruction_raise_ud(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->cr0 |= CR0_TS; /* #UD comes first */
    assert_int_equal(RUN(machine, "\xd9\xd1"), EXCEPTION_UD);
    assert_int_equal(RUN(machine, "\xd9\x0e"), EXCEPTION_UD);
    assert_int_equal(RUN(machine, "\xdb\xe5"), EXCEPTION_UD);
    assert_int_equal(RUN(machine, "\xdf\xf8"), EXCEPTION_UD);
}

/* ---- exceptions ---- */

static void an_unmasked_exception_waits_for_the_next_instruction(void **state)
{
    struct soft_machine *machine = *state;
    xsave_set16(machine->soft, XSAVE_FCW, FCW_ZERO_DIVIDE_UNMASKED);
    assert_int_equal(RUN(machine, FLD1 FLDZ FDIVP "\xdf\xe0"), NO_FAULT); /* fnstsw does not wait */
    assert_int_equal(status(machine) & FSW_ES, FSW_ES);
    assert_int_equal((uint16_t)machine->soft->gpr[MH_RAX], status(machine));
    assert_int_equal(RUN(machine, FLD1), EXCEPTION_MF);
    assert_int_equal(RUN(machine, "\x9b"), EXCEPTION_MF);
    assert_int_equal(RUN(machine, "\x0f\xfc\xc1"), EXCEPTION_MF); /* paddb %mm1, %mm0 */
    assert_int_equal(RUN(machine, "\xdb\xe2" FLD1), NO_FAULT);    /* fnclex */
}

static void an_exception_without_ne_ends_the_machine(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->cr0 &= ~(uint64_t)MH_CR0_NE;
    xsave_set16(machine->soft, XSAVE_FCW, FCW_ZERO_DIVIDE_UNMASKED);
    soft_machine_code(machine, CODE, FLD1 FLDZ FDIVP "\x9b" HLT);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_ERROR);
    assert_non_null(strstr(machine->exit.text, "CR0.NE"));
    assert_int_equal(machine->soft->rip, CODE + 6);
}

static void an_unmasked_exception_keeps_a_store_from_storing(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, DATA, 77);
    assert_int_equal(RUN(machine, "\xdb\x1e"), NO_FAULT); /* fistpl of an empty register, masked */
    assert_int_equal(soft_machine_get64(machine, DATA), 0x80000000);
    soft_machine_put64(machine, DATA, 77);
    assert_int_equal(RUN(machine, "\xdb\xe3"), NO_FAULT);
    xsave_set16(machine->soft, XSAVE_FCW, FCW_INVALID_UNMASKED);
    assert_int_equal(RUN(machine, "\xdb\x1e"), NO_FAULT);
    assert_int_equal(soft_machine_get64(machine, DATA), 77);
    assert_int_equal(status(machine) & FSW_ES, FSW_ES);
}

/* ---- pointers ---- */

static void pointers_are_those_of_the_guest(void **state)
{
    struct soft_machine *machine = *state;
    assert_int_equal(RUN(machine, "\x90\xd8\x06"), NO_FAULT); /* nop; fadds (%rsi), of an empty register */
    assert_int_equal(xsave_get64(machine->soft, XSAVE_FIP), CODE + 1);
    const uint64_t data = xsave_get64(machine->soft, XSAVE_FDP);
    assert_true(data == DATA || data == 0); /* newer processors set it with unmasked exceptions only */
    assert_int_equal(RUN(machine, "\x90\x90\xd9\x2e"), NO_FAULT); /* fldcw sets none */
    assert_int_equal(xsave_get64(machine->soft, XSAVE_FIP), CODE + 1);
}

static void an_unmasked_exception_sets_opcode_and_data_pointer(void **state)
{
    struct soft_machine *machine = *state;
    xsave_set16(machine->soft, XSAVE_FCW, FCW_INVALID_UNMASKED);
    assert_int_equal(RUN(machine, "\xd8\x06"), NO_FAULT); /* fadds (%rsi), of an empty register */
    assert_int_equal(xsave_get64(machine->soft, XSAVE_FDP), DATA);
    assert_int_equal(xsave_get16(machine->soft, XSAVE_FOP), 0x006);
}

/* ---- environments ---- */

static void fnsave_stores_and_initializes(void **state)
{
    struct soft_machine *machine = *state;
    assert_int_equal(RUN(machine, FLD1 "\xdd\x36"), NO_FAULT);
    assert_int_equal((uint32_t)soft_machine_get64(machine, DATA), 0xffff037f);
    assert_int_equal((uint32_t)soft_machine_get64(machine, DATA + 4), 0xffff3800);
    assert_int_equal((uint32_t)soft_machine_get64(machine, DATA + 8), 0xffff3fff);
    assert_int_equal((uint32_t)soft_machine_get64(machine, DATA + 12), CODE);
    assert_int_equal(soft_machine_get64(machine, DATA + 28), 1ull << 63);
    assert_int_equal(machine->soft->xsave[XSAVE_FTW], 0);
    assert_int_equal(RUN(machine, "\xdd\x26"), NO_FAULT); /* frstor */
    assert_int_equal(machine->soft->xsave[XSAVE_FTW], 0x80);
    assert_int_equal(xsave_get64(machine->soft, XSAVE_ST), 1ull << 63);
    assert_int_equal(status(machine), 0x3800);
}

static void an_operand_size_prefix_shortens_the_environment(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, DATA + 8, 0);
    assert_int_equal(RUN(machine, FLD1 "\x66\xd9\x36"), NO_FAULT); /* fnstenv, 14 bytes */
    assert_int_equal(soft_machine_get64(machine, DATA), (uint64_t)(CODE & 0xffff) << 48 | 0x3fff3800037f);
    assert_int_equal(soft_machine_get64(machine, DATA + 14), 0);
}

static void comparisons_set_rflags(void **state)
{
    struct soft_machine *machine = *state;
    /* fldz; fld1; fcomi %st(1); setc %al; seta %cl: 1 is above 0 */
    assert_int_equal(RUN(machine, FLDZ FLD1 "\xdb\xf1\x0f\x92\xc0\x0f\x97\xc1"), NO_FAULT);
    assert_int_equal((uint8_t)machine->soft->gpr[MH_RAX], 0);
    assert_int_equal((uint8_t)machine->soft->gpr[MH_RCX], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(em_and_ts_raise_nm, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(opcodes_without_an_instruction_raise_ud, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_unmasked_exception_waits_for_the_next_instruction, set_up,
                                        soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_exception_without_ne_ends_the_machine, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_unmasked_exception_keeps_a_store_from_storing, set_up,
                                        soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(pointers_are_those_of_the_guest, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_unmasked_exception_sets_opcode_and_data_pointer, set_up,
                                        soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(fnsave_stores_and_initializes, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_operand_size_prefix_shortens_the_environment, set_up,
                                        soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(comparisons_set_rflags, set_up, soft_machine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
