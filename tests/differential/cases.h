/* A case: one instruction, and everything it starts with. */
#ifndef MH_TEST_CASES_H
#define MH_TEST_CASES_H

#include "encoding.h"

struct test_case {
    struct encoding encoding;
    unsigned at; /* offset of the instruction in the code area */
    struct start start;
    /* what lies in the data area; the rest of it is 0 */
    uint8_t data[AREA_DATA_SIZE];
};

/* The part of test_case.data that is not always 0. */
#define CASE_WINDOW_START 0x1c00u
#define CASE_WINDOW_SIZE 0x800u

void case_make(struct chance *chance, const struct form *form, struct test_case *test);

#endif
