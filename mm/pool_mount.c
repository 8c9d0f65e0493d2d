/*
 * Mounting a pool: take the usable ranges, judge everything on them without a single write, and
 * only then mend, finish what was interrupted and add blank ranges.
 */
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/pm.h"
#include "mm/pool_catalogue.h"
#include "mm/pool_index.h"
#include "mm/pool_space.h"

/* The aligned part of a range as a member; false when it cannot hold metadata and data. */
static bool trim(struct pool_member *member, const struct pool_range *range)
{
        uint64_t head = -range->hpa.v & (POOL_GRANULE - 1);
        uint64_t granules = range->size > head ? (range->size - head) / POOL_GRANULE : 0;

        if (granules > UINT32_MAX)
                granules = UINT32_MAX;
        *member = (struct pool_member){.hpa = HPA(range->hpa.v + head), .unarmed = range->unarmed};
        if (granules < 2)
                return false;
        member->base = (uint8_t *)range->base + head;
        member->granules = (uint32_t)granules;
        member->metadata = pool_metadata_granules(granules);
        member->slots = pool_slot_count(member->metadata);
        return true;
}

/* What the pool keeps in DRAM: how many of each, and where. */
struct tables {
        uint32_t slots, buckets, runs;
        uint64_t bytes;
};

static struct tables size_tables(uint64_t slots, uint64_t granules, size_t members)
{
        struct tables t = {.slots = (uint32_t)slots, .buckets = 64};

        while (t.buckets < t.slots)
                t.buckets *= 2;
        t.runs = pool_space_room(granules, slots * POOL_EXTENTS_MAX, members);
        t.bytes = t.slots * sizeof(struct pool_region) + t.buckets * sizeof(uint32_t) +
                  t.runs * sizeof(struct pool_run);
        return t;
}

uint64_t pool_memory_size(const struct pool_range *ranges, size_t n)
{
        uint64_t slots = 0;
        uint64_t granules = 0;
        size_t members = 0;

        for (size_t i = 0; i < n; i++) {
                struct pool_member member;

                if (!trim(&member, &ranges[i]))
                        continue;
                slots += member.slots;
                granules += member.granules;
                members++;
        }
        return size_tables(slots, granules, members).bytes;
}

static int take_ranges(struct pool *pool, const struct pool_range *ranges, size_t n)
{
        struct pool_member member;
        bool real = false;

        for (size_t i = 0; i < n; i++)
                real |= !ranges[i].simulated && trim(&member, &ranges[i]);
        pool->simulated = !real;
        for (size_t i = 0; i < n; i++) {
                bool usable = trim(&member, &ranges[i]);
                unsigned long long at = ranges[i].hpa.v;

                if (real && ranges[i].simulated) {
                        printk(LOG_WARN, "nvram: 0x%llx is simulated and left out of the pool", at);
                        continue;
                }
                pool->unused += ranges[i].size - member.granules * POOL_GRANULE;
                if (!usable) {
                        printk(LOG_WARN, "nvram: 0x%llx is too small for the pool", at);
                        continue;
                }
                if (pool->member_count == POOL_RANGES_MAX)
                        return -E2BIG;
                pool->member[pool->member_count++] = member;
        }
        return pool->member_count ? 0
                                  : pool_fail(pool, POOL_FAULT_NO_ROOM, HPA(n ? ranges->hpa.v : 0));
}

static bool is_zero(const uint8_t *p, uint64_t len)
{
        const uint64_t *word = (const uint64_t *)p;

        for (uint64_t i = 0; i < len / 8; i++)
                if (word[i])
                        return false;
        return true;
}

/*
 * Whether nobody has put anything there: the metadata's place whole, and the first page of every
 * data granule (reading all of a large range would take minutes).
 */
static bool is_blank(const struct pool_member *member)
{
        if (!is_zero(member->base, member->metadata * POOL_GRANULE))
                return false;
        for (uint64_t g = member->metadata; g < member->granules; g++)
                if (!is_zero(member->base + g * POOL_GRANULE, PAGE_4K))
                        return false;
        return true;
}

/* Take the geometry from an intact superblock if it is possible for the range. */
static bool adopt(struct pool *pool, struct pool_member *member, const struct pool_superblock *sb)
{
        uint32_t metadata = pool_metadata_granules(sb->granules);

        if (sb->granules < 2 || sb->granules > member->granules || sb->metadata != metadata ||
            sb->slots != pool_slot_count(metadata) || sb->granule_shift != POOL_GRANULE_SHIFT ||
            sb->head.index >= POOL_RANGES_MAX || sb->head.index >= sb->members)
                return false;
        pool->unused += (member->granules - sb->granules) * POOL_GRANULE;
        member->granules = (uint32_t)sb->granules;
        member->metadata = sb->metadata;
        member->slots = sb->slots;
        member->id = sb->head.index;
        return true;
}

static int inspect(struct pool *pool, struct pool_member *member, const struct pool_superblock **sb)
{
        const struct pool_expect expect = {
            .magic = POOL_SUPERBLOCK_MAGIC, .size = sizeof **sb, .index = POOL_ANY_INDEX};
        struct pool_pair pair = pool_superblock_pair(member);
        const struct pool_head *current;

        *sb = NULL;
        if (*(const uint64_t *)pair.a == POOL_FORMATTING) {
                member->kind = MEMBER_FORMATTING;
                return 0;
        }
        switch (pool_pair_load(pair, &expect, &current)) {
        case PAIR_FOREIGN:
                return pool_fail(pool, POOL_FAULT_VERSION, member->hpa);
        case PAIR_HALF:
                member->half = true;
                break;
        case PAIR_GOOD:
                break;
        case PAIR_BLANK:
                member->kind = MEMBER_BLANK;
                if (is_blank(member))
                        return 0;
                return pool_fail(pool, POOL_FAULT_FOREIGN, member->hpa);
        case PAIR_DAMAGED:
                if (pair.a->magic != expect.magic && pair.b->magic != expect.magic)
                        return pool_fail(pool, POOL_FAULT_FOREIGN, member->hpa);
                return pool_fail(pool, POOL_FAULT_HEADER, member->hpa);
        }
        *sb = (const struct pool_superblock *)current;
        if (!current || !adopt(pool, member, *sb))
                return pool_fail(pool, POOL_FAULT_HEADER, member->hpa);
        return 0;
}

/* Sort the members by number, those to be formatted behind with the next numbers. */
static int number_members(struct pool *pool, uint32_t members)
{
        struct pool_member sorted[POOL_RANGES_MAX];
        uint32_t known = 0;
        uint32_t next = members;

        for (size_t i = 0; i < pool->member_count; i++)
                known |= pool->member[i].kind == MEMBER_POOL ? 1u << pool->member[i].id : 0;
        if (members > POOL_RANGES_MAX || known != (1u << members) - 1)
                return pool_fail(pool, POOL_FAULT_MISSING, pool->member[0].hpa);
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                if (member->kind != MEMBER_POOL)
                        member->id = next++;
                sorted[member->id] = *member;
        }
        memcpy(pool->member, sorted, pool->member_count * sizeof sorted[0]);
        return 0;
}

/* What is stored from now on goes to memory that keeps it, as long as there is any. */
static void leave_out_unarmed(struct pool *pool)
{
        bool armed = false;
        size_t kept = 0;

        for (size_t i = 0; i < pool->member_count; i++)
                armed |= !pool->member[i].unarmed;
        for (size_t i = 0; i < pool->member_count; i++) {
                const struct pool_member *member = &pool->member[i];

                if (armed && member->unarmed && member->kind != MEMBER_POOL)
                        printk(LOG_WARN, "nvram: 0x%llx is not armed and left out of the pool",
                               (unsigned long long)member->hpa.v);
                else
                        pool->member[kept++] = *member;
        }
        pool->member_count = kept;
}

static int judge_superblocks(struct pool *pool, bool format)
{
        const struct pool_superblock *sb;
        uint32_t members = 0;
        uint32_t known = 0;

        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];
                int err;

                if (format) {
                        member->kind = MEMBER_FORMATTING;
                        continue;
                }
                err = inspect(pool, member, &sb);
                if (err)
                        return err;
                if (!sb)
                        continue;
                if (known && memcmp(&pool->uuid, &sb->head.pool, sizeof pool->uuid))
                        return pool_fail(pool, POOL_FAULT_MIXED, member->hpa);
                if (known & 1u << member->id)
                        return pool_fail(pool, POOL_FAULT_DUPLICATE, member->hpa);
                pool->uuid = sb->head.pool;
                known |= 1u << member->id;
                if (sb->members > members)
                        members = sb->members;
        }
        leave_out_unarmed(pool);
        return number_members(pool, members);
}

static int assign_memory(struct pool *pool, const struct pool_config *config)
{
        uint8_t *memory = config->memory;
        uint64_t granules = 0;
        struct pool_region *region;
        struct tables t;

        for (size_t i = 0; i < pool->member_count; i++) {
                granules += pool->member[i].granules;
                pool->slots += pool->member[i].slots;
        }
        t = size_tables(pool->slots, granules, pool->member_count);
        if (t.bytes > config->memory_size)
                return -ENOMEM;
        /* The runs' table is the largest, and needs no initial contents. */
        pool->region = region = (struct pool_region *)memory;
        pool->bucket = (uint32_t *)(pool->region + t.slots);
        pool->bucket_count = t.buckets;
        pool_space_init(&pool->space, (struct pool_run *)(pool->bucket + t.buckets), t.runs);
        memset(memory, 0, t.slots * sizeof *pool->region + t.buckets * sizeof *pool->bucket);
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                member->region = region;
                for (uint32_t slot = 0; slot < member->slots; slot++)
                        (region++)->member = (uint16_t)i;
                pool_space_release(pool, (uint32_t)i, member->metadata,
                                   member->granules - member->metadata);
        }
        return 0;
}

static void mend_superblock(struct pool *pool, struct pool_member *member)
{
        const struct pool_expect expect = {.magic = POOL_SUPERBLOCK_MAGIC,
                                           .size = sizeof(struct pool_superblock),
                                           .index = member->id};
        struct pool_pair pair = pool_superblock_pair(member);
        const struct pool_head *current;

        pool_pair_load(pair, &expect, &current);
        pool_pair_mend(pair, current);
        pool->mended++;
        member->half = false;
}

static void mend(struct pool *pool)
{
        for (size_t i = 0; i < pool->member_count; i++)
                if (pool->member[i].kind == MEMBER_POOL && pool->member[i].half)
                        mend_superblock(pool, &pool->member[i]);
        pool_catalogue_mend(pool);
        if (pool->mended)
                printk(LOG_WARN, "nvram: %u objects mended from their second copies", pool->mended);
}

/* Give up what the ranges that are to be formatted hold: all of them before the first is touched.
 */
static void disown_members(struct pool *pool)
{
        bool any = false;

        for (size_t i = 0; i < pool->member_count; i++) {
                uint64_t *word = (uint64_t *)pool->member[i].base;

                if (pool->member[i].kind == MEMBER_POOL)
                        continue;
                pm_publish(word, POOL_FORMATTING);
                pm_flush(word, sizeof *word);
                any = true;
        }
        if (any)
                pm_fence();
}

/* The marker's own line is left alone until the new superblock replaces it. */
static void format(struct pool *pool, struct pool_member *member)
{
        struct pool_superblock sb = {
            .head = {.magic = POOL_SUPERBLOCK_MAGIC,
                     .version = POOL_VERSION,
                     .length = sizeof sb,
                     .index = member->id,
                     .pool = pool->uuid},
            .granules = member->granules,
            .metadata = member->metadata,
            .slots = member->slots,
            .members = member->id + 1,
            .granule_shift = POOL_GRANULE_SHIFT,
        };
        uint64_t line = 64;

        pm_zero(member->base + line, member->metadata * POOL_GRANULE - line);
        pool_catalogue_format(pool, member);
        pool_pair_create(pool_superblock_pair(member), &sb.head);
        member->kind = MEMBER_POOL;
        printk(LOG_NOTICE, "nvram: 0x%llx formatted as range %u of the pool",
               (unsigned long long)member->hpa.v, member->id);
}

static void add_members(struct pool *pool, const struct pool_config *config)
{
        if (pool->member[0].kind != MEMBER_POOL)
                pool->uuid = pool_make_uuid(config->entropy);
        disown_members(pool);
        for (size_t i = 0; i < pool->member_count; i++)
                if (pool->member[i].kind != MEMBER_POOL)
                        format(pool, &pool->member[i]);
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_pair pair = pool_superblock_pair(&pool->member[i]);
                struct pool_superblock sb = *(const struct pool_superblock *)pair.a;

                if (sb.members == pool->member_count)
                        continue;
                sb.members = (uint32_t)pool->member_count;
                pool_pair_store(pair, &sb.head);
        }
}

int pool_mount(struct pool *pool, const struct pool_range *ranges, size_t n,
               const struct pool_config *config)
{
        int err;

        *pool = (struct pool){.read_only = config->mode == POOL_MODE_SALVAGE};
        err = take_ranges(pool, ranges, n);
        if (!err)
                err = judge_superblocks(pool, config->format);
        if (!err)
                err = assign_memory(pool, config);
        if (!err)
                err = pool_catalogue_judge(pool, config->mode != POOL_MODE_NORMAL);
        if (err)
                return err;
        if (!pool->read_only) {
                mend(pool);
                add_members(pool, config);
        }
        pool->mounted = true;
        if (!pool->read_only)
                pool_catalogue_finish(pool);
        return 0;
}
