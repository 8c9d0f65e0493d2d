/* Local APIC model: interrupt acceptance and priority, IPIs and the timer (SDM vol. 3, chapter 10).
 */
#include "guest/dev/vlapic.h"

#include "drivers/lapic_regs.h"
#include "hv/lib/errno.h"

#define SVR_ENABLE 0x100u

#define LVT_MASKED 0x10000u
#define LVT_VECTOR 0xffu

#define TIMER_MODE(v)  (((v) >> 17) & 3)
#define TIMER_PERIODIC 1u
#define TIMER_DEADLINE 2u

#define ESR_SEND_ILLEGAL    0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u

#define NEVER UINT64_MAX

static void vectors_set(struct vlapic_vectors *v, unsigned vector)
{
        v->word[vector / 32] |= 1u << (vector % 32);
        v->words |= 1u << (vector / 32);
}

static void vectors_clear(struct vlapic_vectors *v, unsigned vector)
{
        v->word[vector / 32] &= ~(1u << (vector % 32));
        if (v->word[vector / 32] == 0)
                v->words &= ~(1u << (vector / 32));
}

static unsigned top_bit(uint32_t x)
{
        return 31u - (unsigned)__builtin_clz(x);
}

static int vectors_top(const struct vlapic_vectors *v)
{
        unsigned word;

        if (v->words == 0)
                return -1;
        word = top_bit(v->words);
        return (int)(word * 32 + top_bit(v->word[word]));
}

/* SDM 10.8.3.1: the higher class of the task priority and of what is in service. */
static void update_ppr(struct vlapic *l)
{
        int isr = vectors_top(&l->isr);
        unsigned class = isr < 0 ? 0 : (unsigned)isr & 0xf0;

        l->ppr = (uint8_t)((l->tpr & 0xf0u) >= class ? l->tpr : class);
}

void vlapic_reset(struct vlapic *l)
{
        struct vlapic fresh = {.id = l->id,
                               .tsc_per_tick = l->tsc_per_tick,
                               .ops = l->ops,
                               .svr = 0xff,
                               .timer_deadline = NEVER};

        fresh.base =
            APIC_BASE_ADDR | APIC_BASE_ENABLE | APIC_BASE_X2APIC | (l->base & APIC_BASE_BSP);
        for (unsigned i = 0; i < VLAPIC_LVTS; i++)
                fresh.lvt[i] = LVT_MASKED;
        *l = fresh;
}

void vlapic_init(struct vlapic *l, uint32_t id, bool bsp, uint32_t tsc_per_tick,
                 const struct vlapic_ops *ops)
{
        *l = (struct vlapic){
            .id = id, .tsc_per_tick = tsc_per_tick, .base = bsp ? APIC_BASE_BSP : 0};
        if (ops != NULL)
                l->ops = *ops;
        vlapic_reset(l);
}

static bool hard_enabled(const struct vlapic *l)
{
        return (l->base & APIC_BASE_ENABLE) != 0;
}

static bool soft_enabled(const struct vlapic *l)
{
        return (l->svr & SVR_ENABLE) != 0;
}

static void request(struct vlapic *l, uint8_t vector, bool level)
{
        vectors_set(&l->irr, vector);
        if (level)
                l->tmr[vector / 32] |= 1u << (vector % 32);
        else
                l->tmr[vector / 32] &= ~(1u << (vector % 32));
}

/* Note an error; its own interrupt with an illegal vector only adds to the note. */
static void raise_error(struct vlapic *l, uint32_t bit)
{
        uint32_t lvt = l->lvt[VLAPIC_LVT_ERROR];

        l->esr_pending |= bit;
        if (lvt & LVT_MASKED)
                return;
        if ((lvt & LVT_VECTOR) < 16)
                l->esr_pending |= ESR_RECEIVE_ILLEGAL;
        else
                request(l, (uint8_t)(lvt & LVT_VECTOR), false);
}

void vlapic_raise(struct vlapic *l, uint8_t vector, bool level)
{
        if (!hard_enabled(l))
                return;
        if (vector < 16) {
                raise_error(l, ESR_RECEIVE_ILLEGAL);
                return;
        }
        /* SDM 10.4.7.2: switched off by software, it takes no fixed interrupts. */
        if (soft_enabled(l))
                request(l, vector, level);
}

int vlapic_highest_irq(const struct vlapic *l)
{
        int vector = vectors_top(&l->irr);

        if (vector < 0 || !soft_enabled(l) || (vector & 0xf0) <= (l->ppr & 0xf0))
                return -1;
        return vector;
}

void vlapic_accept(struct vlapic *l, uint8_t vector)
{
        vectors_clear(&l->irr, vector);
        vectors_set(&l->isr, vector);
        update_ppr(l);
}

static bool is_level(const struct vlapic *l, int vector)
{
        return l->tmr[vector / 32] >> (vector % 32) & 1;
}

bool vlapic_in_service_is_level(const struct vlapic *l)
{
        return is_level(l, vectors_top(&l->isr));
}

bool vlapic_eoi_of_next_may_wait(const struct vlapic *l, uint8_t vector)
{
        unsigned word = vector / 32;

        return l->isr.words == 0 && l->irr.words == 1u << word &&
               l->irr.word[word] == 1u << vector % 32 && !is_level(l, vector);
}

void vlapic_eoi(struct vlapic *l)
{
        int vector = vectors_top(&l->isr);

        if (vector < 0)
                return;
        vectors_clear(&l->isr, (unsigned)vector);
        update_ppr(l);
        vlapic_ended(l, (uint8_t)vector);
}

void vlapic_sent_illegal(struct vlapic *l)
{
        raise_error(l, ESR_SEND_ILLEGAL);
}

static uint32_t logical_id(uint32_t id)
{
        /* SDM 10.12.10.2: cluster of 16 from the ID's upper bits, one bit from its lower four. */
        return ((id >> 4) << 16) | (1u << (id & 15));
}

static bool addressed(uint32_t id, const struct apic_message *m)
{
        uint32_t ldr = logical_id(id);

        if (m->dest == APIC_DEST_ALL)
                return true;
        if (!m->logical)
                return m->dest == id;
        return m->dest >> 16 == ldr >> 16 && (m->dest & ldr & 0xffff) != 0;
}

bool vlapic_matches(uint32_t target_id, uint32_t sender_id, const struct apic_message *message)
{
        return addressed(target_id, message) && !(message->not_self && target_id == sender_id);
}

static void take(struct vlapic *l, const struct apic_message *m)
{
        if (m->mode == APIC_FIXED || m->mode == APIC_LOWEST)
                vlapic_raise(l, m->vector, m->level);
        else if (m->mode != APIC_EXTINT && l->ops.signal) /* there is no 8259 to ask */
                l->ops.signal(l->ops.ctx, (enum apic_mode)m->mode, m->vector);
}

enum { TO_ADDRESSED, TO_SELF, TO_ALL, TO_OTHERS }; /* destination shorthands, SDM 10.6.1 */

/* Whether an IPI that this APIC has taken itself also goes to others. */
static bool others_meant(unsigned shorthand, const struct apic_message *m)
{
        if (shorthand == TO_SELF || m->mode == APIC_LOWEST)
                return false;
        return m->logical || m->dest == APIC_DEST_ALL;
}

#define ICR_ASSERT 0x4000u
#define ICR_LEVEL  0x8000u

/*
 * Whether an IPI is sent at all: INIT with level de-assert only tells APICs of old to synchronize
 * (SDM 10.6.1), and only fixed interrupts and NMI make sense with a shorthand that names the sender
 * (table 10-4).
 */
static bool is_sent(uint64_t icr, const struct apic_message *m)
{
        unsigned shorthand = (icr >> 18) & 3;

        if (m->mode == APIC_INIT && (icr & (ICR_ASSERT | ICR_LEVEL)) == ICR_LEVEL)
                return false;
        return shorthand == TO_ADDRESSED || shorthand == TO_OTHERS || m->mode == APIC_FIXED ||
               m->mode == APIC_NMI;
}

/* Serve the part of an IPI that stays here; the rest leaves through send. */
static void send_ipi(struct vlapic *l, uint64_t icr)
{
        unsigned shorthand = (icr >> 18) & 3;
        struct apic_message m = {.dest = (uint32_t)(icr >> 32),
                                 .logical = (icr >> 11) & 1,
                                 .mode = (icr >> 8) & 7,
                                 .vector = icr & 0xff};

        if ((m.mode == APIC_FIXED || m.mode == APIC_LOWEST) && m.vector < 16) {
                raise_error(l, ESR_SEND_ILLEGAL);
                return;
        }
        if (!is_sent(icr, &m))
                return;
        if (shorthand != TO_ADDRESSED) {
                m.dest = APIC_DEST_ALL;
                m.logical = false;
        }
        if (shorthand != TO_OTHERS && addressed(l->id, &m)) {
                take(l, &m);
                if (!others_meant(shorthand, &m))
                        return;
        }
        m.not_self = true;
        if (l->ops.send != NULL)
                l->ops.send(l->ops.ctx, &m);
}

static uint32_t timer_mode(const struct vlapic *l)
{
        return TIMER_MODE(l->lvt[VLAPIC_LVT_TIMER]);
}

/* TSC cycles of one count: the divider is coded in bits 3, 1 and 0, with 111b for 1. */
static uint64_t timer_cycles(const struct vlapic *l)
{
        uint32_t code = (l->timer_divide & 3) | ((l->timer_divide & 8) >> 1);

        return (uint64_t)l->tsc_per_tick << ((code + 1) & 7);
}

bool vlapic_hand_over(struct vlapic *l, uint8_t vector)
{
        vectors_clear(&l->irr, vector);
        return is_level(l, vector);
}

void vlapic_ended(struct vlapic *l, uint8_t vector)
{
        if (is_level(l, vector) && l->ops.eoi != NULL)
                l->ops.eoi(l->ops.ctx, vector);
}

uint64_t vlapic_deadline(const struct vlapic *l)
{
        /* Nobody sees a masked timer expire: its registers are brought up to date when used. */
        return l->lvt[VLAPIC_LVT_TIMER] & LVT_MASKED ? NEVER : l->timer_deadline;
}

void vlapic_timer_expired(struct vlapic *l, uint64_t now)
{
        uint32_t lvt = l->lvt[VLAPIC_LVT_TIMER];

        if (l->timer_deadline == NEVER || now < l->timer_deadline)
                return;
        if (TIMER_MODE(lvt) == TIMER_PERIODIC) {
                uint64_t period = l->timer_initial * timer_cycles(l);
                uint64_t least = (uint64_t)l->tsc_per_tick * VLAPIC_PERIOD_MIN;
                /* Periods nobody could be interrupted in are lost, as IRR holds one interrupt. */
                if (period < least)
                        period = least;
                l->timer_deadline += ((now - l->timer_deadline) / period + 1) * period;
        } else {
                l->timer_deadline = NEVER;
        }
        if (!(lvt & LVT_MASKED))
                vlapic_raise(l, lvt & LVT_VECTOR, false);
}

static uint32_t timer_count(const struct vlapic *l, uint64_t now)
{
        uint64_t cycles = timer_cycles(l);

        if (timer_mode(l) == TIMER_DEADLINE || l->timer_deadline == NEVER)
                return 0;
        return (uint32_t)((l->timer_deadline - now + cycles - 1) / cycles);
}

static void timer_start(struct vlapic *l, uint32_t count, uint64_t now)
{
        uint64_t at = now + count * timer_cycles(l);

        l->timer_deadline = count && at >= now ? at : NEVER;
}

static void write_tsc_deadline(struct vlapic *l, uint64_t value, uint64_t now)
{
        if (timer_mode(l) != TIMER_DEADLINE)
                return;
        l->timer_deadline = value ? value : NEVER;
        vlapic_timer_expired(l, now);
}

#define VERSION_VALUE (0x14u | (VLAPIC_LVTS - 1) << 16)

static uint32_t vector_register(const struct vlapic *l, uint32_t reg)
{
        if (reg < APIC_REG_TMR)
                return l->isr.word[reg - APIC_REG_ISR];
        if (reg < APIC_REG_IRR)
                return l->tmr[reg - APIC_REG_TMR];
        return l->irr.word[reg - APIC_REG_IRR];
}

static int read_register(struct vlapic *l, uint32_t reg, uint64_t *value, uint64_t now)
{
        if (reg >= APIC_REG_ISR && reg <= APIC_REG_IRR_LAST) {
                *value = vector_register(l, reg);
                return 0;
        }
        if (reg >= APIC_REG_LVT_TIMER && reg <= APIC_REG_LVT_ERROR) {
                *value = l->lvt[reg - APIC_REG_LVT_TIMER];
                return 0;
        }
        switch (reg) {
        case APIC_REG_ID:
                *value = l->id;
                return 0;
        case APIC_REG_VERSION:
                *value = VERSION_VALUE;
                return 0;
        case APIC_REG_TPR:
                *value = l->tpr;
                return 0;
        case APIC_REG_PPR:
                *value = l->ppr;
                return 0;
        case APIC_REG_LDR:
                *value = logical_id(l->id);
                return 0;
        case APIC_REG_SVR:
                *value = l->svr;
                return 0;
        case APIC_REG_ESR:
                *value = l->esr;
                return 0;
        case APIC_REG_ICR:
                *value = l->icr;
                return 0;
        case APIC_REG_TIMER_INITIAL:
                *value = l->timer_initial;
                return 0;
        case APIC_REG_TIMER_CURRENT:
                vlapic_timer_expired(l, now);
                *value = timer_count(l, now);
                return 0;
        case APIC_REG_TIMER_DIVIDE:
                *value = l->timer_divide;
                return 0;
        default: /* none there, or write-only */
                return -EINVAL;
        }
}

static int write_lvt(struct vlapic *l, unsigned n, uint64_t value, uint64_t now)
{
        static const uint32_t writable[VLAPIC_LVTS] = {
            [VLAPIC_LVT_TIMER] = 0x700ff, [VLAPIC_LVT_THERMAL] = 0x107ff,
            [VLAPIC_LVT_PERF] = 0x107ff,  [VLAPIC_LVT_LINT0] = 0x1a7ff,
            [VLAPIC_LVT_LINT1] = 0x1a7ff, [VLAPIC_LVT_ERROR] = 0x100ff,
        };
        const uint32_t read_only = n == VLAPIC_LVT_LINT0 || n == VLAPIC_LVT_LINT1 ? 0x5000 : 0x1000;

        if (value & ~(uint64_t)(writable[n] | read_only))
                return -EINVAL;
        if (n == VLAPIC_LVT_TIMER) {
                if (TIMER_MODE(value) == 3)
                        return -EINVAL;
                vlapic_timer_expired(l, now);
                /* SDM 10.5.4.1: to or from deadline mode the timer is disarmed. */
                if ((TIMER_MODE(value) ^ timer_mode(l)) & TIMER_DEADLINE)
                        l->timer_deadline = NEVER;
        }
        l->lvt[n] = (uint32_t)value & writable[n];
        if (!soft_enabled(l))
                l->lvt[n] |= LVT_MASKED;
        return 0;
}

static int write_svr(struct vlapic *l, uint64_t value)
{
        if (value & ~0x3ffull)
                return -EINVAL;
        l->svr = (uint32_t)value;
        /* SDM 10.4.7.2: switched off by software, the local sources are masked and stay so. */
        for (unsigned i = 0; i < VLAPIC_LVTS && !soft_enabled(l); i++)
                l->lvt[i] |= LVT_MASKED;
        return 0;
}

static int write_icr(struct vlapic *l, uint64_t value)
{
        unsigned mode = (value >> 8) & 7;

        /* Bits 12, 13, 16, 17 and 20-31 are reserved in x2APIC mode, as are modes 3 and 7. */
        if ((value & 0xfff33000) || mode == 3 || mode == APIC_EXTINT)
                return -EINVAL;
        l->icr = value;
        send_ipi(l, value);
        return 0;
}

static int write_divide(struct vlapic *l, uint64_t value, uint64_t now)
{
        uint32_t left;

        if (value & ~0xbull)
                return -EINVAL;
        vlapic_timer_expired(l, now);
        left = timer_count(l, now);
        l->timer_divide = (uint32_t)value;
        if (timer_mode(l) != TIMER_DEADLINE)
                timer_start(l, left, now);
        return 0;
}

static int write_initial(struct vlapic *l, uint64_t value, uint64_t now)
{
        if (value > UINT32_MAX)
                return -EINVAL;
        if (timer_mode(l) == TIMER_DEADLINE)
                return 0;
        l->timer_initial = (uint32_t)value;
        timer_start(l, l->timer_initial, now);
        return 0;
}

static int write_register(struct vlapic *l, uint32_t reg, uint64_t value, uint64_t now)
{
        if (reg >= APIC_REG_LVT_TIMER && reg <= APIC_REG_LVT_ERROR)
                return write_lvt(l, reg - APIC_REG_LVT_TIMER, value, now);
        switch (reg) {
        case APIC_REG_EOI:
                if (value != 0)
                        return -EINVAL;
                vlapic_eoi(l);
                return 0;
        case APIC_REG_ICR:
                return write_icr(l, value);
        case APIC_REG_TPR:
                if (value > 0xff)
                        return -EINVAL;
                l->tpr = (uint8_t)value;
                update_ppr(l);
                return 0;
        case APIC_REG_SVR:
                return write_svr(l, value);
        case APIC_REG_ESR:
                if (value != 0)
                        return -EINVAL;
                l->esr = l->esr_pending;
                l->esr_pending = 0;
                return 0;
        case APIC_REG_TIMER_INITIAL:
                return write_initial(l, value, now);
        case APIC_REG_TIMER_DIVIDE:
                return write_divide(l, value, now);
        case APIC_REG_SELF_IPI:
                if (value > 0xff)
                        return -EINVAL;
                send_ipi(l, value | (uint64_t)TO_SELF << 18);
                return 0;
        default: /* none there, or read-only */
                return -EINVAL;
        }
}

static int write_base(struct vlapic *l, uint64_t value)
{
        uint64_t mode = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

        if (value == l->base)
                return 0;
        if (!hard_enabled(l) || value != (l->base & ~mode))
                return -EINVAL;
        vlapic_reset(l);
        l->base = value;
        return 0;
}

int vlapic_msr_read(struct vlapic *l, uint32_t msr, uint64_t *value, uint64_t now)
{
        if (msr == MSR_APIC_BASE) {
                *value = l->base;
                return 0;
        }
        if (msr == MSR_TSC_DEADLINE) {
                vlapic_timer_expired(l, now);
                *value = timer_mode(l) == TIMER_DEADLINE && l->timer_deadline != NEVER
                             ? l->timer_deadline
                             : 0;
                return 0;
        }
        if (!vlapic_owns_msr(msr) || !hard_enabled(l))
                return -EINVAL;
        return read_register(l, msr - MSR_X2APIC_FIRST, value, now);
}

int vlapic_msr_write(struct vlapic *l, uint32_t msr, uint64_t value, uint64_t now)
{
        if (msr == MSR_TSC_DEADLINE) {
                write_tsc_deadline(l, value, now);
                return 0;
        }
        if (msr == MSR_APIC_BASE)
                return write_base(l, value);
        if (!vlapic_owns_msr(msr) || !hard_enabled(l))
                return -EINVAL;
        return write_register(l, msr - MSR_X2APIC_FIRST, value, now);
}
