#include "translate.h"

#include "soft/host_x86_64_code.h"
#include "soft/soft.h"

#include <stdlib.h>

struct host_code *translate_if_asked(struct cpu *cpu)
{
    if (getenv("MH_TRANSLATE") == NULL)
        return NULL;
    struct host_code *code = host_code_create();
    if (code == NULL)
        abort();
    soft_cpu_use_code(cpu, code, 0);
    return code;
}
