/* A memory map's entry as E820 tells it, for tests: start, size and type number. */
#pragma once

#include "mm/memmap.h"

static inline int memmap_add_e820(struct memmap *map, uint64_t start, uint64_t size, uint32_t type)
{
        struct mem_source source = {.origin = MEM_FROM_E820, .type = type};

        return memmap_add(map, start, size, memmap_kind_of_e820(type), source);
}
