/*
 * The I/O buses of a VM: which device answers at which port and at which guest-physical address.
 *
 * Ranges are registered while the VM is built; those that its guest may move are taken away and
 * registered anew while it runs, under the lock that the bus is under. A handler's ctx belongs to
 * the device and must outlive the bus. Nothing here touches the machine.
 */
#pragma once

#include "hv/lib/types.h"

#define BUS_RANGES_MAX 28

/*
 * A device's answers. offset counts from the start of its range, size is 1, 2, 4 or 8 bytes and
 * never above width; only the low size bytes of value count. Wider or unaligned-to-the-range
 * accesses reach the device split into single bytes, as a bus bridge does.
 */
struct bus_handler {
        void *ctx;
        uint64_t (*read)(void *ctx, uint64_t offset, unsigned size);
        void (*write)(void *ctx, uint64_t offset, unsigned size, uint64_t value);
        unsigned width;
};

struct bus_range {
        uint64_t base;
        uint64_t size;
        struct bus_handler handler;
};

/* last is the range of the latest hit: exits come in runs to one device. */
struct bus_space {
        struct bus_range range[BUS_RANGES_MAX];
        size_t count;
        size_t last;
};

/*
 * What a write leaves to be done once the caller has let go of the lock that the bus is under: work
 * that takes long, or that needs locks of other VMs. False: not all is done. Then the guest makes
 * its access again.
 */
struct bus_later {
        bool (*serve)(void *ctx, unsigned what); /* NULL: nothing is left */
        void *ctx;
        unsigned what;
};

struct bus {
        struct bus_space ports;
        struct bus_space mmio;
        struct bus_later later; /* of the latest write */
};

void bus_init(struct bus *bus);

/*
 * Claim count ports from base, or size bytes from base. The handler is copied. -EINVAL: empty
 * range, range past the end of its space, or a handler without both functions and a width; -EEXIST:
 * it overlaps a registered range; -ENOSPC: BUS_RANGES_MAX ranges are registered.
 */
must_check int bus_add_ports(struct bus *bus, uint16_t base, uint32_t count,
                             const struct bus_handler *handler);
must_check int bus_add_mmio(struct bus *bus, gpa_t base, uint64_t size,
                            const struct bus_handler *handler);

/* Take away the range that begins at base. -ENOENT: none does. */
must_check int bus_remove_ports(struct bus *bus, uint16_t base);
must_check int bus_remove_mmio(struct bus *bus, gpa_t base);

/* Port access of size 1, 2 or 4. Ports nobody claims read as all ones and ignore writes. */
uint64_t bus_port_read(struct bus *bus, uint16_t port, unsigned size);
void bus_port_write(struct bus *bus, uint16_t port, unsigned size, uint64_t value);

/* Memory access of size 1, 2, 4 or 8, with the rules of ports. */
uint64_t bus_mmio_read(struct bus *bus, gpa_t gpa, unsigned size);
void bus_mmio_write(struct bus *bus, gpa_t gpa, unsigned size, uint64_t value);

/* What the latest write has left, which the caller serves; there is nothing left then. */
static inline struct bus_later bus_take_later(struct bus *bus)
{
        struct bus_later later = bus->later;

        bus->later.serve = NULL;
        return later;
}

static inline bool bus_serve(const struct bus_later *later)
{
        return !later->serve || later->serve(later->ctx, later->what);
}
