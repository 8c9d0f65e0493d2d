/* What is in the pool: accessors, totals, the check of everything on media; contract in pool.h. */
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"
#include "mm/pool/pool.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_space.h"

struct pool_region *pool_next(struct pool *pool, const struct pool_region *after)
{
        uint32_t n = after ? (uint32_t)(after - pool->region) + 1 : 0;

        while (n < pool->slots && !pool_record_is_region(pool_record_judge(pool, &pool->region[n])))
                n++;
        return n < pool->slots ? &pool->region[n] : NULL;
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

uint64_t pool_region_generation(const struct pool_region *region)
{
        return region->record->generation;
}

struct pool_uuid pool_region_uuid(const struct pool_region *region)
{
        return region->record->uuid;
}

bool pool_region_is_filling(const struct pool_region *region)
{
        return region->record->state == POOL_RECORD_FILLING;
}

uint64_t pool_region_dying(const struct pool_region *region)
{
        return pool_record_dying(region->record);
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

bool pool_region_grant(const struct pool_region *region, size_t i, char vm[POOL_NAME_SIZE],
                       enum pool_access *access)
{
        const struct pool_media_grant *grant = pool_media_grants(region->record);

        if (i >= region->record->grant_count)
                return false;
        memcpy(vm, grant[i].vm, sizeof grant[i].vm);
        vm[sizeof grant[i].vm] = '\0';
        *access = (enum pool_access)grant[i].access;
        return true;
}

size_t pool_region_readers(const struct pool_region *region, bool *writer)
{
        *writer = region->writer;
        return region->readers;
}

uint64_t pool_owner_bytes(struct pool *pool, const char *owner)
{
        struct pool_region *region = NULL;
        uint64_t sum = 0;

        while ((region = pool_next(pool, region)))
                if (!strncmp(region->record->owner, owner, POOL_NAME_SIZE))
                        sum += region->record->size;
        return sum;
}

struct pool_usage pool_usage(const struct pool *pool)
{
        struct pool_usage usage = {.unused = pool->unused,
                                   .ranges = pool->member_count,
                                   .free = pool->space.free,
                                   .dying = pool->dying};
        for (size_t i = 0; i < pool->member_count; i++) {
                usage.total += pool->member[i].granules;
                usage.metadata += pool->member[i].metadata;
        }
        for (uint32_t n = 0; n < pool->slots; n++) {
                const struct pool_record *record = pool->region[n].record;

                if (record && record->dying_count)
                        usage.dying_total += record->dying_total;
                if (!pool_record_is_region(record))
                        continue;
                usage.regions++;
                usage.used += record->size / POOL_GRANULE;
        }
        usage.bad = usage.total - usage.metadata - usage.free - usage.dying - usage.used;
        return usage;
}

void pool_each_use(struct pool *pool,
                   void (*see)(void *ctx, enum pool_use use, hpa_t hpa, uint64_t size), void *ctx)
{
        hpa_t bad;

        for (size_t i = 0; i < pool->member_count; i++)
                see(ctx, POOL_USE_METADATA, pool->member[i].hpa,
                    pool->member[i].metadata * POOL_GRANULE);
        for (uint32_t n = 0; n < pool->slots; n++) {
                const struct pool_record *record = pool_record_judge(pool, &pool->region[n]);

                for (uint32_t i = 0; record && i < record->dying_count; i++) {
                        const struct pool_media_extent *e =
                            &record->extent[record->extent_count + i];

                        see(ctx, POOL_USE_DYING,
                            HPA(pool->member[e->range].hpa.v + e->start * POOL_GRANULE),
                            e->count * POOL_GRANULE);
                }
        }
        for (size_t i = 0; pool_bad(pool, i, &bad); i++)
                see(ctx, POOL_USE_BAD, bad, POOL_GRANULE);
}

static bool is_zero(const uint64_t *word, uint64_t words)
{
        for (uint64_t i = 0; i < words; i++)
                if (word[i])
                        return false;
        return true;
}

static uint64_t count_dirty(const struct pool *pool)
{
        uint64_t dirty = 0;

        for (uint32_t i = 0; i < pool->member_count; i++) {
                const struct pool_run *run = pool_space_next(pool, i, 0);

                for (; run; run = pool_space_next(pool, i, run->start + run->count))
                        for (uint64_t g = run->start; g < (uint64_t)run->start + run->count; g++) {
                                dirty += !is_zero(
                                    (const uint64_t *)(pool->member[i].base + g * POOL_GRANULE),
                                    POOL_GRANULE / 8);
                                work_step();
                        }
        }
        return dirty;
}

static void judge(struct pool_pair pair, const struct pool_expect *expect, bool mend, bool lost,
                  struct pool_health *health)
{
        const struct pool_head *current;
        enum pool_pair_state state = pool_pair_load(pair, expect, &current);

        health->objects++;
        if (state == PAIR_HALF && mend && !lost) {
                pool_pair_mend(pair, current);
                health->mended++;
        } else if (state == PAIR_HALF && !lost) {
                health->half++;
        } else if (state != PAIR_GOOD || lost) {
                health->broken++;
        }
}

int pool_check(struct pool *pool, bool mend, bool deep, struct pool_health *health)
{
        *health = (struct pool_health){0};
        if (!pool->mounted || (mend && pool->read_only))
                return pool->mounted ? -EROFS : -EINVAL;
        for (uint32_t i = 0; i < pool->member_count; i++) {
                const struct pool_expect sb =
                    pool_expect_superblock(pool->member[i].id, &pool->uuid);

                judge(pool_superblock_pair(&pool->member[i]), &sb, mend, false, health);
                for (uint32_t slot = 0; slot < pool->member[i].slots; slot++) {
                        struct pool_expect record =
                            pool_expect_record(pool, &pool->member[i].region[slot]);

                        judge(pool_record_pair(&pool->member[i], slot), &record, mend,
                              pool->member[i].region[slot].lost != POOL_FAULT_NONE, health);
                }
        }
        if (deep)
                health->dirty = count_dirty(pool);
        return health->half || health->broken || health->dirty ? -EBADMSG : 0;
}

bool pool_lost(const struct pool *pool, size_t i, struct pool_lost *lost)
{
        for (uint32_t n = 0; n < pool->slots; n++) {
                const struct pool_region *region = &pool->region[n];
                const struct pool_member *member = &pool->member[region->member];

                if (!region->lost || i--)
                        continue;
                lost->range = member->id;
                lost->slot = (uint32_t)(region - member->region);
                lost->pair = pool_region_pair(pool, region);
                lost->hpa = HPA(member->hpa.v + (uint64_t)((uint8_t *)lost->pair.a - member->base));
                lost->why = (enum pool_fault)region->lost;
                return true;
        }
        return false;
}

bool pool_region_is_volatile(const struct pool *pool, const struct pool_region *region)
{
        if (pool->simulated)
                return true;
        for (uint32_t i = 0; i < region->record->extent_count; i++)
                if (pool->member[region->record->extent[i].range].unarmed)
                        return true;
        return false;
}

size_t pool_unarmed(const struct pool *pool)
{
        size_t unarmed = 0;

        for (size_t i = 0; i < pool->member_count; i++)
                unarmed += pool->member[i].unarmed;
        return unarmed;
}

bool pool_is_volatile(const struct pool *pool)
{
        return pool->simulated || pool_unarmed(pool);
}
