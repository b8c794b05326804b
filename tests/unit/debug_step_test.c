#include "debug_step.h"

#include "x86/boot_state.h"
#include "fake_machine.h"
#include "mh/x86_regs.h"
#include "unit.h"

#include <string.h>

#define HANDLER 0x100u
#define IDT 0x200u
#define STACK 0x1000u

/*
 * A machine with an exception table of its own, on a host that neither reports INT3 nor has debug registers. `enter` is
 * what its processor does when it is entered.
 */
struct fixture {
    struct fake_machine *machine;
    void (*enter)(struct fixture *f);
    unsigned entries;
};

static int on_run(void *ctx, struct kvm_run *run)
{
    struct fixture *f = ctx;
    (void)run;
    f->entries++;
    f->enter(f);
    return 0;
}

static uint8_t *ram(const struct fixture *f)
{
    return f->machine->vm->ram.host;
}

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->machine = fake_machine_make("\xfb\x90\x48\xcf\xf4", 5); /* sti; nop; iretq; hlt */
    fake_machine_create(f->machine);
    f->machine->vm->debug.active = true;
    f->machine->vm->debug.host.int3 = HOST_INT3_LOST;
    const uint64_t gate = HANDLER | (uint64_t)MH_SEL_KERNEL_CODE << 16 | 0x8eull << 40;
    memcpy(ram(f) + IDT + 16, &gate, sizeof gate); /* vector 1 */
    ram(f)[HANDLER] = 0x90;
    fake_kvm.sregs.idt = (struct kvm_dtable){.base = IDT, .limit = 31};
    fake_kvm.regs.rsp = STACK;
    fake_kvm.on_run = on_run;
    fake_kvm.on_run_ctx = f;
    *state = f;
    return 0;
}

/* The processor executes the hlt at `address`. */
static void halts_at(struct fixture *f, uint64_t address)
{
    assert_int_equal(ram(f)[address], 0xf4);
    fake_kvm.regs.rip = address + 1;
    fake_kvm.run->exit_reason = KVM_EXIT_HLT;
}

static void steps_to(struct fixture *f, uint64_t from, uint64_t to)
{
    struct mh_stop stop = {0};
    uint8_t before[HANDLER + 1];
    memcpy(before, ram(f), sizeof before);
    fake_kvm.regs.rip = from;
    assert_int_equal(debug_step_once(f->machine->vm, &stop), OUTCOME_STEPPED);
    assert_int_equal(fake_kvm.regs.rip, to);
    assert_int_equal(f->entries, 1);
    assert_memory_equal(before, ram(f), sizeof before);
}

static void faults(struct fixture *f)
{
    fake_kvm.regs.rsp = STACK - 40;
    const uint64_t frame[] = {1, MH_SEL_KERNEL_CODE, 2 | MH_RFLAGS_TF, STACK, 0};
    memcpy(ram(f) + STACK - sizeof frame, frame, sizeof frame);
    halts_at(f, HANDLER);
}

static void a_fault_ends_a_step_at_the_guests_handler(void **state)
{
    struct fixture *f = *state;
    f->enter = faults;
    steps_to(f, 1, HANDLER);
    uint64_t flags;
    memcpy(&flags, ram(f) + fake_kvm.regs.rsp + 16, sizeof flags);
    assert_int_equal(flags, 2);
}

static void goes_on_behind_sti(struct fixture *f)
{
    halts_at(f, 1);
}

static void sti_does_not_take_the_next_instruction_along(void **state)
{
    struct fixture *f = *state;
    f->enter = goes_on_behind_sti;
    steps_to(f, 0, 1);
}

static void returns(struct fixture *f)
{
    halts_at(f, 1);
}

static void push_return(struct fixture *f, uint64_t cs)
{
    const uint64_t frame[] = {1, cs, 2, STACK, 0};
    memcpy(ram(f) + STACK, frame, sizeof frame);
}

static void iret_ends_where_it_leads(void **state)
{
    struct fixture *f = *state;
    push_return(f, MH_SEL_KERNEL_CODE);
    f->enter = returns;
    steps_to(f, 2, 1);
}

static void returns_to_ring_3(struct fixture *f)
{
    assert_int_equal(ram(f)[1], 0x90);
    fake_kvm.regs.rip = 1;
    fake_kvm.run->exit_reason = KVM_EXIT_DEBUG;
}

/* A hlt there would be a fault. */
static void nothing_is_patched_for_other_rings(void **state)
{
    struct fixture *f = *state;
    push_return(f, MH_SEL_KERNEL_CODE | 3);
    f->enter = returns_to_ring_3;
    steps_to(f, 2, 1);
}

static void halts_itself(struct fixture *f)
{
    halts_at(f, 4);
}

static void a_hlt_of_the_guest_is_the_end(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop = {0};
    fake_kvm.regs.rip = 4;
    f->enter = halts_itself;
    assert_int_equal(debug_step_once(f->machine->vm, &stop), OUTCOME_STOPPED);
    assert_int_equal(stop.kind, MH_STOP_HALTED);
    assert_int_equal(fake_kvm.regs.rip, 5);
}

/* Steps onto the stub behind the entry point, while somebody kicks, and then runs it. */
static void comes_to_a_stub(struct fixture *f)
{
    const uint64_t stub = MH_SYSTEM_AREA + BOOT_STUBS + BOOT_STUB_RETURNED * BOOT_STUB_SIZE;
    if (f->entries == 1) {
        fake_kvm.regs.rip = stub;
        fake_kvm.run->exit_reason = KVM_EXIT_DEBUG;
        vcpu_kick(&f->machine->vm->vcpu);
        return;
    }
    assert_int_equal(fake_kvm.regs.rip, stub);
    fake_kvm.regs.rip++;
    fake_kvm.run->exit_reason = KVM_EXIT_HLT;
}

static void a_kick_at_a_stub_neither_hides_its_fault_nor_gets_lost(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop = {0};
    fake_kvm.regs.rip = 1;
    f->enter = comes_to_a_stub;
    assert_int_equal(debug_step_once(f->machine->vm, &stop), OUTCOME_STOPPED);
    assert_int_equal(stop.kind, MH_STOP_RETURNED);
    assert_int_equal(f->entries, 2);
    assert_true(vcpu_accept_kicks(&f->machine->vm->vcpu));
}

static void steps(struct fixture *f)
{
    (void)f;
    fake_kvm.regs.rip = 2;
    fake_kvm.run->exit_reason = KVM_EXIT_DEBUG;
}

/* How often KVM is told to step when the nop is stepped twice. */
static unsigned controls_of_two_steps(struct fixture *f, bool steps_last)
{
    f->machine->vm->debug.host.steps_last = steps_last;
    unsigned before = fake_kvm_count(KVM_SET_GUEST_DEBUG);
    for (unsigned i = 0; i < 2; i++) {
        f->entries = 0;
        steps_to(f, 1, 2);
    }
    return fake_kvm_count(KVM_SET_GUEST_DEBUG) - before;
}

static void where_steps_do_not_last_each_is_asked_for(void **state)
{
    struct fixture *f = *state;
    f->enter = steps;
    assert_int_equal(controls_of_two_steps(f, true), 1);
    assert_int_equal(controls_of_two_steps(f, false), 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_machine_tear_down_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fault_ends_a_step_at_the_guests_handler),
        TEST(sti_does_not_take_the_next_instruction_along),
        TEST(iret_ends_where_it_leads),
        TEST(nothing_is_patched_for_other_rings),
        TEST(a_kick_at_a_stub_neither_hides_its_fault_nor_gets_lost),
        TEST(where_steps_do_not_last_each_is_asked_for),
        TEST(a_hlt_of_the_guest_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
