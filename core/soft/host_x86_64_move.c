/* Moves, extensions, conditional moves and the stack in generated code. */
#include "host_x86_64_jit.h"

#define MOVZX 0xb6u /* of a byte; the next one of 16 bits */
#define MOVSX 0xbeu
#define MOVSXD 0x63u

static bool has_register(const struct jit_writer *writer, unsigned guest)
{
    return jit_host_register(writer, guest) != HOST_NO_REGISTER;
}

/* A register to calculate a guest register in: its own, or T1, which finish() stores. */
static unsigned begin(struct jit_writer *writer, unsigned guest)
{
    if (has_register(writer, guest))
        return jit_host_register(writer, guest);
    jit_claim_t1(writer);
    return JIT_T1;
}

static void finish(struct jit_writer *writer, unsigned guest, unsigned reg)
{
    if (!has_register(writer, guest))
        host_emit_store(&writer->code, 8, jit_place(writer, guest), reg);
}

bool jit_nop(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)writer;
    (void)op;
    (void)row;
    return true;
}

bool jit_move(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    jit_flags_write(writer, op->reg);
    if (row->size == 1) {
        unsigned from = jit_host_register(writer, op->base);
        if (from == HOST_NO_REGISTER) {
            jit_claim_t1(writer);
            from = JIT_T1;
            host_emit_move(&writer->code, 8, from, jit_place(writer, op->base));
        }
        host_emit_store(&writer->code, 1, jit_place(writer, op->reg), from);
        return true;
    }
    const unsigned to = begin(writer, op->reg);
    host_emit_move(&writer->code, row->size, to, jit_place(writer, op->base));
    finish(writer, op->reg, to);
    return true;
}

bool jit_move_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_flags_write(writer, op->reg);
    host_emit_immediate(&writer->code, 0xc6, 1, 0, jit_place(writer, op->reg), op->immediate, 1);
    return true;
}

bool jit_move_wide(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_flags_write(writer, op->reg);
    const unsigned to = begin(writer, op->reg);
    host_emit_constant(&writer->code, to, op->wide);
    finish(writer, op->reg, to);
    return true;
}

/* `detail` is the opcode, of map 0F but for MOVSXD. */
static void emit_extend(struct jit_writer *writer, const struct jit_row *row, unsigned to, struct host_operand from)
{
    host_emit(&writer->code, row->detail, row->size, to, from);
}

bool jit_extend(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    jit_flags_write(writer, op->reg);
    const unsigned to = begin(writer, op->reg);
    emit_extend(writer, row, to, jit_place(writer, op->base));
    finish(writer, op->reg, to);
    return true;
}

/* Memory is read once it is sure that nothing else happens. */
bool jit_extend_load(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    static const uint8_t sizes[] = {[MOVZX & 7] = 1, [(MOVZX + 1) & 7] = 2};
    const bool is_wide = (row->detail & 0xff) == MOVSXD;
    struct host_operand at;
    jit_flags_before_write(writer, op->reg);
    if (!jit_look_up(writer, op, is_wide ? 4 : sizes[row->detail & 7], false, &at))
        return false;
    const unsigned to = has_register(writer, op->reg) ? jit_host_register(writer, op->reg) : (unsigned)JIT_T1;
    emit_extend(writer, row, to, at);
    finish(writer, op->reg, to);
    jit_flags_written(writer, op->reg);
    return true;
}

bool jit_load(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    jit_flags_before_write(writer, op->reg);
    if (!jit_look_up(writer, op, row->size, false, &at))
        return false;
    const unsigned to = has_register(writer, op->reg) ? jit_host_register(writer, op->reg) : (unsigned)JIT_T1;
    host_emit_move(&writer->code, row->size, to, at);
    if (!has_register(writer, op->reg))
        host_emit_store(&writer->code, row->size == 1 ? 1 : 8, jit_place(writer, op->reg), to);
    jit_flags_written(writer, op->reg);
    return true;
}

bool jit_store(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    if (!jit_look_up(writer, op, row->size, true, &at))
        return false;
    unsigned from = jit_host_register(writer, op->reg);
    if (from == HOST_NO_REGISTER) {
        jit_free_t1(writer, &at);
        from = JIT_T1;
        host_emit_move(&writer->code, 8, from, jit_place(writer, op->reg));
    }
    host_emit_store(&writer->code, row->size, at, from);
    return true;
}

bool jit_store_immediate(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned size = row->size;
    struct host_operand at;
    if (!jit_look_up(writer, op, size, true, &at))
        return false;
    host_emit_immediate(&writer->code, size == 1 ? 0xc6 : 0xc7, size, 0, at, op->immediate, size < 4 ? size : 4);
    return true;
}

/* Would the address overwrite a part of itself if it were computed in its destination? What has no register is loaded
 * there first, and the other part is needed after that. */
static bool replaces_itself(const struct jit_writer *writer, const struct soft_op *op)
{
    const bool loads_index = op->index < MH_GPR_COUNT && !has_register(writer, op->index);
    const bool loads_base = op->base < MH_GPR_COUNT && !has_register(writer, op->base);
    return (loads_index && op->base == op->reg) || (loads_base && op->index == op->reg);
}

static bool lea_64(struct jit_writer *writer, const struct soft_op *op)
{
    jit_flags_write(writer, op->reg);
    if (has_register(writer, op->reg) && !replaces_itself(writer, op))
        return jit_address(writer, op, jit_host_register(writer, op->reg), 0);
    jit_claim_t1(writer);
    if (!jit_address(writer, op, JIT_T1, 0))
        return false;
    host_emit_store(&writer->code, 8, jit_place(writer, op->reg), JIT_T1);
    return true;
}

bool jit_lea(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    if (op->index < MH_GPR_COUNT && !has_register(writer, op->index) && writer->host_flags &&
        jit_flags_live_after(writer, writer->op))
        jit_flags_store(writer); /* while they are at hand: jit_address() changes the host's */
    if (row->size == 8)
        return lea_64(writer, op);
    struct host_operand at;
    if (has_register(writer, op->reg) && jit_simple_address(writer, op, &at)) {
        jit_flags_write(writer, op->reg);
        host_emit(&writer->code, 0x8d, 4, jit_host_register(writer, op->reg), at);
        return true;
    }
    jit_claim_t1(writer);
    jit_flags_write(writer, op->reg);
    if (!jit_address(writer, op, JIT_T1, 0))
        return false;
    const unsigned to = has_register(writer, op->reg) ? jit_host_register(writer, op->reg) : (unsigned)JIT_T1;
    host_emit_move(&writer->code, 4, to, host_in(JIT_T1));
    finish(writer, op->reg, to);
    return true;
}

/* CWDE and CDQE. */
bool jit_extend_rax(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)op;
    jit_flags_write(writer, MH_RAX);
    host_emit_bytes(&writer->code, row->size == 8 ? 0x9848 : 0x98, row->size == 8 ? 2 : 1);
    writer->code.touched |= 1u << HOST_RAX | 1u << HOST_RDX;
    return true;
}

/* CDQ and CQO. */
bool jit_sign_rdx(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)op;
    jit_flags_write(writer, MH_RDX);
    host_emit_bytes(&writer->code, row->size == 8 ? 0x9948 : 0x99, row->size == 8 ? 2 : 1);
    writer->code.touched |= 1u << HOST_RAX | 1u << HOST_RDX;
    return true;
}

/* The condition is op->index. */
bool jit_cmov(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    if (!has_register(writer, op->reg))
        jit_claim_t1(writer);
    jit_flags_need(writer);
    jit_flags_write(writer, op->reg);
    const unsigned to = begin(writer, op->reg);
    if (to == JIT_T1)
        host_emit_move(&writer->code, 8, to, jit_place(writer, op->reg));
    host_emit(&writer->code, HOST_0F | 0x40u | op->index, row->size, to, jit_place(writer, op->base));
    finish(writer, op->reg, to);
    return true;
}

bool jit_setcc(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    jit_flags_need(writer);
    jit_flags_write(writer, op->reg);
    host_emit(&writer->code, HOST_0F | 0x90u | op->index, 1, 0, jit_place(writer, op->reg));
    return true;
}

/* ---- the stack ---- */

static void move_rsp(struct jit_writer *writer, unsigned base, int32_t displacement)
{
    host_emit(&writer->code, 0x8d, 8, jit_host_register(writer, MH_RSP),
              host_at(jit_host_register(writer, base), displacement));
    if (base == MH_RSP)
        jit_window_move(writer, MH_RSP, displacement);
}

static void emit_push(struct jit_writer *writer, const struct soft_op *op, struct host_operand at)
{
    if (op->code == OP_PUSH_I) {
        host_emit_immediate(&writer->code, 0xc7, 8, 0, at, op->immediate, 4);
        return;
    }
    unsigned from = jit_host_register(writer, op->reg);
    if (from == HOST_NO_REGISTER) {
        from = JIT_T1;
        host_emit_move(&writer->code, 8, from, jit_place(writer, op->reg));
    }
    host_emit_store(&writer->code, 8, at, from);
}

bool jit_push(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    (void)row;
    jit_flags_before_write(writer, MH_RSP);
    if (!jit_look_up_at(writer, MH_RSP, -8, 8, true, &at))
        return false;
    emit_push(writer, op, at);
    move_rsp(writer, MH_RSP, -8);
    jit_flags_written(writer, MH_RSP);
    return true;
}

/* rsp = base + 8, and then a register = the 8 bytes at the base; `base` is rsp or rbp. */
static bool pop(struct jit_writer *writer, unsigned base, unsigned to)
{
    struct host_operand at;
    jit_flags_before_write(writer, MH_RSP);
    jit_flags_before_write(writer, to);
    if (!jit_look_up_at(writer, base, 0, 8, false, &at))
        return false;
    const unsigned reg = jit_host_register(writer, to);
    const bool is_direct = reg != HOST_NO_REGISTER && to != MH_RSP && to != base;
    host_emit_move(&writer->code, 8, is_direct ? reg : (unsigned)JIT_T1, at);
    move_rsp(writer, base, 8);
    if (!is_direct)
        host_emit_store(&writer->code, 8, jit_place(writer, to), JIT_T1);
    jit_flags_written(writer, MH_RSP);
    jit_flags_written(writer, to);
    return true;
}

bool jit_pop(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)row;
    return pop(writer, MH_RSP, op->reg);
}

bool jit_leave(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    (void)op;
    (void)row;
    return pop(writer, MH_RBP, MH_RBP);
}
