#include "machine/guest_mem.h"

#include <string.h>

struct paging_mode guest_paging_mode(struct mh_vm *vm)
{
    struct mh_x86_regs regs;
    if (!vm_read_regs(vm, MH_REGS_SYSTEM, &regs))
        return (struct paging_mode){0};
    return paging_mode_of(&regs.system);
}

/* The longest piece of [address, address + length) that lies in one page and in memory; NULL with *piece 0 if none. */
static uint8_t *gva_first_piece(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, size_t length,
                                size_t *piece)
{
    struct paging_walk walk;
    size_t to_page_end = PAGE_4K - (address.v & (PAGE_4K - 1));
    *piece = length < to_page_end ? length : to_page_end;
    if (!paging_walk(&vm->ram, mode, address, &walk)) {
        *piece = 0;
        return NULL;
    }
    /* RAM and system area are multiples of a page, so a piece within a page exists completely or not at all */
    uint8_t *host = ram_at(&vm->ram, walk.physical, *piece);
    if (host == NULL)
        *piece = 0;
    return host;
}

uint8_t *gva_to_host(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address)
{
    size_t piece;
    return gva_first_piece(vm, mode, address, 1, &piece);
}

size_t gva_read(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, void *to, size_t length)
{
    size_t done = 0, piece;
    while (done < length) {
        const uint8_t *host = gva_first_piece(vm, mode, mh_gva_of(address.v + done), length - done, &piece);
        if (piece == 0)
            break;
        memcpy((uint8_t *)to + done, host, piece);
        done += piece;
    }
    return done;
}

size_t gva_write(struct mh_vm *vm, const struct paging_mode *mode, mh_gva address, const void *from, size_t length)
{
    size_t done = 0, piece;
    while (done < length) {
        uint8_t *host = gva_first_piece(vm, mode, mh_gva_of(address.v + done), length - done, &piece);
        if (piece == 0)
            break;
        ram_put(&vm->ram, host, (const uint8_t *)from + done, piece);
        done += piece;
    }
    return done;
}
