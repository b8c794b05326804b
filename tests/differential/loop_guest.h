/*
 * Guests of loops, calls and branches over four pages of code, for comparing ways of executing them. What the encodings
 * of encoding.h reach by luck alone is frequent here: code that is executed often, accesses near each other, indirect
 * branches, returns that belong to no call, code and page tables that change, debug registers, string instructions.
 */
#ifndef MH_TEST_LOOP_GUEST_H
#define MH_TEST_LOOP_GUEST_H

#include "encoding.h"

#define LOOP_CODE 0x10000u
#define LOOP_CODE_SIZE 0x4000u
#define LOOP_DATA 0x20000u
#define LOOP_DATA_SIZE 0x8000u
#define LOOP_COUNTERS 0x3f000u /* where loops count */
#define LOOP_STACK 0x3e000u
#define LOOP_PAGE_TABLE 0x1004000u /* for the first 2 MB, in pages of 4 KB: BOOT_RAM_PT */

struct loop_guest {
    struct chance *chance;
    const struct form *forms; /* of random instructions */
    unsigned form_count;
    bool is_kernel; /* may use what only ring 0 may */
    uint8_t code[LOOP_CODE_SIZE];
    unsigned at;
    unsigned counters;
    unsigned functions[8]; /* offsets where calls lead to */
    unsigned function_count;
};

/* Write the code of a guest, which begins at LOOP_CODE and never ends. Chance, forms and is_kernel are filled in. */
void loop_guest_write(struct loop_guest *guest);

#endif
