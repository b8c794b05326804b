#include "fake_kvm_cpu.h"

#include <errno.h>

static enum mh_status save(struct fake_kvm_cpu *f, struct mh_cpu_state *state)
{
    fake_kvm_cpu_forget_registers(f);
    return f->cpu->ops->save(f->cpu, state, &f->err);
}

/* A state with some value in each of its parts. */
static struct mh_cpu_state some_state(const struct fake_kvm_cpu *f, unsigned seed)
{
    struct mh_cpu_state state = f->boot;
    state.general.gpr[MH_RAX] = seed;
    state.general.rip = seed + 1;
    state.system.cr2 = seed + 2;
    state.system.seg[MH_FS].base = seed + 3;
    uint64_t *msrs = (uint64_t *)&state.msrs;
    for (size_t i = 0; i < sizeof state.msrs / sizeof *msrs; i++)
        msrs[i] = 1000 * seed + i;
    state.xcr0 = 3;
    for (unsigned i = 0; i < 4; i++)
        state.dr[i] = seed + 10 + i;
    state.dr6 = seed + 20;
    state.dr7 = seed + 21;
    state.pending = (struct mh_x86_pending){true, 14, true, seed};
    state.shadow = MH_SHADOW_STI;
    for (unsigned i = 0; i < MH_XSAVE_SIZE; i++)
        state.xsave[i] = (uint8_t)(i * seed);
    memset(state.xsave + 512, 0, 64); /* the header: all components are in use */
    state.xsave[512] = 7;
    return state;
}

static void all_of_a_state_comes_back(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state again;
    const struct mh_cpu_state one = some_state(f, 5), other = some_state(f, 9);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &one, &f->err), MH_OK);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &other, &f->err), MH_OK);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &one, &f->err), MH_OK);
    assert_int_equal(save(f, &again), MH_OK);
    assert_memory_equal(&again.general, &one.general, sizeof one.general);
    assert_int_equal(again.system.cr2, one.system.cr2);
    assert_int_equal(again.system.seg[MH_FS].base, one.system.seg[MH_FS].base);
    assert_memory_equal(&again.msrs, &one.msrs, sizeof one.msrs);
    assert_int_equal(again.xcr0, 3);
    assert_memory_equal(again.dr, one.dr, sizeof one.dr);
    assert_int_equal(again.dr6, one.dr6);
    assert_int_equal(again.dr7, one.dr7);
    assert_true(again.pending.valid);
    assert_int_equal(again.pending.vector, 14);
    assert_int_equal(again.pending.error_code, 5);
    assert_int_equal(again.shadow, MH_SHADOW_STI);
    assert_memory_equal(again.xsave, one.xsave, MH_XSAVE_SIZE);
    assert_int_equal(fake_kvm.mp_state.mp_state, KVM_MP_STATE_RUNNABLE);
}

static void restoring_drops_what_kvm_keeps_of_page_tables(void **state)
{
    struct fake_kvm_cpu *f = *state;
    unsigned before = fake_kvm_count(KVM_SET_USER_MEMORY_REGION);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &f->boot, &f->err), MH_OK);
    assert_int_equal(fake_kvm_count(KVM_SET_USER_MEMORY_REGION), before + 4);
}

static void an_exception_kvm_has_pending_or_injected_is_kept(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state saved;
    fake_kvm.events.exception.pending = 1;
    fake_kvm.events.exception.nr = 6;
    fake_kvm.events.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
    assert_int_equal(save(f, &saved), MH_OK);
    assert_true(saved.pending.valid);
    assert_int_equal(saved.pending.vector, 6);
    assert_false(saved.pending.has_error_code);
    assert_int_equal(saved.shadow, MH_SHADOW_MOV_SS);
    saved.pending.valid = false;
    saved.shadow = 0;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK);
    assert_false(fake_kvm.events.exception.pending || fake_kvm.events.exception.injected);
    assert_int_equal(fake_kvm.events.interrupt.shadow, 0);
    assert_int_equal(fake_kvm.events.flags & KVM_VCPUEVENT_VALID_SHADOW, KVM_VCPUEVENT_VALID_SHADOW);
}

static void components_not_in_use_are_saved_as_they_begin(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state saved;
    uint8_t *area = (uint8_t *)&fake_kvm.xsave;
    memset(area, 0xaa, 512); /* XSTATE_BV says that nothing of this counts */
    memset(area + FAKE_KVM_YMM_AT, 0xaa, 256);
    memset(area + 512, 0, 64);
    assert_int_equal(save(f, &saved), MH_OK);
    assert_int_equal(saved.xsave[0] | saved.xsave[1] << 8, 0x37f);
    assert_int_equal(saved.xsave[160], 0);
    assert_int_equal(saved.xsave[FAKE_KVM_YMM_AT], 0);
}

static void msrs_a_kvm_does_not_have_are_zero_and_left_alone(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state saved;
    static const uint32_t missing[] = {0xc0000081, 0xc0000103, 0x20f};
    for (size_t i = 0; i < COUNT(missing); i++) {
        fake_kvm.missing_msr = missing[i];
        *fake_kvm_msr(0xc0000082) = 0x82;
        *fake_kvm_msr(0x277) = 0x77;
        assert_int_equal(save(f, &saved), MH_OK);
        assert_int_equal(saved.msrs.lstar, 0x82);
        assert_int_equal(saved.msrs.pat, 0x77);
        assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK);
    }
    saved.msrs.mtrr_variable[15] = 1;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "KVM refuses the value of MSR 0x20f");
}

static void the_time_stamp_counter_may_be_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state saved;
    assert_int_equal(save(f, &saved), MH_OK);
    fake_kvm.constant_msr = 0x10;
    saved.msrs.tsc++;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK);
    fake_kvm.constant_msr = 0x174;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK); /* it has not changed */
    saved.msrs.sysenter_cs++;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "MSR 0x174");
}

static void whatever_kvm_refuses_is_an_error_with_text(void **state)
{
    struct fake_kvm_cpu *f = *state;
    static const unsigned long reads[] = {KVM_GET_REGS,      KVM_GET_SREGS,       KVM_GET_XSAVE,
                                          KVM_GET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_GET_XCRS};
    static const unsigned long writes[] = {
        KVM_SET_USER_MEMORY_REGION, KVM_SET_SREGS,    KVM_SET_REGS,     KVM_SET_XSAVE, KVM_SET_XCRS,
        KVM_SET_VCPU_EVENTS,        KVM_SET_MP_STATE, KVM_SET_DEBUGREGS};
    struct mh_cpu_state saved;
    fake_kvm.failing_errno = EIO;
    for (size_t i = 0; i < COUNT(reads); i++) {
        fake_kvm.failing_request = reads[i];
        f->err.text[0] = '\0';
        assert_int_equal(save(f, &saved), MH_ERR_HOST);
        assert_text_has(f->err.text, "KVM ");
    }
    for (size_t i = 0; i < COUNT(writes); i++) {
        fake_kvm.failing_request = writes[i];
        f->err.text[0] = '\0';
        assert_int_equal(f->cpu->ops->restore(f->cpu, &f->boot, &f->err), MH_ERR_HOST);
        assert_text_has(f->err.text, "KVM refuses ");
        assert_text_has(f->err.text, "Input/output error");
    }
    fake_kvm.failing_request = 0;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &f->boot, &f->err), MH_OK);
}

static void without_xsave_xcr0_is_left_alone(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state saved;
    unsigned before = fake_kvm_count(KVM_SET_XCRS);
    f->kvm->xcr0 = 0;
    assert_int_equal(save(f, &saved), MH_OK);
    assert_int_equal(f->cpu->ops->restore(f->cpu, &saved, &f->err), MH_OK);
    assert_int_equal(fake_kvm_count(KVM_SET_XCRS), before);
    assert_int_equal(fake_kvm_count(KVM_GET_XCRS), 0);
}

/* ---- registers for a debugger ---- */

static void each_group_is_written_alone(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_x86_regs regs;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_ALL, &regs, &f->err), MH_OK);
    assert_int_equal(regs.general.rip, 0x1000);
    regs.general.gpr[MH_RAX] = 1;
    regs.system.cr2 = 2;
    regs.fpu.xmm[0][0] = 3;
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_SYSTEM, &regs, &f->err), MH_OK);
    assert_int_equal(fake_kvm.regs.rax, 0);
    assert_int_equal(fake_kvm.sregs.cr2, 2);
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    assert_int_equal(fake_kvm.regs.rax, 1);
    assert_int_equal(((uint8_t *)&fake_kvm.xsave)[160], 0);
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_FPU, &regs, &f->err), MH_OK);
    assert_int_equal(((uint8_t *)&fake_kvm.xsave)[160], 3);
    assert_int_equal(((uint8_t *)&fake_kvm.xsave)[512], 7); /* what is written counts as in use */
}

static void refusals_name_the_part(void **state)
{
    struct fake_kvm_cpu *f = *state;
    static const struct {
        unsigned long request;
        const char *words;
    } writes[] = {{KVM_SET_SREGS, "segment, table or control register"},
                  {KVM_SET_REGS, "these general registers"},
                  {KVM_SET_XSAVE, "these floating-point registers"}};
    struct mh_x86_regs regs;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_ALL, &regs, &f->err), MH_OK);
    fake_kvm.failing_errno = EINVAL;
    for (unsigned i = 0; i < COUNT(writes); i++) {
        fake_kvm.failing_request = writes[i].request;
        assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_ALL, &regs, &f->err), MH_ERR_HOST);
        assert_text_has(f->err.text, writes[i].words);
    }
    fake_kvm.failing_request = KVM_GET_XSAVE;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_FPU, &regs, &f->err), MH_ERR_HOST);
    fake_kvm.failing_request = KVM_GET_SREGS;
    fake_kvm_cpu_forget_registers(f);
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_ERR_HOST);
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_ERR_HOST);
}

/* A value that was refused must not be taken for the processor's. */
static void a_refused_value_is_not_what_is_read_afterwards(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_x86_regs regs;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    regs.general.rip = 0x6666;
    fake_kvm.failing_errno = EINVAL;
    fake_kvm.failing_request = KVM_SET_REGS;
    assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_ERR_HOST);
    fake_kvm.failing_request = 0;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, &f->err), MH_OK);
    assert_int_equal(regs.general.rip, 0x1000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_kvm_cpu_set_up, fake_kvm_cpu_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_of_a_state_comes_back),
        TEST(restoring_drops_what_kvm_keeps_of_page_tables),
        TEST(an_exception_kvm_has_pending_or_injected_is_kept),
        TEST(components_not_in_use_are_saved_as_they_begin),
        TEST(msrs_a_kvm_does_not_have_are_zero_and_left_alone),
        TEST(the_time_stamp_counter_may_be_refused),
        TEST(whatever_kvm_refuses_is_an_error_with_text),
        TEST(without_xsave_xcr0_is_left_alone),
        TEST(each_group_is_written_alone),
        TEST(refusals_name_the_part),
        TEST(a_refused_value_is_not_what_is_read_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
