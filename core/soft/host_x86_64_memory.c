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
static const uint8_t registers[SOFT_SLOTS] = {
    HOST_RAX,         HOST_RCX,         HOST_RDX,         HOST_RBX,         HOST_R11, HOST_RBP,
    HOST_RSI,         HOST_RDI,         HOST_R8,          HOST_R9,          HOST_R10, HOST_NO_REGISTER,
    HOST_NO_REGISTER, HOST_NO_REGISTER, HOST_NO_REGISTER, HOST_NO_REGISTER, JIT_T1,   HOST_NO_REGISTER};
_Static_assert(JIT_GUEST_T1 == 16 && JIT_GUEST_IMMEDIATE == 17, "the last two");

unsigned jit_host_register(unsigned guest)
{
    return registers[guest];
}

struct host_operand jit_field(size_t offset)
{
    return host_at(JIT_CPU, (int32_t)offset);
}

struct host_operand jit_place(unsigned guest)
{
    if (registers[guest] != HOST_NO_REGISTER)
        return host_in(registers[guest]);
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
    const unsigned base = guest == SOFT_SLOT_ZERO ? (unsigned)HOST_NO_REGISTER : registers[guest];
    if (base != HOST_NO_REGISTER) {
        emit_lea(writer, to, host_at(base, displacement));
        return;
    }
    host_emit_move(&writer->code, 8, to, jit_place(guest));
    if (displacement != 0)
        emit_lea(writer, to, host_at(to, displacement));
}

/* The index has a register. */
static void address_with_index(struct jit_writer *writer, const struct soft_op *op, unsigned to, int32_t displacement)
{
    const unsigned index = registers[op->index];
    unsigned base = HOST_NO_REGISTER;
    if (op->base != SOFT_SLOT_ZERO) {
        base = registers[op->base];
        if (base == HOST_NO_REGISTER) {
            host_emit_move(&writer->code, 8, to, jit_place(op->base));
            base = to;
        }
    }
    emit_lea(writer, to, host_at_index(base, index, op->scale, displacement));
}

/* The index has none. */
static void address_with_slot(struct jit_writer *writer, const struct soft_op *op, unsigned to, int32_t displacement)
{
    host_emit_move(&writer->code, 8, to, jit_place(op->index));
    if (op->scale != 0)
        host_emit_immediate(&writer->code, 0xc1, 8, SHIFT_LEFT, host_in(to), op->scale, 1);
    if (op->base != SOFT_SLOT_ZERO)
        host_emit(&writer->code, 0x03, 8, to, jit_place(op->base));
    if (displacement != 0)
        emit_lea(writer, to, host_at(to, displacement));
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
    else if (registers[op->index] != HOST_NO_REGISTER)
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
    const unsigned base = op->base >= MH_GPR_COUNT ? (unsigned)HOST_NO_REGISTER : registers[op->base];
    const unsigned index = op->index >= MH_GPR_COUNT ? (unsigned)HOST_NO_REGISTER : registers[op->index];
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
    struct jit_window *const window = &writer->window;
    if (window->is_valid && (writer->code.touched & (1u << JIT_T2 | 1u << registers[window->base])) != 0)
        window->is_valid = false;
}

/* Does T2 serve for this access as well? */
static bool window_has(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write)
{
    const struct jit_window *const window = &writer->window;
    jit_window_check(writer);
    return window->is_valid && op->base == window->base && op->index == SOFT_SLOT_ZERO &&
           op->displacement >= window->low && op->displacement <= window->high - (int32_t)size &&
           (window->for_write || !for_write);
}

void jit_window_move(struct jit_writer *writer, unsigned guest, int32_t by)
{
    struct jit_window *const window = &writer->window;
    if (!window->is_valid || window->base != guest)
        return;
    writer->code.touched &= ~(1u << registers[guest]);
    if (__builtin_sub_overflow(window->low, by, &window->low) ||
        __builtin_sub_overflow(window->high, by, &window->high))
        window->is_valid = false;
}

/* Make the window as wide as the accesses behind the operation want it. */
static void window_plan(const struct jit_writer *writer, struct jit_window *window)
{
    int32_t moved = 0;
    for (unsigned i = 0; i < WINDOW_OPS; i++) {
        const struct soft_op *op = &writer->block->ops[writer->op + i];
        struct jit_access access;
        jit_access(op, window->base, &access);
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

static void emit_look_up(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write)
{
    const size_t table = for_write ? offsetof(struct soft_cpu, tlb_write) : offsetof(struct soft_cpu, tlb_read);
    const int32_t tlb = (int32_t)(table + writer->user * sizeof writer->cpu->tlb_read[0]);
    const struct host_operand tag =
        host_at_index(JIT_CPU, JIT_T2, 0, tlb + (int32_t)offsetof(struct soft_tlb_entry, tag));
    const struct host_operand addend =
        host_at_index(JIT_CPU, JIT_T2, 0, tlb + (int32_t)offsetof(struct soft_tlb_entry, addend));
    _Static_assert(sizeof(struct soft_tlb_entry) == 16 && SOFT_TLB_SIZE == 256, "the shift and the mask below");
    jit_address(writer, op, JIT_T2, 0);
    host_emit_immediate(&writer->code, 0xc1, 4, SHIFT_RIGHT, host_in(JIT_T2), 8, 1);
    host_emit_alu_immediate(&writer->code, ALU_AND, 4, host_in(JIT_T2), 0xff0);
    jit_address(writer, op, JIT_T1, size - 1); /* the page of its last byte */
    host_emit_alu_immediate(&writer->code, ALU_AND, 8, host_in(JIT_T1), ~(int32_t)PAGE_MASK);
    host_emit(&writer->code, 0x3b, 8, JIT_T1, tag);
    jit_leave_if(writer, HOST_CC_NE);
    host_emit_move(&writer->code, 8, JIT_T2, addend);
}

/* Let the way out behind the last look-up try to bring the page into the TLB. */
static void allow_fill(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write)
{
    struct jit_stub *const stub = &writer->stubs[writer->stub_count - 1];
    stub->resume = writer->code.at;
    stub->address = *op;
    stub->access = (uint16_t)(size | (for_write ? JIT_ACCESS_WRITE : 0));
}

/* Look up the place of the access, and what lies around it that later ones want. */
static void open_window(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write)
{
    struct jit_window window = {.is_valid = true,
                                .for_write = for_write,
                                .base = op->base,
                                .low = op->displacement,
                                .high = op->displacement + (int32_t)size};
    struct soft_op whole = *op;
    window_plan(writer, &window);
    whole.displacement = window.low;
    size = (unsigned)(window.high - window.low);
    emit_look_up(writer, &whole, size, window.for_write);
    if (window.for_write == for_write)
        allow_fill(writer, &whole, size, for_write);
    writer->window = window;
    writer->code.touched = 0;
}

bool jit_look_up(struct jit_writer *writer, const struct soft_op *op, unsigned size, bool for_write,
                 struct host_operand *at)
{
    uint64_t address;
    const bool is_constant = constant_address(writer, op, &address);
    jit_claim_t1(writer);
    if (window_has(writer, op, size, for_write)) {
        *at = host_at_index(JIT_T2, jit_host_register(writer->window.base), 0, op->displacement);
        return true;
    }
    writer->window.is_valid = false;
    if (!is_constant && (op->base == SOFT_SLOT_PAGE || op->displacement > INT32_MAX - WINDOW_REACH))
        return false;
    if (!is_constant && op->index == SOFT_SLOT_ZERO && registers[op->base] != HOST_NO_REGISTER &&
        op->displacement > INT32_MIN + WINDOW_REACH) {
        open_window(writer, op, size, for_write);
    } else {
        emit_look_up(writer, op, size, for_write);
        allow_fill(writer, op, size, for_write);
    }
    *at = operand(writer, op);
    return true;
}

void jit_leave_unless_aligned(struct jit_writer *writer, const struct soft_op *op)
{
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
