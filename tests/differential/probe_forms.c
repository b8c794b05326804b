/*
 * #UD costs a virtual machine an exit, and most forms are no instructions. So the VEX forms that differ only in L and W
 * are tried together first.
 */
#include "probe_forms.h"

#include "skipped.h"

#include <string.h>

#define PROBES_OF_A_FORM 10u
#define VECTOR_BREAKPOINT 3
#define VECTOR_UNDEFINED 6

static void probe_once(struct both *both, struct chance *chance, const struct form *form, struct test_case *test,
                       struct probe *probe)
{
    case_make(chance, form, test);
    if (skipped_row(&both->soft, &test->encoding) >= 0)
        return;
    both_set_code(both, test->at, test->encoding.bytes, test->encoding.length);
    memcpy(native_data(), test->data, AREA_DATA_SIZE);
    native_run(&test->start, &both->native_end);
    if (both->native_end.vector != VECTOR_UNDEFINED)
        probe->defined++;
    if (both->native_end.vector == VECTOR_BREAKPOINT)
        probe->done++;
}

/* How many forms from this one on are tried together. */
static unsigned group_of(const struct form *forms, unsigned count)
{
    unsigned size = 1;
    while (forms->vex && size < count && forms[size].vex && forms[size].map == forms->map &&
           forms[size].opcode == forms->opcode && forms[size].prefix == forms->prefix)
        size++;
    return size;
}

void probe_forms(struct both *both, const struct form *forms, unsigned count, struct test_case *test,
                 struct probe *probes)
{
    unsigned size;
    memset(probes, 0, count * sizeof *probes);
    for (unsigned first = 0; first < count; first += size) {
        size = group_of(forms + first, count - first);
        struct chance chance = chance_of(0, first);
        struct probe together = {0};
        for (unsigned i = 0; i < 3 * PROBES_OF_A_FORM && together.defined == 0; i++)
            probe_once(both, &chance, &forms[first + i % size], test, &together);
        for (unsigned i = first; together.defined != 0 && i < first + size; i++)
            for (unsigned n = 0; n < PROBES_OF_A_FORM && probes[i].done < PROBE_DONE_ENOUGH; n++)
                probe_once(both, &chance, &forms[i], test, &probes[i]);
    }
}
