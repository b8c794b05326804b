/* The options, and what each does with its value. */
#ifndef MH_TOOL_OPTIONS_TABLE_H
#define MH_TOOL_OPTIONS_TABLE_H

#include "options/options.h"

#define KB 1024ull
#define MB (1024ull * 1024)

/* Takes one value of an option. MH_OK, or MH_ERR_USAGE with what is wrong with it; MH_ERR_HOST without memory. */
typedef enum mh_status take_value(struct options *options, const char *value, struct mh_error *err);

struct option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    bool is_list;     /* takes every word up to the next option */
    bool has_value;
    const char *default_value; /* of the option without a value; NULL: the value is required */
    take_value *take;
};

#define OPTION_COUNT 37u

extern const struct option option_table[OPTION_COUNT];

#endif
