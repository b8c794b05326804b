/* Integer arithmetic in generated code. A destination without a register is calculated in memory, except with 32 bits,
 * whose result has to be extended. */
#include "host_x86_64_jit.h"

#define ALU_OR 1u
#define ALU_ADC 2u
#define ALU_SBB 3u
#define ALU_AND 4u
#define ALU_SUB 5u
#define ALU_XOR 6u
#define ALU_CMP 7u
#define ALU_TEST 8u

#define GROUP_SHIFT_IMMEDIATE 0xc1u
#define GROUP_SHIFT_CL 0xd3u

#define PUSHFQ 0x9c
#define POP_T2_HIGH 0x41 /* pop r13 */
#define POP_T2_LOW 0x5d

static bool writes(unsigned operation)
{
    return operation < ALU_CMP;
}

static bool takes_carry(unsigned operation)
{
    return operation == ALU_ADC || operation == ALU_SBB;
}

static bool has_register(const struct jit_writer *writer, unsigned guest)
{
    return jit_host_register(writer, guest) != HOST_NO_REGISTER;
}

/* After `operation`, whose result, if it has one, is in `left` now. */
static void note_flags(struct jit_writer *writer, unsigned operation, unsigned size, unsigned left, unsigned right,
                       int32_t immediate)
{
    switch (operation) {
    case 0:
        if (left == right)
            jit_flags_set_once(writer);
        else
            jit_flags_set(writer, JIT_FLAGS_ADD, size, left, right, immediate);
        break;
    case ALU_SUB:
        jit_flags_set(writer, left == right ? JIT_FLAGS_CMP : JIT_FLAGS_SUB, size, left, right, immediate);
        break;
    case ALU_CMP:
        jit_flags_set(writer, JIT_FLAGS_CMP, size, left, right, immediate);
        break;
    case ALU_TEST:
        jit_flags_set(writer, JIT_FLAGS_TEST, size, left, right, immediate);
        break;
    case ALU_OR:
    case ALU_AND:
    case ALU_XOR:
        jit_flags_set(writer, JIT_FLAGS_TEST, size, left, left, 0);
        break;
    default:
        jit_flags_set_once(writer);
    }
}

/* reg = reg operation rm */
static void emit_to_register(struct jit_writer *writer, unsigned operation, unsigned size, unsigned reg,
                             struct host_operand rm)
{
    if (operation == ALU_TEST)
        host_emit(&writer->code, 0x84u | (size > 1), size, reg, rm);
    else
        host_emit(&writer->code, operation << 3 | 2 | (size > 1), size, reg, rm);
}

/* rm = rm operation reg */
static void emit_to_rm(struct jit_writer *writer, unsigned operation, unsigned size, struct host_operand rm,
                       unsigned reg)
{
    host_emit(&writer->code, (operation == ALU_TEST ? 0x84u : operation << 3) | (size > 1), size, reg, rm);
}

static void emit_immediate(struct jit_writer *writer, unsigned operation, unsigned size, struct host_operand rm,
                           int32_t immediate)
{
    if (operation == ALU_TEST)
        host_emit_immediate(&writer->code, size == 1 ? 0xf6 : 0xf7, size, 0, rm, immediate, size == 1 ? 1 : 4);
    else
        host_emit_alu_immediate(&writer->code, operation, size, rm, immediate);
}

/* Does the result have to be calculated in T1 or T2, because the register is in memory? */
static bool needs_copy(const struct jit_writer *writer, unsigned guest, unsigned operation, unsigned size)
{
    return !has_register(writer, guest) && size == 4 && writes(operation);
}

bool jit_alu_register(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned operation = row->detail, size = row->size;
    const struct host_operand to = jit_place(writer, op->reg);
    if (!has_register(writer, op->reg))
        jit_claim_t1(writer);
    if (takes_carry(operation))
        jit_flags_need_carry(writer);
    if (has_register(writer, op->reg)) {
        emit_to_register(writer, operation, size, jit_host_register(writer, op->reg), jit_place(writer, op->base));
    } else if (op->reg == op->base && size >= 4 && (operation == ALU_XOR || operation == ALU_SUB)) {
        emit_to_register(writer, operation, 4, JIT_T1, host_in(JIT_T1)); /* 0, without waiting for the register */
        host_emit_store(&writer->code, 8, to, JIT_T1);
    } else if (needs_copy(writer, op->reg, operation, size)) {
        host_emit_move(&writer->code, 4, JIT_T1, to);
        emit_to_register(writer, operation, size, JIT_T1, jit_place(writer, op->base));
        host_emit_store(&writer->code, 8, to, JIT_T1);
    } else {
        unsigned from = jit_host_register(writer, op->base);
        if (from == HOST_NO_REGISTER) {
            from = JIT_T1;
            host_emit_move(&writer->code, 8, JIT_T1, jit_place(writer, op->base));
        }
        emit_to_rm(writer, operation, size, to, from);
    }
    note_flags(writer, operation, size, op->reg, op->base, 0);
    return true;
}

bool jit_alu_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned operation = row->detail, size = row->size;
    const struct host_operand to = jit_place(writer, op->reg);
    const bool copies = needs_copy(writer, op->reg, operation, size);
    if (copies)
        jit_claim_t1(writer);
    if (takes_carry(operation))
        jit_flags_need_carry(writer);
    if (copies) {
        host_emit_move(&writer->code, 4, JIT_T1, to);
        emit_immediate(writer, operation, size, host_in(JIT_T1), op->immediate);
        host_emit_store(&writer->code, 8, to, JIT_T1);
    } else {
        emit_immediate(writer, operation, size, to, op->immediate);
        if (size == 8 && operation == 0)
            jit_window_move(writer, op->reg, op->immediate);
        else if (size == 8 && operation == ALU_SUB && op->immediate != INT32_MIN)
            jit_window_move(writer, op->reg, -op->immediate);
    }
    note_flags(writer, operation, size, op->reg, JIT_GUEST_IMMEDIATE, op->immediate);
    return true;
}

bool jit_alu_load(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned operation = row->detail, size = row->size;
    struct host_operand at;
    if (takes_carry(operation))
        jit_flags_store(writer);
    if (!jit_look_up(writer, op, size, false, &at))
        return false;
    jit_load_t1(writer, size, at);
    if (takes_carry(operation))
        jit_flags_need_carry(writer);
    const struct host_operand to = jit_place(writer, op->reg);
    if (has_register(writer, op->reg)) {
        emit_to_register(writer, operation, size, jit_host_register(writer, op->reg), host_in(JIT_T1));
    } else if (needs_copy(writer, op->reg, operation, size)) {
        host_emit_move(&writer->code, 4, JIT_T2, to);
        emit_to_register(writer, operation, size, JIT_T2, host_in(JIT_T1));
        host_emit_store(&writer->code, 8, to, JIT_T2);
    } else {
        emit_to_rm(writer, operation, size, to, JIT_T1);
    }
    note_flags(writer, operation, size, op->reg, JIT_GUEST_T1, 0);
    return true;
}

/* The memory operand is calculated in T1, where it can be found when the flags are wanted. */
static bool alu_memory(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row, unsigned right)
{
    const unsigned operation = row->detail, size = row->size;
    struct host_operand at;
    if (takes_carry(operation))
        jit_flags_store(writer);
    if (!jit_look_up(writer, op, size, writes(operation), &at))
        return false;
    if (writes(operation))
        jit_free_t1(writer, &at);
    jit_load_t1(writer, size, at);
    if (takes_carry(operation))
        jit_flags_need_carry(writer);
    if (right == JIT_GUEST_IMMEDIATE)
        emit_immediate(writer, operation, size, host_in(JIT_T1), op->immediate);
    else
        emit_to_register(writer, operation, size, JIT_T1, jit_place(writer, right));
    if (writes(operation))
        host_emit_store(&writer->code, size, at, JIT_T1);
    note_flags(writer, operation, size, JIT_GUEST_T1, right, op->immediate);
    return true;
}

bool jit_alu_store(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    return alu_memory(writer, op, row, op->reg);
}

bool jit_alu_store_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    return alu_memory(writer, op, row, JIT_GUEST_IMMEDIATE);
}

/* ---- one operand ---- */

/* An instruction of groups 2 to 5 with a register; what it leaves in the host's flags is the guest's. Shifts leave some
 * undefined, which may depend on the operand being a register: so for them it is one. */
static void emit_one(struct jit_writer *writer, unsigned opcode, unsigned digit, unsigned size, unsigned guest,
                     int32_t immediate, unsigned bytes)
{
    const struct host_operand to = jit_place(writer, guest);
    const bool is_shift = opcode == GROUP_SHIFT_IMMEDIATE || opcode == GROUP_SHIFT_CL;
    if (has_register(writer, guest) || (size == 8 && !is_shift)) {
        host_emit_immediate(&writer->code, opcode, size, digit, to, immediate, bytes);
        return;
    }
    host_emit_move(&writer->code, size, JIT_T2, to);
    host_emit_immediate(&writer->code, opcode, size, digit, host_in(JIT_T2), immediate, bytes);
    host_emit_store(&writer->code, 8, to, JIT_T2);
}

/* INC and DEC keep CF: it has to be in cpu->code_flags when their flags are wanted. */
static void step_begins(struct jit_writer *writer)
{
    if (writer->flags.kind != JIT_FLAGS_INC && writer->flags.kind != JIT_FLAGS_DEC &&
        jit_flags_live_after(writer, writer->op))
        jit_flags_store(writer);
}

/* ... and in the host's CF, so that the host's flags are the guest's behind it. */
static void step_loads_carry(struct jit_writer *writer)
{
    if (!writer->host_flags && jit_flags_live_after(writer, writer->op))
        host_emit_immediate(&writer->code, HOST_0F | 0xba, 4, 4, jit_field(offsetof(struct soft_cpu, code_flags)), 0,
                            1);
}

bool jit_step_register(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    step_begins(writer);
    step_loads_carry(writer);
    emit_one(writer, 0xff, row->detail, row->size, op->reg, 0, 0);
    jit_flags_set(writer, row->detail == 0 ? JIT_FLAGS_INC : JIT_FLAGS_DEC, row->size, op->reg, JIT_GUEST_IMMEDIATE, 0);
    return true;
}

bool jit_step_memory(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    step_begins(writer);
    if (!jit_look_up(writer, op, row->size, true, &at))
        return false;
    jit_free_t1(writer, &at);
    jit_load_t1(writer, row->size, at);
    step_loads_carry(writer);
    host_emit(&writer->code, 0xff, row->size, row->detail, host_in(JIT_T1));
    host_emit_store(&writer->code, row->size, at, JIT_T1);
    jit_flags_set(writer, row->detail == 0 ? JIT_FLAGS_INC : JIT_FLAGS_DEC, row->size, JIT_GUEST_T1,
                  JIT_GUEST_IMMEDIATE, 0);
    return true;
}

bool jit_negate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    emit_one(writer, 0xf7, 3, row->size, op->reg, 0, 0);
    jit_flags_set(writer, JIT_FLAGS_NEG, row->size, op->reg, JIT_GUEST_IMMEDIATE, 0);
    return true;
}

bool jit_not(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    jit_flags_write(writer, op->reg);
    emit_one(writer, 0xf7, 2, row->size, op->reg, 0, 0);
    return true;
}

/* `detail` is 0 for ROL, 1 for ROR. They change CF and OF, which may be undefined, and then depend on the operand being
 * a register. */
bool jit_rotate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const bool live = jit_flags_live_after(writer, writer->op);
    const unsigned reg = has_register(writer, op->reg) ? jit_host_register(writer, op->reg) : (unsigned)JIT_T2;
    if (live)
        jit_flags_need(writer);
    if (reg == JIT_T2)
        host_emit_move(&writer->code, row->size, reg, jit_place(writer, op->reg));
    host_emit_immediate(&writer->code, 0xc1, row->size, row->detail, host_in(reg), op->immediate, 1);
    if (reg == JIT_T2)
        host_emit_store(&writer->code, 8, jit_place(writer, op->reg), reg);
    jit_flags_set_once(writer);
    return true;
}

/* `detail` is the operation: 4, 5 and 7 for SHL, SHR and SAR. */
bool jit_shift_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    emit_one(writer, GROUP_SHIFT_IMMEDIATE, row->detail, row->size, op->reg, op->immediate, 1);
    jit_flags_set_once(writer);
    return true;
}

/* A count of 0 leaves the flags as they are. */
bool jit_shift_cl(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const bool live = jit_flags_live_after(writer, writer->op);
    if (live && op->reg == MH_RCX)
        return false; /* the count is not there any more when it is looked at */
    if (live)
        jit_flags_store(writer);
    emit_one(writer, GROUP_SHIFT_CL, row->detail, row->size, op->reg, 0, 0);
    writer->host_flags = false;
    writer->flags = (struct jit_flags){.kind = live ? JIT_FLAGS_STORED : JIT_FLAGS_DEAD};
    if (!live)
        return true;
    host_emit_bytes(&writer->code, PUSHFQ, 1);
    host_emit_bytes(&writer->code, POP_T2_HIGH | POP_T2_LOW << 8, 2);
    host_emit_immediate(&writer->code, 0xf6, 1, 0, host_in(HOST_RCX), (int32_t)(8 * row->size - 1), 1);
    uint8_t *const over = host_emit_branch(&writer->code, HOST_CC_E);
    host_emit_store(&writer->code, 8, jit_field(offsetof(struct soft_cpu, code_flags)), JIT_T2);
    host_link(over, writer->code.at);
    return true;
}

/* ---- multiplication and division ---- */

bool jit_multiply(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    unsigned to = jit_host_register(writer, op->reg);
    if (to == HOST_NO_REGISTER) {
        to = JIT_T2;
        host_emit_move(&writer->code, 8, to, jit_place(writer, op->reg));
    }
    host_emit(&writer->code, HOST_0F | 0xaf, row->size, to, jit_place(writer, op->base));
    if (to == JIT_T2)
        host_emit_store(&writer->code, 8, jit_place(writer, op->reg), to);
    jit_flags_set_once(writer);
    return true;
}

bool jit_multiply_load(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    if (!jit_look_up(writer, op, row->size, false, &at))
        return false;
    jit_load_t1(writer, row->size, at);
    unsigned to = jit_host_register(writer, op->reg);
    if (to == HOST_NO_REGISTER) {
        to = JIT_T2;
        host_emit_move(&writer->code, 8, to, jit_place(writer, op->reg));
    }
    host_emit(&writer->code, HOST_0F | 0xaf, row->size, to, host_in(JIT_T1));
    if (to == JIT_T2)
        host_emit_store(&writer->code, 8, jit_place(writer, op->reg), to);
    jit_flags_set_once(writer);
    return true;
}

bool jit_multiply_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned reg = jit_host_register(writer, op->reg), to = reg == HOST_NO_REGISTER ? (unsigned)JIT_T2 : reg;
    host_emit_immediate(&writer->code, 0x69, row->size, to, jit_place(writer, op->base), op->immediate, 4);
    if (reg == HOST_NO_REGISTER)
        host_emit_store(&writer->code, 8, jit_place(writer, op->reg), to);
    jit_flags_set_once(writer);
    return true;
}

/* `detail` is 4 for MUL, 5 for IMUL. */
bool jit_multiply_wide(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    host_emit(&writer->code, 0xf7, row->size, row->detail, jit_place(writer, op->reg));
    jit_flags_set_once(writer);
    writer->code.touched |= 1u << HOST_RAX | 1u << HOST_RDX;
    return true;
}

/* The interpreter divides by what could raise an exception. */
bool jit_divide(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    jit_flags_before_write(writer, MH_RAX);
    jit_flags_before_write(writer, MH_RDX);
    host_emit(&writer->code, 0x3b, row->size, HOST_RDX, jit_place(writer, op->reg));
    jit_leave_if(writer, HOST_CC_AE);
    host_emit(&writer->code, 0xf7, row->size, 6, jit_place(writer, op->reg));
    jit_flags_written(writer, MH_RAX);
    jit_flags_written(writer, MH_RDX);
    writer->code.touched |= 1u << HOST_RAX | 1u << HOST_RDX;
    return true;
}

/* Only what is sign-extended, as compilers do it, by divisors other than 0 and -1. */
bool jit_divide_signed(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned size = row->size;
    jit_claim_t1(writer);
    jit_flags_before_write(writer, MH_RAX);
    jit_flags_before_write(writer, MH_RDX);
    host_emit_move(&writer->code, size, JIT_T1, jit_place(writer, op->reg));
    host_emit(&writer->code, 0x8d, size, JIT_T2, host_at(JIT_T1, 1));
    host_emit_alu_immediate(&writer->code, ALU_CMP, size, host_in(JIT_T2), 1);
    jit_leave_if(writer, HOST_CC_BE);
    host_emit_move(&writer->code, size, JIT_T2, host_in(HOST_RAX));
    host_emit_immediate(&writer->code, 0xc1, size, 7, host_in(JIT_T2), (int32_t)(8 * size - 1), 1);
    host_emit(&writer->code, 0x3b, size, JIT_T2, host_in(HOST_RDX));
    jit_leave_if(writer, HOST_CC_NE);
    host_emit(&writer->code, 0xf7, size, 7, host_in(JIT_T1));
    jit_flags_written(writer, MH_RAX);
    jit_flags_written(writer, MH_RDX);
    writer->code.touched |= 1u << HOST_RAX | 1u << HOST_RDX;
    return true;
}
