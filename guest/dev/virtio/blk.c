/* The block device; contract in blk.h. Sections are of virtio 1.2. */
#include "guest/dev/virtio/blk.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/pool/pm.h"

/* 5.2.3 */
#define FEATURE_SIZE_MAX     (1ull << 1)
#define FEATURE_SEG_MAX      (1ull << 2)
#define FEATURE_RO           (1ull << 5)
#define FEATURE_BLK_SIZE     (1ull << 6)
#define FEATURE_FLUSH        (1ull << 9)
#define FEATURE_TOPOLOGY     (1ull << 10)
#define FEATURE_CONFIG_WCE   (1ull << 11)
#define FEATURE_DISCARD      (1ull << 13)
#define FEATURE_WRITE_ZEROES (1ull << 14)

#define PCI_CLASS_STORAGE  0x01
#define PCI_SUBCLASS_OTHER 0x80

#define PHYSICAL_EXP 3u /* 4 KiB: what NVRAM and file systems like best */
/* A segment of a request lies in two pieces at most, as it crosses one border of 2 MiB; with its
 * header and its status they fit in a chain. */
#define SEGMENT_MAX  (1 * MiB)
#define SEGMENTS_MAX 62u
#define ZEROES_MAX   (1 * GiB / POOL_SECTOR) /* of a request, sectors */

_Static_assert(2 * SEGMENTS_MAX + 2 <= VIRTIO_PIECES_MAX, "a request is a chain");

#define BYTES_A_CALL    (128 * KiB)
#define BYTES_A_REQUEST KiB /* what the handling of a request is worth of them */

/* 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum status { OK = 0, IOERR = 1, UNSUPP = 2, MORE /* not all is done yet */ };

struct header {
        uint32_t type, reserved;
        uint64_t sector;
};

struct segment {
        uint64_t sector;
        uint32_t sectors, flags;
};

#define SEGMENT_UNMAP 1u

_Static_assert(sizeof(struct virtio_blk_config) == 64, "padded by the last field's border");
_Static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "5.2.4");
_Static_assert(sizeof(struct header) == 16 && sizeof(struct segment) == 16, "5.2.6");

/* Sectors [sector, sector + len / 512), of which this call is to do a part. */
struct span {
        uint64_t at;   /* the part's first byte on the disk */
        uint64_t from; /* and in the request */
        uint64_t len;
        bool last;
};

/* What a driver names must lie on the disk. OK: there is a part to be done. */
static enum status begin(const struct virtio_blk *blk, uint64_t sector, uint64_t len,
                         uint64_t budget, struct span *span)
{
        uint64_t capacity = blk->config.capacity;

        if (len % POOL_SECTOR || sector > capacity || len / POOL_SECTOR > capacity - sector)
                return IOERR;
        span->from = blk->done < len ? blk->done : len;
        span->len = len - span->from < budget ? len - span->from : budget;
        span->at = sector * POOL_SECTOR + span->from;
        span->last = span->from + span->len == len;
        return OK;
}

static enum status end(struct virtio_blk *blk, const struct span *span, int err)
{
        blk->done = span->from + span->len;
        if (err)
                return IOERR;
        return span->last ? OK : MORE;
}

static enum status read_sectors(struct virtio_blk *blk, uint64_t sector, uint64_t budget)
{
        struct span span;
        enum status status = begin(blk, sector, blk->chain.writable_size - 1, budget, &span);

        for (uint64_t done = 0, room; status == OK && done < span.len; done += room) {
                const uint8_t *from = pool_disk_at(&blk->media, span.at + done, &room);

                if (!from)
                        return IOERR;
                room = room < span.len - done ? room : span.len - done;
                (void)virtio_chain_write(&blk->chain, span.from + done, from, room);
        }
        return status == OK ? end(blk, &span, 0) : status;
}

/* What a driver writes, from the part's begin on. */
struct source {
        const struct virtio_chain *chain;
        uint64_t from; /* in its readable part */
};

static void fill(void *ctx, uint64_t at, void *dst, uint64_t len)
{
        const struct source *source = ctx;
        const struct virtio_piece *piece = source->chain->piece;
        uint64_t skip = source->from + at;

        for (uint8_t *to = dst; len; piece++) {
                uint64_t n = piece->size;

                if (skip >= n) {
                        skip -= n;
                        continue;
                }
                n = n - skip < len ? n - skip : len;
                pm_write(to, piece->at + skip, n);
                skip = 0;
                to += n;
                len -= n;
        }
}

static enum status write_sectors(struct virtio_blk *blk, uint64_t sector, uint64_t budget)
{
        struct span span;
        struct source source = {.chain = &blk->chain};
        enum status status =
            begin(blk, sector, blk->chain.readable_size - sizeof(struct header), budget, &span);

        if (status != OK)
                return status;
        source.from = sizeof(struct header) + span.from;
        return end(blk, &span, pool_disk_write(&blk->media, span.at, span.len, fill, &source));
}

static enum status zero_sectors(struct virtio_blk *blk, uint32_t type, uint64_t budget)
{
        const struct virtio_chain *c = &blk->chain;
        struct segment segment;
        struct span span;
        enum status status;

        if (c->readable_size != sizeof(struct header) + sizeof segment)
                return IOERR;
        (void)virtio_chain_read(c, sizeof(struct header), &segment, sizeof segment);
        if (segment.flags & ~(type == T_DISCARD ? 0 : SEGMENT_UNMAP))
                return UNSUPP;
        if (segment.sectors > ZEROES_MAX)
                return IOERR;
        status = begin(blk, segment.sector, (uint64_t)segment.sectors * POOL_SECTOR, budget, &span);
        if (status != OK)
                return status;
        return end(blk, &span, pool_disk_zero(&blk->media, span.at, span.len));
}

static enum status get_id(struct virtio_blk *blk)
{
        uint64_t room = blk->chain.writable_size - 1;

        blk->done = virtio_chain_write(&blk->chain, 0, blk->id,
                                       room < sizeof blk->id ? room : sizeof blk->id);
        return OK;
}

static enum status handle(struct virtio_blk *blk, const struct header *header, uint64_t budget)
{
        bool writes =
            header->type == T_OUT || header->type == T_DISCARD || header->type == T_WRITE_ZEROES;

        if (writes && blk->read_only)
                return IOERR;
        switch (header->type) {
        case T_IN:
                return read_sectors(blk, header->sector, budget);
        case T_OUT:
                return write_sectors(blk, header->sector, budget);
        case T_FLUSH: /* what was written is durable */
                return OK;
        case T_GET_ID:
                return get_id(blk);
        case T_DISCARD:
        case T_WRITE_ZEROES:
                return zero_sectors(blk, header->type, budget);
        default:
                return UNSUPP;
        }
}

/* Give the request back with its status, the last byte that the device writes (5.2.6). */
static void finish(struct virtio_blk *blk, const struct header *header, enum status status)
{
        const struct virtio_chain *c = &blk->chain;
        bool reads = header->type == T_IN || header->type == T_GET_ID;
        uint64_t written = reads ? blk->done : 0;
        uint8_t byte = (uint8_t)status;

        (void)virtio_chain_write(c, c->writable_size - 1, &byte, 1);
        written += written == c->writable_size - 1;
        virtio_queue_give(&blk->device.queue[0], c->head, (uint32_t)written);
        blk->done = 0;
}

static bool notify(struct virtio_device *d, unsigned n)
{
        struct virtio_blk *blk = (struct virtio_blk *)d;
        const struct virtio_chain *c = &blk->chain;
        struct virtio_queue *q = &d->queue[n];

        for (uint64_t budget = BYTES_A_CALL; budget >= BYTES_A_REQUEST;) {
                struct header header;
                enum status status;
                uint64_t before;

                if (!virtio_queue_take(q, &blk->chain)) {
                        if (virtio_queue_rest(q))
                                return true;
                        continue;
                }
                if (virtio_chain_read(c, 0, &header, sizeof header) < sizeof header ||
                    !c->writable_size) {
                        virtio_device_break(d); /* nobody can be told of its end */
                        return true;
                }
                if (blk->unfinished != c->head)
                        blk->done = 0;
                blk->unfinished = c->head;
                before = blk->done;
                budget -= BYTES_A_REQUEST;
                status = handle(blk, &header, align_down(budget, POOL_SECTOR));
                budget -= blk->done - before < budget ? blk->done - before : budget;
                if (status == MORE)
                        virtio_queue_put_back(q, 1);
                else
                        finish(blk, &header, status);
        }
        return false;
}

/* The driver may call the cache what it likes: it is none. */
static void config_write(struct virtio_device *d, unsigned offset, unsigned size, uint32_t value)
{
        struct virtio_blk *blk = (struct virtio_blk *)d;

        if (offset == offsetof(struct virtio_blk_config, writeback) && size == 1)
                blk->config.writeback = value & 1;
}

static void reset(struct virtio_device *d)
{
        struct virtio_blk *blk = (struct virtio_blk *)d;

        spin_lock(&d->queue[0].lock);
        blk->done = 0;
        blk->config.writeback = 0;
        spin_unlock(&d->queue[0].lock);
}

static const struct virtio_model model = {
    .type = VIRTIO_TYPE_BLOCK,
    .class = PCI_CLASS_STORAGE,
    .subclass = PCI_SUBCLASS_OTHER,
    .notify = notify,
    .config_write = config_write,
    .reset = reset,
};

void virtio_blk_init(struct virtio_blk *blk, const char *serial, uint64_t size, bool read_only,
                     const struct gmem *mem, const char *owner)
{
        size_t len = strlen(serial);

        blk->config = (struct virtio_blk_config){
            .capacity = size / POOL_SECTOR,
            .size_max = SEGMENT_MAX,
            .seg_max = SEGMENTS_MAX,
            .blk_size = POOL_SECTOR,
            .physical_block_exp = PHYSICAL_EXP,
            .min_io_size = 1u << PHYSICAL_EXP,
            .num_queues = 1,
            .max_discard_sectors = ZEROES_MAX,
            .max_discard_seg = 1,
            .discard_sector_alignment = 1u << PHYSICAL_EXP,
            .max_write_zeroes_sectors = ZEROES_MAX,
            .max_write_zeroes_seg = 1,
        };
        blk->device = (struct virtio_device){
            .model = &model,
            .offered = FEATURE_SIZE_MAX | FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_FLUSH |
                       FEATURE_TOPOLOGY | FEATURE_CONFIG_WCE |
                       (read_only ? FEATURE_RO : FEATURE_DISCARD | FEATURE_WRITE_ZEROES),
            .config = &blk->config,
            .config_size = sizeof blk->config,
            .queues = 1,
        };
        blk->read_only = read_only;
        memset(blk->id, 0, sizeof blk->id);
        memcpy(blk->id, serial, len < sizeof blk->id ? len : sizeof blk->id);
        blk->done = 0;
        blk->media.pieces = 0;
        virtio_device_init(&blk->device, mem, owner);
}
