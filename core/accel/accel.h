/*
 * Which processor executes a machine: the choice of --accel, the CPUID that all machines of the process share, and the
 * processor that moves between KVM and software (auto_cpu.h).
 */
#ifndef MH_CORE_ACCEL_ACCEL_H
#define MH_CORE_ACCEL_ACCEL_H

#include "cpu/cpu.h"
#include "mh/vm.h"
#include "x86/cpuid.h"

/* Make sure the CPUID table is filled in, once for the process. MH_OK, or MH_ERR_HOST. Any thread. */
enum mh_status accel_prepare(struct mh_host *host, struct mh_error *err);

/* The CPUID that guests see, and XCR0; after accel_prepare(). */
const struct x86_cpuid *accel_cpuid(const struct mh_host *host);

/* Let all machines to come have another CPUID, which was recorded elsewhere. MH_OK, or MH_ERR_HOST when this host's
 * processor cannot do what it says, with what is missing in *err. */
enum mh_status accel_use_cpuid(struct mh_host *host, const struct x86_cpuid *cpuid, struct mh_error *err);

/* Create a machine's processor in the state *boot. MH_OK with *cpu set, or MH_ERR_HOST. */
enum mh_status accel_create_cpu(struct mh_host *host, struct guest_ram *ram, const struct mh_cpu_state *boot,
                                struct cpu **cpu, struct mh_error *err);

/* Give the signals that processors use a handler. */
void accel_install_signals(void);

#endif
