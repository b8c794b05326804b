/* Recordings from strangers: reads any bytes as one, with checksums put right so that what lies behind them is reached.
 */
#include "crc32.h"
#include "replay/recording.h"

#include <stdlib.h>
#include <string.h>

static void seal(uint8_t *bytes, size_t length)
{
    struct recording_section section;
    size_t at = sizeof(struct recording_head);
    while (at <= length && length - at >= sizeof section) {
        memcpy(&section, bytes + at, sizeof section);
        if (section.length > length - at - sizeof section)
            return;
        section.checksum = 0;
        memcpy(bytes + at, &section, sizeof section);
        section.checksum = crc32_more(0, bytes + at, sizeof section + section.length);
        memcpy(bytes + at, &section, sizeof section);
        at += sizeof section + section.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mh_recording *recording;
    struct mh_error err;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data, size);
    seal(bytes, size);
    if (mh_recording_read(bytes, size, &recording, &err) == MH_OK)
        mh_recording_close(recording);
    free(bytes);
    return 0;
}
