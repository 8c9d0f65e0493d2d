/*
 * The physical memory map (mm/memmap.c): entries of any kind, addresses in units that a flag
 * chooses, so that they meet. NVRAM is never RAM, nothing overlaps, and what is reserved is lost
 * only when the table has no room for anything else: then nothing usable is left in it either.
 */
#include "guest/admin/map_view.h"
#include "hv/lib/errno.h"
#include "mm/memmap.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/e820.h"

#define POINTS 512u

static struct memmap map;
static uint64_t unit;
/* What was said of each small address: the strongest kind. */
static uint8_t strongest[POINTS];

static bool is_reserved(unsigned kind)
{
        return kind >= MEM_ACPI_RECLAIM;
}

static bool is_ram(unsigned kind)
{
        return kind == MEM_RAM;
}

static void remember(uint64_t start, uint64_t size, unsigned kind)
{
        for (uint64_t i = 0; i < POINTS; i++)
                if (i * unit >= start && i * unit - start < size && strongest[i] < kind)
                        strongest[i] = (uint8_t)kind;
}

static void check(void)
{
        for (size_t i = 0; i < map.count; i++) {
                const struct mem_range *r = &map.range[i];

                DEMAND(r->size && r->kind > MEM_HOLE && r->kind < MEM_KINDS);
                DEMAND(r->kind >= map.lost); /* nothing stands where something stronger was lost */
                DEMAND(r->start < map.limit && r->size <= map.limit - r->start);
                DEMAND(!i || r[-1].start + r[-1].size <= r->start);
        }
        for (uint64_t i = 0; i < POINTS; i++) {
                const struct mem_range *r = memmap_find(&map, i * unit);
                unsigned kind = r ? r->kind : MEM_HOLE;

                if (i * unit >= map.limit)
                        break;
                DEMAND(kind <= strongest[i]);
                if (is_reserved(strongest[i]) && kind != strongest[i])
                        DEMAND(kind == MEM_HOLE && map.lost >= strongest[i]);
                DEMAND(!is_ram(kind) || !memmap_is_nvram(strongest[i]));
        }
}

static uint64_t take_address(struct fuzz_input *in)
{
        uint64_t raw = fuzz_take(in, 2);

        return raw & 0x8000 ? raw << 48 | fuzz_take(in, 4) : raw % POINTS * unit;
}

/* One of the three ways in which something is said: E820, NFIT, the loader. */
static int add_kind(unsigned what, uint64_t start, uint64_t size, enum mem_kind *kind)
{
        static const enum mem_kind nfit[] = {MEM_NVRAM, MEM_NVRAM_UNARMED, MEM_UNUSABLE, MEM_NVRAM};
        static const enum mem_kind loader[] = {MEM_LOADER, MEM_MODULE, MEM_HYPERVISOR, MEM_MODULE};
        struct mem_source source = {.origin = MEM_FROM_NFIT, .type = what};
        int err;

        switch (what >> 6) {
        case 2:
                *kind = nfit[what & 3];
                return memmap_add(&map, start, size, *kind, source);
        case 3:
                *kind = loader[what & 3];
                err = memmap_carve(&map, start, size, *kind);
                return err == -EBUSY ? 0 : err;
        default:
                *kind = memmap_kind_of_e820(what == 63 ? 90 : what & 31);
                return memmap_add_e820(&map, start, size, what == 63 ? 90 : what & 31);
        }
}

static void add_one(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        uint64_t start = take_address(in), size = take_address(in);
        uint64_t end = start + size < start ? UINT64_MAX : start + size;
        enum mem_kind kind;
        int err = add_kind(what, start, size, &kind);

        DEMAND(err == 0 || err == -ERANGE || err == -ENOSPC);
        DEMAND(err != -ERANGE || !is_reserved(kind));
        if (err != -ERANGE)
                remember(start, end - start, kind);
        else if (memmap_is_nvram(kind) && start < map.limit)
                remember(start, map.limit - start, MEM_RESERVED);
}

/* nvram= takes RAM and nothing else. */
static void simulate(struct fuzz_input *in)
{
        uint64_t start = take_address(in), size = take_address(in);
        uint64_t ram = memmap_total(&map, MEM_RAM);
        int err = memmap_add_simulated(&map, start, size);

        DEMAND(err == 0 || err == -EINVAL || err == -EBUSY || err == -ENOSPC);
        if (!err)
                DEMAND(memmap_total(&map, MEM_RAM) == ram - size);
        if (err == -EINVAL || err == -EBUSY)
                DEMAND(memmap_total(&map, MEM_RAM) == ram);
        else
                remember(start, size, MEM_NVRAM_SIMULATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        unit = 1ull << fuzz_take(&in, 1) % 32;
        memset(strongest, 0, sizeof strongest);
        memmap_init(&map);
        map.limit = 1ull << (36 + fuzz_take(&in, 1) % 17);
        while (in.left > 8)
                add_one(&in);
        check();
        simulate(&in);
        check();
        map_view_log(&map);
        return 0;
}
