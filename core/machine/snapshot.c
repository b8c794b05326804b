#include "machine/snapshot.h"

#include "devices/file_snapshot.h"
#include "x86/cpu_state.h"
#include "x86/paging.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct snapshot {
    struct mh_cpu_state cpu;
    struct ram_snapshot *ram;
    struct file_request request;
    struct file_snapshot *files;
    uint64_t input; /* place in the input log */
    bool has_count; /* the processor counted: */
    uint64_t count; /* instructions */
};

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    ram_snapshot_free(snapshot->ram);
    file_snapshot_free(snapshot->files);
    free(snapshot);
}

const struct mh_x86_general *snapshot_registers(const struct snapshot *snapshot)
{
    return &snapshot->cpu.general;
}

uint64_t snapshot_rip(const struct snapshot *snapshot)
{
    return snapshot->cpu.general.rip;
}

size_t snapshot_own_size(const struct mh_vm *vm)
{
    return sizeof(struct snapshot) + ram_pages(&vm->ram) * sizeof(void *);
}

size_t snapshot_pages(const struct snapshot *snapshot)
{
    return ram_snapshot_pages(snapshot->ram);
}

static enum mh_status snapshot_fail(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "%s: %s", what, strerror(error));
}

#define FILES_ROOM (256ull << 20)

/* A guest that may write more needs space for at least one snapshot. */
uint64_t snapshot_room(const struct mh_file_limits *limits)
{
    return limits->bytes_written > FILES_ROOM ? limits->bytes_written : FILES_ROOM;
}

static enum mh_status snapshot_take_files(struct mh_vm *vm, struct snapshot *snapshot, struct mh_error *err)
{
    int result = file_snapshot_take(&vm->file.store, &vm->snapshot_room, &snapshot->files);
    if (result == -EFBIG)
        return mh_fail(err, MH_ERR_RANGE,
                       "the files of all snapshots would be more than %" PRIu64 " MB: monitor forget NAME drops one",
                       snapshot_room(&vm->config.limits) >> 20);
    return result < 0 ? snapshot_fail(err, "cannot copy the machine's files", -result) : MH_OK;
}

/* The first snapshot makes the processor track writes; until then every page counts as written. */
static enum mh_status snapshot_collect_writes(struct mh_vm *vm, struct mh_error *err)
{
    if (vm->ram_base != NULL)
        return vm->cpu->ops->collect_writes(vm->cpu, err);
    return vm->cpu->ops->track_writes(vm->cpu, err);
}

static enum mh_status snapshot_fill(struct mh_vm *vm, struct snapshot *snapshot, struct mh_error *err)
{
    vm->cpu->ops->finish_io(vm->cpu);
    snapshot->has_count = vm->cpu->ops->instructions(vm->cpu, &snapshot->count);
    enum mh_status status = vm->cpu->ops->save(vm->cpu, &snapshot->cpu, err);
    if (status == MH_OK)
        status = snapshot_collect_writes(vm, err);
    if (status != MH_OK)
        return status;
    int result = ram_snapshot_take(&vm->ram_base, &vm->ram, &snapshot->ram);
    if (result < 0)
        return snapshot_fail(err, "cannot copy the machine's memory", -result);
    status = snapshot_take_files(vm, snapshot, err);
    if (status != MH_OK)
        return status;
    snapshot->request = vm->file.request;
    snapshot->input = input_log_retain(&vm->input);
    return MH_OK;
}

enum mh_status snapshot_take(struct mh_vm *vm, struct snapshot **snapshot, struct mh_error *err)
{
    if (vm->is_lost)
        return mh_fail(err, MH_ERR_HOST, "there is no machine any more: restart it");
    struct snapshot *made = aligned_alloc(alignof(struct snapshot), sizeof *made);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a snapshot");
    memset(made, 0, sizeof *made);
    enum mh_status status = snapshot_fill(vm, made, err);
    if (status != MH_OK) {
        snapshot_free(made);
        return status;
    }
    *snapshot = made;
    return MH_OK;
}

enum mh_status snapshot_restore_cpu_and_ram(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err)
{
    vm->cpu->ops->finish_io(vm->cpu);
    enum mh_status status = vm->cpu->ops->collect_writes(vm->cpu, err);
    if (status == MH_OK) {
        ram_snapshot_restore(vm->ram_base, &vm->ram, snapshot->ram);
        status = vm->cpu->ops->restore(vm->cpu, &snapshot->cpu, err);
    }
    if (status == MH_OK && snapshot->has_count)
        vm->cpu->ops->set_instructions(vm->cpu, snapshot->count);
    vm->is_lost = status != MH_OK; /* what is half restored is no state of the guest's */
    return status;
}

enum mh_status snapshot_restore(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err)
{
    if (vm->is_lost)
        return mh_fail(err, MH_ERR_RANGE, "there is no machine any more: restart it first");
    if (!input_log_contains(&vm->input, snapshot->input))
        return mh_fail(err, MH_ERR_RANGE, "the guest has read more than the %u MB of input that are kept since then",
                       INPUT_LOG_MAX >> 20);
    int result = file_snapshot_restore(&vm->file.store, snapshot->files);
    if (result < 0) {
        vm->is_lost = true;
        return snapshot_fail(err, "cannot restore the machine's files", -result);
    }
    if (vm->record_hooks.changed != NULL)
        vm->record_hooks.changed(vm->record_hooks.ctx, "a snapshot was restored");
    vm->file.request = snapshot->request;
    enum mh_status status = snapshot_restore_cpu_and_ram(vm, snapshot, err);
    if (status == MH_OK)
        input_log_seek(&vm->input, snapshot->input);
    return status;
}

/* ---- comparing ---- */

/* Are the differences in a page accessed and dirty bits only? */
static bool snapshot_same_table(const uint8_t *now, const uint8_t *was)
{
    for (size_t at = 0; at < PAGE_4K; at += sizeof(uint64_t)) {
        uint64_t a, b = 0;
        memcpy(&a, now + at, sizeof a);
        if (was != NULL)
            memcpy(&b, was + at, sizeof b);
        if (((a ^ b) & ~(uint64_t)(PAGING_ACCESSED | PAGING_DIRTY)) != 0)
            return false;
    }
    return true;
}

/* Does memory differ from page `from` on, in more than what a processor may do ahead of time? Sets *page then. */
static bool snapshot_ram_differs(struct mh_vm *vm, const struct snapshot *snapshot, size_t from, size_t *page)
{
    const struct paging_mode mode = paging_mode_of(&snapshot->cpu.system);
    const uint8_t *was;
    for (size_t at = from; ram_snapshot_differs(vm->ram_base, &vm->ram, snapshot->ram, &at, &was); at++) {
        const uint8_t *now = vm->ram.host + at * PAGE_4K;
        if (snapshot_same_table(now, was) && paging_is_table(&vm->ram, &mode, ram_gpa(&vm->ram, now)))
            continue;
        *page = at;
        return true;
    }
    return false;
}

const char *snapshot_differs(struct mh_vm *vm, const struct snapshot *snapshot, size_t *page)
{
    struct mh_x86_regs regs;
    struct mh_cpu_state now;
    if (!vm_read_regs(vm, MH_REGS_GENERAL, &regs) || !x86_same_general(&regs.general, &snapshot->cpu.general))
        return "the general registers";
    if (vm->cpu->ops->save(vm->cpu, &now, NULL) != MH_OK || vm->cpu->ops->collect_writes(vm->cpu, NULL) != MH_OK)
        return "the processor's state";
    const char *what = x86_state_differs(&now, &snapshot->cpu);
    if (what != NULL)
        return what;
    bool differs = snapshot_ram_differs(vm, snapshot, *page, page) || snapshot_ram_differs(vm, snapshot, 0, page);
    return differs ? "memory" : NULL;
}
