#include "soft_profile.h"

#include "pages.h"
#include "soft_count.h"
#include "soft_handlers.h"
#include "soft_jit.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree ---- */

static struct soft_call_node *profile_root(const struct soft_cpu *cpu)
{
    return &cpu->profile->nodes[0];
}

static void profile_init_node(struct soft_call_node *node, const struct soft_call_node *values)
{
    *node = *values;
    for (unsigned i = 0; i < SOFT_CALL_SLOTS; i++)
        node->slots[i].target = (uint64_t)(i ^ 1) << SOFT_CALL_SLOT_SHIFT; /* has another slot */
}

/* Begin with a root, which is where the machine is. */
static void profile_plant(struct soft_cpu *cpu, uint64_t instructions)
{
    struct soft_profile *profile = cpu->profile;
    profile->used = 1;
    profile->since = instructions;
    profile_init_node(&profile->nodes[0], &(struct soft_call_node){.address = cpu->rip, .calls = 1});
    profile->frames[0] = (struct soft_call_frame){.node = &profile->nodes[0], .rsp = UINT64_MAX};
    cpu->call_node = &profile->nodes[0];
    cpu->call_frame = profile->frames;
    cpu->call_frame_end = profile->frames + SOFT_CALL_FRAMES - 1;
}

/* What was executed so far belongs to the current node. */
static void profile_settle(struct soft_cpu *cpu)
{
    cpu->call_node->spent += cpu->instructions - cpu->profile->since;
    cpu->profile->since = cpu->instructions;
}

static struct soft_call_node *profile_add(struct soft_profile *profile, struct soft_call_node *parent, uint64_t target)
{
    if (parent->depth >= SOFT_CALL_DEPTH || profile->used == SOFT_CALL_NODES)
        return parent;
    struct soft_call_node *node = &profile->nodes[profile->used++];
    profile_init_node(node, &(struct soft_call_node){.address = target, .parent = parent, .depth = parent->depth + 1});
    if (parent->first == NULL)
        parent->first = node;
    else
        parent->last->next = node;
    parent->last = node;
    return node;
}

/* The node of a callee; made if there is none. */
static struct soft_call_node *profile_callee(struct soft_cpu *cpu, uint64_t target)
{
    struct soft_call_node *parent = cpu->call_node, *node = parent->first;
    const unsigned slot = target >> SOFT_CALL_SLOT_SHIFT & (SOFT_CALL_SLOTS - 1);
    if (parent->slots[slot].target == target)
        return parent->slots[slot].node;
    while (node != NULL && node->address != target)
        node = node->next;
    if (node == NULL)
        node = profile_add(cpu->profile, parent, target);
    parent->slots[slot].target = target;
    parent->slots[slot].node = node;
    return node;
}

/* ---- calls ---- */

static void profile_push(struct soft_cpu *cpu, uint64_t target, uint64_t rsp)
{
    if (cpu->call_frame == cpu->call_frame_end)
        return;
    profile_settle(cpu);
    struct soft_call_node *node = profile_callee(cpu, target);
    node->calls++;
    *++cpu->call_frame = (struct soft_call_frame){.node = node, .rsp = rsp};
    cpu->call_node = node;
}

/* `frame` has returned, and all above it. */
static void profile_pop(struct soft_cpu *cpu, struct soft_call_frame *frame)
{
    profile_settle(cpu);
    cpu->call_frame = frame - 1;
    cpu->call_node = cpu->call_frame->node;
}

static bool profile_is_barrier(const struct soft_cpu *cpu, const struct soft_call_frame *frame)
{
    const uint64_t rsp = frame->rsp ^ SOFT_CALL_BARRIER;
    return frame != cpu->profile->frames && rsp >> 47 == (rsp >> 63 != 0 ? 0x1ffffu : 0);
}

void soft_profile_call(struct soft_cpu *cpu, uint64_t target)
{
    const uint64_t rsp = cpu->gpr[MH_RSP];
    struct soft_call_frame *frame = cpu->call_frame;
    if (cpu->counts->is_paused)
        return;
    while (frame != cpu->profile->frames && !profile_is_barrier(cpu, frame) && frame->rsp <= rsp)
        frame--; /* its return address is overwritten, or has been left behind */
    if (frame != cpu->call_frame)
        profile_pop(cpu, frame + 1);
    profile_push(cpu, target, rsp);
}

void soft_profile_interrupt(struct soft_cpu *cpu, uint64_t rsp)
{
    if (!cpu->counts->is_paused)
        profile_push(cpu, cpu->rip, rsp ^ SOFT_CALL_BARRIER);
}

/* ---- stacks ---- */

/* The current stack is left. Without memory for it, it is forgotten. */
static void profile_suspend(struct soft_cpu *cpu, struct soft_call_stack *stack)
{
    const size_t count = (size_t)(cpu->call_frame - cpu->profile->frames);
    free(stack->frames);
    stack->frames = calloc(count + 1, sizeof *stack->frames);
    stack->count = count;
    if (stack->frames != NULL)
        memcpy(stack->frames, cpu->profile->frames + 1, count * sizeof *stack->frames);
}

/* Switch to a stack whose last call returns with `rsp`. False: there is none. */
static bool profile_resume(struct soft_cpu *cpu, uint64_t rsp)
{
    struct soft_profile *profile = cpu->profile;
    for (unsigned i = 0; i < SOFT_CALL_STACKS; i++) {
        const struct soft_call_stack found = profile->stacks[i];
        if (found.frames == NULL || found.count == 0 || found.frames[found.count - 1].rsp != rsp)
            continue;
        profile_settle(cpu);
        profile->stacks[i].frames = NULL;
        profile_suspend(cpu, &profile->stacks[i]);
        memcpy(profile->frames + 1, found.frames, found.count * sizeof *found.frames);
        cpu->call_frame = profile->frames + found.count;
        cpu->call_node = cpu->call_frame->node;
        free(found.frames);
        return true;
    }
    return false;
}

/* Is this not a place of the stack that the last calls are on? */
static bool profile_is_elsewhere(const struct soft_cpu *cpu, uint64_t rsp)
{
    const struct soft_call_frame *first = cpu->profile->frames + 1, *top = cpu->call_frame;
    if (top < first)
        return false;
    const uint64_t lowest = profile_is_barrier(cpu, top) ? top->rsp ^ SOFT_CALL_BARRIER : top->rsp;
    return rsp > first->rsp || rsp + SOFT_CALL_STACK_GAP < lowest;
}

/* A stack begins with a function that something returns to. */
static void profile_begin_stack(struct soft_cpu *cpu, uint64_t rsp, uint64_t target)
{
    struct soft_profile *profile = cpu->profile;
    unsigned place = 0;
    while (place < SOFT_CALL_STACKS && profile->stacks[place].frames != NULL)
        place++;
    if (place == SOFT_CALL_STACKS)
        place = profile->oldest++ % SOFT_CALL_STACKS;
    profile_settle(cpu);
    profile_suspend(cpu, &profile->stacks[place]);
    cpu->call_frame = profile->frames;
    cpu->call_node = profile->frames->node;
    profile_push(cpu, target, rsp + sizeof(uint64_t));
}

static void profile_forget_stacks(struct soft_profile *profile)
{
    for (unsigned i = 0; i < SOFT_CALL_STACKS; i++) {
        free(profile->stacks[i].frames);
        profile->stacks[i].frames = NULL;
    }
}

/* ---- returns ---- */

/* The call that returns with `rsp`; the root: there is none. */
static struct soft_call_frame *profile_find(const struct soft_cpu *cpu, uint64_t rsp)
{
    struct soft_call_frame *frame = cpu->call_frame;
    while (frame != cpu->profile->frames && frame->rsp != rsp)
        frame--;
    return frame;
}

void soft_profile_return(struct soft_cpu *cpu, uint64_t rsp, uint64_t target)
{
    if (cpu->counts->is_paused)
        return;
    struct soft_call_frame *frame = profile_find(cpu, rsp);
    if (frame != cpu->profile->frames)
        profile_pop(cpu, frame);
    else if (profile_resume(cpu, rsp))
        profile_pop(cpu, cpu->call_frame);
    else if (profile_is_elsewhere(cpu, rsp))
        profile_begin_stack(cpu, rsp, target);
}

/* IRET, SYSRET and SYSEXIT have set rsp. */
static void profile_interrupt_return(struct soft_cpu *cpu)
{
    const uint64_t rsp = cpu->gpr[MH_RSP] ^ SOFT_CALL_BARRIER;
    struct soft_call_frame *frame = profile_find(cpu, rsp);
    if (frame != cpu->profile->frames)
        profile_pop(cpu, frame);
    else if (profile_resume(cpu, rsp))
        profile_pop(cpu, cpu->call_frame);
}

void soft_profile_jumped(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (cpu->counts->is_paused)
        return;
    if (insn->run == soft_op_call || insn->run == soft_op_call_rm)
        soft_profile_call(cpu, cpu->rip);
    else if (insn->run == soft_op_ret)
        soft_profile_return(cpu, cpu->gpr[MH_RSP] - insn->operand_size - insn->immediate, cpu->rip);
    else if (insn->run == soft_op_syscall || insn->run == soft_op_sysenter)
        soft_profile_interrupt(cpu, cpu->gpr[MH_RSP]);
    else if (insn->run == soft_op_iret || insn->run == soft_op_sysret || insn->run == soft_op_sysexit)
        profile_interrupt_return(cpu);
}

void soft_profile_enter_code(struct soft_cpu *cpu, uint64_t left)
{
    profile_settle(cpu);
    cpu->call_node->spent += left;
}

void soft_profile_leave_code(struct soft_cpu *cpu)
{
    cpu->call_node->spent -= cpu->code_left;
    cpu->profile->since = cpu->instructions;
}

/* ---- other places ---- */

void soft_profile_take_back(struct soft_cpu *cpu, uint64_t instructions)
{
    profile_settle(cpu);
    cpu->profile->since = instructions;
    uint64_t back = cpu->instructions - instructions;
    while (back != 0) {
        struct soft_call_node *node = cpu->call_node;
        const uint64_t part = back < node->spent ? back : node->spent;
        node->spent -= part;
        back -= part;
        if (back != 0 && cpu->call_frame == cpu->profile->frames)
            return;
        if (back != 0) {
            node->calls--;
            cpu->call_node = (--cpu->call_frame)->node;
        }
    }
}

void soft_profile_forget(struct soft_cpu *cpu, uint64_t instructions)
{
    profile_forget_stacks(cpu->profile);
    profile_plant(cpu, instructions);
}

/* ---- for those above ---- */

bool soft_profile_create(struct soft_cpu *cpu)
{
    struct soft_profile *profile = calloc(1, sizeof *profile);
    if (profile == NULL)
        return false;
    profile->nodes = pages_alloc(SOFT_CALL_NODES * sizeof *profile->nodes);
    profile->frames = pages_alloc(SOFT_CALL_FRAMES * sizeof *profile->frames);
    if (profile->nodes == NULL || profile->frames == NULL) {
        pages_free(profile->nodes, SOFT_CALL_NODES * sizeof *profile->nodes);
        pages_free(profile->frames, SOFT_CALL_FRAMES * sizeof *profile->frames);
        free(profile);
        return false;
    }
    soft_blocks_drop_all(cpu); /* generated code does not know about calls */
    cpu->profile = profile;
    profile_plant(cpu, cpu->instructions);
    return true;
}

void soft_profile_destroy(struct soft_cpu *cpu)
{
    if (cpu->profile == NULL)
        return;
    pages_free(cpu->profile->nodes, SOFT_CALL_NODES * sizeof *cpu->profile->nodes);
    pages_free(cpu->profile->frames, SOFT_CALL_FRAMES * sizeof *cpu->profile->frames);
    profile_forget_stacks(cpu->profile);
    free(cpu->profile->calls);
    free(cpu->profile);
    cpu->profile = NULL;
}

enum mh_status soft_count_calls(struct cpu *cpu, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    enum mh_status status = soft_count_instructions(cpu, err);
    if (status == MH_OK && soft->profile == NULL && !soft_profile_create(soft))
        return mh_fail(err, MH_ERR_HOST, "no memory to count calls");
    return status;
}

/* The next node, callees before siblings. */
static const struct soft_call_node *profile_next(const struct soft_call_node *node)
{
    if (node->first != NULL)
        return node->first;
    while (node != NULL && node->next == NULL)
        node = node->parent;
    return node != NULL ? node->next : NULL;
}

enum mh_status soft_read_calls(struct cpu *cpu, struct mh_calls *result, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    struct soft_profile *profile = soft->profile;
    size_t length = 0;
    if (!soft->counts->is_paused)
        profile_settle(soft);
    free(profile->calls);
    profile->calls = calloc(profile->used, sizeof *profile->calls);
    if (profile->calls == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for the calls of %u functions", profile->used);
    for (const struct soft_call_node *node = profile_root(soft); node != NULL; node = profile_next(node))
        profile->calls[length++] = (struct mh_call){
            .address = node->address, .spent = node->spent, .calls = node->calls, .depth = node->depth};
    *result = (struct mh_calls){.calls = profile->calls, .length = length};
    return MH_OK;
}
