/*
 * The NVRAM pool: named regions of non-volatile RAM that outlive VMs, the hypervisor and power
 * cuts.
 *
 * A pool spans one or more ranges of NVRAM, in granules of 2 MiB that are 2 MiB-aligned by HPA, so
 * that second-level page tables map regions with large pages. A region is a list of extents; what
 * is new in it reads as zero. What is on media is told in pool_format.h; nothing of the pool's own
 * is ever mapped into a guest.
 *
 * Released granules are overwritten before they can be handed out: by pool_scrub in the background,
 * and in the foreground of an operation that finds too little clean space.
 *
 * Calls are not re-entrant: the caller serialises them. Strings are copied. Functions return 0 or a
 * negative errno value; what changes media is durable when it returns 0, and old or new, never
 * between, after a power cut within it. After an error nothing has changed. In general:
 *
 *      -EINVAL  not mounted, a size that is not a positive multiple of 2 MiB, a name that is not 1
 *               to 31 of A-Z a-z 0-9 . _ -
 *      -EBUSY   the region is attached, or is still being filled
 *      -EEXIST  the name is taken
 *      -ENOSPC  no room in data, catalogue or (too fragmented) extents
 *      -EROFS   the pool was mounted to be read only
 *      -EBADMSG both copies of a record that matters were damaged since the pool was mounted
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"
#include "mm/pool/pool_format.h"
#include "mm/pool/pool_inside.h"

/* A range of NVRAM as firmware reports it; any alignment. base is mapped for its whole size. */
struct pool_range {
        void *base;
        hpa_t hpa;
        uint64_t size;  /* bytes */
        bool simulated; /* volatile memory standing in for NVRAM */
        bool unarmed;   /* an NVDIMM that does not keep its contents */
        bool format;    /* give up what is there */
};

/*
 * Addresses that are known as bad before anything is read. In data each stands for its granule, in
 * metadata for its page: an object has its copies on different pages.
 */
struct pool_bad {
        size_t count;
        hpa_t hpa[CONFIG_BAD_MAX];
};

enum pool_mode {
        POOL_MODE_NORMAL,  /* all or nothing */
        POOL_MODE_SALVAGE, /* read only; what is damaged is passed over and counted */
        POOL_MODE_REPAIR,  /* damaged records are given up; all space that no intact one claims is
                              scrubbed again; without a slot for that: read only, error logged */
};

struct pool_config {
        enum pool_mode mode;
        bool format;       /* give up what is in all ranges; blank ones are formatted anyway */
        bool members_only; /* format no blank range into a pool that is there, nor a new pool */
        const struct pool_bad *bad; /* not to be read; copied; NULL: none are known */
        uint64_t entropy;           /* random bits for the UUID of a new pool */
        void *memory;               /* DRAM for the pool's lifetime, of pool_memory_size() bytes */
        uint64_t memory_size;       /* bytes */
};

/* Why a pool was not mounted. */
enum pool_fault {
        POOL_FAULT_NONE,
        POOL_FAULT_NO_ROOM,   /* no range holds metadata and a granule */
        POOL_FAULT_FOREIGN,   /* neither blank nor a pool */
        POOL_FAULT_VERSION,   /* a format version not known here */
        POOL_FAULT_HEADER,    /* both superblocks damaged, or not possible for the range */
        POOL_FAULT_MIXED,     /* ranges of different pools */
        POOL_FAULT_MISSING,   /* a range of the pool is not there */
        POOL_FAULT_DUPLICATE, /* a range number appears twice */
        POOL_FAULT_RECORD,    /* both copies of a record damaged */
        POOL_FAULT_CONTENT,   /* an intact record makes no sense */
        POOL_FAULT_OVERLAP,   /* two records claim one granule */
        POOL_FAULT_NAME,      /* two regions have one name */
};

/* Values are on media, in grants. */
enum pool_access { POOL_NO_ACCESS, POOL_READ_ONLY, POOL_READ_WRITE };

struct pool_extent {
        void *base; /* the hypervisor's pointer to the first byte */
        hpa_t hpa;  /* 2 MiB-aligned */
        uint64_t size;
};

struct pool_usage {
        uint64_t total, metadata, used, dying, bad, free; /* granules; total is the others' sum */
        uint64_t dying_total; /* what the records with dying granules had of them at first */
        uint64_t unused;      /* bytes of the ranges outside of whole granules */
        size_t ranges, regions;
};

/* What an attachment holds on to: one version of one region. */
struct pool_ref {
        struct pool_region *region;
        struct pool_uuid uuid;
        uint64_t generation;
};

/*
 * A pool. Read what stands first, and change nothing: what a function says of the pool's state it
 * says here. The rest is the pool's own, and told in pool_inside.h.
 */
struct pool {
        bool mounted;
        bool read_only;
        bool damaged;   /* met a record of which both copies are damaged: read only since then */
        bool simulated; /* lies in volatile memory */
        struct pool_uuid uuid;
        uint64_t dying;        /* granules to be scrubbed */
        uint32_t mended;       /* objects of which mount rewrote a copy */
        uint32_t lost;         /* records passed over (salvage) or given up (repair) */
        enum pool_fault fault; /* why it is not mounted */
        hpa_t fault_at;        /* the range or the object at fault */

        size_t member_count;
        struct pool_member member[POOL_RANGES_MAX]; /* mounted: member[i].id == i */
        struct pool_region *region;                 /* all slots, member by member */
        uint32_t slots;
        uint32_t *bucket; /* of names */
        uint32_t bucket_count;
        uint32_t empty; /* list of empty slots */
        struct pool_space space;
        struct pool_region *bad[POOL_BAD_RECORDS_MAX];
        uint32_t bad_records;
        struct pool_bad told;         /* bad addresses, by pool_config */
        struct pool_region *scrubbed; /* whose first dying extent has `scrubbing` clean granules */
        uint32_t scrubbing;
        uint64_t unused; /* bytes of the ranges outside of whole granules */
};

/* Bytes of DRAM that a pool over these ranges needs; below 0.01 % of their size and a constant. */
uint64_t pool_memory_size(const struct pool_range *ranges, size_t n);

/*
 * Mount the pool on n ranges, in order of addresses: verify everything, then finish what a power
 * cut interrupted, mend single bad copies and format blank ranges into the pool. Members of the
 * pool come first; of the others POOL_RANGES_MAX less its members have room, and what is left out
 * is logged. Simulated ranges are left out when there are real ones, and unarmed ones that are not
 * part of the pool yet when there are armed ones. A range that holds somebody else's data is named
 * and left alone; it keeps the pool from being mounted only if no range is known to hold all of
 * one, nor any was to be formatted. A member whose superblock tells of more than its range has is
 * joined with the ranges behind it, of which it was made.
 *
 * A pool with metadata on memory that config->bad names is read only: nothing is written there.
 *
 * On any fault the media is left untouched, the reason logged and kept in pool->fault: -ENODEV
 * nothing usable or a range missing, -ENOTSUP unknown version, -EBADMSG damage or foreign contents;
 * without fault -ENOMEM for too little memory. Salvage and repair pass over RECORD, CONTENT,
 * OVERLAP and NAME faults only.
 */
must_check int pool_mount(struct pool *pool, const struct pool_range *ranges, size_t n,
                          const struct pool_config *config);

/* A fault in words, for the log and the user; and what it means for the data. */
const char *pool_fault_text(enum pool_fault fault);
const char *pool_fault_meaning(enum pool_fault fault);

/*
 * Create a region of size bytes, all zero, for the VM named owner ("": nobody's) in *out.
 */
must_check int pool_create(struct pool *pool, const char *name, const char *owner, uint64_t size,
                           uint64_t entropy, struct pool_region **out);

/*
 * The same for a region that is still to be filled: it cannot be attached, and is gone after a
 * power cut, until pool_commit has made its contents durable and the region live.
 */
must_check int pool_begin(struct pool *pool, const char *name, const char *owner, uint64_t size,
                          uint64_t entropy, struct pool_region **out);
must_check int pool_commit(struct pool *pool, struct pool_region *region);

/* Copy a region that nobody has attached read-write to a new one. Its bad granules are not read:
 * the copy is zero there. */
must_check int pool_clone(struct pool *pool, const struct pool_region *from, const char *name,
                          const char *owner, uint64_t entropy, struct pool_region **out);

/* Make a region larger or smaller; its first min(old, new) bytes stay. -EINVAL: not larger. */
must_check int pool_grow(struct pool *pool, struct pool_region *region, uint64_t size);
must_check int pool_shrink(struct pool *pool, struct pool_region *region, uint64_t size);

must_check int pool_rename(struct pool *pool, struct pool_region *region, const char *name);

/* Delete a region (or one being filled); its space comes back as it is scrubbed. */
must_check int pool_delete(struct pool *pool, struct pool_region *region);

/* What VM vm, not the owner, may do with the region. -ENOSPC: 8 VMs have a grant already;
 * -ENOENT: POOL_NO_ACCESS, but it has none. */
must_check int pool_grant(struct pool *pool, struct pool_region *region, const char *vm,
                          enum pool_access access);

/*
 * Keep the granule at hpa out of use for good. A region that holds it keeps it. -EEXIST: it is on
 * the list already; -ENOENT: not in the pool's ranges; -ENOTSUP: it holds the pool's metadata.
 */
must_check int pool_add_bad(struct pool *pool, hpa_t hpa);

/* The i-th granule on the list; false behind the last. */
bool pool_bad(const struct pool *pool, size_t i, hpa_t *granule);

/* How many bad granules a region holds. */
uint64_t pool_region_bad(const struct pool *pool, const struct pool_region *region);

/* The first bad granule of a region at or behind a granule's offset in it, in bytes; false: none.
 */
bool pool_region_next_bad(const struct pool *pool, const struct pool_region *region, uint64_t from,
                          uint64_t *offset);

/*
 * Scrub up to that many granules. Returns how many are left that can be scrubbed: 0 also for a pool
 * that is not mounted or read only, which it becomes when a record to be scrubbed is damaged.
 */
uint64_t pool_scrub(struct pool *pool, uint64_t granules);

/*
 * The region of that name, or NULL: there is none, or both copies of its record were damaged while
 * the pool was mounted; pool->damaged tells.
 */
struct pool_region *pool_find(struct pool *pool, const char *name);

/*
 * The region after `after`, in catalogue order; the first for NULL; NULL at the end. Passes over
 * damaged records as pool_find does.
 */
struct pool_region *pool_next(struct pool *pool, const struct pool_region *after);

const char *pool_region_name(const struct pool_region *region);
const char *pool_region_owner(const struct pool_region *region); /* "": nobody's */
uint64_t pool_region_size(const struct pool_region *region);
uint64_t pool_region_generation(const struct pool_region *region);
struct pool_uuid pool_region_uuid(const struct pool_region *region);
bool pool_region_is_filling(const struct pool_region *region);
uint64_t pool_region_dying(const struct pool_region *region); /* granules of it to be scrubbed */
size_t pool_region_extents(const struct pool_region *region);

/* Extent i < pool_region_extents(); adjacent extents are not merged across ranges. */
struct pool_extent pool_region_extent(const struct pool *pool, const struct pool_region *region,
                                      size_t i);

/* The i-th grant; false behind the last. */
bool pool_region_grant(const struct pool_region *region, size_t i, char vm[POOL_NAME_SIZE],
                       enum pool_access *access);

/* Who has it attached: *writer, and the number of readers. */
size_t pool_region_readers(const struct pool_region *region, bool *writer);

/* Whether the region, or anything in the pool, lies in memory that does not keep its contents. */
bool pool_region_is_volatile(const struct pool *pool, const struct pool_region *region);
bool pool_is_volatile(const struct pool *pool);

/* How many of its ranges are NVDIMMs that do not keep their contents. */
size_t pool_unarmed(const struct pool *pool);

/* Bytes of all regions of an owner. */
uint64_t pool_owner_bytes(struct pool *pool, const char *owner);

/* A reference to the region as it is now. */
struct pool_ref pool_ref(struct pool_region *region);

/*
 * Attach for a VM: to one read-write, or to many read-only. -ESTALE: the region has changed or gone
 * since the reference was taken; -EPERM: it belongs to another VM and is not granted; -EBUSY:
 * attached in a way that excludes this, or being filled. Nothing is written to media. While a
 * region is attached only its grants can change.
 */
must_check int pool_attach(struct pool *pool, const struct pool_ref *ref, const char *vm,
                           enum pool_access access);

/* Undo one successful pool_attach with the same access. */
void pool_detach(const struct pool_ref *ref, enum pool_access access);

struct pool_usage pool_usage(const struct pool *pool);

/* What NVRAM that no region holds is used for. */
enum pool_use { POOL_USE_METADATA, POOL_USE_DYING, POOL_USE_BAD };

/* Call see with each stretch of that kind; the bad ones last: they may lie within others. */
void pool_each_use(struct pool *pool,
                   void (*see)(void *ctx, enum pool_use use, hpa_t hpa, uint64_t size), void *ctx);

/* A record that salvage or repair has passed over: its slot, copy A's address, its copies, and why.
 */
struct pool_lost {
        uint32_t range, slot;
        hpa_t hpa;
        struct pool_pair pair;
        enum pool_fault why;
};

/* The i-th of them; false behind the last. After a repair there is none. */
bool pool_lost(const struct pool *pool, size_t i, struct pool_lost *lost);

/* What pool_check found. */
struct pool_health {
        uint64_t objects; /* superblocks and records looked at */
        uint64_t half;    /* of which one copy is damaged or differs */
        uint64_t broken;  /* of which no copy can be believed, or which make no sense */
        uint64_t dirty;   /* free granules that do not read as zero; only with `deep` */
        uint64_t mended;
};

/*
 * Judge everything on media again, against what the pool knows; with mend, rewrite damaged copies
 * from the good ones; with deep, read all free granules. 0, or -EBADMSG when something is left that
 * is wrong: half (not mended), broken or dirty.
 */
must_check int pool_check(struct pool *pool, bool mend, bool deep, struct pool_health *health);
