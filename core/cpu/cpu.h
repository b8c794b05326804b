/*
 * The processor interface. Above it is policy: when a resume ends, what a breakpoint means, what happens at a port.
 * Below it is mechanism: executing instructions until something has to be decided.
 *
 * Rules that every implementation keeps:
 *
 * 1. With request.step_off, the first instruction is executed even if there is a point at its address or a kick is
 *    pending. Without, an execute point at the address where run() starts stops at once. If a pending
 *    access is completed first, step_off does not apply to the instruction after it.
 * 2. When run() has returned, registers and RAM are architectural: no patch is visible, and no access is half done
 *    except that of a CPU_EXIT_IO, which finish_io() completes or cancel_in() undoes.
 * 3. A processor serves no device.
 * 4. Errors carry text.
 *
 * All functions but kick() and has_batch() belong to the thread that runs the machine.
 */
#ifndef MH_CORE_CPU_CPU_H
#define MH_CORE_CPU_CPU_H

#include "mh/counts.h"
#include "mh/cpu_state.h"
#include "mh/status.h"
#include "mh/types.h"
#include "ram/ram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_INSTRUCTION_MAX 15u
#define CPU_ERROR_TEXT_MAX 512u

/* ---- break- and watchpoints, as the processor sees them ---- */

enum cpu_point_kind {
    CPU_POINT_EXECUTE,
    CPU_POINT_WRITE,
    CPU_POINT_READ,
    CPU_POINT_ACCESS,
};

struct cpu_point {
    enum cpu_point_kind kind;
    uint64_t address; /* guest-virtual */
    uint64_t length;  /* bytes, at least 1; an execute point counts for the first byte of an instruction only */
    bool persists;    /* EXECUTE: counts whatever the guest writes to the code, and before there is any */
};

/* ---- running ---- */

enum cpu_run_mode {
    CPU_RUN, /* until something stops it */
    /* One instruction; of a repeated string instruction, one repetition; then on, while rip is in a range. Completing
     * the access of the last CPU_EXIT_IO is the instruction. */
    CPU_STEP,
    CPU_UNTIL, /* until instructions() is `until` */
};

/* Events that end a run only on request. */
#define CPU_REPORT_FAULTS 1u /* an exception was delivered to a handler, by the guest's IDT */
#define CPU_REPORT_CR3 2u    /* CR3 was written */
/* An instruction that reads the time stamp counter is not executed: CPU_EXIT_ERROR. What it read before is unknown. */
#define CPU_REFUSE_CLOCK 4u

struct cpu_request {
    enum cpu_run_mode mode;
    uint64_t until; /* CPU_UNTIL */
    /* CPU_UNTIL: a processor that cannot count may run the guest as well, until something else stops it. */
    bool may_lose_count;
    /* CPU_STEP: while rip is in [range_start, range_end) after an instruction, step on. Empty for a single step. */
    uint64_t range_start, range_end;
    bool step_off; /* rule 1 */
    /* Not 0: deliver this external interrupt before anything else, as the end of the instruction before. No access may
     * be pending, and the guest must accept it (accepts_interrupt()). Counts as no instruction. */
    uint8_t interrupt;
    unsigned report; /* CPU_REPORT_*, CPU_REFUSE_CLOCK */
    /* Return CPU_EXIT_KICKED soon after one of these descriptors becomes readable: a debugger sent something. */
    const int *wake_fds;
    unsigned wake_count;
};

enum cpu_exit_kind {
    CPU_EXIT_IO,              /* an access to a port; not done yet */
    CPU_EXIT_HALT,            /* HLT was executed, rip is after it */
    CPU_EXIT_STEP,            /* CPU_STEP: the instruction is done, or its exception delivered */
    CPU_EXIT_BREAKPOINT,      /* rip is at an execute point, which has not been executed */
    CPU_EXIT_WATCHPOINT,      /* the instruction before rip touched what is watched */
    CPU_EXIT_FAULT_DELIVERED, /* CPU_REPORT_FAULTS; rip is at the handler */
    CPU_EXIT_CR3_WRITTEN,     /* CPU_REPORT_CR3; rip is behind the instruction */
    CPU_EXIT_NO_MEMORY,       /* the instruction at rip needs a physical address that has no memory */
    CPU_EXIT_TRIPLE_FAULT,    /* registers are as at the instruction that led to it, where the processor knows them */
    CPU_EXIT_COUNT_REACHED,   /* CPU_UNTIL */
    CPU_EXIT_KICKED,          /* kick(), between two instructions */
    CPU_EXIT_ERROR,           /* the processor cannot continue; `text` says why */
};

#define CPU_EXIT_KINDS (CPU_EXIT_ERROR + 1)

struct cpu_exit {
    enum cpu_exit_kind kind;

    /* IO: `count` accesses of `width` bytes each at `data`, which an IN is to fill before it is completed */
    uint16_t port;
    uint8_t width;
    bool is_in;
    uint32_t count;
    uint8_t *data;

    /* BREAKPOINT, WATCHPOINT: index into the array given to arm() */
    unsigned point;

    /* KICKED: the request's interrupt has not been delivered */
    bool interrupt_is_due;

    /* FAULT_DELIVERED */
    uint8_t vector;
    uint64_t handler; /* guest-virtual address of its first instruction */

    /* CR3_WRITTEN */
    uint64_t old_cr3, new_cr3;

    /* NO_MEMORY */
    uint64_t physical;
    bool is_write;

    /* ERROR */
    char text[CPU_ERROR_TEXT_MAX];            /* one line */
    uint8_t instruction[CPU_INSTRUCTION_MAX]; /* the bytes it could not execute, ... */
    uint8_t instruction_length;               /* ... 0: not known */
    bool is_unsupported; /* another processor may be able to execute the instruction at rip; state is as before it */
    bool is_host_error;  /* the host failed, not the guest */
};

struct cpu;

/* Generated code of a processor in software. */
struct cpu_code_stats {
    uint64_t executed;     /* instructions, each as often as it was executed: a part of the past may be repeated */
    uint64_t instructions; /* executed by it */
    uint64_t units;        /* pieces of it that were made */
    uint64_t flushes;      /* how often all of it was thrown away */
};

struct cpu_ops {
    const char *name; /* "kvm", "soft" */
    void (*destroy)(struct cpu *cpu);

    /* Run; completes a pending access first. Never blocks in anything but the guest. */
    void (*run)(struct cpu *cpu, const struct cpu_request *request, struct cpu_exit *exit);

    /* Complete the access of the last CPU_EXIT_IO without executing another instruction. */
    void (*finish_io)(struct cpu *cpu);
    /* Undo the IN of the last CPU_EXIT_IO: rip is at it, and it has not begun. */
    void (*cancel_in)(struct cpu *cpu);

    /* Would the guest take an external interrupt now? RFLAGS.IF is set, nothing delays interrupts, and no exception
     * comes before it. Asked after a port access that was completed, and after CPU_EXIT_HALT. */
    bool (*accepts_interrupt)(struct cpu *cpu);

    /* Any thread: make the current run(), or else the next one, return CPU_EXIT_KICKED soon. The caller sends
     * MH_KICK_SIGNAL to the machine's thread right after. */
    void (*kick)(struct cpu *cpu);

    /* Read or write the parts named by `groups` (MH_REGS_*). On error *regs is undefined (read), or a part refused with
     * all parts before it written (write: SYSTEM, then GENERAL, then FPU); *err says which value and why. */
    enum mh_status (*read_regs)(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err);
    enum mh_status (*write_regs)(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs,
                                 struct mh_error *err);
    /* rip, if reading it is free of charge; false otherwise. */
    bool (*rip_at_hand)(const struct cpu *cpu, uint64_t *rip);

    /* All of the state. A pending access must have been completed or cancelled. */
    enum mh_status (*save)(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err);
    enum mh_status (*restore)(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err);

    /* Record in ram.changed which pages the guest writes, from the first call on. Until then all count as written. */
    enum mh_status (*track_writes)(struct cpu *cpu, struct mh_error *err);
    /* Bring ram.changed up to date. */
    enum mh_status (*collect_writes)(struct cpu *cpu, struct mh_error *err);
    /* [start, start + length) of guest-physical memory was written, but not by the guest. */
    void (*memory_changed)(struct cpu *cpu, mh_gpa start, uint64_t length);

    /* Replace all points. The array stays the caller's and must live until the next call. On error none is armed and
     * *err says which one this processor cannot hold, and why. */
    enum mh_status (*arm)(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err);

    /* How many instructions have been retired; a repetition of a string instruction counts as one, and so does the
     * delivery of a fault, which retires none. False when this processor cannot count. */
    bool (*instructions)(const struct cpu *cpu, uint64_t *count);
    /* After restore(): continue counting from `count`. Called only where instructions() returned true for the state. */
    void (*set_instructions)(struct cpu *cpu, uint64_t count);

    /* Optional: what was translated to code of the host, if anything. */
    bool (*code_stats)(const struct cpu *cpu, struct cpu_code_stats *stats);

    /* Optional, all five or none: count how often each instruction is retired, from now on. The sum is as
     * instructions() counts; deliveries of faults count where the fault is. Where the machine has been before, after
     * set_instructions() to a lower count, nothing is counted again. MH_OK, or MH_ERR_HOST without memory. */
    enum mh_status (*count_instructions)(struct cpu *cpu, struct mh_error *err);
    /* *counts stays valid until the next call or run. MH_OK, or MH_ERR_HOST without memory. */
    enum mh_status (*read_counts)(struct cpu *cpu, struct mh_counts *counts, struct mh_error *err);
    /* The same for the tree of calls. */
    enum mh_status (*count_calls)(struct cpu *cpu, struct mh_error *err);
    enum mh_status (*read_calls)(struct cpu *cpu, struct mh_calls *calls, struct mh_error *err);
    /* Begin anew, with a machine that begins anew. */
    void (*forget_counts)(struct cpu *cpu);

    /* Optional, all three or none: collect single bytes that the guest writes to `port` instead of leaving it for each.
     * take_batch() is called after every run(); it returns how many bytes it stored, at most `room`. has_batch() may be
     * called by any thread. */
    void (*batch_port)(struct cpu *cpu, uint16_t port, bool on);
    size_t (*take_batch)(struct cpu *cpu, uint8_t *to, size_t room);
    bool (*has_batch)(const struct cpu *cpu);

    /* Optional, of a processor made of others: which one holds the state now, and how often the state moved. */
    const char *(*current)(const struct cpu *cpu, uint64_t *moves);
};

struct cpu {
    const struct cpu_ops *ops;
};

#endif
