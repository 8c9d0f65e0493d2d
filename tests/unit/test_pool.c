/* The NVRAM pool against a plain model: random operations, remounts, odd ranges and attachment. */
#include "mm/pool.h"

#include <errno.h>
#include <stdio.h>

#include "mm/pool_space.h"
#include "tests/unit/pool_world.h"

#define MODEL_MAX 64

struct model_region {
        char name[POOL_NAME_SIZE];
        char owner[POOL_NAME_SIZE];
        uint64_t size;
        uint64_t stamp; /* what its guest wrote to the first word of every granule */
};

struct model {
        struct model_region region[MODEL_MAX];
        size_t count;
        uint64_t free;
};

static void stamp_region(struct pool *pool, struct pool_region *region, uint64_t stamp)
{
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);

                for (uint64_t at = 0; at < extent.size; at += POOL_GRANULE) {
                        uint64_t *word = (uint64_t *)((uint8_t *)extent.base + at);

                        CHECK_EQ(word[0], 0);
                        CHECK_EQ(word[POOL_GRANULE / 8 - 1], 0);
                        word[0] = word[POOL_GRANULE / 8 - 1] = stamp;
                }
        }
}

static void check_region(struct pool *pool, const struct model_region *want)
{
        struct pool_region *region = pool_find(pool, want->name);
        uint64_t sum = 0;

        CHECK(region != NULL);
        if (!region)
                return;
        CHECK(!strcmp(pool_region_owner(region), want->owner));
        CHECK_EQ(pool_region_size(region), want->size);
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);

                CHECK(is_aligned(extent.hpa.v, POOL_GRANULE));
                for (uint64_t at = 0; at < extent.size; at += POOL_GRANULE)
                        CHECK_EQ(*(uint64_t *)((uint8_t *)extent.base + at), want->stamp);
                sum += extent.size;
        }
        CHECK_EQ(sum, want->size);
}

static void check_pool(struct pool *pool, const struct model *model)
{
        struct pool_usage usage = pool_usage(pool);
        struct pool_region *region = NULL;
        size_t n = 0;

        CHECK_EQ(usage.regions, model->count);
        CHECK_EQ(usage.free, model->free);
        for (size_t i = 0; i < model->count; i++)
                check_region(pool, &model->region[i]);
        while ((region = pool_next(pool, region)))
                n++;
        CHECK_EQ(n, model->count);
}

static void random_create(struct pool *pool, struct model *model, uint64_t *seed)
{
        struct model_region want = {.stamp = unit_random(seed)};
        uint64_t granules = unit_random(seed) % 4 + 1;
        bool odd_size = unit_random(seed) % 8 == 0;
        bool taken = model->count && unit_random(seed) % 8 == 0;
        struct pool_region *region;
        int expected = 0;

        snprintf(want.name, sizeof want.name, "r%zu", model->count);
        snprintf(want.owner, sizeof want.owner, "vm%u", (unsigned int)(want.stamp % 3));
        want.size = granules * POOL_GRANULE + (odd_size ? 4096 : 0);
        if (taken)
                memcpy(want.name, model->region[0].name, sizeof want.name);
        if (odd_size)
                expected = -EINVAL;
        else if (taken)
                expected = -EEXIST;
        else if (granules > model->free)
                expected = -ENOSPC;
        CHECK_EQ(pool_create(pool, want.name, want.owner, want.size, want.stamp, &region),
                 expected);
        if (expected)
                return;
        stamp_region(pool, region, want.stamp);
        model->free -= granules;
        model->region[model->count++] = want;
}

static void test_random(void)
{
        uint64_t seed = unit_seed();

        for (int round = 0; round < 12; round++) {
                size_t ranges = unit_random(&seed) % 4 + 1;
                struct model model = {0};
                struct mounted m;
                struct world world;
                uint64_t sizes[4];

                for (size_t i = 0; i < 4; i++)
                        sizes[i] = (unit_random(&seed) % 4 + 3) * POOL_GRANULE +
                                   unit_random(&seed) % 512 * 4096;
                world = world_make(ranges, sizes, unit_random(&seed) % 512 * 4096, 0x77);
                world_mount(&world, world.memory, true, &m);
                CHECK_EQ(m.err, 0);
                model.free = pool_usage(&m.pool).free;
                CHECK(model.free > 0);
                for (int step = 0; step < 20; step++) {
                        random_create(&m.pool, &model, &seed);
                        if (unit_random(&seed) % 4 == 0) {
                                world_unmount(&m);
                                world_mount(&world, world.memory, false, &m);
                                CHECK_EQ(m.err, 0);
                                CHECK_EQ(m.pool.mended, 0);
                                check_pool(&m.pool, &model);
                        }
                }
                check_pool(&m.pool, &model);
                world_unmount(&m);
                free(world.memory);
        }
}

static void test_attach(void)
{
        static const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(pool_create(&m.pool, "data", "db", POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_attach(region, "web", POOL_READ_ONLY), -EPERM);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_WRITE), 0);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_WRITE), -EBUSY);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_ONLY), -EBUSY);
        pool_detach(region, POOL_READ_WRITE);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_ONLY), 0);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_ONLY), 0);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_WRITE), -EBUSY);
        pool_detach(region, POOL_READ_ONLY);
        pool_detach(region, POOL_READ_ONLY);
        CHECK_EQ(pool_attach(region, "db", POOL_READ_WRITE), 0);
        pool_print(&m.pool);
        world_unmount(&m);
        free(world.memory);
}

static void test_names(void)
{
        static const char *const bad[] = {"",    "a b",      "a,b",
                                          "a/b", "\xc3\xa9", "12345678901234567890123456789012"};
        static const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                CHECK_EQ(pool_create(&m.pool, bad[i], "vm", POOL_GRANULE, 1, &region), -EINVAL);
                CHECK_EQ(pool_create(&m.pool, "ok", bad[i], POOL_GRANULE, 1, &region), -EINVAL);
        }
        CHECK_EQ(pool_create(&m.pool, "ok", "vm", 0, 1, &region), -EINVAL);
        CHECK_EQ(
            pool_create(&m.pool, "1234567890123456789012345678901", "vm", POOL_GRANULE, 1, &region),
            0);
        CHECK(pool_find(&m.pool, "ok") == NULL);
        world_unmount(&m);
        free(world.memory);
}

/* Ranges too small or badly placed are left alone and reported; the pool uses the others. */
static void test_tiny_ranges(void)
{
        static const uint64_t sizes[] = {4096, 4 * MiB, 5 * MiB};
        struct world world = world_make(3, sizes, 4096, 0);
        struct pool_usage usage;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        usage = pool_usage(&m.pool);
        CHECK_EQ(m.err, -ENODEV);
        CHECK_EQ(m.pool.fault, POOL_FAULT_NO_ROOM);
        CHECK_EQ(usage.unused, world.size);
        world_unmount(&m);
        free(world.memory);
}

static void test_simulated_left_out(void)
{
        static uint8_t block[12 * MiB] __attribute__((aligned(4096)));
        struct pool_range ranges[] = {{block, HPA(4 * GiB), 6 * MiB, true},
                                      {block + 6 * MiB, HPA(8 * GiB), 6 * MiB, false}};
        uint64_t memory[8192];
        struct pool_config config = {.memory = memory, .memory_size = sizeof memory};
        struct pool pool;

        CHECK_EQ(pool_mount(&pool, ranges, 2, &config), 0);
        CHECK(!pool.simulated);
        CHECK_EQ(pool_usage(&pool).total, 3);
        CHECK_EQ(block[0], 0);
        CHECK_EQ(pool_mount(&pool, ranges, 1, &config), 0);
        CHECK(pool.simulated);
        config.memory_size = 100;
        CHECK_EQ(pool_mount(&pool, ranges, 1, &config), -ENOMEM);
        CHECK(!pool.mounted);
}

/* A region of 1 GiB and more takes whole aligned GiBs first; its map is tried without the memory.
 */
static void test_gib_runs(void)
{
        static uint64_t map[64], other[4];
        struct pool pool = {.member_count = 2};
        struct pool_media_extent extent[POOL_EXTENTS_MAX];
        uint32_t n;

        pool.member[0] =
            (struct pool_member){.hpa = HPA(5 * GiB - 100 * PAGE_2M), .granules = 2000, .map = map};
        pool.member[1] =
            (struct pool_member){.hpa = HPA(32 * GiB), .granules = 200, .id = 1, .map = other};
        CHECK_EQ(pool_space_take(&pool, 512 + 30, extent, &n), 0);
        CHECK_EQ(n, 1);
        CHECK_EQ(extent[0].start % 512, 100);
        CHECK_EQ(extent[0].count, 542);
        CHECK_EQ(pool_space_take(&pool, 5, extent, &n), 0);
        CHECK_EQ(extent[0].range, 0);
        CHECK_EQ(extent[0].start, 0);
        CHECK_EQ(pool_space_take(&pool, 2200 - 547 + 1, extent, &n), -ENOSPC);
        CHECK_EQ(pool_space_free(&pool), 2200 - 547);
        CHECK_EQ(pool_space_take(&pool, 2200 - 547, extent, &n), 0);
        CHECK_EQ(pool_space_free(&pool), 0);
}

/* Free space in too many pieces is refused and given back whole. */
static void test_fragmented(void)
{
        static uint64_t map[8];
        struct pool pool = {.member_count = 1};
        struct pool_media_extent extent[POOL_EXTENTS_MAX];
        uint32_t n;

        pool.member[0] = (struct pool_member){.hpa = HPA(4 * GiB), .granules = 500, .map = map};
        memset(map, 0x55, sizeof map);
        CHECK_EQ(pool_space_free(&pool), 250);
        CHECK_EQ(pool_space_take(&pool, POOL_EXTENTS_MAX + 1, extent, &n), -ENOSPC);
        CHECK_EQ(pool_space_free(&pool), 250);
        CHECK_EQ(pool_space_take(&pool, POOL_EXTENTS_MAX, extent, &n), 0);
        CHECK_EQ(n, POOL_EXTENTS_MAX);
        CHECK_EQ(pool_space_free(&pool), 250 - POOL_EXTENTS_MAX);
}

static void test_memory_bound(void)
{
        struct pool_range range = {NULL, HPA(4 * GiB), 16 * TiB, false};

        CHECK(pool_memory_size(&range, 1) < 16 * TiB / 10000);
        range.size = 1 * TiB;
        CHECK(pool_memory_size(&range, 1) < TiB / 10000);
}

int main(void)
{
        RUN(test_random);
        RUN(test_attach);
        RUN(test_names);
        RUN(test_tiny_ranges);
        RUN(test_simulated_left_out);
        RUN(test_gib_runs);
        RUN(test_fragmented);
        RUN(test_memory_bound);
        return unit_done();
}
