/* NVDIMMs of an NFIT in the memory map: beside E820, over RAM and reservations, and their hints. */
#include "boot/nvdimms.h"

#include <string.h>

#include "tests/unit/e820.h"
#include "tests/unit/unit.h"

static struct memmap map;
static struct nfit nfit;

static void begin(void)
{
        memmap_init(&map);
        nfit = (struct nfit){0};
        CHECK_EQ(memmap_add_e820(&map, 0, 2 * GiB, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, 4 * GiB, 16 * GiB, 1), 0);
}

static void add(uint64_t start, uint64_t size, unsigned state)
{
        unsigned n = (unsigned)nfit.ranges++;

        nfit.range[n] = (struct nfit_range){
            .start = start, .size = size, .index = (uint16_t)(n + 1), .state = (uint16_t)state};
}

static enum mem_kind kind_at(uint64_t addr)
{
        const struct mem_range *r = memmap_find(&map, addr);

        return r ? r->kind : MEM_HOLE;
}

/* Two NVDIMMs side by side stay two ranges: one may be taken out, or another come behind them. */
static void test_neighbours_stay_apart(void)
{
        char text[24];

        begin();
        add(20 * GiB, GiB, 0);
        add(21 * GiB, GiB, 0);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(map.count, 4);
        CHECK_EQ(map.range[2].kind, MEM_NVRAM);
        CHECK_EQ(map.range[2].size, GiB);
        CHECK_EQ(map.range[3].start, 21 * GiB);
        memmap_format_source(text, sizeof text, &map.range[2].source);
        CHECK(!strcmp(text, "ACPI NFIT"));
}

static void test_told_by_e820_too(void)
{
        begin();
        CHECK_EQ(memmap_add_e820(&map, 20 * GiB, 2 * GiB, 7), 0);
        add(20 * GiB, 2 * GiB, 0);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(map.count, 3);
        CHECK_EQ(map.range[2].source.origin, MEM_FROM_NFIT);
        CHECK_EQ(map.range[2].size, 2 * GiB);
        /* but what the NVDIMM itself says is believed, whatever type E820 has for it */
        for (uint32_t type = 1; type <= 90; type += type == 1 ? 6 : type == 7 ? 5 : 78) {
                begin();
                CHECK_EQ(memmap_add_e820(&map, 20 * GiB, 2 * GiB, type), 0);
                add(20 * GiB, 2 * GiB, NFIT_NOT_ARMED);
                nvdimms_add(&nfit, &map);
                CHECK_EQ(kind_at(20 * GiB), MEM_NVRAM_UNARMED);
                CHECK_EQ(memmap_total(&map, MEM_NVRAM_UNARMED), 2 * GiB);
        }
}

/* What E820 tells as one is parted where the NVDIMMs are, told before or after. */
static void test_parts_what_e820_joins(void)
{
        for (unsigned state = 0; state <= NFIT_NOT_ARMED; state += NFIT_NOT_ARMED)
                for (int first = 0; first < 2; first++) {
                        begin();
                        if (!first)
                                CHECK_EQ(memmap_add_e820(&map, 20 * GiB, 4 * GiB, 7), 0);
                        add(20 * GiB, GiB, 0);
                        add(21 * GiB, 2 * GiB, state);
                        nvdimms_add(&nfit, &map);
                        if (first)
                                CHECK_EQ(memmap_add_e820(&map, 20 * GiB, 4 * GiB, 7), 0);
                        CHECK_EQ(map.count, 5);
                        CHECK_EQ(map.range[2].size, GiB);
                        CHECK_EQ(map.range[2].kind, MEM_NVRAM);
                        CHECK_EQ(map.range[3].start, 21 * GiB);
                        CHECK_EQ(map.range[3].size, 2 * GiB);
                        CHECK_EQ(map.range[3].kind, state ? MEM_NVRAM_UNARMED : MEM_NVRAM);
                        CHECK_EQ(map.range[4].start, 23 * GiB);
                        CHECK_EQ(map.range[4].source.origin, MEM_FROM_E820);
                }
}

/* Memory of which the NVDIMM's state is not known is not used as armed, whoever calls it NVRAM. */
static void test_state_not_known(void)
{
        for (uint32_t type = 7; type <= 90; type += type == 7 ? 5 : 78) {
                begin();
                CHECK_EQ(memmap_add_e820(&map, 20 * GiB, 8 * GiB, type), 0);
                add(21 * GiB, GiB, 0);
                add(24 * GiB, GiB, 0);
                nfit.range[1].doubtful = true;
                nfit.incomplete = true;
                nvdimms_add(&nfit, &map);
                CHECK_EQ(kind_at(20 * GiB), MEM_NVRAM_UNARMED);
                CHECK_EQ(kind_at(21 * GiB), MEM_NVRAM); /* this one is known */
                CHECK_EQ(kind_at(22 * GiB), MEM_NVRAM_UNARMED);
                CHECK_EQ(kind_at(24 * GiB), MEM_NVRAM_UNARMED);
                CHECK_EQ(memmap_total(&map, MEM_NVRAM_UNARMED), 7 * GiB);
        }
        /* a table that is complete says nothing of what is not in it */
        begin();
        CHECK_EQ(memmap_add_e820(&map, 20 * GiB, GiB, 7), 0);
        add(30 * GiB, GiB, 0);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(kind_at(20 * GiB), MEM_NVRAM);
}

/* An NFIT of a wrong checksum, or out of reach, may be what says that an NVDIMM forgets. */
static uint8_t memory[4096];

static const void *in_memory(void *ctx, hpa_t addr, size_t len)
{
        (void)ctx;
        return addr.v < sizeof memory && len <= sizeof memory - addr.v ? memory + addr.v : NULL;
}

static void seal(uint8_t *at, size_t len, size_t where)
{
        uint8_t sum = 0;

        at[where] = 0;
        for (size_t i = 0; i < len; i++)
                sum = (uint8_t)(sum + at[i]);
        at[where] = (uint8_t)-sum;
}

static void put_table(unsigned at, const char *signature, unsigned len)
{
        memset(memory + at, 0, len);
        memcpy(memory + at, signature, 4);
        memory[at + 4] = (uint8_t)len;
}

static void test_table_not_readable(void)
{
        static const struct {
                unsigned entry;
                uint8_t spoil;
                bool incomplete;
        } cases[] = {{512, 0, false}, {512, 1, true}, {0x10000, 0, true}, {0, 0, false}};
        const struct acpi_memory access = {.map = in_memory};
        uint8_t rsdp[20] = "RSD PTR ";
        struct acpi_tables tables;

        rsdp[17] = 1; /* the RSDT is at 256 */
        seal(rsdp, sizeof rsdp, 8);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                put_table(512, "NFIT", 40);
                seal(memory + 512, 40, 9);
                memory[512 + 39] ^= cases[i].spoil;
                put_table(256, "RSDT", 40);
                memcpy(memory + 256 + 36, &cases[i].entry, 4);
                seal(memory + 256, 40, 9);
                CHECK_EQ(acpi_open(&tables, &access, rsdp, sizeof rsdp), 0);
                nvdimms_find(&tables, &nfit);
                CHECK_EQ(nfit.incomplete, cases[i].incomplete);
        }
}

static void test_states(void)
{
        static const struct {
                unsigned state;
                enum mem_kind kind;
        } cases[] = {
            {0, MEM_NVRAM},
            {NFIT_HEALTH_EVENT, MEM_NVRAM},
            {NFIT_NOT_ARMED, MEM_NVRAM_UNARMED},
            {NFIT_SAVE_FAILED, MEM_NVRAM_UNARMED},
            {NFIT_RESTORE_FAILED, MEM_NVRAM_UNARMED},
            {NFIT_FLUSH_FAILED | NFIT_HEALTH_EVENT, MEM_NVRAM_UNARMED},
            {NFIT_NOT_MAPPED, MEM_UNUSABLE},
            {NFIT_NOT_MAPPED | NFIT_NOT_ARMED, MEM_UNUSABLE},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                begin();
                add(30 * GiB, GiB, cases[i].state);
                nvdimms_add(&nfit, &map);
                CHECK_EQ(kind_at(30 * GiB), cases[i].kind);
                CHECK_EQ(memmap_is_nvram(cases[i].kind), cases[i].kind != MEM_UNUSABLE);
        }
}

/* Never DRAM, never what is reserved, never beyond the CPU's addresses. */
static void test_overlaps(void)
{
        begin();
        CHECK_EQ(memmap_add_e820(&map, 10 * GiB, GiB, 2), 0);
        add(9 * GiB, 4 * GiB, 0);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(kind_at(9 * GiB), MEM_NVRAM);
        CHECK_EQ(kind_at(10 * GiB), MEM_RESERVED);
        CHECK_EQ(kind_at(13 * GiB - 1), MEM_NVRAM);
        CHECK_EQ(kind_at(13 * GiB), MEM_RAM);
        begin();
        CHECK_EQ(map.limit, MEMMAP_LIMIT);
        map.limit = 1ull << 40;
        add((1ull << 40) - GiB, 2 * GiB, 0);
        add((1ull << 40) - 2 * GiB, GiB, 0);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(memmap_total(&map, MEM_NVRAM), GiB);
        CHECK_EQ(kind_at((1ull << 40) - GiB), MEM_RESERVED);
}

static void test_hints(void)
{
        static const uint64_t at[] = {0,        3 * GiB + 8, 2 * GiB - 8, 20 * GiB,
                                      GiB + 64, 3 * GiB,     1ull << 40};
        hpa_t hints[NFIT_NVDIMMS_MAX];

        begin();
        map.limit = 1ull << 40;
        add(20 * GiB, GiB, NFIT_NOT_ARMED);
        nvdimms_add(&nfit, &map);
        CHECK_EQ(memmap_add_e820(&map, 3 * GiB, PAGE_4K, 2), 0);
        for (size_t i = 0; i < ARRAY_LEN(at); i++)
                nfit.nvdimm[nfit.nvdimms++] = (struct nfit_nvdimm){.hint = HPA(at[i]), .hints = 1};
        CHECK_EQ(nvdimms_hints(&nfit, &map, hints), 2);
        CHECK_EQ(hints[0].v, 3 * GiB + 8);
        CHECK_EQ(hints[1].v, 3 * GiB);
}

int main(void)
{
        RUN(test_neighbours_stay_apart);
        RUN(test_told_by_e820_too);
        RUN(test_parts_what_e820_joins);
        RUN(test_state_not_known);
        RUN(test_table_not_readable);
        RUN(test_states);
        RUN(test_overlaps);
        RUN(test_hints);
        return unit_done();
}
