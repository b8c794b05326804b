#include "uncounted_cpu.h"

#include "accel/accel.h"
#include "accel/auto_cpu.h"
#include "soft/soft.h"
#include "unit.h"

#include <stddef.h>

static struct uncounted_cpu *uncounted_of(const struct cpu *cpu)
{
    return (struct uncounted_cpu *)((char *)(uintptr_t)cpu->ops - offsetof(struct uncounted_cpu, ops));
}

static bool uncounted_instructions(const struct cpu *cpu, uint64_t *count)
{
    (void)cpu, (void)count;
    return false;
}

static void uncounted_run(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit)
{
    struct uncounted_cpu *self = uncounted_of(cpu);
    struct cpu_request bound = *request;
    uint64_t before, after;
    assert_int_equal(request->mode, CPU_RUN);
    assert_int_equal(request->report, 0);
    if (self->before != NULL)
        self->before(cpu);
    self->soft->instructions(cpu, &before);
    if (self->runs_for != 0) {
        bound.mode = CPU_UNTIL;
        bound.until = before + self->runs_for;
    }
    self->soft->run(cpu, &bound, exit);
    self->soft->instructions(cpu, &after);
    self->ran += after - before;
    if (self->runs_for == 0)
        return;
    self->runs_for -= after - before < self->runs_for ? after - before : self->runs_for;
    if (exit->kind == CPU_EXIT_COUNT_REACHED)
        exit->kind = CPU_EXIT_BREAKPOINT;
    else if (self->runs_for == 0)
        self->runs_for = 1;
}

static void uncounted_batch_port(struct cpu *cpu, uint16_t port, bool on)
{
    (void)cpu, (void)port, (void)on;
}

static size_t uncounted_take_batch(struct cpu *cpu, uint8_t *to, size_t room)
{
    (void)cpu, (void)to, (void)room;
    return 0;
}

static bool uncounted_has_batch(const struct cpu *cpu)
{
    (void)cpu;
    return false;
}

static const struct kvm_quirks *uncounted_quirks(void *ctx)
{
    (void)ctx;
    return NULL;
}

void uncounted_cpu_use(struct uncounted_cpu *uncounted, struct mh_vm *vm)
{
    struct mh_cpu_state state;
    struct auto_cpu_config config = {.ram = &vm->ram, .cpuid = accel_cpuid(vm->host), .quirks = uncounted_quirks};
    assert_int_equal(vm->cpu->ops->save(vm->cpu, &state, NULL), MH_OK);
    vm->cpu->ops->destroy(vm->cpu);
    assert_int_equal(soft_cpu_create(&vm->ram, config.cpuid, &state, &config.kvm, NULL), MH_OK);
    uncounted->soft = config.kvm->ops;
    uncounted->ops = *config.kvm->ops;
    uncounted->ops.name = "uncounted";
    uncounted->ops.run = uncounted_run;
    uncounted->ops.instructions = uncounted_instructions;
    uncounted->ops.batch_port = uncounted_batch_port;
    uncounted->ops.take_batch = uncounted_take_batch;
    uncounted->ops.has_batch = uncounted_has_batch;
    config.kvm->ops = &uncounted->ops;
    assert_int_equal(auto_cpu_create(&config, &vm->cpu, NULL), MH_OK);
}
