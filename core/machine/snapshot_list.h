/* The snapshots a person took of a machine, by name. */
#ifndef MH_CORE_SNAPSHOT_LIST_H
#define MH_CORE_SNAPSHOT_LIST_H

#include "mh/status.h"
#include "text.h"

#include <stdint.h>

#define SNAPSHOTS_MAX 64u
#define SNAPSHOT_NAME_MAX 31u

struct mh_vm;
struct snapshot;

struct snapshot_list {
    unsigned count;
    struct {
        char name[SNAPSHOT_NAME_MAX + 1];
        struct snapshot *snapshot;
        uint64_t exchanged; /* uses of the exchange before it */
        /* Of a machine whose history is kept: where in it, and in which; see debug_target.c. */
        bool has_place, is_past;
        bool is_waiting; /* `position` is a ticket of timeline_keep_place() */
        uint64_t position, generation;
    } entry[SNAPSHOTS_MAX]; /* in the order they were first taken */
};

/*
 * Take a snapshot under this name, in the place of an older one. MH_OK; MH_ERR_USAGE for a name that cannot be, or a
 * full list; otherwise see snapshot_take(). On error everything is as it was.
 */
enum mh_status snapshot_list_take(struct mh_vm *vm, const char *name, struct mh_error *err);

/* Restore the machine. MH_OK; MH_ERR_RANGE for an unknown name; otherwise see snapshot_restore(). */
enum mh_status snapshot_list_restore(struct mh_vm *vm, const char *name, struct mh_error *err);

/* The index of the snapshot with this name, `count` when there is none. */
unsigned snapshot_list_find(const struct snapshot_list *list, const char *name);

/* Drop one. MH_OK, or MH_ERR_RANGE for a name that is not there. */
enum mh_status snapshot_list_forget(struct snapshot_list *list, const char *name, struct mh_error *err);

/* Say a line for each. */
void snapshot_list_show(const struct snapshot_list *list, const struct text_output *output);

void snapshot_list_free(struct snapshot_list *list);

#endif
