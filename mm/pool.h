/*
 * The NVRAM pool: named regions of non-volatile RAM that outlive VMs, the hypervisor and power
 * cuts.
 *
 * A pool spans one or more ranges of NVRAM, in granules of 2 MiB that are 2 MiB-aligned by HPA, so
 * that second-level page tables map regions with large pages. A region is a list of extents, zeroed
 * before it can be attached for the first time. What is on media is told in pool_format.h; nothing
 * of the pool's own is ever mapped into a guest.
 *
 * Calls are not re-entrant: the caller serialises them. Strings are copied. Functions return 0 or a
 * negative errno value; what changes media is durable when it returns 0, and old or new, never
 * between, after a power cut within it.
 */
#pragma once

#include "hv/lib/types.h"
#include "mm/pool_format.h"

#define POOL_RANGES_MAX 16u

/* A range of NVRAM as firmware reports it; any alignment. base is mapped for its whole size. */
struct pool_range {
        void *base;
        hpa_t hpa;
        uint64_t size;  /* bytes */
        bool simulated; /* volatile memory standing in for NVRAM */
};

struct pool_config {
        bool format;          /* give up what is there; blank ranges are formatted in any case */
        uint64_t entropy;     /* random bits for the UUID of a new pool */
        void *memory;         /* DRAM for the pool's lifetime, of pool_memory_size() bytes */
        uint64_t memory_size; /* bytes */
};

/* Why a pool was not mounted. */
enum pool_fault {
        POOL_FAULT_NONE,
        POOL_FAULT_NO_ROOM,   /* no range holds two aligned granules */
        POOL_FAULT_FOREIGN,   /* neither blank nor a pool */
        POOL_FAULT_VERSION,   /* a format version not known here */
        POOL_FAULT_HEADER,    /* both superblocks damaged, or not possible for the range */
        POOL_FAULT_MIXED,     /* ranges of different pools */
        POOL_FAULT_MISSING,   /* a range of the pool is not there */
        POOL_FAULT_DUPLICATE, /* a range number appears twice */
        POOL_FAULT_RECORD,    /* both copies of a region record damaged */
        POOL_FAULT_CONTENT,   /* an intact region record makes no sense */
        POOL_FAULT_OVERLAP,   /* two regions claim one granule */
};

enum pool_access { POOL_READ_ONLY, POOL_READ_WRITE };

/* A region known to a mounted pool; the pointer stays good while the pool is. Use the accessors. */
struct pool_region {
        const struct pool_record *record; /* copy A on media; NULL: the slot holds no region */
        uint32_t readers;
        bool writer;
        bool half; /* at mount: one copy wants mending */
};

struct pool_extent {
        void *base; /* the hypervisor's pointer to the first byte */
        hpa_t hpa;  /* 2 MiB-aligned */
        uint64_t size;
};

struct pool_usage {
        uint64_t total, metadata, used, free; /* granules; total is the sum of the others */
        uint64_t unused;                      /* bytes of the ranges outside of whole granules */
        size_t ranges, regions;
};

/* One range in use. Its slots are region[0 .. slots), its granules bits of map (1: not free). */
struct pool_member {
        uint8_t *base; /* of granule 0 */
        hpa_t hpa;
        uint32_t granules, metadata, slots;
        uint32_t id; /* its number in the superblock */
        uint32_t first_data;
        enum pool_member_kind { MEMBER_POOL, MEMBER_BLANK, MEMBER_FORMATTING } kind;
        bool half; /* at mount: a superblock copy wants mending */
        struct pool_region *region;
        uint64_t *map;
};

struct pool {
        bool mounted;
        bool simulated;
        struct pool_uuid uuid;
        size_t member_count;
        struct pool_member member[POOL_RANGES_MAX]; /* mounted: member[i].id == i */
        uint64_t unused;
        uint32_t mended; /* objects of which mount rewrote a copy */
        enum pool_fault fault;
        hpa_t fault_at; /* the range or the object at fault */
};

/* Bytes of DRAM that a pool over these ranges needs; below 0.01 % of their size and a constant. */
uint64_t pool_memory_size(const struct pool_range *ranges, size_t n);

/*
 * Mount the pool on n ranges: verify everything, then finish what a power cut interrupted, mend
 * single bad copies and format blank ranges into the pool. Simulated ranges are left out when there
 * are real ones. On any fault the media is left untouched, the reason logged and kept in
 * pool->fault: -ENODEV nothing usable or a range missing, -ENOTSUP unknown version, -EBADMSG damage
 * or foreign contents; without fault -ENOMEM for too little memory, -E2BIG for too many ranges.
 */
must_check int pool_mount(struct pool *pool, const struct pool_range *ranges, size_t n,
                          const struct pool_config *config);

/* A fault in words, for the log and the user. */
const char *pool_fault_text(enum pool_fault fault);

/*
 * Create a region of size bytes for a VM named owner and return it in *out. -EINVAL: size is not a
 * positive multiple of 2 MiB, or a name is not 1 to 31 of A-Z a-z 0-9 . _ -; -EEXIST: the name is
 * taken; -ENOSPC: no room in data, catalogue or (too fragmented) extents.
 */
must_check int pool_create(struct pool *pool, const char *name, const char *owner, uint64_t size,
                           uint64_t entropy, struct pool_region **out);

/* The region of that name, or NULL. */
struct pool_region *pool_find(struct pool *pool, const char *name);

/* The region after `after`, in catalogue order; the first for NULL; NULL at the end. */
struct pool_region *pool_next(struct pool *pool, const struct pool_region *after);

const char *pool_region_name(const struct pool_region *region);
const char *pool_region_owner(const struct pool_region *region);
uint64_t pool_region_size(const struct pool_region *region);
size_t pool_region_extents(const struct pool_region *region);

/* Extent i < pool_region_extents(); adjacent extents are not merged across ranges. */
struct pool_extent pool_region_extent(const struct pool *pool, const struct pool_region *region,
                                      size_t i);

/*
 * Attach for a VM: to one read-write, or to many read-only. -EPERM: the region belongs to another
 * VM; -EBUSY: attached in a way that excludes this. Nothing is written to media.
 */
must_check int pool_attach(struct pool_region *region, const char *vm, enum pool_access access);

/* Undo one successful pool_attach with the same access. */
void pool_detach(struct pool_region *region, enum pool_access access);

struct pool_usage pool_usage(const struct pool *pool);

/* Log the pool's ranges, totals and regions as a table. */
void pool_print(struct pool *pool);
