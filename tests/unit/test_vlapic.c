/* Tests of the local APIC: #GP rules, priorities, IPIs, the timer's modes, and a random plain
 * model. */
#include "guest/dev/vlapic.h"
#include "hv/lib/errno.h"
#include "tests/unit/deliver.h"
#include "tests/unit/unit.h"

#define TICK 8u /* TSC cycles a timer count */

enum { LVT_TIMER = 0x832, LVT_LINT1 = 0x836, LVT_ERROR = 0x837, TMICT = 0x838, TMCCT = 0x839 };

struct world {
        struct vlapic l;
        unsigned sent, signals, eois;
        struct apic_message message;
        enum apic_mode mode;
        uint8_t vector;
};

static void world_send(void *ctx, const struct apic_message *message)
{
        struct world *w = ctx;

        w->sent++;
        w->message = *message;
}

static void world_signal(void *ctx, enum apic_mode mode, uint8_t vector)
{
        struct world *w = ctx;

        w->signals++;
        w->mode = mode;
        w->vector = vector;
}

static void world_eoi(void *ctx, uint8_t vector)
{
        struct world *w = ctx;

        w->eois++;
        w->vector = vector;
}

static void wr(struct world *w, uint32_t msr, uint64_t value, uint64_t now)
{
        CHECK_EQ(vlapic_msr_write(&w->l, msr, value, now), 0);
}

static uint64_t rd(struct world *w, uint32_t msr, uint64_t now)
{
        uint64_t value = 0;

        CHECK_EQ(vlapic_msr_read(&w->l, msr, &value, now), 0);
        return value;
}

static void world_init(struct world *w, uint32_t id)
{
        struct vlapic_ops ops = {w, world_send, world_signal, world_eoi};

        *w = (struct world){0};
        vlapic_init(&w->l, id, true, TICK, &ops);
        wr(w, 0x80f, 0x1ff, 0);
}

static void test_reset_state(void)
{
        struct vlapic l;
        uint64_t v;

        vlapic_init(&l, 0x2c, true, TICK, NULL);
        CHECK_EQ(vlapic_msr_read(&l, 0x1b, &v, 0), 0);
        CHECK_EQ(v, 0xfee00d00);
        CHECK_EQ(vlapic_msr_read(&l, 0x802, &v, 0), 0);
        CHECK_EQ(v, 0x2c);
        CHECK_EQ(vlapic_msr_read(&l, 0x803, &v, 0), 0);
        CHECK_EQ(v, 0x50014);
        CHECK_EQ(vlapic_msr_read(&l, 0x80d, &v, 0), 0);
        CHECK_EQ(v, 0x21000);
        CHECK_EQ(vlapic_msr_read(&l, 0x80f, &v, 0), 0);
        CHECK_EQ(v, 0xff);
        for (uint32_t msr = 0x832; msr <= 0x837; msr++) {
                CHECK_EQ(vlapic_msr_read(&l, msr, &v, 0), 0);
                CHECK_EQ(v, 0x10000);
        }
        CHECK_EQ(vlapic_next_irq(&l), -1);
        CHECK(vlapic_deadline(&l) == UINT64_MAX);
        vlapic_raise(&l, 0x50, false); /* software-disabled: not taken */
        CHECK_EQ(vlapic_msr_write(&l, 0x80f, 0x1ff, 0), 0);
        CHECK_EQ(vlapic_next_irq(&l), -1);
        vlapic_init(&l, 1, false, TICK, NULL);
        CHECK_EQ(vlapic_msr_read(&l, 0x1b, &v, 0), 0);
        CHECK_EQ(v, 0xfee00c00);
}

/* Which registers exist, by SDM table 10-6: r readable, w writable with 0. */
static void test_gp_rules(void)
{
        struct world w;

        world_init(&w, 0);
        for (uint32_t msr = 0x800; msr <= 0x83f; msr++) {
                bool r = msr == 0x802 || msr == 0x803 || msr == 0x808 || msr == 0x80a ||
                         msr == 0x80d || (msr >= 0x80f && msr <= 0x828) || msr == 0x830 ||
                         (msr >= 0x832 && msr <= 0x839) || msr == 0x83e;
                bool wr0 = msr == 0x808 || msr == 0x80b || msr == 0x80f || msr == 0x828 ||
                           msr == 0x830 || (msr >= 0x832 && msr <= 0x838) || msr == 0x83e ||
                           msr == 0x83f;
                uint64_t v;

                CHECK_EQ(vlapic_msr_read(&w.l, msr, &v, 0), r ? 0 : -EINVAL);
                CHECK_EQ(vlapic_msr_write(&w.l, msr, 0, 0), wr0 ? 0 : -EINVAL);
                if (msr != 0x830) /* every register but the ICR has 32 bits */
                        CHECK_EQ(vlapic_msr_write(&w.l, msr, 1ull << 32, 0), -EINVAL);
        }
        CHECK_EQ(vlapic_msr_write(&w.l, 0x80b, 1, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x828, 1, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x808, 0x100, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x80f, 0x11ff, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x83e, 4, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, LVT_TIMER, 0x60030, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, LVT_TIMER, 0x80030, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, LVT_TIMER, 0x430, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, LVT_ERROR, 0x20030, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x830, 0x1030, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x830, 0x330, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x83f, 0x100, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x7ff, 0, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x840, 0, 0), -EINVAL);
        CHECK(vlapic_owns_msr(0x6e0) && vlapic_owns_msr(0x1b) && vlapic_owns_msr(0x83f));
        CHECK(!vlapic_owns_msr(0x840) && !vlapic_owns_msr(0x7ff));
}

static void test_base(void)
{
        struct world w;
        uint64_t v;

        world_init(&w, 0);
        wr(&w, 0x1b, 0xfee00d00, 0);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x1b, 0xfee00900, 0), -EINVAL); /* xAPIC mode */
        CHECK_EQ(vlapic_msr_write(&w.l, 0x1b, 0xfed00d00, 0), -EINVAL);
        vlapic_raise(&w.l, 0x40, false);
        wr(&w, 0x1b, 0xfee00100, 0);
        CHECK_EQ(rd(&w, 0x1b, 0), 0xfee00100);
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        vlapic_raise(&w.l, 0x40, false);
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        CHECK_EQ(vlapic_msr_read(&w.l, 0x802, &v, 0), -EINVAL);
        CHECK_EQ(vlapic_msr_write(&w.l, 0x1b, 0xfee00d00, 0), -EINVAL);
        vlapic_reset(&w.l);
        CHECK_EQ(rd(&w, 0x1b, 0), 0xfee00d00);
}

static void test_priority(void)
{
        struct world w;

        world_init(&w, 0);
        vlapic_raise(&w.l, 0x31, false);
        vlapic_raise(&w.l, 0x35, false);
        vlapic_raise(&w.l, 0x91, true);
        CHECK_EQ(rd(&w, 0x821, 0), 0x220000);
        CHECK_EQ(rd(&w, 0x81c, 0), 0x20000);
        CHECK_EQ(vlapic_next_irq(&w.l), 0x91);
        vlapic_accept(&w.l, 0x91);
        CHECK_EQ(rd(&w, 0x814, 0), 0x20000);
        CHECK_EQ(rd(&w, 0x80a, 0), 0x90);
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        vlapic_raise(&w.l, 0x9f, false); /* the same class waits */
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        vlapic_raise(&w.l, 0xa0, false);
        CHECK_EQ(vlapic_next_irq(&w.l), 0xa0);
        vlapic_accept(&w.l, 0xa0);
        wr(&w, 0x80b, 0, 0);
        CHECK_EQ(w.eois, 0);
        wr(&w, 0x80b, 0, 0);
        CHECK_EQ(w.eois, 1);
        CHECK_EQ(w.vector, 0x91);
        wr(&w, 0x808, 0x95, 0);
        CHECK_EQ(rd(&w, 0x80a, 0), 0x95);
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        wr(&w, 0x808, 0x8f, 0);
        CHECK_EQ(vlapic_next_irq(&w.l), 0x9f);
        wr(&w, 0x808, 0, 0);
        vlapic_accept(&w.l, 0x9f);
        wr(&w, 0x80b, 0, 0);
        CHECK_EQ(vlapic_next_irq(&w.l), 0x35);
        wr(&w, 0x80b, 0, 0); /* nothing in service */
        CHECK_EQ(w.eois, 1);
}

static void test_errors(void)
{
        struct world w;

        world_init(&w, 0);
        wr(&w, LVT_ERROR, 0xfe, 0);
        vlapic_raise(&w.l, 5, false);
        CHECK_EQ(vlapic_next_irq(&w.l), 0xfe);
        CHECK_EQ(rd(&w, 0x828, 0), 0);
        wr(&w, 0x828, 0, 0);
        CHECK_EQ(rd(&w, 0x828, 0), 0x40);
        wr(&w, 0x83f, 3, 0);
        wr(&w, 0x828, 0, 0);
        CHECK_EQ(rd(&w, 0x828, 0), 0x20);
        wr(&w, LVT_ERROR, 0x05, 0); /* an error interrupt that is an error itself */
        vlapic_raise(&w.l, 5, false);
        wr(&w, 0x828, 0, 0);
        CHECK_EQ(rd(&w, 0x828, 0), 0x40);
        wr(&w, 0x828, 0, 0);
        CHECK_EQ(rd(&w, 0x828, 0), 0);
}

static uint64_t icr(uint32_t dest, uint32_t low)
{
        return (uint64_t)dest << 32 | low;
}

/* One vCPU with ID 0x12: LDR 1:0004. */
static void test_ipi(void)
{
        static const struct {
                uint64_t icr;
                bool mine, others;
        } table[] = {
            {0x00000040, false, true},        /* physical 0 */
            {0x40040, true, false},           /* self */
            {0x80040, true, true},            /* all */
            {0xc0040, false, true},           /* all but self */
            {0x1200000040, true, false},      /* physical, this one */
            {0xffffffff00000040, true, true}, /* broadcast */
            {0x1000400000840, true, true},    /* logical, this one and maybe more */
            {0x1000300000840, false, true},   /* logical, others of the cluster */
            {0x2000400000840, false, true},   /* logical, another cluster */
            {0x1000600000940, true, false},   /* logical, lowest priority: one of them */
        };
        struct world w;

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                world_init(&w, 0x12);
                wr(&w, 0x830, table[i].icr, 0);
                CHECK_EQ(vlapic_next_irq(&w.l), table[i].mine ? 0x40 : -1);
                CHECK_EQ(w.sent, table[i].others);
                CHECK(!w.sent || (w.message.vector == 0x40 && w.message.not_self));
                CHECK(rd(&w, 0x830, 0) == table[i].icr);
        }
        world_init(&w, 0x12);
        wr(&w, 0x83f, 0x77, 0);
        CHECK_EQ(vlapic_next_irq(&w.l), 0x77);
        wr(&w, 0x830, icr(0x12, 0x400), 0);
        CHECK_EQ(w.signals, 1);
        CHECK_EQ(w.mode, APIC_NMI);
        wr(&w, 0x830, icr(0x13, 0x608), 0);
        CHECK_EQ(w.signals, 1);
        CHECK_EQ(w.message.mode, APIC_STARTUP);
        CHECK_EQ(w.message.vector, 8);
        CHECK_EQ(w.message.dest, 0x13);
}

static void test_deliver(void)
{
        struct apic_message m = {.dest = 0x12, .vector = 0x41, .level = true};
        struct world w;

        world_init(&w, 0x12);
        CHECK(deliver_to(&w.l, &m));
        CHECK_EQ(vlapic_next_irq(&w.l), 0x41);
        m.dest = 2;
        CHECK(!deliver_to(&w.l, &m));
        m.mode = APIC_EXTINT;
        m.dest = APIC_DEST_ALL;
        m.vector = 0x90;
        CHECK(deliver_to(&w.l, &m));
        CHECK_EQ(vlapic_next_irq(&w.l), 0x41);
}

static void test_timer_count(void)
{
        static const struct {
                uint32_t code, by;
        } divide[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
        struct world w;

        for (size_t i = 0; i < sizeof(divide) / sizeof(divide[0]); i++) {
                uint64_t cycles = (uint64_t)TICK * divide[i].by;

                world_init(&w, 0);
                wr(&w, 0x83e, divide[i].code, 0);
                wr(&w, LVT_TIMER, 0xec, 0);
                CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
                wr(&w, TMICT, 10, 1000);
                CHECK_EQ(vlapic_deadline(&w.l), 1000 + 10 * cycles);
                CHECK_EQ(rd(&w, TMCCT, 1000), 10);
                CHECK_EQ(rd(&w, TMCCT, 1000 + 3 * cycles), 7);
                vlapic_timer_expired(&w.l, 1000 + 10 * cycles - 1);
                CHECK_EQ(vlapic_next_irq(&w.l), -1);
                vlapic_timer_expired(&w.l, 1000 + 10 * cycles);
                CHECK_EQ(vlapic_next_irq(&w.l), 0xec);
                CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
                CHECK_EQ(rd(&w, TMCCT, 1000 + 11 * cycles), 0);
        }
        wr(&w, TMICT, 0xffffffff, 0);
        CHECK_EQ(vlapic_deadline(&w.l), 0xffffffffull * TICK);
        wr(&w, 0x83e, 10, 4 * TICK); /* a new divider goes on from the count */
        CHECK_EQ(rd(&w, TMCCT, 4 * TICK), 0xfffffffb);
        CHECK_EQ(vlapic_deadline(&w.l), 4 * TICK + 0xfffffffbull * 128 * TICK);
        vlapic_accept(&w.l, 0xec);
        vlapic_eoi(&w.l);
        wr(&w, TMICT, 1, 0); /* expired before the divider changes: it is not counted again */
        wr(&w, 0x83e, 11, 128 * TICK + 1);
        CHECK_EQ(vlapic_next_irq(&w.l), 0xec);
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        wr(&w, TMICT, 9, 0);
        wr(&w, TMICT, 0, 0);
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        wr(&w, TMICT, 5, UINT64_MAX - 3); /* no wrap */
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
}

/* Long enough for VLAPIC_PERIOD_MIN. */
#define COUNTS (VLAPIC_PERIOD_MIN / 100)
#define STEP   ((uint64_t)TICK * COUNTS)

static void test_timer_periodic(void)
{
        struct world w;

        world_init(&w, 0);
        wr(&w, 0x83e, 11, 0);
        wr(&w, LVT_TIMER, 0x200ec, 0);
        wr(&w, TMICT, 100 * COUNTS, 0);
        vlapic_timer_expired(&w.l, 100 * STEP + 5);
        CHECK_EQ(vlapic_next_irq(&w.l), 0xec);
        CHECK_EQ(vlapic_deadline(&w.l), 200 * STEP);
        vlapic_accept(&w.l, 0xec);
        vlapic_timer_expired(&w.l, 450 * STEP); /* late: no burst, no drift */
        CHECK_EQ(vlapic_deadline(&w.l), 500 * STEP);
        wr(&w, LVT_TIMER, 0x300ec, 460 * STEP);
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        CHECK_EQ(rd(&w, TMCCT, 510 * STEP), 90 * COUNTS); /* masked, it counts on */
        vlapic_eoi(&w.l);
        vlapic_accept(&w.l, 0xec);
        vlapic_eoi(&w.l);
        wr(&w, LVT_TIMER, 0x200ec, 620 * STEP); /* what passed masked is gone */
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        CHECK_EQ(vlapic_deadline(&w.l), 700 * STEP);
}

/* A period that no guest could do anything in: it goes on all the same. */
static void test_timer_storm(void)
{
        struct world w;

        world_init(&w, 0);
        wr(&w, 0x83e, 11, 0);
        wr(&w, LVT_TIMER, 0x200ec, 0);
        wr(&w, TMICT, 1, 0);
        vlapic_timer_expired(&w.l, TICK);
        CHECK(vlapic_deadline(&w.l) >= (uint64_t)VLAPIC_PERIOD_MIN * TICK);
}

static void test_timer_deadline(void)
{
        struct world w;

        world_init(&w, 0);
        wr(&w, 0x6e0, 500, 0); /* another mode: ignored */
        CHECK_EQ(rd(&w, 0x6e0, 0), 0);
        wr(&w, LVT_TIMER, 0x400ec, 0);
        wr(&w, 0x6e0, 500, 0);
        CHECK_EQ(vlapic_deadline(&w.l), 500);
        CHECK_EQ(rd(&w, 0x6e0, 0), 500);
        wr(&w, TMICT, 3, 0);
        CHECK_EQ(rd(&w, TMCCT, 0), 0);
        CHECK_EQ(vlapic_deadline(&w.l), 500);
        wr(&w, 0x83e, 3, 0);
        CHECK_EQ(vlapic_deadline(&w.l), 500);
        vlapic_timer_expired(&w.l, 500);
        CHECK_EQ(vlapic_next_irq(&w.l), 0xec);
        CHECK_EQ(rd(&w, 0x6e0, 501), 0);
        vlapic_accept(&w.l, 0xec);
        vlapic_eoi(&w.l);
        wr(&w, 0x6e0, 600, 601); /* past already */
        CHECK_EQ(vlapic_next_irq(&w.l), 0xec);
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        wr(&w, 0x6e0, 900, 700);
        wr(&w, 0x6e0, 0, 700);
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        wr(&w, 0x6e0, 900, 700);
        wr(&w, LVT_TIMER, 0xec, 700); /* a change of mode disarms */
        CHECK(vlapic_deadline(&w.l) == UINT64_MAX);
        CHECK_EQ(rd(&w, 0x6e0, 700), 0);
}

static void test_software_disable(void)
{
        struct world w;

        world_init(&w, 0);
        wr(&w, LVT_LINT1, 0x400, 0);
        vlapic_raise(&w.l, 0x40, false);
        wr(&w, 0x80f, 0xff, 0);
        CHECK_EQ(vlapic_next_irq(&w.l), -1);
        CHECK_EQ(rd(&w, LVT_LINT1, 0), 0x10400);
        wr(&w, LVT_LINT1, 0x400, 0);
        CHECK_EQ(rd(&w, LVT_LINT1, 0), 0x10400);
        wr(&w, 0x80f, 0x1ff, 0);
        CHECK_EQ(vlapic_next_irq(&w.l), 0x40); /* held, not lost */
        CHECK_EQ(rd(&w, LVT_LINT1, 0), 0x10400);
}

/* The rules of priority, written plainly. */
struct model {
        bool irr[256], isr[256], level[256];
        uint8_t tpr;
};

static int model_top(const bool *set)
{
        for (int v = 255; v >= 0; v--)
                if (set[v])
                        return v;
        return -1;
}

static int model_next(const struct model *m)
{
        int irr = model_top(m->irr), isr = model_top(m->isr), floor = m->tpr >> 4;

        if (isr >> 4 > floor)
                floor = isr >> 4;
        return irr >= 0 && irr >> 4 > floor ? irr : -1;
}

static void test_random(void)
{
        uint64_t rng = unit_seed();
        struct model m = {0};
        struct world w;

        world_init(&w, 0);
        for (unsigned step = 0; step < 200000; step++) {
                uint8_t v = (uint8_t)(16 + unit_random(&rng) % 240);
                int next = model_next(&m);

                CHECK_EQ(vlapic_next_irq(&w.l), next);
                switch (unit_random(&rng) % 4) {
                case 0:
                        m.level[v] = v & 1;
                        m.irr[v] = true;
                        vlapic_raise(&w.l, v, v & 1);
                        break;
                case 1:
                        if (next < 0)
                                break;
                        m.irr[next] = false;
                        m.isr[next] = true;
                        vlapic_accept(&w.l, (uint8_t)next);
                        break;
                case 2: {
                        int top = model_top(m.isr);

                        w.eois = 0;
                        wr(&w, 0x80b, 0, 0);
                        CHECK_EQ(w.eois, top >= 0 && m.level[top]);
                        if (top >= 0)
                                m.isr[top] = false;
                        break;
                }
                default:
                        m.tpr = unit_random(&rng) % 3 ? 0 : v;
                        wr(&w, 0x808, m.tpr, 0);
                        break;
                }
        }
}

/* Whatever a guest writes: no #GP without cause is claimed here, only that nothing breaks. */
static void test_random_registers(void)
{
        uint64_t rng = unit_seed(), now = 0, v;
        struct world w;

        world_init(&w, 0);
        for (unsigned step = 0; step < 300000; step++) {
                uint32_t msr = 0x800 + (uint32_t)(unit_random(&rng) % 64);
                uint64_t value = unit_random(&rng) >> (unit_random(&rng) % 64);

                now += unit_random(&rng) % 100000;
                if (unit_random(&rng) % 8 == 0)
                        msr = 0x6e0;
                if (vlapic_msr_write(&w.l, msr, value, now) == 0)
                        (void)!vlapic_msr_read(&w.l, msr, &v, now);
                vlapic_timer_expired(&w.l, now);
                CHECK(vlapic_deadline(&w.l) > now);
                if (vlapic_next_irq(&w.l) >= 0)
                        vlapic_accept(&w.l, (uint8_t)vlapic_next_irq(&w.l));
        }
}

int main(void)
{
        RUN(test_reset_state);
        RUN(test_gp_rules);
        RUN(test_base);
        RUN(test_priority);
        RUN(test_errors);
        RUN(test_ipi);
        RUN(test_deliver);
        RUN(test_timer_count);
        RUN(test_timer_periodic);
        RUN(test_timer_storm);
        RUN(test_timer_deadline);
        RUN(test_software_disable);
        RUN(test_random);
        RUN(test_random_registers);
        return unit_done();
}
