#include "kvm/kvm_host.h"

#include "mh/x86_regs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNCED_REGISTERS (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)

enum mh_status kvm_host_open(struct kvm_host **host, struct mh_error *err)
{
    struct kvm_host *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for KVM: %s", strerror(ENOMEM));
    enum mh_status status = kvm_sys_open(&opened->fd, err);
    if (status != MH_OK) {
        free(opened);
        return status;
    }
    int run_size = kvm_sys_run_size(opened->fd);
    if (run_size < (int)sizeof(struct kvm_run)) {
        kvm_host_close(opened);
        return mh_fail(err, MH_ERR_HOST, "KVM does not say how large a processor's run page is: %s",
                       run_size < 0 ? strerror(-run_size) : "it is too small");
    }
    opened->run_size = (size_t)run_size;
    if (kvm_sys_capability(opened->fd, KVM_CAP_COALESCED_PIO) != 0)
        opened->coalesce_page = (unsigned)kvm_sys_capability(opened->fd, KVM_CAP_COALESCED_MMIO);
    opened->needs_tss_address = kvm_sys_capability(opened->fd, KVM_CAP_SET_TSS_ADDR) != 0;
    opened->syncs_registers =
        ((unsigned)kvm_sys_capability(opened->fd, KVM_CAP_SYNC_REGS) & SYNCED_REGISTERS) == SYNCED_REGISTERS;
    *host = opened;
    return MH_OK;
}

void kvm_host_close(struct kvm_host *host)
{
    if (host == NULL)
        return;
    close(host->fd);
    free(host);
}

#define CPUID_LEAF_FEATURES 1
#define CPUID_LEAF_XSAVE 0xd
#define CPUID_1_ECX_XSAVE (1u << 26)

/* The state components that a guest may switch on: those of compiled programs. */
static uint64_t kvm_host_xcr0(const struct x86_cpuid *cpuid)
{
    uint32_t features[4], xsave[4];
    x86_cpuid_query(cpuid, CPUID_LEAF_FEATURES, 0, features);
    x86_cpuid_query(cpuid, CPUID_LEAF_XSAVE, 0, xsave);
    return (features[2] & CPUID_1_ECX_XSAVE) == 0 ? 0 : xsave[0] & (MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX);
}

int kvm_host_cpuid(const struct kvm_host *host, struct x86_cpuid *cpuid)
{
    union kvm_sys_cpuid *supported = calloc(1, sizeof *supported);
    int result = supported == NULL ? -ENOMEM : kvm_sys_supported_cpuid(host->fd, supported);
    *cpuid = (struct x86_cpuid){.count = 0};
    for (uint32_t i = 0; result == 0 && i < supported->head.nent && cpuid->count < X86_CPUID_MAX; i++) {
        const struct kvm_cpuid_entry2 *entry = &supported->head.entries[i];
        cpuid->leaves[cpuid->count++] =
            (struct x86_cpuid_leaf){.leaf = entry->function,
                                    .subleaf = entry->index,
                                    .has_subleaves = (entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
                                    .eax = entry->eax,
                                    .ebx = entry->ebx,
                                    .ecx = entry->ecx,
                                    .edx = entry->edx};
    }
    cpuid->xcr0 = kvm_host_xcr0(cpuid);
    free(supported);
    return result;
}

void kvm_host_cpuid_to_kvm(const struct x86_cpuid *from, union kvm_sys_cpuid *to)
{
    memset(to, 0, sizeof *to);
    for (; to->head.nent < from->count; to->head.nent++) {
        const struct x86_cpuid_leaf *leaf = &from->leaves[to->head.nent];
        to->head.entries[to->head.nent] =
            (struct kvm_cpuid_entry2){.function = leaf->leaf,
                                      .index = leaf->subleaf,
                                      .flags = leaf->has_subleaves ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                      .eax = leaf->eax,
                                      .ebx = leaf->ebx,
                                      .ecx = leaf->ecx,
                                      .edx = leaf->edx};
    }
}
