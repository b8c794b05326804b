/* Machines on the software processor, and what their memory looks like afterwards. */
#include "mh/memory_view.h"

#include "machine/image.h"
#include "machine/machine.h"
#include "machine/vm.h"
#include "unit.h"

#include <string.h>

struct fixture {
    struct mh_host *host;
    struct mh_image *image;
    struct mh_vm *vm;
    struct mh_memory_view view;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    mh_kick_install();
    assert_int_equal(mh_host_open(MH_ACCEL_SOFT, &f->host, NULL), MH_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mh_memory_view_free(&f->view);
    mh_vm_destroy(f->vm);
    mh_image_free(f->image);
    mh_host_close(f->host);
    test_free(f);
    return 0;
}

static void boot(struct fixture *f, const void *code, size_t length, uint32_t page_size, bool notes_writes)
{
    assert_int_equal(image_from_bytes(code, length, &f->image, NULL), MH_OK);
    const struct mh_vm_config config = {.number = 1,
                                        .name = "test",
                                        .ram_size = 2 * MB,
                                        .page_size = page_size,
                                        .image = f->image,
                                        .files_parent = "/nonexistent",
                                        .files_name = "1-test",
                                        .limits = {.open_files = 1, .bytes_written = 1},
                                        .notes_writes = notes_writes};
    assert_int_equal(mh_vm_create(f->host, &config, &f->vm, NULL), MH_OK);
}

static void look(struct fixture *f)
{
    mh_memory_view_free(&f->view);
    assert_int_equal(mh_vm_view_memory(f->vm, &f->view, NULL), MH_OK);
}

/* What a page is, but for MH_VIEW_MAPPED. */
static unsigned page(const struct fixture *f, uint64_t address)
{
    return f->view.page[address / MH_VIEW_PAGE] & ~MH_VIEW_MAPPED;
}

/* mov 0x40000, %eax;  mov %eax, 0x60044;  movb $1, 0x3;  hlt */
static const char accesses[] = "\x8b\x04\x25\x00\x00\x04\x00\x89\x04\x25\x44\x00\x06\x00"
                               "\xc6\x04\x25\x03\x00\x00\x00\x01\xf4";
#define ACCESSES accesses, sizeof accesses - 1

static void what_a_guest_did_shows_in_small_and_in_large_pages(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {4096, 2 * MB};
    for (unsigned i = 0; i < COUNT(sizes); i++) {
        struct mh_stop stop;
        boot(f, ACCESSES, sizes[i], false);
        mh_vm_run(f->vm, &stop);
        assert_int_equal(stop.kind, MH_STOP_HALTED);
        look(f);
        assert_true(f->view.knows_accesses);
        assert_int_equal(page(f, 0), MH_VIEW_IMAGE | MH_VIEW_EXECUTED | MH_VIEW_WRITTEN | MH_VIEW_CHANGED);
        assert_int_equal(f->view.changed[0], 1); /* the first 64 bytes */
        assert_int_equal(page(f, 0x40000), MH_VIEW_READ);
        assert_int_equal(page(f, 0x60000), MH_VIEW_WRITTEN); /* with what was there at the start */
        assert_int_equal(page(f, 0x70000), 0);
        mh_vm_destroy(f->vm);
        mh_image_free(f->image);
        f->vm = NULL;
        f->image = NULL;
    }
}

static void a_machine_at_its_start_has_an_image_a_stack_and_tables(void **state)
{
    struct fixture *f = *state;
    boot(f, ACCESSES, 4096, false);
    look(f);
    assert_int_equal(f->view.ram_pages, 512);
    assert_int_equal(f->view.pages, 522);
    assert_int_equal(f->view.page[0], MH_VIEW_IMAGE | MH_VIEW_MAPPED);
    assert_int_equal(f->view.page[1], MH_VIEW_MAPPED);
    assert_int_equal(f->view.page[511], MH_VIEW_STACK | MH_VIEW_MAPPED);
    assert_int_equal(f->view.page[512], MH_VIEW_TABLE | MH_VIEW_MAPPED);
    assert_int_equal(mh_memory_view_address(&f->view, 511), 0x1ff000);
    assert_int_equal(mh_memory_view_address(&f->view, 512), MH_SYSTEM_AREA);
    for (size_t i = 0; i < f->view.pages; i++)
        assert_int_equal(f->view.changed[i], 0);
}

static void an_empty_stack_is_the_page_before_it(void **state)
{
    struct fixture *f = *state;
    struct mh_x86_regs regs;
    boot(f, ACCESSES, 4096, false);
    assert_true(vm_read_regs(f->vm, MH_REGS_GENERAL, &regs));
    regs.general.gpr[MH_RSP] = 2 * MB; /* not mapped */
    assert_int_equal(f->vm->cpu->ops->write_regs(f->vm->cpu, MH_REGS_GENERAL, &regs, NULL), MH_OK);
    look(f);
    assert_int_equal(page(f, 0x1ff000), MH_VIEW_STACK);
}

static void a_restart_forgets_what_was_done(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    boot(f, ACCESSES, 4096, false);
    mh_vm_run(f->vm, &stop);
    assert_int_equal(vm_restart(f->vm, NULL), MH_OK);
    look(f);
    assert_int_equal(page(f, 0), MH_VIEW_IMAGE);
    assert_int_equal(page(f, 0x40000), 0);
}

static void a_processor_that_does_not_say_is_named(void **state)
{
    struct fixture *f = *state;
    boot(f, ACCESSES, 4096, false);
    f->vm->ram.misses_accesses = true; /* as KVM does */
    look(f);
    assert_false(f->view.knows_accesses);
    assert_false(f->view.knows_writes);
}

static void writes_are_noted_on_request(void **state)
{
    struct fixture *f = *state;
    struct mh_stop stop;
    boot(f, ACCESSES, 4096, true);
    mh_vm_run(f->vm, &stop);
    memset(f->vm->ram.accessed, 0, sizeof f->vm->ram.accessed); /* as if it had run on KVM */
    f->vm->ram.misses_accesses = true;
    look(f);
    assert_false(f->view.knows_accesses);
    assert_true(f->view.knows_writes);
    assert_int_equal(page(f, 0x60000), MH_VIEW_WRITTEN);
    assert_int_equal(page(f, 0x40000), 0);
}

static void pages_that_are_mapped_elsewhere_do_no_harm(void **state)
{
    struct fixture *f = *state;
    boot(f, ACCESSES, 2 * MB, false);
    const uint64_t entry = 0x000fffffffe00000ull | 0x87; /* the last 2 MB of all physical addresses */
    memcpy(ram_system_area(&f->vm->ram) + 0x2000 + 8, &entry, sizeof entry);
    look(f);
    assert_int_equal(page(f, 0), MH_VIEW_IMAGE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_guest_did_shows_in_small_and_in_large_pages),
        TEST(a_machine_at_its_start_has_an_image_a_stack_and_tables),
        TEST(an_empty_stack_is_the_page_before_it),
        TEST(a_restart_forgets_what_was_done),
        TEST(a_processor_that_does_not_say_is_named),
        TEST(writes_are_noted_on_request),
        TEST(pages_that_are_mapped_elsewhere_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
