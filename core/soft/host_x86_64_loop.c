/*
 * Loops that are one block: a block whose branch leads back to its own beginning, often. Such a loop is translated by
 * itself, up to that branch. While it runs,
 *
 * - host registers of guest registers that it does not use are lent to guest registers that have none outside, and to
 *   its accesses to memory. The values of their owners are in cpu->slots;
 * - an access does not look the TLB up, but compares its address with the pages where it has been before: its site
 *   (struct soft_code_site), which soft_jit_fill() extends page by page, and which is empty when the TLB has changed;
 * - accesses that go a constant distance further in each round are not checked in each: behind a round that was, as
 *   many are counted as stay within the sites, and executed without checks.
 *
 * So the code is two rounds: one with checks, which continues with one without, which leads back to the first when all
 * rounds that were counted are done. All ways out put the registers back first.
 */
#include "host_x86_64_jit.h"

#include <string.h>

#define ALU_ADD 0u
#define ALU_SUB 5u
#define ALU_CMP 7u
#define SHIFT_RIGHT_SIGNED 7u

/* Two rounds have to fit into a unit. */
#define LOOP_OPS 24u
/* A loop of fewer rounds is not worth it: it is entered and left too often. */
#define LOOP_ROUNDS 8u
/* Rounds that are counted beforehand, at most. */
#define ROUNDS_MAX 1024
/* A stream that goes further in a round is checked in each. */
#define STRIDE_MAX 1024
_Static_assert(1 << 20 >= ROUNDS_MAX * STRIDE_MAX, "take_quotient() divides what is less");

/* ---- which loops ---- */

static bool leads_back(const struct soft_block *block, const struct soft_op *op)
{
    const struct jit_row *row = jit_row(op);
    return (row->translate == jit_branch || row->translate == jit_jump) && op->displacement == block->offset;
}

/* Can it be a part of a loop that is one block? */
static bool fits(const struct soft_block *block, const struct soft_op *op, unsigned end)
{
    static jit_translator *const others[] = {jit_push,      jit_pop,           jit_leave,       jit_call,
                                             jit_call_page, jit_call_register, jit_return,      jit_jump,
                                             jit_jump_page, jit_jump_register, jit_jump_memory, jit_branch_page,
                                             jit_end};
    const struct jit_row *row = jit_row(op);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (row->translate == others[i])
            return false;
    if (row->translate == jit_branch)
        return op->displacement < block->offset || op->displacement >= (int32_t)end;
    return row->translate != NULL;
}

/* The operation that leads back; 0: there is none, or other branches within the loop. */
static unsigned find_last(const struct soft_block *block)
{
    unsigned last = 0;
    while (last < LOOP_OPS && block->ops[last].code != OP_END && !leads_back(block, &block->ops[last]))
        last++;
    if (last == LOOP_OPS || block->ops[last].code == OP_END || block->ops[last + 1].offset >= PAGE_4K)
        return 0;
    for (unsigned i = 0; i < last; i++)
        if (!fits(block, &block->ops[i], block->ops[last].offset + 1u))
            return 0;
    return last;
}

/* Did it go round often before it was hot? Where all code is translated at once, every other loop is taken for one. */
static bool is_worth_it(const struct jit_writer *writer)
{
    const struct soft_block *block = writer->block;
    const uint64_t hot = writer->cpu->blocks->hot;
    return hot == 0 ? (block->offset & 1) != 0 : block->rounds * (uint64_t)LOOP_ROUNDS >= hot * (LOOP_ROUNDS - 1);
}

/* ---- registers ---- */

static unsigned lend(struct jit_writer *writer, uint32_t used)
{
    struct jit_loop *const loop = &writer->loop;
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++) {
        if (((used | loop->borrowed) >> guest & 1) != 0 || jit_registers[guest] == HOST_NO_REGISTER)
            continue;
        loop->borrowed |= 1u << guest;
        loop->registers[guest] = HOST_NO_REGISTER;
        return jit_registers[guest];
    }
    return HOST_NO_REGISTER;
}

static void promote(struct jit_writer *writer, uint32_t used)
{
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++) {
        if ((used >> guest & 1) == 0 || jit_registers[guest] != HOST_NO_REGISTER)
            continue;
        const unsigned reg = lend(writer, used);
        if (reg == HOST_NO_REGISTER)
            return;
        writer->loop.promoted |= 1u << guest;
        writer->loop.registers[guest] = (uint8_t)reg;
    }
}

static bool has_memory(const struct soft_op *op)
{
    const struct jit_row *row = jit_row(op);
    static jit_translator *const accesses[] = {
        jit_alu_load,    jit_alu_store,       jit_alu_store_immediate, jit_multiply_load, jit_load,     jit_store,
        jit_extend_load, jit_store_immediate, jit_step_memory,         jit_sse_load,      jit_sse_store};
    for (size_t i = 0; i < sizeof accesses / sizeof accesses[0]; i++)
        if (row->translate == accesses[i])
            return true;
    return row->translate == jit_sse && row->size != 0;
}

static void plan_streams(struct jit_writer *writer, uint32_t used)
{
    struct jit_loop *const loop = &writer->loop;
    loop->first_site = writer->cpu->code_site_count;
    for (unsigned i = 0; i < loop->last && loop->streams < JIT_STREAMS; i++) {
        if (!has_memory(&writer->block->ops[i]) || loop->first_site + loop->streams == SOFT_CODE_SITES)
            continue;
        const unsigned start = lend(writer, used), addend = lend(writer, used);
        if (addend == HOST_NO_REGISTER)
            return;
        loop->stream[loop->streams++] = (struct jit_stream){.start = (uint8_t)start, .addend = (uint8_t)addend};
    }
}

bool jit_loop_plan(struct jit_writer *writer)
{
    struct jit_loop *const loop = &writer->loop;
    uint32_t used = 0;
    memcpy(loop->registers, jit_registers, sizeof jit_registers);
    loop->last = find_last(writer->block);
    if (loop->last == 0 || !is_worth_it(writer))
        return false;
    for (unsigned i = 0; i <= loop->last; i++)
        used |= jit_uses(&writer->block->ops[i]);
    const unsigned rounds = lend(writer, used);
    loop->rounds = (uint8_t)rounds;
    promote(writer, used);
    plan_streams(writer, used);
    return rounds != HOST_NO_REGISTER;
}

bool jit_loop_moves(const struct jit_writer *writer, unsigned guest, unsigned first, unsigned end, int32_t *by)
{
    *by = 0;
    for (unsigned i = first; i < end; i++) {
        int32_t more;
        if (!jit_moves(&writer->block->ops[i], guest, &more))
            return false;
        *by += more;
    }
    return true;
}

/* How the stream's address changes from round to round. */
static void note_stride(const struct jit_writer *writer, struct jit_stream *stream, int32_t low)
{
    int32_t before;
    if (stream->is_indexed || !jit_loop_moves(writer, stream->base, 0, writer->loop.last, &stream->stride))
        return;
    jit_loop_moves(writer, stream->base, 0, writer->op, &before);
    stream->low = low + before;
    stream->is_steady = stream->stride >= -STRIDE_MAX && stream->stride <= STRIDE_MAX;
}

unsigned jit_loop_stream(struct jit_writer *writer, const struct soft_op *op, int32_t low, bool is_indexed)
{
    struct jit_loop *const loop = &writer->loop;
    if (!loop->is_active || loop->opened == loop->streams)
        return JIT_NO_STREAM;
    struct jit_stream *const stream = &loop->stream[loop->opened];
    if (!loop->in_rounds) {
        stream->op = (uint8_t)writer->op;
        stream->is_indexed = is_indexed;
        stream->base = op->base;
        note_stride(writer, stream, low);
    } else if (stream->op != writer->op || stream->is_indexed != is_indexed) {
        writer->failed = true; /* the two rounds are not the same */
    }
    return loop->opened++;
}

/* ---- into the loop, and out ---- */

static struct host_operand slot(unsigned guest)
{
    return jit_field(offsetof(struct soft_cpu, slots) + guest * sizeof(uint64_t));
}

struct host_operand jit_loop_site(const struct jit_writer *writer, unsigned stream, size_t field)
{
    return jit_field(offsetof(struct soft_cpu, code_sites) +
                     (writer->loop.first_site + stream) * sizeof(struct soft_code_site) + field);
}

/* Guest registers are where the loop has them. Changes no flags. */
static void emit_enter(struct jit_writer *writer)
{
    const struct jit_loop *const loop = &writer->loop;
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++)
        if ((loop->borrowed >> guest & 1) != 0)
            host_emit_store(&writer->code, 8, slot(guest), jit_registers[guest]);
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++)
        if ((loop->promoted >> guest & 1) != 0)
            host_emit_move(&writer->code, 8, loop->registers[guest], slot(guest));
    for (unsigned i = 0; i < loop->streams; i++) {
        host_emit_move(&writer->code, 8, loop->stream[i].start,
                       jit_loop_site(writer, i, offsetof(struct soft_code_site, start)));
        host_emit_move(&writer->code, 8, loop->stream[i].addend,
                       jit_loop_site(writer, i, offsetof(struct soft_code_site, addend)));
    }
    memcpy(writer->registers, loop->registers, sizeof writer->registers);
}

/* ... and where all other code has them. */
static void emit_leave(struct jit_writer *writer)
{
    const struct jit_loop *const loop = &writer->loop;
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++)
        if ((loop->promoted >> guest & 1) != 0)
            host_emit_store(&writer->code, 8, slot(guest), loop->registers[guest]);
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++)
        if ((loop->borrowed >> guest & 1) != 0)
            host_emit_move(&writer->code, 8, jit_registers[guest], slot(guest));
    memcpy(writer->registers, jit_registers, sizeof writer->registers);
}

/* An access that goes elsewhere than its site says. */
static void write_fill(struct jit_writer *writer, const struct jit_stub *stub)
{
    const unsigned site = stub->access >> JIT_ACCESS_SITE_SHIFT;
    jit_call_fill(writer, stub);
    uint8_t *const over = host_emit_branch(&writer->code, HOST_CC_E);
    emit_enter(writer);
    if (stub->in_rounds)
        host_emit_move(&writer->code, 8, writer->loop.rounds, jit_field(offsetof(struct soft_cpu, code_rounds)));
    if ((stub->access & JIT_ACCESS_INDEXED) != 0) { /* as it is behind the comparison */
        const struct jit_stream *const stream = &writer->loop.stream[site - 1 - writer->loop.first_site];
        jit_address(writer, &stub->address, JIT_T1, 0);
        host_emit(&writer->code, 0x03, 8, JIT_T1, host_in(stream->start));
    }
    host_link(host_emit_jump(&writer->code), stub->resume);
    memcpy(writer->registers, jit_registers, sizeof writer->registers);
    host_link(over, writer->code.at);
}

/* T2 rounds are not begun, nor what follows in this one behind the segment that is left. */
static void count_again(struct jit_writer *writer, unsigned op)
{
    const struct soft_op *const ops = writer->block->ops, *const end = &ops[writer->loop.last + 1];
    const struct soft_op *const segment_end = jit_segment_end(&ops[op]);
    if (writer->cpu->counts == NULL)
        return;
    host_emit(&writer->code, ALU_SUB << 3 | 1, 8, JIT_T2, jit_count_begun(writer, ops));
    host_emit(&writer->code, ALU_ADD << 3 | 1, 8, JIT_T2, jit_count_begun(writer, end));
    if (segment_end == end)
        return;
    host_emit_alu_immediate(&writer->code, ALU_SUB, 8, jit_count_begun(writer, segment_end), 1);
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8, jit_count_begun(writer, end), 1);
}

/* Give back what is counted of the rounds that are not begun, and of this one. */
static void refund_rounds(struct jit_writer *writer, struct jit_stub *stub)
{
    const int32_t count = (int32_t)writer->loop.last + 1;
    host_emit_move(&writer->code, 8, JIT_T2, jit_field(offsetof(struct soft_cpu, code_rounds)));
    host_emit_alu_immediate(&writer->code, ALU_SUB, 8, host_in(JIT_T2), 1);
    count_again(writer, stub->op);
    host_emit_immediate(&writer->code, 0x69, 8, JIT_T2, host_in(JIT_T2), count, 4);
    host_emit(&writer->code, 0x8d, 8, JIT_LEFT, host_at_index(JIT_LEFT, JIT_T2, 0, stub->refund));
    stub->refund = 0;
    writer->host_flags = false;
}

void jit_loop_write_stub(struct jit_writer *writer, struct jit_stub *stub)
{
    memcpy(writer->registers, writer->loop.registers, sizeof writer->registers);
    if (stub->in_rounds)
        host_emit_store(&writer->code, 8, jit_field(offsetof(struct soft_cpu, code_rounds)), writer->loop.rounds);
    emit_leave(writer);
    if (stub->resume != NULL)
        write_fill(writer, stub);
    if (stub->in_rounds)
        refund_rounds(writer, stub);
    if (stub->kind == JIT_EXIT_LINK) { /* this jump is what is linked then */
        stub->distance = host_emit_jump(&writer->code);
        host_link(stub->distance, writer->code.at);
    }
}

/* ---- counting rounds ---- */

/* rounds = min(rounds, T2) */
static void limit_rounds(struct jit_writer *writer)
{
    const unsigned rounds = writer->loop.rounds;
    host_emit(&writer->code, 0x3b, 8, rounds, host_in(JIT_T2));
    host_emit(&writer->code, HOST_0F | 0x4f, 8, rounds, host_in(JIT_T2));
}

/* T2 = T2 / stride, where it is less than 2^20, or negative. */
static void take_quotient(struct jit_writer *writer, unsigned stride)
{
    unsigned shift = 32;
    if ((stride & (stride - 1)) == 0)
        shift = (unsigned)__builtin_ctz(stride);
    else
        host_emit_immediate(&writer->code, 0x69, 8, JIT_T2, host_in(JIT_T2), (int32_t)((1ull << 32) / stride + 1), 4);
    host_emit_immediate(&writer->code, 0xc1, 8, SHIFT_RIGHT_SIGNED, host_in(JIT_T2), (int32_t)shift, 1);
}

/* T2 = the bytes of the site that are left for the stream, from the next round on, and one stride. */
static void emit_bytes_left(struct jit_writer *writer, unsigned n)
{
    const struct jit_stream *const stream = &writer->loop.stream[n];
    const unsigned base = writer->registers[stream->base];
    if (stream->stride < 0) {
        host_emit(&writer->code, 0x8d, 8, JIT_T2, host_at_index(stream->start, base, 0, stream->low - stream->stride));
        return;
    }
    host_emit_move(&writer->code, 8, JIT_T2, jit_loop_site(writer, n, offsetof(struct soft_code_site, limit)));
    host_emit(&writer->code, 0x2b, 8, JIT_T2, host_in(base));
    host_emit(&writer->code, 0x2b, 8, JIT_T2, host_in(stream->start));
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8, host_in(JIT_T2), stream->stride - 1 - stream->low);
}

/* What counting leads to when no rounds can be without checks. */
struct again {
    uint8_t *branch[JIT_STREAMS + 1];
    unsigned count;
};

static void again_if(struct jit_writer *writer, struct again *again, unsigned condition)
{
    again->branch[again->count++] = host_emit_branch(&writer->code, condition);
}

/* The rounds that the stream allows. The last access was in its site, unless that is not valid any more. */
static void count_for_stream(struct jit_writer *writer, struct again *again, unsigned n)
{
    const struct jit_stream *const stream = &writer->loop.stream[n];
    const unsigned stride = (unsigned)(stream->stride < 0 ? -stream->stride : stream->stride);
    host_emit_alu_immediate(&writer->code, ALU_CMP, 8, jit_loop_site(writer, n, offsetof(struct soft_code_site, limit)),
                            0);
    again_if(writer, again, HOST_CC_E);
    if (stride == 0)
        return;
    emit_bytes_left(writer, n);
    host_emit_alu_immediate(&writer->code, ALU_CMP, 8, host_in(JIT_T2), (int32_t)(ROUNDS_MAX * stride));
    uint8_t *const enough = host_emit_branch(&writer->code, HOST_CC_GE);
    take_quotient(writer, stride);
    limit_rounds(writer);
    host_link(enough, writer->code.at);
}

/* Count `rounds` of them. For the counts of instructions they are so many stretches of all operations. Uses T2. */
static void account_rounds(struct jit_writer *writer)
{
    const struct soft_op *const ops = writer->block->ops;
    const unsigned rounds = writer->loop.rounds, count = writer->loop.last + 1;
    host_emit_immediate(&writer->code, 0x69, 8, JIT_T2, host_in(rounds), (int32_t)count, 4);
    host_emit(&writer->code, ALU_SUB << 3 | 3, 8, JIT_LEFT, host_in(JIT_T2));
    if (writer->cpu->counts == NULL)
        return;
    host_emit(&writer->code, ALU_ADD << 3 | 1, 8, rounds, jit_count_begun(writer, ops));
    host_emit(&writer->code, ALU_SUB << 3 | 1, 8, rounds, jit_count_begun(writer, &ops[count]));
}

/* Count as many rounds as can be without checks. Uses T2 and the host's flags. */
static void count_rounds(struct jit_writer *writer, struct again *again)
{
    const struct jit_loop *const loop = &writer->loop;
    const int shift = 32 - __builtin_clz(loop->last); /* by no less than the instructions of a round */
    host_emit_constant(&writer->code, loop->rounds, ROUNDS_MAX);
    for (unsigned i = 0; i < loop->opened; i++)
        if (loop->stream[i].is_steady)
            count_for_stream(writer, again, i);
    host_emit_move(&writer->code, 8, JIT_T2, host_in(JIT_LEFT));
    host_emit_immediate(&writer->code, 0xc1, 8, SHIFT_RIGHT_SIGNED, host_in(JIT_T2), shift, 1);
    limit_rounds(writer);
    host_emit(&writer->code, 0x85, 8, loop->rounds, host_in(loop->rounds));
    again_if(writer, again, HOST_CC_LE);
    account_rounds(writer);
}

/* ---- the loop ---- */

/* All operations but the last. */
static bool write_round(struct jit_writer *writer)
{
    jit_window_forget(writer);
    writer->host_flags = false;
    writer->loop.opened = 0;
    jit_begin_segment(writer, 0);
    if (writer->loop.in_rounds)
        writer->segment_end = writer->loop.last + 1;
    for (writer->op = 0; writer->op < writer->loop.last; writer->op++)
        if (!jit_translate_op(writer))
            return false;
    return true;
}

/* Leave the loop behind the last operation, unless it leads back. */
static void write_end(struct jit_writer *writer)
{
    const struct soft_op *const last = &writer->block->ops[writer->loop.last];
    if (jit_row(last)->translate == jit_jump)
        return;
    jit_flags_need(writer);
    jit_add_stub(writer, JIT_EXIT_LINK, host_emit_branch(&writer->code, last->index ^ 1u), last[1].offset);
}

static void write_next_round(struct jit_writer *writer, const uint8_t *top)
{
    host_emit_alu_immediate(&writer->code, ALU_SUB, 8, host_in(writer->loop.rounds), 1);
    host_link(host_emit_branch(&writer->code, HOST_CC_NE), top);
    writer->host_flags = false;
}

static bool uses_sse(const struct jit_writer *writer)
{
    for (unsigned i = 0; i < writer->loop.last; i++) {
        jit_translator *const translate = jit_row(&writer->block->ops[i])->translate;
        if (translate == jit_sse || translate == jit_sse_move || translate == jit_sse_load ||
            translate == jit_sse_store)
            return true;
    }
    return false;
}

/* Where SSE cannot be used, the code is left before the first operation, and what is left counts as begun. */
static void load_sse(struct jit_writer *writer)
{
    const struct soft_op *const first = writer->block->ops;
    if (writer->has_sse)
        return;
    jit_count_segment(writer, first, 1);
    jit_load_sse(writer);
    jit_count_segment(writer, first, -1);
}

bool jit_loop_translate(struct jit_writer *writer)
{
    struct again again = {.count = 0};
    if (uses_sse(writer))
        load_sse(writer);
    jit_flags_store(writer);
    writer->loop.is_active = true;
    emit_enter(writer);
    const uint8_t *const checked = writer->code.at;
    if (!write_round(writer))
        return false;
    write_end(writer);
    const struct jit_flags flags = writer->flags;
    count_rounds(writer, &again);
    writer->loop.in_rounds = true;
    host_emit_align(&writer->code);
    const uint8_t *const top = writer->code.at;
    if (!write_round(writer))
        return false;
    write_end(writer);
    write_next_round(writer, top);
    if (memcmp(&flags, &writer->flags, sizeof flags) != 0)
        return false;
    for (unsigned i = 0; i < again.count; i++)
        host_link(again.branch[i], writer->code.at);
    jit_flags_store(writer);
    host_link(host_emit_jump(&writer->code), checked);
    memcpy(writer->registers, jit_registers, sizeof writer->registers);
    writer->cpu->code_site_count += writer->loop.opened;
    return !writer->failed;
}
