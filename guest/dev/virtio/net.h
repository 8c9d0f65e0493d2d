/*
 * A network device (virtio 1.2, 5.1) at a port of a switch: one pair of queues, checksum and
 * segmentation offloads, mergeable buffers. A frame is copied once, from the sender's ring to the
 * receiver's, by the CPU that sends. Between two VMs that have agreed to it a frame has up to 64
 * KiB, and no checksum: it never was on a wire.
 *
 * A frame that the receiver has no room for, or has not agreed to, is dropped and counted at its
 * port; so is one that is malformed or beyond the rate, at the sender's. Nobody waits for anybody.
 */
#pragma once

#include "guest/dev/switch.h"
#include "guest/dev/virtio/device.h"

/* The configuration space, 5.1.4; what the driver sees ends behind the status. */
struct virtio_net_config {
        uint8_t mac[ETH_ALEN];
        uint16_t status;
};

/* Of one direction, under its queue's lock. */
struct virtio_net_count {
        uint64_t frames, bytes, dropped;
};

/* Bytes a second, as long as bytes are there; under the lock of the queue that is sent from. */
struct virtio_net_rate {
        uint64_t rate; /* 0: no limit */
        uint64_t bytes, since;
        uint64_t tsc_khz;
};

struct virtio_net {
        struct virtio_device device; /* first: the model's functions get it */
        struct virtio_net_config config;
        struct net_switch *sw;
        unsigned port;
        struct virtio_net_rate limit;
        struct virtio_net_count received, sent;
        struct virtio_chain in, out; /* the one at hand, of each queue */
};

/*
 * Make a device with that address at a port of sw. rate: bytes a second that it may send, 0: any.
 * mem and owner as virtio_device_init. -ENOSPC: the switch has no free port.
 */
must_check int virtio_net_init(struct virtio_net *net, struct net_switch *sw,
                               const uint8_t mac[ETH_ALEN], uint64_t rate, uint64_t tsc_khz,
                               const struct gmem *mem, const char *owner);

/* Leave the switch: nobody sends anything to the device from now on. */
void virtio_net_leave(struct virtio_net *net);
