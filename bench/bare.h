/*
 * The least there is of a machine on KVM, for what the hypervisor is measured beside: 2 MB of RAM in one 2 MB page, the
 * tables at the top of RAM, the image at 0. It checks nothing but that calls succeed, and shares no code with the
 * hypervisor.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/* The same for all machines of the process. */
struct bare_host {
    int kvm;
    size_t run_size;
    struct kvm_cpuid2 *cpuid; /* NULL: guests get none */
};

struct bare {
    int vm, vcpu;
    uint8_t *ram;
    struct kvm_run *run;
};

/* `result`; when it is negative, the end of the program with errno's text behind `what`. */
long bare_check(long result, const char *what);

void *bare_map(size_t size, int flags, int fd);

void bare_open(struct bare_host *host);
/* Have guests get the CPUID of the host. */
void bare_ask_cpuid(struct bare_host *host);

void bare_create(struct bare *machine, const struct bare_host *host, const char *image);
void bare_destroy(const struct bare *machine, const struct bare_host *host);

#endif
