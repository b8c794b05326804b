/* What the process gives up before the first guest runs: see docs/security.md. */
#ifndef MH_TOOL_CONFINE_H
#define MH_TOOL_CONFINE_H

#include "files_dir.h"
#include "machine.h"

/*
 * Give up all files, calls and privileges that the machines do not need. To be called once, when everything the command
 * line names is open and before any other thread is started: threads inherit it. What the kernel does not have is left
 * out silently; what it has and refuses is told in a line, and the process goes on with the rest. Release *files_dir at
 * the end.
 */
void confine(const struct shared *shared, const struct machine *machines, size_t count, struct files_dir *files_dir);

#endif
