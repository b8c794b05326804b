/*
 * GDB's agent expressions (GDB manual, "The GDB Agent Expression Mechanism"): a bytecode for a stack machine with
 * 64-bit elements, into which gdb translates what is to be evaluated without asking it. The expressions are input like
 * any other: whatever they hold, they come to an end, and the worst is an error.
 *
 * All that an expression sees of the world passes the callbacks of `struct agent_ops`.
 */
#ifndef GDBSTUB_AGENT_H
#define GDBSTUB_AGENT_H

#include "mh/debug_target.h"
#include "mh/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_CODE_MAX 0x1000u     /* bytes of one expression */
#define AGENT_STACK_MAX 100u       /* elements; gdbserver has as many */
#define AGENT_EXECUTED_MAX 0x4000u /* bytecodes executed by one evaluation: there are jumps */
#define AGENT_OUTPUT_MAX 0x1000u   /* bytes that one printf makes; the rest is left out */

struct agent_expression {
    const uint8_t *code;
    size_t length;
};

/*
 * What an expression may look at and touch; `ctx` is passed to all. Each returns false when it cannot do it, and the
 * evaluation ends with an error. Those that may be NULL are what the caller has none of: an expression that needs one
 * ends with an error.
 */
struct agent_ops {
    void *ctx;
    /* The value of the register with GDB's number `number`, zero-extended. False also for one of more than 64 bits. */
    bool (*read_register)(void *ctx, unsigned number, uint64_t *value);
    /* `length` bytes of memory, all or nothing. */
    bool (*read_memory)(void *ctx, uint64_t address, void *to, size_t length);
    /* Trace state variables. May be NULL. */
    bool (*get_variable)(void *ctx, unsigned number, uint64_t *value);
    bool (*set_variable)(void *ctx, unsigned number, uint64_t value);
    /* Record memory; `to_zero`: only up to the first zero byte, and that. May be NULL. */
    bool (*trace_memory)(void *ctx, uint64_t address, uint64_t length, bool to_zero);
    /* Record a trace state variable. May be NULL. */
    bool (*trace_variable)(void *ctx, unsigned number);
    /* Takes what printf makes. May be NULL. */
    mh_text_sink *print;
};

/*
 * Evaluate an expression. *value gets the top of the stack at its end; with a NULL `value` none need be there.
 * Returns MH_OK; MH_ERR_RANGE when it came to something that cannot be done (memory that is not there, a division by
 * zero, a limit), MH_ERR_USAGE when it is not a valid expression. Then *err has a line that says what, *value is
 * unchanged, and what was done before the error has been done.
 */
enum mh_status agent_evaluate(const struct agent_expression *expression, const struct agent_ops *ops, uint64_t *value,
                              struct mh_error *err);

/*
 * What the printf bytecode does: `format`, with the escape sequences of C source, and `count` arguments in order, to
 * ops->print. Conversions are those of integers, %c, %s and %p. Returns as agent_evaluate().
 */
enum mh_status agent_print(const struct agent_ops *ops, const char *format, size_t length, const uint64_t *arguments,
                           unsigned count, struct mh_error *err);

#endif
