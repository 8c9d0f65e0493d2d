/* What mounting and operating a pool share; not for users of the pool, who take pool.h. */
#pragma once

#include "mm/pool.h"

struct pool_pair pool_superblock_pair(const struct pool_member *member);
struct pool_pair pool_record_pair(const struct pool_member *member, uint32_t slot);

/* 1 to 31 characters of A-Z a-z 0-9 . _ - and a terminating zero. */
bool pool_name_is_valid(const char *name);

/* A random (version 4, RFC 9562) UUID from 64 random bits. */
struct pool_uuid pool_make_uuid(uint64_t entropy);

/* Bytes of a record on media that has that many extents. */
static inline uint32_t pool_record_length(uint32_t extents)
{
        return (uint32_t)(offsetof(struct pool_record, extent) +
                          extents * sizeof(struct pool_media_extent));
}
