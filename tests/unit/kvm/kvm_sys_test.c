#include "kvm/kvm_sys.h"

#include "fake_kvm.h"
#include "temp_dir.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int set_up(void **state)
{
    (void)state;
    fake_kvm_reset();
    return 0;
}

/* Opening fails with these words, and gives back what it had opened. */
static void refused(const char *words)
{
    struct mh_error err = {0};
    int fd = -7;
    unsigned fds = count_open_fds();
    assert_int_equal(kvm_sys_open(&fd, &err), MH_ERR_HOST);
    assert_int_equal(err.status, MH_ERR_HOST);
    assert_text_has(err.text, words);
    assert_int_equal(fd, -7);
    assert_int_equal(count_open_fds(), fds);
}

static void a_kvm_in_good_health_is_opened(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(kvm_sys_open(&fd, NULL), MH_OK);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void a_signal_does_not_keep_a_machine_from_being_made(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(kvm_sys_open(&fd, NULL), MH_OK);
    fake_kvm.failing_call = fake_kvm.calls + 1;
    fake_kvm.failing_errno = EINTR;
    int vm_fd = kvm_sys_create_vm(fd);
    assert_true(vm_fd >= 0);
    close(vm_fd);
    close(fd);
}

static void no_device_is_told_with_what_to_do(void **state)
{
    (void)state;
    fake_kvm.open_errno = ENOENT;
    refused("/dev/kvm does not exist: load the module (modprobe kvm_intel or kvm_amd)");
    refused("nested virtualization");
}

static void no_permission_is_told_with_what_to_do(void **state)
{
    (void)state;
    fake_kvm.open_errno = EACCES;
    refused("no permission to use /dev/kvm: join its group");
    fake_kvm.open_errno = EPERM;
    refused("no permission to use /dev/kvm");
}

static void a_device_without_a_driver_is_told_with_what_to_do(void **state)
{
    (void)state;
    fake_kvm.open_errno = ENODEV;
    refused("/dev/kvm is there but has no driver behind it: load kvm_intel or kvm_amd");
    fake_kvm.open_errno = ENXIO;
    refused("no driver behind it");
}

static void other_reasons_are_told_by_name(void **state)
{
    (void)state;
    fake_kvm.open_errno = EMFILE;
    refused("cannot open /dev/kvm: Too many open files");
}

static void a_device_that_is_no_kvm_is_refused(void **state)
{
    (void)state;
    fake_kvm.failing_request = KVM_GET_API_VERSION;
    fake_kvm.failing_errno = ENOTTY;
    refused("/dev/kvm does not answer as KVM does: Inappropriate ioctl for device");
}

static void other_api_versions_are_refused(void **state)
{
    (void)state;
    static const int versions[] = {0, 11, 13};
    for (size_t i = 0; i < COUNT(versions); i++) {
        fake_kvm.api_version = versions[i];
        refused("this program needs 12: update the kernel");
    }
    refused("speaks API version 13");
}

static void a_missing_capability_is_named(void **state)
{
    (void)state;
    fake_kvm.missing_capability = KVM_CAP_USER_MEMORY;
    refused("lacks KVM_CAP_USER_MEMORY");
    fake_kvm.missing_capability = KVM_CAP_EXT_CPUID;
    refused("lacks KVM_CAP_EXT_CPUID");
    fake_kvm.missing_capability = KVM_CAP_IMMEDIATE_EXIT;
    refused("lacks KVM_CAP_IMMEDIATE_EXIT: Linux 4.13 or newer has it");
}

static void a_capability_that_cannot_be_asked_for_is_not_said_to_be_missing(void **state)
{
    (void)state;
    fake_kvm.failing_request = KVM_CHECK_EXTENSION;
    fake_kvm.failing_errno = EINVAL;
    assert_int_equal(kvm_sys_capability(0, KVM_CAP_USER_MEMORY), 0);
    refused("does not say whether it has KVM_CAP_USER_MEMORY: Invalid argument");
}

static void failures_come_back_as_negated_errnos(void **state)
{
    (void)state;
    static union kvm_sys_cpuid cpuid;
    struct kvm_userspace_memory_region region = {.slot = 0};
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    struct kvm_xcrs xcrs = {0};
    const sigset_t signals = {0};
#define FAILS(request, call)                                                                                           \
    do {                                                                                                               \
        fake_kvm.failing_request = request;                                                                            \
        assert_int_equal(call, -ENOMEM);                                                                               \
    } while (0)
    fake_kvm.failing_errno = ENOMEM;
    FAILS(KVM_GET_VCPU_MMAP_SIZE, kvm_sys_run_size(0));
    FAILS(KVM_GET_SUPPORTED_CPUID, kvm_sys_supported_cpuid(0, &cpuid));
    FAILS(KVM_CREATE_VM, kvm_sys_create_vm(0));
    FAILS(KVM_CREATE_VCPU, kvm_sys_create_vcpu(0));
    FAILS(KVM_SET_TSS_ADDR, kvm_sys_set_tss_address(0, 0));
    FAILS(KVM_SET_USER_MEMORY_REGION, kvm_sys_set_memory(0, &region));
    FAILS(KVM_REGISTER_COALESCED_MMIO, kvm_sys_coalesce_port(0, 0xe9));
    FAILS(KVM_SET_CPUID2, kvm_sys_set_cpuid(0, &cpuid));
    FAILS(KVM_GET_REGS, kvm_sys_get_regs(0, &regs));
    FAILS(KVM_SET_REGS, kvm_sys_set_regs(0, &regs));
    FAILS(KVM_GET_SREGS, kvm_sys_get_sregs(0, &sregs));
    FAILS(KVM_SET_SREGS, kvm_sys_set_sregs(0, &sregs));
    FAILS(KVM_SET_XCRS, kvm_sys_set_xcrs(0, &xcrs));
    FAILS(KVM_SET_SIGNAL_MASK, kvm_sys_set_signal_mask(0, &signals));
    FAILS(KVM_RUN, kvm_sys_run(0));
}

static void cpuid_is_asked_for_with_all_the_room_there_is(void **state)
{
    (void)state;
    static union kvm_sys_cpuid cpuid;
    cpuid.head.nent = 0;
    fake_kvm.failing_request = KVM_GET_SUPPORTED_CPUID;
    fake_kvm.failing_errno = E2BIG;
    assert_int_equal(kvm_sys_supported_cpuid(0, &cpuid), -E2BIG);
    assert_int_equal(cpuid.head.nent, KVM_SYS_CPUID_MAX);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kvm_in_good_health_is_opened),
        TEST(a_signal_does_not_keep_a_machine_from_being_made),
        TEST(no_device_is_told_with_what_to_do),
        TEST(no_permission_is_told_with_what_to_do),
        TEST(a_device_without_a_driver_is_told_with_what_to_do),
        TEST(other_reasons_are_told_by_name),
        TEST(a_device_that_is_no_kvm_is_refused),
        TEST(other_api_versions_are_refused),
        TEST(a_missing_capability_is_named),
        TEST(a_capability_that_cannot_be_asked_for_is_not_said_to_be_missing),
        TEST(failures_come_back_as_negated_errnos),
        TEST(cpuid_is_asked_for_with_all_the_room_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
