/* Records at mount: judged, mended, finished; contract in pool_catalogue.h. */
#include "mm/pool/pool_catalogue.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "mm/pool/pool_index.h"
#include "mm/pool/pool_space.h"

static const struct {
        int error;
        const char *text, *meaning;
} faults[] = {
    [POOL_FAULT_NONE] = {0, "no fault", "all is well"},
    [POOL_FAULT_NO_ROOM] = {-ENODEV, "no range can be used for a pool",
                            "there is no NVRAM that a pool could use"},
    [POOL_FAULT_FOREIGN] = {-EBADMSG, "the range is neither blank nor part of a pool",
                            "somebody else's data may be there; formatting gives it up"},
    [POOL_FAULT_VERSION] = {-ENOTSUP, "the pool has a format version unknown here",
                            "another release of Permafrost made it, which can read it"},
    [POOL_FAULT_HEADER] = {-EBADMSG, "both superblocks are damaged or do not fit the range",
                           "the regions may be intact, but the range cannot be used"},
    [POOL_FAULT_MIXED] = {-EBADMSG, "the ranges belong to different pools",
                          "NVRAM was moved between machines; nothing is lost"},
    [POOL_FAULT_MISSING] = {-ENODEV, "a range of the pool is missing",
                            "regions may reach into it; nothing is lost if it comes back"},
    [POOL_FAULT_DUPLICATE] = {-EBADMSG, "two ranges have the same number in the pool",
                              "one is a copy of the other; nothing is lost"},
    [POOL_FAULT_RECORD] = {-EBADMSG, "both copies of a record are damaged",
                           "at most one region is lost; the others can be exported off-line"},
    [POOL_FAULT_CONTENT] = {-EBADMSG, "a record does not make sense",
                            "at most one region is lost; the others can be exported off-line"},
    [POOL_FAULT_OVERLAP] = {-EBADMSG, "two records claim the same granule",
                            "one of two regions is wrong; the others can be exported off-line"},
    [POOL_FAULT_NAME] = {-EBADMSG, "two regions have the same name",
                         "one of two regions is wrong; the others can be exported off-line"},
};

const char *pool_fault_text(enum pool_fault fault)
{
        return faults[fault].text;
}

const char *pool_fault_meaning(enum pool_fault fault)
{
        return faults[fault].meaning;
}

int pool_fail(struct pool *pool, enum pool_fault fault, hpa_t at)
{
        pool->fault = fault;
        pool->fault_at = at;
        printk(LOG_ERROR, "nvram: pool not mounted, nothing changed: %s (at 0x%lx): %s",
               pool_fault_text(fault), at.v, pool_fault_meaning(fault));
        return faults[fault].error;
}

static bool is_extent_possible(const struct pool *pool, const struct pool_media_extent *extent)
{
        const struct pool_member *member;

        if (extent->range >= pool->member_count)
                return false;
        member = &pool->member[extent->range];
        return member->kind == MEMBER_POOL && extent->count && extent->count <= member->granules &&
               extent->start >= member->metadata &&
               extent->start <= member->granules - extent->count;
}

static bool are_grants_possible(const struct pool_record *record)
{
        const struct pool_media_grant *grant = pool_media_grants(record);

        for (uint32_t i = 0; i < record->grant_count; i++) {
                char vm[POOL_NAME_SIZE] = {0};

                memcpy(vm, grant[i].vm, sizeof grant[i].vm);
                if (!pool_name_is_valid(vm) ||
                    (grant[i].access != POOL_READ_ONLY && grant[i].access != POOL_READ_WRITE))
                        return false;
        }
        return true;
}

static bool is_state_possible(const struct pool_record *record)
{
        if (pool_record_is_region(record))
                return record->extent_count && pool_name_is_valid(record->name) &&
                       (!record->owner[0] || pool_name_is_valid(record->owner));
        if (record->state == POOL_RECORD_DYING)
                return !record->extent_count && record->dying_count && !record->grant_count;
        return record->state == POOL_RECORD_BAD && !record->dying_count && !record->grant_count;
}

/* An intact record that is no empty slot: could it have been written by this code? */
static bool is_record_possible(const struct pool *pool, const struct pool_record *record)
{
        uint64_t granules = 0;

        if (!pool_record_fits(record) || record->flags || !is_state_possible(record) ||
            !are_grants_possible(record))
                return false;
        for (uint32_t i = 0; i < pool_record_extents(record); i++) {
                if (!is_extent_possible(pool, &record->extent[i]))
                        return false;
                granules += i < record->extent_count ? record->extent[i].count : 0;
        }
        return granules * POOL_GRANULE == record->size;
}

static enum pool_fault claim(struct pool *pool, const struct pool_record *record)
{
        for (uint32_t i = 0; i < pool_record_extents(record); i++) {
                const struct pool_media_extent *e = &record->extent[i];

                if (pool_space_claim(pool, e->range, e->start, e->count))
                        continue;
                while (i-- > 0) {
                        e = &record->extent[i];
                        pool_space_release(pool, e->range, e->start, e->count);
                }
                return POOL_FAULT_OVERLAP;
        }
        pool->dying += pool_record_dying(record);
        return POOL_FAULT_NONE;
}

static enum pool_fault judge_record(struct pool *pool, struct pool_region *region,
                                    const struct pool_record *record)
{
        enum pool_fault fault;

        if (!is_record_possible(pool, record))
                return POOL_FAULT_CONTENT;
        if (record->state == POOL_RECORD_BAD) {
                if (pool->bad_records == POOL_BAD_RECORDS_MAX)
                        return POOL_FAULT_CONTENT;
                pool->bad[pool->bad_records++] = region;
                region->record = record;
                return POOL_FAULT_NONE;
        }
        if (pool_record_is_region(record) && pool_index_find(pool, record->name))
                return POOL_FAULT_NAME;
        fault = claim(pool, record);
        if (fault)
                return fault;
        region->record = record;
        if (pool_record_is_region(record))
                pool_index_add(pool, region);
        return POOL_FAULT_NONE;
}

static enum pool_fault judge_slot(struct pool *pool, struct pool_region *region)
{
        const struct pool_expect expect = pool_expect_record(pool, region);
        const struct pool_head *current;
        enum pool_pair_state state =
            pool_pair_load(pool_region_pair(pool, region), &expect, &current);

        region->half = state == PAIR_HALF;
        if (state == PAIR_FOREIGN)
                return POOL_FAULT_VERSION;
        if (!current)
                return POOL_FAULT_RECORD;
        if (current->length > sizeof *current)
                return judge_record(pool, region, (const struct pool_record *)current);
        pool_index_put_empty(pool, region);
        return POOL_FAULT_NONE;
}

/* Bad granules come last: those that a region holds are taken already. */
static void claim_bad(struct pool *pool)
{
        for (uint32_t r = 0; r < pool->bad_records; r++) {
                const struct pool_record *record = pool->bad[r]->record;

                for (uint32_t i = 0; i < record->extent_count; i++)
                        for (uint32_t g = 0; g < record->extent[i].count; g++)
                                (void)pool_space_claim(pool, record->extent[i].range,
                                                       record->extent[i].start + g, 1);
        }
}

int pool_catalogue_judge(struct pool *pool, bool lenient)
{
        for (uint32_t n = pool->slots; n-- > 0;) {
                struct pool_region *region = &pool->region[n];
                const struct pool_member *member = &pool->member[region->member];
                enum pool_fault fault = POOL_FAULT_NONE;

                if (member->kind == MEMBER_POOL)
                        fault = judge_slot(pool, region);
                if (!fault)
                        continue;
                if (!lenient || fault == POOL_FAULT_VERSION) {
                        const uint8_t *at = (const uint8_t *)pool_region_pair(pool, region).a;

                        return pool_fail(pool, fault,
                                         HPA(member->hpa.v + (uint64_t)(at - member->base)));
                }
                region->lost = (uint8_t)fault;
                region->half = false;
                pool->lost++;
        }
        claim_bad(pool);
        return 0;
}

void pool_catalogue_mend(struct pool *pool)
{
        for (uint32_t n = 0; n < pool->slots; n++) {
                struct pool_region *region = &pool->region[n];
                struct pool_expect expect;
                struct pool_pair pair;
                const struct pool_head *current;

                if (!region->half && !region->record)
                        continue;
                pair = pool_region_pair(pool, region);
                if (region->half) {
                        expect = pool_expect_record(pool, region);
                        pool_pair_load(pair, &expect, &current);
                        pool_pair_mend(pair, current);
                        pool->mended++;
                        region->half = false;
                }
                if (region->record)
                        region->record = (const struct pool_record *)pair.a;
        }
}

void pool_catalogue_format(struct pool *pool, struct pool_member *member)
{
        uint32_t granules = member->granules - member->metadata;
        struct pool_record record = {
            .uuid = pool_make_uuid(member->hpa.v),
            .state = POOL_RECORD_DYING,
            .generation = 1,
            .dying_count = 1,
            .dying_total = granules,
            .extent = {{.range = member->id, .start = member->metadata, .count = granules}}};

        record.head = pool_empty_slot(pool, member->region);
        record.head.length = pool_record_length(&record);
        pool_pair_init(pool_record_pair(member, 0), &record.head);
        member->region[0].record = (const struct pool_record *)pool_record_pair(member, 0).a;
        for (uint32_t slot = member->slots; slot-- > 1;) {
                struct pool_head empty = pool_empty_slot(pool, &member->region[slot]);

                pool_pair_init(pool_record_pair(member, slot), &empty);
                pool_index_put_empty(pool, &member->region[slot]);
        }
        if (pool_space_claim(pool, member->id, member->metadata, granules))
                pool->dying += granules;
}

/* All free runs, as records to be scrubbed: what is lost may have been there. */
static void scrub_all_free(struct pool *pool)
{
        struct pool_record record = {.state = POOL_RECORD_DYING, .generation = 1};
        struct pool_region *region;

        for (size_t i = 0; i < pool->member_count; i++) {
                const struct pool_run *run = pool_space_next(pool, (uint32_t)i, 0);

                for (; run && record.dying_count < POOL_EXTENTS_MAX;
                     run = pool_space_next(pool, (uint32_t)i, run->start + run->count)) {
                        record.extent[record.dying_count++] = (struct pool_media_extent){
                            .range = (uint32_t)i, .start = run->start, .count = run->count};
                        record.dying_total += run->count;
                }
        }
        region = record.dying_count ? pool_index_take_empty(pool) : NULL;
        if (!region)
                return;
        for (uint32_t i = 0; i < record.dying_count; i++)
                (void)pool_space_claim(pool, record.extent[i].range, record.extent[i].start,
                                       record.extent[i].count);
        pool->dying += record.dying_total;
        pool_record_store(pool, region, &record);
}

static void give_up_lost(struct pool *pool)
{
        while (pool->space.free && pool->empty)
                scrub_all_free(pool);
        if (pool->space.free) {
                printk(LOG_ERROR, "nvram: no slot to repair the pool with");
                pool->read_only = true;
                return;
        }
        for (uint32_t n = 0; n < pool->slots; n++) {
                if (!pool->region[n].lost)
                        continue;
                pool->region[n].lost = POOL_FAULT_NONE;
                pool_record_clear(pool, &pool->region[n]);
        }
        printk(LOG_WARN, "nvram: %u damaged records given up", pool->lost);
}

void pool_catalogue_finish(struct pool *pool)
{
        for (uint32_t n = 0; n < pool->slots; n++) {
                const struct pool_record *record = pool->region[n].record;

                if (!record || record->state != POOL_RECORD_FILLING)
                        continue;
                printk(LOG_WARN, "nvram: region %s was not filled to its end and is given up",
                       record->name);
                if (pool_delete(pool, &pool->region[n]))
                        printk(LOG_ERROR, "nvram: and cannot be deleted");
        }
        if (pool->lost)
                give_up_lost(pool);
}
