/* A machine on the fake processor, with a serial line. For programs linked with --wrap=soft_cpu_create. */
#ifndef MH_TEST_FAKE_MACHINE_H
#define MH_TEST_FAKE_MACHINE_H

#include "fake_cpu.h"
#include "guest_files.h"
#include "machine/vm.h"
#include "taken_text.h"

struct fake_machine {
    struct guest_files *files;
    struct mh_host *host;
    struct mh_image *image;
    struct mh_vm_config config;
    struct mh_vm *vm;     /* NULL until fake_machine_create() */
    struct fake_cpu *cpu; /* the machine's */
    void *ctx;            /* the test's; also that of the processor */

    char output[8 * FAKE_BYTES_MAX]; /* what came out of the serial port */
    size_t output_length;
    int write_result;
    const char *input; /* what is left to be read */
    int read_result;   /* instead of a byte, when it is not 0 */
    unsigned reads;
    unsigned read_wake_count; /* descriptors the last read was to watch */
    size_t output_at_read;    /* how much had come out when the last byte was read */
    void (*on_read)(struct fake_machine *machine);

    struct taken_text report;
};

/* Make a host and an image that holds `code`; the machine comes with fake_machine_create(). */
struct fake_machine *fake_machine_make(const void *code, size_t length);
void fake_machine_create(struct fake_machine *machine);
void fake_machine_remove(struct fake_machine *machine);

/* The same around a test: *state is a machine that has nothing to do but hlt. */
int fake_machine_set_up(void **state);
int fake_machine_tear_down(void **state);

/* The tear-down of a test_calloc()ed state that begins with a pointer to its machine. */
int fake_machine_tear_down_fixture(void **state);

/* Run it until it stops. */
struct mh_stop fake_machine_run(struct fake_machine *machine);

/* The registers as the processor has them. */
struct mh_x86_general *fake_machine_general(struct fake_machine *machine);
struct mh_x86_system *fake_machine_system(struct fake_machine *machine);

/* The report of a stop, as text. */
const char *fake_machine_report(struct fake_machine *machine, const struct mh_stop *stop);

#endif
