#include "agent/agent_run.h"

struct bytecode {
    const char *name;
    uint8_t operand; /* bytes that follow in the code, most significant first */
    uint8_t pops, pushes;
    agent_bytecode_fn *execute; /* NULL: floating point, which the manual leaves undefined */
};

static enum mh_status run_fail(const struct agent_run *run, const char *what)
{
    return mh_fail(run->err, MH_ERR_RANGE, "%s", what);
}

/* --- arithmetic --- */

static enum mh_status bytecode_add(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] += at[1];
    return MH_OK;
}

static enum mh_status bytecode_sub(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] -= at[1];
    return MH_OK;
}

static enum mh_status bytecode_mul(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] *= at[1];
    return MH_OK;
}

static enum mh_status run_fail_division(const struct agent_run *run)
{
    return run_fail(run, "division by zero");
}

/* The only quotient that does not fit wraps around; the division would trap. */
static enum mh_status bytecode_div_signed(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    if (at[1] == 0)
        return run_fail_division(run);
    at[0] = at[1] == UINT64_MAX ? 0 - at[0] : (uint64_t)((int64_t)at[0] / (int64_t)at[1]);
    return MH_OK;
}

static enum mh_status bytecode_div_unsigned(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    if (at[1] == 0)
        return run_fail_division(run);
    at[0] /= at[1];
    return MH_OK;
}

static enum mh_status bytecode_rem_signed(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    if (at[1] == 0)
        return run_fail_division(run);
    at[0] = at[1] == UINT64_MAX ? 0 : (uint64_t)((int64_t)at[0] % (int64_t)at[1]);
    return MH_OK;
}

static enum mh_status bytecode_rem_unsigned(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    if (at[1] == 0)
        return run_fail_division(run);
    at[0] %= at[1];
    return MH_OK;
}

/* Shifting by 64 bits or more shifts out all of them. */
static enum mh_status bytecode_lsh(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = at[1] < 64 ? at[0] << at[1] : 0;
    return MH_OK;
}

static enum mh_status bytecode_rsh_signed(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = (uint64_t)((int64_t)at[0] >> (at[1] < 64 ? at[1] : 63));
    return MH_OK;
}

static enum mh_status bytecode_rsh_unsigned(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = at[1] < 64 ? at[0] >> at[1] : 0;
    return MH_OK;
}

static enum mh_status bytecode_log_not(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = !at[0];
    return MH_OK;
}

static enum mh_status bytecode_bit_and(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] &= at[1];
    return MH_OK;
}

static enum mh_status bytecode_bit_or(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] |= at[1];
    return MH_OK;
}

static enum mh_status bytecode_bit_xor(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] ^= at[1];
    return MH_OK;
}

static enum mh_status bytecode_bit_not(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = ~at[0];
    return MH_OK;
}

static enum mh_status bytecode_equal(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = at[0] == at[1];
    return MH_OK;
}

static enum mh_status bytecode_less_signed(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = (int64_t)at[0] < (int64_t)at[1];
    return MH_OK;
}

static enum mh_status bytecode_less_unsigned(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[0] = at[0] < at[1];
    return MH_OK;
}

static enum mh_status bytecode_zero_ext(struct agent_run *run, uint64_t *at, uint64_t bits)
{
    (void)run;
    if (bits < 64)
        at[0] &= (1ull << bits) - 1;
    return MH_OK;
}

static enum mh_status bytecode_sign_ext(struct agent_run *run, uint64_t *at, uint64_t bits)
{
    uint64_t sign = bits > 0 && bits < 64 ? 1ull << (bits - 1) : 0;

    bytecode_zero_ext(run, at, bits);
    at[0] = (at[0] ^ sign) - sign;
    return MH_OK;
}

/* --- the stack and the code --- */

static enum mh_status bytecode_constant(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run;
    at[0] = operand;
    return MH_OK;
}

static enum mh_status bytecode_dup(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)operand;
    at[1] = at[0];
    return MH_OK;
}

static enum mh_status bytecode_pop(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)run, (void)at, (void)operand;
    return MH_OK;
}

static enum mh_status bytecode_swap(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    uint64_t top = at[1];

    (void)run, (void)operand;
    at[1] = at[0];
    at[0] = top;
    return MH_OK;
}

static enum mh_status bytecode_rot(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    uint64_t top = at[2];

    (void)run, (void)operand;
    at[2] = at[1];
    at[1] = at[0];
    at[0] = top;
    return MH_OK;
}

enum mh_status agent_underflow(const struct agent_run *run, const char *name)
{
    return mh_fail(run->err, MH_ERR_USAGE, "stack underflow in %s", name);
}

static enum mh_status bytecode_pick(struct agent_run *run, uint64_t *at, uint64_t back)
{
    if (back >= run->depth)
        return agent_underflow(run, "pick");
    at[0] = run->stack[run->depth - 1 - back];
    return MH_OK;
}

static enum mh_status bytecode_jump(struct agent_run *run, uint64_t *at, uint64_t target)
{
    (void)at;
    run->pc = target;
    return MH_OK;
}

static enum mh_status bytecode_jump_if(struct agent_run *run, uint64_t *at, uint64_t target)
{
    if (at[0])
        run->pc = target;
    return MH_OK;
}

static enum mh_status bytecode_end(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)at, (void)operand;
    run->ended = true;
    return MH_OK;
}

/* --- all of them --- */

static const struct bytecode bytecodes[] = {
    [0x01] = {"float", 0, 0, 0, NULL},
    [0x02] = {"add", 0, 2, 1, bytecode_add},
    [0x03] = {"sub", 0, 2, 1, bytecode_sub},
    [0x04] = {"mul", 0, 2, 1, bytecode_mul},
    [0x05] = {"div_signed", 0, 2, 1, bytecode_div_signed},
    [0x06] = {"div_unsigned", 0, 2, 1, bytecode_div_unsigned},
    [0x07] = {"rem_signed", 0, 2, 1, bytecode_rem_signed},
    [0x08] = {"rem_unsigned", 0, 2, 1, bytecode_rem_unsigned},
    [0x09] = {"lsh", 0, 2, 1, bytecode_lsh},
    [0x0a] = {"rsh_signed", 0, 2, 1, bytecode_rsh_signed},
    [0x0b] = {"rsh_unsigned", 0, 2, 1, bytecode_rsh_unsigned},
    [0x0c] = {"trace", 0, 2, 0, agent_trace},
    [0x0d] = {"trace_quick", 1, 1, 1, agent_trace_quick},
    [0x0e] = {"log_not", 0, 1, 1, bytecode_log_not},
    [0x0f] = {"bit_and", 0, 2, 1, bytecode_bit_and},
    [0x10] = {"bit_or", 0, 2, 1, bytecode_bit_or},
    [0x11] = {"bit_xor", 0, 2, 1, bytecode_bit_xor},
    [0x12] = {"bit_not", 0, 1, 1, bytecode_bit_not},
    [0x13] = {"equal", 0, 2, 1, bytecode_equal},
    [0x14] = {"less_signed", 0, 2, 1, bytecode_less_signed},
    [0x15] = {"less_unsigned", 0, 2, 1, bytecode_less_unsigned},
    [0x16] = {"ext", 1, 1, 1, bytecode_sign_ext},
    [AGENT_REF8] = {"ref8", 0, 1, 1, agent_ref},
    [0x18] = {"ref16", 0, 1, 1, agent_ref},
    [0x19] = {"ref32", 0, 1, 1, agent_ref},
    [0x1a] = {"ref64", 0, 1, 1, agent_ref},
    [0x1b] = {"ref_float", 0, 1, 1, NULL},
    [0x1c] = {"ref_double", 0, 1, 1, NULL},
    [0x1d] = {"ref_long_double", 0, 1, 1, NULL},
    [0x1e] = {"l_to_d", 0, 1, 1, NULL},
    [0x1f] = {"d_to_l", 0, 1, 1, NULL},
    [0x20] = {"if_goto", 2, 1, 0, bytecode_jump_if},
    [0x21] = {"goto", 2, 0, 0, bytecode_jump},
    [0x22] = {"const8", 1, 0, 1, bytecode_constant},
    [0x23] = {"const16", 2, 0, 1, bytecode_constant},
    [0x24] = {"const32", 4, 0, 1, bytecode_constant},
    [0x25] = {"const64", 8, 0, 1, bytecode_constant},
    [0x26] = {"reg", 2, 0, 1, agent_read_register},
    [0x27] = {"end", 0, 0, 0, bytecode_end},
    [0x28] = {"dup", 0, 1, 2, bytecode_dup},
    [0x29] = {"pop", 0, 1, 0, bytecode_pop},
    [0x2a] = {"zero_ext", 1, 1, 1, bytecode_zero_ext},
    [0x2b] = {"swap", 0, 2, 2, bytecode_swap},
    [0x2c] = {"getv", 2, 0, 1, agent_get_variable},
    [0x2d] = {"setv", 2, 1, 1, agent_set_variable},
    [0x2e] = {"tracev", 2, 0, 1, agent_trace_variable},
    [0x2f] = {"tracenz", 0, 2, 0, agent_trace_string},
    [0x30] = {"trace16", 2, 1, 1, agent_trace_quick},
    [0x32] = {"pick", 1, 0, 1, bytecode_pick},
    [0x33] = {"rot", 0, 3, 3, bytecode_rot},
    [0x34] = {"printf", 1, 0, 0, agent_printf},
};

static bool run_take_operand(struct agent_run *run, unsigned length, uint64_t *operand)
{
    *operand = 0;
    if (run->expression->length - run->pc < length)
        return false;
    while (length-- > 0)
        *operand = *operand << 8 | run->expression->code[run->pc++];
    return true;
}

static enum mh_status run_execute(struct agent_run *run, const struct bytecode *bytecode, uint64_t operand)
{
    if (run->depth < bytecode->pops)
        return agent_underflow(run, bytecode->name);
    if (run->depth - bytecode->pops + bytecode->pushes > AGENT_STACK_MAX)
        return run_fail(run, "stack overflow");
    run->depth -= bytecode->pops;
    enum mh_status status = bytecode->execute(run, &run->stack[run->depth], operand);
    run->depth += bytecode->pushes;
    return status;
}

static enum mh_status run_next(struct agent_run *run)
{
    uint64_t operand;

    if (run->pc >= run->expression->length)
        return mh_fail(run->err, MH_ERR_USAGE, "the expression has no end bytecode");
    uint8_t code = run->expression->code[run->pc++];
    const struct bytecode *bytecode = &bytecodes[code < sizeof bytecodes / sizeof bytecodes[0] ? code : 0];
    if (bytecode->name == NULL)
        return mh_fail(run->err, MH_ERR_USAGE, "unknown bytecode 0x%02x", code);
    if (bytecode->execute == NULL)
        return mh_fail(run->err, MH_ERR_USAGE, "%s: floating point is not supported", bytecode->name);
    if (!run_take_operand(run, bytecode->operand, &operand))
        return mh_fail(run->err, MH_ERR_USAGE, "the operand of %s is incomplete", bytecode->name);
    return run_execute(run, bytecode, operand);
}

enum mh_status agent_evaluate(const struct agent_expression *expression, const struct agent_ops *ops, uint64_t *value,
                              struct mh_error *err)
{
    struct agent_run run;
    unsigned executed = 0;

    /* not initialized: the stack is written before it is read */
    run.expression = expression;
    run.ops = ops;
    run.err = err;
    run.pc = 0;
    run.depth = 0;
    run.ended = false;
    while (!run.ended) {
        enum mh_status status = run_next(&run);

        if (status != MH_OK)
            return status;
        if (++executed > AGENT_EXECUTED_MAX)
            return run_fail(&run, "the expression executes too many bytecodes");
    }
    if (value != NULL && run.depth == 0)
        return mh_fail(err, MH_ERR_USAGE, "the expression has no value");
    if (value != NULL)
        *value = run.stack[run.depth - 1];
    return MH_OK;
}
