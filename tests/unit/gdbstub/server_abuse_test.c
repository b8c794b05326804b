/* Debuggers that flood the server, do not read, are silent or gone: see tests/support/hostile_client.h. */
#include "abuse.h"
#include "hostile_client.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define SCRIPT_MAX 8192u
#ifdef __SANITIZE_THREAD__ /* for which system calls are expensive */
#define RUNS 1000u
#else
#define RUNS 3000u
#endif

static void run(const char *script)
{
    hostile_client_run(script, strlen(script));
}

static void silence_ends_when_told(void **state)
{
    (void)state;
    run("@0");
    run("@0\n=$\n");
    run("@0\n=$m0,10\n");
    run("@0\n=$m0,10#\n");
    run("@0\n$vCont;c\n=$m\n");
    run("@0\n$qSupported:multiprocess+\n=$X0,1000:\n1\n=$\n");
}

/* The end is wanted in the middle of the flood. */
static void flood(const char *script)
{
    char whole[SCRIPT_MAX];
    int length = snprintf(whole, sizeof whole, "@0\n%s\n", script);

    memset(whole + length, '\n', 1000);
    hostile_client_run(whole, (size_t)length + 1000);
}

static void a_flood_does_not_outlast_the_end(void **state)
{
    (void)state;
    flood("*m1000,40");
    flood("*");
    flood("*nonsense");
    flood("$QStartNoAckMode\n*qC");
    flood("$vCont;c\n*s");
    flood("*vCont;s");
    flood("=------------\n*D;9");
}

static void one_who_does_not_read_is_not_waited_for(void **state)
{
    (void)state;
    run("\x40"
        "0\n$m0,10000\n$m0,10000\n1\n2\n3");
    run("\x40"
        "0\n$qRcmd,666c6f6f64\n1\nx\n2\n=$");
    run("\x40"
        "0\n$m0,10000\n=--------------------");
    run("\x40"
        "0\n$m0,10000\n/\n/\n/\n/\nx\n0\n$?\n<");
}

static void gone_at_any_moment(void **state)
{
    static const char *const packets[] = {"$vCont;c", "$s", "$X1000,3:abc",  "$m0,4000",
                                          "$D",       "$k", "$qRcmd,6d6170", "$R00"};
    static const char *const ends[] = {"x", "h", "^\nx", "=$vCont\nx", ".\nx", ".\n.\n/\nx"};
    char script[128];

    (void)state;
    for (char choice = 1; choice < 0x40; choice++)
        for (size_t i = 0; i < COUNT(packets) * COUNT(ends); i++) {
            snprintf(script, sizeof script, "%c0\n%s\n%s\n1\n$?\n.\n<\n", choice, packets[i % COUNT(packets)],
                     ends[i / COUNT(packets)]);
            run(script);
        }
}

/* Who cannot be let in stays at the acceptor, and the listening socket readable. */
static void out_of_descriptors(void **state)
{
    static const char *const starts[] = {"@e\n0", "@0\n$?\ne\n1\n2", "@0\n$vCont;c\ne\n1",
                                         "\x48"
                                         "e\n0"};
    char whole[SCRIPT_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++) {
        int length = snprintf(whole, sizeof whole, "%s\n", starts[i]);

        memset(whole + length, '\n', 2000);
        hostile_client_run(whole, (size_t)length + 2000);
    }
}

/* --- chance --- */

static const char *const lines[] = {
    "$qSupported:multiprocess+;swbreak+;hwbreak+;error-message+",
    "$QStartNoAckMode",
    "$?",
    "$g",
    "$p10",
    "$Hg2",
    "$Hc-1",
    "$m1000,40",
    "$m0,ffff",
    "$x0,ffff",
    "$m1ff0,100",
    "$X1000,1:\xf4",
    "$M1000,2:ebfe",
    "$M1001,1:cc",
    "$Z0,1010,1",
    "$z0,1010,1",
    "$Z2,1800,8",
    "$Z1,1004,1",
    "$vCont;c",
    "$vCont;s:1;c",
    "$vCont;r1000,1100",
    "$vCont;C0b",
    "$vCont;t",
    "$c",
    "$s",
    "$C05",
    "$D",
    "$D;2",
    "$k",
    "$vKill;1",
    "$vRun;",
    "$R00",
    "$!",
    "$vAttach;2",
    "$qRcmd,6d6170",
    "$qRcmd,666c6f6f64",
    "$qRcmd,7265736574",
    "$qXfer:features:read:target.xml:0,fff",
    "$qXfer:memory-map:read::0,fff",
    "$qXfer:threads:read::0,40",
    "$vFile:open:6e6f7465732e747874,0,0",
    "$vFile:pread:0,40,0",
    "$vFile:close:0",
    "$vFile:fstat:0",
    "$qCRC:0,ffff",
    "$qSearch:memory:0;ffff;z",
    "$qfThreadInfo",
    "$T1",
    "$qThreadExtraInfo,1",
    "^",
    "^",
    "=+",
    "=-",
    "=----",
    "=$",
    "=$m",
    "=$vCont;c#",
    "=#",
    "=$X0,9:}",
    "0",
    "0",
    "1",
    "2",
    "3",
    "<",
    "<",
    "<",
    "/",
    "h",
    "x",
    "e",
    ".",
    ".",
    "*m1000,10",
    "*vCont;s",
};

/* A line of the list, sometimes with bytes of it changed. */
static size_t random_line(struct abuse *abuse, char *to)
{
    size_t which = abuse_below(abuse, COUNT(lines)), length = strlen(lines[which]);

    memcpy(to, lines[which], length);
    if (length > 1 && abuse_below(abuse, 4) == 0)
        to[1 + abuse_below(abuse, length - 1)] = (char)abuse_next(abuse);
    to[length] = '\n';
    return length + 1;
}

static void anything_at_all(void **state)
{
    struct abuse abuse;
    char script[SCRIPT_MAX];

    (void)state;
    abuse_begin(&abuse);
    for (unsigned i = 0; i < RUNS * abuse.factor; i++) {
        size_t wanted = 1 + abuse_below(&abuse, 80), length = 3;

        memcpy(script, (const char[]){(char)abuse_next(&abuse), '0', '\n'}, length);
        while (wanted-- > 0)
            length += random_line(&abuse, script + length);
        hostile_client_run(script, length);
    }
    abuse_done((unsigned long)RUNS * abuse.factor, "scripts of hostile debuggers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_ends_when_told),
        cmocka_unit_test(a_flood_does_not_outlast_the_end),
        cmocka_unit_test(one_who_does_not_read_is_not_waited_for),
        cmocka_unit_test(gone_at_any_moment),
        cmocka_unit_test(out_of_descriptors),
        cmocka_unit_test(anything_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
