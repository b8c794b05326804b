/*
 * What the emulator of --anywhere may still do with the host's files. Its machine has them all by 9p, and whoever
 * breaks out of a guest is in that machine: so only what the command line names is left. See docs/security.md.
 */
#ifndef MH_TOOL_ANYWHERE_CONFINE_H
#define MH_TOOL_ANYWHERE_CONFINE_H

#include "options.h"

/*
 * Give up all other files, in the process that becomes `emulator` (a name to be found in PATH, or a path); `directory`
 * holds the machine's kernel. The directories that the options name are there already. Returns 0, also where the kernel
 * has no Landlock, or the errno with which it refused.
 */
int anywhere_confine(const struct options *options, const char *emulator, const char *directory);

#endif
