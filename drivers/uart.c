/* 16550 serial ports. Register names: National Semiconductor PC16550D data sheet. */
#include "drivers/uart.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"

#define REG_DATA    0 /* receive and transmit; divisor low while LCR_DLAB */
#define REG_IER     1 /* interrupt enable; divisor high while LCR_DLAB */
#define REG_IIR_FCR 2
#define REG_LCR     3
#define REG_MCR     4
#define REG_LSR     5

#define IER_RECEIVE 0x01
#define IER_ALL     0x0f

#define FCR_ENABLE_CLEAR 0x07
#define IIR_FIFO         0xc0

#define LCR_8N1  0x03
#define LCR_DLAB 0x80

#define MCR_DTR_RTS 0x03
#define MCR_OUT2    0x08 /* the PC's interrupt line goes through this bit */

#define LSR_DATA_READY   0x01
#define LSR_THR_EMPTY    0x20
#define LSR_NOTHING_HERE 0xff

#define DIVISOR_115200 1

/* One port read takes about a microsecond on real hardware, a full FIFO drains in 1.4 ms. */
#define WAIT_READS 100000

const uint16_t uart_com_ports[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

static struct uart *log_uart;

static uint8_t reg_read(const struct uart *u, unsigned reg)
{
        return cpu_inb((uint16_t)(u->port + reg));
}

static void reg_write(const struct uart *u, unsigned reg, uint8_t value)
{
        cpu_outb((uint16_t)(u->port + reg), value);
}

/*
 * An absent port reads as all ones, or as what was last on the bus; the interrupt enable register
 * keeps its low four bits only where there is a UART.
 */
static bool is_present(const struct uart *u)
{
        reg_write(u, REG_LCR, LCR_8N1);
        reg_write(u, REG_MCR, 0);
        reg_write(u, REG_IER, IER_ALL);
        if (reg_read(u, REG_IER) != IER_ALL)
                return false;
        reg_write(u, REG_IER, 0);
        return reg_read(u, REG_IER) == 0 && reg_read(u, REG_LCR) == LCR_8N1 &&
               reg_read(u, REG_LSR) != LSR_NOTHING_HERE;
}

int uart_init(struct uart *u, uint16_t port)
{
        *u = (struct uart){.port = port, .fifo_depth = 1};
        if (!is_present(u)) {
                u->port = 0;
                return -ENODEV;
        }
        reg_write(u, REG_LCR, LCR_DLAB | LCR_8N1);
        reg_write(u, REG_DATA, DIVISOR_115200);
        reg_write(u, REG_IER, 0);
        reg_write(u, REG_LCR, LCR_8N1);
        reg_write(u, REG_IIR_FCR, FCR_ENABLE_CLEAR);
        if ((reg_read(u, REG_IIR_FCR) & IIR_FIFO) == IIR_FIFO)
                u->fifo_depth = 16;
        reg_write(u, REG_MCR, MCR_DTR_RTS);
        return 0;
}

/* Wait until the transmitter is empty. A port that stayed full once is not waited for again. */
static bool wait_empty(struct uart *u)
{
        unsigned reads = u->stuck ? 1 : WAIT_READS;

        while (reads-- != 0) {
                if (reg_read(u, REG_LSR) & LSR_THR_EMPTY) {
                        u->stuck = false;
                        return true;
                }
                cpu_pause();
        }
        u->stuck = true;
        return false;
}

void uart_write(struct uart *u, const char *data, size_t n)
{
        while (u->port != 0 && n != 0 && wait_empty(u)) {
                size_t burst = n < u->fifo_depth ? n : u->fifo_depth;

                n -= burst;
                while (burst-- != 0)
                        reg_write(u, REG_DATA, (uint8_t)*data++);
        }
}

void uart_write_text(struct uart *u, const char *text, size_t n)
{
        while (n != 0) {
                size_t line = 0;

                while (line < n && text[line] != '\n')
                        line++;
                uart_write(u, text, line);
                if (line)
                        u->after_cr = text[line - 1] == '\r';
                if (line < n) {
                        uart_write(u, u->after_cr ? "\n" : "\r\n", u->after_cr ? 1 : 2);
                        u->after_cr = false;
                        line++;
                }
                text += line;
                n -= line;
        }
}

int uart_read(struct uart *u)
{
        if (u->port == 0 || !(reg_read(u, REG_LSR) & LSR_DATA_READY))
                return -1;
        return reg_read(u, REG_DATA);
}

void uart_set_receive_irq(struct uart *u, bool on)
{
        if (u->port == 0)
                return;
        reg_write(u, REG_MCR, on ? MCR_DTR_RTS | MCR_OUT2 : MCR_DTR_RTS);
        reg_write(u, REG_IER, on ? IER_RECEIVE : 0);
}

int uart_irq(const struct uart *u)
{
        for (unsigned i = 0; i < ARRAY_LEN(uart_com_ports); i++)
                if (u->port == uart_com_ports[i])
                        return i % 2 == 0 ? 4 : 3;
        return -1;
}

void uart_set_log(struct uart *u)
{
        log_uart = u;
}

void uart_log_sink(const char *text, size_t n)
{
        if (log_uart != NULL)
                uart_write_text(log_uart, text, n);
}
