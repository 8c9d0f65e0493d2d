/*
 * A virtqueue as a device sees it: split rings with indirect descriptors and event index (virtio
 * 1.2, 2.7). The rings are in the guest's memory and the guest may write anything there at any
 * time: each word is read once, checked, and used as it was read.
 *
 * A chain of descriptors becomes a list of pieces, which are checked pointers into the VM's memory.
 * What breaks a rule (an index out of bounds, a jump of the available index, memory that is not the
 * VM's or not to be written, an empty buffer, a chain of more pieces than fit, which a loop is too)
 * makes the queue broken: it gives nothing any more until it is set up anew.
 *
 * Whoever calls a function here holds the queue's lock. Nothing here touches the machine.
 */
#pragma once

#include "guest/mem/gmem.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/types.h"

#define VIRTIO_QUEUE_SIZE_MAX 256u
/* A buffer that is contiguous for the guest may lie in several pieces, at each 2 MiB. */
#define VIRTIO_PIECES_MAX 128u

struct virtio_piece {
        uint8_t *at;
        uint64_t size; /* bytes, at least 1 */
};

/*
 * A buffer of the driver: what the device reads comes first, what it writes behind that. Pieces
 * that the device reads may be memory that must not be written. 2 KiB: not for the stack of a deep
 * call.
 */
struct virtio_chain {
        uint16_t head;                         /* names it for virtio_queue_give */
        unsigned readable, writable;           /* pieces */
        uint64_t readable_size, writable_size; /* bytes */
        struct virtio_piece piece[VIRTIO_PIECES_MAX];
};

struct virtio_queue {
        struct spinlock lock; /* of everything here */
        const struct gmem *mem;
        const bool *live; /* the device's; while false the queue gives nothing */
        bool enabled, broken;
        bool indirect, event_index; /* negotiated */
        uint16_t size;              /* entries, a power of two */
        gpa_t desc, avail, used;    /* as the driver has set them */
        /* The same in the hypervisor's memory, while enabled. */
        const uint8_t *desc_at;
        const uint16_t *avail_at;
        uint16_t *used_at;
        uint16_t next_avail; /* index of the next chain to take */
        uint16_t next_used;  /* index of the next element to give */
        uint16_t published;  /* the used index that the driver sees */
};

/* State after reset: not enabled, of the largest size. mem and live are kept. */
void virtio_queue_reset(struct virtio_queue *q);

/*
 * The driver enables the queue: look up its rings. -EINVAL: the size is no power of two or too
 * large, a ring is not aligned, or not wholly in memory that can be written, in one piece. Then it
 * is broken. The pointers stand until the reset: a VM's memory stays where it is as long as it
 * runs.
 */
must_check int virtio_queue_enable(struct virtio_queue *q);

/* Whether there may be something to take, now or later. Also without the lock, for a guess. */
static inline bool virtio_queue_works(const struct virtio_queue *q)
{
        return q->enabled && !q->broken && __atomic_load_n(q->live, __ATOMIC_ACQUIRE);
}

/*
 * Take the next chain. False: there is none, or the queue is not enabled, not live or broken; c is
 * undefined then. A chain that is taken is given back, once, or put back.
 */
must_check bool virtio_queue_take(struct virtio_queue *q, struct virtio_chain *c);

/* Put back the latest chains taken, none of which was given: the next ones taken are the same. */
void virtio_queue_put_back(struct virtio_queue *q, uint16_t chains);

/*
 * Give a chain back with the number of bytes the device has written from the start of its writable
 * part. The driver sees it after virtio_queue_publish, together with all that were given before.
 */
void virtio_queue_give(struct virtio_queue *q, uint16_t head, uint32_t written);

/* Have the driver see what was given. Whether it wants an interrupt for that. */
must_check bool virtio_queue_publish(struct virtio_queue *q);

/*
 * Nothing was left to take: the driver is to notify when it has added something. False: it has done
 * so meanwhile, take again. A queue that does not work rests.
 */
must_check bool virtio_queue_rest(struct virtio_queue *q);

/* The driver need not notify when it adds something: the device looks by itself. */
void virtio_queue_mute(struct virtio_queue *q);

/*
 * Copy len bytes from offset of the readable part, or to offset of the writable part. Returns the
 * bytes copied: fewer than len where the part ends.
 */
uint64_t virtio_chain_read(const struct virtio_chain *c, uint64_t offset, void *to, uint64_t len);
uint64_t virtio_chain_write(const struct virtio_chain *c, uint64_t offset, const void *from,
                            uint64_t len);
