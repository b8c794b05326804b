#include "x86/boot_state.h"

#include "mh/x86_regs.h"
#include "x86/paging.h"

#include <string.h>

/* A 64-bit TSS (Intel SDM volume 3, 8.7). */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));

/* A gate of the 64-bit IDT (Intel SDM volume 3, 6.14.1). */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

#define GATE_INTERRUPT 0x8e
#define GATE_INTERRUPT_RING3 0xee
#define VECTOR_BREAKPOINT 3
#define VECTOR_OVERFLOW 4

#define TSS_LIMIT (sizeof(struct tss) - 1)

static const uint64_t gdt_segments[] = {
    0,
    0x00af9b000000ffff, /* MH_SEL_KERNEL_CODE: 64-bit, ring 0 */
    0x00cf93000000ffff, /* MH_SEL_KERNEL_DATA */
    0x00cff3000000ffff, /* MH_SEL_USER_DATA: ring 3; before the code, as SYSRET wants them */
    0x00affb000000ffff, /* MH_SEL_USER_CODE */
};

#define GDT_ENTRIES (sizeof gdt_segments / sizeof gdt_segments[0] + 2) /* and the TSS, which takes two */

static uint64_t area(uint32_t offset)
{
    return MH_SYSTEM_AREA + offset;
}

static uint64_t stub_address(unsigned slot)
{
    return area(BOOT_STUBS + slot * BOOT_STUB_SIZE);
}

static void write_gdt(uint8_t *system_area)
{
    memcpy(system_area + BOOT_GDT, gdt_segments, sizeof gdt_segments);
    uint64_t base = area(BOOT_TSS);
    const uint64_t tss_descriptor[2] = {
        TSS_LIMIT | (base & 0xffffff) << 16 | 0x8bull << 40 | (base >> 24 & 0xff) << 56,
        base >> 32,
    };
    memcpy(system_area + BOOT_GDT + sizeof gdt_segments, tss_descriptor, sizeof tss_descriptor);
}

static void write_tss(uint8_t *system_area)
{
    struct tss tss = {.rsp[0] = area(BOOT_RING0_STACK_TOP), .ist[0] = area(BOOT_FAULT_STACK_TOP)};
    tss.io_map = sizeof tss; /* past the limit: ring 3 may use no port */
    memcpy(system_area + BOOT_TSS, &tss, sizeof tss);
}

static struct gate gate_to(uint64_t target, bool ring3_may_call)
{
    return (struct gate){
        .offset_low = (uint16_t)target,
        .selector = MH_SEL_KERNEL_CODE,
        .ist = 1,
        .type = ring3_may_call ? GATE_INTERRUPT_RING3 : GATE_INTERRUPT,
        .offset_middle = (uint16_t)(target >> 16),
        .offset_high = (uint32_t)(target >> 32),
    };
}

static void write_idt(uint8_t *system_area)
{
    struct gate idt[BOOT_VECTORS];
    for (unsigned vector = 0; vector < BOOT_VECTORS; vector++)
        idt[vector] = gate_to(stub_address(vector), vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW);
    memcpy(system_area + BOOT_IDT, idt, sizeof idt);
}

static void write_stubs(uint8_t *system_area)
{
    static const uint8_t stub[] = {0xf4, 0xeb, 0xfd}; /* 1: hlt; jmp 1b */
    for (unsigned slot = 0; slot <= BOOT_STUB_RETURNED; slot++)
        memcpy(system_area + BOOT_STUBS + (size_t)slot * BOOT_STUB_SIZE, stub, sizeof stub);
}

/* ---- page tables ---- */

static uint64_t *table_at(const struct guest_ram *memory, uint32_t offset)
{
    return (uint64_t *)(void *)(ram_system_area(memory) + offset);
}

static uint64_t entry_to_table(uint32_t offset)
{
    return (MH_SYSTEM_AREA + offset) | PAGING_PRESENT | PAGING_WRITE | PAGING_USER;
}

static void boot_map_ram_2m(const struct guest_ram *memory)
{
    uint64_t *pd = table_at(memory, BOOT_PD);
    for (uint64_t i = 0; i < memory->ram_size / PAGE_2M; i++)
        pd[i] = i * PAGE_2M | PAGING_PRESENT | PAGING_WRITE | PAGING_USER | PAGING_LARGE;
}

static void map_ram_4k(const struct guest_ram *memory)
{
    uint64_t *pd = table_at(memory, BOOT_PD);
    uint64_t *pt = table_at(memory, BOOT_RAM_PT); /* one after the other, so one long array */
    for (uint32_t i = 0; i < memory->ram_size / PAGE_2M; i++)
        pd[i] = entry_to_table(BOOT_RAM_PT + i * PAGE_4K);
    for (uint64_t i = 0; i < memory->ram_size / PAGE_4K; i++)
        pt[i] = i * PAGE_4K | PAGING_PRESENT | PAGING_WRITE | PAGING_USER;
}

static void map_system_area(const struct guest_ram *memory)
{
    table_at(memory, BOOT_PD)[MH_SYSTEM_AREA / PAGE_2M] = entry_to_table(BOOT_SYSTEM_PT);
    uint64_t *pt = table_at(memory, BOOT_SYSTEM_PT);
    for (uint64_t i = 0; i < MH_SYSTEM_AREA_SIZE / PAGE_4K; i++)
        pt[i] = (MH_SYSTEM_AREA + i * PAGE_4K) | PAGING_PRESENT | PAGING_WRITE;
}

static void boot_build_tables(const struct guest_ram *memory, uint32_t page_size)
{
    table_at(memory, BOOT_PML4)[0] = entry_to_table(BOOT_PDPT);
    table_at(memory, BOOT_PDPT)[0] = entry_to_table(BOOT_PD);
    if (page_size == PAGE_2M)
        boot_map_ram_2m(memory);
    else
        map_ram_4k(memory);
    map_system_area(memory);
}

void boot_write_system_area(const struct guest_ram *memory, uint32_t page_size)
{
    uint8_t *system_area = ram_system_area(memory);
    boot_build_tables(memory, page_size);
    write_gdt(system_area);
    write_tss(system_area);
    write_idt(system_area);
    write_stubs(system_area);
    const uint64_t return_address = stub_address(BOOT_STUB_RETURNED);
    memcpy(memory->host + memory->ram_size - sizeof return_address, &return_address, sizeof return_address);
}

struct mh_x86_general boot_general(const struct guest_ram *memory, uint64_t entry)
{
    struct mh_x86_general general = {.rip = entry, .rflags = MH_RFLAGS_FIXED};
    general.gpr[MH_RSP] = memory->ram_size - sizeof(uint64_t);
    return general;
}

/* Attributes as in bytes 5 and 6 of a descriptor. */
#define CODE_64 0xa09bu /* present, S, execute/read, accessed, L, G */
#define DATA 0xc093u    /* present, S, read/write, accessed, D/B, G */
#define BUSY_TSS_64 0x008bu

struct mh_x86_system boot_system(bool use_xsave)
{
    const struct mh_x86_segment data = {.limit = 0xffffffff, .selector = MH_SEL_KERNEL_DATA, .attributes = DATA};
    return (struct mh_x86_system){
        .seg =
            {[MH_ES] = data,
             [MH_CS] = {.limit = 0xffffffff, .selector = MH_SEL_KERNEL_CODE, .attributes = CODE_64},
             [MH_SS] = data,
             [MH_DS] = data,
             [MH_FS] = data,
             [MH_GS] = data,
             [MH_TR] = {.base = area(BOOT_TSS), .limit = TSS_LIMIT, .selector = MH_SEL_TSS, .attributes = BUSY_TSS_64}},
        .gdt = {.base = area(BOOT_GDT), .limit = GDT_ENTRIES * sizeof(uint64_t) - 1},
        .idt = {.base = area(BOOT_IDT), .limit = BOOT_VECTORS * sizeof(struct gate) - 1},
        .cr0 = MH_CR0_PE | MH_CR0_MP | MH_CR0_ET | MH_CR0_NE | MH_CR0_WP | MH_CR0_AM | MH_CR0_PG,
        .cr3 = MH_SYSTEM_AREA + BOOT_PML4,
        .cr4 = MH_CR4_PAE | MH_CR4_OSFXSR | MH_CR4_OSXMMEXCPT | (use_xsave ? MH_CR4_OSXSAVE : 0),
        .efer = MH_EFER_SCE | MH_EFER_LME | MH_EFER_LMA | MH_EFER_NXE,
    };
}

#define PAT_AFTER_RESET 0x0007040600070406u
#define APIC_BASE_WITHOUT_APIC 0xfee00100u /* the boot processor; disabled, so that CPUID does not announce an APIC */
#define MISC_ENABLE_FAST_STRINGS 1u

struct mh_x86_msrs boot_msrs(void)
{
    return (struct mh_x86_msrs){
        .pat = PAT_AFTER_RESET, .apic_base = APIC_BASE_WITHOUT_APIC, .misc_enable = MISC_ENABLE_FAST_STRINGS};
}

int boot_stub_at(uint64_t rip)
{
    uint64_t offset = rip - area(BOOT_STUBS);
    if (offset % BOOT_STUB_SIZE > 1 || offset / BOOT_STUB_SIZE > BOOT_STUB_RETURNED)
        return -1;
    return (int)(offset / BOOT_STUB_SIZE);
}
