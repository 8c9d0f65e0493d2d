/*
 * A console device with two ports and a driver that keeps no rule: messages, buffers and rings are
 * the input's, and so is what the other end takes and gives. No access leaves the guest's memory,
 * which ASan sees; an end is asked for memory of the guest alone; no lock stays taken, and each
 * call ends.
 */
#include "guest/dev/virtio/console.h"
#include "tests/fuzz/fuzz.h"

#define MEMORY (32 * KiB)
#define QUEUES 6u
#define QUEUE  8u
#define RING_SIZE                                                                                  \
        0x200u /* of each queue: descriptors, then the available ring, then the used one */
#define AVAIL      0x80u
#define USED       0x100u
#define BUFFERS_AT 0x2000u
#define CALLS_MAX  64u

static uint8_t *guest;
static struct gmem mem;
static struct virtio_console vc;
static uint16_t avail[QUEUES];
static uint64_t room, typed; /* that the ends take and give from now on */

static void interrupt(struct virtio_device *d, int n)
{
        DEMAND(n < (int)d->queues);
}

static bool is_guests(const uint8_t *at, uint64_t n)
{
        return at >= guest && n <= MEMORY && at + n <= guest + MEMORY;
}

static uint64_t take(void *ctx, const uint8_t *text, uint64_t n)
{
        DEMAND(ctx == guest && n && is_guests(text, n));
        n = n < room ? n : room;
        room -= n;
        return n;
}

static uint64_t give(void *ctx, uint8_t *to, uint64_t size)
{
        DEMAND(ctx == guest && size && is_guests(to, size));
        size = size < typed ? size : typed;
        typed -= size;
        memset(to, 'x', size);
        return size;
}

static void set_up(unsigned flags)
{
        for (unsigned n = 0; n < QUEUES; n++) {
                struct virtio_queue *q = &vc.device.queue[n];
                uint64_t at = n * RING_SIZE;

                virtio_queue_reset(q);
                q->indirect = flags & 1;
                q->event_index = flags & 2;
                q->size = QUEUE;
                q->desc = GPA(at);
                q->avail = GPA(at + AVAIL);
                q->used = GPA(at + USED);
                memset(guest + at, 0, RING_SIZE);
                avail[n] = 0;
                DEMAND(!virtio_queue_enable(q));
        }
        vc.device.status = 0;
        vc.device.live = true;
}

static void make(unsigned flags)
{
        const struct virtio_console_end end[] = {{NULL, guest, take, give, NULL},
                                                 {"port", guest, take, give, NULL}};

        memset(guest, 0, MEMORY);
        gmem_init(&mem, NULL);
        DEMAND(!gmem_add(&mem, GPA(0), MEMORY, guest));
        virtio_console_init(&vc, end, 2, &mem, "vm");
        vc.device.interrupt = interrupt;
        room = typed = 100;
        set_up(flags);
}

/* The device works on a queue until it has nothing left, or the driver has waited for long enough.
 */
static void notify(unsigned n)
{
        struct virtio_queue *q = &vc.device.queue[n];
        bool done = false;

        for (unsigned calls = 0; !done && virtio_queue_works(q); calls++) {
                DEMAND(calls < CALLS_MAX);
                spin_lock(&q->lock);
                done = vc.device.model->notify(&vc.device, n);
                virtio_device_signal(&vc.device, n);
                spin_unlock(&q->lock);
        }
}

/* A buffer that is nearly right, of two descriptors: a message, or bytes. */
static void add(struct fuzz_input *in, unsigned n)
{
        unsigned shape = (unsigned)fuzz_take(in, 1);
        unsigned head = avail[n] * 2 % QUEUE;
        uint64_t message = fuzz_take(in, 4);

        message = (message & 0xff) | (message & 0xff00) << 24 | (message & 0xff0000) << 32;
        memcpy(guest + BUFFERS_AT, &message, sizeof message);
        for (unsigned i = 0; i < 2; i++) {
                struct {
                        uint64_t addr;
                        uint32_t len;
                        uint16_t flags, next;
                } d = {BUFFERS_AT + i * 0x100, i ? shape >> 3 : 8, (uint16_t)(!i && shape & 1),
                       (uint16_t)(head + 1)};

                d.flags |= n % 2 ? shape & 2 : (uint16_t)(~shape & 2);
                d.len <<= i && shape & 4 ? 8 : 0;
                memcpy(guest + n * RING_SIZE + (head + i) * 16, &d, sizeof d);
        }
        memset(guest + n * RING_SIZE + AVAIL + 4 + avail[n] % QUEUE * 2, 0, 2);
        guest[n * RING_SIZE + AVAIL + 4 + avail[n] % QUEUE * 2] = (uint8_t)head;
        avail[n]++;
        memcpy(guest + n * RING_SIZE + AVAIL + 2, &avail[n], 2);
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1), n = (what >> 4) % QUEUES;
        uint64_t at, value;

        switch (what & 7) {
        case 0:
        case 1:
                add(in, n);
                if (what & 8)
                        notify(n);
                break;
        case 2:
                room = fuzz_take(in, 2);
                (void)virtio_console_pull(&vc, n & 1);
                break;
        case 3:
                typed = fuzz_take(in, 2);
                virtio_console_push(&vc, n & 1);
                break;
        case 4: /* anything anywhere in the rings and the first buffers */
                at = fuzz_take(in, 2) % (BUFFERS_AT + 0x200);
                value = fuzz_take(in, 8);
                memcpy(guest + at, &value, 8);
                break;
        case 5:
                if (what & 8) {
                        vc.device.model->reset(&vc.device);
                        set_up(n);
                }
                break;
        default:
                notify(n);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        if (!guest)
                guest = fuzz_alloc(MEMORY);
        make((unsigned)fuzz_take(&in, 1));
        while (in.left)
                step(&in);
        for (unsigned n = 0; n < QUEUES; n++)
                DEMAND(!vc.device.queue[n].lock.held);
        return 0;
}
