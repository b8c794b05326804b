#include "kvm/kvm_cpu.h"

#include "kvm/kvm_regs.h"
#include "x86/exceptions.h"
#include "x86/paging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Three pages below 4 GB that older Intel processors want for themselves; anywhere no guest memory is. */
#define TSS_ADDRESS 0xfffbd000ul

static struct kvm_cpu *kvm_cpu_of(struct cpu *cpu)
{
    return (struct kvm_cpu *)cpu;
}

/* ---- registers ---- */

static bool kvm_cpu_fetch_registers(struct kvm_cpu *self)
{
    if (self->registers_are_current)
        return true;
    self->registers_are_current = kvm_sys_get_regs(self->fd, &self->run->s.regs.regs) == 0 &&
                                  kvm_sys_get_sregs(self->fd, &self->run->s.regs.sregs) == 0;
    return self->registers_are_current;
}

struct kvm_regs *kvm_cpu_regs(struct kvm_cpu *self)
{
    return kvm_cpu_fetch_registers(self) ? &self->run->s.regs.regs : NULL;
}

struct kvm_sregs *kvm_cpu_sregs(struct kvm_cpu *self)
{
    return kvm_cpu_fetch_registers(self) ? &self->run->s.regs.sregs : NULL;
}

int kvm_cpu_write_regs(struct kvm_cpu *self)
{
    int result = kvm_sys_set_regs(self->fd, &self->run->s.regs.regs);
    self->registers_are_current = result == 0;
    return result;
}

int kvm_cpu_write_sregs(struct kvm_cpu *self)
{
    int result = kvm_sys_set_sregs(self->fd, &self->run->s.regs.sregs);
    self->run->cr8 = self->run->s.regs.sregs.cr8; /* KVM loads it at each entry, whatever it was given before */
    self->registers_are_current = result == 0;
    return result;
}

static bool kvm_cpu_rip_at_hand(const struct cpu *cpu, uint64_t *rip)
{
    const struct kvm_cpu *self = (const struct kvm_cpu *)cpu;
    /* registers are written through the run page, so its contents remain valid */
    if ((self->run->kvm_valid_regs & KVM_SYNC_X86_REGS) == 0 && !self->registers_are_current)
        return false;
    *rip = self->run->s.regs.regs.rip;
    return true;
}

/* ---- entering the guest ---- */

static void kvm_cpu_set_immediate_exit(const struct kvm_cpu *self, uint8_t value)
{
    __atomic_store_n(&self->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/* Enter the guest again, unless there was a kick: both kick() and finish_io() set `immediate_exit`. */
static void kvm_cpu_clear_immediate_exit(struct kvm_cpu *self)
{
    kvm_cpu_set_immediate_exit(self, 0);
    if (atomic_load(&self->is_kicked))
        kvm_cpu_set_immediate_exit(self, 1);
}

static sigset_t kvm_cpu_wake_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, KVM_WAKE_SIGNAL);
    return set;
}

static void kvm_cpu_drop_wake_signal(void)
{
    const sigset_t set = kvm_cpu_wake_signal();
    const struct timespec at_once = {0};
    sigtimedwait(&set, NULL, &at_once);
}

int kvm_cpu_enter(struct kvm_cpu *self)
{
    __u64 synced = KVM_SYNC_X86_REGS | (self->sync_system ? KVM_SYNC_X86_SREGS : 0u);
    self->run->kvm_valid_regs = self->can_sync ? synced : 0;
    int result = kvm_sys_run(self->fd);
    self->registers_are_current = self->run->kvm_valid_regs == (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
    return result;
}

#define FRAGMENTS_MAX 64u

/* Some KVMs finish an IN or OUT only at the next KVM_RUN, and a string instruction in pieces. */
void kvm_cpu_finish_io(struct cpu *cpu)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    if (!self->io_is_pending)
        return;
    for (unsigned i = 0; i < FRAGMENTS_MAX && self->io_is_pending; i++) {
        kvm_cpu_set_immediate_exit(self, 1);
        self->io_is_pending = kvm_cpu_enter(self) == 0; /* EINTR: there is no more to it */
    }
    kvm_cpu_clear_immediate_exit(self);
    self->io_is_pending = false;
    self->registers_are_current = false;
}

/* The length of the IN before `rip`; its port is in DX or in one byte. */
static unsigned kvm_cpu_length_of_in(const uint8_t code[2], uint16_t port)
{
    return (code[0] == 0xe4 || code[0] == 0xe5) && code[1] == port ? 2 : 1;
}

/* Copy guest-virtual memory page by page; returns how many bytes are mapped from the start. */
static size_t kvm_cpu_copy(struct kvm_cpu *self, uint64_t address, uint8_t *bytes, size_t length, bool to_guest)
{
    const struct kvm_sregs *sregs = kvm_cpu_sregs(self);
    const struct paging_mode mode = {.cr0 = sregs->cr0, .cr3 = sregs->cr3, .cr4 = sregs->cr4, .efer = sregs->efer};
    size_t done = 0;
    while (done < length) {
        struct paging_walk walk;
        size_t piece = PAGE_4K - ((address + done) & (PAGE_4K - 1));
        piece = piece < length - done ? piece : length - done;
        uint8_t *host = paging_walk(self->ram, &mode, mh_gva_of(address + done), &walk)
                            ? ram_at(self->ram, walk.physical, piece)
                            : NULL;
        if (host == NULL)
            break;
        memcpy(to_guest ? host : bytes + done, to_guest ? bytes + done : host, piece);
        done += piece;
    }
    return done;
}

/*
 * KVM insists on completing an IN: that is done with whatever its data are, and what it did to registers and, for INS,
 * to memory is taken back. KVMs differ in whether rip is at the IN or after it at that time.
 */
static void kvm_cpu_cancel_in(struct cpu *cpu)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    const uint16_t port = self->run->io.port;
    uint8_t memory[PAGE_4K], code[2] = {0};
    if (kvm_cpu_regs(self) == NULL)
        return;
    struct kvm_regs before = *kvm_cpu_regs(self);
    size_t length = (size_t)self->run->io.count * self->run->io.size;
    length = length < sizeof memory ? length : sizeof memory;
    /* with DF set a string grows downwards, from the element at rdi */
    uint64_t start = (before.rflags & MH_RFLAGS_DF) != 0 ? before.rdi + self->run->io.size - length : before.rdi;
    length = kvm_cpu_copy(self, start, memory, length, false);
    bool is_string = self->run->io.count > 1;
    kvm_cpu_finish_io(cpu);
    if (kvm_cpu_regs(self) == NULL)
        return;
    if (!is_string && kvm_cpu_regs(self)->rdi == before.rdi && kvm_cpu_regs(self)->rip == before.rip) {
        kvm_cpu_copy(self, before.rip - sizeof code, code, sizeof code, false);
        before.rip -= kvm_cpu_length_of_in(code, port);
    }
    *kvm_cpu_regs(self) = before;
    kvm_cpu_write_regs(self);
    kvm_cpu_copy(self, start, memory, length, true);
}

/* Memory that an instruction may write to besides what it was stopped for. */
struct kvm_cpu_bytes {
    uint64_t address;
    uint8_t bytes[sizeof(uint64_t)];
    size_t length; /* 0: it is not mapped */
};

static struct kvm_cpu_bytes kvm_cpu_keep(struct kvm_cpu *self, uint64_t address)
{
    struct kvm_cpu_bytes kept = {.address = address};
    kept.length = kvm_cpu_copy(self, address, kept.bytes, sizeof kept.bytes, false);
    return kept;
}

/*
 * An access to memory that is not there. KVM insists on completing it as well, at the next KVM_RUN, and writes the
 * registers of then over whatever has been restored or set meanwhile. So that is done at once and taken back, with what
 * a MOVS or a PUSH stored.
 */
static void kvm_cpu_drop_mmio(struct kvm_cpu *self)
{
    struct mh_cpu_state state;
    if (kvm_cpu_save(&self->cpu, &state, NULL) != MH_OK)
        return;
    struct kvm_cpu_bytes string = kvm_cpu_keep(self, state.general.gpr[MH_RDI]);
    struct kvm_cpu_bytes stack = kvm_cpu_keep(self, state.general.gpr[MH_RSP] - sizeof(uint64_t));
    self->io_is_pending = true;
    kvm_cpu_finish_io(&self->cpu);
    kvm_cpu_restore(&self->cpu, &state, NULL);
    kvm_cpu_copy(self, string.address, string.bytes, string.length, true);
    kvm_cpu_copy(self, stack.address, stack.bytes, stack.length, true);
}

/* ---- exits ---- */

static void kvm_cpu_exit_error(struct cpu_exit *exit, bool is_host_error, const char *text)
{
    exit->kind = CPU_EXIT_ERROR;
    exit->is_host_error = is_host_error;
    snprintf(exit->text, sizeof exit->text, "%s", text);
}

static void kvm_cpu_exit_io(struct kvm_cpu *self, struct cpu_exit *exit)
{
    struct kvm_run *run = self->run;
    self->io_is_pending = true;
    exit->kind = CPU_EXIT_IO;
    exit->port = run->io.port;
    exit->width = run->io.size;
    exit->is_in = run->io.direction == KVM_EXIT_IO_IN;
    exit->count = run->io.count;
    exit->data = (uint8_t *)run + run->io.data_offset;
}

static void kvm_cpu_exit_mmio(struct kvm_cpu *self, struct cpu_exit *exit)
{
    exit->kind = CPU_EXIT_NO_MEMORY;
    exit->physical = self->run->mmio.phys_addr;
    exit->is_write = self->run->mmio.is_write != 0;
    kvm_cpu_drop_mmio(self);
}

/* The instruction comes only from KVMs that know it, and only in this layout. */
static void kvm_cpu_copy_instruction(const struct kvm_run *run, struct cpu_exit *exit)
{
    const __u64 flag = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    if (run->emulation_failure.ndata < 3 || (run->emulation_failure.flags & flag) == 0)
        return;
    uint8_t size = run->emulation_failure.insn_size;
    exit->instruction_length = size < CPU_INSTRUCTION_MAX ? size : CPU_INSTRUCTION_MAX;
    memcpy(exit->instruction, run->emulation_failure.insn_bytes, exit->instruction_length);
}

/* KVM's emulator has no such instruction, or it is an INT3 of ours. */
static void kvm_cpu_exit_internal_error(struct kvm_cpu *self, struct cpu_exit *exit)
{
    char text[CPU_ERROR_TEXT_MAX];
    const struct kvm_run *run = self->run;
    const struct kvm_regs *regs = kvm_cpu_regs(self);
    if (regs != NULL && kvm_debug_patch_at(self, regs->rip, &exit->point)) {
        exit->kind = CPU_EXIT_BREAKPOINT;
        return;
    }
    snprintf(text, sizeof text, "KVM internal error %u", run->internal.suberror);
    kvm_cpu_exit_error(exit, false, text);
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return;
    kvm_cpu_exit_error(exit, false, "this KVM cannot execute the instruction");
    exit->is_unsupported = true;
    kvm_cpu_copy_instruction(run, exit);
}

/* A debug exception: ours, with *exit filled in, or the guest's own, with what is to be injected. */
static bool kvm_cpu_exit_debug(struct kvm_cpu *self, struct cpu_exit *exit, uint32_t *inject)
{
    const struct kvm_debug_exit_arch *debug = &self->run->debug.arch;
    const struct kvm_regs *regs = kvm_cpu_regs(self);
    if (debug->exception == EXCEPTION_BREAKPOINT) {
        exit->kind = CPU_EXIT_BREAKPOINT;
        *inject = KVM_GUESTDBG_INJECT_BP;
        return regs != NULL && kvm_debug_patch_at(self, regs->rip, &exit->point);
    }
    *inject = KVM_GUESTDBG_INJECT_DB;
    if (!kvm_debug_register_hit(self, debug->dr6, &exit->point))
        return false;
    exit->kind = CPU_EXIT_WATCHPOINT;
    return true;
}

/* The mode the processor is in, NULL for 64-bit mode. */
static const char *kvm_cpu_other_mode(const struct kvm_sregs *sregs)
{
    if ((sregs->cr0 & MH_CR0_PE) == 0)
        return "real mode";
    if ((sregs->efer & MH_EFER_LMA) == 0)
        return "32-bit protected mode";
    return sregs->cs.l == 0 ? "compatibility mode (32-bit code)" : NULL;
}

/* The state after a reset, which some KVMs leave after a triple fault. */
static bool kvm_cpu_was_reset(struct kvm_cpu *self)
{
    return kvm_cpu_regs(self)->rip == 0xfff0 && (kvm_cpu_sregs(self)->cr0 & MH_CR0_PE) == 0;
}

/*
 * Nothing but 64-bit code is in the machine's contract. KVM runs other code too, so where the machine is about to stop,
 * a stop in another mode becomes an error that says so; to look at each access to a port would cost too much.
 */
static void kvm_cpu_check_mode(struct kvm_cpu *self, struct cpu_exit *exit)
{
    const bool is_stop = exit->kind != CPU_EXIT_IO && (exit->kind != CPU_EXIT_KICKED || self->registers_are_current);
    if (!is_stop || exit->is_host_error || kvm_cpu_sregs(self) == NULL)
        return;
    const char *mode = kvm_cpu_other_mode(kvm_cpu_sregs(self));
    if (mode == NULL || (exit->kind == CPU_EXIT_TRIPLE_FAULT && kvm_cpu_was_reset(self)))
        return;
    char text[CPU_ERROR_TEXT_MAX];
    snprintf(text, sizeof text, "the guest left 64-bit mode, which the machine does not support, for %s", mode);
    kvm_cpu_exit_error(exit, false, text);
    exit->is_unsupported = false;
}

/* Fill in *exit for what KVM_RUN came back with. False when the guest is to be entered again at once. */
static bool kvm_cpu_exit(struct kvm_cpu *self, struct cpu_exit *exit, uint32_t *inject)
{
    char text[CPU_ERROR_TEXT_MAX];
    switch (self->run->exit_reason) {
    case KVM_EXIT_IO:
        kvm_cpu_exit_io(self, exit);
        return true;
    case KVM_EXIT_HLT:
        exit->kind = CPU_EXIT_HALT;
        return true;
    case KVM_EXIT_MMIO:
        kvm_cpu_exit_mmio(self, exit);
        return true;
    case KVM_EXIT_SHUTDOWN:
        exit->kind = CPU_EXIT_TRIPLE_FAULT;
        return true;
    case KVM_EXIT_DEBUG:
        return kvm_cpu_exit_debug(self, exit, inject);
    case KVM_EXIT_INTERNAL_ERROR:
        kvm_cpu_exit_internal_error(self, exit);
        return true;
    case KVM_EXIT_SET_TPR: /* the guest lowered CR8, and no interrupt is held back */
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof text, "the processor refuses the guest's state (hardware reason 0x%llx)",
                 (unsigned long long)self->run->fail_entry.hardware_entry_failure_reason);
        kvm_cpu_exit_error(exit, false, text);
        return true;
    default:
        snprintf(text, sizeof text, "unexpected KVM exit %u", self->run->exit_reason);
        kvm_cpu_exit_error(exit, false, text);
        return true;
    }
}

#define REFUSED_ENTRIES_MAX 1000u
#define REFUSED_ENTRY_PAUSE_NS 1000000

/* KVM_RUN failed. False to try again, when KVM asks for that, for at most a second. */
static bool kvm_cpu_not_entered(struct kvm_cpu *self, int error, struct cpu_exit *exit)
{
    const struct timespec pause = {.tv_nsec = REFUSED_ENTRY_PAUSE_NS};
    char text[CPU_ERROR_TEXT_MAX];
    if (error == EINTR) {
        self->io_is_pending = false; /* KVM completes an access before it looks at anything else */
        atomic_store(&self->is_kicked, false);
        kvm_cpu_clear_immediate_exit(self);
        kvm_cpu_drop_wake_signal();
        exit->kind = CPU_EXIT_KICKED;
        return true;
    }
    if (error == EAGAIN && ++self->refused_entries <= REFUSED_ENTRIES_MAX) {
        nanosleep(&pause, NULL);
        return false;
    }
    snprintf(text, sizeof text, "KVM cannot run the guest: %s", strerror(error));
    kvm_cpu_exit_error(exit, true, text);
    return true;
}

/* One entry. False when the guest is to be entered again. */
static bool kvm_cpu_run_once(struct kvm_cpu *self, struct cpu_exit *exit, uint32_t *inject)
{
    int result = kvm_debug_enter(self, *inject);
    *inject = 0;
    if (result < 0) {
        char text[CPU_ERROR_TEXT_MAX];
        snprintf(text, sizeof text, "KVM refuses the breakpoints: %s", strerror(-result));
        kvm_cpu_exit_error(exit, true, text);
        return true;
    }
    result = kvm_cpu_enter(self);
    kvm_debug_leave(self);
    if (result < 0)
        return kvm_cpu_not_entered(self, -result, exit);
    self->refused_entries = 0;
    self->io_is_pending = false;
    self->ram->misses_accesses = true;
    return kvm_cpu_exit(self, exit, inject);
}

/* KVM says at each return of KVM_RUN whether the guest would take an interrupt. */
static bool kvm_cpu_accepts_interrupt(struct cpu *cpu)
{
    return kvm_cpu_of(cpu)->run->ready_for_interrupt_injection != 0;
}

/* A kick came before the interrupt was delivered, of which the registers show nothing yet: take it back. */
static bool kvm_cpu_take_back_interrupt(const struct kvm_cpu *self)
{
    struct kvm_vcpu_events events;
    if (kvm_sys_get_events(self->fd, &events) < 0 || events.interrupt.injected == 0)
        return false;
    events.interrupt.injected = 0;
    events.flags = 0;
    return kvm_sys_set_events(self->fd, &events) == 0;
}

static void kvm_cpu_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    uint32_t inject = 0;
    *exit = (struct cpu_exit){.kind = CPU_EXIT_ERROR};
    if (request->mode != CPU_RUN || request->report != 0) {
        kvm_cpu_exit_error(exit, false, "KVM neither steps nor counts");
        return;
    }
    self->sync_system = request->wake_count > 0;
    if (request->wake_fds != self->wake_fds || request->wake_count != self->wake_count)
        kvm_cpu_watch(self, request->wake_fds, request->wake_count);
    if (request->interrupt != 0 && kvm_sys_interrupt(self->fd, request->interrupt) < 0) {
        kvm_cpu_exit_error(exit, true, "KVM refuses to interrupt the guest");
        exit->is_unsupported = true; /* software does it */
        return;
    }
    while (!kvm_cpu_run_once(self, exit, &inject)) {
    }
    if (request->interrupt != 0 && exit->kind == CPU_EXIT_KICKED)
        exit->interrupt_is_due = kvm_cpu_take_back_interrupt(self);
    kvm_cpu_check_mode(self, exit);
}

static void kvm_cpu_kick(struct cpu *cpu)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    atomic_store(&self->is_kicked, true);
    kvm_cpu_set_immediate_exit(self, 1);
}

/* ---- writes, batches ---- */

static enum mh_status kvm_cpu_track_writes(struct cpu *cpu, struct mh_error *err)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    int result = kvm_memslots_log_writes(&self->slots);
    return result < 0 ? mh_fail(err, MH_ERR_HOST, "KVM does not log the guest's writes: %s", strerror(-result)) : MH_OK;
}

static enum mh_status kvm_cpu_collect_writes(struct cpu *cpu, struct mh_error *err)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    int result = kvm_memslots_collect_writes(&self->slots);
    return result < 0 ? mh_fail(err, MH_ERR_HOST, "KVM does not say what the guest wrote: %s", strerror(-result))
                      : MH_OK;
}

/* Nothing is cached but page tables, and restore() drops these. */
static void kvm_cpu_memory_changed(struct cpu *cpu, mh_gpa start, uint64_t length)
{
    (void)cpu, (void)start, (void)length;
}

static bool kvm_cpu_instructions(const struct cpu *cpu, uint64_t *count)
{
    (void)cpu, (void)count;
    return false;
}

static void kvm_cpu_batch_port(struct cpu *cpu, uint16_t port, bool on)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    if (self->ring == NULL)
        return;
    if (on)
        kvm_sys_coalesce_port(self->vm_fd, port); /* a refusal means exits as before */
    else
        kvm_sys_uncoalesce_port(self->vm_fd, port);
}

#define RING_MAX ((PAGE_4K - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* The ring's protocol: KVM writes entries and moves `last`, we read them and move `first`; both are indices. */
static size_t kvm_cpu_take_batch(struct cpu *cpu, uint8_t *to, size_t room)
{
    struct kvm_coalesced_mmio_ring *ring = kvm_cpu_of(cpu)->ring;
    size_t count = 0;
    if (ring == NULL)
        return 0;
    uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
    uint32_t first = ring->first;
    for (; first != last && count < room; first = (first + 1) % RING_MAX)
        to[count++] = ring->coalesced_mmio[first].data[0];
    __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    return count;
}

static bool kvm_cpu_has_batch(const struct cpu *cpu)
{
    const struct kvm_coalesced_mmio_ring *ring = ((const struct kvm_cpu *)cpu)->ring;
    return ring != NULL &&
           __atomic_load_n(&ring->first, __ATOMIC_RELAXED) != __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
}

/* ---- creating ---- */

static void kvm_cpu_destroy(struct cpu *cpu)
{
    struct kvm_cpu *self = kvm_cpu_of(cpu);
    kvm_debug_destroy(&self->debug);
    if (self->run != NULL)
        munmap(self->run, self->run_size);
    if (self->fd >= 0)
        close(self->fd);
    if (self->vm_fd >= 0)
        close(self->vm_fd);
    free(self);
}

static const struct cpu_ops kvm_cpu_ops = {
    .name = "kvm",
    .destroy = kvm_cpu_destroy,
    .run = kvm_cpu_run,
    .finish_io = kvm_cpu_finish_io,
    .cancel_in = kvm_cpu_cancel_in,
    .accepts_interrupt = kvm_cpu_accepts_interrupt,
    .kick = kvm_cpu_kick,
    .read_regs = kvm_cpu_read_regs,
    .write_regs = kvm_cpu_write_regs_op,
    .rip_at_hand = kvm_cpu_rip_at_hand,
    .save = kvm_cpu_save,
    .restore = kvm_cpu_restore,
    .track_writes = kvm_cpu_track_writes,
    .collect_writes = kvm_cpu_collect_writes,
    .memory_changed = kvm_cpu_memory_changed,
    .arm = kvm_debug_arm,
    .instructions = kvm_cpu_instructions,
    .batch_port = kvm_cpu_batch_port,
    .take_batch = kvm_cpu_take_batch,
    .has_batch = kvm_cpu_has_batch,
};

static enum mh_status kvm_cpu_refused(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "KVM refuses %s: %s", what, strerror(error));
}

static enum mh_status kvm_cpu_create_machine(struct kvm_cpu *self, const struct kvm_host *host, struct mh_error *err)
{
    self->vm_fd = kvm_sys_create_vm(host->fd);
    if (self->vm_fd < 0)
        return kvm_cpu_refused(err, "another machine", -self->vm_fd);
    int result = host->needs_tss_address ? kvm_sys_set_tss_address(self->vm_fd, TSS_ADDRESS) : 0;
    if (result < 0)
        return kvm_cpu_refused(err, "an address for its TSS", -result);
    self->slots = (struct kvm_memslots){.vm_fd = self->vm_fd, .ram = self->ram};
    result = kvm_memslots_install(&self->slots);
    if (result < 0)
        return kvm_cpu_refused(err, "the machine's memory", -result);
    self->fd = kvm_sys_create_vcpu(self->vm_fd);
    return self->fd < 0 ? kvm_cpu_refused(err, "a processor", -self->fd) : MH_OK;
}

static enum mh_status kvm_cpu_map_run_page(struct kvm_cpu *self, const struct kvm_host *host, struct mh_error *err)
{
    void *run = mmap(NULL, host->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
    if (run == MAP_FAILED)
        return kvm_cpu_refused(err, "the processor's run page", errno);
    self->run = run;
    self->run_size = host->run_size;
    size_t ring = (size_t)host->coalesce_page * (size_t)sysconf(_SC_PAGESIZE);
    if (ring != 0 && ring < host->run_size)
        self->ring = (void *)((char *)run + ring);
    return MH_OK;
}

/* Only kicks and wakes end KVM_RUN: any other pending signal would end every entry. */
static enum mh_status kvm_cpu_set_signals(const struct kvm_cpu *self, struct mh_error *err)
{
    const sigset_t wake = kvm_cpu_wake_signal();
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGUSR1);
    sigdelset(&blocked, KVM_WAKE_SIGNAL);
    int error = pthread_sigmask(SIG_BLOCK, &wake, NULL);
    if (error == 0)
        error = -kvm_sys_set_signal_mask(self->fd, &blocked);
    return error != 0 ? kvm_cpu_refused(err, "a signal mask", error) : MH_OK;
}

static enum mh_status kvm_cpu_set_cpuid(const struct kvm_cpu *self, const struct x86_cpuid *cpuid, struct mh_error *err)
{
    union kvm_sys_cpuid table;
    kvm_host_cpuid_to_kvm(cpuid, &table);
    kvm_sys_enforce_cpuid(self->fd); /* KVMs before Linux 5.9 cannot: guests find a clock in their MSRs there */
    int result = kvm_sys_set_cpuid(self->fd, &table);
    return result < 0 ? kvm_cpu_refused(err, "the processor's CPUID", -result) : MH_OK;
}

static enum mh_status kvm_cpu_set_boot_registers(struct kvm_cpu *self, const struct mh_cpu_state *boot,
                                                 struct mh_error *err)
{
    struct kvm_sregs *sregs = kvm_cpu_sregs(self);
    if (sregs == NULL)
        return kvm_cpu_refused(err, "to give the registers", EIO);
    sregs->ldt.unusable = 1;
    sregs->apic_base = boot->msrs.apic_base;
    kvm_regs_from_system(&boot->system, sregs);
    kvm_regs_from_general(&boot->general, kvm_cpu_regs(self));
    int result = kvm_cpu_write_sregs(self);
    if (result < 0)
        return kvm_cpu_refused(err, "the system registers", -result);
    const struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = boot->xcr0}};
    result = self->xcr0 != 0 ? kvm_sys_set_xcrs(self->fd, &xcrs) : 0;
    if (result < 0)
        return kvm_cpu_refused(err, "XCR0", -result);
    result = kvm_cpu_write_regs(self);
    return result < 0 ? kvm_cpu_refused(err, "the general registers", -result) : MH_OK;
}

enum mh_status kvm_cpu_create(const struct kvm_host *host, const struct x86_cpuid *cpuid, struct guest_ram *ram,
                              const struct mh_cpu_state *boot, struct cpu **cpu, struct mh_error *err)
{
    struct kvm_cpu *self = calloc(1, sizeof *self);
    if (self == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a processor: %s", strerror(ENOMEM));
    self->cpu.ops = &kvm_cpu_ops;
    self->vm_fd = self->fd = -1;
    self->ram = ram;
    self->xcr0 = cpuid->xcr0;
    self->can_sync = host->syncs_registers;
    atomic_init(&self->is_kicked, false);
    enum mh_status status = kvm_cpu_create_machine(self, host, err);
    if (status == MH_OK)
        status = kvm_cpu_map_run_page(self, host, err);
    if (status == MH_OK)
        status = kvm_cpu_set_signals(self, err);
    if (status == MH_OK)
        status = kvm_cpu_set_cpuid(self, cpuid, err);
    if (status == MH_OK)
        status = kvm_cpu_set_boot_registers(self, boot, err);
    if (status != MH_OK) {
        kvm_cpu_destroy(&self->cpu);
        return status;
    }
    *cpu = &self->cpu;
    return MH_OK;
}
