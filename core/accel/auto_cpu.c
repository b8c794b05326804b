#include "accel/auto_cpu.h"

#include "soft/soft.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A continue that has met this many breakpoints since points were armed, because their conditions were false, runs in
 * software: there a hit costs less than moving the state. */
#define KVM_HITS_MAX 24u

struct auto_cpu {
    struct cpu cpu;
    struct auto_cpu_config config;
    struct cpu *soft;              /* NULL until it is needed */
    _Atomic(struct cpu *) current; /* the one that holds the state; kick() of other threads reads it */
    atomic_bool is_kicked;         /* and no run() has returned CPU_EXIT_KICKED since */
    const struct cpu_point *points;
    size_t point_count;
    bool kvm_is_armed; /* KVM holds the points */
    bool soft_is_armed;
    bool kvm_refuses;  /* KVM cannot hold these points */
    bool kvm_is_unfit; /* the guest ran into an instruction that this KVM cannot execute */
    bool tracks_writes;
    bool lost_count; /* KVM has run since the count of instructions was known */
    unsigned kvm_hits;
    uint64_t moves; /* of the state, from one processor to the other */
};

static struct auto_cpu *auto_cpu_of(struct cpu *cpu)
{
    return (struct auto_cpu *)cpu;
}

static struct cpu *auto_cpu_current(const struct cpu *cpu)
{
    return atomic_load(&((const struct auto_cpu *)cpu)->current);
}

static enum mh_status auto_cpu_make_soft(struct auto_cpu *self, const struct mh_cpu_state *state, struct mh_error *err)
{
    enum mh_status status = soft_cpu_create(self->config.ram, self->config.cpuid, state, &self->soft, err);
    if (status == MH_OK)
        soft_cpu_use_code(self->soft, self->config.code, SOFT_HOT);
    if (status != MH_OK || !self->tracks_writes)
        return status;
    /* what the guest has written is known: KVM has just been asked */
    uint64_t changed[sizeof self->config.ram->changed / sizeof self->config.ram->changed[0]];
    memcpy(changed, self->config.ram->changed, sizeof changed);
    status = self->soft->ops->track_writes(self->soft, err);
    memcpy(self->config.ram->changed, changed, sizeof changed);
    if (status != MH_OK) { /* it would lose the guest's writes */
        self->soft->ops->destroy(self->soft);
        self->soft = NULL;
    }
    return status;
}

/* Move the state to the other processor. No access may be pending. */
static enum mh_status auto_cpu_move(struct auto_cpu *self, struct cpu *to, struct mh_error *err)
{
    struct mh_cpu_state state;
    struct cpu *from = atomic_load(&self->current);
    enum mh_status status = from->ops->save(from, &state, err);
    if (status == MH_OK && self->tracks_writes)
        status = from->ops->collect_writes(from, err);
    if (status != MH_OK)
        return status;
    if (to == NULL) {
        status = auto_cpu_make_soft(self, &state, err);
        to = self->soft;
    } else {
        to->ops->memory_changed(to, mh_gpa_of(0), MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE);
        status = to->ops->restore(to, &state, err);
    }
    if (status != MH_OK)
        return status;
    atomic_store(&self->current, to);
    self->moves++;
    return MH_OK;
}

static void auto_cpu_fail(struct cpu_exit *exit, const struct mh_error *err)
{
    *exit = (struct cpu_exit){.kind = CPU_EXIT_ERROR, .is_host_error = true};
    snprintf(exit->text, sizeof exit->text, "%s", err->text);
}

static bool auto_cpu_quirks_allow(const struct kvm_quirks *quirks, const struct cpu_point *point)
{
    bool int3 = quirks->int3_in_ring_0 != KVM_INT3_LOST && quirks->int3_in_ring_3;
    if (point->kind != CPU_POINT_EXECUTE)
        return quirks->data_registers;
    return int3;
}

static bool auto_cpu_quirks_allow_points(const struct auto_cpu *self)
{
    const struct kvm_quirks *quirks = self->config.quirks(self->config.quirks_ctx);
    bool allow = quirks != NULL;
    for (size_t i = 0; i < self->point_count && allow; i++)
        allow = auto_cpu_quirks_allow(quirks, &self->points[i]);
    return allow;
}

/* Let KVM hold the points, if it can. */
static bool auto_cpu_arm_kvm(struct auto_cpu *self)
{
    struct cpu *kvm = self->config.kvm;
    if (self->kvm_is_armed)
        return true;
    if (self->kvm_refuses || !auto_cpu_quirks_allow_points(self))
        return false;
    self->kvm_is_armed = kvm->ops->arm(kvm, self->points, self->point_count, NULL) == MH_OK;
    self->kvm_refuses = !self->kvm_is_armed;
    return self->kvm_is_armed;
}

static bool auto_cpu_needs_soft(struct auto_cpu *self, const struct cpu_request *request)
{
    const bool runs_free = request->mode == CPU_RUN || (request->mode == CPU_UNTIL && request->may_lose_count);
    if (!runs_free || request->report != 0 || self->kvm_is_unfit)
        return true;
    if (self->point_count == 0)
        return false;
    bool comes_back = self->kvm_hits > KVM_HITS_MAX && !self->config.prefers_kvm;
    return comes_back || !auto_cpu_arm_kvm(self);
}

/* Give the state to software, with the points. */
static enum mh_status auto_cpu_to_soft(struct auto_cpu *self, struct mh_error *err)
{
    enum mh_status status = MH_OK;
    struct cpu *current = atomic_load(&self->current);
    if (current != self->soft || current == NULL) {
        current->ops->finish_io(current);
        status = auto_cpu_move(self, self->soft, err);
    }
    if (status == MH_OK && !self->soft_is_armed) {
        status = self->soft->ops->arm(self->soft, self->points, self->point_count, err);
        self->soft_is_armed = status == MH_OK;
    }
    return status;
}

static enum mh_status auto_cpu_to_kvm(struct auto_cpu *self, struct mh_error *err)
{
    struct cpu *current = atomic_load(&self->current);
    if (current == self->config.kvm)
        return MH_OK;
    current->ops->finish_io(current);
    return auto_cpu_move(self, self->config.kvm, err);
}

/* Run the processor that has the state. A kick while the state moved may have gone to the other one. */
static void auto_cpu_run_current(struct auto_cpu *self, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct cpu *current = atomic_load(&self->current);
    if (atomic_load(&self->is_kicked))
        current->ops->kick(current);
    self->lost_count |= current == self->config.kvm;
    current->ops->run(current, request, exit);
    if (exit->kind == CPU_EXIT_KICKED)
        atomic_store(&self->is_kicked, false);
}

static void auto_cpu_run_soft(struct auto_cpu *self, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct mh_error err;
    if (auto_cpu_to_soft(self, &err) != MH_OK)
        auto_cpu_fail(exit, &err);
    else
        auto_cpu_run_current(self, request, exit);
}

/*
 * KVM could not execute the instruction at rip: go on in software. A guest may have got itself into a state that
 * software does not take, such as a table at an address that is not canonical, which some KVMs let pass. Then KVM's
 * error counts.
 */
static void auto_cpu_take_over(struct auto_cpu *self, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct mh_error err;
    self->kvm_is_unfit = true;
    if (auto_cpu_to_soft(self, &err) == MH_OK) {
        auto_cpu_run_current(self, request, exit);
        return;
    }
    size_t length = strlen(exit->text);
    snprintf(exit->text + length, sizeof exit->text - length, ", and software cannot take over: %s", err.text);
    exit->is_unsupported = false;
}

/* The first instruction of a run that steps off a point: KVM cannot. True when that was all of the run. */
static bool auto_cpu_step_off(struct auto_cpu *self, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct cpu_request step = *request;
    step.mode = CPU_STEP;
    step.range_start = step.range_end = 0;
    auto_cpu_run_soft(self, &step, exit);
    return exit->kind != CPU_EXIT_STEP;
}

/* A kick kept KVM from delivering the interrupt. A run ends with it delivered, so software does that, and no more. */
static void auto_cpu_deliver_interrupt(struct auto_cpu *self, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct cpu_request step = *request;
    step.mode = CPU_STEP;
    step.range_start = step.range_end = 0;
    auto_cpu_run_soft(self, &step, exit);
    if (exit->kind == CPU_EXIT_STEP)
        exit->kind = CPU_EXIT_KICKED;
}

static void auto_cpu_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    struct cpu_request rest = *request;
    struct mh_error err;
    if (auto_cpu_needs_soft(self, request)) {
        auto_cpu_run_soft(self, request, exit);
        return;
    }
    if (request->step_off && self->point_count > 0) {
        if (auto_cpu_step_off(self, request, exit))
            return;
        rest.interrupt = 0;
    }
    rest.step_off = false;
    rest.mode = CPU_RUN;
    if (auto_cpu_to_kvm(self, &err) != MH_OK) {
        auto_cpu_fail(exit, &err);
        return;
    }
    auto_cpu_run_current(self, &rest, exit);
    self->kvm_hits += exit->kind == CPU_EXIT_BREAKPOINT;
    if (exit->kind == CPU_EXIT_ERROR && exit->is_unsupported)
        auto_cpu_take_over(self, &rest, exit);
    if (exit->interrupt_is_due)
        auto_cpu_deliver_interrupt(self, &rest, exit);
}

static void auto_cpu_finish_io(struct cpu *cpu)
{
    struct cpu *current = auto_cpu_current(cpu);
    current->ops->finish_io(current);
}

static void auto_cpu_cancel_in(struct cpu *cpu)
{
    struct cpu *current = auto_cpu_current(cpu);
    current->ops->cancel_in(current);
}

static bool auto_cpu_accepts_interrupt(struct cpu *cpu)
{
    struct cpu *current = auto_cpu_current(cpu);
    return current->ops->accepts_interrupt(current);
}

static void auto_cpu_kick(struct cpu *cpu)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    atomic_store(&self->is_kicked, true); /* before `current` is read; see auto_cpu_run_current() */
    struct cpu *current = atomic_load(&self->current);
    current->ops->kick(current);
}

static enum mh_status auto_cpu_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs,
                                         struct mh_error *err)
{
    struct cpu *current = auto_cpu_current(cpu);
    return current->ops->read_regs(current, groups, regs, err);
}

static enum mh_status auto_cpu_write_regs(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs,
                                          struct mh_error *err)
{
    struct cpu *current = auto_cpu_current(cpu);
    return current->ops->write_regs(current, groups, regs, err);
}

static bool auto_cpu_rip_at_hand(const struct cpu *cpu, uint64_t *rip)
{
    const struct cpu *current = auto_cpu_current(cpu);
    return current->ops->rip_at_hand(current, rip);
}

static enum mh_status auto_cpu_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err)
{
    struct cpu *current = auto_cpu_current(cpu);
    return current->ops->save(current, state, err);
}

/* What is restored may run on KVM again. */
static enum mh_status auto_cpu_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    struct cpu *current = atomic_load(&self->current);
    self->kvm_is_unfit = false;
    self->kvm_hits = 0;
    self->lost_count = true; /* until set_instructions() */
    return current->ops->restore(current, state, err);
}

static enum mh_status auto_cpu_track_writes(struct cpu *cpu, struct mh_error *err)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    struct cpu *kvm = self->config.kvm;
    enum mh_status status = kvm->ops->track_writes(kvm, err);
    if (status == MH_OK && self->soft != NULL)
        status = self->soft->ops->track_writes(self->soft, err);
    self->tracks_writes = status == MH_OK;
    return status;
}

static enum mh_status auto_cpu_collect_writes(struct cpu *cpu, struct mh_error *err)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    struct cpu *kvm = self->config.kvm;
    enum mh_status status = kvm->ops->collect_writes(kvm, err);
    if (status == MH_OK && self->soft != NULL)
        status = self->soft->ops->collect_writes(self->soft, err);
    return status;
}

static void auto_cpu_memory_changed(struct cpu *cpu, mh_gpa start, uint64_t length)
{
    struct cpu *current = auto_cpu_current(cpu);
    current->ops->memory_changed(current, start, length); /* the other one drops everything when the state moves */
}

static enum mh_status auto_cpu_arm(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    (void)err; /* software holds any number of points */
    self->points = points;
    self->point_count = count;
    self->kvm_is_armed = self->soft_is_armed = self->kvm_refuses = false;
    self->kvm_hits = 0;
    if (count == 0) {
        self->kvm_is_armed = self->config.kvm->ops->arm(self->config.kvm, NULL, 0, NULL) == MH_OK;
        if (self->soft != NULL)
            self->soft->ops->arm(self->soft, NULL, 0, NULL);
    }
    return MH_OK;
}

/* Only software counts: what ran on KVM has no number, and neither has what follows it. */
static bool auto_cpu_instructions(const struct cpu *cpu, uint64_t *count)
{
    const struct cpu *current = auto_cpu_current(cpu);
    return !((const struct auto_cpu *)cpu)->lost_count && current->ops->instructions(current, count);
}

static bool auto_cpu_code_stats(const struct cpu *cpu, struct cpu_code_stats *stats)
{
    const struct cpu *soft = ((const struct auto_cpu *)cpu)->soft;
    return soft != NULL && soft->ops->code_stats != NULL && soft->ops->code_stats(soft, stats);
}

static void auto_cpu_set_instructions(struct cpu *cpu, uint64_t count)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    struct mh_error err;
    if (auto_cpu_to_soft(self, &err) != MH_OK)
        return;
    self->soft->ops->set_instructions(self->soft, count);
    self->lost_count = false;
}

static void auto_cpu_batch_port(struct cpu *cpu, uint16_t port, bool on)
{
    struct cpu *kvm = auto_cpu_of(cpu)->config.kvm;
    if (kvm->ops->batch_port != NULL)
        kvm->ops->batch_port(kvm, port, on);
}

static size_t auto_cpu_take_batch(struct cpu *cpu, uint8_t *to, size_t room)
{
    struct cpu *kvm = auto_cpu_of(cpu)->config.kvm;
    return kvm->ops->take_batch(kvm, to, room);
}

static bool auto_cpu_has_batch(const struct cpu *cpu)
{
    const struct cpu *kvm = ((const struct auto_cpu *)cpu)->config.kvm;
    return kvm->ops->has_batch(kvm);
}

static const char *auto_cpu_current_op(const struct cpu *cpu, uint64_t *moves)
{
    *moves = ((const struct auto_cpu *)cpu)->moves;
    return auto_cpu_current(cpu)->ops->name;
}

static void auto_cpu_destroy(struct cpu *cpu)
{
    struct auto_cpu *self = auto_cpu_of(cpu);
    if (self->soft != NULL)
        self->soft->ops->destroy(self->soft);
    self->config.kvm->ops->destroy(self->config.kvm);
    free(self);
}

static const struct cpu_ops auto_cpu_ops = {
    .name = "auto",
    .destroy = auto_cpu_destroy,
    .run = auto_cpu_run,
    .finish_io = auto_cpu_finish_io,
    .cancel_in = auto_cpu_cancel_in,
    .accepts_interrupt = auto_cpu_accepts_interrupt,
    .kick = auto_cpu_kick,
    .read_regs = auto_cpu_read_regs,
    .write_regs = auto_cpu_write_regs,
    .rip_at_hand = auto_cpu_rip_at_hand,
    .save = auto_cpu_save,
    .restore = auto_cpu_restore,
    .track_writes = auto_cpu_track_writes,
    .collect_writes = auto_cpu_collect_writes,
    .memory_changed = auto_cpu_memory_changed,
    .arm = auto_cpu_arm,
    .instructions = auto_cpu_instructions,
    .set_instructions = auto_cpu_set_instructions,
    .code_stats = auto_cpu_code_stats,
    .batch_port = auto_cpu_batch_port,
    .take_batch = auto_cpu_take_batch,
    .has_batch = auto_cpu_has_batch,
    .current = auto_cpu_current_op,
};

enum mh_status auto_cpu_create(const struct auto_cpu_config *config, struct cpu **cpu, struct mh_error *err)
{
    struct auto_cpu *self = calloc(1, sizeof *self);
    if (self == NULL) {
        config->kvm->ops->destroy(config->kvm);
        return mh_fail(err, MH_ERR_HOST, "no memory for a processor: %s", strerror(ENOMEM));
    }
    self->cpu.ops = &auto_cpu_ops;
    self->config = *config;
    atomic_init(&self->current, config->kvm);
    atomic_init(&self->is_kicked, false);
    *cpu = &self->cpu;
    return MH_OK;
}
