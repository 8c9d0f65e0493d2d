/*
 * The NVRAM pool's media format, version 2, and the two-copy update that every object on it uses.
 *
 * A range is used from its first to its last 2 MiB boundary (by HPA), in granules of 2 MiB. The
 * first granules hold metadata, all others data. Everything is little-endian.
 *
 *      0        +--------------------------------+  granule 0
 *               | superblock, copy A             |
 *      64 KiB   +--------------------------------+
 *               | superblock, copy B             |
 *      128 KiB  +--------------------------------+
 *               | catalogue A: slot 0, 1, ...    |  2 KiB a slot
 *               +--------------------------------+  half way to the end of the metadata
 *               | catalogue B: slot 0, 1, ...    |
 *               +--------------------------------+  granule M = metadata granules
 *               | data granules                  |
 *               +--------------------------------+  granule N = granules in use
 *
 * Behind superblock A are lanes, through which disks are written (pool_disk.h). Between the
 * superblocks and behind them is room for later tables; it is zero. A slot holds one record; one
 * that is a head and nothing more is an empty slot. So no slot is ever blank, and a record that was
 * wiped is noticed. What a record stands for is told by its state:
 *
 *      LIVE     a region: name, owner, grants, size and the extents that hold it
 *      FILLING  a region whose contents are still being copied in; mounting makes it DYING
 *      DYING    what is left of a deleted region: extents to be scrubbed
 *      BAD      granules that are never handed out
 *
 *      extent[0 .. extent_count)                  what the region holds, in order
 *      extent[extent_count .. + dying_count)      released, not yet scrubbed
 *      grants[0 .. grant_count)                   directly behind the last extent
 *
 * No free map is stored: a data granule is free when no record names it, and **a free granule reads
 * as zero**. So a region is created by its record alone, and what is released (by deleting or
 * shrinking, or the whole of a new range) first stands as dying. The scrubber zeroes from the front
 * of the dying extents and takes off what is done: what is left of them is its cursor.
 *
 * A granule named by a BAD record may be named by a region, too, which was there first; it leaves
 * with the region, and does not become free.
 *
 * Objects (superblock, record) exist twice, A and B, on different pages. An object starts with a
 * word { sequence number, CRC-32C of the rest }; word 0 means that nothing was published there.
 * The current copy is the intact one with the higher sequence number, A when they are equal.
 *
 *      update:  B's body, flush, fence;  B's word, flush, fence     (committed)
 *               A's body, flush, fence;  A's word, flush, fence     (mirrored)
 *
 * While B's body is written both words are equal and A counts; while A's is, B's word is ahead. So
 * a power cut is decided by words alone, each an 8-byte store; the CRC is there for damage. At rest
 * both copies are the same and either mends the other.
 *
 * Formatting begins with one word, POOL_FORMATTING, in superblock A and ends when the superblock's
 * own word replaces it. A range found with it has no contents and is formatted again. The record in
 * slot 0 of a new range is DYING and names all its data granules: they may hold anything.
 *
 * A pool of several ranges: each superblock tells its range's number (0, 1, ...) and how many there
 * are. A range is added by formatting it with the next number and then raising the count in the
 * others; until all superblocks agree, no region reaches across. The highest count found holds, and
 * a pool with a number missing or twice is not mounted: its records could claim granules anywhere.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define POOL_VERSION          2u
#define POOL_GRANULE_SHIFT    21u
#define POOL_GRANULE          (1ull << POOL_GRANULE_SHIFT)
#define POOL_SUPERBLOCK_MAGIC 0x4b4c424f52465250ull /* "PRFROBLK" */
#define POOL_RECORD_MAGIC     0x4345524f52465250ull /* "PRFROREC" */
#define POOL_FORMATTING       0x54414d524f465250ull /* "PRFORMAT" */
#define POOL_SUPERBLOCK_B     (64 * KiB)
#define POOL_CATALOGUE        (128 * KiB)
#define POOL_NAME_SIZE        32 /* with the terminating zero */
#define POOL_EXTENTS_MAX      96u
#define POOL_GRANTS_MAX       8u
#define POOL_LANES            8u /* of a range */

/* One metadata granule for this many granules (32 GiB), 32 at most: 480 to 16,352 slots a range. */
#define POOL_GRANULES_A_METADATA 16384u
#define POOL_METADATA_MAX        32u

_Static_assert(POOL_EXTENTS_MAX == REGION_EXTENTS_MAX + 1,
               "one more stays free, so that a region can be shrunk");

struct pool_uuid {
        uint8_t byte[16];
};

/* What both objects begin with. crc covers the bytes from magic to length. */
struct pool_head {
        uint32_t seq;
        uint32_t crc;
        uint64_t magic;
        uint32_t version;
        uint32_t length;      /* bytes of the object, head included; a multiple of 8 */
        uint32_t seq_covered; /* seq again, under the CRC */
        uint32_t index;       /* superblock: its range's number; record: POOL_INDEX(range, slot) */
        struct pool_uuid pool;
};

struct pool_superblock {
        struct pool_head head;
        uint64_t granules; /* in use, metadata included */
        uint32_t metadata; /* granules of metadata */
        uint32_t slots;    /* in each catalogue */
        uint32_t members;  /* ranges in the pool, as far as this one knows */
        uint32_t granule_shift;
        uint8_t reserved[56];
};

/* A run of data granules in one range of the pool. */
struct pool_media_extent {
        uint32_t range; /* its number in its superblock */
        uint32_t start; /* granules from the range's first granule */
        uint32_t count;
        uint32_t reserved;
};

enum pool_record_state {
        POOL_RECORD_LIVE = 1,
        POOL_RECORD_FILLING,
        POOL_RECORD_DYING,
        POOL_RECORD_BAD,
};

/* Another VM that may attach a region. A name of 31 characters is not terminated. */
struct pool_media_grant {
        char vm[POOL_NAME_SIZE - 1];
        uint8_t access; /* enum pool_access */
};

struct pool_record {
        struct pool_head head;
        struct pool_uuid uuid;
        char name[POOL_NAME_SIZE];
        char owner[POOL_NAME_SIZE]; /* a VM's name, or empty: nobody's */
        uint64_t size;              /* bytes, the sum of extent[0 .. extent_count) */
        uint64_t generation;        /* 1, and one more at each change of name or size */
        uint32_t state;
        uint32_t flags; /* 0 */
        uint32_t extent_count;
        uint32_t dying_count;
        uint64_t dying_total; /* granules that the dying extents had at first, to show progress */
        uint32_t grant_count;
        uint8_t reserved[84];
        struct pool_media_extent extent[POOL_EXTENTS_MAX];
        struct pool_media_grant grant[POOL_GRANTS_MAX]; /* in DRAM; on media see above */
};

/* The grants of a record as it is on media. */
static inline const struct pool_media_grant *pool_media_grants(const struct pool_record *record)
{
        return (const struct pool_media_grant *)&record
            ->extent[record->extent_count + record->dying_count];
}

#define POOL_SLOT_SIZE          sizeof(struct pool_record)
#define POOL_INDEX(range, slot) ((uint32_t)(range) << 24 | (slot))

#define POOL_AT(type, field, offset)                                                               \
        _Static_assert(offsetof(struct type, field) == (offset), "media format: " #type "." #field)

POOL_AT(pool_head, seq, 0);
POOL_AT(pool_head, crc, 4);
POOL_AT(pool_head, magic, 8);
POOL_AT(pool_head, version, 16);
POOL_AT(pool_head, length, 20);
POOL_AT(pool_head, seq_covered, 24);
POOL_AT(pool_head, index, 28);
POOL_AT(pool_head, pool, 32);
_Static_assert(sizeof(struct pool_head) == 48, "media format: head");

POOL_AT(pool_superblock, granules, 48);
POOL_AT(pool_superblock, metadata, 56);
POOL_AT(pool_superblock, slots, 60);
POOL_AT(pool_superblock, members, 64);
POOL_AT(pool_superblock, granule_shift, 68);
POOL_AT(pool_superblock, reserved, 72);
_Static_assert(sizeof(struct pool_superblock) == 128, "media format: superblock");

POOL_AT(pool_media_extent, range, 0);
POOL_AT(pool_media_extent, start, 4);
POOL_AT(pool_media_extent, count, 8);
POOL_AT(pool_media_extent, reserved, 12);
_Static_assert(sizeof(struct pool_media_extent) == 16, "media format: extent");

_Static_assert(sizeof(struct pool_media_grant) == 32, "media format: grant");

POOL_AT(pool_record, uuid, 48);
POOL_AT(pool_record, name, 64);
POOL_AT(pool_record, owner, 96);
POOL_AT(pool_record, size, 128);
POOL_AT(pool_record, generation, 136);
POOL_AT(pool_record, state, 144);
POOL_AT(pool_record, flags, 148);
POOL_AT(pool_record, extent_count, 152);
POOL_AT(pool_record, dying_count, 156);
POOL_AT(pool_record, dying_total, 160);
POOL_AT(pool_record, grant_count, 168);
POOL_AT(pool_record, reserved, 172);
POOL_AT(pool_record, extent, 256);
POOL_AT(pool_record, grant, 1792);
_Static_assert(sizeof(struct pool_record) == 2048, "media format: record");

/* The two copies of one object on media. */
struct pool_pair {
        struct pool_head *a;
        struct pool_head *b;
        bool a_bad, b_bad; /* lies on memory that is known as bad: not read, and so not believed */
};

/* What an object must say of itself to be believed. */
struct pool_expect {
        uint64_t magic;
        uint32_t size;                /* room a copy has, at least the head's */
        uint32_t index;               /* POOL_ANY_INDEX: not checked */
        const struct pool_uuid *pool; /* NULL: not checked */
};

#define POOL_ANY_INDEX UINT32_MAX

enum pool_pair_state {
        PAIR_BLANK,   /* both words are 0 */
        PAIR_GOOD,    /* both copies intact and the same version of the object */
        PAIR_HALF,    /* one copy is current; the other is older, blank or damaged */
        PAIR_DAMAGED, /* no copy can be believed */
        PAIR_FOREIGN, /* intact, of a format version that this code does not know */
};

/*
 * Judge a pair; reads only. *current is the copy that counts for PAIR_GOOD and PAIR_HALF, NULL
 * otherwise.
 */
enum pool_pair_state pool_pair_load(struct pool_pair pair, const struct pool_expect *expect,
                                    const struct pool_head **current);

/* Make the other copy equal to current. Durable when it returns. */
void pool_pair_mend(struct pool_pair pair, const struct pool_head *current);

/*
 * Replace a pair's contents, at rest (mended), by object: old or new after a power cut, new once
 * this returns. The caller has filled everything but seq, crc and seq_covered, which are set here.
 * What was stored non-temporally before the call is durable before the object is.
 */
void pool_pair_store(struct pool_pair pair, struct pool_head *object);

/*
 * Write both copies of an object that nothing depends on yet: in no order, flushed, not fenced.
 * seq, crc and seq_covered are set here.
 */
void pool_pair_init(struct pool_pair pair, struct pool_head *object);

/*
 * Publish the first version of a superblock over POOL_FORMATTING in copy A, behind everything that
 * was flushed or zeroed before.
 */
void pool_pair_create(struct pool_pair pair, struct pool_head *object);

/* Granules of metadata and slots a catalogue for a range of that many granules. */
uint32_t pool_metadata_granules(uint64_t granules);
uint32_t pool_slot_count(uint32_t metadata);
