#include "sandbox/seccomp.h"

#include "unit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PROCESS 4711
#define REFUSED (SECCOMP_RET_ERRNO | ENOSYS)
#define KVM_RUN_NUMBER 0xae80

/* What the kernel would do: runs the filter on a call. */
static uint32_t verdict(const struct seccomp_program *program, const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (size_t next = 0; next < program->length;) {
        const struct sock_filter *at = &program->code[next++];
        if (at->code == (BPF_RET | BPF_K))
            return at->k;
        if (at->code == (BPF_JMP | BPF_JEQ | BPF_K))
            next += a == at->k ? at->jt : at->jf;
        else if (at->code == (BPF_ALU | BPF_AND | BPF_K))
            a &= at->k;
        else {
            assert_int_equal(at->code, BPF_LD | BPF_W | BPF_ABS);
            memcpy(&a, (const char *)data + at->k, sizeof a);
        }
    }
    fail_msg("the filter runs off its end");
    return 0;
}

static uint32_t verdict_on(const struct seccomp_data *call, bool with_kvm)
{
    struct seccomp_program program;
    struct seccomp_data data = *call;
    seccomp_make(&program, PROCESS, with_kvm);
    assert_in_range(program.length, 1, SECCOMP_LENGTH_MAX);
    if (data.arch == 0)
        data.arch = AUDIT_ARCH_X86_64;
    return verdict(&program, &data);
}

static void what_machines_need_is_allowed(void **state)
{
    (void)state;
    const struct seccomp_data calls[] = {
        {.nr = SYS_read},
        {.nr = SYS_openat2},
        {.nr = SYS_accept4},
        {.nr = SYS_futex},
        {.nr = SYS_exit_group},
        {.nr = SYS_ioctl, .args = {0, TCGETS}},
        {.nr = SYS_ioctl, .args = {0, TIOCGPGRP}},
        {.nr = SYS_ioctl, .args = {0, FIONREAD}},
        {.nr = SYS_clone, .args = {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}},
        {.nr = SYS_mmap, .args = {0, 4096, PROT_READ | PROT_WRITE}},
        {.nr = SYS_mprotect, .args = {0, 4096, PROT_READ | PROT_WRITE}},
        {.nr = SYS_tgkill, .args = {PROCESS, 1, 10}},
    };
    for (size_t i = 0; i < COUNT(calls); i++)
        assert_int_equal(verdict_on(&calls[i], false), SECCOMP_RET_ALLOW);
}

static void everything_else_is_refused(void **state)
{
    (void)state;
    const struct seccomp_data calls[] = {
        {.nr = SYS_execve},
        {.nr = SYS_execveat},
        {.nr = SYS_fork},
        {.nr = SYS_vfork},
        {.nr = SYS_clone3},
        {.nr = SYS_clone, .args = {17}},
        {.nr = SYS_clone, .args = {CLONE_VM | CLONE_VFORK}},
        {.nr = SYS_ptrace},
        {.nr = SYS_process_vm_readv},
        {.nr = SYS_process_vm_writev},
        {.nr = SYS_socket},
        {.nr = SYS_connect},
        {.nr = SYS_bind},
        {.nr = SYS_sendmsg},
        {.nr = SYS_kill},
        {.nr = SYS_tgkill, .args = {PROCESS + 1, 1, 10}},
        {.nr = SYS_io_uring_setup},
        {.nr = SYS_bpf},
        {.nr = SYS_mount},
        {.nr = SYS_unshare},
        {.nr = SYS_ioctl, .args = {0, TIOCSTI}},
        {.nr = SYS_ioctl, .args = {0, TIOCSCTTY}},
        {.nr = SYS_mmap, .args = {0, 4096, PROT_READ | PROT_EXEC}},
        {.nr = SYS_mprotect, .args = {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}},
        {.nr = SYS_prctl},
        {.nr = 0x40000000 | SYS_read}, /* the same call by x32's numbers */
        {.nr = -1},
        {.nr = 100000},
    };
    for (size_t i = 0; i < COUNT(calls); i++)
        assert_int_equal(verdict_on(&calls[i], true), REFUSED);
}

static void kvm_is_allowed_only_to_those_who_use_it(void **state)
{
    (void)state;
    const struct seccomp_data calls[] = {
        {.nr = SYS_ioctl, .args = {5, KVM_RUN_NUMBER}},
        {.nr = SYS_ioctl, .args = {5, 0xc008ae05}}, /* KVM_GET_SUPPORTED_CPUID: size and direction do not matter */
    };
    for (size_t i = 0; i < COUNT(calls); i++) {
        assert_int_equal(verdict_on(&calls[i], true), SECCOMP_RET_ALLOW);
        assert_int_equal(verdict_on(&calls[i], false), REFUSED);
    }
}

static void numbers_of_other_architectures_mean_other_calls(void **state)
{
    (void)state;
    const struct seccomp_data call = {.nr = SYS_read, .arch = AUDIT_ARCH_I386};
    assert_int_equal(verdict_on(&call, true), REFUSED);
}

static void what_opens_files_may_do_nothing_else(void **state)
{
    (void)state;
    const int allowed[] = {SYS_recvfrom, SYS_sendmsg, SYS_openat, SYS_newfstatat, SYS_close, SYS_exit_group};
    const int refused[] = {SYS_read,  SYS_write, SYS_mmap,   SYS_clone,  SYS_ioctl, SYS_unlinkat,
                           SYS_mkdir, SYS_kill,  SYS_tgkill, SYS_execve, SYS_dup,   SYS_ptrace};
    struct seccomp_program program;
    seccomp_make_opener(&program);
    for (size_t i = 0; i < COUNT(allowed); i++) {
        const struct seccomp_data data = {.nr = allowed[i], .arch = AUDIT_ARCH_X86_64};
        assert_int_equal(verdict(&program, &data), SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < COUNT(refused); i++) {
        const struct seccomp_data data = {.nr = refused[i], .arch = AUDIT_ARCH_X86_64};
        assert_int_equal(verdict(&program, &data), REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_machines_need_is_allowed),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(kvm_is_allowed_only_to_those_who_use_it),
        cmocka_unit_test(numbers_of_other_architectures_mean_other_calls),
        cmocka_unit_test(what_opens_files_may_do_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
