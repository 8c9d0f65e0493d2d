/*
 * Scrubbing: dying extents are zeroed from the front with non-temporal stores and taken off their
 * records, which makes them free. And the list of granules that never become free.
 */
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"
#include "mm/pool/pm.h"
#include "mm/pool/pool.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_space.h"

#define GRANULES_A_RECORD 16u /* between two updates of a record: 32 MiB of work lost by a cut */

static uint32_t first_dying(const struct pool_record *record)
{
        return record->extent_count;
}

/* The region to scrub next, in turn from the one scrubbed last; NULL: nothing is dying. */
static struct pool_region *next_dying(const struct pool *pool)
{
        uint32_t n = pool->scrubbed ? (uint32_t)(pool->scrubbed - pool->region) : 0;

        for (uint32_t i = 0; pool->dying && i < pool->slots; i++, n++) {
                struct pool_region *region = &pool->region[n < pool->slots ? n : n - pool->slots];

                if (region->record && region->record->dying_count)
                        return region;
        }
        return NULL;
}

static void release_good(struct pool *pool, uint32_t range, uint32_t start, uint32_t count)
{
        if (!pool->bad_records && !pool->told.count) {
                pool_space_release(pool, range, start, count);
                return;
        }
        for (uint32_t g = start; g < start + count; g++)
                if (!pool_is_bad(pool, range, g))
                        pool_space_release(pool, range, g, 1);
}

/* Take the clean granules off the front of the first dying extent; the last empties the slot. */
static void take_off(struct pool *pool, struct pool_region *region)
{
        struct pool_media_extent *extent, done;
        struct pool_record record;
        uint32_t count = pool->scrubbing;

        if (pool_record_load(pool, region, &record))
                return;
        extent = &record.extent[first_dying(&record)];
        done = *extent;
        extent->start += count;
        extent->count -= count;
        if (!extent->count) {
                record.dying_count--;
                memmove(extent, extent + 1, record.dying_count * sizeof *extent);
                memset(&record.extent[pool_record_extents(&record)], 0, sizeof *extent);
        }
        if (record.state == POOL_RECORD_DYING && !record.dying_count)
                pool_record_clear(pool, region);
        else
                pool_record_store(pool, region, &record);
        release_good(pool, done.range, done.start, count);
        pool->dying -= count;
        pool->scrubbing = 0;
}

/* Bad granules are passed over: nobody will get them. */
static void scrub_granule(struct pool *pool, struct pool_region *region,
                          const struct pool_record *record)
{
        const struct pool_media_extent *extent = &record->extent[first_dying(record)];
        uint32_t granule = extent->start + pool->scrubbing;

        if (!pool_is_bad(pool, extent->range, granule))
                pm_zero(pool->member[extent->range].base + granule * POOL_GRANULE, POOL_GRANULE);
        if (++pool->scrubbing >= GRANULES_A_RECORD || pool->scrubbing >= extent->count)
                take_off(pool, region);
}

uint64_t pool_scrub(struct pool *pool, uint64_t granules)
{
        if (!pool->mounted || pool->read_only)
                return 0;
        while (granules-- && pool->dying) {
                struct pool_region *region = next_dying(pool);
                struct pool_record record;

                if (!region || pool_record_load(pool, region, &record)) {
                        printk(LOG_ERROR, "nvram: scrubbing stops: a record was damaged");
                        pool->read_only = true;
                        return 0;
                }
                if (!record.dying_count)
                        continue; /* it was damage that looked so; loading has mended it */
                if (region != pool->scrubbed)
                        pool->scrubbing = 0;
                pool->scrubbed = region;
                scrub_granule(pool, region, &record);
                work_step();
        }
        return pool->dying;
}

/* ---- Bad granules. ---- */

static int find_granule(const struct pool *pool, hpa_t hpa, struct pool_media_extent *granule)
{
        for (size_t i = 0; i < pool->member_count; i++) {
                const struct pool_member *member = &pool->member[i];
                uint64_t at = (hpa.v - member->hpa.v) / POOL_GRANULE;

                if (hpa.v < member->hpa.v || at >= member->granules)
                        continue;
                *granule = (struct pool_media_extent){
                    .range = (uint32_t)i, .start = (uint32_t)at, .count = 1};
                return at < member->metadata ? -ENOTSUP : 0;
        }
        return -ENOENT;
}

/* A record of bad granules with room, or a new one. */
static int open_bad(struct pool *pool, struct pool_region **region, struct pool_record *record)
{
        for (uint32_t i = 0; i < pool->bad_records; i++) {
                int err = pool_record_load(pool, pool->bad[i], record);

                *region = pool->bad[i];
                if (err || record->extent_count < POOL_EXTENTS_MAX)
                        return err;
        }
        *record = (struct pool_record){.state = POOL_RECORD_BAD, .generation = 1};
        if (pool->bad_records == POOL_BAD_RECORDS_MAX)
                return -ENOSPC;
        *region = pool_index_take_empty(pool);
        if (!*region)
                return -ENOSPC;
        pool->bad[pool->bad_records++] = *region;
        return 0;
}

int pool_add_bad(struct pool *pool, hpa_t hpa)
{
        struct pool_media_extent granule;
        struct pool_region *region;
        struct pool_record record;
        int err;

        if (!pool->mounted || pool->read_only)
                return pool->mounted ? -EROFS : -EINVAL;
        err = find_granule(pool, hpa, &granule);
        if (!err && pool_is_listed_bad(pool, granule.range, granule.start))
                err = -EEXIST;
        if (!err)
                err = open_bad(pool, &region, &record);
        if (err)
                return err;
        record.extent[record.extent_count++] = granule;
        record.size += POOL_GRANULE;
        record.generation++;
        pool_record_store(pool, region, &record);
        (void)pool_space_claim(pool, granule.range, granule.start, 1);
        return 0;
}

bool pool_bad(const struct pool *pool, size_t i, hpa_t *granule)
{
        for (uint32_t r = 0; r < pool->bad_records; r++) {
                const struct pool_record *record = pool->bad[r]->record;

                for (uint32_t e = 0; e < record->extent_count; e++) {
                        const struct pool_media_extent *extent = &record->extent[e];

                        if (i < extent->count) {
                                *granule = HPA(pool->member[extent->range].hpa.v +
                                               (extent->start + i) * POOL_GRANULE);
                                return true;
                        }
                        i -= extent->count;
                }
        }
        return false;
}

/* The first granule, at or behind `from`, that both stretches of a range have; UINT64_MAX: none. */
static uint64_t first_common(const struct pool_media_extent *a, const struct pool_media_extent *b,
                             uint64_t from)
{
        uint64_t a_end = (uint64_t)a->start + a->count, b_end = (uint64_t)b->start + b->count;
        uint64_t end = a_end < b_end ? a_end : b_end;

        from = from > a->start ? from : a->start;
        from = from > b->start ? from : b->start;
        return a->range == b->range && from < end ? from : UINT64_MAX;
}

/* The first bad granule of an extent at or behind `from`; UINT64_MAX: none. */
static uint64_t first_bad(const struct pool *pool, const struct pool_media_extent *extent,
                          uint64_t from)
{
        uint64_t first = UINT64_MAX, common;

        for (uint32_t r = 0; r < pool->bad_records; r++) {
                const struct pool_record *record = pool->bad[r]->record;

                for (uint32_t e = 0; e < record->extent_count; e++) {
                        common = first_common(extent, &record->extent[e], from);
                        first = common < first ? common : first;
                }
        }
        for (size_t i = 0; i < pool->told.count; i++) {
                struct pool_media_extent granule;

                if (find_granule(pool, pool->told.hpa[i], &granule))
                        continue;
                common = first_common(extent, &granule, from);
                first = common < first ? common : first;
        }
        return first;
}

bool pool_region_next_bad(const struct pool *pool, const struct pool_region *region, uint64_t from,
                          uint64_t *offset)
{
        const struct pool_record *record = region->record;
        uint64_t at = 0;

        for (uint32_t e = 0; e < record->extent_count; e++) {
                const struct pool_media_extent *extent = &record->extent[e];
                uint64_t skip = from > at ? (from - at) / POOL_GRANULE : 0;
                uint64_t bad = first_bad(pool, extent, extent->start + skip);

                if (bad != UINT64_MAX) {
                        *offset = at + (bad - extent->start) * POOL_GRANULE;
                        return true;
                }
                at += extent->count * POOL_GRANULE;
        }
        return false;
}

uint64_t pool_region_bad(const struct pool *pool, const struct pool_region *region)
{
        uint64_t n = 0, at = 0;

        for (; pool_region_next_bad(pool, region, at, &at); at += POOL_GRANULE)
                n++;
        return n;
}
