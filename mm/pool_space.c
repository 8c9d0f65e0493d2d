/*
 * Allocation of granules: best fit over the free runs of all ranges, 1 GiB blocks first for large
 * regions. Runs are found by scanning the map, which is 64 KiB a TiB.
 */
#include "mm/pool_space.h"

#include "hv/lib/errno.h"

#define GRANULES_A_GIB ((uint32_t)(GiB / POOL_GRANULE))

struct run {
        const struct pool_member *member;
        uint32_t start, count;
};

bool pool_space_is_used(const struct pool_member *member, uint32_t granule)
{
        return member->map[granule / 64] >> granule % 64 & 1;
}

void pool_space_set(struct pool_member *member, uint32_t start, uint32_t count, bool used)
{
        for (uint32_t g = start; g < start + count;) {
                uint32_t n = 64 - g % 64;
                uint64_t mask;

                if (n > start + count - g)
                        n = start + count - g;
                mask = (n == 64 ? ~0ull : (1ull << n) - 1) << g % 64;
                if (used)
                        member->map[g / 64] |= mask;
                else
                        member->map[g / 64] &= ~mask;
                g += n;
        }
}

/* The first granule >= from whose state is `used`, or member->granules. */
static uint32_t next_in_state(const struct pool_member *member, uint32_t from, bool used)
{
        while (from < member->granules) {
                uint64_t word = member->map[from / 64];
                uint64_t hits = (used ? word : ~word) >> from % 64;

                if (hits) {
                        from += (uint32_t)__builtin_ctzll(hits);
                        break;
                }
                from += 64 - from % 64;
        }
        return from < member->granules ? from : member->granules;
}

/* The next free run of the member at or after run->start + run->count; false at the end. */
static bool next_run(struct run *run)
{
        run->start = next_in_state(run->member, run->start + run->count, false);
        run->count = next_in_state(run->member, run->start, true) - run->start;
        return run->count != 0;
}

/* Drop the run's granules below its first 1 GiB boundary and behind its last. */
static void trim_to_gib(struct run *run)
{
        uint64_t first = run->member->hpa.v / POOL_GRANULE + run->start;
        uint32_t head = (uint32_t)(align_up(first, GRANULES_A_GIB) - first);

        if (head > run->count)
                head = run->count;
        run->start += head;
        run->count = (uint32_t)align_down(run->count - head, GRANULES_A_GIB);
}

static bool is_better(const struct run *candidate, const struct run *best, uint64_t want)
{
        if (!best->count)
                return candidate->count != 0;
        if (candidate->count >= want)
                return best->count < want || candidate->count < best->count;
        return candidate->count > best->count;
}

/* The smallest run that holds all of want, or else the largest; count 0 when there is none. */
static struct run best_run(const struct pool *pool, uint64_t want, bool whole_gib)
{
        struct run best = {0};

        for (size_t i = 0; i < pool->member_count; i++) {
                struct run scan = {.member = &pool->member[i]};

                while (next_run(&scan)) {
                        struct run candidate = scan;

                        if (whole_gib)
                                trim_to_gib(&candidate);
                        if (is_better(&candidate, &best, want))
                                best = candidate;
                }
        }
        if (best.count > want)
                best.count = (uint32_t)want;
        return best;
}

/*
 * For 1 GiB and more: whole GiBs first, then what is left, which continues the last block if that
 * is free, so that one long run stays one extent.
 */
static struct run pick(const struct pool *pool, uint64_t left, const struct pool_media_extent *last)
{
        struct run run;

        if (left >= GRANULES_A_GIB) {
                run = best_run(pool, align_down(left, GRANULES_A_GIB), true);
                if (run.count)
                        return run;
        }
        if (last) {
                run.member = &pool->member[last->range];
                run.start = last->start + last->count;
                run.count = next_in_state(run.member, run.start, true) - run.start;
                if (run.start < run.member->granules && run.count >= left) {
                        run.count = (uint32_t)left;
                        return run;
                }
        }
        return best_run(pool, left, false);
}

static void give_back(struct pool *pool, const struct pool_media_extent *extent, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++)
                pool_space_set(&pool->member[extent[i].range], extent[i].start, extent[i].count,
                               false);
}

int pool_space_take(struct pool *pool, uint64_t granules, struct pool_media_extent *extent,
                    uint32_t *count)
{
        uint32_t n = 0;

        while (granules) {
                struct pool_media_extent *last = n ? &extent[n - 1] : NULL;
                struct run run = pick(pool, granules, last);

                if (run.count && last && last->range == run.member->id &&
                    last->start + last->count == run.start) {
                        last->count += run.count;
                } else if (!run.count || n == POOL_EXTENTS_MAX) {
                        give_back(pool, extent, n);
                        return -ENOSPC;
                } else {
                        extent[n++] = (struct pool_media_extent){
                            .range = run.member->id, .start = run.start, .count = run.count};
                }
                pool_space_set(&pool->member[run.member->id], run.start, run.count, true);
                granules -= run.count;
        }
        *count = n;
        return 0;
}

uint64_t pool_space_free(const struct pool *pool)
{
        uint64_t n = 0;

        for (size_t i = 0; i < pool->member_count; i++) {
                struct run scan = {.member = &pool->member[i]};

                while (next_run(&scan))
                        n += scan.count;
        }
        return n;
}
