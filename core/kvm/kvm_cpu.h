/*
 * KVM as a processor: one virtual CPU of one KVM machine behind cpu/cpu.h. It runs the guest freely, with break- and
 * watchpoints as far as KVM holds them. It does not step and does not count: auto_cpu.c gives that to software.
 *
 * Kicks: kick() sets `immediate_exit` in the run page, and MH_KICK_SIGNAL takes the thread out of the guest. run()
 * clears `immediate_exit` when it returns CPU_EXIT_KICKED, so a kick is either seen there or ends the KVM_RUN that
 * follows. Input on the request's wake descriptors is a kick by KVM_WAKE_SIGNAL, which the thread has blocked but while
 * the guest runs (KVM_SET_SIGNAL_MASK): while the machine is stopped, taking it would cost more than answering many a
 * packet.
 */
#ifndef MH_CORE_KVM_KVM_CPU_H
#define MH_CORE_KVM_KVM_CPU_H

#include "cpu/cpu.h"
#include "kvm/kvm_debug.h"
#include "kvm/kvm_host.h"
#include "kvm/kvm_memslots.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define KVM_WAKE_SIGNAL SIGIO

struct kvm_cpu {
    struct cpu cpu;
    int vm_fd, fd;
    struct kvm_run *run;
    size_t run_size;
    struct kvm_coalesced_mmio_ring *ring; /* within the run page's mapping; NULL when KVM cannot coalesce ports */
    struct guest_ram *ram;
    uint64_t xcr0;              /* 0: no XSAVE */
    bool can_sync;              /* KVM puts registers into the run page at every exit ... */
    bool sync_system;           /* ... the system registers as well, which costs a little */
    bool registers_are_current; /* run->s.regs holds what the processor holds */
    bool io_is_pending;
    atomic_bool is_kicked;    /* and no run() has returned CPU_EXIT_KICKED since */
    unsigned refused_entries; /* in a row, with EAGAIN */
    struct kvm_memslots slots;
    struct kvm_debug debug;
    const int *wake_fds; /* that send KVM_WAKE_SIGNAL to this thread */
    unsigned wake_count;
    uint64_t tsc_read; /* the time stamp counter, as a debugger last read it */
};

/* Create a KVM machine with one processor in the state *boot, and block KVM_WAKE_SIGNAL in the calling thread, which is
 * to run it. MH_OK with *cpu set, or MH_ERR_HOST. */
enum mh_status kvm_cpu_create(const struct kvm_host *host, const struct x86_cpuid *cpuid, struct guest_ram *ram,
                              const struct mh_cpu_state *boot, struct cpu **cpu, struct mh_error *err);

/* ---- for the other files of this directory ---- */

/* The registers as they are now, in the run page; the caller may change them and write them back. NULL when KVM does
 * not give them. */
struct kvm_regs *kvm_cpu_regs(struct kvm_cpu *self);
struct kvm_sregs *kvm_cpu_sregs(struct kvm_cpu *self);
/* Write back what these point to. 0, or minus an errno. */
int kvm_cpu_write_regs(struct kvm_cpu *self);
int kvm_cpu_write_sregs(struct kvm_cpu *self);

/* KVM_RUN. 0, or minus an errno. */
int kvm_cpu_enter(struct kvm_cpu *self);

/* Let a pending access finish without executing another instruction. */
void kvm_cpu_finish_io(struct cpu *cpu);

/* kvm_state.c */
enum mh_status kvm_cpu_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err);
enum mh_status kvm_cpu_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err);
enum mh_status kvm_cpu_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err);
enum mh_status kvm_cpu_write_regs_op(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs,
                                     struct mh_error *err);

/* kvm_wake.c: make input on these descriptors send KVM_WAKE_SIGNAL to the calling thread; none: no signals. */
void kvm_cpu_watch(struct kvm_cpu *self, const int *fds, unsigned count);

#endif
