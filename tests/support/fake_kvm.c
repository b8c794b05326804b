#include "fake_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CPUID_1_ECX_XSAVE (1u << 26)

struct fake_kvm fake_kvm;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
void *__real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t length);
int __wrap_munmap(void *at, size_t length);

void fake_kvm_reset(void)
{
    fake_kvm = (struct fake_kvm){
        .api_version = KVM_API_VERSION,
        .run_size = FAKE_KVM_RUN_PAGES * FAKE_KVM_PAGE,
        .cpuid_1_ecx = CPUID_1_ECX_XSAVE,
        .cpuid_xsave_eax = 7,
        .missing_capability = -1,
    };
}

unsigned fake_kvm_count(unsigned long request)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fake_kvm.calls && i < FAKE_KVM_LOG_MAX; i++)
        count += fake_kvm.log[i] == request;
    return count;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (strcmp(path, "/dev/kvm") != 0)
        return __real_open(path, flags, mode);
    errno = fake_kvm.open_errno;
    return fake_kvm.open_errno != 0 ? -1 : __real_open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int capability(int number)
{
    if (number == fake_kvm.missing_capability)
        return 0;
    switch (number) {
    case KVM_CAP_COALESCED_MMIO:
        return 2; /* where the ring lies, in pages */
    case KVM_CAP_SYNC_REGS:
        return KVM_SYNC_X86_VALID_FIELDS;
    default:
        return 1;
    }
}

static int supported_cpuid(struct kvm_cpuid2 *cpuid)
{
    cpuid->nent = FAKE_KVM_CPUID_ENTRIES;
    cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = 0, .eax = 0xd};
    cpuid->entries[1] = (struct kvm_cpuid_entry2){.function = 1, .ecx = fake_kvm.cpuid_1_ecx};
    cpuid->entries[2] = (struct kvm_cpuid_entry2){.function = 0xd, .eax = fake_kvm.cpuid_xsave_eax};
    cpuid->entries[3] = (struct kvm_cpuid_entry2){.function = 0xd, .index = 2, .eax = 256, .ebx = FAKE_KVM_YMM_AT};
    return 0;
}

static int create_vcpu(void)
{
    int fd = memfd_create("run", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, FAKE_KVM_RUN_PAGES * FAKE_KVM_PAGE) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int set_region(const struct kvm_userspace_memory_region *region)
{
    if (region->slot < sizeof fake_kvm.region / sizeof fake_kvm.region[0])
        fake_kvm.region[region->slot] = *region;
    return 0;
}

static int get_dirty_log(const struct kvm_dirty_log *log)
{
    uint64_t *bitmap = log->dirty_bitmap;
    bitmap[0] = log->slot < sizeof fake_kvm.dirty / sizeof fake_kvm.dirty[0] ? fake_kvm.dirty[log->slot] : 0;
    if (bitmap[0] != 0)
        fake_kvm.dirty[log->slot] = 0;
    return 0;
}

uint64_t *fake_kvm_msr(uint32_t index)
{
    unsigned i = 0;
    while (i < fake_kvm.msr_count && fake_kvm.msrs[i].index != index)
        i++;
    if (i == fake_kvm.msr_count)
        fake_kvm.msrs[fake_kvm.msr_count++].index = index;
    uint64_t *value = (uint64_t *)&fake_kvm.msrs[i].data;
    return value;
}

static int get_msrs(struct kvm_msrs *msrs)
{
    for (uint32_t i = 0; i < msrs->nmsrs; i++) {
        if (msrs->entries[i].index == fake_kvm.missing_msr)
            return (int)i;
        msrs->entries[i].data = *fake_kvm_msr(msrs->entries[i].index);
    }
    return (int)msrs->nmsrs;
}

static int set_msrs(const struct kvm_msrs *msrs)
{
    for (uint32_t i = 0; i < msrs->nmsrs; i++) {
        uint32_t index = msrs->entries[i].index;
        if (index == fake_kvm.missing_msr || index == fake_kvm.constant_msr)
            return (int)i;
        *fake_kvm_msr(index) = msrs->entries[i].data;
    }
    return (int)msrs->nmsrs;
}

static void sync_registers(struct kvm_run *run)
{
    if ((run->kvm_valid_regs & KVM_SYNC_X86_REGS) != 0)
        run->s.regs.regs = fake_kvm.regs;
    if ((run->kvm_valid_regs & KVM_SYNC_X86_SREGS) != 0)
        run->s.regs.sregs = fake_kvm.sregs;
}

static bool signal_is_let_in(void)
{
    sigset_t pending;
    uint64_t first_64;
    sigpending(&pending);
    memcpy(&first_64, &pending, sizeof first_64);
    return (first_64 & ~fake_kvm.blocked) != 0;
}

static int run_guest(void)
{
    struct kvm_run *run = fake_kvm.run;
    int result = 0;
    if (fake_kvm.on_complete != NULL)
        fake_kvm.on_complete(fake_kvm.on_run_ctx, run);
    if (run->immediate_exit != 0 || signal_is_let_in())
        result = -EINTR;
    else if (fake_kvm.on_run != NULL) {
        fake_kvm.runs++;
        fake_kvm.events.interrupt.injected = 0;
        result = fake_kvm.on_run(fake_kvm.on_run_ctx, run);
    } else {
        fake_kvm.runs++;
        run->exit_reason = KVM_EXIT_HLT;
    }
    sync_registers(run);
    if (result < 0)
        errno = -result;
    return result < 0 ? -1 : 0;
}

#define GET(member) (memcpy(argument, &fake_kvm.member, sizeof fake_kvm.member), 0)
#define SET(member) (memcpy(&fake_kvm.member, argument, sizeof fake_kvm.member), 0)

static int answer(unsigned long request, void *argument)
{
    switch (request) {
    case KVM_GET_API_VERSION:
        return fake_kvm.api_version;
    case KVM_CHECK_EXTENSION:
        return capability((int)(uintptr_t)argument);
    case KVM_GET_VCPU_MMAP_SIZE:
        return fake_kvm.run_size;
    case KVM_GET_SUPPORTED_CPUID:
        return supported_cpuid(argument);
    case KVM_CREATE_VM:
        return __real_open("/dev/null", O_RDWR | O_CLOEXEC);
    case KVM_CREATE_VCPU:
        return create_vcpu();
    case KVM_SET_USER_MEMORY_REGION:
        return set_region(argument);
    case KVM_SET_CPUID2:
        fake_kvm.cpuid_entries = ((struct kvm_cpuid2 *)argument)->nent;
        return 0;
    case KVM_GET_REGS:
        return GET(regs);
    case KVM_SET_REGS:
        return SET(regs);
    case KVM_GET_SREGS:
        return GET(sregs);
    case KVM_SET_SREGS:
        return SET(sregs);
    case KVM_GET_DIRTY_LOG:
        return get_dirty_log(argument);
    case KVM_GET_MSRS:
        return get_msrs(argument);
    case KVM_SET_MSRS:
        return set_msrs(argument);
    case KVM_GET_MP_STATE:
        return GET(mp_state);
    case KVM_SET_MP_STATE:
        return SET(mp_state);
    case KVM_SET_DEBUGREGS:
        return SET(debugregs);
    case KVM_GET_XCRS:
        return GET(xcrs);
    case KVM_SET_XCRS:
        return SET(xcrs);
    case KVM_GET_XSAVE:
        return GET(xsave);
    case KVM_SET_XSAVE:
        return SET(xsave);
    case KVM_GET_DEBUGREGS:
        return GET(debugregs);
    case KVM_SET_GUEST_DEBUG:
        return SET(guest_debug);
    case KVM_GET_VCPU_EVENTS:
        return GET(events);
    case KVM_SET_VCPU_EVENTS:
        return SET(events);
    case KVM_INTERRUPT:
        fake_kvm.events.interrupt.injected = 1;
        fake_kvm.events.interrupt.nr = (__u8)((struct kvm_interrupt *)argument)->irq;
        return 0;
    case KVM_SET_SIGNAL_MASK:
        memcpy(&fake_kvm.blocked, ((struct kvm_signal_mask *)argument)->sigset, sizeof fake_kvm.blocked);
        return 0;
    case KVM_RUN:
        return run_guest();
    default:
        return 0;
    }
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (_IOC_TYPE(request) != KVMIO)
        return __real_ioctl(fd, request, argument);
    unsigned call = ++fake_kvm.calls;
    if (call <= FAKE_KVM_LOG_MAX)
        fake_kvm.log[call - 1] = request;
    if (call == fake_kvm.failing_call || request == fake_kvm.failing_request) {
        errno = fake_kvm.failing_errno;
        return -1;
    }
    return answer(request, argument);
}

void *__wrap_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (++fake_kvm.mmaps == fake_kvm.failing_mmap) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapping = __real_mmap(at, length, protection, flags, fd, offset);
    if (mapping != MAP_FAILED)
        fake_kvm.mapped++;
    if (mapping != MAP_FAILED && (flags & MAP_SHARED) != 0)
        fake_kvm.run = mapping;
    return mapping;
}

int __wrap_munmap(void *at, size_t length)
{
    fake_kvm.mapped--;
    return __real_munmap(at, length);
}
