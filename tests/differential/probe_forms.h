/* Finding out which forms are instructions on this host, by executing some of each. */
#ifndef MH_TEST_PROBE_FORMS_H
#define MH_TEST_PROBE_FORMS_H

#include "both.h"
#include "cases.h"

struct probe {
    uint8_t defined; /* how many did not raise #UD */
    uint8_t done;    /* how many came to the INT3 behind them; no more than PROBE_DONE_ENOUGH are tried */
};

#define PROBE_DONE_ENOUGH 4u

/* Fill in a row of `probes` for each form, the same on every call; *test is used to make operands in. */
void probe_forms(struct both *both, const struct form *forms, unsigned count, struct test_case *test,
                 struct probe *probes);

#endif
