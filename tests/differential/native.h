/*
 * The host's side: runs code in this very process, with every register as *start says, until it raises an exception.
 * A process that uses this should be a child that may die: a wrong store may hit anything.
 */
#ifndef MH_TEST_NATIVE_H
#define MH_TEST_NATIVE_H

#include "outcome.h"

/* Map the areas and install the signal handlers. False with a message printed when this host cannot do it. */
bool native_init(void);

/*
 * The areas, to be filled before native_run(). The data can all be written through this second mapping; the code is at
 * the address where it runs, because processors need not notice code that is modified through another one.
 */
uint8_t *native_code(void);
uint8_t *native_data(void);

/*
 * False when a tick of the timer that ends what hangs came in between: bases and NT of *outcome may be this program's
 * then.
 */
bool native_run(const struct start *start, struct outcome *outcome);

/* Does this host translate addresses of 57 bits? Then those of 48 bits and more do not raise #GP. */
bool native_has_five_levels(void);

#endif
