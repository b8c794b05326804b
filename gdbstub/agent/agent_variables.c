#include "agent/agent_variables.h"

#include <stdlib.h>

struct agent_variable *agent_variables_find(const struct agent_variables *variables, uint32_t number)
{
    for (size_t i = 0; i < variables->count; i++)
        if (variables->list[i].number == number)
            return &variables->list[i];
    return NULL;
}

struct agent_variable *agent_variables_add(struct agent_variables *variables, uint32_t number)
{
    struct agent_variable *variable = agent_variables_find(variables, number);
    if (variable != NULL || variables->count == AGENT_VARIABLES_MAX)
        return variable;
    struct agent_variable *list = realloc(variables->list, (variables->count + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    variables->list = list;
    variable = &list[variables->count++];
    *variable = (struct agent_variable){.number = number};
    return variable;
}

bool agent_variables_get(const struct agent_variables *variables, uint32_t number, uint64_t *value)
{
    const struct agent_variable *variable = agent_variables_find(variables, number);
    if (variable != NULL)
        *value = variable->value;
    return variable != NULL;
}

bool agent_variables_set(struct agent_variables *variables, uint32_t number, uint64_t value)
{
    struct agent_variable *variable = agent_variables_add(variables, number);
    if (variable != NULL)
        variable->value = value;
    return variable != NULL;
}

void agent_variables_reset(struct agent_variables *variables)
{
    for (size_t i = 0; i < variables->count; i++)
        variables->list[i].value = variables->list[i].initial;
}

void agent_variables_free(struct agent_variables *variables)
{
    free(variables->list);
    *variables = (struct agent_variables){.list = NULL};
}
