/*
 * Mounting a pool (mm/pool/pool_mount.c, mm/pool/pool_catalogue.c) whose metadata was changed. One
 * byte tells the mode of the mount; then come changes of objects: which one, where in it, the new
 * bytes. The CRC of the object is put right afterwards unless the change says otherwise.
 *
 * A mount that fails writes nothing. One that succeeds gives a pool whose regions lie in its ranges
 * and share no granule, that keeps working, and that mounts again.
 */
#include "guest/admin/nv/nv_commands.h"
#include "hv/lib/errno.h"
#include "mm/pool/crc32c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/pool_world.h"

#define RANGES   2u
#define GRANULES 8u /* a range; the first one holds metadata, no data is ever written */
#define SLOTS    8u /* that are changed */

/* Of a change. */
#define COPY_A  1u
#define COPY_B  2u
#define RANGE_1 4u
#define RECORD  8u
#define KEEP    0x10u /* the CRC as it is */

static struct world world;
static uint8_t *start_of[RANGES]; /* metadata at first */
static uint8_t *as_changed[RANGES];

static uint8_t *range_base(unsigned range)
{
        return world.memory + range * GRANULES * POOL_GRANULE;
}

static void build(struct pool *pool)
{
        struct pool_region *region;
        int err = 0;

        pool_scrub(pool, UINT64_MAX);
        err |= pool_create(pool, "data", "db", 3 * POOL_GRANULE, 1, &region);
        err |= pool_grant(pool, region, "web", POOL_READ_ONLY);
        err |= pool_create(pool, "log", "db", POOL_GRANULE, 2, &region);
        err |= pool_create(pool, "wide", "", 6 * POOL_GRANULE, 3, &region);
        err |= pool_shrink(pool, pool_find(pool, "data"), POOL_GRANULE);
        err |= pool_delete(pool, pool_find(pool, "log"));
        err |= pool_begin(pool, "new", "db", POOL_GRANULE, 4, &region);
        err |= pool_add_bad(pool, HPA(WORLD_HPA + 4 * GiB + 7 * POOL_GRANULE));
        DEMAND(!err);
}

static void make_world(void)
{
        const uint64_t size[RANGES] = {GRANULES * POOL_GRANULE, GRANULES * POOL_GRANULE};
        struct mounted m;

        world = world_make(RANGES, size, 0, 0);
        world_mount(&world, world.memory, true, &m);
        DEMAND(!m.err);
        build(&m.pool);
        world_unmount(&m);
        for (unsigned range = 0; range < RANGES; range++) {
                start_of[range] = fuzz_alloc(POOL_GRANULE);
                as_changed[range] = fuzz_alloc(POOL_GRANULE);
                memcpy(start_of[range], range_base(range), POOL_GRANULE);
        }
}

/* The object's CRC, as far as its length can be one. */
static void fix_crc(uint8_t *object, size_t room)
{
        struct pool_head *head = (struct pool_head *)object;
        size_t from = offsetof(struct pool_head, magic);

        if (head->length < sizeof *head || head->length > room)
                return;
        head->seq_covered = head->seq;
        head->crc = crc32c(0, object + from, head->length - from);
}

static void change_copy(uint8_t *object, size_t room, size_t at, const uint8_t *bytes, size_t n,
                        bool keep)
{
        if (n > room - at)
                n = room - at;
        memcpy(object + at, bytes, n);
        if (!keep)
                fix_crc(object, room);
}

static void change_object(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        bool record = what & RECORD;
        uint8_t *base = range_base(what & RANGE_1 ? 1 : 0);
        size_t room = record ? POOL_SLOT_SIZE : sizeof(struct pool_superblock);
        size_t at = fuzz_take(in, 2) % room, n = 1 + fuzz_take(in, 1) % 32;
        size_t second = POOL_SUPERBLOCK_B;
        const uint8_t *bytes;

        if (record) {
                base += POOL_CATALOGUE + (what >> 5) % SLOTS * POOL_SLOT_SIZE;
                second = (POOL_GRANULE - POOL_CATALOGUE) / 2;
        }
        n = n < in->left ? n : in->left;
        bytes = in->at;
        in->at += n;
        in->left -= n;
        if (what & COPY_A)
                change_copy(base, room, at, bytes, n, what & KEEP);
        if (what & COPY_B)
                change_copy(base + second, room, at, bytes, n, what & KEEP);
}

static void check_regions(struct pool *pool)
{
        uint8_t owner[RANGES][GRANULES] = {{0}};
        struct pool_region *region = NULL;

        while ((region = pool_next(pool, region)) != NULL) {
                uint64_t sum = 0;

                DEMAND(pool_find(pool, pool_region_name(region)) == region);
                for (size_t i = 0; i < pool_region_extents(region); i++) {
                        struct pool_extent e = pool_region_extent(pool, region, i);
                        size_t at = (size_t)((uint8_t *)e.base - world.memory) / POOL_GRANULE;

                        sum += e.size;
                        for (uint64_t g = 0; g < e.size / POOL_GRANULE; g++, at++) {
                                DEMAND(at < RANGES * GRANULES && at % GRANULES);
                                DEMAND(!owner[at / GRANULES][at % GRANULES]++);
                        }
                }
                DEMAND(sum == pool_region_size(region));
        }
}

static void demand_untouched(void)
{
        for (unsigned range = 0; range < RANGES; range++)
                DEMAND(!memcmp(range_base(range), as_changed[range], POOL_GRANULE));
}

/* Whatever a pool was made of, once it is mounted its operations keep their promises. */
static void use(struct pool *pool)
{
        struct pool_health health;
        struct pool_region *region;
        int err = pool_check(pool, false, false, &health);

        DEMAND(err == 0 || err == -EBADMSG);
        err = pool_create(pool, "fuzz", "db", POOL_GRANULE, 5, &region);
        if (!err)
                err = pool_delete(pool, region);
        DEMAND(err == 0 || err == -EEXIST || err == -ENOSPC || err == -EROFS || err == -EBADMSG);
        region = pool_find(pool, "data");
        err = region ? pool_grow(pool, region, pool_region_size(region) + POOL_GRANULE) : 0;
        DEMAND(err <= 0);
        pool_scrub(pool, 2);
        check_regions(pool);
        nv_log(pool);
}

static void mount(enum pool_mode mode)
{
        const struct pool_config config = {.entropy = 42, .mode = mode};
        unsigned long told = fuzz_complaints;
        struct mounted m;
        bool ends;

        for (unsigned range = 0; range < RANGES; range++)
                memcpy(as_changed[range], range_base(range), POOL_GRANULE);
        world_mount_with(&world, RANGES, world.memory, config, &m);
        if (m.err || mode == POOL_MODE_SALVAGE)
                demand_untouched();
        if (m.err) {
                DEMAND(m.pool.fault != POOL_FAULT_NONE && fuzz_complaints > told);
                DEMAND(*pool_fault_text(m.pool.fault) && *pool_fault_meaning(m.pool.fault));
        } else {
                check_regions(&m.pool);
                use(&m.pool);
        }
        if (mode == POOL_MODE_SALVAGE)
                demand_untouched();
        /* A repair without a free slot ends, too, read-only: it is as damaged as before. */
        ends = m.err || mode == POOL_MODE_SALVAGE || m.pool.read_only;
        world_unmount(&m);
        if (ends)
                return;
        world_mount_with(&world, RANGES, world.memory, (struct pool_config){0}, &m);
        DEMAND(!m.err);
        check_regions(&m.pool);
        world_unmount(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        enum pool_mode mode = (enum pool_mode)(fuzz_take(&in, 1) % 3);

        if (!world.memory)
                make_world();
        for (unsigned range = 0; range < RANGES; range++)
                memcpy(range_base(range), start_of[range], POOL_GRANULE);
        while (in.left)
                change_object(&in);
        mount(mode);
        return 0;
}
