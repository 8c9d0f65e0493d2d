/*
 * Virtio over PCI (guest/dev/virtio/, msix.c, pci_host.c) under a hostile guest: accesses to the
 * configuration space, the registers and the notification, and any bytes in the rings, the tables
 * and the buffers. Two devices: one of the tree's, and one that reads and writes all that it is
 * given. The guest's memory is in blocks of just their size, so that ASan sees each access outside.
 */
#include "guest/dev/platform.h"
#include "guest/dev/virtio/pci.h"
#include "guest/dev/virtio/rng.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/virtio_driver.h"

#define BLOCK   0x1000u
#define BLOCKS  3u /* neighbours for the guest; the last is read-only */
#define RAM     (BLOCKS * BLOCK)
#define DEVICES 2u
#define ENTRIES 8u
#define TOUCHED 256u /* bytes of each piece that the device looks at */

static struct gmem mem;
static struct bus bus;
static struct pci_host host;
static struct virtio_pci pci[DEVICES];
static struct virtio_rng rng;
static struct virtio_device eater;
static uint32_t eater_config[3];
static struct virtio_device *const device[DEVICES] = {&rng.device, &eater};
static struct driver_pci driver[DEVICES];
static uint8_t *block[BLOCKS];

static void send(void *ctx, const struct apic_message *message)
{
        (void)ctx;
        DEMAND(message->mode <= APIC_NMI && message->mode != APIC_SMI && !message->level);
        DEMAND(message->dest < 0xff || message->dest == APIC_DEST_ALL);
}

static bool number(uint64_t *out)
{
        *out = 0x5555555555555555;
        return true;
}

static uint32_t touch(struct virtio_chain *c)
{
        uint64_t size = 0;
        uint32_t sum = 0;

        DEMAND(c->readable + c->writable >= 1 && c->readable + c->writable <= VIRTIO_PIECES_MAX);
        for (unsigned i = 0; i < c->readable + c->writable; i++) {
                const struct virtio_piece *p = &c->piece[i];

                DEMAND(p->size >= 1 && p->size <= BLOCK);
                size += p->size;
                for (uint64_t at = 0; at < p->size && at < TOUCHED; at++) {
                        sum += p->at[at];
                        if (i >= c->readable)
                                p->at[at] = (uint8_t)at;
                        else
                                sum += p->at[p->size - 1 - at];
                }
        }
        DEMAND(size == c->readable_size + c->writable_size);
        return sum;
}

static bool eat(struct virtio_device *d, unsigned n)
{
        struct virtio_queue *q = &d->queue[n];
        struct virtio_chain c;

        for (unsigned i = 0; i < q->size; i++) {
                if (virtio_queue_take(q, &c))
                        virtio_queue_give(q, c.head, touch(&c));
                else if (virtio_queue_rest(q))
                        return true;
        }
        return false;
}

static void write_config(struct virtio_device *d, unsigned offset, unsigned size, uint32_t value)
{
        DEMAND(d == &eater && offset + size <= sizeof eater_config);
        memcpy((uint8_t *)eater_config + offset, &value, size);
        virtio_device_config_changed(d);
}

static const struct virtio_model model = {.type = 42, .notify = eat, .config_write = write_config};

static void make_devices(void)
{
        const struct msix_ops ops = {NULL, send};
        struct bus_handler h;

        gmem_init(&mem, NULL);
        for (unsigned i = 0; i < BLOCKS; i++) {
                block[i] = fuzz_alloc(BLOCK);
                memset(block[i], 0, BLOCK);
                DEMAND(!(i + 1 < BLOCKS
                             ? gmem_add(&mem, GPA(i * BLOCK), BLOCK, block[i])
                             : gmem_add_read_only(&mem, GPA(i * BLOCK), BLOCK, block[i])));
        }
        virtio_rng_init(&rng, number, &mem, "fuzz");
        eater = (struct virtio_device){.model = &model,
                                       .offered = 0xff,
                                       .config = eater_config,
                                       .config_size = sizeof eater_config,
                                       .queues = 3};
        virtio_device_init(&eater, &mem, "fuzz");
        bus_init(&bus);
        pci_host_init(&host, &bus, 0x1234, 0x5678);
        h = pci_host_handler(&host);
        DEMAND(!bus_add_ports(&bus, PLATFORM_PCI_PORT, PCI_HOST_PORTS, &h));
        for (unsigned i = 0; i < DEVICES; i++) {
                virtio_pci_init(&pci[i], device[i], &ops);
                DEMAND(!pci_host_add(&host, &pci[i].function));
                DEMAND(driver_pci_probe(&driver[i], &bus, i + 1));
        }
}

/* As a vCPU does, which makes the access again until all is done. */
static void serve(void)
{
        struct bus_later later = bus_take_later(&bus);

        for (unsigned n = 0; !bus_serve(&later); n++)
                DEMAND(n < 100);
}

/* A device that works, with rings at some place: what comes then is their contents. */
static void start(struct fuzz_input *in, const struct driver_pci *p, const struct virtio_device *d)
{
        uint64_t features = VIRTIO_F_VERSION_1 | (fuzz_take(in, 1) & 3) << 28;

        if (!driver_start(p, features))
                return;
        driver_enable_msix(p, true, false);
        for (unsigned n = 0; n < d->queues; n++) {
                struct driver_ring ring = {.gpa = (fuzz_take(in, 1) & 0x3f) * 16, .size = ENTRIES};

                driver_enable_queue(p, n, &ring, n);
                driver_set_vector(p, n, (uint8_t)(0x40 + n), 0, false);
        }
        driver_ready(p);
}

static void write_memory(struct fuzz_input *in)
{
        uint64_t at = fuzz_take(in, 2) % (RAM - BLOCK - 64), size = 1 + (fuzz_take(in, 1) & 63);

        for (uint64_t i = 0; i < size; i++)
                block[(at + i) / BLOCK][(at + i) % BLOCK] = (uint8_t)fuzz_take(in, 1);
}

static void access_registers(struct fuzz_input *in, const struct driver_pci *p, unsigned size,
                             bool write)
{
        static const uint16_t part[] = {0, 0x100, 0x1000, 0x1800};
        unsigned raw = (unsigned)fuzz_take(in, 1);
        gpa_t gpa = GPA(PLATFORM_PCI_BASE + (p->device - 1) * 0x2000 + part[raw >> 6] + (raw & 63));

        if (write)
                bus_mmio_write(&bus, gpa, size, fuzz_take(in, size));
        else
                (void)bus_mmio_read(&bus, gpa, size);
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1), size = 1u << (what >> 6);
        const struct driver_pci *p = &driver[what >> 5 & 1];
        unsigned port_size = size > 4 ? 4 : size;

        switch (what & 15) {
        case 0:
                start(in, p, device[what >> 5 & 1]);
                break;
        case 1:
        case 2:
        case 3:
                write_memory(in);
                break;
        case 4:
        case 5:
        case 6:
                bus_port_write(&bus, p->notify, port_size, fuzz_take(in, 1) & 3);
                break;
        case 7:
        case 8:
        case 9:
                access_registers(in, p, size, what & 1);
                break;
        case 10:
                (void)driver_config_read(p, (unsigned)fuzz_take(in, 1), port_size);
                break;
        case 11:
        case 12:
                driver_config_write(p, (unsigned)fuzz_take(in, 1), port_size,
                                    (uint32_t)fuzz_take(in, port_size));
                break;
        case 13:
                bus_port_write(&bus, (uint16_t)(PLATFORM_PCI_PORT + (fuzz_take(in, 1) & 7)),
                               port_size, fuzz_take(in, port_size));
                break;
        default:
                driver_config_write(p, 4, 2, 7);
        }
        serve();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        make_devices();
        while (in.left) {
                step(&in);
                for (unsigned i = 0; i < DEVICES; i++)
                        for (unsigned n = 0; n < device[i]->queues; n++)
                                DEMAND(!device[i]->live || !device[i]->queue[n].broken);
        }
        for (unsigned at = 0; at < BLOCK; at++)
                DEMAND(block[BLOCKS - 1][at] == 0); /* nobody may write there */
        for (unsigned i = 0; i < BLOCKS; i++)
                free(block[i]);
        return 0;
}
