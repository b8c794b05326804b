/* What every unit test needs: cmocka with the headers it wants before it. */
#ifndef MH_TEST_UNIT_H
#define MH_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MB (1024ull * 1024)

/* The text holds the words. */
#define assert_text_has(text, words)                                                                                   \
    do {                                                                                                               \
        if (strstr(text, words) == NULL)                                                                               \
            fail_msg("'%s' is not in: %s", words, text);                                                               \
    } while (0)

#define assert_text_lacks(text, words)                                                                                 \
    do {                                                                                                               \
        if (strstr(text, words) != NULL)                                                                               \
            fail_msg("'%s' is in: %s", words, text);                                                                   \
    } while (0)

#endif
