/* The console device; contract in console.h. Sections are of virtio 1.2. */
#include "guest/dev/virtio/console.h"

#include "hv/lib/string.h"

#define FEATURE_MULTIPORT (1ull << 1) /* 5.3.3 */

/* 5.3.2: queues of port 0, of the messages, and then of the other ports; the driver fills the odd
 * ones. */
enum { TELL = 2, TOLD = 3 };

#define PCI_CLASS_COMMUNICATION 0x07
#define PCI_SUBCLASS_OTHER      0x80

#define CHAINS_A_CALL 16u
#define BYTES_A_CALL  (4 * KiB) /* the line they are shown on may be slow */

/* 5.3.6.2 */
struct message {
        uint32_t port;
        uint16_t event, value;
};

enum {
        DEVICE_READY = 0,
        DEVICE_ADD = 1,
        PORT_READY = 3,
        CONSOLE_PORT = 4,
        PORT_OPEN = 6,
        PORT_NAME = 7,
        EVENTS
};

_Static_assert(sizeof(struct message) == 8, "5.3.6.2");

static unsigned queue_of(unsigned port)
{
        return port ? TELL + 2 * port : 0;
}

/* ---- Bytes. ---- */

/* What the other end has for one buffer. */
static uint64_t fill(const struct virtio_console_end *end, const struct virtio_chain *c)
{
        uint64_t done = 0;

        for (unsigned i = c->readable; i < c->readable + c->writable; i++) {
                uint64_t n = end->read(end->ctx, c->piece[i].at, c->piece[i].size);

                done += n;
                if (n < c->piece[i].size)
                        break;
        }
        return done;
}

/* To the guest, under the queue's lock; true: nothing is left, or no buffer. */
static bool receive(struct virtio_console *vc, unsigned port)
{
        struct virtio_queue *q = &vc->device.queue[queue_of(port)];
        uint64_t done = 0;

        for (unsigned i = 0; i < CHAINS_A_CALL && done < BYTES_A_CALL; i++) {
                struct virtio_chain c;
                uint64_t n;

                if (!virtio_queue_take(q, &c)) {
                        if (virtio_queue_rest(q))
                                return true;
                        continue;
                }
                n = fill(&vc->port[port].end, &c);
                if (!n) {
                        virtio_queue_put_back(q, 1);
                        virtio_queue_mute(q); /* what comes looks for buffers then */
                        return true;
                }
                virtio_queue_give(q, c.head, (uint32_t)n);
                done += n;
        }
        return false;
}

/* The other end takes what it has not yet taken of a buffer, up to budget bytes. True: all of it.
 */
static bool drain(struct virtio_console_port *port, const struct virtio_chain *c, uint64_t budget)
{
        uint64_t skip = port->taken;

        for (unsigned i = 0; i < c->readable; i++) {
                uint64_t size = c->piece[i].size, n, taken;

                if (skip >= size) {
                        skip -= size;
                        continue;
                }
                n = size - skip < budget ? size - skip : budget;
                taken = port->end.write(port->end.ctx, c->piece[i].at + skip, n);
                port->taken += taken;
                budget -= taken;
                if (skip + taken < size)
                        return false;
                skip = 0;
        }
        port->taken = 0;
        return true;
}

/* From the guest, under the queue's lock; true: nothing is left, or the other end takes no more. */
static bool transmit(struct virtio_console *vc, unsigned n)
{
        struct virtio_queue *q = &vc->device.queue[queue_of(n) + 1];
        struct virtio_console_port *port = &vc->port[n];
        uint64_t budget = BYTES_A_CALL;

        for (unsigned i = 0; i < CHAINS_A_CALL && budget; i++) {
                struct virtio_chain c;
                uint64_t before = port->taken, taken;
                bool all;

                if (!virtio_queue_take(q, &c)) {
                        if (virtio_queue_rest(q))
                                return true;
                        continue;
                }
                all = drain(port, &c, budget);
                taken = (all ? c.readable_size : port->taken) - before;
                budget -= taken < budget ? taken : budget;
                if (all) {
                        virtio_queue_give(q, c.head, 0);
                        continue;
                }
                virtio_queue_put_back(q, 1);
                return budget != 0;
        }
        return false;
}

void virtio_console_push(struct virtio_console *vc, unsigned port)
{
        unsigned n = queue_of(port);
        struct virtio_queue *q = &vc->device.queue[n];

        spin_lock(&q->lock);
        while (virtio_queue_works(q) && !receive(vc, port)) {
                /* it ends with what the other end has */
        }
        virtio_device_signal(&vc->device, n);
        spin_unlock(&q->lock);
}

bool virtio_console_pull(struct virtio_console *vc, unsigned port)
{
        unsigned n = queue_of(port) + 1;
        struct virtio_queue *q = &vc->device.queue[n];
        bool done;

        spin_lock(&q->lock);
        done = !virtio_queue_works(q) || transmit(vc, port);
        virtio_device_signal(&vc->device, n);
        spin_unlock(&q->lock);
        return done;
}

/* ---- Messages about ports. ---- */

/* Put one message of a port into a buffer. */
static uint32_t put_message(const struct virtio_console *vc, unsigned port, uint16_t event,
                            const struct virtio_chain *c)
{
        const struct message message = {port, event, 1};
        const char *name = vc->port[port].end.name;
        uint64_t n = virtio_chain_write(c, 0, &message, sizeof message);

        if (event == PORT_NAME)
                n += virtio_chain_write(c, n, name, strlen(name));
        return (uint32_t)n;
}

/* Tell what is to be told, as far as there are buffers; under the lock of TELL. */
static void tell(struct virtio_console *vc)
{
        struct virtio_queue *q = &vc->device.queue[TELL];

        for (unsigned i = 0; i < vc->config.max_nr_ports; i++) {
                for (unsigned event = 0; event < EVENTS; event++) {
                        struct virtio_chain c;

                        if (!(vc->port[i].to_tell & 1u << event))
                                continue;
                        if (!virtio_queue_take(q, &c) &&
                            (virtio_queue_rest(q) || !virtio_queue_take(q, &c)))
                                return;
                        vc->port[i].to_tell &= ~(1u << event);
                        virtio_queue_give(q, c.head, put_message(vc, i, (uint16_t)event, &c));
                }
        }
}

static void tell_soon(struct virtio_console *vc, unsigned port, unsigned events)
{
        struct virtio_queue *q = &vc->device.queue[TELL];

        spin_lock(&q->lock);
        vc->port[port].to_tell |= events;
        tell(vc);
        virtio_device_signal(&vc->device, TELL);
        spin_unlock(&q->lock);
}

static void set_open(struct virtio_console_port *port, bool open)
{
        __atomic_store_n(&port->open, open, __ATOMIC_RELEASE);
        if (port->end.opened)
                port->end.opened(port->end.ctx);
}

static void take_message(struct virtio_console *vc, const struct message *m)
{
        unsigned ports = vc->config.max_nr_ports;
        unsigned kind;

        if (m->event == DEVICE_READY && m->value) {
                for (unsigned i = 0; i < ports; i++)
                        if (vc->port[i].end.write)
                                tell_soon(vc, i, 1u << DEVICE_ADD);
        } else if (m->port >= ports || !vc->port[m->port].end.write) {
                return;
        } else if (m->event == PORT_READY && m->value) {
                kind = vc->port[m->port].end.name ? PORT_NAME : CONSOLE_PORT;
                tell_soon(vc, m->port, 1u << kind | 1u << PORT_OPEN);
        } else if (m->event == PORT_OPEN) {
                set_open(&vc->port[m->port], m->value != 0);
        }
}

static bool take_messages(struct virtio_console *vc)
{
        struct virtio_queue *q = &vc->device.queue[TOLD];

        for (unsigned i = 0; i < CHAINS_A_CALL; i++) {
                struct message message;
                struct virtio_chain c;

                if (!virtio_queue_take(q, &c)) {
                        if (virtio_queue_rest(q))
                                return true;
                        continue;
                }
                if (virtio_chain_read(&c, 0, &message, sizeof message) == sizeof message)
                        take_message(vc, &message);
                virtio_queue_give(q, c.head, 0);
        }
        return false;
}

static bool notify(struct virtio_device *d, unsigned n)
{
        struct virtio_console *vc = (struct virtio_console *)d;
        unsigned port = n < TELL ? 0 : (n - TELL) / 2;

        if (n == TELL) {
                tell(vc);
                return true;
        }
        if (n == TOLD)
                return take_messages(vc);
        if (!vc->port[port].end.write)
                return true;
        return n % 2 ? transmit(vc, port) : receive(vc, port);
}

static void reset(struct virtio_device *d)
{
        struct virtio_console *vc = (struct virtio_console *)d;

        for (unsigned i = 0; i < vc->config.max_nr_ports; i++) {
                struct virtio_console_port *port = &vc->port[i];

                spin_lock(&d->queue[queue_of(i) + 1].lock);
                port->taken = 0;
                spin_unlock(&d->queue[queue_of(i) + 1].lock);
                spin_lock(&d->queue[TELL].lock);
                port->to_tell = 0;
                spin_unlock(&d->queue[TELL].lock);
                set_open(port, false);
        }
}

static const struct virtio_model model = {
    .type = VIRTIO_TYPE_CONSOLE,
    .class = PCI_CLASS_COMMUNICATION,
    .subclass = PCI_SUBCLASS_OTHER,
    .notify = notify,
    .reset = reset,
};

void virtio_console_init(struct virtio_console *vc, const struct virtio_console_end *end,
                         unsigned n, const struct gmem *mem, const char *owner)
{
        *vc = (struct virtio_console){.config.max_nr_ports = n};
        for (unsigned i = 0; i < n; i++)
                vc->port[i].end = end[i];
        vc->device = (struct virtio_device){
            .model = &model,
            .offered = FEATURE_MULTIPORT,
            .config = &vc->config,
            .config_size = sizeof vc->config,
            .queues = 2 + 2 * n,
        };
        virtio_device_init(&vc->device, mem, owner);
}
