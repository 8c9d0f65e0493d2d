/* What models and transports of virtio devices share; contract in device.h. */
#include "guest/dev/virtio/device.h"

#include "hv/lib/printk.h"

void virtio_device_init(struct virtio_device *d, const struct gmem *mem, const char *owner)
{
        d->owner = owner;
        for (unsigned n = 0; n < d->queues; n++) {
                struct virtio_queue *q = &d->queue[n];

                q->mem = mem;
                q->live = &d->live;
                virtio_queue_reset(q);
        }
}

void virtio_device_break(struct virtio_device *d)
{
        __atomic_fetch_or(&d->status, VIRTIO_STATUS_NEEDS_RESET, __ATOMIC_SEQ_CST);
        __atomic_store_n(&d->live, false, __ATOMIC_SEQ_CST);
        printk(LOG_DEBUG, "vm %s: its virtio device of type %u is broken and needs a reset",
               d->owner, d->model->type);
        d->interrupt(d, -1);
}

void virtio_device_signal(struct virtio_device *d, unsigned n)
{
        struct virtio_queue *q = &d->queue[n];

        if (virtio_queue_publish(q))
                d->interrupt(d, (int)n);
        if (q->broken && d->live)
                virtio_device_break(d);
}

void virtio_device_config_changed(struct virtio_device *d)
{
        __atomic_fetch_add(&d->generation, 1, __ATOMIC_SEQ_CST);
        d->interrupt(d, -1);
}
