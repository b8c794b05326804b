/* Both sides together, and what the test programs share around them. */
#ifndef MH_TEST_BOTH_H
#define MH_TEST_BOTH_H

#include "native.h"
#include "soft_side.h"

struct both {
    struct soft_side soft;
    struct outcome native_end, soft_end;
    struct start start;
    /* what lay in the areas before */
    uint8_t code[AREA_CODE_SIZE], data[AREA_DATA_SIZE];
    size_t code_from, code_to; /* the part of the code that is not INT3 */
};

/* False with a message printed. */
bool both_create(struct both *both);

/* Put `length` bytes of code at `offset`; all the rest of the area is INT3. */
void both_set_code(struct both *both, size_t offset, const uint8_t *bytes, size_t length);

/*
 * Run both->start with both->data on both sides, at most `limit` instructions in software. True when they agree, but
 * for what is in `tolerated` (TOLERATE_*); otherwise both_print() says how they do not.
 */
bool both_run(struct both *both, uint64_t limit, unsigned tolerated);
void both_print(const struct both *both);

/* Print `length` bytes, in hexadecimal and disassembled by objdump, if there is one. */
void both_print_code(const uint8_t *bytes, size_t length, uint64_t address);

/*
 * Run `work(context, first, shared)` in a child process. It handles cases from `first` on, notes in shared->current
 * which one it is at, and exits with 0. When it dies, that is counted as a difference, and another child continues
 * after that case.
 */
struct shared {
    uint64_t current, end;
    uint64_t differences, deaths, done;
    uint64_t unsupported; /* cases the software processor reports as beyond it */
    uint64_t translated;  /* instructions executed as generated code */
    uint64_t skipped[64];
    uint32_t of_form[16384]; /* differences, by whatever the test counts them by */
    ;
};

struct shared *both_shared(void);
void both_in_children(struct shared *shared, void (*work)(void *context, struct shared *shared), void *context);

#endif
