/*
 * Counts the calls of the persistent-memory primitives (mm/pool/pm.h) by the code under the
 * benchmark, and executes them. Left out is what would zero or copy data outside of the memory that
 * stands in for NVRAM: so a pool of terabytes can be worked on with its metadata alone.
 */
#pragma once

#include <stdint.h>

struct pm_count {
        uint64_t flushes; /* calls */
        uint64_t lines;   /* cache lines that they touched, of 64 bytes */
        uint64_t fences;
};

extern struct pm_count pm_count;

/* The memory that stands in for NVRAM. */
void pm_count_memory(const void *memory, uint64_t size);
