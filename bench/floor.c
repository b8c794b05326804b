/*
 * floor: the least a program has to do to have KVM run a guest, for tools/bench to compare with. It shares no code with
 * the hypervisor, checks nothing, reports nothing, and knows one machine only: 2 MB of RAM in one 2 MB page, the tables
 * at the top of RAM, the image at 0.
 *
 *   floor run IMAGE [cpuid] [coalesce]      one machine, in the main thread
 *   floor many COUNT IMAGE [cpuid]          COUNT machines, each in a thread of its own
 *   floor read|write FILE CHUNK TOTAL       TOTAL bytes by calls of CHUNK bytes, over and over the file's 8 MB
 *   floor nothing                           what a process costs
 *
 * Port 0xe9: OUT writes to stdout, IN waits until stdin has a byte or ends. HLT ends a machine.
 */
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

#define RAM_SIZE 0x200000ul
#define PML4 (RAM_SIZE - 0x3000)
#define PDPT (RAM_SIZE - 0x2000)
#define PD (RAM_SIZE - 0x1000)
#define ENTRY_TABLE 0x3 /* present, writable */
#define ENTRY_PAGE 0x83 /* and large */
#define PORT 0xe9
#define CPUID_MAX 256
#define FILE_SIZE (8ul << 20)

/* The same for all machines of the process. */
struct setup {
    int kvm;
    size_t run_size;
    const char *image;
    bool coalesce;
    struct kvm_cpuid2 *cpuid; /* NULL: the guest gets none */
};

struct machine {
    int vm, vcpu;
    uint8_t *ram;
    struct kvm_run *run;
    struct kvm_coalesced_mmio_ring *ring;
    size_t printed;
    uint8_t output[4096];
};

static long check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
    return result;
}

static void *map(size_t size, int flags, int fd)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    check(at == MAP_FAILED ? -1 : 0, "mmap");
    return at;
}

static void fill_memory(const struct machine *machine, const char *image)
{
    int fd = (int)check(open(image, O_RDONLY), image);
    check(read(fd, machine->ram, PML4), image);
    close(fd);
    *(uint64_t *)(void *)(machine->ram + PML4) = PDPT | ENTRY_TABLE;
    *(uint64_t *)(void *)(machine->ram + PDPT) = PD | ENTRY_TABLE;
    *(uint64_t *)(void *)(machine->ram + PD) = ENTRY_PAGE;
}

static void set_registers(const struct machine *machine)
{
    const struct kvm_segment code = {.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    const struct kvm_segment data = {.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    const struct kvm_regs regs = {.rsp = PML4, .rflags = 2};
    struct kvm_sregs sregs;
    check(ioctl(machine->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 = 0x80000001; /* PG, PE */
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20;   /* PAE */
    sregs.efer = 0x500; /* LMA, LME */
    check(ioctl(machine->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    check(ioctl(machine->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void coalesce(struct machine *machine, int kvm)
{
    const struct kvm_coalesced_mmio_zone zone = {.addr = PORT, .size = 1, .pio = 1};
    long page = check(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), "KVM_CAP_COALESCED_MMIO");
    check(ioctl(machine->vm, KVM_REGISTER_COALESCED_MMIO, &zone), "KVM_REGISTER_COALESCED_MMIO");
    machine->ring = (void *)((char *)machine->run + page * 4096);
}

static void create(struct machine *machine, const struct setup *setup)
{
    machine->vm = (int)check(ioctl(setup->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    machine->ram = map(RAM_SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    madvise(machine->ram, RAM_SIZE, MADV_NOHUGEPAGE);
    fill_memory(machine, setup->image);
    const struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE,
                                                       .userspace_addr = (uintptr_t)machine->ram};
    check(ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    machine->vcpu = (int)check(ioctl(machine->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    machine->run = map(setup->run_size, MAP_SHARED, machine->vcpu);
    if (setup->coalesce)
        coalesce(machine, setup->kvm);
    if (setup->cpuid != NULL)
        check(ioctl(machine->vcpu, KVM_SET_CPUID2, setup->cpuid), "KVM_SET_CPUID2");
    set_registers(machine);
}

static void destroy(const struct machine *machine, const struct setup *setup)
{
    munmap(machine->run, setup->run_size);
    close(machine->vcpu);
    close(machine->vm);
    munmap(machine->ram, RAM_SIZE);
}

static void flush(struct machine *machine)
{
    if (machine->printed > 0)
        check(write(STDOUT_FILENO, machine->output, machine->printed), "write");
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
    uint8_t *data = (uint8_t *)machine->run + machine->run->io.data_offset;
    if (machine->run->io.direction == KVM_EXIT_IO_OUT)
        print(machine, *data);
    else if (read(STDIN_FILENO, data, 1) != 1)
        *data = 0xff;
}

static void run(struct machine *machine)
{
    for (;;) {
        check(ioctl(machine->vcpu, KVM_RUN, 0), "KVM_RUN");
        drain(machine);
        if (machine->run->exit_reason != KVM_EXIT_IO)
            break;
        serve_port(machine);
    }
    flush(machine);
    if (machine->run->exit_reason != KVM_EXIT_HLT) {
        fprintf(stderr, "floor: exit reason %u\n", machine->run->exit_reason);
        exit(EXIT_FAILURE);
    }
}

static void *machine_thread(void *ctx)
{
    const struct setup *setup = ctx;
    struct machine machine = {0};
    create(&machine, setup);
    run(&machine);
    destroy(&machine, setup);
    return NULL;
}

static void run_many(struct setup *setup, size_t count)
{
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (size_t i = 0; threads != NULL && i < count; i++)
        check(-pthread_create(&threads[i], &attributes, machine_thread, setup), "pthread_create");
    for (size_t i = 0; threads != NULL && i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static void ask_cpuid(struct setup *setup)
{
    setup->cpuid = calloc(1, sizeof *setup->cpuid + CPUID_MAX * sizeof setup->cpuid->entries[0]);
    check(setup->cpuid == NULL ? -1 : 0, "calloc");
    setup->cpuid->nent = CPUID_MAX;
    check(ioctl(setup->kvm, KVM_GET_SUPPORTED_CPUID, setup->cpuid), "KVM_GET_SUPPORTED_CPUID");
}

/* The words behind the command and its arguments. */
static struct setup setup_from(char **words, const char *image)
{
    struct setup setup = {.image = image};
    setup.kvm = (int)check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    setup.run_size = (size_t)check(ioctl(setup.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    for (; *words != NULL; words++) {
        if (strcmp(*words, "cpuid") == 0)
            ask_cpuid(&setup);
        setup.coalesce |= strcmp(*words, "coalesce") == 0;
    }
    return setup;
}

static void move_file(bool is_write, const char *path, size_t chunk, size_t total)
{
    int fd = (int)check(open(path, is_write ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0666), path);
    uint8_t *ram = map(chunk, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (size_t moved = 0; moved < total; moved += chunk) {
        off_t at = (off_t)(moved % FILE_SIZE);
        check(is_write ? pwrite(fd, ram, chunk, at) : pread(fd, ram, chunk, at), path);
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
