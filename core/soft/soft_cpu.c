/* The software processor as an implementation of core/cpu/cpu.h. */
#include "soft_cpu.h"

#include "pages.h"
#include "soft_count.h"
#include "soft_jit.h"
#include "soft_mem.h"
#include "soft_points.h"
#include "soft_profile.h"
#include "soft_run.h"
#include "soft_state.h"
#include "soft_walk.h"

/* In one piece of memory, so that generated code reaches all of it from one register. */
struct soft_memory {
    struct soft_cpu cpu;
    struct soft_block_cache blocks;
};

static void soft_destroy(struct cpu *cpu)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    soft_points_free(soft);
    soft_jit_destroy(soft);
    soft_profile_destroy(soft);
    soft_counts_destroy(soft);
    pages_free(soft, sizeof(struct soft_memory));
}

static void soft_cancel_in(struct cpu *cpu)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    soft->io_pending = false;
}

static void soft_kick(struct cpu *cpu)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    atomic_fetch_or(&soft->attention, SOFT_ATTENTION_KICK);
}

static bool soft_rip_at_hand(const struct cpu *cpu, uint64_t *rip)
{
    *rip = ((const struct soft_cpu *)cpu)->rip;
    return true;
}

static bool soft_instructions(const struct cpu *cpu, uint64_t *count)
{
    *count = ((const struct soft_cpu *)cpu)->instructions;
    return true;
}

void soft_set_instructions(struct cpu *cpu, uint64_t count)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    if (soft->counts != NULL)
        soft_counts_go_to(soft, count);
    soft->msrs.tsc += soft->instructions - count;
    soft->not_executed += count - soft->instructions;
    soft->instructions = count;
    soft->wake_at = 0;
}

static enum mh_status soft_track_writes(struct cpu *cpu, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    (void)err;
    if (soft->tracks_writes)
        return MH_OK;
    ram_mark_written(soft->ram, soft->ram->host, ram_pages(soft->ram) * PAGE_4K);
    soft->tracks_writes = true;
    soft_tlb_flush(soft);
    return MH_OK;
}

/* ram.changed is always up to date. The caller may clear it: then the first write to each page has to be noticed again.
 */
static enum mh_status soft_collect_writes(struct cpu *cpu, struct mh_error *err)
{
    (void)err;
    soft_tlb_flush((struct soft_cpu *)cpu);
    return MH_OK;
}

static void soft_memory_changed(struct cpu *cpu, mh_gpa start, uint64_t length)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    const uint8_t *host = ram_at(soft->ram, start, length);
    soft_tlb_flush(soft);
    if (length == 0)
        return;
    if (host == NULL) {
        soft_blocks_drop_all(soft);
        return;
    }
    size_t offset = (size_t)(host - soft->ram->host);
    for (size_t page = offset / PAGE_4K; page <= (offset + length - 1) / PAGE_4K; page++) {
        if (soft_blocks_has_page(soft, page))
            soft_blocks_drop_page(soft, page);
    }
}

static enum mh_status soft_arm(struct cpu *cpu, const struct cpu_point *points, size_t count, struct mh_error *err)
{
    return soft_points_arm((struct soft_cpu *)cpu, points, count, err);
}

static const struct cpu_ops ops = {
    .name = "soft",
    .destroy = soft_destroy,
    .run = soft_run,
    .finish_io = soft_finish_io,
    .cancel_in = soft_cancel_in,
    .accepts_interrupt = soft_accepts_interrupt,
    .kick = soft_kick,
    .read_regs = soft_read_regs,
    .write_regs = soft_write_regs,
    .rip_at_hand = soft_rip_at_hand,
    .save = soft_save,
    .restore = soft_restore,
    .track_writes = soft_track_writes,
    .collect_writes = soft_collect_writes,
    .memory_changed = soft_memory_changed,
    .arm = soft_arm,
    .instructions = soft_instructions,
    .set_instructions = soft_set_instructions,
    .code_stats = soft_jit_stats,
    .count_instructions = soft_count_instructions,
    .read_counts = soft_read_counts,
    .count_calls = soft_count_calls,
    .read_calls = soft_read_calls,
    .forget_counts = soft_forget_counts,
};

void soft_cpu_use_code(struct cpu *cpu, struct host_code *code, uint32_t hot)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    if (cpu->ops != &ops)
        return;
    soft->code = code;
    soft->blocks->hot = code == NULL ? UINT32_MAX : hot;
}

enum mh_status soft_cpu_create(struct guest_ram *ram, const struct x86_cpuid *cpuid, const struct mh_cpu_state *boot,
                               struct cpu **cpu, struct mh_error *err)
{
    struct soft_memory *memory = pages_alloc(sizeof *memory);
    if (memory == NULL)
        return mh_fail(err, MH_ERR_HOST, "no memory for a processor");
    struct soft_cpu *soft = &memory->cpu;
    soft->cpu.ops = &ops;
    soft->ram = ram;
    soft->cpuid = cpuid;
    atomic_init(&soft->attention, 0);
    soft_walk_init(soft);
    soft_blocks_init(soft, &memory->blocks);
    soft_mem_set_user(soft, false);
    enum mh_status status = soft_restore(&soft->cpu, boot, err);
    if (status != MH_OK) {
        soft_destroy(&soft->cpu);
        return status;
    }
    *cpu = &soft->cpu;
    return MH_OK;
}
