/* Prints a line and the beginning of another, and never ends. */
#include "guest.h"
    guest_start
    say "a line\nunfinished"
1:  jmp 1b
