/* A machine on the fake KVM: it makes the exits a test has queued, one after the other, and then halts. */
#ifndef MH_TEST_FAKE_MACHINE_H
#define MH_TEST_FAKE_MACHINE_H

#include "fake_kvm.h"
#include "guest_files.h"

#include "taken_text.h"
#include "machine/vm.h"

#define FAKE_EXITS_MAX 64u
#define FAKE_BYTES_MAX 4096u

struct fake_exit {
    int error;                      /* KVM_RUN fails with this errno; 0: it does not */
    void (*fill)(struct kvm_run *); /* says what exit it is, if it is not an IN or OUT */
    uint16_t port;
    uint8_t direction, width;
    uint32_t count;
    uint8_t data[FAKE_BYTES_MAX]; /* of an OUT; of an IN, what the guest got */
};

struct fake_machine {
    struct guest_files *files;
    struct mh_host *host;
    struct mh_image *image;
    struct mh_vm_config config;
    struct mh_vm *vm; /* NULL until fake_machine_create() */

    struct fake_exit *exits;
    unsigned queued, done;

    char output[8 * FAKE_BYTES_MAX]; /* what came out of the serial port */
    size_t output_length;
    int write_result;
    const char *input; /* what is left to be read */
    int read_result;   /* instead of a byte, when it is not 0 */
    unsigned reads;
    size_t output_at_read; /* how much had come out when the last byte was read */
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

/* Queue an exit. Each returns it, for its data to be looked at afterwards. */
struct fake_exit *will_exit(struct fake_machine *machine, void (*fill)(struct kvm_run *));
struct fake_exit *will_fail(struct fake_machine *machine, int error);
struct fake_exit *will_out(struct fake_machine *machine, uint16_t port, uint8_t width, const void *data,
                           uint32_t count);
struct fake_exit *will_in(struct fake_machine *machine, uint16_t port, uint8_t width, uint32_t count);

/* Run it until it stops. */
struct mh_stop fake_machine_run(struct fake_machine *machine);

/* The report of a stop, as text. */
const char *fake_machine_report(struct fake_machine *machine, const struct mh_stop *stop);

#endif
