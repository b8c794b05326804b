#include "breakpoints.h"

#include "virtual.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define INT3 0xcc
#define HLT 0xf4
#define WATCH_LENGTH_MAX (SLOTS_PROTECTED_MAX / 2 * PAGE_4K)

static bool is_watch(const struct breakpoint *breakpoint)
{
    return breakpoint->kind >= MH_BREAK_WATCH_WRITE;
}

static bool is_same(const struct breakpoint *a, const struct breakpoint *b)
{
    return a->kind == b->kind && a->address == b->address && a->length == b->length;
}

static bool sees_writes(const struct breakpoint *breakpoint)
{
    return breakpoint->kind == MH_BREAK_WATCH_WRITE || breakpoint->kind == MH_BREAK_WATCH_ACCESS;
}

static bool sees_reads(const struct breakpoint *breakpoint)
{
    return breakpoint->kind == MH_BREAK_WATCH_READ || breakpoint->kind == MH_BREAK_WATCH_ACCESS;
}

static size_t count_kind(const struct breakpoints *breakpoints, enum mh_break_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < breakpoints->count; i++)
        count += breakpoints->list[i].kind == kind ? 1 : 0;
    return count;
}

/* Put the pages a watchpoint touches on a list. False when it is full. */
static bool add_watched_pages(struct mh_vm *vm, const struct paging_mode *mode, const struct breakpoint *breakpoint,
                              struct page_list *pages)
{
    uint64_t last = breakpoint->address + breakpoint->length - 1;
    for (uint64_t page = breakpoint->address / PAGE_4K; page <= last / PAGE_4K; page++) {
        struct paging_walk walk;
        if (!paging_walk(&vm->memory, mode, mh_gva_of(page * PAGE_4K), &walk) ||
            ram_at(&vm->memory, walk.physical, 1) == NULL)
            continue;
        if (!page_list_add(pages, walk.physical))
            return false;
    }
    return true;
}

/* Can the pages of this watchpoint be kept read-only beside those of the others, should it come to that? */
static bool pages_suffice(struct mh_vm *vm, const struct paging_mode *mode, const struct breakpoint *added)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    struct page_list pages = {0};
    bool suffice = !sees_writes(added) || add_watched_pages(vm, mode, added, &pages);
    for (size_t i = 0; i < breakpoints->count && suffice; i++)
        suffice = !sees_writes(&breakpoints->list[i]) || add_watched_pages(vm, mode, &breakpoints->list[i], &pages);
    return suffice;
}

static enum mh_status check(struct mh_vm *vm, const struct breakpoint *breakpoint, struct mh_error *err)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    const struct paging_mode mode = virtual_mode(vm);
    if (breakpoint->kind == MH_BREAK_HARDWARE && count_kind(breakpoints, MH_BREAK_HARDWARE) == DEBUG_REGISTERS)
        return mh_fail(err, MH_ERR_HOST, "cannot insert: all four hardware slots are in use");
    if (breakpoint->kind == MH_BREAK_SOFTWARE && virtual_at(vm, &mode, mh_gva_of(breakpoint->address)) == NULL)
        return mh_fail(err, MH_ERR_RANGE, "no memory is mapped at 0x%" PRIx64, breakpoint->address);
    if (!is_watch(breakpoint))
        return MH_OK;
    if (breakpoint->length == 0 || breakpoint->length > WATCH_LENGTH_MAX)
        return mh_fail(err, MH_ERR_RANGE, "cannot watch %" PRIu64 " bytes: 1 to %u are possible", breakpoint->length,
                       WATCH_LENGTH_MAX);
    if (breakpoint->address + breakpoint->length < breakpoint->address)
        return mh_fail(err, MH_ERR_RANGE, "cannot watch beyond the end of the address space");
    if (virtual_at(vm, &mode, mh_gva_of(breakpoint->address)) == NULL)
        return mh_fail(err, MH_ERR_RANGE, "no memory is mapped at 0x%" PRIx64, breakpoint->address);
    if (!pages_suffice(vm, &mode, breakpoint))
        return mh_fail(err, MH_ERR_HOST, "cannot watch: all watchpoints together may lie in %u pages",
                       SLOTS_PROTECTED_MAX);
    return MH_OK;
}

enum mh_status breakpoints_add(struct mh_vm *vm, const struct breakpoint *breakpoint, struct mh_error *err)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    for (size_t i = 0; i < breakpoints->count; i++) {
        if (is_same(&breakpoints->list[i], breakpoint))
            return MH_OK;
    }
    if (breakpoints->count == BREAKPOINTS_MAX)
        return mh_fail(err, MH_ERR_RANGE,
                       "there are %u break- and watchpoints already, the most there can be: delete some",
                       BREAKPOINTS_MAX);
    enum mh_status status = check(vm, breakpoint, err);
    if (status != MH_OK)
        return status;
    if (breakpoints->count == breakpoints->capacity) {
        size_t capacity = breakpoints->capacity == 0 ? 16 : breakpoints->capacity * 2;
        struct breakpoint *list = realloc(breakpoints->list, capacity * sizeof *list);
        if (list == NULL)
            return mh_fail(err, MH_ERR_HOST, "no memory for another breakpoint");
        breakpoints->list = list;
        breakpoints->capacity = capacity;
    }
    breakpoints->list[breakpoints->count++] = *breakpoint;
    return MH_OK;
}

void breakpoints_remove(struct breakpoints *breakpoints, const struct breakpoint *breakpoint)
{
    for (size_t i = 0; i < breakpoints->count; i++) {
        if (is_same(&breakpoints->list[i], breakpoint)) {
            memmove(&breakpoints->list[i], &breakpoints->list[i + 1],
                    (--breakpoints->count - i) * sizeof breakpoints->list[0]);
            return;
        }
    }
}

void breakpoints_clear(struct breakpoints *breakpoints)
{
    breakpoints->count = 0;
}

void breakpoints_destroy(struct breakpoints *breakpoints)
{
    free(breakpoints->list);
    free(breakpoints->patches);
    *breakpoints = (struct breakpoints){0};
}

static int reserve_patch(struct breakpoints *breakpoints)
{
    if (breakpoints->patch_count < breakpoints->patch_capacity)
        return 0;
    size_t capacity = breakpoints->patch_capacity == 0 ? 32 : breakpoints->patch_capacity * 2;
    struct patch *patches = realloc(breakpoints->patches, capacity * sizeof *patches);
    if (patches == NULL)
        return -ENOMEM;
    breakpoints->patches = patches;
    breakpoints->patch_capacity = capacity;
    return 0;
}

/* The patch at a place, as long as the guest has not written over it. All have the same opcode: most places need no
 * look through the list. */
static const struct patch *find_patch(const struct breakpoints *breakpoints, const uint8_t *at)
{
    if (breakpoints->patch_count == 0 || *at != breakpoints->patches[0].opcode)
        return NULL;
    for (size_t i = 0; i < breakpoints->patch_count; i++) {
        if (breakpoints->patches[i].at == at)
            return &breakpoints->patches[i];
    }
    return NULL;
}

void breakpoints_patch(struct mh_vm *vm, const struct paging_mode *mode, uint64_t address)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    uint8_t *at = virtual_at(vm, mode, mh_gva_of(address));
    if (at == NULL || find_patch(breakpoints, at) != NULL || reserve_patch(breakpoints) < 0)
        return;
    uint8_t opcode = vm->debug.host.int3 == HOST_INT3_LOST ? HLT : INT3;
    breakpoints->patches[breakpoints->patch_count++] = (struct patch){.at = at, .original = *at, .opcode = opcode};
    *at = opcode;
}

void breakpoints_unpatch(struct breakpoints *breakpoints)
{
    for (size_t i = 0; i < breakpoints->patch_count; i++) {
        if (*breakpoints->patches[i].at == breakpoints->patches[i].opcode)
            *breakpoints->patches[i].at = breakpoints->patches[i].original;
    }
    breakpoints->patch_count = 0;
}

void breakpoints_refresh(struct breakpoints *breakpoints)
{
    for (size_t i = 0; i < breakpoints->patch_count; i++) {
        struct patch *patch = &breakpoints->patches[i];
        if (*patch->at != patch->opcode) {
            patch->original = *patch->at;
            *patch->at = patch->opcode;
        }
    }
}

/* Debug registers watch 1, 2, 4 or 8 aligned bytes. */
static bool fits_register(const struct breakpoint *breakpoint)
{
    uint64_t length = breakpoint->length;
    return (length == 1 || length == 2 || length == 4 || length == 8) && breakpoint->address % length == 0;
}

static bool take_register(struct breakpoints *breakpoints, const struct breakpoint *breakpoint)
{
    if (breakpoints->register_count == DEBUG_REGISTERS)
        return false;
    breakpoints->in_register[breakpoints->register_count++] = *breakpoint;
    return true;
}

static int arm_watch(struct mh_vm *vm, const struct paging_mode *mode, const struct breakpoint *breakpoint)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    if (vm->debug.host.data_registers && fits_register(breakpoint) && take_register(breakpoints, breakpoint))
        return 0;
    breakpoints->reads_by_step |= sees_reads(breakpoint);
    if (sees_writes(breakpoint) && !add_watched_pages(vm, mode, breakpoint, &breakpoints->pages))
        return -ENOSPC;
    return 0;
}

#define DR7_ENABLES 0xffu

/*
 * True when the guest has breakpoints of its own in the debug registers. Going on from a stop that no debugger was told
 * of is no moment to look anew: to everybody else the guest has just run, and looking costs as much as entering it.
 */
static bool guest_uses_registers(struct mh_vm *vm)
{
    struct kvm_debugregs registers;
    if (!vm->debug.knows_registers)
        vm->debug.guest_has_registers =
            kvm_sys_get_debugregs(vm->vcpu.fd, &registers) < 0 || (registers.dr7 & DR7_ENABLES) != 0;
    vm->debug.knows_registers = true;
    return vm->debug.guest_has_registers;
}

/* Debug registers that mean nothing in ring 3 serve only where INT3s can help out there: debug_user_guard(). */
static bool registers_serve(const struct host_debug *host)
{
    return host->execute_registers && (host->user_registers || host->int3 != HOST_INT3_LOST);
}

static void arm_software(struct mh_vm *vm, const struct paging_mode *mode, const struct breakpoint *breakpoint,
                         bool registers_are_free)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    if (registers_are_free && take_register(breakpoints, breakpoint))
        return;
    if (vm->debug.host.int3 == HOST_INT3_LOST)
        breakpoints->breaks_by_step = true;
    else
        breakpoints_patch(vm, mode, breakpoint->address);
}

static void arm_breaks(struct mh_vm *vm, const struct paging_mode *mode)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    bool registers_are_free = registers_serve(&vm->debug.host) && breakpoints->register_count < DEBUG_REGISTERS &&
                              count_kind(breakpoints, MH_BREAK_SOFTWARE) > 0 && !guest_uses_registers(vm);
    for (size_t i = 0; i < breakpoints->count; i++) {
        if (breakpoints->list[i].kind == MH_BREAK_SOFTWARE)
            arm_software(vm, mode, &breakpoints->list[i], registers_are_free);
    }
}

static void arm_hardware(struct breakpoints *breakpoints, const struct host_debug *host)
{
    for (size_t i = 0; i < breakpoints->count; i++) {
        if (breakpoints->list[i].kind == MH_BREAK_HARDWARE)
            breakpoints->breaks_by_step |= !registers_serve(host) || !take_register(breakpoints, &breakpoints->list[i]);
    }
}

int breakpoints_arm(struct mh_vm *vm, bool watches_only)
{
    struct breakpoints *breakpoints = &vm->debug.breakpoints;
    const struct paging_mode mode = virtual_mode(vm);
    int result = 0;
    breakpoints->register_count = 0;
    breakpoints->breaks_by_step = breakpoints->reads_by_step = false;
    breakpoints->pages.count = 0;
    if (!watches_only)
        arm_hardware(breakpoints, &vm->debug.host);
    for (size_t i = 0; i < breakpoints->count && result == 0; i++) {
        if (is_watch(&breakpoints->list[i]))
            result = arm_watch(vm, &mode, &breakpoints->list[i]);
    }
    if (result == 0)
        result = slots_protect(&vm->slots, &breakpoints->pages);
    if (result == 0 && !watches_only)
        arm_breaks(vm, &mode);
    return result;
}

const struct breakpoint *breakpoints_at(const struct breakpoints *breakpoints, uint64_t rip)
{
    const struct breakpoint *found = NULL;
    for (size_t i = 0; i < breakpoints->count; i++) {
        const struct breakpoint *breakpoint = &breakpoints->list[i];
        if (!is_watch(breakpoint) && breakpoint->address == rip &&
            (found == NULL || breakpoint->kind == MH_BREAK_SOFTWARE))
            found = breakpoint;
    }
    return found;
}

bool breakpoints_patched_at(struct mh_vm *vm, uint64_t rip)
{
    const struct paging_mode mode = virtual_mode(vm);
    const uint8_t *at = virtual_at(vm, &mode, mh_gva_of(rip));
    return at != NULL && find_patch(&vm->debug.breakpoints, at) != NULL;
}

/* DR7's condition bits for a register: execute 0, write 1, read or write 3; and its length bits. */
static uint64_t dr7_bits(const struct breakpoint *breakpoint, unsigned number)
{
    static const uint64_t lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    uint64_t condition = !is_watch(breakpoint) ? 0 : breakpoint->kind == MH_BREAK_WATCH_WRITE ? 1 : 3;
    uint64_t length = is_watch(breakpoint) ? lengths[breakpoint->length] : 0;
    return 2ull << (2 * number) | (condition | length << 2) << (16 + 4 * number);
}

void breakpoints_fill_registers(const struct breakpoints *breakpoints, struct kvm_guest_debug *debug)
{
    uint64_t dr7 = 0x400;
    for (unsigned i = 0; i < breakpoints->register_count; i++) {
        debug->arch.debugreg[i] = breakpoints->in_register[i].address;
        dr7 |= dr7_bits(&breakpoints->in_register[i], i);
    }
    debug->arch.debugreg[7] = dr7;
    if (breakpoints->register_count > 0)
        debug->control |= KVM_GUESTDBG_USE_HW_BP;
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a < b + b_length && b < a + a_length;
}

const struct breakpoint *breakpoints_watching_write(struct mh_vm *vm, mh_gpa address, uint32_t length)
{
    const struct breakpoints *breakpoints = &vm->debug.breakpoints;
    const struct paging_mode mode = virtual_mode(vm);
    for (size_t i = 0; i < breakpoints->count; i++) {
        const struct breakpoint *breakpoint = &breakpoints->list[i];
        struct paging_walk walk;
        if (!is_watch(breakpoint) || !sees_writes(breakpoint))
            continue;
        for (uint64_t done = 0; done < breakpoint->length;) {
            uint64_t at = breakpoint->address + done;
            uint64_t piece = PAGE_4K - at % PAGE_4K;
            piece = piece < breakpoint->length - done ? piece : breakpoint->length - done;
            if (paging_walk(&vm->memory, &mode, mh_gva_of(at), &walk) &&
                overlap(walk.physical.v, piece, address.v, length))
                return breakpoint;
            done += piece;
        }
    }
    return NULL;
}

const struct breakpoint *breakpoints_watching_read(const struct breakpoints *breakpoints, uint64_t address,
                                                   uint32_t length)
{
    for (size_t i = 0; i < breakpoints->count; i++) {
        const struct breakpoint *breakpoint = &breakpoints->list[i];
        if (is_watch(breakpoint) && sees_reads(breakpoint) &&
            overlap(breakpoint->address, breakpoint->length, address, length))
            return breakpoint;
    }
    return NULL;
}
