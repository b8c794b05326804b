/* mh/debug_target.h for one machine. */
#include "debug/debug_target.h"

#include "accel/accel.h"
#include "debug/debug.h"
#include "debug/history.h"
#include "debug/monitor.h"
#include "debug/proc_files.h"
#include "machine/events.h"
#include "machine/guest_mem.h"
#include "machine/image.h"
#include "machine/machine.h"
#include "machine/report.h"
#include "x86/page_map.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The context of every operation is the machine's debug state. */
static struct mh_vm *target_vm(void *ctx)
{
    const struct debug *debug = ctx;
    return debug->vm;
}

static unsigned target_vm_count(void *ctx)
{
    (void)ctx;
    return 1;
}

static unsigned target_vm_number(void *ctx, unsigned i)
{
    (void)i;
    return target_vm(ctx)->config.number;
}

static const char *target_vm_name(void *ctx, unsigned number)
{
    (void)number;
    return target_vm(ctx)->config.name;
}

static const char *target_exec_file(void *ctx, unsigned number)
{
    (void)number;
    const struct mh_image *image = target_vm(ctx)->config.image;
    return mh_image_is_elf(image) ? mh_image_path(image) : NULL;
}

static bool target_alive(void *ctx, unsigned number)
{
    (void)number;
    const struct debug *debug = ctx;
    return !debug->vm->is_lost && !debug->killed;
}

static enum mh_status target_read_regs(void *ctx, unsigned number, unsigned groups, struct mh_x86_regs *regs,
                                       struct mh_error *err)
{
    (void)number;
    struct cpu *cpu = target_vm(ctx)->cpu;
    return cpu->ops->read_regs(cpu, groups, regs, err);
}

/* Debuggers sometimes write back what they have read; that changes nothing. */
static bool target_same_regs(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs)
{
    struct mh_x86_regs now = *regs; /* its padding, too */
    if (cpu->ops->read_regs(cpu, groups, &now, NULL) != MH_OK)
        return false;
    /* NOLINTBEGIN(bugprone-suspicious-memory-comparison): a difference in padding alone would only be an edit more */
    return ((groups & MH_REGS_GENERAL) == 0 || memcmp(&now.general, &regs->general, sizeof now.general) == 0) &&
           ((groups & MH_REGS_SYSTEM) == 0 || memcmp(&now.system, &regs->system, sizeof now.system) == 0) &&
           ((groups & MH_REGS_FPU) == 0 || memcmp(&now.fpu, &regs->fpu, sizeof now.fpu) == 0) &&
           ((groups & MH_REGS_MSRS) == 0 || memcmp(&now.msrs, &regs->msrs, sizeof now.msrs) == 0);
    /* NOLINTEND(bugprone-suspicious-memory-comparison) */
}

static enum mh_status target_write_regs(void *ctx, unsigned number, unsigned groups, const struct mh_x86_regs *regs,
                                        struct mh_error *err)
{
    (void)number;
    struct cpu *cpu = target_vm(ctx)->cpu;
    if (target_same_regs(cpu, groups, regs))
        return MH_OK;
    enum mh_status status = history_change(ctx, err);
    if (status != MH_OK)
        return status;
    cpu->ops->finish_io(cpu);
    return cpu->ops->write_regs(cpu, groups, regs, err);
}

static uint64_t target_xcr0(void *ctx, unsigned number)
{
    (void)number;
    return accel_cpuid(target_vm(ctx)->host)->xcr0 | MH_XCR0_X87 | MH_XCR0_SSE;
}

/* The first contiguous piece of physical [address, address + length). */
static uint8_t *target_physical_piece(struct mh_vm *vm, uint64_t address, size_t *length)
{
    uint64_t end = address < MH_SYSTEM_AREA ? vm->ram.ram_size : MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE;
    if (address >= end)
        return NULL;
    if (*length > end - address)
        *length = end - address;
    return ram_at(&vm->ram, mh_gpa_of(address), *length);
}

static enum mh_status target_done_or_range(size_t done, size_t length)
{
    return done > 0 || length == 0 ? MH_OK : MH_ERR_RANGE;
}

static enum mh_status target_read_memory(void *ctx, unsigned number, enum mh_space space, uint64_t address, void *to,
                                         size_t length, size_t *done)
{
    (void)number;
    struct mh_vm *vm = target_vm(ctx);
    *done = 0;
    if (space == MH_SPACE_PHYSICAL) {
        size_t piece = length;
        const uint8_t *from = target_physical_piece(vm, address, &piece);
        if (from != NULL) {
            memcpy(to, from, piece);
            *done = piece;
        }
    } else {
        const struct paging_mode mode = guest_paging_mode(vm);
        *done = gva_read(vm, &mode, mh_gva_of(address), to, length);
    }
    return target_done_or_range(*done, length);
}

static enum mh_status target_write_memory(void *ctx, unsigned number, enum mh_space space, uint64_t address,
                                          const void *from, size_t length, size_t *done)
{
    (void)number;
    struct mh_vm *vm = target_vm(ctx);
    struct mh_error err;
    *done = 0;
    if (length > 0 && history_change(ctx, &err) != MH_OK)
        return err.status;
    if (space == MH_SPACE_PHYSICAL) {
        size_t piece = length;
        uint8_t *to = target_physical_piece(vm, address, &piece);
        if (to != NULL) {
            ram_put(&vm->ram, to, from, piece);
            *done = piece;
        }
    } else {
        const struct paging_mode mode = guest_paging_mode(vm);
        *done = gva_write(vm, &mode, mh_gva_of(address), from, length);
    }
    return target_done_or_range(*done, length);
}

static unsigned target_memory_map(void *ctx, unsigned number, struct mh_memory_region *regions, unsigned capacity)
{
    (void)number;
    const struct mh_memory_region all[] = {{0, target_vm(ctx)->ram.ram_size}, {MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE}};
    for (unsigned i = 0; i < 2 && i < capacity; i++)
        regions[i] = all[i];
    return 2;
}

/* The region around `address`: of the mapped runs, the one that holds it, else the gap between its neighbours. */
struct target_region_search {
    uint64_t address;
    struct mh_region *region;
};

static void target_try_mapping(void *ctx, const struct page_mapping *mapping)
{
    const struct target_region_search *search = ctx;
    struct mh_region *region = search->region;
    const uint64_t last = mapping->end - 1, gap_last = region->start + region->length - 1;
    if (search->address > last && last + 1 != 0) { /* the gap begins behind it */
        region->start = mapping->end;
        region->length = gap_last - mapping->end + 1;
    } else if (search->address < mapping->start && mapping->start <= gap_last) {
        region->length = mapping->start - region->start;
    } else if (search->address >= mapping->start && search->address <= last) {
        *region = (struct mh_region){.start = mapping->start,
                                     .length = mapping->end - mapping->start,
                                     .mapped = true,
                                     .readable = true,
                                     .writable = mapping->writable,
                                     .executable = mapping->executable};
    }
}

static void target_memory_region(void *ctx, unsigned number, uint64_t address, struct mh_region *region)
{
    (void)number;
    struct mh_vm *vm = target_vm(ctx);
    const struct paging_mode mode = guest_paging_mode(vm);
    struct target_region_search search = {.address = address, .region = region};
    *region = (struct mh_region){.start = 0}; /* a length of 0 from 0 on is all of the address space */
    page_map_each(&vm->ram, &mode, target_try_mapping, &search);
}

static enum mh_status target_set_breakpoint(void *ctx, unsigned number, enum mh_break_owner owner,
                                            enum mh_break_kind kind, uint64_t address, uint64_t length,
                                            struct mh_error *err)
{
    (void)number;
    struct debug *debug = ctx;
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length, .owners = owner};
    return breakpoints_add(&debug->breakpoints, &breakpoint, err);
}

static enum mh_status target_clear_breakpoint(void *ctx, unsigned number, enum mh_break_owner owner,
                                              enum mh_break_kind kind, uint64_t address, uint64_t length,
                                              struct mh_error *err)
{
    (void)number, (void)err;
    struct debug *debug = ctx;
    const struct breakpoint breakpoint = {.kind = kind, .address = address, .length = length, .owners = owner};
    breakpoints_remove(&debug->breakpoints, &breakpoint);
    return MH_OK;
}

static void target_clear_all(void *ctx, unsigned number)
{
    (void)number;
    struct debug *debug = ctx;
    breakpoints_clear(&debug->breakpoints);
    catchpoints_remove(&debug->catchpoints, 0);
    debug_update_catchpoints(debug);
}

static void target_resume(void *ctx, unsigned number, const struct mh_resume *how)
{
    (void)number;
    debug_resume(ctx, how);
}

static void target_interrupt(void *ctx, unsigned number)
{
    (void)number;
    struct debug *debug = ctx;
    debug->interrupt_wanted = true;
}

/* What a machine that is lost stops with: there is nothing to run. */
static const struct mh_stop target_lost = {.kind = MH_STOP_HOST_ERROR,
                                           .text = "the machine could not be put back; restart it"};

static const struct mh_stop target_killed = {.kind = MH_STOP_HOST_ERROR, .text = "the machine was killed; restart it"};

static enum mh_wait_result target_wait(void *ctx, const int *fds, unsigned fd_count, unsigned *number,
                                       struct mh_stop *stop)
{
    struct debug *debug = ctx;
    if (!debug->running)
        return MH_WAIT_IDLE;
    *number = debug->vm->config.number;
    if (debug->vm->is_lost || debug->killed) {
        debug->running = false;
        *stop = debug->vm->is_lost ? target_lost : target_killed;
        return MH_WAIT_STOPPED;
    }
    debug->fds = fds;
    debug->fd_count = fd_count;
    enum debug_end end = debug_run(debug, stop);
    debug->fds = NULL;
    debug->fd_count = 0;
    if (end == DEBUG_INPUT)
        return MH_WAIT_INPUT;
    debug->running = false;
    debug->interrupt_wanted = false;
    debug->last_stop = *stop;
    events_stop(debug->vm, stop);
    return MH_WAIT_STOPPED;
}

void debug_say(const struct debug *debug, const char *format, ...)
{
    char text[3 * 4096]; /* paths */
    va_list args;
    if (debug->console == NULL)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    debug->console(debug->console_ctx, debug->vm->config.number, text);
}

/* The debugger may show the symbols of a file that is not what the machine runs: say so. */
static void target_tell_changed_image(const struct debug *debug)
{
    const struct mh_vm_config *config = &debug->vm->config;
    if (!image_has_changed(config->image))
        return;
    debug_say(debug,
              "guest image '%s' has changed since it was loaded: the machine runs what was in it, which symbols of "
              "the new file do not fit%s\n",
              mh_image_path(config->image),
              config->open_image == NULL
                  ? ""
                  : "; to start the new one, type: monitor reset, or run after target extended-remote");
}

/* gdb reads a changed file of its own again when it says run, but keeps the symbols of one that it got from here. */
static void target_tell_reloaded_image(const struct debug *debug)
{
    const struct mh_image *image = debug->vm->config.image;
    const char *path = mh_image_path(image);
    debug_say(debug, "guest image '%s' has changed and was loaded again\n", path);
    if (mh_image_is_elf(image))
        debug_say(debug, "if gdb says that target:%s has disappeared, type: symbol-file target:%s\n", path, path);
}

static enum mh_status target_restart(void *ctx, unsigned number, struct mh_error *err)
{
    (void)number;
    struct debug *debug = ctx;
    bool is_other;
    enum mh_status status = vm_reload_image(debug->vm, &is_other, err);
    if (status != MH_OK)
        return status;
    if (is_other)
        target_tell_reloaded_image(debug);
    return vm_restart(debug->vm, err);
}

static void debug_on_relocated(void *ctx);

static enum mh_status target_restore(void *ctx, unsigned number, const char *name, struct mh_error *err)
{
    (void)number;
    struct debug *debug = ctx;
    if (debug->killed)
        return mh_fail(err, MH_ERR_RANGE, "there is no machine any more: restart it first");
    bool done;
    enum mh_status status = history_restore_snapshot(debug, name, &done, err);
    if (status != MH_OK || done) {
        debug->was_restored |= status == MH_OK;
        return status;
    }
    status = snapshot_list_restore(debug->vm, name, err);
    if (status == MH_OK || debug->vm->is_lost)
        debug_on_relocated(debug);
    debug->was_restored |= status == MH_OK;
    return status;
}

static bool target_can_reverse(void *ctx, unsigned number)
{
    (void)number;
    const struct debug *debug = ctx;
    return debug->timeline != NULL;
}

static enum mh_status target_go_to(void *ctx, unsigned number, const char *where, struct mh_error *err)
{
    (void)number;
    struct debug *debug = ctx;
    if (debug->killed || debug->vm->is_lost)
        return mh_fail(err, MH_ERR_RANGE, "there is no machine any more: restart it first");
    enum mh_status status = history_go_to(debug, where, err);
    debug->was_restored |= status == MH_OK;
    return status;
}

static void target_set_console(void *ctx, mh_console *console, void *console_ctx)
{
    struct debug *debug = ctx;
    debug->console = console;
    debug->console_ctx = console_ctx;
    target_tell_changed_image(debug);
}

static void target_kill(void *ctx, unsigned number)
{
    (void)number;
    struct debug *debug = ctx;
    debug->killed = true;
    debug->running = false;
}

static void target_describe_stop(void *ctx, unsigned number, const struct mh_stop *stop, mh_text_sink *sink,
                                 void *sink_ctx)
{
    (void)number;
    report_stop_briefly(target_vm(ctx), stop, sink, sink_ctx);
}

static enum mh_status target_monitor(void *ctx, unsigned number, const char *command, bool color, mh_text_sink *sink,
                                     void *sink_ctx, struct mh_error *err)
{
    const struct text_output output = {.sink = sink, .ctx = sink_ctx, .has_color = color};
    (void)number;
    return monitor_run(ctx, command, &output, err);
}

static int target_open_file(void *ctx, unsigned number, const char *name)
{
    struct mh_vm *vm = target_vm(ctx);
    const char *image = target_exec_file(ctx, number);
    if (proc_files_is(name))
        return proc_files_open(vm, name);
    if (image != NULL && strcmp(name, image) == 0)
        return image_open(vm->config.image);
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
    .memory_region = target_memory_region,
    .set_breakpoint = target_set_breakpoint,
    .clear_breakpoint = target_clear_breakpoint,
    .clear_all_breakpoints = target_clear_all,
    .resume = target_resume,
    .interrupt = target_interrupt,
    .wait = target_wait,
    .restart = target_restart,
    .restore = target_restore,
    .can_reverse = target_can_reverse,
    .go_to = target_go_to,
    .set_console = target_set_console,
    .kill = target_kill,
    .describe_stop = target_describe_stop,
    .monitor = target_monitor,
    .open_file = target_open_file,
};

bool mh_vm_last_stop(const struct mh_vm *vm, struct mh_stop *stop)
{
    const struct debug *debug = debug_of(vm);
    *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
    if (debug == NULL) /* mh_vm_debug() failed */
        return false;
    *stop = debug->last_stop;
    if (debug->killed && !mh_stop_is_crash(stop))
        stop->kind = MH_STOP_HALTED;
    return debug->killed || stop->kind == MH_STOP_HALTED;
}

/* ---- what the debugger's side hooks into a machine ---- */

struct debug *debug_of(const struct mh_vm *vm)
{
    return vm->hooks.ctx;
}

static bool debug_on_event(void *ctx, const struct mh_event *event, char *text, size_t size)
{
    struct debug *debug = ctx;
    return catchpoints_match(&debug->catchpoints, event, text, size);
}

void debug_update_catchpoints(struct debug *debug)
{
    debug->vm->hooks.event = debug->catchpoints.count > 0 ? debug_on_event : NULL;
}

/* The machine is somewhere else than where it stopped. */
static void debug_on_relocated(void *ctx)
{
    struct debug *debug = ctx;
    debug->running = debug->killed = debug->interrupt_wanted = debug->was_restored = false;
    history_restart(debug);
    debug->last_stop = debug->vm->is_lost ? target_lost : (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
}

static void debug_destroy(void *ctx)
{
    struct debug *debug = ctx;
    history_end(debug);
    breakpoints_destroy(&debug->breakpoints);
    catchpoints_remove(&debug->catchpoints, 0);
    free(debug);
}

enum mh_status mh_vm_debug(struct mh_vm *vm, struct mh_debug_target *target, struct mh_error *err)
{
    struct debug *debug = calloc(1, sizeof *debug);
    if (debug == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for debugging: %s", strerror(ENOMEM));
    debug->vm = vm;
    debug->last_stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED}; /* before its first instruction */
    vm->hooks = (struct vm_hooks){.ctx = debug, .relocated = debug_on_relocated, .destroy = debug_destroy};
    history_begin(debug, vm->config.history);
    *target = (struct mh_debug_target){.ops = &debug_target_ops, .ctx = debug};
    return MH_OK;
}
