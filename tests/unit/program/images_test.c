#include "run/images.h"

#include "unit.h"

#include <string.h>

/* An image for each path, in the place of core's, that notes what became of it. */
struct mh_image {
    unsigned loaded, freed;
    bool is_closed;
};

struct fixture {
    struct mh_image images[4]; /* of the paths "0" to "3" */
};

enum mh_status mh_image_load(const char *path, uint64_t ram_size, uint64_t address, struct mh_image **image,
                             struct mh_error *err)
{
    assert_int_equal(address, 0x8000);
    /* the fake finds the fixture by the size it is given, which no test looks at */
    struct fixture *f = (struct fixture *)(uintptr_t)ram_size;
    if (path[0] < '0' || path[0] > '3')
        return mh_fail(err, MH_ERR_IMAGE, "no image %s", path);
    *image = &f->images[path[0] - '0'];
    (*image)->loaded++;
    return MH_OK;
}

void mh_image_free(struct mh_image *image)
{
    image->freed++;
}

void mh_image_close_file(struct mh_image *image)
{
    image->is_closed = true;
}

static void equal_paths_share_an_image(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct images images;
    const char *words[] = {"1", "0", "1", "2", "0"};
    const struct word_list paths = {.words = words, .count = COUNT(words)};
    assert_int_equal(images_load(&images, &paths, (uintptr_t)&f, 0x8000, NULL), MH_OK);
    for (size_t i = 0; i < COUNT(words); i++)
        assert_ptr_equal(images.of_machine[i], &f.images[words[i][0] - '0']);
    images_close_files(&images);
    images_free(&images);
    for (size_t i = 0; i < COUNT(f.images); i++) {
        assert_int_equal(f.images[i].is_closed, i < 3);
        assert_int_equal(f.images[i].loaded, i < 3);
        assert_int_equal(f.images[i].freed, i < 3);
    }
}

static void those_before_one_that_fails_are_freed(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct images images;
    struct mh_error err;
    const char *words[] = {"3", "3", "x", "0"};
    const struct word_list paths = {.words = words, .count = COUNT(words)};
    assert_int_equal(images_load(&images, &paths, (uintptr_t)&f, 0x8000, &err), MH_ERR_IMAGE);
    assert_string_equal(err.text, "no image x");
    images_free(&images);
    assert_int_equal(f.images[3].loaded, 1);
    assert_int_equal(f.images[3].freed, 1);
    assert_int_equal(f.images[0].loaded, 0);
}

static void none_is_freed_that_was_never_loaded(void **state)
{
    (void)state;
    struct images images = {0};
    images_free(&images);
}

static void labels_are_the_telling_part_of_the_path(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"hello.img", "hello"},
        {"some/where/echo.elf", "echo"},
        {"guest.img", "guest"},
        {"guests/hello/guest.img", "hello"},
        {"/guests/crash/guest.elf", "crash"},
        {"../guest.img", "guest"},
        {"./guest", "guest"},
        {"/guest.img", "guest"},
        {"student.bin", "student.bin"},
        {".img", ".img"},
        {"a.img.img", "a.img"},
        {"guest1.img", "guest1"},
        {"x\x1b[2J\n.img", "x?[2J?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char label[56];
        image_label(cases[i][0], label, sizeof label);
        assert_string_equal(label, cases[i][1]);
    }
    char small[5];
    image_label("abcdefgh.img", small, sizeof small);
    assert_string_equal(small, "abcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_paths_share_an_image),
        cmocka_unit_test(those_before_one_that_fails_are_freed),
        cmocka_unit_test(none_is_freed_that_was_never_loaded),
        cmocka_unit_test(labels_are_the_telling_part_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
