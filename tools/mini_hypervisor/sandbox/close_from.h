/* Closing what a process that was forked has inherited and does not need. */
#ifndef MH_SANDBOX_CLOSE_FROM_H
#define MH_SANDBOX_CLOSE_FROM_H

/* Close all descriptors from `first` on, which is greater than 0. */
void close_from(int first);

#endif
