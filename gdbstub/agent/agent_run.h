/* An agent expression while it is evaluated: what agent.c, which runs it, and agent_ops.c share. */
#ifndef GDBSTUB_AGENT_RUN_H
#define GDBSTUB_AGENT_RUN_H

#include "agent/agent.h"

struct agent_run {
    const struct agent_expression *expression;
    const struct agent_ops *ops;
    struct mh_error *err;
    size_t pc;
    unsigned depth; /* elements on the stack */
    bool ended;
    uint64_t stack[AGENT_STACK_MAX];
};

/*
 * Executes one bytecode. `at` is the lowest of the elements it pops; those it pushes go to the same place. `operand` is
 * what follows it in the code.
 */
typedef enum mh_status agent_bytecode_fn(struct agent_run *run, uint64_t *at, uint64_t operand);

/* The bytecode that reads one byte; those for 2, 4 and 8 are next to it. */
#define AGENT_REF8 0x17

/* The bytecodes that look at the world or change it. */
agent_bytecode_fn agent_ref, agent_read_register, agent_get_variable, agent_set_variable, agent_trace,
    agent_trace_quick, agent_trace_string, agent_trace_variable, agent_printf;

/* The error of the bytecode `name`, which pops more than there is: MH_ERR_USAGE, with run->err saying so. */
enum mh_status agent_underflow(const struct agent_run *run, const char *name);

#endif
