/*
 * Mounting a pool: take the usable ranges, judge everything on them without a single write, and
 * only then mend, finish what was interrupted and add blank ranges.
 */
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/pool/pm.h"
#include "mm/pool/pool_catalogue.h"
#include "mm/pool/pool_disk.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_judge.h"
#include "mm/pool/pool_space.h"

/* What a mount has to choose from. */
struct choice {
        const struct pool_range *range;
        size_t n;
        const struct pool_config *config;
        bool real; /* one of them is no simulation */
};

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

/* Slots that ranges can have more of when they are joined: each has a head of its own else. And
 * members that were ranges of their own, of which the memory map tells as of one now. */
#define SLOTS_BY_JOINING (POOL_CATALOGUE / 2 / POOL_SLOT_SIZE)
#define MEMBERS_MORE     8u

uint64_t pool_memory_size(const struct pool_range *ranges, size_t n)
{
        uint64_t slots = MEMBERS_MORE * (uint64_t)pool_slot_count(1);
        uint64_t granules = MEMBERS_MORE;
        size_t members = MEMBERS_MORE;

        for (size_t i = 0; i < n; i++) {
                struct pool_member member;

                if (!pool_judge_trim(&member, &ranges[i], NULL))
                        continue;
                slots += member.slots + SLOTS_BY_JOINING;
                granules += member.granules + 1;
                members++;
        }
        return size_tables(slots, granules, members).bytes;
}

/* ---- Members that are there. ---- */

static bool is_left_out(const struct choice *choice, const struct pool_range *range)
{
        return choice->real && range->simulated;
}

/* What is told of ranges that the pool has no use for, once each. */
static void tell_useless(struct pool *pool, struct choice *choice)
{
        struct pool_member member;

        for (size_t i = 0; i < choice->n; i++)
                choice->real |= !choice->range[i].simulated &&
                                pool_judge_trim(&member, &choice->range[i], NULL);
        pool->simulated = !choice->real;
        for (size_t i = 0; i < choice->n; i++) {
                const struct pool_range *range = &choice->range[i];

                if (is_left_out(choice, range)) {
                        printk(LOG_WARN, "nvram: 0x%lx is simulated and left out of the pool",
                               range->hpa.v);
                } else if (!pool_judge_trim(&member, range, NULL)) {
                        printk(LOG_WARN, "nvram: 0x%lx is too small for the pool", range->hpa.v);
                        pool->unused += range->size;
                }
        }
}

/*
 * Ranges that lie side by side were one when the firmware's map told of them as one: the superblock
 * of the first still tells of all.
 */
static struct pool_range join(const struct choice *choice, size_t i, uint64_t granules)
{
        struct pool_range joined = choice->range[i];
        struct pool_member member;

        while (pool_judge_trim(&member, &joined, NULL) && member.granules < granules &&
               ++i < choice->n) {
                const struct pool_range *next = &choice->range[i];

                if (next->hpa.v != joined.hpa.v + joined.size || next->format ||
                    (uint8_t *)next->base != (uint8_t *)joined.base + joined.size ||
                    next->simulated != joined.simulated)
                        break;
                joined.size += next->size;
                joined.unarmed |= next->unarmed;
        }
        return joined;
}

/* Take the geometry from an intact superblock if it is possible for the range. */
static bool adopt(struct pool_member *member, const struct pool_superblock *sb)
{
        uint32_t metadata = pool_metadata_granules(sb->granules);

        if (sb->granules < 2 || sb->granules > member->granules || sb->metadata != metadata ||
            sb->slots != pool_slot_count(metadata) || sb->granule_shift != POOL_GRANULE_SHIFT ||
            sb->head.index >= POOL_RANGES_MAX || sb->head.index >= sb->members)
                return false;
        member->granules = (uint32_t)sb->granules;
        member->metadata = sb->metadata;
        member->slots = sb->slots;
        member->id = sb->head.index;
        return true;
}

static bool has_id(const struct pool *pool, uint32_t id)
{
        for (size_t i = 0; i < pool->member_count; i++)
                if (pool->member[i].id == id)
                        return true;
        return false;
}

/* Whether an address lies in what a member has of its range, or of those joined with it. */
static bool is_taken(const struct pool *pool, hpa_t hpa)
{
        for (size_t i = 0; i < pool->member_count; i++)
                if (hpa.v - pool->member[i].hpa.v < pool->member[i].granules * POOL_GRANULE)
                        return true;
        return false;
}

static int take_member(struct pool *pool, const struct pool_range *range,
                       const struct pool_content *content, uint32_t *members)
{
        const struct pool_superblock *sb = (const struct pool_superblock *)content->head;
        struct pool_member member;

        if (!pool_judge_trim(&member, range, &pool->told) || !adopt(&member, sb))
                return pool_fail(pool, POOL_FAULT_HEADER, member.hpa);
        if (pool->member_count && memcmp(&pool->uuid, &sb->head.pool, sizeof pool->uuid)) {
                printk(LOG_WARN,
                       "nvram: 0x%lx holds a range of another pool: nvram-skip=0x%lx leaves it "
                       "alone",
                       range->hpa.v, range->hpa.v);
                return pool_fail(pool, POOL_FAULT_MIXED, member.hpa);
        }
        if (has_id(pool, member.id))
                return pool_fail(pool, POOL_FAULT_DUPLICATE, member.hpa);
        pool->uuid = sb->head.pool;
        pool->unused += range->size - member.granules * POOL_GRANULE;
        if (sb->members > *members)
                *members = sb->members;
        member.kind = MEMBER_POOL;
        member.half = content->half;
        pool->member[pool->member_count++] = member;
        return 0;
}

/*
 * What lies behind the member just taken from a range: another one of the pool, if the memory map
 * told of two ranges where it tells of one now. It begins where the member ends, or a granule
 * further, where the border was on none.
 */
static bool find_behind(const struct pool *pool, struct pool_range *range,
                        struct pool_content *content)
{
        const struct pool_member *last = &pool->member[pool->member_count - 1];
        uint64_t end = last->hpa.v + last->granules * POOL_GRANULE - range->hpa.v;

        for (uint64_t at = end; at <= end + POOL_GRANULE && at < range->size; at += POOL_GRANULE) {
                struct pool_range rest = *range;
                struct pool_member member;

                rest.base = (uint8_t *)range->base + at;
                rest.hpa.v += at;
                rest.size -= at;
                if (!pool_judge_trim(&member, &rest, &pool->told))
                        return false;
                *content = pool_judge_header(&member);
                if (content->kind != POOL_CONTENT_POOL ||
                    memcmp(&content->head->pool, &pool->uuid, sizeof pool->uuid) != 0)
                        continue;
                *range = rest;
                return true;
        }
        return false;
}

/* All members in what begins as range i; more than one only where ranges were joined since. */
static int take_from(struct pool *pool, const struct choice *choice, size_t i,
                     struct pool_content *content, uint32_t *members)
{
        const struct pool_superblock *sb = (const struct pool_superblock *)content->head;
        struct pool_range range = join(choice, i, sb->granules);
        int err;

        if (range.size > choice->range[i].size)
                printk(LOG_NOTICE,
                       "nvram: 0x%lx: a range of the pool goes on in the ranges behind it",
                       range.hpa.v);
        do {
                err = take_member(pool, &range, content, members);
                if (err || !find_behind(pool, &range, content))
                        break;
                pool->unused -= range.size; /* which counts with the member that is in it */
        } while (pool->member_count < POOL_RANGES_MAX);
        return err;
}

/* The pool's members, wherever they stand among the ranges, and how many there are to be. */
static int take_members(struct pool *pool, const struct choice *choice, uint32_t *members)
{
        for (size_t i = 0; i < choice->n; i++) {
                const struct pool_range *range = &choice->range[i];
                struct pool_member member;
                struct pool_content content;
                int err = 0;

                if (is_left_out(choice, range) || range->format || choice->config->format ||
                    !pool_judge_trim(&member, range, &pool->told) || is_taken(pool, member.hpa))
                        continue;
                content = pool_judge_header(&member);
                if (content.kind == POOL_CONTENT_VERSION)
                        err = pool_fail(pool, POOL_FAULT_VERSION, member.hpa);
                else if (content.kind == POOL_CONTENT_DAMAGED)
                        err = pool_fail(pool, POOL_FAULT_HEADER, member.hpa);
                else if (content.kind == POOL_CONTENT_POOL)
                        err = take_from(pool, choice, i, &content, members);
                if (err)
                        return err;
        }
        return 0;
}

/* ---- Ranges that become members. ---- */

/* Somebody else's data is nobody's business here, as long as it is known where the pool is. */
static int leave_alone(struct pool *pool, hpa_t at, const char *what, bool pool_is_known)
{
        printk(LOG_WARN,
               "nvram: 0x%lx holds %s: left alone; nvram-skip=0x%lx says so, "
               "nvram-format=0x%lx gives it up",
               at.v, what ? what : "data that are not known here", at.v, at.v);
        return pool_is_known ? 0 : pool_fail(pool, POOL_FAULT_FOREIGN, at);
}

static bool has_armed_member(const struct pool *pool)
{
        for (size_t i = 0; i < pool->member_count; i++)
                if (!pool->member[i].unarmed)
                        return true;
        return false;
}

_Static_assert(POOL_RANGES_MAX == 64, "told below");

/* Why a range that could join the pool does not; NULL: it does. */
static const char *why_not(const struct pool *pool, const struct choice *choice,
                           const struct pool_member *member, bool formatted)
{
        if (!pool_may_read(&pool->told, member->hpa, member->metadata * POOL_GRANULE))
                return "is bad where its metadata would lie";
        if (choice->config->members_only && !formatted)
                return "is blank";
        if (member->unarmed && has_armed_member(pool))
                return "is not armed";
        if (pool->member_count == POOL_RANGES_MAX)
                return "is more than the 64 ranges that a pool can have";
        return NULL;
}

/* Judge one range that is no member yet, and have it join the pool if it may. */
static int take_new(struct pool *pool, const struct choice *choice, const struct pool_range *range,
                    bool pool_is_known)
{
        bool formatted = range->format || choice->config->format;
        struct pool_content content = {.kind = POOL_CONTENT_FORMATTING};
        struct pool_member member;
        const char *why;

        (void)pool_judge_trim(&member, range, &pool->told);
        if (!formatted)
                content = pool_judge_range(range, &member);
        if (content.kind == POOL_CONTENT_FOREIGN)
                return leave_alone(pool, range->hpa, content.what, pool_is_known);
        why = why_not(pool, choice, &member, formatted);
        if (why) {
                printk(LOG_WARN, "nvram: 0x%lx %s: left out of the pool", member.hpa.v, why);
                return 0;
        }
        member.kind = content.kind == POOL_CONTENT_BLANK ? MEMBER_BLANK : MEMBER_FORMATTING;
        member.id = UINT32_MAX; /* none yet */
        pool->unused += range->size - member.granules * POOL_GRANULE;
        pool->member[pool->member_count++] = member;
        return 0;
}

/* What is stored from now on goes to memory that keeps it, as long as there is any: armed first. */
static int take_all_new(struct pool *pool, const struct choice *choice, bool pool_is_known)
{
        for (int unarmed = 0; unarmed < 2; unarmed++)
                for (size_t i = 0; i < choice->n; i++) {
                        const struct pool_range *range = &choice->range[i];
                        struct pool_member member;
                        int err = 0;

                        if (range->unarmed == (unarmed == 1) && !is_left_out(choice, range) &&
                            pool_judge_trim(&member, range, NULL) && !is_taken(pool, member.hpa))
                                err = take_new(pool, choice, range, pool_is_known);
                        if (err)
                                return err;
                }
        return 0;
}

/* Number what is to be formatted behind the members, and sort by number. */
static void number_members(struct pool *pool, uint32_t members)
{
        for (size_t i = 0; i < pool->member_count; i++)
                if (pool->member[i].kind != MEMBER_POOL)
                        pool->member[i].id = members++;
        for (size_t i = 0; i < pool->member_count; i++)
                while (pool->member[i].id != i) {
                        struct pool_member *home = &pool->member[pool->member[i].id];
                        struct pool_member other = *home;

                        *home = pool->member[i];
                        pool->member[i] = other;
                }
}

static bool is_any_to_format(const struct choice *choice)
{
        for (size_t i = 0; i < choice->n; i++)
                if (choice->range[i].format)
                        return true;
        return choice->config->format;
}

static int choose_members(struct pool *pool, struct choice *choice)
{
        uint32_t members = 0;
        bool complete;
        int err;

        tell_useless(pool, choice);
        err = take_members(pool, choice, &members);
        if (err)
                return err;
        complete = members && pool->member_count == members;
        err = take_all_new(pool, choice, complete || is_any_to_format(choice));
        if (err)
                return err;
        if (members && !complete)
                return pool_fail(pool, POOL_FAULT_MISSING, pool->member[0].hpa);
        if (!pool->member_count)
                return pool_fail(pool, POOL_FAULT_NO_ROOM,
                                 HPA(choice->n ? choice->range->hpa.v : 0));
        number_members(pool, members);
        return 0;
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
        if (t.bytes > config->memory_size) {
                printk(LOG_ERROR,
                       "nvram: pool not mounted, nothing changed: no room for its tables");
                return -ENOMEM;
        }
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
        const struct pool_expect expect = pool_expect_superblock(member->id, NULL);
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
        printk(LOG_NOTICE, "nvram: 0x%lx formatted as range %u of the pool", member->hpa.v,
               member->id);
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

/* Nothing is stored to bad memory: a pool with metadata there stays as it is, and bad granules of
 * which the pool does not know yet are handed out to nobody. */
static void shun_bad(struct pool *pool)
{
        for (uint32_t i = 0; i < pool->member_count; i++) {
                struct pool_member *member = &pool->member[i];

                /* what is still to be formatted is scrubbed first, past the bad granules */
                for (size_t b = 0; member->kind == MEMBER_POOL && b < pool->told.count; b++) {
                        uint64_t at = pool->told.hpa[b].v, g = (at - member->hpa.v) / POOL_GRANULE;

                        if (at >= member->hpa.v && g >= member->metadata && g < member->granules)
                                (void)pool_space_claim(pool, i, (uint32_t)g, 1);
                }
                if (pool_may_read(&pool->told, member->hpa, member->metadata * POOL_GRANULE)) {
                        member->bad = NULL;
                        continue;
                }
                pool->read_only = true;
                printk(LOG_WARN,
                       "nvram: 0x%lx: the pool's metadata lies on bad memory: the pool is "
                       "read only, so that what is there can be saved",
                       member->hpa.v);
        }
}

int pool_mount(struct pool *pool, const struct pool_range *ranges, size_t n,
               const struct pool_config *config)
{
        struct choice choice = {.range = ranges, .n = n, .config = config};
        int err;

        *pool = (struct pool){.read_only = config->mode == POOL_MODE_SALVAGE};
        if (config->bad)
                pool->told = *config->bad;
        err = choose_members(pool, &choice);
        if (!err)
                err = assign_memory(pool, config);
        if (!err)
                err = pool_catalogue_judge(pool, config->mode != POOL_MODE_NORMAL);
        if (err)
                return err;
        shun_bad(pool);
        if (!pool->read_only) {
                mend(pool);
                pool_disk_recover(pool);
                add_members(pool, config);
        }
        pool->mounted = true;
        if (!pool->read_only)
                pool_catalogue_finish(pool);
        return 0;
}
