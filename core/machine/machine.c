#include "machine/machine.h"

#include "accel/accel.h"
#include "machine/events.h"
#include "machine/image.h"
#include "machine/report.h"
#include "machine/run_loop.h"
#include "machine/snapshot.h"
#include "pages.h"
#include "x86/boot_state.h"
#include "x86/xsave.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the processor is to hold before the first instruction. */
static void vm_boot_state(const struct mh_vm *vm, struct mh_cpu_state *state)
{
    uint64_t xcr0 = accel_cpuid(vm->host)->xcr0;
    memset(state, 0, sizeof *state);
    state->general = boot_general(&vm->ram, image_entry(vm->config.image));
    state->system = boot_system(xcr0 != 0);
    state->msrs = boot_msrs();
    state->xcr0 = xcr0 | MH_XCR0_X87; /* as after RESET where there is no XSAVE */
    state->dr6 = BOOT_DR6;
    state->dr7 = BOOT_DR7;
    x86_xsave_init(state->xsave);
}

void vm_fill_ram(const struct mh_vm *vm, struct guest_ram *ram)
{
    image_place(vm->config.image, ram);
    boot_write_system_area(ram, vm->config.page_size);
}

static void vm_ram_written(void *watcher_ctx, mh_gpa start, uint64_t length)
{
    struct mh_vm *vm = watcher_ctx;
    vm->cpu->ops->memory_changed(vm->cpu, start, length);
    if (vm->port_hooks.wrote != NULL)
        vm->port_hooks.wrote(vm->port_hooks.ctx, start, length);
    if (vm->record_hooks.wrote != NULL)
        vm->record_hooks.wrote(vm->record_hooks.ctx, start, length);
}

static bool vm_is_counted(const struct mh_vm *vm)
{
    return vm->config.counts || vm->config.counts_calls;
}

static enum mh_status vm_count(struct mh_vm *vm, struct mh_error *err)
{
    const struct cpu_ops *ops = vm->cpu->ops;
    if (ops->count_instructions == NULL)
        return mh_fail(err, MH_ERR_HOST, "KVM cannot count instructions: use --accel soft");
    return vm->config.counts_calls ? ops->count_calls(vm->cpu, err) : ops->count_instructions(vm->cpu, err);
}

static enum mh_status vm_note_writes(struct mh_vm *vm, struct mh_error *err)
{
    enum mh_status status = vm->cpu->ops->track_writes(vm->cpu, err);
    memset(vm->ram.changed, 0, sizeof vm->ram.changed); /* until then all count as written */
    return status;
}

static enum mh_status vm_build(struct mh_vm *vm, struct mh_error *err)
{
    struct mh_cpu_state boot;
    enum mh_status status = ram_create(&vm->ram, vm->config.ram_size, err);
    if (status != MH_OK)
        return status;
    vm_fill_ram(vm, &vm->ram);
    status = accel_prepare(vm->host, err);
    if (status != MH_OK)
        return status;
    vm_boot_state(vm, &boot);
    status = accel_create_cpu(vm->host, &vm->ram, &boot, &vm->cpu, err);
    if (status != MH_OK)
        return status;
    vm->ram.watcher_ctx = vm;
    vm->ram.watcher = vm_ram_written;
    if (vm->config.notes_writes)
        status = vm_note_writes(vm, err);
    return status == MH_OK && vm_is_counted(vm) ? vm_count(vm, err) : status;
}

enum mh_status mh_vm_create(struct mh_host *host, const struct mh_vm_config *config, struct mh_vm **vm,
                            struct mh_error *err)
{
    struct mh_vm *created = pages_alloc(sizeof *created);
    if (created == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a machine: %s", strerror(ENOMEM));
    created->config = *config;
    created->host = host;
    created->thread = pthread_self();
    created->snapshot_room = snapshot_room(&config->limits);
    atomic_init(&created->requests, 0);
    atomic_init(&created->wants_kicks, false);
    atomic_init(&created->record_waits, false);
    serial_init(&created->serial, config->serial);
    file_port_init(&created->file, config, &created->requests);
    enum mh_status status = vm_build(created, err);
    if (status != MH_OK) {
        mh_vm_destroy(created);
        return status;
    }
    *vm = created;
    return MH_OK;
}

void mh_vm_destroy(struct mh_vm *vm)
{
    if (vm == NULL)
        return;
    if (vm->config.exchange != NULL)
        mh_exchange_leave(vm->config.exchange, vm->config.number);
    if (vm->hooks.destroy != NULL)
        vm->hooks.destroy(vm->hooks.ctx);
    if (vm->record_hooks.destroy != NULL)
        vm->record_hooks.destroy(vm->record_hooks.ctx);
    if (vm->replay_hooks.destroy != NULL)
        vm->replay_hooks.destroy(vm->replay_hooks.ctx);
    file_port_destroy(&vm->file);
    if (vm->cpu != NULL)
        vm->cpu->ops->destroy(vm->cpu);
    ram_free(&vm->ram);
    snapshot_list_free(&vm->snapshots);
    ram_snapshot_free(vm->ram_base);
    input_log_free(&vm->input);
    mh_image_free(vm->own_image);
    pages_free(vm, sizeof *vm);
}

enum mh_status vm_reload_image(struct mh_vm *vm, bool *is_other, struct mh_error *err)
{
    struct mh_image *now;
    *is_other = false;
    if (vm->config.open_image == NULL)
        return MH_OK;
    const int fd = vm->config.open_image(vm->config.open_image_ctx);
    enum mh_status status = image_reload(vm->config.image, fd, &now, err);
    if (status != MH_OK)
        return status;
    *is_other = !image_is_same(vm->config.image, now);
    mh_image_free(vm->own_image);
    vm->config.image = vm->own_image = now;
    return MH_OK;
}

enum mh_status vm_restart(struct mh_vm *vm, struct mh_error *err)
{
    struct mh_cpu_state boot;
    serial_flush(&vm->serial);
    file_port_destroy(&vm->file);
    file_port_init(&vm->file, &vm->config, &vm->requests);
    vm->cpu->ops->finish_io(vm->cpu);
    ram_clear(&vm->ram);
    vm_fill_ram(vm, &vm->ram);
    ram_note_written(&vm->ram, vm->ram.host, ram_pages(&vm->ram) * PAGE_4K);
    vm_boot_state(vm, &boot);
    enum mh_status status = vm->cpu->ops->restore(vm->cpu, &boot, err);
    vm->is_lost = status != MH_OK;
    if (vm_is_counted(vm))
        vm->cpu->ops->forget_counts(vm->cpu);
    vm->serial.printed = vm->serial.checksum = 0;
    if (vm->config.exchange != NULL) {
        vm->exchanged++;
        exchange_restart(vm->config.exchange, vm->config.number);
    }
    if (vm->record_hooks.restarted != NULL)
        vm->record_hooks.restarted(vm->record_hooks.ctx);
    if (vm->replay_hooks.restarted != NULL)
        vm->replay_hooks.restarted(vm->replay_hooks.ctx);
    if (vm->hooks.relocated != NULL)
        vm->hooks.relocated(vm->hooks.ctx);
    return status;
}

/* Smaller images may well have nothing to say. */
#define SILENT_IMAGE_MIN 64u

/* Run a replay to its end, which is known by its count, or by its registers at an instruction, or comes by itself. */
static void vm_run_replay(struct mh_vm *vm, struct run_result *result)
{
    const struct vm_replay_hooks *hooks = &vm->replay_hooks;
    const struct cpu_point end = {.kind = CPU_POINT_EXECUTE, .address = hooks->end_rip, .length = 1};
    struct cpu_request request = {.mode = hooks->until != UINT64_MAX ? CPU_UNTIL : CPU_RUN, .until = hooks->until};
    if (hooks->is_end != NULL)
        vm->cpu->ops->arm(vm->cpu, &end, 1, NULL);
    do {
        run_loop(vm, &request, result);
        request.step_off = true;
    } while (result->stop.kind == MH_STOP_BREAKPOINT && !hooks->is_end(hooks->ctx));
    if (hooks->is_end != NULL)
        vm->cpu->ops->arm(vm->cpu, NULL, 0, NULL);
    if (result->count_reached || result->stop.kind == MH_STOP_BREAKPOINT)
        result->stop.kind = MH_STOP_HISTORY_END;
}

static void vm_run_freely(struct mh_vm *vm, struct run_result *result)
{
    const uint64_t limit = vm->config.max_instructions;
    const struct cpu_request request = {.mode = limit != 0 ? CPU_UNTIL : CPU_RUN, .until = limit};
    run_loop(vm, &request, result);
    if (result->count_reached) {
        result->stop.kind = MH_STOP_INTERRUPTED;
        result->stop.at_limit = true;
    }
}

void mh_vm_run(struct mh_vm *vm, struct mh_stop *stop)
{
    struct run_result result;
    if (vm->replay_hooks.answer != NULL)
        vm_run_replay(vm, &result);
    else
        vm_run_freely(vm, &result);
    *stop = result.stop;
    if (stop->kind == MH_STOP_HALTED && report_is_misplaced(vm) && image_size(vm->config.image) >= SILENT_IMAGE_MIN)
        vm_notice(vm, VM_NOTICE_MISPLACED, "halted without using a port; " REPORT_MISPLACED);
    events_stop(vm, stop);
}

void mh_vm_describe_stop(struct mh_vm *vm, const struct mh_stop *stop, void (*write)(void *, const char *, size_t),
                         void *write_ctx)
{
    report_stop(vm, stop, write, write_ctx);
}

void mh_kick_install(void)
{
    accel_install_signals();
}

void mh_vm_kick(struct mh_vm *vm)
{
    vm->cpu->ops->kick(vm->cpu);
    pthread_kill(vm->thread, MH_KICK_SIGNAL);
}

void mh_vm_request_stop(struct mh_vm *vm)
{
    atomic_fetch_or(&vm->requests, VM_REQUEST_STOP);
    mh_vm_kick(vm);
}

bool mh_vm_wants_kick(struct mh_vm *vm)
{
    return atomic_load_explicit(&vm->wants_kicks, memory_order_relaxed) ||
           atomic_load_explicit(&vm->serial.pending, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&vm->record_waits, memory_order_relaxed) ||
           (vm->cpu->ops->has_batch != NULL && vm->cpu->ops->has_batch(vm->cpu));
}
