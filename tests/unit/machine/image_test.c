#include "machine/image.h"

#include "mh/guest_abi.h"
#include "temp_dir.h"
#include "unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct temp_dir dir;

static int set_up(void **state)
{
    (void)state;
    dir = temp_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

/* ---- loading and refusing ---- */

static struct mh_image *load(const char *name, uint64_t ram_size)
{
    char path[PATH_MAX];
    struct mh_image *image = NULL;
    struct mh_error err = {0};
    if (mh_image_load(temp_path(&dir, name, path), ram_size, 0, &image, &err) != MH_OK)
        fail_msg("%s", err.text);
    return image;
}

/* The image is refused, with its path, and all of these words in the reason; nothing stays open. */
static void refused(const char *name, uint64_t ram_size, const char *words)
{
    char path[PATH_MAX];
    struct mh_image *const untouched = (struct mh_image *)&dir;
    struct mh_image *image = untouched;
    struct mh_error err = {0};
    unsigned fds = count_open_fds();
    assert_int_equal(mh_image_load(temp_path(&dir, name, path), ram_size, 0, &image, &err), MH_ERR_IMAGE);
    assert_int_equal(err.status, MH_ERR_IMAGE);
    assert_text_has(err.text, path);
    assert_text_has(err.text, words);
    assert_null(strchr(err.text, '\n'));
    assert_ptr_equal(image, untouched);
    assert_int_equal(count_open_fds(), fds);
}

static struct guest_ram place(const struct mh_image *image, uint64_t ram_size)
{
    struct guest_ram memory;
    assert_int_equal(ram_create(&memory, ram_size, NULL), MH_OK);
    image_place(image, &memory);
    return memory;
}

static void make_sparse(const char *name, uint64_t size)
{
    char path[PATH_MAX];
    temp_file(&dir, name, "\x90", 1);
    assert_int_equal(truncate(temp_path(&dir, name, path), (off_t)size), 0);
}

/* ---- flat images ---- */

static void a_flat_image_goes_to_0_and_starts_there(void **state)
{
    (void)state;
    temp_text(&dir, "flat.img", "flat image");
    struct mh_image *image = load("flat.img", 2 * MB);
    struct guest_ram memory = place(image, 2 * MB);
    assert_false(mh_image_is_elf(image));
    assert_int_equal(image_entry(image), 0);
    assert_memory_equal(memory.host, "flat image\0", 11);
    ram_free(&memory);
    mh_image_free(image);
}

static void an_image_of_one_byte_is_one(void **state)
{
    (void)state;
    temp_file(&dir, "hlt.img", "\xf4", 1);
    struct mh_image *image = load("hlt.img", 2 * MB);
    mh_image_free(image);
}

static void the_largest_flat_image_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    static const uint64_t ram_sizes[] = {2 * MB, 4 * MB, 8 * MB};
    static const char *const advice[] = {"use --memory 4", "use --memory 8", "the most a machine can have is 8 MB"};
    for (size_t i = 0; i < COUNT(ram_sizes); i++) {
        make_sparse("large.img", ram_sizes[i] - MH_STACK_RESERVE);
        struct mh_image *image = load("large.img", ram_sizes[i]);
        struct guest_ram memory = place(image, ram_sizes[i]);
        assert_int_equal(memory.host[0], 0x90);
        ram_free(&memory);
        mh_image_free(image);
        make_sparse("large.img", ram_sizes[i] - MH_STACK_RESERVE + 1);
        refused("large.img", ram_sizes[i], advice[i]);
    }
}

static void a_refusal_for_size_says_both_sizes(void **state)
{
    (void)state;
    make_sparse("large.img", 3 * MB);
    refused("large.img", 2 * MB, "needs 3145728 bytes of RAM, but 2 MB leave 2093056 (4096 are kept for the stack)");
}

static void the_advice_names_a_memory_the_image_fits(void **state)
{
    (void)state;
    make_sparse("large.img", 4 * MB - MH_STACK_RESERVE);
    refused("large.img", 2 * MB, "use --memory 4");
    make_sparse("large.img", 4 * MB - MH_STACK_RESERVE + 1);
    refused("large.img", 2 * MB, "use --memory 8");
    make_sparse("large.img", 8 * MB - MH_STACK_RESERVE + 1);
    refused("large.img", 2 * MB, "the most a machine can have is 8 MB");
}

static void an_enormous_file_is_refused_without_being_read(void **state)
{
    (void)state;
    make_sparse("enormous.img", 1ull << 42);
    refused("enormous.img", 8 * MB, "needs 4398046511104 bytes");
}

/* ---- what is no image at all ---- */

static void an_empty_file_is_refused(void **state)
{
    (void)state;
    temp_file(&dir, "empty.img", "", 0);
    refused("empty.img", 2 * MB, "is empty");
}

static void a_missing_file_is_refused(void **state)
{
    (void)state;
    refused("missing.img", 2 * MB, "cannot be opened: No such file or directory");
}

static void a_file_we_may_not_read_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    temp_text(&dir, "secret.img", "x");
    assert_int_equal(chmod(temp_path(&dir, "secret.img", path), 0), 0);
    drop_root();
    refused("secret.img", 2 * MB, "cannot be opened: Permission denied");
}

static void a_directory_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(mkdir(temp_path(&dir, "dir.img", path), 0777), 0);
    refused("dir.img", 2 * MB, "is a directory, not a file");
}

static void a_fifo_is_refused_without_waiting_for_a_writer(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(mkfifo(temp_path(&dir, "fifo.img", path), 0666), 0);
    refused("fifo.img", 2 * MB, "is a device or a pipe, not a file");
}

static void a_device_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(symlink("/dev/null", temp_path(&dir, "null.img", path)), 0);
    refused("null.img", 2 * MB, "is a device or a pipe, not a file");
}

static void a_link_to_an_image_is_followed(void **state)
{
    (void)state;
    char path[PATH_MAX];
    temp_text(&dir, "real.img", "x");
    assert_int_equal(symlink("real.img", temp_path(&dir, "link.img", path)), 0);
    mh_image_free(load("link.img", 2 * MB));
}

static void freeing_no_image_does_nothing(void **state)
{
    (void)state;
    mh_image_free(NULL);
}

/* ---- ELF: a header, SEGMENTS program headers and a page of content ---- */

#define SEGMENTS 3
#define CONTENT_AT 512
#define CONTENT_SIZE 64

struct elf {
    Elf64_Ehdr header;
    Elf64_Phdr program[SEGMENTS];
    uint8_t padding[CONTENT_AT - sizeof(Elf64_Ehdr) - SEGMENTS * sizeof(Elf64_Phdr)];
    uint8_t content[CONTENT_SIZE];
};

static Elf64_Phdr load_segment(uint64_t address, uint64_t offset, uint64_t file_size, uint64_t memory_size)
{
    return (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_X,
        .p_offset = offset,
        .p_vaddr = address,
        .p_paddr = address,
        .p_filesz = file_size,
        .p_memsz = memory_size,
    };
}

/* Code at 0x1000, data with zeroed space at 0x3000, and a header that loads nothing. */
static struct elf good_elf(void)
{
    struct elf elf = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x1010,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = SEGMENTS},
        .program = {load_segment(0x1000, CONTENT_AT, 32, 32),
                    load_segment(0x3000, CONTENT_AT + 32, 32, 0x100),
                    {.p_type = PT_GNU_STACK}},
    };
    for (size_t i = 0; i < CONTENT_SIZE; i++)
        elf.content[i] = (uint8_t)(i + 1);
    return elf;
}

static void elf_is_refused(const struct elf *elf, const char *words)
{
    temp_file(&dir, "bad.elf", elf, sizeof *elf);
    refused("bad.elf", 2 * MB, words);
}

static struct mh_image *elf_loads(const struct elf *elf)
{
    temp_file(&dir, "good.elf", elf, sizeof *elf);
    return load("good.elf", 2 * MB);
}

static void a_file_that_changes_is_noticed(void **state)
{
    (void)state;
    char path[PATH_MAX];
    temp_file(&dir, "changes.img", "\xf4", 1);
    struct mh_image *image = load("changes.img", 2 * MB);
    assert_false(image_has_changed(image));
    temp_file(&dir, "changes.img", "\x90\xf4", 2);
    assert_true(image_has_changed(image));
    unlink(temp_path(&dir, "changes.img", path));
    assert_true(image_has_changed(image));
    mh_image_free(image);
}

static void a_file_that_took_its_place_is_loaded_again(void **state)
{
    (void)state;
    char path[PATH_MAX], other[PATH_MAX], byte;
    const unsigned fds = count_open_fds();
    struct mh_image *image = NULL, *now = NULL, *same = NULL;
    struct mh_error err = {0};
    temp_file(&dir, "again.img", "\xf4", 1);
    temp_file(&dir, "again.new", "\x90\xf4", 2);
    assert_int_equal(mh_image_load(temp_path(&dir, "again.img", path), 2 * MB, 0x8000, &image, &err), MH_OK);
    assert_int_equal(image_reload(image, open(path, O_RDONLY), &same, &err), MH_OK);
    assert_int_equal(rename(temp_path(&dir, "again.new", other), path), 0);
    assert_int_equal(image_reload(image, open(path, O_RDONLY), &now, &err), MH_OK);
    assert_true(image_is_same(image, same));
    assert_false(image_is_same(image, now));
    assert_true(mh_image_has_memory_of(image, same));
    assert_false(mh_image_has_memory_of(image, now));
    assert_int_equal(image_entry(now), 0x8000);
    assert_string_equal(mh_image_path(now), mh_image_path(image));
    assert_true(image_has_changed(image));
    assert_false(image_has_changed(now));
    const int fd = image_open(image); /* still what it was loaded from */
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal((uint8_t)byte, 0xf4);
    close(fd);
    mh_image_free(image);
    mh_image_free(now);
    mh_image_free(same);
    assert_int_equal(count_open_fds(), fds);
}

static void what_cannot_be_loaded_again_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct mh_image *now = NULL;
    struct mh_error err = {0};
    temp_file(&dir, "gone.img", "\xf4", 1);
    struct mh_image *image = load("gone.img", 2 * MB);
    const unsigned fds = count_open_fds();
    assert_int_equal(image_reload(image, -ENOENT, &now, &err), MH_ERR_IMAGE);
    assert_text_has(err.text, "gone.img' cannot be opened: No such file");
    temp_file(&dir, "gone.img", "", 0);
    assert_int_equal(image_reload(image, open(temp_path(&dir, "gone.img", path), O_RDONLY), &now, &err), MH_ERR_IMAGE);
    assert_text_has(err.text, "gone.img' is empty");
    assert_int_equal(count_open_fds(), fds);
    assert_null(now);
    mh_image_free(image);
}

static void images_of_no_file_have_none_to_open(void **state)
{
    (void)state;
    struct mh_image *image = NULL;
    assert_int_equal(image_from_bytes((const uint8_t *)"\xf4", 1, &image, NULL), MH_OK);
    assert_int_equal(image_open(image), -ENOENT);
    mh_image_free(image);
}

static void an_elf_file_loads_by_its_program_headers(void **state)
{
    (void)state;
    const struct elf elf = good_elf();
    static const uint8_t zero[0x100];
    struct mh_image *image = elf_loads(&elf);
    struct guest_ram memory = place(image, 2 * MB);
    assert_true(mh_image_is_elf(image));
    assert_int_equal(image_entry(image), 0x1010);
    assert_memory_equal(memory.host + 0x1000, elf.content, 32);
    assert_memory_equal(memory.host + 0x3000, elf.content + 32, 32);
    assert_memory_equal(memory.host, zero, sizeof zero);
    assert_memory_equal(memory.host + 0x1020, zero, sizeof zero);
    assert_memory_equal(memory.host + 0x3020, zero, sizeof zero);
    ram_free(&memory);
    mh_image_free(image);
}

static void segments_go_to_their_physical_addresses(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_vaddr = 0xffffffff80003000;
    elf.program[1].p_paddr = 0x5000;
    struct mh_image *image = elf_loads(&elf);
    struct guest_ram memory = place(image, 2 * MB);
    assert_memory_equal(memory.host + 0x5000, elf.content + 32, 32);
    ram_free(&memory);
    mh_image_free(image);
}

static void a_segment_without_file_contents_is_only_space(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1] = load_segment(0x3000, 0, 0, 0x1000);
    struct mh_image *image = elf_loads(&elf);
    struct guest_ram memory = place(image, 2 * MB);
    assert_int_equal(memory.host[0x3000], 0);
    ram_free(&memory);
    mh_image_free(image);
}

static void segments_that_touch_do_not_overlap(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_paddr = 0x1020;
    mh_image_free(elf_loads(&elf));
    elf.program[1].p_paddr = 0x1000 - 0x100;
    mh_image_free(elf_loads(&elf));
}

static void segments_that_overlap_are_refused_with_both_places(void **state)
{
    (void)state;
    static const uint64_t places[] = {0x1000, 0x101f, 0x1000 - 0xff, 0x1010};
    for (size_t i = 0; i < COUNT(places); i++) {
        struct elf elf = good_elf();
        elf.program[1].p_paddr = places[i];
        elf_is_refused(&elf, "segments that overlap: 0x1000 (32 bytes) and 0x");
    }
}

static void a_segment_of_no_size_overlaps_nothing(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1] = load_segment(0x1008, CONTENT_AT, 0, 0);
    mh_image_free(elf_loads(&elf));
}

static void a_segment_may_reach_up_to_the_stack_reserve(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_memsz = 2 * MB - MH_STACK_RESERVE - 0x3000;
    mh_image_free(elf_loads(&elf));
    elf.program[1].p_memsz++;
    elf_is_refused(&elf, "needs 2093057 bytes of RAM, but 2 MB leave 2093056");
}

static void segments_outside_ram_are_refused(void **state)
{
    (void)state;
    static const uint64_t places[] = {
        2 * MB - MH_STACK_RESERVE, 2 * MB,    MH_SYSTEM_AREA, 1ull << 32, 1ull << 63, UINT64_MAX - 0x100 + 1,
        UINT64_MAX - 0x80,         UINT64_MAX};
    for (size_t i = 0; i < COUNT(places); i++) {
        struct elf elf = good_elf();
        elf.program[1].p_paddr = places[i];
        elf_is_refused(&elf, "bytes of RAM, but 2 MB leave");
    }
}

static void a_huge_memory_size_is_refused(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1ull << 32, 1ull << 63, UINT64_MAX - 0x3000, UINT64_MAX - 0x2fff, UINT64_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct elf elf = good_elf();
        elf.program[1].p_memsz = sizes[i];
        elf_is_refused(&elf, "bytes of RAM, but 2 MB leave");
    }
}

static void a_segment_larger_in_the_file_than_in_memory_is_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_memsz = 31;
    elf_is_refused(&elf, "larger in the file than in memory");
}

static void a_segment_behind_the_end_of_the_file_is_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {CONTENT_AT + 33, sizeof(struct elf), sizeof(struct elf) + 1, 1ull << 63,
                                       UINT64_MAX};
    for (size_t i = 0; i < COUNT(offsets); i++) {
        struct elf elf = good_elf();
        elf.program[1].p_offset = offsets[i];
        elf_is_refused(&elf, "is truncated: a segment");
    }
}

static void a_truncated_segment_is_told_with_place_and_sizes(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_offset = 1000;
    elf_is_refused(&elf, "a segment has 32 bytes at byte 1000, but the file ends at 576");
}

static void a_segment_whose_end_overflows_is_told_as_it_is(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[1].p_offset = UINT64_MAX - 7;
    elf_is_refused(&elf, "a segment has 32 bytes at byte 18446744073709551608, but the file ends at 576");
}

static void program_headers_behind_the_end_are_refused(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {sizeof(struct elf) - SEGMENTS * sizeof(Elf64_Phdr) + 1, sizeof(struct elf),
                                       sizeof(struct elf) + 1, 1ull << 63, UINT64_MAX};
    for (size_t i = 0; i < COUNT(offsets); i++) {
        struct elf elf = good_elf();
        elf.header.e_phoff = offsets[i];
        elf_is_refused(&elf, "program headers lie behind its end");
    }
}

static void elf_files_for_other_processors_are_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.header.e_ident[EI_CLASS] = ELFCLASS32;
    elf_is_refused(&elf, "for another processor: build it with -m64");
    elf = good_elf();
    elf.header.e_ident[EI_DATA] = ELFDATA2MSB;
    elf_is_refused(&elf, "for another processor");
    elf = good_elf();
    elf.header.e_machine = EM_AARCH64;
    elf_is_refused(&elf, "for another processor");
}

static void elf_files_that_are_no_executables_are_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.header.e_type = ET_REL;
    elf_is_refused(&elf, "is an object file: link it first");
    elf.header.e_type = ET_DYN;
    elf_is_refused(&elf, "is position-independent: link it with -static -no-pie");
    elf.header.e_type = ET_CORE;
    elf_is_refused(&elf, "link it with -static");
}

static void dynamically_linked_executables_are_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.program[2].p_type = PT_INTERP;
    elf_is_refused(&elf, "is linked dynamically: link it with -static");
    elf.program[2].p_type = PT_DYNAMIC;
    elf_is_refused(&elf, "is linked dynamically");
}

static void unusable_program_header_tables_are_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    elf.header.e_phnum = 0;
    elf_is_refused(&elf, "has no usable program headers");
    elf = good_elf();
    elf.header.e_phnum = 65;
    elf_is_refused(&elf, "has no usable program headers");
    elf.header.e_phnum = UINT16_MAX;
    elf_is_refused(&elf, "has no usable program headers");
    elf = good_elf();
    elf.header.e_phentsize = sizeof(Elf64_Phdr) - 1;
    elf_is_refused(&elf, "has no usable program headers");
    elf.header.e_phentsize = 0;
    elf_is_refused(&elf, "has no usable program headers");
}

static void an_executable_that_loads_nothing_is_refused(void **state)
{
    (void)state;
    struct elf elf = good_elf();
    for (size_t i = 0; i < SEGMENTS; i++)
        elf.program[i].p_type = PT_NOTE;
    elf_is_refused(&elf, "has nothing to load");
}

static void an_entry_outside_all_segments_is_refused(void **state)
{
    (void)state;
    static const uint64_t entries[] = {0, 0xfff, 0x1020, 0x2fff, 0x3100, UINT64_MAX};
    for (size_t i = 0; i < COUNT(entries); i++) {
        struct elf elf = good_elf();
        elf.header.e_entry = entries[i];
        elf_is_refused(&elf, "where it loads nothing");
    }
    struct elf elf = good_elf();
    elf.header.e_entry = 0x30ff;
    mh_image_free(elf_loads(&elf));
}

static void as_many_segments_as_the_table_may_have_load(void **state)
{
    (void)state;
    enum { MANY = 64 };
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr program[MANY];
    } elf = {.header = good_elf().header};
    elf.header.e_phnum = MANY;
    elf.header.e_entry = 0;
    for (uint64_t i = 0; i < MANY; i++)
        elf.program[i] = load_segment(i * 0x1000, i, 1, 0x1000);
    temp_file(&dir, "many.elf", &elf, sizeof elf);
    struct mh_image *image = load("many.elf", 2 * MB);
    struct guest_ram memory = place(image, 2 * MB);
    assert_memory_equal(memory.host, ELFMAG, 1);
    assert_int_equal(memory.host[0x3000], ELFMAG3);
    ram_free(&memory);
    mh_image_free(image);
}

static void every_prefix_of_an_elf_file_is_refused(void **state)
{
    (void)state;
    const struct elf elf = good_elf();
    char path[PATH_MAX];
    temp_path(&dir, "prefix.elf", path);
    for (size_t length = SELFMAG; length < sizeof elf; length++) {
        temp_file(&dir, "prefix.elf", &elf, length);
        refused("prefix.elf", 2 * MB, "truncated");
    }
}

static void less_than_the_magic_is_a_flat_image(void **state)
{
    (void)state;
    temp_file(&dir, "short.img", ELFMAG, SELFMAG - 1);
    struct mh_image *image = load("short.img", 2 * MB);
    assert_false(mh_image_is_elf(image));
    mh_image_free(image);
}

static void every_changed_byte_of_the_headers_loads_or_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    unsigned loaded = 0;
    temp_path(&dir, "changed.elf", path);
    for (size_t at = 0; at < sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr); at++) {
        static const uint8_t changes[] = {0x00, 0x01, 0x80, 0xff};
        for (size_t c = 0; c < COUNT(changes); c++) {
            struct elf elf = good_elf();
            ((uint8_t *)&elf)[at] ^= changes[c];
            temp_file(&dir, "changed.elf", &elf, sizeof elf);
            struct mh_image *image;
            struct mh_error err = {0};
            if (mh_image_load(path, 2 * MB, 0, &image, &err) != MH_OK) {
                assert_int_not_equal(err.text[0], '\0');
                continue;
            }
            struct guest_ram memory = place(image, 2 * MB);
            ram_free(&memory);
            mh_image_free(image);
            loaded++;
        }
    }
    assert_true(loaded >= sizeof(Elf64_Ehdr));
}

static void one_image_serves_several_machines(void **state)
{
    (void)state;
    temp_text(&dir, "flat.img", "shared");
    struct mh_image *image = load("flat.img", 2 * MB);
    struct guest_ram one = place(image, 2 * MB);
    one.host[0] = 'X';
    struct guest_ram two = place(image, 2 * MB);
    assert_memory_equal(two.host, "shared", 6);
    ram_free(&one);
    ram_free(&two);
    mh_image_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_image_goes_to_0_and_starts_there),
        cmocka_unit_test(an_image_of_one_byte_is_one),
        cmocka_unit_test(the_largest_flat_image_fits_and_one_byte_more_does_not),
        cmocka_unit_test(a_refusal_for_size_says_both_sizes),
        cmocka_unit_test(the_advice_names_a_memory_the_image_fits),
        cmocka_unit_test(an_enormous_file_is_refused_without_being_read),
        cmocka_unit_test(an_empty_file_is_refused),
        cmocka_unit_test(a_missing_file_is_refused),
        cmocka_unit_test_teardown(a_file_we_may_not_read_is_refused, regain_root),
        cmocka_unit_test(a_directory_is_refused),
        cmocka_unit_test(a_fifo_is_refused_without_waiting_for_a_writer),
        cmocka_unit_test(a_device_is_refused),
        cmocka_unit_test(a_link_to_an_image_is_followed),
        cmocka_unit_test(freeing_no_image_does_nothing),
        cmocka_unit_test(a_file_that_changes_is_noticed),
        cmocka_unit_test(a_file_that_took_its_place_is_loaded_again),
        cmocka_unit_test(what_cannot_be_loaded_again_is_refused),
        cmocka_unit_test(images_of_no_file_have_none_to_open),
        cmocka_unit_test(an_elf_file_loads_by_its_program_headers),
        cmocka_unit_test(segments_go_to_their_physical_addresses),
        cmocka_unit_test(a_segment_without_file_contents_is_only_space),
        cmocka_unit_test(segments_that_touch_do_not_overlap),
        cmocka_unit_test(segments_that_overlap_are_refused_with_both_places),
        cmocka_unit_test(a_segment_of_no_size_overlaps_nothing),
        cmocka_unit_test(a_segment_may_reach_up_to_the_stack_reserve),
        cmocka_unit_test(segments_outside_ram_are_refused),
        cmocka_unit_test(a_huge_memory_size_is_refused),
        cmocka_unit_test(a_segment_larger_in_the_file_than_in_memory_is_refused),
        cmocka_unit_test(a_segment_behind_the_end_of_the_file_is_refused),
        cmocka_unit_test(a_truncated_segment_is_told_with_place_and_sizes),
        cmocka_unit_test(a_segment_whose_end_overflows_is_told_as_it_is),
        cmocka_unit_test(program_headers_behind_the_end_are_refused),
        cmocka_unit_test(elf_files_for_other_processors_are_refused),
        cmocka_unit_test(elf_files_that_are_no_executables_are_refused),
        cmocka_unit_test(dynamically_linked_executables_are_refused),
        cmocka_unit_test(unusable_program_header_tables_are_refused),
        cmocka_unit_test(an_executable_that_loads_nothing_is_refused),
        cmocka_unit_test(an_entry_outside_all_segments_is_refused),
        cmocka_unit_test(as_many_segments_as_the_table_may_have_load),
        cmocka_unit_test(every_prefix_of_an_elf_file_is_refused),
        cmocka_unit_test(less_than_the_magic_is_a_flat_image),
        cmocka_unit_test(every_changed_byte_of_the_headers_loads_or_is_refused),
        cmocka_unit_test(one_image_serves_several_machines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
