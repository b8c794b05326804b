/*
 * Walks its own page tables, as the processor does at every memory access, and then adds a page to them.
 *
 *     mini_hypervisor --memory 4 --page 2 --guest guest.img
 *
 * Try `--page 4` too: the walk gets one level longer, because RAM is then mapped by 4 KB pages instead of 2 MB pages.
 *
 * A virtual address has 48 bits that matter. Four times nine of them choose an entry in a table of 512, the rest is the
 * place within the page:
 *
 *     47     39 38     30 29     21 20     12 11         0
 *     |  PML4  |  PDPT   |   PD    |   PT    |  offset   |
 *
 * The entry holds the physical address of the next table, or of the page, and flags. Physical addresses can be used as
 * pointers here because RAM and the page tables are mapped to themselves.
 */
#include "console.h"
#include "mh/guest_abi.h"
#include "string.h"
#include "x86.h"

#include <stddef.h>
#include <stdint.h>

#define PRESENT 0x1ul
#define WRITE 0x2ul
#define USER 0x4ul
#define LARGE 0x80ul /* in a PDPT or PD: this entry is a page already, not a table */
#define NO_EXECUTE (1ul << 63)
#define ADDRESS_BITS 0x000ffffffffff000ul

#define ENTRIES 512
#define PAGE_SIZE 4096ul
#define LEVELS 4

typedef uint64_t page_table[ENTRIES];

static const char *const level_names[LEVELS] = {"PML4", "PDPT", "PD", "PT"};

/* How many low bits of an address are not looked at by the tables down to this level. */
static unsigned level_shift(int level)
{
    return 39 - 9 * (unsigned)level;
}

static unsigned table_index(uint64_t address, int level)
{
    return (address >> level_shift(level)) % ENTRIES;
}

static void print_entry(uint64_t table, uint64_t address, int level)
{
    unsigned index = table_index(address, level);
    uint64_t entry = ((uint64_t *)table)[index];

    printf("  %-4s at 0x%07lx, entry %3u: ", level_names[level], table, index);
    if (!(entry & PRESENT)) {
        puts("not present");
        return;
    }
    printf("0x%07lx%s%s%s%s\n", entry & ADDRESS_BITS, entry & WRITE ? " write" : "", entry & USER ? " user" : "",
           entry & LARGE && level < 3 ? " large" : "", entry & NO_EXECUTE ? " no-execute" : "");
}

/* Whether an entry of this level ends the walk with a page. */
static bool is_page(uint64_t entry, int level)
{
    return level == LEVELS - 1 || entry & LARGE;
}

static void print_page(uint64_t entry, uint64_t address, int level)
{
    uint64_t size = 1ul << level_shift(level);
    uint64_t physical = (entry & ADDRESS_BITS & ~(size - 1)) + address % size;

    printf("  -> physical 0x%lx, in a page of %lu KB\n", physical, size / 1024);
}

static void walk(const char *what, uint64_t address)
{
    uint64_t table = read_cr3() & ADDRESS_BITS;

    printf("%s, 0x%lx:\n", what, address);
    for (int level = 0; level < LEVELS; level++) {
        uint64_t entry = ((uint64_t *)table)[table_index(address, level)];

        print_entry(table, address, level);
        if (!(entry & PRESENT)) {
            puts("  -> page fault");
            return;
        }
        if (is_page(entry, level)) {
            print_page(entry, address, level);
            return;
        }
        table = entry & ADDRESS_BITS;
    }
}

/*
 * Map one page at `address` by page tables of our own. PML4 and PDPT begin as copies of the ones in use, so that
 * everything else stays where it is. Nothing may be mapped within the same GB yet.
 */
static void map_page(uint64_t address, void *page)
{
    static page_table pml4 __attribute__((aligned(4096)));
    static page_table pdpt __attribute__((aligned(4096)));
    static page_table directory __attribute__((aligned(4096)));
    static page_table table __attribute__((aligned(4096)));
    uint64_t *old_pml4 = (uint64_t *)(read_cr3() & ADDRESS_BITS);

    memcpy(pml4, old_pml4, sizeof(pml4));
    memcpy(pdpt, (void *)(old_pml4[table_index(address, 0)] & ADDRESS_BITS), sizeof(pdpt));
    pml4[table_index(address, 0)] = (uintptr_t)pdpt | PRESENT | WRITE | USER;
    pdpt[table_index(address, 1)] = (uintptr_t)directory | PRESENT | WRITE | USER;
    directory[table_index(address, 2)] = (uintptr_t)table | PRESENT | WRITE | USER;
    table[table_index(address, 3)] = (uintptr_t)page | PRESENT | WRITE;
    write_cr3((uintptr_t)pml4);
}

int main(void)
{
    static char page[PAGE_SIZE] __attribute__((aligned(4096)));
    const uint64_t far_away = 0x40000000; /* 1 GB */
    uint64_t stack_page = (uint64_t)__builtin_frame_address(0) & ~(PAGE_SIZE - 1);

    walk("this program", 0);
    walk("the stack", stack_page);
    walk("the first byte behind RAM", stack_page + PAGE_SIZE);
    walk("the page tables themselves", read_cr3());

    strlcpy(page, "the same page under two addresses", sizeof(page));
    map_page(far_away, page);
    printf("\nmapped a page at 0x%lx; it reads: %s\n", far_away, (const char *)far_away);
    return 0;
}
