/* Prints the bytes 0x00 to 0xff, once each, in order. */
#include "guest.h"
    guest_start
    xor %eax, %eax
1:  out %al, $SERIAL
    inc %al
    jnz 1b
    end_well
