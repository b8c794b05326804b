#include "kvm/kvm_memslots.h"

#include "mh/guest_abi.h"

#define SLOT_RAM 0u
#define SLOT_SYSTEM_AREA 1u
#define SLOTS 2u

static uint64_t kvm_memslots_start(unsigned slot)
{
    return slot == SLOT_RAM ? 0 : MH_SYSTEM_AREA;
}

static uint64_t kvm_memslots_size(const struct kvm_memslots *slots, unsigned slot)
{
    return slot == SLOT_RAM ? slots->ram->ram_size : MH_SYSTEM_AREA_SIZE;
}

static int kvm_memslots_set(const struct kvm_memslots *slots, unsigned slot, uint64_t size)
{
    const mh_gpa start = mh_gpa_of(kvm_memslots_start(slot));
    const struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = slots->logs && size > 0 ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = start.v,
        .memory_size = size,
        .userspace_addr = size == 0 ? 0 : (uintptr_t)ram_at(slots->ram, start, size),
    };
    return kvm_sys_set_memory(slots->vm_fd, &region);
}

int kvm_memslots_install(struct kvm_memslots *slots)
{
    int result = 0;
    for (unsigned slot = 0; slot < SLOTS && result == 0; slot++)
        result = kvm_memslots_set(slots, slot, kvm_memslots_size(slots, slot));
    return result;
}

int kvm_memslots_reinstall(struct kvm_memslots *slots)
{
    int result = kvm_memslots_collect_writes(slots);
    for (unsigned slot = 0; slot < SLOTS && result == 0; slot++)
        result = kvm_memslots_set(slots, slot, 0);
    return result < 0 ? result : kvm_memslots_install(slots);
}

int kvm_memslots_log_writes(struct kvm_memslots *slots)
{
    slots->logs = true;
    int result = kvm_memslots_install(slots); /* the flag can be changed in place */
    slots->logs = result == 0;
    return result;
}

/* No watcher is called: these are the guest's own writes, which the processor knows. */
static void kvm_memslots_mark(const struct kvm_memslots *slots, unsigned slot, const uint64_t *bitmap)
{
    const size_t first = slot == SLOT_RAM ? 0 : slots->ram->ram_size / PAGE_4K;
    for (size_t page = 0; page < kvm_memslots_size(slots, slot) / PAGE_4K; page++) {
        if ((bitmap[page / 64] >> page % 64 & 1) != 0)
            slots->ram->changed[(first + page) / 64] |= 1ull << (first + page) % 64;
    }
}

int kvm_memslots_collect_writes(struct kvm_memslots *slots)
{
    int result = 0;
    for (unsigned slot = 0; slot < SLOTS && slots->logs && result == 0; slot++) {
        uint64_t bitmap[(RAM_PAGES_MAX + 63) / 64] = {0};
        result = kvm_sys_get_dirty_log(slots->vm_fd, slot, bitmap);
        if (result == 0)
            kvm_memslots_mark(slots, slot, bitmap);
    }
    return result;
}
