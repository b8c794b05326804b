/*
 * A unit of generated code: a block from its first operation on, up to one that leads elsewhere for good. Instructions
 * are counted where a stretch without branches begins. Behind the unit are its stubs, the ways out that are seldom
 * taken: they store the flags, give back what was counted too much, and say what happened.
 */
#include "host_x86_64_jit.h"

#include <stdalign.h>
#include <string.h>

#define ALU_ADD 0u
#define ALU_SUB 5u
#define OPS_WORTH_IT 3u /* when the code is left then; for tests that translate everything, any is */

bool jit_add_stub(struct jit_writer *writer, enum jit_exit kind, uint8_t *distance, unsigned target)
{
    const bool is_done = kind != JIT_EXIT_OP && writer->block->ops[writer->op].code != OP_END;
    if (writer->stub_count == JIT_STUBS) {
        writer->failed = true;
        return false;
    }
    writer->stubs[writer->stub_count++] =
        (struct jit_stub){.distance = distance,
                          .kind = kind,
                          .op = (uint8_t)writer->op,
                          .has_sse = writer->has_sse,
                          .host_flags = writer->host_flags,
                          .refund = (uint16_t)(writer->segment_end - writer->op - is_done),
                          .target = (uint16_t)target,
                          .flags = writer->flags,
                          .in_loop = writer->loop.is_active,
                          .in_rounds = writer->loop.in_rounds};
    return true;
}

/* ---- counting ---- */

static bool ends_segment(const struct soft_op *op)
{
    const struct jit_row *row = jit_row(op);
    return row->translate == jit_branch || row->translate == jit_branch_page;
}

const struct soft_op *jit_segment_end(const struct soft_op *op)
{
    while (jit_row(op)->translate != NULL && op->code != OP_END)
        if (ends_segment(op++))
            break;
    return op;
}

static struct host_operand cell_field(const struct jit_writer *writer, const struct soft_op *op, size_t member)
{
    const uint8_t *const cell = (const uint8_t *)soft_count_cell(writer->cpu->blocks, op);
    return jit_field((size_t)(cell + member - (const uint8_t *)writer->cpu));
}

void jit_count_segment(struct jit_writer *writer, const struct soft_op *first, int by)
{
    if (writer->cpu->counts == NULL)
        return;
    host_emit_alu_immediate(&writer->code, ALU_ADD, 8,
                            cell_field(writer, first, offsetof(struct soft_count_cell, segments)), by);
    writer->host_flags = false;
}

struct host_operand jit_count_begun(const struct jit_writer *writer, const struct soft_op *op)
{
    return cell_field(writer, op, offsetof(struct soft_count_cell, begun));
}

void jit_begin_segment(struct jit_writer *writer, unsigned first)
{
    const struct soft_op *ops = writer->block->ops;
    if (writer->loop.in_rounds) /* the code has accounted for them already */
        return;
    const unsigned end = (unsigned)(jit_segment_end(&ops[first]) - ops);
    writer->segment_end = end;
    if (end == first)
        return;
    const unsigned op = writer->op;
    writer->op = first;
    jit_count_segment(writer, &ops[first], 1);
    host_emit_alu_immediate(&writer->code, ALU_SUB, 8, host_in(JIT_LEFT), (int32_t)(end - first));
    jit_leave_if(writer, HOST_CC_B);
    writer->op = op;
}

/* ---- stubs ---- */

/* Can the interpreter go on in the middle of the block? Not if a branch relies on what an earlier operation left: it
 * looks at fields of struct soft_cpu that generated code does not fill in. */
static bool is_direct(const struct jit_writer *writer, unsigned op)
{
    const struct soft_op *ops = writer->block->ops;
    for (; ops[op].code != OP_END; op++) {
        if (ops[op].code >= OP_JZ_RESULT && ops[op].code <= OP_JG_LOGIC64)
            return false;
        const struct jit_row *row = jit_row(&ops[op]);
        if (row->effect == JIT_REPLACES || row->translate == jit_alu_load || row->translate == jit_alu_store ||
            row->translate == jit_alu_store_immediate || row->translate == jit_multiply_load)
            return true;
    }
    return true;
}

static uint32_t offset_of(const struct jit_writer *writer, const void *at)
{
    return (uint32_t)((const uint8_t *)at - writer->arena->memory.write);
}

static void emit_leave(struct jit_writer *writer, uint32_t unit, uint32_t what, bool has_sse)
{
    const uint32_t to = has_sse ? writer->arena->leave_sse : writer->arena->leave;
    host_emit_immediate(&writer->code, 0xc7, 4, 0, host_in(JIT_T2), (int32_t)what, 4);
    host_emit_constant(&writer->code, JIT_T1, unit);
    host_link(host_emit_jump(&writer->code), writer->arena->memory.write + to);
}

/* The link's record stands behind the code that names it. */
static void write_link_stub(struct jit_writer *writer, const struct jit_stub *stub, uint32_t unit)
{
    struct jit_link link = {.flags = stub->flags,
                            .distance = offset_of(writer, stub->distance),
                            .fallback = offset_of(writer, writer->code.at),
                            .target = stub->target,
                            .has_sse = stub->has_sse};
    const uint32_t code_size = 7 + 6 + 5;
    const uint32_t record = link.fallback + code_size;
    emit_leave(writer, unit, (uint32_t)JIT_EXIT_LINK << JIT_EXIT_SHIFT | record, stub->has_sse);
    if (offset_of(writer, writer->code.at) != record)
        writer->failed = true;
    memcpy(writer->code.at, &link, sizeof link);
    writer->code.at += sizeof link;
}

static void write_stub(struct jit_writer *writer, struct jit_stub *stub, uint32_t unit)
{
    host_link(stub->distance, writer->code.at);
    writer->flags = stub->flags;
    writer->host_flags = stub->host_flags;
    if (stub->in_loop) {
        jit_loop_write_stub(writer, stub);
    } else if (stub->resume != NULL) {
        jit_call_fill(writer, stub);
        host_link(host_emit_branch(&writer->code, HOST_CC_NE), stub->resume);
    }
    jit_flags_store(writer);
    if (stub->refund != 0)
        host_emit_alu_immediate(&writer->code, 0, 8, host_in(JIT_LEFT), stub->refund);
    if (stub->kind == JIT_EXIT_LINK) {
        write_link_stub(writer, stub, unit);
        return;
    }
    uint32_t what = (uint32_t)stub->kind << JIT_EXIT_SHIFT | stub->op;
    if (stub->kind == JIT_EXIT_OP && is_direct(writer, stub->op))
        what |= JIT_EXIT_DIRECT;
    emit_leave(writer, unit, what, stub->has_sse);
}

/* ---- the unit ---- */

bool jit_translate_op(struct jit_writer *writer)
{
    const struct soft_op *op = &writer->block->ops[writer->op];
    const struct jit_row *row = jit_row(op);
    uint8_t *const at = writer->code.at;
    const struct jit_flags flags = writer->flags;
    const bool host_flags = writer->host_flags, has_sse = writer->has_sse;
    const unsigned stub_count = writer->stub_count;
    jit_window_check(writer);
    if (row->translate != NULL && row->translate(writer, op, row))
        return true;
    writer->code.at = at;
    writer->flags = flags;
    writer->host_flags = host_flags;
    writer->has_sse = has_sse;
    writer->stub_count = stub_count;
    jit_window_forget(writer);
    return false;
}

static bool is_last(const struct soft_op *op)
{
    const struct jit_row *row = jit_row(op);
    return op->code == OP_END || row->translate == jit_call || row->translate == jit_call_page ||
           row->translate == jit_call_register || row->translate == jit_return || row->translate == jit_jump ||
           row->translate == jit_jump_page || row->translate == jit_jump_register || row->translate == jit_jump_memory;
}

/* False: it is not worth it. */
static bool translate_ops(struct jit_writer *writer)
{
    const struct soft_op *ops = writer->block->ops;
    jit_begin_segment(writer, 0);
    for (writer->op = 0;; writer->op++) {
        if (!jit_translate_op(writer)) {
            jit_add_stub(writer, JIT_EXIT_OP, host_emit_jump(&writer->code), 0);
            return writer->op >= (writer->cpu->blocks->hot == 0 ? 1 : OPS_WORTH_IT);
        }
        if (is_last(&ops[writer->op]))
            return true;
    }
}

bool jit_has_room(const struct jit_arena *arena)
{
    return arena->used + JIT_UNIT_BYTES <= HOST_CODE_ARENA_SIZE;
}

static uint32_t align(uint32_t offset, uint32_t boundary)
{
    return (offset + boundary - 1) & ~(boundary - 1);
}

static bool write_unit(struct jit_writer *writer, const struct jit_unit *unit, bool as_loop)
{
    const struct jit_arena *arena = writer->arena;
    writer->code.at = writer->arena->memory.write + unit->entry;
    writer->flags = unit->flags;
    writer->has_sse = unit->has_sse;
    writer->host_flags = writer->failed = writer->loop.is_active = writer->loop.in_rounds = false;
    writer->stub_count = 0;
    jit_window_forget(writer);
    memcpy(writer->registers, jit_registers, sizeof writer->registers);
    if (!(as_loop ? jit_loop_translate(writer) : translate_ops(writer)))
        return false;
    for (unsigned i = 0; i < writer->stub_count && !writer->failed; i++)
        write_stub(writer, &writer->stubs[i], arena->used);
    return !writer->failed;
}

struct jit_unit *jit_translate(struct soft_cpu *cpu, struct jit_arena *arena, struct soft_block *block,
                               const struct jit_unit *state)
{
    struct jit_unit *unit = (struct jit_unit *)(void *)(arena->memory.write + arena->used);
    struct jit_writer writer = {
        .cpu = cpu, .block = block, .page_address = state->page_address, .user = state->user, .arena = arena};
    *unit = *state;
    unit->block = block;
    unit->entry = align(arena->used + (uint32_t)sizeof *unit, HOST_FETCH_LINE);
    if (!(jit_loop_plan(&writer) && write_unit(&writer, unit, true)) && !write_unit(&writer, unit, false))
        return NULL;
    arena->used = align(offset_of(&writer, writer.code.at), alignof(struct jit_unit));
    return unit;
}

void jit_connect(struct jit_arena *arena, const struct jit_link *link, const struct jit_unit *unit, bool stored)
{
    uint8_t *const to = arena->memory.write + unit->entry;
    if (!stored) {
        host_link(arena->memory.write + link->distance, to);
        return;
    }
    struct host_emitter code = {.at = arena->memory.write + link->fallback};
    host_link(host_emit_jump(&code), to);
}

/* ---- entering and leaving ---- */

static const uint8_t saved[] = {HOST_RBX, HOST_RBP, HOST_R12, HOST_R13, HOST_R14, HOST_R15};

static void push_or_pop(struct host_emitter *code, unsigned opcode, unsigned reg)
{
    if (reg >= 8)
        host_emit_bytes(code, 0x41, 1);
    host_emit_bytes(code, opcode | (reg & 7), 1);
}

static void move_guest_registers(struct host_emitter *code, bool load)
{
    for (unsigned guest = 0; guest < MH_GPR_COUNT; guest++) {
        const struct host_operand slot = jit_field(offsetof(struct soft_cpu, slots) + guest * sizeof(uint64_t));
        if (jit_registers[guest] != HOST_NO_REGISTER)
            host_emit(code, load ? 0x8b : 0x89, 8, jit_registers[guest], slot);
    }
}

static void move_sse_registers(struct host_emitter *code, bool load)
{
    const size_t first = 160; /* in the FXSAVE image */
    for (unsigned i = 0; i < 16; i++)
        host_emit(code, HOST_0F | (load ? 0x28 : 0x29), 4, i,
                  jit_field(offsetof(struct soft_cpu, xsave) + first + 16u * i));
}

#define RET 0xc3

/* Host calls of generated code may be nested as deep as this allows; others are jumps. */
#define STACK_SIZE 8192

/* uint64_t enter(struct soft_cpu *cpu, const uint8_t *code, uint64_t instructions)
 * Returns where to link the jump of a RET that returns below. */
static uint8_t *write_enter(struct host_emitter *code)
{
    for (unsigned i = 0; i < sizeof saved; i++)
        push_or_pop(code, 0x50, saved[i]);
    host_emit_move(code, 8, JIT_CPU, host_in(HOST_RDI));
    host_emit_move(code, 8, JIT_LEFT, host_in(HOST_RDX));
    host_emit_move(code, 8, JIT_T1, host_in(HOST_RSI));
    host_emit_store(code, 8, jit_field(offsetof(struct soft_cpu, code_stack)), HOST_RSP);
    host_emit(code, 0x8d, 8, HOST_RAX, host_at(HOST_RSP, -STACK_SIZE));
    host_emit_store(code, 8, jit_field(offsetof(struct soft_cpu, code_stack_end)), HOST_RAX);
    host_emit_bytes(code, 0x6a | JIT_NO_RETURN << 8, 2); /* push */
    uint8_t *const over = host_emit_call(code);
    host_emit_store(code, 8, jit_field(offsetof(struct soft_cpu, rip)), JIT_T1);
    host_emit_immediate(code, 0xc7, 4, 0, host_in(JIT_T2), (int32_t)((uint32_t)JIT_EXIT_RIP << JIT_EXIT_SHIFT), 4);
    uint8_t *const leave = host_emit_jump(code);
    host_link(over, code->at);
    move_guest_registers(code, true);
    host_emit(code, 0xff, 4, 4, host_in(JIT_T1));
    return leave;
}

static void write_leave(struct host_emitter *code)
{
    host_emit_move(code, 8, HOST_RSP, jit_field(offsetof(struct soft_cpu, code_stack)));
    move_guest_registers(code, false);
    host_emit_store(code, 8, jit_field(offsetof(struct soft_cpu, code_left)), JIT_LEFT);
    host_emit_move(code, 4, HOST_RAX, host_in(JIT_T2));
    host_emit_immediate(code, 0xc1, 8, 4, host_in(HOST_RAX), 32, 1);
    host_emit(code, 0x0b, 8, HOST_RAX, host_in(JIT_T1));
    for (unsigned i = sizeof saved; i > 0; i--)
        push_or_pop(code, 0x58, saved[i - 1]);
    host_emit_bytes(code, RET, 1);
}

/* T2 = soft_jit_fill(cpu, T1, T2), with all guest registers as they are. */
static void write_fill_call(struct host_emitter *code, bool has_sse)
{
    if (has_sse)
        move_sse_registers(code, false);
    move_guest_registers(code, false);
    host_emit_move(code, 8, HOST_RDI, host_in(JIT_CPU));
    host_emit_move(code, 8, HOST_RSI, host_in(JIT_T1));
    host_emit_move(code, 4, HOST_RDX, host_in(JIT_T2));
    host_emit_constant(code, HOST_RAX, (uint64_t)(uintptr_t)soft_jit_fill);
    host_emit(code, 0xff, 4, 2, host_in(HOST_RAX));
    host_emit_move(code, 8, JIT_T2, host_in(HOST_RAX));
    move_guest_registers(code, true);
    if (has_sse)
        move_sse_registers(code, true);
    host_emit_bytes(code, RET, 1);
}

void jit_write_common(struct soft_cpu *cpu, struct jit_arena *arena)
{
    struct host_emitter code = {.at = arena->memory.write};
    (void)cpu;
    uint8_t *const returned = write_enter(&code);
    arena->leave_sse = (uint32_t)(code.at - arena->memory.write);
    move_sse_registers(&code, false);
    arena->leave = (uint32_t)(code.at - arena->memory.write);
    write_leave(&code);
    host_link(returned, arena->memory.write + arena->leave);
    arena->load_sse = (uint32_t)(code.at - arena->memory.write);
    move_sse_registers(&code, true);
    host_emit_bytes(&code, RET, 1);
    arena->store_sse = (uint32_t)(code.at - arena->memory.write);
    move_sse_registers(&code, false);
    host_emit_bytes(&code, RET, 1);
    arena->fill = (uint32_t)(code.at - arena->memory.write);
    write_fill_call(&code, false);
    arena->fill_sse = (uint32_t)(code.at - arena->memory.write);
    write_fill_call(&code, true);
    arena->used = align((uint32_t)(code.at - arena->memory.write), alignof(struct jit_unit));
}

uint64_t jit_enter(struct soft_cpu *cpu, const struct jit_arena *arena, uint32_t entry, uint64_t instructions)
{
    uint64_t (*enter)(struct soft_cpu *, const uint8_t *, uint64_t);
    const uint8_t *const start = arena->memory.run;
    memcpy(&enter, &start, sizeof enter);
    return enter(cpu, arena->memory.run + entry, instructions);
}
