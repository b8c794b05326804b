#include "x86/exceptions.h"

#include "unit.h"

#include <string.h>

static void known_vectors_have_their_names(void **state)
{
    (void)state;
    assert_string_equal(exception_name(0), "divide error (#DE)");
    assert_string_equal(exception_name(3), "breakpoint (#BP)");
    assert_string_equal(exception_name(6), "invalid opcode (#UD)");
    assert_string_equal(exception_name(8), "double fault (#DF)");
    assert_string_equal(exception_name(13), "general protection fault (#GP)");
    assert_string_equal(exception_name(14), "page fault (#PF)");
    assert_string_equal(exception_name(19), "SIMD floating-point exception (#XM)");
    assert_string_equal(exception_name(30), "security exception (#SX)");
}

static void every_vector_has_some_name_and_no_two_known_ones_share_it(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        const char *name = exception_name((uint8_t)a);
        assert_non_null(name);
        for (unsigned b = 0; b < a; b++) {
            if (strcmp(name, exception_name((uint8_t)b)) == 0)
                assert_string_equal(name, "reserved exception");
        }
    }
}

static void vectors_without_a_name_are_reserved(void **state)
{
    (void)state;
    static const uint8_t reserved[] = {9, 15, 22, 27, 31, 32, 255};
    for (size_t i = 0; i < COUNT(reserved); i++)
        assert_string_equal(exception_name(reserved[i]), "reserved exception");
}

static void page_faults_say_access_page_and_ring(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const char *text;
    } cases[] = {
        {0x00, "read of a page that is not mapped, in ring 0 to 2"},
        {0x01, "read of a page that does not allow it, in ring 0 to 2"},
        {0x02, "write to a page that is not mapped, in ring 0 to 2"},
        {0x07, "write to a page that does not allow it, in ring 3"},
        {0x10, "instruction fetch from a page that is not mapped, in ring 0 to 2"},
        {0x15, "instruction fetch from a page that does not allow it, in ring 3"},
        {0x09, "read of a page whose tables have reserved bits set, in ring 0 to 2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128];
        exception_explain_error(14, cases[i].code, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void selector_errors_say_entry_and_table(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        const char *text;
    } cases[] = {
        {0, ""},
        {0x28, "selector 0x28 of the GDT"},
        {0x29, "selector 0x28 of the GDT"},
        {0x2c, "selector 0x28 of the LDT"},
        {0x103, "entry 32 of the IDT"},
        {0x102, "entry 32 of the IDT"},
    };
    for (uint8_t vector = 10; vector <= 13; vector++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            char text[128];
            exception_explain_error(vector, cases[i].code, text, sizeof text);
            assert_string_equal(text, cases[i].text);
        }
    }
}

static void other_vectors_have_nothing_to_explain(void **state)
{
    (void)state;
    for (unsigned vector = 0; vector < 256; vector++) {
        char text[64] = "old";
        if (vector >= 10 && vector <= 14)
            continue;
        exception_explain_error((uint8_t)vector, 0xffffffff, text, sizeof text);
        assert_string_equal(text, "");
    }
}

static void explanations_never_exceed_their_room(void **state)
{
    (void)state;
    for (uint8_t vector = 9; vector <= 15; vector++) {
        for (size_t size = 1; size <= 80; size++) {
            char text[100];
            memset(text, '#', sizeof text);
            exception_explain_error(vector, 0xffffffff, text, size);
            assert_non_null(memchr(text, '\0', size));
            assert_int_equal(text[size], '#');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_have_their_names),
        cmocka_unit_test(every_vector_has_some_name_and_no_two_known_ones_share_it),
        cmocka_unit_test(vectors_without_a_name_are_reserved),
        cmocka_unit_test(page_faults_say_access_page_and_ring),
        cmocka_unit_test(selector_errors_say_entry_and_table),
        cmocka_unit_test(other_vectors_have_nothing_to_explain),
        cmocka_unit_test(explanations_never_exceed_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
