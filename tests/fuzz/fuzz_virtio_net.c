/*
 * Two stations at a switch whose drivers keep no rule: headers, lengths, descriptors and rings of
 * each are the input's. No access leaves a station's memory, which ASan sees, and no lock stays
 * taken.
 */
#include "guest/dev/virtio/net.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY     (32 * KiB)
#define STATIONS   2u
#define QUEUE      16u
#define RINGS      0x1000u /* each: descriptors, then the available ring, then the used one */
#define AVAIL      0x400u
#define USED       0x800u
#define RING_SIZE  0x1000u
#define BUFFERS_AT 0x3000u
#define CALLS_MAX  64u

static struct station {
        struct virtio_net net;
        struct gmem mem;
        uint8_t *at;
        uint16_t avail[2];
} stations[STATIONS];

static void interrupt(struct virtio_device *d, int n)
{
        DEMAND(n < (int)d->queues);
}

static void set_up(struct station *s, uint64_t features)
{
        struct virtio_device *d = &s->net.device;

        d->features = d->offered & features;
        d->status = 0;
        for (unsigned n = 0; n < 2; n++) {
                struct virtio_queue *q = &d->queue[n];
                uint64_t at = RINGS + n * RING_SIZE;

                virtio_queue_reset(q);
                q->size = QUEUE;
                q->event_index = features & 1;
                q->desc = GPA(at);
                q->avail = GPA(at + AVAIL);
                q->used = GPA(at + USED);
                memset(s->at + at, 0, RING_SIZE);
                s->avail[n] = 0;
                DEMAND(!virtio_queue_enable(q));
        }
        d->live = true;
}

static void start(struct fuzz_input *in)
{
        struct net_switch *sw = switch_get("lan");

        for (unsigned i = 0; i < STATIONS; i++) {
                struct station *s = &stations[i];
                uint8_t mac[ETH_ALEN] = {2, 0, 0, 0, 0, (uint8_t)i};

                s->at = fuzz_alloc(MEMORY);
                memset(s->at, 0, MEMORY);
                gmem_init(&s->mem, NULL);
                DEMAND(!gmem_add(&s->mem, GPA(0), MEMORY, s->at));
                DEMAND(!virtio_net_init(&s->net, sw, mac, 0, 1, &s->mem, "vm"));
                s->net.device.interrupt = interrupt;
                set_up(s, i ? UINT64_MAX : fuzz_take(in, 3));
        }
}

static void stop(void)
{
        for (unsigned i = 0; i < STATIONS; i++) {
                virtio_net_leave(&stations[i].net);
                DEMAND(!stations[i].net.device.queue[0].lock.held);
                free(stations[i].at);
        }
}

static void notify(struct station *s, unsigned n)
{
        struct virtio_queue *q = &s->net.device.queue[n];
        bool done = false;

        for (unsigned calls = 0; !done && virtio_queue_works(q); calls++) {
                DEMAND(calls < CALLS_MAX);
                spin_lock(&q->lock);
                done = s->net.device.model->notify(&s->net.device, n);
                virtio_device_signal(&s->net.device, n);
                spin_unlock(&q->lock);
        }
}

/* A chain of buffers that is nearly right: a frame to send, or room for one. */
static void add(struct fuzz_input *in, struct station *s, unsigned n)
{
        unsigned raw = (unsigned)fuzz_take(in, 1), last = raw & 3, head = raw >> 2 & 12;
        uint64_t ring = RINGS + n * RING_SIZE;
        uint16_t first = (uint16_t)head;

        for (unsigned i = 0; i <= last; i++) {
                unsigned shape = (unsigned)fuzz_take(in, 1);
                struct {
                        uint64_t addr;
                        uint32_t len;
                        uint16_t flags, next;
                } d = {BUFFERS_AT + (shape >> 3) * 0x80, (shape & 7) * 250 + 12,
                       (uint16_t)((i < last) | (n ? 0 : 2)), (uint16_t)(head + i + 1)};

                if (raw & 0x80)
                        d.len = (uint32_t)fuzz_take(in, 2);
                if (n && i == 0) {
                        for (unsigned k = 0; k < 12; k++)
                                s->at[d.addr + k] = (uint8_t)fuzz_take(in, 1);
                        memset(s->at + d.addr + 12, 0, 12);
                        s->at[d.addr + 12] = raw & 0x40 ? 2 : 0xff;
                        s->at[d.addr + 17] = s == stations;
                        s->at[d.addr + 18] = 2;
                        s->at[d.addr + 23] = s != stations;
                }
                memcpy(s->at + ring + (head + i) * 16, &d, sizeof d);
        }
        memcpy(s->at + ring + AVAIL + 4 + s->avail[n] % QUEUE * 2, &first, 2);
        s->avail[n]++;
        memcpy(s->at + ring + AVAIL + 2, &s->avail[n], 2);
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        struct station *s = &stations[what >> 3 & 1];

        switch (what & 7) {
        case 0:
        case 1:
        case 2:
                add(in, s, 1);
                notify(s, 1);
                break;
        case 3:
        case 4:
                add(in, s, 0);
                break;
        case 5:
                notify(s, what >> 4 & 1);
                break;
        case 6: {
                uint64_t at = RINGS + fuzz_take(in, 2) % 0x3000, value = fuzz_take(in, 8);

                memcpy(s->at + at, &value, 8);
                break;
        }
        default:
                if (what & 0x10)
                        set_up(s, what & 0x20 ? UINT64_MAX : fuzz_take(in, 3));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        start(&in);
        while (in.left)
                step(&in);
        stop();
        return 0;
}
