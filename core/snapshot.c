#include "snapshot.h"

#include "devices/file_snapshot.h"
#include "processor_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct snapshot {
    struct processor_state processor;
    struct ram_snapshot *memory;
    struct file_request request;
    struct file_snapshot *files;
    uint64_t input; /* place in the stream */
};

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    ram_snapshot_free(snapshot->memory);
    file_snapshot_free(snapshot->files);
    free(snapshot);
}

uint64_t snapshot_rip(const struct snapshot *snapshot)
{
    return snapshot->processor.regs.rip;
}

size_t snapshot_pages(const struct snapshot *snapshot)
{
    return ram_snapshot_pages(snapshot->memory);
}

static enum mh_status fail(struct mh_error *err, const char *what, int error)
{
    return mh_fail(err, MH_ERR_HOST, "%s: %s", what, strerror(error));
}

#define FILES_ROOM (256ull << 20)

/* Who lets a guest write more than that wants to take one snapshot at least. */
uint64_t snapshot_room(const struct mh_file_limits *limits)
{
    return limits->bytes_written > FILES_ROOM ? limits->bytes_written : FILES_ROOM;
}

/* Files, too, which the guest may write as often as it is put back. */
static enum mh_status take_files(struct mh_vm *vm, struct snapshot *snapshot, struct mh_error *err)
{
    int result = file_snapshot_take(&vm->file.store, &vm->snapshot_room, &snapshot->files);
    if (result == -EFBIG)
        return mh_fail(err, MH_ERR_RANGE,
                       "the files of all snapshots would be more than %" PRIu64 " MB: monitor forget NAME drops one",
                       snapshot_room(&vm->config.limits) >> 20);
    return result < 0 ? fail(err, "cannot copy the machine's files", -result) : MH_OK;
}

#define FRAGMENTS_MAX 64u

/* An access that left the guest may be half done, and KVM would finish it with whatever state it finds then. */
static void finish_access(struct mh_vm *vm)
{
    uint32_t reason = vm->vcpu.run->exit_reason;
    for (unsigned i = 0; i < FRAGMENTS_MAX && (reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO); i++) {
        if (vcpu_complete_io(&vm->vcpu) < 0)
            return;
    }
}

/* Mark what the guest wrote. Where KVM did not note it so far, that can be everything. */
static int collect_writes(struct mh_vm *vm)
{
    if (vm->slots.logs)
        return slots_collect_writes(&vm->slots);
    ram_note_written(&vm->memory, vm->memory.host, ram_pages(&vm->memory) * PAGE_4K);
    return slots_log_writes(&vm->slots);
}

static bool is_gone(const struct mh_vm *vm)
{
    return vm->fd < 0 || vm->debug.killed;
}

/* What is half put back is no state of the guest's: it must not go on. */
static void give_up(struct mh_vm *vm)
{
    vm->debug.killed = true;
    vm->debug.last_stop =
        (struct mh_stop){.kind = MH_STOP_KVM_ERROR, .exit_reason = UINT32_MAX, .host_errno = ECANCELED};
}

static enum mh_status take(struct mh_vm *vm, struct snapshot *snapshot, struct mh_error *err)
{
    finish_access(vm);
    int result = processor_state_take(vm, &snapshot->processor);
    if (result < 0)
        return fail(err, "KVM does not tell all of the processor's state", -result);
    result = collect_writes(vm);
    if (result < 0)
        return fail(err, "KVM does not tell what the guest wrote", -result);
    result = ram_snapshot_take(&vm->memory_base, &vm->memory, &snapshot->memory);
    if (result < 0)
        return fail(err, "cannot copy the machine's memory", -result);
    enum mh_status status = take_files(vm, snapshot, err);
    if (status != MH_OK)
        return status;
    snapshot->request = vm->file.request;
    snapshot->input = inbound_keep(&vm->inbound);
    return MH_OK;
}

enum mh_status snapshot_take(struct mh_vm *vm, struct snapshot **snapshot, struct mh_error *err)
{
    if (is_gone(vm))
        return mh_fail(err, MH_ERR_HOST, "there is no machine any more: restart it");
    struct snapshot *made = calloc(1, sizeof *made);
    if (made == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a snapshot");
    enum mh_status status = take(vm, made, err);
    if (status != MH_OK) {
        snapshot_free(made);
        return status;
    }
    *snapshot = made;
    return MH_OK;
}

static enum mh_status put_back(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err)
{
    int result = file_snapshot_put_back(&vm->file.store, snapshot->files);
    if (result < 0)
        return fail(err, "cannot put the machine's files back", -result);
    vm->file.request = snapshot->request;
    finish_access(vm);
    result = collect_writes(vm);
    if (result == 0)
        result = slots_lay_again(&vm->slots);
    if (result < 0)
        return fail(err, "KVM refuses the machine's memory", -result);
    ram_snapshot_restore(vm->memory_base, &vm->memory, snapshot->memory);
    result = processor_state_put_back(vm, &snapshot->processor);
    if (result < 0)
        return fail(err, "KVM does not take the processor's state back", -result);
    inbound_rewind(&vm->inbound, snapshot->input);
    return MH_OK;
}

enum mh_status snapshot_put_back(struct mh_vm *vm, const struct snapshot *snapshot, struct mh_error *err)
{
    if (is_gone(vm))
        return mh_fail(err, MH_ERR_RANGE, "there is no machine any more: restart it first");
    if (!inbound_reaches(&vm->inbound, snapshot->input))
        return mh_fail(err, MH_ERR_RANGE, "the guest has read more than the %u MB of input that are kept since then",
                       INBOUND_LOG_MAX >> 20);
    enum mh_status status = put_back(vm, snapshot, err);
    debug_forget_run(&vm->debug);
    if (status != MH_OK)
        give_up(vm);
    return status;
}
