/* Operations on a mounted pool: create, find, list, attach, detach; contract in pool.h. */
#include "mm/pool.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/pm.h"
#include "mm/pool_mount.h"
#include "mm/pool_space.h"

/* SplitMix64 (Steele, Lea, Flood 2014): spreads 64 bits of entropy over as many words as wanted. */
static uint64_t spread(uint64_t *state)
{
        uint64_t z = *state += 0x9e3779b97f4a7c15ull;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        return z ^ z >> 31;
}

struct pool_uuid pool_make_uuid(uint64_t entropy)
{
        uint64_t word[2] = {spread(&entropy), spread(&entropy)};
        struct pool_uuid uuid;

        memcpy(&uuid, word, sizeof uuid);
        uuid.byte[6] = (uint8_t)((uuid.byte[6] & 0x0f) | 0x40);
        uuid.byte[8] = (uint8_t)((uuid.byte[8] & 0x3f) | 0x80);
        return uuid;
}

/* The first slot at or behind (member, slot) that holds a region, or holds none. */
static struct pool_region *next_slot(struct pool *pool, size_t member, uint32_t slot, bool live)
{
        for (; member < pool->member_count; member++, slot = 0)
                for (; slot < pool->member[member].slots; slot++)
                        if (!pool->member[member].region[slot].record != live)
                                return &pool->member[member].region[slot];
        return NULL;
}

static size_t member_of(const struct pool *pool, const struct pool_region *region)
{
        size_t i = 0;

        while (region < pool->member[i].region ||
               region >= pool->member[i].region + pool->member[i].slots)
                i++;
        return i;
}

struct pool_region *pool_next(struct pool *pool, const struct pool_region *after)
{
        size_t member;

        if (!after)
                return next_slot(pool, 0, 0, true);
        member = member_of(pool, after);
        return next_slot(pool, member, (uint32_t)(after - pool->member[member].region) + 1, true);
}

struct pool_region *pool_find(struct pool *pool, const char *name)
{
        struct pool_region *region = NULL;

        while ((region = pool_next(pool, region)))
                if (!strcmp(region->record->name, name))
                        return region;
        return NULL;
}

static void zero_extents(const struct pool *pool, const struct pool_record *record)
{
        for (uint32_t i = 0; i < record->extent_count; i++) {
                const struct pool_media_extent *extent = &record->extent[i];

                pm_zero(pool->member[extent->range].base + extent->start * POOL_GRANULE,
                        extent->count * POOL_GRANULE);
        }
}

static int check_new(struct pool *pool, const char *name, const char *owner, uint64_t size)
{
        if (!pool->mounted || !size || !is_aligned(size, POOL_GRANULE) ||
            !pool_name_is_valid(name) || !pool_name_is_valid(owner))
                return -EINVAL;
        return pool_find(pool, name) ? -EEXIST : 0;
}

int pool_create(struct pool *pool, const char *name, const char *owner, uint64_t size,
                uint64_t entropy, struct pool_region **out)
{
        struct pool_record record = {.head = {.magic = POOL_RECORD_MAGIC, .version = POOL_VERSION},
                                     .state = POOL_RECORD_LIVE,
                                     .generation = 1,
                                     .size = size};
        int err = check_new(pool, name, owner, size);
        struct pool_region *region = next_slot(pool, 0, 0, false);
        struct pool_member *member;
        struct pool_pair pair;

        if (!err && !region)
                err = -ENOSPC;
        if (!err)
                err =
                    pool_space_take(pool, size / POOL_GRANULE, record.extent, &record.extent_count);
        if (err)
                return err;

        member = &pool->member[member_of(pool, region)];
        record.head.index = (uint32_t)(region - member->region);
        record.head.pool = pool->uuid;
        record.head.length = pool_record_length(record.extent_count);
        record.uuid = pool_make_uuid(entropy);
        memcpy(record.name, name, strlen(name));
        memcpy(record.owner, owner, strlen(owner));

        /* The record's first fence also orders the zeros: they are durable before it is published.
         */
        zero_extents(pool, &record);
        pair = pool_record_pair(member, record.head.index);
        pool_pair_store(pair, &record.head);
        region->record = (const struct pool_record *)pair.a;
        *out = region;
        return 0;
}

const char *pool_region_name(const struct pool_region *region)
{
        return region->record->name;
}

const char *pool_region_owner(const struct pool_region *region)
{
        return region->record->owner;
}

uint64_t pool_region_size(const struct pool_region *region)
{
        return region->record->size;
}

size_t pool_region_extents(const struct pool_region *region)
{
        return region->record->extent_count;
}

struct pool_extent pool_region_extent(const struct pool *pool, const struct pool_region *region,
                                      size_t i)
{
        const struct pool_media_extent *extent = &region->record->extent[i];
        const struct pool_member *member = &pool->member[extent->range];
        uint64_t offset = extent->start * POOL_GRANULE;

        return (struct pool_extent){member->base + offset, HPA(member->hpa.v + offset),
                                    extent->count * POOL_GRANULE};
}

int pool_attach(struct pool_region *region, const char *vm, enum pool_access access)
{
        if (strcmp(region->record->owner, vm))
                return -EPERM;
        if (region->writer || (access == POOL_READ_WRITE && region->readers))
                return -EBUSY;
        if (access == POOL_READ_WRITE)
                region->writer = true;
        else
                region->readers++;
        return 0;
}

void pool_detach(struct pool_region *region, enum pool_access access)
{
        if (access == POOL_READ_WRITE)
                region->writer = false;
        else
                region->readers--;
}

struct pool_usage pool_usage(const struct pool *pool)
{
        struct pool_usage usage = {.unused = pool->unused, .ranges = pool->member_count};

        for (size_t i = 0; i < pool->member_count; i++) {
                const struct pool_member *member = &pool->member[i];

                usage.total += member->granules;
                usage.metadata += member->metadata;
                for (uint32_t slot = 0; slot < member->slots; slot++)
                        usage.regions += member->region[slot].record != NULL;
        }
        usage.free = pool_space_free(pool);
        usage.used = usage.total - usage.metadata - usage.free;
        return usage;
}

void pool_print(struct pool *pool)
{
        struct pool_usage usage = pool_usage(pool);
        struct pool_region *region = NULL;

        printk(LOG_INFO, "nvram: pool of %zu ranges%s, %llu MiB used, %llu MiB free, %zu regions",
               usage.ranges, pool->simulated ? " (simulated, volatile)" : "",
               (unsigned long long)(usage.used * (POOL_GRANULE / MiB)),
               (unsigned long long)(usage.free * (POOL_GRANULE / MiB)), usage.regions);
        while ((region = pool_next(pool, region))) {
                struct pool_extent first = pool_region_extent(pool, region, 0);

                printk(LOG_INFO, "nvram:   %-31s %8llu MiB  owner %-31s %zu extents from 0x%llx",
                       pool_region_name(region),
                       (unsigned long long)(pool_region_size(region) / MiB),
                       pool_region_owner(region), pool_region_extents(region),
                       (unsigned long long)first.hpa.v);
        }
}
