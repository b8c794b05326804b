/*
 * A debug target without KVM, for testing the GDB stub: machines with a little memory that really execute a
 * handful of x86 instructions, remember what was asked of them, and can be told what to report.
 *
 * Instructions: 90 nop, f4 hlt, aa stosb (al to [rdi], rdi + 1), eb fe jump to itself, cc and 0f 0b exceptions;
 * every other byte is a nop.
 */
#ifndef FAKE_TARGET_H
#define FAKE_TARGET_H

#include "mh/debug_target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_MEMORY 0x20000u    /* virtual and physical 0 up to this */
#define FAKE_PHYSICAL 0x800000u /* physical only: mirrors memory from 0 */
#define FAKE_START 0x1000u      /* rip at the start */
#define FAKE_BREAKS 16u
#define FAKE_SCRIPT 8u
#define FAKE_HARDWARE_SLOTS 4u
#define FAKE_MACHINES 4u
#define FAKE_HISTORY 1024u

struct fake_break {
    enum mh_break_kind kind;
    uint64_t address, length;
    unsigned owners; /* a set of enum mh_break_owner; 0: the entry is free */
};

/* What an instruction changed, to undo it. */
struct fake_moment {
    struct mh_x86_general before;
    bool stored;
    uint64_t address; /* what it stored to */
    uint8_t byte;     /* what was there */
};

struct fake_machine {
    bool alive, running, interrupted;
    struct mh_resume how;
    struct mh_x86_regs regs;
    struct fake_break breaks[FAKE_BREAKS];
    struct mh_stop script[FAKE_SCRIPT]; /* happen at the next waits, before anything is executed */
    unsigned script_length;
    unsigned limit; /* instructions executed between two looks at the descriptors; 0: QUANTUM of them */
    bool at_start;  /* nothing has been executed since resume() */
    unsigned restarts, kills, resumes, interrupts;
    unsigned filtered;       /* stops that the filter did not want */
    unsigned written_groups; /* of the last write_regs */
    /* keeps_history: the last instructions, executed from position `position - moment_count` to `position` */
    struct fake_moment moments[FAKE_HISTORY];
    unsigned moment_count;
    uint64_t position; /* instructions executed since the start */
    uint64_t furthest; /* the last position there has ever been */
    uint64_t replayed; /* not 0: the recording ends at this position */
    uint8_t memory[FAKE_MEMORY];
};

struct fake_target {
    unsigned count;
    uint64_t xcr0;
    bool flat; /* images are no ELF files */
    bool refuse_regs, refuse_restart;
    bool keeps_history; /* machines can go back, FAKE_HISTORY instructions at least */
    bool talks;         /* "running" when a machine begins to run, "restarted" when it is */
    mh_console *console;
    void *console_ctx;
    struct fake_machine machines[FAKE_MACHINES];
    struct mh_debug_target target; /* what the stub gets */
};

/* `count` machines, numbered from 1, at their start; memory all nops with a hlt at the end of the first page. */
void fake_target_init(struct fake_target *fake, unsigned count);

/* Machine `vm`, from 1. */
struct fake_machine *fake_machine(struct fake_target *fake, unsigned vm);

/* Let machine `vm` stop for `stop` once it is resumed, after those already given. */
void fake_target_report(struct fake_target *fake, unsigned vm, struct mh_stop stop);

/* Let machine `vm` execute at most `limit` instructions between two looks at the descriptors. */
void fake_target_limit(struct fake_target *fake, unsigned vm, unsigned limit);

/* Number of breakpoints and watchpoints set in machine `vm`. */
unsigned fake_target_breaks(const struct fake_target *fake, unsigned vm);

/* The owners of the software breakpoint at `address`, a set of enum mh_break_owner. */
unsigned fake_target_owners(struct fake_target *fake, unsigned vm, uint64_t address);

#endif
