#include "soft_translate.h"

#include "soft_handlers.h"
#include "soft_opcodes.h"
#include "soft_operand.h"
#include "soft_simd_shape.h"

/* An instruction under translation. */
struct form {
    struct soft_translation *translation;
    const struct soft_insn *insn;
    struct soft_op *op;
    unsigned end; /* offset behind it in its page */
    bool is_last; /* the block ends with it */
};

/* ---- operands ---- */

/* The operation's address is base + index * scale + displacement. False: it has more to it. */
static bool take_address(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    struct soft_op *op = form->op;
    if (insn->address_size != 8 || insn->segment >= MH_FS)
        return false;
    op->base = insn->base == SOFT_NO_REGISTER ? SOFT_SLOT_ZERO : insn->base;
    op->index = insn->index == SOFT_NO_REGISTER ? SOFT_SLOT_ZERO : insn->index;
    op->scale = insn->scale;
    op->displacement = insn->displacement;
    if (!insn->rip_relative)
        return true;
    op->base = SOFT_SLOT_PAGE;
    return !__builtin_add_overflow(insn->displacement, (int32_t)form->end, &op->displacement);
}

static bool take_immediate(struct form *form)
{
    form->op->immediate = (int32_t)form->insn->immediate;
    return true;
}

/* The low byte of a register can be reached like a whole one. */
static bool is_plain(const struct soft_insn *insn, unsigned number, unsigned size)
{
    return !soft_is_high_byte(insn, number, size);
}

/* 0, 1 and 2 for the sizes of SOFT_FORMS; 3: none of them. */
static unsigned size_index(unsigned size)
{
    static const uint8_t index[] = {3, 0, 3, 3, 1, 3, 3, 3, 2};
    return index[size];
}

/* `code` is the 32-bit form; the 64-bit form follows it. False with other sizes. */
static bool set_by_size(struct form *form, unsigned code)
{
    const unsigned size = form->insn->operand_size;
    form->op->code = (uint16_t)(code + (size == 8));
    return size >= 4;
}

static bool set_code(struct form *form, unsigned code)
{
    form->op->code = (uint16_t)code;
    return true;
}

/* The flags after this instruction are of this kind. */
static void note_flags(struct form *form, enum soft_flags_kind kind)
{
    form->translation->flags = kind + soft_log2_size(form->insn->operand_size);
}

/* ---- arithmetic ---- */

enum form_kind { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI };

#define FORMS_OF_ONE 15u /* of SOFT_FORMS */
#define ALU_TEST 8u      /* behind the eight of the opcode map */

/* Destination and source of a two-operand instruction. `to_rm`: r/m is the destination. */
static bool take_operands(struct form *form, bool to_rm, bool has_immediate, enum form_kind *kind)
{
    const struct soft_insn *insn = form->insn;
    const unsigned size = insn->operand_size;
    struct soft_op *op = form->op;
    if (!has_immediate && !is_plain(insn, insn->reg, size))
        return false;
    op->reg = insn->reg;
    if (has_immediate)
        take_immediate(form);
    if (insn->has_memory) {
        *kind = has_immediate ? FORM_MI : to_rm ? FORM_MR : FORM_RM;
        return take_address(form);
    }
    *kind = has_immediate ? FORM_RI : FORM_RR;
    op->base = insn->rm;
    if (has_immediate || to_rm) {
        op->reg = insn->rm;
        op->base = insn->reg;
    }
    return is_plain(insn, insn->rm, size);
}

static bool alu_form(struct form *form, unsigned operation, bool to_rm, bool has_immediate)
{
    enum form_kind kind;
    const unsigned size = size_index(form->insn->operand_size);
    if (size == 3 || !take_operands(form, to_rm, has_immediate, &kind))
        return false;
    return set_code(form, OP_ADD_RR8 + operation * FORMS_OF_ONE + kind * 3 + size);
}

/* SBB and ADC set flags as SUB and ADD do, but not from their operands alone. */
static void note_alu_flags(struct form *form, unsigned operation)
{
    static const uint8_t kinds[] = {SOFT_FLAGS_ADD, SOFT_FLAGS_LOGIC, SOFT_FLAGS_ADD, SOFT_FLAGS_ADD,  SOFT_FLAGS_LOGIC,
                                    SOFT_FLAGS_SUB, SOFT_FLAGS_LOGIC, SOFT_FLAGS_SUB, SOFT_FLAGS_LOGIC};
    note_flags(form, kinds[operation]);
}

static bool translate_alu(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    const bool group = insn->opcode >= 0x80;
    const unsigned operation = (group ? insn->modrm : insn->opcode) >> 3 & 7;
    note_alu_flags(form, operation);
    if (!group && (insn->opcode & 7) >= 4) {
        enum form_kind kind = FORM_RI;
        form->op->reg = MH_RAX;
        take_immediate(form);
        const unsigned size = size_index(insn->operand_size);
        return size != 3 && set_code(form, OP_ADD_RR8 + operation * FORMS_OF_ONE + kind * 3 + size);
    }
    return alu_form(form, operation, group || (insn->opcode & 2) == 0, group);
}

static bool translate_test(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    note_flags(form, SOFT_FLAGS_LOGIC);
    if ((insn->opcode & 0xfe) == 0xa8) {
        const unsigned size = size_index(insn->operand_size);
        form->op->reg = MH_RAX;
        take_immediate(form);
        return size != 3 && set_code(form, OP_TEST_RI8 + size);
    }
    return alu_form(form, ALU_TEST, true, insn->opcode >= 0xf6);
}

static bool translate_step(struct form *form, unsigned register_code, unsigned memory_code, enum soft_flags_kind kind)
{
    note_flags(form, kind);
    if (form->insn->has_memory)
        return take_address(form) && set_by_size(form, memory_code);
    form->op->reg = form->insn->rm;
    return set_by_size(form, register_code);
}

static bool translate_one_register(struct form *form, unsigned code)
{
    form->op->reg = form->insn->rm;
    return !form->insn->has_memory && set_by_size(form, code);
}

static bool translate_neg(struct form *form)
{
    note_flags(form, SOFT_FLAGS_SUB);
    return translate_one_register(form, OP_NEG_R32);
}

/* ROL and ROR of a register by a constant, which change single flags. */
static bool translate_rotate(struct form *form, bool right)
{
    const struct soft_insn *insn = form->insn;
    form->op->reg = insn->rm;
    form->op->immediate =
        (int32_t)((insn->opcode >= 0xd0 ? 1 : (unsigned)insn->immediate) & (8u * insn->operand_size - 1));
    return insn->opcode < 0xd2 && form->op->immediate != 0 && set_by_size(form, right ? OP_ROR_I32 : OP_ROL_I32);
}

/* SHL, SHR and SAR of registers, and some rotations. */
static bool translate_shift(struct form *form)
{
    static const uint16_t by_immediate[8] = {[4] = OP_SHL_I32, [5] = OP_SHR_I32, [6] = OP_SHL_I32, [7] = OP_SAR_I32};
    static const uint16_t by_cl[8] = {[4] = OP_SHL_C32, [5] = OP_SHR_C32, [6] = OP_SHL_C32, [7] = OP_SAR_C32};
    const struct soft_insn *insn = form->insn;
    const unsigned operation = insn->modrm >> 3 & 7;
    form->translation->flags = SOFT_FLAGS_KNOWN;
    if (operation < 2 && !insn->has_memory && insn->operand_size >= 4)
        return translate_rotate(form, operation == 1);
    if (operation < 4 || insn->has_memory || insn->operand_size < 4 || !form->translation->cache->flags_are_pure)
        return false;
    form->op->reg = insn->rm;
    if (insn->opcode >= 0xd2)
        return set_by_size(form, by_cl[operation]);
    const unsigned count = (insn->opcode >= 0xd0 ? 1 : (unsigned)insn->immediate) & (8u * insn->operand_size - 1);
    form->op->immediate = (int32_t)count;
    if (count == 0) /* changes no flags */
        return false;
    note_flags(form, SOFT_FLAGS_SHL);
    return set_by_size(form, by_immediate[operation]);
}

static bool translate_imul(struct form *form, bool has_immediate)
{
    const struct soft_insn *insn = form->insn;
    form->translation->flags = SOFT_FLAGS_KNOWN;
    if (!form->translation->cache->flags_are_pure)
        return false;
    form->op->reg = insn->reg;
    if (has_immediate) {
        form->op->base = insn->rm;
        return !insn->has_memory && take_immediate(form) && set_by_size(form, OP_IMUL_RRI32);
    }
    form->op->base = insn->rm;
    return insn->has_memory ? take_address(form) && set_by_size(form, OP_IMUL_RM32) : set_by_size(form, OP_IMUL_RR32);
}

static bool translate_multiply(struct form *form, unsigned code)
{
    form->translation->flags = SOFT_FLAGS_KNOWN;
    return form->translation->cache->flags_are_pure && translate_one_register(form, code);
}

static bool translate_divide(struct form *form, unsigned code)
{
    form->translation->flags = SOFT_FLAGS_KNOWN;
    return form->translation->cache->division_keeps_flags && translate_one_register(form, code);
}

/* ---- moves ---- */

static bool translate_load(struct form *form)
{
    static const uint16_t loads[] = {OP_LOAD8, OP_LOAD32, OP_LOAD64}, moves[] = {OP_MOV_RR8, OP_MOV_RR32, OP_MOV_RR64};
    const struct soft_insn *insn = form->insn;
    const unsigned size = size_index(insn->operand_size);
    enum form_kind kind;
    if (size == 3 || !take_operands(form, false, false, &kind))
        return false;
    return set_code(form, kind == FORM_RR ? moves[size] : loads[size]);
}

static bool translate_store(struct form *form)
{
    static const uint16_t stores[] = {[1] = OP_STORE8, [2] = OP_STORE16, [4] = OP_STORE32, [8] = OP_STORE64};
    static const uint16_t moves[] = {[1] = OP_MOV_RR8, [4] = OP_MOV_RR32, [8] = OP_MOV_RR64};
    const unsigned size = form->insn->operand_size;
    enum form_kind kind;
    if (!take_operands(form, true, false, &kind))
        return false;
    return set_code(form, kind == FORM_RR ? moves[size] : stores[size]) && form->op->code != OP_HANDLER;
}

static bool translate_mov_imm(struct form *form)
{
    static const uint16_t stores[] = {[1] = OP_STORE_I8, [2] = OP_STORE_I16, [4] = OP_STORE_I32, [8] = OP_STORE_I64};
    const struct soft_insn *insn = form->insn;
    const unsigned size = insn->operand_size;
    if (insn->has_memory)
        return take_address(form) && take_immediate(form) && set_code(form, stores[size]);
    form->op->reg = insn->rm;
    if (size < 4)
        return size == 1 && is_plain(insn, insn->rm, 1) && take_immediate(form) && set_code(form, OP_MOV_RI8);
    form->op->wide = soft_truncate(insn->immediate, size);
    return set_code(form, OP_MOV_WIDE);
}

static bool translate_mov_reg_imm(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    const unsigned size = insn->operand_size;
    form->op->reg = insn->rm;
    if (size < 4)
        return size == 1 && is_plain(insn, insn->rm, 1) && take_immediate(form) && set_code(form, OP_MOV_RI8);
    form->op->wide = soft_truncate(insn->immediate, size);
    return set_code(form, OP_MOV_WIDE);
}

static bool translate_movzx(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    const unsigned wide = insn->opcode & 1;
    form->op->reg = insn->reg;
    form->op->base = insn->rm;
    if (insn->operand_size < 4 || (!wide && !insn->has_memory && !is_plain(insn, insn->rm, 1)))
        return false;
    if (insn->has_memory)
        return take_address(form) && set_code(form, OP_MOVZX_RM8 + wide);
    return set_code(form, OP_MOVZX_RR8 + wide);
}

static bool translate_movsx(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    const unsigned wide = insn->opcode & 1;
    form->op->reg = insn->reg;
    form->op->base = insn->rm;
    if (!wide && !insn->has_memory && !is_plain(insn, insn->rm, 1))
        return false;
    if (insn->has_memory)
        return take_address(form) && set_by_size(form, wide ? OP_MOVSX_RM16_32 : OP_MOVSX_RM8_32);
    return set_by_size(form, wide ? OP_MOVSX_RR16_32 : OP_MOVSX_RR8_32);
}

static bool translate_movsxd(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    form->op->reg = insn->reg;
    form->op->base = insn->rm;
    if (insn->operand_size != 8)
        return false;
    return insn->has_memory ? take_address(form) && set_code(form, OP_MOVSXD_RM) : set_code(form, OP_MOVSXD_RR);
}

/* No segment applies. */
static bool translate_lea(struct form *form)
{
    struct soft_insn flat = *form->insn;
    flat.segment = MH_DS;
    struct form of_flat = *form;
    of_flat.insn = &flat;
    form->op->reg = flat.reg;
    return take_address(&of_flat) && set_by_size(form, OP_LEA32);
}

static bool translate_cmov(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    form->op->reg = insn->reg;
    form->op->base = insn->rm;
    form->op->index = insn->opcode & 0xf;
    return !insn->has_memory && set_by_size(form, OP_CMOV32);
}

static bool translate_setcc(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    form->op->reg = insn->rm;
    form->op->index = insn->opcode & 0xf;
    return !insn->has_memory && is_plain(insn, insn->rm, 1) && set_code(form, OP_SETCC);
}

static bool translate_stack(struct form *form, unsigned code)
{
    form->op->reg = form->insn->rm;
    take_immediate(form);
    return form->insn->operand_size == 8 && set_code(form, code);
}

/* ---- branches ---- */

enum target { TARGET_SAME_PAGE, TARGET_OTHER_PAGE, TARGET_TOO_FAR };

/* Where a relative branch leads, from the start of the page. */
static enum target take_target(struct form *form)
{
    const struct soft_insn *insn = form->insn;
    int32_t target;
    form->op->scale = insn->length;
    form->op->immediate = 0;
    if (insn->operand_size != 8 || __builtin_add_overflow((int32_t)insn->immediate, (int32_t)form->end, &target))
        return TARGET_TOO_FAR;
    form->op->displacement = target;
    return target >= 0 && target < (int32_t)PAGE_4K ? TARGET_SAME_PAGE : TARGET_OTHER_PAGE;
}

static bool translate_jump(struct form *form, unsigned same_page, unsigned other_page)
{
    const enum target target = take_target(form);
    form->is_last = true;
    return target != TARGET_TOO_FAR && set_code(form, target == TARGET_SAME_PAGE ? same_page : other_page);
}

#define SIZE_32 2u /* of flag_operation */
#define SIZE_64 3u

/* Operations for conditions 0 to 15, in the order of their encoding; 0: none. */
static const uint16_t jcc_sub[16] = {
    [2] = OP_JB_SUB, [3] = OP_JAE_SUB,   [4] = OP_JZ_RESULT,  [5] = OP_JNZ_RESULT, [6] = OP_JBE_SUB,
    [7] = OP_JA_SUB, [12] = OP_JL_SUB32, [13] = OP_JGE_SUB32, [14] = OP_JLE_SUB32, [15] = OP_JG_SUB32};
static const uint16_t jcc_logic[16] = {[4] = OP_JZ_RESULT,     [5] = OP_JNZ_RESULT,   [12] = OP_JS_RESULT32,
                                       [13] = OP_JNS_RESULT32, [14] = OP_JLE_LOGIC32, [15] = OP_JG_LOGIC32};

/* Jcc when the block knows what set the flags; OP_JCC in general. */
static unsigned jcc_code(const struct soft_translation *translation, unsigned condition)
{
    const unsigned kind = translation->flags & ~3u, size = translation->flags & 3;
    const bool is_64 = size == SIZE_64, has_size = size == SIZE_32 || is_64;
    if (kind == SOFT_FLAGS_KNOWN)
        return OP_JCC;
    if (condition == 4 || condition == 5)
        return condition == 4 ? OP_JZ_RESULT : OP_JNZ_RESULT;
    if (kind == SOFT_FLAGS_SUB && condition < 8 && jcc_sub[condition] != 0)
        return jcc_sub[condition];
    if (!has_size)
        return OP_JCC;
    if (condition == 8 || condition == 9)
        return (condition == 8 ? OP_JS_RESULT32 : OP_JNS_RESULT32) + (unsigned)is_64;
    if (kind == SOFT_FLAGS_SUB && jcc_sub[condition] != 0)
        return jcc_sub[condition] + (unsigned)is_64;
    if (kind == SOFT_FLAGS_LOGIC && jcc_logic[condition] != 0)
        return jcc_logic[condition] + (unsigned)is_64;
    return OP_JCC;
}

/* Let the comparison before do the jump, too. */
static void fuse(struct soft_op *before, unsigned condition)
{
    static const uint8_t order[16] = {
        [4] = 1, [5] = 2, [2] = 3, [3] = 4, [6] = 5, [7] = 6, [12] = 7, [13] = 8, [14] = 9, [15] = 10};
    static const struct {
        uint16_t plain, fused, conditions;
    } fusions[] = {
        {OP_CMP_RR32, OP_CMP_RR32_JZ, 10}, {OP_CMP_RR64, OP_CMP_RR64_JZ, 10},  {OP_CMP_RI32, OP_CMP_RI32_JZ, 10},
        {OP_CMP_RI64, OP_CMP_RI64_JZ, 10}, {OP_TEST_RR32, OP_TEST_RR32_JZ, 2}, {OP_TEST_RR64, OP_TEST_RR64_JZ, 2},
    };
    for (size_t i = 0; i < sizeof fusions / sizeof fusions[0]; i++) {
        if (before->code == fusions[i].plain && order[condition] != 0 && order[condition] <= fusions[i].conditions)
            before->code = (uint16_t)(fusions[i].fused + order[condition] - 1);
    }
}

static bool translate_jcc(struct form *form)
{
    const unsigned condition = form->insn->opcode & 0xf;
    form->op->index = (uint8_t)condition;
    switch (take_target(form)) {
    case TARGET_SAME_PAGE:
        set_code(form, jcc_code(form->translation, condition));
        if (form->translation->before != NULL)
            fuse(form->translation->before, condition);
        return true;
    case TARGET_OTHER_PAGE:
        return set_code(form, OP_JCC_PAGE);
    default:
        return false;
    }
}

static bool translate_indirect(struct form *form, unsigned register_code, unsigned memory_code)
{
    form->is_last = true;
    form->op->reg = form->insn->rm;
    form->op->scale = form->insn->length;
    if (form->insn->operand_size != 8)
        return false;
    if (!form->insn->has_memory)
        return set_code(form, register_code);
    return memory_code != OP_HANDLER && take_address(form) && set_code(form, memory_code);
}

static bool translate_ret(struct form *form)
{
    form->is_last = true;
    return form->insn->operand_size == 8 && set_code(form, OP_RET);
}

/* ---- SSE ---- */

/* Operations that need no stub, by mandatory prefix and opcode. */
static const struct {
    uint8_t prefix, opcode;
    uint16_t code; /* with a register; with memory it is the next */
} hot_sse[] = {
    {SOFT_PREFIX_REPNE, 0x58, OP_addsd_RR},
    {SOFT_PREFIX_REPNE, 0x59, OP_mulsd_RR},
    {SOFT_PREFIX_REPNE, 0x5c, OP_subsd_RR},
    {SOFT_PREFIX_REPNE, 0x5e, OP_divsd_RR},
    {SOFT_PREFIX_OPSIZE, 0x58, OP_addpd_RR},
    {SOFT_PREFIX_OPSIZE, 0x59, OP_mulpd_RR},
    {SOFT_PREFIX_OPSIZE, 0x5c, OP_subpd_RR},
    {SOFT_PREFIX_REP, 0x58, OP_addss_RR},
    {SOFT_PREFIX_REP, 0x59, OP_mulss_RR},
    {SOFT_PREFIX_REP, 0x5c, OP_subss_RR},
    {0, 0x58, OP_addps_RR},
    {0, 0x59, OP_mulps_RR},
    {0, 0x5c, OP_subps_RR},
};

static unsigned sse_code(const struct soft_insn *insn, enum simd_shape shape)
{
    const unsigned mandatory = SOFT_PREFIX_REP | SOFT_PREFIX_REPNE | SOFT_PREFIX_OPSIZE;
    if (shape > SIMD_SHAPE_RM16)
        return OP_SSE_RR + shape - SIMD_SHAPE_RR;
    for (size_t i = 0; i < sizeof hot_sse / sizeof hot_sse[0]; i++)
        if (insn->opcode == hot_sse[i].opcode && (insn->prefixes & mandatory) == hot_sse[i].prefix)
            return hot_sse[i].code + (shape == SIMD_SHAPE_RR ? 0u : 1u);
    return OP_SSE_RR + shape - SIMD_SHAPE_RR;
}

/* The stub of an operation that has one is its immediate. */
static bool translate_sse(struct form *form)
{
    const enum simd_shape shape = soft_simd_shape(form->insn, &form->op->immediate);
    if (shape == SIMD_SHAPE_OTHER)
        return false;
    form->op->reg = form->insn->reg;
    form->op->base = form->insn->rm;
    return (!form->insn->has_memory || take_address(form)) && set_code(form, sse_code(form->insn, shape));
}

/* ---- bits ---- */

/* Tests: the register that is tested, and the one with the number of the bit; scans: destination and source. */
static bool translate_bits(struct form *form)
{
    static soft_handler *const scans[] = {soft_op_bsf, soft_op_bsr, soft_op_tzcnt, soft_op_lzcnt, soft_op_popcnt};
    const struct soft_insn *insn = form->insn;
    const bool is_test = insn->run == soft_op_bit_test;
    bool is_scan = false;
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
        is_scan |= insn->run == scans[i];
    if ((!is_test && !is_scan) || insn->has_memory || insn->operand_size < 4)
        return false;
    form->translation->flags = SOFT_FLAGS_KNOWN;
    form->op->reg = is_test ? insn->rm : insn->reg;
    form->op->base = is_test && insn->opcode != 0xba ? insn->reg : insn->rm;
    form->op->index = SOFT_SLOT_ZERO;
    return set_code(form, OP_BITS);
}

/* ---- all of them ---- */

static bool translate_family(struct form *form)
{
    switch ((enum soft_family)form->insn->code) {
    case SOFT_FAMILY_ALU:
        return translate_alu(form);
    case SOFT_FAMILY_TEST:
        return translate_test(form);
    case SOFT_FAMILY_INC:
        return translate_step(form, OP_INC_R32, OP_INC_M32, SOFT_FLAGS_INC);
    case SOFT_FAMILY_DEC:
        return translate_step(form, OP_DEC_R32, OP_DEC_M32, SOFT_FLAGS_DEC);
    case SOFT_FAMILY_NEG:
        return translate_neg(form);
    case SOFT_FAMILY_NOT:
        return translate_one_register(form, OP_NOT_R32);
    case SOFT_FAMILY_SHIFT:
        return translate_shift(form);
    case SOFT_FAMILY_IMUL_REG:
        return translate_imul(form, false);
    case SOFT_FAMILY_IMUL_IMM:
        return translate_imul(form, true);
    case SOFT_FAMILY_MUL:
        return translate_multiply(form, OP_MUL_R32);
    case SOFT_FAMILY_IMUL:
        return translate_multiply(form, OP_IMUL_R32);
    case SOFT_FAMILY_DIV:
        return translate_divide(form, OP_DIV_R32);
    case SOFT_FAMILY_IDIV:
        return translate_divide(form, OP_IDIV_R32);
    case SOFT_FAMILY_MOV_LOAD:
        return translate_load(form);
    case SOFT_FAMILY_MOV_STORE:
        return translate_store(form);
    case SOFT_FAMILY_MOV_IMM:
        return translate_mov_imm(form);
    case SOFT_FAMILY_MOV_REG_IMM:
        return translate_mov_reg_imm(form);
    case SOFT_FAMILY_MOVZX:
        return translate_movzx(form);
    case SOFT_FAMILY_MOVSX:
        return translate_movsx(form);
    case SOFT_FAMILY_MOVSXD:
        return translate_movsxd(form);
    case SOFT_FAMILY_LEA:
        return translate_lea(form);
    case SOFT_FAMILY_CBW:
        return set_by_size(form, OP_CBW32);
    case SOFT_FAMILY_CWD:
        return set_by_size(form, OP_CWD32);
    case SOFT_FAMILY_CMOV:
        return translate_cmov(form);
    case SOFT_FAMILY_SETCC:
        return translate_setcc(form);
    case SOFT_FAMILY_NOP:
        return set_code(form, OP_NOP);
    case SOFT_FAMILY_XCHG_RAX:
        return form->insn->rm == MH_RAX && set_code(form, OP_NOP);
    case SOFT_FAMILY_PUSH_REG:
        return translate_stack(form, OP_PUSH_R);
    case SOFT_FAMILY_PUSH_IMM:
        return translate_stack(form, OP_PUSH_I);
    case SOFT_FAMILY_POP_REG:
        return translate_stack(form, OP_POP_R);
    case SOFT_FAMILY_LEAVE:
        return translate_stack(form, OP_LEAVE);
    case SOFT_FAMILY_JMP:
        return translate_jump(form, OP_JMP, OP_JMP_PAGE);
    case SOFT_FAMILY_CALL:
        return translate_jump(form, OP_CALL, OP_CALL_PAGE);
    case SOFT_FAMILY_JCC:
        return translate_jcc(form);
    case SOFT_FAMILY_JMP_RM:
        return translate_indirect(form, OP_JMP_R, OP_JMP_M);
    case SOFT_FAMILY_CALL_RM:
        return translate_indirect(form, OP_CALL_R, OP_HANDLER);
    case SOFT_FAMILY_RET:
        return translate_ret(form);
    case SOFT_FAMILY_NONE:
        return translate_bits(form) || translate_sse(form);
    }
    return false;
}

/* Families that leave the flags alone; after all others than these and those that note it, they are not known. */
static bool keeps_flags(const struct soft_insn *insn)
{
    switch ((enum soft_family)insn->code) {
    case SOFT_FAMILY_NONE:
    case SOFT_FAMILY_SHIFT:
    case SOFT_FAMILY_IMUL_REG:
    case SOFT_FAMILY_IMUL_IMM:
    case SOFT_FAMILY_MUL:
    case SOFT_FAMILY_IMUL:
    case SOFT_FAMILY_DIV:
    case SOFT_FAMILY_IDIV:
        return false;
    default:
        return true;
    }
}

/* Instructions after which code seldom continues, and repetitions, whose number is not known. */
static bool ends_block(const struct soft_insn *insn)
{
    static soft_handler *const last[] = {
        soft_op_ud,       soft_op_hlt,           soft_op_iret,   soft_op_int,     soft_op_int3,
        soft_op_int1,     soft_op_syscall,       soft_op_sysret, soft_op_sysexit, soft_op_ret_far,
        soft_op_sysenter, soft_op_far_jump_call, soft_op_ret,
    };
    static soft_handler *const strings[] = {soft_op_movs, soft_op_stos, soft_op_cmps, soft_op_scas,
                                            soft_op_lods, soft_op_ins,  soft_op_outs};
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++)
        if (insn->run == last[i])
            return true;
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (insn->run == strings[i])
            return (insn->prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0;
    return false;
}

bool soft_translate(struct soft_translation *translation, const struct soft_insn *insn, unsigned offset,
                    struct soft_op *op)
{
    struct form form = {.translation = translation, .insn = insn, .op = op, .end = offset + insn->length};
    *op = (struct soft_op){.offset = (uint16_t)offset};
    const bool is_known = translate_family(&form);
    if (!is_known) {
        *op = (struct soft_op){.code = OP_HANDLER, .offset = (uint16_t)offset};
        if (!keeps_flags(insn))
            translation->flags = SOFT_FLAGS_KNOWN;
    }
    translation->before = is_known ? op : NULL;
    return form.is_last || ends_block(insn);
}
