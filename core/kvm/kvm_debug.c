#include "kvm/kvm_debug.h"

#include "kvm/kvm_cpu.h"
#include "kvm/kvm_regs.h"
#include "x86/paging.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define INT3 0xcc
#define DR7_FIXED 0x400u
#define DR7_ENABLES 0xffu

void kvm_debug_destroy(struct kvm_debug *debug)
{
    free(debug->patches);
    *debug = (struct kvm_debug){.patches = NULL};
}

/* ---- INT3 in guest memory ---- */

/* Where guest-virtual `address` is in this process; NULL when it is not mapped to memory. */
static uint8_t *kvm_debug_host(struct kvm_cpu *self, const struct paging_mode *mode, uint64_t address,
                               struct paging_walk *walk)
{
    if (!paging_walk(self->ram, mode, mh_gva_of(address), walk))
        return NULL;
    return ram_at(self->ram, walk->physical, 1);
}

/*
 * Is the address mapped as it was at the start, by the tables in the system area? A guest that has tables of its own
 * may map another page there at any time, which has no INT3, and KVM does not say when.
 */
static bool kvm_debug_is_boot_mapping(const struct paging_walk *walk, uint64_t address)
{
    bool is_boot = walk->physical.v == address;
    for (unsigned i = 0; i < walk->steps; i++)
        is_boot &= walk->step[i].table.v - MH_SYSTEM_AREA < MH_SYSTEM_AREA_SIZE;
    return is_boot;
}

static bool kvm_debug_paging_mode(struct kvm_cpu *self, struct paging_mode *mode)
{
    const struct kvm_sregs *sregs = kvm_cpu_sregs(self);
    if (sregs == NULL)
        return false;
    *mode = (struct paging_mode){.cr0 = sregs->cr0, .cr3 = sregs->cr3, .cr4 = sregs->cr4, .efer = sregs->efer};
    return true;
}

static enum mh_status kvm_debug_add_patch(struct kvm_cpu *self, const struct cpu_point *point, unsigned number,
                                          struct mh_error *err)
{
    struct kvm_debug *debug = &self->debug;
    struct paging_mode mode;
    struct paging_walk walk;
    if (debug->patches == NULL)
        debug->patches = calloc(KVM_PATCHES_MAX, sizeof *debug->patches);
    if (debug->patches == NULL || debug->patch_count == KVM_PATCHES_MAX)
        return mh_fail(err, MH_ERR_RANGE, "KVM holds at most %u breakpoints", KVM_PATCHES_MAX);
    if (!kvm_debug_paging_mode(self, &mode))
        return mh_fail(err, MH_ERR_HOST, "KVM does not give the registers");
    uint8_t *at = kvm_debug_host(self, &mode, point->address, &walk);
    if (at == NULL)
        return mh_fail(err, MH_ERR_RANGE, "no memory is mapped at 0x%" PRIx64, point->address);
    if (!kvm_debug_is_boot_mapping(&walk, point->address))
        return mh_fail(err, MH_ERR_RANGE, "page tables of the guest map 0x%" PRIx64 ", and may change", point->address);
    debug->patches[debug->patch_count++] = (struct kvm_patch){.at = at, .point = number};
    return MH_OK;
}

static void kvm_debug_patch(struct kvm_debug *debug)
{
    for (size_t i = 0; i < debug->patch_count; i++) {
        debug->patches[i].original = *debug->patches[i].at;
        *debug->patches[i].at = INT3;
    }
}

/* In reverse order: two points may have patched one byte. One that the guest has overwritten stays as it is. */
void kvm_debug_leave(struct kvm_cpu *self)
{
    struct kvm_debug *debug = &self->debug;
    for (size_t i = debug->patch_count; i-- > 0;) {
        if (*debug->patches[i].at == INT3)
            *debug->patches[i].at = debug->patches[i].original;
    }
}

bool kvm_debug_patch_at(struct kvm_cpu *self, uint64_t rip, unsigned *point)
{
    struct paging_mode mode;
    struct paging_walk walk;
    if (self->debug.patch_count == 0 || !kvm_debug_paging_mode(self, &mode))
        return false;
    const uint8_t *at = kvm_debug_host(self, &mode, rip, &walk);
    for (size_t i = 0; at != NULL && i < self->debug.patch_count; i++) {
        if (self->debug.patches[i].at == at) {
            *point = self->debug.patches[i].point;
            return true;
        }
    }
    return false;
}

/* ---- debug registers ---- */

/* Debug registers watch 1, 2, 4 or 8 aligned bytes (Intel SDM volume 3, 17.2.5). */
static bool kvm_debug_fits_register(const struct cpu_point *point)
{
    uint64_t length = point->length;
    return (length == 1 || length == 2 || length == 4 || length == 8) && point->address % length == 0;
}

static bool kvm_debug_take_register(struct kvm_debug *debug, const struct cpu_point *point, unsigned number)
{
    if (debug->register_count == KVM_DEBUG_REGISTERS)
        return false;
    debug->in_register[debug->register_count] = *point;
    debug->register_point[debug->register_count++] = number;
    return true;
}

static enum mh_status kvm_debug_add_watch(struct kvm_debug *debug, const struct cpu_point *point, unsigned number,
                                          struct mh_error *err)
{
    if (point->kind == CPU_POINT_READ)
        return mh_fail(err, MH_ERR_RANGE, "x86 has no debug registers for reads alone");
    if (!kvm_debug_fits_register(point))
        return mh_fail(err, MH_ERR_RANGE, "no debug register watches %" PRIu64 " bytes at 0x%" PRIx64, point->length,
                       point->address);
    if (!kvm_debug_take_register(debug, point, number))
        return mh_fail(err, MH_ERR_RANGE, "all four debug registers are in use");
    return MH_OK;
}

/* DR7's enable, condition and length bits for a register. */
static uint64_t kvm_debug_dr7(const struct cpu_point *point, unsigned number)
{
    static const uint64_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    static const uint64_t conditions[] = {[CPU_POINT_WRITE] = 1, [CPU_POINT_ACCESS] = 3};
    return 2ull << (2 * number) | (conditions[point->kind] | lengths[point->length] << 2) << (16 + 4 * number);
}

bool kvm_debug_register_hit(const struct kvm_cpu *self, uint64_t dr6, unsigned *point)
{
    const struct kvm_debug *debug = &self->debug;
    for (unsigned i = 0; i < debug->register_count; i++) {
        if ((dr6 >> i & 1) == 0)
            continue;
        *point = debug->register_point[i];
        return true;
    }
    return false;
}

/* ---- both ---- */

static enum mh_status kvm_debug_add(struct kvm_cpu *self, const struct cpu_point *point, unsigned number,
                                    struct mh_error *err)
{
    if (point->kind != CPU_POINT_EXECUTE)
        return kvm_debug_add_watch(&self->debug, point, number, err);
    if (point->persists) /* a debug register would miss it when the guest returns to it with RF set, as handlers do */
        return mh_fail(err, MH_ERR_RANGE, "an INT3 does not persist, and debug registers miss some breakpoints");
    return kvm_debug_add_patch(self, point, number, err);
}

/* Debug registers that the guest uses are the guest's. */
static bool kvm_debug_registers_are_free(const struct kvm_cpu *self)
{
    struct kvm_debugregs registers;
    return kvm_sys_get_debugregs(self->fd, &registers) == 0 && (registers.dr7 & DR7_ENABLES) == 0;
}

enum mh_status kvm_debug_arm(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err)
{
    struct kvm_cpu *self = (struct kvm_cpu *)cpu;
    struct kvm_debug *debug = &self->debug;
    enum mh_status status = MH_OK;
    debug->patch_count = 0;
    debug->register_count = 0;
    for (size_t i = 0; i < count && status == MH_OK; i++)
        status = kvm_debug_add(self, &points[i], (unsigned)i, err);
    if (status == MH_OK && debug->register_count > 0 && !kvm_debug_registers_are_free(self))
        status = mh_fail(err, MH_ERR_RANGE, "the guest uses the debug registers itself");
    if (status != MH_OK)
        debug->patch_count = debug->register_count = 0;
    return status;
}

int kvm_debug_enter(struct kvm_cpu *self, uint32_t inject)
{
    struct kvm_debug *debug = &self->debug;
    struct kvm_guest_debug wanted = {.control = 0};
    wanted.arch.debugreg[7] = DR7_FIXED;
    for (unsigned i = 0; i < debug->register_count; i++) {
        wanted.arch.debugreg[i] = debug->in_register[i].address;
        wanted.arch.debugreg[7] |= kvm_debug_dr7(&debug->in_register[i], i);
    }
    wanted.control = (debug->patch_count > 0 ? KVM_GUESTDBG_USE_SW_BP : 0u) |
                     (debug->register_count > 0 ? KVM_GUESTDBG_USE_HW_BP : 0u) | inject;
    if (wanted.control != 0)
        wanted.control |= KVM_GUESTDBG_ENABLE;
    if (!debug->control_is_current || memcmp(&wanted, &debug->control, sizeof wanted) != 0) {
        int result = kvm_sys_set_guest_debug(self->fd, &wanted);
        if (result < 0)
            return result;
        debug->control = wanted;
        debug->control_is_current = inject == 0; /* it is injected once */
    }
    kvm_debug_patch(debug);
    return 0;
}
