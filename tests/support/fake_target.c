#include "fake_target.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUANTUM 10000u /* instructions between looks at the descriptors */
#define POLLED_MAX 4u

static const char notes_file[] = "what the guest wrote: $ # } *\n";

struct fake_machine *fake_machine(struct fake_target *fake, unsigned vm)
{
    return &fake->machines[vm - 1];
}

/* --- numbers and names --- */

static unsigned vm_count(void *ctx)
{
    return ((struct fake_target *)ctx)->count;
}

static unsigned vm_number(void *ctx, unsigned i)
{
    (void)ctx;
    return i + 1;
}

static const char *vm_name(void *ctx, unsigned vm)
{
    static const char *const names[FAKE_MACHINES] = {"hello", "a<b", "third", "fourth"};

    (void)ctx;
    return names[vm - 1];
}

static const char *vm_exec_file(void *ctx, unsigned vm)
{
    (void)vm;
    return ((struct fake_target *)ctx)->flat ? NULL : "/guests/hello.elf";
}

static bool vm_alive(void *ctx, unsigned vm)
{
    return fake_machine(ctx, vm)->alive;
}

/* --- registers --- */

static enum mh_status read_regs(void *ctx, unsigned vm, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err)
{
    const struct fake_target *fake = ctx;
    const struct mh_x86_regs *from = &fake_machine(ctx, vm)->regs;

    if (fake->refuse_regs)
        return mh_fail(err, MH_ERR_HOST, "rax is shy");
    if (groups & MH_REGS_GENERAL)
        regs->general = from->general;
    if (groups & MH_REGS_SYSTEM)
        regs->system = from->system;
    if (groups & MH_REGS_FPU)
        regs->fpu = from->fpu;
    if (groups & MH_REGS_MSRS)
        regs->msrs = from->msrs;
    return MH_OK;
}

static enum mh_status write_regs(void *ctx, unsigned vm, unsigned groups, const struct mh_x86_regs *regs,
                                 struct mh_error *err)
{
    struct fake_machine *machine = fake_machine(ctx, vm);

    if ((groups & MH_REGS_SYSTEM) && !(regs->system.cr0 & MH_CR0_PE))
        return mh_fail(err, MH_ERR_HOST, "cr0: protection stays on");
    machine->written_groups = groups;
    if (groups & MH_REGS_GENERAL)
        machine->regs.general = regs->general;
    if (groups & MH_REGS_SYSTEM)
        machine->regs.system = regs->system;
    if (groups & MH_REGS_FPU)
        machine->regs.fpu = regs->fpu;
    if (groups & MH_REGS_MSRS)
        machine->regs.msrs = regs->msrs;
    return MH_OK;
}

static uint64_t xcr0_supported(void *ctx, unsigned vm)
{
    (void)vm;
    return ((struct fake_target *)ctx)->xcr0;
}

/* --- memory --- */

/* Where `address` is in the machine's memory; false when nowhere. */
static bool translate(enum mh_space space, uint64_t *address)
{
    if (space == MH_SPACE_PHYSICAL && *address >= FAKE_PHYSICAL)
        *address -= FAKE_PHYSICAL;
    return *address < FAKE_MEMORY;
}

/* Where up to `length` bytes at `address` are; *done says how many of them there are. NULL when there is none. */
static uint8_t *find_memory(struct fake_machine *machine, enum mh_space space, uint64_t address, size_t length,
                            size_t *done)
{
    *done = 0;
    if (length == 0)
        return machine->memory;
    if (!translate(space, &address))
        return NULL;
    *done = length < FAKE_MEMORY - address ? length : (size_t)(FAKE_MEMORY - address);
    return machine->memory + address;
}

static enum mh_status read_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address, void *to,
                                  size_t length, size_t *done)
{
    const uint8_t *found = find_memory(fake_machine(ctx, vm), space, address, length, done);

    if (found == NULL)
        return MH_ERR_RANGE;
    memcpy(to, found, *done);
    return MH_OK;
}

static enum mh_status write_memory(void *ctx, unsigned vm, enum mh_space space, uint64_t address, const void *from,
                                   size_t length, size_t *done)
{
    uint8_t *found = find_memory(fake_machine(ctx, vm), space, address, length, done);

    if (found == NULL)
        return MH_ERR_RANGE;
    memcpy(found, from, *done);
    return MH_OK;
}

static unsigned memory_map(void *ctx, unsigned vm, struct mh_memory_region *regions, unsigned capacity)
{
    static const struct mh_memory_region map[] = {{0, FAKE_MEMORY}, {FAKE_PHYSICAL, FAKE_MEMORY}};

    (void)ctx;
    (void)vm;
    for (unsigned i = 0; i < 2 && i < capacity; i++)
        regions[i] = map[i];
    return 2;
}

static void memory_region(void *ctx, unsigned vm, uint64_t address, struct mh_region *region)
{
    static const struct mh_region map[] = {
        {0, 0x1000, true, true, false, false},
        {0x1000, 0x1000, true, true, false, true},
        {0x2000, FAKE_MEMORY - 0x2000, true, true, true, false},
        {FAKE_MEMORY, UINT64_MAX - FAKE_MEMORY + 1, false, false, false, false},
    };
    unsigned i = 0;

    (void)ctx;
    (void)vm;
    while (address - map[i].start >= map[i].length)
        i++;
    *region = map[i];
}

/* --- breakpoints and watchpoints --- */

static struct fake_break *find_break(struct fake_machine *machine, enum mh_break_kind kind, uint64_t address,
                                     uint64_t length)
{
    for (unsigned i = 0; i < FAKE_BREAKS; i++) {
        struct fake_break *one = &machine->breaks[i];

        if (one->owners && one->kind == kind && one->address == address && one->length == length)
            return one;
    }
    return NULL;
}

static unsigned hardware_used(const struct fake_machine *machine)
{
    unsigned used = 0;

    for (unsigned i = 0; i < FAKE_BREAKS; i++)
        used += machine->breaks[i].owners && machine->breaks[i].kind == MH_BREAK_HARDWARE;
    return used;
}

static enum mh_status set_breakpoint(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                     uint64_t address, uint64_t length, struct mh_error *err)
{
    struct fake_machine *machine = fake_machine(ctx, vm);
    struct fake_break *one = find_break(machine, kind, address, length);

    if (one != NULL) {
        one->owners |= owner;
        return MH_OK;
    }
    if (kind == MH_BREAK_HARDWARE && hardware_used(machine) == FAKE_HARDWARE_SLOTS)
        return mh_fail(err, MH_ERR_RANGE, "cannot insert: all four hardware slots are in use");
    for (unsigned i = 0; i < FAKE_BREAKS; i++) {
        if (machine->breaks[i].owners)
            continue;
        machine->breaks[i] = (struct fake_break){kind, address, length, owner};
        return MH_OK;
    }
    return mh_fail(err, MH_ERR_RANGE, "too many breakpoints");
}

static enum mh_status clear_breakpoint(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                       uint64_t address, uint64_t length, struct mh_error *err)
{
    struct fake_break *one = find_break(fake_machine(ctx, vm), kind, address, length);

    (void)err;
    if (one != NULL)
        one->owners &= ~(unsigned)owner;
    return MH_OK;
}

unsigned fake_target_owners(struct fake_target *fake, unsigned vm, uint64_t address)
{
    const struct fake_break *one = find_break(fake_machine(fake, vm), MH_BREAK_SOFTWARE, address, 1);

    return one != NULL ? one->owners : 0;
}

static void clear_all_breakpoints(void *ctx, unsigned vm)
{
    memset(fake_machine(ctx, vm)->breaks, 0, sizeof(fake_machine(ctx, vm)->breaks));
}

unsigned fake_target_breaks(const struct fake_target *fake, unsigned vm)
{
    unsigned used = 0;

    for (unsigned i = 0; i < FAKE_BREAKS; i++)
        used += fake->machines[vm - 1].breaks[i].owners != 0;
    return used;
}

/* --- executing --- */

static void say(const struct fake_target *fake, unsigned vm, const char *text)
{
    if (fake->talks && fake->console != NULL)
        fake->console(fake->console_ctx, vm, text);
}

static void resume(void *ctx, unsigned vm, const struct mh_resume *how)
{
    struct fake_machine *machine = fake_machine(ctx, vm);

    machine->running = true;
    machine->interrupted = false;
    machine->how = *how;
    machine->at_start = true;
    machine->resumes++;
}

static void interrupt(void *ctx, unsigned vm)
{
    fake_machine(ctx, vm)->interrupted = true;
    fake_machine(ctx, vm)->interrupts++;
}

/* A breakpoint at rip, if one is set. */
static bool at_breakpoint(struct fake_machine *machine, struct mh_stop *stop)
{
    if (find_break(machine, MH_BREAK_SOFTWARE, machine->regs.general.rip, 1) != NULL)
        stop->kind = MH_STOP_BREAKPOINT;
    else if (find_break(machine, MH_BREAK_HARDWARE, machine->regs.general.rip, 1) != NULL)
        stop->kind = MH_STOP_HW_BREAKPOINT;
    else
        return false;
    return true;
}

/* Is a store to `address` watched? */
static bool at_watchpoint(struct fake_machine *machine, uint64_t address, struct mh_stop *stop)
{
    for (unsigned i = 0; i < FAKE_BREAKS; i++) {
        const struct fake_break *one = &machine->breaks[i];

        if (!one->owners || one->kind < MH_BREAK_WATCH_WRITE || address - one->address >= one->length)
            continue;
        stop->kind = MH_STOP_WATCHPOINT;
        stop->watch_address = one->address;
        stop->watch = one->kind == MH_BREAK_WATCH_WRITE  ? MH_WATCH_WRITE
                      : one->kind == MH_BREAK_WATCH_READ ? MH_WATCH_READ
                                                         : MH_WATCH_ACCESS;
        return true;
    }
    return false;
}

/* Store al at [rdi]; true when that was watched. */
static bool store(struct fake_machine *machine, struct fake_moment *moment, struct mh_stop *stop)
{
    uint64_t address = machine->regs.general.gpr[MH_RDI]++;

    if (address < FAKE_MEMORY) {
        moment->stored = true;
        moment->address = address;
        moment->byte = machine->memory[address];
        machine->memory[address] = (uint8_t)machine->regs.general.gpr[MH_RAX];
    }
    return at_watchpoint(machine, address, stop);
}

static bool fault(struct mh_stop *stop, uint8_t vector)
{
    stop->kind = MH_STOP_EXCEPTION;
    stop->vector = vector;
    return true;
}

/* An instruction is about to be executed; there is always room for it: the older half of a full history is forgotten.
 */
static struct fake_moment *begin_moment(struct fake_machine *machine)
{
    struct fake_moment *moment;

    if (machine->moment_count == FAKE_HISTORY) {
        machine->moment_count /= 2;
        memmove(machine->moments, machine->moments + machine->moment_count,
                machine->moment_count * sizeof *machine->moments);
    }
    moment = &machine->moments[machine->moment_count++];
    *moment = (struct fake_moment){.before = machine->regs.general};
    if (++machine->position > machine->furthest)
        machine->furthest = machine->position;
    return moment;
}

/* Execute one instruction; true when it stops the machine. */
static bool execute(struct fake_machine *machine, struct mh_stop *stop)
{
    uint64_t *rip = &machine->regs.general.rip;
    const uint8_t *at = machine->memory + *rip;

    if (*rip + 1 >= FAKE_MEMORY)
        return fault(stop, 14);
    if (at[0] == 0xcc)
        return fault(stop, 3);
    if (at[0] == 0x0f && at[1] == 0x0b)
        return fault(stop, 6);
    struct fake_moment *moment = begin_moment(machine);
    if (at[0] == 0xeb && at[1] == 0xfe)
        return false;
    ++*rip;
    if (at[0] == 0xf4)
        stop->kind = MH_STOP_HALTED;
    return at[0] == 0xf4 || (at[0] == 0xaa && store(machine, moment, stop));
}

/* After an instruction: is what was asked for done? */
static bool resume_done(const struct fake_machine *machine)
{
    uint64_t rip = machine->regs.general.rip;

    return machine->how.kind == MH_RESUME_STEP ||
           (machine->how.kind == MH_RESUME_RANGE && (rip < machine->how.start || rip >= machine->how.end));
}

/* Is there a stop before anything is executed? */
static bool stops_at_start(struct fake_machine *machine, struct mh_stop *stop)
{
    bool is_start = machine->at_start && machine->how.kind == MH_RESUME_CONTINUE && !machine->how.backwards;

    machine->at_start = false;
    return is_start && at_breakpoint(machine, stop);
}

/* Undo one instruction; true when it stops the machine. */
static bool undo(struct fake_machine *machine, struct mh_stop *stop)
{
    if (machine->moment_count == 0) {
        stop->kind = MH_STOP_HISTORY_BEGIN;
        return true;
    }
    const struct fake_moment *moment = &machine->moments[--machine->moment_count];
    machine->position--;
    machine->alive = true;
    machine->regs.general = moment->before;
    if (!moment->stored)
        return false;
    machine->memory[moment->address] = moment->byte;
    return at_watchpoint(machine, moment->address, stop);
}

static bool advance(struct fake_machine *machine, struct mh_stop *stop)
{
    if (machine->how.backwards)
        return undo(machine, stop);
    if (machine->replayed != 0 && machine->position >= machine->replayed) {
        stop->kind = MH_STOP_HISTORY_END;
        return true;
    }
    return execute(machine, stop);
}

/* Execute or undo one instruction and look at the breakpoints behind it; true when there is a stop. */
static bool execute_to_stop(struct fake_machine *machine, struct mh_stop *stop)
{
    if (advance(machine, stop))
        return true;
    if (machine->how.kind != MH_RESUME_STEP && at_breakpoint(machine, stop))
        return true;
    if (!resume_done(machine))
        return false;
    stop->kind = MH_STOP_STEP;
    return true;
}

static bool is_filtered(const struct mh_stop *stop)
{
    return stop->kind == MH_STOP_BREAKPOINT || stop->kind == MH_STOP_HW_BREAKPOINT ||
           stop->kind == MH_STOP_WATCHPOINT || stop->kind == MH_STOP_STEP;
}

/* Ask the filter, if there is one and the stop is of its kinds. */
static bool is_wanted(struct fake_machine *machine, unsigned vm, struct mh_stop *stop)
{
    if (machine->how.filter == NULL || !is_filtered(stop) || machine->how.filter(machine->how.filter_ctx, vm, stop))
        return true;
    machine->filtered++;
    *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
    return false;
}

static bool run_machine(struct fake_machine *machine, unsigned vm, struct mh_stop *stop)
{
    *stop = (struct mh_stop){.kind = MH_STOP_INTERRUPTED};
    if (machine->script_length > 0) {
        *stop = machine->script[0];
        memmove(machine->script, machine->script + 1, --machine->script_length * sizeof *stop);
        if (is_wanted(machine, vm, stop))
            return true;
        machine->at_start = false;
    }
    if (stops_at_start(machine, stop) && is_wanted(machine, vm, stop))
        return true;
    unsigned limit = machine->limit > 0 ? machine->limit : QUANTUM;
    for (unsigned i = 0; i < limit; i++)
        if (execute_to_stop(machine, stop) && is_wanted(machine, vm, stop))
            return true;
    /* an interruption that coincides with the end of a step is the later of the two */
    return machine->interrupted;
}

static bool input_waits(const int *fds, unsigned fd_count)
{
    struct pollfd polled[POLLED_MAX];

    for (unsigned i = 0; i < fd_count && i < POLLED_MAX; i++)
        polled[i] = (struct pollfd){fds[i], POLLIN, 0};
    return fd_count > 0 && poll(polled, fd_count < POLLED_MAX ? fd_count : POLLED_MAX, 0) > 0;
}

static enum mh_wait_result wait_target(void *ctx, const int *fds, unsigned fd_count, unsigned *vm, struct mh_stop *stop)
{
    struct fake_target *fake = ctx;

    for (;;) {
        bool any = false;

        for (unsigned i = 0; i < fake->count; i++) {
            struct fake_machine *machine = &fake->machines[i];

            if (!machine->running)
                continue;
            any = true;
            if (machine->at_start)
                say(fake, i + 1, "running\n");
            if (!run_machine(machine, i + 1, stop))
                continue;
            machine->running = machine->interrupted = false;
            machine->alive = stop->kind != MH_STOP_HALTED;
            *vm = i + 1;
            return MH_WAIT_STOPPED;
        }
        if (!any)
            return MH_WAIT_IDLE;
        if (input_waits(fds, fd_count))
            return MH_WAIT_INPUT;
    }
}

static void set_start(struct fake_machine *machine)
{
    memset(&machine->regs, 0, sizeof machine->regs);
    memset(machine->memory, 0x90, sizeof machine->memory);
    machine->memory[0x1fff] = 0xf4;
    machine->regs.general.rip = FAKE_START;
    machine->regs.general.gpr[MH_RSP] = FAKE_MEMORY - 16;
    machine->regs.general.rflags = MH_RFLAGS_FIXED;
    machine->regs.system.cr0 = MH_CR0_PE | MH_CR0_PG | MH_CR0_ET;
    machine->regs.system.cr3 = 0x1000000;
    machine->regs.system.cr4 = MH_CR4_PAE;
    machine->regs.system.efer = MH_EFER_LME | MH_EFER_LMA;
    machine->regs.system.seg[MH_CS].selector = 8;
    machine->regs.system.seg[MH_CS].attributes = 0xa09b;
    machine->regs.fpu.fctrl = 0x37f;
    machine->regs.fpu.ftag = 0xffff;
    machine->regs.fpu.mxcsr = 0x1f80;
    machine->alive = true;
    machine->running = machine->interrupted = false;
    machine->moment_count = 0;
    machine->position = machine->furthest = 0;
}

static enum mh_status restart(void *ctx, unsigned vm, struct mh_error *err)
{
    const struct fake_target *fake = ctx;

    if (fake->refuse_restart)
        return mh_fail(err, MH_ERR_IMAGE, "the image is gone");
    set_start(fake_machine(ctx, vm));
    fake_machine(ctx, vm)->restarts++;
    say(fake, vm, "restarted\n");
    return MH_OK;
}

/* The one snapshot there is, "start", is how it begins; putting "broken" back goes wrong half way. */
static enum mh_status restore(void *ctx, unsigned vm, const char *name, struct mh_error *err)
{
    if (strcmp(name, "broken") == 0) {
        fake_machine(ctx, vm)->alive = false;
        return mh_fail(err, MH_ERR_HOST, "half of it is missing");
    }
    if (strcmp(name, "start") != 0)
        return mh_fail(err, MH_ERR_USAGE, "there is no snapshot '%s'", name);
    set_start(fake_machine(ctx, vm));
    return MH_OK;
}

static bool can_reverse(void *ctx, unsigned vm)
{
    (void)vm;
    return ((const struct fake_target *)ctx)->keeps_history;
}

/* The position that `where` names, relative to the present one if it has a sign. */
static bool parse_position(const struct fake_machine *machine, const char *where, uint64_t *position)
{
    char *end;

    if (strcmp(where, "start") == 0 || strcmp(where, "end") == 0) {
        *position = where[0] == 's' ? machine->position - machine->moment_count : machine->furthest;
        return true;
    }
    *position = strtoull(where + (where[0] == '+' || where[0] == '-'), &end, 10);
    if (where[0] == '+')
        *position = machine->position + *position;
    else if (where[0] == '-')
        *position = machine->position - *position;
    return end != where && *end == '\0';
}

/* Going to "broken" goes wrong half way. */
static enum mh_status go_to(void *ctx, unsigned vm, const char *where, struct mh_error *err)
{
    struct fake_machine *machine = fake_machine(ctx, vm);
    struct mh_stop stop = {.kind = MH_STOP_STEP};
    uint64_t position;

    if (strcmp(where, "broken") == 0) {
        machine->alive = false;
        return mh_fail(err, MH_ERR_HOST, "the past is gone");
    }
    if (!parse_position(machine, where, &position))
        return mh_fail(err, MH_ERR_USAGE, "there is no position '%s'", where);
    if (position > machine->furthest || position < machine->position - machine->moment_count)
        return mh_fail(err, MH_ERR_RANGE, "position %s is not in the history", where);
    while (machine->position > position)
        undo(machine, &stop);
    while (machine->position < position)
        execute(machine, &stop);
    return MH_OK;
}

static void set_console(void *ctx, mh_console *console, void *console_ctx)
{
    struct fake_target *fake = ctx;

    fake->console = console;
    fake->console_ctx = console_ctx;
}

static void kill_machine(void *ctx, unsigned vm)
{
    fake_machine(ctx, vm)->alive = fake_machine(ctx, vm)->running = false;
    fake_machine(ctx, vm)->kills++;
}

/* --- texts and files --- */

static void describe_stop(void *ctx, unsigned vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx)
{
    static const char first[] = "the guest crashed\n", second[] = "badly\n";

    (void)ctx;
    (void)vm;
    (void)stop;
    sink(sink_ctx, first, sizeof first - 1);
    sink(sink_ctx, second, sizeof second - 1);
}

static enum mh_status monitor(void *ctx, unsigned vm, const char *command, bool color, mh_text_sink *sink,
                              void *sink_ctx, struct mh_error *err)
{
    static const char text[] = "mapped: everything\n", colored[] = "mapped: \033[32meverything\033[0m\n";

    (void)ctx;
    (void)vm;
    if (strcmp(command, "map") == 0) {
        sink(sink_ctx, color ? colored : text, color ? sizeof colored - 1 : sizeof text - 1);
        return MH_OK;
    }
    if (strcmp(command, "when") == 0) {
        char line[64];
        int length = snprintf(line, sizeof line, "at %llu\n", (unsigned long long)fake_machine(ctx, vm)->position);

        sink(sink_ctx, line, (size_t)length);
        return MH_OK;
    }
    if (strcmp(command, "flood") == 0) {
        for (unsigned i = 0; i < 5000; i++)
            sink(sink_ctx, text, sizeof text - 1);
        return MH_OK;
    }
    return mh_fail(err, MH_ERR_USAGE, "no such command: %s", command);
}

static int open_file(void *ctx, unsigned vm, const char *name)
{
    (void)ctx;
    (void)vm;
    if (strcmp(name, "notes.txt") != 0)
        return name[0] == '/' ? -EACCES : -ENOENT;
    int fd = memfd_create("notes", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, notes_file, sizeof notes_file - 1) != (ssize_t)sizeof notes_file - 1) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static const struct mh_debug_target_ops fake_ops = {
    .vm_count = vm_count,
    .vm_number = vm_number,
    .vm_name = vm_name,
    .vm_exec_file = vm_exec_file,
    .vm_alive = vm_alive,
    .read_regs = read_regs,
    .write_regs = write_regs,
    .xcr0_supported = xcr0_supported,
    .read_memory = read_memory,
    .write_memory = write_memory,
    .memory_map = memory_map,
    .memory_region = memory_region,
    .set_breakpoint = set_breakpoint,
    .clear_breakpoint = clear_breakpoint,
    .clear_all_breakpoints = clear_all_breakpoints,
    .resume = resume,
    .interrupt = interrupt,
    .wait = wait_target,
    .restart = restart,
    .restore = restore,
    .can_reverse = can_reverse,
    .go_to = go_to,
    .set_console = set_console,
    .kill = kill_machine,
    .describe_stop = describe_stop,
    .monitor = monitor,
    .open_file = open_file,
};

void fake_target_init(struct fake_target *fake, unsigned count)
{
    memset(fake, 0, sizeof *fake);
    fake->count = count;
    fake->xcr0 = MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX;
    fake->target = (struct mh_debug_target){.ops = &fake_ops, .ctx = fake};
    for (unsigned i = 0; i < count; i++)
        set_start(&fake->machines[i]);
}

void fake_target_report(struct fake_target *fake, unsigned vm, struct mh_stop stop)
{
    struct fake_machine *machine = fake_machine(fake, vm);

    if (machine->script_length < FAKE_SCRIPT)
        machine->script[machine->script_length++] = stop;
}

void fake_target_limit(struct fake_target *fake, unsigned vm, unsigned limit)
{
    fake_machine(fake, vm)->limit = limit;
}
