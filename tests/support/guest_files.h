/* Two guests' files in a temporary directory, with the shared file "notes.txt", for tests of stores and ports. */
#ifndef MH_TEST_GUEST_FILES_H
#define MH_TEST_GUEST_FILES_H

#include "temp_dir.h"

#include "mh/vm.h"

#include <limits.h>
#include <stdatomic.h>

#define NOTES "these notes belong to everybody"
#define GUEST_OPEN_FILES 4
#define GUEST_BYTES 10000

struct guest_files {
    struct temp_dir dir;
    char parent[PATH_MAX], notes[PATH_MAX]; /* the set of shared files keeps pointing into its paths */
    struct mh_shared_files *shared;
    struct mh_vm_config config[2]; /* directories vm-files/1-one and vm-files/2-two */
    atomic_uint stop;
    unsigned notices;
    char notice[512]; /* the last */
};

struct guest_files *guest_files_make(void);
void guest_files_remove(struct guest_files *files);

#endif
