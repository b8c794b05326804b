#include "skipped.h"

#define REG(n) (1u << (n))
#define ANY_REG 0xffu
#define ANY_PREFIX 0xfu
#define P_NONE 1u
#define P_66 2u
#define P_F3 4u
#define P_F2 8u
#define IN_MEMORY 1u
#define IN_REGISTER 2u
#define ANYWHERE 3u
#define LEGACY 1u
#define VEX 2u

struct row {
    const char *name;
    uint8_t vex, map, first, last;
    uint8_t prefixes, regs, where;
    bool wide_only;
    uint8_t rm; /* a bit for each value of ModRM.rm; 0: any */
    /* executed when the guest's CPUID has this feature; leaf 0: never */
    uint32_t leaf;
    uint8_t reg, bit;
};

#define CPUID_7_EBX(n) .leaf = 7, .reg = 1, .bit = (n)
#define CPUID_7_ECX(n) .leaf = 7, .reg = 2, .bit = (n)

static const struct row rows[] = {
    /* what would call the host's kernel or leave the process */
    {"SYSCALL, SYSENTER: would call Linux", LEGACY, FORM_0F, 0x05, 0x05, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"SYSCALL, SYSENTER: would call Linux", LEGACY, FORM_0F, 0x34, 0x34, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    /* what is different on every host, or at every time */
    {"RDTSC: time", LEGACY, FORM_0F, 0x31, 0x31, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"RDPMC: time, and CR4.PCE is the host's", LEGACY, FORM_0F, 0x33, 0x33, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"CPUID: the guest's is not the host's", LEGACY, FORM_0F, 0xa2, 0xa2, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"RDRAND, RDSEED: chance", LEGACY, FORM_0F, 0xc7, 0xc7, ANY_PREFIX, REG(6) | REG(7), .where = IN_REGISTER},
    {"XGETBV: the guest's XCR0 is not the host's", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX, REG(2),
     .where = IN_REGISTER},
    {"RDTSCP, MONITORX, MWAITX, SWAPGS, CLZERO: time, or not the guest's", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX,
     REG(7), .where = IN_REGISTER},
    {"VMCALL and others: would call the host's hypervisor", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX, REG(0) | REG(3),
     .where = IN_REGISTER},
    {"MONITOR, MWAIT, CLAC, STAC, ENCLS: the host's hypervisor decides", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX,
     REG(1), .where = IN_REGISTER},
    {"SERIALIZE, RDPKRU and others: not the guest's", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX, REG(5),
     .where = IN_REGISTER},
    {"GETSEC: the host's hypervisor decides", LEGACY, FORM_0F, 0x37, 0x37, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"VMPTRLD and others: the host's hypervisor decides", LEGACY, FORM_0F, 0xc7, 0xc7, ANY_PREFIX, REG(6) | REG(7),
     .where = IN_MEMORY},
    {"VMREAD, VMWRITE: the host's hypervisor decides", LEGACY, FORM_0F, 0x78, 0x79, ANY_PREFIX, ANY_REG,
     .where = ANYWHERE},
    {"INVEPT, INVVPID, INVPCID: the host's hypervisor decides", LEGACY, FORM_0F38, 0x80, 0x82, ANY_PREFIX, ANY_REG,
     .where = ANYWHERE},
    /* what Linux does for a program that must not do it (CR4.UMIP) */
    {"SLDT, STR: Linux emulates them", LEGACY, FORM_0F, 0x00, 0x00, ANY_PREFIX, REG(0) | REG(1), .where = ANYWHERE},
    {"SGDT, SIDT, SMSW: Linux emulates them", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX, REG(0) | REG(1) | REG(4),
     .where = IN_MEMORY},
    {"SGDT, SIDT, SMSW: Linux emulates them", LEGACY, FORM_0F, 0x01, 0x01, ANY_PREFIX, REG(4), .where = IN_REGISTER},
    {"XSAVEC, XSAVEOPT, XSAVES: what they leave out depends on what came before", LEGACY, FORM_0F, 0xc7, 0xc7,
     ANY_PREFIX, REG(3) | REG(4) | REG(5), .where = IN_MEMORY},
    {"XSAVEC, XSAVEOPT, XSAVES: what they leave out depends on what came before", LEGACY, FORM_0F, 0xae, 0xae, P_NONE,
     REG(6), .where = IN_MEMORY},
    /* what the software processor does not promise, and the host may have */
    {"RTM", LEGACY, FORM_ONE_BYTE, 0xc6, 0xc7, ANY_PREFIX, REG(7), .where = IN_REGISTER, .rm = 1},
    {"CLWB", LEGACY, FORM_0F, 0xae, 0xae, P_66, REG(6), .where = IN_MEMORY, CPUID_7_EBX(24)},
    {"CLFLUSHOPT", LEGACY, FORM_0F, 0xae, 0xae, P_66, REG(7), .where = IN_MEMORY, CPUID_7_EBX(23)},
    {"PTWRITE, UMONITOR, UMWAIT, TPAUSE", LEGACY, FORM_0F, 0xae, 0xae, P_F3, REG(4), .where = ANYWHERE},
    {"PTWRITE, UMONITOR, UMWAIT, TPAUSE", LEGACY, FORM_0F, 0xae, 0xae, P_66 | P_F3 | P_F2, REG(6),
     .where = IN_REGISTER},
    {"SHA", LEGACY, FORM_0F38, 0xc8, 0xcd, P_NONE, ANY_REG, .where = ANYWHERE, CPUID_7_EBX(29)},
    {"SHA", LEGACY, FORM_0F3A, 0xcc, 0xcc, P_NONE, ANY_REG, .where = ANYWHERE, CPUID_7_EBX(29)},
    {"GFNI", LEGACY | VEX, FORM_0F38, 0xcf, 0xcf, P_66, ANY_REG, .where = ANYWHERE, CPUID_7_ECX(8)},
    {"GFNI", LEGACY | VEX, FORM_0F3A, 0xce, 0xcf, P_66, ANY_REG, .where = ANYWHERE, CPUID_7_ECX(8)},
    {"VAES", VEX, FORM_0F38, 0xdc, 0xdf, P_66, ANY_REG, .where = ANYWHERE, .wide_only = true, CPUID_7_ECX(9)},
    {"VPCLMULQDQ", VEX, FORM_0F3A, 0x44, 0x44, P_66, ANY_REG, .where = ANYWHERE, .wide_only = true, CPUID_7_ECX(10)},
    {"AVX-VNNI", VEX, FORM_0F38, 0x50, 0x53, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-IFMA, AVX-NE-CONVERT, AVX-VNNI-INT", VEX, FORM_0F38, 0xb0, 0xb5, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-IFMA, AVX-NE-CONVERT, AVX-VNNI-INT", VEX, FORM_0F38, 0x72, 0x72, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-IFMA, AVX-NE-CONVERT, AVX-VNNI-INT", VEX, FORM_0F38, 0xd2, 0xd3, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"MOVDIRI, MOVDIR64B, ENQCMD", LEGACY, FORM_0F38, 0xf8, 0xf9, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-512 mask registers", VEX, FORM_0F, 0x41, 0x4b, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-512 mask registers", VEX, FORM_0F, 0x90, 0x93, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-512 mask registers", VEX, FORM_0F, 0x98, 0x99, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
    {"AVX-512 mask registers", VEX, FORM_0F3A, 0x30, 0x33, ANY_PREFIX, ANY_REG, .where = ANYWHERE},
};

#define ROWS (sizeof rows / sizeof rows[0])
#define ROW_INT80 ROWS

static bool applies(const struct row *row, const struct encoding *encoding)
{
    const struct form *form = &encoding->form;
    if ((row->vex & (form->vex ? VEX : LEGACY)) == 0 || row->map != form->map || form->opcode < row->first ||
        form->opcode > row->last)
        return false;
    if ((row->prefixes >> encoding->prefix & 1) == 0 || (row->wide_only && !form->wide))
        return false;
    if (!encoding->has_modrm)
        return row->regs == ANY_REG;
    if ((row->rm != 0 && (row->rm >> (encoding->modrm & 7) & 1) == 0))
        return false;
    return (row->regs >> (encoding->modrm >> 3 & 7) & 1) != 0 &&
           (row->where & (encoding->has_memory ? IN_MEMORY : IN_REGISTER)) != 0;
}

int skipped_row(const struct soft_side *side, const struct encoding *encoding)
{
    const struct form *form = &encoding->form;
    if (form->map == FORM_ONE_BYTE && form->opcode == 0xcd && encoding->bytes[encoding->immediate_at] == 0x80)
        return ROW_INT80;
    for (unsigned i = 0; i < ROWS; i++)
        if (applies(&rows[i], encoding) &&
            (rows[i].leaf == 0 || !soft_side_has(side, rows[i].leaf, 0, rows[i].reg, rows[i].bit)))
            return (int)i;
    return -1;
}

unsigned skipped_rows(void)
{
    return ROWS + 1;
}

const char *skipped_name(unsigned row)
{
    return row == ROW_INT80 ? "INT 80: would call Linux" : rows[row].name;
}
