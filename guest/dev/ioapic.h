/*
 * I/O APIC model: Intel 82093AA with 24 pins, and the EOI register of version 20h.
 *
 * Lines are told as asserted or not, whatever polarity the guest programs: the platform's tables
 * and its wiring agree by construction. Interrupts leave through deliver.
 */
#pragma once

#include "guest/dev/bus.h"
#include "guest/dev/lapic.h"
#include "hv/lib/types.h"

#define IOAPIC_PINS 24
#define IOAPIC_SIZE 0x1000ull /* bytes of MMIO */

/* Registers in it. */
#define IOAPIC_INDEX 0x00
#define IOAPIC_DATA  0x10
#define IOAPIC_EOI   0x40

struct ioapic_ops {
        void *ctx;
        void (*deliver)(void *ctx, const struct apic_message *message);
};

struct ioapic {
        uint64_t rte[IOAPIC_PINS]; /* redirection entries as written */
        uint32_t line;             /* bit n: pin n is asserted */
        uint32_t remote_irr;       /* bit n: pin n waits for an EOI */
        uint8_t id, index;
        struct ioapic_ops ops;
};

/* State after reset: every pin masked. ops is copied, deliver is required. */
void ioapic_init(struct ioapic *io, uint8_t id, const struct ioapic_ops *ops);

/* A device drives its line. Pins from IOAPIC_PINS on are ignored. */
void ioapic_set_irq(struct ioapic *io, unsigned pin, bool level);

/* The end of a level-triggered interrupt; a pin still asserted is delivered again. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);

/* Registers by MMIO offset: 00h index, 10h data, 40h EOI; others read 0 and ignore writes. */
uint32_t ioapic_read(struct ioapic *io, uint64_t offset);
void ioapic_write(struct ioapic *io, uint64_t offset, uint32_t value);

/* The handler for IOAPIC_SIZE bytes of MMIO. */
struct bus_handler ioapic_handler(struct ioapic *io);
