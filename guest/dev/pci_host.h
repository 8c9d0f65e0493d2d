/*
 * PCI bus 0 of a VM: configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2), a host bridge at
 * 0:0.0, and functions 0 of other devices. A function is its configuration space, of which a mask
 * tells what the guest may write, and its BARs. Where a BAR lies is the guest's to say at any time:
 * the range on the VM's bus follows it. A BAR that lies on another range answers nowhere until one
 * of them has moved.
 *
 * Linux wants a host bridge before it accepts type-12 memory as a resource. All calls stand under
 * vm->devices once vCPUs run.
 */
#pragma once

#include "guest/dev/bus.h"
#include "hv/lib/types.h"

#define PCI_HOST_PORTS  8 /* address at offset 0, data at 4 to 7 */
#define PCI_DEVICES_MAX 24u
#define PCI_BARS        2u
#define PCI_CONFIG_SIZE 256u

/* Registers of the header, type 0. */
#define PCI_VENDOR              0x00u
#define PCI_DEVICE              0x02u
#define PCI_COMMAND             0x04u
#define PCI_STATUS              0x06u
#define PCI_REVISION            0x08u
#define PCI_SUBCLASS            0x0au
#define PCI_CLASS               0x0bu
#define PCI_BAR(n)              (0x10u + 4 * (n))
#define PCI_SUBSYSTEM_VENDOR    0x2cu
#define PCI_SUBSYSTEM           0x2eu
#define PCI_CAPABILITIES        0x34u
#define PCI_COMMAND_IO          (1u << 0)
#define PCI_COMMAND_MEMORY      (1u << 1)
#define PCI_COMMAND_MASTER      (1u << 2)
#define PCI_COMMAND_INTX_OFF    (1u << 10)
#define PCI_STATUS_CAPABILITIES (1u << 4)

/* A range that the guest places: ports or 32-bit memory, of a power of two. */
struct pci_bar {
        uint32_t size; /* bytes; 0: there is none */
        bool ports;
        bool placed; /* on the bus, at at */
        uint32_t at;
        struct bus_handler handler;
};

struct pci_host;

struct pci_function {
        struct pci_host *host; /* set by pci_host_add */
        uint8_t config[PCI_CONFIG_SIZE];
        uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may write */
        struct pci_bar bar[PCI_BARS];
        /*
         * May be NULL. read is called before size bytes at offset are read, written after they were
         * written as far as the masks allow; the BARs have followed then. size is 1, 2 or 4, within
         * one 32-bit register.
         */
        void (*read)(struct pci_function *f, unsigned offset, unsigned size);
        void (*written)(struct pci_function *f, unsigned offset, unsigned size);
};

struct pci_host {
        uint32_t address;
        struct bus *bus;                 /* the VM's, where the BARs are placed */
        uint32_t next_port, next_memory; /* of the windows, not given to a BAR yet */
        struct pci_function bridge;
        struct pci_function *function[PCI_DEVICES_MAX]; /* by device number; 0 is the bridge */
};

/* State after reset; vendor and device are what the bridge tells as its identity. */
void pci_host_init(struct pci_host *p, struct bus *bus, uint16_t vendor, uint16_t device);

/*
 * Put a function on the bus, as the device of the lowest free number, and give its BARs addresses
 * in the windows of guest/dev/platform.h; the guest finds them disabled. f stays the caller's and
 * must outlive p. -ENOSPC: no number or no address is free.
 */
must_check int pci_host_add(struct pci_host *p, struct pci_function *f);

/* Access at offset 0 to 7 from the address port, of size 1, 2 or 4. */
uint32_t pci_host_read(struct pci_host *p, unsigned offset, unsigned size);
void pci_host_write(struct pci_host *p, unsigned offset, unsigned size, uint32_t value);

/* The handler for PCI_HOST_PORTS ports. */
struct bus_handler pci_host_handler(struct pci_host *p);

/* Little-endian fields of a function's configuration space, and what of them the guest may write.
 */
uint32_t pci_config_get(const struct pci_function *f, unsigned offset, unsigned size);
void pci_config_set(struct pci_function *f, unsigned offset, unsigned size, uint32_t value);
void pci_config_open(struct pci_function *f, unsigned offset, unsigned size, uint32_t mask);
