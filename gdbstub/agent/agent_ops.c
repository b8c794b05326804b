/* The bytecodes that access the machine through struct agent_ops: memory, registers, variables, recording, output. */
#include "agent/agent_run.h"

#include <inttypes.h>

/* ref8, ref16, ref32 and ref64 have consecutive codes and no operand. */
enum mh_status agent_ref(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    size_t length = (size_t)1 << (run->expression->code[run->pc - 1] - AGENT_REF8);
    uint64_t address = at[0];

    (void)operand;
    at[0] = 0;
    if (!run->ops->read_memory(run->ops->ctx, address, &at[0], length))
        return mh_fail(run->err, MH_ERR_RANGE, "cannot read memory at 0x%" PRIx64, address);
    return MH_OK;
}

enum mh_status agent_read_register(struct agent_run *run, uint64_t *at, uint64_t number)
{
    if (!run->ops->read_register(run->ops->ctx, (unsigned)number, &at[0]))
        return mh_fail(run->err, MH_ERR_RANGE, "cannot read register %" PRIu64, number);
    return MH_OK;
}

enum mh_status agent_get_variable(struct agent_run *run, uint64_t *at, uint64_t number)
{
    if (run->ops->get_variable == NULL || !run->ops->get_variable(run->ops->ctx, (unsigned)number, &at[0]))
        return mh_fail(run->err, MH_ERR_RANGE, "there is no trace state variable %" PRIu64, number);
    return MH_OK;
}

enum mh_status agent_set_variable(struct agent_run *run, uint64_t *at, uint64_t number)
{
    if (run->ops->set_variable == NULL || !run->ops->set_variable(run->ops->ctx, (unsigned)number, at[0]))
        return mh_fail(run->err, MH_ERR_RANGE, "cannot set trace state variable %" PRIu64, number);
    return MH_OK;
}

static enum mh_status run_trace_memory(const struct agent_run *run, uint64_t address, uint64_t length, bool to_zero)
{
    if (run->ops->trace_memory == NULL || !run->ops->trace_memory(run->ops->ctx, address, length, to_zero))
        return mh_fail(run->err, MH_ERR_RANGE, "cannot record %" PRIu64 " bytes at 0x%" PRIx64, length, address);
    return MH_OK;
}

enum mh_status agent_trace(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    return run_trace_memory(run, at[0], at[1], false);
}

enum mh_status agent_trace_quick(struct agent_run *run, uint64_t *at, uint64_t length)
{
    return run_trace_memory(run, at[0], length, false);
}

enum mh_status agent_trace_string(struct agent_run *run, uint64_t *at, uint64_t operand)
{
    (void)operand;
    return run_trace_memory(run, at[0], at[1], true);
}

/* The value is also pushed, as the manual's signature says. */
enum mh_status agent_trace_variable(struct agent_run *run, uint64_t *at, uint64_t number)
{
    if (run->ops->trace_variable == NULL || !run->ops->trace_variable(run->ops->ctx, (unsigned)number))
        return mh_fail(run->err, MH_ERR_RANGE, "cannot record trace state variable %" PRIu64, number);
    return agent_get_variable(run, at, number);
}

/*
 * Read the operand: two bytes of length, and a string of that length including its null byte. Returns NULL if it is
 * malformed.
 */
static const char *run_take_format(struct agent_run *run, size_t *length)
{
    const uint8_t *code = run->expression->code + run->pc;
    size_t left = run->expression->length - run->pc;

    *length = left < 2 ? 0 : (size_t)code[0] << 8 | code[1];
    if (*length == 0 || *length > left - 2 || code[2 + *length - 1] != '\0')
        return NULL;
    run->pc += 2 + *length;
    return (const char *)code + 2;
}

/*
 * The stack holds the arguments in reverse, a channel and the address of a function to print with. The stub prints by
 * itself and ignores the latter two.
 */
enum mh_status agent_printf(struct agent_run *run, uint64_t *at, uint64_t count)
{
    uint64_t arguments[AGENT_STACK_MAX];
    size_t length;
    const char *format = run_take_format(run, &length);

    (void)at;
    if (format == NULL)
        return mh_fail(run->err, MH_ERR_USAGE, "the format of printf is malformed");
    if (run->depth < count + 2)
        return agent_underflow(run, "printf");
    run->depth -= 2;
    for (unsigned i = 0; i < count; i++)
        arguments[i] = run->stack[--run->depth];
    return agent_print(run->ops, format, length - 1, arguments, (unsigned)count, run->err);
}
