/* Running an operation under power cuts and judging the images; contract in pool_cut.h. */
#include "tests/unit/pool_cut.h"

#include <assert.h>

#include "mm/pool/pool_space.h"

#define REGIONS_MAX 12
#define CHUNK       (512 * KiB) /* the model writes the first line of each */
#define CHUNKS_MAX  48
#define BAD_MAX     4

struct look {
        char name[POOL_NAME_SIZE], owner[POOL_NAME_SIZE];
        struct pool_uuid uuid;
        uint64_t size, generation;
        uint64_t rights; /* a hash of the grants */
        uint64_t chunk[CHUNKS_MAX];
};

/* All that a user can see of a pool. */
struct view {
        struct pool_uuid uuid;
        size_t regions;
        struct look region[REGIONS_MAX];
        size_t bad;
        uint64_t bad_hpa[BAD_MAX];
};

struct cut {
        struct world world;
        struct view before, after;
        bool before_allowed, after_allowed;
        bool fresh_allowed; /* a pool that is being given up may come out empty, with any UUID */
        uint64_t wrong, seen, nest_each;
        uint32_t mended_max;
};

static uint64_t hash(uint64_t h, const void *data, size_t n)
{
        for (size_t i = 0; i < n; i++)
                h = (h ^ ((const uint8_t *)data)[i]) * 1099511628211ull;
        return h;
}

static void look_at(struct pool *pool, struct pool_region *region, struct look *look)
{
        enum pool_access access;
        char vm[POOL_NAME_SIZE];
        size_t n = 0;

        *look = (struct look){.uuid = pool_region_uuid(region),
                              .size = pool_region_size(region),
                              .generation = pool_region_generation(region)};
        strcpy(look->name, pool_region_name(region));
        strcpy(look->owner, pool_region_owner(region));
        for (size_t i = 0; pool_region_grant(region, i, vm, &access); i++)
                look->rights += hash(access, vm, strlen(vm));
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent e = pool_region_extent(pool, region, i);

                for (uint64_t at = 0; at < e.size && n < CHUNKS_MAX; at += CHUNK)
                        look->chunk[n++] = *(const uint64_t *)((uint8_t *)e.base + at);
        }
}

static void view_of(struct pool *pool, struct view *view)
{
        struct pool_region *region = NULL;
        hpa_t bad;

        memset(view, 0, sizeof *view);
        view->uuid = pool->uuid;
        while ((region = pool_next(pool, region))) {
                assert(view->regions < REGIONS_MAX);
                look_at(pool, region, &view->region[view->regions++]);
        }
        for (; pool_bad(pool, view->bad, &bad); view->bad++)
                view->bad_hpa[view->bad] = bad.v;
}

static bool is_same(const struct view *a, const struct view *b)
{
        return a->regions == b->regions && a->bad == b->bad &&
               !memcmp(&a->uuid, &b->uuid, sizeof a->uuid) &&
               !memcmp(a->region, b->region, a->regions * sizeof a->region[0]) &&
               !memcmp(a->bad_hpa, b->bad_hpa, sizeof a->bad_hpa);
}

/* A free granule reads as zero: no byte of an old owner can reach the next one. */
static bool is_clean(struct pool *pool, size_t i, uint64_t granule)
{
        const uint8_t *at = pool->member[i].base + granule * POOL_GRANULE;

        for (uint64_t chunk = 0; chunk < POOL_GRANULE; chunk += CHUNK)
                if (*(const uint64_t *)(at + chunk))
                        return false;
        return true;
}

static bool is_free_space_clean(struct pool *pool)
{
        uint64_t free = 0;

        for (uint32_t i = 0; i < pool->member_count; i++) {
                const struct pool_run *run = pool_space_next(pool, i, 0);

                for (; run; run = pool_space_next(pool, i, run->start + run->count))
                        for (uint32_t g = 0; g < run->count; g++, free++)
                                if (!is_clean(pool, i, run->start + g))
                                        return false;
        }
        return free == pool_usage(pool).free;
}

static bool is_right(const struct cut *cut, struct pool *pool)
{
        struct pool_usage usage = pool_usage(pool);
        struct view view;

        view_of(pool, &view);
        if (pool->mended > cut->mended_max || usage.ranges != cut->world.ranges ||
            !is_free_space_clean(pool) || usage.bad > view.bad)
                return false;
        return (cut->before_allowed && is_same(&view, &cut->before)) ||
               (cut->after_allowed && is_same(&view, &cut->after)) ||
               (cut->fresh_allowed && !view.regions && !view.bad);
}

static void check_image(void *ctx, void *image)
{
        struct cut *cut = ctx;
        struct mounted m;

        world_mount_with(&cut->world, cut->world.ranges, image, (struct pool_config){.entropy = 7},
                         &m);
        if (m.err || !is_right(cut, &m.pool))
                cut->wrong++;
        world_unmount(&m);
}

static void crash(void *ctx, void *image)
{
        struct cut *cut = ctx;
        struct pm_recording *recovery = NULL;

        if (cut->nest_each && ++cut->seen % cut->nest_each == 0) {
                uint32_t mended_max = cut->mended_max++;

                recovery = pm_record(image, cut->world.size, 3, cut->seen, check_image, cut);
                check_image(cut, image);
                pm_record_end(recovery);
                cut->mended_max = mended_max;
                return;
        }
        check_image(cut, image);
}

/* What the operation makes of a twin of the world. */
static void foresee(struct cut *cut, const struct cut_op *op)
{
        uint8_t *twin = aligned_alloc(4096, cut->world.size);
        struct mounted m;

        memcpy(twin, cut->world.memory, cut->world.size);
        world_mount(&cut->world, twin, false, &m);
        assert(!m.err);
        view_of(&m.pool, &cut->before);
        (void)op->run(&m.pool);
        view_of(&m.pool, &cut->after);
        world_unmount(&m);
        free(twin);
}

/* The last images, in which nothing may be left to be mended, and the result. */
static struct cut_result end_run(struct cut *cut, struct pm_recording *recording, struct mounted *m)
{
        struct cut_result result;

        cut->mended_max = 0;
        world_unmount(m);
        result.images = pm_record_end(recording);
        result.wrong = cut->wrong;
        free(cut->world.memory);
        return result;
}

struct cut_result cut_run(const struct cut_scene *scene, const struct cut_op *op,
                          unsigned int power, uint64_t seed, uint64_t nest_each)
{
        struct cut cut = {.world = scene->make(),
                          .before_allowed = true,
                          .after_allowed = true,
                          .nest_each = nest_each,
                          .mended_max = 1};
        struct pm_recording *recording;
        struct mounted m;

        foresee(&cut, op);
        world_mount(&cut.world, cut.world.memory, false, &m);
        recording = pm_record(cut.world.memory, cut.world.size, power, seed, crash, &cut);
        (void)op->run(&m.pool);
        /* It has returned: all of it is durable, both copies of everything. */
        cut.before_allowed = is_same(&cut.before, &cut.after);
        return end_run(&cut, recording, &m);
}

struct cut_result cut_run_mount(const struct cut_scene *scene, unsigned int power, uint64_t seed,
                                uint64_t nest_each)
{
        struct cut cut = {.world = scene->make(),
                          .nest_each = nest_each,
                          .fresh_allowed = true,
                          .after_allowed = true,
                          .mended_max = 4};
        uint8_t *twin = aligned_alloc(4096, cut.world.size);
        struct pm_recording *recording;
        struct mounted m;

        memcpy(twin, cut.world.memory, cut.world.size);
        if (scene->format) { /* before: the pool that is given up */
                world_mount(&cut.world, twin, false, &m);
                view_of(&m.pool, &cut.before);
                cut.before_allowed = !m.err;
                world_unmount(&m);
                memcpy(twin, cut.world.memory, cut.world.size);
        }
        world_mount(&cut.world, twin, scene->format, &m);
        assert(!m.err);
        view_of(&m.pool, &cut.after);
        cut.fresh_allowed = !cut.after.regions;
        world_unmount(&m);
        free(twin);
        recording = pm_record(cut.world.memory, cut.world.size, power, seed, crash, &cut);
        world_mount(&cut.world, cut.world.memory, scene->format, &m);
        assert(!m.err);
        cut.before_allowed = cut.fresh_allowed = false;
        return end_run(&cut, recording, &m);
}
