/* Replays a recording: answers in the place of devices, and checks that the run is the one that was recorded. */
#include "machine/vm.h"
#include "replay/recording.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct player {
    struct mh_vm *vm;
    const struct mh_recording *recording;
    struct port_cursor cursor;
    size_t mark;           /* the next mark of the recording whose output is to be compared */
    uint64_t good_printed; /* so many bytes of output are known to be those recorded */
};

/* Compare the output at each place where the recording has its checksum: where as many accesses have been made. */
static void player_check_marks(struct player *player)
{
    const struct mh_recording *recording = player->recording;
    const struct serial *serial = &player->vm->serial;
    while (player->mark < recording->mark_count && recording->marks[player->mark].accesses <= player->cursor.access) {
        const struct recording_log *mark = &recording->marks[player->mark];
        if (mark->printed == serial->printed && mark->checksum == serial->checksum)
            player->good_printed = serial->printed;
        player->mark++;
    }
}

/* Did something outside end the run? Then nothing in the machine says where. */
static bool player_ends_from_outside(const struct mh_recording *recording)
{
    const uint32_t kind = recording->end.kind;
    return kind == MH_STOP_INTERRUPTED || kind == MH_STOP_IO_ERROR || kind == MH_STOP_HOST_ERROR ||
           kind == MH_STOP_EXCHANGE;
}

static bool player_must_end_here(const struct player *player)
{
    return !player->recording->has_end || player_ends_from_outside(player->recording);
}

static int player_answer(void *ctx, const struct cpu_exit *exit, struct mh_event *file)
{
    struct player *player = ctx;
    switch (port_log_replay(&player->recording->log, &player->cursor, exit, &player->vm->ram, file)) {
    case PORT_REPLAYED:
        player_check_marks(player);
        return 0;
    case PORT_REPLAY_ENDED:
        return player_must_end_here(player) ? -ENODATA : -EILSEQ;
    case PORT_REPLAY_DIFFERS:
        break;
    }
    return -EILSEQ;
}

static enum vm_replayed player_interrupt(void *ctx, bool at_halt, uint8_t *vector, bool *ends)
{
    struct player *player = ctx;
    const struct mh_recording *recording = player->recording;
    if (port_log_replay_interrupt(&recording->log, &player->cursor, player->vm->serial.printed, at_halt, vector))
        return VM_REPLAYED;
    *ends = player_must_end_here(player) && port_log_is_at_end(&recording->log, &player->cursor);
    return VM_REPLAYED_NOTHING;
}

static void player_restarted(void *ctx)
{
    struct player *player = ctx;
    player->cursor = (struct port_cursor){0};
    player->mark = 0;
    player->good_printed = 0;
}

static void player_destroy(void *ctx)
{
    free(ctx);
}

/* Where a run is to stop that did not stop by itself. */
static uint64_t player_until(const struct mh_recording *recording)
{
    if (!recording->has_end)
        return recording->mark_count == 0 ? RECORDING_UNKNOWN : recording->reached.instructions;
    return player_ends_from_outside(recording) ? recording->end.at.instructions : RECORDING_UNKNOWN;
}

/* On KVM nobody counted: a run that was interrupted there ends where registers and output are those of its end. */
static bool player_is_end(void *ctx)
{
    const struct player *player = ctx;
    const struct recording_end *end = &player->recording->end;
    struct mh_x86_regs regs;
    return player->cursor.access == end->at.accesses && player->vm->serial.printed == end->at.printed &&
           vm_read_regs(player->vm, MH_REGS_GENERAL, &regs) &&
           recording_hash_registers(&regs.general) == end->registers;
}

static bool player_must_search(const struct mh_recording *recording)
{
    const bool is_between = recording->end.kind == MH_STOP_INTERRUPTED || recording->end.kind == MH_STOP_EXCHANGE;
    return recording->has_end && is_between && recording->end.has_state &&
           recording->end.at.instructions == RECORDING_UNKNOWN;
}

enum mh_status mh_vm_replay(struct mh_vm *vm, const struct mh_recording *recording, struct mh_error *err)
{
    struct player *player = calloc(1, sizeof *player);
    if (player == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory to replay a recording");
    *player = (struct player){.vm = vm, .recording = recording};
    vm->replay_hooks = (struct vm_replay_hooks){.ctx = player,
                                                .answer = player_answer,
                                                .interrupt = player_interrupt,
                                                .restarted = player_restarted,
                                                .destroy = player_destroy,
                                                .is_end = player_must_search(recording) ? player_is_end : NULL,
                                                .end_rip = recording->end.rip,
                                                .until = player_until(recording)};
    return MH_OK;
}

/* ---- was it the same run? ---- */

static enum mh_status player_part(const struct player *player, struct mh_error *err, const char *what)
{
    const bool may_read_clock = strcmp(player->recording->machine.processor, "soft") != 0;
    const uint64_t count = recording_instructions(player->vm);
    return mh_fail(err, MH_ERR_RANGE, "this is not the run that was recorded: at instruction %" PRIu64 ", %s%s", count,
                   what,
                   may_read_clock ? " (it was recorded on KVM, where a guest that reads the time stamp counter cannot "
                                    "be repeated)"
                                  : "");
}

static enum mh_status player_check_output(const struct player *player, const struct recording_log *at,
                                          struct mh_error *err)
{
    const struct serial *serial = &player->vm->serial;
    char text[160];
    if (serial->printed == at->printed && serial->checksum == at->checksum)
        return MH_OK;
    snprintf(text, sizeof text,
             "it has printed %" PRIu64 " bytes, of which the first %" PRIu64
             " are known to be the same, and the recording has %" PRIu64,
             serial->printed, player->good_printed, at->printed);
    return player_part(player, err, text);
}

static enum mh_status player_check_state(const struct player *player, const struct recording_end *now,
                                         struct mh_error *err)
{
    const struct recording_end *end = &player->recording->end;
    const bool is_exact = strcmp(player->recording->machine.processor, "soft") == 0;
    if (!end->has_state || !now->has_state)
        return MH_OK;
    if (end->rip != now->rip || end->registers != now->registers)
        return player_part(player, err, "the registers are not those of the recorded end");
    /* a host's processor sets accessed bits ahead of time, in page tables the guest has in RAM */
    if (is_exact && end->memory != now->memory)
        return player_part(player, err, "memory is not that of the recorded end");
    return MH_OK;
}

static enum mh_status player_check_end(const struct player *player, const struct mh_stop *stop, char *text, size_t size,
                                       struct mh_error *err)
{
    const struct recording_end *end = &player->recording->end;
    struct recording_end now;
    char why[RECORDING_TEXT_MAX + 100];
    recording_fill_end(player->vm, stop, &now);
    bool same = stop->kind == MH_STOP_HISTORY_END ? player_must_end_here(player)
                                                  : end->kind == now.kind && end->vector == now.vector;
    if (!same) {
        snprintf(why, sizeof why, "it %s; what was recorded: %s", mh_stop_name(stop->kind), end->text);
        return player_part(player, err, why);
    }
    enum mh_status status = player_check_output(player, &end->at, err);
    /* where a run on KVM was interrupted is known to the last access only */
    if (status == MH_OK && (stop->kind != MH_STOP_HISTORY_END || end->at.instructions != RECORDING_UNKNOWN))
        status = player_check_state(player, &now, err);
    snprintf(text, size, "as recorded, after %" PRIu64 " instructions: %s", now.at.instructions, end->text);
    return status;
}

enum mh_status mh_vm_replay_end(struct mh_vm *vm, const struct mh_stop *stop, char *text, size_t size,
                                struct mh_error *err)
{
    const struct player *player = vm->replay_hooks.ctx;
    const struct mh_recording *recording = player->recording;
    if (stop->kind == MH_STOP_INTERRUPTED) {
        snprintf(text, size, "interrupted before the end of the recording");
        return MH_OK;
    }
    if (stop->kind == MH_STOP_HOST_ERROR)
        return player_part(player, err, stop->text);
    if (recording->has_end)
        return player_check_end(player, stop, text, size, err);
    if (stop->kind != MH_STOP_HISTORY_END && player->cursor.access < recording->log.accesses)
        return player_part(player, err, "it ends before what was recorded");
    snprintf(text, size,
             "as recorded, as far as the recording goes (%" PRIu64 " instructions): it has no end, because %s",
             recording_instructions(vm),
             recording->is_damaged ? "the file is damaged or cut off" : "the program that made it was killed");
    return MH_OK;
}
