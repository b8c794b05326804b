/* Where guest registers are, and the way to the guest's memory: the TLB of soft_mem.h, looked up in generated code. */
#include "host_x86_64_jit.h"

#define PAGE_MASK 0xfffull
#define ALU_ADD 0u
#define ALU_AND 4u
#define ALU_CMP 7u
#define SHIFT_LEFT 4u
#define SHIFT_RIGHT 5u
#define LEA 0x8d

/* How far a look-up looks ahead, and how many bytes it may be for. */
#define WINDOW_OPS 12u
#define WINDOW_SIZE 64
#define WINDOW_REACH 4096

/* rsp is the host's own. r11 to r15, which small functions use least, have no register. */
const uint8_t jit_registers[SOFT_SLOTS] = {
    HOST_RAX,         HOST_RCX,         HOST_RDX,         HOST_RBX,         HOST_R11, HOST_RBP,
    HOST_RSI,         HOST_RDI,         HOST_R8,          HOST_R9,          HOST_R10, HOST_NO_REGISTER,
    HOST_NO_REGISTER, HOST_NO_REGISTER, HOST_NO_REGISTER, HOST_NO_REGISTER, JIT_T1,   HOST_NO_REGISTER};
_Static_assert(JIT_GUEST_T1 == 16 && JIT_GUEST_IMMEDIATE == 17, "the last two");

unsigned jit_host_register(const struct jit_writer *writer, unsigned guest)
{
    return writer->registers[guest];
}

struct host_operand jit_field(size_t offset)
{
    return host_at(JIT_CPU, (int32_t)offset);
}

struct host_operand jit_place(const struct jit_writer *writer, unsigned guest)
{
    if (writer->registers[guest] != HOST_NO_REGISTER)
        return host_in(writer->registers[guest]);
    return jit_field(offsetof(struct soft_cpu, slots) + guest * sizeof(uint64_t));
}

/* An address that is known when the code is made. */
static bool constant_address(const struct jit_writer *writer, const struct soft_op *op, uint64_t *address)
{
    *address = (uint64_t)(int64_t)op->displacement;
    if (op->base == SOFT_SLOT_PAGE)
        *address += writer->page_address;
    return (op->base == SOFT_SLOT_PAGE || op->base == SOFT_SLOT_ZERO) && op->index == SOFT_SLOT_ZERO;
}

static void emit_lea(struct jit_writer *writer, unsigned to, struct host_operand at)
{
    host_emit(&writer->code, LEA, 8, to, at);
}

/* to = base, and what has to be added still to the result. */
static void address_of_base(struct jit_writer *writer, unsigned guest, unsigned to, int32_t displacement)
{
    const unsigned base = guest == SOFT_SLOT_ZERO ? (unsigned)HOST_NO_REGISTER : writer->registers[guest];
    if (base != HOST_NO_REGISTER) {
        emit_lea(writer, to, host_at(base, displacement));
        return;
    }
    host_emit_move(&writer->code, 8, to, jit_place(writer, guest));
    if (displacement != 0)
        emit_lea(writer, to, host_at(to, displacement));
}

/* The index has a register. */
static void address_with_index(struct jit_writer *writer, const struct soft_op *op, unsigned to, int32_t displacement)
{
    const unsigned index = writer->registers[op->index];
    unsigned base = HOST_NO_REGISTER;
    if (op->base != SOFT_SLOT_ZERO) {
        base = writer->registers[op->base];
        if (base == HOST_NO_REGISTER) {
            host_emit_move(&writer->code, 8, to, jit_place(writer, op->base));
            base = to;
        }
    }
    emit_lea(writer, to, host_at_index(base, index, op->scale, displacement));
}

/* The index has none. It is shifted, which changes the host's flags. */
static void address_with_slot(struct jit_writer *writer, const struct soft_op *op, unsigned to, int32_t displacement)
{
    writer->host_flags = false;
    host_emit_move(&writer->code, 8, to, jit_place(writer, op->index));
    if (op->scale != 0)
        host_emit_immediate(&writer->code, 0xc1, 8, SHIFT_LEFT, host_in(to), op->scale, 1);
    if (op->base != SOFT_SLOT_ZERO)
        host_emit(&writer->code, 0x03, 8, to, jit_place(writer, op->base));
    if (displacement != 0)
        emit_lea(writer, to, host_at(to, displacement));
}

bool jit_simple_address(const struct jit_writer *writer, const struct soft_op *op, struct host_operand *at)
{
    const bool has_base = op->base != SOFT_SLOT_ZERO, has_index = op->index != SOFT_SLOT_ZERO;
    if (!has_base || op->base == SOFT_SLOT_PAGE || writer->registers[op->base] == HOST_NO_REGISTER ||
        (has_index && writer->registers[op->index] == HOST_NO_REGISTER))
        return false;
    *at = host_at_index(writer->registers[op->base],
                        has_index ? writer->registers[op->index] : (unsigned)HOST_NO_REGISTER, op->scale,
                        op->displacement);
    return true;
}

bool jit_address(struct jit_writer *writer, const struct soft_op *op, unsigned to, unsigned add)
{
    uint64_t address;
    int32_t displacement;
    if (constant_address(writer, op, &address)) {
        host_emit_constant(&writer->code, to, address + add);
        return true;
    }
    if (op->base == SOFT_SLOT_PAGE || __builtin_add_overflow(op->displacement, (int32_t)add, &displacement))
        return false;
    if (op->index == SOFT_SLOT_ZERO)
        address_of_base(writer, op->base, to, displacement);
    else if (writer->registers[op->index] != HOST_NO_REGISTER)
        address_with_index(writer, op, to, displacement);
    else
        address_with_slot(writer, op, to, displacement);
    return true;
}

void jit_leave_if(struct jit_writer *writer, unsigned condition)
{
    writer->host_flags = false;
    jit_add_stub(writer, JIT_EXIT_OP, host_emit_branch(&writer->code, condition), 0);
}

/* The operand of the host, now that T2 is the entry's addend. */
static struct host_operand operand(struct jit_writer *writer, const struct soft_op *op)
{
    uint64_t address;
    const bool is_constant = constant_address(writer, op, &address);
    const unsigned base = op->base >= MH_GPR_COUNT ? (unsigned)HOST_NO_REGISTER : writer->registers[op->base];
    const unsigned index = op->index >= MH_GPR_COUNT ? (unsigned)HOST_NO_REGISTER : writer->registers[op->index];
    if (!is_constant && op->index == SOFT_SLOT_ZERO && base != HOST_NO_REGISTER)
        return host_at_index(JIT_T2, base, 0, op->displacement);
    if (!is_constant && index != HOST_NO_REGISTER && (base != HOST_NO_REGISTER || op->base == SOFT_SLOT_ZERO)) {
        if (base != HOST_NO_REGISTER)
            host_emit(&writer->code, 0x03, 8, JIT_T2, host_in(base));
        return host_at_index(JIT_T2, index, op->scale, op->displacement);
    }
    jit_address(writer, op, JIT_T1, 0);
    return host_at_index(JIT_T2, JIT_T1, 0, 0);
}

/* ---- windows ---- */

void jit_window_check(struct jit_writer *writer)
{
    for (unsigned i = 0; i <= JIT_STREAMS; i++) {
        struct jit_window *const window = &writer->windows[i];
        if (window->is_valid &&
            (writer->code.touched & (1u << window->addend | 1u << writer->registers[window->base])) != 0)
            window->is_valid = false;
    }
    writer->code.touched = 0;
}

void jit_window_forget(struct jit_writer *writer)
{
    for (unsigned i = 0; i <= JIT_STREAMS; i++)
        writer->windows[i].is_valid = false;
}

/* The window whose addend serves for this access as well; NULL: none. */
static const struct jit_window *find_window(struct jit_writer *writer, const struct soft_op *op, unsigned size,
                                            bool for_write)
{
    jit_window_check(writer);
    for (unsigned i = 0; i <= JIT_STREAMS; i++) {
        const struct jit_window *const window = &writer->windows[i];
        if (window->is_valid && op->base == window->base && op->index == SOFT_SLOT_ZERO &&
            op->displacement >= window->low && op->displacement <= window->high - (int32_t)size &&
            (window->for_write || !for_write))
            return window;
    }
    return NULL;
}

void jit_window_move(struct jit_writer *writer, unsigned guest, int32_t by)
{
    for (unsigned i = 0; i <= JIT_STREAMS; i++) {
        struct jit_window *const window = &writer->windows[i];
        if (!window->is_valid || window->base != guest)
            continue;
        writer->code.touched &= ~(1u << writer->registers[guest]);
        if (__builtin_sub_overflow(window->low, by, &window->low) ||
            __builtin_sub_overflow(window->high, by, &window->high))
            window->is_valid = false;
    }
}

/* Make the window as wide as the accesses behind the operation want it. */
static void window_plan(const struct jit_writer *writer, struct jit_window *window)
{
    int32_t moved = 0;
    for (unsigned i = 0; i < WINDOW_OPS; i++) {
        const struct soft_op *op = &writer->block->ops[writer->op + i];
        struct jit_access access;
        if (writer->loop.is_active && writer->op + i > writer->loop.last)
            return;
        jit_access(op, window->base, &access);
        if (writer->loop.is_active && access.is_write && !window->for_write)
            return; /* soft_jit_fill() is not to write where the guest only reads */
        if (i > 0 && access.is_memory) {
            const int32_t low = moved + access.displacement, high = low + access.size;
            if (access.displacement < -WINDOW_REACH || access.displacement > WINDOW_REACH ||
                (high > window->high ? high : window->high) - (low < window->low ? low : window->low) > WINDOW_SIZE)
                return;
            window->low = low < window->low ? low : window->low;
            window->high = high > window->high ? high : window->high;
            window->for_write |= access.is_write;
        }
        if (access.ends)
            return;
        moved += access.moves;
    }
}

void jit_call_fill(struct jit_writer *writer, const struct jit_stub *stub)
{
    const uint32_t to = stub->has_sse ? writer->arena->fill_sse : writer->arena->fill;
    jit_address(writer, &stub->address, JIT_T1, 0);
    host_emit_immediate(&writer->code, 0xc7, 4, 0, host_in(JIT_T2), (int32_t)stub->access, 4);
    host_link(host_emit_call(&writer->code), writer->arena->memory.write + to);
    host_emit(&writer->code, 0x85, 8, JIT_T2, host_in(JIT_T2));
}

/* Leave if the condition holds, or first try to bring the page into the TLB, and go on from here. */
static void leave_or_fill(struct jit_writer *writer, unsigned condition, const struct soft_op *address, uint32_t access,
                          bool may_fill)
{
    writer->host_flags = false;
    if (!jit_add_stub(writer, JIT_EXIT_OP, host_emit_branch(&writer->code, condition), 0) || !may_fill)
        return;
    struct jit_stub *const stub = &writer->stubs[writer->stub_count - 1];
    stub->resume = writer->code.at;
    stub->address = *address;
    stub->access = access;
}

/* A look-up, whose addend is in T2. */
static void look_up_tlb(struct jit_writer *writer, const struct soft_op *address, uint32_t access, bool may_fill)
{
    const unsigned size = access & (JIT_ACCESS_WRITE - 1);
    const size_t table =
        (access & JIT_ACCESS_WRITE) != 0 ? offsetof(struct soft_cpu, tlb_write) : offsetof(struct soft_cpu, tlb_read);
    const int32_t tlb = (int32_t)(table + writer->user * sizeof writer->cpu->tlb_read[0]);
    const struct host_operand tag =
        host_at_index(JIT_CPU, JIT_T2, 0, tlb + (int32_t)offsetof(struct soft_tlb_entry, tag));
    const struct host_operand addend =
        host_at_index(JIT_CPU, JIT_T2, 0, tlb + (int32_t)offsetof(struct soft_tlb_entry, addend));
    _Static_assert(sizeof(struct soft_tlb_entry) == 16 && SOFT_TLB_SIZE == 256, "the shift and the mask below");
    jit_address(writer, address, JIT_T2, 0);
    host_emit_immediate(&writer->code, 0xc1, 4, SHIFT_RIGHT, host_in(JIT_T2), 8, 1);
    host_emit_alu_immediate(&writer->code, ALU_AND, 4, host_in(JIT_T2), 0xff0);
    jit_address(writer, address, JIT_T1, size - 1); /* the page of its last byte */
    host_emit_alu_immediate(&writer->code, ALU_AND, 8, host_in(JIT_T1), ~(int32_t)PAGE_MASK);
    host_emit(&writer->code, 0x3b, 8, JIT_T1, tag);
    leave_or_fill(writer, HOST_CC_NE, address, access, may_fill);
    host_emit_move(&writer->code, 8, JIT_T2, addend);
    if (may_fill) /* which has it in T2 */
        writer->stubs[writer->stub_count - 1].resume = writer->code.at;
}

/* One in a loop, where its site is. With an index, T1 is the offset from there then. */
static void look_up_stream(struct jit_writer *writer, unsigned n, const struct soft_op *address, uint32_t access,
                           bool may_fill)
{
    const struct jit_stream *const stream = &writer->loop.stream[n];
    if (writer->loop.in_rounds && stream->is_steady)
        return;
    if (stream->is_indexed) {
        jit_address(writer, address, JIT_T1, 0);
        host_emit(&writer->code, 0x03, 8, JIT_T1, host_in(stream->start));
        access |= JIT_ACCESS_INDEXED;
    } else {
        emit_lea(writer, JIT_T1,
                 host_at_index(stream->start, writer->registers[address->base], 0, address->displacement));
    }
    host_emit(&writer->code, 0x3b, 8, JIT_T1, jit_loop_site(writer, n, offsetof(struct soft_code_site, limit)));
    leave_or_fill(writer, HOST_CC_AE, address, access | (writer->loop.first_site + n + 1) << JIT_ACCESS_SITE_SHIFT,
                  may_fill);
}

/* Look up the place of the access, and what lies around it that later ones want. */
static void open_window(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write,
                        struct host_operand *at)
{
    struct jit_window window = {.is_valid = true,
                                .for_write = for_write,
                                .base = op->base,
                                .addend = JIT_T2,
                                .low = op->displacement,
                                .high = op->displacement + (int32_t)size};
    window_plan(writer, &window);
    struct soft_op whole = *op;
    whole.displacement = window.low;
    const uint32_t access = (uint32_t)(window.high - window.low) | (window.for_write ? JIT_ACCESS_WRITE : 0);
    const unsigned stream = jit_loop_stream(writer, op, window.low, false);
    if (stream == JIT_NO_STREAM) {
        look_up_tlb(writer, &whole, access, window.for_write == for_write);
    } else {
        window.addend = writer->loop.stream[stream].addend;
        look_up_stream(writer, stream, &whole, access, window.for_write == for_write);
    }
    jit_window_check(writer);
    writer->windows[stream == JIT_NO_STREAM ? 0 : stream + 1] = window;
    *at = host_at_index(window.addend, jit_host_register(writer, window.base), 0, op->displacement);
}

static void look_up_alone(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write,
                          struct host_operand *at)
{
    const uint32_t access = size | (for_write ? JIT_ACCESS_WRITE : 0);
    const unsigned stream = jit_loop_stream(writer, op, 0, true);
    if (stream == JIT_NO_STREAM) {
        look_up_tlb(writer, op, access, true);
        *at = operand(writer, op);
        return;
    }
    look_up_stream(writer, stream, op, access, true);
    *at = host_at_index(writer->loop.stream[stream].addend, JIT_T1, 0, 0);
}

bool jit_look_up(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write,
                 struct host_operand *at)
{
    uint64_t address;
    const bool is_constant = constant_address(writer, op, &address);
    jit_claim_t1(writer);
    const struct jit_window *const window = find_window(writer, op, size, for_write);
    if (window != NULL) {
        *at = host_at_index(window->addend, jit_host_register(writer, window->base), 0, op->displacement);
        return true;
    }
    writer->windows[0].is_valid = false;
    if (!is_constant && (op->base == SOFT_SLOT_PAGE || op->displacement > INT32_MAX - WINDOW_REACH))
        return false;
    if (!is_constant && op->index == SOFT_SLOT_ZERO && writer->registers[op->base] != HOST_NO_REGISTER &&
        op->displacement > INT32_MIN + WINDOW_REACH)
        open_window(writer, op, size, for_write, at);
    else
        look_up_alone(writer, op, size, for_write, at);
    return true;
}

/* Is it sure to be as in the round before, which has looked? */
static bool is_aligned_as_before(const struct jit_writer *writer, const struct soft_op *op)
{
    int32_t by;
    return writer->loop.in_rounds && op->index == SOFT_SLOT_ZERO && op->base < MH_GPR_COUNT &&
           jit_loop_moves(writer, op->base, 0, writer->loop.last, &by) && by % 16 == 0;
}

void jit_leave_unless_aligned(struct jit_writer *writer, const struct soft_op *op)
{
    if (is_aligned_as_before(writer, op))
        return;
    jit_address(writer, op, JIT_T2, 0);
    host_emit_immediate(&writer->code, 0xf6, 1, 0, host_in(JIT_T2), 15, 1);
    jit_leave_if(writer, HOST_CC_NE);
}

bool jit_look_up_at(struct jit_writer *writer, unsigned base, int32_t displacement, unsigned size, bool for_write,
                    struct host_operand *at)
{
    const struct soft_op op = {.base = (uint8_t)base, .index = SOFT_SLOT_ZERO, .displacement = displacement};
    return jit_look_up(writer, &op, size, for_write, at);
}

void jit_free_t1(struct jit_writer *writer, struct host_operand *at)
{
    if (at->index != JIT_T1)
        return;
    emit_lea(writer, JIT_T2, *at);
    *at = host_at(JIT_T2, 0);
}

void jit_load_t1(struct jit_writer *writer, unsigned size, struct host_operand at)
{
    if (size == 1)
        host_emit(&writer->code, HOST_0F | HOST_BYTE_RM | 0xb6, 4, JIT_T1, at);
    else
        host_emit_move(&writer->code, size, JIT_T1, at);
}
