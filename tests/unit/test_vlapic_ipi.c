/* IPIs through the ICR in every form: shorthands, destinations and modes, on a VM of vCPUs. */
#include "guest/dev/vlapic.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define VCPUS 40u /* three clusters of x2APIC */

enum { ICR = 0x830, SELF = 1u << 18, ALL = 2u << 18, OTHERS = 3u << 18, LOGICAL = 1u << 11 };

static struct vlapic lapic[VCPUS];
static unsigned got[VCPUS][8]; /* by mode */

static uint32_t id_of(const void *ctx)
{
        return ((const struct vlapic *)ctx)->id;
}

/* As a VM passes messages on. */
static void send(void *ctx, const struct apic_message *m)
{
        for (uint32_t id = 0; id < VCPUS; id++) {
                if (!vlapic_matches(id, id_of(ctx), m))
                        continue;
                got[id][m->mode]++;
                if (m->mode == APIC_FIXED || m->mode == APIC_LOWEST)
                        vlapic_raise(&lapic[id], m->vector, m->level);
                if (m->mode == APIC_LOWEST)
                        return;
        }
}

static void signal_self(void *ctx, enum apic_mode mode, uint8_t vector)
{
        (void)vector;
        got[id_of(ctx)][mode]++;
}

static void open_vm(void)
{
        memset(got, 0, sizeof got);
        for (uint32_t id = 0; id < VCPUS; id++) {
                const struct vlapic_ops ops = {&lapic[id], send, signal_self, NULL};

                vlapic_init(&lapic[id], id, id == 0, 8, &ops);
                CHECK_EQ(vlapic_msr_write(&lapic[id], 0x80f, 0x1ff, 0), 0);
        }
}

/* Who has got it, a bit an ID; fixed ones that stay with the sender are seen in its APIC. */
static uint64_t receivers(unsigned mode)
{
        uint64_t set = 0;

        for (uint32_t id = 0; id < VCPUS; id++) {
                bool fixed = mode == APIC_FIXED || mode == APIC_LOWEST;

                CHECK(got[id][mode] <= 1);
                if (fixed ? vlapic_next_irq(&lapic[id]) >= 0 : got[id][mode] == 1)
                        set |= 1ull << id;
        }
        return set;
}

static uint64_t send_icr(uint32_t sender, uint64_t icr)
{
        open_vm();
        CHECK_EQ(vlapic_msr_write(&lapic[sender], ICR, icr, 0), 0);
        return receivers(icr >> 8 & 7);
}

#define BIT(n)   (1ull << (n))
#define EVERYONE (BIT(VCPUS) - 1)

/* What an ICR's destination means, the plain way. */
static uint64_t destination(uint64_t icr)
{
        uint32_t dest = (uint32_t)(icr >> 32);
        uint64_t set = 0;

        if (dest == APIC_DEST_ALL)
                return EVERYONE;
        for (uint32_t id = 0; id < VCPUS; id++) {
                bool hit =
                    icr & LOGICAL ? dest >> 16 == id / 16 && dest >> id % 16 & 1 : dest == id;

                set |= hit ? BIT(id) : 0;
        }
        return set;
}

static uint64_t expected(uint32_t sender, uint64_t icr)
{
        unsigned mode = icr >> 8 & 7;
        uint64_t set = 0;

        switch (icr & OTHERS) {
        case SELF:
                return mode == APIC_FIXED || mode == APIC_NMI ? BIT(sender) : 0;
        case ALL:
                return mode == APIC_FIXED || mode == APIC_NMI ? EVERYONE : 0;
        case OTHERS:
                set = EVERYONE & ~BIT(sender);
                break;
        default:
                set = destination(icr);
                break;
        }
        if (mode == APIC_LOWEST && set)
                set = set & BIT(sender) ? BIT(sender) : set & -set;
        return set;
}

static void test_every_form(void)
{
        static const uint32_t dests[] = {
            0,       1,       15,     16,      17,      39,      40,         0xff,
            0x1ffff, 0x10001, 0x8000, 0x200ff, 0x2ffff, 0x30001, 0xfffffffe, APIC_DEST_ALL};
        static const uint8_t modes[] = {APIC_FIXED, APIC_LOWEST, APIC_SMI,
                                        APIC_NMI,   APIC_INIT,   APIC_STARTUP};
        static const uint32_t senders[] = {0, 7, 16, 39};

        for (size_t d = 0; d < ARRAY_LEN(dests); d++) {
                for (unsigned n = 0; n < ARRAY_LEN(modes) * ARRAY_LEN(senders) * 8; n++) {
                        uint64_t icr = (uint64_t)dests[d] << 32 | 0x4040;
                        uint32_t sender = senders[n / 8 % ARRAY_LEN(senders)];

                        icr |= (uint64_t)modes[n / 8 / ARRAY_LEN(senders)] << 8;
                        icr |= (n & 3) << 18 | (n & 4 ? LOGICAL : 0);
                        CHECK_EQ(send_icr(sender, icr), expected(sender, icr));
                }
        }
}

/* Linux' sequence: INIT asserted, de-asserted, two start-ups. The second word starts nobody. */
static void test_linux_wakes_a_cpu(void)
{
        open_vm();
        CHECK_EQ(vlapic_msr_write(&lapic[0], ICR, 5ull << 32 | 0xc500, 0), 0);
        CHECK_EQ(vlapic_msr_write(&lapic[0], ICR, 5ull << 32 | 0x8500, 0), 0);
        CHECK_EQ(got[5][APIC_INIT], 1);
        CHECK_EQ(vlapic_msr_write(&lapic[0], ICR, 5ull << 32 | 0x69a, 0), 0);
        CHECK_EQ(got[5][APIC_STARTUP], 1);
        CHECK_EQ(receivers(APIC_INIT), BIT(5));
}

/* A vector below 16 is the sender's error only for interrupts that have one. */
static void test_vectors_of_events(void)
{
        uint64_t esr;

        CHECK_EQ(send_icr(1, 2ull << 32 | 0x4400), BIT(2));
        CHECK_EQ(send_icr(1, 2ull << 32 | 0x4500), BIT(2));
        CHECK_EQ(send_icr(1, 2ull << 32 | 0x4601), BIT(2));
        CHECK_EQ(vlapic_msr_write(&lapic[1], 0x828, 0, 0), 0);
        CHECK_EQ(vlapic_msr_read(&lapic[1], 0x828, &esr, 0), 0);
        CHECK_EQ(esr, 0);
        CHECK_EQ(send_icr(1, 2ull << 32 | 0x400f), 0);
        CHECK_EQ(vlapic_msr_write(&lapic[1], 0x828, 0, 0), 0);
        CHECK_EQ(vlapic_msr_read(&lapic[1], 0x828, &esr, 0), 0);
        CHECK_EQ(esr, 0x20);
}

/* INIT: the state after reset, but the ID, who boots and where things go stay. */
static void test_init_resets(void)
{
        uint64_t v;

        open_vm();
        for (uint32_t id = 0; id < 2; id++) {
                struct vlapic *l = &lapic[id];

                vlapic_raise(l, 0x50, true);
                vlapic_accept(l, 0x50);
                vlapic_raise(l, 0x60, false);
                CHECK_EQ(vlapic_msr_write(l, 0x832, 0x40055, 0), 0);
                CHECK_EQ(vlapic_msr_write(l, 0x6e0, 1000, 0), 0);
                vlapic_reset(l);
                CHECK_EQ(vlapic_next_irq(l), -1);
                CHECK(vlapic_deadline(l) == UINT64_MAX);
                CHECK_EQ(vlapic_msr_read(l, 0x802, &v, 0), 0);
                CHECK_EQ(v, id);
                CHECK_EQ(vlapic_msr_read(l, 0x1b, &v, 0), 0);
                CHECK_EQ(v, id == 0 ? 0xfee00d00 : 0xfee00c00);
                CHECK_EQ(vlapic_msr_read(l, 0x80f, &v, 0), 0);
                CHECK_EQ(v, 0xff);
                CHECK_EQ(vlapic_msr_write(l, ICR, 9ull << 32 | 0x4400, 0), 0);
                CHECK_EQ(got[9][APIC_NMI], id + 1);
        }
}

static void test_matches(void)
{
        struct apic_message m = {.dest = APIC_DEST_ALL, .not_self = true};

        CHECK(vlapic_matches(3, APIC_NO_SENDER, &m));
        CHECK(vlapic_matches(3, 4, &m));
        CHECK(!vlapic_matches(3, 3, &m));
        m.not_self = false;
        CHECK(vlapic_matches(3, 3, &m));
}

int main(void)
{
        RUN(test_every_form);
        RUN(test_linux_wakes_a_cpu);
        RUN(test_vectors_of_events);
        RUN(test_init_resets);
        RUN(test_matches);
        return unit_done();
}
