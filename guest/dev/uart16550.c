/* Serial port model: the registers of a 16550A, its receive FIFO and its interrupt line. */
#include "guest/dev/uart16550.h"

#include "hv/lib/errno.h"

/* Registers; some change their meaning with direction or with LCR.DLAB. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX    0x01u
#define IER_THRE  0x02u
#define IER_LINE  0x04u
#define IER_MODEM 0x08u
#define IER_BITS  0x0fu

#define IIR_NONE    0x01u
#define IIR_MODEM   0x00u
#define IIR_THRE    0x02u
#define IIR_RX      0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO    0xc0u

#define FCR_ENABLE   0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_KEPT     0xc9u /* enable, DMA mode, trigger level; the clear bits clear themselves */

#define LCR_DLAB 0x80u

#define MCR_DTR  0x01u
#define MCR_RTS  0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_BITS 0x1fu

#define LSR_DR      0x01u
#define LSR_OVERRUN 0x02u
#define LSR_EMPTY   0x60u /* THRE and TEMT: sending takes no time */

#define MSR_CTS  0x10u
#define MSR_DSR  0x20u
#define MSR_RI   0x40u
#define MSR_DCD  0x80u
#define MSR_TERI 0x04u /* tells only the end of a ring */

void uart16550_init(struct uart16550 *u, const struct uart16550_ops *ops)
{
        *u = (struct uart16550){.ops = *ops, .dll = 12}; /* 9600 baud, where firmware leaves it */
}

static unsigned rx_capacity(const struct uart16550 *u)
{
        return u->fcr & FCR_ENABLE ? UART16550_FIFO : 1;
}

static unsigned rx_trigger(const struct uart16550 *u)
{
        static const uint8_t level[4] = {1, 4, 8, 14};

        return u->fcr & FCR_ENABLE ? level[u->fcr >> 6] : 1;
}

/* The modem's inputs: a cable that is always ready, or the model's own outputs when looped back. */
static uint8_t modem_inputs(const struct uart16550 *u)
{
        unsigned in = 0;

        if (!(u->mcr & MCR_LOOP))
                return MSR_CTS | MSR_DSR | MSR_DCD;
        in |= u->mcr & MCR_RTS ? MSR_CTS : 0;
        in |= u->mcr & MCR_DTR ? MSR_DSR : 0;
        in |= u->mcr & MCR_OUT1 ? MSR_RI : 0;
        in |= u->mcr & MCR_OUT2 ? MSR_DCD : 0;
        return (uint8_t)in;
}

/* The interrupt of highest priority that is enabled and due (datasheet, table IV). */
static uint8_t interrupt_id(const struct uart16550 *u)
{
        if ((u->ier & IER_LINE) && u->lsr_errors)
                return IIR_LINE;
        if ((u->ier & IER_RX) && u->rx_count >= rx_trigger(u))
                return IIR_RX;
        /* The character time-out: no time passes here, so what is below the trigger is late at
         * once. */
        if ((u->ier & IER_RX) && u->rx_count > 0)
                return IIR_TIMEOUT;
        if ((u->ier & IER_THRE) && u->thre_pending)
                return IIR_THRE;
        if ((u->ier & IER_MODEM) && u->msr_delta)
                return IIR_MODEM;
        return IIR_NONE;
}

static void update_irq(struct uart16550 *u)
{
        bool wired = (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);
        bool irq = wired && interrupt_id(u) != IIR_NONE;

        if (irq != u->irq) {
                u->irq = irq;
                u->ops.set_irq(u->ops.ctx, irq);
        }
}

static void rx_clear(struct uart16550 *u)
{
        u->rx_head = 0;
        u->rx_count = 0;
}

static bool rx_push(struct uart16550 *u, uint8_t byte)
{
        if (u->rx_count >= rx_capacity(u)) {
                u->lsr_errors |= LSR_OVERRUN;
                return false;
        }
        u->rx[(u->rx_head + u->rx_count++) % UART16550_FIFO] = byte;
        return true;
}

static uint8_t rx_pop(struct uart16550 *u)
{
        uint8_t byte;

        if (u->rx_count == 0)
                return 0;
        byte = u->rx[u->rx_head];
        u->rx_head = (u->rx_head + 1) % UART16550_FIFO;
        u->rx_count--;
        return byte;
}

static uint8_t read_iir(struct uart16550 *u)
{
        uint8_t id = interrupt_id(u);

        if (id == IIR_THRE)
                u->thre_pending = false;
        return (uint8_t)(id | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct uart16550 *u)
{
        uint8_t lsr = (uint8_t)(LSR_EMPTY | u->lsr_errors | (u->rx_count > 0 ? LSR_DR : 0));

        u->lsr_errors = 0;
        return lsr;
}

static uint8_t read_msr(struct uart16550 *u)
{
        uint8_t msr = (uint8_t)(modem_inputs(u) | u->msr_delta);

        u->msr_delta = 0;
        return msr;
}

uint8_t uart16550_read(struct uart16550 *u, unsigned reg)
{
        bool dlab = (u->lcr & LCR_DLAB) != 0;
        uint8_t value = 0xff;

        switch (reg) {
        case REG_DATA:
                value = dlab ? u->dll : rx_pop(u);
                break;
        case REG_IER:
                value = dlab ? u->dlm : u->ier;
                break;
        case REG_IIR_FCR:
                value = read_iir(u);
                break;
        case REG_LCR:
                return u->lcr;
        case REG_MCR:
                return u->mcr;
        case REG_LSR:
                value = read_lsr(u);
                break;
        case REG_MSR:
                value = read_msr(u);
                break;
        case REG_SCR:
                return u->scr;
        default:
                return value;
        }
        update_irq(u);
        return value;
}

static void write_data(struct uart16550 *u, uint8_t byte)
{
        /* The line drops while the byte is on its way, so that an edge tells it is gone. */
        u->thre_pending = false;
        update_irq(u);
        if (u->mcr & MCR_LOOP)
                rx_push(u, byte);
        else
                u->ops.put(u->ops.ctx, byte);
        u->thre_pending = true;
}

static void write_ier(struct uart16550 *u, uint8_t value)
{
        /* Enabling the interrupt with the register empty raises it, also for the second time. */
        if ((value & IER_THRE) && !(u->ier & IER_THRE))
                u->thre_pending = true;
        u->ier = value & IER_BITS;
}

static void write_fcr(struct uart16550 *u, uint8_t value)
{
        /* Switching the FIFOs on or off empties them; other bits count only together with enable.
         */
        if ((value ^ u->fcr) & FCR_ENABLE)
                rx_clear(u);
        if (!(value & FCR_ENABLE)) {
                u->fcr = 0;
                return;
        }
        if (value & FCR_CLEAR_RX)
                rx_clear(u);
        u->fcr = value & FCR_KEPT;
}

static void write_mcr(struct uart16550 *u, uint8_t value)
{
        uint8_t before = modem_inputs(u), changed;

        u->mcr = value & MCR_BITS;
        changed = (uint8_t)((before ^ modem_inputs(u)) >> 4);
        /* A ring is told when it ends, the other inputs at each change. */
        if ((changed & MSR_TERI) && (modem_inputs(u) & MSR_RI))
                changed &= (uint8_t)~MSR_TERI;
        u->msr_delta |= changed;
}

void uart16550_write(struct uart16550 *u, unsigned reg, uint8_t value)
{
        bool dlab = (u->lcr & LCR_DLAB) != 0;

        switch (reg) {
        case REG_DATA:
                if (dlab)
                        u->dll = value;
                else
                        write_data(u, value);
                break;
        case REG_IER:
                if (dlab)
                        u->dlm = value;
                else
                        write_ier(u, value);
                break;
        case REG_IIR_FCR:
                write_fcr(u, value);
                break;
        case REG_LCR:
                u->lcr = value;
                return;
        case REG_MCR:
                write_mcr(u, value);
                break;
        case REG_SCR:
                u->scr = value;
                return;
        default: /* LSR and MSR are read-only */
                return;
        }
        update_irq(u);
}

int uart16550_receive(struct uart16550 *u, uint8_t byte)
{
        int err = 0;

        /* Looped back, the input pin is cut off. */
        if ((u->mcr & MCR_LOOP) || !rx_push(u, byte))
                err = -ENOSPC;
        update_irq(u);
        return err;
}

unsigned uart16550_room(const struct uart16550 *u)
{
        return u->mcr & MCR_LOOP ? 0 : rx_capacity(u) - u->rx_count;
}

static uint64_t handler_read(void *ctx, uint64_t offset, unsigned size)
{
        (void)size; /* width 1 */
        return uart16550_read(ctx, (unsigned)offset);
}

static void handler_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
        (void)size;
        uart16550_write(ctx, (unsigned)offset, (uint8_t)value);
}

struct bus_handler uart16550_handler(struct uart16550 *u)
{
        return (struct bus_handler){u, handler_read, handler_write, 1};
}
