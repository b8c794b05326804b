#include "kvm/kvm_probe.h"

#include "kvm/kvm_cpu.h"
#include "x86/boot_state.h"
#include "x86/exceptions.h"
#include "x86/paging.h"
#include "x86/xsave.h"

#include <string.h>
#include <sys/utsname.h>

#define AT_DATA 0x10u
#define AT_INT3 0x20u
#define AT_SSE 0x30u
#define WATCHED 0x40u

static const uint8_t code[] = {
    [AT_DATA] = 0xc6, 0x04, 0x25, WATCHED, 0x00, 0x00, 0x00, 0x01, 0x90, 0xf4, /* movb $1, WATCHED; nop; hlt */
    [AT_INT3] = 0xcc, 0xf4,                                                    /* int3; hlt */
    [AT_SSE] = 0x0f,  0x58, 0xc1, 0xf4,                                        /* addps %xmm1, %xmm0; hlt */
};

/* Enter the guest at `rip`; returns the exit reason. */
static uint32_t kvm_probe_run(struct kvm_cpu *cpu, uint64_t rip, struct kvm_guest_debug *debug)
{
    struct kvm_regs *regs = kvm_cpu_regs(cpu);
    if (regs == NULL)
        return KVM_EXIT_UNKNOWN;
    regs->rip = rip;
    debug->control |= KVM_GUESTDBG_ENABLE;
    if (kvm_cpu_write_regs(cpu) < 0 || kvm_sys_set_guest_debug(cpu->fd, debug) < 0 || kvm_cpu_enter(cpu) < 0)
        return KVM_EXIT_UNKNOWN;
    return cpu->run->exit_reason;
}

/* The bits of DR7 that make register 0 an execute breakpoint, and a one-byte write watchpoint. */
#define DR7_WRITE_0 0x10402u

static bool kvm_probe_register(struct kvm_cpu *cpu, uint64_t from, uint64_t address, uint64_t dr7)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_HW_BP};
    debug.arch.debugreg[0] = address;
    debug.arch.debugreg[7] = dr7;
    return kvm_probe_run(cpu, from, &debug) == KVM_EXIT_DEBUG && (cpu->run->debug.arch.dr6 & 1) != 0;
}

static enum kvm_int3 kvm_probe_int3(struct kvm_cpu *cpu)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_SW_BP};
    switch (kvm_probe_run(cpu, AT_INT3, &debug)) {
    case KVM_EXIT_DEBUG:
        return cpu->run->debug.arch.exception == EXCEPTION_BREAKPOINT ? KVM_INT3_REPORTED : KVM_INT3_LOST;
    case KVM_EXIT_INTERNAL_ERROR:
        return KVM_INT3_ERROR;
    default:
        return KVM_INT3_LOST;
    }
}

static bool kvm_probe_sse(struct kvm_cpu *cpu)
{
    struct kvm_guest_debug debug = {.control = 0};
    return kvm_probe_run(cpu, AT_SSE, &debug) == KVM_EXIT_HLT && kvm_cpu_regs(cpu) != NULL &&
           kvm_cpu_regs(cpu)->rip == AT_SSE + 4;
}

/* Go to ring 3, from which the machine's own tables let nothing but a fault out again. */
static bool kvm_probe_enter_ring_3(struct kvm_cpu *cpu)
{
    struct kvm_sregs *sregs = kvm_cpu_sregs(cpu);
    if (sregs == NULL)
        return false;
    sregs->cs.selector = MH_SEL_USER_CODE;
    sregs->ss = sregs->ds; /* an exception may have left none */
    sregs->ss.selector = MH_SEL_USER_DATA;
    sregs->cs.dpl = sregs->ss.dpl = 3;
    return kvm_cpu_write_sregs(cpu) == 0;
}

static void kvm_probe_all(struct kvm_cpu *cpu, struct kvm_quirks *quirks)
{
    quirks->data_registers = kvm_probe_register(cpu, AT_DATA, WATCHED, DR7_WRITE_0);
    quirks->sse = kvm_probe_sse(cpu);
    quirks->int3_in_ring_0 = kvm_probe_int3(cpu);
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_USE_SW_BP};
    quirks->int3_in_ring_3 = kvm_probe_enter_ring_3(cpu) && kvm_probe_run(cpu, AT_INT3, &debug) == KVM_EXIT_DEBUG &&
                             cpu->run->debug.arch.exception == EXCEPTION_BREAKPOINT;
}

enum mh_status kvm_probe(const struct kvm_host *host, const struct x86_cpuid *cpuid, struct kvm_quirks *quirks,
                         struct mh_error *err)
{
    struct guest_ram ram;
    struct cpu *cpu;
    enum mh_status status = ram_create(&ram, PAGE_2M, err);
    if (status != MH_OK)
        return status;
    memcpy(ram.host, code, sizeof code);
    boot_write_system_area(&ram, PAGE_2M);
    struct mh_cpu_state boot = {.general = boot_general(&ram, 0),
                                .system = boot_system(cpuid->xcr0 != 0),
                                .msrs = boot_msrs(),
                                .xcr0 = cpuid->xcr0,
                                .dr6 = BOOT_DR6,
                                .dr7 = BOOT_DR7};
    x86_xsave_init(boot.xsave);
    status = kvm_cpu_create(host, cpuid, &ram, &boot, &cpu, err);
    if (status == MH_OK) {
        kvm_probe_all((struct kvm_cpu *)cpu, quirks);
        cpu->ops->destroy(cpu);
    }
    ram_free(&ram);
    return status;
}

static const char *kvm_probe_yes(bool yes)
{
    return yes ? "yes" : "no";
}

void kvm_probe_describe(const struct kvm_host *host, const struct kvm_quirks *quirks, const struct text_output *to)
{
    static const char *const int3_names[] = {
        [KVM_INT3_REPORTED] = "reported", [KVM_INT3_ERROR] = "error", [KVM_INT3_LOST] = "lost"};
    struct utsname kernel;
    if (uname(&kernel) == 0)
        text_say(to, "kernel: %s %s %s\n", kernel.sysname, kernel.release, kernel.machine);
    text_say(to, "kvm-api: %d\n", KVM_API_VERSION); /* no other can be opened */
    text_say(to, "kvm-synchronized-registers: %s\n", kvm_probe_yes(host->syncs_registers));
    text_say(to, "kvm-coalesced-ports: %s\n", kvm_probe_yes(host->coalesce_page != 0));
    text_say(to, "kvm-int3-in-ring-0: %s\n", int3_names[quirks->int3_in_ring_0]);
    text_say(to, "kvm-int3-in-ring-3: %s\n", quirks->int3_in_ring_3 ? "reported" : "lost");
    text_say(to, "kvm-data-registers: %s\n", kvm_probe_yes(quirks->data_registers));
    text_say(to, "kvm-sse-in-ring-0: %s\n", kvm_probe_yes(quirks->sse));
}
