/*
 * Instruction encodings at random, from the structure of the opcode maps alone: every opcode, mandatory prefix, VEX
 * form, addressing form and prefix. Whether something is an instruction is for the processors to find out.
 */
#ifndef MH_TEST_ENCODING_H
#define MH_TEST_ENCODING_H

#include "chance.h"

enum form_map {
    FORM_ONE_BYTE,
    FORM_0F,
    FORM_0F38,
    FORM_0F3A,
};

/* The mandatory prefix, numbered as in VEX. */
enum form_prefix {
    FORM_NONE,
    FORM_66,
    FORM_F3,
    FORM_F2,
};

struct form {
    uint8_t map;
    uint8_t opcode;
    uint8_t prefix; /* of FORM_ONE_BYTE: none, chosen at random */
    bool vex, wide, w;
};

#define FORMS_MAX 16384u

/* All forms, in a fixed order. Returns how many. */
unsigned forms_all(struct form *forms);

#define NO_REGISTER 0xffu

struct encoding {
    struct form form;
    uint8_t bytes[24];
    unsigned length;
    uint8_t prefix; /* the mandatory prefix that applies: of the last F2 or F3, else 66 */
    bool has_modrm, has_memory, rip_relative;
    bool short_address; /* 67 */
    bool short_operand; /* 66 */
    bool rep;           /* F2 or F3 */
    bool lock;
    bool rex_w;
    uint8_t segment; /* MH_FS, MH_GS or MH_DS */
    uint8_t modrm;
    uint8_t reg, rm; /* with REX or VEX */
    uint8_t base, index, scale;
    int32_t displacement;
    uint8_t displacement_at, displacement_size; /* in bytes */
    uint8_t immediate_at, immediate_size;
};

/* What encoding_make() may use. */
#define ENCODING_SIMPLE 1u    /* no prefixes but REX.W and mandatory ones, only the first eight registers */
#define ENCODING_NO_MEMORY 2u /* a register in ModRM */
#define ENCODING_LIKELY 4u    /* rarely what is #UD for a reason beyond the opcode */

void encoding_make(struct chance *chance, const struct form *form, unsigned options, struct encoding *encoding);

/* Replace the displacement, which must fit. */
void encoding_set_displacement(struct encoding *encoding, int32_t displacement);

#endif
