/* A machine on the software processor with its history, under the debugger's target, that runs small programs. */
#ifndef MH_TEST_PAST_MACHINE_H
#define MH_TEST_PAST_MACHINE_H

#include "debug/debug.h"
#include "guest_files.h"
#include "mh/vm.h"
#include "replay/timeline.h"
#include "uncounted_cpu.h"

#define PAST_OUTPUT_MAX (1u << 20)
#define PAST_DATA 0x4000u  /* two pages that programs write to */
#define PAST_CALLS 0x7000u /* calls of the file port; see past_machine.c */
#define PAST_IMAGE 0x8000u

struct past_machine {
    struct guest_files *files;
    struct mh_host *host;
    struct mh_image *image;
    struct mh_vm_config config;
    struct mh_vm *vm;
    struct mh_debug_target target;
    uint8_t output[PAST_OUTPUT_MAX];
    size_t output_length;
    uint64_t input_taken; /* bytes that the outside gave */
    char said[1024];      /* on the debugger's console, the last part */
    struct uncounted_cpu uncounted;
};

/* The n-th byte of the input of every such machine. */
uint8_t past_machine_input(uint64_t n);

/* A machine that starts with `image` at 0. `limit` is that of the history. */
struct past_machine *past_machine_make(const void *image, size_t length, uint64_t limit);
/* The same, on machine->uncounted. */
struct past_machine *past_machine_make_uncounted(const void *image, size_t length, uint64_t limit);
/* A machine with a program made of random pieces: port accesses, string instructions, exceptions, traps, code that
 * changes itself. It runs in a loop for ever. */
struct past_machine *past_machine_make_random(uint64_t seed, uint64_t limit);
/* Such a program. Without `may_read_clock` it does not read the time stamp counter. */
void past_machine_program(uint64_t seed, bool may_read_clock, uint8_t image[PAST_IMAGE]);
void past_machine_remove(struct past_machine *machine);

struct timeline *past_machine_timeline(const struct past_machine *machine);
uint64_t past_machine_now(const struct past_machine *machine);

/* Resume it and wait until it stops. */
struct mh_stop past_machine_resume(struct past_machine *machine, enum mh_resume_kind kind, bool backwards);
/* Go to a position; fails the test when that fails. */
void past_machine_go_to(struct past_machine *machine, uint64_t position);

/* Everything that a guest or a debugger could see of processor and memory, as one number. */
uint64_t past_machine_hash(struct past_machine *machine);

/* The next number of a sequence. */
uint64_t past_machine_next(uint64_t *seed);

#endif
