/* Agent expressions: each bytecode, each way an expression can be wrong, and what printf makes. */
#include "agent/agent.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_START 0x1000u
#define MEMORY_SIZE 0x80u

/* What the expressions of a test look at, and a log of what they did. */
struct world {
    uint8_t memory[MEMORY_SIZE];
    uint64_t variable; /* number 7 */
    char log[0x4000];
};

static void note(struct world *ops, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct world *ops, const char *format, ...)
{
    size_t length = strlen(ops->log);
    va_list args;

    va_start(args, format);
    vsnprintf(ops->log + length, sizeof ops->log - length, format, args);
    va_end(args);
}

static bool read_register(void *ctx, unsigned number, uint64_t *value)
{
    (void)ctx;
    *value = 0x1111111111111111u * number;
    return number < 16;
}

static bool read_memory(void *ctx, uint64_t address, void *to, size_t length)
{
    const struct world *ops = ctx;

    if (address < MEMORY_START || address - MEMORY_START > MEMORY_SIZE - length)
        return false;
    memcpy(to, ops->memory + (address - MEMORY_START), length);
    return true;
}

static bool get_variable(void *ctx, unsigned number, uint64_t *value)
{
    const struct world *ops = ctx;

    *value = ops->variable;
    return number == 7;
}

static bool set_variable(void *ctx, unsigned number, uint64_t value)
{
    struct world *ops = ctx;

    ops->variable = value;
    return number == 7;
}

static bool trace_memory(void *ctx, uint64_t address, uint64_t length, bool to_zero)
{
    note(ctx, "%s %llx %llx;", to_zero ? "string" : "memory", (unsigned long long)address, (unsigned long long)length);
    return address != 0;
}

static bool trace_variable(void *ctx, unsigned number)
{
    note(ctx, "variable %u;", number);
    return number == 7;
}

static void print(void *ctx, const char *text, size_t length)
{
    note(ctx, "%.*s", (int)length, text);
}

static int set_up(void **state)
{
    struct world *ops = calloc(1, sizeof *ops);

    *state = ops;
    if (ops == NULL)
        return -1;
    for (unsigned i = 0; i < MEMORY_SIZE; i++)
        ops->memory[i] = (uint8_t)(0x80 + i);
    memcpy(ops->memory + 0x20, "text", 5);
    ops->variable = 70;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct agent_ops whole(struct world *ops)
{
    return (struct agent_ops){ops,          read_register, read_memory,    get_variable,
                              set_variable, trace_memory,  trace_variable, print};
}

/* Reads pairs of hexadecimal digits; blanks between them are for people. */
static size_t bytes_of(const char *text, uint8_t *bytes)
{
    size_t count = 0;
    unsigned value;
    int used;

    while (sscanf(text, " %2x%n", &value, &used) == 1) {
        bytes[count++] = (uint8_t)value;
        text += used;
    }
    return count;
}

static enum mh_status evaluate(struct world *ops, const char *text, uint64_t *value, struct mh_error *err)
{
    const struct agent_ops all = whole(ops);
    uint8_t code[512];
    const struct agent_expression expression = {code, bytes_of(text, code)};

    return agent_evaluate(&expression, &all, value, err);
}

static void value_is(struct world *ops, const char *text, uint64_t expected)
{
    struct mh_error err = {.text = ""};
    uint64_t value = 0;

    if (evaluate(ops, text, &value, &err) != MH_OK)
        fail_msg("%s: %s", text, err.text);
    if (value != expected)
        fail_msg("%s: %llx, not %llx", text, (unsigned long long)value, (unsigned long long)expected);
}

static void error_is(struct world *ops, const char *text, enum mh_status status, const char *message)
{
    struct mh_error err = {.text = ""};
    uint64_t value = 123;

    if (evaluate(ops, text, &value, &err) != status || strcmp(err.text, message) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", text, err.text, message);
    assert_int_equal(value, 123);
}

struct example {
    const char *code; /* without its end */
    uint64_t value;
};

static void all_are(struct world *ops, const struct example *examples, size_t count)
{
    char text[256];

    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%s 27", examples[i].code);
        value_is(ops, text, examples[i].value);
    }
}

#define ALL_ARE(ops, examples) all_are(ops, examples, sizeof examples / sizeof((examples)[0]))

#define MINUS_1 "22 ff 16 08 "
#define LOWEST "25 8000000000000000 "

static void arithmetic(void **state)
{
    static const struct example examples[] = {
        {"22 05 22 07 02", 12},
        {"22 05 22 07 03", (uint64_t)-2},
        {"22 05 22 07 04", 35},
        {MINUS_1 "22 07 04", (uint64_t)-7},
        {MINUS_1 "22 02 05", 0},
        {"22 09 " MINUS_1 "05", (uint64_t)-9},
        {"22 07 22 02 05", 3},
        {LOWEST MINUS_1 "05", 0x8000000000000000u}, /* does not fit: wraps */
        {MINUS_1 "22 02 06", 0x7fffffffffffffffu},
        {"22 09 " MINUS_1 "06", 0},
        {"22 fe 16 08 22 04 22 00 03 07", (uint64_t)-2},
        {"22 09 22 05 07", 4},
        {LOWEST MINUS_1 "07", 0},
        {"22 09 22 05 08", 4},
        {MINUS_1 "22 10 08", 15},
    };

    ALL_ARE(*state, examples);
    for (const char *op = "05\00006\00007\00008\0"; *op; op += 3) {
        char text[32];

        snprintf(text, sizeof text, "22 01 22 00 %s 27", op);
        error_is(*state, text, MH_ERR_RANGE, "division by zero");
    }
}

static void bits(void **state)
{
    static const struct example examples[] = {
        {"22 05 22 04 09", 0x50},
        {"22 05 22 3f 09", 0x8000000000000000u},
        {"22 05 22 40 09", 0},
        {MINUS_1 "22 04 0a", UINT64_MAX},
        {LOWEST "22 ff 0a", UINT64_MAX},
        {"22 50 22 ff 0a", 0},
        {MINUS_1 "22 04 0b", 0x0fffffffffffffffu},
        {MINUS_1 "22 40 0b", 0},
        {"22 0c 22 0a 0f", 8},
        {"22 0c 22 0a 10", 14},
        {"22 0c 22 0a 11", 6},
        {"22 00 12", UINT64_MAX},
        {"22 80 16 08", (uint64_t)-128},
        {"22 7f 16 08", 127},
        {"22 ff 16 04", UINT64_MAX},
        {"22 f7 16 04", 7},
        {"22 80 16 40", 0x80},
        {"22 80 16 ff", 0x80},
        {"22 80 16 00", 0},
        {MINUS_1 "2a 10", 0xffff},
        {MINUS_1 "2a 40", UINT64_MAX},
        {MINUS_1 "2a 00", 0},
    };

    ALL_ARE(*state, examples);
}

static void comparisons(void **state)
{
    static const struct example examples[] = {
        {"22 00 0e", 1},       {"22 05 0e", 0},         {"22 05 22 05 13", 1},
        {"22 05 22 06 13", 0}, {MINUS_1 "22 05 14", 1}, {"22 05 " MINUS_1 "14", 0},
        {"22 05 22 05 14", 0}, {MINUS_1 "22 05 15", 0}, {"22 05 " MINUS_1 "15", 1},
        {"22 05 22 05 15", 0},
    };

    ALL_ARE(*state, examples);
}

static void the_stack(void **state)
{
    static const struct example examples[] = {
        {"22 ff", 0xff},
        {"23 8001", 0x8001},
        {"24 80000001", 0x80000001},
        {"25 8000000000000001", 0x8000000000000001},
        {"22 05 28 04", 25},
        {"22 05 22 06 29", 5},
        {"22 05 22 07 2b 03", 2},
        /* a b c, turned into c a b; then (c, a - b) and c - (a - b) */
        {"22 09 22 05 22 01 33 03 03", (uint64_t)(1 - (9 - 5))},
        {"22 05 22 06 32 00", 6},
        {"22 05 22 06 32 01", 5},
    };

    ALL_ARE(*state, examples);
    error_is(*state, "22 05 32 01 27", MH_ERR_USAGE, "stack underflow in pick");
    error_is(*state, "32 00 27", MH_ERR_USAGE, "stack underflow in pick");
}

static void jumps(void **state)
{
    /* 0: const8 n; 2: if_goto 8; 5: const8 1; 7: end; 8: const8 2; 10: end */
    value_is(*state, "22 00 20 0008 22 01 27 22 02 27", 1);
    value_is(*state, "22 09 20 0008 22 01 27 22 02 27", 2);
    value_is(*state, "21 0006 22 01 27 22 02 27", 2);
    /* a loop: counts from 10 to 0 */
    value_is(*state, "22 0a 22 01 03 28 20 0002 27", 0);
    error_is(*state, "21 0000 27", MH_ERR_RANGE, "the expression executes too many bytecodes");
    error_is(*state, "22 00 21 0000 27", MH_ERR_RANGE, "stack overflow");
    error_is(*state, "21 0003", MH_ERR_USAGE, "the expression has no end bytecode");
    error_is(*state, "21 ffff 27", MH_ERR_USAGE, "the expression has no end bytecode");
}

static void memory_and_registers(void **state)
{
    static const struct example examples[] = {
        {"23 1001 17", 0x81},
        {"23 1001 18", 0x8281},
        {"23 1001 19", 0x84838281},
        {"23 1001 1a", 0x8887868584838281u},
        {"26 0003", 0x3333333333333333u},
    };

    ALL_ARE(*state, examples);
    error_is(*state, "22 00 17 27", MH_ERR_RANGE, "cannot read memory at 0x0");
    error_is(*state, "23 107d 19 27", MH_ERR_RANGE, "cannot read memory at 0x107d");
    error_is(*state, "23 1080 1a 27", MH_ERR_RANGE, "cannot read memory at 0x1080");
    error_is(*state, "23 1080 18 27", MH_ERR_RANGE, "cannot read memory at 0x1080");
    error_is(*state, "26 0010 27", MH_ERR_RANGE, "cannot read register 16");
}

static void variables(void **state)
{
    struct world *ops = *state;

    value_is(ops, "2c 0007 27", 70);
    value_is(ops, "22 05 2d 0007 22 01 02 27", 6);
    assert_int_equal(ops->variable, 5);
    error_is(ops, "2c 0008 27", MH_ERR_RANGE, "there is no trace state variable 8");
    error_is(ops, "22 01 2d 0008 27", MH_ERR_RANGE, "cannot set trace state variable 8");
}

static void tracing(void **state)
{
    struct world *ops = *state;

    value_is(ops, "22 01 23 1000 24 00012345 0c 27", 1);
    value_is(ops, "23 1000 0d ff 27", 0x1000);
    value_is(ops, "23 1000 30 1234 27", 0x1000);
    value_is(ops, "22 01 23 1000 22 40 2f 27", 1);
    value_is(ops, "2e 0007 27", 70);
    assert_string_equal(ops->log, "memory 1000 12345;memory 1000 ff;memory 1000 1234;string 1000 40;variable 7;");
    error_is(ops, "22 00 0d 05 27", MH_ERR_RANGE, "cannot record 5 bytes at 0x0");
    error_is(ops, "22 00 22 05 0c 27", MH_ERR_RANGE, "cannot record 5 bytes at 0x0");
    error_is(ops, "2e 0001 27", MH_ERR_RANGE, "cannot record trace state variable 1");
}

static void what_the_caller_has_not_is_an_error(void **state)
{
    struct world *ops = *state;
    const struct agent_ops bare = {.ctx = ops, .read_register = read_register, .read_memory = read_memory};
    static const char *const codes[] = {"2c 0007 27",     "22 01 2d 0007 27", "2e 0007 27",    "22 01 28 0c 27",
                                        "22 01 0d 01 27", "22 01 30 0001 27", "22 01 28 2f 27"};

    for (size_t i = 0; i < COUNT(codes); i++) {
        uint8_t code[64];
        const struct agent_expression expression = {code, bytes_of(codes[i], code)};

        assert_int_equal(agent_evaluate(&expression, &bare, NULL, NULL), MH_ERR_RANGE);
    }
    assert_string_equal(ops->log, "");
}

static void floating_point_is_an_error(void **state)
{
    error_is(*state, "01 27", MH_ERR_USAGE, "float: floating point is not supported");
    error_is(*state, "22 00 1b 27", MH_ERR_USAGE, "ref_float: floating point is not supported");
    error_is(*state, "22 00 1c 27", MH_ERR_USAGE, "ref_double: floating point is not supported");
    error_is(*state, "22 00 1d 27", MH_ERR_USAGE, "ref_long_double: floating point is not supported");
    error_is(*state, "22 00 1e 27", MH_ERR_USAGE, "l_to_d: floating point is not supported");
    error_is(*state, "22 00 1f 27", MH_ERR_USAGE, "d_to_l: floating point is not supported");
}

static void unknown_bytecodes_are_errors(void **state)
{
    error_is(*state, "00 27", MH_ERR_USAGE, "unknown bytecode 0x00");
    error_is(*state, "31 27", MH_ERR_USAGE, "unknown bytecode 0x31");
    error_is(*state, "35 27", MH_ERR_USAGE, "unknown bytecode 0x35");
    error_is(*state, "ff 27", MH_ERR_USAGE, "unknown bytecode 0xff");
}

/* Every expression that was cut off is an error, at whatever byte. */
static void every_prefix_is_an_error(void **state)
{
    static const char *const whole_ones[] = {
        "22 05 22 07 02 27",
        "23 1001 19 16 20 2a 10 27",
        "25 8000000000000001 24 80000001 0f 27",
        "26 0003 2c 0007 2d 0007 27",
        "22 01 22 00 22 00 34 01 0003 256400 22 01 27",
        "23 1000 0d 05 30 0005 2e 0007 27",
        "22 05 32 00 20 0007 27",
    };

    for (size_t i = 0; i < COUNT(whole_ones); i++) {
        const struct agent_ops all = whole(*state);
        uint8_t code[64];
        struct agent_expression expression = {code, bytes_of(whole_ones[i], code)};
        uint64_t value;

        assert_int_equal(agent_evaluate(&expression, &all, &value, NULL), MH_OK);
        while (expression.length-- > 0)
            assert_int_equal(agent_evaluate(&expression, &all, &value, NULL), MH_ERR_USAGE);
    }
}

/* Every bytecode with too little on the stack, from nothing on, either fails or does not need more. */
static void too_little_on_the_stack_is_an_error(void **state)
{
    static const uint8_t needs[0x35] = {
        [0x02] = 2, [0x03] = 2, [0x04] = 2, [0x05] = 2, [0x06] = 2, [0x07] = 2, [0x08] = 2, [0x09] = 2, [0x0a] = 2,
        [0x0b] = 2, [0x0c] = 2, [0x0d] = 1, [0x0e] = 1, [0x0f] = 2, [0x10] = 2, [0x11] = 2, [0x12] = 1, [0x13] = 2,
        [0x14] = 2, [0x15] = 2, [0x16] = 1, [0x17] = 1, [0x18] = 1, [0x19] = 1, [0x1a] = 1, [0x20] = 1, [0x28] = 1,
        [0x29] = 1, [0x2a] = 1, [0x2b] = 2, [0x2d] = 1, [0x2f] = 2, [0x30] = 1, [0x32] = 1, [0x33] = 3,
    };
    const struct agent_ops all = whole(*state);

    for (uint8_t op = 0; op < sizeof needs; op++) {
        for (unsigned there = 0; there < needs[op]; there++) {
            uint8_t code[16];
            const struct agent_expression expression = {code, sizeof code};
            struct mh_error err = {.text = ""};

            memset(code, 0, sizeof code);
            for (unsigned i = 0; i < there; i++)
                memcpy(code + 2 * i, "\x22\x01", 2);
            code[2 * there] = op;
            assert_int_equal(agent_evaluate(&expression, &all, NULL, &err), MH_ERR_USAGE);
            assert_non_null(strstr(err.text, "stack underflow in"));
        }
    }
}

static void a_value_must_be_there_if_wanted(void **state)
{
    uint64_t value = 1;
    struct mh_error err;

    error_is(*state, "27", MH_ERR_USAGE, "the expression has no value");
    error_is(*state, "", MH_ERR_USAGE, "the expression has no end bytecode");
    assert_int_equal(evaluate(*state, "27", NULL, &err), MH_OK);
    assert_int_equal(evaluate(*state, "22 05 27", &value, NULL), MH_OK);
    assert_int_equal(value, 5);
}

static void the_stack_is_bounded(void **state)
{
    const struct agent_ops all = whole(*state);
    uint8_t code[AGENT_STACK_MAX + 3] = {0x22, 1};
    const struct agent_expression expression = {code, sizeof code};
    struct mh_error err;
    uint64_t value;

    memset(code + 2, 0x28, AGENT_STACK_MAX); /* dup: one too many */
    code[AGENT_STACK_MAX + 2] = 0x27;
    assert_int_equal(agent_evaluate(&expression, &all, &value, &err), MH_ERR_RANGE);
    assert_string_equal(err.text, "stack overflow");
    code[AGENT_STACK_MAX + 1] = 0x27;
    assert_int_equal(agent_evaluate(&expression, &all, &value, &err), MH_OK);
}

/* --- printf --- */

static void text_is(struct world *ops, const char *format, unsigned count, const uint64_t *arguments,
                    const char *expected)
{
    const struct agent_ops all = whole(ops);
    struct mh_error err = {.text = ""};

    ops->log[0] = '\0';
    if (agent_print(&all, format, strlen(format), arguments, count, &err) != MH_OK)
        fail_msg("%s: %s", format, err.text);
    if (strcmp(ops->log, expected) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", format, ops->log, expected);
}

static void prints(struct world *ops, const char *format, uint64_t argument, const char *expected)
{
    text_is(ops, format, 1, &argument, expected);
}

static void numbers_are_printed(void **state)
{
    prints(*state, "%d", UINT64_MAX, "-1");
    prints(*state, "%d", 0xffffffff80000000u, "-2147483648");
    prints(*state, "%d", 0x123456789u, "591751049"); /* an int has 32 bits */
    prints(*state, "%i|", 5, "5|");
    prints(*state, "%u", UINT64_MAX, "4294967295");
    prints(*state, "%lu", UINT64_MAX, "18446744073709551615");
    prints(*state, "%ld", UINT64_MAX, "-1");
    prints(*state, "%lld", 1ull << 40, "1099511627776");
    prints(*state, "%hd", 0x18000, "-32768");
    prints(*state, "%hhu", 0x1ff, "255");
    prints(*state, "%zu", 1ull << 40, "1099511627776");
    prints(*state, "%jx", 1ull << 40, "10000000000");
    prints(*state, "%td", 1ull << 40, "1099511627776");
    prints(*state, "%#x %%", 255, "0xff %");
    prints(*state, "%X", 255, "FF");
    prints(*state, "%o", 8, "10");
    prints(*state, "[%5d]", 42, "[   42]");
    prints(*state, "[%-5d]", 42, "[42   ]");
    prints(*state, "[%+05d]", 42, "[+0042]");
    prints(*state, "[%.4d]", 42, "[0042]");
    prints(*state, "[% --d]", 42, "[ 42]");
    prints(*state, "%p", 0, "0x0");
    prints(*state, "[%8p]", 0xabc, "[   0xabc]");
    prints(*state, "%c", 0x141, "A");
    prints(*state, "[%3c]", 'A', "[  A]");
}

static void several_arguments_come_in_order(void **state)
{
    struct world *ops = *state;
    const uint64_t arguments[] = {1, 2, 0x1020};

    text_is(ops, "%d-%d-%s", 3, arguments, "1-2-text");
    ops->log[0] = '\0';
    /* as gdb sends it: the arguments from the last one on, channel, function */
    value_is(ops, "22 02 22 01 22 00 22 00 34 02 0006 2564 2c25 64 00 22 07 27", 7);
    assert_string_equal(ops->log, "1,2");
}

static void strings_are_read(void **state)
{
    struct world *ops = *state;

    prints(ops, "%s", 0x1020, "text");
    prints(ops, "[%6s]", 0x1020, "[  text]");
    prints(ops, "[%-6s]", 0x1020, "[text  ]");
    prints(ops, "%.2s", 0x1020, "te");
    prints(ops, "%.0s", 0x5, "");
    prints(ops, "%s", 0, "(null)");
    memcpy(ops->memory + MEMORY_SIZE - 4, "end", 4);
    prints(ops, "%s", MEMORY_START + MEMORY_SIZE - 4, "end");
    ops->memory[MEMORY_SIZE - 1] = '!'; /* and nothing behind it */
    prints(ops, "%.4s", MEMORY_START + MEMORY_SIZE - 4, "end!");
    error_is(ops, "23 107c 22 00 22 00 34 01 0003 257300 27", MH_ERR_RANGE, "printf: cannot read the string at 0x107c");
}

static void escapes_are_those_of_c(void **state)
{
    text_is(*state, "\\a\\b\\e\\f\\n\\r\\t\\v\\\\\\\"\\'", 0, NULL, "\a\b\033\f\n\r\t\v\\\"'");
}

static void bad_formats_are_errors(void **state)
{
    static const char *const formats[] = {"%",   "%5",  "%.",   "%l",  "%f",  "%g",     "%n",
                                          "%*d", "%q",  "%ls",  "%lc", "%hp", "%9999d", "%.9999d",
                                          "\\",  "\\q", "%d%d", "%#s", "%0c", "%-+p",   "%ld%lq"};
    const struct agent_ops all = whole(*state);
    const uint64_t arguments[] = {1};

    for (size_t i = 0; i < COUNT(formats); i++)
        if (agent_print(&all, formats[i], strlen(formats[i]), arguments, 1, NULL) != MH_ERR_USAGE)
            fail_msg("%s was taken", formats[i]);
    /* null bytes within */
    assert_int_equal(agent_print(&all, "%\0", 2, arguments, 1, NULL), MH_ERR_USAGE);
    assert_int_equal(agent_print(&all, "\\\0", 2, arguments, 1, NULL), MH_ERR_USAGE);
    error_is(*state, "22 00 22 00 34 00 0000 27", MH_ERR_USAGE, "the format of printf is malformed");
    error_is(*state, "22 00 22 00 34 00 0002 4141 27", MH_ERR_USAGE, "the format of printf is malformed");
    error_is(*state, "22 00 22 00 34 00 0005 4100 27", MH_ERR_USAGE, "the format of printf is malformed");
    error_is(*state, "22 00 22 00 34 01 0002 4100 27", MH_ERR_USAGE, "stack underflow in printf");
    error_is(*state, "22 00 34 00 0002 4100 27", MH_ERR_USAGE, "stack underflow in printf");
}

static void output_is_bounded(void **state)
{
    struct world *ops = *state;
    const struct agent_ops all = whole(ops);
    const uint64_t arguments[6] = {0, 0, 0, 0, 0, 0x1020};
    static const char format[] = "%1000d%1000d%1000d%1000d%1000d%s!";

    assert_int_equal(agent_print(&all, format, sizeof format - 1, arguments, 6, NULL), MH_OK);
    assert_int_equal(strlen(ops->log), AGENT_OUTPUT_MAX);
}

static void without_a_sink_nothing_is_printed(void **state)
{
    const struct agent_ops silent = {.ctx = *state, .read_register = read_register, .read_memory = read_memory};
    const uint64_t argument = 5;

    assert_int_equal(agent_print(&silent, "%d", 2, &argument, 1, NULL), MH_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arithmetic),
        TEST(bits),
        TEST(comparisons),
        TEST(the_stack),
        TEST(jumps),
        TEST(memory_and_registers),
        TEST(variables),
        TEST(tracing),
        TEST(what_the_caller_has_not_is_an_error),
        TEST(floating_point_is_an_error),
        TEST(unknown_bytecodes_are_errors),
        TEST(every_prefix_is_an_error),
        TEST(too_little_on_the_stack_is_an_error),
        TEST(a_value_must_be_there_if_wanted),
        TEST(the_stack_is_bounded),
        TEST(numbers_are_printed),
        TEST(several_arguments_come_in_order),
        TEST(strings_are_read),
        TEST(escapes_are_those_of_c),
        TEST(bad_formats_are_errors),
        TEST(output_is_bounded),
        TEST(without_a_sink_nothing_is_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
