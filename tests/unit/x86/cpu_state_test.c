#include "x86/cpu_state.h"

#include "unit.h"
#include "x86/xsave.h"

#include <stddef.h>
#include <string.h>

#define XSAVE_FOP 6u /* places in the legacy region (Intel SDM volume 1, 10.5.1) */
#define XSAVE_FIP 8u
#define XSAVE_XMM 160u

static struct mh_cpu_state some_state(void)
{
    struct mh_cpu_state state;
    memset(&state, 0, sizeof state);
    state.general.rip = 0x1234;
    state.general.rflags = MH_RFLAGS_FIXED;
    state.xcr0 = MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX;
    x86_xsave_init(state.xsave);
    return state;
}

#define MEMBER(member) offsetof(struct mh_cpu_state, member)

/* A byte of a state, and what its difference is called. */
struct difference {
    size_t at;
    const char *what;
};

static void check(const struct difference *difference)
{
    const struct mh_cpu_state one = some_state();
    struct mh_cpu_state other = one;
    ((uint8_t *)&other)[difference->at] ^= 1;
    const char *what = x86_state_differs(&one, &other);
    if (difference->what == NULL)
        assert_null(what);
    else
        assert_string_equal(what, difference->what);
}

static void what_a_program_made_is_compared(void **state)
{
    (void)state;
    const struct difference all[] = {
        {MEMBER(general.gpr[MH_R15]), "the general registers"},
        {MEMBER(general.rip), "the general registers"},
        {MEMBER(general.rflags), "the general registers"},
        {MEMBER(system.seg[MH_DS].selector), "the segment registers"},
        {MEMBER(system.seg[MH_GS].base), "the segment registers"},
        {MEMBER(system.gdt.base), "GDTR or IDTR"},
        {MEMBER(system.idt.limit), "GDTR or IDTR"},
        {MEMBER(system.cr2), "the control registers"},
        {MEMBER(system.efer), "the control registers"},
        {MEMBER(xsave) + XSAVE_XMM, "the x87, SSE or AVX registers"},
        {MEMBER(msrs.lstar), "the model-specific registers"},
        {MEMBER(msrs.kernel_gs_base), "the model-specific registers"},
    };
    for (size_t i = 0; i < COUNT(all); i++)
        check(&all[i]);
}

static void what_processors_do_in_their_own_way_is_not(void **state)
{
    (void)state;
    const struct difference all[] = {
        {MEMBER(general.rflags) + 2, NULL}, /* RF */
        {MEMBER(system.seg[MH_DS].limit), NULL},
        {MEMBER(system.seg[MH_DS].base), NULL},
        {MEMBER(system.seg[MH_SS].attributes), NULL},
        {MEMBER(msrs.tsc), NULL},
        {MEMBER(msrs.mtrr_fixed[3]), NULL},
        {MEMBER(xsave) + XSAVE_FOP, NULL},
        {MEMBER(xsave) + XSAVE_FIP, NULL},
        {MEMBER(shadow), NULL},
        {MEMBER(is_repeating), NULL},
    };
    for (size_t i = 0; i < COUNT(all); i++)
        check(&all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_program_made_is_compared),
        cmocka_unit_test(what_processors_do_in_their_own_way_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
