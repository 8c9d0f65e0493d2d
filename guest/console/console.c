/* Console between guests, monitor and the serial port; contract in console.h. */
#include "guest/console/console.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "guest/console/escape.h"
#include "hv/lib/errno.h"
#include "hv/lib/spinlock.h"
#include "hv/trap/trap.h"

#define INPUT_SIZE   256u
#define INPUT_VECTOR 0x40u

/* What one reader has still to read. */
struct input {
        uint8_t byte[INPUT_SIZE];
        unsigned head, tail; /* head - tail bytes wait; both only grow */
};

static struct uart *input_uart;
static struct escape escape;
static bool in_monitor;
static struct input guest_input, monitor_input;
static struct spinlock lock; /* of the two */
static const void *focus;
static unsigned chosen; /* number that was typed behind the escape; 0: none since */

static void input_add(struct input *input, uint8_t byte)
{
        if (input->head - input->tail < INPUT_SIZE)
                input->byte[input->head++ % INPUT_SIZE] = byte;
}

static int input_take(struct input *input)
{
        return input->head != input->tail ? input->byte[input->tail++ % INPUT_SIZE] : -1;
}

static int input_get(struct input *input)
{
        int c;

        spin_lock(&lock);
        c = input_take(input);
        spin_unlock(&lock);
        return c;
}

void console_type(uint8_t byte)
{
        uint8_t pass[2];
        int count;

        spin_lock(&lock);
        count = escape_byte(&escape, byte, pass);
        if (count == ESCAPE_SWITCHES)
                in_monitor = !in_monitor;
        if (count == ESCAPE_CHOOSES) {
                in_monitor = false;
                chosen = pass[0];
        }
        for (int i = 0; i < count; i++)
                input_add(in_monitor ? &monitor_input : &guest_input, pass[i]);
        spin_unlock(&lock);
}

static void receive(void)
{
        int c;

        while ((c = uart_read(input_uart)) >= 0)
                console_type((uint8_t)c);
        lapic_eoi();
}

bool console_has_monitor_input(void)
{
        return monitor_input.head != monitor_input.tail;
}

int console_init(struct uart *uart)
{
        int irq = uart_irq(uart);

        if (irq < 0)
                return -ENODEV;
        input_uart = uart;
        trap_set_irq(INPUT_VECTOR, receive);
        if (ioapic_route_isa((uint8_t)irq, INPUT_VECTOR, lapic_id())) {
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

unsigned console_take_choice(void)
{
        return __atomic_exchange_n(&chosen, 0, __ATOMIC_SEQ_CST);
}

bool console_has_choice(void)
{
        return chosen != 0;
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

        spin_lock(&lock);
        in_monitor = on;
        while (!on && (c = input_take(&monitor_input)) >= 0)
                input_add(&guest_input, (uint8_t)c);
        spin_unlock(&lock);
}

const void *console_focus(void)
{
        return focus;
}

void console_set_focus(const void *guest)
{
        focus = guest;
}
