/* The NVRAM pool: attachment, grants, stale references, bad granules, odd ranges. */
#include "guest/admin/nv/nv_commands.h"
#include "mm/pool/pool.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/pool_world.h"

#define LONG_NAME "1234567890123456789012345678901"

static int attach(struct pool *pool, const char *name, const char *vm, enum pool_access access)
{
        struct pool_ref ref = pool_ref(pool_find(pool, name));

        return pool_attach(pool, &ref, vm, access);
}

static void detach(struct pool *pool, const char *name, enum pool_access access)
{
        struct pool_ref ref = pool_ref(pool_find(pool, name));

        pool_detach(&ref, access);
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
        CHECK_EQ(attach(&m.pool, "data", "web", POOL_READ_ONLY), -EPERM);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_WRITE), 0);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_WRITE), -EBUSY);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_ONLY), -EBUSY);
        detach(&m.pool, "data", POOL_READ_WRITE);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_ONLY), 0);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_ONLY), 0);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_WRITE), -EBUSY);
        detach(&m.pool, "data", POOL_READ_ONLY);
        detach(&m.pool, "data", POOL_READ_ONLY);
        CHECK_EQ(attach(&m.pool, "data", "db", POOL_READ_WRITE), 0);
        nv_log(&m.pool);
        world_unmount(&m);
        free(world.memory);
}

static void test_grants(void)
{
        static const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        enum pool_access access;
        char vm[POOL_NAME_SIZE];
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(pool_create(&m.pool, "data", "", POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(attach(&m.pool, "data", "", POOL_READ_ONLY), -EPERM);
        CHECK_EQ(pool_grant(&m.pool, region, "web", POOL_NO_ACCESS), -ENOENT);
        CHECK_EQ(pool_grant(&m.pool, region, "web", POOL_READ_ONLY), 0);
        CHECK_EQ(attach(&m.pool, "data", "web", POOL_READ_WRITE), -EPERM);
        CHECK_EQ(attach(&m.pool, "data", "web", POOL_READ_ONLY), 0);
        /* A grant may change under an attachment, and holds for the next one. */
        CHECK_EQ(pool_grant(&m.pool, region, "web", POOL_READ_WRITE), 0);
        CHECK(!pool_region_grant(region, 1, vm, &access));
        detach(&m.pool, "data", POOL_READ_ONLY);
        world_unmount(&m);
        world_mount(&world, world.memory, false, &m);
        region = pool_find(&m.pool, "data");
        CHECK_EQ(attach(&m.pool, "data", "web", POOL_READ_WRITE), 0);
        CHECK_EQ(pool_grant(&m.pool, region, LONG_NAME, POOL_READ_ONLY), 0);
        CHECK(pool_region_grant(region, 1, vm, &access) && !strcmp(vm, LONG_NAME));
        CHECK_EQ(pool_grant(&m.pool, region, LONG_NAME, POOL_NO_ACCESS), 0);
        for (char i = 1; i < (char)POOL_GRANTS_MAX; i++)
                CHECK_EQ(pool_grant(&m.pool, region, (char[]){'a' + i, 0}, POOL_READ_ONLY), 0);
        CHECK_EQ(pool_grant(&m.pool, region, "one-more", POOL_READ_ONLY), -ENOSPC);
        CHECK_EQ(pool_grant(&m.pool, region, "web", POOL_NO_ACCESS), 0);
        CHECK_EQ(pool_grant(&m.pool, region, "one-more", POOL_READ_ONLY), 0);
        CHECK(pool_region_grant(region, POOL_GRANTS_MAX - 1, vm, &access) &&
              !strcmp(vm, "one-more"));
        CHECK_EQ(pool_owner_bytes(&m.pool, ""), POOL_GRANULE);
        world_unmount(&m);
        free(world.memory);
}

/* A reference holds one version of one region: what changed or was made anew is another. */
static void test_stale(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct pool_ref ref;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(pool_create(&m.pool, "data", "db", POOL_GRANULE, 1, &region), 0);
        ref = pool_ref(region);
        CHECK_EQ(pool_grow(&m.pool, region, 2 * POOL_GRANULE), 0);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        ref = pool_ref(region);
        CHECK_EQ(pool_shrink(&m.pool, region, POOL_GRANULE), 0);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        ref = pool_ref(region);
        CHECK_EQ(pool_rename(&m.pool, region, "data2"), 0);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        ref = pool_ref(region);
        CHECK_EQ(pool_grant(&m.pool, region, "web", POOL_READ_ONLY), 0);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), 0);
        pool_detach(&ref, POOL_READ_WRITE);
        CHECK_EQ(pool_delete(&m.pool, region), 0);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        CHECK_EQ(pool_create(&m.pool, "data2", "db", POOL_GRANULE, 2, &region), 0);
        CHECK_EQ(pool_attach(&m.pool, &ref, "db", POOL_READ_WRITE), -ESTALE);
        world_unmount(&m);
        free(world.memory);
}

/* What is being filled can be deleted or committed, and nothing else; a remount gives it up. */
static void test_filling(void)
{
        static const uint64_t size[] = {16 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(pool_begin(&m.pool, "half", "db", POOL_GRANULE, 1, &region), 0);
        CHECK(pool_region_is_filling(region));
        CHECK_EQ(attach(&m.pool, "half", "db", POOL_READ_ONLY), -EBUSY);
        CHECK_EQ(pool_grow(&m.pool, region, 2 * POOL_GRANULE), -EBUSY);
        CHECK_EQ(pool_delete(&m.pool, region), 0);
        CHECK_EQ(pool_begin(&m.pool, "half", "db", POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_begin(&m.pool, "whole", "db", POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_commit(&m.pool, region), 0);
        CHECK_EQ(pool_commit(&m.pool, region), -EINVAL);
        world_unmount(&m);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK(pool_find(&m.pool, "half") == NULL);
        CHECK_EQ(attach(&m.pool, "whole", "db", POOL_READ_ONLY), 0);
        world_unmount(&m);
        free(world.memory);
}

/* A region on a bad granule keeps it; released, it is not handed out, not even after a remount. */
static void test_bad(void)
{
        static const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);
        struct pool_region *region;
        struct mounted m;
        hpa_t bad;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(pool_create(&m.pool, "data", "db", POOL_GRANULE, 1, &region), 0);
        bad = pool_region_extent(&m.pool, region, 0).hpa;
        CHECK_EQ(pool_add_bad(&m.pool, HPA(bad.v + POOL_GRANULE - 1)), 0);
        CHECK_EQ(pool_add_bad(&m.pool, HPA(WORLD_HPA)), -ENOTSUP);
        CHECK_EQ(pool_add_bad(&m.pool, HPA(WORLD_HPA + 8 * MiB)), -ENOENT);
        CHECK_EQ(pool_add_bad(&m.pool, HPA(WORLD_HPA - 1)), -ENOENT);
        CHECK_EQ(pool_region_bad(&m.pool, region), 1);
        CHECK_EQ(pool_delete(&m.pool, region), 0);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(pool_scrub(&m.pool, UINT64_MAX), 0);
                CHECK_EQ(pool_usage(&m.pool).bad, 1);
                CHECK_EQ(pool_usage(&m.pool).free, 2);
                CHECK(pool_bad(&m.pool, 0, &bad) && !pool_bad(&m.pool, 1, &bad));
                CHECK_EQ(pool_create(&m.pool, "big", "db", 3 * POOL_GRANULE, 1, &region), -ENOSPC);
                world_unmount(&m);
                world_mount(&world, world.memory, false, &m);
                CHECK_EQ(m.err, 0);
        }
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
                CHECK_EQ(pool_create(&m.pool, "ok", bad[i], POOL_GRANULE, 1, &region),
                         bad[i][0] ? -EINVAL : 0);
                if (!bad[i][0])
                        CHECK_EQ(pool_delete(&m.pool, region), 0);
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
        struct pool_range ranges[] = {
            {block, HPA(4 * GiB), 6 * MiB, true, false, false},
            {block + 6 * MiB, HPA(8 * GiB), 6 * MiB, false, false, false}};
        static uint64_t memory[8192];
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

/* Mount two ranges of 6 MiB whose NVDIMMs are armed or not, and make a region in each that is in.
 */
static void mount_pair(struct pool *pool, uint8_t *block, bool first_unarmed, bool second_unarmed)
{
        struct pool_range ranges[] = {
            {block, HPA(4 * GiB), 6 * MiB, false, first_unarmed, false},
            {block + 6 * MiB, HPA(8 * GiB), 6 * MiB, false, second_unarmed, false}};
        static uint64_t memory[8192];
        struct pool_config config = {.memory = memory, .memory_size = sizeof memory};

        CHECK_EQ(pool_mount(pool, ranges, 2, &config), 0);
        CHECK(!pool->simulated);
}

static void test_unarmed(void)
{
        static uint8_t block[12 * MiB] __attribute__((aligned(4096)));
        struct pool_region *region;
        struct pool pool;
        size_t forgetful = 0;

        /* not armed and not part of the pool: left out, untouched */
        mount_pair(&pool, block, true, false);
        CHECK_EQ(pool.member_count, 1);
        CHECK_EQ(pool.member[0].hpa.v, 8 * GiB);
        CHECK(!pool_is_volatile(&pool));
        CHECK_EQ(block[0], 0);
        /* armed, it joins the pool; when it then is no longer, what is in it says so */
        mount_pair(&pool, block, false, false);
        CHECK_EQ(pool.member_count, 2);
        while (pool_scrub(&pool, 100))
                ;
        CHECK_EQ(pool_create(&pool, "a", "", 4 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&pool, "b", "", 4 * MiB, 1, &region), 0);
        CHECK(!pool_is_volatile(&pool));
        mount_pair(&pool, block, true, false);
        CHECK_EQ(pool.member_count, 2);
        CHECK(pool_is_volatile(&pool));
        for (region = pool_next(&pool, NULL); region; region = pool_next(&pool, region)) {
                bool in_first = pool_region_extent(&pool, region, 0).hpa.v < 8 * GiB;

                CHECK_EQ(pool_region_is_volatile(&pool, region), in_first);
                forgetful += in_first;
        }
        CHECK_EQ(forgetful, 1);
        /* all there is */
        memset(block, 0, sizeof block);
        mount_pair(&pool, block, true, true);
        CHECK_EQ(pool.member_count, 2);
        CHECK(pool_is_volatile(&pool));
}

/* A full catalogue: the slot of what is dying comes back by scrubbing. */
static void test_full_catalogue(void)
{
        static const uint64_t size[] = {1100 * MiB};
        struct world world = {.memory = aligned_alloc(4096, size[0]),
                              .size = size[0],
                              .ranges = 1,
                              .range_size = {1100 * MiB}};
        struct pool_region *region;
        struct mounted m;
        char name[16];

        memset(world.memory, 0, 4 * MiB);
        world_mount(&world, world.memory, true, &m);
        for (int i = 0; i < 480; i++) {
                snprintf(name, sizeof name, "r%d", i);
                CHECK_EQ(pool_create(&m.pool, name, "vm", POOL_GRANULE, 1, &region), 0);
        }
        CHECK_EQ(pool_create(&m.pool, "more", "vm", POOL_GRANULE, 1, &region), -ENOSPC);
        CHECK_EQ(pool_delete(&m.pool, pool_find(&m.pool, "r7")), 0);
        CHECK_EQ(pool_create(&m.pool, "more", "vm", POOL_GRANULE, 1, &region), 0);
        world_unmount(&m);
        free(world.memory);
}

static void test_memory_bound(void)
{
        struct pool_range range = {NULL, HPA(4 * GiB), 16 * TiB, false, false, false};

        CHECK(pool_memory_size(&range, 1) < 16 * TiB / 10000);
        range.size = 1 * TiB;
        CHECK(pool_memory_size(&range, 1) < TiB / 10000);
}

int main(void)
{
        RUN(test_attach);
        RUN(test_grants);
        RUN(test_stale);
        RUN(test_filling);
        RUN(test_bad);
        RUN(test_names);
        RUN(test_tiny_ranges);
        RUN(test_simulated_left_out);
        RUN(test_unarmed);
        RUN(test_full_catalogue);
        RUN(test_memory_bound);
        return unit_done();
}
