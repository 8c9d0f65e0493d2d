/* I/O APIC model: redirection of 24 lines to the local APICs, with remote IRR for level interrupts.
 */
#include "guest/dev/vioapic.h"

#define REG_ID      0x00u
#define REG_VERSION 0x01u
#define REG_ARB     0x02u
#define REG_RTE     0x10u

#define VERSION_VALUE (0x20u | (VIOAPIC_PINS - 1) << 16)

#define RTE_MODE(e)    (((e) >> 8) & 7)
#define RTE_LOGICAL    (1ull << 11)
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL      (1ull << 15)
#define RTE_MASKED     (1ull << 16)
#define RTE_WRITABLE   0xff0000000001afffull /* without delivery status and remote IRR */

void vioapic_init(struct vioapic *io, uint8_t id, const struct vioapic_ops *ops)
{
        *io = (struct vioapic){.id = id, .ops = *ops};
        for (unsigned pin = 0; pin < VIOAPIC_PINS; pin++)
                io->rte[pin] = RTE_MASKED;
}

static void deliver(struct vioapic *io, unsigned pin)
{
        uint64_t rte = io->rte[pin];
        uint32_t dest = (uint32_t)(rte >> 56);
        struct apic_message m = {.dest = dest == 0xff ? APIC_DEST_ALL : dest,
                                 .logical = (rte & RTE_LOGICAL) != 0,
                                 .level = (rte & RTE_LEVEL) != 0,
                                 .mode = RTE_MODE(rte),
                                 .vector = rte & 0xff};

        if (m.level)
                io->remote_irr |= 1u << pin;
        io->ops.deliver(io->ops.ctx, &m);
}

/* Deliver a level pin that is asserted, not masked and not waiting for its EOI. */
static void service_level(struct vioapic *io, unsigned pin)
{
        uint64_t rte = io->rte[pin];

        if ((rte & RTE_LEVEL) && !(rte & RTE_MASKED) && (io->line & ~io->remote_irr) >> pin & 1)
                deliver(io, pin);
}

void vioapic_set_irq(struct vioapic *io, unsigned pin, bool level)
{
        if (pin >= VIOAPIC_PINS || level == ((io->line >> pin) & 1))
                return;
        io->line ^= 1u << pin;
        /* An edge on a masked pin is lost, as the datasheet says. */
        if (io->rte[pin] & RTE_LEVEL)
                service_level(io, pin);
        else if (level && !(io->rte[pin] & RTE_MASKED))
                deliver(io, pin);
}

void vioapic_eoi(struct vioapic *io, uint8_t vector)
{
        uint32_t waiting = io->remote_irr;

        while (waiting != 0) {
                unsigned pin = (unsigned)__builtin_ctz(waiting);

                waiting &= waiting - 1;
                if ((io->rte[pin] & 0xff) != vector)
                        continue;
                io->remote_irr &= ~(1u << pin);
                service_level(io, pin);
        }
}

static void write_rte(struct vioapic *io, unsigned reg, uint32_t value)
{
        unsigned pin = reg / 2;
        uint64_t rte = io->rte[pin];

        if (reg & 1)
                rte = (rte & UINT32_MAX) | (uint64_t)value << 32;
        else
                rte = (rte & ~(uint64_t)UINT32_MAX) | value;
        io->rte[pin] = rte & RTE_WRITABLE;
        /* Switching a pin to edge ends its wait: Linux' way to an EOI without the EOI register. */
        if (!(rte & RTE_LEVEL))
                io->remote_irr &= ~(1u << pin);
        service_level(io, pin);
}

static uint32_t read_rte(const struct vioapic *io, unsigned reg)
{
        unsigned pin = reg / 2;
        uint64_t rte = io->rte[pin];

        if ((io->remote_irr >> pin) & 1)
                rte |= RTE_REMOTE_IRR;
        return (uint32_t)(reg & 1 ? rte >> 32 : rte);
}

static uint32_t read_indexed(const struct vioapic *io)
{
        if (io->index == REG_VERSION)
                return VERSION_VALUE;
        if (io->index == REG_ID || io->index == REG_ARB)
                return (uint32_t)io->id << 24;
        if (io->index >= REG_RTE && io->index < REG_RTE + 2 * VIOAPIC_PINS)
                return read_rte(io, io->index - REG_RTE);
        return 0;
}

static void write_indexed(struct vioapic *io, uint32_t value)
{
        if (io->index == REG_ID)
                io->id = (value >> 24) & 0xf;
        else if (io->index >= REG_RTE && io->index < REG_RTE + 2 * VIOAPIC_PINS)
                write_rte(io, io->index - REG_RTE, value);
}

uint32_t vioapic_read(struct vioapic *io, uint64_t offset)
{
        if (offset == VIOAPIC_INDEX)
                return io->index;
        if (offset == VIOAPIC_DATA)
                return read_indexed(io);
        return 0;
}

void vioapic_write(struct vioapic *io, uint64_t offset, uint32_t value)
{
        if (offset == VIOAPIC_INDEX)
                io->index = (uint8_t)value;
        else if (offset == VIOAPIC_DATA)
                write_indexed(io, value);
        else if (offset == VIOAPIC_EOI)
                vioapic_eoi(io, (uint8_t)value);
}

/* The registers are 32 bits wide; only the index may be reached by less. */
static uint64_t handler_read(void *ctx, uint64_t offset, unsigned size)
{
        if (size != 4 && offset != VIOAPIC_INDEX)
                return 0;
        return vioapic_read(ctx, offset);
}

static void handler_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        if (size != 4 && offset != VIOAPIC_INDEX)
                return;
        vioapic_write(ctx, offset, (uint32_t)value);
}

struct bus_handler vioapic_handler(struct vioapic *io)
{
        return (struct bus_handler){io, handler_read, handler_write, 4};
}
