/* PCI configuration mechanism #1 and the one function behind it. */
#include "guest/dev/pci_host.h"

#define ADDRESS_PORT 0u
#define DATA_PORT    4u

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

#define CONFIG_VENDOR   0x00
#define CONFIG_DEVICE   0x02
#define CONFIG_SUBCLASS 0x0a
#define CONFIG_CLASS    0x0b
#define CLASS_BRIDGE    0x06
#define SUBCLASS_HOST   0x00

static void put16(uint8_t *at, uint16_t value)
{
        at[0] = (uint8_t)value;
        at[1] = (uint8_t)(value >> 8);
}

void pci_host_init(struct pci_host *p, uint16_t vendor, uint16_t device)
{
        *p = (struct pci_host){0};
        put16(&p->config[CONFIG_VENDOR], vendor);
        put16(&p->config[CONFIG_DEVICE], device);
        p->config[CONFIG_SUBCLASS] = SUBCLASS_HOST;
        p->config[CONFIG_CLASS] = CLASS_BRIDGE;
}

static uint8_t config_byte(const struct pci_host *p, unsigned lane)
{
        unsigned reg = (p->address & 0xfc) + lane;

        /* Bus, device and function 0 are all there is. */
        if ((p->address & ~0xfcu) != ADDRESS_ENABLE)
                return 0xff;
        return reg < sizeof(p->config) ? p->config[reg] : 0;
}

uint32_t pci_host_read(const struct pci_host *p, unsigned offset, unsigned size)
{
        uint32_t value = 0;

        /* The address register exists for 32-bit accesses only; less reaches what else is there. */
        if (offset == ADDRESS_PORT && size == 4)
                return p->address;
        for (unsigned i = 0; i < size; i++) {
                unsigned at = offset + i;
                uint8_t byte =
                    at >= DATA_PORT && at < PCI_HOST_PORTS ? config_byte(p, at - DATA_PORT) : 0xff;

                value |= (uint32_t)byte << (8 * i);
        }
        return value;
}

void pci_host_write(struct pci_host *p, unsigned offset, unsigned size, uint32_t value)
{
        if (offset == ADDRESS_PORT && size == 4)
                p->address = value & ADDRESS_WRITABLE;
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
