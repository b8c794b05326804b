#include "fake_cpu.h"

#include "soft/soft.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_cpu *fake_soft;
unsigned fake_cpus;
bool fake_soft_fails;

enum mh_status __wrap_soft_cpu_create(struct guest_ram *ram, const struct x86_cpuid *cpuid,
                                      const struct mh_cpu_state *boot, struct cpu **cpu, struct mh_error *err);

static struct fake_cpu *fake_of(struct cpu *cpu)
{
    return (struct fake_cpu *)cpu;
}

/* Write an operation down. False when it is to fail. */
static bool fake_cpu_ask(struct fake_cpu *self, const char *word)
{
    size_t length = strlen(self->log);
    assert_true(length + strlen(word) + 2 < sizeof self->log);
    snprintf(self->log + length, sizeof self->log - length, "%s ", word);
    if (self->failing == NULL || strcmp(self->failing, word) != 0)
        return true;
    return self->failing_in != 0 && --self->failing_in != 0;
}

static enum mh_status fake_cpu_fail(const struct fake_cpu *self, struct mh_error *err, const char *word)
{
    return mh_fail(err, MH_ERR_HOST, "%s refuses to %s", self->ops.name, word);
}

#define ASK(self, err, word)                                                                                           \
    do {                                                                                                               \
        if (!fake_cpu_ask(self, word))                                                                                 \
            return fake_cpu_fail(self, err, word);                                                                     \
    } while (0)

/* ---- running ---- */

static void fake_cpu_complete(struct fake_cpu *self)
{
    if (self->pending != NULL)
        self->state.general.rip += self->pending->length;
    self->pending = NULL;
}

static void fake_cpu_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct fake_cpu *self = fake_of(cpu);
    fake_cpu_ask(self, "run");
    assert_true(self->runs < FAKE_REQUESTS_MAX);
    self->requests[self->runs++] = *request;
    bool completes = self->pending != NULL;
    fake_cpu_complete(self);
    *exit = (struct cpu_exit){.kind = CPU_EXIT_STEP};
    uint64_t rip = self->state.general.rip;
    if (completes && request->mode == CPU_STEP && !(rip >= request->range_start && rip < request->range_end))
        return;
    *exit = (struct cpu_exit){.kind = CPU_EXIT_KICKED};
    if (!request->step_off && atomic_exchange(&self->kicked, false))
        return;
    if (self->done == self->queued) {
        exit->kind = CPU_EXIT_HALT;
        return;
    }
    struct fake_exit *next = &self->exits[self->done++];
    if (next->moves)
        self->state.general.rip = next->rip;
    if (next->during != NULL)
        next->during(self);
    *exit = next->exit;
    if (exit->kind == CPU_EXIT_KICKED)
        atomic_store(&self->kicked, false);
    if (exit->kind == CPU_EXIT_IO) {
        exit->data = next->data;
        self->pending = next;
    }
}

static void fake_cpu_finish_io(struct cpu *cpu)
{
    fake_cpu_ask(fake_of(cpu), "finish_io");
    fake_cpu_complete(fake_of(cpu));
}

static void fake_cpu_cancel_in(struct cpu *cpu)
{
    struct fake_cpu *self = fake_of(cpu);
    fake_cpu_ask(self, "cancel_in");
    assert_non_null(self->pending);
    assert_true(self->pending->exit.is_in);
    self->pending = NULL;
}

static bool fake_cpu_accepts_interrupt(struct cpu *cpu)
{
    return (fake_of(cpu)->state.general.rflags & MH_RFLAGS_IF) != 0;
}

static void fake_cpu_kick(struct cpu *cpu)
{
    atomic_store(&fake_of(cpu)->kicked, true);
    atomic_fetch_add(&fake_of(cpu)->kicks, 1);
}

/* ---- state ---- */

static enum mh_status fake_cpu_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs,
                                         struct mh_error *err)
{
    struct fake_cpu *self = fake_of(cpu);
    ASK(self, err, "read_regs");
    if ((groups & MH_REGS_GENERAL) != 0)
        regs->general = self->state.general;
    if ((groups & MH_REGS_SYSTEM) != 0)
        regs->system = self->state.system;
    if ((groups & MH_REGS_FPU) != 0)
        memset(&regs->fpu, 0, sizeof regs->fpu);
    if ((groups & MH_REGS_MSRS) != 0)
        regs->msrs = self->state.msrs;
    return MH_OK;
}

static enum mh_status fake_cpu_write_regs(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs,
                                          struct mh_error *err)
{
    struct fake_cpu *self = fake_of(cpu);
    ASK(self, err, "write_regs");
    assert_null(self->pending);
    if ((groups & MH_REGS_SYSTEM) != 0)
        self->state.system = regs->system;
    if ((groups & MH_REGS_GENERAL) != 0)
        self->state.general = regs->general;
    if ((groups & MH_REGS_MSRS) != 0)
        self->state.msrs = regs->msrs;
    return MH_OK;
}

static bool fake_cpu_rip_at_hand(const struct cpu *cpu, uint64_t *rip)
{
    const struct fake_cpu *self = (const struct fake_cpu *)cpu;
    *rip = self->state.general.rip;
    return !self->hides_rip;
}

static enum mh_status fake_cpu_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err)
{
    struct fake_cpu *self = fake_of(cpu);
    ASK(self, err, "save");
    assert_null(self->pending);
    *state = self->state;
    return MH_OK;
}

static enum mh_status fake_cpu_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err)
{
    struct fake_cpu *self = fake_of(cpu);
    ASK(self, err, "restore");
    assert_null(self->pending);
    self->state = *state;
    return MH_OK;
}

/* ---- memory ---- */

static enum mh_status fake_cpu_track_writes(struct cpu *cpu, struct mh_error *err)
{
    ASK(fake_of(cpu), err, "track_writes");
    fake_of(cpu)->tracks_writes = true;
    return MH_OK;
}

static enum mh_status fake_cpu_collect_writes(struct cpu *cpu, struct mh_error *err)
{
    ASK(fake_of(cpu), err, "collect_writes");
    return MH_OK;
}

static void fake_cpu_memory_changed(struct cpu *cpu, mh_gpa start, uint64_t length)
{
    (void)start, (void)length;
    fake_of(cpu)->memory_changes++;
}

/* ---- the rest ---- */

static enum mh_status fake_cpu_arm(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err)
{
    struct fake_cpu *self = fake_of(cpu);
    self->point_count = 0;
    ASK(self, err, "arm");
    self->points = points;
    self->point_count = count;
    return MH_OK;
}

static bool fake_cpu_instructions(const struct cpu *cpu, uint64_t *count)
{
    const struct fake_cpu *self = (const struct fake_cpu *)cpu;
    *count = self->count;
    return self->counts;
}

static void fake_cpu_set_instructions(struct cpu *cpu, uint64_t count)
{
    fake_of(cpu)->count = count;
}

static void fake_cpu_batch_port(struct cpu *cpu, uint16_t port, bool on)
{
    (void)port;
    fake_cpu_ask(fake_of(cpu), on ? "batch_on" : "batch_off");
    fake_of(cpu)->batches = on;
}

static size_t fake_cpu_take_batch(struct cpu *cpu, uint8_t *to, size_t room)
{
    struct fake_cpu *self = fake_of(cpu);
    size_t count = self->batch_length < room ? self->batch_length : room;
    memcpy(to, self->batch, count);
    memmove(self->batch, self->batch + count, self->batch_length - count);
    self->batch_length -= count;
    return count;
}

static bool fake_cpu_has_batch(const struct cpu *cpu)
{
    return ((const struct fake_cpu *)cpu)->batch_length > 0;
}

static void fake_cpu_destroy(struct cpu *cpu)
{
    struct fake_cpu *self = fake_of(cpu);
    if (fake_soft == self)
        fake_soft = NULL;
    fake_cpus--;
    free(self->exits);
    free(self);
}

struct fake_cpu *fake_cpu_make(const char *name, struct guest_ram *ram, const struct mh_cpu_state *boot)
{
    struct fake_cpu *self = aligned_alloc(alignof(struct fake_cpu), sizeof *self);
    assert_non_null(self);
    memset(self, 0, sizeof *self);
    self->ops = (struct cpu_ops){.name = name,
                                 .destroy = fake_cpu_destroy,
                                 .run = fake_cpu_run,
                                 .finish_io = fake_cpu_finish_io,
                                 .cancel_in = fake_cpu_cancel_in,
                                 .accepts_interrupt = fake_cpu_accepts_interrupt,
                                 .kick = fake_cpu_kick,
                                 .read_regs = fake_cpu_read_regs,
                                 .write_regs = fake_cpu_write_regs,
                                 .rip_at_hand = fake_cpu_rip_at_hand,
                                 .save = fake_cpu_save,
                                 .restore = fake_cpu_restore,
                                 .track_writes = fake_cpu_track_writes,
                                 .collect_writes = fake_cpu_collect_writes,
                                 .memory_changed = fake_cpu_memory_changed,
                                 .arm = fake_cpu_arm,
                                 .instructions = fake_cpu_instructions,
                                 .set_instructions = fake_cpu_set_instructions,
                                 .batch_port = fake_cpu_batch_port,
                                 .take_batch = fake_cpu_take_batch,
                                 .has_batch = fake_cpu_has_batch};
    self->cpu.ops = &self->ops;
    self->ram = ram;
    self->state = *boot;
    self->exits = calloc(FAKE_EXITS_MAX, sizeof *self->exits);
    assert_non_null(self->exits);
    atomic_init(&self->kicked, false);
    atomic_init(&self->kicks, 0);
    fake_cpus++;
    return self;
}

enum mh_status __wrap_soft_cpu_create(struct guest_ram *ram, const struct x86_cpuid *cpuid,
                                      const struct mh_cpu_state *boot, struct cpu **cpu, struct mh_error *err)
{
    (void)cpuid;
    if (fake_soft_fails)
        return mh_fail(err, MH_ERR_HOST, "no memory for a processor");
    fake_soft = fake_cpu_make("soft", ram, boot);
    *cpu = &fake_soft->cpu;
    return MH_OK;
}

/* ---- scripts ---- */

struct fake_exit *fake_cpu_will(struct fake_cpu *cpu, enum cpu_exit_kind kind)
{
    assert_true(cpu->queued < FAKE_EXITS_MAX);
    struct fake_exit *exit = &cpu->exits[cpu->queued++];
    memset(exit, 0, sizeof *exit);
    exit->exit.kind = kind;
    return exit;
}

struct fake_exit *fake_cpu_will_at(struct fake_cpu *cpu, enum cpu_exit_kind kind, uint64_t rip)
{
    struct fake_exit *exit = fake_cpu_will(cpu, kind);
    exit->moves = true;
    exit->rip = rip;
    return exit;
}

struct fake_exit *fake_cpu_will_in(struct fake_cpu *cpu, uint16_t port, uint8_t width, uint32_t count)
{
    struct fake_exit *exit = fake_cpu_will(cpu, CPU_EXIT_IO);
    assert_true((size_t)width * count <= sizeof exit->data);
    exit->exit.port = port;
    exit->exit.width = width;
    exit->exit.count = count;
    exit->exit.is_in = true;
    exit->length = 1;
    return exit;
}

struct fake_exit *fake_cpu_will_out(struct fake_cpu *cpu, uint16_t port, uint8_t width, const void *data,
                                    uint32_t count)
{
    struct fake_exit *exit = fake_cpu_will_in(cpu, port, width, count);
    exit->exit.is_in = false;
    memcpy(exit->data, data, (size_t)width * count);
    return exit;
}

void fake_cpu_clear(struct fake_cpu *cpu)
{
    cpu->queued = cpu->done = cpu->runs = 0;
    cpu->log[0] = '\0';
}

unsigned fake_cpu_asked(const struct fake_cpu *cpu, const char *word)
{
    unsigned count = 0;
    const size_t length = strlen(word);
    for (const char *at = cpu->log; *at != '\0'; at += strcspn(at, " ") + 1)
        count += strncmp(at, word, length) == 0 && at[length] == ' ';
    return count;
}
