/*
 * What the two files of the DRAM allocator share: its tables and how to find a frame in them. The
 * structure is told at the head of dram.c; nobody else includes this.
 */
#pragma once

#include "mm/dram/dram.h"

#define FANOUT      512u /* frames a chunk, chunks an area */
#define WORDS       (FANOUT / 64)
#define AREA_FRAMES (FANOUT * FANOUT)

/*
 * The use of a chunk, with MIXED when it holds frames that are not managed too. Zero stands for a
 * chunk nothing is known of: it has no managed frame.
 */
#define USE_PARTLY       1u /* by frames; in its area's bitmap of these. None may be free */
#define USE_FULL         2u /* by frames: none is free; in no bitmap */
#define USE_WHOLE        3u /* wholly free */
#define USE_LARGE(order) ((order)-DRAM_ORDER_2M + 4) /* the first chunk of a large block */
#define USE_INSIDE       127u                        /* its other chunks */
#define CHUNK_MIXED      128u

struct dram_area {
        uint64_t free[WORDS];    /* chunks that are USE_WHOLE */
        uint64_t partial[WORDS]; /* chunks that are USE_PARTLY */
        uint16_t free_count;
        uint16_t partial_count;
};

static inline void bit_set(uint64_t *map, size_t i)
{
        map[i / 64] |= 1ull << (i % 64);
}

static inline void bit_flip(uint64_t *map, size_t i)
{
        map[i / 64] ^= 1ull << (i % 64);
}

/* The number of the frame at an address; of an address inside a frame, one beyond all memory. */
static inline uint64_t frame_at(hpa_t hpa)
{
        return hpa.v / PAGE_4K | hpa.v << 52;
}

static inline const struct dram_span *span_of(const struct dram *d, uint64_t frame)
{
        const struct dram_span *s = d->span;

        for (; frame - s->first >= s->count; s++)
                if (!s->count)
                        return NULL;
        return s;
}

/* The number of the chunk that a frame of this span lies in. */
static inline uint32_t chunk_of(const struct dram_span *s, uint64_t frame)
{
        return (uint32_t)((frame - s->gap) / FANOUT);
}

static inline uint64_t *frames_of(const struct dram *d, uint32_t chunk)
{
        return &d->frames[(size_t)chunk * WORDS];
}

/* Give a chunk another use; its area and the bitmaps of areas follow. */
void dram_chunk_set(struct dram *d, uint32_t chunk, unsigned use);

/* count of an area's chunks have become wholly free (when negative: are no longer). */
void dram_area_freed(struct dram *d, uint32_t area, int count);
