/* A small machine's NVRAM for pool tests: ranges in one block of memory, mounted from any copy of
 * it. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "mm/pool/pool.h"
#include "tests/unit/unit.h"

#define WORLD_HPA 0x140000000ull

struct world {
        uint8_t *memory; /* all ranges back to back */
        uint64_t size;
        size_t ranges;
        uint64_t range_size[4];
        uint64_t skew; /* the first range's HPA is that much behind a 2 MiB boundary */
};

/* A pool and the DRAM that it lives in. */
struct mounted {
        struct pool pool;
        void *dram;
        int err;
};

static inline struct world world_make(size_t ranges, const uint64_t *size, uint64_t skew, int fill)
{
        struct world world = {.ranges = ranges, .skew = skew};

        for (size_t i = 0; i < ranges; i++)
                world.size += world.range_size[i] = size[i];
        world.memory = aligned_alloc(4096, world.size);
        memset(world.memory, fill, world.size);
        return world;
}

/* Mount the first ranges of a world as it is in memory. */
static inline void world_mount_with(const struct world *world, size_t ranges, void *memory,
                                    struct pool_config config, struct mounted *m)
{
        struct pool_range range[4];
        uint64_t offset = 0;

        for (size_t i = 0; i < ranges; i++) {
                range[i] = (struct pool_range){.base = (uint8_t *)memory + offset,
                                               .hpa = HPA(WORLD_HPA + i * GiB * 4 + world->skew),
                                               .size = world->range_size[i]};
                offset += world->range_size[i];
        }
        config.memory_size = pool_memory_size(range, ranges);
        config.memory = m->dram = malloc(config.memory_size + 1);
        m->err = pool_mount(&m->pool, range, ranges, &config);
}

/* Mount the world; release with world_unmount, also after an error. */
static inline void world_mount(const struct world *world, void *memory, bool format,
                               struct mounted *m)
{
        world_mount_with(world, world->ranges, memory,
                         (struct pool_config){.format = format, .entropy = 42}, m);
}

static inline void world_unmount(struct mounted *m)
{
        free(m->dram);
}
