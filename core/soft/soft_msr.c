/*
 * Model-specific registers (Intel SDM volume 4; AMD APM volume 2, appendix A): those a kernel in long mode touches.
 * Everything else raises #GP(0), which is how kernels find out what does not exist.
 */
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_system.h"

enum msr {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_MICROCODE = 0x8b,
    MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_VARIABLE = 0x200,
    MSR_MTRR_FIXED_64K = 0x250,
    MSR_MTRR_FIXED_16K = 0x258,
    MSR_MTRR_FIXED_4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEFAULT_TYPE = 0x2ff,
    MSR_AMD_SYSCFG = 0xc0010010,
    MSR_AMD_HWCR = 0xc0010015,
};

enum extended_msr {
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083,
    MSR_SFMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_TSC_AUX = 0xc0000103,
};

#define VARIABLE_RANGES 8u
#define MTRR_CAP (VARIABLE_RANGES | 1u << 8 | 1u << 10) /* fixed ranges, write-combining */

/* ---- registers that are a field of struct soft_cpu ---- */

/* What a value must be to be written. */
enum msr_rule {
    RULE_ANY,
    RULE_CANONICAL,
    RULE_LOW_32,      /* AMD drops the upper half; Intel refuses it */
    RULE_SYSENTER,    /* AMD drops the upper half; Intel wants it canonical */
    RULE_SYSENTER_CS, /* the upper half is dropped */
    RULE_PAT,
    RULE_APIC_BASE,
    RULE_MTRR_DEFAULT,
};

struct msr_field {
    uint32_t index;
    enum msr_rule rule;
    size_t offset;
};

#define MSRS(member) offsetof(struct soft_cpu, msrs.member)
#define BASE(which) (offsetof(struct soft_cpu, seg) + (which) * sizeof(struct mh_x86_segment))

static const struct msr_field fields[] = {
    {MSR_APIC_BASE, RULE_APIC_BASE, MSRS(apic_base)},
    {MSR_SYSENTER_CS, RULE_SYSENTER_CS, MSRS(sysenter_cs)},
    {MSR_SYSENTER_ESP, RULE_SYSENTER, MSRS(sysenter_esp)},
    {MSR_SYSENTER_EIP, RULE_SYSENTER, MSRS(sysenter_eip)},
    {MSR_MISC_ENABLE, RULE_ANY, MSRS(misc_enable)},
    {MSR_PAT, RULE_PAT, MSRS(pat)},
    {MSR_MTRR_DEFAULT_TYPE, RULE_MTRR_DEFAULT, MSRS(mtrr_default_type)},
    {MSR_STAR, RULE_ANY, MSRS(star)},
    {MSR_LSTAR, RULE_CANONICAL, MSRS(lstar)},
    {MSR_CSTAR, RULE_CANONICAL, MSRS(cstar)},
    {MSR_SFMASK, RULE_LOW_32, MSRS(sfmask)},
    {MSR_FS_BASE, RULE_CANONICAL, BASE(MH_FS)},
    {MSR_GS_BASE, RULE_CANONICAL, BASE(MH_GS)},
    {MSR_KERNEL_GS_BASE, RULE_CANONICAL, MSRS(kernel_gs_base)},
    {MSR_TSC_AUX, RULE_LOW_32, MSRS(tsc_aux)},
};

static const struct msr_field *find_field(uint32_t index)
{
    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].index == index)
            return &fields[i];
    }
    return NULL;
}

_Static_assert(offsetof(struct mh_x86_segment, base) == 0, "an entry of the table of fields names a segment's base");

static uint64_t *field_of(struct soft_cpu *cpu, const struct msr_field *field)
{
    return (uint64_t *)(void *)((uint8_t *)cpu + field->offset);
}

/* Types of memory: uncacheable, write-combining, write-through, write-protected, write-back. */
static bool is_memory_type(uint64_t type)
{
    return type <= 6 && type != 2 && type != 3;
}

/* PAT has a type of its own, uncached, which is 7. */
static bool are_memory_types(uint64_t value, bool of_pat)
{
    for (unsigned i = 0; i < sizeof value; i++) {
        const uint64_t type = value >> 8 * i & 0xff;
        if (!is_memory_type(type) && !(of_pat && type == 7))
            return false;
    }
    return true;
}

bool soft_pat_is_valid(uint64_t pat)
{
    return are_memory_types(pat, true);
}

#define APIC_BASE_FLAGS 0x900u       /* BSP, enabled; x2APIC is not offered */
#define MTRR_DEFAULT_EXISTING 0xcffu /* type, fixed ranges enabled, MTRRs enabled */

static bool is_physical(const struct soft_cpu *cpu, uint64_t value)
{
    return value >> cpu->cpuid->physical_bits == 0;
}

/* Is `*value` allowed? Adjust it to what is stored. */
static bool apply_rule(const struct soft_cpu *cpu, enum msr_rule rule, uint64_t *value)
{
    const bool is_amd = cpu->cpuid->is_amd;
    const uint64_t low = (uint32_t)*value;
    switch (rule) {
    case RULE_ANY:
        return true;
    case RULE_CANONICAL:
        return x86_is_canonical(*value);
    case RULE_LOW_32:
        if (!is_amd && *value != low)
            return false;
        *value = low;
        return true;
    case RULE_SYSENTER:
        if (is_amd)
            *value = low;
        return x86_is_canonical(*value);
    case RULE_SYSENTER_CS:
        *value = low;
        return true;
    case RULE_PAT:
        return are_memory_types(*value, true);
    case RULE_APIC_BASE:
        return is_physical(cpu, *value) && (*value & 0xfff & ~(uint64_t)APIC_BASE_FLAGS) == 0;
    case RULE_MTRR_DEFAULT:
        return (*value & ~(uint64_t)MTRR_DEFAULT_EXISTING) == 0 && is_memory_type(*value & 0xff);
    }
    return false;
}

/* ---- memory type ranges ---- */

#define MTRR_MASK_VALID 0x800u

static uint64_t *find_fixed(struct soft_cpu *cpu, uint32_t index)
{
    uint64_t *fixed = cpu->msrs.mtrr_fixed;
    if (index == MSR_MTRR_FIXED_64K)
        return fixed;
    if (index - MSR_MTRR_FIXED_16K < 2)
        return fixed + 1 + (index - MSR_MTRR_FIXED_16K);
    if (index - MSR_MTRR_FIXED_4K < 8)
        return fixed + 3 + (index - MSR_MTRR_FIXED_4K);
    return NULL;
}

static uint64_t *find_variable(struct soft_cpu *cpu, uint32_t index)
{
    if (index - MSR_MTRR_VARIABLE < 2 * VARIABLE_RANGES)
        return &cpu->msrs.mtrr_variable[index - MSR_MTRR_VARIABLE];
    return NULL;
}

/* Even numbers are bases with a type, odd ones masks with a valid bit. */
static bool is_valid_range(const struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
    if (!is_physical(cpu, value))
        return false;
    if (index & 1)
        return (value & 0xfff & ~(uint64_t)MTRR_MASK_VALID) == 0;
    return (value & 0xf00) == 0 && is_memory_type(value & 0xff);
}

static bool write_mtrr(struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t *to = find_fixed(cpu, index);
    if (to != NULL) {
        if (!are_memory_types(value, false))
            return false;
        *to = value;
        return true;
    }
    to = find_variable(cpu, index);
    if (to == NULL || !is_valid_range(cpu, index, value))
        return false;
    *to = value;
    return true;
}

/* ---- registers with a fixed value ---- */

/* Writing the value they have is allowed, and does nothing. */
static const struct {
    uint32_t index;
    bool of_intel, of_amd;
    uint64_t value;
} constants[] = {
    {MSR_PLATFORM_ID, true, false, 0},    {MSR_MICROCODE, true, true, 0},
    {MSR_MTRR_CAP, true, true, MTRR_CAP}, {MSR_MCG_CAP, true, true, 0},  /* no bank */
    {MSR_MCG_STATUS, true, true, 0},      {MSR_DEBUGCTL, true, true, 0}, /* no branch records or traps */
    {MSR_AMD_SYSCFG, false, true, 0},     {MSR_AMD_HWCR, false, true, 0},
};

static bool is_read_only(uint32_t index)
{
    return index == MSR_MTRR_CAP || index == MSR_MCG_CAP || index == MSR_PLATFORM_ID;
}

static bool read_constant(const struct soft_cpu *cpu, uint32_t index, uint64_t *value)
{
    for (unsigned i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (constants[i].index != index || !(cpu->cpuid->is_amd ? constants[i].of_amd : constants[i].of_intel))
            continue;
        *value = constants[i].value;
        return true;
    }
    return false;
}

static bool write_constant(const struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t constant;
    return read_constant(cpu, index, &constant) && constant == value && !is_read_only(index);
}

/* ---- EFER ---- */

/* LME cannot change while paging is on, which it always is here. LMA follows it: Intel ignores it, AMD wants it kept.
 */
static bool write_efer(struct soft_cpu *cpu, uint64_t value)
{
    uint64_t existing = MH_EFER_SCE | MH_EFER_LME | MH_EFER_LMA;
    if (x86_cpuid_has(cpu->cpuid, X86_FEATURE_NX))
        existing |= MH_EFER_NXE;
    if ((value & ~existing) != 0 || !(value & MH_EFER_LME))
        return false;
    if (!(value & MH_EFER_LMA) && cpu->cpuid->is_amd)
        return false;
    const uint64_t old = cpu->efer;
    cpu->efer = value | MH_EFER_LMA;
    if ((old ^ cpu->efer) & MH_EFER_NXE)
        soft_tlb_flush(cpu);
    return true;
}

/* ---- reading and writing ---- */

bool soft_read_msr(struct soft_cpu *cpu, uint32_t index, uint64_t *value)
{
    const struct msr_field *field = find_field(index);
    const uint64_t *from = field != NULL ? field_of(cpu, field) : find_fixed(cpu, index);
    if (from == NULL)
        from = find_variable(cpu, index);
    if (from != NULL) {
        *value = *from;
        return true;
    }
    if (index == MSR_EFER) {
        *value = cpu->efer;
        return true;
    }
    if (index == MSR_TSC) {
        *value = cpu->msrs.tsc + cpu->instructions;
        return true;
    }
    return read_constant(cpu, index, value);
}

bool soft_write_msr(struct soft_cpu *cpu, uint32_t index, uint64_t value)
{
    const struct msr_field *field = find_field(index);
    if (field != NULL) {
        if (!apply_rule(cpu, field->rule, &value))
            return false;
        *field_of(cpu, field) = value;
        return true;
    }
    if (index == MSR_EFER)
        return write_efer(cpu, value);
    if (index == MSR_TSC) {
        cpu->msrs.tsc = value - cpu->instructions;
        return true;
    }
    return write_mtrr(cpu, index, value) || write_constant(cpu, index, value);
}

enum soft_result soft_op_rdmsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (soft_is_unprivileged(cpu) || !soft_read_msr(cpu, (uint32_t)cpu->gpr[MH_RCX], &value))
        return soft_gp0(cpu);
    if ((uint32_t)cpu->gpr[MH_RCX] == MSR_TSC && (cpu->request->report & CPU_REFUSE_CLOCK) != 0)
        return soft_unsupported(cpu, insn, SOFT_READS_CLOCK);
    cpu->gpr[MH_RAX] = (uint32_t)value;
    cpu->gpr[MH_RDX] = value >> 32;
    return SOFT_NEXT;
}

enum soft_result soft_op_wrmsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t value = (uint32_t)cpu->gpr[MH_RAX] | cpu->gpr[MH_RDX] << 32;
    if (soft_is_unprivileged(cpu) || !soft_write_msr(cpu, (uint32_t)cpu->gpr[MH_RCX], value))
        return soft_gp0(cpu);
    return soft_done(cpu, insn);
}
