/* Near branches. A target that is not canonical raises #GP(0) at the branch. */
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"
#include "x86/exceptions.h"

/* Operands of 16 bits, which only AMD processors have here, cut the target. */
static uint64_t relative_target(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_truncate(cpu->rip + insn->length + insn->immediate, insn->operand_size);
}

static enum soft_result jump(struct soft_cpu *cpu, uint64_t target)
{
    if (!soft_is_canonical(target))
        return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
    cpu->rip = target;
    return SOFT_JUMP;
}

enum soft_result soft_op_jcc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_condition(cpu, insn->opcode) ? jump(cpu, relative_target(cpu, insn)) : SOFT_NEXT;
}

enum soft_result soft_op_jmp(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return jump(cpu, relative_target(cpu, insn));
}

enum soft_result soft_op_jmp_rm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t target;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &target))
        return soft_mem_result(cpu);
    return jump(cpu, target);
}

/* Processors check the target after they have written the return address, which stays when that raises #GP. */
static enum soft_result call(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t target)
{
    const unsigned size = insn->operand_size;
    const uint64_t top = cpu->gpr[MH_RSP] - size;
    if (!soft_store(cpu, MH_SS, top, size, cpu->rip + insn->length))
        return soft_mem_result(cpu);
    const enum soft_result result = jump(cpu, target);
    if (result == SOFT_JUMP)
        cpu->gpr[MH_RSP] = top;
    return result;
}

enum soft_result soft_op_call(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return call(cpu, insn, relative_target(cpu, insn));
}

enum soft_result soft_op_call_rm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t target;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &target))
        return soft_mem_result(cpu);
    return call(cpu, insn, target);
}

/* C2 releases as many bytes more as its immediate says. */
enum soft_result soft_op_ret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t target;
    if (!soft_load(cpu, MH_SS, cpu->gpr[MH_RSP], insn->operand_size, &target))
        return soft_mem_result(cpu);
    const enum soft_result result = jump(cpu, target);
    if (result == SOFT_JUMP)
        cpu->gpr[MH_RSP] += insn->operand_size + insn->immediate;
    return result;
}

/* E0 to E3: LOOPNE, LOOPE, LOOP, JRCXZ. The address size says whether the counter is rcx or ecx. */
enum soft_result soft_op_loop(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->address_size;
    const uint64_t target = relative_target(cpu, insn);
    uint64_t count = soft_truncate(cpu->gpr[MH_RCX], size);
    bool taken = count == 0;
    if (insn->opcode != 0xe3) {
        count = soft_truncate(count - 1, size);
        taken = count != 0;
        if (insn->opcode != 0xe2)
            taken = taken && ((soft_arithmetic(cpu) & SOFT_ZF) != 0) == (insn->opcode == 0xe1);
    }
    const enum soft_result result = taken ? jump(cpu, target) : SOFT_NEXT;
    if (result != SOFT_FAULT && insn->opcode != 0xe3)
        soft_put(cpu, MH_RCX, size, count);
    return result;
}
