/* The memory map against a plain array of kinds, its limits, and the printed table. */
#include "guest/admin/map_view.h"
#include "mm/memmap.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#include "hv/lib/printk.h"
#include "tests/unit/e820.h"
#include "tests/unit/unit.h"

#define UNITS 4096
#define UNIT  0x1357ull /* no power of two: borders fall anywhere */

static struct memmap map;
static enum mem_kind model[UNITS];
static uint32_t model_type[UNITS]; /* of who said so first */

static void check_well_formed(void)
{
        for (size_t i = 0; i < map.count; i++) {
                const struct mem_range *r = &map.range[i], *next = r + 1;

                CHECK(r->size > 0 && r->kind > MEM_HOLE && r->kind < MEM_KINDS);
                if (i + 1 == map.count)
                        continue;
                CHECK(r->start + r->size <= next->start);
                CHECK(r->start + r->size < next->start || r->kind != next->kind ||
                      r->source.origin != next->source.origin ||
                      r->source.type != next->source.type);
        }
}

static enum mem_kind kind_at(uint64_t addr)
{
        const struct mem_range *r = memmap_find(&map, addr);

        return r ? r->kind : MEM_HOLE;
}

/* The table must say what the model says; where it lost weak ranges, a hole instead. */
static void check_equals_model(void)
{
        uint64_t total[MEM_KINDS] = {0};

        check_well_formed();
        for (size_t u = 0; u < UNITS; u++) {
                enum mem_kind first = kind_at(u * UNIT), last = kind_at(u * UNIT + UNIT - 1);

                CHECK_EQ(first, last);
                if (first != model[u]) {
                        CHECK_EQ(first, MEM_HOLE);
                        CHECK(model[u] <= map.lost);
                } else if (first > map.lost) {
                        CHECK_EQ(memmap_find(&map, u * UNIT)->source.type, model_type[u]);
                }
                total[first]++;
        }
        for (enum mem_kind k = MEM_RAM; k < MEM_KINDS; k++)
                CHECK_EQ(memmap_total(&map, k), total[k] * UNIT);
}

static int add_units(size_t first, size_t count, enum mem_kind kind, uint32_t type)
{
        struct mem_source source = {.origin = MEM_FROM_E820, .type = type};

        for (size_t u = first; u < first + count; u++)
                if (model[u] < kind) {
                        model[u] = kind;
                        model_type[u] = type;
                }
        return memmap_add(&map, first * UNIT, count * UNIT, kind, source);
}

static void reset(void)
{
        memmap_init(&map);
        memset(model, 0, sizeof model);
}

static void test_random_maps(void)
{
        uint64_t seed = unit_seed();

        for (int round = 0; round < 150; round++) {
                size_t longest = 1 + unit_random(&seed) % (round % 3 ? UNITS / 2 : 12);
                int entries = (int)(unit_random(&seed) % (round % 3 ? 60 : 3000)), err = 0;

                reset();
                while (entries--) {
                        size_t first = unit_random(&seed) % UNITS;
                        size_t count = unit_random(&seed) % longest;
                        enum mem_kind kind = 1 + unit_random(&seed) % (MEM_KINDS - 1);

                        if (count > UNITS - first)
                                count = UNITS - first;
                        err |= add_units(first, count, kind, unit_random(&seed) % 3);
                }
                CHECK(err == 0 || (err == -ENOSPC && map.lost != MEM_HOLE));
                check_equals_model();
        }
}

/* More reservations than the table holds: RAM goes first, and never returns over a lost one. */
static void test_overflow_keeps_reservations(void)
{
        const size_t many = MEMMAP_ENTRIES_MAX - 8;

        reset();
        CHECK_EQ(add_units(0, UNITS, MEM_RAM, 1), 0);
        for (size_t u = 0; u < many; u++)
                (void)!add_units(2 * u + 1, 1, MEM_RESERVED, 2);
        CHECK_EQ(map.lost, MEM_RAM);
        CHECK_EQ(memmap_total(&map, MEM_RESERVED), many * UNIT);
        /* the largest stretch is there, and what is not is told */
        CHECK(memmap_total(&map, MEM_RAM) >= (UNITS - 2 * many) * UNIT);
        CHECK_EQ(memmap_total(&map, MEM_RAM) + map.lost_bytes, (UNITS - many) * UNIT);
        check_equals_model();
        /* the CPUs' start page, say, is there though RAM had to make room for it */
        CHECK_EQ(memmap_carve(&map, (UNITS - 2) * UNIT, UNIT, MEM_HYPERVISOR), 0);
        CHECK_EQ(kind_at((UNITS - 2) * UNIT), MEM_HYPERVISOR);
        model[UNITS - 2] = MEM_HYPERVISOR;
        model_type[UNITS - 2] = 0;
        for (size_t u = many; u < many + 80; u++)
                (void)!add_units(2 * u + 1, 1, MEM_ACPI_NVS, 4);
        CHECK_EQ(add_units(2 * (many + 80) + 1, 1, MEM_ACPI_NVS, 4), -ENOSPC);
        CHECK_EQ(memmap_total(&map, MEM_RESERVED), many * UNIT);
        CHECK_EQ(map.lost, MEM_ACPI_NVS);
        CHECK_EQ(memmap_total(&map, MEM_RAM), 0);
        CHECK_EQ(add_units(0, UNITS, MEM_RAM, 1), -ENOSPC);
        check_equals_model();
        /* Also when there is room again. */
        CHECK_EQ(add_units(0, 2 * many, MEM_RESERVED, 2), 0);
        CHECK(map.count < 20);
        CHECK_EQ(add_units(0, UNITS, MEM_RAM, 1), -ENOSPC);
        check_equals_model();
}

/* RAM in as many pieces as are used, with bad pages between them: all of it is there. */
static void test_many_bad_pages(void)
{
        reset();
        CHECK_EQ(add_units(0, UNITS, MEM_RAM, 1), 0);
        for (size_t i = 1; i < DRAM_RANGES_MAX; i++)
                CHECK_EQ(add_units(8 * i, 1, MEM_UNUSABLE, 5), 0);
        CHECK_EQ(map.lost, MEM_HOLE);
        CHECK_EQ(memmap_total(&map, MEM_RAM), (UNITS - DRAM_RANGES_MAX + 1) * UNIT);
        check_equals_model();
}

static void test_empty_and_wrapping(void)
{
        memmap_init(&map);
        CHECK_EQ(memmap_add_e820(&map, 0x1000, 0, 2), 0);
        CHECK_EQ(map.count, 0);
        CHECK_EQ(memmap_add_e820(&map, MiB, UINT64_MAX - 5, 1), -ERANGE);
        CHECK_EQ(memmap_add_e820(&map, MEMMAP_LIMIT - PAGE_4K, 2 * PAGE_4K, 1), -ERANGE);
        CHECK_EQ(memmap_add_e820(&map, UINT64_MAX - 5, 100, 2), 0);
        CHECK_EQ(map.count, 0);
        CHECK_EQ(memmap_add_e820(&map, MEMMAP_LIMIT - PAGE_4K, PAGE_4K, 1), 0);
        CHECK_EQ(map.range[0].size, PAGE_4K);
        CHECK_EQ(memmap_add_e820(&map, 3 * GiB, UINT64_MAX, 2), 0);
        CHECK_EQ(map.count, 1);
        CHECK_EQ(map.range[0].kind, MEM_RESERVED);
        CHECK_EQ(map.range[0].start, 3 * GiB);
        CHECK_EQ(map.range[0].size, MEMMAP_LIMIT - 3 * GiB);
        CHECK(memmap_find(&map, 3 * GiB - 1) == NULL);
        CHECK(memmap_find(&map, UINT64_MAX) == NULL);
}

/* NVRAM of a broken entry may lie where another says RAM: neither is used. */
static void test_nvram_that_wraps(void)
{
        memmap_init(&map);
        CHECK_EQ(memmap_add_e820(&map, MiB, 2 * GiB, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, GiB, UINT64_MAX - 5, 90), -ERANGE);
        CHECK_EQ(memmap_add_e820(&map, GiB, MiB, 1), 0);
        CHECK_EQ(map.count, 2);
        CHECK_EQ(memmap_total(&map, MEM_RAM), GiB - MiB);
        CHECK_EQ(map.range[1].kind, MEM_RESERVED);
        CHECK_EQ(map.range[1].start + map.range[1].size, MEMMAP_LIMIT);
        CHECK_EQ(memmap_add_e820(&map, UINT64_MAX - GiB, GiB, 7), -ERANGE);
        CHECK_EQ(map.count, 2);
}

static void test_e820_types(void)
{
        static const struct {
                uint32_t type;
                enum mem_kind kind;
        } types[] = {
            {1, MEM_RAM},           {2, MEM_RESERVED},      {3, MEM_ACPI_RECLAIM},
            {4, MEM_ACPI_NVS},      {5, MEM_UNUSABLE},      {7, MEM_NVRAM},
            {12, MEM_NVRAM_LEGACY}, {90, MEM_NVRAM_VENDOR}, {0, MEM_RESERVED},
            {6, MEM_RESERVED},      {91, MEM_RESERVED},     {UINT32_MAX, MEM_RESERVED},
        };

        for (size_t i = 0; i < ARRAY_LEN(types); i++)
                CHECK_EQ(memmap_kind_of_e820(types[i].type), types[i].kind);
        for (enum mem_kind k = 0; k < MEM_KINDS; k++)
                CHECK_EQ(memmap_is_nvram(k),
                         k == MEM_NVRAM || k == MEM_NVRAM_LEGACY || k == MEM_NVRAM_VENDOR ||
                             k == MEM_NVRAM_SIMULATED || k == MEM_NVRAM_UNARMED);
}

/* NVRAM is stronger than DRAM and weaker than what is reserved or bad, in either order. */
static void test_nvram_never_becomes_dram(void)
{
        static const uint32_t nvram[] = {7, 12, 90}, stronger[] = {2, 3, 4, 5};

        for (int swap = 0; swap < 2; swap++) {
                for (size_t i = 0; i < ARRAY_LEN(nvram); i++) {
                        memmap_init(&map);
                        CHECK_EQ(memmap_add_e820(&map, 0, MiB, swap ? 1 : nvram[i]), 0);
                        CHECK_EQ(memmap_add_e820(&map, 0, MiB, swap ? nvram[i] : 1), 0);
                        CHECK_EQ(map.count, 1);
                        CHECK_EQ(kind_at(0), memmap_kind_of_e820(nvram[i]));
                        for (size_t j = 0; j < ARRAY_LEN(stronger); j++) {
                                memmap_init(&map);
                                CHECK_EQ(
                                    memmap_add_e820(&map, 0, MiB, swap ? stronger[j] : nvram[i]),
                                    0);
                                CHECK_EQ(
                                    memmap_add_e820(&map, 0, MiB, swap ? nvram[i] : stronger[j]),
                                    0);
                                CHECK_EQ(kind_at(0), memmap_kind_of_e820(stronger[j]));
                        }
                }
        }
}

static void machine(void)
{
        memmap_init(&map);
        CHECK_EQ(memmap_add_e820(&map, 0x40000000, 0x8000000, 90), 0);
        CHECK_EQ(memmap_add_e820(&map, 0x100000, 0x3ff00000, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, 0, 0x9fc00, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, 0x9fc00, 0x400, 2), 0);
        CHECK_EQ(memmap_carve(&map, 0x200000, 0x80000, MEM_HYPERVISOR), 0);
        CHECK_EQ(memmap_carve(&map, 0x1000000, 0x700123, MEM_MODULE), 0);
        CHECK_EQ(memmap_carve(&map, 0x16f0000, 0x10, MEM_LOADER), 0);
}

static void test_carving(void)
{
        machine();
        CHECK_EQ(kind_at(0x27ffff), MEM_HYPERVISOR);
        CHECK_EQ(kind_at(0x16f0000), MEM_MODULE);
        CHECK_EQ(memmap_total(&map, MEM_MODULE), 0x700123);
        CHECK_EQ(memmap_carve(&map, 0x3ffff000, 0x2000, MEM_MODULE), -EBUSY);
        CHECK_EQ(kind_at(0x3ffff000), MEM_MODULE);
        CHECK_EQ(kind_at(0x40000000), MEM_NVRAM_VENDOR);
}

/* Frames that hold the end of one module are nobody else's, unless something else is there. */
static void test_small_modules(void)
{
        size_t before;

        machine();
        CHECK_EQ(memmap_carve(&map, 0x9e800, 0x100, MEM_LOADER), 0);
        before = map.count;
        for (uint64_t i = 0; i < 640; i++)
                CHECK_EQ(memmap_carve_module(&map, 0x2000000 + i * PAGE_4K, 1 + i), 0);
        CHECK_EQ(map.count, before + 2);
        CHECK_EQ(kind_at(0x2000000 + 640 * PAGE_4K - 1), MEM_MODULE);
        CHECK_EQ(kind_at(0x2000000 + 640 * PAGE_4K), MEM_RAM);
        CHECK_EQ(memmap_carve_module(&map, 0x9e000, 0x10), 0);
        CHECK_EQ(kind_at(0x9e010), MEM_RAM);
        CHECK_EQ(kind_at(0x9e800), MEM_LOADER);
        CHECK_EQ(memmap_carve_module(&map, 0x9f000, 0x10), 0);
        CHECK_EQ(kind_at(0x9f010), MEM_RAM);
        CHECK_EQ(memmap_carve_module(&map, UINT64_MAX - 1, 1), -EBUSY);
        CHECK_EQ(memmap_carve_module(&map, UINT64_MAX - 1, 2), -EBUSY);
}

static void test_simulated(void)
{
        struct memmap before;

        machine();
        before = map;
        CHECK_EQ(memmap_add_simulated(&map, 0x20000000, 0), -EINVAL);
        CHECK_EQ(memmap_add_simulated(&map, 0x3fe00000, 0x400000), -EINVAL);
        CHECK_EQ(memmap_add_simulated(&map, 0x80000000, 0x400000), -EINVAL);
        CHECK_EQ(memmap_add_simulated(&map, 0x20000000, UINT64_MAX), -EINVAL);
        CHECK_EQ(memmap_add_simulated(&map, 0x1600000, 0x400000), -EBUSY);
        CHECK_EQ(map.count, before.count);
        CHECK(!memcmp(map.range, before.range, sizeof map.range[0] * map.count));
        CHECK_EQ(memmap_add_simulated(&map, 0x20000000, 0x4000000), 0);
        CHECK_EQ(kind_at(0x1fffffff), MEM_RAM);
        CHECK_EQ(kind_at(0x20000000), MEM_NVRAM_SIMULATED);
        CHECK_EQ(kind_at(0x23ffffff), MEM_NVRAM_SIMULATED);
        CHECK_EQ(kind_at(0x24000000), MEM_RAM);
        CHECK_EQ(memmap_total(&map, MEM_RAM), memmap_total(&before, MEM_RAM) - 0x4000000);
}

static bool matches(const char *text, const char *pattern)
{
        regex_t re;
        bool found;

        CHECK_EQ(regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE), 0);
        found = regexec(&re, text, 0, NULL, 0) == 0;
        regfree(&re);
        if (!found)
                printf("no line like %s in:\n%s", pattern, text);
        return found;
}

/* The log as unit.c prints it, caught in memory. */
static char *print_caught(void)
{
        FILE *out = stdout;
        char *text = NULL;
        size_t n;

        setenv("VERBOSE", "1", 1);
        stdout = open_memstream(&text, &n);
        map_view_log(&map);
        fclose(stdout);
        stdout = out;
        unsetenv("VERBOSE");
        return text;
}

static void test_source_of_efi(void)
{
        const struct mem_source source = {.origin = MEM_FROM_EFI, .type = 14};
        char text[24];

        memmap_format_source(text, sizeof text, &source);
        CHECK(strcmp(text, "EFI type 14") == 0);
}

static void test_print(void)
{
        char *text;

        machine();
        CHECK_EQ(memmap_add_simulated(&map, 0x20000000, 0x4000000), 0);
        text = print_caught();
        CHECK(matches(text, "0x40000000 +0x47ffffff +128 MiB +NVRAM vendor +E820 type 90$"));
        CHECK(matches(text, " 0x0 +0x9fbff +639 KiB +RAM +E820 type 1$"));
        CHECK(matches(text, "0x9fc00 +0x9ffff +1 KiB +reserved +E820 type 2$"));
        CHECK(matches(text, "0x1000000 +0x1700122 +7.0 MiB +RAM: boot module +boot loader$"));
        CHECK(matches(text, " 64 MiB +NVRAM simulated \\(volatile\\) +nvram=$"));
        CHECK(matches(
            text, "memory map: [0-9]+ ranges, 9[0-9][0-9]\\.[0-9] MiB of DRAM, 192 MiB of NVRAM$"));
        free(text);
}

static void test_sizes_in_words(void)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } sizes[] = {
            {0, "0 B"},
            {1023, "1023 B"},
            {1024, "1 KiB"},
            {1536, "1.5 KiB"},
            {640 * KiB, "640 KiB"},
            {GiB + 1, "1.0 GiB"},
            {GiB - 1, "1023.9 MiB"},
            {16 * TiB, "16 TiB"},
            {UINT64_MAX, "15.9 EiB"},
        };
        char buf[24];

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                memmap_format_size(buf, sizeof buf, sizes[i].bytes);
                if (strcmp(buf, sizes[i].text))
                        printf("%s, expected %s\n", buf, sizes[i].text);
                CHECK(!strcmp(buf, sizes[i].text));
        }
}

int main(void)
{
        RUN(test_random_maps);
        RUN(test_overflow_keeps_reservations);
        RUN(test_many_bad_pages);
        RUN(test_empty_and_wrapping);
        RUN(test_nvram_that_wraps);
        RUN(test_e820_types);
        RUN(test_nvram_never_becomes_dram);
        RUN(test_carving);
        RUN(test_small_modules);
        RUN(test_simulated);
        RUN(test_source_of_efi);
        RUN(test_print);
        RUN(test_sizes_in_words);
        return unit_done();
}
