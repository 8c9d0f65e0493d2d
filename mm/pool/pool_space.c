/* Free runs in trees by address and bins by size; contract in pool_space.h. */
#include "mm/pool/pool_space.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define GRANULES_A_GIB ((uint32_t)(GiB / POOL_GRANULE))
#define BIN_SPLIT      3u /* bits: each power of two is split in 8 bins */
#define GOOD_FIT_LOOKS 8u /* runs of the size's own bin that are tried before larger bins */

static struct pool_run *run_at(const struct pool_space *space, uint32_t n)
{
        return &space->run[n - 1];
}

/* ---- The tree: ordered by start, and a heap by a hash of the number. ---- */

static uint32_t priority(uint32_t n)
{
        n = (n ^ n >> 16) * 0x85ebca6bu;
        n = (n ^ n >> 13) * 0xc2b2ae35u;
        return n ^ n >> 16;
}

static void tree_insert(const struct pool_space *space, uint32_t *root, uint32_t n)
{
        struct pool_run *run = run_at(space, n);
        uint32_t *link = root;
        uint32_t *left, *right;
        uint32_t below;

        while (*link && priority(*link) >= priority(n)) {
                struct pool_run *at = run_at(space, *link);

                link = run->start < at->start ? &at->left : &at->right;
        }
        below = *link;
        *link = n;
        left = &run->left;
        right = &run->right;
        while (below) {
                struct pool_run *at = run_at(space, below);

                if (at->start < run->start) {
                        *left = below;
                        left = &at->right;
                        below = *left;
                } else {
                        *right = below;
                        right = &at->left;
                        below = *right;
                }
        }
        *left = *right = 0;
}

static void tree_remove(const struct pool_space *space, uint32_t *root, uint32_t n)
{
        const struct pool_run *run = run_at(space, n);
        uint32_t *link = root;
        uint32_t a = run->left;
        uint32_t b = run->right;

        while (*link != n) {
                struct pool_run *at = run_at(space, *link);

                link = run->start < at->start ? &at->left : &at->right;
        }
        while (a && b) {
                if (priority(a) > priority(b)) {
                        *link = a;
                        link = &run_at(space, a)->right;
                        a = *link;
                } else {
                        *link = b;
                        link = &run_at(space, b)->left;
                        b = *link;
                }
        }
        *link = a ? a : b;
}

/* The last run that starts at or before granule g, and the first that starts behind it; 0: none. */
static void tree_around(const struct pool_space *space, uint32_t root, uint32_t g, uint32_t *before,
                        uint32_t *behind)
{
        *before = *behind = 0;
        while (root) {
                const struct pool_run *at = run_at(space, root);

                if (at->start <= g) {
                        *before = root;
                        root = at->right;
                } else {
                        *behind = root;
                        root = at->left;
                }
        }
}

/* ---- The bins. ---- */

static uint32_t bin_of(uint32_t count)
{
        uint32_t log;

        if (count < 1u << BIN_SPLIT)
                return count;
        log = 31u - (uint32_t)__builtin_clz(count);
        return ((log - BIN_SPLIT + 1) << BIN_SPLIT) +
               (count >> (log - BIN_SPLIT) & ((1u << BIN_SPLIT) - 1));
}

/* The first bin of which every run has at least that many granules. */
static uint32_t bin_above(uint64_t count)
{
        if (count >= 1u << BIN_SPLIT)
                count += (1ull << (63 - __builtin_clzll(count) - (int)BIN_SPLIT)) - 1;
        return count > UINT32_MAX ? POOL_BINS : bin_of((uint32_t)count);
}

static void bin_insert(struct pool_space *space, uint32_t n)
{
        struct pool_run *run = run_at(space, n);
        uint32_t bin = bin_of(run->count);

        run->prev = 0;
        run->next = space->bin[bin];
        if (run->next)
                run_at(space, run->next)->prev = n;
        space->bin[bin] = n;
        space->filled[bin / 64] |= 1ull << bin % 64;
}

static void bin_remove(struct pool_space *space, uint32_t n)
{
        const struct pool_run *run = run_at(space, n);
        uint32_t bin = bin_of(run->count);

        if (run->next)
                run_at(space, run->next)->prev = run->prev;
        if (run->prev)
                run_at(space, run->prev)->next = run->next;
        else
                space->bin[bin] = run->next;
        if (!space->bin[bin])
                space->filled[bin / 64] &= ~(1ull << bin % 64);
}

/* The first filled bin at or above `bin`; POOL_BINS: none. */
static uint32_t bin_filled(const struct pool_space *space, uint32_t bin)
{
        while (bin < POOL_BINS) {
                uint64_t bits = space->filled[bin / 64] >> bin % 64;

                if (bits)
                        return bin + (uint32_t)__builtin_ctzll(bits);
                bin = (bin / 64 + 1) * 64;
        }
        return POOL_BINS;
}

static uint32_t look_in_bin(const struct pool_space *space, uint32_t bin, uint32_t want,
                            uint32_t looks)
{
        uint32_t n = space->bin[bin];

        while (n && looks-- && run_at(space, n)->count < want)
                n = run_at(space, n)->next;
        return n && run_at(space, n)->count >= want ? n : 0;
}

/* A run of at least want granules, one of the smallest; 0: none. */
static uint32_t find_fit(const struct pool_space *space, uint64_t want)
{
        uint32_t bin, n;

        if (want > UINT32_MAX)
                return 0;
        n = look_in_bin(space, bin_of((uint32_t)want), (uint32_t)want, GOOD_FIT_LOOKS);
        if (n)
                return n;
        bin = bin_filled(space, bin_above(want));
        if (bin < POOL_BINS)
                return space->bin[bin];
        return look_in_bin(space, bin_of((uint32_t)want), (uint32_t)want, UINT32_MAX);
}

/* One of the largest runs; 0: there is none. */
static uint32_t find_large(const struct pool_space *space)
{
        for (uint32_t w = POOL_BINS / 64; w-- > 0;)
                if (space->filled[w])
                        return space
                            ->bin[w * 64 + 63 - (uint32_t)__builtin_clzll(space->filled[w])];
        return 0;
}

/* ---- Runs. ---- */

static void add_run(struct pool *pool, uint32_t range, uint32_t start, uint32_t count)
{
        struct pool_space *space = &pool->space;
        uint32_t n = space->spare;

        if (n)
                space->spare = run_at(space, n)->next;
        else if (space->fresh < space->room)
                n = ++space->fresh;
        else
                panic("nvram: more free runs than there can be");
        *run_at(space, n) = (struct pool_run){.start = start, .count = count, .member = range};
        tree_insert(space, &pool->member[range].root, n);
        bin_insert(space, n);
}

static void drop_run(struct pool *pool, uint32_t n)
{
        struct pool_space *space = &pool->space;

        bin_remove(space, n);
        tree_remove(space, &pool->member[run_at(space, n)->member].root, n);
        run_at(space, n)->next = space->spare;
        space->spare = n;
}

/* Change a run's bounds; its place among its neighbours stays. */
static void resize_run(struct pool_space *space, uint32_t n, uint32_t start, uint32_t count)
{
        bin_remove(space, n);
        run_at(space, n)->start = start;
        run_at(space, n)->count = count;
        bin_insert(space, n);
}

/* Take [start, start + count) out of the run that holds it. */
static void cut_run(struct pool *pool, uint32_t n, uint32_t start, uint32_t count)
{
        struct pool_run run = *run_at(&pool->space, n);
        uint32_t head = start - run.start;
        uint32_t tail = run.count - head - count;

        if (head)
                resize_run(&pool->space, n, run.start, head);
        else if (tail)
                resize_run(&pool->space, n, start + count, tail);
        else
                drop_run(pool, n);
        if (head && tail)
                add_run(pool, run.member, start + count, tail);
        pool->space.free -= count;
}

uint32_t pool_space_room(uint64_t granules, uint64_t extents, size_t members)
{
        uint64_t between = granules / 2 + members;
        uint64_t behind = extents + members;

        return (uint32_t)(between < behind ? between : behind) + 1;
}

void pool_space_init(struct pool_space *space, struct pool_run *run, uint32_t room)
{
        *space = (struct pool_space){.run = run, .room = room};
}

bool pool_space_claim(struct pool *pool, uint32_t range, uint32_t start, uint32_t count)
{
        uint32_t n, behind;
        const struct pool_run *run;

        tree_around(&pool->space, pool->member[range].root, start, &n, &behind);
        if (!n)
                return false;
        run = run_at(&pool->space, n);
        if (start - run->start >= run->count || run->count - (start - run->start) < count)
                return false;
        cut_run(pool, n, start, count);
        return true;
}

void pool_space_release(struct pool *pool, uint32_t range, uint32_t start, uint32_t count)
{
        struct pool_space *space = &pool->space;
        uint32_t before, behind;
        bool joins_before, joins_behind;

        tree_around(space, pool->member[range].root, start, &before, &behind);
        joins_before =
            before && run_at(space, before)->start + run_at(space, before)->count == start;
        joins_behind = behind && run_at(space, behind)->start == start + count;
        space->free += count;
        if (joins_behind) {
                count += run_at(space, behind)->count;
                if (!joins_before)
                        resize_run(space, behind, start, count);
                else
                        drop_run(pool, behind);
        }
        if (joins_before)
                resize_run(space, before, run_at(space, before)->start,
                           run_at(space, before)->count + count);
        else if (!joins_behind)
                add_run(pool, range, start, count);
}

/* ---- Taking. ---- */

/* The first granule at or behind `start` that lies on a 1 GiB boundary by HPA. */
static uint64_t align_to_gib(const struct pool_member *member, uint32_t start)
{
        uint64_t first = member->hpa.v / POOL_GRANULE + start;

        return start + (align_up(first, GRANULES_A_GIB) - first);
}

/* Which granules of the run to take when `left` are wanted: whole GiBs where there are any. */
static struct pool_media_extent part_of(const struct pool *pool, const struct pool_run *run,
                                        uint64_t left)
{
        struct pool_media_extent part = {.range = run->member, .start = run->start};
        uint64_t end = (uint64_t)run->start + run->count;
        uint64_t aligned = align_to_gib(&pool->member[run->member], run->start);
        uint64_t take = left < run->count ? left : run->count;

        if (left >= GRANULES_A_GIB && aligned + GRANULES_A_GIB <= end) {
                part.start = (uint32_t)aligned;
                take = left < end - aligned ? left : end - aligned;
                if (take < left)
                        take = align_down(take, GRANULES_A_GIB);
        }
        part.count = (uint32_t)take;
        return part;
}

/* The run that goes on where the last extent ends; 0: none. */
static uint32_t find_behind(const struct pool *pool, const struct pool_media_extent *last)
{
        uint32_t end = last->start + last->count;
        uint32_t n, behind;

        tree_around(&pool->space, pool->member[last->range].root, end, &n, &behind);
        return n && run_at(&pool->space, n)->start == end ? n : 0;
}

static uint32_t pick(const struct pool *pool, uint64_t left, struct pool_media_extent *part)
{
        uint32_t n = 0;

        if (left >= GRANULES_A_GIB)
                n = find_fit(&pool->space, left + GRANULES_A_GIB - 1);
        if (!n)
                n = find_fit(&pool->space, left);
        if (!n)
                n = find_large(&pool->space);
        if (n)
                *part = part_of(pool, run_at(&pool->space, n), left);
        return n;
}

/* Take the next piece and append it, or join it to the last extent. False: no room. */
static bool take_piece(struct pool *pool, uint64_t *left, struct pool_media_extent *extent,
                       uint32_t *count, uint32_t max)
{
        struct pool_media_extent *last = *count ? &extent[*count - 1] : NULL;
        struct pool_media_extent part;
        uint32_t n = last ? find_behind(pool, last) : 0;
        bool joins = n && (run_at(&pool->space, n)->count >= *left || *count == max);

        if (joins) {
                const struct pool_run *run = run_at(&pool->space, n);

                part = (struct pool_media_extent){.range = run->member,
                                                  .start = run->start,
                                                  .count = run->count < *left ? run->count
                                                                              : (uint32_t)*left};
        } else {
                n = pick(pool, *left, &part);
                if (!n)
                        return false;
                joins =
                    last && last->range == part.range && last->start + last->count == part.start;
        }
        if (!joins && *count == max)
                return false;
        cut_run(pool, n, part.start, part.count);
        *left -= part.count;
        if (joins)
                last->count += part.count;
        else
                extent[(*count)++] = part;
        return true;
}

int pool_space_take(struct pool *pool, uint64_t granules, struct pool_media_extent *extent,
                    uint32_t *count, uint32_t max)
{
        uint32_t had = *count;
        uint32_t last_count = had ? extent[had - 1].count : 0;
        uint64_t left = granules;

        if (granules > pool->space.free)
                return -ENOSPC;
        while (left && take_piece(pool, &left, extent, count, max))
                ;
        if (!left)
                return 0;
        while (*count > had) {
                const struct pool_media_extent *e = &extent[--*count];

                pool_space_release(pool, e->range, e->start, e->count);
        }
        if (had && extent[had - 1].count > last_count) {
                struct pool_media_extent *e = &extent[had - 1];

                pool_space_release(pool, e->range, e->start + last_count, e->count - last_count);
                e->count = last_count;
        }
        return -ENOSPC;
}

const struct pool_run *pool_space_next(const struct pool *pool, uint32_t range, uint32_t from)
{
        uint32_t before, behind;

        tree_around(&pool->space, pool->member[range].root, from, &before, &behind);
        if (before && run_at(&pool->space, before)->start == from)
                return run_at(&pool->space, before);
        return behind ? run_at(&pool->space, behind) : NULL;
}
