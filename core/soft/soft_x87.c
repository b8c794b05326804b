/*
 * x87. The guest's registers are an FXSAVE64 image (the first 512 bytes of cpu->xsave). To execute an instruction, the
 * host loads the image, executes the same instruction and stores the image again: slow, but exact in every detail of
 * 80-bit arithmetic, tags, condition codes and unmasked exceptions.
 *
 * Unmasked exceptions. An x87 instruction that raises one sets FSW.ES, and the next instruction that waits raises #MF.
 * FXRSTOR, FXSAVE and FNINIT do not wait, so the host never takes the exception; we look at ES before every
 * instruction that waits and raise #MF ourselves.
 *
 * Pointers. The host's instruction and data pointers and opcode would be those of our stub. The image is loaded with
 * zeros in these fields; what is not zero afterwards was set by the instruction, and gets the guest's value. That keeps
 * whatever rule this host has, as setting the data pointer on unmasked exceptions only.
 */
#include "soft_simd.h"

#include "host_x86_64_simd.h"
#include "soft_flags.h"

#include <stdio.h>

#define FLAGS_FIXED 2u
#define OPCODE_FNSTSW_AX 0xdf
#define MODRM_FNSTSW_AX 0xe0

/* Exceptions that keep a store from storing: invalid operation, overflow, underflow. */
#define FSW_SUPPRESSES_STORE 0x19u

enum soft_result simd_raise_pending(struct soft_cpu *cpu)
{
    if ((cpu->cr0 & MH_CR0_NE) != 0)
        return soft_raise(cpu, EXCEPTION_MF);
    cpu->exit->kind = CPU_EXIT_ERROR;
    snprintf(cpu->exit->text, sizeof cpu->exit->text,
             "the guest has an x87 exception pending with CR0.NE clear; reporting it by FERR# is not supported");
    return SOFT_EXIT;
}

/* ---- executing ---- */

struct x87_pointers {
    uint16_t opcode;
    uint64_t instruction, data;
};

static struct x87_pointers take_pointers(struct soft_cpu *cpu)
{
    const struct x87_pointers pointers = {.opcode = xsave_get16(cpu, XSAVE_FOP),
                                          .instruction = xsave_get64(cpu, XSAVE_FIP),
                                          .data = xsave_get64(cpu, XSAVE_FDP)};
    memset(cpu->xsave + XSAVE_FOP, 0, XSAVE_MXCSR - XSAVE_FOP);
    return pointers;
}

/* The data pointer is an offset in its segment. */
static uint64_t data_offset(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_address(cpu, insn) - (insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0);
}

static void set_pointers(struct soft_cpu *cpu, const struct soft_insn *insn, const struct x87_pointers *before)
{
    const uint16_t opcode = (uint16_t)((insn->opcode & 7) << 8 | insn->modrm);
    xsave_set16(cpu, XSAVE_FOP, xsave_get16(cpu, XSAVE_FOP) != 0 ? opcode : before->opcode);
    xsave_set64(cpu, XSAVE_FIP, xsave_get64(cpu, XSAVE_FIP) != 0 ? cpu->rip : before->instruction);
    xsave_set64(cpu, XSAVE_FDP, xsave_get64(cpu, XSAVE_FDP) != 0 ? data_offset(cpu, insn) : before->data);
}

static uint16_t execute(struct soft_cpu *cpu, void *memory, const uint8_t *stub, uint64_t *flags)
{
    const uint16_t ax = host_x87_call(cpu->xsave, memory, stub, flags);
    xsave_set32(cpu, XSAVE_MXCSR_MASK, MXCSR_ALLOWED);
    return ax;
}

static bool is_available(const struct soft_cpu *cpu)
{
    return (cpu->cr0 & (CR0_EM | CR0_TS)) == 0;
}

static bool is_exception_pending(const struct soft_cpu *cpu)
{
    return (xsave_get16(cpu, XSAVE_FSW) & FSW_ES) != 0;
}

/* ---- register forms ---- */

/* FNCLEX, FNINIT, FENI, FDISI, FSETPM; FNSTSW AX. They do not wait and leave the pointers alone. */
static bool is_control(const struct soft_insn *insn)
{
    return (insn->opcode == 0xdb && insn->modrm >= 0xe0 && insn->modrm <= 0xe4) ||
           (insn->opcode == OPCODE_FNSTSW_AX && insn->modrm == MODRM_FNSTSW_AX);
}

/* FCMOVcc read RFLAGS, FCOMI and its relatives write it. */
static bool uses_flags(const struct soft_insn *insn)
{
    const bool is_fcmov = (insn->opcode == 0xda || insn->opcode == 0xdb) && insn->modrm < 0xe0;
    const bool is_fcomi = (insn->opcode == 0xdb || insn->opcode == 0xdf) && insn->modrm >= 0xe8;
    return is_fcmov || is_fcomi;
}

enum soft_result x87_register(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!is_available(cpu))
        return soft_raise(cpu, EXCEPTION_NM);
    if (!is_control(insn) && is_exception_pending(cpu))
        return simd_raise_pending(cpu);
    const size_t number = (size_t)(insn->opcode & 7) * 64 + (insn->modrm & 63);
    const uint8_t *stub = host_x87_register + number * HOST_X87_STRIDE;
    if (is_control(insn)) {
        uint64_t flags = FLAGS_FIXED;
        const uint16_t ax = execute(cpu, NULL, stub, &flags);
        if (insn->opcode == OPCODE_FNSTSW_AX)
            cpu->gpr[MH_RAX] = (cpu->gpr[MH_RAX] & ~0xffffull) | ax;
        return SOFT_NEXT;
    }
    uint64_t flags = FLAGS_FIXED | (uses_flags(insn) ? soft_rflags(cpu) & SOFT_ARITHMETIC : 0);
    const struct x87_pointers before = take_pointers(cpu);
    execute(cpu, NULL, stub, &flags);
    set_pointers(cpu, insn, &before);
    if (uses_flags(insn))
        soft_set_arithmetic(cpu, (uint32_t)flags & SOFT_ARITHMETIC);
    return SOFT_NEXT;
}

/* ---- memory forms ---- */

#define X87_CONTROL 1u     /* leaves the pointers alone, or loads them */
#define X87_NO_WAIT 2u     /* does not look at pending exceptions */
#define X87_ENVIRONMENT 4u /* is 14 bytes shorter with a 16-bit operand size */

struct x87_memory_form {
    uint8_t read, write; /* bytes */
    uint8_t flags;       /* X87_* */
};

static const struct x87_memory_form memory_forms[8][8] = {
    /* D8: arithmetic with m32fp */
    {{4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}},
    /* D9: FLD, -, FST, FSTP, FLDENV, FLDCW, FNSTENV, FNSTCW */
    {{4, 0, 0},
     {0, 0, 0},
     {0, 4, 0},
     {0, 4, 0},
     {28, 0, X87_CONTROL | X87_ENVIRONMENT},
     {2, 0, X87_CONTROL},
     {0, 28, X87_CONTROL | X87_NO_WAIT | X87_ENVIRONMENT},
     {0, 2, X87_CONTROL | X87_NO_WAIT}},
    /* DA: arithmetic with m32int */
    {{4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}, {4, 0, 0}},
    /* DB: FILD, FISTTP, FIST, FISTP, -, FLD m80, -, FSTP m80 */
    {{4, 0, 0}, {0, 4, 0}, {0, 4, 0}, {0, 4, 0}, {0, 0, 0}, {10, 0, 0}, {0, 0, 0}, {0, 10, 0}},
    /* DC: arithmetic with m64fp */
    {{8, 0, 0}, {8, 0, 0}, {8, 0, 0}, {8, 0, 0}, {8, 0, 0}, {8, 0, 0}, {8, 0, 0}, {8, 0, 0}},
    /* DD: FLD, FISTTP, FST, FSTP, FRSTOR, -, FNSAVE, FNSTSW */
    {{8, 0, 0},
     {0, 8, 0},
     {0, 8, 0},
     {0, 8, 0},
     {108, 0, X87_CONTROL | X87_ENVIRONMENT},
     {0, 0, 0},
     {0, 108, X87_CONTROL | X87_NO_WAIT | X87_ENVIRONMENT},
     {0, 2, X87_CONTROL | X87_NO_WAIT}},
    /* DE: arithmetic with m16int */
    {{2, 0, 0}, {2, 0, 0}, {2, 0, 0}, {2, 0, 0}, {2, 0, 0}, {2, 0, 0}, {2, 0, 0}, {2, 0, 0}},
    /* DF: FILD, FISTTP, FIST, FISTP, FBLD, FILD m64, FBSTP, FISTP m64 */
    {{2, 0, 0}, {0, 2, 0}, {0, 2, 0}, {0, 2, 0}, {10, 0, 0}, {8, 0, 0}, {0, 10, 0}, {0, 8, 0}},
};

#define ENVIRONMENT_16_SHORTER 14u

/* The form of this instruction, with the sizes its operand size gives it. */
static struct x87_memory_form memory_form(const struct soft_insn *insn)
{
    struct x87_memory_form form = memory_forms[insn->opcode & 7][insn->modrm >> 3 & 7];
    if ((form.flags & X87_ENVIRONMENT) != 0 && insn->operand_size == 2) {
        form.read = (uint8_t)(form.read != 0 ? form.read - ENVIRONMENT_16_SHORTER : 0);
        form.write = (uint8_t)(form.write != 0 ? form.write - ENVIRONMENT_16_SHORTER : 0);
    }
    return form;
}

static const uint8_t *memory_stub(const struct soft_insn *insn, const struct x87_memory_form *form)
{
    const bool is_16 = (form->flags & X87_ENVIRONMENT) != 0 && insn->operand_size == 2;
    const size_t number = (size_t)(insn->opcode & 7) * 8 + (insn->modrm >> 3 & 7);
    return (is_16 ? host_x87_memory_16 : host_x87_memory) + number * HOST_X87_STRIDE;
}

/* Has the instruction stored? An unmasked exception of these kinds leaves memory unchanged. */
static bool has_stored(const struct soft_cpu *cpu, const struct x87_memory_form *form)
{
    const unsigned unmasked = xsave_get16(cpu, XSAVE_FSW) & ~(unsigned)xsave_get16(cpu, XSAVE_FCW);
    return form->write != 0 && ((form->flags & X87_CONTROL) != 0 || (unmasked & FSW_SUPPRESSES_STORE) == 0);
}

static void execute_memory(struct soft_cpu *cpu, const struct soft_insn *insn, const struct x87_memory_form *form,
                           void *operand)
{
    uint64_t flags = FLAGS_FIXED;
    if ((form->flags & X87_CONTROL) != 0) {
        execute(cpu, operand, memory_stub(insn, form), &flags);
        return;
    }
    const struct x87_pointers before = take_pointers(cpu);
    execute(cpu, operand, memory_stub(insn, form), &flags);
    set_pointers(cpu, insn, &before);
}

/* An exception that keeps the instruction from storing comes before those of memory, so memory is looked at last. */
enum soft_result x87_memory(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const struct x87_memory_form form = memory_form(insn);
    if (!is_available(cpu))
        return soft_raise(cpu, EXCEPTION_NM);
    if ((form.flags & X87_NO_WAIT) == 0 && is_exception_pending(cpu))
        return simd_raise_pending(cpu);
    const uint64_t address = soft_address(cpu, insn);
    alignas(16) uint8_t operand[112];
    uint8_t before[XSAVE_XMM];
    if (form.read != 0 && !simd_read_memory(cpu, insn->segment, address, operand, form.read))
        return soft_mem_result(cpu);
    memcpy(before, cpu->xsave, sizeof before);
    execute_memory(cpu, insn, &form, operand);
    if (!has_stored(cpu, &form) || simd_write_memory(cpu, insn->segment, address, operand, form.write))
        return SOFT_NEXT;
    memcpy(cpu->xsave, before, sizeof before);
    return soft_mem_result(cpu);
}

/* ---- WAIT ---- */

enum soft_result x87_wait(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    if ((cpu->cr0 & MH_CR0_MP) != 0 && (cpu->cr0 & CR0_TS) != 0)
        return soft_raise(cpu, EXCEPTION_NM);
    return is_exception_pending(cpu) ? simd_raise_pending(cpu) : SOFT_NEXT;
}
