/* The console device: what both sides are told about ports, bytes both ways in buffers of any
 * shape, an end that takes its time, bounds, and a driver that keeps no rule. */
#include "guest/dev/virtio/console.h"

#include <string.h>

#include "tests/unit/unit.h"
#include "tests/unit/virtio_driver.h"

#define RAM      0x40000u
#define RINGS    0x1000u /* of queue n at n * RINGS */
#define ENTRIES  32u
#define BUFFERS  0x10000u
#define BUFFER   64u
#define MESSAGES 0x20000u
#define TEXT     0x30000u
#define QUEUES   6u

struct message {
        uint32_t port;
        uint16_t event, value;
};

static uint8_t *ram;
static struct gmem mem;
static struct virtio_console vc;
static struct driver_ring ring[QUEUES];
static unsigned interrupts[QUEUES], resets;
static char written[2][8192];
static size_t written_size[2], room[2];
static const char *typed[2];

static void interrupt(struct virtio_device *d, int n)
{
        (void)d;
        if (n < 0)
                resets++;
        else
                interrupts[n]++;
}

static uint64_t take(void *ctx, const uint8_t *text, uint64_t n)
{
        size_t port = (size_t)((char(*)[8192])ctx - written);

        n = n < room[port] ? n : room[port];
        room[port] -= n;
        CHECK(written_size[port] + n <= sizeof written[port]);
        memcpy(written[port] + written_size[port], text, n);
        written_size[port] += n;
        return n;
}

static uint64_t give(void *ctx, uint8_t *to, uint64_t size)
{
        size_t port = (size_t)((char(*)[8192])ctx - written), n = strlen(typed[port]);

        n = n < size ? n : size;
        memcpy(to, typed[port], n);
        typed[port] += n;
        return n;
}

static void begin(void)
{
        const struct virtio_console_end end[] = {
            {NULL, written[0], take, give, NULL},
            {"org.example.port", written[1], take, give, NULL}};

        free(ram);
        ram = calloc(1, RAM);
        gmem_init(&mem, NULL);
        CHECK_EQ(gmem_add(&mem, GPA(0), RAM, ram), 0);
        virtio_console_init(&vc, end, 2, &mem, "test");
        CHECK_EQ(vc.device.queues, QUEUES);
        CHECK_EQ(vc.config.max_nr_ports, 2);
        vc.device.interrupt = interrupt;
        vc.device.live = true;
        resets = 0;
        for (unsigned n = 0; n < QUEUES; n++) {
                struct virtio_queue *q = &vc.device.queue[n];

                driver_ring_init(&ring[n], ram + n * RINGS, n * RINGS, ENTRIES);
                q->size = ENTRIES;
                q->desc = GPA(ring[n].gpa);
                q->avail = GPA(driver_ring_avail(&ring[n]));
                q->used = GPA(driver_ring_used(&ring[n]));
                CHECK_EQ(virtio_queue_enable(q), 0);
                interrupts[n] = 0;
        }
        for (unsigned i = 0; i < 2; i++) {
                written_size[i] = 0;
                room[i] = SIZE_MAX;
                typed[i] = "";
        }
}

static bool notify(unsigned n)
{
        struct virtio_queue *q = &vc.device.queue[n];
        bool done;

        spin_lock(&q->lock);
        done = vc.device.model->notify(&vc.device, n);
        virtio_device_signal(&vc.device, n);
        spin_unlock(&q->lock);
        return done;
}

/* Buffers for the device on queue n, each of BUFFER bytes. */
static void offer(unsigned n, unsigned count)
{
        for (unsigned i = 0; i < count; i++) {
                const unsigned at = BUFFERS + n * 0x1000 + ring[n].next_desc % ENTRIES * BUFFER;
                const struct driver_buffer buffer = {at, BUFFER, true};

                driver_add(&ring[n], &buffer, 1);
        }
        CHECK(notify(n));
}

static void tell(uint32_t port, uint16_t event, uint16_t value)
{
        const struct message m = {port, event, value};
        const struct driver_buffer buffer = {MESSAGES, sizeof m, false};
        uint32_t head, size;

        memcpy(ram + MESSAGES, &m, sizeof m);
        driver_add(&ring[3], &buffer, 1);
        CHECK(notify(3));
        CHECK(driver_take_used(&ring[3], &head, &size));
        CHECK_EQ(size, 0);
}

/* The next message to the driver is this one, with a name behind it or none. */
static void expect(uint32_t port, uint16_t event, const char *name)
{
        uint32_t head, size;
        struct message m;
        const uint8_t *at;

        CHECK(driver_take_used(&ring[2], &head, &size));
        at = ram + BUFFERS + 2 * 0x1000 + head * BUFFER;
        memcpy(&m, at, sizeof m);
        CHECK(m.port == port && m.event == event && m.value == 1);
        CHECK_EQ(size, sizeof m + strlen(name));
        CHECK(memcmp(at + sizeof m, name, strlen(name)) == 0);
}

static void expect_none(void)
{
        uint32_t head, size;

        CHECK(!driver_take_used(&ring[2], &head, &size));
}

static void test_ports(void)
{
        begin();
        offer(2, 8);
        tell(0, 0, 1); /* the driver is ready: ports are added */
        expect(0, 1, "");
        expect(1, 1, "");
        expect_none();
        tell(1, 3, 1); /* so are the ports: a terminal, and one with a name */
        expect(1, 6, "");
        expect(1, 7, "org.example.port");
        tell(0, 3, 1);
        expect(0, 4, "");
        expect(0, 6, "");
        expect_none();
        CHECK_EQ(interrupts[2], 4);
        CHECK(!virtio_console_is_open(&vc, 1));
        tell(1, 6, 1);
        CHECK(virtio_console_is_open(&vc, 1) && !virtio_console_is_open(&vc, 0));
        tell(1, 6, 0);
        CHECK(!virtio_console_is_open(&vc, 1));
        tell(1, 6, 1);
        vc.device.model->reset(&vc.device);
        CHECK(!virtio_console_is_open(&vc, 1));
}

/* What finds no buffer is told when there is one. */
static void test_messages_wait(void)
{
        begin();
        tell(0, 0, 1);
        tell(0, 3, 1);
        expect_none();
        offer(2, 1);
        expect(0, 1, "");
        expect_none();
        offer(2, 8);
        expect(0, 4, "");
        expect(0, 6, "");
        expect(1, 1, "");
        expect_none();
        tell(1, 3, 1);
        vc.device.model->reset(&vc.device);
}

/* Messages that say nothing: of no port, of no event, cut short, a driver that is not ready. */
static void test_messages_wrong(void)
{
        const struct driver_buffer shorter = {MESSAGES, 7, false};
        const struct message ready = {0, 0, 1};

        begin();
        offer(2, 8);
        tell(2, 3, 1);
        tell(UINT32_MAX, 6, 1);
        tell(0, 99, 1);
        tell(0, 0, 0);
        tell(0, 3, 0);
        memcpy(ram + MESSAGES, &ready, sizeof ready);
        driver_add(&ring[3], &shorter, 1);
        CHECK(notify(3));
        expect_none();
        CHECK_EQ(resets, 0);
}

/* A device of one port, with a name: there is no terminal. */
static void test_no_terminal(void)
{
        begin();
        vc.port[0].end = (struct virtio_console_end){0};
        offer(2, 8);
        tell(0, 0, 1);
        expect(1, 1, "");
        tell(0, 3, 1);
        tell(0, 6, 1);
        expect_none();
        CHECK(!virtio_console_is_open(&vc, 0));
        offer(0, 1);
        CHECK_EQ(*driver_used_index(&ring[0]), 0);
}

static void send(unsigned port, uint64_t at, uint32_t size)
{
        const struct driver_buffer two[] = {{TEXT + at, 3, false},
                                            {TEXT + at + 3, size - 3, false}};

        driver_add(&ring[port ? 5 : 1], two, 2);
}

static void test_write(void)
{
        begin();
        for (unsigned i = 0; i < 0x2000; i++)
                ram[TEXT + i] = (uint8_t)(i * 7 + i / 256);
        send(0, 0, 100);
        send(0, 100, 4);
        send(1, 5, 50);
        CHECK(notify(1));
        CHECK_EQ(written_size[0], 104);
        CHECK(memcmp(written[0], ram + TEXT, 104) == 0);
        CHECK_EQ(*driver_used_index(&ring[1]), 2);
        CHECK_EQ(interrupts[1], 1);
        CHECK_EQ(written_size[1], 0);
        CHECK(notify(5));
        CHECK_EQ(written_size[1], 50);
        CHECK(memcmp(written[1], ram + TEXT + 5, 50) == 0);
}

/* A call takes 4 KiB; a page costs one, and a longer buffer goes on where it was. */
static void test_write_bound(void)
{
        begin();
        for (unsigned i = 0; i < 0x2000; i++)
                ram[TEXT + i] = (uint8_t)(i * 7 + i / 256);
        send(0, 0, 5000);
        CHECK(!notify(1));
        CHECK_EQ(written_size[0], 4096);
        CHECK_EQ(*driver_used_index(&ring[1]), 0);
        CHECK(notify(1));
        CHECK_EQ(written_size[0], 5000);
        CHECK(memcmp(written[0], ram + TEXT, 5000) == 0);
        CHECK_EQ(*driver_used_index(&ring[1]), 1);
        for (unsigned i = 0; i < 16; i++)
                send(0, i * 4, 4);
        CHECK(!notify(1));
        CHECK_EQ(*driver_used_index(&ring[1]), 17);
        CHECK(notify(1));
}

/* An end that is full takes the rest later; its buffer stays with the device until then. */
static void test_full(void)
{
        begin();
        memset(ram + TEXT, 'x', 0x1000);
        room[1] = 10;
        send(1, 0, 30);
        send(1, 30, 8);
        CHECK(notify(5));
        CHECK_EQ(written_size[1], 10);
        CHECK(notify(5));
        CHECK_EQ(*driver_used_index(&ring[5]), 0);
        room[1] = 25;
        CHECK(virtio_console_pull(&vc, 1));
        CHECK_EQ(written_size[1], 35);
        CHECK_EQ(*driver_used_index(&ring[5]), 1);
        room[1] = 1000;
        CHECK(virtio_console_pull(&vc, 1));
        CHECK_EQ(written_size[1], 38);
        CHECK_EQ(*driver_used_index(&ring[5]), 2);
        CHECK_EQ(interrupts[5], 2);
        room[1] = 1; /* of what a reset ends nothing is left */
        send(1, 0, 30);
        CHECK(notify(5));
        vc.device.model->reset(&vc.device);
        CHECK_EQ(vc.port[1].taken, 0);
}

static void test_read(void)
{
        char long_text[BUFFER + 11];
        uint32_t head, size;

        begin();
        typed[0] = "soon";
        virtio_console_push(&vc, 0); /* no buffer: it waits */
        CHECK_EQ(interrupts[0], 0);
        offer(0, 4);
        CHECK(driver_take_used(&ring[0], &head, &size));
        CHECK_EQ(size, 4);
        CHECK(memcmp(ram + BUFFERS, "soon", 4) == 0);
        CHECK(!driver_take_used(&ring[0], &head, &size));
        memset(long_text, 'y', sizeof long_text);
        long_text[sizeof long_text - 1] = 0;
        typed[0] = long_text;
        virtio_console_push(&vc, 0);
        CHECK(driver_take_used(&ring[0], &head, &size));
        CHECK_EQ(size, BUFFER);
        CHECK(driver_take_used(&ring[0], &head, &size));
        CHECK_EQ(size, 10);
        CHECK_EQ(interrupts[0], 2);
        typed[1] = "named";
        offer(4, 1);
        CHECK(driver_take_used(&ring[4], &head, &size));
        CHECK_EQ(size, 5);
}

/* More than one call's bound, by tiny buffers: push leaves nothing. */
static void test_read_all(void)
{
        begin();
        typed[0] = "abcdefghijklmnopqrstuvwxyz";
        for (unsigned i = 0; i < 26; i++) {
                const struct driver_buffer buffer = {BUFFERS + i, 1, true};

                driver_add(&ring[0], &buffer, 1);
        }
        virtio_console_push(&vc, 0);
        CHECK(memcmp(ram + BUFFERS, "abcdefghijklmnopqrstuvwxyz", 26) == 0);
}

static void test_broken(void)
{
        begin();
        typed[0] = "never";
        *driver_avail_index(&ring[0]) = 1000;
        virtio_console_push(&vc, 0);
        CHECK_EQ(resets, 1);
        CHECK(vc.device.status & VIRTIO_STATUS_NEEDS_RESET);
        typed[0] = "";
        offer(4, 1);
        CHECK(virtio_console_pull(&vc, 1));
        virtio_console_push(&vc, 1);
        CHECK_EQ(resets, 1);
}

int main(void)
{
        RUN(test_ports);
        RUN(test_messages_wait);
        RUN(test_messages_wrong);
        RUN(test_no_terminal);
        RUN(test_write);
        RUN(test_write_bound);
        RUN(test_full);
        RUN(test_read);
        RUN(test_read_all);
        RUN(test_broken);
        free(ram);
        return unit_done();
}
