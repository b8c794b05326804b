#include "host.h"

#include "mh/x86_regs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mh_status mh_host_open(struct mh_host **host, struct mh_error *err)
{
    struct mh_host *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for using KVM: %s", strerror(ENOMEM));
    enum mh_status status = kvm_sys_open(&opened->fd, err);
    if (status != MH_OK) {
        free(opened);
        return status;
    }
    int run_size = kvm_sys_run_size(opened->fd);
    if (run_size < (int)sizeof(struct kvm_run)) {
        close(opened->fd);
        free(opened);
        return mh_fail(err, MH_ERR_HOST, "KVM does not tell how large a processor's run page is: %s",
                       run_size < 0 ? strerror(-run_size) : "it is too small");
    }
    opened->run_size = (size_t)run_size;
    if (kvm_sys_capability(opened->fd, KVM_CAP_COALESCED_PIO) != 0)
        opened->coalesce_page = (unsigned)kvm_sys_capability(opened->fd, KVM_CAP_COALESCED_MMIO);
    opened->needs_tss_address = kvm_sys_capability(opened->fd, KVM_CAP_SET_TSS_ADDR) != 0;
    opened->can_sync = ((unsigned)kvm_sys_capability(opened->fd, KVM_CAP_SYNC_REGS) & VCPU_SYNCED) == VCPU_SYNCED;
    pthread_mutex_init(&opened->mutex, NULL);
    *host = opened;
    return MH_OK;
}

void mh_host_close(struct mh_host *host)
{
    if (host == NULL)
        return;
    close(host->fd);
    pthread_mutex_destroy(&host->mutex);
    free(host);
}

#define CPUID_LEAF_XSAVE 0xd
#define CPUID_LEAF_FEATURES 1
#define CPUID_1_ECX_XSAVE (1u << 26)

static const struct kvm_cpuid_entry2 *find_leaf(const union kvm_sys_cpuid *cpuid, uint32_t leaf, uint32_t index)
{
    for (uint32_t i = 0; i < cpuid->head.nent; i++) {
        if (cpuid->head.entries[i].function == leaf && cpuid->head.entries[i].index == index)
            return &cpuid->head.entries[i];
    }
    return NULL;
}

/* Everything the machine may switch on for ordinary compiler output: x87, SSE, AVX and all of AVX-512 or none. */
static uint64_t usable_xcr0(const union kvm_sys_cpuid *cpuid)
{
    const struct kvm_cpuid_entry2 *features = find_leaf(cpuid, CPUID_LEAF_FEATURES, 0);
    const struct kvm_cpuid_entry2 *xsave = find_leaf(cpuid, CPUID_LEAF_XSAVE, 0);
    if (features == NULL || xsave == NULL || (features->ecx & CPUID_1_ECX_XSAVE) == 0)
        return 0;
    uint64_t usable = xsave->eax & (MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX | MH_XCR0_AVX512);
    if ((usable & MH_XCR0_AVX512) != MH_XCR0_AVX512)
        usable &= ~(uint64_t)MH_XCR0_AVX512;
    return usable;
}

uint32_t host_xsave_offset(const struct mh_host *host, unsigned number)
{
    const struct kvm_cpuid_entry2 *leaf = find_leaf(&host->cpuid, CPUID_LEAF_XSAVE, number);
    return leaf == NULL ? 0 : leaf->ebx;
}

int host_cpuid(struct mh_host *host)
{
    int result = 0;
    pthread_mutex_lock(&host->mutex);
    if (!host->has_cpuid) {
        result = kvm_sys_supported_cpuid(host->fd, &host->cpuid);
        host->has_cpuid = result == 0;
        host->xcr0 = result < 0 ? 0 : usable_xcr0(&host->cpuid);
    }
    pthread_mutex_unlock(&host->mutex);
    return result;
}

void mh_host_prepare(struct mh_host *host)
{
    host_cpuid(host); /* a failure is met again, and told, where a machine needs the answer */
}
