/*
 * The one virtual processor of a machine: creating it, entering the guest, being taken out of it.
 *
 * Kicking: whoever wants the thread out of the guest sets its request first, then `immediate_exit` in the run page, and
 * sends MH_KICK_SIGNAL. The thread clears `immediate_exit` before it looks at the requests, so a kick is either seen by
 * that look or ends the KVM_RUN that follows.
 *
 * Under a debugger every packet is a kick, by MH_INPUT_SIGNAL. While the machine stands still these are worth nothing,
 * and taking a signal costs more than answering many a packet: so the thread has it blocked, and KVM lets it in while
 * the guest runs (KVM_SET_SIGNAL_MASK).
 */
#ifndef MH_CORE_VCPU_H
#define MH_CORE_VCPU_H

#include "host.h"
#include "kvm_sys.h"
#include "mh/x86_regs.h"

#include <pthread.h>
#include <stdbool.h>

struct vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_size;
    struct kvm_coalesced_mmio_ring *ring; /* within the run page's mapping; NULL when KVM cannot coalesce ports */
    pthread_t thread;                     /* the thread that created the machine and runs it */
    bool can_sync;                        /* KVM can put registers into the run page at every exit */
    bool sync_registers;                  /* let it put the system registers there too, which may cost a little */
    bool registers_are_current;           /* run->s.regs holds what the processor holds */
    int registers_errno;                  /* why KVM did not tell them when it was asked last */
};

/* Create the processor in the state of boot_state.h, about to enter `entry`, and block MH_INPUT_SIGNAL in the calling
 * thread. MH_OK or MH_ERR_HOST; vcpu_destroy() undoes it, also after a failure, but for the signal. */
enum mh_status vcpu_create(struct vcpu *vcpu, int vm_fd, struct mh_host *host, const struct mh_x86_general *general,
                           struct mh_error *err);
void vcpu_destroy(struct vcpu *vcpu);

/* KVM_RUN: 0, or minus an errno; -EINTR after a kick. */
int vcpu_run(struct vcpu *vcpu);

/* Take the thread out of the guest, or out of a system call. Any thread that knows the processor to stay meanwhile. */
void vcpu_kick(const struct vcpu *vcpu);
/* Forget kicks so far, and tell whether there were any; to be called before looking at what they may have been for. */
bool vcpu_accept_kicks(struct vcpu *vcpu);

/* Drop an MH_INPUT_SIGNAL that is pending: look at what it may have been for. */
void vcpu_drop_input_signal(void);

/*
 * Some KVMs finish an IN or OUT only at the next KVM_RUN, and until then registers read or written are not yet, or no
 * longer, what counts. Let it finish without executing another instruction. Returns minus an errno when there is no
 * more to it, 0 when the instruction has left the guest again.
 */
int vcpu_complete_io(struct vcpu *vcpu);

/*
 * The registers as they are now; the pointers are good until the processor runs or is written again. The caller may
 * change what they point to and write it back. NULL when KVM does not tell them, or there is
 * no processor.
 */
struct kvm_regs *vcpu_regs(struct vcpu *vcpu);
struct kvm_sregs *vcpu_sregs(struct vcpu *vcpu);
/* Write back what vcpu_regs() and vcpu_sregs() point to. 0, or minus an errno with the processor unchanged. */
int vcpu_write_regs(struct vcpu *vcpu);
int vcpu_write_sregs(struct vcpu *vcpu);

/* Where the guest stands after an exit, cheaper than vcpu_regs() when nothing else is asked. False when KVM does not
 * tell. */
bool vcpu_rip(struct vcpu *vcpu, uint64_t *rip);

/* The same, only if it costs nothing: KVM is not asked. False when it is not known; *rip is untouched then. */
bool vcpu_rip_at_hand(const struct vcpu *vcpu, uint64_t *rip);

#endif
