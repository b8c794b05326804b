#include "x86/xsave.h"

#include <string.h>

/* Where things lie (Intel SDM volume 1, tables 10-2 and 13.4). */
enum area_layout {
    AREA_FCW = 0,
    AREA_FSW = 2,
    AREA_FTW = 4,
    AREA_FOP = 6,
    AREA_FIP = 8,
    AREA_FDP = 16,
    AREA_MXCSR = 24,
    AREA_ST = 32,
    AREA_XMM = 160,
    AREA_XSTATE_BV = 512,
    AREA_YMMH = 576,
};

/* The tag word of FSAVE (Intel SDM volume 1, 8.1.7). */
enum fpu_tag {
    TAG_VALID,
    TAG_ZERO,
    TAG_SPECIAL,
    TAG_EMPTY,
};

#define REGISTERS 16u

static enum fpu_tag tag_of(const uint8_t st[16])
{
    uint64_t significand;
    uint16_t exponent;
    memcpy(&significand, st, sizeof significand);
    memcpy(&exponent, st + sizeof significand, sizeof exponent);
    exponent &= 0x7fff;
    if (exponent == 0 && significand == 0)
        return TAG_ZERO;
    return exponent == 0 || exponent == 0x7fff || significand >> 63 == 0 ? TAG_SPECIAL : TAG_VALID;
}

/* The area has one bit a register, numbered physically; the full word has two, and st(0) is register TOP. */
static uint16_t full_tag(uint8_t abridged, uint16_t fstat, const uint8_t st[8][16])
{
    unsigned tag = 0, top = fstat >> 11 & 7;
    for (unsigned i = 0; i < 8; i++) {
        unsigned value = (abridged >> i & 1) == 0 ? TAG_EMPTY : tag_of(st[(i - top) & 7]);
        tag |= value << (2 * i);
    }
    return (uint16_t)tag;
}

static uint8_t abridged_tag(uint16_t full)
{
    unsigned tag = 0;
    for (unsigned i = 0; i < 8; i++)
        tag |= (full >> (2 * i) & 3) != TAG_EMPTY ? 1u << i : 0;
    return (uint8_t)tag;
}

void x86_xsave_to_fpu(const uint8_t area[MH_XSAVE_SIZE], uint64_t xcr0, struct mh_x86_fpu *fpu)
{
    *fpu = (struct mh_x86_fpu){.xcr0 = xcr0 | MH_XCR0_X87 | MH_XCR0_SSE};
    memcpy(&fpu->fctrl, area + AREA_FCW, sizeof fpu->fctrl);
    memcpy(&fpu->fstat, area + AREA_FSW, sizeof fpu->fstat);
    memcpy(&fpu->fop, area + AREA_FOP, sizeof fpu->fop);
    memcpy(&fpu->fip, area + AREA_FIP, sizeof fpu->fip);
    memcpy(&fpu->fdp, area + AREA_FDP, sizeof fpu->fdp);
    memcpy(&fpu->mxcsr, area + AREA_MXCSR, sizeof fpu->mxcsr);
    memcpy(fpu->st, area + AREA_ST, sizeof fpu->st);
    memcpy(fpu->xmm, area + AREA_XMM, REGISTERS * sizeof fpu->xmm[0]);
    if ((xcr0 & MH_XCR0_AVX) != 0)
        memcpy(fpu->ymmh, area + AREA_YMMH, REGISTERS * sizeof fpu->ymmh[0]);
    fpu->ftag = full_tag(area[AREA_FTW], fpu->fstat, (const uint8_t(*)[16])fpu->st);
}

void x86_xsave_from_fpu(uint8_t area[MH_XSAVE_SIZE], uint64_t xcr0, const struct mh_x86_fpu *fpu)
{
    uint64_t present;
    memcpy(area + AREA_FCW, &fpu->fctrl, sizeof fpu->fctrl);
    memcpy(area + AREA_FSW, &fpu->fstat, sizeof fpu->fstat);
    memcpy(area + AREA_FOP, &fpu->fop, sizeof fpu->fop);
    memcpy(area + AREA_FIP, &fpu->fip, sizeof fpu->fip);
    memcpy(area + AREA_FDP, &fpu->fdp, sizeof fpu->fdp);
    memcpy(area + AREA_MXCSR, &fpu->mxcsr, sizeof fpu->mxcsr);
    memcpy(area + AREA_ST, fpu->st, sizeof fpu->st);
    memcpy(area + AREA_XMM, fpu->xmm, REGISTERS * sizeof fpu->xmm[0]);
    area[AREA_FTW] = abridged_tag(fpu->ftag);
    memcpy(&present, area + AREA_XSTATE_BV, sizeof present);
    present |= MH_XCR0_X87 | MH_XCR0_SSE;
    if ((xcr0 & MH_XCR0_AVX) != 0) {
        memcpy(area + AREA_YMMH, fpu->ymmh, REGISTERS * sizeof fpu->ymmh[0]);
        present |= MH_XCR0_AVX;
    }
    memcpy(area + AREA_XSTATE_BV, &present, sizeof present);
}

#define FCW_INITIAL 0x37fu
#define MXCSR_INITIAL 0x1f80u
#define ST_SIZE 128u
#define XMM_SIZE 256u

static void init_x87(uint8_t area[MH_XSAVE_SIZE])
{
    static const uint16_t fcw = FCW_INITIAL;
    memset(area, 0, AREA_MXCSR);
    memcpy(area + AREA_FCW, &fcw, sizeof fcw);
    memset(area + AREA_ST, 0, ST_SIZE);
}

void x86_xsave_init(uint8_t area[MH_XSAVE_SIZE])
{
    static const uint32_t mxcsr = MXCSR_INITIAL, mxcsr_mask = 0xffff;
    memset(area, 0, MH_XSAVE_SIZE);
    init_x87(area);
    memcpy(area + AREA_MXCSR, &mxcsr, sizeof mxcsr);
    memcpy(area + AREA_MXCSR + sizeof mxcsr, &mxcsr_mask, sizeof mxcsr_mask);
}

void x86_xsave_fill_initial(uint8_t area[MH_XSAVE_SIZE])
{
    uint64_t in_use;
    memcpy(&in_use, area + AREA_XSTATE_BV, sizeof in_use);
    if ((in_use & MH_XCR0_X87) == 0)
        init_x87(area);
    if ((in_use & MH_XCR0_SSE) == 0)
        memset(area + AREA_XMM, 0, XMM_SIZE);
    if ((in_use & MH_XCR0_AVX) == 0)
        memset(area + AREA_YMMH, 0, XMM_SIZE);
}
