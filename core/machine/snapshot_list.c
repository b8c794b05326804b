#include "machine/snapshot_list.h"

#include "machine/snapshot.h"

#include <inttypes.h>
#include <string.h>

unsigned snapshot_list_find(const struct snapshot_list *list, const char *name)
{
    unsigned i = 0;
    while (i < list->count && strcmp(list->entry[i].name, name) != 0)
        i++;
    return i;
}

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= SNAPSHOT_NAME_MAX && strchr(name, ' ') == NULL;
}

enum mh_status snapshot_list_take(struct mh_vm *vm, const char *name, struct mh_error *err)
{
    struct snapshot_list *list = &vm->snapshots;
    struct snapshot *snapshot;
    unsigned at = snapshot_list_find(list, name);
    if (!is_name(name))
        return mh_fail(err, MH_ERR_USAGE, "snapshot: say a name, one word of at most %u bytes", SNAPSHOT_NAME_MAX);
    if (at == SNAPSHOTS_MAX)
        return mh_fail(err, MH_ERR_USAGE, "there are %u snapshots, no more are kept: monitor forget NAME drops one",
                       SNAPSHOTS_MAX);
    enum mh_status status = snapshot_take(vm, &snapshot, err);
    if (status != MH_OK)
        return status;
    if (at < list->count)
        snapshot_free(list->entry[at].snapshot);
    else
        memcpy(list->entry[list->count++].name, name, strlen(name) + 1);
    list->entry[at].snapshot = snapshot;
    list->entry[at].exchanged = vm->exchanged;
    list->entry[at].has_place = list->entry[at].is_past = list->entry[at].is_waiting = false;
    return MH_OK;
}

static enum mh_status is_not_there(const char *name, struct mh_error *err)
{
    if (*name == '\0')
        return mh_fail(err, MH_ERR_RANGE, "say which snapshot: monitor snapshots lists them");
    return mh_fail(err, MH_ERR_RANGE, "there is no snapshot '%s': monitor snapshots lists them", name);
}

enum mh_status snapshot_list_restore(struct mh_vm *vm, const char *name, struct mh_error *err)
{
    const struct snapshot_list *list = &vm->snapshots;
    unsigned at = snapshot_list_find(list, name);
    if (at == list->count)
        return is_not_there(name, err);
    if (list->entry[at].exchanged != vm->exchanged)
        return mh_fail(err, MH_ERR_RANGE,
                       "the machine has exchanged data with others since the snapshot '%s', which cannot be undone",
                       name);
    return snapshot_restore(vm, list->entry[at].snapshot, err);
}

enum mh_status snapshot_list_forget(struct snapshot_list *list, const char *name, struct mh_error *err)
{
    unsigned at = snapshot_list_find(list, name);
    if (at == list->count)
        return is_not_there(name, err);
    snapshot_free(list->entry[at].snapshot);
    memmove(&list->entry[at], &list->entry[at + 1], (--list->count - at) * sizeof list->entry[0]);
    return MH_OK;
}

void snapshot_list_show(const struct snapshot_list *list, const struct text_output *output)
{
    if (list->count == 0)
        text_say(output, "there are none: monitor snapshot NAME takes one\n");
    for (unsigned i = 0; i < list->count; i++) {
        const struct snapshot *snapshot = list->entry[i].snapshot;
        text_say(output, "%-*s  rip 0x%" PRIx64 ", %zu KB", (int)SNAPSHOT_NAME_MAX, list->entry[i].name,
                 snapshot_rip(snapshot), snapshot_pages(snapshot) * (PAGE_4K / 1024));
        if (list->entry[i].has_place && !list->entry[i].is_waiting)
            text_say(output, ", instruction %" PRIu64, list->entry[i].position);
        text_say(output, "\n");
    }
}

void snapshot_list_free(struct snapshot_list *list)
{
    while (list->count > 0)
        snapshot_free(list->entry[--list->count].snapshot);
}
