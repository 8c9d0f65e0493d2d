/*
 * What the two files of the DRAM allocator share: its tables and how to find a frame in them. The
 * structure is told at the head of dram.c; nobody else includes this.
 */
#pragma once

#include "mm/dram.h"

#define FANOUT      512u /* frames a chunk, chunks an area */
#define WORDS       (FANOUT / 64)
#define AREA_FRAMES (FANOUT * FANOUT)

/*
 * A chunk's word: free frames, MIXED and its use. Zero stands for a chunk nothing is known of: it
 * has no managed frame. The first chunk of a large block holds USE_LARGE(order), the others
 * USE_INSIDE.
 */
#define CHUNK_FREE       0x03ffu
#define CHUNK_MIXED      0x0400u /* holds frames that are not managed too */
#define CHUNK_USE        0xf800u
#define USE_FRAMES       (1u << 11)
#define USE_LARGE(order) (((order)-DRAM_ORDER_2M + 2) << 11)
#define USE_INSIDE       (31u << 11)

struct dram_area {
        uint64_t free[WORDS];    /* chunks with 512 free frames */
        uint64_t partial[WORDS]; /* chunks with 1 to 511 */
        uint16_t free_count;
        uint16_t partial_count;
};

static inline void bit_set(uint64_t *map, size_t i)
{
        map[i / 64] |= 1ull << (i % 64);
}

static inline void bit_clear(uint64_t *map, size_t i)
{
        map[i / 64] &= ~(1ull << (i % 64));
}

static inline const struct dram_span *span_of(const struct dram *d, uint64_t frame)
{
        uint64_t window = frame / AREA_FRAMES;

        for (size_t i = 0; i < d->spans; i++)
                if (window - d->span[i].first < d->span[i].count)
                        return &d->span[i];
        return NULL;
}

/* The number of the chunk that a frame of this span lies in. */
static inline uint32_t chunk_of(const struct dram_span *s, uint64_t frame)
{
        return (uint32_t)(frame / FANOUT - s->first * FANOUT) + s->area * FANOUT;
}

static inline uint64_t *frames_of(const struct dram *d, uint32_t chunk)
{
        return &d->frames[(size_t)chunk * WORDS];
}

/*
 * A chunk has got another number of free frames, of another kind (none, some or all of 512): keep
 * its area and the bitmaps of areas right.
 */
void dram_chunk_moved(struct dram *d, uint32_t chunk, unsigned was, unsigned now);
