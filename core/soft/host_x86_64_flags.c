/*
 * The guest's flags in generated code. Most are never read, so the instruction that sets them only notes how they can
 * be computed again from its operands or its result (struct jit_flags), as long as these are where they were. They are
 * computed and stored when the last moment for that has come, or on a way out that is seldom taken.
 */
#include "host_x86_64_jit.h"

#define ALU_ADD 0u
#define ALU_SUB 5u
#define ALU_CMP 7u
#define PUSHFQ 0x9c
#define POPFQ 0x9d

static bool uses(const struct jit_flags *flags, unsigned guest)
{
    return flags->kind >= JIT_FLAGS_CMP && (flags->left == guest || flags->right == guest);
}

/* Does anything from operation `op` on see the flags as they are before it? */
static bool is_live(const struct jit_writer *writer, unsigned op)
{
    for (;; op++) {
        const struct jit_row *row = jit_row(&writer->block->ops[op]);
        if (row->effect == JIT_REPLACES)
            return false;
        if (row->effect == JIT_OBSERVES || row->translate == NULL)
            return true;
    }
}

bool jit_flags_live_after(const struct jit_writer *writer, unsigned op)
{
    return is_live(writer, op + 1);
}

static void emit_opcode(struct jit_writer *writer, unsigned opcode, unsigned size, unsigned left,
                        const struct jit_flags *flags)
{
    if (flags->right == JIT_GUEST_IMMEDIATE)
        host_emit_alu_immediate(&writer->code, opcode >> 3, size, host_in(left), flags->immediate);
    else
        host_emit(&writer->code, opcode | 2 | (size > 1), size, left, jit_place(writer, flags->right));
}

/* A comparison, which may have its operand on the left in memory. */
static void compare_again(struct jit_writer *writer, const struct jit_flags *flags)
{
    const unsigned size = flags->size;
    const struct host_operand left = jit_place(writer, flags->left);
    const bool is_test = flags->kind == JIT_FLAGS_TEST;
    if (flags->right == JIT_GUEST_IMMEDIATE) {
        if (is_test)
            host_emit_immediate(&writer->code, size == 1 ? 0xf6 : 0xf7, size, 0, left, flags->immediate,
                                size == 1 ? 1 : 4);
        else
            host_emit_alu_immediate(&writer->code, ALU_CMP, size, left, flags->immediate);
        return;
    }
    unsigned right = jit_host_register(writer, flags->right);
    if (right == HOST_NO_REGISTER) {
        right = JIT_T2;
        host_emit_move(&writer->code, 8, right, jit_place(writer, flags->right));
    }
    host_emit(&writer->code, (is_test ? 0x84u : ALU_CMP << 3) | (size > 1), size, right, left);
}

/* INC and DEC leave CF, which is in cpu->code_flags, as it is. */
static void step_again(struct jit_writer *writer, const struct jit_flags *flags)
{
    const unsigned opcode = flags->size == 1 ? 0xfe : 0xff, digit = flags->kind == JIT_FLAGS_DEC;
    host_emit_move(&writer->code, 8, JIT_T2, jit_place(writer, flags->left));
    host_emit(&writer->code, opcode, flags->size, 1 - digit, host_in(JIT_T2));
    host_emit_immediate(&writer->code, HOST_0F | 0xba, 4, 4, jit_field(offsetof(struct soft_cpu, code_flags)), 0, 1);
    host_emit(&writer->code, opcode, flags->size, digit, host_in(JIT_T2));
}

static void compute_again(struct jit_writer *writer)
{
    const struct jit_flags *flags = &writer->flags;
    const unsigned size = flags->size;
    switch ((enum jit_flags_kind)flags->kind) {
    case JIT_FLAGS_CMP:
    case JIT_FLAGS_TEST:
        compare_again(writer, flags);
        break;
    case JIT_FLAGS_ADD:
    case JIT_FLAGS_SUB: /* undo it, and do it again */
        host_emit_move(&writer->code, 8, JIT_T2, jit_place(writer, flags->left));
        emit_opcode(writer, (flags->kind == JIT_FLAGS_ADD ? ALU_SUB : ALU_ADD) << 3, size, JIT_T2, flags);
        emit_opcode(writer, (flags->kind == JIT_FLAGS_ADD ? ALU_ADD : ALU_SUB) << 3, size, JIT_T2, flags);
        break;
    case JIT_FLAGS_INC:
    case JIT_FLAGS_DEC:
        step_again(writer, flags);
        break;
    case JIT_FLAGS_NEG:
        host_emit_move(&writer->code, 8, JIT_T2, jit_place(writer, flags->left));
        host_emit(&writer->code, 0xf7, size, 3, host_in(JIT_T2));
        host_emit(&writer->code, 0xf7, size, 3, host_in(JIT_T2));
        break;
    case JIT_FLAGS_STORED:
    case JIT_FLAGS_DEAD:
        break;
    }
    writer->host_flags = true;
}

void jit_flags_store(struct jit_writer *writer)
{
    if (writer->flags.kind == JIT_FLAGS_STORED || writer->flags.kind == JIT_FLAGS_DEAD)
        return;
    if (!writer->host_flags)
        compute_again(writer);
    host_emit_bytes(&writer->code, PUSHFQ, 1);
    host_emit(&writer->code, 0x8f, 4, 0, jit_field(offsetof(struct soft_cpu, code_flags)));
    writer->flags = (struct jit_flags){.kind = JIT_FLAGS_STORED};
}

void jit_flags_need(struct jit_writer *writer)
{
    if (writer->host_flags)
        return;
    if (writer->flags.kind != JIT_FLAGS_STORED) {
        compute_again(writer);
        return;
    }
    host_emit(&writer->code, 0xff, 4, 6, jit_field(offsetof(struct soft_cpu, code_flags)));
    host_emit_bytes(&writer->code, POPFQ, 1);
    writer->host_flags = true;
}

void jit_flags_need_carry(struct jit_writer *writer)
{
    if (writer->host_flags)
        return;
    if (writer->flags.kind != JIT_FLAGS_STORED)
        compute_again(writer);
    else
        host_emit_immediate(&writer->code, HOST_0F | 0xba, 4, 4, jit_field(offsetof(struct soft_cpu, code_flags)), 0,
                            1);
}

void jit_claim_t1(struct jit_writer *writer)
{
    if (!uses(&writer->flags, JIT_GUEST_T1))
        return;
    if (is_live(writer, writer->op))
        jit_flags_store(writer);
    else
        writer->flags = (struct jit_flags){.kind = JIT_FLAGS_DEAD};
}

void jit_flags_before_write(struct jit_writer *writer, unsigned guest)
{
    if (uses(&writer->flags, guest) && jit_flags_live_after(writer, writer->op))
        jit_flags_store(writer);
}

void jit_flags_written(struct jit_writer *writer, unsigned guest)
{
    if (uses(&writer->flags, guest))
        writer->flags = (struct jit_flags){.kind = JIT_FLAGS_DEAD};
}

void jit_flags_write(struct jit_writer *writer, unsigned guest)
{
    jit_flags_before_write(writer, guest);
    jit_flags_written(writer, guest);
}

void jit_flags_set(struct jit_writer *writer, enum jit_flags_kind kind, unsigned size, unsigned left, unsigned right,
                   int32_t immediate)
{
    writer->host_flags = true;
    writer->flags = (struct jit_flags){.kind = JIT_FLAGS_DEAD};
    if (jit_flags_live_after(writer, writer->op))
        writer->flags = (struct jit_flags){.kind = (uint8_t)kind,
                                           .size = (uint8_t)size,
                                           .left = (uint8_t)left,
                                           .right = (uint8_t)right,
                                           .immediate = immediate};
}

void jit_flags_set_once(struct jit_writer *writer)
{
    writer->host_flags = true;
    writer->flags = (struct jit_flags){.kind = JIT_FLAGS_DEAD};
    if (!jit_flags_live_after(writer, writer->op))
        return;
    host_emit_bytes(&writer->code, PUSHFQ, 1);
    host_emit(&writer->code, 0x8f, 4, 0, jit_field(offsetof(struct soft_cpu, code_flags)));
    writer->flags = (struct jit_flags){.kind = JIT_FLAGS_STORED};
}
