/* Memory as the software processor reaches it: paging, rights, faults (Intel SDM volume 3, chapter 4). */
#include "soft/soft_mem.h"

#include "soft/soft_walk.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

/* The mapping under test: a PML4 entry of its own, and tables in RAM. */
#define LINEAR 0x8000000000ull
#define PML4E (MH_SYSTEM_AREA + BOOT_PML4 + 8)
#define PDPT 0x100000ull
#define PD 0x101000ull
#define PT 0x102000ull
#define DATA 0x103000ull
#define ALL (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)
#define AD (PAGING_ACCESSED | PAGING_DIRTY)

#define PF 14
#define GP 13
#define SS 12
#define AC 17

static const uint64_t entry_at[] = {PML4E, PDPT, PD, PT};

static void map_pages(struct soft_machine *machine)
{
    soft_machine_put64(machine, PML4E, PDPT | ALL);
    soft_machine_put64(machine, PDPT, PD | ALL);
    soft_machine_put64(machine, PD, PT | ALL);
    soft_machine_put64(machine, PT, DATA | ALL);
    soft_machine_put64(machine, PT + 8, (DATA + 0x1000) | ALL);
    soft_machine_put64(machine, PT + 16, 0);
}

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    map_pages(machine);
    return 0;
}

static bool reads(struct soft_cpu *cpu, uint64_t address)
{
    uint8_t byte;
    return soft_read8(cpu, MH_DS, address, &byte);
}

static bool writes(struct soft_cpu *cpu, uint64_t address)
{
    return soft_write8(cpu, MH_DS, address, 0x5a);
}

static bool fetches(struct soft_cpu *cpu, uint64_t address)
{
    const uint8_t *host;
    size_t page;
    return soft_fetch_page(cpu, address, &host, &page);
}

static void assert_fault(const struct soft_cpu *cpu, unsigned vector, unsigned error_code, uint64_t address)
{
    assert_int_equal(soft_mem_result(cpu), SOFT_FAULT);
    assert_int_equal(cpu->fault.vector, vector);
    assert_true(cpu->fault.has_error_code);
    assert_int_equal(cpu->fault.error_code, error_code);
    if (vector == PF)
        assert_int_equal(cpu->fault.address, address);
}

static void a_translation_leads_to_the_page(void **state)
{
    struct soft_machine *machine = *state;
    uint64_t value = 0;
    soft_machine_put64(machine, DATA + 0x123, 0x1122334455667788);
    assert_true(soft_read64(machine->soft, MH_DS, LINEAR + 0x123, &value));
    assert_int_equal(value, 0x1122334455667788);
    assert_true(soft_write64(machine->soft, MH_DS, LINEAR + 0xff8, 42));
    assert_int_equal(soft_machine_get64(machine, DATA + 0xff8), 42);
}

/* ---- rights: 4.6.1, every combination ---- */

enum { READ, WRITE, FETCH, KINDS };

struct situation {
    bool writable, user, no_execute; /* the entries */
    bool wp, smep, smap, ac;
    unsigned ring, kind;
};

static struct situation situation_of(unsigned bits)
{
    return (struct situation){.writable = bits & 1,
                              .user = bits >> 1 & 1,
                              .no_execute = bits >> 2 & 1,
                              .wp = bits >> 3 & 1,
                              .smep = bits >> 4 & 1,
                              .smap = bits >> 5 & 1,
                              .ac = bits >> 6 & 1,
                              .ring = (bits >> 7 & 1) * 3,
                              .kind = bits >> 8};
}

/* The rules as 4.6.1 lists them, address by address. */
static bool manual_allows(const struct situation *s)
{
    if (s->ring == 3) {
        if (!s->user)
            return false;
        return s->kind == READ || (s->kind == WRITE && s->writable) || (s->kind == FETCH && !s->no_execute);
    }
    if (s->kind == FETCH)
        return !s->no_execute && !(s->user && s->smep);
    if (s->user && s->smap && !s->ac)
        return false;
    return s->kind == READ || s->writable || !s->wp;
}

static unsigned manual_error_code(const struct situation *s)
{
    return 1u | (s->kind == WRITE ? 2u : 0) | (s->ring == 3 ? 4u : 0) | (s->kind == FETCH ? 16u : 0);
}

static void arrange(struct soft_machine *machine, const struct situation *s, unsigned level)
{
    struct soft_cpu *cpu = machine->soft;
    uint64_t entry = soft_machine_get64(machine, entry_at[level]) & 0xffffffffff000;
    soft_machine_put64(machine, entry_at[level],
                       entry | PAGING_PRESENT | (s->writable ? PAGING_WRITE : 0) | (s->user ? PAGING_USER : 0) |
                           (s->no_execute ? PAGING_NX : 0));
    cpu->cr0 = (cpu->cr0 & ~(uint64_t)(MH_CR0_WP | MH_CR0_AM)) | (s->wp ? MH_CR0_WP : 0);
    cpu->cr4 =
        (cpu->cr4 & ~(uint64_t)(MH_CR4_SMEP | MH_CR4_SMAP)) | (s->smep ? MH_CR4_SMEP : 0) | (s->smap ? MH_CR4_SMAP : 0);
    cpu->rflags = (cpu->rflags & ~(uint64_t)MH_RFLAGS_AC) | (s->ac ? MH_RFLAGS_AC : 0);
    soft_tlb_flush(cpu);
    soft_machine_set_ring(machine, s->ring);
}

static bool try_access(struct soft_cpu *cpu, unsigned kind)
{
    return kind == READ ? reads(cpu, LINEAR) : kind == WRITE ? writes(cpu, LINEAR) : fetches(cpu, LINEAR);
}

static void rights_are_those_of_the_manual_at_every_level(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned level = 0; level < COUNT(entry_at); level++) {
        for (unsigned bits = 0; bits < KINDS << 8; bits++) {
            const struct situation s = situation_of(bits);
            arrange(machine, &s, level);
            bool allowed = try_access(machine->soft, s.kind);
            if (allowed != manual_allows(&s))
                fail_msg("level %u, combination 0x%x: %s", level, bits, allowed ? "allowed" : "refused");
            if (!allowed)
                assert_fault(machine->soft, PF, manual_error_code(&s), LINEAR);
            assert_int_equal(try_access(machine->soft, s.kind), allowed); /* by the TLB now */
        }
        map_pages(machine);
    }
}

static void the_processor_itself_has_the_rights_of_ring_0_but_not_smap_s_exception(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value;
    soft_machine_put64(machine, PT, DATA | PAGING_PRESENT | PAGING_WRITE);
    soft_machine_set_ring(machine, 3);
    assert_true(soft_read_system(cpu, LINEAR, &value, sizeof value));
    assert_false(reads(cpu, LINEAR));
    map_pages(machine);
    soft_machine_set_ring(machine, 0);
    cpu->cr4 |= MH_CR4_SMAP;
    cpu->rflags |= MH_RFLAGS_AC;
    soft_update_attention(cpu);
    assert_true(reads(cpu, LINEAR));
    assert_false(soft_read_system(cpu, LINEAR, &value, sizeof value));
    assert_fault(cpu, PF, 1, LINEAR);
    assert_false(soft_write_system(cpu, LINEAR, &value, sizeof value));
    assert_fault(cpu, PF, 3, LINEAR);
}

static void setting_ac_changes_what_smap_allows_at_once(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    cpu->cr4 |= MH_CR4_SMAP;
    soft_update_attention(cpu);
    for (unsigned i = 0; i < 4; i++) {
        cpu->rflags ^= MH_RFLAGS_AC;
        soft_update_attention(cpu);
        assert_int_equal(reads(cpu, LINEAR), i % 2 == 0);
    }
}

/* ---- not present, reserved: 4.7, 4.5.4 ---- */

static void what_is_not_present_faults_without_p(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned level = 0; level < COUNT(entry_at); level++) {
        uint64_t entry = soft_machine_get64(machine, entry_at[level]);
        soft_machine_put64(machine, entry_at[level], entry & ~1ull);
        assert_false(reads(machine->soft, LINEAR + 5));
        assert_fault(machine->soft, PF, 0, LINEAR + 5);
        assert_false(writes(machine->soft, LINEAR + 5));
        assert_fault(machine->soft, PF, 2, LINEAR + 5);
        assert_false(fetches(machine->soft, LINEAR + 5));
        assert_fault(machine->soft, PF, 16, LINEAR + 5);
        map_pages(machine);
    }
}

static void i_is_reported_only_with_nxe_or_smep(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->efer &= ~(uint64_t)MH_EFER_NXE;
    soft_machine_put64(machine, PT, 0);
    assert_false(fetches(machine->soft, LINEAR));
    assert_fault(machine->soft, PF, 0, LINEAR);
    machine->soft->cr4 |= MH_CR4_SMEP;
    assert_false(fetches(machine->soft, LINEAR));
    assert_fault(machine->soft, PF, 16, LINEAR);
}

static bool is_reserved(const struct soft_machine *machine, unsigned level, unsigned bit)
{
    if (bit >= 12 && bit < 52)
        return bit >= machine->cpuid.physical_bits;
    if (bit == 63)
        return true; /* the test clears NXE */
    if (bit == 7)
        return level == 0; /* elsewhere: a large page, or PAT */
    return bit == 8 && level <= 1 && machine->cpuid.is_amd;
}

static void reserved_bits_fault_with_rsvd(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->efer &= ~(uint64_t)MH_EFER_NXE;
    for (unsigned level = 0; level < COUNT(entry_at); level++) {
        for (unsigned bit = 7; bit < 64; bit++) {
            if ((bit == 7 && level != 0) || (bit >= 12 && bit < machine->cpuid.physical_bits))
                continue;
            soft_machine_put64(machine, entry_at[level], soft_machine_get64(machine, entry_at[level]) | 1ull << bit);
            bool allowed = reads(machine->soft, LINEAR);
            if (allowed == is_reserved(machine, level, bit))
                fail_msg("level %u, bit %u: %s", level, bit, allowed ? "allowed" : "refused");
            if (!allowed)
                assert_fault(machine->soft, PF, 9, LINEAR);
            map_pages(machine);
        }
    }
}

static void rsvd_beats_rights_and_a_table_further_down(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, PML4E, PDPT | PAGING_PRESENT | PAGING_LARGE);
    soft_machine_put64(machine, PDPT, 0);
    soft_machine_set_ring(machine, 3);
    assert_false(writes(machine->soft, LINEAR));
    assert_fault(machine->soft, PF, 15, LINEAR);
}

/* ---- large pages: 4.5.4 ---- */

static void large_pages_translate_their_low_bits(void **state)
{
    struct soft_machine *machine = *state;
    uint64_t value;
    soft_machine_put64(machine, DATA + 0x10, 77);
    soft_machine_put64(machine, PD, 0 | ALL | PAGING_LARGE);
    assert_true(soft_read64(machine->soft, MH_DS, LINEAR + DATA + 0x10, &value));
    assert_int_equal(value, 77);
    assert_int_equal(soft_machine_get64(machine, PD), ALL | PAGING_LARGE | PAGING_ACCESSED);
    if (!x86_cpuid_has(&machine->cpuid, X86_FEATURE_PAGE_1G))
        return;
    soft_machine_put64(machine, PDPT, 0 | ALL | PAGING_LARGE);
    assert_true(soft_read64(machine->soft, MH_DS, LINEAR + DATA + 0x10, &value));
    assert_int_equal(value, 77);
}

static void large_pages_reserve_the_bits_below_their_address(void **state)
{
    struct soft_machine *machine = *state;
    for (unsigned bit = 12; bit < 21; bit++) {
        soft_machine_put64(machine, PD, ALL | PAGING_LARGE | 1ull << bit);
        assert_int_equal(reads(machine->soft, LINEAR), bit == 12); /* PAT */
    }
    for (unsigned bit = 12; bit < 30; bit++) {
        soft_machine_put64(machine, PDPT, ALL | PAGING_LARGE | 1ull << bit);
        assert_int_equal(reads(machine->soft, LINEAR),
                         bit == 12 && x86_cpuid_has(&machine->cpuid, X86_FEATURE_PAGE_1G));
    }
}

static void without_1g_pages_ps_is_reserved_in_the_pdpt(void **state)
{
    struct soft_machine *machine = *state;
    machine->cpuid.features[X86_FEATURE_PAGE_1G / 32] &= ~(1u << X86_FEATURE_PAGE_1G % 32);
    soft_machine_put64(machine, PDPT, ALL | PAGING_LARGE);
    assert_false(reads(machine->soft, LINEAR));
    assert_fault(machine->soft, PF, 9, LINEAR);
}

/* ---- A and D: 4.8 ---- */

static void a_and_d_are_set_as_pages_are_used(void **state)
{
    struct soft_machine *machine = *state;
    assert_true(soft_probe(machine->soft, MH_DS, LINEAR, 8, true));
    for (unsigned level = 0; level < COUNT(entry_at); level++)
        assert_int_equal(soft_machine_get64(machine, entry_at[level]) & AD, 0);
    assert_true(reads(machine->soft, LINEAR));
    for (unsigned level = 0; level < COUNT(entry_at); level++)
        assert_int_equal(soft_machine_get64(machine, entry_at[level]) & AD, PAGING_ACCESSED);
    assert_true(writes(machine->soft, LINEAR));
    for (unsigned level = 0; level < COUNT(entry_at); level++)
        assert_int_equal(soft_machine_get64(machine, entry_at[level]) & AD, level == 3 ? AD : PAGING_ACCESSED);
}

static void a_refused_access_sets_neither(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, PT, DATA | PAGING_PRESENT);
    soft_machine_set_ring(machine, 3);
    assert_false(writes(machine->soft, LINEAR));
    for (unsigned level = 0; level < COUNT(entry_at); level++)
        assert_int_equal(soft_machine_get64(machine, entry_at[level]) & AD, 0);
}

static void a_read_modify_write_counts_as_a_write(void **state)
{
    struct soft_machine *machine = *state;
    uint64_t value;
    soft_machine_put64(machine, PT, DATA | PAGING_PRESENT | PAGING_USER);
    assert_false(soft_read_for_write(machine->soft, MH_DS, LINEAR, &value, sizeof value));
    assert_fault(machine->soft, PF, 3, LINEAR);
}

/* ---- the TLB is not visible ---- */

static void a_write_to_a_page_table_counts_at_once(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value;
    soft_machine_put64(machine, DATA, 1);
    soft_machine_put64(machine, DATA + 0x1000, 2);
    assert_true(soft_read64(cpu, MH_DS, LINEAR, &value) && value == 1);
    assert_true(soft_write64(cpu, MH_DS, PT, (DATA + 0x1000) | ALL)); /* by the guest's identity mapping */
    assert_true(soft_read64(cpu, MH_DS, LINEAR, &value));
    assert_int_equal(value, 2);
    assert_true(soft_write64(cpu, MH_DS, PT, (DATA + 0x1000) | ALL)); /* A is clear again: */
    assert_true(soft_read64(cpu, MH_DS, LINEAR, &value));
    assert_int_equal(soft_machine_get64(machine, PT) & AD, PAGING_ACCESSED);
}

/* The next instruction comes from where the tables lead now, in a run as in steps. */
static void code_may_move_its_own_page(void **state)
{
    static const char store_and_inc[] = "\x48\x89\x03\xff\xc1\xf4"; /* mov %rax,(%rbx); inc %ecx; hlt */
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    soft_machine_code(machine, DATA + 0x1000, "\x90\x90\x90\xff\xc2\xf4"); /* inc %edx where the other has inc %ecx */
    soft_machine_load(machine, DATA, store_and_inc, sizeof store_and_inc - 1);
    cpu->rip = LINEAR;
    cpu->gpr[MH_RAX] = (DATA + 0x1000) | ALL;
    cpu->gpr[MH_RBX] = PT;
    cpu->gpr[MH_RCX] = cpu->gpr[MH_RDX] = 0;
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    assert_int_equal(cpu->gpr[MH_RCX], 0);
    assert_int_equal(cpu->gpr[MH_RDX], 1);
}

static void invlpg_drops_all_of_a_large_page(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value = 0;
    const uint64_t moved = ALL | PAGING_LARGE | 0x200000;
    soft_machine_put64(machine, PD, ALL | PAGING_LARGE);
    assert_true(soft_read64(cpu, MH_DS, LINEAR + 0x5000, &value));
    memcpy(machine->ram.host + PD, &moved, sizeof moved);
    soft_tlb_flush_page(cpu, LINEAR);
    assert_false(soft_read64(cpu, MH_DS, LINEAR + 0x5000, &value));
    assert_int_equal(soft_mem_result(cpu), SOFT_EXIT);
}

/* Pages that have not been touched yet are found with what is known of the large page, for as long as it is true. */
static void the_parts_of_a_large_page_have_its_rights(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value;
    soft_machine_put64(machine, DATA + 0x4000, 4);
    soft_machine_put64(machine, PD, PAGING_PRESENT | PAGING_LARGE); /* read only, ring 0 only */
    cpu->cr0 |= MH_CR0_WP;
    assert_true(reads(cpu, LINEAR + 0x3000));
    assert_true(soft_read64(cpu, MH_DS, LINEAR + DATA + 0x4000, &value) && value == 4);
    assert_false(writes(cpu, LINEAR + 0x4000));
    cpu->user = 1;
    assert_false(reads(cpu, LINEAR + 0x4000));
    cpu->user = 0;
    assert_true(soft_write64(cpu, MH_DS, PD, ALL | PAGING_LARGE));
    assert_true(writes(cpu, LINEAR + 0x4000));
    assert_true(writes(cpu, LINEAR + 0x5000));
    assert_int_equal(soft_machine_get64(machine, PD) & AD, AD);
    assert_true(soft_write64(cpu, MH_DS, PD, 0));
    assert_false(reads(cpu, LINEAR + 0x6000));
    assert_int_equal(soft_mem_result(cpu), SOFT_FAULT);
}

/* ---- no memory ---- */

static void missing_memory_leaves_the_guest(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, PT, 0x50000000 | ALL);
    assert_false(writes(machine->soft, LINEAR + 0x123));
    assert_int_equal(soft_mem_result(machine->soft), SOFT_EXIT);
    assert_int_equal(machine->exit.kind, CPU_EXIT_NO_MEMORY);
    assert_int_equal(machine->exit.physical, 0x50000123);
    assert_true(machine->exit.is_write);
    soft_machine_put64(machine, PDPT, 0x60000000 | ALL);
    assert_false(writes(machine->soft, LINEAR));
    assert_int_equal(machine->exit.physical, 0x60000000);
    assert_false(machine->exit.is_write); /* it is the table that is missing, and it is read */
}

static void memory_ends_where_ram_and_system_area_end(void **state)
{
    struct soft_machine *machine = *state;
    const struct {
        uint64_t page;
        bool exists;
    } pages[] = {{0x1ff000, true},
                 {0x200000, false},
                 {MH_SYSTEM_AREA - 0x1000, false},
                 {MH_SYSTEM_AREA, true},
                 {MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE - 0x1000, true},
                 {MH_SYSTEM_AREA + MH_SYSTEM_AREA_SIZE, false}};
    for (unsigned i = 0; i < COUNT(pages); i++) {
        soft_machine_put64(machine, PT, pages[i].page | ALL);
        assert_int_equal(reads(machine->soft, LINEAR), pages[i].exists);
    }
}

/* ---- addresses: 3.3.7.1 ---- */

static void addresses_that_are_not_canonical_raise_gp_or_ss(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    const uint64_t bad[] = {0x800000000000, 0x7ffffffffffd, 0xffff7fffffffffff, 0x8000000000000000};
    uint32_t value;
    for (unsigned i = 0; i < COUNT(bad); i++) {
        assert_false(soft_read32(cpu, MH_DS, bad[i], &value));
        assert_fault(cpu, GP, 0, 0);
        assert_false(soft_write32(cpu, MH_SS, bad[i], value));
        assert_fault(cpu, SS, 0, 0);
    }
    assert_false(fetches(cpu, 0x800000000000));
    assert_fault(cpu, GP, 0, 0);
}

static void an_access_across_pages_happens_whole_or_not_at_all(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value;
    assert_true(soft_write64(cpu, MH_DS, LINEAR + 0xffc, 0x1122334455667788));
    assert_true(soft_read64(cpu, MH_DS, LINEAR + 0xffc, &value));
    assert_int_equal(value, 0x1122334455667788);
    assert_false(soft_write64(cpu, MH_DS, LINEAR + 0x1ffc, 0));
    assert_fault(cpu, PF, 2, LINEAR + 0x2000); /* CR2: where the second page begins */
    assert_true(soft_write64(cpu, MH_DS, LINEAR + 0x1ff8, -1ull));
    assert_false(soft_write64(cpu, MH_DS, LINEAR + 0x1ffc, 0));
    assert_int_equal(soft_machine_get64(machine, DATA + 0x1ff8), -1ull);
}

static void alignment_is_checked_in_ring_3_with_am_and_ac(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    uint64_t value;
    for (unsigned bits = 0; bits < 8; bits++) {
        cpu->cr0 = (cpu->cr0 & ~(uint64_t)MH_CR0_AM) | (bits & 1 ? MH_CR0_AM : 0);
        cpu->rflags = (cpu->rflags & ~(uint64_t)MH_RFLAGS_AC) | (bits & 2 ? MH_RFLAGS_AC : 0);
        soft_machine_set_ring(machine, bits & 4 ? 3 : 0);
        assert_true(soft_read64(cpu, MH_DS, LINEAR, &value));
        assert_int_equal(soft_read64(cpu, MH_DS, LINEAR + 4, &value), bits != 7);
        if (bits == 7)
            assert_fault(cpu, AC, 0, 0);
        assert_true(soft_read32(cpu, MH_DS, LINEAR + 4, &(uint32_t){0}));
    }
}

/* ---- what was written ---- */

static bool is_changed(const struct soft_machine *machine, uint64_t gpa)
{
    return machine->ram.changed[gpa / PAGE_4K / 64] >> gpa / PAGE_4K % 64 & 1;
}

static void written_pages_are_noted_again_after_each_collect(void **state)
{
    struct soft_machine *machine = *state;
    const struct cpu_ops *ops = machine->cpu->ops;
    assert_true(writes(machine->soft, LINEAR));
    assert_int_equal(ops->track_writes(machine->cpu, NULL), MH_OK);
    assert_true(is_changed(machine, 0)); /* pages of before count as written */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ops->collect_writes(machine->cpu, NULL), MH_OK);
        memset(machine->ram.changed, 0, sizeof machine->ram.changed);
        assert_true(reads(machine->soft, LINEAR));
        assert_false(is_changed(machine, DATA));
        assert_true(writes(machine->soft, LINEAR));
        assert_true(writes(machine->soft, LINEAR));
        assert_true(is_changed(machine, DATA));
        assert_false(is_changed(machine, DATA + 0x1000));
    }
}

static void page_tables_that_get_a_and_d_count_as_written(void **state)
{
    struct soft_machine *machine = *state;
    assert_int_equal(machine->cpu->ops->track_writes(machine->cpu, NULL), MH_OK);
    memset(machine->ram.changed, 0, sizeof machine->ram.changed);
    assert_true(reads(machine->soft, LINEAR));
    assert_true(is_changed(machine, PT) && is_changed(machine, PD) && is_changed(machine, PDPT));
    memset(machine->ram.changed, 0, sizeof machine->ram.changed);
    soft_tlb_flush(machine->soft);
    assert_true(reads(machine->soft, LINEAR));
    assert_false(is_changed(machine, PT));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, soft_machine_tear_down)

static void count_call(void *watcher_ctx, mh_gpa start, uint64_t length)
{
    unsigned *calls = watcher_ctx;
    (void)start, (void)length;
    ++*calls;
}

/* The watcher drops all that a processor has cached: it is for the writes of others. */
static void what_the_guest_writes_is_not_told_to_the_watcher(void **state)
{
    struct soft_machine *machine = *state;
    struct soft_cpu *cpu = machine->soft;
    unsigned calls = 0;
    machine->ram.watcher = count_call;
    machine->ram.watcher_ctx = &calls;
    assert_int_equal(cpu->cpu.ops->track_writes(&cpu->cpu, NULL), MH_OK);
    assert_true(soft_write8(cpu, MH_DS, LINEAR, 1));
    assert_true(soft_write64(cpu, MH_DS, PT + 8, (DATA + 0x1000) | ALL));
    assert_true(soft_write8(cpu, MH_DS, LINEAR + 0x1000, 1));
    assert_int_equal(calls, 0);
    machine->ram.watcher = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_translation_leads_to_the_page),
        TEST(rights_are_those_of_the_manual_at_every_level),
        TEST(the_processor_itself_has_the_rights_of_ring_0_but_not_smap_s_exception),
        TEST(setting_ac_changes_what_smap_allows_at_once),
        TEST(what_is_not_present_faults_without_p),
        TEST(i_is_reported_only_with_nxe_or_smep),
        TEST(reserved_bits_fault_with_rsvd),
        TEST(rsvd_beats_rights_and_a_table_further_down),
        TEST(large_pages_translate_their_low_bits),
        TEST(large_pages_reserve_the_bits_below_their_address),
        TEST(without_1g_pages_ps_is_reserved_in_the_pdpt),
        TEST(a_and_d_are_set_as_pages_are_used),
        TEST(a_refused_access_sets_neither),
        TEST(a_read_modify_write_counts_as_a_write),
        TEST(a_write_to_a_page_table_counts_at_once),
        TEST(code_may_move_its_own_page),
        TEST(invlpg_drops_all_of_a_large_page),
        TEST(the_parts_of_a_large_page_have_its_rights),
        TEST(missing_memory_leaves_the_guest),
        TEST(memory_ends_where_ram_and_system_area_end),
        TEST(addresses_that_are_not_canonical_raise_gp_or_ss),
        TEST(an_access_across_pages_happens_whole_or_not_at_all),
        TEST(alignment_is_checked_in_ring_3_with_am_and_ac),
        TEST(written_pages_are_noted_again_after_each_collect),
        TEST(page_tables_that_get_a_and_d_count_as_written),
        TEST(what_the_guest_writes_is_not_told_to_the_watcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
