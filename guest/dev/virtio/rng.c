/* The entropy device; contract in rng.h. */
#include "guest/dev/virtio/rng.h"

#define CHAINS_MAX 16u /* of one notification: RDSEED takes its time */
#define WORDS_MAX  8u  /* of a buffer */

/* What there is, at most what fits; never anything else in its place. Returns the bytes. */
static uint32_t fill(const struct virtio_rng *rng, const struct virtio_chain *c)
{
        uint64_t word[WORDS_MAX], size;
        unsigned n = 0;

        while (n < WORDS_MAX && n * sizeof *word < c->writable_size && rng->random(&word[n]))
                n++;
        size = n * sizeof *word;
        return (uint32_t)virtio_chain_write(c, 0, word, size);
}

static bool notify(struct virtio_device *d, unsigned n)
{
        const struct virtio_rng *rng = (const struct virtio_rng *)d;
        struct virtio_queue *q = &d->queue[n];
        struct virtio_chain c;

        for (unsigned i = 0; i < CHAINS_MAX; i++) {
                if (virtio_queue_take(q, &c))
                        virtio_queue_give(q, c.head, fill(rng, &c));
                else if (virtio_queue_rest(q))
                        return true;
        }
        return false;
}

static const struct virtio_model model = {
    .type = VIRTIO_TYPE_RNG,
    .class = 0x00,    /* before classes were defined, */
    .subclass = 0xff, /* none of those: there is none for it */
    .notify = notify,
};

void virtio_rng_init(struct virtio_rng *rng, virtio_rng_fn random, const struct gmem *mem,
                     const char *owner)
{
        *rng = (struct virtio_rng){.device = {.model = &model, .queues = 1}, .random = random};
        virtio_device_init(&rng->device, mem, owner);
}
