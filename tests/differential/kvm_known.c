#include "kvm_known.h"

#define REG(n) (1u << (n))
#define ANY_REG 0xffu
#define IN_MEMORY 1u
#define IN_REGISTER 2u
#define ANYWHERE 3u
#define LEGACY 1u
#define VEX 2u
#define VEX_256 4u
#define P_NONE 1u
#define P_66 2u
#define P_F3 4u
#define P_F2 8u
#define ANY_PREFIX 0xfu

#define VECTOR_SIZE 32u
#define SYSRET_FLAGS 0x1a0000u /* VM, VIF, VIP */

#define VECTOR_INVALID_OPCODE 6
#define VECTOR_STACK 12
#define VECTOR_PROTECTION 13
#define VECTOR_PAGE_FAULT 14

struct row {
    const char *name;
    uint8_t form, map, first, last;
    uint8_t prefixes;
    uint8_t regs; /* a bit for each value of ModRM.reg */
    uint8_t where;
    bool faults; /* only when it ends with an exception */
};

static const struct row rows[] = {
    /* what differs from one time to another, or from one machine to another */
    {"RDTSC: time", LEGACY, SOFT_MAP_0F, 0x31, 0x31, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"RDTSCP: time", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX, REG(7), IN_REGISTER, false},
    {"RDPMC: KVM has counters", LEGACY, SOFT_MAP_0F, 0x33, 0x33, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"VMCALL, VMMCALL, VMRUN: KVM answers calls", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX, REG(0) | REG(3),
     IN_REGISTER, false},
    {"MONITOR, MWAIT: KVM does nothing", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX, REG(1), IN_REGISTER, false},
    {"XSAVEC, XSAVEOPT: what they leave out depends on what came before", LEGACY, SOFT_MAP_0F, 0xc7, 0xc7, ANY_PREFIX,
     REG(3) | REG(4) | REG(5), IN_MEMORY, false},
    {"XSAVEC, XSAVEOPT: what they leave out depends on what came before", LEGACY, SOFT_MAP_0F, 0xae, 0xae, ANY_PREFIX,
     REG(6), IN_MEMORY, false},

    /* what leads to a mode, or to page tables, that one of them does not have */
    {"MOV to CR0, CR3, CR4: another mode", LEGACY, SOFT_MAP_0F, 0x22, 0x22, ANY_PREFIX, REG(0) | REG(3) | REG(4),
     ANYWHERE, false},
    {"LMSW: another mode", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX, REG(6), ANYWHERE, false},

    /* what the manuals leave undefined */
    {"BT, BTC, BTR, BTS: OF, SF, AF, PF", LEGACY, SOFT_MAP_0F, 0xa3, 0xa3, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"BT, BTC, BTR, BTS: OF, SF, AF, PF", LEGACY, SOFT_MAP_0F, 0xab, 0xab, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"BT, BTC, BTR, BTS: OF, SF, AF, PF", LEGACY, SOFT_MAP_0F, 0xb3, 0xb3, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"BT, BTC, BTR, BTS: OF, SF, AF, PF", LEGACY, SOFT_MAP_0F, 0xba, 0xbb, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"LAR: bits 16 to 19", LEGACY, SOFT_MAP_0F, 0x02, 0x02, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"the order in which memory is accessed", LEGACY, SOFT_MAP_ONE_BYTE, 0xc8, 0xc8, ANY_PREFIX, ANY_REG, ANYWHERE,
     false}, /* ENTER */

    /* what QEMU's processors do otherwise */
    {"ADCX, ADOX: QEMU sets flags that they do not change", LEGACY, SOFT_MAP_0F38, 0xf6, 0xf6, P_66 | P_F3, ANY_REG,
     ANYWHERE, false},
    {"FS, GS: QEMU clears the base with a null selector, which AMD's do not", LEGACY, SOFT_MAP_ONE_BYTE, 0x8e, 0x8e,
     ANY_PREFIX, REG(4) | REG(5), ANYWHERE, false},
    {"FS, GS: QEMU clears the base with a null selector, which AMD's do not", LEGACY, SOFT_MAP_0F, 0xa1, 0xa1,
     ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"FS, GS: QEMU clears the base with a null selector, which AMD's do not", LEGACY, SOFT_MAP_0F, 0xa9, 0xa9,
     ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"FS, GS: QEMU clears the base with a null selector, which AMD's do not", LEGACY, SOFT_MAP_0F, 0xb4, 0xb5,
     ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"FLDCW, FLDENV: #MF is late in QEMU", LEGACY, SOFT_MAP_ONE_BYTE, 0xd9, 0xd9, ANY_PREFIX, REG(4) | REG(5),
     IN_MEMORY, false},
    {"FRSTOR: #MF is late in QEMU", LEGACY, SOFT_MAP_ONE_BYTE, 0xdd, 0xdd, ANY_PREFIX, REG(4), IN_MEMORY, false},
    {"x87 stores: QEMU sets flags first", LEGACY, SOFT_MAP_ONE_BYTE, 0xd8, 0xdf, ANY_PREFIX, ANY_REG, IN_MEMORY, true},
    {"FXRSTOR, LDMXCSR, XRSTOR: QEMU has no #XM", LEGACY | VEX, SOFT_MAP_0F, 0xae, 0xae, ANY_PREFIX,
     REG(1) | REG(2) | REG(5), IN_MEMORY, false},
    {"MMX: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F, 0x60, 0x7f, P_NONE, ANY_REG, ANYWHERE,
     false},
    {"MMX: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F, 0xc4, 0xc5, P_NONE, ANY_REG, ANYWHERE,
     false},
    {"MMX: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F, 0xd1, 0xfe, P_NONE, ANY_REG, ANYWHERE,
     false},
    {"MMX: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F38, 0x00, 0x1e, P_NONE, ANY_REG, ANYWHERE,
     false},
    {"MMX: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F3A, 0x0f, 0x0f, P_NONE, ANY_REG, ANYWHERE,
     false},
    {"MOVDQ2Q, MOVQ2DQ: QEMU does not fill the rest of x87 registers", LEGACY, SOFT_MAP_0F, 0xd6, 0xd6, P_F2 | P_F3,
     ANY_REG, ANYWHERE, false},
    {"CVTPI2PS and others of MMX: QEMU does not always leave x87", LEGACY, SOFT_MAP_0F, 0x2a, 0x2d, P_NONE | P_66,
     ANY_REG, ANYWHERE, false},
    {"VMASKMOV, VPMASKMOV: QEMU accesses what is masked", VEX, SOFT_MAP_0F38, 0x2c, 0x2f, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"VMASKMOV, VPMASKMOV: QEMU accesses what is masked", VEX, SOFT_MAP_0F38, 0x8c, 0x8e, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"VROUNDSS, VROUNDSD: an assertion in QEMU 7.2 fails", VEX, SOFT_MAP_0F3A, 0x0a, 0x0b, ANY_PREFIX, ANY_REG,
     ANYWHERE, false},
    {"scalars with VEX.L: #UD in QEMU", VEX_256, SOFT_MAP_0F, 0x10, 0xff, P_F2 | P_F3, ANY_REG, ANYWHERE, false},
    {"scalars with VEX.L: #UD in QEMU", VEX_256, SOFT_MAP_0F, 0x2e, 0x2f, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"scalars with VEX.L: #UD in QEMU", VEX_256, SOFT_MAP_0F38, 0x99, 0xbf, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"PAUSE with REX.B: QEMU exchanges registers", LEGACY, SOFT_MAP_ONE_BYTE, 0x90, 0x90, P_F3, ANY_REG, ANYWHERE,
     false},
    {"TEST in another encoding: QEMU does not have it", LEGACY, SOFT_MAP_ONE_BYTE, 0xf6, 0xf7, ANY_PREFIX, REG(1),
     ANYWHERE, false},
    {"prefetching a register: #UD in QEMU", LEGACY, SOFT_MAP_0F, 0x0d, 0x0d, ANY_PREFIX, ANY_REG, IN_REGISTER, false},
    {"prefetching a register: #UD in QEMU", LEGACY, SOFT_MAP_0F, 0x18, 0x18, ANY_PREFIX, ANY_REG, IN_REGISTER, false},
    {"RSQRT, RCP: QEMU rounds as MXCSR says", LEGACY | VEX, SOFT_MAP_0F, 0x52, 0x53, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"FNSTENV, FNSAVE: pointers and opcode of QEMU", LEGACY, SOFT_MAP_ONE_BYTE, 0xd9, 0xd9, ANY_PREFIX, REG(6),
     IN_MEMORY, false},
    {"FNSTENV, FNSAVE: pointers and opcode of QEMU", LEGACY, SOFT_MAP_ONE_BYTE, 0xdd, 0xdd, ANY_PREFIX, REG(6),
     IN_MEMORY, false},
    {"CLFLUSH, CLFLUSHOPT, CLWB: QEMU does not look whether the memory is there", LEGACY, SOFT_MAP_0F, 0xae, 0xae,
     ANY_PREFIX, REG(6) | REG(7), IN_MEMORY, true},
    {"MASKMOVDQU: the order in which memory is accessed", LEGACY | VEX, SOFT_MAP_0F, 0xf7, 0xf7, ANY_PREFIX, ANY_REG,
     ANYWHERE, true},
    {"SGDT, SIDT: QEMU stores the limit first", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX, REG(0) | REG(1), IN_MEMORY,
     true},
    {"SGDT, SIDT with 66: QEMU stores 24 bits of the base", LEGACY, SOFT_MAP_0F, 0x01, 0x01, P_66, REG(0) | REG(1),
     IN_MEMORY, false},
    {"INT n without a gate: QEMU returns to the next instruction", LEGACY, SOFT_MAP_ONE_BYTE, 0xcd, 0xcd, ANY_PREFIX,
     ANY_REG, ANYWHERE, true},
    {"INT1: QEMU raises it as INT n", LEGACY, SOFT_MAP_ONE_BYTE, 0xf1, 0xf1, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"MOV to DR6, DR7: QEMU's breakpoints are not the manual's", LEGACY, SOFT_MAP_0F, 0x23, 0x23, ANY_PREFIX,
     REG(4) | REG(5) | REG(6) | REG(7), ANYWHERE, false},
    {"LGDT, LIDT: QEMU takes addresses that are not canonical", LEGACY, SOFT_MAP_0F, 0x01, 0x01, ANY_PREFIX,
     REG(2) | REG(3), IN_MEMORY, true},
};

static unsigned prefix_bit(const struct soft_insn *insn)
{
    if ((insn->prefixes & SOFT_PREFIX_REP) != 0)
        return P_F3;
    if ((insn->prefixes & SOFT_PREFIX_REPNE) != 0)
        return P_F2;
    return (insn->prefixes & SOFT_PREFIX_OPSIZE) != 0 ? P_66 : P_NONE;
}

static unsigned form_bits(const struct soft_insn *insn)
{
    if ((insn->prefixes & SOFT_PREFIX_VEX) == 0)
        return LEGACY;
    return insn->vex_256 ? VEX | VEX_256 : VEX;
}

static bool row_applies(const struct row *row, const struct soft_insn *insn)
{
    return (row->form & form_bits(insn)) != 0 && row->map == insn->map && insn->opcode >= row->first &&
           insn->opcode <= row->last && (row->prefixes & prefix_bit(insn)) != 0 &&
           (row->regs == ANY_REG || (row->regs >> (insn->modrm >> 3 & 7) & 1) != 0) &&
           (row->where & (insn->has_memory ? IN_MEMORY : IN_REGISTER)) != 0;
}

/* A KVM whose emulator executes ring 0, and whose host executes ring 3, beside all of the above. */
static const struct row emulator_rows[] = {
    {"CPUID: that of the host", LEGACY, SOFT_MAP_0F, 0xa2, 0xa2, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"SYSRET, SYSEXIT: IF is always set in ring 3", LEGACY, SOFT_MAP_0F, 0x07, 0x07, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"SYSRET, SYSEXIT: IF is always set in ring 3", LEGACY, SOFT_MAP_0F, 0x35, 0x35, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"IRET: IF is always set in ring 3", LEGACY, SOFT_MAP_ONE_BYTE, 0xcf, 0xcf, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"RETF: IF is always set in ring 3", LEGACY, SOFT_MAP_ONE_BYTE, 0xca, 0xcb, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"SYSCALL: AC is lost", LEGACY, SOFT_MAP_0F, 0x05, 0x05, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"POPF: IOPL is always 0", LEGACY, SOFT_MAP_ONE_BYTE, 0x9d, 0x9d, ANY_PREFIX, ANY_REG, ANYWHERE, false},
    {"MOVS, STOS across a page's end: part is stored", LEGACY, SOFT_MAP_ONE_BYTE, 0xa4, 0xab, ANY_PREFIX, ANY_REG,
     ANYWHERE, true},
    {"WRMSR: takes addresses that are not canonical", LEGACY, SOFT_MAP_0F, 0x30, 0x30, ANY_PREFIX, ANY_REG, ANYWHERE,
     true},
    {"LLDT, LTR: no selector in the error code", LEGACY, SOFT_MAP_0F, 0x00, 0x00, ANY_PREFIX, REG(2) | REG(3), ANYWHERE,
     true},
    {"LZCNT, TZCNT: those of the host, or BSR and BSF", LEGACY, SOFT_MAP_0F, 0xbc, 0xbd, P_F3, ANY_REG, ANYWHERE,
     false},
    {"rotation by an immediate: OF, which is undefined", LEGACY, SOFT_MAP_ONE_BYTE, 0xc0, 0xc1, ANY_PREFIX,
     REG(0) | REG(1), ANYWHERE, false},
    {"STR, SLDT: more than 16 bits are stored", LEGACY, SOFT_MAP_0F, 0x00, 0x00, ANY_PREFIX, REG(0) | REG(1), IN_MEMORY,
     false},
    {"MOVBE: #UD", LEGACY, SOFT_MAP_0F38, 0xf0, 0xf1, ANY_PREFIX, ANY_REG, IN_MEMORY, false},
    {"MOV of a segment register: REX.R counts", LEGACY, SOFT_MAP_ONE_BYTE, 0x8c, 0x8e, ANY_PREFIX, ANY_REG, ANYWHERE,
     false},
    {"CMPS: the order in which memory is accessed", LEGACY, SOFT_MAP_ONE_BYTE, 0xa6, 0xa7, ANY_PREFIX, ANY_REG,
     ANYWHERE, false},
};

static const char *find_row(const struct row *table, size_t count, const struct soft_insn *insn, bool faults)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].faults == faults && row_applies(&table[i], insn))
            return table[i].name;
    return NULL;
}

#define FIND_ROW(table, insn, faults) find_row(table, sizeof(table) / sizeof(table)[0], insn, faults)

/* ---- what the table cannot say ---- */

static bool is_0f(const struct soft_insn *insn, uint8_t first, uint8_t last)
{
    return insn->map == SOFT_MAP_0F && (insn->prefixes & SOFT_PREFIX_VEX) == 0 && insn->opcode >= first &&
           insn->opcode <= last;
}

static bool is_one_byte(const struct soft_insn *insn, uint8_t first, uint8_t last)
{
    return insn->map == SOFT_MAP_ONE_BYTE && insn->opcode >= first && insn->opcode <= last;
}

static bool is_other_msr(const struct soft_insn *insn, uint32_t index)
{
    if (!is_0f(insn, 0x30, 0x30) && !is_0f(insn, 0x32, 0x32))
        return false;
    return !(index >= 0xc0000082 && index <= 0xc0000083) && !(index >= 0xc0000100 && index <= 0xc0000102) &&
           !(index >= 0x175 && index <= 0x176);
}

static bool is_legacy_prefix(uint8_t byte)
{
    return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 || byte == 0x26 ||
           byte == 0x2e || byte == 0x36 || byte == 0x3e || byte == 0x64 || byte == 0x65;
}

/* A REX prefix counts only directly before the opcode. */
static bool has_idle_rex(const uint8_t *bytes)
{
    unsigned i = 0;
    bool is_idle = false;
    while (i < CPU_INSTRUCTION_MAX - 1 && (is_legacy_prefix(bytes[i]) || (bytes[i] & 0xf0) == 0x40)) {
        is_idle |= (bytes[i] & 0xf0) == 0x40 && (is_legacy_prefix(bytes[i + 1]) || (bytes[i + 1] & 0xf0) == 0x40);
        i++;
    }
    return is_idle;
}

static bool has_ss_prefix(const uint8_t *bytes)
{
    unsigned i = 0;
    while (i < CPU_INSTRUCTION_MAX - 1 && bytes[i] != 0x36 && (is_legacy_prefix(bytes[i]) || (bytes[i] & 0xf0) == 0x40))
        i++;
    return bytes[i] == 0x36;
}

static bool is_near_branch(const struct soft_insn *insn)
{
    const uint8_t reg = insn->modrm >> 3 & 7;
    return is_0f(insn, 0x80, 0x8f) || is_one_byte(insn, 0x70, 0x7f) || is_one_byte(insn, 0xc2, 0xc3) ||
           is_one_byte(insn, 0xe0, 0xe3) || is_one_byte(insn, 0xe8, 0xe9) || is_one_byte(insn, 0xeb, 0xeb) ||
           (is_one_byte(insn, 0xff, 0xff) && (reg == 2 || reg == 4));
}

static bool is_far_branch(const struct soft_insn *insn)
{
    const uint8_t reg = insn->modrm >> 3 & 7;
    return is_one_byte(insn, 0xca, 0xcb) || is_one_byte(insn, 0xcf, 0xcf) ||
           (is_one_byte(insn, 0xff, 0xff) && (reg == 3 || reg == 5));
}

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* SETcc, CMOVcc, ADC, SBB, RCL, RCR, PUSHF. */
static bool reads_flags(const struct soft_insn *insn)
{
    const uint8_t reg = insn->modrm >> 3 & 7;
    return is_0f(insn, 0x40, 0x4f) || is_0f(insn, 0x90, 0x9f) || is_one_byte(insn, 0x10, 0x1f) ||
           (is_one_byte(insn, 0x80, 0x83) && (reg == 2 || reg == 3)) ||
           ((is_one_byte(insn, 0xc0, 0xc1) || is_one_byte(insn, 0xd0, 0xd3)) && (reg == 2 || reg == 3)) ||
           is_one_byte(insn, 0x9c, 0x9c);
}

static uint64_t linear_address(const struct soft_insn *insn, const struct mh_x86_general *general)
{
    uint64_t address = (uint64_t)(int64_t)insn->displacement;
    if (insn->rip_relative)
        address += general->rip + insn->length;
    if (insn->base != SOFT_NO_REGISTER)
        address += general->gpr[insn->base];
    if (insn->index != SOFT_NO_REGISTER)
        address += general->gpr[insn->index] << insn->scale;
    return address;
}

const char *kvm_known_instruction(const struct soft_insn *insn, const uint8_t *bytes,
                                  const struct mh_x86_general *before, bool is_emulator)
{
    const char *row = FIND_ROW(rows, insn, false);
    if (row == NULL && is_emulator)
        row = FIND_ROW(emulator_rows, insn, false);
    if (row != NULL)
        return row;
    if (is_other_msr(insn, (uint32_t)before->gpr[MH_RCX]))
        return "RDMSR, WRMSR: KVM has more registers, and guests need their STAR and FMASK";
    if (is_0f(insn, 0x30, 0x30) && ((uint32_t)before->gpr[MH_RCX] & ~3u) == 0x174 && before->gpr[MH_RDX] != 0)
        return "SYSENTER_ESP, SYSENTER_EIP: QEMU keeps 64 bits where AMD's have 32";
    if ((is_emulator || is_one_byte(insn, 0x6c, 0x6f)) && has_ss_prefix(bytes))
        return "SS as a prefix: counts for #SS in KVM's emulator, which executes INS and OUTS everywhere";
    if (is_emulator && is_0f(insn, 0xb1, 0xb1) && !insn->has_memory && insn->operand_size == 4)
        return "CMPXCHG of a 32-bit register that differs: KVM's emulator clears its upper half, processors do not";
    if (is_0f(insn, 0xc8, 0xcf) && insn->operand_size == 2)
        return "BSWAP of 16 bits: undefined";
    if (insn->has_memory && reads_flags(insn))
        return "what reads flags and memory: QEMU loses the flags when it has to leave a nested guest";
    if (insn->has_memory && linear_address(insn, before) / PAGE_4K == before->rip / PAGE_4K)
        return "memory in the page of the code: QEMU executes twice what changes it";
    if (has_idle_rex(bytes))
        return "REX before another prefix: QEMU heeds it";
    if (is_near_branch(insn) && (insn->prefixes & SOFT_PREFIX_OPSIZE) != 0)
        return "near branches with 66: QEMU is like neither vendor";
    if ((is_one_byte(insn, 0xc2, 0xc2) || is_one_byte(insn, 0xca, 0xca)) && (insn->immediate & 0x8000) != 0)
        return "RET n: QEMU extends the sign of n";
    if (insn->map == SOFT_MAP_0F38 && (insn->opcode & 0xfe) == 0xf0 && insn->rex_w && prefix_bit(insn) == P_66)
        return "MOVBE with 66 and REX.W: 66 counts in QEMU";
    if ((is_0f(insn, 0xa4, 0xa4) || is_0f(insn, 0xac, 0xac)) && insn->rip_relative)
        return "SHLD, SHRD at an address that is relative to rip: QEMU forgets the last byte";
    if (is_0f(insn, 0x07, 0x07) && (before->gpr[MH_R11] & SYSRET_FLAGS) != 0)
        return "SYSRET: QEMU sets VM, and neither VIP nor VIF";
    if (is_0f(insn, 0x07, 0x07) && !is_canonical(before->gpr[MH_RCX]))
        return "SYSRET to an address that is not canonical: Intel's, AMD's and QEMU's differ";
    return NULL;
}

const char *kvm_known_result(const struct soft_insn *insn, const struct mh_x86_general *before,
                             const struct cpu_exit *exit, bool is_emulator)
{
    if (exit->kind == CPU_EXIT_ERROR)
        return "32-bit code: KVM runs it";
    if (exit->kind != CPU_EXIT_FAULT_DELIVERED)
        return NULL;
    const char *row = FIND_ROW(rows, insn, true);
    if (row == NULL && is_emulator)
        row = FIND_ROW(emulator_rows, insn, true);
    if (row != NULL)
        return row;
    if (exit->vector == VECTOR_INVALID_OPCODE && !is_0f(insn, 0x0b, 0x0b))
        return "what is no instruction: QEMU takes much of it for one";
    if ((insn->map != SOFT_MAP_ONE_BYTE || is_emulator) && insn->has_memory &&
        linear_address(insn, before) % PAGE_4K > PAGE_4K - VECTOR_SIZE)
        return "stores across a page's end: QEMU stores half of a vector before it faults, KVM's emulator of anything";
    if (is_emulator && (before->gpr[MH_RSP] - 8) % PAGE_4K > PAGE_4K - 8)
        return "pushes across a page's end: the same";
    if (exit->vector == VECTOR_PROTECTION && insn->map != SOFT_MAP_ONE_BYTE && insn->has_memory)
        return "SSE operands that are not aligned: QEMU does not mind";
    if (is_emulator && is_one_byte(insn, 0xff, 0xff) && is_near_branch(insn))
        return "CALL to what is not canonical, without a stack: KVM's emulator looks at the target first";
    if (is_far_branch(insn) || (is_near_branch(insn) && exit->vector != VECTOR_PAGE_FAULT))
        return "branches that fault: QEMU finds out at the target, and reads a frame from its other end";
    return reads_flags(insn) ? "what reads flags and faults: QEMU loses the flags" : NULL;
}

/* ---- page tables ---- */

bool kvm_known_invalidates(const struct soft_insn *insn, const struct mh_x86_general *general, uint64_t page)
{
    return is_0f(insn, 0x01, 0x01) && insn->has_memory && (insn->modrm >> 3 & 7) == 7 &&
           linear_address(insn, general) / PAGE_4K == page;
}

/* ---- exceptions ---- */

#define ERROR_EXT 1u
#define ERROR_IDT 2u
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_RESERVED 8u

/*
 * Error codes of QEMU: a gate is vector * 16 + 2 in place of vector * 8 + 2; EXT is not set; reserved bits of a page
 * table's entry come without P; the write of an instruction that reads first is a read.
 */
static bool same_error_code(uint64_t vector, uint64_t soft, uint64_t kvm)
{
    if (vector == VECTOR_PAGE_FAULT) {
        const uint64_t ignored = (soft & kvm & PF_RESERVED) != 0 ? PF_PRESENT : 0;
        soft |= ignored;
        kvm |= ignored;
        return soft == kvm || (soft & ~(uint64_t)PF_WRITE) == kvm;
    }
    return (soft & kvm & ERROR_IDT) != 0 || ((soft ^ kvm) & ~(uint64_t)ERROR_EXT) == 0;
}

/*
 * QEMU raises #GP for stacks at addresses that are not canonical, never sets RF in saved flags, and clears SS where a
 * handler has a stack of its own.
 */
bool kvm_known_same_exception(const struct guest_exception *soft, const struct guest_exception *kvm)
{
    const bool same_vector =
        soft->vector == kvm->vector || (soft->vector == VECTOR_STACK && kvm->vector == VECTOR_PROTECTION);
    return same_vector && same_error_code(soft->vector, soft->error_code, kvm->error_code) && soft->rip == kvm->rip &&
           soft->cs == kvm->cs && ((soft->rflags ^ kvm->rflags) & ~(uint64_t)MH_RFLAGS_RF) == 0 &&
           soft->rsp == kvm->rsp && (soft->ss == kvm->ss || soft->rip >= GUEST_RAM_SIZE) && soft->cr2 == kvm->cr2;
}
