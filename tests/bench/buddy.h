/*
 * A textbook binary buddy allocator, to stand beside mm/dram/dram.c in the benchmark: a struct of
 * 32 bytes a frame, doubly linked lists of free blocks, orders 0 to 18. Frames are numbered from 0.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BUDDY_ORDERS 19u
#define BUDDY_NONE   UINT64_MAX

struct buddy_frame {
        struct buddy_frame *next, *prev; /* in the list of its order, while it heads a free block */
        uint64_t order;
        uint64_t free; /* heads a free block */
};

struct buddy {
        struct buddy_frame *frame;
        uint64_t frames;
        struct buddy_frame list[BUDDY_ORDERS]; /* circular: each is its list's own end */
};

/* Manage frames frames; frame has an element for each, whose contents do not matter. */
void buddy_start(struct buddy *buddy, struct buddy_frame *frame, uint64_t frames);

/* The first frame of a block of 2^order, or BUDDY_NONE. */
uint64_t buddy_alloc(struct buddy *buddy, unsigned order);

/* Give a block back with its order. Nothing is checked. */
void buddy_free(struct buddy *buddy, uint64_t frame, unsigned order);
