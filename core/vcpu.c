#include "vcpu.h"

#include "register_state.h"
#include "x86/boot_state.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_signal(int signal)
{
    (void)signal; /* that it ended a system call is enough */
}

void mh_kick_install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits are to end */
    sigemptyset(&action.sa_mask);
    sigaction(MH_KICK_SIGNAL, &action, NULL);
    sigaction(MH_INPUT_SIGNAL, &action, NULL);
}

static enum mh_status fail(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "KVM refuses %s: %s", what, strerror(error));
}

static enum mh_status map_run_page(struct vcpu *vcpu, const struct mh_host *host, struct mh_error *err)
{
    void *run = mmap(NULL, host->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return fail(err, "the processor's run page", errno);
    vcpu->run = run;
    vcpu->run_size = host->run_size;
    size_t ring = (size_t)host->coalesce_page * (size_t)sysconf(_SC_PAGESIZE);
    if (ring != 0 && ring < host->run_size)
        vcpu->ring = (void *)((char *)run + ring);
    return MH_OK;
}

static sigset_t input_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, MH_INPUT_SIGNAL);
    return set;
}

/* Nothing but these two: any other that is pending would end each KVM_RUN at once. */
static enum mh_status let_kicks_end_runs(const struct vcpu *vcpu, struct mh_error *err)
{
    const sigset_t input = input_signal();
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, MH_KICK_SIGNAL);
    sigdelset(&blocked, MH_INPUT_SIGNAL);
    int error = pthread_sigmask(SIG_BLOCK, &input, NULL);
    if (error == 0)
        error = -kvm_sys_set_signal_mask(vcpu->fd, &blocked);
    return error != 0 ? fail(err, "a signal mask", error) : MH_OK;
}

static enum mh_status set_cpuid(const struct vcpu *vcpu, struct mh_host *host, struct mh_error *err)
{
    int result = host_cpuid(host);
    if (result < 0)
        return fail(err, "to tell its CPUID", -result);
    result = kvm_sys_set_cpuid(vcpu->fd, &host->cpuid);
    return result < 0 ? fail(err, "the processor's CPUID", -result) : MH_OK;
}

static enum mh_status set_registers(const struct vcpu *vcpu, const struct mh_host *host, const struct mh_x86_general *general,
                                    struct mh_error *err)
{
    struct kvm_sregs sregs;
    int result = kvm_sys_get_sregs(vcpu->fd, &sregs);
    if (result == 0) {
        const struct mh_x86_system system = boot_system(host->xcr0 != 0);
        sregs.ldt.unusable = 1;
        register_state_system_to_kvm(&system, &sregs);
        result = kvm_sys_set_sregs(vcpu->fd, &sregs);
    }
    if (result < 0)
        return fail(err, "the system registers", -result);
    const struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = host->xcr0}};
    result = host->xcr0 != 0 ? kvm_sys_set_xcrs(vcpu->fd, &xcrs) : 0;
    if (result < 0)
        return fail(err, "XCR0", -result);
    struct kvm_regs regs;
    register_state_general_to_kvm(general, &regs);
    result = kvm_sys_set_regs(vcpu->fd, &regs);
    return result < 0 ? fail(err, "the general registers", -result) : MH_OK;
}

enum mh_status vcpu_create(struct vcpu *vcpu, int vm_fd, struct mh_host *host, const struct mh_x86_general *general,
                           struct mh_error *err)
{
    *vcpu = (struct vcpu){.fd = -1, .thread = pthread_self(), .can_sync = host->can_sync};
    int fd = kvm_sys_create_vcpu(vm_fd);
    if (fd < 0)
        return fail(err, "a processor", -fd);
    vcpu->fd = fd;
    enum mh_status status = map_run_page(vcpu, host, err);
    if (status == MH_OK)
        status = let_kicks_end_runs(vcpu, err);
    if (status == MH_OK)
        status = set_cpuid(vcpu, host, err);
    if (status == MH_OK)
        status = set_registers(vcpu, host, general, err);
    return status;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run != NULL)
        munmap(vcpu->run, vcpu->run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    *vcpu = (struct vcpu){.fd = -1, .thread = vcpu->thread};
}

static int enter(struct vcpu *vcpu)
{
    __u64 sets = vcpu->sync_registers ? VCPU_SYNCED : KVM_SYNC_X86_REGS;
    vcpu->run->kvm_valid_regs = vcpu->can_sync ? sets : 0;
    int result = kvm_sys_run(vcpu->fd);
    vcpu->registers_are_current = vcpu->run->kvm_valid_regs == VCPU_SYNCED;
    return result;
}

static void set_immediate_exit(const struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

static bool take_input_signal(void)
{
    const sigset_t set = input_signal();
    const struct timespec at_once = {0};
    return sigtimedwait(&set, NULL, &at_once) == MH_INPUT_SIGNAL;
}

int vcpu_run(struct vcpu *vcpu)
{
    int result = enter(vcpu);
    if (result == -EINTR && take_input_signal())
        set_immediate_exit(vcpu); /* a kick as any other from here on */
    return result;
}

void vcpu_kick(const struct vcpu *vcpu)
{
    if (vcpu->run != NULL)
        set_immediate_exit(vcpu);
    pthread_kill(vcpu->thread, MH_KICK_SIGNAL);
}

bool vcpu_accept_kicks(struct vcpu *vcpu)
{
    return __atomic_exchange_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST) != 0;
}

void vcpu_drop_input_signal(void)
{
    take_input_signal();
}

int vcpu_complete_io(struct vcpu *vcpu)
{
    set_immediate_exit(vcpu);
    return vcpu_run(vcpu); /* ends with EINTR by design */
}

static bool fetch_registers(struct vcpu *vcpu)
{
    if (vcpu->run == NULL || vcpu->registers_are_current)
        return vcpu->registers_are_current;
    int result = kvm_sys_get_regs(vcpu->fd, &vcpu->run->s.regs.regs);
    if (result == 0)
        result = kvm_sys_get_sregs(vcpu->fd, &vcpu->run->s.regs.sregs);
    vcpu->registers_errno = -result;
    vcpu->registers_are_current = result == 0;
    return vcpu->registers_are_current;
}

struct kvm_regs *vcpu_regs(struct vcpu *vcpu)
{
    return fetch_registers(vcpu) ? &vcpu->run->s.regs.regs : NULL;
}

struct kvm_sregs *vcpu_sregs(struct vcpu *vcpu)
{
    return fetch_registers(vcpu) ? &vcpu->run->s.regs.sregs : NULL;
}

int vcpu_write_regs(struct vcpu *vcpu)
{
    int result = kvm_sys_set_regs(vcpu->fd, &vcpu->run->s.regs.regs);
    vcpu->registers_are_current = result == 0;
    return result;
}

int vcpu_write_sregs(struct vcpu *vcpu)
{
    int result = kvm_sys_set_sregs(vcpu->fd, &vcpu->run->s.regs.sregs);
    vcpu->registers_are_current = result == 0;
    return result;
}

bool vcpu_rip_at_hand(const struct vcpu *vcpu, uint64_t *rip)
{
    /* whoever writes registers writes them by way of the run page, so what the exit left there stays true */
    bool came_with_exit = vcpu->run != NULL && (vcpu->run->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0;
    if (vcpu->run == NULL || (!came_with_exit && !vcpu->registers_are_current))
        return false;
    *rip = vcpu->run->s.regs.regs.rip;
    return true;
}

bool vcpu_rip(struct vcpu *vcpu, uint64_t *rip)
{
    return vcpu_rip_at_hand(vcpu, rip) || (fetch_registers(vcpu) && vcpu_rip_at_hand(vcpu, rip));
}
