/*
 * Accesses that the inline functions of soft_mem.h could not do: the translation is not in the TLB, the access crosses
 * a page, or the page wants attention (SOFT_TLB_SLOW).
 *
 * An access is first resolved whole into one or two pieces of host memory, so that nothing is written when the second
 * page faults. What is watched, and what was decoded from the page, is looked after when the bytes are moved.
 */
#include "soft_mem.h"

#include "soft_block.h"
#include "soft_points.h"
#include "soft_walk.h"
#include "x86/exceptions.h"

#define PAGE_MASK 0xfffull
#define EXCEPTION_ALIGNMENT_CHECK 17

/* cpu->access_mode */
#define MODE_ALIGNMENT 1u  /* ring 3 must access aligned */
#define MODE_SMAP 2u       /* ring 0 may not access pages of ring 3 */
#define MODE_SMAP_IS_ON 4u /* ... the processor itself may not, whatever RFLAGS.AC is */

struct piece {
    uint8_t *host;
    uint64_t address;
    unsigned length;
    bool is_slow;
};

struct span {
    struct piece piece[2];
    unsigned count;
};

enum soft_result soft_mem_result(const struct soft_cpu *cpu)
{
    return cpu->mem_result;
}

/* ---- the TLB ---- */

/* What generated code remembers of the TLB is not right any more. */
static void forget_sites(struct soft_cpu *cpu)
{
    cpu->tlb_changes++;
    for (unsigned i = 0; i < cpu->code_site_count; i++)
        cpu->code_sites[i].limit = 0;
}

static void clear_half(struct soft_cpu *cpu, unsigned user)
{
    forget_sites(cpu);
    memset(cpu->tlb_read[user], 0xff, sizeof cpu->tlb_read[user]);
    memset(cpu->tlb_write[user], 0xff, sizeof cpu->tlb_write[user]);
    memset(cpu->tlb_fetch[user], 0xff, sizeof cpu->tlb_fetch[user]);
    memset(cpu->tlb_large[user], 0xff, sizeof cpu->tlb_large[user]);
}

void soft_mem_set_user(struct soft_cpu *cpu, bool user)
{
    cpu->user = user;
    if (cpu->tlb_is_ready[user])
        return;
    cpu->tlb_is_ready[user] = true;
    clear_half(cpu, user);
}

void soft_tlb_flush(struct soft_cpu *cpu)
{
    for (unsigned user = 0; user < 2; user++)
        if (cpu->tlb_is_ready[user])
            clear_half(cpu, user);
    memset(cpu->table_pages, 0, sizeof cpu->table_pages);
    cpu->tlb_has_large = false;
    soft_blocks_leave(cpu);
}

/* INVLPG of one address drops all of a large page, which is in the TLB as many small ones. */
void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t address)
{
    if (cpu->tlb_has_large) {
        soft_tlb_flush(cpu);
        return;
    }
    forget_sites(cpu);
    for (unsigned user = 0; user < 2 && cpu->tlb_is_ready[user]; user++) {
        size_t slot = address / PAGE_4K % SOFT_TLB_SIZE;
        cpu->tlb_read[user][slot].tag = ~0ull;
        cpu->tlb_write[user][slot].tag = ~0ull;
        cpu->tlb_fetch[user][slot].tag = ~0ull;
    }
    soft_blocks_leave(cpu);
}

void soft_mem_protect_code(struct soft_cpu *cpu, size_t page)
{
    const uint8_t *host = cpu->ram->host + page * PAGE_4K;
    forget_sites(cpu);
    for (unsigned user = 0; user < 2 && cpu->tlb_is_ready[user]; user++) {
        for (unsigned slot = 0; slot < SOFT_TLB_SIZE; slot++) {
            struct soft_tlb_entry *entry = &cpu->tlb_write[user][slot];
            if (entry->tag != ~0ull && soft_tlb_at(entry, entry->tag & ~PAGE_MASK) == host)
                entry->tag |= SOFT_TLB_SLOW;
        }
    }
}

void soft_mem_update_mode(struct soft_cpu *cpu)
{
    uint8_t mode = 0;
    bool ac = (cpu->rflags & MH_RFLAGS_AC) != 0;
    if (ac && (cpu->cr0 & MH_CR0_AM) != 0)
        mode |= MODE_ALIGNMENT;
    if ((cpu->cr4 & MH_CR4_SMAP) != 0)
        mode |= ac ? MODE_SMAP_IS_ON : MODE_SMAP_IS_ON | MODE_SMAP;
    if (mode == cpu->access_mode)
        return;
    cpu->access_mode = mode;
    soft_tlb_flush(cpu);
}

static bool checks_alignment(const struct soft_cpu *cpu, const struct soft_access *access)
{
    return access->user && (cpu->access_mode & MODE_ALIGNMENT) != 0;
}

static bool is_changed(const struct guest_ram *ram, size_t page)
{
    return (ram->changed[page / 64] >> page % 64 & 1) != 0;
}

/* Must each access of this kind to the page be looked at? What reads and writes at once uses the translation for
 * writes, so that this one is slow when reads are watched, too. */
static bool page_is_slow(const struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, size_t page)
{
    bool is_write = access->kind == SOFT_ACCESS_WRITE;
    if (access->kind == SOFT_ACCESS_FETCH)
        return false;
    if (checks_alignment(cpu, access) || soft_watched_in_page(cpu, address & ~PAGE_MASK, false) ||
        (is_write && soft_watched_in_page(cpu, address & ~PAGE_MASK, true)))
        return true;
    return is_write && (soft_blocks_has_page(cpu, page) || soft_walk_used(cpu, page) ||
                        (cpu->tracks_writes && !is_changed(cpu->ram, page)));
}

static struct soft_tlb_entry *tlb_entry(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access)
{
    size_t slot = address / PAGE_4K % SOFT_TLB_SIZE;
    switch (access->kind) {
    case SOFT_ACCESS_WRITE:
        return &cpu->tlb_write[access->user][slot];
    case SOFT_ACCESS_FETCH:
        return &cpu->tlb_fetch[access->user][slot];
    default:
        return &cpu->tlb_read[access->user][slot];
    }
}

/* Translations that RFLAGS.AC allowed to ring 0 do not count for the processor's own accesses. */
static bool tlb_applies(const struct soft_cpu *cpu, const struct soft_access *access)
{
    return !access->implicit || (cpu->access_mode & (MODE_SMAP | MODE_SMAP_IS_ON)) != MODE_SMAP_IS_ON;
}

static const enum ram_access ram_access_of[] = {
    [SOFT_ACCESS_READ] = RAM_READ, [SOFT_ACCESS_WRITE] = RAM_WRITTEN, [SOFT_ACCESS_FETCH] = RAM_EXECUTED};

/* Where the byte at `address` is; NULL with the reason set. */
static uint8_t *translate(struct soft_cpu *cpu, uint64_t address, const struct soft_access *access, bool *is_slow)
{
    struct soft_tlb_entry *entry = tlb_entry(cpu, address, access);
    bool applies = tlb_applies(cpu, access);
    if (applies && (entry->tag & ~(uint64_t)SOFT_TLB_SLOW) == (address & ~PAGE_MASK)) {
        *is_slow = (entry->tag & SOFT_TLB_SLOW) != 0;
        return soft_tlb_at(entry, address);
    }
    size_t page;
    if (!(applies && soft_walk_large(cpu, address, access, &page)) && !soft_walk(cpu, address, access, &page))
        return NULL;
    uint8_t *host = cpu->ram->host + page * PAGE_4K;
    if (!access->dry)
        ram_mark_accessed(cpu->ram, page, ram_access_of[access->kind]);
    *is_slow = page_is_slow(cpu, address, access, page);
    if (applies && !access->dry)
        *entry = (struct soft_tlb_entry){(address & ~PAGE_MASK) | (*is_slow ? SOFT_TLB_SLOW : 0),
                                         (uint64_t)(uintptr_t)host - (address & ~PAGE_MASK)};
    return host + (address & PAGE_MASK);
}

/* ---- resolving an access ---- */

static bool raise(struct soft_cpu *cpu, uint8_t vector)
{
    cpu->mem_result = soft_raise_error(cpu, vector, 0);
    return false;
}

/* What an operand of this length must be aligned to (Intel SDM volume 3, table 6-7). Processors do not check operands
 * of 16 bytes and more, beyond what the instruction itself demands. */
static unsigned alignment_of(unsigned length)
{
    switch (length) {
    case 6: /* a far pointer */
    case 14:
    case 28: /* the x87 environment, and with the registers */
    case 94:
    case 108:
        return length == 14 || length == 94 ? 2 : 4;
    case 10:
        return 8;
    default:
        return (length & (length - 1)) == 0 && length <= 8 ? length : 1;
    }
}

static bool resolve_piece(struct soft_cpu *cpu, uint64_t address, unsigned length, const struct soft_access *access,
                          struct span *span)
{
    struct piece *piece = &span->piece[span->count++];
    *piece = (struct piece){.address = address, .length = length};
    piece->host = translate(cpu, address, access, &piece->is_slow);
    return piece->host != NULL;
}

static bool resolve(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned length,
                    const struct soft_access *access, struct span *span)
{
    unsigned in_page = PAGE_4K - (unsigned)(address & PAGE_MASK);
    span->count = 0;
    if (!soft_is_canonical(address) || !soft_is_canonical(address + length - 1))
        return raise(cpu, segment == MH_SS ? EXCEPTION_STACK_FAULT : EXCEPTION_GENERAL_PROTECTION);
    if (checks_alignment(cpu, access) && (address & (alignment_of(length) - 1)) != 0)
        return raise(cpu, EXCEPTION_ALIGNMENT_CHECK);
    return resolve_piece(cpu, address, length < in_page ? length : in_page, access, span) &&
           (length <= in_page || resolve_piece(cpu, address + in_page, length - in_page, access, span));
}

/* ---- moving bytes ---- */

static void note_touch(struct soft_cpu *cpu, const struct piece *piece, bool is_write)
{
    if (piece->is_slow && (cpu->point_index != NULL || cpu->debug_data))
        soft_points_touch(cpu, piece->address, piece->length, is_write);
}

static void read_span(struct soft_cpu *cpu, const struct span *span, void *to)
{
    uint8_t *at = to;
    for (unsigned i = 0; i < span->count; i++) {
        const struct piece *piece = &span->piece[i];
        memcpy(at, piece->host, piece->length);
        note_touch(cpu, piece, false);
        at += piece->length;
    }
}

/* A write to a page that wants to know of it. The next write to it may be a fast one. */
static void note_write(struct soft_cpu *cpu, const struct piece *piece, const struct soft_access *access)
{
    size_t offset = (size_t)(piece->host - cpu->ram->host), page = offset / PAGE_4K;
    ram_mark_written(cpu->ram, piece->host, piece->length);
    soft_blocks_write(cpu, page, (unsigned)(offset % PAGE_4K), piece->length);
    soft_walk_written(cpu, page);
    note_touch(cpu, piece, true);
    struct soft_tlb_entry *entry = tlb_entry(cpu, piece->address, access);
    uint64_t tag = piece->address & ~PAGE_MASK;
    if (entry->tag == (tag | SOFT_TLB_SLOW) && !page_is_slow(cpu, piece->address, access, page))
        entry->tag = tag;
}

static void write_span(struct soft_cpu *cpu, const struct span *span, const struct soft_access *access,
                       const void *from)
{
    const uint8_t *at = from;
    for (unsigned i = 0; i < span->count; i++) {
        const struct piece *piece = &span->piece[i];
        memcpy(piece->host, at, piece->length);
        if (piece->is_slow)
            note_write(cpu, piece, access);
        at += piece->length;
    }
}

bool soft_read(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned length)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_READ, .user = cpu->user != 0};
    struct span span;
    if (!resolve(cpu, segment, address, length, &access, &span))
        return false;
    read_span(cpu, &span, to);
    return true;
}

bool soft_write(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned length)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_WRITE, .user = cpu->user != 0};
    struct span span;
    if (!resolve(cpu, segment, address, length, &access, &span))
        return false;
    write_span(cpu, &span, &access, from);
    return true;
}

/* The pieces are resolved as for a write, but it is a read that is noted. */
bool soft_read_for_write(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned length)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_WRITE, .user = cpu->user != 0};
    struct span span;
    if (!resolve(cpu, segment, address, length, &access, &span))
        return false;
    for (unsigned i = 0; i < span.count; i++)
        span.piece[i].is_slow = true; /* a page may be watched for reads only */
    read_span(cpu, &span, to);
    return true;
}

bool soft_probe(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned length, bool for_write)
{
    const struct soft_access access = {
        .kind = for_write ? SOFT_ACCESS_WRITE : SOFT_ACCESS_READ, .user = cpu->user != 0, .dry = true};
    struct span span;
    return resolve(cpu, segment, address, length, &access, &span);
}

bool soft_read_system(struct soft_cpu *cpu, uint64_t address, void *to, unsigned length)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_READ, .implicit = true};
    struct span span;
    if (!resolve(cpu, MH_DS, address, length, &access, &span))
        return false;
    read_span(cpu, &span, to);
    return true;
}

bool soft_write_system(struct soft_cpu *cpu, uint64_t address, const void *from, unsigned length)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_WRITE, .implicit = true};
    struct span span;
    if (!resolve(cpu, MH_DS, address, length, &access, &span))
        return false;
    write_span(cpu, &span, &access, from);
    return true;
}

uint8_t *soft_mem_at_once(struct soft_cpu *cpu, uint64_t address, uint64_t *length)
{
    struct soft_tlb_entry *entry = &cpu->tlb_write[cpu->user][address / PAGE_4K % SOFT_TLB_SIZE];
    uint64_t left = PAGE_4K - (address & PAGE_MASK);
    uint8_t *const host = soft_tlb_at(entry, address);
    if ((entry->tag & ~(uint64_t)SOFT_TLB_SLOW) != (address & ~PAGE_MASK))
        return NULL;
    if ((entry->tag & SOFT_TLB_SLOW) != 0) {
        const size_t offset = (size_t)(host - cpu->ram->host), page = offset / PAGE_4K;
        if (cpu->point_index != NULL || cpu->debug_data || (cpu->access_mode & MODE_ALIGNMENT) != 0 ||
            soft_walk_used(cpu, page))
            return NULL;
        left = soft_blocks_free_bytes(cpu, page, (unsigned)(offset % PAGE_4K));
        if (left == 0)
            return NULL;
        ram_mark_written(cpu->ram, host, 1);
        if (!soft_blocks_has_page(cpu, page)) /* there was nothing else to look at */
            entry->tag = address & ~PAGE_MASK;
    }
    if (*length > left)
        *length = left;
    return host;
}

uint64_t soft_mem_addend(struct soft_cpu *cpu, uint64_t address, unsigned length, bool is_write)
{
    const struct soft_access access = {
        .kind = is_write ? SOFT_ACCESS_WRITE : SOFT_ACCESS_READ, .user = cpu->user != 0, .keeps_code = true};
    bool is_slow;
    if (!soft_is_canonical(address) || (address & PAGE_MASK) + length > PAGE_4K || checks_alignment(cpu, &access) ||
        translate(cpu, address, &access, &is_slow) == NULL)
        return 0;
    const struct soft_tlb_entry *entry = tlb_entry(cpu, address, &access);
    uint64_t free_bytes = length;
    if (is_slow && (!is_write || soft_mem_at_once(cpu, address, &free_bytes) == NULL || free_bytes < length))
        return 0;
    return entry->addend;
}

bool soft_mem_at_hand(const struct soft_cpu *cpu, uint64_t address, bool is_write)
{
    const size_t slot = address / PAGE_4K % SOFT_TLB_SIZE;
    const struct soft_tlb_entry *entry = is_write ? &cpu->tlb_write[cpu->user][slot] : &cpu->tlb_read[cpu->user][slot];
    return entry->tag == (address & ~PAGE_MASK);
}

bool soft_fetch_page(struct soft_cpu *cpu, uint64_t address, const uint8_t **host, size_t *page)
{
    const struct soft_access access = {.kind = SOFT_ACCESS_FETCH, .user = cpu->user != 0};
    bool is_slow;
    if (!soft_is_canonical(address))
        return raise(cpu, EXCEPTION_GENERAL_PROTECTION);
    const uint8_t *at = translate(cpu, address & ~PAGE_MASK, &access, &is_slow);
    if (at == NULL) {
        cpu->fault.address = address;
        return false;
    }
    *host = at;
    *page = (size_t)(at - cpu->ram->host) / PAGE_4K;
    return true;
}
