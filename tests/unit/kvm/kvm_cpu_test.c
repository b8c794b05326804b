/* KVM as a processor: what becomes of each way that KVM_RUN can end. */
#include "fake_kvm_cpu.h"

#include "temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The next entries end like this, and those behind them with HLT. */
static struct {
    void (*fill)(struct fake_kvm_cpu *f, struct kvm_run *run);
    int error;
} script[8];
static unsigned scripted, entered;

static int enter(void *ctx, struct kvm_run *run)
{
    unsigned i = entered++;
    run->exit_reason = KVM_EXIT_HLT;
    if (i >= scripted)
        return 0;
    if (script[i].fill != NULL)
        script[i].fill(ctx, run);
    return -script[i].error;
}

static int set_up(void **state)
{
    scripted = entered = 0;
    fake_kvm_cpu_set_up(state);
    fake_kvm.on_run = enter;
    return 0;
}

static void will(void (*fill)(struct fake_kvm_cpu *f, struct kvm_run *run))
{
    script[scripted].error = 0;
    script[scripted++].fill = fill;
}

static void will_fail(int error)
{
    script[scripted].fill = NULL;
    script[scripted++].error = error;
}

/* ---- exits ---- */

static void a_halt_is_a_halt(void **state)
{
    struct fake_kvm_cpu *f = *state;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_string_equal(f->cpu->ops->name, "kvm");
}

static void out_of_two_words(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_IO;
    run->io.port = 0x80;
    run->io.direction = KVM_EXIT_IO_OUT;
    run->io.size = 2;
    run->io.count = 2;
    run->io.data_offset = FAKE_KVM_DATA;
    memcpy((uint8_t *)run + FAKE_KVM_DATA, "abcd", 4);
}

static void an_access_comes_with_its_data(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(out_of_two_words);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_IO);
    assert_int_equal(f->exit.port, 0x80);
    assert_int_equal(f->exit.width, 2);
    assert_int_equal(f->exit.count, 2);
    assert_false(f->exit.is_in);
    assert_memory_equal(f->exit.data, "abcd", 4);
}

static void no_memory(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0xfee00030;
    run->mmio.is_write = 1;
}

static void shut_down(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_SHUTDOWN;
}

static void memory_that_is_not_there_and_triple_faults(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(no_memory);
    will(shut_down);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_NO_MEMORY);
    assert_int_equal(f->exit.physical, 0xfee00030);
    assert_true(f->exit.is_write);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_TRIPLE_FAULT);
}

static void lower_cr8(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_SET_TPR;
}

static void a_lowered_cr8_is_nobodys_business(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(lower_cr8);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_int_equal(entered, 2);
}

static void emulation_fails(struct kvm_run *run, uint32_t ndata, uint64_t flags, uint8_t size)
{
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->emulation_failure.ndata = ndata;
    run->emulation_failure.flags = flags;
    run->emulation_failure.insn_size = size;
    memcpy(run->emulation_failure.insn_bytes, "\x66\x0f\x6f\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b", 15);
}

static void emulation_fails_with_bytes(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    emulation_fails(run, 4, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 4);
}

static void emulation_fails_with_a_lie(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    emulation_fails(run, 4, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 255);
}

static void emulation_fails_without_flag(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    emulation_fails(run, 4, 0, 4);
}

static void emulation_fails_without_data(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    emulation_fails(run, 0, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, 4);
}

static void an_instruction_kvm_cannot_execute_is_for_another_processor(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(emulation_fails_with_bytes);
    will(emulation_fails_with_a_lie);
    will(emulation_fails_without_flag);
    will(emulation_fails_without_data);
    static const uint8_t lengths[] = {4, CPU_INSTRUCTION_MAX, 0, 0};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
        assert_true(f->exit.is_unsupported);
        assert_false(f->exit.is_host_error);
        assert_text_has(f->exit.text, "this KVM cannot execute the instruction");
        assert_int_equal(f->exit.instruction_length, lengths[i]);
        if (lengths[i] > 0)
            assert_memory_equal(f->exit.instruction, "\x66\x0f\x6f\x00", 4);
    }
}

static void other_internal_error(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
}

static void entry_refused(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
}

static void unknown(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = 77;
}

static void errors_have_a_text(void **state)
{
    struct fake_kvm_cpu *f = *state;
    static const char *const texts[] = {"KVM internal error 3",
                                        "the processor refuses the guest's state (hardware reason 0x80000021)",
                                        "unexpected KVM exit 77"};
    will(other_internal_error);
    will(entry_refused);
    will(unknown);
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
        assert_string_equal(f->exit.text, texts[i]);
        assert_false(f->exit.is_unsupported);
        assert_false(f->exit.is_host_error);
    }
}

static void a_kvm_run_that_fails_is_an_error_of_the_host(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will_fail(EFAULT);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
    assert_true(f->exit.is_host_error);
    assert_string_equal(f->exit.text, "KVM cannot run the guest: Bad address");
}

static void an_entry_kvm_asks_to_repeat_is_repeated(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will_fail(EAGAIN);
    will_fail(EAGAIN);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_int_equal(entered, 3);
    f->kvm->refused_entries = 1000; /* but not for ever */
    entered = 0;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_ERROR);
    assert_text_has(f->exit.text, "Resource temporarily unavailable");
}

static void steps_counts_and_reports_are_refused(void **state)
{
    struct fake_kvm_cpu *f = *state;
    static const struct cpu_request requests[] = {
        {.mode = CPU_STEP}, {.mode = CPU_UNTIL}, {.mode = CPU_RUN, .report = CPU_REPORT_CR3}};
    uint64_t count;
    for (size_t i = 0; i < COUNT(requests); i++) {
        f->cpu->ops->run(f->cpu, &requests[i], &f->exit);
        assert_int_equal(f->exit.kind, CPU_EXIT_ERROR);
    }
    assert_int_equal(entered, 0);
    assert_false(f->cpu->ops->instructions(f->cpu, &count));
}

/* ---- kicks ---- */

static void a_kick_before_a_run_ends_it_once(void **state)
{
    struct fake_kvm_cpu *f = *state;
    f->cpu->ops->kick(f->cpu);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
    assert_int_equal(entered, 0);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
}

static void kick_during_an_access(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    out_of_two_words(f, run);
    f->cpu->ops->kick(f->cpu);
}

static void a_kick_during_a_run_ends_the_next_if_it_did_not_end_that(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(kick_during_an_access);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_IO);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
}

static void completing_an_access_loses_no_kick(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will(kick_during_an_access);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_IO);
    f->cpu->ops->finish_io(f->cpu);
    f->cpu->ops->finish_io(f->cpu);
    assert_int_equal(entered, 1); /* no instruction was executed */
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    f->cpu->ops->kick(f->cpu);
    f->cpu->ops->finish_io(f->cpu); /* there is none */
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
}

static void a_signal_ends_a_run_as_a_kick(void **state)
{
    struct fake_kvm_cpu *f = *state;
    will_fail(EINTR);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
}

static void input_for_the_debugger_is_one_kick(void **state)
{
    struct fake_kvm_cpu *f = *state;
    pthread_kill(pthread_self(), KVM_WAKE_SIGNAL);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_KICKED);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_HALT);
    assert_int_equal(fake_kvm.blocked & 1ull << (KVM_WAKE_SIGNAL - 1), 0);
    assert_int_equal(fake_kvm.blocked & 1ull << (SIGUSR1 - 1), 0);
    assert_int_not_equal(fake_kvm.blocked & 1ull << (SIGTERM - 1), 0);
}

static void watched_descriptors_send_the_signal(void **state)
{
    struct fake_kvm_cpu *f = *state;
    int fds[2];
    struct f_owner_ex owner;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const struct cpu_request request = {.mode = CPU_RUN, .wake_fds = fds, .wake_count = 1};
    f->cpu->ops->run(f->cpu, &request, &f->exit);
    assert_int_not_equal(fcntl(fds[0], F_GETFL) & O_ASYNC, 0);
    assert_int_equal(fcntl(fds[0], F_GETSIG), KVM_WAKE_SIGNAL);
    assert_int_equal(fcntl(fds[0], F_GETOWN_EX, &owner), 0);
    assert_int_equal(owner.pid, gettid());
    assert_int_equal(write(fds[1], "x", 1), 1);
    f->cpu->ops->run(f->cpu, &request, &f->exit);
    assert_int_equal(f->exit.kind, CPU_EXIT_KICKED);
    close(fds[0]);
    close(fds[1]);
}

/* ---- an access to memory that is not there ---- */

static unsigned completed; /* how many of its fragments */

static void movs_from_nowhere(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    no_memory(f, run);
    run->mmio.is_write = 0;
    completed = 0;
}

static void movs_ends(void *ctx, struct kvm_run *run)
{
    struct fake_kvm_cpu *f = ctx;
    (void)run;
    if (completed++ != 0)
        return;
    memset(f->ram.host + fake_kvm.regs.rdi, 0xee, 8);
    memset(f->ram.host + fake_kvm.regs.rsp - 8, 0xee, 8);
    fake_kvm.regs.rip += 2;
    fake_kvm.regs.rdi += 8;
    fake_kvm.sregs.cr2 = 0xbad;
    memset(&fake_kvm.xsave, 0xee, 512);
}

static void an_access_to_no_memory_is_over_when_it_is_reported(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_cpu_state before, after;
    memcpy(f->ram.host + 0x2000, "abcdefgh", 8);
    memcpy(f->ram.host + 0x2ff8, "stackstk", 8);
    f->boot.general.gpr[MH_RDI] = 0x2000;
    f->boot.general.gpr[MH_RSP] = 0x3000;
    assert_int_equal(f->cpu->ops->restore(f->cpu, &f->boot, &f->err), MH_OK);
    assert_int_equal(f->cpu->ops->save(f->cpu, &before, &f->err), MH_OK);
    will(movs_from_nowhere);
    completed = 1;
    fake_kvm.on_complete = movs_ends;
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_NO_MEMORY);
    assert_int_equal(f->exit.physical, 0xfee00030);
    assert_int_equal(completed, 1); /* KVM has nothing to complete any more */
    assert_int_equal(f->cpu->ops->save(f->cpu, &after, &f->err), MH_OK);
    assert_memory_equal(&after.general, &before.general, sizeof after.general);
    assert_int_equal(after.system.cr2, before.system.cr2);
    assert_memory_equal(after.xsave, before.xsave, sizeof after.xsave);
    assert_memory_equal(f->ram.host + 0x2000, "abcdefgh", 8);
    assert_memory_equal(f->ram.host + 0x2ff8, "stackstk", 8);
    assert_int_equal(entered, 1);
}

/* ---- an IN that is taken back ---- */

static bool is_behind;     /* this KVM's rip is behind an IN that is not completed */
static bool is_unfinished; /* an access waits */
static unsigned length_of_in;
static unsigned count_of_in;

static void in_begins(struct fake_kvm_cpu *f, struct kvm_run *run)
{
    (void)f;
    run->exit_reason = KVM_EXIT_IO;
    run->io.port = 0xe9;
    run->io.direction = KVM_EXIT_IO_IN;
    run->io.size = 1;
    run->io.count = count_of_in;
    run->io.data_offset = FAKE_KVM_DATA;
    memset((uint8_t *)run + FAKE_KVM_DATA, 0x77, count_of_in);
    is_unfinished = true;
    fake_kvm.regs.rax = 0x11;
    fake_kvm.regs.rip = 0x1000 + (is_behind ? length_of_in : 0);
}

static void in_ends(void *ctx, struct kvm_run *run)
{
    (void)ctx;
    if (!is_unfinished)
        return;
    is_unfinished = false;
    fake_kvm.regs.rip = 0x1000 + length_of_in;
    fake_kvm.regs.rax = ((uint8_t *)run)[FAKE_KVM_DATA];
}

static void cancels_in(struct fake_kvm_cpu *f, const char *code, unsigned length)
{
    struct mh_x86_regs regs;
    scripted = entered = 0;
    count_of_in = 1;
    length_of_in = length;
    memcpy(f->ram.host + 0xffe, "\0\0", 2);
    memcpy(f->ram.host + 0x1000, code, length);
    fake_kvm.on_complete = in_ends;
    will(in_begins);
    assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_IO);
    f->cpu->ops->cancel_in(f->cpu);
    assert_false(is_unfinished);
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
    assert_int_equal(regs.general.rip, 0x1000);
    assert_int_equal(regs.general.gpr[MH_RAX], 0x11);
    assert_int_equal(fake_kvm.regs.rip, 0x1000);
    assert_int_equal(entered, 1);
}

static void an_in_is_taken_back_wherever_kvm_has_rip(void **state)
{
    struct fake_kvm_cpu *f = *state;
    for (unsigned i = 0; i < 2; i++) {
        is_behind = i == 1;
        cancels_in(f, "\xe4\xe9", 2); /* in $0xe9, %al */
        cancels_in(f, "\xec", 1);     /* in (%dx), %al */
    }
    is_behind = false;
}

static void string_ends(void *ctx, struct kvm_run *run)
{
    struct fake_kvm_cpu *f = ctx;
    if (!is_unfinished)
        return;
    is_unfinished = false;
    bool down = (fake_kvm.regs.rflags & MH_RFLAGS_DF) != 0;
    for (unsigned i = 0; i < count_of_in; i++) {
        f->ram.host[fake_kvm.regs.rdi] = ((uint8_t *)run)[FAKE_KVM_DATA + i];
        fake_kvm.regs.rdi += down ? UINT64_MAX : 1;
    }
    fake_kvm.regs.rcx -= count_of_in;
}

static void what_an_ins_wrote_is_taken_back_in_either_direction(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_x86_regs regs;
    for (unsigned down = 0; down < 2; down++) {
        scripted = entered = 0;
        count_of_in = 4;
        length_of_in = 0; /* rip stays: there are more repetitions */
        memcpy(f->ram.host + 0x1ffc, "abcdefgh", 8);
        assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
        regs.general.rflags = 2 | (down ? MH_RFLAGS_DF : 0);
        regs.general.gpr[MH_RDI] = down ? 0x2003 : 0x1ffc;
        regs.general.gpr[MH_RCX] = 10;
        assert_int_equal(f->cpu->ops->write_regs(f->cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
        fake_kvm.on_complete = string_ends;
        will(in_begins);
        assert_int_equal(fake_kvm_cpu_run(f), CPU_EXIT_IO);
        f->cpu->ops->cancel_in(f->cpu);
        assert_memory_equal(f->ram.host + 0x1ffc, "abcdefgh", 8);
        assert_int_equal(fake_kvm.regs.rdi, regs.general.gpr[MH_RDI]);
        assert_int_equal(fake_kvm.regs.rcx, 10);
    }
}

/* ---- registers at hand, batches ---- */

static void rip_costs_no_call(void **state)
{
    struct fake_kvm_cpu *f = *state;
    uint64_t rip = 0;
    fake_kvm_cpu_run(f);
    fake_kvm.regs.rip = 0x1234;
    fake_kvm_cpu_run(f);
    unsigned calls = fake_kvm.calls;
    assert_true(f->cpu->ops->rip_at_hand(f->cpu, &rip));
    assert_int_equal(rip, 0x1234);
    assert_int_equal(fake_kvm.calls, calls);
}

static void without_synchronized_registers_they_are_asked_for(void **state)
{
    struct fake_kvm_cpu *f = *state;
    struct mh_x86_regs regs;
    uint64_t rip;
    f->kvm->can_sync = false;
    will(out_of_two_words); /* at other exits the processor looks at its mode, and so has all registers */
    fake_kvm_cpu_run(f);
    assert_false(f->cpu->ops->rip_at_hand(f->cpu, &rip));
    fake_kvm.regs.rip = 0x1234;
    assert_int_equal(f->cpu->ops->read_regs(f->cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
    assert_int_equal(regs.general.rip, 0x1234);
    assert_true(f->cpu->ops->rip_at_hand(f->cpu, &rip));
}

static void gather(struct kvm_run *run, const char *text)
{
    struct kvm_coalesced_mmio_ring *ring = (void *)((char *)run + 2 * FAKE_KVM_PAGE);
    const uint32_t capacity = (FAKE_KVM_PAGE - sizeof *ring) / sizeof ring->coalesced_mmio[0];
    for (; *text != '\0'; text++) {
        ring->coalesced_mmio[ring->last].data[0] = (uint8_t)*text;
        ring->last = (ring->last + 1) % capacity;
    }
}

static void gathered_bytes_come_in_order_around_the_ring(void **state)
{
    struct fake_kvm_cpu *f = *state;
    uint8_t bytes[16];
    assert_false(f->cpu->ops->has_batch(f->cpu));
    f->cpu->ops->batch_port(f->cpu, 0xe9, true);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 1);
    for (unsigned i = 0; i < 60; i++) { /* the ring wraps around */
        gather(f->kvm->run, "gathered");
        assert_true(f->cpu->ops->has_batch(f->cpu));
        assert_int_equal(f->cpu->ops->take_batch(f->cpu, bytes, 5), 5);
        assert_int_equal(f->cpu->ops->take_batch(f->cpu, bytes + 5, 11), 3);
        assert_memory_equal(bytes, "gathered", 8);
        assert_false(f->cpu->ops->has_batch(f->cpu));
    }
    f->cpu->ops->batch_port(f->cpu, 0xe9, false);
    assert_int_equal(fake_kvm_count(KVM_UNREGISTER_COALESCED_MMIO), 1);
}

static void without_a_ring_nothing_gathers(void **state)
{
    struct fake_kvm_cpu *f = *state;
    uint8_t byte;
    f->kvm->ring = NULL;
    f->cpu->ops->batch_port(f->cpu, 0xe9, true);
    assert_int_equal(fake_kvm_count(KVM_REGISTER_COALESCED_MMIO), 0);
    assert_false(f->cpu->ops->has_batch(f->cpu));
    assert_int_equal(f->cpu->ops->take_batch(f->cpu, &byte, 1), 0);
}

/* ---- creating ---- */

static int prepare(void **state)
{
    *state = fake_kvm_cpu_prepare();
    return 0;
}

static void a_processor_starts_in_the_state_it_is_given(void **state)
{
    struct fake_kvm_cpu *f = *state;
    fake_kvm_cpu_create(f);
    assert_int_equal(fake_kvm.regs.rip, 0x1000);
    assert_int_equal(fake_kvm.sregs.cr3, MH_SYSTEM_AREA);
    assert_int_equal(fake_kvm.sregs.ldt.unusable, 1);
    assert_int_equal(fake_kvm.sregs.apic_base, 0xfee00100);
    assert_int_equal(fake_kvm.xcrs.xcrs[0].value, 7);
}

static void each_step_of_the_start_that_fails_is_named_and_undone(void **state)
{
    struct fake_kvm_cpu *f = *state;
    static const struct {
        unsigned long request;
        const char *words;
    } cases[] = {
        {KVM_CREATE_VM, "KVM refuses another machine: Too many open files"},
        {KVM_SET_TSS_ADDR, "KVM refuses an address for its TSS"},
        {KVM_SET_USER_MEMORY_REGION, "KVM refuses the machine's memory"},
        {KVM_CREATE_VCPU, "KVM refuses a processor"},
        {KVM_SET_SIGNAL_MASK, "KVM refuses a signal mask"},
        {KVM_SET_CPUID2, "KVM refuses the processor's CPUID"},
        {KVM_GET_SREGS, "KVM refuses to give the registers"},
        {KVM_SET_SREGS, "KVM refuses the system registers"},
        {KVM_SET_XCRS, "KVM refuses XCR0"},
        {KVM_SET_REGS, "KVM refuses the general registers"},
    };
    unsigned fds = count_open_fds();
    int mapped = fake_kvm.mapped;
    fake_kvm.failing_errno = EMFILE;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fake_kvm.failing_request = cases[i].request;
        assert_int_equal(kvm_cpu_create(f->host, &f->cpuid, &f->ram, &f->boot, &f->cpu, &f->err), MH_ERR_HOST);
        assert_text_has(f->err.text, cases[i].words);
        assert_null(f->cpu);
        assert_int_equal(count_open_fds(), fds);
        assert_int_equal(fake_kvm.mapped, mapped);
    }
    fake_kvm.failing_request = 0;
    fake_kvm.failing_mmap = fake_kvm.mmaps + 1;
    assert_int_equal(kvm_cpu_create(f->host, &f->cpuid, &f->ram, &f->boot, &f->cpu, &f->err), MH_ERR_HOST);
    assert_text_has(f->err.text, "run page: Cannot allocate memory");
    assert_int_equal(count_open_fds(), fds);
}

/* ---- interrupts ---- */

static enum cpu_exit_kind run_with_interrupt(struct fake_kvm_cpu *f)
{
    const struct cpu_request request = {.mode = CPU_RUN, .interrupt = 32};
    f->cpu->ops->run(f->cpu, &request, &f->exit);
    return f->exit.kind;
}

static void kvm_delivers_interrupts(void **state)
{
    struct fake_kvm_cpu *f = *state;
    fake_kvm.run->ready_for_interrupt_injection = 0;
    assert_false(f->cpu->ops->accepts_interrupt(f->cpu));
    fake_kvm.run->ready_for_interrupt_injection = 1;
    assert_true(f->cpu->ops->accepts_interrupt(f->cpu));
    assert_int_equal(run_with_interrupt(f), CPU_EXIT_HALT);
    assert_int_equal(fake_kvm_count(KVM_INTERRUPT), 1);
    assert_int_equal(fake_kvm.events.interrupt.nr, 32);
    assert_false(f->exit.interrupt_is_due);
}

static void an_interrupt_that_a_kick_came_before_is_taken_back(void **state)
{
    struct fake_kvm_cpu *f = *state;
    f->cpu->ops->kick(f->cpu);
    assert_int_equal(run_with_interrupt(f), CPU_EXIT_KICKED);
    assert_true(f->exit.interrupt_is_due);
    assert_int_equal(fake_kvm.events.interrupt.injected, 0);
    assert_int_equal(entered, 0);
}

static void an_interrupt_that_kvm_refuses_is_for_another_processor(void **state)
{
    struct fake_kvm_cpu *f = *state;
    fake_kvm.failing_request = KVM_INTERRUPT;
    fake_kvm.failing_errno = ENXIO;
    assert_int_equal(run_with_interrupt(f), CPU_EXIT_ERROR);
    assert_true(f->exit.is_unsupported);
    assert_int_equal(entered, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, fake_kvm_cpu_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_halt_is_a_halt),
        TEST(an_access_comes_with_its_data),
        TEST(memory_that_is_not_there_and_triple_faults),
        TEST(a_lowered_cr8_is_nobodys_business),
        TEST(an_instruction_kvm_cannot_execute_is_for_another_processor),
        TEST(errors_have_a_text),
        TEST(a_kvm_run_that_fails_is_an_error_of_the_host),
        TEST(an_entry_kvm_asks_to_repeat_is_repeated),
        TEST(steps_counts_and_reports_are_refused),
        TEST(a_kick_before_a_run_ends_it_once),
        TEST(a_kick_during_a_run_ends_the_next_if_it_did_not_end_that),
        TEST(completing_an_access_loses_no_kick),
        TEST(a_signal_ends_a_run_as_a_kick),
        TEST(input_for_the_debugger_is_one_kick),
        TEST(watched_descriptors_send_the_signal),
        TEST(an_access_to_no_memory_is_over_when_it_is_reported),
        TEST(an_in_is_taken_back_wherever_kvm_has_rip),
        TEST(what_an_ins_wrote_is_taken_back_in_either_direction),
        TEST(rip_costs_no_call),
        TEST(without_synchronized_registers_they_are_asked_for),
        TEST(gathered_bytes_come_in_order_around_the_ring),
        TEST(without_a_ring_nothing_gathers),
        TEST(kvm_delivers_interrupts),
        TEST(an_interrupt_that_a_kick_came_before_is_taken_back),
        TEST(an_interrupt_that_kvm_refuses_is_for_another_processor),
        cmocka_unit_test_setup_teardown(a_processor_starts_in_the_state_it_is_given, prepare, fake_kvm_cpu_tear_down),
        cmocka_unit_test_setup_teardown(each_step_of_the_start_that_fails_is_named_and_undone, prepare,
                                        fake_kvm_cpu_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
