/* The network device; contract in net.h. Sections are of virtio 1.2. */
#include "guest/dev/virtio/net.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"

enum { RECEIVE, SEND };

/* 5.1.3 */
#define FEATURE_CSUM       (1ull << 0)
#define FEATURE_GUEST_CSUM (1ull << 1)
#define FEATURE_MAC        (1ull << 5)
#define FEATURE_GUEST_TSO4 (1ull << 7)
#define FEATURE_GUEST_TSO6 (1ull << 8)
#define FEATURE_GUEST_ECN  (1ull << 9)
#define FEATURE_HOST_TSO4  (1ull << 11)
#define FEATURE_HOST_TSO6  (1ull << 12)
#define FEATURE_HOST_ECN   (1ull << 13)
#define FEATURE_MRG_RXBUF  (1ull << 15)
#define FEATURE_STATUS     (1ull << 16)

#define STATUS_LINK_UP 1u

#define PCI_CLASS_NETWORK     0x02
#define PCI_SUBCLASS_ETHERNET 0x00

#define FRAMES_A_CALL 64u
#define BYTES_A_CALL  (256 * KiB)

#define ETH_HEADER  14u
#define ETH_MAX     1518u           /* with a VLAN's tag */
#define GSO_MAX     (64 * KiB + 64) /* a packet of 64 KiB and its headers */
#define BUFFERS_MAX 64u             /* of the receiver for one frame */
#define BURST_MIN   (256 * KiB)

/* 5.1.6 */
struct header {
        uint8_t flags, gso_type;
        uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

#define NEEDS_CSUM 1u
#define GSO_NONE   0u
#define GSO_TCPV4  1u
#define GSO_TCPV6  4u
#define GSO_ECN    0x80u

_Static_assert(sizeof(struct header) == 12, "5.1.6");

/* What a switch carries: a sender's chain. */
struct frame {
        struct header header;             /* checked, without num_buffers */
        uint64_t wants;                   /* features that its receiver must have accepted */
        uint64_t size;                    /* bytes, without the header */
        const struct virtio_piece *piece; /* the header, and the frame behind it */
};

/* A place in a list of pieces. */
struct cursor {
        const struct virtio_piece *piece;
        uint64_t offset;
};

static void skip(struct cursor *c, uint64_t len)
{
        for (; len && len >= c->piece->size - c->offset; c->piece++) {
                len -= c->piece->size - c->offset;
                c->offset = 0;
        }
        c->offset += len;
}

/* Both have len bytes from where they are; they stand behind them then. */
static void copy(struct cursor *to, struct cursor *from, uint64_t len)
{
        while (len) {
                uint64_t n = to->piece->size - to->offset, room = from->piece->size - from->offset;

                n = n < room ? n : room;
                n = n < len ? n : len;
                memcpy(to->piece->at + to->offset, from->piece->at + from->offset, n);
                skip(to, n);
                skip(from, n);
                len -= n;
        }
}

/* ---- Receiving, under the lock of the receiver's queue. ---- */

/* Take the n-th buffer for a frame, and what it has room for; NULL: there is none that will do, and
 * it is put back. The first has the header in one piece, so that it can be written last. */
static uint8_t *take_buffer(struct virtio_net *net, unsigned n)
{
        struct virtio_queue *q = &net->device.queue[RECEIVE];
        struct virtio_chain *c = &net->in;

        if (n == BUFFERS_MAX || (n && !virtio_has(&net->device, FEATURE_MRG_RXBUF)) ||
            !virtio_queue_take(q, c))
                return NULL;
        if (c->writable && (n || c->piece[c->readable].size >= sizeof(struct header)))
                return c->piece[c->readable].at;
        virtio_queue_put_back(q, 1);
        return NULL;
}

/*
 * Put the frame into as many buffers as it takes. False: there are too few, or one is too small,
 * and all stay with the queue.
 */
static bool fill(struct virtio_net *net, const struct frame *frame)
{
        struct virtio_queue *q = &net->device.queue[RECEIVE];
        const struct virtio_chain *c = &net->in;
        struct header header = frame->header;
        struct cursor from = {frame->piece, 0};
        uint64_t left = sizeof header + frame->size, skipped = sizeof header, written[BUFFERS_MAX];
        uint8_t *first = take_buffer(net, 0);
        uint16_t head[BUFFERS_MAX], n = 0;

        if (!first)
                return false;
        skip(&from, sizeof header);
        for (;;) {
                struct cursor to = {c->piece + c->readable, 0};
                uint64_t room = c->writable_size < left ? c->writable_size : left;

                skip(&to, skipped);
                copy(&to, &from, room - skipped);
                skipped = 0;
                head[n] = c->head;
                written[n++] = room;
                left -= room;
                if (!left)
                        break;
                if (!take_buffer(net, n)) {
                        virtio_queue_put_back(q, n);
                        return false;
                }
        }
        header.num_buffers = n;
        memcpy(first, &header, sizeof header);
        for (unsigned i = 0; i < n; i++)
                virtio_queue_give(q, head[i], (uint32_t)written[i]);
        return true;
}

static void deliver(void *ctx, const void *carried)
{
        struct virtio_net *net = ctx;
        struct virtio_device *d = &net->device;
        struct virtio_queue *q = &d->queue[RECEIVE];
        const struct frame *frame = carried;

        spin_lock(&q->lock);
        if (virtio_queue_works(q) && (d->features & frame->wants) == frame->wants &&
            fill(net, frame)) {
                net->received.frames++;
                net->received.bytes += frame->size;
                virtio_device_signal(d, RECEIVE);
        } else {
                net->received.dropped++;
                if (q->broken && d->live)
                        virtio_device_signal(d, RECEIVE);
        }
        spin_unlock(&q->lock);
}

/* ---- Sending, under the lock of the sender's queue. ---- */

/* What the driver has asked for must have been agreed to, and make sense. */
static bool check_offloads(const struct virtio_device *d, struct frame *frame)
{
        struct header *h = &frame->header;
        unsigned gso = h->gso_type & ~GSO_ECN;

        h->flags &= NEEDS_CSUM;
        if (h->flags) {
                if (!virtio_has(d, FEATURE_CSUM) ||
                    (uint64_t)h->csum_start + h->csum_offset + 2 > frame->size)
                        return false;
                frame->wants |= FEATURE_GUEST_CSUM;
        }
        if (gso == GSO_NONE)
                return !h->gso_type && frame->size <= ETH_MAX;
        if (!h->flags || !h->gso_size || (gso != GSO_TCPV4 && gso != GSO_TCPV6) ||
            !virtio_has(d, gso == GSO_TCPV4 ? FEATURE_HOST_TSO4 : FEATURE_HOST_TSO6))
                return false;
        frame->wants |= gso == GSO_TCPV4 ? FEATURE_GUEST_TSO4 : FEATURE_GUEST_TSO6;
        if (h->gso_type & GSO_ECN) {
                if (!virtio_has(d, FEATURE_HOST_ECN))
                        return false;
                frame->wants |= FEATURE_GUEST_ECN;
        }
        return frame->size <= GSO_MAX;
}

/* Whether that many bytes may go now. */
static bool is_within_rate(struct virtio_net_rate *limit, uint64_t bytes)
{
        uint64_t burst = limit->rate / 16 > BURST_MIN ? limit->rate / 16 : BURST_MIN;
        uint64_t ms;

        if (!limit->rate)
                return true;
        ms = (cpu_rdtsc() - limit->since) / limit->tsc_khz;
        limit->since += ms * limit->tsc_khz;
        limit->bytes += (ms < 1000 ? ms : 1000) * limit->rate / 1000;
        if (limit->bytes > burst)
                limit->bytes = burst;
        if (bytes > limit->bytes)
                return false;
        limit->bytes -= bytes;
        return true;
}

/* Returns the bytes that were handled, once for each receiver. */
static uint64_t send(struct virtio_net *net)
{
        const struct virtio_chain *c = &net->out;
        struct frame frame = {.piece = c->piece};
        struct {
                struct header header;
                uint8_t addresses[2 * ETH_ALEN];
        } begin;

        if (c->readable_size < sizeof frame.header + ETH_HEADER ||
            c->readable_size > sizeof frame.header + GSO_MAX) {
                net->sent.dropped++;
                return ETH_MAX;
        }
        (void)virtio_chain_read(c, 0, &begin, sizeof begin);
        frame.header = begin.header;
        frame.size = c->readable_size - sizeof frame.header;
        if (!check_offloads(&net->device, &frame) || !is_within_rate(&net->limit, frame.size)) {
                net->sent.dropped++;
                return ETH_MAX;
        }
        net->sent.frames++;
        net->sent.bytes += frame.size;
        return (switch_send(net->sw, net->port, begin.addresses, &frame) + 1) * frame.size;
}

static bool notify(struct virtio_device *d, unsigned n)
{
        struct virtio_net *net = (struct virtio_net *)d;
        struct virtio_queue *q = &d->queue[n];
        uint64_t bytes = 0;

        if (n == RECEIVE) {
                virtio_queue_mute(q); /* frames look for buffers when they come */
                return true;
        }
        for (unsigned frames = 0; frames < FRAMES_A_CALL && bytes < BYTES_A_CALL; frames++) {
                if (!virtio_queue_take(q, &net->out)) {
                        if (virtio_queue_rest(q))
                                return true;
                        continue;
                }
                bytes += send(net);
                virtio_queue_give(q, net->out.head, 0);
        }
        return false;
}

static const struct virtio_model model = {
    .type = VIRTIO_TYPE_NET,
    .class = PCI_CLASS_NETWORK,
    .subclass = PCI_SUBCLASS_ETHERNET,
    .notify = notify,
};

int virtio_net_init(struct virtio_net *net, struct net_switch *sw, const uint8_t mac[ETH_ALEN],
                    uint64_t rate, uint64_t tsc_khz, const struct gmem *mem, const char *owner)
{
        int port;

        *net = (struct virtio_net){.sw = sw, .config.status = STATUS_LINK_UP};
        net->limit = (struct virtio_net_rate){.rate = rate, .tsc_khz = tsc_khz};
        memcpy(net->config.mac, mac, ETH_ALEN);
        net->device = (struct virtio_device){
            .model = &model,
            .offered = FEATURE_CSUM | FEATURE_GUEST_CSUM | FEATURE_MAC | FEATURE_GUEST_TSO4 |
                       FEATURE_GUEST_TSO6 | FEATURE_GUEST_ECN | FEATURE_HOST_TSO4 |
                       FEATURE_HOST_TSO6 | FEATURE_HOST_ECN | FEATURE_MRG_RXBUF | FEATURE_STATUS,
            .config = &net->config,
            .config_size = sizeof net->config,
            .queues = 2,
        };
        virtio_device_init(&net->device, mem, owner);
        port = switch_attach(sw, deliver, net);
        if (port < 0)
                return port;
        net->port = (unsigned)port;
        return 0;
}

void virtio_net_leave(struct virtio_net *net)
{
        switch_detach(net->sw, net->port);
}
