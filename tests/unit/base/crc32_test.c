/* CRC-32: the check value of the polynomial, and that parts give what the whole gives, however long. */
#include "crc32.h"
#include "unit.h"

#include <stdlib.h>

#define SIZE 100003u

static void the_check_value_is_that_of_zlib(void **state)
{
    (void)state;
    assert_int_equal(crc32_more(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(crc32_more(0, "", 0), 0);
}

static void parts_give_what_the_whole_gives(void **state)
{
    static const size_t lengths[] = {1, 16383, 16384, 16385, 16391, 65536, SIZE};
    uint8_t *bytes = malloc(SIZE);
    (void)state;
    assert_non_null(bytes);
    for (unsigned i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    for (unsigned i = 0; i < COUNT(lengths); i++) {
        uint32_t by_byte = 0;
        for (size_t at = 0; at < lengths[i]; at++)
            by_byte = crc32_more(by_byte, bytes + at, 1);
        assert_int_equal(crc32_more(0, bytes, lengths[i]), by_byte);
        assert_int_equal(crc32_more(crc32_more(0, bytes, 1), bytes + 1, lengths[i] - 1), by_byte);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_is_that_of_zlib),
        cmocka_unit_test(parts_give_what_the_whole_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
