/* The pools and operations that pool_cut.h cuts. */
#include <assert.h>
#include <stdio.h>

#include "tests/unit/pool_cut.h"

#define CHUNK (512 * KiB)

/* A guest writes to its region: every piece gets its own value. */
static void fill(struct pool *pool, const char *name)
{
        static uint64_t value = 0xa5a5000000000000ull;
        struct pool_region *region = pool_find(pool, name);

        for (size_t i = 0; region && i < pool_region_extents(region); i++) {
                struct pool_extent e = pool_region_extent(pool, region, i);

                for (uint64_t at = 0; at < e.size; at += CHUNK)
                        *(uint64_t *)((uint8_t *)e.base + at) = ++value;
        }
}

static void create(struct pool *pool, const char *name, uint64_t granules)
{
        struct pool_region *region;
        int err =
            pool_create(pool, name, "vm", granules * POOL_GRANULE, (uint64_t)name[0], &region);

        assert(!err);
        fill(pool, name);
}

static void delete (struct pool *pool, const char *name)
{
        int err = pool_delete(pool, pool_find(pool, name));

        assert(!err);
}

/* A formatted pool on ranges full of an old owner's bytes. */
static struct world make_pool(size_t ranges, const uint64_t *granules, bool scrubbed,
                              void (*build)(struct pool *pool))
{
        uint64_t size[4];
        struct world world;
        struct mounted m;

        for (size_t i = 0; i < ranges; i++)
                size[i] = granules[i] * POOL_GRANULE;
        world = world_make(ranges, size, 0, 0xee);
        world_mount(&world, world.memory, true, &m);
        assert(!m.err);
        if (scrubbed)
                pool_scrub(&m.pool, UINT64_MAX);
        build(&m.pool);
        world_unmount(&m);
        return world;
}

static void build_nothing(struct pool *pool)
{
        (void)pool;
}

static struct world make_empty(void)
{
        return make_pool(1, (const uint64_t[]){8}, true, build_nothing);
}

/* Nothing is clean yet: what takes space must scrub it first. */
static struct world make_unscrubbed(void)
{
        return make_pool(1, (const uint64_t[]){8}, false, build_nothing);
}

static void build_fragmented(struct pool *pool)
{
        const char *const names[] = {"a", "data", "b", "c", "other", "d", "e"};

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                create(pool, names[i], i % 2 + 1);
        delete (pool, "a");
        delete (pool, "c");
        pool_scrub(pool, 2);
        delete (pool, "e");
        assert(!pool_grow(pool, pool_find(pool, "data"), 4 * POOL_GRANULE));
        fill(pool, "data");
        assert(!pool_shrink(pool, pool_find(pool, "data"), 3 * POOL_GRANULE));
        assert(!pool_grant(pool, pool_find(pool, "data"), "friend", POOL_READ_ONLY));
}

static struct world make_fragmented(void)
{
        return make_pool(1, (const uint64_t[]){14}, true, build_fragmented);
}

static void build_full(struct pool *pool)
{
        create(pool, "data", 3);
        create(pool, "other", 2);
        create(pool, "b", 1);
        delete (pool, "b");
}

static struct world make_nearly_full(void)
{
        return make_pool(1, (const uint64_t[]){8}, true, build_full);
}

static void build_wide(struct pool *pool)
{
        create(pool, "other", 2);
        create(pool, "data", 5);
        create(pool, "b", 1);
        delete (pool, "b");
        assert(!pool_add_bad(pool, HPA(WORLD_HPA + 4 * GiB + 3 * POOL_GRANULE)));
}

static struct world make_wide(void)
{
        return make_pool(3, (const uint64_t[]){5, 5, 5}, true, build_wide);
}

const struct cut_scene cut_scenes[] = {
    {"empty", make_empty, false},           {"unscrubbed", make_unscrubbed, false},
    {"fragmented", make_fragmented, false}, {"nearly full", make_nearly_full, false},
    {"several ranges", make_wide, false},
};
const size_t cut_scene_count = ARRAY_LEN(cut_scenes);

/* ---- Operations. ---- */

static int op_create(struct pool *pool)
{
        struct pool_region *region;

        return pool_create(pool, "new", "vm", 2 * POOL_GRANULE, 7, &region);
}

static int op_grow(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_grow(pool, region, pool_region_size(region) + POOL_GRANULE) : 0;
}

static int op_shrink(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_shrink(pool, region, POOL_GRANULE) : 0;
}

static int op_rename(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_rename(pool, region, "renamed") : 0;
}

static int op_delete(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_delete(pool, region) : 0;
}

static int op_clone(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");
        struct pool_region *copy;

        return region ? pool_clone(pool, region, "copy", "vm2", 9, &copy) : 0;
}

static int op_grant(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_grant(pool, region, "reader", POOL_READ_ONLY) : 0;
}

static int op_revoke(struct pool *pool)
{
        struct pool_region *region = pool_find(pool, "data");

        return region ? pool_grant(pool, region, "friend", POOL_NO_ACCESS) : 0;
}

static int op_bad(struct pool *pool)
{
        return pool_add_bad(pool, HPA(WORLD_HPA + 4 * POOL_GRANULE));
}

static int op_scrub(struct pool *pool)
{
        pool_scrub(pool, UINT64_MAX);
        return 0;
}

const struct cut_op cut_ops[] = {
    {"create", op_create}, {"grow", op_grow},   {"shrink", op_shrink}, {"rename", op_rename},
    {"delete", op_delete}, {"clone", op_clone}, {"grant", op_grant},   {"revoke", op_revoke},
    {"bad", op_bad},       {"scrub", op_scrub},
};
const size_t cut_op_count = ARRAY_LEN(cut_ops);

/* ---- Mounts that write. ---- */

static struct world make_blank(void)
{
        return world_make(2, (const uint64_t[]){4 * MiB, 8 * MiB}, 0, 0);
}

static struct world make_joining(void)
{
        struct world world = make_empty();
        struct world wide = world_make(2, (const uint64_t[]){16 * MiB, 4 * MiB}, 0, 0);
        struct mounted m;

        memcpy(wide.memory, world.memory, world.size);
        free(world.memory);
        world_mount_with(&wide, 1, wide.memory, (struct pool_config){0}, &m);
        assert(!m.err);
        create(&m.pool, "data", 1);
        world_unmount(&m);
        return wide;
}

static struct world make_half(void)
{
        struct world world = make_wide();
        uint8_t *catalogue = world.memory + POOL_CATALOGUE;

        world.memory[40] ^= 1;                                /* superblock A */
        world.memory[10 * MiB + POOL_SUPERBLOCK_B + 70] ^= 1; /* another range's B */
        catalogue[130] ^= 1;                                  /* record 0, A */
        catalogue[POOL_SLOT_SIZE * 483 + 1] ^= 1;             /* an empty slot's B */
        return world;
}

static void build_filling(struct pool *pool)
{
        struct pool_region *region;

        create(pool, "data", 2);
        assert(!pool_begin(pool, "filled", "vm", 2 * POOL_GRANULE, 3, &region));
        fill(pool, "filled");
}

static struct world make_filling(void)
{
        return make_pool(1, (const uint64_t[]){8}, true, build_filling);
}

const struct cut_scene cut_mounts[] = {
    {"blank ranges", make_blank, false},       {"a range joins", make_joining, false},
    {"damaged copies", make_half, false},      {"being filled", make_filling, false},
    {"forced format", make_nearly_full, true},
};
const size_t cut_mount_count = ARRAY_LEN(cut_mounts);
