/*
 * Damaged, foreign, newer and incomplete pools: never a crash, never a region with wrong contents,
 * and what is refused is left as it was.
 */
#include <errno.h>

#include "mm/crc32c.h"
#include "tests/unit/pool_world.h"

static const uint64_t two_ranges[] = {8 * MiB, 8 * MiB};

static struct world make_used(void)
{
        struct world world = world_make(2, two_ranges, 0, 0);
        struct pool_region *region;
        struct mounted m;

        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(pool_create(&m.pool, "one", "vm", 2 * MiB, 1, &region), 0);
        CHECK_EQ(pool_create(&m.pool, "two", "vm", 8 * MiB, 2, &region), 0);
        world_unmount(&m);
        return world;
}

static bool is_as_made(struct pool *pool)
{
        struct pool_region *one = pool_find(pool, "one");
        struct pool_region *two = pool_find(pool, "two");

        return one && two && pool_usage(pool).regions == 2 && pool_region_size(one) == 2 * MiB &&
               pool_region_size(two) == 8 * MiB && pool_usage(pool).used == 5;
}

/* Mount what is in the world and demand this fault and not one byte changed. */
static void expect_fault(struct world *world, enum pool_fault fault, int err)
{
        uint8_t *before = malloc(world->size);
        struct mounted m;

        memcpy(before, world->memory, world->size);
        world_mount(world, world->memory, false, &m);
        CHECK_EQ(m.pool.fault, fault);
        CHECK_EQ(m.err, err);
        CHECK(!m.pool.mounted);
        CHECK(pool_fault_text(m.pool.fault)[0] != 0);
        CHECK(!memcmp(before, world->memory, world->size));
        world_unmount(&m);
        free(before);
}

static void reseal(uint8_t *object)
{
        struct pool_head *head = (struct pool_head *)object;

        head->crc = crc32c(0, &head->magic, head->length - 8);
}

/* Flip 1 to 3 bits among the bytes that hold something. Returns whether all hit one copy only. */
static void flip(uint8_t *media, uint64_t *seed, unsigned int bits)
{
        static const uint64_t object[] = {0, POOL_SUPERBLOCK_B, POOL_CATALOGUE,
                                          POOL_CATALOGUE + 480 * POOL_SLOT_SIZE};

        while (bits--) {
                uint64_t at = object[unit_random(seed) % ARRAY_LEN(object)];

                if (at >= POOL_CATALOGUE)
                        at += unit_random(seed) % 3 * POOL_SLOT_SIZE;
                media[at + unit_random(seed) % 300] ^= (uint8_t)(1u << unit_random(seed) % 8);
        }
}

static void test_bit_flips(void)
{
        uint64_t seed = unit_seed();
        struct world world = make_used();
        uint8_t *good = malloc(2 * MiB);
        unsigned int mounted = 0, refused = 0;

        memcpy(good, world.memory, 2 * MiB);
        for (int i = 0; i < 4000; i++) {
                unsigned int bits = i % 4 ? 1 : 8;
                struct mounted m;

                flip(world.memory, &seed, bits);
                world_mount(&world, world.memory, false, &m);
                /* One bit never costs more than a copy; more may, but then nothing is mounted. */
                CHECK(bits > 1 || !m.err);
                CHECK(m.err ? m.pool.fault != POOL_FAULT_NONE : is_as_made(&m.pool));
                mounted += !m.err;
                refused += m.err != 0;
                world_unmount(&m);
                memcpy(world.memory, good, 2 * MiB);
        }
        printf("# %u mounted and right, %u refused\n", mounted, refused);
        CHECK(refused > 0);
        free(good);
        free(world.memory);
}

static void test_pages(void)
{
        uint64_t seed = unit_seed();
        struct world world = make_used();
        uint8_t *good = malloc(2 * MiB);
        uint8_t page[4096];

        memcpy(good, world.memory, 2 * MiB);
        for (int i = 0; i < 200; i++) {
                uint8_t *a = world.memory + unit_random(&seed) % 2 * POOL_SUPERBLOCK_B;
                uint8_t *b = world.memory + POOL_CATALOGUE + unit_random(&seed) % 240 * 4096;
                struct mounted m;

                if (unit_random(&seed) % 2)
                        a = world.memory + POOL_CATALOGUE;
                memcpy(page, a, sizeof page);
                if (i % 2)
                        memcpy(a, b, sizeof page);
                else
                        memset(a, 0, sizeof page);
                if (i % 2)
                        memcpy(b, page, sizeof page);
                world_mount(&world, world.memory, false, &m);
                CHECK(m.err || is_as_made(&m.pool));
                world_unmount(&m);
                memcpy(world.memory, good, 2 * MiB);
        }
        free(good);
        free(world.memory);
}

/* Records that changed places are not believed; their second copies are, and mend them for good. */
static void test_swapped_records(void)
{
        struct world world = make_used();
        uint8_t *one = world.memory + POOL_CATALOGUE;
        uint8_t *two = one + POOL_SLOT_SIZE;
        uint8_t keep[POOL_SLOT_SIZE];
        struct mounted m;

        memcpy(keep, one, sizeof keep);
        memcpy(one, two, sizeof keep);
        memcpy(two, keep, sizeof keep);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 2);
        CHECK(is_as_made(&m.pool));
        CHECK(!strcmp(pool_region_name(pool_next(&m.pool, NULL)), "one"));
        world_unmount(&m);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 0);
        world_unmount(&m);
        free(world.memory);
}

static void test_foreign(void)
{
        struct world world = world_make(2, two_ranges, 0, 0);

        world.memory[POOL_CATALOGUE * 3 + 5] = 1;
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        memcpy(world.memory, "NAMESPACE_INDEX", 16);
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        free(world.memory);
}

static void test_both_superblocks(void)
{
        struct world world = make_used();

        world.memory[50] ^= 1;
        world.memory[POOL_SUPERBLOCK_B + 60] ^= 1;
        expect_fault(&world, POOL_FAULT_HEADER, -EBADMSG);
        free(world.memory);
}

static void test_newer(void)
{
        struct world world = make_used();

        for (int copy = 0; copy < 2; copy++) {
                uint8_t *at = world.memory + (copy ? POOL_SUPERBLOCK_B : 0);

                ((struct pool_head *)at)->version = 2;
                reseal(at);
        }
        expect_fault(&world, POOL_FAULT_VERSION, -ENOTSUP);
        free(world.memory);
}

static void change_record(struct world *world, uint32_t slot, uint32_t start)
{
        for (int copy = 0; copy < 2; copy++) {
                uint8_t *at =
                    world->memory + POOL_CATALOGUE + (slot + (copy ? 480 : 0)) * POOL_SLOT_SIZE;

                ((struct pool_record *)at)->extent[0].start = start;
                reseal(at);
        }
}

static void test_overlap(void)
{
        struct world world = make_used();

        /* Granule 2 of range 0 is the second region's last. */
        change_record(&world, 0, 2);
        expect_fault(&world, POOL_FAULT_OVERLAP, -EBADMSG);
        change_record(&world, 0, 0);
        expect_fault(&world, POOL_FAULT_CONTENT, -EBADMSG);
        change_record(&world, 0, 4);
        expect_fault(&world, POOL_FAULT_CONTENT, -EBADMSG);
        free(world.memory);
}

/* A missing, a doubled and another pool's range. */
static void test_members(void)
{
        struct world world = make_used();
        struct world other = make_used();

        world.ranges = 1;
        expect_fault(&world, POOL_FAULT_MISSING, -ENODEV);
        world.ranges = 2;
        memset(world.memory + 8 * MiB, 0, 8 * MiB);
        expect_fault(&world, POOL_FAULT_MISSING, -ENODEV);
        memcpy(world.memory + 8 * MiB, world.memory, 8 * MiB);
        expect_fault(&world, POOL_FAULT_DUPLICATE, -EBADMSG);
        ((struct pool_head *)(other.memory + 8 * MiB))->pool.byte[0] ^= 1;
        reseal(other.memory + 8 * MiB);
        memset(other.memory + 8 * MiB + POOL_SUPERBLOCK_B, 0, 128);
        expect_fault(&other, POOL_FAULT_MIXED, -EBADMSG);
        free(world.memory);
        free(other.memory);
}

/* A blank range beside a pool joins it; ranges may come in any order afterwards. */
static void test_grow_by_range(void)
{
        struct world world = make_used();
        struct world wide = {.memory = aligned_alloc(4096, 24 * MiB),
                             .size = 24 * MiB,
                             .ranges = 3,
                             .range_size = {8 * MiB, 8 * MiB, 8 * MiB}};
        struct mounted m;

        memset(wide.memory, 0, wide.size);
        memcpy(wide.memory + 8 * MiB, world.memory + 8 * MiB, 8 * MiB);
        memcpy(wide.memory + 16 * MiB, world.memory, 8 * MiB);
        world_mount(&wide, wide.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK(is_as_made(&m.pool));
        CHECK_EQ(pool_usage(&m.pool).ranges, 3);
        world_unmount(&m);
        world_mount(&wide, wide.memory, false, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(m.pool.mended, 0);
        CHECK(is_as_made(&m.pool));
        world_unmount(&m);
        free(world.memory);
        free(wide.memory);
}

/* Zeros where the metadata would go, but somebody's data in a granule behind them. */
static void test_data_behind_zeros(void)
{
        const uint64_t size[] = {8 * MiB};
        struct world world = world_make(1, size, 0, 0);

        world.memory[6 * MiB] = 1;
        expect_fault(&world, POOL_FAULT_FOREIGN, -EBADMSG);
        free(world.memory);
}

int main(void)
{
        RUN(test_bit_flips);
        RUN(test_pages);
        RUN(test_swapped_records);
        RUN(test_foreign);
        RUN(test_data_behind_zeros);
        RUN(test_both_superblocks);
        RUN(test_newer);
        RUN(test_overlap);
        RUN(test_members);
        RUN(test_grow_by_range);
        return unit_done();
}
