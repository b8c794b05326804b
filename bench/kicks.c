/*
 * kicks IMAGE...: how long a kick takes to end a run of the software processor. Loops that are the worst for it, and
 * flat images that compute, run as generated code on one thread; another kicks now and then. Each line is a loop: its
 * name, and the median and the 95th percentile of the delays in microseconds. Beyond that, the host's scheduler is what
 * is measured.
 *
 * This measures the processor's own part of the delay, so it uses core/ beneath the program's interface.
 */
#include "soft/host_x86_64_code.h"
#include "soft/soft.h"
#include "x86/boot_state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_SIZE (8u << 20)
#define ENTRY 0x10000u
#define KICKS 400u
#define PAUSE_NS 300000 /* and a random part of as much again, so that no loop keeps in step */
#define TIGHT(code) code, sizeof(code) - 1

/* Code at ENTRY, with RSP at the end of RAM, 0x400000 in RBX and a pattern in the other registers. */
static const struct loop {
    const char *name, *code;
    size_t length;
} loops[] = {
    {"jmp to itself", TIGHT("\xeb\xfe")},
    {"additions", TIGHT("\xff\xc0\xff\xc1\xff\xc2\xeb\xf8")},
    /* 1: xor %edx,%edx; mov $-1,%rax; mov $3,%ecx; div %rcx; jmp 1b */
    {"64-bit divisions", TIGHT("\x31\xd2\x48\xc7\xc0\xff\xff\xff\xff\xb9\x03\x00\x00\x00\x48\xf7\xf1\xeb\xed")},
    /* 1: add $4096+64,%rbx; and $0x5fffff,%ebx; mov (%rbx),%rax; jmp 1b */
    {"a page further on each time", TIGHT("\x48\x81\xc3\x40\x10\x00\x00\x81\xe3\xff\xff\x5f\x00\x48\x8b\x03\xeb\xee")},
    {"the same, written", TIGHT("\x48\x81\xc3\x40\x10\x00\x00\x81\xe3\xff\xff\x5f\x00\x48\x89\x03\xeb\xee")},
    /* 1: sqrtpd %xmm0,%xmm1; divpd %xmm1,%xmm2; jmp 1b */
    {"square roots and divisions of SSE2", TIGHT("\x66\x0f\x51\xc8\x66\x0f\x5e\xd1\xeb\xf6")},
    /* 1: mov $0x300000,%ecx; mov $0x400000,%edi; xor %eax,%eax; rep stosb; jmp 1b */
    {"rep stosb of 3 MB", TIGHT("\xb9\x00\x00\x30\x00\xbf\x00\x00\x40\x00\x31\xc0\xf3\xaa\xeb\xf0")},
    /* 1: the same; mov $0x100000,%esi; rep movsb */
    {"rep movsb of 3 MB", TIGHT("\xb9\x00\x00\x30\x00\xbf\x00\x00\x40\x00\xbe\x00\x00\x10\x00\xf3\xa4\xeb\xed")},
    /* 1: mov $0x300000,%ecx; mov $0x400000,%edi; mov $1,%eax; repne scasb; jmp 1b */
    {"repne scasb of 3 MB", TIGHT("\xb9\x00\x00\x30\x00\xbf\x00\x00\x40\x00\xb8\x01\x00\x00\x00\xf2\xae\xeb\xed")},
    /* call 2f; 1: jmp back; 2: ret */
    {"calls", TIGHT("\xe8\x02\x00\x00\x00\xeb\xf9\xc3")},
    /* 1: movb $0x90,2f(%rip); 2: nop; jmp 1b */
    {"code that changes itself", TIGHT("\xc6\x05\x00\x00\x00\x00\x90\x90\xeb\xf6")},
    /* 1: fsqrt; fld1; fpatan; fldpi; jmp 1b */
    {"x87", TIGHT("\xd9\xfa\xd9\xe8\xd9\xf3\xd9\xeb\xeb\xf6")},
};

struct machine {
    struct guest_ram ram;
    struct x86_cpuid cpuid;
    struct cpu *cpu;
    struct host_code *code;
    atomic_bool is_over;
    _Atomic int64_t kicked_at; /* 0: the last kick has been noticed */
    int64_t delays[KICKS];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *kick_now_and_then(void *argument)
{
    struct machine *machine = argument;
    while (!atomic_load(&machine->is_over)) {
        const struct timespec pause = {.tv_nsec = PAUSE_NS + random() % PAUSE_NS};
        nanosleep(&pause, NULL);
        int64_t none = 0;
        if (atomic_compare_exchange_strong(&machine->kicked_at, &none, now_ns()))
            machine->cpu->ops->kick(machine->cpu);
    }
    return NULL;
}

static int compare_delays(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* Run until there were enough kicks, or the guest can do no more. Returns how many. */
static unsigned run(struct machine *machine)
{
    const struct cpu_request request = {.mode = CPU_RUN};
    struct cpu_exit exit = {0};
    unsigned kicks = 0;
    while (kicks < KICKS) {
        machine->cpu->ops->run(machine->cpu, &request, &exit);
        if (exit.kind == CPU_EXIT_KICKED) {
            machine->delays[kicks++] = now_ns() - atomic_load(&machine->kicked_at);
            atomic_store(&machine->kicked_at, 0);
        } else if (exit.kind != CPU_EXIT_IO || exit.is_in) {
            break;
        }
    }
    return kicks;
}

static void measure(struct machine *machine, const char *name)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, kick_now_and_then, machine) != 0)
        abort();
    const unsigned kicks = run(machine);
    atomic_store(&machine->is_over, true);
    pthread_join(thread, NULL);
    qsort(machine->delays, kicks, sizeof machine->delays[0], compare_delays);
    if (kicks > 0)
        printf("%s\t%.1f\t%.1f\n", name, (double)machine->delays[kicks / 2] / 1e3,
               (double)machine->delays[kicks * 95 / 100] / 1e3);
}

/* `code` begins at `entry`. */
static void measure_code(const char *name, const void *code, size_t length, uint64_t entry)
{
    static struct machine machine;
    struct mh_error err;
    machine = (struct machine){.code = host_code_create()};
    x86_cpuid_init(&machine.cpuid);
    if (ram_create(&machine.ram, RAM_SIZE, &err) != MH_OK)
        abort();
    boot_write_system_area(&machine.ram, PAGE_4K);
    memcpy(machine.ram.host + entry, code, length);
    struct mh_cpu_state boot = {.general = boot_general(&machine.ram, entry),
                                .system = boot_system(machine.cpuid.xcr0 != 0),
                                .xcr0 = machine.cpuid.xcr0,
                                .msrs = boot_msrs(),
                                .dr6 = BOOT_DR6,
                                .dr7 = BOOT_DR7};
    memcpy(boot.xsave, "\x7f\x03", 2);
    memcpy(boot.xsave + 24, "\x80\x1f", 2); /* MXCSR */
    boot.general.gpr[MH_RBX] = 0x400000;
    if (soft_cpu_create(&machine.ram, &machine.cpuid, &boot, &machine.cpu, &err) != MH_OK)
        abort();
    soft_cpu_use_code(machine.cpu, machine.code, SOFT_HOT);
    measure(&machine, name);
    machine.cpu->ops->destroy(machine.cpu);
    host_code_destroy(machine.code);
    ram_free(&machine.ram);
}

static void measure_image(const char *path)
{
    static char image[RAM_SIZE];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    const size_t length = fread(image, 1, sizeof image, file);
    fclose(file);
    const char *slash = strrchr(path, '/');
    measure_code(slash != NULL ? slash + 1 : path, image, length, 0);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++)
        measure_code(loops[i].name, loops[i].code, loops[i].length, ENTRY);
    for (int i = 1; i < argc; i++)
        measure_image(argv[i]);
    return 0;
}
