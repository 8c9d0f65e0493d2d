/*
 * A region as a disk: places, bad memory, damage, lanes; and power cuts inside writes, of which no
 * crash image shows half a sector (disk_cut.h). $POWER as in test_pool_crash.c.
 */
#include "mm/pool/pool_disk.h"

#include <errno.h>

#include "mm/pool/pm.h"
#include "tests/unit/disk_cut.h"

#define POWER 9u

static struct world world;
static struct mounted m;
static struct pool_disk disk;

static struct pool_region *begin(uint64_t granules)
{
        struct pool_region *region = NULL;

        world = world_make(1, (const uint64_t[]){32 * MiB}, 0, 0);
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&m.pool, "d", "vm", granules * POOL_GRANULE, 1, &region), 0);
        return region;
}

static void end(void)
{
        world_unmount(&m);
        free(world.memory);
}

static void fill_with(void *ctx, uint64_t at, void *dst, uint64_t len)
{
        (void)at;
        memset(dst, *(uint8_t *)ctx, len);
}

static bool is_all(uint64_t offset, uint64_t len, uint8_t byte)
{
        uint64_t room;

        for (uint64_t i = 0; i < len; i++)
                if (*pool_disk_at(&disk, offset + i, &room) != byte)
                        return false;
        return true;
}

/* What is written is the region's contents, there and nowhere else. */
static void test_contents(void)
{
        struct pool_region *region = begin(2);
        uint8_t byte = 0x5a, *base = pool_region_extent(&m.pool, region, 0).base;
        uint64_t room;

        CHECK_EQ(pool_disk_open(&disk, &m.pool, region), 0);
        CHECK_EQ(disk.pieces, 1);
        CHECK(pool_disk_at(&disk, 3 * POOL_SECTOR, &room) == base + 3 * POOL_SECTOR);
        CHECK_EQ(room, 2 * POOL_GRANULE - 3 * POOL_SECTOR);
        CHECK_EQ(pool_disk_write(&disk, 3 * POOL_SECTOR, 20 * POOL_SECTOR, fill_with, &byte), 0);
        CHECK(is_all(0, 3 * POOL_SECTOR, 0) && is_all(3 * POOL_SECTOR, 20 * POOL_SECTOR, 0x5a) &&
              is_all(23 * POOL_SECTOR, 3 * POOL_SECTOR, 0));
        CHECK_EQ(pool_disk_zero(&disk, 4 * POOL_SECTOR, 12 * POOL_SECTOR), 0);
        CHECK(is_all(3 * POOL_SECTOR, POOL_SECTOR, 0x5a) &&
              is_all(4 * POOL_SECTOR, 12 * POOL_SECTOR, 0) &&
              is_all(16 * POOL_SECTOR, 7 * POOL_SECTOR, 0x5a));
        /* the end of the disk, and more than a word can tell */
        CHECK_EQ(pool_disk_write(&disk, 2 * POOL_GRANULE - 2 * POOL_SECTOR, 2 * POOL_SECTOR,
                                 fill_with, &byte),
                 0);
        CHECK(base[2 * POOL_GRANULE - 1] == 0x5a);
        CHECK_EQ(pool_disk_zero(&disk, 0, 2 * POOL_GRANULE), 0);
        CHECK(is_all(0, 2 * POOL_GRANULE, 0));
        end();
}

/* A bad granule in the middle is neither read nor written; what lies around it can be used. */
static void test_bad_memory(void)
{
        struct pool_region *region = begin(4);
        struct pool_extent e = pool_region_extent(&m.pool, region, 0);
        uint8_t byte = 7;
        uint64_t room;

        CHECK_EQ(pool_add_bad(&m.pool, HPA(e.hpa.v + POOL_GRANULE)), 0);
        CHECK_EQ(pool_add_bad(&m.pool, HPA(e.hpa.v + 3 * POOL_GRANULE)), 0);
        CHECK_EQ(pool_disk_open(&disk, &m.pool, region), 0);
        CHECK_EQ(disk.pieces, 4);
        CHECK(pool_disk_at(&disk, POOL_GRANULE, &room) == NULL && room == POOL_GRANULE);
        CHECK(pool_disk_at(&disk, POOL_GRANULE - 1, &room) != NULL && room == 1);
        CHECK(pool_disk_at(&disk, 2 * POOL_GRANULE, &room) == (uint8_t *)e.base + 2 * POOL_GRANULE);
        CHECK_EQ(
            pool_disk_write(&disk, POOL_GRANULE - POOL_SECTOR, 2 * POOL_SECTOR, fill_with, &byte),
            -EIO);
        CHECK(is_all(POOL_GRANULE - POOL_SECTOR, POOL_SECTOR, 7));
        CHECK_EQ(((uint8_t *)e.base)[POOL_GRANULE], 0);
        CHECK_EQ(pool_disk_zero(&disk, 3 * POOL_GRANULE, POOL_SECTOR), -EIO);
        end();
}

/* Mount what is in memory again, with this word in a lane and the byte 9 in its data. */
static void remount_with(unsigned lane, uint64_t word)
{
        uint8_t *base = m.pool.member[0].base;

        memcpy(base + POOL_LANE_WORDS + lane * POOL_LANE_WORD_STEP, &word, 8);
        memset(base + POOL_LANE_DATA + lane * POOL_LANE_SIZE, 9, POOL_LANE_SIZE);
        world_unmount(&m);
        unit_log_clear();
        world_mount(&world, world.memory, false, &m);
        CHECK_EQ(m.err, 0);
        memcpy(&word, base + POOL_LANE_WORDS + lane * POOL_LANE_WORD_STEP, 8);
        CHECK_EQ(word, 0);
        CHECK_EQ(pool_disk_open(&disk, &m.pool, pool_find(&m.pool, "d")), 0);
}

/* A word as it is on media, for what is at a place in the region. */
static uint64_t captured_word;

static void capture_fill(void *ctx, uint64_t at, void *dst, uint64_t len)
{
        (void)ctx, (void)at;
        for (unsigned lane = 0; lane < POOL_LANES; lane++) {
                uint64_t word;

                memcpy(&word, m.pool.member[0].base + POOL_LANE_WORDS + lane * POOL_LANE_WORD_STEP,
                       8);
                captured_word = word ? word : captured_word;
        }
        memset(dst, 0, len);
}

/* An intact word is carried out; a damaged one, or one that names what is no region's, is not. */
static void test_recovery(void)
{
        struct pool_region *region = begin(2);

        CHECK_EQ(pool_disk_open(&disk, &m.pool, region), 0);
        CHECK_EQ(pool_disk_write(&disk, POOL_SECTOR, 2 * POOL_SECTOR, capture_fill, NULL), 0);
        CHECK(captured_word != 0);
        remount_with(5, captured_word);
        CHECK(unit_log_has("finished a disk's write that a power cut had interrupted"));
        CHECK(is_all(0, POOL_SECTOR, 0) && is_all(POOL_SECTOR, 2 * POOL_SECTOR, 9) &&
              is_all(3 * POOL_SECTOR, POOL_SECTOR, 0));
        CHECK_EQ(pool_disk_zero(&disk, 0, POOL_LANE_SIZE), 0);
        for (unsigned bit = 0; bit < 64; bit++) {
                remount_with(0, captured_word ^ 1ull << bit);
                CHECK(unit_log_has("a sector may be torn"));
                CHECK(is_all(0, 2 * POOL_GRANULE, 0));
        }
        CHECK_EQ(pool_delete(&m.pool, pool_find(&m.pool, "d")), 0);
        CHECK_EQ(pool_create(&m.pool, "d", "vm", POOL_GRANULE, 1, &region), 0);
        CHECK(pool_region_extent(&m.pool, region, 0).hpa.v > WORLD_HPA + 2 * POOL_GRANULE);
        remount_with(1, captured_word);
        CHECK(unit_log_has("a sector may be torn"));
        end();
}

/* In a pool that is only read nothing is written: what is to be finished stays. */
static void test_read_only(void)
{
        struct pool_region *region = begin(2);
        uint64_t *word = (uint64_t *)(m.pool.member[0].base + POOL_LANE_WORDS);

        CHECK_EQ(pool_disk_open(&disk, &m.pool, region), 0);
        CHECK_EQ(pool_disk_write(&disk, 0, POOL_SECTOR, capture_fill, NULL), 0);
        *word = captured_word;
        world_unmount(&m);
        world_mount_with(&world, 1, world.memory, (struct pool_config){.mode = POOL_MODE_SALVAGE},
                         &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(*word, captured_word);
        end();
}

static void test_power_cuts(void)
{
        const char *env = getenv("POWER");
        unsigned int power = env ? (unsigned int)atoi(env) : POWER;
        uint64_t seed = unit_seed(), total = 0;

        for (size_t i = 0; i < cut_disk_count; i++) {
                struct cut_result result = cut_run_disk(i, i % 2, power, seed, 61, NULL);

                printf("# write %zu: %llu crash images, %llu wrong\n", i,
                       (unsigned long long)result.images, (unsigned long long)result.wrong);
                CHECK_EQ(result.wrong, 0);
                total += result.images;
        }
        CHECK(total > 10000);
}

/* Whether some image is wrong without the n-th flush or fence of a write. */
static bool is_missed(size_t i, uint64_t n, uint64_t *orders)
{
        bool missed = false;

        for (int same_lane = 0; same_lane < 2 && !missed; same_lane++) {
                pm_model_skip(n);
                missed = cut_run_disk(i, same_lane, 6, 1, 0, orders).wrong != 0;
        }
        return missed;
}

/*
 * Each single flush or fence of each write is missed, but for the last fence of zeroes: this model
 * has one CPU, whose next fence does as well for what needs no data in the lane. Zeroes in two
 * pieces are left out: the end of the first is as good as the second's begin; and so is a mount.
 */
static void test_every_order_counts(void)
{
        uint64_t missed = 0, total = 0;

        for (size_t i = 0; i < cut_disk_count - 2; i++) {
                uint64_t n = 0, orders;

                do {
                        if (is_missed(i, ++n, &orders))
                                missed++;
                        else
                                printf("# write %zu: order %llu of %llu is not missed\n", i,
                                       (unsigned long long)n, (unsigned long long)orders);
                } while (n < orders);
                total += orders;
        }
        pm_model_skip(0);
        printf("# total: %llu of %llu orders are missed\n", (unsigned long long)missed,
               (unsigned long long)total);
        CHECK(total > 40);
        CHECK_EQ(missed, total - 1);
}

int main(void)
{
        RUN(test_contents);
        RUN(test_bad_memory);
        RUN(test_recovery);
        RUN(test_read_only);
        RUN(test_power_cuts);
        RUN(test_every_order_counts);
        return unit_done();
}
