/* A KVM processor on the fake KVM, in its boot state, for tests of core/kvm. */
#ifndef MH_TEST_FAKE_KVM_CPU_H
#define MH_TEST_FAKE_KVM_CPU_H

#include "fake_kvm.h"
#include "kvm/kvm_cpu.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"
#include "x86/xsave.h"

#include <stdlib.h>

struct fake_kvm_cpu {
    struct kvm_host *host;
    struct guest_ram ram;
    struct x86_cpuid cpuid;
    struct mh_cpu_state boot;
    struct cpu *cpu;     /* NULL until fake_kvm_cpu_create() */
    struct kvm_cpu *kvm; /* the same */
    struct cpu_exit exit;
    struct mh_error err;
};

/* All but the processor. */
static inline struct fake_kvm_cpu *fake_kvm_cpu_prepare(void)
{
    struct fake_kvm_cpu *f = aligned_alloc(alignof(struct fake_kvm_cpu), sizeof *f); /* test_calloc() aligns less */
    assert_non_null(f);
    memset(f, 0, sizeof *f);
    fake_kvm_reset();
    assert_int_equal(kvm_host_open(&f->host, NULL), MH_OK);
    assert_int_equal(ram_create(&f->ram, 2 * MB, NULL), MH_OK);
    boot_write_system_area(&f->ram, PAGE_4K);
    f->cpuid.xcr0 = 7;
    f->boot = (struct mh_cpu_state){.general = boot_general(&f->ram, 0x1000),
                                    .system = boot_system(true),
                                    .msrs = boot_msrs(),
                                    .xcr0 = 7,
                                    .dr6 = BOOT_DR6,
                                    .dr7 = BOOT_DR7};
    x86_xsave_init(f->boot.xsave);
    return f;
}

static inline void fake_kvm_cpu_create(struct fake_kvm_cpu *f)
{
    assert_int_equal(kvm_cpu_create(f->host, &f->cpuid, &f->ram, &f->boot, &f->cpu, &f->err), MH_OK);
    f->kvm = (struct kvm_cpu *)f->cpu;
}

static inline int fake_kvm_cpu_set_up(void **state)
{
    struct fake_kvm_cpu *f = fake_kvm_cpu_prepare();
    fake_kvm_cpu_create(f);
    fake_kvm.on_run_ctx = f;
    *state = f;
    return 0;
}

static inline int fake_kvm_cpu_tear_down(void **state)
{
    struct fake_kvm_cpu *f = *state;
    if (f->cpu != NULL)
        f->cpu->ops->destroy(f->cpu);
    kvm_host_close(f->host);
    ram_free(&f->ram);
    free(f);
    return 0;
}

/* Run it plainly. */
static inline enum cpu_exit_kind fake_kvm_cpu_run(struct fake_kvm_cpu *f)
{
    const struct cpu_request request = {.mode = CPU_RUN};
    f->cpu->ops->run(f->cpu, &request, &f->exit);
    return f->exit.kind;
}

/* The registers in the fake KVM have changed behind the processor's back. */
static inline void fake_kvm_cpu_forget_registers(struct fake_kvm_cpu *f)
{
    f->kvm->registers_are_current = false;
}

#endif
