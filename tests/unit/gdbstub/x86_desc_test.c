#include "target_desc/x86_desc.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define AVX512 (MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX | MH_XCR0_AVX512)

static char document[0x10000];

static const char *describe(const struct gdb_x86_layout *layout)
{
    struct gdb_reply text;

    gdb_reply_init(&text, document, sizeof document);
    gdb_x86_describe(layout, &text);
    assert_false(text.overflow);
    document[text.end] = '\0';
    return document + (text.end - gdb_reply_length(&text));
}

static unsigned occurrences(const char *text, const char *word)
{
    unsigned count = 0;

    for (; (text = strstr(text, word)); text++)
        count++;
    return count;
}

static void the_table_lies_within_the_registers(void **state)
{
    size_t count;
    const struct gdb_x86_reg *table = gdb_x86_table(&count);

    (void)state;
    assert_true(count <= GDB_X86_REG_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_true(table[i].stored <= table[i].size);
        assert_true(table[i].offset + table[i].stored <= sizeof(struct mh_x86_regs));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(table[i].name, table[j].name);
    }
}

/* No two share bytes, but for the bases of fs and gs, which are in one place only. */
static void registers_do_not_overlap(void **state)
{
    static uint8_t owner[sizeof(struct mh_x86_regs)];
    size_t count;
    const struct gdb_x86_reg *table = gdb_x86_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t byte = table[i].offset; byte < table[i].offset + table[i].stored; byte++)
            assert_int_equal(owner[byte]++, 0);
}

static void each_register_belongs_to_the_part_it_is_stored_in(void **state)
{
    size_t count;
    const struct gdb_x86_reg *table = gdb_x86_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        unsigned part = table[i].offset < offsetof(struct mh_x86_regs, system) ? MH_REGS_GENERAL
                        : table[i].offset < offsetof(struct mh_x86_regs, fpu)  ? MH_REGS_SYSTEM
                        : table[i].offset < offsetof(struct mh_x86_regs, msrs) ? MH_REGS_FPU
                                                                               : MH_REGS_MSRS;

        assert_int_equal(table[i].regs, part);
    }
}

static void numbers_are_those_gdb_expects(void **state)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"rax", 0}, {"rbp", 6},  {"rsp", 7},  {"rip", 16},  {"eflags", 17},
                 {"gs", 23}, {"st0", 24}, {"fop", 39}, {"xmm0", 40}, {"mxcsr", 56}};
    struct gdb_x86_layout layout;

    (void)state;
    for (unsigned avx = 0; avx < 2; avx++) {
        gdb_x86_layout_init(&layout, avx ? AVX512 : 0);
        for (size_t i = 0; i < COUNT(known); i++)
            assert_int_equal(gdb_x86_find(&layout, known[i].name), known[i].number);
    }
}

static void the_processor_decides_what_there_is(void **state)
{
    struct gdb_x86_layout sse, avx, avx512, odd;

    (void)state;
    gdb_x86_layout_init(&sse, MH_XCR0_X87 | MH_XCR0_SSE);
    gdb_x86_layout_init(&avx, MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX);
    gdb_x86_layout_init(&avx512, AVX512);
    gdb_x86_layout_init(&odd, MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX512);
    assert_int_equal(gdb_x86_find(&sse, "ymm0h"), -1);
    assert_true(gdb_x86_find(&avx, "ymm15h") > 0);
    assert_int_equal(gdb_x86_find(&avx, "zmm0h"), -1);
    assert_true(gdb_x86_find(&avx512, "zmm31h") > 0);
    assert_true(gdb_x86_find(&avx512, "k7") > 0);
    assert_int_equal(odd.count, sse.count);
    assert_true(gdb_x86_find(&avx512, "efer") > 0);
}

static void values_go_in_and_out(void **state)
{
    struct gdb_x86_layout layout;
    struct mh_x86_regs regs = {.general.rip = 0}, back = {.general.rip = 0};

    (void)state;
    memset(&regs, 0x5a, sizeof regs);
    gdb_x86_layout_init(&layout, AVX512);
    for (unsigned i = 0; i < layout.count; i++) {
        uint8_t value[64] = {0};

        gdb_x86_get(layout.reg[i], &regs, value);
        if (layout.reg[i]->stored == 0) {
            assert_int_equal(value[0], 0xff); /* orig_rax: in no system call */
            continue;
        }
        assert_int_equal(value[layout.reg[i]->stored - 1], 0x5a);
        if (layout.reg[i]->size > layout.reg[i]->stored)
            assert_int_equal(value[layout.reg[i]->size - 1], 0);
        assert_true(gdb_x86_set(layout.reg[i], &back, value));
        assert_true(gdb_x86_equal(layout.reg[i], &regs, &back));
    }
}

static void bits_a_register_lacks_are_refused(void **state)
{
    struct gdb_x86_layout layout;
    struct mh_x86_regs regs = {.general.rip = 0};
    const uint8_t wide[4] = {1, 0, 1, 0};
    const struct gdb_x86_reg *cs;

    (void)state;
    gdb_x86_layout_init(&layout, 0);
    cs = layout.reg[gdb_x86_find(&layout, "cs")];
    assert_false(gdb_x86_set(cs, &regs, wide));
    assert_int_equal(regs.system.seg[MH_CS].selector, 0);
}

static void the_pointers_of_the_fpu_are_split(void **state)
{
    struct gdb_x86_layout layout;
    struct mh_x86_regs regs = {.fpu.fip = 0x1122334455667788};
    uint8_t value[4];

    (void)state;
    gdb_x86_layout_init(&layout, 0);
    gdb_x86_get(layout.reg[gdb_x86_find(&layout, "fioff")], &regs, value);
    assert_memory_equal(value, "\x88\x77\x66\x55", 4);
    gdb_x86_get(layout.reg[gdb_x86_find(&layout, "fiseg")], &regs, value);
    assert_memory_equal(value, "\x44\x33\x22\x11", 4);
}

static void the_description_names_every_register_once(void **state)
{
    struct gdb_x86_layout layout;

    (void)state;
    gdb_x86_layout_init(&layout, AVX512);
    const char *xml = describe(&layout);
    assert_int_equal(occurrences(xml, "<reg "), layout.count);
    for (unsigned i = 0; i < layout.count; i++) {
        char reg[128];

        snprintf(reg, sizeof reg, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", layout.reg[i]->name,
                 layout.reg[i]->size * 8u, layout.reg[i]->type, i);
        assert_int_equal(occurrences(xml, reg), 1);
    }
    assert_int_equal(occurrences(xml, "<feature "), GDB_X86_FEATURE_COUNT);
    assert_int_equal(occurrences(xml, "</feature>"), GDB_X86_FEATURE_COUNT);
}

static void types_are_declared_before_their_use(void **state)
{
    static const char *const own[] = {"i386_eflags", "i386_mxcsr", "x86_cr0", "x86_cr4", "x86_efer", "x86_segment"};
    struct gdb_x86_layout layout;

    (void)state;
    gdb_x86_layout_init(&layout, 0);
    const char *xml = describe(&layout);
    for (size_t i = 0; i < COUNT(own); i++) {
        char declared[64], used[64];

        snprintf(declared, sizeof declared, "<flags id=\"%s\"", own[i]);
        snprintf(used, sizeof used, " type=\"%s\"", own[i]);
        assert_non_null(strstr(xml, declared));
        assert_true(strstr(xml, declared) < strstr(xml, used));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_lies_within_the_registers),
        cmocka_unit_test(registers_do_not_overlap),
        cmocka_unit_test(each_register_belongs_to_the_part_it_is_stored_in),
        cmocka_unit_test(numbers_are_those_gdb_expects),
        cmocka_unit_test(the_processor_decides_what_there_is),
        cmocka_unit_test(values_go_in_and_out),
        cmocka_unit_test(bits_a_register_lacks_are_refused),
        cmocka_unit_test(the_pointers_of_the_fpu_are_split),
        cmocka_unit_test(the_description_names_every_register_once),
        cmocka_unit_test(types_are_declared_before_their_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
