/*
 * A processor made of two: KVM for running free, software for everything KVM does badly or not at all. A stop is a
 * state, and a state can move, so at each run() the better of the two gets it (docs/processor.md has the table).
 */
#ifndef MH_CORE_ACCEL_AUTO_CPU_H
#define MH_CORE_ACCEL_AUTO_CPU_H

#include "cpu/cpu.h"
#include "kvm/kvm_probe.h"
#include "x86/cpuid.h"

struct host_code; /* soft/host_x86_64_code.h */

struct auto_cpu_config {
    struct cpu *kvm; /* belongs to the new processor, also after a failure */
    struct guest_ram *ram;
    const struct x86_cpuid *cpuid;
    struct host_code *code; /* for the software processor, or NULL */
    bool prefers_kvm;       /* --accel kvm: leave KVM only for what it cannot do */
    /* What this host's KVM reports to a debugger; asked when points are armed first. NULL: not known, trust nothing. */
    const struct kvm_quirks *(*quirks)(void *ctx);
    void *quirks_ctx;
};

/* MH_OK with *cpu set, or MH_ERR_HOST. The software processor is made when it is needed first. */
enum mh_status auto_cpu_create(const struct auto_cpu_config *config, struct cpu **cpu, struct mh_error *err);

#endif
