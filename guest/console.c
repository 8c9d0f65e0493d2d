/* Console between guests and the serial port; contract in console.h. */
#include "guest/console.h"

#include "drivers/ioapic.h"
#include "drivers/lapic.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "hv/trap.h"
#include "hv/virt.h"

#define INPUT_SIZE   256u
#define INPUT_VECTOR 0x40u

static struct uart *input_uart;
static uint8_t input[INPUT_SIZE];
static unsigned input_head, input_tail; /* head - tail bytes wait; both only grow */

static volatile bool announced; /* by an NMI */

static void receive(void)
{
        int c;

        while ((c = uart_read(input_uart)) >= 0)
                if (input_head - input_tail < INPUT_SIZE)
                        input[input_head++ % INPUT_SIZE] = (uint8_t)c;
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
        trap_set_irq(INPUT_VECTOR, receive_irq);
        trap_set_nmi(receive_nmi);
        if (host_ioapic_route_isa((uint8_t)irq, nmi ? HOST_IOAPIC_NMI : HOST_IOAPIC_FIXED,
                                  INPUT_VECTOR, (uint8_t)host_lapic_id()))
                return -ENODEV;
        uart_set_receive_irq(uart, true);
        return 0;
}

void console_put(char c)
{
        log_raw(&c, 1);
}

bool console_has_input(void)
{
        return input_head != input_tail;
}

int console_get(void)
{
        return console_has_input() ? input[input_tail++ % INPUT_SIZE] : -1;
}
