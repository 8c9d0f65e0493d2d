/*
 * The DRAM allocator until it starts: the list of RAM ranges, and from it the tables in memory that
 * is cut out of one of the ranges. The structure is told at the head of dram.c.
 */
#include "mm/dram/dram.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/dram/dram_internal.h"

void dram_init(struct dram *dram, void *(*to_ptr)(hpa_t hpa))
{
        *dram = (struct dram){.to_ptr = to_ptr, .cursor.word = &dram->no_frames, .warm = -1};
}

static void range_remove(struct dram *d, size_t i)
{
        d->ranges--;
        memmove(&d->range[i], &d->range[i + 1], (d->ranges - i) * sizeof d->range[0]);
}

static void range_insert(struct dram *d, size_t i, uint64_t first, uint64_t end)
{
        memmove(&d->range[i + 1], &d->range[i], (d->ranges - i) * sizeof d->range[0]);
        d->range[i] = (struct dram_range){.first = first, .end = end};
        d->ranges++;
}

static void leave_out(struct dram *d, uint64_t frames)
{
        d->left_ranges++;
        d->left_frames += frames;
}

static uint64_t frames_in(const struct dram_range *r)
{
        return r->end - r->first;
}

static size_t smallest_range(const struct dram *d)
{
        size_t found = 0;

        for (size_t i = 1; i < d->ranges; i++)
                if (frames_in(&d->range[i]) < frames_in(&d->range[found]))
                        found = i;
        return found;
}

/* Insert frames [first, end) as range i; the list may be full of larger ones. */
static void range_enter(struct dram *d, size_t i, uint64_t first, uint64_t end)
{
        if (d->ranges == DRAM_RANGES_MAX) {
                size_t victim = smallest_range(d);

                if (frames_in(&d->range[victim]) >= end - first) {
                        leave_out(d, end - first);
                        return;
                }
                leave_out(d, frames_in(&d->range[victim]));
                range_remove(d, victim);
                i -= victim < i;
        }
        range_insert(d, i, first, end);
}

int dram_add_range(struct dram *dram, hpa_t start, uint64_t size)
{
        uint64_t first = start.v / PAGE_4K + (start.v % PAGE_4K != 0);
        uint64_t end = (start.v + size) / PAGE_4K;
        size_t i = 0;

        if (dram->started)
                return -EBUSY;
        if (size > UINT64_MAX - start.v)
                return -EINVAL;
        if (!first)
                first = 1;
        if (first >= end)
                return 0;
        while (i < dram->ranges && dram->range[i].end < first)
                i++;
        for (size_t j = i; j < dram->ranges && dram->range[j].first < end; j++)
                if (dram->range[j].end > first)
                        return -EINVAL;
        /* Join with the neighbours, so that blocks may cross the border. */
        if (i < dram->ranges && dram->range[i].end == first) {
                first = dram->range[i].first;
                range_remove(dram, i);
        }
        if (i < dram->ranges && dram->range[i].first == end) {
                end = dram->range[i].end;
                range_remove(dram, i);
        }
        range_enter(dram, i, first, end);
        return 0;
}

size_t dram_left(const struct dram *dram, uint64_t *bytes)
{
        *bytes = dram->left_frames * PAGE_4K;
        return dram->left_ranges;
}

/* Cut frames [first, end) out of the list; what that splits may find no place for both halves. */
static void ranges_cut(struct dram *d, uint64_t first, uint64_t end)
{
        size_t i = 0;

        while (i < d->ranges) {
                struct dram_range r = d->range[i];

                if (r.end <= first || r.first >= end) {
                        i++;
                        continue;
                }
                range_remove(d, i);
                if (r.first < first)
                        range_insert(d, i++, r.first, first);
                if (r.end > end)
                        range_enter(d, i, end, r.end);
        }
}

int dram_reserve(struct dram *dram, hpa_t start, uint64_t size)
{
        uint64_t end = start.v + size;

        if (dram->started)
                return -EBUSY;
        if (size > UINT64_MAX - start.v)
                return -EINVAL;
        if (size)
                ranges_cut(dram, start.v / PAGE_4K, end / PAGE_4K + (end % PAGE_4K != 0));
        return 0;
}

/* Runs of 1 GiB windows that hold managed frames. */
static void find_spans(struct dram *d)
{
        uint64_t next = 0; /* the first frame not covered yet */
        uint64_t covered = 0;

        for (size_t i = 0; i < d->ranges; i++) {
                uint64_t first = align_down(d->range[i].first, AREA_FRAMES);
                uint64_t end = align_up(d->range[i].end, AREA_FRAMES);

                first = first < next ? next : first;
                if (first >= end)
                        continue;
                if (!d->spans || first != next)
                        d->span[d->spans++] =
                            (struct dram_span){.first = first, .gap = first - covered};
                d->span[d->spans - 1].count += end - first;
                covered += end - first;
                next = end;
        }
        d->areas = (uint32_t)(covered / AREA_FRAMES);
}

/*
 * Where the metadata goes: the lowest range with room above 1 MiB, else one below; 0: none. At the
 * range's end when it begins with a whole 1 GiB block, which stays one.
 */
static uint64_t find_room(const struct dram *d, uint64_t frames)
{
        uint64_t low = 0;

        for (size_t i = 0; i < d->ranges; i++) {
                const struct dram_range *r = &d->range[i];
                uint64_t first = r->first < MiB / PAGE_4K ? MiB / PAGE_4K : r->first;

                if (r->end >= first && r->end - first >= frames)
                        return (first % AREA_FRAMES) ? first : r->end - frames;
                if (r->end - r->first >= frames)
                        low = r->end - frames;
        }
        return low;
}

static void *carve(uintptr_t *at, size_t bytes)
{
        uintptr_t p = *at;

        *at += align_up(bytes, 64);
        return (void *)p;
}

/* Lay the tables out from base and give their size; every one but the frame bits starts as zeros.
 */
static size_t lay_out(struct dram *d, uintptr_t base)
{
        size_t words = (d->areas + 63u) / 64 * sizeof(uint64_t);
        size_t chunks = (size_t)d->areas * FANOUT;
        uintptr_t at = base;

        d->chunk = carve(&at, chunks * sizeof *d->chunk);
        d->area = carve(&at, d->areas * sizeof *d->area);
        d->areas_partial = carve(&at, words);
        d->areas_free = carve(&at, words);
        d->areas_whole = carve(&at, words);
        d->frames = (uint64_t *)at;
        return at - base + chunks * WORDS * sizeof(uint64_t);
}

/* Enter the managed frames [first, end) of one chunk, which is not all of it. */
static void fill_part(struct dram *d, uint32_t chunk, uint64_t first, uint64_t end)
{
        for (uint64_t frame = first; frame < end; frame++)
                bit_set(frames_of(d, chunk), frame % FANOUT);
        dram_chunk_set(d, chunk, USE_PARTLY | CHUNK_MIXED);
}

/* Enter count whole chunks of one area. */
static void fill_whole(struct dram *d, uint32_t chunk, uint32_t count)
{
        struct dram_area *a = &d->area[chunk / FANOUT];

        for (uint32_t i = chunk; i < chunk + count; i++) {
                d->chunk[i] = USE_WHOLE;
                bit_set(a->free, i % FANOUT);
        }
        dram_area_freed(d, chunk / FANOUT, (int)count);
}

/* Before a range is entered: a chunk it shares with something else gets frame bits. */
static void mark_edge(struct dram *d, uint64_t frame)
{
        const struct dram_span *s = span_of(d, frame);
        uint32_t chunk;

        if (!s || frame % FANOUT == 0)
                return;
        chunk = chunk_of(s, frame);
        d->chunk[chunk] = CHUNK_MIXED;
        memset(frames_of(d, chunk), 0, WORDS * sizeof(uint64_t));
}

static void fill_range(struct dram *d, const struct dram_range *r)
{
        const struct dram_span *s = span_of(d, r->first);

        for (uint64_t at = r->first, next; at < r->end; at = next) {
                if (at % FANOUT || r->end - at < FANOUT) {
                        next = min(align_down(at, FANOUT) + FANOUT, r->end);
                        fill_part(d, chunk_of(s, at), at, next);
                } else {
                        next = min(align_down(at, AREA_FRAMES) + AREA_FRAMES,
                                   align_down(r->end, FANOUT));
                        fill_whole(d, chunk_of(s, at), (uint32_t)((next - at) / FANOUT));
                }
        }
}

int dram_start(struct dram *dram)
{
        uint64_t size, frames, at;
        uintptr_t base;

        if (dram->started)
                return -EBUSY;
        dram->spans = 0;
        find_spans(dram);
        size = lay_out(dram, 0);
        frames = (size + PAGE_4K - 1) / PAGE_4K;
        at = find_room(dram, frames);
        if (!at)
                return -ENOMEM;
        ranges_cut(dram, at, at + frames);
        dram->started = true;
        dram->metadata_bytes = frames * PAGE_4K;
        base = (uintptr_t)dram->to_ptr(HPA(at * PAGE_4K));
        lay_out(dram, base);
        memset((void *)base, 0, (uintptr_t)dram->frames - base);
        for (size_t i = 0; i < dram->ranges; i++) {
                mark_edge(dram, dram->range[i].first);
                mark_edge(dram, dram->range[i].end);
        }
        for (size_t i = 0; i < dram->ranges; i++) {
                fill_range(dram, &dram->range[i]);
                dram->total_frames += dram->range[i].end - dram->range[i].first;
        }
        return 0;
}
