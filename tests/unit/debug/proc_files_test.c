#include "debug/proc_files.h"

#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void close_opened(struct fake_machine *m, const char *name)
{
    int fd = proc_files_open(m->vm, name);
    assert_true(fd >= 0);
    close(fd);
}

static void the_files_have_the_names_linux_gives_them(void **state)
{
    struct fake_machine *m = *state;
    static const char *const names[] = {"/proc/1/maps", "/proc/0/maps", "/proc/123456789012345678901/maps",
                                        "/proc/self/maps"};
    static const char *const others[] = {
        "/proc//maps",  "/proc/selfish/maps", "/proc/1/map", "/proc/1/maps2", "proc/1/maps", "/proc/1", "",
        "/proc/-1/maps"};
    for (size_t i = 0; i < COUNT(names); i++)
        close_opened(m, names[i]);
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(proc_files_open(m->vm, others[i]), -ENOENT);
    assert_true(proc_files_is("/proc/x"));
    assert_false(proc_files_is("proc/1/maps"));
}

static void is(struct fake_machine *m, const char *expected)
{
    char text[1024];
    unsigned fds = count_open_fds();
    int fd = proc_files_open(m->vm, "/proc/1/maps");
    assert_true(fd >= 0);
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    assert_true(length >= 0);
    text[length] = '\0';
    assert_string_equal(text, expected);
    close(fd);
    assert_int_equal(count_open_fds(), fds);
}

static void mappings_are_lines_with_their_rights(void **state)
{
    struct fake_machine *m = *state;
    uint64_t *table = (uint64_t *)(void *)(ram_system_area(&m->vm->ram) + BOOT_RAM_PT);
    is(m, "0-200000 rwxp 00000000 00:00 0 [heap]\n1000000-100a000 rwxp 01000000 00:00 0 [heap]\n");
    table[0] |= PAGING_NX;
    table[1] &= ~(uint64_t)PAGING_WRITE;
    table[2] = 64 * MB | PAGING_PRESENT; /* leads to no memory */
    is(m, "0-1000 rw-p 00000000 00:00 0 [heap]\n1000-2000 r-xp 00001000 00:00 0 [heap]\n"
          "3000-200000 rwxp 00003000 00:00 0 [heap]\n1000000-100a000 rwxp 01000000 00:00 0 [heap]\n");
}

static void without_tables_there_is_ram_or_nothing(void **state)
{
    struct fake_machine *m = *state;
    fake_machine_system(m)->cr3 = 64 * MB;
    is(m, "");
    m->cpu->failing = "read_regs";
    is(m, "0-200000 rwxp 00000000 00:00 0 [heap]\n");
}

/* The whole file, as long as `size` at most. */
static size_t contents_of(struct fake_machine *m, const char *name, void *to, size_t size)
{
    int fd = proc_files_open(m->vm, name);
    assert_true(fd >= 0);
    ssize_t length = pread(fd, to, size, 0);
    assert_true(length >= 0);
    close(fd);
    return (size_t)length;
}

static void the_program_and_its_arguments_are_there(void **state)
{
    struct fake_machine *m = *state;
    char text[4096];
    uint64_t auxv[16];
    assert_int_equal(contents_of(m, "/proc/1/environ", text, sizeof text), 0);
    assert_int_equal(contents_of(m, "/proc/7/exe", text, sizeof text), 1);
    assert_int_equal((uint8_t)text[0], 0xf4);
    size_t length = contents_of(m, "/proc/1/cmdline", text, sizeof text);
    assert_int_equal(length, strlen(mh_image_path(m->image)) + 1);
    assert_string_equal(text, mh_image_path(m->image));
    assert_int_equal(contents_of(m, "/proc/self/auxv", auxv, sizeof auxv), 48);
    assert_int_equal(auxv[0], AT_PAGESZ);
    assert_int_equal(auxv[2], AT_ENTRY);
    assert_int_equal(auxv[3], 0);
    assert_int_equal(auxv[4], AT_NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_files_have_the_names_linux_gives_them),
        TEST(the_program_and_its_arguments_are_there),
        TEST(mappings_are_lines_with_their_rights),
        TEST(without_tables_there_is_ram_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
