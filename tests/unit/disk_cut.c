/* Writes to a region as a disk under power cuts; contract in disk_cut.h. */
#include "tests/unit/disk_cut.h"

#include <assert.h>

#include "mm/pool/pm.h"
#include "mm/pool/pool_disk.h"

#define BORDER (4 * MiB) /* where the region goes on in another place */
#define WINDOW 64        /* sectors that are looked at, half of them on either side of it */
#define FIRST  (BORDER / POOL_SECTOR - WINDOW / 2)

struct write {
        uint64_t sector, count; /* from the window's first */
        enum { DATA, UNSTEADY, ZERO, INTERRUPTED } kind;
        bool busy; /* somebody else has the first lane */
};

static const struct write writes[] = {
    {1, 1, DATA, false},               /* one sector, all subsets of its lines */
    {1, 1, DATA, true},                /* the same one by another lane */
    {WINDOW / 2 - 5, 13, DATA, false}, /* over the border: two pieces, the second of 8 */
    {3, 2, UNSTEADY, false},           /* the driver changes the buffer meanwhile */
    {0, 12, ZERO, false},              /* more than a lane's data */
    {WINDOW / 2 - 1, 2, ZERO, false},  /* over the border */
    {2, 4, INTERRUPTED, false},        /* what a mount does again is cut itself */
};

const size_t cut_disk_count = ARRAY_LEN(writes);

typedef uint8_t sector[POOL_SECTOR];

struct disk_cut {
        struct world world;
        sector old[WINDOW], new[WINDOW], other[WINDOW]; /* each of them is allowed */
        uint64_t wrong, seen, nest_each;
};

/* What the driver wants to write: no word of it is that of another version. */
struct source {
        uint64_t first, version;
        bool unsteady;
        unsigned calls;
        const uint64_t *lane; /* the first one's word, */
        uint64_t word;        /* as it was last */
};

static void make_sector(uint8_t *to, uint64_t number, uint64_t version)
{
        for (uint64_t i = 0; i < POOL_SECTOR / 8; i++) {
                uint64_t word = version << 56 | number << 16 | (i + 1);

                memcpy(to + i * 8, &word, 8);
        }
}

static void fill(void *ctx, uint64_t at, void *dst, uint64_t len)
{
        struct source *source = ctx;

        if (source->unsteady && source->calls++ % 2)
                source->version++;
        source->word = source->lane ? *source->lane : 0;
        for (uint64_t done = 0; done < len; done += POOL_SECTOR) {
                sector s;

                make_sector(s, source->first + (at + done) / POOL_SECTOR, source->version);
                /* in pieces, as a scattered buffer is */
                pm_write((uint8_t *)dst + done, s, 13);
                pm_write((uint8_t *)dst + done + 13, s + 13, POOL_SECTOR - 13);
        }
}

static void look(struct pool *pool, sector *to)
{
        struct pool_region *region = pool_find(pool, "d");
        struct pool_disk disk;
        uint64_t room;
        int err = pool_disk_open(&disk, pool, region);

        assert(!err);
        for (uint64_t i = 0; i < WINDOW; i++)
                memcpy(to[i], pool_disk_at(&disk, (FIRST + i) * POOL_SECTOR, &room), POOL_SECTOR);
}

static bool are_lanes_idle(const struct pool_member *member)
{
        for (unsigned lane = 0; lane < POOL_LANES; lane++)
                if (*(const uint64_t *)(member->base + POOL_LANE_WORDS +
                                        lane * POOL_LANE_WORD_STEP))
                        return false;
        return true;
}

static bool is_right(struct disk_cut *cut, struct mounted *m)
{
        sector now[WINDOW];

        if (m->err || !are_lanes_idle(&m->pool.member[0]))
                return false;
        look(&m->pool, now);
        for (size_t i = 0; i < WINDOW; i++)
                if (memcmp(now[i], cut->old[i], POOL_SECTOR) != 0 &&
                    memcmp(now[i], cut->new[i], POOL_SECTOR) != 0 &&
                    memcmp(now[i], cut->other[i], POOL_SECTOR) != 0)
                        return false;
        return true;
}

static void check_image(void *ctx, void *image)
{
        struct disk_cut *cut = ctx;
        struct mounted m;

        world_mount(&cut->world, image, false, &m);
        if (!is_right(cut, &m))
                cut->wrong++;
        world_unmount(&m);
}

static void crash(void *ctx, void *image)
{
        struct disk_cut *cut = ctx;
        struct pm_recording *recovery;

        if (!cut->nest_each || ++cut->seen % cut->nest_each) {
                check_image(cut, image);
                return;
        }
        recovery = pm_record(image, cut->world.size, 3, cut->seen, check_image, cut);
        check_image(cut, image);
        pm_record_end(recovery);
}

/* "d" has two granules, a gap of another region, and two more; all are full of version 1. */
static struct world make_world(void)
{
        struct world world = world_make(1, (const uint64_t[]){8 * POOL_GRANULE}, 0, 0);
        struct pool_region *d, *gap;
        struct pool_disk disk;
        struct source source = {.first = FIRST, .version = 1};
        struct mounted m;
        int err;

        world_mount(&world, world.memory, false, &m);
        pool_scrub(&m.pool, UINT64_MAX);
        err = pool_create(&m.pool, "d", "vm", BORDER, 1, &d);
        assert(!err);
        err = pool_create(&m.pool, "gap", "vm", POOL_GRANULE, 2, &gap);
        assert(!err);
        err = pool_grow(&m.pool, d, 2 * BORDER);
        assert(!err && pool_region_extents(d) == 2);
        err = pool_disk_open(&disk, &m.pool, d);
        assert(!err);
        err = pool_disk_write(&disk, FIRST * POOL_SECTOR, WINDOW * POOL_SECTOR, fill, &source);
        assert(!err);
        world_unmount(&m);
        return world;
}

static int make_write(struct pool *pool, const struct write *w, uint64_t version)
{
        uint64_t at = (FIRST + w->sector) * POOL_SECTOR, len = w->count * POOL_SECTOR;
        struct source source = {
            .first = FIRST + w->sector, .version = version, .unsteady = w->kind == UNSTEADY};
        struct pool_disk disk;
        int err = pool_disk_open(&disk, pool, pool_find(pool, "d"));

        assert(!err);
        pool->member[0].lane[0].held = w->busy;
        err = w->kind == ZERO ? pool_disk_zero(&disk, at, len)
                              : pool_disk_write(&disk, at, len, fill, &source);
        pool->member[0].lane[0].held = false;
        return err;
}

/*
 * A write that the power cut interrupted when half of the first sector was at its place: mounting
 * is what is cut now.
 */
static void interrupt(struct pool *pool, const struct write *w, uint64_t version)
{
        uint64_t *lane = (uint64_t *)(pool->member[0].base + POOL_LANE_WORDS), room;
        uint64_t at = (FIRST + w->sector) * POOL_SECTOR, len = w->count * POOL_SECTOR;
        struct source source = {.first = FIRST + w->sector, .version = version, .lane = lane};
        struct pool_disk disk;
        int err = pool_disk_open(&disk, pool, pool_find(pool, "d"));

        assert(!err);
        err = pool_disk_write(&disk, at, len, fill, &source);
        assert(!err && source.word);
        *lane = source.word;
        memset(pool_disk_at(&disk, at + POOL_SECTOR / 2, &room), 0xdd, len - POOL_SECTOR / 2);
}

/* What the write is to leave. */
static void foresee(struct disk_cut *cut, const struct write *w, uint64_t version)
{
        memcpy(cut->new, cut->old, sizeof cut->new);
        memcpy(cut->other, cut->old, sizeof cut->other);
        for (uint64_t i = w->sector; i < w->sector + w->count; i++) {
                make_sector(cut->new[i], FIRST + i, version + (w->kind == UNSTEADY));
                make_sector(cut->other[i], FIRST + i, version);
                if (w->kind == ZERO) {
                        memset(cut->new[i], 0, POOL_SECTOR);
                        memset(cut->other[i], 0, POOL_SECTOR);
                }
        }
}

/* A write that is cut, and has returned then. */
static void cut_write(struct disk_cut *cut, struct pool *pool, const struct write *w,
                      uint64_t version)
{
        int err;

        foresee(cut, w, version);
        err = make_write(pool, w, version);
        assert(!err);
        memcpy(cut->old, cut->new, sizeof cut->old);
        memcpy(cut->other, cut->new, sizeof cut->other);
}

struct cut_result cut_run_disk(size_t i, bool same_lane, unsigned int power, uint64_t seed,
                               uint64_t nest_each, uint64_t *orders)
{
        const struct write again = {writes[i].sector, writes[i].count, DATA,
                                    writes[i].busy == same_lane};
        struct disk_cut cut = {.world = make_world(), .nest_each = nest_each};
        struct pm_recording *recording;
        struct cut_result result;
        struct mounted m;

        world_mount(&cut.world, cut.world.memory, false, &m);
        for (size_t before = 0; before < i; before++) {
                int err = make_write(&m.pool, &writes[before], before * 2 + 2);

                assert(!err);
        }
        look(&m.pool, cut.old);
        if (writes[i].kind == INTERRUPTED) {
                foresee(&cut, &writes[i], i * 2 + 2);
                memcpy(cut.old, cut.new, sizeof cut.old);
                interrupt(&m.pool, &writes[i], i * 2 + 2);
                world_unmount(&m);
        }
        recording = pm_record(cut.world.memory, cut.world.size, power, seed, crash, &cut);
        if (writes[i].kind == INTERRUPTED)
                world_mount(&cut.world, cut.world.memory, false, &m);
        else
                cut_write(&cut, &m.pool, &writes[i], i * 2 + 2);
        if (orders)
                *orders = pm_model_orders();
        cut_write(&cut, &m.pool, &again, 100);
        world_unmount(&m);
        result.images = pm_record_end(recording);
        result.wrong = cut.wrong;
        free(cut.world.memory);
        return result;
}
