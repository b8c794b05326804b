/* The decoder: lengths, operands, and what is not an instruction in 64-bit code (Intel SDM volume 2, 2.1 to 2.3). */
#include "soft/soft_handlers.h"
#include "unit.h"

#include <string.h>

#define TEST(function) cmocka_unit_test(function)
#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static struct soft_insn decode(const uint8_t *bytes, size_t length)
{
    struct soft_insn insn;
    assert_int_equal(soft_decode(bytes, (unsigned)length, &insn), length);
    assert_int_equal(insn.length, length);
    return insn;
}

static void prefixes_set_the_operand_size(void **state)
{
    (void)state;
    assert_int_equal(decode(BYTES(0x01, 0xd8)).operand_size, 4);
    assert_int_equal(decode(BYTES(0x66, 0x01, 0xd8)).operand_size, 2);
    assert_int_equal(decode(BYTES(0x48, 0x01, 0xd8)).operand_size, 8);
    assert_int_equal(decode(BYTES(0x66, 0x48, 0x01, 0xd8)).operand_size, 8);
    assert_int_equal(decode(BYTES(0x48, 0x66, 0x01, 0xd8)).operand_size, 2); /* REX counts only before the opcode */
    assert_int_equal(decode(BYTES(0x00, 0xd8)).operand_size, 1);
    assert_int_equal(decode(BYTES(0x50)).operand_size, 8);
    assert_int_equal(decode(BYTES(0x66, 0x50)).operand_size, 2);
}

static void modrm_and_sib_name_an_address(void **state)
{
    (void)state;
    struct soft_insn insn =
        decode(BYTES(0x48, 0x8b, 0x84, 0x8b, 0x44, 0x33, 0x22, 0x11)); /* mov 0x11223344(rbx,rcx,4) */
    assert_true(insn.has_memory);
    assert_int_equal(insn.base, MH_RBX);
    assert_int_equal(insn.index, MH_RCX);
    assert_int_equal(insn.scale, 2);
    assert_int_equal(insn.displacement, 0x11223344);
    assert_int_equal(insn.segment, MH_DS);
    insn = decode(BYTES(0x8b, 0x04, 0x25, 0xfc, 0xff, 0xff, 0xff)); /* neither base nor index */
    assert_int_equal(insn.base, SOFT_NO_REGISTER);
    assert_int_equal(insn.index, SOFT_NO_REGISTER);
    assert_int_equal(insn.displacement, -4);
    insn = decode(BYTES(0x43, 0x8b, 0x44, 0x65, 0x7f)); /* mov 0x7f(r13,r12,2): index 4 exists with REX.X */
    assert_int_equal(insn.base, MH_R13);
    assert_int_equal(insn.index, MH_R12);
    assert_int_equal(insn.displacement, 0x7f);
    assert_true(decode(BYTES(0x8b, 0x05, 1, 0, 0, 0)).rip_relative);
}

static void the_stack_segment_is_the_default_of_rsp_and_rbp(void **state)
{
    (void)state;
    assert_int_equal(decode(BYTES(0x8b, 0x04, 0x24)).segment, MH_SS);
    assert_int_equal(decode(BYTES(0x8b, 0x45, 0x00)).segment, MH_SS);
    assert_int_equal(decode(BYTES(0x41, 0x8b, 0x45, 0x00)).segment, MH_DS); /* r13 */
    assert_int_equal(decode(BYTES(0x3e, 0x8b, 0x45, 0x00)).segment, MH_SS); /* DS overrides nothing */
    assert_int_equal(decode(BYTES(0x65, 0x8b, 0x45, 0x00)).segment, MH_GS);
    assert_int_equal(decode(BYTES(0x64, 0x26, 0x8b, 0x00)).segment, MH_FS);
}

static void immediates_are_extended_as_the_instruction_says(void **state)
{
    (void)state;
    assert_int_equal(decode(BYTES(0x83, 0xc0, 0xff)).immediate, ~0ull);
    assert_int_equal(decode(BYTES(0x48, 0x81, 0xc0, 0, 0, 0, 0x80)).immediate, 0xffffffff80000000);
    assert_int_equal(decode(BYTES(0x66, 0x81, 0xc0, 0x34, 0x12)).immediate, 0x1234);
    assert_int_equal(decode(BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8)).immediate, 0x0807060504030201);
    assert_int_equal(decode(BYTES(0xc1, 0xe0, 0xff)).immediate, 0xff);
    assert_int_equal(decode(BYTES(0xc8, 0x34, 0x12, 0x05)).immediate, 0x051234); /* ENTER */
    assert_int_equal(decode(BYTES(0x67, 0xa0, 1, 2, 3, 4)).immediate, 0x04030201);
}

static bool is_undefined(const uint8_t *bytes, size_t length)
{
    struct soft_insn insn;
    assert_int_not_equal(soft_decode(bytes, (unsigned)length, &insn), 0);
    return insn.run == soft_op_ud;
}

static void opcodes_of_32_bit_code_are_undefined(void **state)
{
    static const uint8_t opcodes[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
                                      0x60, 0x61, 0x62, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea};
    (void)state;
    for (size_t i = 0; i < sizeof opcodes; i++) {
        const uint8_t bytes[15] = {opcodes[i]};
        assert_true(is_undefined(bytes, sizeof bytes));
    }
}

static void lock_needs_a_memory_destination(void **state)
{
    (void)state;
    assert_false(is_undefined(BYTES(0xf0, 0x01, 0x00)));
    assert_true(is_undefined(BYTES(0xf0, 0x01, 0xc0))); /* a register */
    assert_true(is_undefined(BYTES(0xf0, 0x03, 0x00))); /* memory is the source */
    assert_true(is_undefined(BYTES(0xf0, 0x39, 0x00))); /* CMP writes nothing */
    assert_true(is_undefined(BYTES(0xf0, 0x89, 0x00))); /* MOV */
    assert_false(is_undefined(BYTES(0xf0, 0x0f, 0xc7, 0x08)));
    assert_true(is_undefined(BYTES(0xf0, 0x0f, 0xa3, 0x00))); /* BT */
    assert_false(is_undefined(BYTES(0xf0, 0x0f, 0xab, 0x00)));
}

static void vex_must_stand_alone(void **state)
{
    (void)state;
    assert_false(is_undefined(BYTES(0xc4, 0xe2, 0x78, 0xf2, 0xc0))); /* ANDN */
    assert_true(is_undefined(BYTES(0x66, 0xc4, 0xe2, 0x78, 0xf2, 0xc0)));
    assert_true(is_undefined(BYTES(0x48, 0xc4, 0xe2, 0x78, 0xf2, 0xc0)));
    assert_true(is_undefined(BYTES(0xc4, 0xe2, 0x7c, 0xf2, 0xc0))); /* VEX.L */
    assert_true(is_undefined(BYTES(0xc4, 0xe0, 0x78, 0xf2, 0xc0))); /* no such map */
}

static void random_numbers_are_not_offered(void **state)
{
    (void)state;
    assert_true(is_undefined(BYTES(0x0f, 0xc7, 0xf0)));
    assert_true(is_undefined(BYTES(0x0f, 0xc7, 0xf8)));
}

static void too_few_bytes_ask_for_more(void **state)
{
    static const uint8_t bytes[] = {0x66, 0x48, 0x81, 0x84, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8};
    struct soft_insn insn;
    (void)state;
    for (unsigned available = 1; available < sizeof bytes; available++)
        assert_int_equal(soft_decode(bytes, available, &insn), 0);
    assert_int_equal(soft_decode(bytes, sizeof bytes, &insn), sizeof bytes);
}

static void sixteen_bytes_are_too_many(void **state)
{
    uint8_t bytes[15];
    struct soft_insn insn;
    (void)state;
    memset(bytes, 0x66, sizeof bytes);
    assert_int_equal(soft_decode(bytes, 15, &insn), 15);
    assert_true(insn.run != soft_op_ud && insn.run != soft_op_nop);
    bytes[14] = 0x90;
    assert_int_equal(soft_decode(bytes, 15, &insn), 15);
    assert_true(insn.run == soft_op_xchg_rax);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(prefixes_set_the_operand_size),
        TEST(modrm_and_sib_name_an_address),
        TEST(the_stack_segment_is_the_default_of_rsp_and_rbp),
        TEST(immediates_are_extended_as_the_instruction_says),
        TEST(opcodes_of_32_bit_code_are_undefined),
        TEST(lock_needs_a_memory_destination),
        TEST(vex_must_stand_alone),
        TEST(random_numbers_are_not_offered),
        TEST(too_few_bytes_ask_for_more),
        TEST(sixteen_bytes_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
