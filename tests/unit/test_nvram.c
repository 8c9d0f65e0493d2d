/* Which NVRAM the pool gets: the ranges that the command line names, and what its mistakes cost. */
#include "boot/nvram.h"

#include <string.h>

#include "tests/unit/e820.h"
#include "tests/unit/unit.h"

static struct memmap map;
static struct hv_options options;
static struct nvram_choice choice;

static void name(struct config_addresses *list, uint64_t at)
{
        list->at[list->count++] = at;
}

/* RAM, NVRAM at 4, 5 and 8 GiB, the last one not armed. */
static void begin(void)
{
        struct mem_source nfit = {.origin = MEM_FROM_NFIT};

        memmap_init(&map);
        memset(&options, 0, sizeof options);
        CHECK_EQ(memmap_add_e820(&map, 0, 2 * GiB, 1), 0);
        CHECK_EQ(memmap_add_e820(&map, 4 * GiB, GiB, 7), 0);
        CHECK_EQ(memmap_add_e820(&map, 5 * GiB, GiB, 12), 0);
        CHECK_EQ(memmap_add(&map, 8 * GiB, GiB, MEM_NVRAM_UNARMED, nfit), 0);
}

static bool choose(void)
{
        unit_log_clear();
        return nvram_choose(&map, &options, &choice);
}

static void test_all(void)
{
        begin();
        name(&options.nvram_bad, 4 * GiB + 5);
        CHECK(choose());
        CHECK_EQ(choice.count, 3);
        CHECK_EQ(choice.range[0].hpa.v, 4 * GiB);
        CHECK_EQ(choice.range[1].size, GiB);
        CHECK(choice.range[2].unarmed && !choice.range[1].unarmed && !choice.range[2].format);
        CHECK_EQ(choice.bad.count, 1);
        CHECK_EQ(choice.bad.hpa[0].v, 4 * GiB + 5);
        CHECK(!choice.members_only);
        options.nvram_force = true;
        CHECK(choose());
        CHECK(choice.range[0].format && choice.range[2].format);
        memmap_init(&map);
        CHECK(!choose());
}

static void test_named(void)
{
        begin();
        name(&options.nvram_skip, 5 * GiB + 12345);
        name(&options.nvram_format, 9 * GiB - 1);
        CHECK(choose());
        CHECK_EQ(choice.count, 2);
        CHECK_EQ(choice.range[1].hpa.v, 8 * GiB);
        CHECK(choice.range[1].format && !choice.range[0].format && !choice.members_only);
        CHECK(unit_log_has("nvram: 0x140000000 is left alone: nvram-skip= names it"));
        begin();
        name(&options.nvram_use, 5 * GiB);
        options.nvram_force = true;
        CHECK(choose());
        CHECK_EQ(choice.count, 1);
        CHECK_EQ(choice.range[0].hpa.v, 5 * GiB);
        CHECK(choice.range[0].format);
        CHECK(unit_log_has("nvram: 0x200000000 is left alone: nvram-use= names others"));
}

static void expect_mistake(size_t ranges, const char *text)
{
        CHECK(choose());
        CHECK_EQ(choice.count, ranges);
        CHECK(choice.members_only);
        for (size_t i = 0; i < choice.count; i++)
                CHECK(!choice.range[i].format);
        CHECK(unit_log_has(text));
        CHECK(unit_log_has("nvram: the command line has mistakes: no NVRAM is formatted"));
}

static void test_mistakes(void)
{
        begin();
        options.nvram_force = true;
        name(&options.nvram_skip, 3 * GiB);
        expect_mistake(3, "nvram: nvram-skip=0xc0000000 is in no range of NVRAM");
        begin();
        name(&options.nvram_use, GiB);
        name(&options.nvram_use, 4 * GiB);
        expect_mistake(1, "nvram: nvram-use=0x40000000 is in no range of NVRAM");
        begin();
        name(&options.nvram_format, 6 * GiB);
        name(&options.nvram_format, 4 * GiB);
        expect_mistake(3, "nvram: nvram-format=0x180000000 is in no range of NVRAM");
        begin();
        name(&options.nvram_use, 4 * GiB);
        name(&options.nvram_skip, 4 * GiB + 1);
        expect_mistake(0, "nvram: nvram-use=0x100000000 and nvram-skip=0x100000001 name one range");
        begin();
        name(&options.nvram_skip, 4 * GiB);
        name(&options.nvram_format, 4 * GiB);
        expect_mistake(2, "nvram: nvram-format=0x100000000 names a range that is left alone");
        begin();
        options.nvram_mistake = options.nvram_force = true;
        expect_mistake(3, "");
}

int main(void)
{
        RUN(test_all);
        RUN(test_named);
        RUN(test_mistakes);
        return unit_done();
}
