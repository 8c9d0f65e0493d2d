/*
 * Operations that change the pool: each builds a new record beside the old one and publishes it as
 * the last step that can be seen on media; contract in pool.h.
 */
#include "mm/pool/pool.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"
#include "mm/pool/pm.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_space.h"

/* One extent stays free, so that a region can always be shrunk within an extent. */
#define LIVE_EXTENTS_MAX (POOL_EXTENTS_MAX - 1)
#define SCRUB_AT_ONCE    16u /* granules, when an operation waits for space */

static int check_pool(const struct pool *pool)
{
        if (!pool->mounted)
                return -EINVAL;
        return pool->read_only ? -EROFS : 0;
}

static bool is_size_valid(uint64_t size)
{
        return size && is_aligned(size, POOL_GRANULE);
}

static int check_name(struct pool *pool, const char *name)
{
        if (strnlen(name, POOL_NAME_SIZE) == POOL_NAME_SIZE || !pool_name_is_valid(name))
                return -EINVAL;
        if (pool_find(pool, name))
                return -EEXIST;
        return pool->read_only ? -EROFS : 0; /* looking for it may have met a damaged record */
}

/* Scrub a little more of what is dying. False: nothing came of it. */
static bool make_clean(struct pool *pool)
{
        uint64_t before = pool->dying;

        pool_scrub(pool, SCRUB_AT_ONCE);
        return pool->dying < before;
}

/* Take space for the record's region, scrubbing if there is too little that is clean. */
static int take_space(struct pool *pool, uint64_t granules, struct pool_record *record)
{
        uint32_t max = LIVE_EXTENTS_MAX - record->dying_count;
        int err;

        if (granules > pool->space.free + pool->dying)
                return -ENOSPC;
        do {
                err = pool_space_take(pool, granules, record->extent, &record->extent_count, max);
        } while (err && make_clean(pool));
        return err && pool->read_only ? -EBADMSG : err;
}

/* An empty slot; the records of what is dying make room when they are done. */
static struct pool_region *take_slot(struct pool *pool)
{
        while (!pool->empty && make_clean(pool))
                ;
        return pool_index_take_empty(pool);
}

static int new_region(struct pool *pool, enum pool_record_state state, const char *name,
                      const char *owner, uint64_t size, uint64_t entropy, struct pool_region **out)
{
        struct pool_record record = {.state = state, .generation = 1, .size = size};
        struct pool_region *region;
        int err = check_pool(pool);

        if (!err && (!is_size_valid(size) || (owner[0] && !pool_name_is_valid(owner))))
                err = -EINVAL;
        if (!err)
                err = check_name(pool, name);
        if (!err)
                err = take_space(pool, size / POOL_GRANULE, &record);
        if (err)
                return err;
        region = take_slot(pool);
        if (!region) {
                for (uint32_t i = 0; i < record.extent_count; i++)
                        pool_space_release(pool, record.extent[i].range, record.extent[i].start,
                                           record.extent[i].count);
                return -ENOSPC;
        }
        record.uuid = pool_make_uuid(entropy);
        memcpy(record.name, name, strlen(name));
        memcpy(record.owner, owner, strlen(owner));
        pool_record_store(pool, region, &record);
        pool_index_add(pool, region);
        *out = region;
        return 0;
}

int pool_create(struct pool *pool, const char *name, const char *owner, uint64_t size,
                uint64_t entropy, struct pool_region **out)
{
        return new_region(pool, POOL_RECORD_LIVE, name, owner, size, entropy, out);
}

int pool_begin(struct pool *pool, const char *name, const char *owner, uint64_t size,
               uint64_t entropy, struct pool_region **out)
{
        return new_region(pool, POOL_RECORD_FILLING, name, owner, size, entropy, out);
}

/* The region's record to be changed; the region must be at rest, and live or (filling) filling. */
static int open_record(struct pool *pool, struct pool_region *region, bool filling,
                       struct pool_record *record)
{
        int err = check_pool(pool);

        if (err)
                return err;
        if (!region->record || region->writer || region->readers)
                return region->record ? -EBUSY : -EINVAL;
        err = pool_record_load(pool, region, record);
        if (err)
                return err;
        if (record->state == POOL_RECORD_FILLING)
                return filling ? 0 : -EBUSY;
        return record->state == POOL_RECORD_LIVE && !filling ? 0 : -EINVAL;
}

int pool_commit(struct pool *pool, struct pool_region *region)
{
        struct pool_record record;
        int err = open_record(pool, region, true, &record);

        if (err)
                return err;
        record.state = POOL_RECORD_LIVE;
        pool_record_store(pool, region, &record);
        return 0;
}

/*
 * Copy the contents of one region over another's of the same size, granule by granule. Bad ones
 * stay what a new region is: zero.
 */
static void copy_contents(const struct pool *pool, const struct pool_region *from,
                          const struct pool_region *to)
{
        uint64_t from_at = 0, to_at = 0, bad;
        size_t i = 0, j = 0;

        for (uint64_t offset = 0; offset < pool_region_size(from); offset += POOL_GRANULE) {
                struct pool_extent source = pool_region_extent(pool, from, i);
                struct pool_extent target = pool_region_extent(pool, to, j);

                if (!pool_region_next_bad(pool, from, offset, &bad) || bad != offset)
                        pm_copy((uint8_t *)target.base + to_at, (uint8_t *)source.base + from_at,
                                POOL_GRANULE);
                from_at = from_at + POOL_GRANULE == source.size ? 0 : from_at + POOL_GRANULE;
                to_at = to_at + POOL_GRANULE == target.size ? 0 : to_at + POOL_GRANULE;
                i += !from_at;
                j += !to_at;
                work_step();
        }
}

int pool_clone(struct pool *pool, const struct pool_region *from, const char *name,
               const char *owner, uint64_t entropy, struct pool_region **out)
{
        struct pool_record record;
        int err = check_pool(pool);

        if (err)
                return err;
        if (!from->record)
                return -EINVAL;
        err = pool_record_load(pool, from, &record);
        if (err)
                return err;
        if (record.state != POOL_RECORD_LIVE || from->writer)
                return -EBUSY;
        err = pool_begin(pool, name, owner, record.size, entropy, out);
        if (err)
                return err;
        copy_contents(pool, from, *out);
        err = pool_commit(pool, *out);
        if (err && pool_delete(pool, *out))
                pool->read_only = true;
        return err;
}

/* Append space for more granules to a region's live extents, in front of its dying ones. */
static int extend(struct pool *pool, uint64_t granules, struct pool_record *record)
{
        struct pool_media_extent dying[POOL_EXTENTS_MAX];
        uint64_t bytes = record->dying_count * sizeof dying[0];
        int err;

        memcpy(dying, &record->extent[record->extent_count], bytes);
        err = pool_space_take(pool, granules, record->extent, &record->extent_count,
                              LIVE_EXTENTS_MAX - record->dying_count);
        memcpy(&record->extent[record->extent_count], dying, bytes);
        return err;
}

int pool_grow(struct pool *pool, struct pool_region *region, uint64_t size)
{
        struct pool_record record;
        uint64_t granules;
        int err = open_record(pool, region, false, &record);

        if (!err && (!is_size_valid(size) || size <= record.size))
                err = -EINVAL;
        if (err)
                return err;
        granules = (size - record.size) / POOL_GRANULE;
        if (granules > pool->space.free + pool->dying)
                return -ENOSPC;
        /* What scrubs for space may scrub this very record: it is read again. */
        while ((err = extend(pool, granules, &record)) == -ENOSPC && make_clean(pool)) {
                err = pool_record_load(pool, region, &record);
                if (err)
                        return err;
        }
        if (err)
                return pool->read_only ? -EBADMSG : err;
        record.size = size;
        record.generation++;
        pool_record_store(pool, region, &record);
        return 0;
}

/* Move what lies behind the first `keep` granules to the end of the dying extents. */
static int cut_tail(struct pool_record *record, uint64_t keep)
{
        struct pool_media_extent live[POOL_EXTENTS_MAX], tail[POOL_EXTENTS_MAX];
        uint32_t live_count = 0, tail_count = 0;
        uint64_t moved = 0;

        for (uint32_t i = 0; i < record->extent_count; i++) {
                struct pool_media_extent e = record->extent[i];
                uint32_t stays = keep < e.count ? (uint32_t)keep : e.count;

                if (stays) {
                        live[live_count] = e;
                        live[live_count++].count = stays;
                }
                if (stays < e.count) {
                        e.start += stays;
                        e.count -= stays;
                        tail[tail_count++] = e;
                        moved += e.count;
                }
                keep -= stays;
        }
        if (live_count + record->dying_count + tail_count > POOL_EXTENTS_MAX)
                return -ENOSPC;
        memmove(&record->extent[live_count], &record->extent[record->extent_count],
                record->dying_count * sizeof tail[0]);
        memcpy(record->extent, live, live_count * sizeof live[0]);
        memcpy(&record->extent[live_count + record->dying_count], tail,
               tail_count * sizeof tail[0]);
        record->dying_total = moved + (record->dying_count ? record->dying_total : 0);
        record->extent_count = live_count;
        record->dying_count += tail_count;
        return 0;
}

int pool_shrink(struct pool *pool, struct pool_region *region, uint64_t size)
{
        struct pool_record record;
        uint64_t released;
        int err = open_record(pool, region, false, &record);

        if (!err && (!is_size_valid(size) || size >= record.size))
                err = -EINVAL;
        while (!err && (err = cut_tail(&record, size / POOL_GRANULE)) == -ENOSPC &&
               make_clean(pool))
                err = pool_record_load(pool, region, &record);
        if (err)
                return err;
        released = (record.size - size) / POOL_GRANULE;
        record.size = size;
        record.generation++;
        pool_record_store(pool, region, &record);
        pool->dying += released;
        return 0;
}

int pool_rename(struct pool *pool, struct pool_region *region, const char *name)
{
        char old[POOL_NAME_SIZE];
        struct pool_record record;
        int err = open_record(pool, region, false, &record);

        if (!err)
                err = check_name(pool, name);
        if (err)
                return err;
        memcpy(old, record.name, sizeof old);
        memset(record.name, 0, sizeof record.name);
        memcpy(record.name, name, strlen(name));
        record.generation++;
        pool_record_store(pool, region, &record);
        pool_index_remove(pool, old, region);
        pool_index_add(pool, region);
        return 0;
}

int pool_delete(struct pool *pool, struct pool_region *region)
{
        struct pool_media_extent live[POOL_EXTENTS_MAX];
        struct pool_record record;
        char name[POOL_NAME_SIZE];
        uint64_t granules, bytes;
        int err = open_record(pool, region, false, &record);

        if (err == -EBUSY && !region->writer && !region->readers)
                err = open_record(pool, region, true, &record);
        if (err)
                return err;
        granules = record.size / POOL_GRANULE;
        bytes = record.extent_count * sizeof live[0];
        memcpy(name, record.name, sizeof name);
        /* What is being scrubbed already stays in front. */
        memcpy(live, record.extent, bytes);
        memmove(record.extent, &record.extent[record.extent_count],
                record.dying_count * sizeof live[0]);
        memcpy(&record.extent[record.dying_count], live, bytes);
        record.dying_total = granules + (record.dying_count ? record.dying_total : 0);
        record.dying_count += record.extent_count;
        record.extent_count = 0;
        record.grant_count = 0;
        record.size = 0;
        record.state = POOL_RECORD_DYING;
        record.generation++;
        memset(record.name, 0, sizeof record.name);
        memset(record.owner, 0, sizeof record.owner);
        memset(record.grant, 0, sizeof record.grant);
        pool_record_store(pool, region, &record);
        pool_index_remove(pool, name, region);
        pool->dying += granules;
        return 0;
}

static uint32_t find_grant(const struct pool_record *record, const char *vm)
{
        uint32_t i = 0;

        while (i < record->grant_count &&
               strncmp(record->grant[i].vm, vm, sizeof record->grant[i].vm) != 0)
                i++;
        return i;
}

int pool_grant(struct pool *pool, struct pool_region *region, const char *vm,
               enum pool_access access)
{
        struct pool_record record;
        int err = check_pool(pool);
        uint32_t i;

        if (!err && (!region->record || !pool_name_is_valid(vm)))
                err = -EINVAL;
        if (!err)
                err = pool_record_load(pool, region, &record);
        if (!err && record.state != POOL_RECORD_LIVE)
                err = -EBUSY;
        if (err)
                return err;
        i = find_grant(&record, vm);
        if (access == POOL_NO_ACCESS) {
                if (i == record.grant_count)
                        return -ENOENT;
                record.grant[i] = record.grant[--record.grant_count];
                memset(&record.grant[record.grant_count], 0, sizeof record.grant[0]);
        } else {
                if (i == POOL_GRANTS_MAX)
                        return -ENOSPC;
                record.grant_count += i == record.grant_count;
                memset(&record.grant[i], 0, sizeof record.grant[i]);
                memcpy(record.grant[i].vm, vm, strlen(vm));
                record.grant[i].access = (uint8_t)access;
        }
        pool_record_store(pool, region, &record);
        return 0;
}

struct pool_ref pool_ref(struct pool_region *region)
{
        return (struct pool_ref){region, region->record->uuid, region->record->generation};
}

/* What a VM may do with a region. */
static enum pool_access right_of(const struct pool_record *record, const char *vm)
{
        uint32_t i;

        if (record->owner[0] && !strncmp(record->owner, vm, sizeof record->owner))
                return POOL_READ_WRITE;
        i = find_grant(record, vm);
        return i < record->grant_count ? (enum pool_access)record->grant[i].access : POOL_NO_ACCESS;
}

int pool_attach(struct pool *pool, const struct pool_ref *ref, const char *vm,
                enum pool_access access)
{
        struct pool_region *region = ref->region;
        struct pool_record record;
        int err = pool->mounted ? 0 : -EINVAL;

        if (!err && !region->record)
                err = -ESTALE;
        if (!err)
                err = pool_record_load(pool, region, &record);
        if (err)
                return err;
        if (memcmp(&record.uuid, &ref->uuid, sizeof ref->uuid) != 0 ||
            record.generation != ref->generation)
                return -ESTALE;
        if (record.state != POOL_RECORD_LIVE)
                return -EBUSY;
        if (access == POOL_NO_ACCESS || right_of(&record, vm) < access)
                return -EPERM;
        if (access == POOL_READ_WRITE && pool->read_only)
                return -EROFS;
        if (region->writer || (access == POOL_READ_WRITE && region->readers) ||
            region->readers == UINT16_MAX)
                return -EBUSY;
        if (access == POOL_READ_WRITE)
                region->writer = true;
        else
                region->readers++;
        return 0;
}

void pool_detach(const struct pool_ref *ref, enum pool_access access)
{
        if (access == POOL_READ_WRITE)
                ref->region->writer = false;
        else
                ref->region->readers--;
}
