/* Which operation of the interpreter is translated by what. */
#include "host_x86_64_jit.h"

/* clang-format off */
#define FORMS(name, operation, effect)             \
    [OP_##name##_RR8] = {jit_alu_register, 1, effect, operation},                    \
    [OP_##name##_RR32] = {jit_alu_register, 4, effect, operation},                   \
    [OP_##name##_RR64] = {jit_alu_register, 8, effect, operation},                   \
    [OP_##name##_RI8] = {jit_alu_immediate, 1, effect, operation},                   \
    [OP_##name##_RI32] = {jit_alu_immediate, 4, effect, operation},                  \
    [OP_##name##_RI64] = {jit_alu_immediate, 8, effect, operation},                  \
    [OP_##name##_RM8] = {jit_alu_load, 1, JIT_OBSERVES, operation},                  \
    [OP_##name##_RM32] = {jit_alu_load, 4, JIT_OBSERVES, operation},                 \
    [OP_##name##_RM64] = {jit_alu_load, 8, JIT_OBSERVES, operation},                 \
    [OP_##name##_MR8] = {jit_alu_store, 1, JIT_OBSERVES, operation},                 \
    [OP_##name##_MR32] = {jit_alu_store, 4, JIT_OBSERVES, operation},                \
    [OP_##name##_MR64] = {jit_alu_store, 8, JIT_OBSERVES, operation},                \
    [OP_##name##_MI8] = {jit_alu_store_immediate, 1, JIT_OBSERVES, operation},       \
    [OP_##name##_MI32] = {jit_alu_store_immediate, 4, JIT_OBSERVES, operation},      \
    [OP_##name##_MI64] = {jit_alu_store_immediate, 8, JIT_OBSERVES, operation}
#define SIZES(name, translate, effect, detail)                                       \
    [OP_##name##32] = {translate, 4, effect, detail},                                \
    [OP_##name##64] = {translate, 8, effect, detail}
/* clang-format on */

#define MOVZX (HOST_0F | HOST_BYTE_RM | 0xb6)
#define MOVZX_16 (HOST_0F | 0xb7)
#define MOVSX (HOST_0F | HOST_BYTE_RM | 0xbe)
#define MOVSX_16 (HOST_0F | 0xbf)
#define MOVSXD 0x63

#define SSE_HOT_ROWS(name, bytes)                                                                                      \
    [OP_##name##_RR] = {jit_sse, 0, JIT_OBSERVES, 0}, [OP_##name##_RM] = {jit_sse, bytes, JIT_OBSERVES, 0},

/* clang-format off */
static const struct jit_row rows[] = {
    [OP_END] = {jit_end, 0, JIT_OBSERVES, 0},
    [OP_NOP] = {jit_nop, 0, JIT_KEEPS, 0},
    [OP_BITS] = {jit_bits, 0, JIT_OBSERVES, 0},
    FORMS(ADD, 0, JIT_REPLACES),
    FORMS(OR, 1, JIT_REPLACES),
    FORMS(ADC, 2, JIT_OBSERVES),
    FORMS(SBB, 3, JIT_OBSERVES),
    FORMS(AND, 4, JIT_REPLACES),
    FORMS(SUB, 5, JIT_REPLACES),
    FORMS(XOR, 6, JIT_REPLACES),
    FORMS(CMP, 7, JIT_REPLACES),
    FORMS(TEST, 8, JIT_REPLACES),
    SIZES(INC_R, jit_step_register, JIT_OBSERVES, 0),
    SIZES(DEC_R, jit_step_register, JIT_OBSERVES, 1),
    SIZES(INC_M, jit_step_memory, JIT_OBSERVES, 0),
    SIZES(DEC_M, jit_step_memory, JIT_OBSERVES, 1),
    SIZES(NEG_R, jit_negate, JIT_REPLACES, 0),
    SIZES(NOT_R, jit_not, JIT_KEEPS, 0),
    SIZES(ROL_I, jit_rotate, JIT_KEEPS, 0),
    SIZES(ROR_I, jit_rotate, JIT_KEEPS, 1),
    SIZES(SHL_I, jit_shift_immediate, JIT_REPLACES, 4),
    SIZES(SHR_I, jit_shift_immediate, JIT_REPLACES, 5),
    SIZES(SAR_I, jit_shift_immediate, JIT_REPLACES, 7),
    SIZES(SHL_C, jit_shift_cl, JIT_OBSERVES, 4),
    SIZES(SHR_C, jit_shift_cl, JIT_OBSERVES, 5),
    SIZES(SAR_C, jit_shift_cl, JIT_OBSERVES, 7),
    SIZES(IMUL_RR, jit_multiply, JIT_REPLACES, 0),
    SIZES(IMUL_RM, jit_multiply_load, JIT_OBSERVES, 0),
    SIZES(IMUL_RRI, jit_multiply_immediate, JIT_REPLACES, 0),
    SIZES(MUL_R, jit_multiply_wide, JIT_REPLACES, 4),
    SIZES(IMUL_R, jit_multiply_wide, JIT_REPLACES, 5),
    SIZES(DIV_R, jit_divide, JIT_OBSERVES, 0),
    SIZES(IDIV_R, jit_divide_signed, JIT_OBSERVES, 0),
    [OP_MOV_RR8] = {jit_move, 1, JIT_KEEPS, 0},
    SIZES(MOV_RR, jit_move, JIT_KEEPS, 0),
    [OP_MOV_RI8] = {jit_move_immediate, 1, JIT_KEEPS, 0},
    [OP_MOV_WIDE] = {jit_move_wide, 8, JIT_KEEPS, 0},
    [OP_LOAD8] = {jit_load, 1, JIT_OBSERVES, 0},
    SIZES(LOAD, jit_load, JIT_OBSERVES, 0),
    [OP_STORE8] = {jit_store, 1, JIT_OBSERVES, 0},
    [OP_STORE16] = {jit_store, 2, JIT_OBSERVES, 0},
    SIZES(STORE, jit_store, JIT_OBSERVES, 0),
    [OP_STORE_I8] = {jit_store_immediate, 1, JIT_OBSERVES, 0},
    [OP_STORE_I16] = {jit_store_immediate, 2, JIT_OBSERVES, 0},
    SIZES(STORE_I, jit_store_immediate, JIT_OBSERVES, 0),
    [OP_MOVZX_RR8] = {jit_extend, 4, JIT_KEEPS, MOVZX},
    [OP_MOVZX_RR16] = {jit_extend, 4, JIT_KEEPS, MOVZX_16},
    [OP_MOVZX_RM8] = {jit_extend_load, 4, JIT_OBSERVES, MOVZX},
    [OP_MOVZX_RM16] = {jit_extend_load, 4, JIT_OBSERVES, MOVZX_16},
    SIZES(MOVSX_RR8_, jit_extend, JIT_KEEPS, MOVSX),
    SIZES(MOVSX_RR16_, jit_extend, JIT_KEEPS, MOVSX_16),
    SIZES(MOVSX_RM8_, jit_extend_load, JIT_OBSERVES, MOVSX),
    SIZES(MOVSX_RM16_, jit_extend_load, JIT_OBSERVES, MOVSX_16),
    [OP_MOVSXD_RR] = {jit_extend, 8, JIT_KEEPS, MOVSXD},
    [OP_MOVSXD_RM] = {jit_extend_load, 8, JIT_OBSERVES, MOVSXD},
    SIZES(LEA, jit_lea, JIT_KEEPS, 0),
    SIZES(CBW, jit_extend_rax, JIT_KEEPS, 0),
    SIZES(CWD, jit_sign_rdx, JIT_KEEPS, 0),
    SIZES(CMOV, jit_cmov, JIT_OBSERVES, 0),
    [OP_SETCC] = {jit_setcc, 1, JIT_OBSERVES, 0},
    [OP_PUSH_R] = {jit_push, 8, JIT_OBSERVES, 0},
    [OP_PUSH_I] = {jit_push, 8, JIT_OBSERVES, 0},
    [OP_POP_R] = {jit_pop, 8, JIT_OBSERVES, 0},
    [OP_LEAVE] = {jit_leave, 8, JIT_OBSERVES, 0},
    [OP_CALL] = {jit_call, 8, JIT_OBSERVES, 0},
    [OP_CALL_PAGE] = {jit_call_page, 8, JIT_OBSERVES, 0},
    [OP_CALL_R] = {jit_call_register, 8, JIT_OBSERVES, 0},
    [OP_RET] = {jit_return, 8, JIT_OBSERVES, 0},
    [OP_JMP] = {jit_jump, 8, JIT_OBSERVES, 0},
    [OP_JMP_PAGE] = {jit_jump_page, 8, JIT_OBSERVES, 0},
    [OP_JMP_R] = {jit_jump_register, 8, JIT_OBSERVES, 0},
    [OP_JMP_M] = {jit_jump_memory, 8, JIT_OBSERVES, 0},
    [OP_JCC] = {jit_branch, 8, JIT_OBSERVES, 0},
    [OP_JCC_PAGE] = {jit_branch_page, 8, JIT_OBSERVES, 0},
    [OP_SSE_RR] = {jit_sse, 0, JIT_OBSERVES, 0},
    [OP_SSE_RM4] = {jit_sse, 4, JIT_OBSERVES, 0},
    [OP_SSE_RM8] = {jit_sse, 8, JIT_OBSERVES, 0},
    [OP_SSE_RM16] = {jit_sse, 16, JIT_OBSERVES, 0},
    [OP_SSE_MOVE] = {jit_sse_move, 0, JIT_OBSERVES, HOST_0F | 0x28},
    [OP_SSE_LOAD4] = {jit_sse_load, 4, JIT_OBSERVES, HOST_F3 | HOST_0F | 0x10},
    [OP_SSE_LOAD8] = {jit_sse_load, 8, JIT_OBSERVES, HOST_F2 | HOST_0F | 0x10},
    [OP_SSE_LOAD16] = {jit_sse_load, 16, JIT_OBSERVES, HOST_0F | 0x10},
    [OP_SSE_LOAD16_ALIGNED] = {jit_sse_load, 16, JIT_OBSERVES, HOST_0F | 0x28},
    [OP_SSE_STORE4] = {jit_sse_store, 4, JIT_OBSERVES, HOST_F3 | HOST_0F | 0x11},
    [OP_SSE_STORE8] = {jit_sse_store, 8, JIT_OBSERVES, HOST_F2 | HOST_0F | 0x11},
    [OP_SSE_STORE16] = {jit_sse_store, 16, JIT_OBSERVES, HOST_0F | 0x11},
    [OP_SSE_STORE16_ALIGNED] = {jit_sse_store, 16, JIT_OBSERVES, HOST_0F | 0x29},
    SOFT_SSE_HOT(SSE_HOT_ROWS)};

/* clang-format on */

/* Comparisons that do the branch behind them as well are two operations here. */
static const struct {
    uint16_t first, last, plain;
} fused[] = {
    {OP_JZ_RESULT, OP_JG_LOGIC64, OP_JCC},
    {OP_CMP_RR32_JZ, OP_CMP_RR32_JG, OP_CMP_RR32},
    {OP_CMP_RR64_JZ, OP_CMP_RR64_JG, OP_CMP_RR64},
    {OP_CMP_RI32_JZ, OP_CMP_RI32_JG, OP_CMP_RI32},
    {OP_CMP_RI64_JZ, OP_CMP_RI64_JG, OP_CMP_RI64},
    {OP_TEST_RR32_JZ, OP_TEST_RR32_JNZ, OP_TEST_RR32},
    {OP_TEST_RR64_JZ, OP_TEST_RR64_JNZ, OP_TEST_RR64},
};

const struct jit_row *jit_row(const struct soft_op *op)
{
    for (size_t i = 0; i < sizeof fused / sizeof fused[0]; i++)
        if (op->code >= fused[i].first && op->code <= fused[i].last)
            return &rows[fused[i].plain];
    return &rows[op->code];
}

/* ---- memory ---- */

static int32_t access_size(const struct jit_row *row)
{
    if (row->translate != jit_extend_load)
        return row->size;
    return row->detail == MOVSXD ? 4 : row->detail == MOVZX || row->detail == MOVSX ? 1 : 2;
}

static bool is_load(const struct jit_row *row)
{
    static jit_translator *const loads[] = {jit_alu_load,      jit_load,     jit_extend_load,
                                            jit_multiply_load, jit_sse_load, jit_jump_memory};
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++)
        if (row->translate == loads[i])
            return true;
    return row->translate == jit_sse && row->size != 0;
}

static bool is_store(const struct jit_row *row)
{
    static jit_translator *const stores[] = {jit_alu_store,       jit_alu_store_immediate, jit_store,
                                             jit_store_immediate, jit_step_memory,         jit_sse_store};
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++)
        if (row->translate == stores[i])
            return true;
    return false;
}

/* CMP and TEST with memory on the left. */
static bool is_comparison(const struct jit_row *row)
{
    return (row->translate == jit_alu_store || row->translate == jit_alu_store_immediate) && row->detail >= 7;
}

/* The stack; true when the operation is one of these. */
static bool access_stack(const struct soft_op *op, const struct jit_row *row, unsigned base, struct jit_access *access)
{
    const bool pushes = row->translate == jit_push || row->translate == jit_call || row->translate == jit_call_page;
    const bool pops = row->translate == jit_pop || row->translate == jit_return;
    if (!pushes && !pops)
        return false;
    *access = (struct jit_access){
        .is_memory = true, .is_write = pushes, .displacement = pushes ? -8 : 0, .size = 8, .moves = pushes ? -8 : 8};
    access->ends = base != MH_RSP || (row->translate != jit_push && row->translate != jit_pop) ||
                   (row->translate == jit_pop && op->reg == MH_RSP);
    access->is_memory = base == MH_RSP;
    return true;
}

static bool compares_registers(const struct jit_row *row)
{
    return (row->translate == jit_alu_register || row->translate == jit_alu_immediate ||
            row->translate == jit_alu_load) &&
           row->detail >= 7;
}

/* An operation that changes no general register, but for the stack pointer. */
static bool keeps_all(const struct jit_row *row)
{
    return is_store(row) || row->translate == jit_branch || row->translate == jit_nop ||
           row->translate == jit_sse_load || row->translate == jit_sse || row->translate == jit_sse_move ||
           is_comparison(row) || compares_registers(row);
}

static bool keeps_base(const struct soft_op *op, const struct jit_row *row, unsigned base)
{
    if (base == MH_RAX || base == MH_RDX)
        return row->translate != jit_multiply_wide && row->translate != jit_divide &&
               row->translate != jit_divide_signed && row->translate != jit_extend_rax &&
               row->translate != jit_sign_rdx && op->reg != base;
    return op->reg != base;
}

/* ADD and SUB of a constant, as compilers move rsp. */
static bool adds_constant(const struct soft_op *op, const struct jit_row *row, unsigned base, int32_t *moves)
{
    if (row->translate != jit_alu_immediate || row->size != 8 || op->reg != base ||
        (row->detail != 0 && row->detail != 5) || op->immediate > (int32_t)PAGE_4K || op->immediate < -(int32_t)PAGE_4K)
        return false;
    *moves = row->detail == 0 ? op->immediate : -op->immediate;
    return true;
}

void jit_access(const struct soft_op *op, unsigned base, struct jit_access *access)
{
    const struct jit_row *row = jit_row(op);
    *access = (struct jit_access){.ends = true};
    if (row->translate == NULL || op->code == OP_END || access_stack(op, row, base, access))
        return;
    if (adds_constant(op, row, base, &access->moves)) {
        access->ends = false;
        return;
    }
    if (is_load(row) || is_store(row)) {
        if (op->base != base || op->index != SOFT_SLOT_ZERO)
            return;
        access->is_memory = true;
        access->is_write = is_store(row) && !is_comparison(row);
        access->displacement = op->displacement;
        access->size = access_size(row);
    }
    access->ends = row->translate == jit_leave || row->translate == jit_jump || row->translate == jit_jump_page ||
                   row->translate == jit_jump_register || row->translate == jit_jump_memory ||
                   row->translate == jit_call_register || row->translate == jit_branch_page ||
                   (!keeps_all(row) && !keeps_base(op, row, base));
}

bool jit_moves(const struct soft_op *op, unsigned guest, int32_t *by)
{
    const struct jit_row *row = jit_row(op);
    *by = 0;
    return adds_constant(op, row, guest, by) || keeps_all(row) || keeps_base(op, row, guest);
}

static uint32_t bit_of(unsigned guest)
{
    return guest < MH_GPR_COUNT ? 1u << guest : 0;
}

/* Registers that an operation uses without naming them. */
static uint32_t uses_unnamed(const struct jit_row *row)
{
    if (row->translate == jit_shift_cl)
        return 1u << MH_RCX;
    if (row->translate == jit_multiply_wide || row->translate == jit_divide || row->translate == jit_divide_signed ||
        row->translate == jit_extend_rax || row->translate == jit_sign_rdx)
        return 1u << MH_RAX | 1u << MH_RDX;
    return 0;
}

uint32_t jit_uses(const struct soft_op *op)
{
    const struct jit_row *row = jit_row(op);
    const bool is_sse = row->translate == jit_sse || row->translate == jit_sse_move || row->translate == jit_sse_load ||
                        row->translate == jit_sse_store;
    if (row->translate == jit_branch || row->translate == jit_nop || (is_sse && row->size == 0))
        return 0;
    const uint32_t address = bit_of(op->base) | bit_of(op->index);
    return is_sse ? address : address | bit_of(op->reg) | uses_unnamed(row);
}
