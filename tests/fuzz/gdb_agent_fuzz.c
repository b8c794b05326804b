/*
 * Whatever an agent expression holds, evaluating it comes to an end and touches nothing but through its callbacks. The
 * input is the code; what registers, memory and variables hold is made from it, too.
 */
#include "agent/agent.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_SIZE 0x200u

struct world {
    uint8_t memory[MEMORY_SIZE];
    size_t printed;
};

static bool read_register(void *ctx, unsigned number, uint64_t *value)
{
    const struct world *ops = ctx;

    *value = ops->memory[number % MEMORY_SIZE];
    return number < 200;
}

static bool read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    const struct world *ops = ctx;

    if (length > MEMORY_SIZE || address > MEMORY_SIZE - length)
        return false;
    memcpy(to, ops->memory + address, length);
    return true;
}

static bool get_variable(void *ctx, unsigned number, uint64_t *value)
{
    (void)ctx;
    *value = number;
    return number < 100;
}

static bool set_variable(void *ctx, unsigned number, uint64_t value)
{
    (void)ctx;
    return number < 100 && value != 0;
}

static bool trace_memory(void *ctx, uint64_t address, uint64_t length, bool to_zero)
{
    (void)ctx;
    return address < MEMORY_SIZE && (to_zero || length < MEMORY_SIZE);
}

static bool trace_variable(void *ctx, unsigned number)
{
    (void)ctx;
    return number < 100;
}

/* Reads all of the text, so that a sanitizer sees what is not there. */
static void print(void *ctx, const char *text, size_t length)
{
    struct world *ops = ctx;

    if (length == 0 || length > AGENT_OUTPUT_MAX)
        abort();
    for (size_t i = 0; i < length; i++)
        ops->printed += (uint8_t)text[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world ops = {.printed = 0};
    const struct agent_ops callbacks = {&ops,         read_register, read_memory,    get_variable,
                                        set_variable, trace_memory,  trace_variable, print};
    const struct agent_expression expression = {data, size};
    struct mh_error err = {.text = ""};
    uint64_t value = 0;

    memcpy(ops.memory, data, size < MEMORY_SIZE ? size : MEMORY_SIZE);
    if (agent_evaluate(&expression, &callbacks, &value, &err) != MH_OK && err.text[0] == '\0')
        abort();
    return 0;
}
