/* The physical memory map: merging, asking and printing; rules and contracts are in memmap.h. */
#include "mm/memmap.h"

#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/lib/string.h"

static const char *const kind_names[MEM_KINDS] = {
    [MEM_HOLE] = "hole",
    [MEM_RAM] = "RAM",
    [MEM_LOADER] = "RAM: boot information",
    [MEM_MODULE] = "RAM: boot module",
    [MEM_HYPERVISOR] = "RAM: hypervisor",
    [MEM_NVRAM_SIMULATED] = "NVRAM simulated (volatile)",
    [MEM_NVRAM_VENDOR] = "NVRAM vendor",
    [MEM_NVRAM_LEGACY] = "NVRAM legacy",
    [MEM_NVRAM] = "NVRAM persistent",
    [MEM_NVRAM_UNARMED] = "NVRAM not armed (volatile)",
    [MEM_ACPI_RECLAIM] = "ACPI tables",
    [MEM_ACPI_NVS] = "ACPI NVS",
    [MEM_RESERVED] = "reserved",
    [MEM_UNUSABLE] = "unusable",
};

static uint64_t end_of(const struct mem_range *r)
{
        return r->start + r->size;
}

const char *memmap_kind_name(enum mem_kind kind)
{
        return kind_names[kind];
}

bool memmap_is_nvram(enum mem_kind kind)
{
        return kind >= MEM_NVRAM_SIMULATED && kind <= MEM_NVRAM_UNARMED;
}

enum mem_kind memmap_kind_of_e820(uint32_t type)
{
        static const uint8_t kinds[] = {
            [E820_RAM] = MEM_RAM,
            [E820_ACPI_RECLAIM] = MEM_ACPI_RECLAIM,
            [E820_ACPI_NVS] = MEM_ACPI_NVS,
            [E820_UNUSABLE] = MEM_UNUSABLE,
            [E820_PERSISTENT] = MEM_NVRAM,
            [E820_PERSISTENT_LEGACY] = MEM_NVRAM_LEGACY,
            [E820_PERSISTENT_VENDOR] = MEM_NVRAM_VENDOR,
        };

        return type < ARRAY_LEN(kinds) && kinds[type] ? kinds[type] : MEM_RESERVED;
}

void memmap_init(struct memmap *map)
{
        map->count = 0;
        map->limit = MEMMAP_LIMIT;
        map->lost = MEM_HOLE;
        map->lost_bytes = 0;
}

/* A table being written in order of addresses. */
struct writer {
        struct mem_range *range;
        size_t count;
};

/* Append what of like lies in [start, end). */
static void emit(struct writer *w, const struct mem_range *like, uint64_t start, uint64_t end)
{
        struct mem_range *last = w->count ? &w->range[w->count - 1] : NULL;

        if (start >= end)
                return;
        if (last && end_of(last) == start && last->kind == like->kind &&
            last->source.origin == like->source.origin && last->source.type == like->source.type) {
                last->size += end - start;
                return;
        }
        w->range[w->count] = *like;
        w->range[w->count].start = start;
        w->range[w->count].size = end - start;
        w->count++;
}

/* Leave out one range of the weakest kind, the smallest, so that the others fit. */
static void drop_weakest(struct memmap *map, struct writer *w)
{
        size_t victim = 0;

        for (size_t i = 1; i < w->count; i++) {
                const struct mem_range *r = &w->range[i], *v = &w->range[victim];

                if (r->kind < v->kind || (r->kind == v->kind && r->size < v->size))
                        victim = i;
        }
        map->lost = w->range[victim].kind > map->lost ? w->range[victim].kind : map->lost;
        map->lost_bytes += w->range[victim].size;
        w->count--;
        memmove(&w->range[victim], &w->range[victim + 1], (w->count - victim) * sizeof w->range[0]);
}

/* Whether what was there stays where a new range lies over it. Of NVRAM the NFIT tells best: which
 * NVDIMM it is, and that one's state. */
static bool stays(const struct mem_range *old, const struct mem_range *new)
{
        bool old_nfit = old->source.origin == MEM_FROM_NFIT;
        bool new_nfit = new->source.origin == MEM_FROM_NFIT;

        if (memmap_is_nvram(old->kind) && memmap_is_nvram(new->kind) && old_nfit != new_nfit)
                return old_nfit;
        return old->kind >= new->kind;
}

/* One pass over the old table, in order, with the new range laid over it. */
static void merge(const struct memmap *map, const struct mem_range *new, struct writer *w)
{
        uint64_t at = new->start, end = end_of(new);

        for (size_t i = 0; i < map->count; i++) {
                const struct mem_range *old = &map->range[i];
                uint64_t from = max(old->start, new->start);
                uint64_t to = max(min(end_of(old), end), from);

                emit(w, new, at, min(old->start, end));
                if (from == to || stays(old, new)) {
                        emit(w, old, old->start, end_of(old));
                } else {
                        emit(w, old, old->start, from);
                        emit(w, new, from, to);
                        emit(w, old, to, end_of(old));
                }
                at = max(at, min(end_of(old), end));
        }
        emit(w, new, at, end);
}

int memmap_add(struct memmap *map, uint64_t start, uint64_t size, enum mem_kind kind,
               struct mem_source source)
{
        struct mem_range new = {.start = start, .size = size, .kind = kind, .source = source};
        struct writer w = {.range = map->scratch};
        bool full = false;
        int err = 0;

        if (!size)
                return 0;
        if (start >= map->limit || size > map->limit - start) {
                err = kind == MEM_RAM || memmap_is_nvram(kind) ? -ERANGE : 0;
                if (kind == MEM_RAM || start >= map->limit)
                        return err;
                new.size = map->limit - start;
                new.kind = err ? MEM_RESERVED : kind;
        }
        /* Something stronger may have been lost there: nothing weaker must take its place. */
        if (new.kind < map->lost) {
                map->lost_bytes += new.size;
                return -ENOSPC;
        }
        merge(map, &new, &w);
        while (w.count > MEMMAP_ENTRIES_MAX) {
                drop_weakest(map, &w);
                full = true;
        }
        memcpy(map->range, w.range, w.count * sizeof w.range[0]);
        map->count = w.count;
        /* What was left out is never stronger than map->lost. */
        return !err && full && new.kind <= map->lost ? -ENOSPC : err;
}

uint64_t memmap_disarm(struct memmap *map)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < map->count; i++) {
                struct mem_range *r = &map->range[i];

                if (r->source.origin == MEM_FROM_NFIT || r->kind < MEM_NVRAM_VENDOR ||
                    r->kind > MEM_NVRAM)
                        continue;
                r->kind = MEM_NVRAM_UNARMED;
                sum += r->size;
        }
        return sum;
}

uint64_t memmap_bytes(const struct memmap *map, uint64_t start, uint64_t size,
                      enum mem_kind weakest, enum mem_kind strongest)
{
        uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
        uint64_t sum = 0;

        for (size_t i = 0; i < map->count; i++) {
                const struct mem_range *r = &map->range[i];
                uint64_t from = max(r->start, start), to = min(end_of(r), end);

                if (from < to && r->kind >= weakest && r->kind <= strongest)
                        sum += to - from;
        }
        return sum;
}

int memmap_carve(struct memmap *map, uint64_t start, uint64_t size, enum mem_kind kind)
{
        struct mem_source source = {.origin = MEM_FROM_LOADER};
        bool in_ram = memmap_bytes(map, start, size, MEM_RAM, MEM_HYPERVISOR) == size;
        int err = memmap_add(map, start, size, kind, source);

        return err ? err : in_ram ? 0 : -EBUSY;
}

int memmap_carve_module(struct memmap *map, uint64_t start, uint64_t size)
{
        uint64_t end = start + size, rest = align_up(end, PAGE_4K) - end;

        if (memmap_bytes(map, end, rest, MEM_RAM, MEM_RAM) == rest)
                size += rest;
        return memmap_carve(map, start, size, MEM_MODULE);
}

int memmap_add_simulated(struct memmap *map, uint64_t start, uint64_t size)
{
        struct mem_source source = {.origin = MEM_FROM_CMDLINE};

        if (!size || memmap_bytes(map, start, size, MEM_RAM, MEM_HYPERVISOR) != size)
                return -EINVAL;
        if (memmap_bytes(map, start, size, MEM_RAM, MEM_RAM) != size)
                return -EBUSY;
        return memmap_add(map, start, size, MEM_NVRAM_SIMULATED, source);
}

const struct mem_range *memmap_find(const struct memmap *map, uint64_t addr)
{
        for (size_t i = 0; i < map->count; i++)
                if (addr >= map->range[i].start && addr < end_of(&map->range[i]))
                        return &map->range[i];
        return NULL;
}

uint64_t memmap_total(const struct memmap *map, enum mem_kind kind)
{
        return memmap_bytes(map, 0, UINT64_MAX, kind, kind);
}

int memmap_format_source(char *buf, size_t size, const struct mem_source *source)
{
        switch (source->origin) {
        case MEM_FROM_E820:
                return format_text(buf, size, "E820 type %u", source->type);
        case MEM_FROM_EFI:
                return format_text(buf, size, "EFI type %u", source->type);
        case MEM_FROM_CMDLINE:
                return format_text(buf, size, "nvram=");
        case MEM_FROM_NFIT:
                return format_text(buf, size, "ACPI NFIT");
        default:
                return format_text(buf, size, "boot loader");
        }
}

int memmap_format_size(char *buf, size_t size, uint64_t bytes)
{
        static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        uint64_t whole = bytes, rest = 0;
        size_t unit = 0;

        for (; whole >= 1024; unit++) {
                rest = whole % 1024;
                whole /= 1024;
        }
        if (bytes == whole << (10 * unit))
                return format_text(buf, size, "%lu %s", whole, units[unit]);
        return format_text(buf, size, "%lu.%lu %s", whole, rest * 10 / 1024, units[unit]);
}
