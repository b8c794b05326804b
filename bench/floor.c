/*
 * floor: the least a program has to do to have KVM run a guest, for tools/bench to compare with. The machine is that
 * of bare.h.
 *
 *   floor run IMAGE [cpuid] [coalesce]      one machine, in the main thread
 *   floor many COUNT IMAGE [cpuid]          COUNT machines, each in a thread of its own
 *   floor read|write FILE CHUNK TOTAL       TOTAL bytes by calls of CHUNK bytes, over and over the file's 8 MB
 *   floor nothing                           what a process costs
 *
 * Port 0xe9: OUT writes to stdout, IN waits until stdin has a byte or ends. HLT ends a machine.
 */
#include "bare.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PORT 0xe9
#define FILE_SIZE (8ul << 20)

/* The same for all machines of the process. */
struct setup {
    struct bare_host host;
    const char *image;
    bool coalesce;
};

struct machine {
    struct bare bare;
    struct kvm_coalesced_mmio_ring *ring;
    size_t printed;
    uint8_t output[4096];
};

static void coalesce(struct machine *machine, int kvm)
{
    const struct kvm_coalesced_mmio_zone zone = {.addr = PORT, .size = 1, .pio = 1};
    long page = bare_check(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), "KVM_CAP_COALESCED_MMIO");
    bare_check(ioctl(machine->bare.vm, KVM_REGISTER_COALESCED_MMIO, &zone), "KVM_REGISTER_COALESCED_MMIO");
    machine->ring = (void *)((char *)machine->bare.run + page * 4096);
}

static void flush(struct machine *machine)
{
    if (machine->printed > 0)
        bare_check(write(STDOUT_FILENO, machine->output, machine->printed), "write");
    machine->printed = 0;
}

static void print(struct machine *machine, uint8_t byte)
{
    machine->output[machine->printed++] = byte;
    if (machine->printed == sizeof machine->output)
        flush(machine);
}

static void drain(struct machine *machine)
{
    struct kvm_coalesced_mmio_ring *ring = machine->ring;
    const uint32_t capacity = (4096 - sizeof *ring) / sizeof ring->coalesced_mmio[0];
    while (ring != NULL && ring->first != ring->last) {
        print(machine, ring->coalesced_mmio[ring->first].data[0]);
        ring->first = (ring->first + 1) % capacity;
    }
}

static void serve_port(struct machine *machine)
{
    uint8_t *data = (uint8_t *)machine->bare.run + machine->bare.run->io.data_offset;
    if (machine->bare.run->io.direction == KVM_EXIT_IO_OUT)
        print(machine, *data);
    else if (read(STDIN_FILENO, data, 1) != 1)
        *data = 0xff;
}

static void run(struct machine *machine)
{
    for (;;) {
        bare_check(ioctl(machine->bare.vcpu, KVM_RUN, 0), "KVM_RUN");
        drain(machine);
        if (machine->bare.run->exit_reason != KVM_EXIT_IO)
            break;
        serve_port(machine);
    }
    flush(machine);
    if (machine->bare.run->exit_reason != KVM_EXIT_HLT) {
        fprintf(stderr, "floor: exit reason %u\n", machine->bare.run->exit_reason);
        exit(EXIT_FAILURE);
    }
}

static void *machine_thread(void *ctx)
{
    const struct setup *setup = ctx;
    struct machine machine = {0};
    bare_create(&machine.bare, &setup->host, setup->image);
    if (setup->coalesce)
        coalesce(&machine, setup->host.kvm);
    run(&machine);
    bare_destroy(&machine.bare, &setup->host);
    return NULL;
}

static void run_many(struct setup *setup, size_t count)
{
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (size_t i = 0; threads != NULL && i < count; i++)
        bare_check(-pthread_create(&threads[i], &attributes, machine_thread, setup), "pthread_create");
    for (size_t i = 0; threads != NULL && i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

/* The words behind the command and its arguments. */
static struct setup setup_from(char **words, const char *image)
{
    struct setup setup = {.image = image};
    bare_open(&setup.host);
    for (; *words != NULL; words++) {
        if (strcmp(*words, "cpuid") == 0)
            bare_ask_cpuid(&setup.host);
        setup.coalesce |= strcmp(*words, "coalesce") == 0;
    }
    return setup;
}

static void move_file(bool is_write, const char *path, size_t chunk, size_t total)
{
    int fd = (int)bare_check(open(path, is_write ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0666), path);
    uint8_t *ram = bare_map(chunk, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (size_t moved = 0; moved < total; moved += chunk) {
        off_t at = (off_t)(moved % FILE_SIZE);
        bare_check(is_write ? pwrite(fd, ram, chunk, at) : pread(fd, ram, chunk, at), path);
    }
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "run") == 0 && argc > 2) {
        struct setup setup = setup_from(argv + 3, argv[2]);
        machine_thread(&setup);
    } else if (strcmp(command, "many") == 0 && argc > 3) {
        struct setup setup = setup_from(argv + 4, argv[3]);
        run_many(&setup, strtoul(argv[2], NULL, 0));
    } else if (argc == 5 && (strcmp(command, "read") == 0 || strcmp(command, "write") == 0)) {
        move_file(*command == 'w', argv[2], strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0));
    } else if (strcmp(command, "nothing") != 0) {
        fputs("usage: floor run|many|read|write|nothing ... (see floor.c)\n", stderr);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
