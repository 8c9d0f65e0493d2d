/*
 * PCI configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2) with one function on the bus: a
 * host bridge at 0:0.0. It has no BAR and nothing to configure, so writes to it are dropped; Linux
 * wants it before it accepts type-12 memory as a resource.
 */
#pragma once

#include "guest/dev/bus.h"
#include "hv/lib/types.h"

#define PCI_HOST_PORTS 8 /* address at offset 0, data at 4 to 7 */

struct pci_host {
        uint32_t address;
        uint8_t config[64]; /* the header of 0:0.0; the rest of its space reads 0 */
};

/* State after reset; vendor and device are what the bridge tells as its identity. */
void pci_host_init(struct pci_host *p, uint16_t vendor, uint16_t device);

/* Access at offset 0 to 7 from the address port, of size 1, 2 or 4. */
uint32_t pci_host_read(const struct pci_host *p, unsigned offset, unsigned size);
void pci_host_write(struct pci_host *p, unsigned offset, unsigned size, uint32_t value);

/* The handler for PCI_HOST_PORTS ports. */
struct bus_handler pci_host_handler(struct pci_host *p);
