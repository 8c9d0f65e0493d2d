/*
 * Mounting a pool: take the usable ranges, judge everything on them without a single write, and
 * only then mend, finish formatting and add blank ranges.
 */
#include "mm/pool_mount.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/pm.h"
#include "mm/pool_space.h"

static const struct {
        int error;
        const char *text;
} faults[] = {
    [POOL_FAULT_NONE] = {0, "no fault"},
    [POOL_FAULT_NO_ROOM] = {-ENODEV, "no range holds two aligned 2 MiB granules"},
    [POOL_FAULT_FOREIGN] = {-EBADMSG, "the range is neither blank nor part of a pool"},
    [POOL_FAULT_VERSION] = {-ENOTSUP, "the pool has a format version unknown here"},
    [POOL_FAULT_HEADER] = {-EBADMSG, "both superblocks are damaged or do not fit the range"},
    [POOL_FAULT_MIXED] = {-EBADMSG, "the ranges belong to different pools"},
    [POOL_FAULT_MISSING] = {-ENODEV, "a range of the pool is missing"},
    [POOL_FAULT_DUPLICATE] = {-EBADMSG, "two ranges have the same number in the pool"},
    [POOL_FAULT_RECORD] = {-EBADMSG, "both copies of a region record are damaged"},
    [POOL_FAULT_CONTENT] = {-EBADMSG, "a region record does not make sense"},
    [POOL_FAULT_OVERLAP] = {-EBADMSG, "two regions claim the same granule"},
};

const char *pool_fault_text(enum pool_fault fault)
{
        return faults[fault].text;
}

static int fail(struct pool *pool, enum pool_fault fault, hpa_t at)
{
        pool->fault = fault;
        pool->fault_at = at;
        printk(LOG_ERROR, "nvram: pool not mounted, nothing changed: %s (at 0x%llx)",
               pool_fault_text(fault), (unsigned long long)at.v);
        return faults[fault].error;
}

static hpa_t hpa_of(const struct pool_member *member, const void *p)
{
        return HPA(member->hpa.v + (uint64_t)((const uint8_t *)p - member->base));
}

struct pool_pair pool_superblock_pair(const struct pool_member *member)
{
        return (struct pool_pair){(struct pool_head *)member->base,
                                  (struct pool_head *)(member->base + POOL_SUPERBLOCK_B)};
}

struct pool_pair pool_record_pair(const struct pool_member *member, uint32_t slot)
{
        uint8_t *a = member->base + POOL_CATALOGUE + slot * POOL_SLOT_SIZE;

        return (struct pool_pair){(struct pool_head *)a,
                                  (struct pool_head *)(a + member->slots * POOL_SLOT_SIZE)};
}

/* The aligned part of a range as a member; false when it cannot hold metadata and data. */
static bool trim(struct pool_member *member, const struct pool_range *range)
{
        uint64_t head = -range->hpa.v & (POOL_GRANULE - 1);
        uint64_t granules = range->size > head ? (range->size - head) / POOL_GRANULE : 0;

        if (granules > UINT32_MAX)
                granules = UINT32_MAX;
        *member = (struct pool_member){.hpa = HPA(range->hpa.v + head)};
        if (granules < 2)
                return false;
        member->base = (uint8_t *)range->base + head;
        member->granules = (uint32_t)granules;
        member->metadata = pool_metadata_granules(granules);
        member->slots = pool_slot_count(member->metadata);
        return true;
}

static uint64_t map_bytes(const struct pool_member *member)
{
        return align_up(member->granules, 64) / 8;
}

static uint64_t member_memory(const struct pool_member *member)
{
        return map_bytes(member) + member->slots * sizeof(struct pool_region);
}

uint64_t pool_memory_size(const struct pool_range *ranges, size_t n)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++) {
                struct pool_member member;

                if (trim(&member, &ranges[i]))
                        sum += member_memory(&member);
        }
        return sum;
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
        return pool->member_count ? 0 : fail(pool, POOL_FAULT_NO_ROOM, HPA(n ? ranges->hpa.v : 0));
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
                return fail(pool, POOL_FAULT_VERSION, member->hpa);
        case PAIR_HALF:
                member->half = true;
                break;
        case PAIR_GOOD:
                break;
        case PAIR_BLANK:
                member->kind = MEMBER_BLANK;
                if (is_blank(member))
                        return 0;
                return fail(pool, POOL_FAULT_FOREIGN, member->hpa);
        case PAIR_DAMAGED:
                if (pair.a->magic != expect.magic && pair.b->magic != expect.magic)
                        return fail(pool, POOL_FAULT_FOREIGN, member->hpa);
                return fail(pool, POOL_FAULT_HEADER, member->hpa);
        }
        *sb = (const struct pool_superblock *)current;
        if (!current || !adopt(pool, member, *sb))
                return fail(pool, POOL_FAULT_HEADER, member->hpa);
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
                return fail(pool, POOL_FAULT_MISSING, pool->member[0].hpa);
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                if (member->kind != MEMBER_POOL)
                        member->id = next++;
                sorted[member->id] = *member;
        }
        memcpy(pool->member, sorted, pool->member_count * sizeof sorted[0]);
        return 0;
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
                        return fail(pool, POOL_FAULT_MIXED, member->hpa);
                if (known & 1u << member->id)
                        return fail(pool, POOL_FAULT_DUPLICATE, member->hpa);
                pool->uuid = sb->head.pool;
                known |= 1u << member->id;
                if (sb->members > members)
                        members = sb->members;
        }
        return number_members(pool, members);
}

static int assign_memory(struct pool *pool, const struct pool_config *config)
{
        uint8_t *memory = config->memory;
        uint64_t need = 0;

        for (size_t i = 0; i < pool->member_count; i++)
                need += member_memory(&pool->member[i]);
        if (need > config->memory_size)
                return -ENOMEM;
        memset(memory, 0, need);
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                member->map = (uint64_t *)memory;
                member->region = (struct pool_region *)(memory + map_bytes(member));
                memory += member_memory(member);
                pool_space_set(member, 0, member->metadata, true);
        }
        return 0;
}

bool pool_name_is_valid(const char *name)
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

static enum pool_fault claim_extents(struct pool *pool, const struct pool_record *record)
{
        uint64_t granules = 0;

        for (uint32_t i = 0; i < record->extent_count; i++) {
                const struct pool_media_extent *extent = &record->extent[i];
                struct pool_member *member;

                if (extent->range >= pool->member_count)
                        return POOL_FAULT_CONTENT;
                member = &pool->member[extent->range];
                if (member->kind != MEMBER_POOL || !extent->count ||
                    extent->count > member->granules || extent->start < member->metadata ||
                    extent->start > member->granules - extent->count)
                        return POOL_FAULT_CONTENT;
                for (uint32_t g = 0; g < extent->count; g++)
                        if (pool_space_is_used(member, extent->start + g))
                                return POOL_FAULT_OVERLAP;
                pool_space_set(member, extent->start, extent->count, true);
                granules += extent->count;
        }
        return granules * POOL_GRANULE == record->size ? POOL_FAULT_NONE : POOL_FAULT_CONTENT;
}

static enum pool_fault judge_record(struct pool *pool, const struct pool_record *record)
{
        if (record->state != POOL_RECORD_LIVE || !record->size || record->flags ||
            record->extent_count > POOL_EXTENTS_MAX ||
            record->head.length != pool_record_length(record->extent_count) ||
            !pool_name_is_valid(record->name) || !pool_name_is_valid(record->owner))
                return POOL_FAULT_CONTENT;
        return claim_extents(pool, record);
}

static int judge_catalogue(struct pool *pool, struct pool_member *member)
{
        struct pool_expect expect = {
            .magic = POOL_RECORD_MAGIC, .size = POOL_SLOT_SIZE, .pool = &pool->uuid};

        for (uint32_t slot = 0; slot < member->slots; slot++) {
                struct pool_pair pair = pool_record_pair(member, slot);
                const struct pool_head *current;
                enum pool_pair_state state;
                enum pool_fault fault = POOL_FAULT_NONE;

                expect.index = slot;
                state = pool_pair_load(pair, &expect, &current);
                if (state == PAIR_DAMAGED)
                        fault = POOL_FAULT_RECORD;
                else if (state == PAIR_FOREIGN)
                        fault = POOL_FAULT_VERSION;
                else if (current)
                        fault = judge_record(pool, (const struct pool_record *)current);
                if (fault)
                        return fail(pool, fault, hpa_of(member, pair.a));
                member->region[slot].record = (const struct pool_record *)current;
                member->region[slot].half = state == PAIR_HALF;
        }
        return 0;
}

static int judge_catalogues(struct pool *pool)
{
        for (size_t i = 0; i < pool->member_count; i++) {
                int err = 0;

                if (pool->member[i].kind == MEMBER_POOL)
                        err = judge_catalogue(pool, &pool->member[i]);
                if (err)
                        return err;
        }
        return 0;
}

static const struct pool_head *superblock_current(const struct pool_member *member)
{
        const struct pool_expect expect = {.magic = POOL_SUPERBLOCK_MAGIC,
                                           .size = sizeof(struct pool_superblock),
                                           .index = member->id};
        const struct pool_head *current;

        pool_pair_load(pool_superblock_pair(member), &expect, &current);
        return current;
}

static void mend_record(struct pool *pool, struct pool_member *member, uint32_t slot)
{
        struct pool_region *region = &member->region[slot];
        struct pool_pair pair = pool_record_pair(member, slot);

        if (region->half) {
                pool_pair_mend(pair, (const struct pool_head *)region->record);
                pool->mended++;
        }
        if (region->record)
                region->record = (const struct pool_record *)pair.a;
        region->half = false;
}

static void mend(struct pool *pool)
{
        for (size_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                if (member->kind != MEMBER_POOL)
                        continue;
                if (member->half) {
                        pool_pair_mend(pool_superblock_pair(member), superblock_current(member));
                        pool->mended++;
                        member->half = false;
                }
                for (uint32_t slot = 0; slot < member->slots; slot++)
                        mend_record(pool, member, slot);
        }
        if (pool->mended)
                printk(LOG_WARN, "nvram: %u objects mended from their second copies", pool->mended);
}

static void disown(struct pool_member *member)
{
        uint64_t *word = (uint64_t *)member->base;

        pm_publish(word, POOL_FORMATTING);
        pm_flush(word, sizeof *word);
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
        pool_pair_create(pool_superblock_pair(member), &sb.head);
        member->kind = MEMBER_POOL;
        printk(LOG_INFO, "nvram: 0x%llx formatted as range %u of the pool",
               (unsigned long long)member->hpa.v, member->id);
}

static void add_members(struct pool *pool, const struct pool_config *config)
{
        if (pool->member[0].kind != MEMBER_POOL)
                pool->uuid = pool_make_uuid(config->entropy);
        for (size_t i = 0; i < pool->member_count; i++)
                if (pool->member[i].kind != MEMBER_POOL)
                        disown(&pool->member[i]);
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

        *pool = (struct pool){0};
        err = take_ranges(pool, ranges, n);
        if (!err)
                err = judge_superblocks(pool, config->format);
        if (!err)
                err = assign_memory(pool, config);
        if (!err)
                err = judge_catalogues(pool);
        if (err)
                return err;
        mend(pool);
        add_members(pool, config);
        pool->mounted = true;
        return 0;
}
