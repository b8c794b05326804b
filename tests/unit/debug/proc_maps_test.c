#include "debug/proc_maps.h"

#include "fake_machine.h"
#include "unit.h"
#include "x86/boot_state.h"
#include "x86/paging.h"

#include <string.h>
#include <unistd.h>

static void the_file_has_the_name_linux_gives_it(void **state)
{
    (void)state;
    static const char *const names[] = {"/proc/1/maps", "/proc/0/maps", "/proc/123456789012345678901/maps"};
    static const char *const others[] = {
        "/proc//maps",  "/proc/self/maps", "/proc/1/map", "/proc/1/maps2", "proc/1/maps", "/proc/1", "",
        "/proc/-1/maps"};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(proc_maps_is(names[i]));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(proc_maps_is(others[i]));
}

static void is(struct fake_machine *m, const char *expected)
{
    char text[1024];
    unsigned fds = count_open_fds();
    int fd = proc_maps_open(m->vm);
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_machine_set_up, fake_machine_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_has_the_name_linux_gives_it),
        TEST(mappings_are_lines_with_their_rights),
        TEST(without_tables_there_is_ram_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
