/* Free runs against a plain map of granules: claims, releases, takes, 1 GiB blocks. */
#include "mm/pool/pool_space.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

#define GRANULES 700u
#define RANGES   3u

static struct pool_run runs[GRANULES * RANGES];

struct model {
        struct pool pool;
        bool used[RANGES][GRANULES];
        uint64_t free;
};

static void start(struct model *m, const uint64_t *hpa)
{
        memset(m, 0, sizeof *m);
        memset(runs, 0xa5, sizeof runs);
        m->pool.member_count = RANGES;
        pool_space_init(&m->pool.space, runs, pool_space_room(GRANULES * RANGES, 1u << 20, RANGES));
        for (uint32_t i = 0; i < RANGES; i++) {
                m->pool.member[i] =
                    (struct pool_member){.hpa = HPA(hpa[i]), .granules = GRANULES, .id = i};
                pool_space_release(&m->pool, i, 0, GRANULES);
        }
        m->free = GRANULES * RANGES;
}

static void mark(struct model *m, uint32_t range, uint32_t from, uint32_t count, bool used)
{
        for (uint32_t g = from; g < from + count; g++) {
                CHECK(g < GRANULES && m->used[range][g] != used);
                m->used[range][g] = used;
        }
        m->free += used ? -(uint64_t)count : count;
}

/* The runs of a range, in order, are exactly the stretches of free granules. */
static void check(const struct model *m)
{
        CHECK_EQ(m->pool.space.free, m->free);
        for (uint32_t i = 0; i < RANGES; i++) {
                uint32_t g = 0;

                while (g < GRANULES) {
                        const struct pool_run *run = pool_space_next(&m->pool, i, g);
                        uint32_t from = g;

                        while (from < GRANULES && m->used[i][from])
                                from++;
                        g = from;
                        while (g < GRANULES && !m->used[i][g])
                                g++;
                        CHECK(from == GRANULES
                                  ? !run
                                  : run && run->start == from && run->count == g - from);
                }
        }
}

static void take(struct model *m, uint64_t want, struct pool_media_extent *extent, uint32_t *count)
{
        uint32_t had = *count;
        uint32_t last = had ? extent[had - 1].count : 0;
        uint64_t got = 0;
        int err = pool_space_take(&m->pool, want, extent, count, POOL_EXTENTS_MAX);

        CHECK(!err || err == -ENOSPC);
        if (err) {
                CHECK_EQ(*count, had);
                CHECK(!had || extent[had - 1].count == last);
                return;
        }
        for (uint32_t i = had ? had - 1 : 0; i < *count; i++) {
                uint32_t skip = had && i == had - 1 ? last : 0;

                mark(m, extent[i].range, extent[i].start + skip, extent[i].count - skip, true);
                got += extent[i].count - skip;
        }
        CHECK_EQ(got, want);
}

static void test_random(void)
{
        static const uint64_t hpa[RANGES] = {4 * GiB, 8 * GiB - 100 * POOL_GRANULE, 100 * GiB};
        static struct pool_media_extent held[64][POOL_EXTENTS_MAX];
        static struct model m;
        uint64_t seed = unit_seed();
        uint32_t count[64] = {0};

        start(&m, hpa);
        for (int step = 0; step < 4000; step++) {
                uint64_t i = unit_random(&seed) % 64;
                uint64_t want = unit_random(&seed) % (step % 50 ? 30 : 600) + 1;
                uint32_t range = (uint32_t)(unit_random(&seed) % RANGES);
                uint32_t at = (uint32_t)(unit_random(&seed) % GRANULES);

                switch (unit_random(&seed) % 4) {
                case 0:
                        while (count[i]) {
                                const struct pool_media_extent *e = &held[i][--count[i]];

                                pool_space_release(&m.pool, e->range, e->start, e->count);
                                mark(&m, e->range, e->start, e->count, false);
                        }
                        break;
                case 1: {
                        bool can = true;
                        uint32_t n = (uint32_t)(unit_random(&seed) % 20 + 1);

                        for (uint32_t g = at; g < at + n; g++)
                                can &= g < GRANULES && !m.used[range][g];
                        can &= count[i] < POOL_EXTENTS_MAX;
                        if (count[i] == POOL_EXTENTS_MAX)
                                break;
                        CHECK_EQ(pool_space_claim(&m.pool, range, at, n), can);
                        if (!can)
                                break;
                        held[i][count[i]++] =
                            (struct pool_media_extent){.range = range, .start = at, .count = n};
                        mark(&m, range, at, n, true);
                        break;
                }
                default:
                        take(&m, want, held[i], &count[i]);
                }
                check(&m);
        }
}

/* A region of 1 GiB and more lies on 1 GiB boundaries where it can. */
static void test_gib(void)
{
        static const uint64_t hpa[RANGES] = {5 * GiB - 100 * POOL_GRANULE, 32 * GiB, 64 * GiB};
        struct pool_media_extent extent[POOL_EXTENTS_MAX];
        static struct model m;
        uint32_t n = 0;

        start(&m, hpa);
        CHECK(pool_space_claim(&m.pool, 1, 0, GRANULES));
        CHECK(pool_space_claim(&m.pool, 2, 0, GRANULES));
        CHECK_EQ(pool_space_take(&m.pool, 512 + 30, extent, &n, POOL_EXTENTS_MAX), 0);
        CHECK_EQ(n, 1);
        CHECK_EQ(extent[0].start, 100);
        CHECK_EQ(extent[0].count, 542);
        CHECK_EQ(pool_space_take(&m.pool, 700 - 542 + 1, extent, &n, POOL_EXTENTS_MAX), -ENOSPC);
        CHECK_EQ(n, 1);
        CHECK_EQ(pool_space_take(&m.pool, 700 - 542, extent, &n, POOL_EXTENTS_MAX), 0);
        CHECK_EQ(m.pool.space.free, 0);
}

/* Free space in too many pieces is refused and given back whole. */
static void test_fragmented(void)
{
        static const uint64_t hpa[RANGES] = {4 * GiB, 8 * GiB, 12 * GiB};
        struct pool_media_extent extent[POOL_EXTENTS_MAX];
        static struct model m;
        uint64_t free;
        uint32_t n = 0;

        start(&m, hpa);
        for (uint32_t g = 0; g < GRANULES; g += 2)
                for (uint32_t i = 0; i < RANGES; i++)
                        CHECK(pool_space_claim(&m.pool, i, g, 1));
        free = m.pool.space.free;
        CHECK_EQ(free, RANGES * GRANULES / 2);
        CHECK_EQ(pool_space_take(&m.pool, POOL_EXTENTS_MAX + 1, extent, &n, POOL_EXTENTS_MAX),
                 -ENOSPC);
        CHECK_EQ(m.pool.space.free, free);
        CHECK_EQ(pool_space_take(&m.pool, POOL_EXTENTS_MAX, extent, &n, POOL_EXTENTS_MAX), 0);
        CHECK_EQ(n, POOL_EXTENTS_MAX);
}

int main(void)
{
        RUN(test_random);
        RUN(test_gib);
        RUN(test_fragmented);
        return unit_done();
}
