#include "x86/boot_state.h"
#include "enter.h"
#include "fake_machine.h"
#include "mh/x86_regs.h"
#include "x86/paging.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static int set_up(void **state)
{
    *state = fake_machine_make("\x90\xf4", 2);
    return 0;
}

static int tear_down(void **state)
{
    fake_machine_remove(*state);
    return 0;
}

static void a_machine_has_its_memory_in_two_slots(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_int_equal(fake_kvm.region[0].guest_phys_addr, 0);
    assert_int_equal(fake_kvm.region[0].memory_size, 2 * MB);
    assert_int_equal(fake_kvm.region[1].guest_phys_addr, MH_SYSTEM_AREA);
    assert_int_equal(fake_kvm.region[1].memory_size, MH_SYSTEM_AREA_SIZE);
    assert_int_equal(fake_kvm.region[0].flags | fake_kvm.region[1].flags, 0);
    const uint8_t *ram = (const uint8_t *)(uintptr_t)fake_kvm.region[0].userspace_addr;
    assert_memory_equal(ram, "\x90\xf4\0", 3);
}

static void a_machine_starts_as_the_interface_says(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_int_equal(fake_kvm.regs.rip, 0);
    assert_int_equal(fake_kvm.regs.rsp, 2 * MB - 8);
    assert_int_equal(fake_kvm.sregs.cr3, MH_SYSTEM_AREA);
    assert_int_equal(fake_kvm.cpuid_entries, FAKE_KVM_CPUID_ENTRIES);
    assert_int_equal(fake_kvm.xcrs.xcrs[0].value, 7);
    assert_int_not_equal(fake_kvm.sregs.cr4 & MH_CR4_OSXSAVE, 0);
}

static void without_xsave_xcr0_is_left_alone(void **state)
{
    struct fake_machine *m = *state;
    fake_kvm.cpuid_1_ecx = 0;
    fake_machine_create(m);
    assert_int_equal(fake_kvm_count(KVM_SET_XCRS), 0);
    assert_int_equal(fake_kvm.sregs.cr4 & MH_CR4_OSXSAVE, 0);
}

static void a_machine_gives_everything_back(void **state)
{
    struct fake_machine *m = *state;
    unsigned fds = count_open_fds();
    int mapped = fake_kvm.mapped;
    fake_machine_create(m);
    assert_true(count_open_fds() > fds);
    mh_vm_destroy(m->vm);
    m->vm = NULL;
    mh_vm_destroy(NULL);
    assert_int_equal(count_open_fds(), fds);
    assert_int_equal(fake_kvm.mapped, mapped);
}

/* ---- failures of the start path ---- */

/* Open a host and create a machine on it, as a program does. */
static enum mh_status start(const struct fake_machine *m, struct mh_error *err)
{
    struct mh_host *host = NULL;
    struct mh_vm *vm = NULL;
    enum mh_status status = mh_host_open(&host, err);
    if (status == MH_OK)
        status = mh_vm_create(host, &m->config, &vm, err);
    if (status == MH_OK)
        mh_vm_destroy(vm);
    else
        assert_null(vm);
    mh_host_close(host);
    return status;
}

static void forget_calls(void)
{
    fake_kvm.calls = fake_kvm.mmaps = 0;
    memset(fake_kvm.log, 0, sizeof fake_kvm.log);
}

/* All but the questions for what a host need not have. */
static bool is_needed(unsigned long request, unsigned call)
{
    return request != KVM_CHECK_EXTENSION || call <= 4; /* the version, then three that are needed */
}

static void each_ioctl_of_the_start_that_fails_is_an_error_of_the_host(void **state)
{
    struct fake_machine *m = *state;
    struct mh_error err = {0};
    forget_calls();
    assert_int_equal(start(m, &err), MH_OK);
    unsigned calls = fake_kvm.calls, fds = count_open_fds(), failures = 0;
    int mapped = fake_kvm.mapped;
    for (unsigned call = 1; call <= calls; call++) {
        unsigned long request = fake_kvm.log[call - 1];
        forget_calls();
        fake_kvm.failing_call = call;
        fake_kvm.failing_errno = ENOMEM;
        err.text[0] = '\0';
        enum mh_status status = start(m, &err);
        if (is_needed(request, call)) {
            assert_int_equal(status, MH_ERR_HOST);
            assert_int_not_equal(err.text[0], '\0');
            failures++;
        } else
            assert_int_equal(status, MH_OK);
        assert_int_equal(count_open_fds(), fds);
        assert_int_equal(fake_kvm.mapped, mapped);
        fake_kvm.failing_call = 0;
        forget_calls();
        assert_int_equal(start(m, &err), MH_OK);
    }
    assert_true(failures >= 12);
}

static void each_mapping_of_the_start_that_fails_is_an_error_of_the_host(void **state)
{
    struct fake_machine *m = *state;
    struct mh_error err = {0};
    forget_calls();
    assert_int_equal(start(m, &err), MH_OK);
    unsigned mmaps = fake_kvm.mmaps, fds = count_open_fds();
    int mapped = fake_kvm.mapped;
    assert_int_equal(mmaps, 2);
    for (unsigned i = 1; i <= mmaps; i++) {
        forget_calls();
        fake_kvm.failing_mmap = i;
        err.text[0] = '\0';
        assert_int_equal(start(m, &err), MH_ERR_HOST);
        assert_text_has(err.text, "Cannot allocate memory");
        assert_int_equal(count_open_fds(), fds);
        assert_int_equal(fake_kvm.mapped, mapped);
    }
}

static void a_refused_step_of_the_start_is_named(void **state)
{
    struct fake_machine *m = *state;
    static const struct {
        unsigned long request;
        const char *words;
    } cases[] = {
        {KVM_CREATE_VM, "KVM refuses another machine: Too many open files"},
        {KVM_SET_TSS_ADDR, "KVM refuses an address for its TSS"},
        {KVM_SET_USER_MEMORY_REGION, "KVM refuses the machine's memory"},
        {KVM_CREATE_VCPU, "KVM refuses a processor"},
        {KVM_GET_SUPPORTED_CPUID, "KVM refuses to tell its CPUID"},
        {KVM_SET_SIGNAL_MASK, "KVM refuses a signal mask"},
        {KVM_SET_CPUID2, "KVM refuses the processor's CPUID"},
        {KVM_GET_SREGS, "KVM refuses the system registers"},
        {KVM_SET_SREGS, "KVM refuses the system registers"},
        {KVM_SET_XCRS, "KVM refuses XCR0"},
        {KVM_SET_REGS, "KVM refuses the general registers"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_error err = {0};
        fake_kvm.failing_request = cases[i].request;
        fake_kvm.failing_errno = EMFILE;
        assert_int_equal(start(m, &err), MH_ERR_HOST);
        assert_text_has(err.text, cases[i].words);
    }
}

/* ---- running ---- */

static void a_guest_that_halts_ends_well(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(fake_kvm.runs, 1);
}

static void interruptions_without_a_wish_to_stop_are_nothing(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    will_fail(m, EINTR);
    will_fail(m, EAGAIN);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(fake_kvm.runs, 3);
}

static void a_machine_asked_to_stop_does_not_enter_the_guest(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    mh_vm_request_stop(m->vm);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_INTERRUPTED);
    assert_int_equal(fake_kvm.runs, 0);
}

static void ask_self_to_stop(struct fake_machine *m)
{
    m->read_result = MH_SERIAL_INTERRUPTED;
    mh_vm_request_stop(m->vm);
}

static void a_wait_for_input_ends_when_the_machine_is_to_stop(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->on_read = ask_self_to_stop;
    will_in(m, MH_PORT_SERIAL, 1, 1);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_INTERRUPTED);
    assert_int_equal(m->reads, 1);
}

static void a_kick_makes_the_next_entry_return_at_once(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    mh_vm_kick(m->vm);
    assert_int_equal(vcpu_run(&m->vm->vcpu), -EINTR);
    vcpu_accept_kicks(&m->vm->vcpu);
    assert_int_equal(vcpu_run(&m->vm->vcpu), 0);
}

static void input_for_the_debugger_is_a_kick_unless_it_is_dropped(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    pthread_kill(pthread_self(), MH_INPUT_SIGNAL);
    assert_int_equal(vcpu_run(&m->vm->vcpu), -EINTR);
    assert_true(vcpu_accept_kicks(&m->vm->vcpu));
    assert_int_equal(vcpu_run(&m->vm->vcpu), 0);
    pthread_kill(pthread_self(), MH_INPUT_SIGNAL);
    vcpu_drop_input_signal();
    assert_int_equal(vcpu_run(&m->vm->vcpu), 0);
}

static void exits_are_counted_by_their_reasons(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    will_out(m, MH_PORT_SERIAL, 1, "a", 1);
    will_fail(m, EINTR); /* leaves the reason of the exit before */
    fake_machine_run(m);
    assert_int_equal(m->vm->exits[KVM_EXIT_IO], 1);
    assert_int_equal(m->vm->exits[KVM_EXIT_INTR], 1);
    assert_int_equal(m->vm->exits[KVM_EXIT_HLT], 1);
}

static void what_was_printed_is_handed_on_when_the_machine_stops(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    will_out(m, MH_PORT_SERIAL, 1, "hello", 5);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_string_equal(m->output, "hello");
}

static void what_was_printed_is_handed_on_at_a_kick(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    will_out(m, MH_PORT_SERIAL, 1, "seen", 4);
    will_fail(m, EINTR);
    will_in(m, MH_PORT_SERIAL, 1, 1);
    fake_machine_run(m);
    assert_int_equal(m->output_at_read, 4);
}

static void output_that_cannot_be_written_stops_the_machine(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->write_result = -EPIPE;
    will_out(m, MH_PORT_SERIAL, 1, "hello", 5);
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_IO_ERROR);
    assert_int_equal(stop.host_errno, EPIPE);
    assert_text_has(fake_machine_report(m, &stop), "the host cannot serve its serial port: Broken pipe");
}

static void output_that_cannot_be_written_stops_an_endless_printer(void **state)
{
    struct fake_machine *m = *state;
    static const char page[FAKE_BYTES_MAX] = {'x'};
    fake_machine_create(m);
    m->write_result = -ENOSPC;
    will_out(m, MH_PORT_SERIAL, 1, page, sizeof page);
    will_out(m, MH_PORT_SERIAL, 1, page, sizeof page);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_IO_ERROR);
    assert_int_equal(fake_kvm.runs, 1);
}

static void input_that_cannot_be_read_stops_the_machine(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->read_result = -EIO;
    will_in(m, MH_PORT_SERIAL, 1, 1);
    struct mh_stop stop = fake_machine_run(m);
    assert_int_equal(stop.kind, MH_STOP_IO_ERROR);
    assert_int_equal(stop.host_errno, EIO);
}

/* ---- bytes KVM gathered ---- */

static void gather(struct kvm_run *run, const char *text)
{
    struct kvm_coalesced_mmio_ring *ring = (void *)((char *)run + 2 * FAKE_KVM_PAGE);
    const uint32_t capacity = (FAKE_KVM_PAGE - sizeof *ring) / sizeof ring->coalesced_mmio[0];
    for (; *text != '\0'; text++) {
        ring->coalesced_mmio[ring->last].data[0] = (uint8_t)*text;
        ring->last = (ring->last + 1) % capacity;
    }
}

static void gather_some(struct kvm_run *run)
{
    gather(run, "gathered ");
    run->exit_reason = KVM_EXIT_IO;
    run->io.port = MH_PORT_SERIAL;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 1;
    run->io.count = 1;
    run->io.data_offset = FAKE_KVM_DATA;
    *((char *)run + FAKE_KVM_DATA) = '!';
}

static void gathered_bytes_come_before_those_of_the_exit(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    for (unsigned i = 0; i < 40; i++) /* 360 bytes: the ring wraps around */
        will_exit(m, gather_some);
    fake_machine_run(m);
    assert_int_equal(m->output_length, 400);
    for (unsigned i = 0; i < 40; i++)
        assert_memory_equal(m->output + 10 * (size_t)i, "gathered !", 10);
}

static void gathered_bytes_are_pending_until_the_machine_is_out(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    assert_false(mh_vm_wants_kick(m->vm));
    gather(fake_kvm.run, "x");
    assert_true(mh_vm_wants_kick(m->vm));
    enter_drain_gathered(m->vm);
    assert_true(mh_vm_wants_kick(m->vm));
    serial_flush(&m->vm->serial);
    assert_false(mh_vm_wants_kick(m->vm));
    assert_string_equal(m->output, "x");
}

static void many_single_bytes_make_kvm_gather_them(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->vm->serial_exits = 998;
    will_out(m, MH_PORT_SERIAL, 1, "x", 1);
    fake_machine_run(m);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 0);
    m->done = m->queued = 0;
    will_out(m, MH_PORT_SERIAL, 1, "y", 1);
    will_out(m, MH_PORT_SERIAL, 1, "z", 1);
    fake_machine_run(m);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 1);
    assert_string_equal(m->output, "xyz");
}

static void a_kvm_that_refuses_to_gather_is_not_asked_again(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_create(m);
    m->vm->serial_exits = 998;
    fake_kvm.failing_request = KVM_REGISTER_COALESCED_MMIO;
    fake_kvm.failing_errno = EINVAL;
    for (unsigned i = 0; i < 4; i++)
        will_out(m, MH_PORT_SERIAL, 1, "x", 1);
    assert_int_equal(fake_machine_run(m).kind, MH_STOP_HALTED);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 1);
    assert_string_equal(m->output, "xxxx");
}

static void without_a_ring_nothing_is_gathered(void **state)
{
    struct fake_machine *m = *state;
    m->host->coalesce_page = 0;
    fake_machine_create(m);
    m->vm->serial_exits = 5000;
    will_out(m, MH_PORT_SERIAL, 1, "x", 1);
    fake_machine_run(m);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 0);
    assert_false(mh_vm_wants_kick(m->vm));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_has_its_memory_in_two_slots),
        TEST(a_machine_starts_as_the_interface_says),
        TEST(without_xsave_xcr0_is_left_alone),
        TEST(a_machine_gives_everything_back),
        TEST(each_ioctl_of_the_start_that_fails_is_an_error_of_the_host),
        TEST(each_mapping_of_the_start_that_fails_is_an_error_of_the_host),
        TEST(a_refused_step_of_the_start_is_named),
        TEST(a_guest_that_halts_ends_well),
        TEST(interruptions_without_a_wish_to_stop_are_nothing),
        TEST(a_machine_asked_to_stop_does_not_enter_the_guest),
        TEST(a_wait_for_input_ends_when_the_machine_is_to_stop),
        TEST(a_kick_makes_the_next_entry_return_at_once),
        TEST(input_for_the_debugger_is_a_kick_unless_it_is_dropped),
        TEST(exits_are_counted_by_their_reasons),
        TEST(what_was_printed_is_handed_on_when_the_machine_stops),
        TEST(what_was_printed_is_handed_on_at_a_kick),
        TEST(output_that_cannot_be_written_stops_the_machine),
        TEST(output_that_cannot_be_written_stops_an_endless_printer),
        TEST(input_that_cannot_be_read_stops_the_machine),
        TEST(gathered_bytes_come_before_those_of_the_exit),
        TEST(gathered_bytes_are_pending_until_the_machine_is_out),
        TEST(many_single_bytes_make_kvm_gather_them),
        TEST(a_kvm_that_refuses_to_gather_is_not_asked_again),
        TEST(without_a_ring_nothing_is_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
