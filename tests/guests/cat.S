/* Prints its input up to the first 0xff, which is the end; then shows that three more reads give 0xff as well. */
#include "guest.h"
    guest_start
1:  get_char
    cmp $0xff, %al
    je 2f
    out %al, $SERIAL
    jmp 1b
2:  mov $3, %ecx
3:  get_char
    out %al, $SERIAL
    dec %ecx
    jnz 3b
    end_well
