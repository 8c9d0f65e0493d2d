/*
 * The DRAM page-frame allocator.
 *
 * Memory is described in two like levels of 512: a chunk is 2 MiB of 512 frames, an area is 1 GiB
 * of 512 chunks. Each level is a bitmap of 8 words, and a block of up to 512 units is found in
 * either by the same search. On top, three bitmaps with a bit an area say where to look.
 *
 *      frames    64 bytes a chunk   bit set: the frame is free
 *      chunk       1 byte a chunk   its use
 *      area     136 bytes an area   bitmaps of free and of partly used chunks, their numbers
 *
 * That is 32.6 KiB a GiB. The frame bits of a chunk say something only while it is used by frames:
 * a chunk that is wholly free or part of a larger block needs none. So starting writes 0.7 KiB a
 * GiB, and blocks of 2 MiB and more never touch the frame bits.
 *
 * Frames and small blocks come from partly used chunks as long as one has room, 2 MiB blocks from
 * areas that are already broken: large blocks stay whole. A single frame comes from the 64 that the
 * cursor points to; it is moved to each frame given back, so that the memory used last is used next
 * and allocating after a free searches nothing. A chunk whose last frame is taken stays among the
 * partly used ones until a search finds it there, and it can only have become wholly free when the
 * 64 frames around the one given back have: the two hot paths change nothing but the frame bits.
 *
 * The chunk that has become wholly free last is kept warm: it stays among the partly used ones
 * until another does or a large block is wanted, unless its area is wholly free with it. So a frame
 * taken and given back does not break a block each time.
 */
#include "mm/dram/dram.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/lib/work.h"
#include "mm/dram/dram_internal.h"

static bool bit_get(const uint64_t *map, size_t i)
{
        return map[i / 64] >> (i % 64) & 1;
}

/* ---- Blocks of 2^order units in a node of 512. ---- */

/* The bits of a word from which 2^order set bits start, aligned; order < 6. */
static uint64_t aligned_runs(uint64_t word, unsigned order)
{
        static const uint64_t starts[] = {
            ~0ull,
            0x5555555555555555ull,
            0x1111111111111111ull,
            0x0101010101010101ull,
            0x0001000100010001ull,
            0x0000000100000001ull,
        };

        for (unsigned i = 0; i < order; i++)
                word &= word >> (1u << i);
        return word & starts[order];
}

/* The first aligned block of set bits, or -1. */
static int node_find(const uint64_t *node, unsigned order)
{
        unsigned step = order > 6 ? 1u << (order - 6) : 1;

        if (!order) {
                for (unsigned w = 0; w < WORDS; w++)
                        if (node[w])
                                return (int)(w * 64 + (unsigned)__builtin_ctzll(node[w]));
                return -1;
        }
        for (unsigned w = 0; w < WORDS; w += step) {
                uint64_t runs = order < 6 ? aligned_runs(node[w], order) : node[w];

                for (unsigned i = 1; i < step; i++)
                        runs &= node[w + i];
                if (order < 6 ? runs != 0 : runs == ~0ull)
                        return (int)(w * 64 + (order < 6 ? (unsigned)__builtin_ctzll(runs) : 0));
        }
        return -1;
}

static uint64_t run_mask(unsigned at, unsigned order)
{
        return order < 6 ? ((1ull << (1u << order)) - 1) << (at % 64) : ~0ull;
}

/* Whether no bit of an aligned block is set. */
static bool node_none(const uint64_t *node, unsigned at, unsigned order)
{
        uint64_t mask = run_mask(at, order);
        unsigned words = order > 6 ? 1u << (order - 6) : 1;

        for (unsigned w = at / 64; words--; w++)
                if (node[w] & mask)
                        return false;
        return true;
}

static bool node_whole(const uint64_t *node)
{
        uint64_t all = ~0ull;

        for (unsigned w = 0; w < WORDS; w++)
                all &= node[w];
        return all == ~0ull;
}

/* Turn all bits of an aligned block. */
static void node_flip(uint64_t *node, unsigned at, unsigned order)
{
        uint64_t mask = run_mask(at, order);
        unsigned words = order > 6 ? 1u << (order - 6) : 1;

        for (unsigned w = at / 64; words--; w++)
                node[w] ^= mask;
}

/* ---- Keeping the upper levels right. ---- */

void dram_area_freed(struct dram *d, uint32_t area, int count)
{
        struct dram_area *a = &d->area[area];
        unsigned was = a->free_count, now = was + (unsigned)count;

        a->free_count = (uint16_t)now;
        if (!was != !now)
                bit_flip(d->areas_free, area);
        if ((was == FANOUT) != (now == FANOUT))
                bit_flip(d->areas_whole, area);
}

static void area_partial(struct dram *d, uint32_t area, int count)
{
        struct dram_area *a = &d->area[area];
        unsigned was = a->partial_count, now = was + (unsigned)count;

        a->partial_count = (uint16_t)now;
        if (!was != !now)
                bit_flip(d->areas_partial, area);
}

void dram_chunk_set(struct dram *d, uint32_t chunk, unsigned use)
{
        uint32_t area = chunk / FANOUT, at = chunk % FANOUT;
        unsigned was = d->chunk[chunk] & ~CHUNK_MIXED, now = use & ~CHUNK_MIXED;
        struct dram_area *a = &d->area[area];

        d->chunk[chunk] = (uint8_t)use;
        if (was == now)
                return;
        if (was == USE_WHOLE || now == USE_WHOLE) {
                bit_flip(a->free, at);
                dram_area_freed(d, area, now == USE_WHOLE ? 1 : -1);
        }
        if (was == USE_PARTLY || now == USE_PARTLY) {
                bit_flip(a->partial, at);
                area_partial(d, area, now == USE_PARTLY ? 1 : -1);
        }
}

/* ---- Addresses. ---- */

static hpa_t chunk_hpa(const struct dram *d, uint32_t chunk)
{
        uint64_t frame = (uint64_t)chunk * FANOUT;
        const struct dram_span *s = d->span;

        while (frame + s->gap - s->first >= s->count)
                s++;
        return HPA((frame + s->gap) * PAGE_4K);
}

/* Whether all frames [first, end) are managed, that is inside one range. */
static bool managed(const struct dram *d, uint64_t first, uint64_t end)
{
        for (size_t i = 0; i < d->ranges; i++)
                if (first >= d->range[i].first && end <= d->range[i].end)
                        return true;
        return false;
}

/* ---- Allocating. ---- */

/* The first set bit at or after from, else the first of all, else -1. */
static int64_t find_from(const uint64_t *map, size_t bits, size_t from)
{
        size_t words = (bits + 63) / 64, w = from < bits ? from / 64 : 0;
        uint64_t word = map[w] & ~0ull << (from < bits ? from % 64 : 0);

        for (size_t i = 0; i <= words; i++) {
                if (word)
                        return (int64_t)(w * 64) + __builtin_ctzll(word);
                w = w + 1 < words ? w + 1 : 0;
                word = map[w];
        }
        return -1;
}

/* The first free run of 2^(order - 9) chunks: in areas that are broken already, else in any. */
static int64_t find_large(const struct dram *d, unsigned order)
{
        size_t words = (d->areas + 63u) / 64;

        for (size_t i = 0; i < 2 * words; i++) {
                size_t w = i < words ? i : i - words;
                uint64_t areas = d->areas_free[w];

                if (order == DRAM_ORDER_1G)
                        areas = d->areas_whole[w];
                else
                        areas &= i < words ? ~d->areas_whole[w] : d->areas_whole[w];
                for (; areas; areas &= areas - 1) {
                        size_t area = w * 64 + (size_t)__builtin_ctzll(areas);
                        int at = node_find(d->area[area].free, order - DRAM_ORDER_2M);

                        if (at >= 0)
                                return (int64_t)(area * FANOUT) + at;
                }
        }
        return -1;
}

/* The cursor's chunk; -1: it is nowhere. */
static int64_t cursor_chunk(const struct dram *d)
{
        return d->cursor.word == &d->no_frames ? -1 : (d->cursor.word - d->frames) / (int)WORDS;
}

static bool warm_is_whole(const struct dram *d)
{
        return d->warm >= 0 && node_whole(frames_of(d, (uint32_t)d->warm));
}

/* No chunk is warm any more: from here on a wholly free one is USE_WHOLE. */
static void cool_down(struct dram *d)
{
        if (warm_is_whole(d)) {
                if (cursor_chunk(d) == d->warm)
                        d->cursor.word = &d->no_frames;
                dram_chunk_set(d, (uint32_t)d->warm, USE_WHOLE);
        }
        d->warm = -1;
}

/* Turn the use of a large block's chunks and of their bits in the area. */
static void large_mark(struct dram *d, uint32_t chunk, unsigned order, bool take)
{
        unsigned n = 1u << (order - DRAM_ORDER_2M);

        d->chunk[chunk] = (uint8_t)(take ? USE_LARGE(order) : USE_WHOLE);
        for (unsigned i = 1; i < n; i++)
                d->chunk[chunk + i] = take ? USE_INSIDE : USE_WHOLE;
        node_flip(d->area[chunk / FANOUT].free, chunk % FANOUT, order - DRAM_ORDER_2M);
        dram_area_freed(d, chunk / FANOUT, take ? -(int)n : (int)n);
}

/* Make a wholly free chunk ready to give small blocks, at least one at once. -1: there is none. */
static int64_t open_chunk(struct dram *d)
{
        int64_t chunk = find_large(d, DRAM_ORDER_2M);

        if (chunk < 0)
                return -1;
        memset(frames_of(d, (uint32_t)chunk), 0xff, WORDS * sizeof(uint64_t));
        dram_chunk_set(d, (uint32_t)chunk, USE_PARTLY);
        return chunk;
}

/* The first word of a chunk with a free frame, or NULL; then it leaves the partly used ones. */
static uint64_t *word_with_room(struct dram *d, uint32_t chunk)
{
        uint64_t *node = frames_of(d, chunk);

        for (unsigned w = 0; w < WORDS; w++)
                if (node[w])
                        return &node[w];
        dram_chunk_set(d, chunk, USE_FULL | (d->chunk[chunk] & CHUNK_MIXED));
        return NULL;
}

/* The next word with a free frame in a partly used chunk, from the cursor's chunk on, or NULL. */
static uint64_t *next_word(struct dram *d)
{
        int64_t at_cursor = cursor_chunk(d);
        size_t from = at_cursor < 0 ? 0 : (size_t)at_cursor;
        uint64_t *word = NULL;
        int64_t area;

        while (!word && (area = find_from(d->areas_partial, d->areas, from / FANOUT)) >= 0) {
                int64_t at = find_from(d->area[area].partial, FANOUT, from % FANOUT);

                word = word_with_room(d, (uint32_t)(area * FANOUT + at));
        }
        return word;
}

static void point_to(struct dram *d, uint64_t *word)
{
        size_t i = (size_t)(word - d->frames);

        d->cursor.word = word;
        d->cursor.hpa = HPA(chunk_hpa(d, (uint32_t)(i / WORDS)).v + i % WORDS * 64 * PAGE_4K);
}

/* Point the cursor to a word with a free frame. */
static int move_cursor(struct dram *d)
{
        uint64_t *word = next_word(d);

        if (!word) {
                int64_t chunk = open_chunk(d);

                if (chunk < 0)
                        return -ENOMEM;
                word = frames_of(d, (uint32_t)chunk);
        }
        point_to(d, word);
        return 0;
}

/* Take the first frame under the cursor, where one is free. */
static inline hpa_t take_under_cursor(struct dram *d)
{
        uint64_t *word = d->cursor.word;
        hpa_t frame = HPA(d->cursor.hpa.v + (unsigned)__builtin_ctzll(*word) * PAGE_4K);

        *word &= *word - 1;
        d->used[0]++;
        return frame;
}

/*
 * Faults for tests. While one is to come the cursor stays nowhere, so that every allocation leaves
 * the hot path, which need not ask.
 */
uint64_t dram_fail_after(struct dram *dram, uint64_t n)
{
        uint64_t left = dram->fail_in;

        dram->fail_in = n;
        if (n)
                dram->cursor.word = &dram->no_frames;
        return left;
}

static bool fails(struct dram *d)
{
        return d->fail_in && !--d->fail_in;
}

/* Out of line, as everything the two hot paths rarely need: it keeps them short. */
static __attribute__((noinline)) int take_elsewhere(struct dram *d, hpa_t *out)
{
        int err;

        if (!d->started)
                return -EINVAL;
        if (fails(d))
                return -ENOMEM;
        err = move_cursor(d);
        if (!err)
                *out = take_under_cursor(d);
        if (d->fail_in)
                d->cursor.word = &d->no_frames;
        return err;
}

/* A partly used chunk with room for a small block, looking at no more than limit; -1: none. */
static int64_t find_small(struct dram *d, unsigned order, uint64_t limit, int *at)
{
        for (uint32_t area = 0; area < d->areas; area++) {
                if (!bit_get(d->areas_partial, area))
                        continue;
                for (unsigned w = 0; w < WORDS; w++) {
                        uint64_t chunks = d->area[area].partial[w];

                        for (; chunks; chunks &= chunks - 1) {
                                uint32_t chunk = area * FANOUT + w * 64;

                                chunk += (unsigned)__builtin_ctzll(chunks);
                                *at = node_find(frames_of(d, chunk), order);
                                if (*at >= 0)
                                        return chunk;
                                (void)word_with_room(d, chunk);
                                if (!--limit)
                                        return -1;
                        }
                }
        }
        return -1;
}

#define SMALL_LOOKS 64 /* partly used chunks to look at before a free one is broken */

static int take_small(struct dram *d, unsigned order, hpa_t *out)
{
        int at = 0;
        int64_t chunk = find_small(d, order, SMALL_LOOKS, &at);

        if (chunk < 0) {
                at = 0;
                chunk = open_chunk(d);
        }
        if (chunk < 0)
                chunk = find_small(d, order, UINT64_MAX, &at);
        if (chunk < 0)
                return -ENOMEM;
        node_flip(frames_of(d, (uint32_t)chunk), (unsigned)at, order);
        *out = HPA(chunk_hpa(d, (uint32_t)chunk).v + (unsigned)at * PAGE_4K);
        return 0;
}

static int take_large(struct dram *d, unsigned order, hpa_t *out)
{
        int64_t chunk;

        cool_down(d);
        chunk = find_large(d, order);
        if (chunk < 0)
                return -ENOMEM;
        large_mark(d, (uint32_t)chunk, order, true);
        *out = chunk_hpa(d, (uint32_t)chunk);
        return 0;
}

static __attribute__((noinline)) int alloc_block(struct dram *d, unsigned order, hpa_t *out)
{
        int err;

        if (order > DRAM_ORDER_1G || !d->started)
                return -EINVAL;
        if (fails(d))
                return -ENOMEM;
        err = (order < DRAM_ORDER_2M ? take_small : take_large)(d, order, out);
        if (!err)
                d->used[order]++;
        return err;
}

/* The hot path: one frame from under the cursor. It is nowhere before dram_start. */
int dram_alloc(struct dram *dram, unsigned order, hpa_t *out)
{
        if (order)
                return alloc_block(dram, order, out);
        if (!*dram->cursor.word)
                return take_elsewhere(dram, out);
        *out = take_under_cursor(dram);
        return 0;
}

int dram_alloc_zeroed(struct dram *dram, unsigned order, hpa_t *out)
{
        uint64_t size = PAGE_4K << order, piece = size < PAGE_2M ? size : PAGE_2M;
        int err = dram_alloc(dram, order, out);

        for (uint64_t at = 0; !err && at < size; at += piece) {
                if (at)
                        work_step();
                memset((uint8_t *)dram->to_ptr(*out) + at, 0, piece);
        }
        return err;
}

/* ---- Freeing. ---- */

static bool give_small(struct dram *d, uint32_t chunk, uint64_t frame, unsigned order)
{
        unsigned mixed = d->chunk[chunk] & CHUNK_MIXED, use = d->chunk[chunk] & ~CHUNK_MIXED;
        uint64_t *node = frames_of(d, chunk);
        unsigned at = frame % FANOUT;

        if (use != USE_PARTLY && use != USE_FULL)
                return false;
        if (mixed && !managed(d, frame, frame + (1ull << order)))
                return false;
        if (!node_none(node, at, order))
                return false;
        node_flip(node, at, order);
        if (use == USE_FULL)
                dram_chunk_set(d, chunk, USE_PARTLY | mixed);
        point_to(d, &node[at / 64]);
        if (chunk != d->warm && node_whole(node)) {
                cool_down(d);
                d->warm = chunk;
                if (d->area[chunk / FANOUT].free_count == FANOUT - 1)
                        cool_down(d);
        }
        return true;
}

static bool give_large(struct dram *d, uint32_t chunk, unsigned order)
{
        if (d->chunk[chunk] != USE_LARGE(order))
                return false;
        large_mark(d, chunk, order, false);
        return true;
}

static __attribute__((noinline)) int refuse(hpa_t block, unsigned order)
{
        printk(LOG_ERROR, "dram: free of 0x%lx, order %u: no such block is allocated", block.v,
               order);
        return -EINVAL;
}

static __attribute__((noinline)) int free_block(struct dram *d, hpa_t block, unsigned order)
{
        uint64_t frame = frame_at(block);
        const struct dram_span *s = span_of(d, frame);
        bool ok;

        if (!s || order > DRAM_ORDER_1G || !d->used[order] || !is_aligned(frame, 1ull << order))
                return refuse(block, order);
        ok = order < DRAM_ORDER_2M ? give_small(d, chunk_of(s, frame), frame, order)
                                   : give_large(d, chunk_of(s, frame), order);
        if (!ok)
                return refuse(block, order);
        d->used[order]--;
        return 0;
}

/*
 * The hot path: a single frame of a partly used chunk, not MIXED, that stays partly used. Every
 * other case is free_block's.
 */
int dram_free(struct dram *dram, hpa_t block, unsigned order)
{
        uint64_t frame = frame_at(block), *word, free;
        const struct dram_span *s = span_of(dram, frame);

        if (order || !s || !dram->used[0])
                return free_block(dram, block, order);
        frame -= s->gap;
        word = &dram->frames[frame / 64];
        free = *word | 1ull << frame % 64;
        if (dram->chunk[frame / FANOUT] != USE_PARTLY || free == *word || free == ~0ull)
                return free_block(dram, block, order);
        *word = free;
        dram->used[0]--;
        dram->cursor = (struct dram_cursor){word, HPA(align_down(block.v, 64 * PAGE_4K))};
        return 0;
}

/* ---- Counters. ---- */

uint64_t dram_free_bytes(const struct dram *dram)
{
        uint64_t frames = dram->total_frames;

        for (unsigned order = 0; order < DRAM_ORDERS; order++)
                frames -= dram->used[order] << order;
        return frames * PAGE_4K;
}

void dram_get_stats(const struct dram *dram, struct dram_stats *stats)
{
        *stats = (struct dram_stats){
            .total_bytes = dram->total_frames * PAGE_4K,
            .free_bytes = dram_free_bytes(dram),
            .metadata_bytes = dram->metadata_bytes,
        };
        memcpy(stats->used_blocks, dram->used, sizeof dram->used);
        for (uint32_t i = 0; i < dram->areas; i++) {
                bool warm = dram->warm / (int)FANOUT == i && warm_is_whole(dram);
                unsigned whole = dram->area[i].free_count + warm;

                stats->free_2m += whole;
                stats->free_1g += whole == FANOUT;
        }
}
