/*
 * A disk and a driver that keeps no rule: rings, descriptors and requests in a guest's memory of
 * which a part can only be read, changed at any moment between two notifications. Nothing outside
 * of the disk is touched, a read-only one is not changed, and no lane stays taken.
 */
#include "guest/dev/virtio/blk.h"
#include "tests/fuzz/fuzz.h"

#define GUEST_SIZE (64 * KiB)
#define READ_ONLY  (16 * KiB) /* behind it */
#define DISK_SIZE  (64 * KiB)
#define GUARD      (8 * KiB)
#define DISK_AT    POOL_GRANULE
#define MEDIA_SIZE (DISK_AT + DISK_SIZE + GUARD)
#define QUEUE      16u
#define CALLS_MAX  64u
#define DESC_AT    0x1000u
#define AVAIL_AT   0x2000u
#define USED_AT    0x3000u
#define BUFFERS_AT 0x4000u
#define GUARD_BYTE 0xa5

static uint8_t *guest, *media;
static struct gmem mem;
static struct pool_member member;
static struct virtio_blk blk;
static uint16_t avail;

static void interrupt(struct virtio_device *d, int n)
{
        DEMAND(n < (int)d->queues);
}

static void set_up(struct virtio_queue *q, unsigned flags)
{
        virtio_queue_reset(q);
        q->indirect = flags & 1;
        q->event_index = flags & 2;
        q->size = QUEUE;
        q->desc = GPA(DESC_AT);
        q->avail = GPA(AVAIL_AT);
        q->used = GPA(USED_AT);
        DEMAND(!virtio_queue_enable(q));
        memset(guest + AVAIL_AT, 0, 0x100);
        avail = 0;
        blk.device.status = 0;
        blk.device.live = true;
}

static void make(unsigned flags)
{
        bool read_only = flags & 4;

        if (!guest) {
                guest = fuzz_alloc(GUEST_SIZE + READ_ONLY);
                media = fuzz_alloc(MEDIA_SIZE);
        }
        memset(guest, 0, GUEST_SIZE + READ_ONLY);
        memset(media, 0, POOL_SUPERBLOCK_B);
        memset(media + DISK_AT - GUARD, GUARD_BYTE, DISK_SIZE + 2 * GUARD);
        gmem_init(&mem, NULL);
        DEMAND(!gmem_add(&mem, GPA(0), GUEST_SIZE, guest));
        DEMAND(!gmem_add_read_only(&mem, GPA(GUEST_SIZE), READ_ONLY, guest + GUEST_SIZE));
        member = (struct pool_member){.base = media};
        virtio_blk_init(&blk, "disk", DISK_SIZE, read_only, &mem, "vm");
        blk.media.pieces = 3;
        blk.media.piece[0] = (struct pool_disk_piece){DISK_SIZE / 2, media + DISK_AT, &member};
        blk.media.piece[1] = (struct pool_disk_piece){DISK_SIZE / 2 + 4096, NULL, &member};
        blk.media.piece[2] =
            (struct pool_disk_piece){DISK_SIZE, media + DISK_AT + DISK_SIZE / 2 + 4096, &member};
        blk.device.interrupt = interrupt;
        set_up(&blk.device.queue[0], flags);
}

static void check(bool read_only)
{
        for (unsigned i = 0; i < GUARD; i++)
                DEMAND(media[DISK_AT - 1 - i] == GUARD_BYTE &&
                       media[DISK_AT + DISK_SIZE + i] == GUARD_BYTE);
        for (unsigned i = 0; i < (read_only ? DISK_SIZE : 4096); i++)
                DEMAND(media[DISK_AT + (read_only ? 0 : DISK_SIZE / 2) + i] == GUARD_BYTE);
        for (unsigned lane = 0; lane < POOL_LANES; lane++)
                DEMAND(!member.lane[lane].held &&
                       !*(uint64_t *)(media + POOL_LANE_WORDS + lane * POOL_LANE_WORD_STEP));
        for (unsigned i = 0; i < READ_ONLY; i++)
                DEMAND(!guest[GUEST_SIZE + i]);
}

/* The device works until it has nothing left, or the driver has waited for long enough. */
static void notify(void)
{
        struct virtio_queue *q = &blk.device.queue[0];
        bool done = false;

        for (unsigned calls = 0; !done && virtio_queue_works(q); calls++) {
                DEMAND(calls < CALLS_MAX);
                spin_lock(&q->lock);
                done = blk.device.model->notify(&blk.device, 0);
                virtio_device_signal(&blk.device, 0);
                spin_unlock(&q->lock);
        }
}

/* A request that is nearly right. */
static void ask(struct fuzz_input *in)
{
        static const uint8_t types[] = {0, 1, 4, 8, 11, 13, 2, 255};
        unsigned raw = (unsigned)fuzz_take(in, 1), n = raw >> 3 & 7;
        uint64_t header[2] = {types[raw & 7], raw & 0x80 ? fuzz_take(in, 8) : fuzz_take(in, 1)};

        memcpy(guest + BUFFERS_AT, header, sizeof header);
        for (unsigned i = 0; i <= n; i++) {
                struct {
                        uint64_t addr;
                        uint32_t len;
                        uint16_t flags, next;
                } d = {BUFFERS_AT, 16, i < n, (uint16_t)(i + 1)};

                if (i) {
                        unsigned shape = (unsigned)fuzz_take(in, 1);

                        d.addr = BUFFERS_AT + 0x100 + (shape >> 2) * 0x400;
                        d.len = shape & 1 ? (uint32_t)fuzz_take(in, 2) : (shape & 3) * 256;
                        d.len += i == n;
                        d.flags |= shape & 2;
                }
                memcpy(guest + DESC_AT + i * 16, &d, sizeof d);
        }
        memset(guest + AVAIL_AT + 4 + avail % QUEUE * 2, 0, 2);
        avail++;
        memcpy(guest + AVAIL_AT + 2, &avail, 2);
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);

        switch (what & 7) {
        case 0:
        case 1:
        case 2:
        case 3:
                ask(in);
                if (what & 8)
                        notify();
                break;
        case 4:
                blk.device.model->config_write(&blk.device, what >> 3, 1u << (what & 1), what);
                break;
        case 5:
                if (what & 8) {
                        blk.device.model->reset(&blk.device);
                        set_up(&blk.device.queue[0], what >> 4);
                }
                break;
        case 6: { /* anything anywhere in the rings and the first buffers */
                uint64_t at = DESC_AT + fuzz_take(in, 2) % 0x4000;
                uint64_t value = fuzz_take(in, 8);

                memcpy(guest + at, &value, 8);
                break;
        }
        default:
                notify();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        unsigned flags = (unsigned)fuzz_take(&in, 1);

        make(flags);
        while (in.left)
                step(&in);
        notify();
        check(flags & 4);
        return 0;
}
