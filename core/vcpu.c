#include "vcpu.h"

#include "boot_state.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_kick(int signal)
{
    (void)signal; /* it came; the system call it interrupted returns EINTR, which is all it is for */
}

void mh_kick_install(void)
{
    struct sigaction action = {.sa_handler = on_kick}; /* no SA_RESTART: waits are to end */
    sigemptyset(&action.sa_mask);
    sigaction(MH_KICK_SIGNAL, &action, NULL);
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

static enum mh_status set_cpuid(const struct vcpu *vcpu, struct mh_host *host, struct mh_error *err)
{
    int result = host_cpuid(host);
    if (result < 0)
        return fail(err, "to tell its CPUID", -result);
    result = kvm_sys_set_cpuid(vcpu->fd, &host->cpuid);
    return result < 0 ? fail(err, "the processor's CPUID", -result) : MH_OK;
}

static enum mh_status set_registers(const struct vcpu *vcpu, const struct mh_host *host, const struct kvm_regs *regs,
                                    struct mh_error *err)
{
    struct kvm_sregs sregs;
    int result = kvm_sys_get_sregs(vcpu->fd, &sregs);
    if (result == 0) {
        boot_sregs(&sregs, host->xcr0 != 0);
        result = kvm_sys_set_sregs(vcpu->fd, &sregs);
    }
    if (result < 0)
        return fail(err, "the system registers", -result);
    const struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = host->xcr0}};
    result = host->xcr0 != 0 ? kvm_sys_set_xcrs(vcpu->fd, &xcrs) : 0;
    if (result < 0)
        return fail(err, "XCR0", -result);
    result = kvm_sys_set_regs(vcpu->fd, regs);
    return result < 0 ? fail(err, "the general registers", -result) : MH_OK;
}

enum mh_status vcpu_create(struct vcpu *vcpu, int vm_fd, struct mh_host *host, const struct kvm_regs *regs,
                           struct mh_error *err)
{
    *vcpu = (struct vcpu){.fd = -1, .thread = pthread_self()};
    int fd = kvm_sys_create_vcpu(vm_fd);
    if (fd < 0)
        return fail(err, "a processor", -fd);
    vcpu->fd = fd;
    enum mh_status status = map_run_page(vcpu, host, err);
    if (status == MH_OK)
        status = set_cpuid(vcpu, host, err);
    if (status == MH_OK)
        status = set_registers(vcpu, host, regs, err);
    return status;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->run != NULL)
        munmap(vcpu->run, vcpu->run_size);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    vcpu->run = NULL;
    vcpu->fd = -1;
}

int vcpu_run(struct vcpu *vcpu)
{
    return kvm_sys_run(vcpu->fd);
}

void vcpu_kick(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(vcpu->thread, MH_KICK_SIGNAL);
}

void vcpu_accept_kicks(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

void vcpu_complete_io(struct vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    kvm_sys_run(vcpu->fd); /* ends with EINTR by design */
}
