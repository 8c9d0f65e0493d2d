/*
 * Power cuts inside pool operations: from every crash image that the rules allow, the pool mounts
 * and is wholly before or wholly after; and leaving out any one flush or fence is noticed.
 */
#include "tests/unit/pm_model.h"
#include "tests/unit/pool_world.h"

#define FILL       0xa5a5a5a5a5a5a5a5ull
#define MAX_REGION 4

/* What an image must hold: the first `acked` regions of the script, perhaps one more, no others. */
struct script {
        struct world world;
        unsigned int acked, total;
        uint64_t wrong, seen;
        uint64_t nest_each; /* cut recovery itself, too, in every n-th image; 0: never */
        bool may_be_empty;  /* an old pool that may have been given up */
};

static const char *const names[MAX_REGION] = {"first", "second", "third", "fourth"};
static const uint64_t sizes[MAX_REGION] = {2 * MiB, 6 * MiB, 2 * MiB, 4 * MiB};

/* Data of the first region was written by its guest; all others are as they were created. */
static bool is_content_right(struct pool *pool, struct pool_region *region, uint64_t want)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent extent = pool_region_extent(pool, region, i);
                const uint64_t *word = extent.base;

                for (uint64_t w = 0; w < extent.size / 8; w += 509)
                        if (word[w] != want)
                                return false;
                sum += extent.size;
        }
        return sum == pool_region_size(region);
}

static bool is_image_right(struct script *s, struct pool *pool)
{
        struct pool_usage usage = pool_usage(pool);
        uint64_t granules = 0;
        unsigned int found = 0;

        if (usage.ranges != s->world.ranges)
                return false;
        if (s->may_be_empty && !usage.regions)
                return usage.used == 0;
        for (; found < s->total; found++) {
                struct pool_region *region = pool_find(pool, names[found]);

                if (!region)
                        break;
                if (pool_region_size(region) != sizes[found] ||
                    !is_content_right(pool, region, found ? 0 : FILL))
                        return false;
                granules += sizes[found] / POOL_GRANULE;
        }
        return usage.regions == found && usage.used == granules && found >= s->acked &&
               found <= s->acked + 1;
}

static void check_image(void *ctx, void *image)
{
        struct script *s = ctx;
        struct mounted m;

        world_mount(&s->world, image, false, &m);
        if (m.err || !is_image_right(s, &m.pool))
                s->wrong++;
        world_unmount(&m);
}

static void crash(void *ctx, void *image)
{
        struct script *s = ctx;
        struct pm_recording *recovery = NULL;

        if (s->nest_each && ++s->seen % s->nest_each == 0)
                recovery = pm_record(image, s->world.size, 3, s->seen, check_image, s);
        check_image(s, image);
        if (recovery)
                pm_record_end(recovery);
}

static uint64_t report(const char *what, struct script *s, uint64_t images)
{
        printf("# %s: %llu crash images, %llu wrong\n", what, (unsigned long long)images,
               (unsigned long long)s->wrong);
        return s->wrong;
}

static void fill_region(struct pool *pool, struct pool_region *region)
{
        struct pool_extent extent = pool_region_extent(pool, region, 0);

        memset(extent.base, (int)(FILL & 0xff), extent.size);
}

/* A pool with one region in use, its free granules full of an old owner's bytes. */
static struct script make_script(unsigned int total)
{
        static const uint64_t ranges[] = {8 * MiB, 16 * MiB};
        struct script s = {.world = world_make(2, ranges, 0, 0xee), .total = total, .acked = 1};
        struct pool_region *region;
        struct mounted m;

        world_mount(&s.world, s.world.memory, true, &m);
        CHECK_EQ(m.err, 0);
        CHECK_EQ(pool_create(&m.pool, names[0], "vm", sizes[0], 1, &region), 0);
        fill_region(&m.pool, region);
        world_unmount(&m);
        return s;
}

static uint64_t run_creates(struct script *s, unsigned int power, uint64_t seed, uint64_t skip)
{
        struct pool_region *region;
        struct pm_recording *r;
        struct mounted m;

        world_mount(&s->world, s->world.memory, false, &m);
        r = pm_record(s->world.memory, s->world.size, power, seed, crash, s);
        pm_model_skip(skip);
        while (s->acked < s->total) {
                CHECK_EQ(pool_create(&m.pool, names[s->acked], "vm", sizes[s->acked], 7, &region),
                         0);
                s->acked++;
        }
        world_unmount(&m);
        return pm_record_end(r);
}

static void test_create(void)
{
        uint64_t seed = unit_seed();
        struct script s = make_script(3);

        s.nest_each = 37;
        CHECK_EQ(report("create", &s, run_creates(&s, 8, seed, 0)), 0);
        free(s.world.memory);
}

/* Each create's first flush and fence put zeros and record in front of the word that shows them. */
static void test_create_orders(void)
{
        uint64_t seed = unit_seed();

        for (uint64_t skip = 1; skip <= 2; skip++) {
                struct script s = make_script(2);

                run_creates(&s, 5, seed, skip);
                CHECK(s.wrong > 0);
                free(s.world.memory);
        }
        pm_model_skip(0);
}

/* Updates of one object in place, with nothing around it. */
struct updates {
        uint64_t acked, wrong;
};

#define PAIR_ROOM 104u /* small enough to try every subset of its words */

static bool is_update(const struct pool_head *head, uint64_t acked)
{
        uint64_t word[PAIR_ROOM / 8];

        memcpy(word, head, sizeof word);
        for (size_t i = 7; i < ARRAY_LEN(word); i++)
                if (word[i] != word[6])
                        return false;
        return word[6] == acked || word[6] == acked + 1;
}

/* Words alone must decide a power cut; the CRC may only ever confirm them. */
static void check_pair(void *ctx, void *image)
{
        struct updates *u = ctx;
        struct pool_expect expect = {.magic = POOL_RECORD_MAGIC, .size = PAIR_ROOM};
        uint8_t *a = image;
        struct pool_pair pair = {(struct pool_head *)a, (struct pool_head *)(a + PAIR_ROOM)};
        const struct pool_head *by_word = pair.b->seq > pair.a->seq ? pair.b : pair.a;
        const struct pool_head *current;
        enum pool_pair_state state = pool_pair_load(pair, &expect, &current);

        if (current != by_word || !is_update(by_word, u->acked)) {
                u->wrong++;
                return;
        }
        if (state == PAIR_HALF)
                pool_pair_mend(pair, current);
        if (pool_pair_load(pair, &expect, &current) != PAIR_GOOD || !is_update(current, u->acked))
                u->wrong++;
}

static uint64_t run_updates(struct updates *u, uint64_t count, unsigned int power, uint64_t skip)
{
        uint8_t *media = aligned_alloc(4096, 4096);
        struct pool_pair pair = {(struct pool_head *)media,
                                 (struct pool_head *)(media + PAIR_ROOM)};
        union {
                struct pool_head head;
                uint64_t word[PAIR_ROOM / 8];
        } object = {
            .head = {.magic = POOL_RECORD_MAGIC, .version = POOL_VERSION, .length = PAIR_ROOM}};
        struct pm_recording *r;
        uint64_t images;

        memset(media, 0, 4096);
        pool_pair_store(pair, &object.head);
        r = pm_record(media, 4096, power, 99, check_pair, u);
        pm_model_skip(skip);
        for (uint64_t n = 1; n <= count; n++) {
                for (size_t i = 6; i < ARRAY_LEN(object.word); i++)
                        object.word[i] = n;
                pool_pair_store(pair, &object.head);
                u->acked = n;
        }
        images = pm_record_end(r);
        free(media);
        return images;
}

static void test_update(void)
{
        struct updates u = {0};
        uint64_t images = run_updates(&u, 3, 16, 0);

        printf("# update: %llu crash images, %llu wrong\n", (unsigned long long)images,
               (unsigned long long)u.wrong);
        CHECK_EQ(u.wrong, 0);
        CHECK(images > 6 * 4096);
}

/* The third update is there so that what the second left in doubt can do harm. */
static void test_update_needs_every_order(void)
{
        uint64_t killed = 0;

        for (uint64_t skip = 1; skip <= 16; skip++) {
                struct updates u = {0};

                run_updates(&u, 3, 9, skip);
                CHECK_EQ(pm_model_orders(), 24);
                if (u.wrong)
                        killed++;
                else
                        printf("# order %llu left out unnoticed\n", (unsigned long long)skip);
        }
        printf("# %llu of 16 left-out flushes and fences noticed\n", (unsigned long long)killed);
        CHECK_EQ(killed, 16);
        pm_model_skip(0);
}

static void run_mount(struct script *s, const char *what, bool format, unsigned int power)
{
        struct pm_recording *r;
        struct mounted m;

        r = pm_record(s->world.memory, s->world.size, power, unit_seed(), crash, s);
        world_mount(&s->world, s->world.memory, format, &m);
        CHECK_EQ(m.err, 0);
        if (s->may_be_empty)
                CHECK_EQ(pool_usage(&m.pool).regions, 0);
        world_unmount(&m);
        CHECK_EQ(report(what, s, pm_record_end(r)), 0);
        CHECK(s->seen || !s->nest_each);
}

static void test_format_blank(void)
{
        static const uint64_t ranges[] = {4 * MiB, 8 * MiB, 4 * MiB};
        struct script s = {.world = world_make(3, ranges, 0, 0), .nest_each = 53};

        run_mount(&s, "format of blank ranges", false, 7);
        free(s.world.memory);
}

static void test_format_used(void)
{
        static const uint64_t ranges[] = {8 * MiB};
        struct script s = {.world = world_make(1, ranges, 0, 0xee),
                           .total = 1,
                           .nest_each = 53,
                           .may_be_empty = true};
        struct pool_region *region;
        struct mounted m;

        world_mount(&s.world, s.world.memory, true, &m);
        CHECK_EQ(pool_create(&m.pool, names[0], "vm", sizes[0], 1, &region), 0);
        fill_region(&m.pool, region);
        world_unmount(&m);
        run_mount(&s, "format of a used range", true, 7);
        free(s.world.memory);
}

static void test_mount_that_mends(void)
{
        struct script s = make_script(1);

        s.nest_each = 53;
        s.world.memory[40] ^= 1;                                      /* superblock A */
        s.world.memory[8 * MiB + POOL_SUPERBLOCK_B + 70] ^= 1;        /* the other range's B */
        s.world.memory[POOL_CATALOGUE + 130] ^= 1;                    /* record 0, A */
        s.world.memory[POOL_CATALOGUE + POOL_SLOT_SIZE * 3 + 1] ^= 1; /* a blank slot's word */
        run_mount(&s, "mount that mends", false, 7);
        free(s.world.memory);
}

int main(void)
{
        RUN(test_create);
        RUN(test_create_orders);
        RUN(test_update);
        RUN(test_update_needs_every_order);
        RUN(test_format_blank);
        RUN(test_format_used);
        RUN(test_mount_that_mends);
        return unit_done();
}
