/* What this host's KVM can do, for people, bug reports and tests: tried, each in a machine of its own. */
#include "x86/exceptions.h"
#include "faults.h"
#include "mh/x86_regs.h"
#include "probe.h"
#include "text.h"
#include "vm_internal.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#define CODE_MAX 24u
#define MARK 0x5au

struct trial {
    const char *name;
    uint8_t code[CODE_MAX]; /* the machine's memory from 0 on, where it is entered */
    uint8_t length;         /* of the instructions before the hlt */
    uint8_t vector;         /* of the fault that is due, */
    uint32_t error_code;    /* and its error code */
    uint32_t control;       /* KVM_GUESTDBG_* */
    /* The value to print, from what the first entry came to. */
    const char *(*judge)(struct mh_vm *vm, const struct trial *trial);
};

static const char *yes_or_no(bool yes)
{
    return yes ? "yes" : "no";
}

static uint64_t rip_of(struct mh_vm *vm)
{
    uint64_t rip;
    return vcpu_rip(&vm->vcpu, &rip) ? rip : UINT64_MAX;
}

/* The instruction was executed, and the hlt behind it. */
static const char *judge_executed(struct mh_vm *vm, const struct trial *trial)
{
    return yes_or_no(vm->vcpu.run->exit_reason == KVM_EXIT_HLT && rip_of(vm) == trial->length + 1u);
}

/* A software interrupt leads to a stub of ours, and that to a hlt. */
static const char *judge_interrupt(struct mh_vm *vm, const struct trial *trial)
{
    (void)trial;
    return vm->vcpu.run->exit_reason == KVM_EXIT_HLT ? "delivered" : "error";
}

static const char *judge_fault(struct mh_vm *vm, const struct trial *trial)
{
    struct mh_stop stop = {0};
    bool came = vm->vcpu.run->exit_reason == KVM_EXIT_HLT && faults_take_from_stub(vm, &stop);
    return yes_or_no(came && stop.vector == trial->vector && stop.error_code == trial->error_code);
}

static const char *judge_stepped_hlt(struct mh_vm *vm, const struct trial *trial)
{
    (void)trial;
    return vm->vcpu.run->exit_reason == KVM_EXIT_HLT ? "reported" : "missed";
}

static const char *judge_rip_at_out(struct mh_vm *vm, const struct trial *trial)
{
    if (vm->vcpu.run->exit_reason != KVM_EXIT_IO)
        return "unknown";
    return rip_of(vm) < trial->length ? "at it" : "after it";
}

/* The step that led to the exit for an OUT is not over: does it end, without being asked for again? */
static const char *judge_step_after_out(struct mh_vm *vm, const struct trial *trial)
{
    (void)trial;
    if (vm->vcpu.run->exit_reason != KVM_EXIT_IO || vcpu_run(&vm->vcpu) < 0)
        return "unknown";
    return vm->vcpu.run->exit_reason == KVM_EXIT_DEBUG ? "kept" : "lost";
}

static const char *judge_pushed_flags(struct mh_vm *vm, const struct trial *trial)
{
    (void)trial;
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    const uint8_t *at = regs == NULL ? NULL : ram_at(&vm->memory, mh_gpa_of(regs->rsp), sizeof(uint64_t));
    if (at == NULL || vm->vcpu.run->exit_reason != KVM_EXIT_DEBUG)
        return "unknown";
    return (at[1] & MH_RFLAGS_TF >> 8) != 0 ? "shown" : "hidden";
}

static const char *judge_triple_fault(struct mh_vm *vm, const struct trial *trial)
{
    (void)trial;
    const struct kvm_regs *regs = vcpu_regs(&vm->vcpu);
    if (regs == NULL || vm->vcpu.run->exit_reason != KVM_EXIT_SHUTDOWN)
        return "unknown";
    return regs->rbx == MARK ? "kept" : "lost";
}

#define STEP KVM_GUESTDBG_SINGLESTEP

static const struct trial trials[] = {
    {"hlt-when-stepped", {0xf4, 0x90, 0xf4}, .control = STEP, .judge = judge_stepped_hlt},
    {"rip-at-out", {0xe6, 0x80, 0x90, 0xf4}, .length = 2, .judge = judge_rip_at_out},
    {"step-after-out", {0xe6, 0x80, 0x90, 0x90, 0xf4}, .control = STEP, .judge = judge_step_after_out},
    {"trap-flag-in-pushf", {0x9c, 0x90, 0xf4}, .control = STEP, .judge = judge_pushed_flags},
    {"software-interrupts", {0xcd, EXCEPTION_BREAKPOINT, 0xf4}, .judge = judge_interrupt},
    /* mov $MARK, %ebx; push $0; push $0; lidt (%rsp); ud2 */
    {"registers-after-triple-fault",
     {0xbb, MARK, 0, 0, 0, 0x6a, 0, 0x6a, 0, 0x0f, 0x01, 0x1c, 0x24, 0x0f, 0x0b},
     .judge = judge_triple_fault},
    /* movabs $0x8000000000001000, %rsp; push %rax: an address that is none, for the stack */
    {"stack-faults",
     {0x48, 0xbc, 0x00, 0x10, 0, 0, 0, 0, 0, 0x80, 0x50, 0xf4},
     .vector = EXCEPTION_STACK_FAULT,
     .judge = judge_fault},
    /* movl $0x2083, the second entry of the page directory; mov 0x200000, %eax: a large page at an odd place */
    {"reserved-bit-faults",
     {0xc7, 0x04, 0x25, 0x08, 0x20, 0x00, 0x01, 0x83, 0x20, 0, 0, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0xf4},
     .vector = EXCEPTION_PAGE_FAULT,
     .error_code = 9, /* present, reserved */
     .judge = judge_fault},
    {"x87-in-ring-0", {0xd9, 0xe8, 0xf4}, .length = 2, .judge = judge_executed},             /* fld1 */
    {"sse-in-ring-0", {0x0f, 0x58, 0xc1, 0xf4}, .length = 3, .judge = judge_executed},       /* addps %xmm1, %xmm0 */
    {"avx-in-ring-0", {0xc5, 0xfc, 0x57, 0xc1, 0xf4}, .length = 4, .judge = judge_executed}, /* vxorps %ymm1, %ymm0 */
};

static enum mh_status try_one(struct mh_host *host, const struct trial *trial, const struct text_output *to,
                              struct mh_error *err)
{
    struct mh_vm *vm;
    struct kvm_guest_debug debug = {.control = trial->control};
    enum mh_status status = probe_machine(host, trial->code, sizeof trial->code, &vm, err);
    if (status != MH_OK)
        return status;
    probe_run(vm, 0, &debug);
    text_say(to, "%s: %s\n", trial->name, trial->judge(vm, trial));
    mh_vm_destroy(vm);
    return MH_OK;
}

static void say_kernel(const struct text_output *to)
{
    struct utsname name;
    if (uname(&name) == 0)
        text_say(to, "kernel: %s %s %s\n", name.sysname, name.release, name.machine);
}

static void say_capabilities(struct mh_host *host, const struct text_output *to)
{
    text_say(to, "kvm-api: %d\n", KVM_API_VERSION); /* no other can be opened */
    text_say(to, "synchronized-registers: %s\n", yes_or_no(host->can_sync));
    text_say(to, "coalesced-ports: %s\n", yes_or_no(host->coalesce_page != 0));
    text_say(to, "read-only-memory: %s\n", yes_or_no(kvm_sys_capability(host->fd, KVM_CAP_READONLY_MEM) != 0));
    if (host_cpuid(host) == 0)
        text_say(to, "xcr0: 0x%" PRIx64 "\n", host->xcr0);
}

enum mh_status mh_host_describe(struct mh_host *host, mh_text_sink *sink, void *sink_ctx, struct mh_error *err)
{
    static const char *const int3_names[] = {
        [HOST_INT3_REPORTED] = "reported", [HOST_INT3_ERROR] = "error", [HOST_INT3_LOST] = "lost"};
    const struct text_output to = {.sink = sink, .ctx = sink_ctx};
    struct host_debug debug;
    enum mh_status status = probe_host(host, &debug, err);
    if (status != MH_OK)
        return status;
    say_kernel(&to);
    say_capabilities(host, &to);
    text_say(&to, "int3: %s\n", int3_names[debug.int3]);
    text_say(&to, "execute-registers: %s\n", yes_or_no(debug.execute_registers));
    text_say(&to, "data-registers: %s\n", yes_or_no(debug.data_registers));
    text_say(&to, "execute-registers-in-ring-3: %s\n", yes_or_no(debug.user_registers));
    text_say(&to, "int3-in-ring-3: %s\n", debug.user_int3 ? "reported" : "lost");
    text_say(&to, "steps-last: %s\n", yes_or_no(debug.steps_last));
    for (size_t i = 0; i < sizeof trials / sizeof trials[0] && status == MH_OK; i++)
        status = try_one(host, &trials[i], &to, err);
    return status;
}
