/*
 * Damaged, foreign, newer and incomplete pools: never a crash, never a region with wrong contents,
 * and what is refused is left as it was.
 */
#include <errno.h>

#include "mm/pool/crc32c.h"
#include "mm/pool/pool_index.h"
#include "tests/unit/pool_world.h"

static const uint64_t two_ranges[] = {8 * MiB, 8 * MiB};

static struct world make_used(void)
{
        struct world world = world_make(2, two_ranges, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 2 * MiB, 1, &region), 0);
        *(uint64_t *)pool_region_extent(&m.pool, region, 0).base = 1;
        CHECK_EQ(pool_create(&m.pool, "two", "vm", 8 * MiB, 2, &region), 0);
        *(uint64_t *)pool_region_extent(&m.pool, region, 0).base = 2;
        world_unmount(&m);
        return world;
}

static bool is_as_made(struct pool *pool)
{
        struct pool_region *one = pool_find(pool, "one");
        struct pool_region *two = pool_find(pool, "two");

        return one && two && pool_usage(pool).regions == 2 && pool_region_size(one) == 2 * MiB &&
               pool_region_size(two) == 8 * MiB && pool_usage(pool).used == 5;
}

/* Mount what is in the world and demand this fault and not one byte changed. */
static void expect_fault(struct world *world, enum pool_fault fault, int err)
{
        uint8_t *before = malloc(world->size);
        struct mounted m;

        memcpy(before, world->memory, world->size);
        world_mount(world, world->memory, false, &m);
        CHECK_EQ(m.pool.fault, fault);
        CHECK_EQ(m.err, err);
        CHECK(!m.pool.mounted);
        CHECK(pool_fault_text(m.pool.fault)[0] != 0);
        CHECK(!memcmp(before, world->memory, world->size));
        world_unmount(&m);
        free(before);
}

static void reseal(uint8_t *object)
{
        struct pool_head *head = (struct pool_head *)object;

        head->crc = crc32c(0, &head->magic, head->length - 8);
}

/* ---- Random damage. ---- */

#define PAGE         4096u
#define METADATA_END (POOL_CATALOGUE + 2 * 480 * POOL_SLOT_SIZE)

static unsigned int cases(void)
{
        const char *env = getenv("CASES");

        return env ? (unsigned int)atoi(env) : 3000;
}

/* The world as it was, and what was damaged since. */
struct victim {
        struct world world;
        uint8_t *good;
        uint64_t page[8];
        size_t pages;
        uint64_t seed;
};

/* A place in one of the ranges' metadata, most often where something is. */
static uint64_t any_page(struct victim *v)
{
        static const uint64_t busy[] = {0, POOL_SUPERBLOCK_B, POOL_CATALOGUE,
                                        POOL_CATALOGUE + 480 * POOL_SLOT_SIZE};
        uint64_t range = unit_random(&v->seed) % 2 * 8 * MiB;

        if (unit_random(&v->seed) % 4)
                return range + busy[unit_random(&v->seed) % ARRAY_LEN(busy)] +
                       unit_random(&v->seed) % 2 * PAGE;
        return range + unit_random(&v->seed) % (METADATA_END / PAGE) * PAGE;
}

static uint8_t *touch(struct victim *v, uint64_t page)
{
        v->page[v->pages++] = page;
        return v->world.memory + page;
}

static void damage_bits(struct victim *v)
{
        uint8_t *page = touch(v, any_page(v));

        for (uint64_t n = unit_random(&v->seed) % 4 ? 1 : unit_random(&v->seed) % 16 + 1; n--;)
                page[unit_random(&v->seed) % 600] ^= (uint8_t)(1u << unit_random(&v->seed) % 8);
}

static void damage_zero(struct victim *v)
{
        memset(touch(v, any_page(v)), 0, PAGE);
}

static void damage_noise(struct victim *v)
{
        uint8_t *at = touch(v, any_page(v));

        for (size_t i = 0; i < PAGE; i++)
                at[i] = (uint8_t)unit_random(&v->seed);
}

static void damage_swap(struct victim *v)
{
        uint8_t *a = touch(v, any_page(v));
        uint8_t *b = touch(v, any_page(v));
        uint8_t keep[PAGE];

        memcpy(keep, a, PAGE);
        memcpy(a, b, PAGE);
        memcpy(b, keep, PAGE);
}

static void heal(struct victim *v)
{
        memcpy(v->world.memory, v->good, METADATA_END);
        memcpy(v->world.memory + 8 * MiB, v->good + 8 * MiB, METADATA_END);
        v->pages = 0;
}

/* Bytes of a page that an object's checksum covers, or that are its word. */
static bool is_covered(const struct victim *v, uint64_t at)
{
        uint64_t in_range = at % (8 * MiB);
        uint64_t start = in_range < POOL_SUPERBLOCK_B ? 0
                         : in_range < POOL_CATALOGUE  ? POOL_SUPERBLOCK_B
                                                      : in_range / POOL_SLOT_SIZE * POOL_SLOT_SIZE;
        const struct pool_head *head = (const struct pool_head *)(v->good + at - in_range + start);

        return in_range - start < head->length;
}

static bool is_damaged(const struct victim *v)
{
        for (size_t i = 0; i < v->pages; i++)
                for (uint64_t at = v->page[i]; at < v->page[i] + PAGE; at++)
                        if (v->world.memory[at] != v->good[at] && is_covered(v, at))
                                return true;
        return false;
}

/* What a salvage mount shows is true, if not all: no region but those made, with their contents. */
static bool is_part_right(struct pool *pool)
{
        struct pool_region *region = NULL;

        while ((region = pool_next(pool, region))) {
                bool one = !strcmp(pool_region_name(region), "one");
                struct pool_extent e = pool_region_extent(pool, region, 0);

                if (!one && strcmp(pool_region_name(region), "two") != 0)
                        return false;
                if (pool_region_size(region) != (one ? 2 * MiB : 8 * MiB) ||
                    *(const uint64_t *)e.base != (one ? 1u : 2u))
                        return false;
        }
        return true;
}

static void try_salvage(struct victim *v)
{
        struct mounted m;

        world_mount_with(&v->world, 2, v->world.memory,
                         (struct pool_config){.mode = POOL_MODE_SALVAGE}, &m);
        CHECK(m.err || (m.pool.read_only && is_part_right(&m.pool)));
        world_unmount(&m);
}

static void try_repair(struct victim *v)
{
        struct pool_health health;
        struct mounted m;

        world_mount_with(&v->world, 2, v->world.memory,
                         (struct pool_config){.mode = POOL_MODE_REPAIR}, &m);
        /* Two ranges with each other's superblocks have not one record left: that stays as it is.
         */
        if (!m.err && !m.pool.read_only) {
                CHECK(is_part_right(&m.pool));
                CHECK_EQ(pool_check(&m.pool, false, false, &health), 0);
                CHECK_EQ(pool_usage(&m.pool).free, 0);
        }
        world_unmount(&m);
}

/* One case: detected, told, and nothing wrong; mended for good where one copy was left. */
static void try_mount(struct victim *v, uint64_t *mended, uint64_t *refused)
{
        bool damaged = is_damaged(v);
        struct mounted m;

        world_mount(&v->world, v->world.memory, false, &m);
        if (m.err) {
                CHECK(m.pool.fault != POOL_FAULT_NONE && damaged);
                CHECK(pool_fault_meaning(m.pool.fault)[0] != 0);
                ++*refused;
                try_salvage(v);
                try_repair(v);
        } else {
                CHECK(is_as_made(&m.pool) && is_part_right(&m.pool));
                CHECK_EQ(m.pool.mended != 0, damaged);
                *mended += damaged;
                CHECK(!is_damaged(v)); /* and the media is as it was */
        }
        world_unmount(&m);
}

static void test_random_damage(void)
{
        static void (*const kinds[])(struct victim *) = {damage_bits, damage_zero, damage_noise,
                                                         damage_swap};
        struct victim v = {.world = make_used(), .seed = unit_seed()};
        uint64_t mended = 0, refused = 0;

        v.good = malloc(v.world.size);
        memcpy(v.good, v.world.memory, v.world.size);
        for (unsigned int i = 0; i < cases() && unit_failed_checks < 20; i++) {
                /* Mostly one wound; sometimes two, which may hit both copies. */
                for (uint64_t n = unit_random(&v.seed) % 3 ? 1 : 2; n--;)
                        kinds[unit_random(&v.seed) % ARRAY_LEN(kinds)](&v);
                try_mount(&v, &mended, &refused);
                heal(&v);
        }
        printf("# total: %u cases of damage: %llu mended and right, %llu refused\n", cases(),
               (unsigned long long)mended, (unsigned long long)refused);
        CHECK(mended > 0 && refused > 0);
        free(v.good);
        free(v.world.memory);
}

/* Copy A of the record of a region, in whichever catalogue it is. */
static uint8_t *slot_of(struct world *world, const char *name)
{
        for (uint64_t range = 0; range < world->size; range += 8 * MiB)
                for (uint32_t slot = 0; slot < 480; slot++) {
                        uint8_t *at =
                            world->memory + range + POOL_CATALOGUE + slot * POOL_SLOT_SIZE;

                        if (!strcmp(((struct pool_record *)at)->name, name))
                                return at;
                }
        abort();
}

/*
 * Records that changed places are not believed, within a range or from another one; their second
 * copies are, and mend them for good.
 */
static void swap_records(struct world *world, uint8_t *one, uint8_t *two)
{
        uint8_t keep[POOL_SLOT_SIZE];
        struct mounted m;

        memcpy(keep, one, sizeof keep);
        memcpy(one, two, sizeof keep);
        memcpy(two, keep, sizeof keep);
        world_mount(world, world->memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 2);
        CHECK(is_as_made(&m.pool));
        world_unmount(&m);
        world_mount(world, world->memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 0);
        world_unmount(&m);
}

static void test_swapped_records(void)
{
        struct world world = make_used();
        uint8_t *one;

        swap_records(&world, slot_of(&world, "one"), slot_of(&world, "two"));
        one = slot_of(&world, "one");
        swap_records(&world, one, one < world.memory + 8 * MiB ? one + 8 * MiB : one - 8 * MiB);
        free(world.memory);
}

static void test_foreign(void)
{
        struct world world = world_make(2, two_ranges, 0, 0);

        world.memory[POOL_CATALOGUE * 3 + 5] = 1;
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        memcpy(world.memory, "NAMESPACE_INDEX", 16);
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        free(world.memory);
}

static void test_both_superblocks(void)
{
        struct world world = make_used();

        world.memory[50] ^= 1;
        world.memory[POOL_SUPERBLOCK_B + 60] ^= 1;
        expect_fault(&world, POOL_FAULT_HEADER, -EBADMSG);
        free(world.memory);
}

static void test_newer(void)
{
        struct world world = make_used();

        for (int copy = 0; copy < 2; copy++) {
                uint8_t *at = world.memory + (copy ? POOL_SUPERBLOCK_B : 0);

                ((struct pool_head *)at)->version = POOL_VERSION + 1;
                reseal(at);
        }
        expect_fault(&world, POOL_FAULT_VERSION, -ENOTSUP);
        free(world.memory);
}

static void change_record(struct world *world, const char *name, uint32_t start)
{
        uint8_t *at = slot_of(world, name);

        for (int copy = 0; copy < 2; copy++, at += 480 * POOL_SLOT_SIZE) {
                ((struct pool_record *)at)->extent[0].start = start;
                reseal(at);
        }
}

static void test_overlap(void)
{
        struct world world = make_used();
        const struct pool_record *two = (struct pool_record *)slot_of(&world, "two");
        uint32_t range = two->extent[0].range;

        for (int copy = 0; copy < 2; copy++) {
                uint8_t *at = slot_of(&world, "one") + copy * 480 * POOL_SLOT_SIZE;

                ((struct pool_record *)at)->extent[0].range = range;
                reseal(at);
        }
        change_record(&world, "one", two->extent[0].start);
        expect_fault(&world, POOL_FAULT_OVERLAP, -EBADMSG);
        change_record(&world, "one", 0);
        expect_fault(&world, POOL_FAULT_CONTENT, -EBADMSG);
        change_record(&world, "one", 4);
        expect_fault(&world, POOL_FAULT_CONTENT, -EBADMSG);
        free(world.memory);
}

/* Two regions of one name cannot come from this code: neither is guessed to be the right one. */
static void test_same_name(void)
{
        struct world world = make_used();
        uint8_t *one = slot_of(&world, "one"), *two = slot_of(&world, "two"), *at = two;

        for (int copy = 0; copy < 2; copy++, at += 480 * POOL_SLOT_SIZE) {
                memcpy(((struct pool_record *)at)->name, "one", 4);
                reseal(at);
        }
        expect_fault(&world, POOL_FAULT_NAME, -EBADMSG);
        /* Nor is a damaged copy of either mended, as long as the pool is refused. */
        one[480 * POOL_SLOT_SIZE + 100] ^= 1;
        two[480 * POOL_SLOT_SIZE + 100] ^= 1;
        expect_fault(&world, POOL_FAULT_NAME, -EBADMSG);
        free(world.memory);
}

/* A missing, a doubled and another pool's range. */
static void test_members(void)
{
        struct world world = make_used();
        struct world other = make_used();

        world.ranges = 1;
        expect_fault(&world, POOL_FAULT_MISSING, -ENODEV);
        world.ranges = 2;
        memset(world.memory + 8 * MiB, 0, 8 * MiB);
        expect_fault(&world, POOL_FAULT_MISSING, -ENODEV);
        memcpy(world.memory + 8 * MiB, world.memory, 8 * MiB);
        expect_fault(&world, POOL_FAULT_DUPLICATE, -EBADMSG);
        ((struct pool_head *)(other.memory + 8 * MiB))->pool.byte[0] ^= 1;
        reseal(other.memory + 8 * MiB);
        memset(other.memory + 8 * MiB + POOL_SUPERBLOCK_B, 0, 128);
        expect_fault(&other, POOL_FAULT_MIXED, -EBADMSG);
        free(world.memory);
        free(other.memory);
}

/* A record that is to be scrubbed is lost while mounted: what waits for its space does not wait. */
static void test_dying_record_damaged(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct pool_health health;
        struct mounted m;

        world_mount(&world, world.memory, true, &m);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 2 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&m.pool, "two", "vm", 10 * MiB, 1, &region), 0);
        CHECK_EQ(pool_delete(&m.pool, region), 0);
        for (uint32_t copy = 0; copy < 2; copy++)
                ((uint8_t *)region->record)[copy * 480 * POOL_SLOT_SIZE + 100] ^= 1;
        CHECK_EQ(pool_create(&m.pool, "three", "vm", 8 * MiB, 1, &region), -EBADMSG);
        CHECK_EQ(pool_scrub(&m.pool, 1), 0);
        CHECK(m.pool.read_only);
        CHECK_EQ(pool_create(&m.pool, "three", "vm", 2 * MiB, 1, &region), -EROFS);
        CHECK_EQ(pool_grow(&m.pool, pool_find(&m.pool, "one"), 4 * MiB), -EROFS);
        CHECK_EQ(pool_check(&m.pool, false, false, &health), -EBADMSG);
        CHECK_EQ(health.broken, 1);
        world_unmount(&m);
        free(world.memory);
}

/* Damage that looks like something to scrub, while mounted: the intact copy is asked first. */
static void test_damage_is_not_scrubbed(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region, *gone;
        struct mounted m;

        world_mount(&world, world.memory, true, &m);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 2 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&m.pool, "two", "vm", 2 * MiB, 1, &gone), 0);
        CHECK_EQ(pool_delete(&m.pool, gone), 0);
        ((struct pool_record *)region->record)->dying_count = 1;
        CHECK_EQ(pool_scrub(&m.pool, UINT64_MAX), 0);
        CHECK_EQ(pool_usage(&m.pool).dying, 0);
        world_unmount(&m);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK(pool_find(&m.pool, "one") != NULL);
        world_unmount(&m);
        free(world.memory);
}

/* Damage of a mounted pool: one copy is not told to anybody, with both nothing is changed more. */
static void test_damage_while_mounted(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region, *other;
        struct pool_record *a;
        struct mounted m;

        world_mount(&world, world.memory, true, &m);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 4 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&m.pool, "two", "vm", 2 * MiB, 1, &other), 0);
        a = (struct pool_record *)region->record;
        a->extent_count = 200;
        a->extent[0].range = 77;
        a->size = 2 * TiB;
        CHECK(pool_next(&m.pool, NULL) == region);
        CHECK_EQ(pool_region_extents(region), 1);
        CHECK_EQ(pool_region_extent(&m.pool, region, 0).size, 4 * MiB);
        a->extent_count = 200;
        CHECK(pool_find(&m.pool, "one") == region);
        CHECK_EQ(pool_region_extents(region), 1);
        CHECK(!m.pool.read_only);
        a->extent_count = 200;
        ((struct pool_record *)pool_region_pair(&m.pool, region).b)->extent_count = 200;
        CHECK(pool_find(&m.pool, "one") == NULL);
        CHECK(m.pool.read_only);
        CHECK(pool_next(&m.pool, NULL) == other && !pool_next(&m.pool, other));
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 2 * MiB, 1, &region), -EROFS);
        world_unmount(&m);
        free(world.memory);
}

/* The name that is wanted is a damaged record's: it must not be given twice. */
static void test_name_of_damaged(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, true, &m);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 4 * MiB, 1, &region), 0);
        ((struct pool_record *)region->record)->size = 0;
        ((struct pool_record *)pool_region_pair(&m.pool, region).b)->size = 0;
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 4 * MiB, 1, &region), -EROFS);
        world_unmount(&m);
        free(world.memory);
}

/* Salvage tells which records it passed over, and the check of such a pool is not clean. */
static void test_lost_records(void)
{
        struct world world = make_used();
        struct pool_health health;
        struct pool_lost lost;
        struct mounted m;

        change_record(&world, "one", 0);
        world_mount_with(&world, 2, world.memory, (struct pool_config){.mode = POOL_MODE_SALVAGE},
                         &m);
        CHECK_EQ(m.err, 0);
        CHECK(pool_lost(&m.pool, 0, &lost) && !pool_lost(&m.pool, 1, &lost));
        CHECK_EQ(lost.why, POOL_FAULT_CONTENT);
        CHECK(!strcmp(((struct pool_record *)lost.pair.b)->name, "one"));
        CHECK_EQ(pool_check(&m.pool, false, false, &health), -EBADMSG);
        CHECK_EQ(health.broken, 1);
        world_unmount(&m);
        free(world.memory);
}

/* A blank range beside a pool joins it; ranges may come in any order afterwards. */
static void test_grow_by_range(void)
{
        struct world world = make_used();
        struct world wide = {.memory = aligned_alloc(4096, 24 * MiB),
                             .size = 24 * MiB,
                             .ranges = 3,
                             .range_size = {8 * MiB, 8 * MiB, 8 * MiB}};
        struct mounted m;

        memset(wide.memory, 0, wide.size);
        memcpy(wide.memory + 8 * MiB, world.memory + 8 * MiB, 8 * MiB);
        memcpy(wide.memory + 16 * MiB, world.memory, 8 * MiB);
        world_mount(&wide, wide.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK(is_as_made(&m.pool));
        CHECK_EQ(pool_usage(&m.pool).ranges, 3);
        world_unmount(&m);
        world_mount(&wide, wide.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 0);
        CHECK(is_as_made(&m.pool));
        world_unmount(&m);
        free(world.memory);
        free(wide.memory);
}

/* Zeros where the metadata would go, but somebody's data in a granule behind them. */
static void test_data_behind_zeros(void)
{
        const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);

        world.memory[6 * MiB] = 1;
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        free(world.memory);
}

int main(void)
{
        RUN(test_random_damage);
        RUN(test_swapped_records);
        RUN(test_foreign);
        RUN(test_data_behind_zeros);
        RUN(test_both_superblocks);
        RUN(test_newer);
        RUN(test_overlap);
        RUN(test_same_name);
        RUN(test_dying_record_damaged);
        RUN(test_damage_is_not_scrubbed);
        RUN(test_damage_while_mounted);
        RUN(test_name_of_damaged);
        RUN(test_lost_records);
        RUN(test_members);
        RUN(test_grow_by_range);
        return unit_done();
}
