#include "sandbox/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Call `number` is allowed when the low half of `argument` has `value` in the bits of `mask`. */
struct condition {
    int number;
    unsigned argument;
    uint32_t mask, value;
};

/* The type of all of KVM's ioctls (KVMIO); only core includes KVM's header. */
#define IOCTL_TYPE 0xff00u
#define IOCTL_TYPE_KVM 0xae00u
#define ALL_BITS UINT32_MAX
#define THREAD (uint32_t)(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define TERMIOS2_GET 0x802c542au /* TCGETS2, TCSETS2: newer C libraries */
#define TERMIOS2_SET 0x402c542bu

static const struct condition kvm_ioctls = {SYS_ioctl, 1, IOCTL_TYPE, IOCTL_TYPE_KVM};

static const struct condition conditions[] = {
    {SYS_ioctl, 1, ALL_BITS, TCGETS}, /* not TIOCSTI, which types into the user's shell */
    {SYS_ioctl, 1, ALL_BITS, TCSETS},    {SYS_ioctl, 1, ALL_BITS, TERMIOS2_GET}, {SYS_ioctl, 1, ALL_BITS, TERMIOS2_SET},
    {SYS_ioctl, 1, ALL_BITS, TIOCGPGRP},                                 /* whose terminal it is */
    {SYS_ioctl, 1, ALL_BITS, FIONREAD},  {SYS_clone, 0, THREAD, THREAD}, /* threads, not processes; the filter cannot
                                                                            see the flags of clone3 */
    {SYS_mmap, 2, PROT_EXEC, 0},                                         /* no new code */
    {SYS_mprotect, 2, PROT_EXEC, 0},
};

static const int calls[] = {
    /* files and directories; Landlock says which */
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_close, SYS_copy_file_range,
    SYS_openat, SYS_openat2, SYS_open, SYS_fstat, SYS_stat, SYS_lstat, SYS_newfstatat, SYS_statx, SYS_ftruncate,
    SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_flock, SYS_mkdir, SYS_mkdirat, SYS_unlink, SYS_unlinkat, SYS_rmdir,
    SYS_rename, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_fcntl, SYS_dup, SYS_getdents64, SYS_memfd_create,
    /* debuggers that connect, and their packets; descriptors from the file opener; no new sockets */
    SYS_accept4, SYS_recvfrom, SYS_recvmsg, SYS_sendto, SYS_shutdown, SYS_setsockopt, SYS_getsockopt,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
    /* waiting, time, signals */
    SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_eventfd2, SYS_futex, SYS_restart_syscall, SYS_nanosleep,
    SYS_clock_nanosleep, SYS_clock_gettime, SYS_gettimeofday, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_rt_sigtimedwait, SYS_getpid, SYS_gettid, SYS_getpgrp,
    /* memory and threads */
    SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_set_robust_list, SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity,
    SYS_getrandom, SYS_membarrier, SYS_exit, SYS_exit_group};

/* Of the process that opens files: file_opener.c. */
static const int opener_calls[] = {SYS_recvfrom, SYS_sendmsg,    SYS_openat,          SYS_open,       SYS_close,
                                   SYS_fstat,    SYS_newfstatat, SYS_restart_syscall, SYS_exit_group, SYS_rt_sigreturn};

#define REFUSE (SECCOMP_RET_ERRNO | ENOSYS)

static void program_add(struct seccomp_program *program, uint16_t code, uint32_t value, uint8_t if_true,
                        uint8_t if_false)
{
    program->code[program->length++] = (struct sock_filter){.code = code, .k = value, .jt = if_true, .jf = if_false};
}

static void program_add_load(struct seccomp_program *program, size_t offset)
{
    program_add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Return `action` when what was loaded is `value`. */
static void program_add_return_if(struct seccomp_program *program, uint32_t value, uint32_t action)
{
    program_add(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    program_add(program, BPF_RET | BPF_K, action, 0, 0);
}

static void program_add_condition(struct seccomp_program *program, const struct condition *condition)
{
    program_add_load(program, offsetof(struct seccomp_data, nr));
    program_add(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)condition->number, 0, 4); /* over what follows */
    program_add_load(program, offsetof(struct seccomp_data, args) + condition->argument * sizeof(uint64_t));
    program_add(program, BPF_ALU | BPF_AND | BPF_K, condition->mask, 0, 0);
    program_add_return_if(program, condition->value, SECCOMP_RET_ALLOW);
}

static void program_begin(struct seccomp_program *program)
{
    program->length = 0;
    program_add_load(program, offsetof(struct seccomp_data, arch)); /* int 0x80 numbers calls differently */
    program_add(program, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    program_add(program, BPF_RET | BPF_K, REFUSE, 0, 0);
}

/* Allow these calls, and refuse all others. */
static void program_end(struct seccomp_program *program, const int *allowed, size_t count)
{
    program_add_load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++)
        program_add_return_if(program, (uint32_t)allowed[i], SECCOMP_RET_ALLOW);
    program_add(program, BPF_RET | BPF_K, REFUSE, 0, 0);
}

void seccomp_make(struct seccomp_program *program, pid_t process, bool with_kvm)
{
    const struct condition own_signals = {SYS_tgkill, 0, ALL_BITS, (uint32_t)process};
    program_begin(program);
    if (with_kvm) /* first: every exit of a guest makes this call */
        program_add_condition(program, &kvm_ioctls);
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        program_add_condition(program, &conditions[i]);
    program_add_condition(program, &own_signals);
    program_end(program, calls, sizeof calls / sizeof calls[0]);
}

void seccomp_make_opener(struct seccomp_program *program)
{
    program_begin(program);
    program_end(program, opener_calls, sizeof opener_calls / sizeof opener_calls[0]);
}

bool seccomp_is_there(void)
{
    const uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int seccomp_enforce(const struct seccomp_program *program)
{
    /* the kernel only reads it */
    const struct sock_fprog filter = {.len = program->length, .filter = (struct sock_filter *)(uintptr_t)program->code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0 ? 0 : errno;
}
