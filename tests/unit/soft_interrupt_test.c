#include "soft_interrupt.h"

#include "fake_machine.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

/* The guest stands at `code`, which KVM cannot emulate. */
static bool deliver(struct fake_machine *m, const char *code, size_t length)
{
    memcpy(m->vm->ram.host + 0x1000, code, length);
    memset(&fake_kvm.events, 0, sizeof fake_kvm.events);
    fake_kvm.regs.rip = 0x1000;
    m->vm->vcpu.registers_are_current = false;
    return soft_interrupt_deliver(m->vm);
}

static void an_exception_is_pending(uint8_t vector, uint64_t rip)
{
    assert_int_equal(fake_kvm.events.exception.injected, 1);
    assert_int_equal(fake_kvm.events.exception.nr, vector);
    assert_int_equal(fake_kvm.events.interrupt.injected, 0);
    assert_int_equal(fake_kvm.regs.rip, rip);
}

static void int3_and_int1_are_exceptions_behind_the_instruction(void **state)
{
    struct fake_machine *m = *state;
    assert_true(deliver(m, "\xcc", 1));
    an_exception_is_pending(3, 0x1001);
    assert_true(deliver(m, "\xf1", 1));
    an_exception_is_pending(1, 0x1001);
    assert_int_equal(fake_kvm.events.exception.has_error_code, 0);
}

static void int_n_is_an_interrupt_behind_the_instruction(void **state)
{
    struct fake_machine *m = *state;
    fake_kvm.sregs.idt.limit = 0xfff;
    assert_true(deliver(m, "\xcd\x80", 2));
    assert_int_equal(fake_kvm.events.interrupt.injected, 1);
    assert_int_equal(fake_kvm.events.interrupt.nr, 0x80);
    assert_int_equal(fake_kvm.events.interrupt.soft, 0);
    assert_int_equal(fake_kvm.regs.rip, 0x1002);
}

static void a_vector_behind_the_end_of_the_idt_is_a_protection_fault_at_the_instruction(void **state)
{
    struct fake_machine *m = *state;
    fake_kvm.sregs.idt.limit = 0x80 * 16 + 14; /* one byte short */
    assert_true(deliver(m, "\xcd\x80", 2));
    an_exception_is_pending(13, 0x1000);
    assert_int_equal(fake_kvm.events.exception.has_error_code, 1);
    assert_int_equal(fake_kvm.events.exception.error_code, 0x80 * 8 + 2);
}

static void other_instructions_are_not_touched(void **state)
{
    struct fake_machine *m = *state;
    assert_false(deliver(m, "\x0f\x58\xc0", 3));
    assert_int_equal(fake_kvm.regs.rip, 0x1000);
    assert_int_equal(fake_kvm.events.exception.injected, 0);
}

static void an_instruction_that_is_not_all_there_is_none(void **state)
{
    struct fake_machine *m = *state;
    m->vm->ram.host[2 * MB - 1] = 0xcd;
    fake_kvm.regs.rip = 2 * MB - 1;
    assert_false(soft_interrupt_deliver(m->vm));
    fake_kvm.regs.rip = 16 * MB - 1;
    m->vm->vcpu.registers_are_current = false;
    assert_false(soft_interrupt_deliver(m->vm));
}

static void what_kvm_refuses_is_not_delivered(void **state)
{
    struct fake_machine *m = *state;
    static const unsigned long requests[] = {KVM_GET_REGS, KVM_GET_VCPU_EVENTS, KVM_SET_REGS, KVM_SET_VCPU_EVENTS};
    fake_kvm.failing_errno = EIO;
    for (unsigned i = 0; i < COUNT(requests); i++) {
        fake_kvm.failing_request = requests[i];
        assert_false(deliver(m, "\xcc", 1));
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(int3_and_int1_are_exceptions_behind_the_instruction),
        TEST(int_n_is_an_interrupt_behind_the_instruction),
        TEST(a_vector_behind_the_end_of_the_idt_is_a_protection_fault_at_the_instruction),
        TEST(other_instructions_are_not_touched),
        TEST(an_instruction_that_is_not_all_there_is_none),
        TEST(what_kvm_refuses_is_not_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
