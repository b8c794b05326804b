/* The XSAVE area and the registers in it (Intel SDM volume 1, 8.1.7, 10.5.1 and 13.4). */
#include "x86/xsave.h"

#include "unit.h"

#include <string.h>

static void put_st(uint8_t *area, unsigned i, uint16_t exponent, uint64_t significand)
{
    memcpy(area + 32 + 16 * i, &significand, sizeof significand);
    memcpy(area + 32 + 16 * i + 8, &exponent, sizeof exponent);
}

static void registers_are_where_the_manual_puts_them(void **state)
{
    uint8_t area[MH_XSAVE_SIZE];
    struct mh_x86_fpu fpu;
    (void)state;
    for (unsigned i = 0; i < sizeof area; i++)
        area[i] = (uint8_t)(i * 7 + i / 256);
    x86_xsave_to_fpu(area, 7, &fpu);
    assert_int_equal(fpu.xcr0, 7);
    assert_memory_equal(&fpu.fctrl, area, 2);
    assert_memory_equal(&fpu.fstat, area + 2, 2);
    assert_memory_equal(&fpu.fop, area + 6, 2);
    assert_memory_equal(&fpu.fip, area + 8, 8);
    assert_memory_equal(&fpu.fdp, area + 16, 8);
    assert_memory_equal(&fpu.mxcsr, area + 24, 4);
    assert_memory_equal(fpu.st, area + 32, 128);
    assert_memory_equal(fpu.xmm, area + 160, 256);
    assert_memory_equal(fpu.ymmh, area + 576, 256);
}

static void without_avx_the_upper_halves_are_zero_and_stay(void **state)
{
    uint8_t area[MH_XSAVE_SIZE], before[MH_XSAVE_SIZE];
    struct mh_x86_fpu fpu;
    static const uint8_t zeros[256];
    (void)state;
    memset(area, 0x5a, sizeof area);
    memcpy(before, area, sizeof area);
    x86_xsave_to_fpu(area, 1, &fpu);
    assert_int_equal(fpu.xcr0, 3);
    assert_memory_equal(fpu.ymmh, zeros, sizeof zeros);
    x86_xsave_from_fpu(area, 1, &fpu);
    assert_memory_equal(area + 576, before + 576, 256);
}

/* Table 8-2: what each tag stands for. */
static void tags_are_computed_from_the_registers(void **state)
{
    uint8_t area[MH_XSAVE_SIZE] = {0};
    struct mh_x86_fpu fpu;
    (void)state;
    put_st(area, 0, 0x3fff, 1ull << 63); /* 1.0 */
    put_st(area, 1, 0, 0);               /* 0.0 */
    put_st(area, 2, 0x8000, 0);          /* -0.0 */
    put_st(area, 3, 0x7fff, 1ull << 63); /* infinity */
    put_st(area, 4, 0, 1);               /* denormal */
    put_st(area, 5, 0x3fff, 1);          /* unnormal: not supported */
    area[4] = 0x7f;                      /* register 7 is empty */
    x86_xsave_to_fpu(area, 3, &fpu);
    assert_int_equal(fpu.ftag, 0xc000 | 1 << 12 | 2 << 10 | 2 << 8 | 2 << 6 | 1 << 4 | 1 << 2 | 0);
}

static void tags_are_numbered_physically_and_registers_from_the_top(void **state)
{
    uint8_t area[MH_XSAVE_SIZE] = {0};
    struct mh_x86_fpu fpu;
    (void)state;
    const uint16_t fstat = 6 << 11; /* TOP: st(0) is register 6 */
    memcpy(area + 2, &fstat, sizeof fstat);
    put_st(area, 0, 0x3fff, 1ull << 63);
    area[4] = 0xc0; /* 6 and 7 are in use; st(1) is 0.0 */
    x86_xsave_to_fpu(area, 3, &fpu);
    assert_int_equal(fpu.ftag, 0x4fff);
}

static void what_is_read_can_be_written_back(void **state)
{
    uint8_t area[MH_XSAVE_SIZE], copy[MH_XSAVE_SIZE];
    struct mh_x86_fpu fpu;
    (void)state;
    for (unsigned i = 0; i < sizeof area; i++)
        area[i] = (uint8_t)(i * 13 + 1);
    memset(area + 416, 0, 160); /* reserved, available, header */
    area[5] = 0;
    area[512] = 7;
    memset(area + 28, 0, 4); /* MXCSR_MASK */
    memcpy(copy, area, sizeof copy);
    x86_xsave_to_fpu(area, 7, &fpu);
    x86_xsave_from_fpu(area, 7, &fpu);
    assert_memory_equal(area, copy, sizeof copy);
}

static void written_components_are_marked_as_present(void **state)
{
    uint8_t area[MH_XSAVE_SIZE] = {0};
    const struct mh_x86_fpu fpu = {.ftag = 0xffff};
    (void)state;
    x86_xsave_from_fpu(area, 1, &fpu);
    assert_int_equal(area[512], 3);
    assert_int_equal(area[4], 0);
    x86_xsave_from_fpu(area, 7, &fpu);
    assert_int_equal(area[512], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_are_where_the_manual_puts_them),
        cmocka_unit_test(without_avx_the_upper_halves_are_zero_and_stay),
        cmocka_unit_test(tags_are_computed_from_the_registers),
        cmocka_unit_test(tags_are_numbered_physically_and_registers_from_the_top),
        cmocka_unit_test(what_is_read_can_be_written_back),
        cmocka_unit_test(written_components_are_marked_as_present),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
