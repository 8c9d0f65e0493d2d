/*
 * The catalogue's slots in DRAM: pairs on media, names by hash, empty slots in a list. What the
 * parts of the pool share; not for users of the pool, who take pool.h.
 */
#pragma once

#include "mm/pool/pool.h"

struct pool_pair pool_superblock_pair(const struct pool_member *member);
struct pool_pair pool_record_pair(const struct pool_member *member, uint32_t slot);
struct pool_pair pool_region_pair(const struct pool *pool, const struct pool_region *region);

/* 1 to 31 characters of A-Z a-z 0-9 . _ - and a terminating zero. */
bool pool_name_is_valid(const char name[POOL_NAME_SIZE]);

/* A random (version 4, RFC 9562) UUID from 64 random bits. */
struct pool_uuid pool_make_uuid(uint64_t entropy);

/* Whether a record's counts are within its bounds and its length is as they say. */
bool pool_record_fits(const struct pool_record *record);

/* Bytes of a record on media. */
uint32_t pool_record_length(const struct pool_record *record);

/* Whether a slot's record is a region's, live or filling; NULL: the slot is empty. */
bool pool_record_is_region(const struct pool_record *record);

/* Granules of a record that are to be scrubbed. */
uint64_t pool_record_dying(const struct pool_record *record);

/* All extents of a record, the dying ones included. */
uint32_t pool_record_extents(const struct pool_record *record);

/* An object that is an empty slot, but for what pool_pair_* fill in. */
struct pool_head pool_empty_slot(const struct pool *pool, const struct pool_region *region);

/* What a superblock must say of itself, with a number or POOL_ANY_INDEX, of this pool or (NULL)
 * any. */
struct pool_expect pool_expect_superblock(uint32_t index, const struct pool_uuid *pool);

/* What a record must say of itself in this slot. */
struct pool_expect pool_expect_record(const struct pool *pool, const struct pool_region *region);

/* Names of live and filling regions. The slot's record must be set. */
void pool_index_add(struct pool *pool, struct pool_region *region);
void pool_index_remove(struct pool *pool, const char *name, struct pool_region *region);

/* The region of that name by what the index knows, NULL: none. Judges and mends nothing. */
struct pool_region *pool_index_find(const struct pool *pool, const char *name);

/* The list of empty slots. take: NULL when the catalogue is full. */
void pool_index_put_empty(struct pool *pool, struct pool_region *region);
struct pool_region *pool_index_take_empty(struct pool *pool);

/*
 * The record's intact copy on media, mending the other. What the pool tells of a region comes from
 * here: NVRAM can go bad while it is mounted. NULL: the slot is empty, or both copies are damaged;
 * then the pool is read only from now on, logged.
 */
const struct pool_record *pool_record_judge(struct pool *pool, struct pool_region *region);

/* Copy the record from its intact copy, mending the other. -EBADMSG: both are damaged. */
must_check int pool_record_load(const struct pool *pool, const struct pool_region *region,
                                struct pool_record *copy);

/* Publish a record in a slot: old or new after a power cut. Fills in its head, and packs it: the
 * caller's copy is used up. */
void pool_record_store(const struct pool *pool, struct pool_region *region,
                       struct pool_record *record);

/* Publish an empty slot and put it in the list. */
void pool_record_clear(struct pool *pool, struct pool_region *region);

/* Whether a granule of a range is on the list of bad ones; and whether it, or an address in it that
 * the mount was told, is bad. */
bool pool_is_listed_bad(const struct pool *pool, uint32_t range, uint32_t granule);
bool pool_is_bad(const struct pool *pool, uint32_t range, uint32_t granule);

/* Whether no address that is known as bad lies in the len bytes at hpa. */
bool pool_may_read(const struct pool_bad *bad, hpa_t hpa, uint64_t len);
