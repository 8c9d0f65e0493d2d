/* The device's side of split virtqueues; contract in queue.h. Sections are of virtio 1.2. */
#include "guest/dev/virtio/queue.h"

#include "hv/lib/errno.h"
#include "hv/lib/string.h"

/* 2.7.5 */
struct desc {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
};

_Static_assert(sizeof(struct desc) == 16, "a descriptor");

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

/* 2.7: borders and sizes of the parts; both rings end with the other side's event index. */
#define DESC_ALIGN     16u
#define AVAIL_ALIGN    2u
#define USED_ALIGN     4u
#define AVAIL_SIZE(n)  (6u + 2u * (n))
#define USED_SIZE(n)   (6u + 8u * (n))
#define AVAIL_RING     2u /* words before the ring */
#define USED_RING      2u
#define USED_WORDS     4u /* of an element */
#define USED_EVENT(n)  (AVAIL_RING + (n))
#define AVAIL_EVENT(n) (USED_RING + USED_WORDS * (n))
#define INDEX_WORD     1u
#define FLAGS_WORD     0u

static inline uint16_t load(const uint16_t *word)
{
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void store(uint16_t *word, uint16_t value)
{
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* A copy that the guest cannot change any more; the table may stand at any address. */
static inline struct desc load_desc(const uint8_t *table, unsigned index)
{
        struct desc d;

        __builtin_memcpy(&d, table + index * sizeof d, sizeof d);
        __asm__ volatile("" : : : "memory");
        return d;
}

void virtio_queue_reset(struct virtio_queue *q)
{
        q->enabled = q->broken = false;
        q->indirect = q->event_index = false;
        q->size = VIRTIO_QUEUE_SIZE_MAX;
        q->desc = q->avail = q->used = GPA(0);
        q->next_avail = q->next_used = q->published = 0;
}

static void *ring_at(const struct virtio_queue *q, gpa_t gpa, uint64_t align, uint64_t size)
{
        return is_aligned(gpa.v, align) ? gmem_ptr(q->mem, gpa, size) : NULL;
}

int virtio_queue_enable(struct virtio_queue *q)
{
        unsigned n = q->size;

        q->desc_at = ring_at(q, q->desc, DESC_ALIGN, n * sizeof(struct desc));
        q->avail_at = ring_at(q, q->avail, AVAIL_ALIGN, AVAIL_SIZE(n));
        q->used_at = ring_at(q, q->used, USED_ALIGN, USED_SIZE(n));
        if (n == 0 || n > VIRTIO_QUEUE_SIZE_MAX || (n & (n - 1)) || !q->desc_at || !q->avail_at ||
            !q->used_at) {
                q->broken = true;
                return -EINVAL;
        }
        q->enabled = true;
        return 0;
}

/* The memory of one descriptor, at the end of the list. None reaches the top of the address space:
 * what wraps is seen before that. */
static bool add_pieces(const struct virtio_queue *q, struct virtio_chain *c, const struct desc *d)
{
        bool write = d->flags & DESC_WRITE;
        gpa_t gpa = GPA(d->addr);
        uint64_t left = d->len;

        if (!left || (!write && c->writable))
                return false;
        *(write ? &c->writable_size : &c->readable_size) += left;
        while (left) {
                unsigned n = c->readable + c->writable;
                uint64_t room;
                uint8_t *at = gmem_piece(q->mem, gpa, write, &room);

                if (!at || n == VIRTIO_PIECES_MAX)
                        return false;
                room = room < left ? room : left;
                c->piece[n] = (struct virtio_piece){at, room};
                *(write ? &c->writable : &c->readable) += 1;
                gpa.v += room;
                left -= room;
        }
        return true;
}

/*
 * Follow a chain through a table of descriptors. It ends: each descriptor adds a piece at least,
 * and the pieces are bounded. top: this is the queue's own table.
 */
static bool follow(const struct virtio_queue *q, struct virtio_chain *c, const uint8_t *table,
                   unsigned entries, unsigned index, bool top)
{
        for (;;) {
                struct desc d;

                if (index >= entries)
                        return false;
                d = load_desc(table, index);
                if (d.flags & DESC_INDIRECT) {
                        entries = d.len / sizeof d;
                        table = gmem_ptr(q->mem, GPA(d.addr), d.len);
                        if (!top || !q->indirect || d.flags & DESC_NEXT || !table || !entries ||
                            d.len % sizeof d)
                                return false;
                        top = false;
                        index = 0;
                        continue;
                }
                if (!add_pieces(q, c, &d))
                        return false;
                if (!(d.flags & DESC_NEXT))
                        return true;
                index = d.next;
        }
}

bool virtio_queue_take(struct virtio_queue *q, struct virtio_chain *c)
{
        uint16_t waiting, head;

        if (!virtio_queue_works(q))
                return false;
        waiting = (uint16_t)(load(&q->avail_at[INDEX_WORD]) - q->next_avail);
        if (!waiting)
                return false;
        head = load(&q->avail_at[AVAIL_RING + (q->next_avail & (q->size - 1))]);
        c->head = head;
        c->readable = c->writable = 0;
        c->readable_size = c->writable_size = 0;
        if (waiting > q->size || !follow(q, c, q->desc_at, q->size, head, true)) {
                q->broken = true;
                return false;
        }
        q->next_avail++;
        return true;
}

void virtio_queue_put_back(struct virtio_queue *q, uint16_t chains)
{
        q->next_avail = (uint16_t)(q->next_avail - chains);
}

void virtio_queue_give(struct virtio_queue *q, uint16_t head, uint32_t written)
{
        uint32_t *element =
            (uint32_t *)(q->used_at + USED_RING) + 2 * (q->next_used & (q->size - 1));

        __atomic_store_n(&element[0], head, __ATOMIC_RELAXED);
        __atomic_store_n(&element[1], written, __ATOMIC_RELAXED);
        q->next_used++;
}

bool virtio_queue_publish(struct virtio_queue *q)
{
        uint16_t old = q->published, new = q->next_used;

        if (old == new)
                return false;
        store(&q->used_at[INDEX_WORD], new);
        q->published = new;
        /* What the driver wants is read behind the store, as it looks for news behind its own. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (!q->event_index)
                return !(load(&q->avail_at[FLAGS_WORD]) & AVAIL_NO_INTERRUPT);
        /* 2.7.10: whether the event lies in [old, new) */
        return (uint16_t)(new - load(&q->avail_at[USED_EVENT(q->size)]) - 1) <
               (uint16_t)(new - old);
}

bool virtio_queue_rest(struct virtio_queue *q)
{
        if (!virtio_queue_works(q))
                return true;
        if (q->event_index)
                store(&q->used_at[AVAIL_EVENT(q->size)], q->next_avail);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return load(&q->avail_at[INDEX_WORD]) == q->next_avail;
}

void virtio_queue_mute(struct virtio_queue *q)
{
        /* With the event index the flag means nothing, and the event is one that stays behind. */
        if (q->event_index)
                store(&q->used_at[AVAIL_EVENT(q->size)], (uint16_t)(q->next_avail - 1));
        else
                store(&q->used_at[FLAGS_WORD], USED_NO_NOTIFY);
}

/* Copy between a part of a chain, which begins with piece `first`, and one buffer. */
static uint64_t copy(const struct virtio_piece *piece, unsigned pieces, uint64_t offset, void *to,
                     const void *from, uint64_t len)
{
        uint64_t done = 0;

        for (unsigned i = 0; i < pieces && done < len; i++) {
                uint64_t n = piece[i].size;

                if (offset >= n) {
                        offset -= n;
                        continue;
                }
                n -= offset;
                n = n < len - done ? n : len - done;
                if (to)
                        memcpy((uint8_t *)to + done, piece[i].at + offset, n);
                else
                        memcpy(piece[i].at + offset, (const uint8_t *)from + done, n);
                done += n;
                offset = 0;
        }
        return done;
}

uint64_t virtio_chain_read(const struct virtio_chain *c, uint64_t offset, void *to, uint64_t len)
{
        return copy(c->piece, c->readable, offset, to, NULL, len);
}

uint64_t virtio_chain_write(const struct virtio_chain *c, uint64_t offset, const void *from,
                            uint64_t len)
{
        return copy(c->piece + c->readable, c->writable, offset, NULL, from, len);
}
