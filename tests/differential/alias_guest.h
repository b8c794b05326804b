/*
 * Guests made to find what loops of plain code do not: any register as base, index and destination, registers of eight
 * and sixteen bits, instructions that change some flags, stacks across pages, code that changes right before it is
 * executed or in the middle of an instruction, calls and jumps between several linear addresses of the same code, and
 * the same for data. See loop_guest.h for the memory that they use.
 */
#ifndef MH_TEST_ALIAS_GUEST_H
#define MH_TEST_ALIAS_GUEST_H

#include "loop_guest.h"

/* All of the first 2 MB are mapped here again: as one page; with the tables of pages of 4 KB, if there are any. */
#define ALIAS_LARGE 0x200000u
#define ALIAS_SMALL 0x400000u

/* loop_guest_write(), but for such a guest. */
void alias_guest_write(struct loop_guest *guest);
/* Map the aliases, in a system area that is filled in. */
void alias_guest_map(uint8_t *system_area, uint32_t page_size);

#endif
