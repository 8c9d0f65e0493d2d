/* Virtio over PCI: capabilities, registers and status; contract in pci.h. Sections are of virtio
 * 1.2. */
#include "guest/dev/virtio/pci.h"

#include "hv/lib/string.h"

#define VENDOR          0x1af4u
#define DEVICE(type)    (0x1040u + (type))
#define SUBSYSTEM(type) (0x40u + (type))
#define REVISION        1u

#define BAR_NOTIFY    0u
#define BAR_REGISTERS 1u
#define NOTIFY_SIZE   4u /* of which the first two are used */

/* Where what stands in BAR 1 */
#define COMMON         0x000u
#define ISR            0x040u
#define DEVICE_CONFIG  0x100u
#define CONFIG_MAX     0x100u
#define TABLE          0x1000u
#define PENDING        0x1800u
#define REGISTERS_SIZE 0x2000u

/* Where each capability stands in the configuration space, in their order */
#define CAP_MSIX   0x40u
#define CAP_COMMON 0x4cu
#define CAP_NOTIFY 0x5cu
#define CAP_ISR    0x70u
#define CAP_DEVICE 0x80u
#define CAP_WINDOW 0x90u

/* PCI Local Bus 3.0, 6.8.2.3 */
#define MSIX_ID      0x11u
#define MSIX_CONTROL (CAP_MSIX + 2)
#define MSIX_ENABLE  (1u << 15)
#define MSIX_MASK    (1u << 14)

/* 4.1.4: a capability of virtio */
#define VENDOR_ID     0x09u
#define CAP_BAR       4u
#define CAP_OFFSET    8u
#define CAP_LENGTH    12u
#define CAP_DATA      16u
#define TYPE_COMMON   1u
#define TYPE_NOTIFY   2u
#define TYPE_ISR      3u
#define TYPE_DEVICE   4u
#define TYPE_WINDOW   5u
#define CAP_SIZE      16u
#define CAP_SIZE_LONG 20u /* with the multiplier of notifications, or the window's data */

#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

#define FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

/* What the driver may set in the status; the device alone sets NEEDS_RESET. */
#define STATUS_DRIVERS (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED)

/* 4.1.4.3, as it stands at COMMON */
struct common {
        uint32_t device_feature_select, device_feature;
        uint32_t driver_feature_select, driver_feature;
        uint16_t config_vector, queues;
        uint8_t status, generation;
        uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
        uint64_t queue_desc, queue_driver, queue_device;
};

_Static_assert(sizeof(struct common) == 56, "the common configuration");
_Static_assert(VIRTIO_QUEUES_MAX < MSIX_VECTORS_MAX, "a vector a queue and one more");

static void interrupt(struct virtio_device *d, int n)
{
        struct virtio_pci *p = d->transport;
        const uint16_t *vector = n < 0 ? &p->config_vector : &p->queue_vector[n];

        if (!__atomic_load_n(&p->msix.enabled, __ATOMIC_RELAXED))
                __atomic_fetch_or(&p->isr, n < 0 ? ISR_CONFIG : ISR_QUEUE, __ATOMIC_SEQ_CST);
        msix_raise(&p->msix, __atomic_load_n(vector, __ATOMIC_RELAXED));
}

/* The device may work: the driver has said so, and the function may reach memory. A break that
 * comes meanwhile, from another CPU, is not undone. */
static void update_live(struct virtio_pci *p)
{
        struct virtio_device *d = p->device;
        bool ok = d->status & VIRTIO_STATUS_DRIVER_OK &&
                  pci_config_get(&p->function, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;

        __atomic_store_n(&d->live, ok, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&d->status, __ATOMIC_SEQ_CST) & VIRTIO_STATUS_NEEDS_RESET)
                __atomic_store_n(&d->live, false, __ATOMIC_SEQ_CST);
}

/* 2.4: queues first, so that no CPU works for the device when the model is reset. */
static void reset(struct virtio_pci *p)
{
        struct virtio_device *d = p->device;

        __atomic_store_n(&d->live, false, __ATOMIC_SEQ_CST);
        for (unsigned n = 0; n < d->queues; n++) {
                spin_lock(&d->queue[n].lock);
                virtio_queue_reset(&d->queue[n]);
                spin_unlock(&d->queue[n].lock);
                p->queue_vector[n] = MSIX_NO_VECTOR;
        }
        p->config_vector = MSIX_NO_VECTOR;
        p->device_feature_select = p->driver_feature_select = 0;
        p->queue_select = 0;
        p->isr = 0;
        d->features = 0;
        if (d->model->reset)
                d->model->reset(d);
        __atomic_store_n(&d->status, 0, __ATOMIC_SEQ_CST);
}

/* 3.1.1: features stand before the queues are set up, the queues before the device works. */
static void write_status(struct virtio_pci *p, uint8_t value)
{
        struct virtio_device *d = p->device;
        uint8_t set = value & STATUS_DRIVERS;

        if (!value) {
                reset(p);
                return;
        }
        if (value & VIRTIO_STATUS_FEATURES_OK && d->features & VIRTIO_F_VERSION_1 &&
            !(d->features & ~(d->offered | FEATURES)))
                set |= VIRTIO_STATUS_FEATURES_OK;
        if (value & VIRTIO_STATUS_DRIVER_OK && d->status & VIRTIO_STATUS_FEATURES_OK)
                set |= VIRTIO_STATUS_DRIVER_OK;
        __atomic_fetch_or(&d->status, set, __ATOMIC_SEQ_CST);
        update_live(p);
}

static struct virtio_queue *selected(struct virtio_pci *p)
{
        struct virtio_device *d = p->device;

        return p->queue_select < d->queues ? &d->queue[p->queue_select] : NULL;
}

static struct common common_of(struct virtio_pci *p)
{
        const struct virtio_device *d = p->device;
        const struct virtio_queue *q = selected(p);
        uint64_t features = d->offered | FEATURES;
        struct common c = {
            .device_feature_select = p->device_feature_select,
            .driver_feature_select = p->driver_feature_select,
            .config_vector = p->config_vector,
            .queues = (uint16_t)d->queues,
            .status = __atomic_load_n(&d->status, __ATOMIC_SEQ_CST),
            .generation = __atomic_load_n(&d->generation, __ATOMIC_SEQ_CST),
            .queue_select = p->queue_select,
        };

        if (p->device_feature_select < 2)
                c.device_feature = (uint32_t)(features >> 32 * p->device_feature_select);
        if (p->driver_feature_select < 2)
                c.driver_feature = (uint32_t)(d->features >> 32 * p->driver_feature_select);
        if (!q)
                return c;
        c.queue_size = q->size;
        c.queue_vector = p->queue_vector[p->queue_select];
        c.queue_enable = q->enabled;
        c.queue_desc = q->desc.v;
        c.queue_driver = q->avail.v;
        c.queue_device = q->used.v;
        return c;
}

static void write_features(struct virtio_pci *p, uint32_t value)
{
        unsigned shift = 32 * p->driver_feature_select;
        uint64_t *features = &p->device->features;

        if (p->driver_feature_select < 2 && !(p->device->status & VIRTIO_STATUS_FEATURES_OK))
                *features = (*features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static uint16_t checked_vector(const struct virtio_pci *p, uint16_t vector)
{
        return vector < p->msix.vectors ? vector : MSIX_NO_VECTOR;
}

/* Rings and size of a queue, while it is not enabled; and its enabling, once the features stand. */
static void write_queue(struct virtio_pci *p, struct virtio_queue *q, const struct common *c)
{
        struct virtio_device *d = p->device;
        int err = 0;

        if (q->enabled)
                return;
        spin_lock(&q->lock);
        if (c->queue_size && c->queue_size <= VIRTIO_QUEUE_SIZE_MAX)
                q->size = c->queue_size;
        q->desc = GPA(c->queue_desc);
        q->avail = GPA(c->queue_driver);
        q->used = GPA(c->queue_device);
        if (c->queue_enable == 1 && d->status & VIRTIO_STATUS_FEATURES_OK) {
                q->indirect = virtio_has(d, VIRTIO_F_INDIRECT_DESC);
                q->event_index = virtio_has(d, VIRTIO_F_EVENT_IDX);
                err = virtio_queue_enable(q);
        }
        spin_unlock(&q->lock);
        if (err)
                virtio_device_break(d);
}

/* The field that begins at offset has got its new value in c. */
static void write_common(struct virtio_pci *p, unsigned offset, const struct common *c)
{
        struct virtio_queue *q = selected(p);

        switch (offset) {
        case offsetof(struct common, device_feature_select):
                p->device_feature_select = c->device_feature_select;
                break;
        case offsetof(struct common, driver_feature_select):
                p->driver_feature_select = c->driver_feature_select;
                break;
        case offsetof(struct common, driver_feature):
                write_features(p, c->driver_feature);
                break;
        case offsetof(struct common, config_vector):
                p->config_vector = checked_vector(p, c->config_vector);
                break;
        case offsetof(struct common, status):
                write_status(p, c->status);
                break;
        case offsetof(struct common, queue_select):
                p->queue_select = c->queue_select;
                break;
        case offsetof(struct common, queue_vector):
                if (q)
                        p->queue_vector[p->queue_select] = checked_vector(p, c->queue_vector);
                break;
        default:
                if (q && offset >= offsetof(struct common, queue_size))
                        write_queue(p, q, c);
                break;
        }
}

static uint64_t read_bytes(const void *from, uint64_t from_size, uint64_t offset, unsigned size)
{
        uint64_t value = 0;

        for (unsigned i = 0; i < size && offset + i < from_size; i++)
                value |= (uint64_t)((const uint8_t *)from)[offset + i] << 8 * i;
        return value;
}

static uint64_t read_registers(void *ctx, uint64_t offset, unsigned size)
{
        struct virtio_pci *p = ctx;

        if (offset >= PENDING)
                return msix_pending_read(&p->msix, (unsigned)(offset - PENDING), size);
        if (offset >= TABLE)
                return msix_table_read(&p->msix, (unsigned)(offset - TABLE), size);
        if (offset >= DEVICE_CONFIG)
                return read_bytes(p->device->config, p->device->config_size, offset - DEVICE_CONFIG,
                                  size);
        if (offset == ISR)
                return __atomic_exchange_n(&p->isr, 0, __ATOMIC_SEQ_CST);
        if (offset < sizeof(struct common)) {
                const struct common c = common_of(p);

                return read_bytes(&c, sizeof c, offset, size);
        }
        return 0;
}

static void write_registers(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        struct virtio_pci *p = ctx;
        struct virtio_device *d = p->device;

        if (offset >= TABLE && offset < PENDING) {
                msix_table_write(&p->msix, (unsigned)(offset - TABLE), size, value);
        } else if (offset >= DEVICE_CONFIG) {
                offset -= DEVICE_CONFIG;
                if (d->model->config_write && size <= 4 && offset + size <= d->config_size)
                        d->model->config_write(d, (unsigned)offset, size, (uint32_t)value);
        } else if (offset + size <= sizeof(struct common)) {
                struct common c = common_of(p);

                memcpy((uint8_t *)&c + offset, &value, size);
                write_common(p, (unsigned)offset, &c);
        }
}

/* Without vm->devices, bus.h. */
static bool serve(void *ctx, unsigned n)
{
        struct virtio_pci *p = ctx;
        struct virtio_device *d = p->device;
        bool done = true;

        spin_lock(&d->queue[n].lock);
        if (virtio_queue_works(&d->queue[n])) {
                done = d->model->notify(d, n);
                virtio_device_signal(d, n);
        }
        spin_unlock(&d->queue[n].lock);
        return done;
}

static uint64_t read_notify(void *ctx, uint64_t offset, unsigned size)
{
        (void)ctx;
        (void)offset;
        (void)size;
        return UINT64_MAX;
}

static void write_notify(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        struct virtio_pci *p = ctx;

        if (offset == 0 && size >= 2 && value < p->device->queues)
                p->function.host->bus->later = (struct bus_later){serve, p, (unsigned)value};
}

/* 4.1.4.9: a BAR by way of the configuration space. The handler to call, or NULL: what the driver
 * has set is not allowed. */
static const struct bus_handler *window(const struct pci_function *f, uint32_t *offset,
                                        unsigned *size)
{
        uint32_t bar = pci_config_get(f, CAP_WINDOW + CAP_BAR, 1);

        *offset = pci_config_get(f, CAP_WINDOW + CAP_OFFSET, 4);
        *size = pci_config_get(f, CAP_WINDOW + CAP_LENGTH, 4);
        if (bar >= PCI_BARS || (*size != 1 && *size != 2 && *size != 4) || *offset % *size ||
            *offset >= f->bar[bar].size)
                return NULL;
        return &f->bar[bar].handler;
}

static void config_read(struct pci_function *f, unsigned offset, unsigned size)
{
        const struct bus_handler *h;
        uint32_t at;
        unsigned width;

        (void)size;
        if (offset < CAP_WINDOW + CAP_DATA || offset >= CAP_WINDOW + CAP_SIZE_LONG)
                return;
        h = window(f, &at, &width);
        if (h)
                pci_config_set(f, CAP_WINDOW + CAP_DATA, width,
                               (uint32_t)h->read(h->ctx, at, width));
}

static void config_written(struct pci_function *f, unsigned offset, unsigned size)
{
        struct virtio_pci *p = (struct virtio_pci *)f;
        uint32_t control = pci_config_get(f, MSIX_CONTROL, 2), at;
        bool master = pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
        const struct bus_handler *h;
        unsigned width;

        (void)size;
        if (offset < PCI_COMMAND + 2 || (offset >= CAP_MSIX && offset < CAP_COMMON)) {
                msix_control(&p->msix, control & MSIX_ENABLE, control & MSIX_MASK, !master);
                update_live(p);
        }
        if (offset < CAP_WINDOW + CAP_DATA || offset >= CAP_WINDOW + CAP_SIZE_LONG)
                return;
        h = window(f, &at, &width);
        if (h)
                h->write(h->ctx, at, width, pci_config_get(f, CAP_WINDOW + CAP_DATA, width));
}

/* A capability at its place, behind which the one at next follows. */
static void add_capability(struct pci_function *f, unsigned at, unsigned next, unsigned type,
                           uint32_t bar, uint32_t offset, uint32_t length)
{
        pci_config_set(f, at, 1, VENDOR_ID);
        pci_config_set(f, at + 1, 1, next);
        pci_config_set(f, at + 2, 1,
                       type == TYPE_NOTIFY || type == TYPE_WINDOW ? CAP_SIZE_LONG : CAP_SIZE);
        pci_config_set(f, at + 3, 1, type);
        pci_config_set(f, at + CAP_BAR, 1, bar);
        pci_config_set(f, at + CAP_OFFSET, 4, offset);
        pci_config_set(f, at + CAP_LENGTH, 4, length);
}

static void add_capabilities(struct pci_function *f, unsigned vectors)
{
        pci_config_set(f, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
        pci_config_set(f, PCI_CAPABILITIES, 1, CAP_MSIX);
        pci_config_set(f, CAP_MSIX, 1, MSIX_ID);
        pci_config_set(f, CAP_MSIX + 1, 1, CAP_COMMON);
        pci_config_set(f, MSIX_CONTROL, 2, vectors - 1);
        pci_config_open(f, MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK);
        pci_config_set(f, CAP_MSIX + 4, 4, TABLE | BAR_REGISTERS);
        pci_config_set(f, CAP_MSIX + 8, 4, PENDING | BAR_REGISTERS);
        add_capability(f, CAP_COMMON, CAP_NOTIFY, TYPE_COMMON, BAR_REGISTERS, COMMON,
                       sizeof(struct common));
        add_capability(f, CAP_NOTIFY, CAP_ISR, TYPE_NOTIFY, BAR_NOTIFY, 0, NOTIFY_SIZE);
        add_capability(f, CAP_ISR, CAP_DEVICE, TYPE_ISR, BAR_REGISTERS, ISR, 1);
        add_capability(f, CAP_DEVICE, CAP_WINDOW, TYPE_DEVICE, BAR_REGISTERS, DEVICE_CONFIG,
                       CONFIG_MAX);
        add_capability(f, CAP_WINDOW, 0, TYPE_WINDOW, 0, 0, 0);
        pci_config_open(f, CAP_WINDOW + CAP_BAR, 1, 0xff);
        pci_config_open(f, CAP_WINDOW + CAP_OFFSET, 4, UINT32_MAX);
        pci_config_open(f, CAP_WINDOW + CAP_LENGTH, 4, UINT32_MAX);
        pci_config_open(f, CAP_WINDOW + CAP_DATA, 4, UINT32_MAX);
}

void virtio_pci_init(struct virtio_pci *p, struct virtio_device *d, const struct msix_ops *send)
{
        struct pci_function *f = &p->function;

        *p = (struct virtio_pci){.device = d};
        d->transport = p;
        d->interrupt = interrupt;
        msix_init(&p->msix, d->queues + 1, send);
        msix_control(&p->msix, false, false, true);
        f->read = config_read;
        f->written = config_written;
        f->bar[BAR_NOTIFY] = (struct pci_bar){
            .size = NOTIFY_SIZE, .ports = true, .handler = {p, read_notify, write_notify, 2}};
        f->bar[BAR_REGISTERS] = (struct pci_bar){
            .size = REGISTERS_SIZE, .handler = {p, read_registers, write_registers, 8}};
        pci_config_set(f, PCI_VENDOR, 2, VENDOR);
        pci_config_set(f, PCI_DEVICE, 2, DEVICE(d->model->type));
        pci_config_set(f, PCI_REVISION, 1, REVISION);
        pci_config_set(f, PCI_SUBCLASS, 1, d->model->subclass);
        pci_config_set(f, PCI_CLASS, 1, d->model->class);
        pci_config_set(f, PCI_SUBSYSTEM_VENDOR, 2, VENDOR);
        pci_config_set(f, PCI_SUBSYSTEM, 2, SUBSYSTEM(d->model->type));
        add_capabilities(f, d->queues + 1);
        reset(p);
}
