/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of everything the pool keeps on media.
 */
#pragma once

#include "hv/lib/types.h"

/*
 * CRC-32C of len bytes. crc is 0 for a new checksum, or the result over the bytes before to go on:
 * crc32c(crc32c(0, a), b) is the checksum of a followed by b.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
