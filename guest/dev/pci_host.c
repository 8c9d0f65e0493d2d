/* PCI bus 0: configuration mechanism #1, functions, and BARs that move; contract in pci_host.h. */
#include "guest/dev/pci_host.h"

#include "guest/dev/platform.h"
#include "hv/lib/errno.h"

/* A range of memory or ports for each function, and those of the platform. */
_Static_assert(PCI_DEVICES_MAX - 1 + 4 <= BUS_RANGES_MAX, "the bus has a place for each");

#define ADDRESS_PORT 0u
#define DATA_PORT    4u

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu
#define ADDRESS_DEVICE   0x0000f800u
#define ADDRESS_REGISTER 0x000000fcu

#define CLASS_BRIDGE   0x06
#define INTERRUPT_LINE 0x3cu
#define BAR_PORTS      1u /* the bit that tells a BAR of ports */
#define BARS_END       PCI_BAR(6)

uint32_t pci_config_get(const struct pci_function *f, unsigned offset, unsigned size)
{
        uint32_t value = 0;

        for (unsigned i = 0; i < size; i++)
                value |= (uint32_t)f->config[offset + i] << 8 * i;
        return value;
}

void pci_config_set(struct pci_function *f, unsigned offset, unsigned size, uint32_t value)
{
        for (unsigned i = 0; i < size; i++)
                f->config[offset + i] = (uint8_t)(value >> 8 * i);
}

void pci_config_open(struct pci_function *f, unsigned offset, unsigned size, uint32_t mask)
{
        for (unsigned i = 0; i < size; i++)
                f->writable[offset + i] = (uint8_t)(mask >> 8 * i);
}

void pci_host_init(struct pci_host *p, struct bus *bus, uint16_t vendor, uint16_t device)
{
        *p = (struct pci_host){.bus = bus};
        p->function[0] = &p->bridge;
        p->next_port = PLATFORM_PCI_IO_BASE;
        p->next_memory = PLATFORM_PCI_BASE;
        pci_config_set(&p->bridge, PCI_VENDOR, 2, vendor);
        pci_config_set(&p->bridge, PCI_DEVICE, 2, device);
        pci_config_set(&p->bridge, PCI_CLASS, 1, CLASS_BRIDGE);
}

/* The next address of a window for a BAR, aligned to its size. */
static int assign(struct pci_function *f, unsigned n, uint32_t *next, uint64_t end)
{
        const struct pci_bar *bar = &f->bar[n];
        uint64_t at = align_up(*next, bar->size);

        if (at + bar->size > end)
                return -ENOSPC;
        *next = (uint32_t)(at + bar->size);
        pci_config_set(f, PCI_BAR(n), 4, (uint32_t)at | (bar->ports ? BAR_PORTS : 0));
        pci_config_open(f, PCI_BAR(n), 4, ~(bar->size - 1));
        return 0;
}

int pci_host_add(struct pci_host *p, struct pci_function *f)
{
        unsigned device = 0;
        int err = 0;

        while (device < PCI_DEVICES_MAX && p->function[device])
                device++;
        if (device == PCI_DEVICES_MAX)
                return -ENOSPC;
        pci_config_open(f, PCI_COMMAND, 2,
                        PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                            PCI_COMMAND_INTX_OFF);
        pci_config_open(f, INTERRUPT_LINE, 1, 0xff);
        for (unsigned n = 0; !err && n < PCI_BARS; n++) {
                if (f->bar[n].ports)
                        err = assign(f, n, &p->next_port,
                                     PLATFORM_PCI_IO_BASE + PLATFORM_PCI_IO_SIZE);
                else if (f->bar[n].size)
                        err = assign(f, n, &p->next_memory, PLATFORM_PCI_BASE + PLATFORM_PCI_SIZE);
        }
        if (err)
                return err;
        f->host = p;
        p->function[device] = f;
        return 0;
}

/* Whether a BAR is to answer, and where. */
static bool wanted(const struct pci_function *f, unsigned n, uint32_t *at)
{
        const struct pci_bar *bar = &f->bar[n];
        uint32_t command = pci_config_get(f, PCI_COMMAND, 2);

        *at = pci_config_get(f, PCI_BAR(n), 4) & ~(bar->size - 1);
        return bar->size && command & (bar->ports ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

static void remove_moved(struct bus *bus, struct pci_function *f, unsigned n)
{
        struct pci_bar *bar = &f->bar[n];
        uint32_t at;
        int err;

        if (!bar->placed || (wanted(f, n, &at) && at == bar->at))
                return;
        err = bar->ports ? bus_remove_ports(bus, (uint16_t)bar->at)
                         : bus_remove_mmio(bus, GPA(bar->at));
        bar->placed = err != 0; /* never: it stands there */
}

static void place(struct bus *bus, struct pci_function *f, unsigned n)
{
        struct pci_bar *bar = &f->bar[n];
        uint32_t at;

        if (bar->placed || !wanted(f, n, &at))
                return;
        if (!bar->ports)
                bar->placed = !bus_add_mmio(bus, GPA(at), bar->size, &bar->handler);
        else if (at <= UINT16_MAX)
                bar->placed = !bus_add_ports(bus, (uint16_t)at, bar->size, &bar->handler);
        bar->at = at;
}

/* All leave before any comes: one may come to where another was. */
static void move_bars(struct pci_host *p)
{
        static void (*const step[])(struct bus *, struct pci_function *, unsigned) = {remove_moved,
                                                                                      place};

        for (unsigned s = 0; s < ARRAY_LEN(step); s++)
                for (unsigned i = 0; i < PCI_DEVICES_MAX; i++)
                        for (unsigned n = 0; p->function[i] && n < PCI_BARS; n++)
                                step[s](p->bus, p->function[i], n);
}

/* The function that the address register names, or NULL: bus and function 0 are all there is. */
static struct pci_function *addressed(const struct pci_host *p)
{
        unsigned device = (p->address & ADDRESS_DEVICE) >> 11;

        if ((p->address & ~(ADDRESS_DEVICE | ADDRESS_REGISTER)) != ADDRESS_ENABLE)
                return NULL;
        return device < PCI_DEVICES_MAX ? p->function[device] : NULL;
}

uint32_t pci_host_read(struct pci_host *p, unsigned offset, unsigned size)
{
        struct pci_function *f = addressed(p);
        unsigned reg = (p->address & ADDRESS_REGISTER) + (offset & 3);
        uint32_t value = 0;

        /* The address register exists for 32-bit accesses only; less reaches what else is there. */
        if (offset == ADDRESS_PORT && size == 4)
                return p->address;
        if (f && f->read && offset >= DATA_PORT && offset + size <= PCI_HOST_PORTS)
                f->read(f, reg, size);
        for (unsigned i = 0; i < size; i++) {
                unsigned at = offset + i;
                uint8_t byte = 0xff;

                if (f && at >= DATA_PORT && at < PCI_HOST_PORTS)
                        byte = f->config[(p->address & ADDRESS_REGISTER) + at - DATA_PORT];
                value |= (uint32_t)byte << 8 * i;
        }
        return value;
}

void pci_host_write(struct pci_host *p, unsigned offset, unsigned size, uint32_t value)
{
        struct pci_function *f = addressed(p);
        unsigned reg = (p->address & ADDRESS_REGISTER) + (offset & 3);

        if (offset == ADDRESS_PORT && size == 4)
                p->address = value & ADDRESS_WRITABLE;
        if (!f || offset < DATA_PORT || offset + size > PCI_HOST_PORTS)
                return;
        for (unsigned i = 0; i < size; i++) {
                uint8_t mask = f->writable[reg + i];

                f->config[reg + i] =
                    (uint8_t)((f->config[reg + i] & ~mask) | (value >> 8 * i & mask));
        }
        if (reg >= PCI_COMMAND && reg < BARS_END)
                move_bars(p);
        if (f->written)
                f->written(f, reg, size);
}

static uint64_t handler_read(void *ctx, uint64_t offset, unsigned size)
{
        return pci_host_read(ctx, (unsigned)offset, size);
}

static void handler_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        pci_host_write(ctx, (unsigned)offset, size, (uint32_t)value);
}

struct bus_handler pci_host_handler(struct pci_host *p)
{
        return (struct bus_handler){p, handler_read, handler_write, 4};
}
