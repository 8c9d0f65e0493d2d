/* Console between guests, monitor and the serial port; contract in console.h. */
#include "guest/console.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "guest/escape.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/trap.h"
#include "hv/virt.h"

#define INPUT_SIZE   256u
#define INPUT_VECTOR 0x40u

/* What one reader has still to read. */
struct input {
        uint8_t byte[INPUT_SIZE];
        unsigned head, tail; /* head - tail bytes wait; both only grow */
};

static struct uart *input_uart;
static bool by_nmi;
static struct escape escape;
static bool in_monitor;
static struct input guest_input, monitor_input;

static volatile bool announced; /* by an NMI */

static void input_add(struct input *input, uint8_t byte)
{
        if (input->head - input->tail < INPUT_SIZE)
                input->byte[input->head++ % INPUT_SIZE] = byte;
}

static int input_get(struct input *input)
{
        return input->head != input->tail ? input->byte[input->tail++ % INPUT_SIZE] : -1;
}

void console_type(uint8_t byte)
{
        uint8_t pass[2];
        int count = escape_byte(&escape, byte, pass);

        if (count == ESCAPE_SWITCHES)
                in_monitor = !in_monitor;
        for (int i = 0; i < count; i++)
                input_add(in_monitor ? &monitor_input : &guest_input, pass[i]);
}

static void receive(void)
{
        int c;

        while ((c = uart_read(input_uart)) >= 0)
                console_type((uint8_t)c);
}

static void receive_irq(void)
{
        receive();
        host_lapic_eoi();
}

static void receive_nmi(void)
{
        announced = true;
        if (virt)
                virt->kick();
}

void console_poll(void)
{
        if (!announced)
                return;
        announced = false;
        receive();
}

int console_init(struct uart *uart, bool nmi)
{
        int irq = uart_irq(uart);

        if (irq < 0)
                return -ENODEV;
        input_uart = uart;
        by_nmi = nmi;
        trap_set_irq(INPUT_VECTOR, receive_irq);
        trap_set_nmi(receive_nmi);
        if (host_ioapic_route_isa((uint8_t)irq, nmi ? HOST_IOAPIC_NMI : HOST_IOAPIC_FIXED,
                                  INPUT_VECTOR, (uint8_t)host_lapic_id())) {
                input_uart = NULL;
                return -ENODEV;
        }
        uart_set_receive_irq(uart, true);
        return 0;
}

bool console_can_input(void)
{
        return input_uart != NULL;
}

void console_put(char c)
{
        log_raw(&c, 1);
}

bool console_has_input(void)
{
        return guest_input.head != guest_input.tail;
}

int console_get(void)
{
        return input_get(&guest_input);
}

int console_get_monitor(void)
{
        return input_get(&monitor_input);
}

bool console_in_monitor(void)
{
        return in_monitor;
}

void console_set_monitor(bool on)
{
        int c;

        in_monitor = on;
        while (!on && (c = input_get(&monitor_input)) >= 0)
                input_add(&guest_input, (uint8_t)c);
}

/*
 * With fixed interrupts a paused guest has none of its own in the local APIC, so they can be let
 * in. NMIs come at any time: MONITOR sees the handler's store even if it falls between the look at
 * the flag and MWAIT, where HLT would sleep over it. Interrupts stay off then: those of a guest
 * that owns the local APIC wait there for it.
 */
void console_wait(void)
{
        if (!by_nmi)
                cpu_wait_interrupt();
        else if (cpu_has_mwait())
                cpu_wait_store(&announced);
        else
                cpu_pause();
}
