/*
 * Branches in generated code. Those within the page lead from block to block directly, once soft_jit.c has found the
 * other block. All others look their target up in cpu->code_jumps, which has code for linear addresses; what is not
 * there is left to the interpreter. So no value of the guest's is ever an address to jump to.
 */
#include "host_x86_64_jit.h"

#include "soft_walk.h"

#define ALU_AND 4u
#define SHIFT_LEFT 4u
#define PUSH_T1 0x5441u
#define PUSH_IMMEDIATE 0x68
#define RET 0xc3

static void emit_link(struct jit_writer *writer, unsigned target)
{
    jit_add_stub(writer, JIT_EXIT_LINK, host_emit_jump(&writer->code), target);
}

/* T2 = the entry for the target in T1. */
static void find_entry(struct jit_writer *writer)
{
    _Static_assert(sizeof(struct soft_code_jump) == 16 && JIT_JUMPS == 256, "the mask and the shift below");
    host_emit(&writer->code, HOST_0F | HOST_BYTE_RM | 0xb6, 4, JIT_T2, host_in(JIT_T1));
    host_emit_immediate(&writer->code, 0xc1, 4, SHIFT_LEFT, host_in(JIT_T2), 4, 1);
    host_emit(&writer->code, 0x03, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, code_jumps)));
}

/* Compare it with the target. */
static void check_entry(struct jit_writer *writer)
{
    find_entry(writer);
    host_emit(&writer->code, 0x3b, 8, JIT_T1, host_at(JIT_T2, offsetof(struct soft_code_jump, target)));
}

static void emit_store_sse(struct jit_writer *writer)
{
    if (writer->has_sse)
        host_link(host_emit_call(&writer->code), writer->arena->memory.write + writer->arena->store_sse);
}

/* Go where the entry says. Code there expects the flags to be stored, and xmm registers in memory. */
static void emit_jump_to_entry(struct jit_writer *writer)
{
    emit_store_sse(writer);
    host_emit(&writer->code, 0xff, 4, 4, host_at(JIT_T2, offsetof(struct soft_code_jump, code)));
}

static uint64_t constant_target(const struct jit_writer *writer, const struct soft_op *op)
{
    return writer->page_address + (uint64_t)(int64_t)op->displacement;
}

/* T2 = the entry for a linear address that is known, from the operation that is done. */
static void find_constant(struct jit_writer *writer, const struct soft_op *op)
{
    host_emit_constant(&writer->code, JIT_T1, constant_target(writer, op));
    check_entry(writer);
    writer->host_flags = false;
    jit_add_stub(writer, JIT_EXIT_TARGET, host_emit_branch(&writer->code, HOST_CC_NE), 0);
}

static bool jump_to_constant(struct jit_writer *writer, const struct soft_op *op)
{
    if (!soft_is_canonical(constant_target(writer, op)))
        return false;
    find_constant(writer, op);
    emit_jump_to_entry(writer);
    return true;
}

/* Store the address behind the operation, and move rsp. */
static bool push_return_address(struct jit_writer *writer, const struct soft_op *op)
{
    const uint64_t address = writer->page_address + op->offset + op->scale;
    const unsigned rsp = jit_host_register(writer, MH_RSP);
    struct host_operand at;
    jit_flags_before_write(writer, MH_RSP);
    if (!jit_look_up_at(writer, MH_RSP, -8, 8, true, &at))
        return false;
    if (address == (uint64_t)(int64_t)(int32_t)address) {
        host_emit_immediate(&writer->code, 0xc7, 8, 0, at, (int32_t)address, 4);
    } else {
        host_emit_constant(&writer->code, JIT_T1, address);
        host_emit_store(&writer->code, 8, at, JIT_T1);
    }
    host_emit(&writer->code, 0x8d, 8, rsp, host_at(rsp, -8));
    jit_window_move(writer, MH_RSP, -8);
    jit_flags_written(writer, MH_RSP);
    return true;
}

/* ---- calls, as calls of the host's, so that its prediction of returns works ---- */

/* Beside the host's return address its stack has the guest's: JIT_NO_RETURN below all others. */
static void emit_push_return(struct jit_writer *writer, const struct soft_op *op)
{
    const uint64_t address = writer->page_address + op->offset + op->scale;
    if (address == (uint64_t)(int64_t)(int32_t)address) {
        host_emit_bytes(&writer->code, PUSH_IMMEDIATE, 1);
        host_emit_bytes(&writer->code, address, 4);
        return;
    }
    host_emit_constant(&writer->code, JIT_T1, address);
    host_emit_bytes(&writer->code, PUSH_T1, 2);
}

static uint8_t *emit_if_too_deep(struct jit_writer *writer)
{
    host_emit(&writer->code, 0x3b, 8, HOST_RSP, jit_field(offsetof(struct soft_cpu, code_stack_end)));
    writer->host_flags = false;
    return host_emit_branch(&writer->code, HOST_CC_BE);
}

/* A RET has come back, to the address behind the call, which is the guest's rip now. */
static void emit_landing(struct jit_writer *writer, unsigned offset)
{
    host_emit(&writer->code, 0x8d, 8, HOST_RSP, host_at(HOST_RSP, 8));
    writer->flags = (struct jit_flags){.kind = JIT_FLAGS_STORED};
    writer->host_flags = false;
    writer->has_sse = false;
    emit_link(writer, offset);
}

/* Call where the entry in T2 says, and be at the address behind the operation then. */
static void emit_call_to_entry(struct jit_writer *writer, const struct soft_op *op)
{
    const unsigned behind = op->offset + op->scale;
    const struct host_operand code = host_at(JIT_T2, offsetof(struct soft_code_jump, code));
    if (behind >= PAGE_4K) {
        emit_jump_to_entry(writer);
        return;
    }
    emit_store_sse(writer);
    uint8_t *const over = emit_if_too_deep(writer);
    emit_push_return(writer, op);
    host_emit(&writer->code, 0xff, 4, 2, code);
    emit_landing(writer, behind);
    host_link(over, writer->code.at);
    host_emit(&writer->code, 0xff, 4, 4, code);
}

bool jit_call(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_profile_check_call(writer, constant_target(writer, op));
    if (!push_return_address(writer, op))
        return false;
    jit_profile_call(writer, constant_target(writer, op));
    const unsigned behind = op->offset + op->scale;
    if (behind < PAGE_4K) {
        jit_add_stub(writer, JIT_EXIT_LINK, emit_if_too_deep(writer), (unsigned)op->displacement);
        emit_push_return(writer, op);
        jit_add_stub(writer, JIT_EXIT_LINK, host_emit_call(&writer->code), (unsigned)op->displacement);
        emit_landing(writer, behind);
    } else {
        emit_link(writer, (unsigned)op->displacement);
    }
    return true;
}

bool jit_call_page(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_flags_store(writer);
    if (!soft_is_canonical(constant_target(writer, op)))
        return false;
    jit_profile_check_call(writer, constant_target(writer, op));
    if (!push_return_address(writer, op))
        return false;
    jit_profile_call(writer, constant_target(writer, op));
    find_constant(writer, op);
    emit_call_to_entry(writer, op);
    return true;
}

bool jit_call_register(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    if (op->reg == MH_RSP)
        return false;
    jit_flags_store(writer);
    jit_claim_t1(writer);
    host_emit_move(&writer->code, 8, JIT_T1, jit_place(writer, op->reg));
    check_entry(writer);
    jit_leave_if(writer, HOST_CC_NE);
    jit_profile_check_call_register(writer, op->reg);
    if (!push_return_address(writer, op))
        return false;
    jit_profile_call_register(writer, op->reg);
    host_emit_move(&writer->code, 8, JIT_T1, jit_place(writer, op->reg));
    find_entry(writer);
    emit_call_to_entry(writer, op);
    return true;
}

void jit_return_to_t1(struct jit_writer *writer)
{
    const unsigned rsp = jit_host_register(writer, MH_RSP);
    host_emit(&writer->code, 0x3b, 8, JIT_T1, host_at(HOST_RSP, 8));
    uint8_t *const other = host_emit_branch(&writer->code, HOST_CC_NE);
    jit_profile_return(writer);
    host_emit(&writer->code, 0x8d, 8, rsp, host_at(rsp, 8));
    emit_store_sse(writer);
    host_emit_bytes(&writer->code, RET, 1);
    host_link(other, writer->code.at);
    check_entry(writer);
    jit_leave_if(writer, HOST_CC_NE);
    jit_profile_return(writer);
    find_entry(writer);
    host_emit(&writer->code, 0x8d, 8, rsp, host_at(rsp, 8));
    emit_jump_to_entry(writer);
}

bool jit_return(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    (void)op;
    (void)row;
    jit_flags_store(writer);
    jit_profile_check_return(writer);
    if (!jit_look_up_at(writer, MH_RSP, 0, 8, false, &at))
        return false;
    host_emit_move(&writer->code, 8, JIT_T1, at);
    jit_return_to_t1(writer);
    return true;
}

bool jit_jump(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    emit_link(writer, (unsigned)op->displacement);
    return true;
}

bool jit_jump_page(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_claim_t1(writer);
    jit_flags_store(writer);
    return jump_to_constant(writer, op);
}

bool jit_jump_register(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_claim_t1(writer);
    jit_flags_store(writer);
    host_emit_move(&writer->code, 8, JIT_T1, jit_place(writer, op->reg));
    check_entry(writer);
    jit_leave_if(writer, HOST_CC_NE);
    emit_jump_to_entry(writer);
    return true;
}

bool jit_jump_memory(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    (void)row;
    jit_flags_store(writer);
    if (!jit_look_up(writer, op, 8, false, &at))
        return false;
    host_emit_move(&writer->code, 8, JIT_T1, at);
    check_entry(writer);
    jit_leave_if(writer, HOST_CC_NE);
    emit_jump_to_entry(writer);
    return true;
}

bool jit_branch(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_flags_need(writer);
    jit_add_stub(writer, JIT_EXIT_LINK, host_emit_branch(&writer->code, op->index), (unsigned)op->displacement);
    jit_begin_segment(writer, writer->op + 1);
    return true;
}

/* The way out of the page is written in line, between this and what follows. */
bool jit_branch_page(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_claim_t1(writer);
    jit_flags_need(writer);
    uint8_t *const over = host_emit_branch(&writer->code, op->index ^ 1u);
    const struct jit_flags flags = writer->flags;
    jit_flags_store(writer);
    if (!jump_to_constant(writer, op))
        return false;
    host_link(over, writer->code.at);
    writer->flags = flags;
    writer->host_flags = true;
    jit_begin_segment(writer, writer->op + 1);
    return true;
}

bool jit_end(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    if (op->displacement < (int32_t)PAGE_4K) {
        emit_link(writer, (unsigned)op->displacement);
        return true;
    }
    jit_claim_t1(writer);
    jit_flags_store(writer);
    return jump_to_constant(writer, op);
}
