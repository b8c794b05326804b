/*
 * GDB's agent expressions (GDB manual, "The GDB Agent Expression Mechanism"): bytecode for a stack machine with 64-bit
 * elements, into which gdb translates conditions, commands and tracepoint actions. The bytecode is untrusted input.
 * Whatever it contains, evaluation terminates, and the worst result is an error. An expression accesses the machine
 * only through the callbacks of struct agent_ops.
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
#define AGENT_EXECUTED_MAX 0x4000u /* bytecodes executed by one evaluation, which may loop */
#define AGENT_OUTPUT_MAX 0x1000u   /* bytes that one printf produces; the rest is dropped */

struct agent_expression {
    const uint8_t *code;
    size_t length;
};

/*
 * What an expression can access; `ctx` is passed to each callback. A callback returns false on failure, and evaluation
 * ends with an error. An expression that needs a callback that is NULL ends with an error, too.
 */
struct agent_ops {
    void *ctx;
    /* Read the register with GDB's number `number`, zero-extended. Fails for registers of more than 64 bits. */
    bool (*read_register)(void *ctx, unsigned number, uint64_t *value);
    /* Read `length` bytes of memory, all or nothing. */
    bool (*read_memory)(void *ctx, uint64_t address, void *to, size_t length);
    /* Read or write a trace state variable. May be NULL. */
    bool (*get_variable)(void *ctx, unsigned number, uint64_t *value);
    bool (*set_variable)(void *ctx, unsigned number, uint64_t value);
    /* Record memory; with `to_zero`, up to and including the first zero byte. May be NULL. */
    bool (*trace_memory)(void *ctx, uint64_t address, uint64_t length, bool to_zero);
    /* Record a trace state variable. May be NULL. */
    bool (*trace_variable)(void *ctx, unsigned number);
    /* Receives the output of printf. May be NULL. */
    mh_text_sink *print;
};

/*
 * Evaluate an expression. *value gets the top of the stack; if `value` is NULL, the stack may be empty. Returns MH_OK;
 * MH_ERR_RANGE if something cannot be done (unmapped memory, division by zero, a limit); MH_ERR_USAGE if the expression
 * is invalid. On error *err has one line about it, *value is unchanged, and side effects before the error remain.
 */
enum mh_status agent_evaluate(const struct agent_expression *expression, const struct agent_ops *ops, uint64_t *value,
                              struct mh_error *err);

/*
 * Implement the printf bytecode: write `count` arguments as `format` says, with the escape sequences of C source, to
 * ops->print. Conversions are those of integers, %c, %s and %p. Returns as agent_evaluate().
 */
enum mh_status agent_print(const struct agent_ops *ops, const char *format, size_t length, const uint64_t *arguments,
                           unsigned count, struct mh_error *err);

#endif
