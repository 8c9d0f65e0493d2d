/*
 * The DRAM page-frame allocator: naturally aligned blocks of 2^order frames, 4 KiB (order 0) to
 * 1 GiB (order 18). The structure and its cost are told at the head of dram.c.
 *
 * Use: dram_init, dram_add_range for each range of RAM, dram_reserve for what must not be handed
 * out, then dram_start; after that dram_alloc and dram_free. Not locked: callers serialise.
 * Freshly allocated memory holds what its last user left there; see dram_alloc_zeroed.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define DRAM_ORDER_2M 9u
#define DRAM_ORDER_1G 18u
#define DRAM_ORDERS   (DRAM_ORDER_1G + 1)

/* Frame numbers [first, end) that are managed. */
struct dram_range {
        uint64_t first;
        uint64_t end;
};

/*
 * count consecutive frames from first that are described, in whole 1 GiB windows. In the tables
 * there are no gaps between spans: a frame stands there under its number less gap.
 */
struct dram_span {
        uint64_t first, count, gap;
};

/* Where the next single frame is taken from: 64 frames, of which none may be free. */
struct dram_cursor {
        uint64_t *word; /* their bits */
        hpa_t hpa;      /* of the first */
};

/* All fields are private to dram.c. */
struct dram {
        void *(*to_ptr)(hpa_t hpa);
        struct dram_cursor cursor;
        uint64_t *frames; /* 8 words a chunk: bit set = free; meaningful in a partly used chunk */
        uint8_t *chunk;   /* a byte a chunk: its use */
        struct dram_area *area;
        uint64_t *areas_partial, *areas_free, *areas_whole; /* a bit an area */
        int64_t warm;       /* a partly used chunk that may be wholly free, or -1 */
        uint64_t no_frames; /* 0: what the cursor points to when it is nowhere */
        uint64_t fail_in;   /* 1: the next counted allocation fails; 0: none does */
        uint64_t used[DRAM_ORDERS];
        uint64_t total_frames, metadata_bytes;
        size_t ranges, spans;
        uint32_t areas;
        bool started;
        struct dram_span span[DRAM_RANGES_MAX + 1]; /* the one behind the last has no frame */
        struct dram_range range[DRAM_RANGES_MAX];
        size_t left_ranges; /* what found no place in range, and its frames */
        uint64_t left_frames;
};

struct dram_stats {
        uint64_t total_bytes; /* managed: added less reserved less metadata */
        uint64_t free_bytes;
        uint64_t metadata_bytes;
        uint64_t used_blocks[DRAM_ORDERS]; /* blocks handed out, by order */
        uint64_t free_2m, free_1g;         /* whole free blocks; a free 1 GiB counts in both */
};

/*
 * Start empty. to_ptr turns the address of RAM that was added into a pointer which stays valid; it
 * must map a whole range linearly.
 */
void dram_init(struct dram *dram, void *(*to_ptr)(hpa_t hpa));

/*
 * Manage size bytes of RAM from start; rounded inwards to whole frames, frame 0 never handed out.
 * Of more than DRAM_RANGES_MAX stretches the smallest are left out, see dram_left.
 * -EINVAL: wraps or overlaps a range; -EBUSY: after dram_start.
 */
must_check int dram_add_range(struct dram *dram, hpa_t start, uint64_t size);

/*
 * Keep size bytes from start, rounded outwards to whole frames, from being handed out; they need
 * not be RAM. Errors as dram_add_range.
 */
must_check int dram_reserve(struct dram *dram, hpa_t start, uint64_t size);

/* How many stretches were left out, and their bytes. */
size_t dram_left(const struct dram *dram, uint64_t *bytes);

/*
 * Place the metadata in one of the ranges (above 1 MiB where possible) and begin.
 * -ENOMEM: no range is large enough; -EBUSY: started before.
 */
must_check int dram_start(struct dram *dram);

/* Allocate a block of 2^order frames; the caller owns it. -ENOMEM: none; -EINVAL: order > 18. */
must_check int dram_alloc(struct dram *dram, unsigned order, hpa_t *out);

/* The smallest order of a block that holds size bytes. */
static inline unsigned dram_order(uint64_t size)
{
        unsigned order = 0;

        while ((PAGE_4K << order) < size)
                order++;
        return order;
}

/* As dram_alloc, filled with zeros. */
must_check int dram_alloc_zeroed(struct dram *dram, unsigned order, hpa_t *out);

/*
 * For tests: the n-th allocation from here on fails with -ENOMEM, once; 0: none does. A frame that
 * is given back meanwhile may be taken again uncounted. Returns what was left to go of an earlier
 * n; 0: that has failed.
 */
uint64_t dram_fail_after(struct dram *dram, uint64_t n);

/*
 * Give back a block with the order it was allocated with. -EINVAL, an error in the log and no
 * change: it is not allocated (double free), not RAM, misaligned, or of another order. A wrong
 * order is always found where either of the two is 2 MiB or more; between smaller orders only when
 * a frame of the block is free.
 */
must_check int dram_free(struct dram *dram, hpa_t block, unsigned order);

uint64_t dram_free_bytes(const struct dram *dram);
void dram_get_stats(const struct dram *dram, struct dram_stats *stats);
