/* The command line. */
#ifndef MH_TOOL_OPTIONS_H
#define MH_TOOL_OPTIONS_H

#include "mh/gdbstub.h"
#include "mh/status.h"
#include "mh/vm.h"

#include <stdio.h>

enum label_mode {
    LABEL_AUTO, /* when several machines print to a terminal */
    LABEL_ALWAYS,
    LABEL_NEVER,
};

enum serial_kind {
    SERIAL_STDIO,
    SERIAL_FILE,
    SERIAL_PTY,
    SERIAL_NULL,
};

/* A list of command-line words; they stay argv's. */
struct word_list {
    const char **words;
    size_t count;
};

struct options {
    bool help, version, probe;
    enum mh_accel accel;
    uint64_t ram_size;     /* bytes */
    uint32_t page_size;    /* bytes */
    uint64_t load_address; /* of flat images */
    struct word_list guests;
    struct word_list files;
    int64_t timeout_ms;        /* 0: none */
    uint64_t max_instructions; /* of each machine; 0: any number */
    size_t console;            /* number of the machine stdin feeds, from 1 */
    enum label_mode label;
    enum serial_kind serial;
    const char *serial_path; /* of SERIAL_FILE; "%n" stands for the machine's number */
    bool gdb;                /* debuggers may connect: to each machine, */
    bool gdb_all;            /* or at one place to all of them */
    bool gdb_waits;          /* do not start before one has connected */
    bool gdb_runs;           /* --gdb-run */
    bool gdb_freezes;        /* -S */
    bool gdb_holds;          /* stop at hlt first */
    enum mh_gdb_lost gdb_lost;
    bool no_history;                     /* --no-history */
    uint64_t history;                    /* bytes for the past of each machine that is debugged; 0: it is not kept */
    struct mh_gdb_endpoint gdb_endpoint; /* of machine 1; for the others see options_gdb_endpoint() */
    const char *files_dir;
    const char *core_dir; /* NULL: no core files */
    struct mh_file_limits limits;
    bool exchange;          /* --exchange */
    uint32_t exchange_size; /* bytes of its buffer */
    const char *trace_path; /* NULL: no trace */
    bool stats;
    bool perf_map;             /* --perf-map */
    const char *record_path;   /* NULL: no recording; "%n" stands for the machine's number */
    const char *coverage_path; /* NULL: instructions are not counted; "%n" stands for the machine's number */
    const char *profile_path;  /* the same for calls */
    const char *report_path;   /* NULL: no report; "%n" stands for the machine's number */
    const char *replay_path;   /* NULL: guests are run. The one guest is called by it */
};

/*
 * Read the command line. Returns MH_OK, MH_ERR_USAGE with what was wrong and what was probably meant, or MH_ERR_HOST
 * without memory. Free with options_free() in every case.
 */
enum mh_status options_parse(int argc, char *const *argv, struct options *options, struct mh_error *err);
void options_free(struct options *options);

/* Where debuggers connect to machine `number` (from 1): each has the next port, or "%n" in the path replaced. */
struct mh_gdb_endpoint options_gdb_endpoint(const struct options *options, size_t number);

/* The text of --help. */
void options_print_help(FILE *to);

#endif
