/*
 * An entropy device (virtio 1.2, 5.4): the CPU's random numbers for a guest that does not ask the
 * CPU itself, or wants them as /dev/hwrng. Each buffer gets 64 bytes at most: the driver asks
 * again.
 */
#pragma once

#include "guest/dev/virtio/device.h"

/* 64 random bits, or false: there are none just now. */
typedef bool (*virtio_rng_fn)(uint64_t *out);

struct virtio_rng {
        struct virtio_device device; /* first: the model's functions get it */
        virtio_rng_fn random;
};

/* mem and owner as virtio_device_init. */
void virtio_rng_init(struct virtio_rng *rng, virtio_rng_fn random, const struct gmem *mem,
                     const char *owner);
