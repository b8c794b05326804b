/*
 * IN, OUT, INS and OUTS. The handlers check everything that can raise an exception, note the access, and leave the
 * guest with CPU_EXIT_IO and nothing changed; soft_io_finish() does the rest once the device has answered. A repeated
 * string instruction leaves for each repetition.
 */
#include "soft_io.h"

#include "soft_count.h"
#include "soft_handlers.h"
#include "soft_mem.h"
#include "soft_points.h"
#include "x86/exceptions.h"

#define IO_MAP_BASE 102u /* where a TSS says where its I/O permission bit map is (Intel SDM volume 3, figure 8-11) */

#define OPCODE_STRING_MASK 0xfcu
#define OPCODE_STRING 0x6cu
#define OPCODE_DX 0x08u /* of E4 to EF: the port is in DX */
#define OPCODE_OUT 0x02u

static bool is_string(const struct soft_insn *insn)
{
    return (insn->opcode & OPCODE_STRING_MASK) == OPCODE_STRING;
}

static unsigned width_of(const struct soft_insn *insn)
{
    return insn->operand_size > 4 ? 4 : insn->operand_size;
}

static uint16_t port_of(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    bool in_dx = is_string(insn) || (insn->opcode & OPCODE_DX) != 0;
    return in_dx ? (uint16_t)cpu->gpr[MH_RDX] : (uint8_t)insn->immediate;
}

/*
 * May the guest use `width` ports from `port` on? Ring 3 beyond IOPL needs a 0 bit for each in the TSS, of which the
 * processor always reads two bytes (Intel SDM volume 1, 19.5.2). SOFT_NEXT when it may.
 */
static enum soft_result check_permission(struct soft_cpu *cpu, uint16_t port, unsigned width)
{
    const struct mh_x86_segment *tss = &cpu->seg[MH_TR];
    uint16_t base, bits;
    if (soft_cpl(cpu) <= (cpu->rflags >> 12 & 3))
        return SOFT_NEXT;
    if (tss->limit < IO_MAP_BASE + sizeof base - 1)
        return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
    if (!soft_read_system(cpu, tss->base + IO_MAP_BASE, &base, sizeof base))
        return soft_mem_result(cpu);
    uint32_t at = (uint32_t)base + port / 8u;
    if (at + sizeof bits - 1 > tss->limit)
        return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
    if (!soft_read_system(cpu, tss->base + at, &bits, sizeof bits))
        return soft_mem_result(cpu);
    if (((uint32_t)bits >> port % 8u & ((1u << width) - 1)) != 0)
        return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
    return SOFT_NEXT;
}

static enum soft_result leave_for_port(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t port,
                                       unsigned width, bool is_in)
{
    struct cpu_exit *exit = cpu->exit;
    exit->kind = CPU_EXIT_IO;
    exit->port = port;
    exit->width = (uint8_t)width;
    exit->is_in = is_in;
    exit->count = 1;
    exit->data = cpu->io_data;
    cpu->io_insn_copy = *insn;
    cpu->io_pending = true;
    return SOFT_EXIT;
}

enum soft_result soft_op_in(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint16_t port = port_of(cpu, insn);
    const unsigned width = width_of(insn);
    enum soft_result result = check_permission(cpu, port, width);
    if (result != SOFT_NEXT)
        return result;
    memset(cpu->io_data, 0, sizeof cpu->io_data);
    return leave_for_port(cpu, insn, port, width, true);
}

enum soft_result soft_op_out(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint16_t port = port_of(cpu, insn);
    const unsigned width = width_of(insn);
    enum soft_result result = check_permission(cpu, port, width);
    if (result != SOFT_NEXT)
        return result;
    memcpy(cpu->io_data, &cpu->gpr[MH_RAX], sizeof cpu->io_data);
    return leave_for_port(cpu, insn, port, width, false);
}

/* ---- strings ---- */

/* A register as an address or count of the instruction's address size. */
static uint64_t cut(const struct soft_insn *insn, uint64_t value)
{
    return insn->address_size == 4 ? (uint32_t)value : value;
}

static bool is_repeated(const struct soft_insn *insn)
{
    return (insn->prefixes & (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)) != 0;
}

static bool has_nothing_to_do(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return is_repeated(insn) && cut(insn, cpu->gpr[MH_RCX]) == 0;
}

/* ES:rDI, or the instruction's segment and rSI. */
static uint64_t string_address(const struct soft_cpu *cpu, const struct soft_insn *insn, bool is_in)
{
    uint64_t base = !is_in && insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0;
    return base + cut(insn, cpu->gpr[is_in ? MH_RDI : MH_RSI]);
}

enum soft_result soft_op_ins(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint16_t port = port_of(cpu, insn);
    const unsigned width = width_of(insn);
    enum soft_result result = check_permission(cpu, port, width);
    if (result != SOFT_NEXT || has_nothing_to_do(cpu, insn))
        return result;
    if (!soft_probe(cpu, MH_ES, string_address(cpu, insn, true), width, true))
        return soft_mem_result(cpu);
    memset(cpu->io_data, 0, sizeof cpu->io_data);
    return leave_for_port(cpu, insn, port, width, true);
}

enum soft_result soft_op_outs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint16_t port = port_of(cpu, insn);
    const unsigned width = width_of(insn);
    enum soft_result result = check_permission(cpu, port, width);
    if (result != SOFT_NEXT || has_nothing_to_do(cpu, insn))
        return result;
    if (!soft_read(cpu, insn->segment, string_address(cpu, insn, false), cpu->io_data, width))
        return soft_mem_result(cpu);
    return leave_for_port(cpu, insn, port, width, false);
}

/* ---- completing ---- */

static void write_rax(struct soft_cpu *cpu, unsigned width)
{
    uint64_t old = width == 4 ? 0 : cpu->gpr[MH_RAX];
    memcpy(&old, cpu->io_data, width);
    cpu->gpr[MH_RAX] = old;
}

static enum soft_result finish_string(struct soft_cpu *cpu, const struct soft_insn *insn, bool is_in)
{
    unsigned width = width_of(insn), pointer = is_in ? MH_RDI : MH_RSI;
    if (is_in && !soft_write(cpu, MH_ES, string_address(cpu, insn, true), cpu->io_data, width))
        return soft_mem_result(cpu);
    uint64_t step = (cpu->rflags & MH_RFLAGS_DF) != 0 ? -(uint64_t)width : width;
    cpu->gpr[pointer] = cut(insn, cpu->gpr[pointer] + step);
    if (!is_repeated(insn))
        return SOFT_NEXT;
    cpu->gpr[MH_RCX] = cut(insn, cpu->gpr[MH_RCX] - 1);
    return cpu->gpr[MH_RCX] != 0 ? SOFT_REPEAT : SOFT_NEXT;
}

enum soft_result soft_io_finish(struct soft_cpu *cpu)
{
    const struct soft_insn *insn = &cpu->io_insn_copy;
    bool is_in = (insn->opcode & OPCODE_OUT) == 0;
    enum soft_result result = SOFT_NEXT;
    cpu->io_pending = false;
    if (is_string(insn)) {
        result = finish_string(cpu, insn, is_in);
        if (result == SOFT_FAULT || result == SOFT_EXIT)
            return result;
    } else if (is_in) {
        write_rax(cpu, width_of(insn));
    }
    cpu->debug_hits |= soft_debug_port(cpu, port_of(cpu, insn), width_of(insn));
    soft_count_one(cpu, cpu->rip, insn->length);
    cpu->instructions++;
    if (result == SOFT_NEXT)
        cpu->rip += insn->length;
    return result;
}
