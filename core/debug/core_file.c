#include "debug/core_file.h"

#include "atomic_file.h"
#include "machine/guest_mem.h"
#include "machine/image.h"
#include "machine/report.h"
#include "mh/guest_abi.h"
#include "x86/page_map.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>
#include <unistd.h>

/* Where programs find XCR0 in an XSAVE area that Linux wrote: arch/x86/include/asm/user.h, struct user_xstateregs. */
#define XSAVE_XCR0 464
#define XSAVE_LEGACY 512
#define XSAVE_END_SSE 576

/* Two for each mapping: one that spans RAM and the addresses after it is split. */
#define SEGMENTS_MAX (2 * PAGE_MAP_RUNS_MAX)

/* A core file in the making. */
struct core_file {
    struct mh_vm *vm;
    const struct mh_stop *stop;
    char *notes; /* all of them, one after the other; malloc'd */
    size_t notes_size;
    Elf64_Phdr *segments; /* room for SEGMENTS_MAX, and the notes in front; malloc'd */
    unsigned segment_count;
};

static size_t core_file_padded(size_t size)
{
    return (size + 3) & ~(size_t)3;
}

/* ---- notes ---- */

static void core_file_add_note(FILE *notes, const char *owner, unsigned type, const void *content, size_t size)
{
    static const char zeros[4];
    const size_t owner_size = strlen(owner) + 1;
    const Elf64_Nhdr head = {.n_namesz = (Elf64_Word)owner_size, .n_descsz = (Elf64_Word)size, .n_type = type};
    fwrite(&head, sizeof head, 1, notes);
    fwrite(owner, 1, owner_size, notes);
    fwrite(zeros, 1, core_file_padded(owner_size) - owner_size, notes);
    fwrite(content, 1, size, notes);
    fwrite(zeros, 1, core_file_padded(size) - size, notes);
}

static struct user_regs_struct core_file_linux_registers(const struct mh_x86_general *g, const struct mh_x86_system *s)
{
    return (struct user_regs_struct){
        .r15 = g->gpr[MH_R15],
        .r14 = g->gpr[MH_R14],
        .r13 = g->gpr[MH_R13],
        .r12 = g->gpr[MH_R12],
        .rbp = g->gpr[MH_RBP],
        .rbx = g->gpr[MH_RBX],
        .r11 = g->gpr[MH_R11],
        .r10 = g->gpr[MH_R10],
        .r9 = g->gpr[MH_R9],
        .r8 = g->gpr[MH_R8],
        .rax = g->gpr[MH_RAX],
        .rcx = g->gpr[MH_RCX],
        .rdx = g->gpr[MH_RDX],
        .rsi = g->gpr[MH_RSI],
        .rdi = g->gpr[MH_RDI],
        .orig_rax = UINT64_MAX,
        .rip = g->rip,
        .cs = s->seg[MH_CS].selector,
        .eflags = g->rflags,
        .rsp = g->gpr[MH_RSP],
        .ss = s->seg[MH_SS].selector,
        .fs_base = s->seg[MH_FS].base,
        .gs_base = s->seg[MH_GS].base,
        .ds = s->seg[MH_DS].selector,
        .es = s->seg[MH_ES].selector,
        .fs = s->seg[MH_FS].selector,
        .gs = s->seg[MH_GS].selector,
    };
}

static void core_file_add_status(const struct core_file *core, FILE *notes, const struct mh_cpu_state *state)
{
    const int signal = mh_stop_signal(core->stop);
    const struct user_regs_struct registers = core_file_linux_registers(&state->general, &state->system);
    struct elf_prstatus status = {.pr_cursig = (short)signal, .pr_pid = (int)core->vm->config.number};
    status.pr_info.si_signo = signal;
    memcpy(&status.pr_reg, &registers, sizeof registers);
    core_file_add_note(notes, "CORE", NT_PRSTATUS, &status, sizeof status);
}

static void core_file_add_name(const struct core_file *core, FILE *notes)
{
    const char *image = mh_image_path(core->vm->config.image);
    struct elf_prpsinfo info = {.pr_sname = 'R', .pr_pid = (int)core->vm->config.number};
    const char *program = image != NULL ? image : core->vm->config.name, *slash = strrchr(program, '/');
    snprintf(info.pr_fname, sizeof info.pr_fname, "%s", slash != NULL ? slash + 1 : program);
    snprintf(info.pr_psargs, sizeof info.pr_psargs, "%s", program);
    core_file_add_note(notes, "CORE", NT_PRPSINFO, &info, sizeof info);
}

/* How much of an XSAVE area goes into a note: debuggers expect no more than XCR0 says there is. */
static size_t core_file_xsave_size(uint64_t xcr0)
{
    return (xcr0 & MH_XCR0_AVX) != 0 ? MH_XSAVE_SIZE : XSAVE_END_SSE;
}

static void core_file_add_float_registers(FILE *notes, const struct mh_cpu_state *state)
{
    uint8_t xsave[MH_XSAVE_SIZE];
    const uint64_t xcr0 = state->xcr0 | MH_XCR0_X87 | MH_XCR0_SSE;
    memcpy(xsave, state->xsave, sizeof xsave);
    core_file_add_note(notes, "CORE", NT_FPREGSET, xsave, XSAVE_LEGACY);
    memcpy(xsave + XSAVE_XCR0, &xcr0, sizeof xcr0);
    core_file_add_note(notes, "LINUX", NT_X86_XSTATE, xsave, core_file_xsave_size(xcr0));
}

static void core_file_write_to_stream(void *stream, const char *text, size_t length)
{
    fwrite(text, 1, length, stream);
}

/* The report about the stop, with control registers. */
static int core_file_add_report(const struct core_file *core, FILE *notes)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return -errno;
    report_stop(core->vm, core->stop, core_file_write_to_stream, stream);
    if (core->stop->kind == MH_STOP_HALTED)
        report_registers(core->vm, core_file_write_to_stream, stream);
    int result = fclose(stream) == 0 ? 0 : -errno;
    if (result == 0)
        core_file_add_note(notes, CORE_FILE_NOTE_NAME, CORE_FILE_NOTE_REPORT, text, length);
    free(text);
    return result;
}

static int core_file_make_notes(struct core_file *core)
{
    struct mh_cpu_state state;
    struct cpu *cpu = core->vm->cpu;
    cpu->ops->finish_io(cpu);
    if (cpu->ops->save(cpu, &state, NULL) != MH_OK)
        return -EIO;
    FILE *notes = open_memstream(&core->notes, &core->notes_size);
    if (notes == NULL)
        return -errno;
    core_file_add_status(core, notes, &state);
    core_file_add_name(core, notes);
    core_file_add_float_registers(notes, &state);
    int result = core_file_add_report(core, notes);
    return fclose(notes) == 0 ? result : -errno;
}

/* ---- segments ---- */

/* Add the part of a mapping that leads into `size` bytes of memory at guest-physical `base`, `offset` in our memory;
 * the file's offsets are counted from the memory for now. */
static void core_file_add_part(struct core_file *core, const struct page_mapping *mapping, uint64_t base, uint64_t size,
                               uint64_t offset)
{
    const uint64_t length = mapping->end - mapping->start;
    const uint64_t skipped = mapping->physical < base ? base - mapping->physical : 0;
    if (skipped >= length || mapping->physical >= base + size || core->segment_count == SEGMENTS_MAX)
        return;
    const uint64_t physical = mapping->physical + skipped, room = base + size - physical;
    const uint64_t bytes = length - skipped < room ? length - skipped : room;
    core->segments[core->segment_count++] =
        (Elf64_Phdr){.p_type = PT_LOAD,
                     .p_flags = PF_R | (mapping->writable ? PF_W : 0u) | (mapping->executable ? PF_X : 0u),
                     .p_offset = offset + (physical - base),
                     .p_vaddr = mapping->start + skipped,
                     .p_paddr = physical,
                     .p_filesz = bytes,
                     .p_memsz = bytes,
                     .p_align = PAGE_4K};
}

static void core_file_add_mapping(void *ctx, const struct page_mapping *mapping)
{
    struct core_file *core = ctx;
    const uint64_t ram_size = core->vm->ram.ram_size;
    core_file_add_part(core, mapping, 0, ram_size, 0);
    core_file_add_part(core, mapping, MH_SYSTEM_AREA, MH_SYSTEM_AREA_SIZE, ram_size);
}

/* ---- the file ---- */

static int core_file_write_all(int fd, const void *from, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t done = pwrite(fd, from, length, (off_t)offset);
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0) {
            from = (const char *)from + done;
            length -= (size_t)done;
            offset += (uint64_t)done;
        }
    }
    return 0;
}

/* RAM and system area; runs of pages that are all zero stay holes. */
static int core_file_write_memory(const struct guest_ram *ram, int fd, uint64_t offset)
{
    static const uint8_t zeros[PAGE_4K];
    const uint64_t size = ram->ram_size + MH_SYSTEM_AREA_SIZE;
    uint64_t from = 0;
    int result = ftruncate(fd, (off_t)(offset + size)) == 0 ? 0 : -errno;
    for (uint64_t at = 0; result == 0 && at <= size; at += PAGE_4K) {
        if (at < size && memcmp(ram->host + at, zeros, PAGE_4K) != 0)
            continue;
        result = core_file_write_all(fd, ram->host + from, at - from, offset + from);
        from = at + PAGE_4K;
    }
    return result;
}

static Elf64_Ehdr core_file_header(unsigned segments)
{
    return (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)segments};
}

/* Header, segments, notes, memory. The first segment is that of the notes. */
static int core_file_write_parts(struct core_file *core, int fd)
{
    const Elf64_Ehdr head = core_file_header(core->segment_count);
    const size_t table = core->segment_count * sizeof core->segments[0], notes_at = sizeof head + table;
    const uint64_t memory_at = (notes_at + core->notes_size + PAGE_4K - 1) & ~(uint64_t)(PAGE_4K - 1);
    core->segments[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = core->notes_size};
    for (unsigned i = 1; i < core->segment_count; i++)
        core->segments[i].p_offset += memory_at;
    int result = core_file_write_all(fd, &head, sizeof head, 0);
    if (result == 0)
        result = core_file_write_all(fd, core->segments, table, sizeof head);
    if (result == 0)
        result = core_file_write_all(fd, core->notes, core->notes_size, notes_at);
    return result == 0 ? core_file_write_memory(&core->vm->ram, fd, memory_at) : result;
}

static int core_file_collect(struct core_file *core)
{
    core->segments = calloc(SEGMENTS_MAX, sizeof core->segments[0]);
    if (core->segments == NULL)
        return -ENOMEM;
    core->segment_count = 1;
    const struct paging_mode mode = guest_paging_mode(core->vm);
    page_map_each(&core->vm->ram, &mode, core_file_add_mapping, core);
    return core_file_make_notes(core);
}

static int core_file_write_atomically(struct core_file *core, int directory, const char *name)
{
    struct atomic_file file;
    int result = atomic_file_begin(&file, directory, name);
    if (result < 0)
        return result;
    result = core_file_write_parts(core, file.fd);
    if (result == 0)
        return atomic_file_finish(&file);
    atomic_file_abandon(&file);
    return result;
}

static enum mh_status core_file_failed(const char *directory, const char *name, int error, struct mh_error *err)
{
    if (error == EINVAL)
        return mh_fail(err, MH_ERR_IO, "a core file cannot be called '%s': say a name without a '/'", name);
    return mh_fail(err, MH_ERR_IO, "no core file %s/%s: %s", directory, name, strerror(error));
}

enum mh_status core_file_write(struct mh_vm *vm, const struct mh_stop *stop, const char *name, struct mh_error *err)
{
    const char *parent = vm->config.core_dir;
    if (parent == NULL)
        return mh_fail(err, MH_ERR_IO, "start with --core DIR to say where core files may be written");
    int directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return core_file_failed(parent, name, errno, err);
    struct core_file core = {.vm = vm, .stop = stop};
    int result = core_file_collect(&core);
    if (result == 0)
        result = core_file_write_atomically(&core, directory, name);
    close(directory);
    free(core.segments);
    free(core.notes);
    return result == 0 ? MH_OK : core_file_failed(parent, name, -result, err);
}

enum mh_status mh_vm_write_core(struct mh_vm *vm, const struct mh_stop *stop, const char *name, struct mh_error *err)
{
    return core_file_write(vm, stop, name, err);
}
