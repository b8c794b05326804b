#include "mh/status.h"

#include "unit.h"

#include <string.h>

static void fail_fills_in_the_error_and_returns_its_status(void **state)
{
    (void)state;
    struct mh_error err;
    assert_int_equal(mh_fail(&err, MH_ERR_IMAGE, "%s has %d bytes", "it", 3), MH_ERR_IMAGE);
    assert_int_equal(err.status, MH_ERR_IMAGE);
    assert_string_equal(err.text, "it has 3 bytes");
}

static void fail_works_without_an_error_to_fill(void **state)
{
    (void)state;
    assert_int_equal(mh_fail(NULL, MH_ERR_HOST, "nobody reads this"), MH_ERR_HOST);
}

static void fail_cuts_a_long_text(void **state)
{
    (void)state;
    struct mh_error err;
    mh_fail(&err, MH_ERR_HOST, "%0600d", 0);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void fail_in_puts_a_prefix_before_the_text(void **state)
{
    (void)state;
    struct mh_error err;
    mh_fail(&err, MH_ERR_IO, "no room");
    assert_int_equal(mh_fail_in(&err, "VM %d: ", 2), MH_ERR_IO);
    assert_string_equal(err.text, "VM 2: no room");
}

static void fail_in_cuts_what_does_not_fit(void **state)
{
    (void)state;
    struct mh_error err;
    mh_fail(&err, MH_ERR_IO, "%0500d", 0);
    mh_fail_in(&err, "%0500d|", 1);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.text[500], '|');
}

static void fail_in_survives_a_prefix_longer_than_the_text(void **state)
{
    (void)state;
    struct mh_error err;
    mh_fail(&err, MH_ERR_IO, "lost");
    mh_fail_in(&err, "%0600d", 0);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_fills_in_the_error_and_returns_its_status),
        cmocka_unit_test(fail_works_without_an_error_to_fill),
        cmocka_unit_test(fail_cuts_a_long_text),
        cmocka_unit_test(fail_in_puts_a_prefix_before_the_text),
        cmocka_unit_test(fail_in_cuts_what_does_not_fit),
        cmocka_unit_test(fail_in_survives_a_prefix_longer_than_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
