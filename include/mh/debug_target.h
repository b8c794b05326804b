/*
 * What a debugger may do to virtual machines: the one table through which the GDB stub sees them. Core fills it
 * in with KVM, the tests with a fake. Virtual machines are numbered from 1; a target that serves one machine only
 * still calls it by its own number.
 *
 * Protocol of use: a machine is stopped or running. While it runs, only wait() and interrupt() may be called for it;
 * everything else belongs to stopped machines. resume() only notes what is to be done; wait() lets it happen.
 * All calls come from the one thread that serves the debugger.
 */
#ifndef MH_DEBUG_TARGET_H
#define MH_DEBUG_TARGET_H

#include "mh/status.h"
#include "mh/stop.h"
#include "mh/x86_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mh_space {
    MH_SPACE_VIRTUAL, /* through the guest's page tables, as the instructions see it */
    MH_SPACE_PHYSICAL,
};

/* Kinds of GDB's z and Z packets, in their numbering. */
enum mh_break_kind {
    MH_BREAK_SOFTWARE = 0,
    MH_BREAK_HARDWARE = 1,
    MH_BREAK_WATCH_WRITE = 2,
    MH_BREAK_WATCH_READ = 3,
    MH_BREAK_WATCH_ACCESS = 4,
};

enum mh_resume_kind {
    MH_RESUME_CONTINUE,
    MH_RESUME_STEP,  /* one instruction */
    MH_RESUME_RANGE, /* step until rip leaves [start, end), a breakpoint is met or something else stops it */
};

/* The owners of a breakpoint or watchpoint; each sets and clears it independently. */
enum mh_break_owner {
    MH_OWNER_DEBUGGER = 1,
    MH_OWNER_TRACEPOINT = 2,
};

/*
 * Decides whether a stop for a breakpoint or watchpoint, or the end of a step or range, is wanted. wait() calls it on
 * its own thread before it reports such a stop, with the machine stopped; also for the stop at once of a CONTINUE. If
 * it returns false the machine continues as it was resumed, as if it had not stopped: a CONTINUE steps off the
 * breakpoint, a STEP executes another instruction. A pending interrupt() stays pending. The filter may change *stop,
 * read and write registers and memory of the machine, and set and clear its breakpoints.
 */
typedef bool mh_stop_filter(void *filter_ctx, unsigned vm, struct mh_stop *stop);

/*
 * A CONTINUE that starts at an armed breakpoint stops there at once, with nothing executed, as GDB expects; STEP, and
 * the first instruction of RANGE, execute it. So does the first resume after restore(): the stop at which the snapshot
 * was taken was reported then.
 */
struct mh_resume {
    enum mh_resume_kind kind;
    uint64_t start, end; /* RANGE */
    /*
     * Run backwards: STEP undoes one instruction, RANGE undoes them until rip leaves the range, CONTINUE goes to the
     * last place before this one at which a breakpoint or watchpoint would have stopped; a breakpoint at this very
     * place does not count. At a watchpoint the machine is before the instruction that made the access. Needs
     * can_reverse().
     */
    bool backwards;
    mh_stop_filter *filter; /* NULL: every stop is wanted */
    void *filter_ctx;
};

/* Text that comes for the person at the debugger while an operation is under way: progress, and what became of the
 * past. One line or more, each with its newline. */
typedef void mh_console(void *console_ctx, unsigned vm, const char *text);

enum mh_wait_result {
    MH_WAIT_STOPPED, /* *vm has stopped, *stop says why */
    MH_WAIT_INPUT,   /* one of the descriptors has something to read (or is gone); machines run on */
    MH_WAIT_IDLE,    /* no machine is running */
};

/* A range of guest-physical memory. */
struct mh_memory_region {
    uint64_t start, length;
};

/* A range of guest-virtual addresses with the same access. */
struct mh_region {
    uint64_t start, length; /* start + length == 0: up to the top of the address space */
    bool mapped;            /* false: nothing is, and the access is none */
    bool readable, writable, executable;
};

/* Takes `length` bytes of text, any number of times a call. */
typedef void mh_text_sink(void *sink_ctx, const char *text, size_t length);

struct mh_debug_target_ops {
    /* Number of machines. */
    unsigned (*vm_count)(void *ctx);
    /* The number of the i-th machine, i from 0. */
    unsigned (*vm_number)(void *ctx, unsigned i);
    /* A name for people; lives as long as the target. */
    const char *(*vm_name)(void *ctx, unsigned vm);
    /* Absolute path of the guest's ELF file, NULL when the image is flat. */
    const char *(*vm_exec_file)(void *ctx, unsigned vm);
    /* False after kill() or a restart() that failed: only restart() from then on. After HLT registers and memory can
     * still be read, for machines are held there for the debugger. */
    bool (*vm_alive)(void *ctx, unsigned vm);

    /* Read or write the parts named by `groups` (MH_REGS_*). On error *regs is undefined (read), or the machine
     * unchanged as far as KVM allows (write); *err says which register was refused and why. */
    enum mh_status (*read_regs)(void *ctx, unsigned vm, unsigned groups, struct mh_x86_regs *regs,
                                struct mh_error *err);
    enum mh_status (*write_regs)(void *ctx, unsigned vm, unsigned groups, const struct mh_x86_regs *regs,
                                 struct mh_error *err);
    /* XCR0 bits this machine may ever have: decides which registers exist. */
    uint64_t (*xcr0_supported)(void *ctx, unsigned vm);

    /* Copy up to `length` bytes; *done says how many, counted from the start and ending at the first unmapped byte.
     * MH_OK when *done > 0 or length == 0, else MH_ERR_RANGE. Breakpoints never show; writes do not disarm them. */
    enum mh_status (*read_memory)(void *ctx, unsigned vm, enum mh_space space, uint64_t address, void *to,
                                  size_t length, size_t *done);
    enum mh_status (*write_memory)(void *ctx, unsigned vm, enum mh_space space, uint64_t address, const void *from,
                                   size_t length, size_t *done);
    /* Fills at most `capacity` regions, lowest address first; returns how many there are. */
    unsigned (*memory_map)(void *ctx, unsigned vm, struct mh_memory_region *regions, unsigned capacity);
    /*
     * The largest region that contains `address`, or a part of it that does, for any address: mapped by the guest's
     * page tables, with the access they allow to the kernel, or unmapped. Following the ends of regions from 0 on
     * reaches the top of the address space in a reasonable number of calls: gaps are whole. NULL: not known.
     */
    void (*memory_region)(void *ctx, unsigned vm, uint64_t address, struct mh_region *region);

    /*
     * The machine's one list of breakpoints and watchpoints. Each has owners, a set: setting what an owner has set, or
     * clearing what it has not, is MH_OK and changes nothing; a point is gone when its last owner cleared it.
     * `length` is 1 for breakpoints. On error *err has the reason, for the person at the debugger.
     */
    enum mh_status (*set_breakpoint)(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                     uint64_t address, uint64_t length, struct mh_error *err);
    enum mh_status (*clear_breakpoint)(void *ctx, unsigned vm, enum mh_break_owner owner, enum mh_break_kind kind,
                                       uint64_t address, uint64_t length, struct mh_error *err);
    /* Forget every break- and watchpoint of the machine, and what a `monitor` command caught; used when a debugger
     * leaves. */
    void (*clear_all_breakpoints)(void *ctx, unsigned vm);

    void (*resume)(void *ctx, unsigned vm, const struct mh_resume *how);
    /* Ask a running machine to stop soon; wait() then reports MH_STOP_INTERRUPTED, or what came first. */
    void (*interrupt)(void *ctx, unsigned vm);
    /* Let the resumed machines run until one stops or one of `fd_count` descriptors (the debugger's connection, the
     * acceptor of other debuggers) becomes readable. */
    enum mh_wait_result (*wait)(void *ctx, const int *fds, unsigned fd_count, unsigned *vm, struct mh_stop *stop);

    /* Put the machine back to its start: image, which is read again, memory, registers, files. It is stopped before its
     * first instruction; break- and watchpoints stay. MH_ERR_IMAGE (the image cannot be used as it is now) leaves
     * everything as it is; after MH_ERR_HOST the machine may not be alive. */
    enum mh_status (*restart)(void *ctx, unsigned vm, struct mh_error *err);
    /* Put the machine back to where it was when monitor()'s "snapshot NAME" was run; break- and watchpoints stay, and
     * so do all snapshots. MH_ERR_RANGE (no such name) leaves everything as it is; after MH_ERR_HOST the machine is not
     * alive. */
    enum mh_status (*restore)(void *ctx, unsigned vm, const char *name, struct mh_error *err);
    /* Is its past kept, so that it can run backwards? */
    bool (*can_reverse)(void *ctx, unsigned vm);
    /* Go to a place in its past, or back to its present: an instruction count, "start", "end", "+N" or "-N". Registers
     * and memory are those of that place; break- and watchpoints stay. MH_OK; MH_ERR_USAGE or MH_ERR_RANGE with what is
     * possible in *err and nothing changed; after MH_ERR_HOST the machine is not alive. */
    enum mh_status (*go_to)(void *ctx, unsigned vm, const char *where, struct mh_error *err);
    /* Where texts for the debugger's user are sent from now on; NULL: nowhere. */
    void (*set_console)(void *ctx, mh_console *console, void *console_ctx);
    /* End the machine; it is not alive afterwards. After a crash this lets the crash be its end. */
    void (*kill)(void *ctx, unsigned vm);

    /* The text about a stop for people (the crash report); several lines. */
    void (*describe_stop)(void *ctx, unsigned vm, const struct mh_stop *stop, mh_text_sink *sink, void *sink_ctx);
    /* `monitor` commands that look at the machine: "regs", "pt [ADDR]", "map", "files", "stats", "why", "snapshots",
     * "info WHAT"; and "snapshot NAME", which remembers all of it, and "forget NAME"; "when" and "history". The text
     * of "pt" and "map" may have colors, as escape sequences of terminals, if `color` is set. Returns MH_ERR_USAGE for
     * a command it does not know, with *err naming those it does. */
    enum mh_status (*monitor)(void *ctx, unsigned vm, const char *command, bool color, mh_text_sink *sink,
                              void *sink_ctx, struct mh_error *err);

    /* The VM's own files, read only: a host descriptor the caller closes, or minus an errno. The path vm_exec_file()
     * gives is asked for too, by debuggers that look for the symbols; and files of "/proc/N/", in the form of proc(5),
     * whatever N is: "maps", what the page tables map, by those that want to save all memory; "exe", "cmdline",
     * "environ" and "auxv" by scripts. */
    int (*open_file)(void *ctx, unsigned vm, const char *name);
};

struct mh_debug_target {
    const struct mh_debug_target_ops *ops;
    void *ctx;
};

#endif
