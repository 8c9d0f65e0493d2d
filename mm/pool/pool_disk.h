/*
 * A region as a disk of 512-byte sectors, of which a power cut tears none: each is old or new
 * afterwards, and new once the call that wrote it has returned. What the region holds is the disk's
 * contents and nothing else, so that it can be mapped as memory, too.
 *
 * NVRAM keeps 8-byte stores whole and no more, and while a sector is replaced both versions must be
 * on media. So each range has lanes in its first metadata granule, behind superblock A:
 *
 *      0        superblock, copy A
 *      4 KiB    lane 0's word, at + 64 lane 1's, ... each in a line of its own
 *      8 KiB    lane 0's data, 4 KiB, lane 1's, ...
 *      40 KiB   zero, up to superblock B
 *
 * At rest a word is 0. A write goes through any lane of the range that holds the sectors, in pieces
 * of up to 8 of them which lie side by side there:
 *
 *      the new sectors to the lane's data, flush, fence;  the word, flush, fence   (committed)
 *      the new sectors to their place, flush, fence;      0 to the word, flush, fence
 *
 * A word that is not 0 tells what to do again after a power cut, and mounting does it, before
 * anybody sees the region: copy the lane's data to the sectors that it names, or, with ZERO, write
 * zeroes there. Before the word is durable the old sectors have not been touched; from then on the
 * new ones can be restored as often as it takes, and until 0 is durable nobody else gets the lane
 * or writes those sectors. A lane needs no sequence number, as no two lanes ever tell of the same
 * sector, and no name of the region: it cannot change while it is attached.
 *
 *      bits 0 to 42   the first sector, counted from the range's first granule
 *      bits 43 to 54  sectors, less one; at most 8 without ZERO
 *      bit 55         ZERO
 *      bits 56 to 63  the low byte of the CRC-32C of the seven bytes before, against damage
 *
 * A hypervisor that knows of no lanes takes the place for zero and leaves it alone. It must not be
 * started on a pool between a power cut and the next mount by one that does.
 */
#pragma once

#include "mm/pool/pool.h"

#define POOL_SECTOR         512u
#define POOL_LANE_WORDS     (4 * KiB)
#define POOL_LANE_WORD_STEP 64u
#define POOL_LANE_DATA      (8 * KiB)
#define POOL_LANE_SIZE      (4 * KiB)
#define POOL_LANE_ZERO      (1ull << 55)

_Static_assert(sizeof(struct pool_superblock) <= POOL_LANE_WORDS, "media format: superblock A");
_Static_assert(POOL_LANE_WORDS + POOL_LANES * POOL_LANE_WORD_STEP <= POOL_LANE_DATA,
               "media format: words");
_Static_assert(POOL_LANE_DATA + POOL_LANES * POOL_LANE_SIZE <= POOL_SUPERBLOCK_B,
               "media format: data");

#define POOL_DISK_PIECES 128u

/* Sectors side by side in memory, up to `end` of the disk (bytes). */
struct pool_disk_piece {
        uint64_t end;
        uint8_t *base; /* NULL: on the list of bad granules, and not to be touched */
        struct pool_member *member;
};

/* A region as it was when it was attached. */
struct pool_disk {
        size_t pieces;
        struct pool_disk_piece piece[POOL_DISK_PIECES];
};

/*
 * Take the places of an attached region's sectors; they hold until it is detached. Bad granules of
 * which the pool knows by then are left out. -E2BIG: they part it in more than POOL_DISK_PIECES.
 */
must_check int pool_disk_open(struct pool_disk *disk, struct pool *pool,
                              const struct pool_region *region);

/* A disk of other memory, of which nobody writes anything. */
void pool_disk_of_memory(struct pool_disk *disk, const void *base, uint64_t size);

/* Bytes; 0: it has not been opened. */
static inline uint64_t pool_disk_size(const struct pool_disk *disk)
{
        return disk->pieces ? disk->piece[disk->pieces - 1].end : 0;
}

/*
 * The bytes of the disk from offset on, and in *room how many of them lie side by side, at least
 * one; NULL: bad memory. offset is within the disk. From any CPU.
 */
uint8_t *pool_disk_at(const struct pool_disk *disk, uint64_t offset, uint64_t *room);

/* Store bytes [at, at + len) of what is to be written to dst, with pm_store or pm_write. */
typedef void (*pool_disk_fill)(void *ctx, uint64_t at, void *dst, uint64_t len);

/*
 * Write len bytes, or zeroes, at offset, both multiples of POOL_SECTOR and within the disk. fill is
 * asked for each byte twice, in order but for that; should its answers differ, either holds. From
 * any CPU, by one at a time for a disk. -EIO: bad memory; what lies before it has been written.
 */
must_check int pool_disk_write(const struct pool_disk *disk, uint64_t offset, uint64_t len,
                               pool_disk_fill fill, void *ctx);
must_check int pool_disk_zero(const struct pool_disk *disk, uint64_t offset, uint64_t len);

/* At mount: finish the writes that a power cut interrupted. For pool_mount.c. */
void pool_disk_recover(struct pool *pool);
