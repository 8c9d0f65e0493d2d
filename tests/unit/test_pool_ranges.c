/*
 * Which ranges a pool is made of: up to the limit, members first, those that were one range when
 * the pool was made, what others use, what the user chose, and what must not even be read.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/pool/pool_judge.h"
#include "tests/unit/unit.h"

#define RANGES   72
#define SIZE     (6 * MiB)
#define BASE_HPA 0x140000000ull

static uint8_t *memory;
static struct pool_range range[RANGES];
static struct pool pool;
static struct pool_bad bad;
static void *dram;

/* n blank ranges of size bytes with holes between them. */
static void begin(size_t n, uint64_t size)
{
        if (memory)
                munmap(memory, RANGES * SIZE);
        memory =
            mmap(NULL, RANGES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bad.count = 0;
        for (size_t i = 0; i < n; i++)
                range[i] = (struct pool_range){
                    .base = memory + i * size, .hpa = HPA(BASE_HPA + i * 2 * SIZE), .size = size};
}

static int mount_with(const struct pool_range *ranges, size_t n, struct pool_config config)
{
        free(dram);
        config.entropy = 42;
        config.memory_size = pool_memory_size(ranges, n);
        config.memory = dram = malloc(config.memory_size + 1);
        config.bad = &bad;
        return pool_mount(&pool, ranges, n, &config);
}

static int mount(const struct pool_range *ranges, size_t n)
{
        return mount_with(ranges, n, (struct pool_config){0});
}

static bool is_blank(size_t i)
{
        const uint8_t *p = range[i].base;

        return !p[0] && !memcmp(p, p + 1, range[i].size - 1);
}

static void test_twenty(void)
{
        struct pool_region *region;

        begin(20, SIZE);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(mount(range, 20), 0);
                CHECK_EQ(pool_usage(&pool).ranges, 20);
                while (pool_scrub(&pool, 64))
                        ;
        }
        CHECK_EQ(pool_create(&pool, "all", "db", 20 * 2 * POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_region_extents(region), 20);
        CHECK_EQ(mount(range, 20), 0);
        CHECK(pool_find(&pool, "all") != NULL);
}

/* A blank range in front of 64 members, and some behind them, are left out and left alone. */
static void test_members_first(void)
{
        begin(RANGES, SIZE);
        CHECK_EQ(mount(range + 1, POOL_RANGES_MAX), 0);
        for (int i = 0; i < 2; i++) {
                CHECK_EQ(mount(range, RANGES), 0);
                CHECK_EQ(pool_usage(&pool).ranges, POOL_RANGES_MAX);
                CHECK_EQ(pool.member[0].hpa.v, range[1].hpa.v);
                CHECK(is_blank(0) && is_blank(POOL_RANGES_MAX + 1) && is_blank(RANGES - 1));
        }
        CHECK_EQ(mount(range + 2, RANGES - 2), -ENODEV);
        CHECK_EQ(pool.fault, POOL_FAULT_MISSING);
        /* one that is not full takes some more, and no more than fit */
        begin(RANGES, SIZE);
        CHECK_EQ(mount(range + 1, 16), 0);
        CHECK_EQ(mount(range, RANGES), 0);
        CHECK_EQ(pool_usage(&pool).ranges, POOL_RANGES_MAX);
        CHECK_EQ(pool.member[16].hpa.v, range[0].hpa.v);
        CHECK(!is_blank(0) && !is_blank(POOL_RANGES_MAX - 1) && is_blank(POOL_RANGES_MAX));
}

/* Two ranges side by side that the memory map told as one when the pool was made. */
static void test_made_as_one(void)
{
        struct pool_region *region;
        struct pool_range whole, part[3];

        begin(1, 32 * MiB);
        whole = range[0];
        CHECK_EQ(mount(&whole, 1), 0);
        CHECK_EQ(pool_create(&pool, "data", "db", 28 * MiB, 1, &region), 0);
        memset(pool_region_extent(&pool, region, 0).base, 0x5a, 28 * MiB);
        part[0] = part[1] = part[2] = whole;
        part[0].size = 9 * MiB;
        part[1].size = 12 * MiB;
        part[1].base = (uint8_t *)whole.base + 9 * MiB;
        part[1].hpa = HPA(whole.hpa.v + 9 * MiB);
        part[2].size = 11 * MiB;
        part[2].base = (uint8_t *)whole.base + 21 * MiB;
        part[2].hpa = HPA(whole.hpa.v + 21 * MiB);
        for (int unarmed = 0; unarmed < 3; unarmed++) {
                part[1].unarmed = unarmed == 1;
                part[2].unarmed = unarmed == 2;
                CHECK_EQ(mount(part, 3), 0);
                CHECK_EQ(pool_usage(&pool).ranges, 1);
                CHECK_EQ(pool_usage(&pool).total, 16);
                CHECK_EQ(pool_region_is_volatile(&pool, pool_find(&pool, "data")), unarmed != 0);
        }
        CHECK_EQ(mount(part, 2), -EBADMSG);
        CHECK_EQ(pool.fault, POOL_FAULT_HEADER);
        part[2].hpa.v += GiB; /* no more behind the others */
        CHECK_EQ(mount(part, 3), -EBADMSG);
        CHECK_EQ(mount(&whole, 1), 0);
}

/* And the other way round: what were two ranges side by side is told as one. */
static void test_made_as_two(void)
{
        static const uint64_t border[] = {10 * MiB, 11 * MiB};
        struct pool_range whole, part[2];
        struct pool_region *region;

        for (size_t i = 0; i < ARRAY_LEN(border); i++) {
                begin(1, 32 * MiB);
                whole = part[0] = part[1] = range[0];
                part[0].size = border[i];
                part[1].base = (uint8_t *)whole.base + border[i];
                part[1].hpa.v += border[i];
                part[1].size -= border[i];
                CHECK_EQ(mount(part, 2), 0);
                while (pool_scrub(&pool, 64))
                        ;
                CHECK_EQ(pool_create(&pool, "data", "db", 26 * MiB, 1, &region), 0);
                CHECK_EQ(mount(&whole, 1), 0);
                CHECK_EQ(pool_usage(&pool).ranges, 2);
                CHECK_EQ(pool_usage(&pool).unused, i * 2 * MiB);
                region = pool_find(&pool, "data");
                CHECK(region && pool_region_extents(region) == 2);
                CHECK_EQ(mount(part, 2), 0);
                CHECK_EQ(pool.mended, 0);
        }
}

static const struct {
        uint32_t at;
        const char *bytes, *what;
} others[] = {
    {1080, "\x53\xef", "an ext2, ext3 or ext4 file system"},
    {0, "XFSB", "an XFS file system"},
    {65600, "_BHRfS_M", "a btrfs file system"},
    {0, "LUKS\xba\xbe", "a LUKS volume"},
    {512, "LABELONE", "an LVM physical volume"},
    {4086, "SWAPSPACE2", "Linux swap space"},
    {4096, "\xfc\x4e\x2b\xa9", "a member of a Linux RAID"},
    {4096, "NVDIMM_PFN_INFO", "a Linux namespace in fsdax mode"},
    {4096, "NVDIMM_DAX_INFO", "a Linux namespace in devdax mode"},
    {4096, "BTT_ARENA_INFO", "a Linux namespace in sector mode (BTT)"},
    {0, "BTT_ARENA_INFO", "a Linux namespace in sector mode (BTT)"},
    {0, "NAMESPACE_INDEX", "a Linux namespace label area"},
    {510, "\x55\xaa", "an MBR partition table or a boot sector"},
    {512, "EFI PART", "a GPT partition table"},
    {4096, "EFI PART", "a GPT partition table"},
};

static struct pool_content judge(const struct pool_range *r)
{
        struct pool_member member;

        CHECK(pool_judge_trim(&member, r, &bad));
        return pool_judge_range(r, &member);
}

/* What others have put there is named, wherever it begins, and never formatted unasked. */
static void test_others_are_named(void)
{
        static const uint64_t start[] = {0, 2 * MiB, 4 * MiB};

        for (size_t i = 0; i < ARRAY_LEN(others) * ARRAY_LEN(start); i++) {
                uint64_t at = start[i / ARRAY_LEN(others)];
                size_t k = i % ARRAY_LEN(others);
                struct pool_content content;

                begin(1, SIZE);
                memcpy(memory + at + others[k].at, others[k].bytes, strlen(others[k].bytes));
                content = judge(&range[0]);
                CHECK_EQ(content.kind, POOL_CONTENT_FOREIGN);
                CHECK(content.what && !strcmp(content.what, others[k].what));
                CHECK_EQ(mount(range, 1), -EBADMSG);
                CHECK_EQ(pool.fault, POOL_FAULT_FOREIGN);
                CHECK_EQ(*(uint64_t *)memory == POOL_FORMATTING, 0);
        }
        /* what is not known is no less somebody's: in a first page, behind it, at the end */
        for (uint64_t at = 3 * MiB; at; at = at == 4 * MiB          ? 4 * MiB + 5000
                                             : at == 4 * MiB + 5000 ? SIZE - 1
                                             : at == 3 * MiB        ? 4 * MiB
                                                                    : 0) {
                begin(1, SIZE);
                memory[at] = 1;
                CHECK_EQ(judge(&range[0]).kind,
                         at == 3 * MiB ? POOL_CONTENT_BLANK : POOL_CONTENT_FOREIGN);
                CHECK(judge(&range[0]).what == NULL);
        }
        begin(1, SIZE);
        range[0].hpa.v += MiB; /* begins on no border of a granule */
        memcpy(memory, "XFSB", 4);
        CHECK_EQ(judge(&range[0]).kind, POOL_CONTENT_FOREIGN);
}

/* A mark over one copy of a superblock: somebody has taken the range, and nothing is mended. */
static void test_taken_over(void)
{
        begin(2, SIZE);
        CHECK_EQ(mount(range, 2), 0);
        memset(memory, 0, 4096);
        memcpy(memory + 512, "EFI PART", 8);
        CHECK_EQ(mount(range, 2), -EBADMSG);
        CHECK_EQ(pool.fault, POOL_FAULT_FOREIGN);
        CHECK_EQ(memory[0], 0);
        memset(memory + 512, 0, 8);
        CHECK_EQ(mount(range, 2), 0);
        CHECK_EQ(pool.mended, 1);
        memcpy(memory + POOL_SUPERBLOCK_B + 64, "_BHRfS_M", 8);
        CHECK_EQ(mount(range, 2), -EBADMSG);
        CHECK(!memcmp(memory + POOL_SUPERBLOCK_B + 64, "_BHRfS_M", 8));
}

/* Others' data beside a pool that is all there does not stop it; beside none, it does. */
static void test_others_beside_a_pool(void)
{
        begin(4, SIZE);
        CHECK_EQ(mount(range + 2, 2), 0);
        memcpy(range[0].base, "XFSB", 4);
        ((uint8_t *)range[1].base)[2 * MiB] = 1;
        unit_log_clear();
        CHECK_EQ(mount(range, 4), 0);
        CHECK(unit_log_has("nvram: 0x140000000 holds an XFS file system: left alone; "
                           "nvram-skip=0x140000000 says so, nvram-format=0x140000000 gives it up"));
        CHECK_EQ(pool_usage(&pool).ranges, 2);
        CHECK(!memcmp(range[0].base, "XFSB", 5) && ((uint8_t *)range[1].base)[2 * MiB] == 1);
        /* who knows whether that range was the one that is missing */
        CHECK_EQ(mount(range, 3), -EBADMSG);
        CHECK_EQ(pool.fault, POOL_FAULT_FOREIGN);
        memset(range[2].base, 0, 2 * SIZE);
        CHECK_EQ(mount(range, 4), -EBADMSG);
        CHECK_EQ(pool.fault, POOL_FAULT_FOREIGN);
        CHECK(is_blank(2) && is_blank(3));
        CHECK_EQ(mount(range + 2, 2), 0);
}

static void test_format_one(void)
{
        begin(4, SIZE);
        memset(memory, 0x77, 4 * SIZE);
        range[1].format = true;
        CHECK_EQ(mount(range, 4), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 1);
        CHECK_EQ(pool.member[0].hpa.v, range[1].hpa.v);
        CHECK_EQ(*(uint8_t *)range[0].base, 0x77);
        /* one more for the same pool */
        range[1].format = false;
        range[3].format = true;
        CHECK_EQ(mount(range, 4), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 2);
        CHECK_EQ(pool.member[1].hpa.v, range[3].hpa.v);
        CHECK_EQ(*(uint8_t *)range[2].base, 0x77);
        /* a member: the rest of its pool would be lost */
        memcpy(memory + 50 * SIZE, memory, 4 * SIZE);
        CHECK_EQ(mount(range, 4), -ENODEV);
        CHECK_EQ(pool.fault, POOL_FAULT_MISSING);
        CHECK(!memcmp(memory + 50 * SIZE, memory, 4 * SIZE));
        range[1].format = true;
        CHECK_EQ(mount(range, 4), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 2);
        CHECK_EQ(pool_usage(&pool).regions, 0);
}

static void test_members_only(void)
{
        const struct pool_config members_only = {.members_only = true};

        begin(3, SIZE);
        CHECK_EQ(mount_with(range, 3, members_only), -ENODEV);
        CHECK_EQ(mount(range, 1), 0);
        CHECK_EQ(mount_with(range, 3, members_only), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 1);
        CHECK(is_blank(1) && is_blank(2));
        range[2].format = true;
        CHECK_EQ(mount_with(range, 3, members_only), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 2);
}

/* Take the memory away: a load or store there ends the program, as on the machine. */
static void spoil(size_t i, uint64_t offset, uint64_t len)
{
        bad.hpa[bad.count++] = HPA(range[i].hpa.v + offset + 8);
        CHECK_EQ(mprotect((uint8_t *)range[i].base + offset, len, PROT_NONE), 0);
}

static void test_bad_in_a_blank_range(void)
{
        struct pool_region *region;

        for (uint64_t at = 0; at < SIZE; at += 2 * MiB) {
                begin(2, SIZE);
                spoil(0, at, at ? 2 * MiB : PAGE_4K);
                CHECK_EQ(judge(&range[0]).kind, at ? POOL_CONTENT_BLANK : POOL_CONTENT_UNREADABLE);
                CHECK_EQ(mount(range, 2), 0);
                CHECK_EQ(pool_usage(&pool).ranges, at ? 2 : 1);
                CHECK_EQ(pool_add_bad(&pool, bad.hpa[0]), at ? 0 : -ENOENT);
                CHECK_EQ(pool_scrub(&pool, UINT64_MAX), 0);
                CHECK_EQ(pool_create(&pool, "all", "", at ? 3 * POOL_GRANULE : 4 * MiB, 1, &region),
                         0);
        }
        /* nor is it formatted when all is to be */
        begin(2, SIZE);
        spoil(0, PAGE_4K * 9, PAGE_4K);
        CHECK_EQ(mount_with(range, 2, (struct pool_config){.format = true}), 0);
        CHECK_EQ(pool_usage(&pool).ranges, 1);
}

/* Each page of the metadata in turn: one copy of what is there is lost, the other one tells. */
static void test_bad_in_metadata(void)
{
        uint64_t catalogue_b = POOL_CATALOGUE + 480 * POOL_SLOT_SIZE;
        const uint64_t at[] = {0, POOL_SUPERBLOCK_B, POOL_CATALOGUE, catalogue_b};
        struct pool_region *region, *copy;

        for (size_t i = 0; i < ARRAY_LEN(at); i++) {
                begin(2, SIZE);
                CHECK_EQ(mount(range, 2), 0);
                CHECK_EQ(pool_create(&pool, "data", "db", POOL_GRANULE, 1, &region), 0);
                CHECK_EQ(pool_create(&pool, "more", "db", POOL_GRANULE, 1, &region), 0);
                spoil(0, at[i], PAGE_4K);
                CHECK_EQ(mount(range, 2), 0);
                CHECK(pool.read_only && !pool.damaged);
                region = pool_find(&pool, "data");
                CHECK(region && pool_find(&pool, "more"));
                CHECK_EQ(pool_scrub(&pool, 1), 0);
                CHECK_EQ(pool_create(&pool, "new", "", POOL_GRANULE, 1, &copy), -EROFS);
                CHECK_EQ(pool_add_bad(&pool, bad.hpa[0]), -EROFS);
        }
        /* both copies */
        spoil(0, POOL_CATALOGUE, PAGE_4K);
        CHECK_EQ(mount(range, 2), -EBADMSG);
        CHECK_EQ(pool.fault, POOL_FAULT_RECORD);
        bad.count = 0;
        spoil(0, 0, PAGE_4K);
        spoil(0, POOL_SUPERBLOCK_B, PAGE_4K);
        spoil(0, POOL_CATALOGUE, PAGE_4K);
        spoil(0, catalogue_b, PAGE_4K);
        CHECK(mount(range, 2) < 0);
}

/* A granule that nobody has told the pool of before: not read, not scrubbed, not handed out. */
static void test_bad_in_data(void)
{
        struct pool_region *region;
        hpa_t granule;

        begin(2, SIZE);
        CHECK_EQ(mount(range, 2), 0);
        while (pool_scrub(&pool, 64))
                ;
        CHECK_EQ(pool_create(&pool, "data", "db", 3 * POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_delete(&pool, region), 0);
        spoil(0, 2 * MiB, 2 * MiB);
        spoil(1, 4 * MiB, 2 * MiB);
        CHECK_EQ(mount(range, 2), 0);
        CHECK(!pool_bad(&pool, 0, &granule));
        CHECK_EQ(pool_create(&pool, "data", "db", 3 * POOL_GRANULE, 1, &region), -ENOSPC);
        CHECK_EQ(pool_create(&pool, "data", "db", 2 * POOL_GRANULE, 1, &region), 0);
        CHECK_EQ(pool_add_bad(&pool, bad.hpa[0]), 0);
        CHECK_EQ(pool_add_bad(&pool, bad.hpa[0]), -EEXIST);
        CHECK_EQ(pool_add_bad(&pool, bad.hpa[1]), 0);
        CHECK_EQ(pool_usage(&pool).bad, 2);
        CHECK_EQ(pool_usage(&pool).free, 0);
        CHECK_EQ(mount(range, 2), 0);
        CHECK_EQ(pool_usage(&pool).bad, 2);
}

/* The memory of a region's granule g, of its extents. */
static uint8_t *granule_of(const struct pool_region *region, uint64_t g, hpa_t *hpa)
{
        size_t i = 0;
        struct pool_extent e = pool_region_extent(&pool, region, i);

        while (g >= e.size / POOL_GRANULE) {
                g -= e.size / POOL_GRANULE;
                e = pool_region_extent(&pool, region, ++i);
        }
        *hpa = HPA(e.hpa.v + g * POOL_GRANULE);
        return (uint8_t *)e.base + g * POOL_GRANULE;
}

/* A region with bad granules, on the list or told: whatever is done with it, none of them is read
 * or written, and the copy is zero there. */
static void test_region_on_bad_memory(void)
{
        enum { GRANULES = 6, BAD = 1 << 1 | 1 << 2 | 1 << 5 };
        struct pool_region *region, *copy;
        struct pool_health health;
        uint64_t offset = 0;
        hpa_t hpa;

        begin(12, SIZE);
        CHECK_EQ(mount(range, 12), 0);
        CHECK_EQ(pool_create(&pool, "data", "db", GRANULES * POOL_GRANULE, 1, &region), 0);
        for (unsigned g = 0; g < GRANULES; g++)
                memset(granule_of(region, g, &hpa), (int)g + 1, POOL_GRANULE);
        for (unsigned g = 0; g < GRANULES; g++)
                if (BAD & 1 << g) {
                        uint8_t *at = granule_of(region, g, &hpa);

                        CHECK_EQ(mprotect(at, POOL_GRANULE, PROT_NONE), 0);
                        bad.hpa[bad.count++] = HPA(hpa.v + 77);
                        if (g != 2)
                                CHECK_EQ(pool_add_bad(&pool, hpa), 0);
                }
        CHECK_EQ(mount(range, 12), 0); /* granule 2 is told only */
        region = pool_find(&pool, "data");
        CHECK_EQ(pool_region_bad(&pool, region), 3);
        CHECK(pool_region_next_bad(&pool, region, 0, &offset) && offset == POOL_GRANULE);
        CHECK(pool_region_next_bad(&pool, region, 3 * POOL_GRANULE, &offset));
        CHECK_EQ(offset, 5 * POOL_GRANULE);
        CHECK(!pool_region_next_bad(&pool, region, 6 * POOL_GRANULE, &offset));
        CHECK_EQ(pool_clone(&pool, region, "copy", "db", 2, &copy), 0);
        for (unsigned g = 0; g < GRANULES; g++) {
                const uint8_t *at = granule_of(copy, g, &hpa);

                CHECK_EQ(at[0], BAD & 1 << g ? 0 : g + 1);
                CHECK(!memcmp(at, at + 1, POOL_GRANULE - 1));
        }
        CHECK_EQ(pool_region_bad(&pool, copy), 0);
        CHECK_EQ(pool_grow(&pool, region, (GRANULES + 2) * POOL_GRANULE), 0);
        CHECK_EQ(pool_region_bad(&pool, region), 3);
        CHECK_EQ(pool_shrink(&pool, region, 5 * POOL_GRANULE), 0);
        CHECK_EQ(pool_scrub(&pool, UINT64_MAX), 0);
        CHECK_EQ(pool_check(&pool, false, true, &health), 0);
        CHECK_EQ(pool_delete(&pool, region), 0);
        CHECK_EQ(pool_scrub(&pool, UINT64_MAX), 0);
        CHECK_EQ(pool_check(&pool, true, true, &health), 0);
        CHECK_EQ(pool_usage(&pool).bad, 3);
        CHECK_EQ(mount(range, 12), 0);
        CHECK_EQ(pool_check(&pool, false, true, &health), 0);
}

int main(void)
{
        RUN(test_twenty);
        RUN(test_members_first);
        RUN(test_made_as_one);
        RUN(test_made_as_two);
        RUN(test_others_are_named);
        RUN(test_taken_over);
        RUN(test_others_beside_a_pool);
        RUN(test_format_one);
        RUN(test_members_only);
        RUN(test_bad_in_a_blank_range);
        RUN(test_bad_in_metadata);
        RUN(test_bad_in_data);
        RUN(test_region_on_bad_memory);
        free(dram);
        return unit_done();
}
