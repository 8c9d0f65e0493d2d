/*
 * I/O APIC model: Intel 82093AA with 24 pins, and the EOI register of version 20h.
 *
 * Lines are told as asserted or not, whatever polarity the guest programs: the platform's tables
 * and its wiring agree by construction. Interrupts leave through deliver.
 */
#pragma once

#include "guest/dev/bus.h"
#include "guest/dev/vlapic.h"
#include "hv/lib/types.h"

#define VIOAPIC_PINS 24
#define VIOAPIC_SIZE 0x1000ull /* bytes of MMIO */

/* Registers in it. */
#define VIOAPIC_INDEX 0x00
#define VIOAPIC_DATA  0x10
#define VIOAPIC_EOI   0x40

struct vioapic_ops {
        void *ctx;
        void (*deliver)(void *ctx, const struct apic_message *message);
};

struct vioapic {
        uint64_t rte[VIOAPIC_PINS]; /* redirection entries as written */
        uint32_t line;              /* bit n: pin n is asserted */
        uint32_t remote_irr;        /* bit n: pin n waits for an EOI */
        uint8_t id, index;
        struct vioapic_ops ops;
};

/* State after reset: every pin masked. ops is copied, deliver is required. */
void vioapic_init(struct vioapic *io, uint8_t id, const struct vioapic_ops *ops);

/* A device drives its line. Pins from VIOAPIC_PINS on are ignored. */
void vioapic_set_irq(struct vioapic *io, unsigned pin, bool level);

/* The end of a level-triggered interrupt; a pin still asserted is delivered again. */
void vioapic_eoi(struct vioapic *io, uint8_t vector);

/* Registers by MMIO offset: 00h index, 10h data, 40h EOI; others read 0 and ignore writes. */
uint32_t vioapic_read(struct vioapic *io, uint64_t offset);
void vioapic_write(struct vioapic *io, uint64_t offset, uint32_t value);

/* The handler for VIOAPIC_SIZE bytes of MMIO. */
struct bus_handler vioapic_handler(struct vioapic *io);
