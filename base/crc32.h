/* CRC-32 as of zlib, gzip and Python's zlib.crc32(). */
#ifndef MH_BASE_CRC32_H
#define MH_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what had the checksum `crc` (0: of nothing) and `length` more bytes. */
uint32_t crc32_more(uint32_t crc, const void *bytes, size_t length);

#endif
