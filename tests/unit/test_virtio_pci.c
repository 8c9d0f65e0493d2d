/* Tests of the PCI transport of virtio with a model of a few lines: the driver's order of start,
 * BARs that move while it works, MSI-X with its masks, the window in the configuration space,
 * resets. */
#include <string.h>

#include "guest/dev/platform.h"
#include "guest/dev/virtio/pci.h"
#include "tests/unit/unit.h"
#include "tests/unit/virtio_driver.h"

#define RAM     0x20000u
#define QUEUES  2u
#define DATA    0x10000u
#define FEATURE (1ull << 5)
#define SLOT    1u

static uint8_t *ram;
static struct gmem mem;
static struct bus bus;
static struct pci_host host;
static struct virtio_pci pci;
static struct driver_pci driver;
static struct driver_ring ring[QUEUES];

static struct toy {
        struct virtio_device device; /* first */
        uint32_t config[2];
        unsigned bound; /* chains that a notification takes at most */
        unsigned notified[QUEUES], resets, config_writes;
} toy;

/* The messages that were sent. */
static struct apic_message sent[64];
static unsigned sent_count;

static void send(void *ctx, const struct apic_message *message)
{
        (void)ctx;
        if (sent_count < ARRAY_LEN(sent))
                sent[sent_count] = *message;
        sent_count++;
}

/* Each chain comes back with the number of its readable bytes. */
static bool toy_notify(struct virtio_device *d, unsigned n)
{
        struct virtio_queue *q = &d->queue[n];
        struct virtio_chain c;

        toy.notified[n]++;
        CHECK(q->lock.held);
        for (unsigned i = 0; i < toy.bound; i++) {
                if (virtio_queue_take(q, &c))
                        virtio_queue_give(q, c.head, (uint32_t)c.readable_size);
                else if (virtio_queue_rest(q))
                        return true;
        }
        return false;
}

static void toy_config_write(struct virtio_device *d, unsigned offset, unsigned size,
                             uint32_t value)
{
        CHECK(d == &toy.device && offset + size <= sizeof toy.config);
        memcpy((uint8_t *)toy.config + offset, &value, size);
        toy.config_writes++;
}

static void toy_reset(struct virtio_device *d)
{
        for (unsigned n = 0; n < QUEUES; n++)
                CHECK(!d->queue[n].enabled);
        toy.resets++;
}

static const struct virtio_model model = {.type = 42,
                                          .class = 0x07,
                                          .subclass = 0x80,
                                          .notify = toy_notify,
                                          .config_write = toy_config_write,
                                          .reset = toy_reset};

static void begin(void)
{
        const struct msix_ops ops = {NULL, send};
        struct bus_handler h;

        free(ram);
        ram = calloc(1, RAM);
        gmem_init(&mem, NULL);
        CHECK_EQ(gmem_add(&mem, GPA(0), RAM, ram), 0);
        toy = (struct toy){.device = {.model = &model,
                                      .offered = FEATURE,
                                      .config = toy.config,
                                      .config_size = sizeof toy.config,
                                      .queues = QUEUES},
                           .config = {0x04030201, 0x08070605},
                           .bound = 100};
        virtio_device_init(&toy.device, &mem, "test");
        bus_init(&bus);
        pci_host_init(&host, &bus, 0x1234, 0x5678);
        h = pci_host_handler(&host);
        CHECK_EQ(bus_add_ports(&bus, PLATFORM_PCI_PORT, PCI_HOST_PORTS, &h), 0);
        virtio_pci_init(&pci, &toy.device, &ops);
        CHECK_EQ(pci_host_add(&host, &pci.function), 0);
        CHECK(driver_pci_probe(&driver, &bus, SLOT));
        toy.resets = 0;
        sent_count = 0;
}

static uint8_t status(void)
{
        return (uint8_t)driver_common(&driver, COMMON_STATUS, 1);
}

/* A driver that works: queue n interrupts by vector 0x40 + n, the configuration by 0x50. */
static void start(uint64_t features)
{
        begin();
        CHECK(driver_start(&driver, features));
        driver_enable_msix(&driver, true, false);
        driver_set_common(&driver, COMMON_CONFIG_VECTOR, 2, QUEUES);
        for (unsigned n = 0; n < QUEUES; n++) {
                driver_ring_init(&ring[n], ram + DRIVER_RING_BYTES * n, DRIVER_RING_BYTES * n, 16);
                driver_enable_queue(&driver, n, &ring[n], n);
                driver_set_vector(&driver, n, (uint8_t)(0x40 + n), 3, false);
        }
        driver_set_vector(&driver, QUEUES, 0x50, 1, false);
        driver_ready(&driver);
}

static void add(unsigned n)
{
        const struct driver_buffer buffer = {DATA, 5, false};

        driver_add(&ring[n], &buffer, 1);
}

/* A chain goes and comes. */
static bool works(unsigned n)
{
        uint32_t head, size;

        add(n);
        return driver_notify(&driver, n) && driver_take_used(&ring[n], &head, &size) && size == 5;
}

static void test_identity(void)
{
        begin();
        CHECK_EQ(driver_config_read(&driver, 0, 4), 0x106a1af4);
        CHECK_EQ(driver_config_read(&driver, 8, 4), 0x07800001);
        CHECK_EQ(driver_config_read(&driver, 0x2c, 4), 0x006a1af4);
        CHECK_EQ(driver_config_read(&driver, 0x3d, 1), 0); /* no interrupt pin */
        CHECK_EQ(driver_config_read(&driver, 0x42, 2), QUEUES);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUES, 2), QUEUES);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.config), 4), 0x04030201);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.config + 4), 2), 0x0605);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.config + 8), 4), 0);
}

/* 3.1.1, each step as the driver sees it. */
static void test_start(void)
{
        uint64_t offered = 0;

        begin();
        CHECK_EQ(status(), 0);
        for (unsigned i = 0; i < 3; i++) {
                driver_set_common(&driver, COMMON_DEVICE_FEATURE_SELECT, 4, i);
                if (i < 2)
                        offered |= driver_common(&driver, COMMON_DEVICE_FEATURE, 4) << 32 * i;
                else
                        CHECK_EQ(driver_common(&driver, COMMON_DEVICE_FEATURE, 4), 0);
        }
        CHECK(offered ==
              (FEATURE | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1));
        CHECK(!driver_start(&driver, FEATURE)); /* a driver of the old kind */
        CHECK_EQ(status(), 3);
        CHECK(!driver_start(&driver, offered | 1)); /* what was not offered */
        CHECK(!driver_start(&driver, offered | 1ull << 40));
        CHECK(driver_start(&driver, offered & ~VIRTIO_F_EVENT_IDX));
        CHECK_EQ(status(), 11);
        /* they stand from now on */
        driver_set_common(&driver, COMMON_DRIVER_FEATURE_SELECT, 4, 0);
        driver_set_common(&driver, COMMON_DRIVER_FEATURE, 4, 0);
        CHECK(toy.device.features == (offered & ~VIRTIO_F_EVENT_IDX));
        CHECK_EQ(driver_common(&driver, COMMON_DRIVER_FEATURE, 4),
                 FEATURE | VIRTIO_F_INDIRECT_DESC);
        driver_ready(&driver);
        CHECK_EQ(status(), 15);
        driver_set_common(&driver, COMMON_STATUS, 1, 128);
        CHECK_EQ(status(), 128 | 15); /* bits are set, never cleared but by a reset */
        driver_set_common(&driver, COMMON_STATUS, 1, 64);
        CHECK_EQ(status(), 128 | 15); /* that one is the device's */
        driver_set_common(&driver, COMMON_STATUS, 1, 0);
        CHECK_EQ(status(), 0);
        driver_ready(&driver); /* before the features */
        CHECK_EQ(status(), 0);
}

static void test_queue_registers(void)
{
        begin();
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_set_common(&driver, COMMON_QUEUE_SELECT, 2, QUEUES);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_SIZE, 2), 0);
        driver_set_common(&driver, COMMON_QUEUE_ENABLE, 2, 1);
        driver_set_common(&driver, COMMON_QUEUE_VECTOR, 2, 0);
        driver_set_common(&driver, COMMON_QUEUE_SELECT, 2, 0xffff);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 0);
        driver_set_common(&driver, COMMON_QUEUE_SELECT, 2, 1);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_SIZE, 2), VIRTIO_QUEUE_SIZE_MAX);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_VECTOR, 2), 0xffff);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_NOTIFY_OFF, 2), 0);
        driver_set_common(&driver, COMMON_QUEUE_VECTOR, 2, QUEUES + 1);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_VECTOR, 2), 0xffff);
        driver_set_common(&driver, COMMON_QUEUE_VECTOR, 2, QUEUES);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_VECTOR, 2), QUEUES);
        driver_set_common(&driver, COMMON_QUEUE_SIZE, 2, 1024);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_SIZE, 2), VIRTIO_QUEUE_SIZE_MAX);
        driver_set_common(&driver, COMMON_QUEUE_SIZE, 2, 16);
        driver_set_common(&driver, COMMON_QUEUE_DESC, 8, 0x4000); /* as one access, too */
        driver_set_common(&driver, COMMON_QUEUE_DRIVER, 4, 0x5000);
        driver_set_common(&driver, COMMON_QUEUE_DEVICE, 4, 0x6000);
        driver_set_common(&driver, COMMON_QUEUE_DEVICE + 4, 4, 1);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_DEVICE, 8), 0x100006000);
        driver_set_common(&driver, COMMON_QUEUE_DEVICE + 4, 4, 0);
        driver_set_common(&driver, COMMON_QUEUE_ENABLE, 2, 1);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 1);
        /* it stands until the reset */
        driver_set_common(&driver, COMMON_QUEUE_ENABLE, 2, 0);
        driver_set_common(&driver, COMMON_QUEUE_SIZE, 2, 8);
        driver_set_common(&driver, COMMON_QUEUE_DESC, 4, 0);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 1);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_SIZE, 2), 16);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_DESC, 4), 0x4000);
}

static void test_bad_rings(void)
{
        start(VIRTIO_F_VERSION_1);
        driver_set_common(&driver, COMMON_STATUS, 1, 0);
        driver_set_common(&driver, COMMON_QUEUE_ENABLE, 2, 1); /* before the features */
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 0);
        CHECK_EQ(status(), 0);
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_set_common(&driver, COMMON_CONFIG_VECTOR, 2, QUEUES);
        driver_set_common(&driver, COMMON_QUEUE_DESC, 4, RAM);
        driver_set_common(&driver, COMMON_QUEUE_ENABLE, 2, 1);
        CHECK_EQ(status(), 64 | 11);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 0);
        CHECK_EQ(sent_count, 1);
        CHECK_EQ(sent[0].vector, 0x50);
        driver_ready(&driver);
        CHECK(!toy.device.live);
}

static void test_work(void)
{
        start(VIRTIO_F_VERSION_1);
        CHECK(works(0));
        CHECK_EQ(sent_count, 1);
        CHECK_EQ(sent[0].vector, 0x40);
        CHECK_EQ(sent[0].dest, 3);
        CHECK(!sent[0].level && !sent[0].logical && sent[0].mode == APIC_FIXED);
        CHECK(works(1));
        CHECK_EQ(sent[1].vector, 0x41);
        CHECK(driver_notify(&driver, QUEUES)); /* no such queue */
        CHECK(driver_notify(&driver, 0xffff));
        CHECK_EQ(toy.notified[0] + toy.notified[1], 2);
        CHECK_EQ(bus_port_read(&bus, driver.notify, 2), 0xffff);
        CHECK(!bus.later.serve);
}

/* More than one call takes: the access is made again until all is done. */
static void test_bound(void)
{
        start(VIRTIO_F_VERSION_1);
        toy.bound = 4;
        for (unsigned i = 0; i < 10; i++)
                add(0);
        CHECK(!driver_notify(&driver, 0));
        CHECK_EQ(*driver_used_index(&ring[0]), 4);
        CHECK_EQ(sent_count, 1); /* the driver sees what is done */
        CHECK(!driver_notify(&driver, 0));
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(*driver_used_index(&ring[0]), 10);
}

static void test_who_may_work(void)
{
        uint32_t head, size;

        start(VIRTIO_F_VERSION_1);
        driver_config_write(&driver, 4, 2, 3); /* no bus master */
        add(0);
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(toy.notified[0], 0);
        driver_config_write(&driver, 4, 2, 7);
        CHECK(driver_notify(&driver, 0));
        CHECK(driver_take_used(&ring[0], &head, &size));
        begin();
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_ring_init(&ring[0], ram, 0, 16);
        driver_enable_queue(&driver, 0, &ring[0], 0);
        add(0);
        CHECK(driver_notify(&driver, 0)); /* not ready */
        CHECK_EQ(toy.notified[0], 0);
        driver_ready(&driver);
        CHECK(driver_notify(&driver, 1)); /* not enabled */
        CHECK_EQ(toy.notified[1], 0);
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(toy.notified[0], 1);
}

static void test_break(void)
{
        const struct driver_buffer bad = {RAM, 1, false};

        start(VIRTIO_F_VERSION_1);
        driver_add(&ring[0], &bad, 1);
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(status(), 64 | 15);
        CHECK_EQ(sent_count, 1);
        CHECK_EQ(sent[0].vector, 0x50);
        CHECK(!works(1)); /* the other queue neither */
        CHECK_EQ(toy.notified[1], 0);
        driver_config_write(&driver, 4, 2, 3);
        driver_config_write(&driver, 4, 2, 7);
        CHECK(!works(1));
        virtio_device_signal(&toy.device, 0);
        CHECK_EQ(sent_count, 1); /* told once */
        driver_set_common(&driver, COMMON_STATUS, 1, 0);
        CHECK_EQ(status(), 0);
        CHECK_EQ(toy.resets, 2); /* start's own was the first */
        CHECK(driver_start(&driver, VIRTIO_F_VERSION_1));
        driver_ring_init(&ring[0], ram, 0, 16);
        driver_enable_queue(&driver, 0, &ring[0], 0);
        driver_ready(&driver);
        CHECK(works(0));
}

static void test_reset(void)
{
        start(VIRTIO_F_VERSION_1 | FEATURE);
        CHECK(works(0));
        driver_set_common(&driver, COMMON_STATUS, 1, 0);
        CHECK_EQ(status(), 0);
        CHECK_EQ(toy.resets, 2);
        CHECK(!toy.device.live && !toy.device.features);
        CHECK_EQ(driver_common(&driver, COMMON_CONFIG_VECTOR, 2), 0xffff);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_SELECT, 2), 0);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_ENABLE, 2), 0);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_VECTOR, 2), 0xffff);
        CHECK_EQ(driver_common(&driver, COMMON_QUEUE_DRIVER, 8), 0);
        toy.notified[0] = 0;
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(toy.notified[0], 0);
}

static void test_config(void)
{
        start(VIRTIO_F_VERSION_1);
        bus_mmio_write(&bus, GPA(driver.config + 4), 4, 0xa1a2a3a4);
        CHECK_EQ(toy.config[1], 0xa1a2a3a4);
        bus_mmio_write(&bus, GPA(driver.config + 5), 1, 0);
        CHECK_EQ(toy.config[1], 0xa1a200a4);
        bus_mmio_write(&bus, GPA(driver.config + 6), 4, 0); /* runs out of it */
        bus_mmio_write(&bus, GPA(driver.config + 8), 1, 0);
        bus_mmio_write(&bus, GPA(driver.config), 8, 0);
        CHECK_EQ(toy.config_writes, 2);
        CHECK_EQ(driver_common(&driver, COMMON_GENERATION, 1), 0);
        virtio_device_config_changed(&toy.device);
        CHECK_EQ(driver_common(&driver, COMMON_GENERATION, 1), 1);
        CHECK_EQ(sent_count, 1);
        CHECK_EQ(sent[0].vector, 0x50);
        CHECK_EQ(sent[0].dest, 1);
}

static uint64_t pending(void)
{
        return bus_mmio_read(&bus, GPA(driver.table + 0x800), 8);
}

static void test_msix_masks(void)
{
        start(VIRTIO_F_VERSION_1);
        driver_set_vector(&driver, 0, 0x40, 3, true);
        CHECK(works(0));
        CHECK(works(0));
        CHECK_EQ(sent_count, 0);
        CHECK_EQ(pending(), 1);
        CHECK(works(1)); /* its own mask only */
        CHECK_EQ(sent_count, 1);
        driver_set_vector(&driver, 0, 0x66, 2, false); /* as it is then */
        CHECK_EQ(sent_count, 2);                       /* once */
        CHECK_EQ(sent[1].vector, 0x66);
        CHECK_EQ(sent[1].dest, 2);
        CHECK_EQ(pending(), 0);
        driver_enable_msix(&driver, true, true); /* all */
        CHECK(works(0) && works(1));
        CHECK_EQ(pending(), 3);
        driver_set_vector(&driver, 1, 0x41, 3, true);
        driver_enable_msix(&driver, true, false);
        CHECK_EQ(sent_count, 3);
        CHECK_EQ(pending(), 2);
        driver_enable_msix(&driver, false, false); /* what is pending is gone */
        CHECK_EQ(pending(), 0);
        driver_enable_msix(&driver, true, false);
        driver_set_vector(&driver, 1, 0x41, 3, false);
        CHECK_EQ(sent_count, 3);
        driver_config_write(&driver, 4, 2, 3); /* no bus master: messages are no less its own */
        virtio_device_config_changed(&toy.device);
        CHECK_EQ(sent_count, 3);
        driver_config_write(&driver, 4, 2, 7);
        CHECK_EQ(sent_count, 4);
        CHECK_EQ(sent[3].vector, 0x50);
}

static void test_msix_off(void)
{
        start(VIRTIO_F_VERSION_1);
        driver_enable_msix(&driver, false, false);
        CHECK(works(0));
        CHECK_EQ(sent_count, 0);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.isr), 1), 1);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.isr), 1), 0);
        virtio_device_config_changed(&toy.device);
        CHECK(works(1));
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.isr), 1), 3);
        driver_enable_msix(&driver, true, false);
        CHECK(works(0));
        CHECK_EQ(sent_count, 1);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.isr), 1), 0);
}

static void write_entry(uint32_t low, uint32_t high, uint32_t data)
{
        const uint32_t word[] = {low, high, data, 0xfffffffe};

        for (unsigned i = 0; i < 4; i++)
                bus_mmio_write(&bus, GPA(driver.table + 4 * i), 4, word[i]);
        CHECK(works(0));
}

/* Addresses and data that no driver would write. */
static void test_msix_messages(void)
{
        start(VIRTIO_F_VERSION_1);
        write_entry(0xfedff000, 0, 0x40);
        write_entry(0xfef00000, 0, 0x40);
        write_entry(0x00001000, 0, 0x40);
        write_entry(0xfee00000, 1, 0x40);
        write_entry(0xfee00000, 0, 0x8040); /* level-triggered: nobody would tell its end */
        write_entry(0xfee00000, 0, 0x0240); /* SMI */
        write_entry(0xfee00000, 0, 0x0540); /* INIT */
        write_entry(0xfee00000, 0, 0x0740); /* ExtINT */
        CHECK_EQ(sent_count, 0);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.table + 12), 4), 0);
        write_entry(0xfee0200c, 0, 0x4142);
        CHECK_EQ(sent[0].dest, 2);
        CHECK(sent[0].logical);
        CHECK_EQ(sent[0].mode, APIC_LOWEST);
        CHECK_EQ(sent[0].vector, 0x42);
        write_entry(0xfeeff000, 0, 0x0400);
        CHECK(sent[1].dest == APIC_DEST_ALL);
        CHECK_EQ(sent[1].mode, APIC_NMI);
        /* beyond the table, and in halves and wholes */
        bus_mmio_write(&bus, GPA(driver.table + 16 * (QUEUES + 1)), 8, UINT64_MAX);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.table + 16 * (QUEUES + 1)), 8), 0);
        bus_mmio_write(&bus, GPA(driver.table + 0x800), 8, UINT64_MAX);
        CHECK_EQ(pending(), 0);
        bus_mmio_write(&bus, GPA(driver.table), 8, 0xfee01000);
        bus_mmio_write(&bus, GPA(driver.table + 8), 8, 0x77);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.table + 8), 8), 0x77);
        CHECK_EQ(bus_mmio_read(&bus, GPA(driver.table + 1), 1), 0x10);
        CHECK(works(0));
        CHECK_EQ(sent[2].dest, 1);
        CHECK_EQ(sent[2].vector, 0x77);
        /* a queue without a vector */
        driver_set_common(&driver, COMMON_QUEUE_SELECT, 2, 0);
        driver_set_common(&driver, COMMON_QUEUE_VECTOR, 2, 0xffff);
        CHECK(works(0));
        CHECK_EQ(sent_count, 3);
}

/* The registers and the notification move, and the driver goes on. */
static void test_moves(void)
{
        start(VIRTIO_F_VERSION_1);
        CHECK(works(0));
        driver_config_write(&driver, 0x10, 4, 0xc800);
        CHECK(!works(0));
        driver.notify = 0xc800;
        CHECK(driver_notify(&driver, 0));
        CHECK_EQ(*driver_used_index(&ring[0]), 2);
        ring[0].next_used = 2;
        CHECK(works(0));
        driver_config_write(&driver, 0x14, 4, 0xec000000);
        CHECK_EQ(status(), 0xff);
        driver.common = 0xec000000;
        CHECK_EQ(status(), 15);
        driver_config_write(&driver, 4, 2, 5); /* no memory */
        CHECK_EQ(status(), 0xff);
        CHECK(works(0));
}

static uint32_t window_read(unsigned bar, uint32_t offset, uint32_t size)
{
        driver_config_write(&driver, 0x94, 1, bar);
        driver_config_write(&driver, 0x98, 4, offset);
        driver_config_write(&driver, 0x9c, 4, size);
        return driver_config_read(&driver, 0xa0, size <= 4 ? size : 4);
}

static void window_write(unsigned bar, uint32_t offset, uint32_t size, uint32_t value)
{
        driver_config_write(&driver, 0xa0, 4, 0); /* of no size */
        driver_config_write(&driver, 0x94, 1, bar);
        driver_config_write(&driver, 0x98, 4, offset);
        driver_config_write(&driver, 0x9c, 4, size);
        driver_config_write(&driver, 0xa0, size <= 4 ? size : 4, value);
        driver_config_write(&driver, 0x9c, 4, 0);
}

static void test_window(void)
{
        struct bus_later later;

        start(VIRTIO_F_VERSION_1);
        driver_config_write(&driver, 0x9c, 4, 0);
        driver_config_write(&driver, 4, 2, 4); /* the BARs answer nowhere */
        CHECK_EQ(window_read(1, COMMON_STATUS, 1), 15);
        CHECK_EQ(window_read(1, COMMON_QUEUES, 2), QUEUES);
        CHECK_EQ(window_read(1, 0x100, 4), 0x04030201);
        window_write(1, 0x104, 4, 0x11223344);
        CHECK_EQ(toy.config[1], 0x11223344);
        add(0);
        window_write(0, 0, 2, 0);
        later = bus_take_later(&bus);
        CHECK(later.serve && bus_serve(&later));
        CHECK_EQ(*driver_used_index(&ring[0]), 1);
        /* what is not there, not aligned, or no size */
        toy.config_writes = 0;
        window_write(2, 0x104, 4, 0);
        window_write(255, 0x104, 4, 0);
        window_write(1, 0x102, 4, 0);
        window_write(1, 0x104, 3, 0);
        window_write(1, 0x104, 8, 0);
        window_write(1, 0x80000104, 4, 0);
        window_write(1, 0xfffffffc, 4, 0);
        window_write(1, 0x2000, 4, 0);
        CHECK_EQ(toy.config_writes, 0);
        (void)window_read(255, 0, 4);
        (void)window_read(1, 0x2000, 4);
        (void)window_read(0, UINT32_MAX, 1);
}

int main(void)
{
        RUN(test_identity);
        RUN(test_start);
        RUN(test_queue_registers);
        RUN(test_bad_rings);
        RUN(test_work);
        RUN(test_bound);
        RUN(test_who_may_work);
        RUN(test_break);
        RUN(test_reset);
        RUN(test_config);
        RUN(test_msix_masks);
        RUN(test_msix_off);
        RUN(test_msix_messages);
        RUN(test_moves);
        RUN(test_window);
        free(ram);
        return unit_done();
}
