/*
 * CALL and RET of generated code for the call tree (soft_profile.h). A call or return that is not as the last ones
 * were is left to the interpreter, before anything is done: so each consists of a check, and of what is done when
 * nothing else can fail any more. JIT_LEFT counts down, so what a node spends is what it had on entry less what is
 * left.
 */
#include "host_x86_64_jit.h"

#include "soft_profile.h"

#define ALU_ADD 0u
#define ALU_AND 4u
#define ALU_CMP 7u

static struct host_operand profile_node(size_t member)
{
    return host_at(JIT_T2, (int32_t)member);
}

static size_t profile_slot(uint64_t target, size_t member)
{
    const size_t slot = target >> SOFT_CALL_SLOT_SHIFT & (SOFT_CALL_SLOTS - 1);
    return offsetof(struct soft_call_node, slots) + slot * sizeof(((struct soft_call_node *)NULL)->slots[0]) + member;
}

#define SLOT_TARGET 0u
#define SLOT_NODE 8u

static void profile_load_node(struct jit_writer *writer)
{
    host_emit_move(&writer->code, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, call_node)));
}

/* There is room on the stack of frames, and no frame that is over. */
static void profile_check_frames(struct jit_writer *writer)
{
    const unsigned rsp = jit_host_register(writer, MH_RSP);
    host_emit_move(&writer->code, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, call_frame)));
    host_emit(&writer->code, 0x3b, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, call_frame_end)));
    jit_leave_if(writer, HOST_CC_AE);
    host_emit(&writer->code, 0x8d, 8, JIT_T1, host_at(rsp, -8));
    host_emit(&writer->code, 0x3b, 8, JIT_T1, profile_node(offsetof(struct soft_call_frame, rsp)));
    jit_leave_if(writer, HOST_CC_AE);
}

/* The node in T2 has called the target. */
static void profile_check_slot(struct jit_writer *writer, uint64_t target)
{
    const size_t slot = profile_slot(target, SLOT_TARGET);
    const bool is_short = target == (uint64_t)(int64_t)(int32_t)target;
    host_emit_alu_immediate(&writer->code, ALU_CMP, is_short ? 8 : 4, profile_node(slot), (int32_t)(uint32_t)target);
    jit_leave_if(writer, HOST_CC_NE);
    if (is_short)
        return;
    host_emit_alu_immediate(&writer->code, ALU_CMP, 4, profile_node(slot + 4), (int32_t)(uint32_t)(target >> 32));
    jit_leave_if(writer, HOST_CC_NE);
}

void jit_profile_check_call(struct jit_writer *writer, uint64_t target)
{
    if (writer->cpu->profile == NULL)
        return;
    jit_claim_t1(writer);
    profile_check_frames(writer);
    profile_load_node(writer);
    profile_check_slot(writer, target);
}

/* T2 = the current node, at its slot for the target in `reg`. */
static void profile_load_slot(struct jit_writer *writer, unsigned reg)
{
    _Static_assert(SOFT_CALL_SLOTS == 16 && SOFT_CALL_SLOT_SHIFT == 4, "the mask, which leaves 16 times the slot");
    host_emit_move(&writer->code, 4, JIT_T2, jit_place(writer, reg));
    host_emit_alu_immediate(&writer->code, ALU_AND, 4, host_in(JIT_T2), 0xf0);
    host_emit(&writer->code, 0x03, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, call_node)));
}

void jit_profile_check_call_register(struct jit_writer *writer, unsigned reg)
{
    if (writer->cpu->profile == NULL)
        return;
    profile_check_frames(writer);
    profile_load_slot(writer, reg);
    host_emit_move(&writer->code, 8, JIT_T1, jit_place(writer, reg));
    host_emit(&writer->code, 0x3b, 8, JIT_T1, profile_node(profile_slot(0, SLOT_TARGET)));
    jit_leave_if(writer, HOST_CC_NE);
}

/* The current node, in `reg`, is not current any more. */
static void profile_leave_node(struct jit_writer *writer, unsigned reg)
{
    host_emit(&writer->code, 0x29, 8, JIT_LEFT, host_at(reg, offsetof(struct soft_call_node, spent)));
}

/* The node in T2 is. */
static void profile_enter_node(struct jit_writer *writer)
{
    host_emit_store(&writer->code, 8, jit_field(offsetof(struct soft_cpu, call_node)), JIT_T2);
    host_emit(&writer->code, 0x01, 8, JIT_LEFT, profile_node(offsetof(struct soft_call_node, spent)));
}

static void profile_push(struct jit_writer *writer)
{
    const struct host_operand top = jit_field(offsetof(struct soft_cpu, call_frame));
    profile_enter_node(writer);
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8, profile_node(offsetof(struct soft_call_node, calls)), 1);
    host_emit_move(&writer->code, 8, JIT_T1, top);
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8, host_in(JIT_T1), sizeof(struct soft_call_frame));
    host_emit_store(&writer->code, 8, top, JIT_T1);
    host_emit_store(&writer->code, 8, host_at(JIT_T1, offsetof(struct soft_call_frame, node)), JIT_T2);
    host_emit_store(&writer->code, 8, host_at(JIT_T1, offsetof(struct soft_call_frame, rsp)),
                    jit_host_register(writer, MH_RSP));
}

void jit_profile_call(struct jit_writer *writer, uint64_t target)
{
    if (writer->cpu->profile == NULL)
        return;
    profile_load_node(writer);
    profile_leave_node(writer, JIT_T2);
    host_emit_move(&writer->code, 8, JIT_T2, profile_node(profile_slot(target, SLOT_NODE)));
    profile_push(writer);
}

void jit_profile_call_register(struct jit_writer *writer, unsigned reg)
{
    if (writer->cpu->profile == NULL)
        return;
    host_emit_move(&writer->code, 8, JIT_T1, jit_field(offsetof(struct soft_cpu, call_node)));
    profile_leave_node(writer, JIT_T1);
    profile_load_slot(writer, reg);
    host_emit_move(&writer->code, 8, JIT_T2, profile_node(profile_slot(0, SLOT_NODE)));
    profile_push(writer);
}

void jit_profile_check_return(struct jit_writer *writer)
{
    if (writer->cpu->profile == NULL)
        return;
    host_emit_move(&writer->code, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, call_frame)));
    host_emit(&writer->code, 0x3b, 8, jit_host_register(writer, MH_RSP),
              profile_node(offsetof(struct soft_call_frame, rsp)));
    jit_leave_if(writer, HOST_CC_NE);
}

void jit_profile_return(struct jit_writer *writer)
{
    const struct host_operand top = jit_field(offsetof(struct soft_cpu, call_frame));
    if (writer->cpu->profile == NULL)
        return;
    profile_load_node(writer);
    profile_leave_node(writer, JIT_T2);
    host_emit_move(&writer->code, 8, JIT_T2, top);
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8, host_in(JIT_T2), -(int32_t)sizeof(struct soft_call_frame));
    host_emit_store(&writer->code, 8, top, JIT_T2);
    host_emit_move(&writer->code, 8, JIT_T2, profile_node(offsetof(struct soft_call_frame, node)));
    profile_enter_node(writer);
}
