/*
 * The call tree: how many instructions each function executed, by the calls that led to it. Off until
 * soft_profile_create(), and only while instructions are counted (soft_count.h).
 *
 * A node is a function, by the address that was called, in one context; beside the tree is a stack of what has been
 * called and has not returned. Instructions go to the node that is current: what was retired since it became that is
 * added when it is not any more. So nothing is done for an instruction, only for calls and returns, and the sum of all
 * nodes is exactly what was counted. Generated code does both itself as long as they are simple
 * (host_x86_64_profile.c).
 *
 * A return belongs to the call whose return address was in the same place on the stack; calls above it are over as
 * well, as after longjmp(). A return far from the current stack switches to another: to one that was left before and
 * waits for this return, or to one that begins. Any other return without a call changes nothing. Exceptions, interrupts
 * and system calls are calls, whose returns are known by rsp; a call from a handler, on a stack of its own, does not
 * end what it interrupted.
 */
#ifndef MH_CORE_SOFT_SOFT_PROFILE_H
#define MH_CORE_SOFT_SOFT_PROFILE_H

#include "soft_cpu.h"

#define SOFT_CALL_SLOTS 16u
#define SOFT_CALL_SLOT_SHIFT 4u /* which bits of the address say the slot */

/* Calls that are deeper, in the tree or on the stack, count for the deepest node; so do those that are new when there
 * are this many nodes. */
#define SOFT_CALL_DEPTH 512u
#define SOFT_CALL_FRAMES 65536u
#define SOFT_CALL_NODES 65536u

struct soft_call_node {
    uint64_t address;
    uint64_t spent; /* instructions; of the current node modulo what is since `since` */
    uint64_t calls;
    struct soft_call_node *parent, *first, *last, *next; /* callees in the order of first calls */
    uint32_t depth;
    /* callees called last, by their addresses; an address of another slot: none */
    struct {
        uint64_t target;
        struct soft_call_node *node;
    } slots[SOFT_CALL_SLOTS];
};

struct soft_call_frame {
    struct soft_call_node *node;
    uint64_t rsp; /* where the return address is; of an exception, rsp before it, with SOFT_CALL_BARRIER inverted */
};

#define SOFT_CALL_BARRIER (1ull << 63)

/* A stack that the guest has left: its frames without the root's. Of more than this many, one is forgotten. */
#define SOFT_CALL_STACKS 64u

struct soft_call_stack {
    struct soft_call_frame *frames; /* NULL: none */
    size_t count;
};

/* A return this far below the last call is on another stack, in bytes. */
#define SOFT_CALL_STACK_GAP 4096u

struct soft_profile {
    struct soft_call_node *nodes;
    struct soft_call_frame *frames; /* the first is the root's */
    struct mh_call *calls;          /* what was read last */
    struct soft_call_stack stacks[SOFT_CALL_STACKS];
    unsigned oldest; /* of the stacks */
    uint32_t used;   /* nodes */
    uint64_t since;  /* instructions when cpu->call_node became what it is */
};

/* Begin. False without memory. */
bool soft_profile_create(struct soft_cpu *cpu);
void soft_profile_destroy(struct soft_cpu *cpu);

/* The following need cpu->profile, and cpu->instructions with the instruction that did it. */

/* A CALL went to `target`; rsp is what it is now. */
void soft_profile_call(struct soft_cpu *cpu, uint64_t target);
/* An exception or SYSCALL went to cpu->rip; `rsp` is from before. */
void soft_profile_interrupt(struct soft_cpu *cpu, uint64_t rsp);
/* A RET took `target` from `rsp`. */
void soft_profile_return(struct soft_cpu *cpu, uint64_t rsp, uint64_t target);
/* A handler has jumped: is it one of those? */
void soft_profile_jumped(struct soft_cpu *cpu, const struct soft_insn *insn);

/* Generated code is entered, and can execute `left` instructions; it has been left. */
void soft_profile_enter_code(struct soft_cpu *cpu, uint64_t left);
void soft_profile_leave_code(struct soft_cpu *cpu);

/* Only `instructions` have been retired, without the delivery of an exception just now. */
void soft_profile_take_back(struct soft_cpu *cpu, uint64_t instructions);
/* The machine begins anew at instruction `instructions`. */
void soft_profile_forget(struct soft_cpu *cpu, uint64_t instructions);

/* count_calls() and read_calls() of cpu/cpu.h. */
enum mh_status soft_count_calls(struct cpu *cpu, struct mh_error *err);
enum mh_status soft_read_calls(struct cpu *cpu, struct mh_calls *result, struct mh_error *err);

#endif
