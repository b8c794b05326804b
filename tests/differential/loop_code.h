/* Random loops, as generated code likes them: accesses that go on by a constant, over page ends, and now and then not.
 */
#ifndef MH_TEST_LOOP_CODE_H
#define MH_TEST_LOOP_CODE_H

#include "chance.h"

#define LOOP_CODE_MAX 512u

/* Write a loop of at most LOOP_CODE_MAX bytes, with what sets its registers before it. The addresses it begins at are
 * below ram_size, most of them near the end of a page. Returns how long it is. */
unsigned loop_code_make(struct chance *chance, uint64_t ram_size, uint8_t *to);

#endif
