#include "bare.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_SIZE 0x200000ul
#define PML4 (RAM_SIZE - 0x3000)
#define PDPT (RAM_SIZE - 0x2000)
#define PD (RAM_SIZE - 0x1000)
#define ENTRY_TABLE 0x3 /* present, writable */
#define ENTRY_PAGE 0x83 /* and large */
#define CPUID_MAX 256

long bare_check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(EXIT_FAILURE);
    }
    return result;
}

void *bare_map(size_t size, int flags, int fd)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    bare_check(at == MAP_FAILED ? -1 : 0, "mmap");
    return at;
}

static void fill_memory(const struct bare *machine, const char *image)
{
    int fd = (int)bare_check(open(image, O_RDONLY), image);
    bare_check(read(fd, machine->ram, PML4), image);
    close(fd);
    *(uint64_t *)(void *)(machine->ram + PML4) = PDPT | ENTRY_TABLE;
    *(uint64_t *)(void *)(machine->ram + PDPT) = PD | ENTRY_TABLE;
    *(uint64_t *)(void *)(machine->ram + PD) = ENTRY_PAGE;
}

static void set_registers(const struct bare *machine)
{
    const struct kvm_segment code = {.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    const struct kvm_segment data = {.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    const struct kvm_regs regs = {.rsp = PML4, .rflags = 2};
    struct kvm_sregs sregs;
    bare_check(ioctl(machine->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 = 0x80000001; /* PG, PE */
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20;   /* PAE */
    sregs.efer = 0x500; /* LMA, LME */
    bare_check(ioctl(machine->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    bare_check(ioctl(machine->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

void bare_open(struct bare_host *host)
{
    host->kvm = (int)bare_check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    host->run_size = (size_t)bare_check(ioctl(host->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
}

void bare_ask_cpuid(struct bare_host *host)
{
    host->cpuid = calloc(1, sizeof *host->cpuid + CPUID_MAX * sizeof host->cpuid->entries[0]);
    bare_check(host->cpuid == NULL ? -1 : 0, "calloc");
    host->cpuid->nent = CPUID_MAX;
    bare_check(ioctl(host->kvm, KVM_GET_SUPPORTED_CPUID, host->cpuid), "KVM_GET_SUPPORTED_CPUID");
}

void bare_create(struct bare *machine, const struct bare_host *host, const char *image)
{
    machine->vm = (int)bare_check(ioctl(host->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    machine->ram = bare_map(RAM_SIZE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    madvise(machine->ram, RAM_SIZE, MADV_NOHUGEPAGE);
    fill_memory(machine, image);
    const struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE,
                                                       .userspace_addr = (uintptr_t)machine->ram};
    bare_check(ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    machine->vcpu = (int)bare_check(ioctl(machine->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    machine->run = bare_map(host->run_size, MAP_SHARED, machine->vcpu);
    if (host->cpuid != NULL)
        bare_check(ioctl(machine->vcpu, KVM_SET_CPUID2, host->cpuid), "KVM_SET_CPUID2");
    set_registers(machine);
}

void bare_destroy(const struct bare *machine, const struct bare_host *host)
{
    munmap(machine->run, host->run_size);
    close(machine->vcpu);
    close(machine->vm);
    munmap(machine->ram, RAM_SIZE);
}
