/*
 * Whatever several debuggers do to a whole server, sending, not reading, coming, going: it keeps to the protocol and
 * ends when it is asked to. An input is a script of tests/support/hostile_client.h.
 */
#include "hostile_client.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hostile_client_run(data, size);
    return 0;
}
