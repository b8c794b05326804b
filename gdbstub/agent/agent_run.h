/* The state of an evaluation, shared by agent.c, which executes the bytecode, and agent_ops.c. */
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
 * Executes one bytecode. `at` is the lowest element it pops, and where the first one it pushes goes. `operand` is what
 * follows in the code.
 */
typedef enum mh_status agent_bytecode_fn(struct agent_run *run, uint64_t *at, uint64_t operand);

/* The bytecode that reads one byte. Those for 2, 4 and 8 bytes follow. */
#define AGENT_REF8 0x17

/* The bytecodes that access the machine. */
agent_bytecode_fn agent_ref, agent_read_register, agent_get_variable, agent_set_variable, agent_trace,
    agent_trace_quick, agent_trace_string, agent_trace_variable, agent_printf;

/* Fail because the bytecode `name` pops more than the stack holds. Returns MH_ERR_USAGE. */
enum mh_status agent_underflow(const struct agent_run *run, const char *name);

#endif
