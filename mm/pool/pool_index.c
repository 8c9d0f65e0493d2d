/* The catalogue's slots: on media in pairs, in DRAM by name; contract in pool_index.h. */
#include "mm/pool/pool_index.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

bool pool_may_read(const struct pool_bad *bad, hpa_t hpa, uint64_t len)
{
        for (size_t i = 0; bad && i < bad->count; i++) {
                uint64_t page = align_down(bad->hpa[i].v, PAGE_4K);

                if (page < hpa.v + len && hpa.v < page + PAGE_4K)
                        return false;
        }
        return true;
}

static struct pool_pair pair_at(const struct pool_member *member, uint64_t a, uint64_t b,
                                uint64_t size)
{
        struct pool_pair pair = {(struct pool_head *)(member->base + a),
                                 (struct pool_head *)(member->base + b), false, false};

        if (member->bad) {
                pair.a_bad = !pool_may_read(member->bad, HPA(member->hpa.v + a), size);
                pair.b_bad = !pool_may_read(member->bad, HPA(member->hpa.v + b), size);
        }
        return pair;
}

struct pool_pair pool_superblock_pair(const struct pool_member *member)
{
        return pair_at(member, 0, POOL_SUPERBLOCK_B, sizeof(struct pool_superblock));
}

struct pool_pair pool_record_pair(const struct pool_member *member, uint32_t slot)
{
        uint64_t a = POOL_CATALOGUE + slot * POOL_SLOT_SIZE;

        return pair_at(member, a, a + member->slots * POOL_SLOT_SIZE, POOL_SLOT_SIZE);
}

static uint32_t slot_of(const struct pool *pool, const struct pool_region *region)
{
        return (uint32_t)(region - pool->member[region->member].region);
}

struct pool_pair pool_region_pair(const struct pool *pool, const struct pool_region *region)
{
        return pool_record_pair(&pool->member[region->member], slot_of(pool, region));
}

static uint32_t index_of(const struct pool *pool, const struct pool_region *region)
{
        return POOL_INDEX(pool->member[region->member].id, slot_of(pool, region));
}

struct pool_expect pool_expect_superblock(uint32_t index, const struct pool_uuid *pool)
{
        return (struct pool_expect){.magic = POOL_SUPERBLOCK_MAGIC,
                                    .size = sizeof(struct pool_superblock),
                                    .index = index,
                                    .pool = pool};
}

struct pool_expect pool_expect_record(const struct pool *pool, const struct pool_region *region)
{
        return (struct pool_expect){.magic = POOL_RECORD_MAGIC,
                                    .size = POOL_SLOT_SIZE,
                                    .index = index_of(pool, region),
                                    .pool = &pool->uuid};
}

bool pool_name_is_valid(const char name[POOL_NAME_SIZE])
{
        size_t n = strnlen(name, POOL_NAME_SIZE);

        for (size_t i = 0; i < n; i++) {
                char c = name[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-'))
                        return false;
        }
        return n > 0 && n < POOL_NAME_SIZE;
}

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

bool pool_record_is_region(const struct pool_record *record)
{
        return record &&
               (record->state == POOL_RECORD_LIVE || record->state == POOL_RECORD_FILLING);
}

uint64_t pool_record_dying(const struct pool_record *record)
{
        uint64_t n = 0;

        for (uint32_t i = 0; i < record->dying_count; i++)
                n += record->extent[record->extent_count + i].count;
        return n;
}

uint32_t pool_record_extents(const struct pool_record *record)
{
        return record->extent_count + record->dying_count;
}

uint32_t pool_record_length(const struct pool_record *record)
{
        return (uint32_t)(offsetof(struct pool_record, extent) +
                          pool_record_extents(record) * sizeof record->extent[0] +
                          record->grant_count * sizeof record->grant[0]);
}

bool pool_record_fits(const struct pool_record *record)
{
        return record->head.length >= offsetof(struct pool_record, extent) &&
               record->extent_count <= POOL_EXTENTS_MAX &&
               record->dying_count <= POOL_EXTENTS_MAX - record->extent_count &&
               record->grant_count <= POOL_GRANTS_MAX &&
               record->head.length == pool_record_length(record);
}

struct pool_head pool_empty_slot(const struct pool *pool, const struct pool_region *region)
{
        return (struct pool_head){.magic = POOL_RECORD_MAGIC,
                                  .version = POOL_VERSION,
                                  .length = sizeof(struct pool_head),
                                  .index = index_of(pool, region),
                                  .pool = pool->uuid};
}

/* FNV-1a. */
static uint32_t *bucket_of(const struct pool *pool, const char *name)
{
        uint32_t hash = 2166136261u;

        for (; *name; name++)
                hash = (hash ^ (uint8_t)*name) * 16777619u;
        return &pool->bucket[(hash ^ hash >> 15) & (pool->bucket_count - 1)];
}

static uint32_t number_of(const struct pool *pool, const struct pool_region *region)
{
        return (uint32_t)(region - pool->region) + 1;
}

void pool_index_add(struct pool *pool, struct pool_region *region)
{
        uint32_t *bucket = bucket_of(pool, region->record->name);

        region->next = *bucket;
        *bucket = number_of(pool, region);
}

void pool_index_remove(struct pool *pool, const char *name, struct pool_region *region)
{
        uint32_t *link = bucket_of(pool, name);

        while (*link && *link != number_of(pool, region))
                link = &pool->region[*link - 1].next;
        if (*link)
                *link = region->next;
}

struct pool_region *pool_index_find(const struct pool *pool, const char *name)
{
        uint32_t n = pool->bucket ? *bucket_of(pool, name) : 0;

        while (n && strncmp(pool->region[n - 1].record->name, name, POOL_NAME_SIZE) != 0)
                n = pool->region[n - 1].next;
        return n ? &pool->region[n - 1] : NULL;
}

struct pool_region *pool_find(struct pool *pool, const char *name)
{
        struct pool_region *region = pool_index_find(pool, name);

        return region && pool_record_judge(pool, region) ? region : NULL;
}

void pool_index_put_empty(struct pool *pool, struct pool_region *region)
{
        region->next = pool->empty;
        pool->empty = number_of(pool, region);
}

struct pool_region *pool_index_take_empty(struct pool *pool)
{
        struct pool_region *region = pool->empty ? &pool->region[pool->empty - 1] : NULL;

        if (region)
                pool->empty = region->next;
        return region;
}

static const struct pool_record *intact(const struct pool *pool, const struct pool_region *region)
{
        const struct pool_expect expect = pool_expect_record(pool, region);
        struct pool_pair pair = pool_region_pair(pool, region);
        const struct pool_head *current;
        enum pool_pair_state state = pool_pair_load(pair, &expect, &current);

        if (!current || !pool_record_fits((const struct pool_record *)current))
                return NULL;
        if (state == PAIR_HALF && !pool->read_only) {
                pool_pair_mend(pair, current);
                current = pair.a;
        }
        return (const struct pool_record *)current;
}

const struct pool_record *pool_record_judge(struct pool *pool, struct pool_region *region)
{
        const struct pool_record *record = region->record ? intact(pool, region) : NULL;

        if (record) {
                region->record = record;
        } else if (region->record && !pool->read_only) {
                pool->read_only = pool->damaged = true;
                printk(LOG_ERROR,
                       "nvram: both copies of the record of slot %u are damaged: nothing is "
                       "changed any more",
                       number_of(pool, region) - 1);
        }
        return record;
}

int pool_record_load(const struct pool *pool, const struct pool_region *region,
                     struct pool_record *copy)
{
        const struct pool_record *current = intact(pool, region);

        if (!current)
                return -EBADMSG;
        memcpy(copy, current, current->head.length);
        memset((uint8_t *)copy + current->head.length, 0, sizeof *copy - current->head.length);
        if (copy->grant_count) {
                uint32_t n = pool_record_extents(copy);

                memmove(copy->grant, pool_media_grants(copy),
                        copy->grant_count * sizeof copy->grant[0]);
                memset(&copy->extent[n], 0, (POOL_EXTENTS_MAX - n) * sizeof copy->extent[0]);
        }
        return 0;
}

void pool_record_store(const struct pool *pool, struct pool_region *region,
                       struct pool_record *record)
{
        struct pool_pair pair = pool_region_pair(pool, region);

        record->head = pool_empty_slot(pool, region);
        record->head.length = pool_record_length(record);
        memmove(&record->extent[pool_record_extents(record)], record->grant,
                record->grant_count * sizeof record->grant[0]);
        pool_pair_store(pair, &record->head);
        region->record = (const struct pool_record *)pair.a;
}

void pool_record_clear(struct pool *pool, struct pool_region *region)
{
        struct pool_head empty = pool_empty_slot(pool, region);

        pool_pair_store(pool_region_pair(pool, region), &empty);
        region->record = NULL;
        pool_index_put_empty(pool, region);
}

bool pool_is_bad(const struct pool *pool, uint32_t range, uint32_t granule)
{
        hpa_t hpa = HPA(pool->member[range].hpa.v + granule * POOL_GRANULE);

        return pool_is_listed_bad(pool, range, granule) ||
               !pool_may_read(&pool->told, hpa, POOL_GRANULE);
}

bool pool_is_listed_bad(const struct pool *pool, uint32_t range, uint32_t granule)
{
        for (uint32_t slot = 0; slot < pool->bad_records; slot++) {
                const struct pool_record *record = pool->bad[slot]->record;

                for (uint32_t i = 0; i < record->extent_count; i++)
                        if (record->extent[i].range == range &&
                            granule - record->extent[i].start < record->extent[i].count)
                                return true;
        }
        return false;
}
