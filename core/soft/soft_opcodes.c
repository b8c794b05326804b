/*
 * The opcode tables. A table has one row for each opcode, in the order of the opcode maps of the manual
 * (Intel SDM volume 2, A.3 and A.4), so that both can be laid side by side. A row that is missing is an opcode that is
 * not an instruction in 64-bit code, or one of soft_simd_table.c.
 *
 * Some opcodes stand for several instructions: a row then names 8 rows, of which ModRM.reg selects one, or 4, of which
 * the prefix 66, F3 or F2 selects one.
 */
#include "soft_opcodes.h"

#include "soft_handlers.h"

#define MODRM SOFT_OP_MODRM
#define IMM8 SOFT_OP_IMM8
#define IMM8_SIGNED SOFT_OP_IMM8_SIGNED
#define IMM16 SOFT_OP_IMM16
#define IMM_Z SOFT_OP_IMM_Z
#define IMM_FULL SOFT_OP_IMM_FULL
#define BYTE SOFT_OP_BYTE
#define DEFAULT_64 SOFT_OP_DEFAULT_64
#define LOCK SOFT_OP_LOCK
#define MEMORY_ONLY SOFT_OP_MEMORY_ONLY
#define REGISTER_ONLY SOFT_OP_REGISTER_ONLY
#define BRANCH SOFT_OP_BRANCH
#define MOFFS SOFT_OP_MOFFS
#define REGISTERS SOFT_OP_MODRM_IS_REGISTERS

#define ROW(handler, bits)                                                                                             \
    {                                                                                                                  \
        .run = (handler), .flags = (bits)                                                                              \
    }
/* An instruction that soft_translate.c knows: `family` is SOFT_FAMILY_* without the prefix. */
#define FAST(handler, bits, family)                                                                                    \
    {                                                                                                                  \
        .run = (handler), .flags = (bits), .code = SOFT_FAMILY_##family                                                \
    }

#define ALL_ALU(bits)                                                                                                  \
    {                                                                                                                  \
        FAST(soft_op_alu, (bits) | LOCK, ALU), FAST(soft_op_alu, (bits) | LOCK, ALU),                                  \
            FAST(soft_op_alu, (bits) | LOCK, ALU), FAST(soft_op_alu, (bits) | LOCK, ALU),                              \
            FAST(soft_op_alu, (bits) | LOCK, ALU), FAST(soft_op_alu, (bits) | LOCK, ALU),                              \
            FAST(soft_op_alu, (bits) | LOCK, ALU), FAST(soft_op_alu, bits, ALU)                                        \
    }

static const struct soft_opcode group_80[8] = ALL_ALU(MODRM | IMM8 | BYTE);
static const struct soft_opcode group_81[8] = ALL_ALU(MODRM | IMM_Z);
static const struct soft_opcode group_83[8] = ALL_ALU(MODRM | IMM8_SIGNED);

static const struct soft_opcode group_8f[8] = {[0] = ROW(soft_op_pop_rm, MODRM | DEFAULT_64)};
static const struct soft_opcode group_c6[8] = {[0] = FAST(soft_op_mov_imm, MODRM | IMM8 | BYTE, MOV_IMM)};
static const struct soft_opcode group_c7[8] = {[0] = FAST(soft_op_mov_imm, MODRM | IMM_Z, MOV_IMM)};

static const struct soft_opcode group_f6[8] = {
    FAST(soft_op_test, MODRM | IMM8 | BYTE, TEST), FAST(soft_op_test, MODRM | IMM8 | BYTE, TEST),
    FAST(soft_op_not, MODRM | BYTE | LOCK, NOT),   FAST(soft_op_neg, MODRM | BYTE | LOCK, NEG),
    FAST(soft_op_mul, MODRM | BYTE, MUL),          FAST(soft_op_imul, MODRM | BYTE, IMUL),
    FAST(soft_op_div, MODRM | BYTE, DIV),          FAST(soft_op_idiv, MODRM | BYTE, IDIV),
};

static const struct soft_opcode group_f7[8] = {
    FAST(soft_op_test, MODRM | IMM_Z, TEST), FAST(soft_op_test, MODRM | IMM_Z, TEST),
    FAST(soft_op_not, MODRM | LOCK, NOT),    FAST(soft_op_neg, MODRM | LOCK, NEG),
    FAST(soft_op_mul, MODRM, MUL),           FAST(soft_op_imul, MODRM, IMUL),
    FAST(soft_op_div, MODRM, DIV),           FAST(soft_op_idiv, MODRM, IDIV),
};

static const struct soft_opcode group_fe[8] = {
    FAST(soft_op_inc, MODRM | BYTE | LOCK, INC),
    FAST(soft_op_dec, MODRM | BYTE | LOCK, DEC),
};

static const struct soft_opcode group_ff[8] = {
    FAST(soft_op_inc, MODRM | LOCK, INC),           FAST(soft_op_dec, MODRM | LOCK, DEC),
    FAST(soft_op_call_rm, MODRM | BRANCH, CALL_RM), ROW(soft_op_far_jump_call, MODRM | MEMORY_ONLY),
    FAST(soft_op_jmp_rm, MODRM | BRANCH, JMP_RM),   ROW(soft_op_far_jump_call, MODRM | MEMORY_ONLY),
    ROW(soft_op_push_rm, MODRM | DEFAULT_64),
};

static const struct soft_opcode group_0fba[8] = {
    [4] = ROW(soft_op_bit_test, MODRM | IMM8),
    [5] = ROW(soft_op_bit_test, MODRM | IMM8 | LOCK),
    [6] = ROW(soft_op_bit_test, MODRM | IMM8 | LOCK),
    [7] = ROW(soft_op_bit_test, MODRM | IMM8 | LOCK),
};

/* RDRAND and RDSEED, the register forms of /6 and /7, are not offered: what they return cannot be reproduced. */
static const struct soft_opcode prefix_0fc7_7[4] = {[2] = ROW(soft_op_rdpid, MODRM | REGISTER_ONLY)};
static const struct soft_opcode group_0fc7[8] = {
    [1] = ROW(soft_op_cmpxchg_wide, MODRM | MEMORY_ONLY | LOCK),
    [7] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0fc7_7},
};

static const struct soft_opcode group_0fae_none[8] = {
    [5] = FAST(soft_op_nop, MODRM | REGISTER_ONLY, NOP), /* LFENCE */
    [6] = FAST(soft_op_nop, MODRM | REGISTER_ONLY, NOP), /* MFENCE */
    [7] = ROW(soft_op_clflush, MODRM),                   /* SFENCE, CLFLUSH */
};
static const struct soft_opcode group_0fae_66[8] = {
    [6] = ROW(soft_op_clflush, MODRM | MEMORY_ONLY), /* CLWB */
    [7] = ROW(soft_op_clflush, MODRM | MEMORY_ONLY), /* CLFLUSHOPT */
};
static const struct soft_opcode group_0fae_f3[8] = {
    ROW(soft_op_fsgsbase, MODRM | REGISTER_ONLY),
    ROW(soft_op_fsgsbase, MODRM | REGISTER_ONLY),
    ROW(soft_op_fsgsbase, MODRM | REGISTER_ONLY),
    ROW(soft_op_fsgsbase, MODRM | REGISTER_ONLY),
};
static const struct soft_opcode group_0fae[4] = {
    {.flags = SOFT_OP_GROUP, .data = group_0fae_none},
    {.flags = SOFT_OP_GROUP, .data = group_0fae_66},
    {.flags = SOFT_OP_GROUP, .data = group_0fae_f3},
};

static const struct soft_opcode prefix_0fb8[4] = {[2] = ROW(soft_op_popcnt, MODRM)};
static const struct soft_opcode prefix_0fbc[4] = {ROW(soft_op_bsf, MODRM), ROW(soft_op_bsf, MODRM),
                                                  ROW(soft_op_tzcnt, MODRM), ROW(soft_op_bsf, MODRM)};
static const struct soft_opcode prefix_0fbd[4] = {ROW(soft_op_bsr, MODRM), ROW(soft_op_bsr, MODRM),
                                                  ROW(soft_op_lzcnt, MODRM), ROW(soft_op_bsr, MODRM)};
static const struct soft_opcode prefix_0fc3[4] = {ROW(soft_op_movnti, MODRM | MEMORY_ONLY)};
static const struct soft_opcode prefix_0f3882[4] = {[1] = ROW(soft_op_invpcid, MODRM | MEMORY_ONLY)};
static const struct soft_opcode prefix_0f38f0[4] = {
    [0] = ROW(soft_op_movbe_load, MODRM | MEMORY_ONLY),
    [1] = ROW(soft_op_movbe_load, MODRM | MEMORY_ONLY),
    [3] = ROW(soft_op_crc32, MODRM | BYTE),
};
static const struct soft_opcode prefix_0f38f1[4] = {
    [0] = ROW(soft_op_movbe_store, MODRM | MEMORY_ONLY),
    [1] = ROW(soft_op_movbe_store, MODRM | MEMORY_ONLY),
    [3] = ROW(soft_op_crc32, MODRM),
};
static const struct soft_opcode prefix_0f38f6[4] = {[1] = ROW(soft_op_adcx, MODRM), [2] = ROW(soft_op_adox, MODRM)};

static const struct soft_opcode one_byte[256] = {
    [0x00] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x01] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x02] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x03] = FAST(soft_op_alu, MODRM, ALU),
    [0x04] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x05] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x08] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x09] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x0a] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x0b] = FAST(soft_op_alu, MODRM, ALU),
    [0x0c] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x0d] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x10] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x11] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x12] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x13] = FAST(soft_op_alu, MODRM, ALU),
    [0x14] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x15] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x18] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x19] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x1a] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x1b] = FAST(soft_op_alu, MODRM, ALU),
    [0x1c] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x1d] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x20] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x21] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x22] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x23] = FAST(soft_op_alu, MODRM, ALU),
    [0x24] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x25] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x28] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x29] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x2a] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x2b] = FAST(soft_op_alu, MODRM, ALU),
    [0x2c] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x2d] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x30] = FAST(soft_op_alu, MODRM | BYTE | LOCK, ALU),
    [0x31] = FAST(soft_op_alu, MODRM | LOCK, ALU),
    [0x32] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x33] = FAST(soft_op_alu, MODRM, ALU),
    [0x34] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x35] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x38] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x39] = FAST(soft_op_alu, MODRM, ALU),
    [0x3a] = FAST(soft_op_alu, MODRM | BYTE, ALU),
    [0x3b] = FAST(soft_op_alu, MODRM, ALU),
    [0x3c] = FAST(soft_op_alu, IMM8 | BYTE, ALU),
    [0x3d] = FAST(soft_op_alu, IMM_Z, ALU),
    [0x50] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x51] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x52] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x53] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x54] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x55] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x56] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x57] = FAST(soft_op_push_reg, DEFAULT_64, PUSH_REG),
    [0x58] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x59] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5a] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5b] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5c] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5d] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5e] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x5f] = FAST(soft_op_pop_reg, DEFAULT_64, POP_REG),
    [0x63] = FAST(soft_op_movsxd, MODRM, MOVSXD),
    [0x68] = FAST(soft_op_push_imm, IMM_Z | DEFAULT_64, PUSH_IMM),
    [0x69] = FAST(soft_op_imul_imm, MODRM | IMM_Z, IMUL_IMM),
    [0x6a] = FAST(soft_op_push_imm, IMM8_SIGNED | DEFAULT_64, PUSH_IMM),
    [0x6b] = FAST(soft_op_imul_imm, MODRM | IMM8_SIGNED, IMUL_IMM),
    [0x6c] = ROW(soft_op_ins, BYTE),
    [0x6d] = ROW(soft_op_ins, 0),
    [0x6e] = ROW(soft_op_outs, BYTE),
    [0x6f] = ROW(soft_op_outs, 0),
    [0x70] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x71] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x72] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x73] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x74] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x75] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x76] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x77] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x78] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x79] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7a] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7b] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7c] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7d] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7e] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x7f] = FAST(soft_op_jcc, IMM8_SIGNED | BRANCH, JCC),
    [0x80] = {.flags = SOFT_OP_GROUP, .data = group_80},
    [0x81] = {.flags = SOFT_OP_GROUP, .data = group_81},
    [0x83] = {.flags = SOFT_OP_GROUP, .data = group_83},
    [0x84] = FAST(soft_op_test, MODRM | BYTE, TEST),
    [0x85] = FAST(soft_op_test, MODRM, TEST),
    [0x86] = ROW(soft_op_xchg, MODRM | BYTE | LOCK),
    [0x87] = ROW(soft_op_xchg, MODRM | LOCK),
    [0x88] = FAST(soft_op_mov_store, MODRM | BYTE, MOV_STORE),
    [0x89] = FAST(soft_op_mov_store, MODRM, MOV_STORE),
    [0x8a] = FAST(soft_op_mov_load, MODRM | BYTE, MOV_LOAD),
    [0x8b] = FAST(soft_op_mov_load, MODRM, MOV_LOAD),
    [0x8c] = ROW(soft_op_mov_from_seg, MODRM),
    [0x8d] = FAST(soft_op_lea, MODRM | MEMORY_ONLY, LEA),
    [0x8e] = ROW(soft_op_mov_to_seg, MODRM),
    [0x8f] = {.flags = SOFT_OP_GROUP, .data = group_8f},
    [0x90] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x91] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x92] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x93] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x94] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x95] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x96] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x97] = FAST(soft_op_xchg_rax, 0, XCHG_RAX),
    [0x98] = FAST(soft_op_cbw, 0, CBW),
    [0x99] = FAST(soft_op_cwd, 0, CWD),
    [0x9c] = ROW(soft_op_pushf, DEFAULT_64),
    [0x9d] = ROW(soft_op_popf, DEFAULT_64),
    [0x9e] = ROW(soft_op_sahf, 0),
    [0x9f] = ROW(soft_op_lahf, 0),
    [0xa0] = ROW(soft_op_mov_from_moffs, MOFFS | BYTE),
    [0xa1] = ROW(soft_op_mov_from_moffs, MOFFS),
    [0xa2] = ROW(soft_op_mov_to_moffs, MOFFS | BYTE),
    [0xa3] = ROW(soft_op_mov_to_moffs, MOFFS),
    [0xa4] = ROW(soft_op_movs, BYTE),
    [0xa5] = ROW(soft_op_movs, 0),
    [0xa6] = ROW(soft_op_cmps, BYTE),
    [0xa7] = ROW(soft_op_cmps, 0),
    [0xa8] = FAST(soft_op_test, IMM8 | BYTE, TEST),
    [0xa9] = FAST(soft_op_test, IMM_Z, TEST),
    [0xaa] = ROW(soft_op_stos, BYTE),
    [0xab] = ROW(soft_op_stos, 0),
    [0xac] = ROW(soft_op_lods, BYTE),
    [0xad] = ROW(soft_op_lods, 0),
    [0xae] = ROW(soft_op_scas, BYTE),
    [0xaf] = ROW(soft_op_scas, 0),
    [0xb0] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb1] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb2] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb3] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb4] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb5] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb6] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb7] = FAST(soft_op_mov_reg_imm, IMM8 | BYTE, MOV_REG_IMM),
    [0xb8] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xb9] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xba] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xbb] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xbc] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xbd] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xbe] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xbf] = FAST(soft_op_mov_reg_imm, IMM_FULL, MOV_REG_IMM),
    [0xc0] = FAST(soft_op_shift, MODRM | IMM8 | BYTE, SHIFT),
    [0xc1] = FAST(soft_op_shift, MODRM | IMM8, SHIFT),
    [0xc2] = ROW(soft_op_ret, IMM16 | BRANCH),
    [0xc3] = FAST(soft_op_ret, BRANCH, RET),
    [0xc6] = {.flags = SOFT_OP_GROUP, .data = group_c6},
    [0xc7] = {.flags = SOFT_OP_GROUP, .data = group_c7},
    [0xc8] = ROW(soft_op_enter, IMM16 | IMM8 | DEFAULT_64),
    [0xc9] = FAST(soft_op_leave, DEFAULT_64, LEAVE),
    [0xca] = ROW(soft_op_ret_far, IMM16),
    [0xcb] = ROW(soft_op_ret_far, 0),
    [0xcc] = ROW(soft_op_int3, 0),
    [0xcd] = ROW(soft_op_int, IMM8),
    [0xcf] = ROW(soft_op_iret, 0),
    [0xd0] = FAST(soft_op_shift, MODRM | BYTE, SHIFT),
    [0xd1] = FAST(soft_op_shift, MODRM, SHIFT),
    [0xd2] = FAST(soft_op_shift, MODRM | BYTE, SHIFT),
    [0xd3] = FAST(soft_op_shift, MODRM, SHIFT),
    [0xd7] = ROW(soft_op_xlat, 0),
    [0xe0] = ROW(soft_op_loop, IMM8_SIGNED | BRANCH),
    [0xe1] = ROW(soft_op_loop, IMM8_SIGNED | BRANCH),
    [0xe2] = ROW(soft_op_loop, IMM8_SIGNED | BRANCH),
    [0xe3] = ROW(soft_op_loop, IMM8_SIGNED | BRANCH),
    [0xe4] = ROW(soft_op_in, IMM8 | BYTE),
    [0xe5] = ROW(soft_op_in, IMM8),
    [0xe6] = ROW(soft_op_out, IMM8 | BYTE),
    [0xe7] = ROW(soft_op_out, IMM8),
    [0xe8] = FAST(soft_op_call, IMM_Z | BRANCH, CALL),
    [0xe9] = FAST(soft_op_jmp, IMM_Z | BRANCH, JMP),
    [0xeb] = FAST(soft_op_jmp, IMM8_SIGNED | BRANCH, JMP),
    [0xec] = ROW(soft_op_in, BYTE),
    [0xed] = ROW(soft_op_in, 0),
    [0xee] = ROW(soft_op_out, BYTE),
    [0xef] = ROW(soft_op_out, 0),
    [0xf1] = ROW(soft_op_int1, 0),
    [0xf4] = ROW(soft_op_hlt, 0),
    [0xf5] = ROW(soft_op_cmc, 0),
    [0xf6] = {.flags = SOFT_OP_GROUP, .data = group_f6},
    [0xf7] = {.flags = SOFT_OP_GROUP, .data = group_f7},
    [0xf8] = ROW(soft_op_clc, 0),
    [0xf9] = ROW(soft_op_stc, 0),
    [0xfa] = ROW(soft_op_cli, 0),
    [0xfb] = ROW(soft_op_sti, 0),
    [0xfc] = ROW(soft_op_cld, 0),
    [0xfd] = ROW(soft_op_std, 0),
    [0xfe] = {.flags = SOFT_OP_GROUP, .data = group_fe},
    [0xff] = {.flags = SOFT_OP_GROUP, .data = group_ff},
};

static const struct soft_opcode two_bytes[256] = {
    [0x00] = ROW(soft_op_group_0f00, MODRM),
    [0x01] = ROW(soft_op_group_0f01, MODRM),
    [0x02] = ROW(soft_op_lar, MODRM),
    [0x03] = ROW(soft_op_lsl, MODRM),
    [0x05] = ROW(soft_op_syscall, 0),
    [0x06] = ROW(soft_op_clts, 0),
    [0x07] = ROW(soft_op_sysret, 0),
    [0x08] = ROW(soft_op_invd, 0),
    [0x09] = ROW(soft_op_wbinvd, 0),
    [0x0b] = ROW(soft_op_ud, 0),
    [0x0d] = FAST(soft_op_nop, MODRM, NOP),
    [0x18] = FAST(soft_op_nop, MODRM, NOP),
    [0x19] = FAST(soft_op_nop, MODRM, NOP),
    [0x1a] = FAST(soft_op_nop, MODRM, NOP),
    [0x1b] = FAST(soft_op_nop, MODRM, NOP),
    [0x1c] = FAST(soft_op_nop, MODRM, NOP),
    [0x1d] = FAST(soft_op_nop, MODRM, NOP),
    [0x1e] = FAST(soft_op_nop, MODRM, NOP),
    [0x1f] = FAST(soft_op_nop, MODRM, NOP),
    [0x20] = ROW(soft_op_mov_from_cr, MODRM | REGISTERS),
    [0x21] = ROW(soft_op_mov_from_dr, MODRM | REGISTERS),
    [0x22] = ROW(soft_op_mov_to_cr, MODRM | REGISTERS),
    [0x23] = ROW(soft_op_mov_to_dr, MODRM | REGISTERS),
    [0x30] = ROW(soft_op_wrmsr, 0),
    [0x31] = ROW(soft_op_rdtsc, 0),
    [0x32] = ROW(soft_op_rdmsr, 0),
    [0x33] = ROW(soft_op_rdpmc, 0),
    [0x34] = ROW(soft_op_sysenter, 0),
    [0x35] = ROW(soft_op_sysexit, 0),
    [0x40] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x41] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x42] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x43] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x44] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x45] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x46] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x47] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x48] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x49] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4a] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4b] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4c] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4d] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4e] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x4f] = FAST(soft_op_cmov, MODRM, CMOV),
    [0x80] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x81] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x82] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x83] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x84] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x85] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x86] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x87] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x88] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x89] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8a] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8b] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8c] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8d] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8e] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x8f] = FAST(soft_op_jcc, IMM_Z | BRANCH, JCC),
    [0x90] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x91] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x92] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x93] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x94] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x95] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x96] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x97] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x98] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x99] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9a] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9b] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9c] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9d] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9e] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0x9f] = FAST(soft_op_setcc, MODRM | BYTE, SETCC),
    [0xa0] = ROW(soft_op_push_seg, DEFAULT_64),
    [0xa1] = ROW(soft_op_pop_seg, DEFAULT_64),
    [0xa2] = ROW(soft_op_cpuid, 0),
    [0xa3] = ROW(soft_op_bit_test, MODRM),
    [0xa4] = ROW(soft_op_shld, MODRM | IMM8),
    [0xa5] = ROW(soft_op_shld, MODRM),
    [0xa8] = ROW(soft_op_push_seg, DEFAULT_64),
    [0xa9] = ROW(soft_op_pop_seg, DEFAULT_64),
    [0xab] = ROW(soft_op_bit_test, MODRM | LOCK),
    [0xac] = ROW(soft_op_shrd, MODRM | IMM8),
    [0xad] = ROW(soft_op_shrd, MODRM),
    [0xae] = {.flags = SOFT_OP_BY_PREFIX, .data = group_0fae},
    [0xaf] = FAST(soft_op_imul_reg, MODRM, IMUL_REG),
    [0xb0] = ROW(soft_op_cmpxchg, MODRM | BYTE | LOCK),
    [0xb1] = ROW(soft_op_cmpxchg, MODRM | LOCK),
    [0xb2] = ROW(soft_op_lss_lfs_lgs, MODRM | MEMORY_ONLY),
    [0xb3] = ROW(soft_op_bit_test, MODRM | LOCK),
    [0xb4] = ROW(soft_op_lss_lfs_lgs, MODRM | MEMORY_ONLY),
    [0xb5] = ROW(soft_op_lss_lfs_lgs, MODRM | MEMORY_ONLY),
    [0xb6] = FAST(soft_op_movzx, MODRM, MOVZX),
    [0xb7] = FAST(soft_op_movzx, MODRM, MOVZX),
    [0xb8] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0fb8},
    [0xb9] = ROW(soft_op_ud, MODRM),
    [0xba] = {.flags = SOFT_OP_GROUP, .data = group_0fba},
    [0xbb] = ROW(soft_op_bit_test, MODRM | LOCK),
    [0xbc] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0fbc},
    [0xbd] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0fbd},
    [0xbe] = FAST(soft_op_movsx, MODRM, MOVSX),
    [0xbf] = FAST(soft_op_movsx, MODRM, MOVSX),
    [0xc0] = ROW(soft_op_xadd, MODRM | BYTE | LOCK),
    [0xc1] = ROW(soft_op_xadd, MODRM | LOCK),
    [0xc3] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0fc3},
    [0xc7] = {.flags = SOFT_OP_GROUP, .data = group_0fc7},
    [0xc8] = ROW(soft_op_bswap, 0),
    [0xc9] = ROW(soft_op_bswap, 0),
    [0xca] = ROW(soft_op_bswap, 0),
    [0xcb] = ROW(soft_op_bswap, 0),
    [0xcc] = ROW(soft_op_bswap, 0),
    [0xcd] = ROW(soft_op_bswap, 0),
    [0xce] = ROW(soft_op_bswap, 0),
    [0xcf] = ROW(soft_op_bswap, 0),
    [0xff] = ROW(soft_op_ud, MODRM),
};

static const struct soft_opcode three_bytes_38[256] = {
    [0x82] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0f3882},
    [0xf0] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0f38f0},
    [0xf1] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0f38f1},
    [0xf6] = {.flags = SOFT_OP_BY_PREFIX, .data = prefix_0f38f6},
};

/* The instructions of BMI1 and BMI2, which are encoded with VEX. */
struct vex_row {
    uint8_t map, opcode, prefix;
    uint8_t reg; /* ANY_REG, or the value of ModRM.reg */
    struct soft_opcode row;
};

#define ANY_REG 8u

static const struct vex_row vex_rows[] = {
    {SOFT_MAP_0F38, 0xf2, 0, ANY_REG, ROW(soft_op_andn, MODRM)},
    {SOFT_MAP_0F38, 0xf3, 0, 1, ROW(soft_op_bls, MODRM)},
    {SOFT_MAP_0F38, 0xf3, 0, 2, ROW(soft_op_bls, MODRM)},
    {SOFT_MAP_0F38, 0xf3, 0, 3, ROW(soft_op_bls, MODRM)},
    {SOFT_MAP_0F38, 0xf5, 0, ANY_REG, ROW(soft_op_bzhi, MODRM)},
    {SOFT_MAP_0F38, 0xf5, SOFT_PREFIX_REP, ANY_REG, ROW(soft_op_pext, MODRM)},
    {SOFT_MAP_0F38, 0xf5, SOFT_PREFIX_REPNE, ANY_REG, ROW(soft_op_pdep, MODRM)},
    {SOFT_MAP_0F38, 0xf6, SOFT_PREFIX_REPNE, ANY_REG, ROW(soft_op_mulx, MODRM)},
    {SOFT_MAP_0F38, 0xf7, 0, ANY_REG, ROW(soft_op_bextr, MODRM)},
    {SOFT_MAP_0F38, 0xf7, SOFT_PREFIX_OPSIZE, ANY_REG, ROW(soft_op_shlx, MODRM)},
    {SOFT_MAP_0F38, 0xf7, SOFT_PREFIX_REP, ANY_REG, ROW(soft_op_sarx, MODRM)},
    {SOFT_MAP_0F38, 0xf7, SOFT_PREFIX_REPNE, ANY_REG, ROW(soft_op_shrx, MODRM)},
    {SOFT_MAP_0F3A, 0xf0, SOFT_PREFIX_REPNE, ANY_REG, ROW(soft_op_rorx, MODRM | IMM8)},
};

static unsigned prefix_index(unsigned prefixes)
{
    if (prefixes & SOFT_PREFIX_REPNE)
        return 3;
    if (prefixes & SOFT_PREFIX_REP)
        return 2;
    return prefixes & SOFT_PREFIX_OPSIZE ? 1 : 0;
}

static const struct soft_opcode *table_row(enum soft_map map, uint8_t opcode)
{
    switch (map) {
    case SOFT_MAP_ONE_BYTE:
        return &one_byte[opcode];
    case SOFT_MAP_0F:
        return &two_bytes[opcode];
    case SOFT_MAP_0F38:
        return &three_bytes_38[opcode];
    default:
        return NULL;
    }
}

static bool form_fits(const struct soft_opcode *row, uint8_t modrm)
{
    if (row->flags & SOFT_OP_MEMORY_ONLY)
        return modrm < 0xc0;
    return !(row->flags & SOFT_OP_REGISTER_ONLY) || modrm >= 0xc0;
}

const struct soft_opcode *soft_integer_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm)
{
    const struct soft_opcode *row = table_row(map, opcode);
    while (row != NULL && row->flags & (SOFT_OP_GROUP | SOFT_OP_BY_PREFIX)) {
        const struct soft_opcode *rows = row->data;
        row = row->flags & SOFT_OP_GROUP ? &rows[modrm >> 3 & 7] : &rows[prefix_index(prefixes)];
    }
    return row != NULL && row->run != NULL && form_fits(row, modrm) ? row : NULL;
}

const struct soft_opcode *soft_vex_integer_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm,
                                                  bool vex_256)
{
    const unsigned prefix = prefixes & ~SOFT_PREFIX_VEX;
    for (size_t i = 0; i < sizeof vex_rows / sizeof vex_rows[0] && !vex_256; i++) {
        const struct vex_row *row = &vex_rows[i];
        if (row->map == map && row->opcode == opcode && row->prefix == prefix &&
            (row->reg == ANY_REG || row->reg == (modrm >> 3 & 7)))
            return &row->row;
    }
    return NULL;
}
