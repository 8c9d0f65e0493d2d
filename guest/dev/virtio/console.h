/*
 * A console device with ports (virtio 1.2, 5.3). Port 0 is a terminal, hvc0 in Linux; a port with a
 * name is a stream of bytes between a program in the guest, which Linux shows it as
 * /dev/virtio-ports/NAME, and whoever made the device. A driver that does not know of ports has
 * port 0 alone.
 *
 * A buffer is passed on whole, at the cost of one notification. Bytes go from the guest's memory to
 * the port's write, and from its read to the guest's memory; none is kept here.
 */
#pragma once

#include "guest/dev/virtio/device.h"

#define VIRTIO_CONSOLE_PORTS 2u

/* The other end of a port; without a write there is no such port, only its queues. Its functions
 * are called under the lock of a queue of the port. */
struct virtio_console_end {
        const char *name; /* NULL: a terminal */
        void *ctx;
        /* The guest has written n bytes, in its own memory, where they may still change. Returns
         * how many were taken; if that is not all, virtio_console_pull is to be called later. */
        uint64_t (*write)(void *ctx, const uint8_t *text, uint64_t n);
        /* Put what the guest is to read, up to size bytes. Returns how many; 0: nothing now, and
         * virtio_console_push is to be called when there is something. */
        uint64_t (*read)(void *ctx, uint8_t *to, uint64_t size);
        /* A program in the guest has opened the port, or closed it, or the device was reset. NULL:
         * nobody wants to know. */
        void (*opened)(void *ctx);
};

struct virtio_console_port {
        struct virtio_console_end end;
        uint64_t taken;   /* of the buffer at hand; under the lock of its transmission queue */
        unsigned to_tell; /* a bit a message; under the lock of the queue that they go by */
        bool open;        /* a program in the guest has it open; atomic */
};

/* The configuration space, 5.3.4. */
struct virtio_console_config {
        uint16_t cols, rows;
        uint32_t max_nr_ports;
};

struct virtio_console {
        struct virtio_device device; /* first: the model's functions get it */
        struct virtio_console_config config;
        struct virtio_console_port port[VIRTIO_CONSOLE_PORTS];
};

/* Make a device with up to n ports, from 1 to VIRTIO_CONSOLE_PORTS, whose other ends are copied
 * from end; mem and owner as virtio_device_init. */
void virtio_console_init(struct virtio_console *vc, const struct virtio_console_end *end,
                         unsigned n, const struct gmem *mem, const char *owner);

/* There is something to read at the port. From any CPU. */
void virtio_console_push(struct virtio_console *vc, unsigned port);

/* There is room for what was not taken. False: the bound of one call was reached, call again. From
 * any CPU. */
must_check bool virtio_console_pull(struct virtio_console *vc, unsigned port);

/* Whether a program in the guest has the port open; from any CPU. */
static inline bool virtio_console_is_open(const struct virtio_console *vc, unsigned port)
{
        return __atomic_load_n(&vc->port[port].open, __ATOMIC_ACQUIRE);
}
