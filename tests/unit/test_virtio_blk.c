/*
 * The block device: what a driver asks and is told, what lies beyond the disk, long requests in
 * parts, and a driver that keeps no rule.
 */
#include "guest/dev/virtio/blk.h"

#include <errno.h>
#include <string.h>

#include "mm/pool/pm.h"
#include "tests/unit/pool_world.h"

#define GUEST_SIZE (8 * MiB)
#define QUEUE      16u
#define DESC_AT    0x1000u
#define AVAIL_AT   0x2000u
#define USED_AT    0x3000u
#define HEADER_AT  0x4000u
#define STATUS_AT  0x4100u
#define DATA_AT    0x100000u
#define DISK_SIZE  (2 * POOL_GRANULE)
#define NONE       0xee /* no status was given */

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };

struct desc {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;
};

static uint8_t *guest;
static struct gmem mem;
static struct virtio_blk blk;
static struct world world;
static struct mounted m;
static uint8_t *disk; /* what is on media */
static uint16_t next;
static unsigned descs, interrupts, calls;

static void interrupt(struct virtio_device *d, int n)
{
        (void)d, (void)n;
        interrupts++;
}

static void start(bool read_only)
{
        struct pool_region *region;

        guest = aligned_alloc(4096, GUEST_SIZE);
        memset(guest, 0, GUEST_SIZE);
        gmem_init(&mem, NULL);
        CHECK_EQ(gmem_add(&mem, GPA(0), GUEST_SIZE, guest), 0);
        world = world_make(1, (const uint64_t[]){16 * MiB}, 0, 0);
        world_mount(&world, world.memory, false, &m);
        pool_scrub(&m.pool, UINT64_MAX);
        CHECK_EQ(pool_create(&m.pool, "d", "vm", DISK_SIZE, 1, &region), 0);
        disk = pool_region_extent(&m.pool, region, 0).base;
        virtio_blk_init(&blk, "a-name-of-more-than-20-bytes", DISK_SIZE, read_only, &mem, "vm");
        CHECK_EQ(pool_disk_open(&blk.media, &m.pool, region), 0);
        CHECK_EQ(pool_disk_size(&blk.media), DISK_SIZE);
        blk.device.interrupt = interrupt;
        blk.device.live = true;
        blk.device.queue[0].size = QUEUE;
        blk.device.queue[0].desc = GPA(DESC_AT);
        blk.device.queue[0].avail = GPA(AVAIL_AT);
        blk.device.queue[0].used = GPA(USED_AT);
        CHECK_EQ(virtio_queue_enable(&blk.device.queue[0]), 0);
        next = 0;
}

static void stop(void)
{
        world_unmount(&m);
        free(world.memory);
        free(guest);
}

static void add_desc(uint64_t addr, uint32_t len, bool write, bool more)
{
        const struct desc d = {addr, len, (uint16_t)((write ? 2 : 0) | (more ? 1 : 0)),
                               (uint16_t)(descs + 1)};

        memcpy(guest + DESC_AT + descs++ * sizeof d, &d, sizeof d);
}

static void put_header(uint32_t type, uint64_t sector)
{
        memset(guest + HEADER_AT, 0, 16);
        memcpy(guest + HEADER_AT, &type, 4);
        memcpy(guest + HEADER_AT + 8, &sector, 8);
        guest[STATUS_AT] = NONE;
        descs = 0;
}

static uint16_t used_index(void)
{
        uint16_t index;

        memcpy(&index, guest + USED_AT + 2, 2);
        return index;
}

/* Have the device take the chain from descriptor 0 on, in as many calls as it likes. */
static void run(void)
{
        uint16_t head = 0;
        bool all;

        memcpy(guest + AVAIL_AT + 4 + next % QUEUE * 2, &head, 2);
        next++;
        memcpy(guest + AVAIL_AT + 2, &next, 2);
        calls = 0;
        do {
                spin_lock(&blk.device.queue[0].lock);
                all = blk.device.model->notify(&blk.device, 0);
                virtio_device_signal(&blk.device, 0);
                spin_unlock(&blk.device.queue[0].lock);
        } while (++calls < 1000 && !all);
}

static uint32_t written(void)
{
        uint32_t len;

        memcpy(&len, guest + USED_AT + 4 + (uint16_t)(next - 1) % QUEUE * 8 + 4, 4);
        return len;
}

/* A request with one buffer of len bytes at DATA_AT, or without one. Returns its status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len)
{
        put_header(type, sector);
        add_desc(HEADER_AT, 16, false, true);
        if (len)
                add_desc(DATA_AT, len, type == IN || type == GET_ID, true);
        add_desc(STATUS_AT, 1, true, false);
        run();
        CHECK_EQ(used_index(), next);
        return guest[STATUS_AT];
}

static uint8_t zero(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
        memcpy(guest + DATA_AT, &sector, 8);
        memcpy(guest + DATA_AT + 8, &sectors, 4);
        memcpy(guest + DATA_AT + 12, &flags, 4);
        return request(type, 0, 16);
}

static bool is_all(const uint8_t *at, size_t len, uint8_t byte)
{
        for (size_t i = 0; i < len; i++)
                if (at[i] != byte)
                        return false;
        return true;
}

static void test_what_it_offers(void)
{
        const struct virtio_blk_config *c = &blk.config;

        start(false);
        CHECK_EQ(c->capacity, DISK_SIZE / 512);
        CHECK(c->blk_size == 512 && c->physical_block_exp == 3 && c->min_io_size == 8);
        CHECK(c->writeback == 0 && c->num_queues == 1);
        CHECK_EQ(blk.device.offered,
                 1ull << 1 | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 13 | 1 << 14);
        CHECK_EQ(request(GET_ID, 0, 20), 0);
        CHECK(!memcmp(guest + DATA_AT, "a-name-of-more-than-", 20));
        CHECK_EQ(written(), 21);
        memset(guest + DATA_AT, 1, 20);
        CHECK_EQ(request(GET_ID, 0, 4), 0);
        CHECK(!memcmp(guest + DATA_AT, "a-na\1", 5));
        CHECK_EQ(request(FLUSH, 0, 0), 0);
        CHECK_EQ(request(99, 0, 0), 2);
        blk.device.model->config_write(&blk.device, 32, 1, 0xff);
        CHECK_EQ(c->writeback, 1);
        blk.device.model->config_write(&blk.device, 0, 4, 0);
        CHECK_EQ(c->capacity, DISK_SIZE / 512);
        blk.device.model->reset(&blk.device);
        CHECK_EQ(c->writeback, 0);
        stop();
}

static void test_data(void)
{
        start(false);
        memset(guest + DATA_AT, 0x11, 4096);
        CHECK_EQ(request(OUT, 5, 4096), 0);
        CHECK_EQ(written(), 1);
        CHECK(is_all(disk, 5 * 512, 0) && is_all(disk + 5 * 512, 4096, 0x11) &&
              is_all(disk + 13 * 512, 4096, 0));
        memset(guest + DATA_AT, 0, 4096);
        CHECK_EQ(request(IN, 6, 512), 0);
        CHECK_EQ(written(), 513);
        CHECK(is_all(guest + DATA_AT, 512, 0x11) && guest[DATA_AT + 512] == 0);
        CHECK_EQ(calls, 1);
        CHECK(interrupts > 0);
        stop();
}

/* A buffer in pieces that are no sectors: odd lengths, the header with data, the status behind. */
static void test_scattered(void)
{
        start(false);
        put_header(OUT, 1);
        for (unsigned i = 0; i < 1024; i++)
                guest[DATA_AT + i] = (uint8_t)(i * 7);
        memmove(guest + DATA_AT + 0x1000, guest + HEADER_AT, 16);
        memmove(guest + DATA_AT + 0x1010, guest + DATA_AT, 3);
        add_desc(DATA_AT + 0x1000, 19, false, true);
        add_desc(DATA_AT + 3, 510, false, true);
        add_desc(DATA_AT + 513, 511, false, true);
        add_desc(STATUS_AT, 1, true, false);
        run();
        CHECK_EQ(guest[STATUS_AT], 0);
        CHECK(!memcmp(disk + 512, guest + DATA_AT, 1024) && is_all(disk + 1536, 512, 0));
        put_header(IN, 1);
        add_desc(HEADER_AT, 16, false, true);
        add_desc(DATA_AT + 0x2001, 700, true, true);
        add_desc(DATA_AT + 0x3001, 325, true, false);
        guest[DATA_AT + 0x3001 + 324] = NONE;
        run();
        CHECK(!memcmp(guest + DATA_AT + 0x2001, disk + 512, 700) &&
              !memcmp(guest + DATA_AT + 0x3001, disk + 512 + 700, 324));
        CHECK_EQ(guest[DATA_AT + 0x3001 + 324], 0);
        CHECK_EQ(written(), 1025);
        stop();
}

/* One call does a part of what is long; the driver is told when all is done. */
static void test_long_requests(void)
{
        start(false);
        memset(guest + DATA_AT, 0x22, 1 * MiB);
        CHECK_EQ(request(OUT, 8, 1 * MiB), 0);
        CHECK(calls >= 8 && calls < 20);
        CHECK(is_all(disk + 4096, 1 * MiB, 0x22) && is_all(disk + 4096 + 1 * MiB, 512, 0));
        memset(guest + DATA_AT, 0, 1 * MiB);
        CHECK_EQ(request(IN, 8, 1 * MiB), 0);
        CHECK(is_all(guest + DATA_AT, 1 * MiB, 0x22) && calls >= 8);
        CHECK_EQ(written(), 1 * MiB + 1);
        CHECK_EQ(zero(WRITE_ZEROES, 16, 2048, 1), 0);
        CHECK(is_all(disk + 4096, 4096, 0x22) && is_all(disk + 8192, 1 * MiB, 0) && calls >= 8);
        stop();
}

static void test_beyond_the_end(void)
{
        const uint64_t end = DISK_SIZE / 512;

        start(false);
        memset(guest + DATA_AT, 0x33, 8192);
        CHECK_EQ(request(OUT, end - 1, 512), 0);
        CHECK_EQ(request(OUT, end - 1, 1024), 1);
        CHECK_EQ(request(OUT, end, 512), 1);
        CHECK_EQ(request(OUT, UINT64_MAX, 512), 1);
        CHECK_EQ(request(OUT, UINT64_MAX / 512, 1024), 1);
        CHECK_EQ(request(IN, end - 7, 4096), 1);
        CHECK_EQ(written(), 0);
        CHECK_EQ(request(IN, UINT64_MAX - 3, 4096), 1);
        CHECK_EQ(request(OUT, 0, 513), 1);
        CHECK_EQ(request(OUT, 0, 8), 1);
        CHECK_EQ(request(IN, 0, 511), 1);
        CHECK_EQ(zero(WRITE_ZEROES, end - 1, 2, 0), 1);
        CHECK_EQ(zero(WRITE_ZEROES, UINT64_MAX, 1, 0), 1);
        CHECK_EQ(zero(WRITE_ZEROES, 0, UINT32_MAX, 0), 1);
        CHECK(is_all(disk, DISK_SIZE - 512, 0) && is_all(disk + DISK_SIZE - 512, 512, 0x33));
        stop();
}

static void test_discard(void)
{
        start(false);
        memset(disk, 0x44, 64 * 512);
        CHECK_EQ(zero(DISCARD, 8, 16, 0), 0);
        CHECK(is_all(disk, 4096, 0x44) && is_all(disk + 4096, 8192, 0) &&
              is_all(disk + 12288, 4096, 0x44));
        CHECK_EQ(zero(WRITE_ZEROES, 1, 1, 0), 0);
        CHECK(is_all(disk + 512, 512, 0) && disk[511] == 0x44 && disk[1024] == 0x44);
        CHECK_EQ(zero(DISCARD, 0, 8, 1), 2); /* unmap is for zeroes only */
        CHECK_EQ(zero(DISCARD, 0, 8, 2), 2);
        CHECK_EQ(zero(WRITE_ZEROES, 0, 8, 2), 2);
        CHECK_EQ(request(DISCARD, 0, 32), 1); /* two segments */
        CHECK_EQ(request(DISCARD, 0, 15), 1);
        CHECK_EQ(request(DISCARD, 0, 0), 1);
        CHECK(is_all(disk, 512, 0x44));
        stop();
}

static void test_read_only(void)
{
        start(true);
        CHECK_EQ(blk.device.offered,
                 1ull << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11);
        memset(disk, 0x55, 4096);
        CHECK_EQ(request(OUT, 0, 512), 1);
        CHECK_EQ(zero(DISCARD, 0, 1, 0), 1);
        CHECK_EQ(zero(WRITE_ZEROES, 0, 1, 0), 1);
        CHECK(is_all(disk, 4096, 0x55));
        CHECK_EQ(request(IN, 0, 512), 0);
        CHECK_EQ(request(FLUSH, 0, 0), 0);
        stop();
}

/* Memory that went bad is told as an error, and not touched. */
static void test_bad_memory(void)
{
        struct pool_region *region;

        start(false);
        region = pool_find(&m.pool, "d");
        CHECK_EQ(
            pool_add_bad(&m.pool, HPA(pool_region_extent(&m.pool, region, 0).hpa.v + POOL_GRANULE)),
            0);
        CHECK_EQ(pool_disk_open(&blk.media, &m.pool, region), 0);
        CHECK_EQ(request(IN, POOL_GRANULE / 512 - 1, 512), 0);
        CHECK_EQ(request(IN, POOL_GRANULE / 512 - 1, 1024), 1);
        CHECK_EQ(request(OUT, POOL_GRANULE / 512, 512), 1);
        stop();
}

/* Without a header or a place for the status there is nobody to tell: the device is broken. */
static void test_no_status(void)
{
        start(false);
        put_header(OUT, 0);
        add_desc(HEADER_AT, 16, false, true);
        add_desc(DATA_AT, 512, false, false);
        run();
        CHECK(blk.device.status & VIRTIO_STATUS_NEEDS_RESET);
        CHECK(!blk.device.live && used_index() == 0);
        stop();
        start(false);
        put_header(IN, 0);
        add_desc(HEADER_AT, 15, false, true);
        add_desc(STATUS_AT, 1, true, false);
        run();
        CHECK(blk.device.status & VIRTIO_STATUS_NEEDS_RESET);
        CHECK_EQ(guest[STATUS_AT], NONE);
        stop();
}

int main(void)
{
        RUN(test_what_it_offers);
        RUN(test_data);
        RUN(test_scattered);
        RUN(test_long_requests);
        RUN(test_beyond_the_end);
        RUN(test_discard);
        RUN(test_read_only);
        RUN(test_bad_memory);
        RUN(test_no_status);
        return unit_done();
}
