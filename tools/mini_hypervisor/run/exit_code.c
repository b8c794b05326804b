#include "run/exit_code.h"

int exit_code_for_status(enum mh_status status)
{
    switch (status) {
    case MH_OK:
        return EXIT_CODE_OK;
    case MH_ERR_USAGE:
        return EXIT_CODE_USAGE;
    case MH_ERR_IMAGE:
        return EXIT_CODE_IMAGE;
    case MH_ERR_IO:
        return EXIT_CODE_IO;
    default: /* the host, and what should have been handled before it came here */
        return EXIT_CODE_HOST;
    }
}
