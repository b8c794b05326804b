#include "kvm_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int kvm_ioctl(int fd, unsigned long request, unsigned long argument)
{
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

static enum mh_status explain_open_failure(int error, struct mh_error *err)
{
    switch (error) {
    case ENOENT:
        return mh_fail(
            err, MH_ERR_HOST,
            "/dev/kvm does not exist: load the module (modprobe kvm_intel or kvm_amd); if that fails, switch "
            "on virtualization in the firmware, or nested virtualization when this is a virtual machine");
    case EACCES:
    case EPERM:
        return mh_fail(err, MH_ERR_HOST,
                       "no permission to use /dev/kvm: join its group (sudo usermod -aG kvm $USER, then log in again)");
    case ENODEV:
    case ENXIO:
        return mh_fail(err, MH_ERR_HOST,
                       "/dev/kvm is there but has no driver behind it: load kvm_intel or kvm_amd, and switch on "
                       "virtualization in the firmware");
    default:
        return mh_fail(err, MH_ERR_HOST, "cannot open /dev/kvm: %s", strerror(error));
    }
}

struct required_capability {
    int number;
    const char *name;
};

static const struct required_capability required_capabilities[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

static enum mh_status check_kvm(int fd, struct mh_error *err)
{
    int version = kvm_ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return mh_fail(err, MH_ERR_HOST, "/dev/kvm does not answer as KVM does: %s", strerror(-version));
    if (version != KVM_API_VERSION)
        return mh_fail(err, MH_ERR_HOST, "/dev/kvm speaks API version %d, this program needs %d: update the kernel",
                       version, KVM_API_VERSION);
    for (size_t i = 0; i < sizeof required_capabilities / sizeof required_capabilities[0]; i++) {
        int value = kvm_ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)required_capabilities[i].number);
        if (value < 0)
            return mh_fail(err, MH_ERR_HOST, "KVM does not say whether it has %s: %s", required_capabilities[i].name,
                           strerror(-value));
        if (value == 0)
            return mh_fail(err, MH_ERR_HOST, "this KVM lacks %s: Linux 4.13 or newer has it",
                           required_capabilities[i].name);
    }
    return MH_OK;
}

enum mh_status kvm_sys_open(int *fd, struct mh_error *err)
{
    int opened = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (opened < 0)
        return explain_open_failure(errno, err);
    enum mh_status status = check_kvm(opened, err);
    if (status != MH_OK) {
        close(opened);
        return status;
    }
    *fd = opened;
    return MH_OK;
}

int kvm_sys_capability(int fd, int capability)
{
    int value = kvm_ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)capability);
    return value < 0 ? 0 : value;
}

int kvm_sys_run_size(int fd)
{
    return kvm_ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
}

int kvm_sys_supported_cpuid(int fd, union kvm_sys_cpuid *cpuid)
{
    cpuid->head.nent = KVM_SYS_CPUID_MAX;
    return kvm_ioctl(fd, KVM_GET_SUPPORTED_CPUID, (unsigned long)cpuid);
}

int kvm_sys_create_vm(int fd)
{
    int result;
    do {
        result = kvm_ioctl(fd, KVM_CREATE_VM, 0);
    } while (result == -EINTR); /* a kick came; only the creation of a machine has to be repeated for it */
    return result;
}

int kvm_sys_create_vcpu(int vm_fd)
{
    return kvm_ioctl(vm_fd, KVM_CREATE_VCPU, 0);
}

int kvm_sys_set_tss_address(int vm_fd, unsigned long address)
{
    return kvm_ioctl(vm_fd, KVM_SET_TSS_ADDR, address);
}

int kvm_sys_set_memory(int vm_fd, const struct kvm_userspace_memory_region *region)
{
    return kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, (unsigned long)region);
}

int kvm_sys_get_dirty_log(int vm_fd, unsigned slot, uint64_t *bitmap)
{
    const struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};
    return kvm_ioctl(vm_fd, KVM_GET_DIRTY_LOG, (unsigned long)&log);
}

int kvm_sys_coalesce_port(int vm_fd, unsigned port)
{
    const struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = 1, .pio = 1};
    return kvm_ioctl(vm_fd, KVM_REGISTER_COALESCED_MMIO, (unsigned long)&zone);
}

int kvm_sys_uncoalesce_port(int vm_fd, unsigned port)
{
    const struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = 1, .pio = 1};
    return kvm_ioctl(vm_fd, KVM_UNREGISTER_COALESCED_MMIO, (unsigned long)&zone);
}

int kvm_sys_enforce_cpuid(int vcpu_fd)
{
    const struct kvm_enable_cap enable = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args[0] = 1};
    return kvm_ioctl(vcpu_fd, KVM_ENABLE_CAP, (unsigned long)&enable);
}

int kvm_sys_set_cpuid(int vcpu_fd, const union kvm_sys_cpuid *cpuid)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, (unsigned long)cpuid);
}

int kvm_sys_get_regs(int vcpu_fd, struct kvm_regs *regs)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_REGS, (unsigned long)regs);
}

int kvm_sys_set_regs(int vcpu_fd, const struct kvm_regs *regs)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_REGS, (unsigned long)regs);
}

int kvm_sys_get_sregs(int vcpu_fd, struct kvm_sregs *sregs)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_SREGS, (unsigned long)sregs);
}

int kvm_sys_set_sregs(int vcpu_fd, const struct kvm_sregs *sregs)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_SREGS, (unsigned long)sregs);
}

int kvm_sys_get_xcrs(int vcpu_fd, struct kvm_xcrs *xcrs)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_XCRS, (unsigned long)xcrs);
}

int kvm_sys_set_xcrs(int vcpu_fd, const struct kvm_xcrs *xcrs)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_XCRS, (unsigned long)xcrs);
}

int kvm_sys_get_xsave(int vcpu_fd, struct kvm_xsave *xsave)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_XSAVE, (unsigned long)xsave);
}

int kvm_sys_set_xsave(int vcpu_fd, const struct kvm_xsave *xsave)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_XSAVE, (unsigned long)xsave);
}

int kvm_sys_get_debugregs(int vcpu_fd, struct kvm_debugregs *debugregs)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_DEBUGREGS, (unsigned long)debugregs);
}

int kvm_sys_set_debugregs(int vcpu_fd, const struct kvm_debugregs *debugregs)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_DEBUGREGS, (unsigned long)debugregs);
}

int kvm_sys_get_mp_state(int vcpu_fd, struct kvm_mp_state *state)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_MP_STATE, (unsigned long)state);
}

int kvm_sys_set_mp_state(int vcpu_fd, const struct kvm_mp_state *state)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_MP_STATE, (unsigned long)state);
}

int kvm_sys_get_msrs(int vcpu_fd, union kvm_sys_msrs *msrs)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_MSRS, (unsigned long)msrs);
}

int kvm_sys_set_msrs(int vcpu_fd, const union kvm_sys_msrs *msrs)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_MSRS, (unsigned long)msrs);
}

int kvm_sys_interrupt(int vcpu_fd, unsigned vector)
{
    const struct kvm_interrupt interrupt = {.irq = vector};
    return kvm_ioctl(vcpu_fd, KVM_INTERRUPT, (unsigned long)&interrupt);
}

int kvm_sys_get_events(int vcpu_fd, struct kvm_vcpu_events *events)
{
    return kvm_ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, (unsigned long)events);
}

int kvm_sys_set_events(int vcpu_fd, const struct kvm_vcpu_events *events)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, (unsigned long)events);
}

int kvm_sys_set_guest_debug(int vcpu_fd, const struct kvm_guest_debug *debug)
{
    return kvm_ioctl(vcpu_fd, KVM_SET_GUEST_DEBUG, (unsigned long)debug);
}

#define KERNEL_SIGNALS_SIZE 8u /* bytes; glibc's sigset_t is longer */

int kvm_sys_set_signal_mask(int vcpu_fd, const sigset_t *blocked)
{
    union {
        struct kvm_signal_mask head;
        uint8_t room[sizeof(struct kvm_signal_mask) + KERNEL_SIGNALS_SIZE];
    } mask = {.head.len = KERNEL_SIGNALS_SIZE};
    memcpy(mask.head.sigset, blocked, KERNEL_SIGNALS_SIZE);
    return kvm_ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, (unsigned long)&mask);
}

int kvm_sys_run(int vcpu_fd)
{
    return kvm_ioctl(vcpu_fd, KVM_RUN, 0);
}
