#include "soft_machine.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft_flags.h"
#include "soft/soft_mem.h"
#include "translate.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <stdalign.h>
#include <stdlib.h>

#define RAM_SIZE 0x200000u
#define DR6_INITIAL 0xffff0ff0u
#define DR7_INITIAL 0x400u

static void make_boot_state(struct soft_machine *machine)
{
    const uint16_t fcw = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    machine->boot = (struct mh_cpu_state){.general = boot_general(&machine->ram, 0),
                                          .system = boot_system(machine->cpuid.xcr0 != 0),
                                          .xcr0 = MH_XCR0_X87,
                                          .dr6 = DR6_INITIAL,
                                          .dr7 = DR7_INITIAL};
    memcpy(machine->boot.xsave, &fcw, sizeof fcw);
    memcpy(machine->boot.xsave + 24, &mxcsr, sizeof mxcsr);
}

bool soft_machine_create(struct soft_machine *machine)
{
    memset(machine, 0, sizeof *machine);
    if (ram_create(&machine->ram, RAM_SIZE, NULL) != MH_OK)
        return false;
    boot_write_system_area(&machine->ram, PAGE_2M);
    x86_cpuid_init(&machine->cpuid);
    make_boot_state(machine);
    if (soft_cpu_create(&machine->ram, &machine->cpuid, &machine->boot, &machine->cpu, NULL) != MH_OK) {
        ram_free(&machine->ram);
        return false;
    }
    machine->code = translate_if_asked(machine->cpu);
    machine->soft = (struct soft_cpu *)machine->cpu;
    machine->soft->exit = &machine->exit;
    machine->soft->request = &machine->request;
    return true;
}

void soft_machine_destroy(struct soft_machine *machine)
{
    machine->cpu->ops->destroy(machine->cpu);
    host_code_destroy(machine->code);
    ram_free(&machine->ram);
}

int soft_machine_set_up(void **state)
{
    struct soft_machine *machine = aligned_alloc(alignof(struct soft_machine), sizeof *machine);
    if (machine == NULL || !soft_machine_create(machine)) {
        free(machine);
        return -1;
    }
    *state = machine;
    return 0;
}

int soft_machine_tear_down(void **state)
{
    soft_machine_destroy(*state);
    free(*state);
    return 0;
}

void soft_machine_put(struct soft_machine *machine, uint64_t at, const void *bytes, size_t length)
{
    void *to = ram_at(&machine->ram, mh_gpa_of(at), length);
    if (to == NULL)
        abort();
    memcpy(to, bytes, length);
    machine->cpu->ops->memory_changed(machine->cpu, mh_gpa_of(at), length);
}

void soft_machine_put64(struct soft_machine *machine, uint64_t at, uint64_t value)
{
    soft_machine_put(machine, at, &value, sizeof value);
}

uint64_t soft_machine_get64(const struct soft_machine *machine, uint64_t at)
{
    uint64_t value;
    const void *from = ram_at(&machine->ram, mh_gpa_of(at), sizeof value);
    if (from == NULL)
        abort();
    memcpy(&value, from, sizeof value);
    return value;
}

void soft_machine_load(struct soft_machine *machine, uint64_t at, const void *code, size_t length)
{
    soft_machine_put(machine, at, code, length);
    machine->soft->rip = at;
}

enum cpu_exit_kind soft_machine_run(struct soft_machine *machine, enum cpu_run_mode mode)
{
    machine->request.mode = mode;
    machine->cpu->ops->run(machine->cpu, &machine->request, &machine->exit);
    return machine->exit.kind;
}

void soft_machine_set_ring(struct soft_machine *machine, unsigned ring)
{
    struct mh_x86_segment *cs = &machine->soft->seg[MH_CS], *ss = &machine->soft->seg[MH_SS];
    cs->selector = ring == 3 ? MH_SEL_USER_CODE : MH_SEL_KERNEL_CODE;
    ss->selector = ring == 3 ? MH_SEL_USER_DATA : MH_SEL_KERNEL_DATA;
    cs->attributes = (uint16_t)((cs->attributes & ~0x60u) | ring << 5);
    ss->attributes = (uint16_t)((ss->attributes & ~0x60u) | ring << 5);
    soft_update_attention(machine->soft);
}
