/*
 * What a mounted pool keeps in DRAM: its slots, its ranges and its free space. Derived at mount
 * from what is on media, and for the files of the pool alone: others take pool.h.
 */
#pragma once

#include "hv/lib/spinlock.h"
#include "hv/lib/types.h"
#include "mm/pool/pool_format.h"

struct pool_bad;

/* A region, or another record, of a mounted pool: one catalogue slot. Others use pool.h's
 * accessors. */
struct pool_region {
        const struct pool_record *record; /* copy A on media; NULL: the slot is empty */
        uint32_t next;                    /* slot number + 1 in the list that this one is in */
        uint16_t readers;
        uint16_t member;
        bool writer;
        bool half;    /* at mount: one copy wants mending */
        uint8_t lost; /* at mount: the fault for which it was passed over, or 0 */
};

/* One range in use. */
struct pool_member {
        uint8_t *base; /* of granule 0 */
        hpa_t hpa;
        uint32_t granules, metadata, slots;
        uint32_t id; /* its number in the superblock */
        enum pool_member_kind { MEMBER_POOL, MEMBER_BLANK, MEMBER_FORMATTING } kind;
        bool half;                        /* at mount: a superblock copy wants mending */
        bool unarmed;                     /* as in struct pool_range */
        const struct pool_bad *bad;       /* of the pool; NULL: all of its metadata can be read */
        struct pool_region *region;       /* [0 .. slots) */
        uint32_t root;                    /* of the tree of its free runs, see pool_space.h */
        struct spinlock lane[POOL_LANES]; /* see pool_disk.h */
};

#define POOL_BINS 256u

/* The free runs, see pool_space.h. */
struct pool_space {
        struct pool_run *run;
        uint32_t room, fresh, spare;
        uint64_t free;                   /* granules */
        uint64_t filled[POOL_BINS / 64]; /* a bit a bin: not empty */
        uint32_t bin[POOL_BINS];
};
