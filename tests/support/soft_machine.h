/* A machine with the software processor, in its boot state with 2 MB of RAM, for unit tests. */
#ifndef MH_TEST_SOFT_MACHINE_H
#define MH_TEST_SOFT_MACHINE_H

#include "soft/soft_cpu.h"

struct host_code;

struct soft_machine {
    struct guest_ram ram;
    struct x86_cpuid cpuid;
    struct mh_cpu_state boot;
    struct cpu *cpu;
    struct soft_cpu *soft; /* the same */
    struct cpu_request request;
    struct cpu_exit exit;
    struct host_code *code; /* NULL: everything is interpreted */
};

/* Create it with rip at 0; true when that worked. Each use of a machine ends with soft_machine_destroy(). */
bool soft_machine_create(struct soft_machine *machine);
void soft_machine_destroy(struct soft_machine *machine);

/* The same for cmocka: *state is a machine of the test's own. */
int soft_machine_set_up(void **state);
int soft_machine_tear_down(void **state);

/* Put bytes into guest-physical memory. */
void soft_machine_put(struct soft_machine *machine, uint64_t at, const void *bytes, size_t length);
void soft_machine_put64(struct soft_machine *machine, uint64_t at, uint64_t value);
uint64_t soft_machine_get64(const struct soft_machine *machine, uint64_t at);

/* Put code at `at` and let the guest continue there. */
#define soft_machine_code(machine, at, string) soft_machine_load(machine, at, string, sizeof(string) - 1)
void soft_machine_load(struct soft_machine *machine, uint64_t at, const void *code, size_t length);

/* Run with machine->request; returns how it ended. */
enum cpu_exit_kind soft_machine_run(struct soft_machine *machine, enum cpu_run_mode mode);

/* Continue in ring 3, or in ring 0. */
void soft_machine_set_ring(struct soft_machine *machine, unsigned ring);

#endif
