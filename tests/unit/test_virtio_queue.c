/* Tests of virtqueues: chains as a driver makes them, and as an attacker does; both suppressions.
 */
#include <string.h>

#include "guest/dev/virtio/queue.h"
#include "hv/lib/errno.h"
#include "tests/unit/unit.h"
#include "tests/unit/virtio_driver.h"

#define NEXT     1u
#define WRITE    2u
#define INDIRECT 4u

/* Memory of the guest: two neighbours that are none in the hypervisor's, and one to be read only.
 */
#define FIRST   0x10000u
#define SECOND  0x20000u
#define FIXED   0x30000u
#define SIZE    0x10000u
#define RING    FIRST
#define TABLE   (FIRST + 0x4000u)
#define DATA    (FIRST + 0x8000u)
#define OUTSIDE 0x40000u
#define ENTRIES 8u

struct world {
        uint8_t *first, *second, *fixed;
        struct gmem mem;
        struct virtio_queue q;
        struct driver_ring ring;
        struct virtio_chain c;
        bool live;
};

static void enable(struct world *w, unsigned entries)
{
        driver_ring_init(&w->ring, w->first + (RING - FIRST), RING, entries);
        virtio_queue_reset(&w->q);
        w->q.size = (uint16_t)entries;
        w->q.desc = GPA(w->ring.gpa);
        w->q.avail = GPA(driver_ring_avail(&w->ring));
        w->q.used = GPA(driver_ring_used(&w->ring));
        CHECK_EQ(virtio_queue_enable(&w->q), 0);
}

static void begin(struct world *w)
{
        memset(w, 0, sizeof *w);
        /* blocks of just the size, so that ASan sees each access outside */
        w->first = malloc(SIZE);
        w->second = malloc(SIZE);
        w->fixed = malloc(SIZE);
        gmem_init(&w->mem, NULL);
        CHECK_EQ(gmem_add(&w->mem, GPA(FIRST), SIZE, w->first), 0);
        CHECK_EQ(gmem_add(&w->mem, GPA(SECOND), SIZE, w->second), 0);
        CHECK_EQ(gmem_add_read_only(&w->mem, GPA(FIXED), SIZE, w->fixed), 0);
        w->live = true;
        w->q.mem = &w->mem;
        w->q.live = &w->live;
        enable(w, ENTRIES);
}

static void end(struct world *w)
{
        free(w->first);
        free(w->second);
        free(w->fixed);
}

static void test_chain(void)
{
        const struct driver_buffer buffer[] = {{DATA, 16, false},
                                               {FIXED + 8, 24, false},
                                               {DATA + 0x100, 512, true},
                                               {SECOND, 1, true}};
        uint32_t head, size;
        struct world w;

        begin(&w);
        CHECK(!virtio_queue_take(&w.q, &w.c));
        driver_add(&w.ring, buffer, 4);
        CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK_EQ(w.c.readable, 2);
        CHECK_EQ(w.c.writable, 2);
        CHECK_EQ(w.c.readable_size, 40);
        CHECK_EQ(w.c.writable_size, 513);
        CHECK(w.c.piece[0].at == w.first + (DATA - FIRST));
        CHECK(w.c.piece[1].at == w.fixed + 8);
        CHECK_EQ(w.c.piece[2].size, 512);
        CHECK(w.c.piece[3].at == w.second);
        CHECK(!virtio_queue_take(&w.q, &w.c));
        virtio_queue_give(&w.q, w.c.head, 77);
        CHECK(!driver_take_used(&w.ring, &head, &size)); /* not yet published */
        CHECK(virtio_queue_publish(&w.q));
        CHECK(driver_take_used(&w.ring, &head, &size));
        CHECK_EQ(head, 0);
        CHECK_EQ(size, 77);
        CHECK(!virtio_queue_publish(&w.q)); /* nothing new */
        end(&w);
}

/* What is contiguous for the guest only becomes two pieces. */
static void test_border(void)
{
        const struct driver_buffer buffer[] = {{SECOND - 100, 300, true}};
        uint8_t text[300], back[300];
        struct world w;

        begin(&w);
        for (unsigned i = 0; i < sizeof text; i++)
                text[i] = (uint8_t)i;
        driver_add(&w.ring, buffer, 1);
        CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK_EQ(w.c.writable, 2);
        CHECK_EQ(w.c.piece[0].size, 100);
        CHECK_EQ(w.c.piece[1].size, 200);
        CHECK(w.c.piece[1].at == w.second);
        CHECK_EQ(virtio_chain_write(&w.c, 0, text, sizeof text), sizeof text);
        CHECK_EQ(gmem_read(&w.mem, GPA(SECOND - 100), back, sizeof back), 0);
        CHECK(!memcmp(text, back, sizeof text));
        CHECK_EQ(virtio_chain_write(&w.c, 250, text, sizeof text), 50);
        CHECK_EQ(virtio_chain_write(&w.c, 300, text, 1), 0);
        CHECK_EQ(virtio_chain_read(&w.c, 0, back, 1), 0); /* it has no readable part */
        end(&w);
}

static void test_indirect(void)
{
        struct world w;

        begin(&w);
        w.q.indirect = true;
        /* behind a plain one; the table stands at an odd address and is out of order */
        driver_desc(w.ring.at, 0, DATA, 8, NEXT, 3);
        driver_desc(w.ring.at, 3, TABLE + 1, 48, INDIRECT | WRITE, 0);
        driver_desc(w.first + (TABLE + 1 - FIRST), 0, DATA + 8, 8, NEXT, 2);
        driver_desc(w.first + (TABLE + 1 - FIRST), 2, DATA + 64, 32, WRITE | NEXT, 1);
        driver_desc(w.first + (TABLE + 1 - FIRST), 1, SECOND, 32, WRITE, 0);
        driver_make_available(&w.ring, 0);
        CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK_EQ(w.c.readable_size, 16);
        CHECK_EQ(w.c.writable_size, 64);
        CHECK(w.c.piece[3].at == w.second);
        end(&w);
}

/* A descriptor table, what is made available, and whether indirect descriptors were agreed on. */
struct attack {
        const char *what;
        struct {
                uint64_t addr;
                uint32_t size;
                uint16_t flags, next;
        } desc[3], table[2];
        uint16_t head;
        bool indirect;
};

static const struct attack attacks[] = {
    {"a head beyond the queue", .head = ENTRIES},
    {"the largest head", .head = 0xffff},
    {"a next beyond the queue", .desc = {{DATA, 8, NEXT, ENTRIES}}},
    {"a loop of one", .desc = {{DATA, 8, NEXT, 0}}},
    {"a loop of two", .desc = {{DATA, 8, NEXT, 1}, {DATA, 8, NEXT, 0}}},
    {"a loop behind", .desc = {{DATA, 8, NEXT, 1}, {DATA, 8, NEXT, 2}, {DATA, 8, NEXT, 1}}},
    {"an empty buffer", .desc = {{DATA, 0, 0, 0}}},
    {"an empty buffer within", .desc = {{DATA, 8, NEXT, 1}, {DATA, 0, NEXT, 2}, {DATA, 8, 0, 0}}},
    {"no memory", .desc = {{OUTSIDE, 8, 0, 0}}},
    {"no memory below", .desc = {{FIRST - 1, 8, 0, 0}}},
    {"the end of memory", .desc = {{OUTSIDE - 8, 9, 0, 0}}},
    {"the end of memory, to be written", .desc = {{FIXED - 8, 9, WRITE, 0}}},
    {"an address that wraps", .desc = {{UINT64_MAX - 7, 16, 0, 0}}},
    {"the top of the space", .desc = {{UINT64_MAX, 1, WRITE, 0}}},
    {"the largest size", .desc = {{DATA, UINT32_MAX, WRITE, 0}}},
    {"memory that is read-only", .desc = {{FIXED, 8, WRITE, 0}}},
    {"readable behind writable", .desc = {{DATA, 8, WRITE | NEXT, 1}, {DATA, 8, 0, 0}}},
    {"indirect, not agreed on", .desc = {{TABLE, 16, INDIRECT, 0}}, .table = {{DATA, 8, 0, 0}}},
    {"indirect with a next", .desc = {{TABLE, 16, INDIRECT | NEXT, 1}, {DATA, 8, 0, 0}},
     .table = {{DATA, 8, 0, 0}}, .indirect = true},
    {"indirect in indirect", .desc = {{TABLE, 32, INDIRECT, 0}},
     .table = {{TABLE + 16, 16, INDIRECT, 0}, {DATA, 8, 0, 0}}, .indirect = true},
    {"an empty table", .desc = {{TABLE, 0, INDIRECT, 0}}, .indirect = true},
    {"part of an entry", .desc = {{TABLE, 24, INDIRECT, 0}}, .table = {{DATA, 8, 0, 0}},
     .indirect = true},
    {"less than an entry", .desc = {{TABLE, 8, INDIRECT, 0}}, .table = {{DATA, 8, 0, 0}},
     .indirect = true},
    {"a table outside", .desc = {{OUTSIDE - 16, 32, INDIRECT, 0}}, .indirect = true},
    {"a huge table", .desc = {{TABLE, 0xfffffff0, INDIRECT, 0}}, .indirect = true},
    {"a next beyond the table", .desc = {{TABLE, 32, INDIRECT, 0}}, .table = {{DATA, 8, NEXT, 2}},
     .indirect = true},
    {"a loop in the table", .desc = {{TABLE, 32, INDIRECT, 0}},
     .table = {{DATA, 8, NEXT, 1}, {DATA, 8, NEXT, 0}}, .indirect = true},
};

static void attack(struct world *w, const struct attack *a)
{
        const struct driver_buffer good = {DATA, 8, true};

        enable(w, ENTRIES);
        w->q.indirect = a->indirect;
        for (unsigned i = 0; i < 3; i++)
                driver_desc(w->ring.at, i, a->desc[i].addr, a->desc[i].size, a->desc[i].flags,
                            a->desc[i].next);
        for (unsigned i = 0; i < 2; i++)
                driver_desc(w->first + (TABLE - FIRST), i, a->table[i].addr, a->table[i].size,
                            a->table[i].flags, a->table[i].next);
        driver_make_available(&w->ring, a->head);
        if (virtio_queue_take(&w->q, &w->c) || !w->q.broken) {
                printf("not seen: %s\n", a->what);
                CHECK(false);
        }
        /* nothing more is taken, and nobody waits for it */
        w->ring.next_desc = 4;
        driver_add(&w->ring, &good, 1);
        CHECK(!virtio_queue_take(&w->q, &w->c));
        CHECK(virtio_queue_rest(&w->q));
}

static void test_attacks(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        struct world w;

        begin(&w);
        for (unsigned i = 0; i < sizeof attacks / sizeof attacks[0]; i++)
                attack(&w, &attacks[i]);
        enable(&w, ENTRIES); /* a reset mends it */
        driver_add(&w.ring, &good, 1);
        CHECK(virtio_queue_take(&w.q, &w.c));
        end(&w);
}

static void test_index_jumps(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        struct world w;

        begin(&w);
        for (unsigned n = 0; n < ENTRIES; n++) /* as many as there are is no jump */
                driver_add(&w.ring, &good, 1);
        for (unsigned n = 0; n < ENTRIES; n++)
                CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK(!w.q.broken);
        for (unsigned jump = ENTRIES + 1; jump < 0x10000; jump += 97) {
                enable(&w, ENTRIES);
                for (unsigned n = 0; n < ENTRIES; n++) /* each of which could be taken */
                        driver_add(&w.ring, &good, 1);
                *driver_avail_index(&w.ring) = (uint16_t)jump;
                CHECK(!virtio_queue_take(&w.q, &w.c));
                CHECK(w.q.broken);
        }
        end(&w);
}

/* As many pieces as there is room for, and one more. */
static void test_pieces(void)
{
        struct driver_buffer buffer[VIRTIO_PIECES_MAX + 1];
        struct world w;

        begin(&w);
        for (unsigned i = 0; i <= VIRTIO_PIECES_MAX; i++)
                buffer[i] = (struct driver_buffer){DATA + i, 1, false};
        enable(&w, 256);
        driver_add(&w.ring, buffer, VIRTIO_PIECES_MAX);
        CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK_EQ(w.c.readable, VIRTIO_PIECES_MAX);
        driver_add(&w.ring, buffer, VIRTIO_PIECES_MAX + 1);
        CHECK(!virtio_queue_take(&w.q, &w.c));
        CHECK(w.q.broken);
        /* the last descriptor lies on a border */
        enable(&w, 256);
        buffer[VIRTIO_PIECES_MAX - 1] = (struct driver_buffer){SECOND - 1, 2, false};
        driver_add(&w.ring, buffer, VIRTIO_PIECES_MAX);
        CHECK(!virtio_queue_take(&w.q, &w.c));
        end(&w);
}

static void refuse(struct world *w, unsigned size, uint64_t desc, uint64_t avail, uint64_t used)
{
        virtio_queue_reset(&w->q);
        w->q.size = (uint16_t)size;
        w->q.desc = GPA(desc);
        w->q.avail = GPA(avail);
        w->q.used = GPA(used);
        CHECK_EQ(virtio_queue_enable(&w->q), -EINVAL);
        CHECK(w->q.broken && !w->q.enabled);
        CHECK(!virtio_queue_take(&w->q, &w->c));
}

static void test_enabling(void)
{
        const uint64_t d = RING, a = RING + 0x1000, u = RING + 0x2000;
        struct world w;

        begin(&w);
        refuse(&w, 0, d, a, u);
        refuse(&w, 3, d, a, u);
        refuse(&w, 512, d, a, u);
        refuse(&w, 8, d + 8, a, u);
        refuse(&w, 8, d, a + 1, u);
        refuse(&w, 8, d, a, u + 2);
        refuse(&w, 8, OUTSIDE, a, u);
        refuse(&w, 8, d, OUTSIDE - 2, u);
        refuse(&w, 8, d, a, OUTSIDE);
        refuse(&w, 8, d, a, FIXED);       /* read-only */
        refuse(&w, 8, SECOND - 16, a, u); /* two pieces */
        refuse(&w, 8, d, a, SECOND - 4);
        refuse(&w, 256, d, UINT64_MAX - 1, u);
        refuse(&w, 256, UINT64_MAX - 15, a, u);
        end(&w);
}

static void test_not_live(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        struct world w;

        begin(&w);
        driver_add(&w.ring, &good, 1);
        w.live = false;
        CHECK(!virtio_queue_take(&w.q, &w.c));
        CHECK(virtio_queue_rest(&w.q));
        w.live = true;
        CHECK(!virtio_queue_rest(&w.q));
        CHECK(virtio_queue_take(&w.q, &w.c));
        end(&w);
}

static void test_put_back(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        struct world w;

        begin(&w);
        for (unsigned i = 0; i < 3; i++)
                driver_add(&w.ring, &good, 1);
        for (unsigned i = 0; i < 3; i++)
                CHECK(virtio_queue_take(&w.q, &w.c));
        virtio_queue_put_back(&w.q, 2);
        CHECK(virtio_queue_take(&w.q, &w.c));
        CHECK_EQ(w.c.head, 1);
        end(&w);
}

/* The driver's words: with the event index a driver is told when its event is passed, else unless
 * its flag is set. */
static void test_interrupts(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        uint64_t rng = unit_seed();
        struct world w;

        begin(&w);
        for (unsigned step = 0; step < 70000; step++) {
                uint16_t old = w.q.published, event = (uint16_t)(old + unit_random(&rng) % 12 - 4);
                unsigned n = (unsigned)(unit_random(&rng) % (ENTRIES + 1));
                bool flag = unit_random(&rng) % 2, wanted = false;

                w.q.event_index = step % 3;
                *driver_avail_flags(&w.ring) = flag;
                *driver_used_event(&w.ring) = event;
                for (unsigned i = 0; i < n; i++) {
                        driver_add(&w.ring, &good, 1);
                        CHECK(virtio_queue_take(&w.q, &w.c));
                        virtio_queue_give(&w.q, w.c.head, 0);
                        wanted |= (uint16_t)(old + i) == event;
                }
                if (!w.q.event_index)
                        wanted = n && !flag;
                CHECK_EQ(virtio_queue_publish(&w.q), wanted);
                CHECK_EQ(*driver_used_index(&w.ring), w.q.next_used);
        }
        end(&w);
}

static void test_rest(void)
{
        const struct driver_buffer good = {DATA, 8, true};
        struct world w;

        begin(&w);
        w.q.event_index = true;
        for (unsigned i = 0; i < 5; i++) {
                driver_add(&w.ring, &good, 1);
                CHECK(virtio_queue_take(&w.q, &w.c));
        }
        CHECK_EQ(*driver_avail_event(&w.ring), 0);
        CHECK(virtio_queue_rest(&w.q));
        CHECK_EQ(*driver_avail_event(&w.ring), 5); /* the next one is told */
        driver_add(&w.ring, &good, 1);             /* just before it rests */
        CHECK(!virtio_queue_rest(&w.q));
        virtio_queue_mute(&w.q);
        CHECK_EQ(*driver_avail_event(&w.ring), 4); /* behind: none of those to come */
        CHECK_EQ(*driver_used_flags(&w.ring), 0);
        enable(&w, ENTRIES);
        virtio_queue_mute(&w.q);
        CHECK_EQ(*driver_used_flags(&w.ring), 1);
        end(&w);
}

/* Copies of chains at random against plain memory. */
static void test_copies(void)
{
        uint64_t rng = unit_seed();
        struct world w;

        begin(&w);
        for (unsigned round = 0; round < 3000; round++) {
                struct driver_buffer buffer[6];
                uint8_t flat[3000], text[3000];
                uint64_t total = 0, offset, len, n;

                enable(&w, ENTRIES);
                for (unsigned i = 0; i < 6; i++) {
                        uint32_t size = 1 + (uint32_t)(unit_random(&rng) % 200);

                        buffer[i] = (struct driver_buffer){
                            SECOND - 2400 + 800 * i - unit_random(&rng) % 200, size, false};
                        if (buffer[i].gpa < DATA)
                                buffer[i].gpa = DATA;
                        for (unsigned b = 0; b < size; b++)
                                flat[total + b] = (uint8_t)unit_random(&rng);
                        CHECK_EQ(gmem_write(&w.mem, GPA(buffer[i].gpa), flat + total, size), 0);
                        total += size;
                }
                driver_add(&w.ring, buffer, 6);
                CHECK(virtio_queue_take(&w.q, &w.c));
                CHECK_EQ(w.c.readable_size, total);
                offset = unit_random(&rng) % (total + 2);
                len = unit_random(&rng) % (total + 2);
                n = offset >= total ? 0 : len < total - offset ? len : total - offset;
                CHECK_EQ(virtio_chain_read(&w.c, offset, text, len), n);
                CHECK(!memcmp(text, flat + offset, n));
        }
        end(&w);
}

int main(void)
{
        RUN(test_chain);
        RUN(test_border);
        RUN(test_indirect);
        RUN(test_attacks);
        RUN(test_index_jumps);
        RUN(test_pieces);
        RUN(test_enabling);
        RUN(test_not_live);
        RUN(test_put_back);
        RUN(test_interrupts);
        RUN(test_rest);
        RUN(test_copies);
        return unit_done();
}
