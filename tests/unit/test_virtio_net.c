/*
 * Network devices at a switch: who gets a frame, in which buffers, with which offloads; what is
 * dropped, at whose port; and who is gone.
 */
#include "guest/dev/virtio/net.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "tests/unit/virtio_driver.h"

#define STATIONS 3u
#define MEM      (1 * MiB)
#define RX_AT    0x10000u
#define TX_AT    0x20000u
#define OUT_AT   0x30000u
#define IN_AT    0x80000u
#define ALL      0x1bba3ull /* every feature that the device offers */
#define CSUM     1u

struct header {
        uint8_t flags, gso_type;
        uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

static struct station {
        struct virtio_net net;
        struct gmem mem;
        uint8_t *at;
        struct driver_ring rx, tx;
        unsigned interrupts;
} stations[STATIONS];
static struct net_switch *sw;
static struct station *const a = &stations[0], *const b = &stations[1], *const c = &stations[2];

static void interrupt(struct virtio_device *d, int n)
{
        (void)n;
        ((struct station *)d)->interrupts++;
}

static void set_ring(struct virtio_queue *q, const struct driver_ring *r)
{
        q->size = (uint16_t)r->size;
        q->desc = GPA(r->gpa);
        q->avail = GPA(driver_ring_avail(r));
        q->used = GPA(driver_ring_used(r));
        CHECK_EQ(virtio_queue_enable(q), 0);
}

static void start_station(struct station *s, uint64_t rate)
{
        uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)(s - stations)};

        memset(s, 0, sizeof *s);
        s->at = calloc(1, MEM);
        gmem_init(&s->mem, NULL);
        CHECK_EQ(gmem_add(&s->mem, GPA(0), MEM, s->at), 0);
        CHECK_EQ(virtio_net_init(&s->net, sw, mac, rate, 1000000, &s->mem, "vm"), 0);
        CHECK_EQ(s->net.device.offered, ALL);
        s->net.device.interrupt = interrupt;
        s->net.device.features = ALL;
        s->net.device.live = true;
        driver_ring_init(&s->rx, s->at + RX_AT, RX_AT, 64);
        driver_ring_init(&s->tx, s->at + TX_AT, TX_AT, 64);
        set_ring(&s->net.device.queue[0], &s->rx);
        set_ring(&s->net.device.queue[1], &s->tx);
}

static void start(void)
{
        sw = switch_get("lan");
        for (size_t i = 0; i < STATIONS; i++)
                start_station(&stations[i], 0);
}

static void stop(void)
{
        for (size_t i = 0; i < STATIONS; i++) {
                virtio_net_leave(&stations[i].net);
                free(stations[i].at);
        }
}

/* n receive buffers of size bytes, one behind the other. */
static void offer(struct station *s, unsigned n, uint32_t size)
{
        for (unsigned i = 0; i < n; i++) {
                const struct driver_buffer buffer = {IN_AT + i * size, size, true};

                driver_add(&s->rx, &buffer, 1);
        }
}

static bool notify(struct station *s, unsigned n)
{
        struct virtio_queue *q = &s->net.device.queue[n];
        bool done;

        spin_lock(&q->lock);
        done = s->net.device.model->notify(&s->net.device, n);
        virtio_device_signal(&s->net.device, n);
        spin_unlock(&q->lock);
        return done;
}

/* Send a frame of size bytes from one station to another, or to all, in two buffers. */
static void send(struct station *from, const struct station *to, uint32_t size,
                 struct header header)
{
        uint8_t *frame = from->at + OUT_AT + sizeof header;
        const struct driver_buffer buffers[] = {{OUT_AT, 40, false},
                                                {OUT_AT + 40, size + 12 - 40, false}};
        uint32_t head, written;

        memcpy(from->at + OUT_AT, &header, sizeof header);
        for (uint32_t i = 0; i < size; i++)
                frame[i] = (uint8_t)(i * 13 + i / 256);
        memset(frame, 0xff, 6);
        if (to)
                memcpy(frame, to->net.config.mac, 6);
        memcpy(frame + 6, from->net.config.mac, 6);
        driver_add(&from->tx, buffers, 2);
        CHECK(notify(from, 1));
        CHECK(driver_take_used(&from->tx, &head, &written) && written == 0);
}

static const struct header plain;

/* A frame that came into buffers of `step` bytes: whole, and with which header. */
static bool came(struct station *s, const struct station *from, uint32_t size, uint32_t step,
                 struct header *header)
{
        const uint8_t *frame = from->at + OUT_AT + 12, *in = s->at + IN_AT;
        uint32_t head, written, total = 0;
        unsigned n = 0;

        while (driver_take_used(&s->rx, &head, &written)) {
                total += written;
                n++;
        }
        memcpy(header, in, sizeof *header);
        return total == size + 12 && header->num_buffers == n &&
               n == (size + 12 + step - 1) / step && !memcmp(in + 12, frame, size);
}

static bool nothing_came(struct station *s)
{
        uint32_t head, written;

        return !driver_take_used(&s->rx, &head, &written);
}

/* A frame for all goes to all but the sender; then the switch knows where the sender is. */
static void test_learning(void)
{
        struct header h;

        start();
        for (size_t i = 0; i < STATIONS; i++)
                offer(&stations[i], 4, 2048);
        send(a, NULL, 60, plain);
        CHECK(came(b, a, 60, 2048, &h) && came(c, a, 60, 2048, &h) && nothing_came(a));
        CHECK(b->interrupts && c->interrupts);
        send(b, a, 1514, plain);
        CHECK(came(a, b, 1514, 2048, &h) && nothing_came(c));
        send(c, c, 100, plain); /* nobody knows it but itself: to all, before it is learned */
        CHECK_EQ(c->net.sent.frames, 1);
        CHECK(!nothing_came(a) && nothing_came(c));
        send(c, c, 100, plain);
        CHECK(nothing_came(a) && nothing_came(c));
        CHECK_EQ(a->net.sent.frames, 1);
        CHECK_EQ(a->net.received.bytes, 1614);
        CHECK_EQ(b->net.received.dropped, 0);
        stop();
}

/* Another switch is another world. */
static void test_switches(void)
{
        struct net_switch *other = switch_get("dmz");

        start();
        CHECK(other && other != sw && switch_get("lan") == sw);
        virtio_net_leave(&b->net);
        CHECK_EQ(virtio_net_init(&b->net, other, b->net.config.mac, 0, 1000000, &b->mem, "vm"), 0);
        send(a, NULL, 60, plain);
        CHECK_EQ(b->net.received.frames + b->net.received.dropped, 0);
        CHECK_EQ(c->net.received.dropped, 1);
        for (unsigned i = 2; i < SWITCHES_MAX; i++) {
                char name[] = {'s', (char)('a' + i), 0};

                CHECK(switch_get(name) != NULL);
        }
        CHECK(switch_get("one-more") == NULL && switch_get("dmz") == other);
        stop();
}

static void test_ports(void)
{
        static struct virtio_net more[SWITCH_PORTS_MAX];
        uint8_t mac[6] = {2};
        unsigned n = 0;

        start();
        while (n < SWITCH_PORTS_MAX && !virtio_net_init(&more[n], sw, mac, 0, 1, &a->mem, "vm"))
                n++;
        CHECK_EQ(n, SWITCH_PORTS_MAX - STATIONS);
        virtio_net_leave(&more[7]);
        CHECK_EQ(virtio_net_init(&more[7], sw, mac, 0, 1, &a->mem, "vm"), 0);
        while (n)
                virtio_net_leave(&more[--n]);
        stop();
}

/* A long frame lies in as many buffers as it takes; with too few, none is used up. */
static void test_mergeable(void)
{
        const struct header tso = {CSUM, 1, 54, 1460, 34, 16, 0};
        struct header h;

        start();
        offer(b, 32, 1536);
        send(a, b, 65550, tso);
        CHECK(nothing_came(b));
        CHECK_EQ(b->net.received.dropped, 1);
        offer(b, 32, 1536);
        driver_ring_init(&b->rx, b->at + RX_AT, RX_AT, 64);
        virtio_queue_reset(&b->net.device.queue[0]);
        set_ring(&b->net.device.queue[0], &b->rx);
        offer(b, 64, 1536);
        send(a, b, 65550, tso);
        CHECK(came(b, a, 65550, 1536, &h));
        CHECK(h.flags == CSUM && h.gso_type == 1 && h.gso_size == 1460 && h.csum_start == 34);
        stop();
}

static void test_without_mergeable(void)
{
        struct header h;

        start();
        b->net.device.features = 0;
        offer(b, 2, 1024);
        send(a, b, 1500, plain);
        CHECK(nothing_came(b));
        send(a, b, 1000, plain);
        CHECK(came(b, a, 1000, 1024, &h));
        stop();
}

/* Who has not agreed to an offload does not get its frames; who has not may not ask for it. */
static void test_offloads(void)
{
        const struct header csum = {CSUM, 0, 0, 0, 34, 16, 0};
        const struct {
                struct header header;
                uint32_t size;
                uint64_t without; /* features of the sender */
        } wrong[] = {
            {{CSUM, 0, 0, 0, 34, 16, 0}, 1000, 1},
            {{CSUM, 0, 0, 0, 998, 1, 0}, 1000, 0},
            {{CSUM, 0, 0, 0, 65535, 65535, 0}, 1000, 0},
            {{0, 1, 0, 1460, 34, 16, 0}, 4000, 0},
            {{CSUM, 1, 0, 0, 34, 16, 0}, 4000, 0},
            {{CSUM, 1, 0, 1460, 34, 16, 0}, 4000, 1 << 11},
            {{CSUM, 4, 0, 1460, 34, 16, 0}, 4000, 1 << 12},
            {{CSUM, 0x81, 0, 1460, 34, 16, 0}, 4000, 1 << 13},
            {{CSUM, 3, 0, 1460, 34, 16, 0}, 4000, 0},
            {{CSUM, 0x80, 0, 1460, 34, 16, 0}, 1000, 0},
            {{0, 0, 0, 0, 0, 0, 0}, 1519, 0},
        };

        start();
        offer(b, 16, 2048);
        b->net.device.features = ALL & ~2ull;
        send(a, b, 1000, csum);
        CHECK(nothing_came(b));
        b->net.device.features = ALL & ~(1ull << 7);
        send(a, b, 4000, (struct header){CSUM, 1, 0, 1460, 34, 16, 0});
        CHECK(nothing_came(b));
        CHECK_EQ(b->net.received.dropped, 2);
        CHECK_EQ(a->net.sent.dropped, 0);
        b->net.device.features = ALL;
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
                a->net.device.features = ALL & ~wrong[i].without;
                send(a, b, wrong[i].size, wrong[i].header);
                CHECK(nothing_came(b));
                CHECK_EQ(a->net.sent.dropped, i + 1);
        }
        stop();
}

/* A receiver whose buffers are too small, or that has broken its ring, harms nobody else. */
static void test_bad_receivers(void)
{
        struct header h;

        start();
        offer(b, 1, 8);
        offer(c, 4, 2048);
        send(a, NULL, 60, plain);
        CHECK(nothing_came(b) && came(c, a, 60, 2048, &h));
        driver_make_available(&b->rx, 63); /* a descriptor of no bytes */
        *driver_avail_index(&b->rx) = 2;
        b->net.device.queue[0].next_avail = 1;
        send(a, NULL, 60, plain);
        CHECK(b->net.device.status & VIRTIO_STATUS_NEEDS_RESET);
        CHECK(!nothing_came(c));
        b->net.device.live = false;
        send(a, NULL, 60, plain);
        CHECK_EQ(b->net.received.dropped, 3);
        stop();
}

/* Who has left gets nothing, and its address is forgotten. */
static void test_leaving(void)
{
        struct header h;

        start();
        offer(a, 4, 2048);
        offer(c, 4, 2048);
        send(b, NULL, 60, plain);
        CHECK(came(a, b, 60, 2048, &h) && !nothing_came(c));
        virtio_net_leave(&b->net);
        send(a, b, 60, plain);
        CHECK_EQ(b->net.received.frames + b->net.received.dropped, 0);
        CHECK(!nothing_came(c));
        CHECK_EQ(virtio_net_init(&b->net, sw, b->net.config.mac, 0, 1, &b->mem, "vm"), 0);
        stop();
}

/* What is beyond the rate is dropped: no more than a burst goes at once. */
static void test_rate(void)
{
        start();
        virtio_net_leave(&a->net);
        free(a->at);
        start_station(a, 64 * KiB);
        a->net.limit.since = 0; /* long ago */
        for (unsigned i = 0; i < 400; i++)
                send(a, b, 1500, plain);
        CHECK(a->net.sent.frames >= 40 && a->net.sent.frames < 200);
        CHECK_EQ(a->net.sent.frames + a->net.sent.dropped, 400);
        CHECK_EQ(b->net.received.dropped, a->net.sent.frames);
        stop();
}

/* A call handles no more than it may, whatever is there. */
static void test_bound(void)
{
        const struct driver_buffer buffer = {OUT_AT, 60 * KiB, false};

        start();
        for (unsigned i = 0; i < 60; i++)
                driver_add(&a->tx, &buffer, 1);
        memset(a->at + OUT_AT, 0, 12);
        a->at[OUT_AT] = CSUM;
        a->at[OUT_AT + 1] = 1;
        a->at[OUT_AT + 4] = 100;
        CHECK(!notify(a, 1));
        CHECK(a->net.sent.frames < 6);
        while (!notify(a, 1))
                ;
        CHECK_EQ(a->net.sent.frames, 60);
        stop();
}

int main(void)
{
        RUN(test_learning);
        RUN(test_switches);
        RUN(test_ports);
        RUN(test_mergeable);
        RUN(test_without_mergeable);
        RUN(test_offloads);
        RUN(test_bad_receivers);
        RUN(test_leaving);
        RUN(test_rate);
        RUN(test_bound);
        return unit_done();
}
