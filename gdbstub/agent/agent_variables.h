/*
 * Trace state variables (GDB manual, "Trace State Variables"): 64-bit values with a number, which agent expressions
 * read and write. They outlive a debugger's session, like the trace experiment they belong to.
 */
#ifndef GDBSTUB_AGENT_VARIABLES_H
#define GDBSTUB_AGENT_VARIABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_VARIABLE_NAME_MAX 128u /* bytes of a variable's name, in hexadecimal */
#define AGENT_VARIABLES_MAX 256u

struct agent_variable {
    uint32_t number;
    uint64_t initial, value;
    bool builtin;
    char name[AGENT_VARIABLE_NAME_MAX + 1]; /* in hexadecimal, as received */
};

/* Zero-initialize; free with agent_variables_free(). */
struct agent_variables {
    struct agent_variable *list;
    size_t count;
};

/* Return the variable with that number, NULL if there is none; valid until a variable is added. */
struct agent_variable *agent_variables_find(const struct agent_variables *variables, uint32_t number);

/* Return the variable with that number, creating it if needed; NULL if there are too many, or without memory. */
struct agent_variable *agent_variables_add(struct agent_variables *variables, uint32_t number);

/* Read a variable into *value. Returns false, with *value unchanged, if there is no such variable. */
bool agent_variables_get(const struct agent_variables *variables, uint32_t number, uint64_t *value);

/* Set a variable, creating it if needed. Returns false if that fails. */
bool agent_variables_set(struct agent_variables *variables, uint32_t number, uint64_t value);

/* Give all variables their initial values. */
void agent_variables_reset(struct agent_variables *variables);

/* Delete all variables. */
void agent_variables_free(struct agent_variables *variables);

#endif
