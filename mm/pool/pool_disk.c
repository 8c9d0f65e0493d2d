/* Sectors that a power cut does not tear; contract, media format and protocol in pool_disk.h. */
#include "mm/pool/pool_disk.h"

#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "mm/pool/crc32c.h"
#include "mm/pool/pm.h"

#define COUNT_SHIFT 43
#define COUNT_MAX   4096u
#define CHECK_SHIFT 56

/* ---- Pieces. ---- */

static bool add_piece(struct pool_disk *disk, uint64_t size, uint8_t *base,
                      struct pool_member *member)
{
        uint64_t start = pool_disk_size(disk);

        if (disk->pieces == POOL_DISK_PIECES)
                return false;
        disk->piece[disk->pieces++] = (struct pool_disk_piece){start + size, base, member};
        return true;
}

/* The member in which an extent lies. */
static struct pool_member *member_of(struct pool *pool, hpa_t hpa)
{
        struct pool_member *member = pool->member;

        while (hpa.v - member->hpa.v >= member->granules * POOL_GRANULE)
                member++;
        return member;
}

/* An extent, which begins at `at` of the region, in pieces between its bad granules. */
static bool add_extent(struct pool_disk *disk, struct pool *pool, const struct pool_region *region,
                       const struct pool_extent *e, uint64_t at)
{
        struct pool_member *member = member_of(pool, e->hpa);
        uint64_t done = 0, bad;

        while (done < e->size) {
                uint8_t *base = (uint8_t *)e->base + done;
                uint64_t size = e->size - done;

                if (pool_region_next_bad(pool, region, at + done, &bad) && bad < at + e->size) {
                        size = bad - (at + done);
                        if (!size) {
                                size = POOL_GRANULE;
                                base = NULL;
                        }
                }
                if (!add_piece(disk, size, base, member))
                        return false;
                done += size;
        }
        return true;
}

int pool_disk_open(struct pool_disk *disk, struct pool *pool, const struct pool_region *region)
{
        uint64_t at = 0;

        disk->pieces = 0;
        for (size_t i = 0; i < pool_region_extents(region); i++) {
                struct pool_extent e = pool_region_extent(pool, region, i);

                if (!add_extent(disk, pool, region, &e, at))
                        return -E2BIG;
                at += e.size;
        }
        return 0;
}

void pool_disk_of_memory(struct pool_disk *disk, const void *base, uint64_t size)
{
        disk->pieces = 1;
        disk->piece[0] = (struct pool_disk_piece){size, (uint8_t *)(uintptr_t)base, NULL};
}

static const struct pool_disk_piece *piece_at(const struct pool_disk *disk, uint64_t offset,
                                              uint64_t *start)
{
        const struct pool_disk_piece *piece = disk->piece;

        for (*start = 0; offset >= piece->end; piece++)
                *start = piece->end;
        return piece;
}

uint8_t *pool_disk_at(const struct pool_disk *disk, uint64_t offset, uint64_t *room)
{
        uint64_t start;
        const struct pool_disk_piece *piece = piece_at(disk, offset, &start);

        *room = piece->end - offset;
        return piece->base ? piece->base + (offset - start) : NULL;
}

/* ---- Lanes. ---- */

static uint64_t *word_of(const struct pool_member *member, unsigned lane)
{
        return (uint64_t *)(member->base + POOL_LANE_WORDS + lane * POOL_LANE_WORD_STEP);
}

static uint8_t *data_of(const struct pool_member *member, unsigned lane)
{
        return member->base + POOL_LANE_DATA + lane * POOL_LANE_SIZE;
}

static uint64_t seal(uint64_t word)
{
        return word | (uint64_t)crc32c(0, &word, CHECK_SHIFT / 8) << CHECK_SHIFT;
}

/* Any lane that is free; all are for a moment only. */
static unsigned take_lane(struct pool_member *member)
{
        for (unsigned lane = 0;; lane = (lane + 1) % POOL_LANES)
                if (spin_trylock(&member->lane[lane]))
                        return lane;
}

/* Durable when it returns. */
static void publish(uint64_t *word, uint64_t value)
{
        pm_publish(word, value);
        pm_flush(word, sizeof *word);
        pm_fence();
}

/* The word for len bytes at their place. */
static uint64_t word_for(const struct pool_member *member, const uint8_t *home, uint64_t len)
{
        uint64_t sector = (uint64_t)(home - member->base) / POOL_SECTOR;

        return sector | (len / POOL_SECTOR - 1) << COUNT_SHIFT;
}

/* Up to a lane's data; without fill zeroes, up to what a word can tell. */
static void write_piece(struct pool_member *member, uint8_t *home, uint64_t at, uint64_t len,
                        pool_disk_fill fill, void *ctx)
{
        unsigned lane = take_lane(member);
        uint64_t *word = word_of(member, lane);

        if (fill) {
                fill(ctx, at, data_of(member, lane), len);
                pm_flush(data_of(member, lane), len);
                pm_fence();
                publish(word, seal(word_for(member, home, len)));
                fill(ctx, at, home, len);
                pm_flush(home, len);
        } else {
                publish(word, seal(word_for(member, home, len) | POOL_LANE_ZERO));
                pm_zero(home, len);
        }
        pm_fence();
        publish(word, 0);
        spin_unlock(&member->lane[lane]);
}

static int write_all(const struct pool_disk *disk, uint64_t offset, uint64_t len,
                     pool_disk_fill fill, void *ctx)
{
        uint64_t most = fill ? POOL_LANE_SIZE : COUNT_MAX * POOL_SECTOR;

        for (uint64_t done = 0, n; done < len; done += n) {
                uint64_t start;
                const struct pool_disk_piece *piece = piece_at(disk, offset + done, &start);

                n = piece->end - (offset + done);
                n = n < len - done ? n : len - done;
                n = n < most ? n : most;
                if (!piece->base)
                        return -EIO;
                write_piece(piece->member, piece->base + (offset + done - start), done, n, fill,
                            ctx);
        }
        return 0;
}

int pool_disk_write(const struct pool_disk *disk, uint64_t offset, uint64_t len,
                    pool_disk_fill fill, void *ctx)
{
        return write_all(disk, offset, len, fill, ctx);
}

int pool_disk_zero(const struct pool_disk *disk, uint64_t offset, uint64_t len)
{
        return write_all(disk, offset, len, NULL, NULL);
}

/* ---- After a power cut. ---- */

/* Whether granules [start, end) of a range are a region's. */
static bool is_held(const struct pool *pool, uint32_t range, uint64_t start, uint64_t end)
{
        for (uint32_t i = 0; i < pool->slots; i++) {
                const struct pool_record *record = pool->region[i].record;

                if (!record || record->state != POOL_RECORD_LIVE)
                        continue;
                for (uint32_t e = 0; e < record->extent_count; e++) {
                        const struct pool_media_extent *extent = &record->extent[e];

                        if (extent->range == range && start >= extent->start &&
                            end <= (uint64_t)extent->start + extent->count)
                                return true;
                }
        }
        return false;
}

/* Do again what a lane's word tells; false: it is damaged. */
static bool redo(const struct pool *pool, uint32_t range, unsigned lane, uint64_t word)
{
        const struct pool_member *member = &pool->member[range];
        uint64_t at = (word & ((1ull << COUNT_SHIFT) - 1)) * POOL_SECTOR;
        uint64_t len = ((word >> COUNT_SHIFT) % COUNT_MAX + 1) * POOL_SECTOR;
        bool zero = word & POOL_LANE_ZERO;

        if (word != seal(word & ((1ull << CHECK_SHIFT) - 1)) || (!zero && len > POOL_LANE_SIZE) ||
            !is_held(pool, range, at / POOL_GRANULE, (at + len - 1) / POOL_GRANULE + 1))
                return false;
        if (zero)
                pm_zero(member->base + at, len);
        else
                pm_copy(member->base + at, data_of(member, lane), len);
        return true;
}

void pool_disk_recover(struct pool *pool)
{
        for (uint32_t i = 0; i < pool->member_count; i++) {
                const struct pool_member *member = &pool->member[i];

                for (unsigned lane = 0; member->kind == MEMBER_POOL && lane < POOL_LANES; lane++) {
                        uint64_t *word = word_of(member, lane);

                        if (!*word)
                                continue;
                        if (redo(pool, i, lane, *word))
                                printk(LOG_NOTICE,
                                       "nvram: 0x%lx: finished a disk's write that a "
                                       "power cut had interrupted",
                                       member->hpa.v);
                        else
                                printk(LOG_ERROR,
                                       "nvram: 0x%lx: what tells of an interrupted write "
                                       "to a disk is damaged: a sector may be torn",
                                       member->hpa.v);
                        pm_fence();
                        publish(word, 0);
                }
        }
}
