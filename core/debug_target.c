/* mh/debug_target.h filled in with KVM. */
#include "debug_target.h"

#include "x86/boot_state.h"
#include "debug.h"
#include "devices/own_directory.h"
#include "events.h"
#include "x86/exceptions.h"
#include "loader.h"
#include "maps_file.h"
#include "monitor.h"
#include "probe.h"
#include "register_state.h"
#include "report.h"
#include "virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static unsigned target_vm_count(void *ctx)
{
    (void)ctx;
    return 1;
}

static unsigned target_vm_number(void *ctx, unsigned i)
{
    (void)i;
    const struct mh_vm *vm = ctx;
    return vm->config.number;
}

static const char *target_vm_name(void *ctx, unsigned number)
{
    (void)number;
    const struct mh_vm *vm = ctx;
    return vm->config.name;
}

static const char *target_exec_file(void *ctx, unsigned number)
{
    (void)number;
    const struct mh_vm *vm = ctx;
    return mh_image_is_elf(vm->config.image) ? mh_image_path(vm->config.image) : NULL;
}

static bool target_alive(void *ctx, unsigned number)
{
    (void)number;
    const struct mh_vm *vm = ctx;
    return vm->fd >= 0 && !vm->debug.killed;
}

static enum mh_status target_read_regs(void *ctx, unsigned number, unsigned groups, struct mh_x86_regs *regs,
                                       struct mh_error *err)
{
    (void)number;
    return register_state_read(ctx, groups, regs, err);
}

static enum mh_status target_write_regs(void *ctx, unsigned number, unsigned groups, const struct mh_x86_regs *regs,
                                        struct mh_error *err)
{
    (void)number;
    return register_state_write(ctx, groups, regs, err);
}

static uint64_t target_xcr0(void *ctx, unsigned number)
{
    (void)number;
    return register_state_xcr0(ctx);
}

/* As much of physical [address, address + length) as lies in one piece of memory from its start. */
static uint8_t *physical_piece(struct mh_vm *vm, uint64_t address, size_t *length)
{
    uint64_t end = address < MH_SYSTEM_AREA ? vm->memory.ram_size : MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE;
    if (address >= end)
        return NULL;
    if (*length > end - address)
        *length = end - address;
    return ram_at(&vm->memory, mh_gpa_of(address), *length);
}

static enum mh_status done_or_range(size_t done, size_t length)
{
    return done > 0 || length == 0 ? MH_OK : MH_ERR_RANGE;
}

static enum mh_status target_read_memory(void *ctx, unsigned number, enum mh_space space, uint64_t address, void *to,
                                         size_t length, size_t *done)
{
    (void)number;
    struct mh_vm *vm = ctx;
    *done = 0;
    if (space == MH_SPACE_PHYSICAL) {
        size_t piece = length;
        const uint8_t *from = physical_piece(vm, address, &piece);
        if (from != NULL) {
            memcpy(to, from, piece);
            *done = piece;
        }
    } else {
        const struct paging_mode mode = virtual_mode(vm);
        *done = virtual_read(vm, &mode, mh_gva_of(address), to, length);
    }
    return done_or_range(*done, length);
}

static enum mh_status target_write_memory(void *ctx, unsigned number, enum mh_space space, uint64_t address,
                                          const void *from, size_t length, size_t *done)
{
    (void)number;
    struct mh_vm *vm = ctx;
    *done = 0;
    if (space == MH_SPACE_PHYSICAL) {
        size_t piece = length;
        uint8_t *to = physical_piece(vm, address, &piece);
        if (to != NULL) {
            ram_put(&vm->memory, to, from, piece);
            *done = piece;
        }
    } else {
        const struct paging_mode mode = virtual_mode(vm);
        *done = virtual_write(vm, &mode, mh_gva_of(address), from, length);
    }
    return done_or_range(*done, length);
}

static unsigned target_memory_map(void *ctx, unsigned number, struct mh_memory_region *regions, unsigned capacity)
{
    (void)number;
    const struct mh_vm *vm = ctx;
    const struct mh_memory_region all[] = {{0, vm->memory.ram_size}, {MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE}};
    for (unsigned i = 0; i < 2 && i < capacity; i++)
        regions[i] = all[i];
    return 2;
}

static enum mh_status target_set_breakpoint(void *ctx, unsigned number, enum mh_break_kind kind, uint64_t address,
                                            uint64_t length, struct mh_error *err)
{
    (void)number;
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length};
    return breakpoints_add(ctx, &breakpoint, err);
}

static enum mh_status target_clear_breakpoint(void *ctx, unsigned number, enum mh_break_kind kind, uint64_t address,
                                              uint64_t length, struct mh_error *err)
{
    (void)number, (void)err;
    struct mh_vm *vm = ctx;
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length};
    breakpoints_remove(&vm->debug.breakpoints, &breakpoint);
    return MH_OK;
}

static void target_clear_all(void *ctx, unsigned number)
{
    (void)number;
    struct mh_vm *vm = ctx;
    breakpoints_clear(&vm->debug.breakpoints);
    catches_remove(&vm->debug.catches, 0);
}

static void target_resume(void *ctx, unsigned number, const struct mh_resume *how)
{
    (void)number;
    struct mh_vm *vm = ctx;
    vm->debug.how = *how;
    vm->debug.running = true;
    vm->debug.has_entered = false;
    if (!how->again)
        vm->debug.input_kicks = vm->debug.knows_registers = false;
}

static void target_interrupt(void *ctx, unsigned number)
{
    (void)number;
    struct mh_vm *vm = ctx;
    vm->debug.interrupt_wanted = true;
}

static enum mh_wait_result target_wait(void *ctx, const int *fds, unsigned fd_count, unsigned *number,
                                       struct mh_stop *stop)
{
    struct mh_vm *vm = ctx;
    if (!vm->debug.running)
        return MH_WAIT_IDLE;
    *number = vm->config.number;
    if (vm->fd < 0) { /* a restart failed: there is no machine any more */
        vm->debug.running = false;
        *stop = (struct mh_stop){.kind = MH_STOP_KVM_ERROR, .exit_reason = MH_NO_EXIT, .host_errno = ENODEV};
        return MH_WAIT_STOPPED;
    }
    vm->debug.fds = fds;
    vm->debug.fd_count = fd_count;
    enum debug_end end = debug_run(vm, stop);
    debug_heed_no_kicks(vm);
    vm->debug.fds = NULL;
    vm->debug.fd_count = 0;
    if (end == DEBUG_INPUT) {
        vm->debug.input_kicks = false; /* after it, other descriptors may be waited for */
        return MH_WAIT_INPUT;
    }
    vm->debug.running = false;
    vm->debug.interrupt_wanted = false;
    vm->debug.last_stop = *stop;
    events_stop(vm, stop);
    return MH_WAIT_STOPPED;
}

static enum mh_status target_restart(void *ctx, unsigned number, struct mh_error *err)
{
    (void)number;
    return vm_restart(ctx, err);
}

static enum mh_status target_restore(void *ctx, unsigned number, const char *name, struct mh_error *err)
{
    (void)number;
    return snapshot_list_put_back(ctx, name, err);
}

static void target_kill(void *ctx, unsigned number)
{
    (void)number;
    struct mh_vm *vm = ctx;
    vm->debug.killed = true;
    vm->debug.running = false;
}

static void target_describe_stop(void *ctx, unsigned number, const struct mh_stop *stop, mh_text_sink *sink,
                                 void *sink_ctx)
{
    (void)number;
    report_stop_briefly(ctx, stop, sink, sink_ctx);
}

static enum mh_status target_monitor(void *ctx, unsigned number, const char *command, mh_text_sink *sink,
                                     void *sink_ctx, struct mh_error *err)
{
    (void)number;
    return monitor_run(ctx, command, sink, sink_ctx, err);
}

static int target_open_file(void *ctx, unsigned number, const char *name)
{
    struct mh_vm *vm = ctx;
    const char *image = target_exec_file(ctx, number);
    if (maps_file_is(name))
        return maps_file_open(vm);
    if (image != NULL && strcmp(name, image) == 0) {
        int fd = open(image, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    return file_store_open_on_host(&vm->file.store, name);
}

const struct mh_debug_target_ops debug_target_ops = {
    .vm_count = target_vm_count,
    .vm_number = target_vm_number,
    .vm_name = target_vm_name,
    .vm_exec_file = target_exec_file,
    .vm_alive = target_alive,
    .read_regs = target_read_regs,
    .write_regs = target_write_regs,
    .xcr0_supported = target_xcr0,
    .read_memory = target_read_memory,
    .write_memory = target_write_memory,
    .memory_map = target_memory_map,
    .set_breakpoint = target_set_breakpoint,
    .clear_breakpoint = target_clear_breakpoint,
    .clear_all_breakpoints = target_clear_all,
    .resume = target_resume,
    .interrupt = target_interrupt,
    .wait = target_wait,
    .restart = target_restart,
    .restore = target_restore,
    .kill = target_kill,
    .describe_stop = target_describe_stop,
    .monitor = target_monitor,
    .open_file = target_open_file,
};

bool mh_vm_last_stop(const struct mh_vm *vm, struct mh_stop *stop)
{
    *stop = vm->debug.last_stop;
    if (vm->debug.killed && !mh_stop_is_crash(stop))
        stop->kind = MH_STOP_HALTED;
    return vm->debug.killed || stop->kind == MH_STOP_HALTED;
}

enum mh_status mh_vm_debug(struct mh_vm *vm, struct mh_debug_target *target, struct mh_error *err)
{
    enum mh_status status = probe_host(vm->host, &vm->debug.host, err);
    if (status != MH_OK)
        return status;
    vm->debug.active = true;
    vm->debug.last_stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED}; /* before its first instruction */
    vm->vcpu.sync_registers = true;
    *target = (struct mh_debug_target){.ops = &debug_target_ops, .ctx = vm};
    return MH_OK;
}
