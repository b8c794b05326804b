#include "debug/core_file.h"

#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <unistd.h>

struct fixture {
    struct fake_machine *m;
    struct mh_error err;
    uint8_t *file; /* what was written */
    size_t size;
    off_t blocks;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    f->m = fake_machine_make("\x90\x90\xf4", 3);
    fake_machine_create(f->m);
    f->m->vm->config.core_dir = f->m->files->dir.path;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    free(f->file);
    return fake_machine_tear_down_fixture(state);
}

static void write_core(struct fixture *f, enum mh_stop_kind kind)
{
    const struct mh_stop stop = {.kind = kind};
    char path[PATH_MAX];
    struct stat status;
    assert_int_equal(mh_vm_write_core(f->m->vm, &stop, "core", &f->err), MH_OK);
    int fd = open(temp_path(&f->m->files->dir, "core", path), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    free(f->file);
    f->size = (size_t)status.st_size;
    f->blocks = status.st_blocks;
    f->file = malloc(f->size);
    assert_int_equal(read(fd, f->file, f->size), f->size);
    close(fd);
}

static Elf64_Phdr segment(const struct fixture *f, unsigned i)
{
    Elf64_Ehdr head;
    Elf64_Phdr segment;
    memcpy(&head, f->file, sizeof head);
    assert_true(i < head.e_phnum);
    memcpy(&segment, f->file + head.e_phoff + i * sizeof segment, sizeof segment);
    return segment;
}

/* The note's content; NULL when there is none. */
static const uint8_t *note(const struct fixture *f, const char *owner, unsigned type, size_t *size)
{
    const Elf64_Phdr notes = segment(f, 0);
    assert_int_equal(notes.p_type, PT_NOTE);
    for (size_t at = 0; at < notes.p_filesz;) {
        Elf64_Nhdr head;
        const uint8_t *from = f->file + notes.p_offset + at;
        memcpy(&head, from, sizeof head);
        const char *name = (const char *)from + sizeof head;
        const uint8_t *content = from + sizeof head + ((head.n_namesz + 3) & ~3u);
        *size = head.n_descsz;
        if (head.n_type == type && strcmp(name, owner) == 0)
            return content;
        at += (size_t)(content - from) + ((head.n_descsz + 3) & ~3u);
    }
    return NULL;
}

static void memory_is_there_once_with_its_addresses(void **state)
{
    struct fixture *f = *state;
    memcpy(f->m->vm->ram.host + 0x5000, "here", 4);
    write_core(f, MH_STOP_TRIPLE_FAULT);
    Elf64_Ehdr head;
    memcpy(&head, f->file, sizeof head);
    assert_memory_equal(head.e_ident, ELFMAG, SELFMAG);
    assert_int_equal(head.e_type, ET_CORE);
    assert_int_equal(head.e_machine, EM_X86_64);
    assert_int_equal(head.e_phnum, 3); /* notes, RAM, system area */
    const Elf64_Phdr ram = segment(f, 1), area = segment(f, 2);
    assert_int_equal(ram.p_vaddr, 0);
    assert_int_equal(ram.p_filesz, 2 * MB);
    assert_int_equal(ram.p_flags, PF_R | PF_W | PF_X);
    assert_int_equal(ram.p_offset % PAGE_4K, 0);
    assert_memory_equal(f->file + ram.p_offset + 0x5000, "here", 4);
    assert_int_equal(area.p_vaddr, MH_SYSTEM_AREA);
    assert_int_equal(area.p_paddr, MH_SYSTEM_AREA);
    assert_int_equal(area.p_offset, ram.p_offset + 2 * MB);
    assert_memory_equal(f->file + area.p_offset, ram_system_area(&f->m->vm->ram), MH_SYSTEM_AREA_SIZE);
    assert_true(f->blocks * 512 < 1 << 20); /* zeros are holes */
}

static void a_page_mapped_twice_points_to_the_same_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&f->m->vm->ram) + BOOT_RAM_PT);
    table[5] = table[9];
    write_core(f, MH_STOP_TRIPLE_FAULT);
    const Elf64_Phdr page = segment(f, 2), rest = segment(f, 3);
    assert_int_equal(page.p_vaddr, 0x5000);
    assert_int_equal(page.p_paddr, 0x9000);
    assert_int_equal(rest.p_vaddr, 0x6000);
    assert_int_equal(page.p_offset, rest.p_offset + 0x3000);
}

static void registers_are_notes_as_linux_writes_them(void **state)
{
    struct fixture *f = *state;
    size_t size;
    struct elf_prstatus status;
    struct user_regs_struct regs;
    f->m->cpu->state.general.rip = 0x1234;
    f->m->cpu->state.general.gpr[MH_R15] = 15;
    f->m->cpu->state.system.seg[MH_FS].base = 0xf5;
    f->m->cpu->state.xcr0 = 7;
    f->m->cpu->state.xsave[160] = 0x77; /* xmm0 */
    write_core(f, MH_STOP_TRIPLE_FAULT);
    const uint8_t *content = note(f, "CORE", NT_PRSTATUS, &size);
    assert_non_null(content);
    assert_int_equal(size, sizeof status);
    memcpy(&status, content, sizeof status);
    memcpy(&regs, &status.pr_reg, sizeof regs);
    assert_int_equal(regs.rip, 0x1234);
    assert_int_equal(regs.r15, 15);
    assert_int_equal(regs.fs_base, 0xf5);
    assert_int_equal(regs.cs, MH_SEL_KERNEL_CODE);
    content = note(f, "CORE", NT_FPREGSET, &size);
    assert_non_null(content);
    assert_int_equal(size, 512);
    assert_int_equal(content[160], 0x77);
    content = note(f, "LINUX", NT_X86_XSTATE, &size);
    assert_non_null(content);
    assert_int_equal(size, MH_XSAVE_SIZE);
    assert_int_equal(content[464], 7);
    f->m->cpu->state.xcr0 = 0;
    write_core(f, MH_STOP_TRIPLE_FAULT);
    content = note(f, "LINUX", NT_X86_XSTATE, &size);
    assert_int_equal(size, 576);
    assert_int_equal(content[464], 3);
}

static void the_report_is_a_note_of_ours(void **state)
{
    struct fixture *f = *state;
    size_t size;
    write_core(f, MH_STOP_TRIPLE_FAULT);
    const uint8_t *content = note(f, CORE_FILE_NOTE_NAME, CORE_FILE_NOTE_REPORT, &size);
    assert_non_null(content);
    assert_true(size > 100);
    assert_memory_equal(content, "triple fault: ", 14);
}

static void an_access_under_way_is_completed_first(void **state)
{
    struct fixture *f = *state;
    const struct mh_stop stop = {.kind = MH_STOP_HALTED};
    const struct cpu_request request = {.mode = CPU_RUN};
    struct cpu_exit exit;
    fake_cpu_will_out(f->m->cpu, 0x80, 1, "x", 1);
    f->m->vm->cpu->ops->run(f->m->vm->cpu, &request, &exit);
    assert_int_equal(core_file_write(f->m->vm, &stop, "core", &f->err), MH_OK); /* the fake insists */
}

static void what_cannot_be_written_is_an_error_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const struct mh_stop stop = {.kind = MH_STOP_HALTED};
    unsigned fds = count_open_fds();
    assert_int_equal(core_file_write(f->m->vm, &stop, "a/b", &f->err), MH_ERR_IO);
    assert_text_has(f->err.text, "say a name without a '/'");
    temp_text(&f->m->files->dir, "core", "before");
    f->m->cpu->failing = "save";
    assert_int_equal(core_file_write(f->m->vm, &stop, "core", &f->err), MH_ERR_IO);
    assert_text_has(f->err.text, "no core file ");
    assert_true(temp_file_is(&f->m->files->dir, "core", "before"));
    f->m->vm->config.core_dir = "/nonexistent/directory";
    assert_int_equal(core_file_write(f->m->vm, &stop, "core", &f->err), MH_ERR_IO);
    f->m->vm->config.core_dir = NULL;
    assert_int_equal(core_file_write(f->m->vm, &stop, "core", &f->err), MH_ERR_IO);
    assert_text_has(f->err.text, "--core DIR");
    assert_int_equal(count_open_fds(), fds);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_is_there_once_with_its_addresses),  TEST(a_page_mapped_twice_points_to_the_same_bytes),
        TEST(registers_are_notes_as_linux_writes_them), TEST(the_report_is_a_note_of_ours),
        TEST(an_access_under_way_is_completed_first),   TEST(what_cannot_be_written_is_an_error_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
