/* The NVRAM pool against a plain model: random operations of all kinds, their errors, remounts. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/pool_world.h"

#define MODEL_MAX    24
#define GRANULES_MAX 64
#define LAST_WORD    (POOL_GRANULE / 8 - 1)

struct model_region {
        char name[POOL_NAME_SIZE];
        uint64_t granules;
        uint64_t stamp[GRANULES_MAX]; /* what its guest wrote to both ends of each granule */
};

struct model {
        struct model_region region[MODEL_MAX];
        size_t count;
        uint64_t space; /* granules that are neither metadata nor in a region nor bad */
        uint64_t named; /* for names never used before */
        uint64_t seed;
};

static uint64_t *granule_of(struct pool *pool, struct pool_region *region, uint64_t granule)
{
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent e = pool_region_extent(pool, region, i);

                if (granule < e.size / POOL_GRANULE)
                        return (uint64_t *)((uint8_t *)e.base + granule * POOL_GRANULE);
                granule -= e.size / POOL_GRANULE;
        }
        return NULL;
}

/* New granules must read as zero; then their guest writes to them. */
static void stamp(struct pool *pool, struct model *model, struct model_region *r, uint64_t from)
{
        struct pool_region *region = pool_find(pool, r->name);

        for (uint64_t g = from; region && g < r->granules; g++) {
                uint64_t *word = granule_of(pool, region, g);

                CHECK(word != NULL);
                for (uint64_t w = 0; word && w <= LAST_WORD; w++)
                        if (word[w]) {
                                CHECK_EQ(word[w], 0);
                                break;
                        }
                if (word)
                        word[0] = word[LAST_WORD] = r->stamp[g] = unit_random(&model->seed) | 1;
        }
}

static void check_model(struct pool *pool, const struct model *model)
{
        struct pool_usage usage = pool_usage(pool);

        CHECK_EQ(usage.regions, model->count);
        CHECK_EQ(usage.free + usage.dying, model->space);
        for (size_t i = 0; i < model->count; i++) {
                const struct model_region *r = &model->region[i];
                struct pool_region *region = pool_find(pool, r->name);

                CHECK(region != NULL);
                if (!region)
                        continue;
                CHECK_EQ(pool_region_size(region), r->granules * POOL_GRANULE);
                for (uint64_t g = 0; g < r->granules; g++) {
                        const uint64_t *word = granule_of(pool, region, g);

                        CHECK(word && word[0] == r->stamp[g] && word[LAST_WORD] == r->stamp[g]);
                }
        }
}

static struct model_region *any(struct model *model)
{
        return &model->region[unit_random(&model->seed) % model->count];
}

static void op_create(struct pool *pool, struct model *model)
{
        uint64_t granules = unit_random(&model->seed) % 5 + 1;
        struct model_region r = {.granules = granules};
        struct pool_region *region;
        int expected = granules > model->space ? -ENOSPC : 0;

        if (model->count == MODEL_MAX)
                return;
        snprintf(r.name, sizeof r.name, "r%llu", (unsigned long long)model->named++);
        CHECK_EQ(pool_create(pool, r.name, "vm", granules * POOL_GRANULE, model->named, &region),
                 expected);
        if (expected)
                return;
        model->space -= granules;
        model->region[model->count++] = r;
        stamp(pool, model, &model->region[model->count - 1], 0);
}

static void op_clone(struct pool *pool, struct model *model)
{
        struct model_region r = *any(model);
        struct pool_region *from = pool_find(pool, r.name);
        struct pool_region *region;
        int expected = r.granules > model->space ? -ENOSPC : 0;

        if (model->count == MODEL_MAX)
                return;
        CHECK_EQ(pool_clone(pool, from, r.name, "vm", 1, &region), -EEXIST);
        snprintf(r.name, sizeof r.name, "r%llu", (unsigned long long)model->named++);
        CHECK_EQ(pool_clone(pool, from, r.name, "vm", model->named, &region), expected);
        if (expected)
                return;
        model->space -= r.granules;
        /* what is bad was not read */
        for (uint64_t at = 0; pool_region_next_bad(pool, from, at, &at); at += POOL_GRANULE)
                r.stamp[at / POOL_GRANULE] = 0;
        model->region[model->count++] = r;
}

static void op_grow(struct pool *pool, struct model *model)
{
        struct model_region *r = any(model);
        struct pool_region *region = pool_find(pool, r->name);
        uint64_t generation = pool_region_generation(region);
        uint64_t more = unit_random(&model->seed) % 4 + 1;
        int expected = more > model->space ? -ENOSPC : 0;

        CHECK_EQ(pool_grow(pool, region, r->granules * POOL_GRANULE), -EINVAL);
        if (r->granules + more > GRANULES_MAX)
                return;
        CHECK_EQ(pool_grow(pool, region, (r->granules + more) * POOL_GRANULE), expected);
        if (expected)
                return;
        CHECK_EQ(pool_region_generation(region), generation + 1);
        model->space -= more;
        r->granules += more;
        stamp(pool, model, r, r->granules - more);
}

static void op_shrink(struct pool *pool, struct model *model)
{
        struct model_region *r = any(model);
        struct pool_region *region = pool_find(pool, r->name);
        uint64_t less = r->granules > 1 ? unit_random(&model->seed) % (r->granules - 1) + 1 : 0;

        CHECK_EQ(pool_shrink(pool, region, 0), -EINVAL);
        if (!less)
                return;
        CHECK_EQ(pool_shrink(pool, region, (r->granules - less) * POOL_GRANULE), 0);
        model->space += less;
        r->granules -= less;
}

static void op_rename(struct pool *pool, struct model *model)
{
        struct model_region *r = any(model);
        struct pool_region *region = pool_find(pool, r->name);
        char name[POOL_NAME_SIZE];

        CHECK_EQ(pool_rename(pool, region, model->region[0].name), -EEXIST);
        snprintf(name, sizeof name, "n%llu", (unsigned long long)model->named++);
        CHECK_EQ(pool_rename(pool, region, name), 0);
        CHECK(pool_find(pool, r->name) == NULL);
        memcpy(r->name, name, sizeof name);
}

static void op_delete(struct pool *pool, struct model *model)
{
        struct model_region *r = any(model);

        CHECK_EQ(pool_delete(pool, pool_find(pool, r->name)), 0);
        model->space += r->granules;
        *r = model->region[--model->count];
}

/* Attached, a region stands still. */
static void op_attached(struct pool *pool, struct model *model)
{
        struct model_region *r = any(model);
        struct pool_region *region = pool_find(pool, r->name);
        struct pool_ref ref = pool_ref(region);
        enum pool_access access = unit_random(&model->seed) % 2 ? POOL_READ_ONLY : POOL_READ_WRITE;
        struct pool_region *copy;

        CHECK_EQ(pool_attach(pool, &ref, "vm", access), 0);
        CHECK_EQ(pool_grow(pool, region, (r->granules + 1) * POOL_GRANULE), -EBUSY);
        CHECK_EQ(pool_shrink(pool, region, POOL_GRANULE), -EBUSY);
        CHECK_EQ(pool_rename(pool, region, "other"), -EBUSY);
        CHECK_EQ(pool_delete(pool, region), -EBUSY);
        if (access == POOL_READ_WRITE)
                CHECK_EQ(pool_clone(pool, region, "other", "vm", 1, &copy), -EBUSY);
        pool_scrub(pool, 2);
        pool_detach(&ref, access);
}

static void op_bad(struct pool *pool, struct model *model)
{
        const struct pool_member *member =
            &pool->member[unit_random(&model->seed) % pool->member_count];
        uint64_t granule = unit_random(&model->seed) % member->granules;
        hpa_t at = HPA(member->hpa.v + granule * POOL_GRANULE + 4096);
        uint64_t was = pool_usage(pool).free;
        int err = pool_add_bad(pool, at);

        CHECK(!err || err == -EEXIST || err == -ENOTSUP);
        CHECK((err == -ENOTSUP) == (granule < member->metadata));
        if (!err)
                CHECK_EQ(pool_add_bad(pool, at), -EEXIST);
        CHECK(pool_usage(pool).free == was || (!err && pool_usage(pool).free == was - 1));
        /* Whether it is a region's, dying or free: what can be had at most is what is left. */
        pool_scrub(pool, UINT64_MAX);
        model->space = pool_usage(pool).free;
}

static void step(struct pool *pool, struct model *model)
{
        static void (*const op[])(struct pool *, struct model *) = {
            op_clone, op_grow, op_shrink, op_rename, op_delete, op_attached, op_grow, op_shrink};
        uint64_t kind = unit_random(&model->seed) % 12;

        if (!model->count || kind >= ARRAY_LEN(op))
                op_create(pool, model);
        else
                op[kind](pool, model);
        if (unit_random(&model->seed) % 3 == 0)
                pool_scrub(pool, unit_random(&model->seed) % 6);
}

static void run_round(struct model *model, bool bad)
{
        size_t ranges = unit_random(&model->seed) % 4 + 1;
        struct pool_health health;
        struct mounted m;
        struct world world;
        uint64_t sizes[4];

        for (size_t i = 0; i < 4; i++)
                sizes[i] = (unit_random(&model->seed) % 6 + 3) * POOL_GRANULE +
                           unit_random(&model->seed) % 512 * 4096;
        world = world_make(ranges, sizes, unit_random(&model->seed) % 512 * 4096, 0x77);
        world_mount(&world, world.memory, true, &m);
        CHECK_EQ(m.err, 0);
        model->count = 0;
        model->space = pool_usage(&m.pool).dying;
        CHECK(model->space > 0);
        for (int i = 0; i < 60; i++) {
                step(&m.pool, model);
                /* The release of a bad granule gives no space. */
                if (bad) {
                        pool_scrub(&m.pool, UINT64_MAX);
                        model->space = pool_usage(&m.pool).free;
                }
                if (bad && i % 20 == 10)
                        op_bad(&m.pool, model);
                check_model(&m.pool, model);
                if (unit_random(&model->seed) % 6 == 0) {
                        world_unmount(&m);
                        world_mount(&world, world.memory, false, &m);
                        CHECK_EQ(m.err, 0);
                        CHECK_EQ(m.pool.mended, 0);
                        check_model(&m.pool, model);
                }
        }
        CHECK_EQ(pool_check(&m.pool, false, true, &health), 0);
        CHECK_EQ(pool_scrub(&m.pool, UINT64_MAX), 0);
        CHECK_EQ(pool_check(&m.pool, false, true, &health), 0);
        world_unmount(&m);
        free(world.memory);
}

static void test_random(void)
{
        struct model model = {.seed = unit_seed()};

        for (int round = 0; round < 12; round++)
                run_round(&model, false);
}

static void test_random_with_bad_granules(void)
{
        struct model model = {.seed = unit_seed()};

        for (int round = 0; round < 6; round++)
                run_round(&model, true);
}

int main(void)
{
        RUN(test_random);
        RUN(test_random_with_bad_granules);
        return unit_done();
}
