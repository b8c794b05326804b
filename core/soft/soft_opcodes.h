/* The tables of integer opcodes (Intel SDM volume 2, appendix A), as soft_decode.c looks them up. */
#ifndef MH_CORE_SOFT_SOFT_OPCODES_H
#define MH_CORE_SOFT_SOFT_OPCODES_H

#include "soft_cpu.h"

/* Further SOFT_OP_* for the tables of soft_opcodes.c. */
#define SOFT_OP_GROUP 0x0800u              /* `data` names 8 rows, one for each value of ModRM.reg */
#define SOFT_OP_BY_PREFIX 0x1000u          /* `data` names 4 rows: no prefix, 66, F3, F2 */
#define SOFT_OP_BRANCH 0x2000u             /* near branch: 64 bits; Intel processors ignore 66 */
#define SOFT_OP_MOFFS 0x4000u              /* the address is an immediate as long as an address */
#define SOFT_OP_MODRM_IS_REGISTERS 0x8000u /* ModRM.mod is ignored: MOV of control and debug registers */

/* soft_insn.code: the instructions of which soft_translate.c makes operations for the fast loop. */
enum soft_family {
    SOFT_FAMILY_NONE,
    SOFT_FAMILY_ALU,
    SOFT_FAMILY_CALL,
    SOFT_FAMILY_CALL_RM,
    SOFT_FAMILY_CBW,
    SOFT_FAMILY_CMOV,
    SOFT_FAMILY_CWD,
    SOFT_FAMILY_DEC,
    SOFT_FAMILY_DIV,
    SOFT_FAMILY_IDIV,
    SOFT_FAMILY_IMUL,
    SOFT_FAMILY_IMUL_IMM,
    SOFT_FAMILY_IMUL_REG,
    SOFT_FAMILY_INC,
    SOFT_FAMILY_JCC,
    SOFT_FAMILY_JMP,
    SOFT_FAMILY_JMP_RM,
    SOFT_FAMILY_LEA,
    SOFT_FAMILY_LEAVE,
    SOFT_FAMILY_MOVSX,
    SOFT_FAMILY_MOVSXD,
    SOFT_FAMILY_MOVZX,
    SOFT_FAMILY_MOV_IMM,
    SOFT_FAMILY_MOV_LOAD,
    SOFT_FAMILY_MOV_REG_IMM,
    SOFT_FAMILY_MOV_STORE,
    SOFT_FAMILY_MUL,
    SOFT_FAMILY_NEG,
    SOFT_FAMILY_NOP,
    SOFT_FAMILY_NOT,
    SOFT_FAMILY_POP_REG,
    SOFT_FAMILY_PUSH_IMM,
    SOFT_FAMILY_PUSH_REG,
    SOFT_FAMILY_RET,
    SOFT_FAMILY_SETCC,
    SOFT_FAMILY_SHIFT,
    SOFT_FAMILY_TEST,
    SOFT_FAMILY_XCHG_RAX,
};

/* The row of an opcode, or NULL when the integer tables have none for it. `modrm` is the byte behind the opcode. */
const struct soft_opcode *soft_integer_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm);

/* The same with a VEX prefix: the instructions of BMI1 and BMI2. */
const struct soft_opcode *soft_vex_integer_opcode(enum soft_map map, uint8_t opcode, unsigned prefixes, uint8_t modrm,
                                                  bool vex_256);

#endif
