/*
 * A guest's devices (UART, I/O APIC, local APIC, PCI host bridge, ACPI power registers) behind
 * their buses, wired as in guest/vm/vm.c: a sequence of accesses and of events from outside.
 */
#include "guest/dev/acpi_pm.h"
#include "guest/dev/bus.h"
#include "guest/dev/pci_host.h"
#include "guest/dev/platform.h"
#include "guest/dev/uart16550.h"
#include "guest/dev/vioapic.h"
#include "guest/dev/vlapic.h"
#include "hv/lib/errno.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/deliver.h"

static struct bus bus;
static struct uart16550 uart;
static struct vioapic io;
static struct vlapic apic;
static struct pci_host pci;
static struct acpi_pm pm;
static uint64_t now;
static unsigned depth;

static void put_byte(void *ctx, uint8_t byte)
{
        (void)ctx;
        (void)byte;
}

static void set_irq(void *ctx, bool level)
{
        (void)ctx;
        vioapic_set_irq(&io, PLATFORM_COM1_IRQ, level);
}

/* What the I/O APIC sends must end: no message makes another without end. */
static void deliver(void *ctx, const struct apic_message *message)
{
        (void)ctx;
        DEMAND(++depth < 100);
        (void)deliver_to(&apic, message);
}

static void end_of_interrupt(void *ctx, uint8_t vector)
{
        (void)ctx;
        vioapic_eoi(&io, vector);
}

static void power_event(void *ctx, enum acpi_pm_event event)
{
        (void)ctx;
        DEMAND(event == ACPI_PM_POWER_OFF || event == ACPI_PM_RESTART);
}

static void make_devices(void)
{
        const struct uart16550_ops uart_ops = {NULL, put_byte, set_irq};
        const struct vioapic_ops io_ops = {NULL, deliver};
        const struct vlapic_ops apic_ops = {.eoi = end_of_interrupt};
        struct bus_handler h[4];
        int err = 0;

        now = 0;
        bus_init(&bus);
        vlapic_init(&apic, 0, true, 16, &apic_ops);
        vioapic_init(&io, PLATFORM_IOAPIC_ID, &io_ops);
        uart16550_init(&uart, &uart_ops);
        pci_host_init(&pci, &bus, 0x1234, 0x5678);
        acpi_pm_init(&pm, NULL, power_event);
        h[0] = uart16550_handler(&uart);
        h[1] = pci_host_handler(&pci);
        h[2] = acpi_pm_handler(&pm);
        h[3] = vioapic_handler(&io);
        err |= bus_add_ports(&bus, PLATFORM_COM1_PORT, UART16550_PORTS, &h[0]);
        err |= bus_add_ports(&bus, PLATFORM_PCI_PORT, PCI_HOST_PORTS, &h[1]);
        err |= bus_add_ports(&bus, PLATFORM_ACPI_PM_PORT, ACPI_PM_PORTS, &h[2]);
        err |= bus_add_mmio(&bus, GPA(PLATFORM_IOAPIC_BASE), VIOAPIC_SIZE, &h[3]);
        DEMAND(!err);
}

static uint16_t take_port(struct fuzz_input *in)
{
        static const uint16_t base[] = {PLATFORM_COM1_PORT, PLATFORM_PCI_PORT,
                                        PLATFORM_ACPI_PM_PORT, 0xfffc};
        unsigned raw = (unsigned)fuzz_take(in, 1);

        return (uint16_t)(base[raw & 3] + (raw >> 2 & 15) - 2);
}

static void access_port(struct fuzz_input *in, unsigned size, bool write)
{
        uint16_t port = take_port(in);
        uint64_t value;

        if (write) {
                bus_port_write(&bus, port, size, fuzz_take(in, size));
                return;
        }
        value = bus_port_read(&bus, port, size);
        DEMAND(value >> 8 * size == 0);
}

static void access_mmio(struct fuzz_input *in, unsigned size, bool write)
{
        gpa_t gpa = GPA(PLATFORM_IOAPIC_BASE + fuzz_take(in, 1) - 8);
        uint64_t value;

        if (write) {
                bus_mmio_write(&bus, gpa, size, fuzz_take(in, size));
                return;
        }
        value = bus_mmio_read(&bus, gpa, size);
        DEMAND(size == 8 || value >> 8 * size == 0);
}

static void access_msr(struct fuzz_input *in, bool write)
{
        static const uint32_t others[] = {MSR_APIC_BASE, MSR_TSC_DEADLINE};
        unsigned raw = (unsigned)fuzz_take(in, 1);
        uint32_t msr = raw & 0x80 ? others[raw & 1] : MSR_X2APIC_FIRST + (raw & 0x3f);
        uint64_t value = 0;
        int err;

        DEMAND(vlapic_owns_msr(msr));
        if (write)
                err = vlapic_msr_write(&apic, msr, fuzz_take(in, raw & 0x40 ? 8 : 4), now);
        else
                err = vlapic_msr_read(&apic, msr, &value, now);
        DEMAND(err == 0 || err == -EINVAL);
}

/* What run.c does between a guest's instructions. */
static void run_guest(unsigned what)
{
        int vector = vlapic_next_irq(&apic);

        DEMAND(vector == -1 || (vector >= 16 && vector <= 255));
        if (what & 1)
                now = vlapic_deadline(&apic) == UINT64_MAX ? now + 1 : vlapic_deadline(&apic);
        vlapic_timer_expired(&apic, now);
        vector = vlapic_next_irq(&apic);
        if (vector < 0)
                return;
        if (what & 2)
                vlapic_hand_over(&apic, (uint8_t)vector);
        else
                vlapic_accept(&apic, (uint8_t)vector);
        if (what & 4)
                vlapic_eoi(&apic);
}

static void step(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        unsigned size = 1u << (what >> 4 & 3);

        depth = 0;
        switch (what & 7) {
        case 0:
        case 1:
                access_port(in, size > 4 ? 4 : size, what & 1);
                break;
        case 2:
        case 3:
                access_mmio(in, size, what & 1);
                break;
        case 4:
        case 5:
                access_msr(in, what & 1);
                break;
        case 6:
                run_guest(what >> 3);
                break;
        default:
                if (what & 8)
                        vioapic_set_irq(&io, what >> 4 | (what & 0x80) >> 3, fuzz_take(in, 1) & 1);
                else if (uart16550_room(&uart))
                        DEMAND(!uart16550_receive(&uart, (uint8_t)fuzz_take(in, 1)));
        }
        DEMAND(uart.rx_count <= UART16550_FIFO && uart.rx_head < UART16550_FIFO);
        DEMAND(!(io.line >> VIOAPIC_PINS) && !(io.remote_irr >> VIOAPIC_PINS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};

        make_devices();
        while (in.left)
                step(&in);
        return 0;
}
