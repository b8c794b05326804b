/*
 * All of these concern instructions that end with an exception, what an operating system cannot rely on, and what the
 * manuals leave open:
 *
 * - Long operands are loaded and stored in an order of the processor's own, so CR2 names any of their bytes that cannot
 *   be accessed.
 * - IRET of the host sets AC before it reads the rest of a misaligned frame, and then raises #AC. Linux looks for AC in
 *   the flags of before, and does not know what to make of the exception: it runs the instruction again for ever.
 * - CALL, ENTER and stores of 80 bits of the host write to memory before they find that the target or the rest of the
 *   memory is not there. The software processor changes nothing then.
 * - MMX stores of the host make the x87 registers MMX registers before they find that they cannot store; VCVTPS2PH sets
 *   flags of MXCSR.
 * - #XM with an overflow or underflow that is not masked: whether the result would have been inexact with an unbounded
 *   exponent is not to be seen in an execution with the exception masked.
 */
#include "known.h"

struct row {
    uint8_t vex, map, first, last;
    uint8_t regs; /* a bit for each value of ModRM.reg */
    uint8_t tolerated;
};

#define LEGACY 1u
#define VEX 2u
#define REG(n) (1u << (n))
#define ANY_REG 0xffu

static const struct row rows[] = {
    {LEGACY, FORM_ONE_BYTE, 0xcf, 0xcf, ANY_REG, TOLERATE_HANG | TOLERATE_CR2},           /* IRET */
    {LEGACY, FORM_ONE_BYTE, 0xc8, 0xc8, ANY_REG, TOLERATE_STORES},                        /* ENTER */
    {LEGACY, FORM_ONE_BYTE, 0xff, 0xff, REG(2) | REG(3), TOLERATE_STORES},                /* CALL */
    {LEGACY, FORM_ONE_BYTE, 0xe8, 0xe8, ANY_REG, TOLERATE_STORES},                        /* CALL */
    {LEGACY, FORM_ONE_BYTE, 0xd9, 0xd9, REG(4) | REG(6), TOLERATE_CR2 | TOLERATE_STORES}, /* FLDENV, FNSTENV */
    {LEGACY, FORM_ONE_BYTE, 0xdb, 0xdb, REG(7), TOLERATE_STORES},                         /* FSTP m80 */
    {LEGACY, FORM_ONE_BYTE, 0xdf, 0xdf, REG(6), TOLERATE_STORES},                         /* FBSTP */
    {LEGACY, FORM_ONE_BYTE, 0xdd, 0xdd, REG(4) | REG(6), TOLERATE_CR2 | TOLERATE_STORES}, /* FRSTOR, FNSAVE */
    {LEGACY, FORM_0F, 0xae, 0xae, REG(0) | REG(1) | REG(4) | REG(5) | REG(6),
     TOLERATE_CR2 | TOLERATE_STORES},                                          /* FXSAVE, XSAVE, ... */
    {LEGACY, FORM_0F, 0x7e, 0x7f, ANY_REG, TOLERATE_X87},                      /* MOVD, MOVQ */
    {LEGACY, FORM_0F, 0xe7, 0xe7, ANY_REG, TOLERATE_X87},                      /* MOVNTQ */
    {LEGACY | VEX, FORM_0F, 0xf7, 0xf7, ANY_REG, TOLERATE_CR2 | TOLERATE_X87}, /* MASKMOVQ, MASKMOVDQU */
    {VEX, FORM_0F38, 0x2c, 0x2f, ANY_REG, TOLERATE_CR2},                       /* VMASKMOVPS, VMASKMOVPD */
    {VEX, FORM_0F38, 0x8c, 0x8e, ANY_REG, TOLERATE_CR2},                       /* VPMASKMOV */
    {VEX, FORM_0F3A, 0x1d, 0x1d, ANY_REG, TOLERATE_MXCSR},                     /* VCVTPS2PH */
};

unsigned known_of(const struct encoding *encoding)
{
    const struct form *form = &encoding->form;
    unsigned tolerated = TOLERATE_PE;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        bool reg_matches = row->regs == ANY_REG || (row->regs >> (encoding->modrm >> 3 & 7) & 1) != 0;
        if ((row->vex & (form->vex ? VEX : LEGACY)) != 0 && row->map == form->map && form->opcode >= row->first &&
            form->opcode <= row->last && reg_matches)
            tolerated |= row->tolerated;
    }
    return tolerated;
}
