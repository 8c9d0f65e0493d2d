/* Tables and bars of memory; contract in map_view.h. */
#include "guest/admin/map_view.h"

#include "hv/lib/printk.h"
#include "hv/lib/string.h"

#define BAR_CELLS 64u
#define SHARED    '+' /* several regions in one cell */
#define TEXT_SIZE 24

/* Cells over [start, start + cells * step). */
struct bar {
        uint64_t start, step;
        size_t cells;
        char text[BAR_CELLS + 1];
};

static void bar_init(struct bar *bar, uint64_t start, uint64_t size, char fill)
{
        bar->start = start;
        bar->step = (size - 1) / BAR_CELLS + 1;
        bar->cells = (size_t)((size - 1) / bar->step + 1);
        memset(bar->text, fill, bar->cells);
        bar->text[bar->cells] = '\0';
}

static bool is_region(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '*' || c == SHARED;
}

/* Set the cells that [start, start + size) touches; with share, one with another region's letter
 * becomes shared. */
static void bar_paint(struct bar *bar, uint64_t start, uint64_t size, char c, bool share)
{
        uint64_t end = bar->start + bar->cells * bar->step;
        uint64_t last = start + size - 1;

        if (!size || start >= end || last < bar->start)
                return;
        if (start < bar->start)
                start = bar->start;
        if (last >= end)
                last = end - 1;
        for (uint64_t i = (start - bar->start) / bar->step; i <= (last - bar->start) / bar->step;
             i++) {
                bool taken = is_region(bar->text[i]) && bar->text[i] != c;

                bar->text[i] = share && taken ? SHARED : c;
        }
}

/* How a kind is drawn in the bar of DRAM, from what is painted first to what is painted last. */
static const struct {
        enum mem_kind first, last;
        char letter;
} drawn[] = {
    {MEM_ACPI_RECLAIM, MEM_UNUSABLE, 'r'},
    {MEM_NVRAM_SIMULATED, MEM_NVRAM, 'N'},
    {MEM_RAM, MEM_RAM, '.'},
    {MEM_LOADER, MEM_LOADER, 'L'},
    {MEM_MODULE, MEM_MODULE, 'M'},
    {MEM_HYPERVISOR, MEM_HYPERVISOR, 'H'},
};

static char region_letter(size_t index)
{
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        return index < sizeof letters - 1 ? letters[index] : '*';
}

static void begin_ranges(struct out *out)
{
        static const struct out_column columns[] = {{"first", "FIRST", 14},
                                                    {"last", "LAST", 14},
                                                    {"size", "SIZE", 10},
                                                    {"kind", "KIND", -26},
                                                    {"source", "SOURCE", -1}};

        out_table_begin(out, columns, ARRAY_LEN(columns));
}

static void range_row(struct out *out, const struct mem_range *r)
{
        char source[TEXT_SIZE];

        memmap_format_source(source, sizeof source, &r->source);
        out_cells(out, out_address(r->start), out_address(r->start + r->size - 1),
                  out_size(r->size), out_text(memmap_kind_name(r->kind)), out_text(source));
}

void map_view_ranges(struct out *out, const struct memmap *map)
{
        begin_ranges(out);
        for (size_t i = 0; i < map->count; i++)
                range_row(out, &map->range[i]);
        out_table_end(out);
}

void map_view_log(const struct memmap *map)
{
        uint64_t nvram = memmap_bytes(map, 0, UINT64_MAX, MEM_NVRAM_SIMULATED, MEM_NVRAM_UNARMED);
        char dram_size[TEXT_SIZE], nvram_size[TEXT_SIZE], lost_size[TEXT_SIZE];
        struct out_log log;

        out_log_start(&log, nvram ? LOG_NOTICE : LOG_INFO, "");
        begin_ranges(&log.out);
        for (size_t i = 0; i < map->count; i++) {
                log.level = memmap_is_nvram(map->range[i].kind) ? LOG_NOTICE : LOG_INFO;
                range_row(&log.out, &map->range[i]);
        }
        out_table_end(&log.out);
        memmap_format_size(lost_size, sizeof lost_size, map->lost_bytes);
        if (map->lost != MEM_HOLE)
                printk(LOG_WARN,
                       "memory map: %s are left out, the strongest of kind %s: it has at most %u "
                       "ranges",
                       lost_size, memmap_kind_name(map->lost), MEMMAP_ENTRIES_MAX);
        memmap_format_size(dram_size, sizeof dram_size, memmap_total(map, MEM_RAM));
        memmap_format_size(nvram_size, sizeof nvram_size, nvram);
        printk(LOG_NOTICE, "memory map: %zu ranges, %s of DRAM, %s of NVRAM", map->count, dram_size,
               nvram_size);
}

static bool is_dram(enum mem_kind kind)
{
        return kind >= MEM_RAM && kind <= MEM_HYPERVISOR;
}

/* From address 0 to the end of DRAM, whatever lies between. */
static void draw_dram(struct out *out, const struct memmap *map, const struct dram *dram)
{
        struct dram_stats stats;
        struct bar bar;
        uint64_t end = 0;
        char used[TEXT_SIZE], total[TEXT_SIZE];

        for (size_t i = 0; i < map->count; i++)
                if (is_dram(map->range[i].kind))
                        end = map->range[i].start + map->range[i].size;
        if (!end)
                return;
        bar_init(&bar, 0, end, ' ');
        for (size_t d = 0; d < ARRAY_LEN(drawn); d++)
                for (size_t i = 0; i < map->count; i++)
                        if (map->range[i].kind >= drawn[d].first &&
                            map->range[i].kind <= drawn[d].last)
                                bar_paint(&bar, map->range[i].start, map->range[i].size,
                                          drawn[d].letter, false);
        out_line(out, "DRAM   0x0-0x%lx", end - 1);
        out_line(out, "  [%s]", bar.text);
        out_line(out, "  . RAM, H hypervisor, M modules, L loader, N NVRAM, r reserved");
        dram_get_stats(dram, &stats);
        if (!stats.total_bytes)
                return;
        bar_init(&bar, 0, stats.total_bytes, '.');
        bar_paint(&bar, 0, stats.total_bytes - stats.free_bytes, '#', false);
        memmap_format_size(used, sizeof used, stats.total_bytes - stats.free_bytes);
        memmap_format_size(total, sizeof total, stats.total_bytes);
        out_line(out, "DRAM   %s of %s in use", used, total);
        out_line(out, "  [%s]", bar.text);
}

/* Metadata and what is to be scrubbed are painted under regions, bad granules over them. */
static void paint_under(void *ctx, enum pool_use use, hpa_t hpa, uint64_t size)
{
        if (use != POOL_USE_BAD)
                bar_paint(ctx, hpa.v, size, use == POOL_USE_METADATA ? '=' : '~', false);
}

static void paint_over(void *ctx, enum pool_use use, hpa_t hpa, uint64_t size)
{
        if (use == POOL_USE_BAD)
                bar_paint(ctx, hpa.v, size, '!', false);
}

static void draw_nvram(struct out *out, const struct mem_range *range, struct pool *pool)
{
        struct pool_region *region = NULL;
        char size[TEXT_SIZE];
        struct bar bar;

        bar_init(&bar, range->start, range->size, '.');
        if (pool)
                pool_each_use(pool, paint_under, &bar);
        for (size_t n = 0; pool && (region = pool_next(pool, region)); n++)
                for (size_t i = 0; i < pool_region_extents(region); i++) {
                        struct pool_extent e = pool_region_extent(pool, region, i);

                        bar_paint(&bar, e.hpa.v, e.size, region_letter(n), true);
                }
        if (pool)
                pool_each_use(pool, paint_over, &bar);
        memmap_format_size(size, sizeof size, range->size);
        out_line(out, "NVRAM  0x%lx-0x%lx, %s, %s", range->start, range->start + range->size - 1,
                 size, memmap_kind_name(range->kind));
        out_line(out, "  [%s]", bar.text);
}

void map_view_bars(struct out *out, const struct memmap *map, const struct dram *dram,
                   struct pool *pool)
{
        bool any = false;

        draw_dram(out, map, dram);
        for (size_t i = 0; i < map->count; i++) {
                if (!memmap_is_nvram(map->range[i].kind))
                        continue;
                draw_nvram(out, &map->range[i], pool);
                any = true;
        }
        if (any)
                out_line(out,
                         "  . free, = metadata, ~ to be scrubbed, ! bad, A-z regions, %c several",
                         SHARED);
}

void map_view_regions(struct out *out, struct pool *pool)
{
        static const struct out_column columns[] = {
            {"letter", "LETTER", -6}, {"region", "REGION", -16}, {"owner", "OWNER", -12},
            {"first", "FIRST", 14},   {"last", "LAST", 14},      {"size", "SIZE", 10}};
        struct pool_region *region = NULL;

        out_table_begin(out, columns, ARRAY_LEN(columns));
        for (size_t n = 0; pool && (region = pool_next(pool, region)); n++)
                for (size_t i = 0; i < pool_region_extents(region); i++) {
                        struct pool_extent e = pool_region_extent(pool, region, i);

                        out_cell(out, "%c", region_letter(n));
                        out_cells(out, out_text(pool_region_name(region)),
                                  out_text(pool_region_owner(region)), out_address(e.hpa.v),
                                  out_address(e.hpa.v + e.size - 1), out_size(e.size));
                }
        out_table_end(out);
}
