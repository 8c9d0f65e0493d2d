/* KVM's paravirtual features: registration, the shared structures, and decoded hypercalls. */
#include "guest/dev/pv.h"

#include "guest/dev/vlapic.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "hv/virt.h"
#include "tests/unit/unit.h"

#define RAM_GPA 0x10000ull
#define ALL     0xffffffffu

enum { STEAL = 0x4b564d03, EOI = 0x4b564d04, KICK = 5, SEND_IPI = 10, YIELD = 11 };

struct world {
        uint8_t ram[4096] __attribute__((aligned(4096)));
        struct gmem mem;
        struct pv_vcpu pv;
};

static struct world w;

static void open_world(void)
{
        memset(&w, 0, sizeof w);
        CHECK_EQ(gmem_add(&w.mem, GPA(RAM_GPA), sizeof w.ram, w.ram), 0);
}

static int wrmsr(uint32_t msr, uint64_t value)
{
        return pv_msr_write(&w.pv, ALL, &w.mem, msr, value);
}

static uint64_t rdmsr(uint32_t msr)
{
        uint64_t v = 0;

        CHECK_EQ(pv_msr_read(&w.pv, ALL, msr, &v), 0);
        return v;
}

static uint64_t get(size_t at, size_t n)
{
        uint64_t v = 0;

        memcpy(&v, &w.ram[at], n);
        return v;
}

static void test_offers(void)
{
        const uint32_t always = 1u << 1 | 1u << 3 | 1u << 5 | 1u << 24;
        const uint32_t several = always | 1u << 7 | 1u << 9 | 1u << 11 | 1u << 13;

        CHECK_EQ(pv_features(1, false), always);
        CHECK_EQ(pv_features(1, true), always | 1u << 6);
        CHECK_EQ(pv_features(2, false), several);
        CHECK_EQ(pv_features(2, true), several | 1u << 6);
}

static void test_steal_time(void)
{
        open_world();
        memset(w.ram, 0xa5, sizeof w.ram);
        memset(&w.ram[64], 0, 64);
        w.ram[64 + 8] = 5; /* odd: a predecessor's torn version */
        CHECK_EQ(wrmsr(STEAL, RAM_GPA + 64 + 1), 0);
        CHECK_EQ(rdmsr(STEAL), RAM_GPA + 65);
        CHECK_EQ(get(64, 8), 0);
        CHECK_EQ(get(64 + 8, 4), 8);
        pv_steal_begin(&w.pv);
        CHECK_EQ(w.ram[64 + 16], 1);
        CHECK(!pv_steal_end(&w.pv, 1000));
        CHECK_EQ(w.ram[64 + 16], 0);
        CHECK_EQ(get(64, 8), 1000);
        CHECK_EQ(get(64 + 8, 4), 10);
        pv_steal_begin(&w.pv);
        CHECK_EQ(w.ram[64 + 16], 1);
        w.ram[64 + 16] |= 2; /* another vCPU flushes */
        CHECK(pv_steal_end(&w.pv, 0));
        CHECK_EQ(w.ram[64 + 16], 0);
        CHECK_EQ(get(64 + 8, 4), 10); /* nothing new: not written */
        CHECK(!pv_steal_end(&w.pv, 1ull << 40));
        CHECK_EQ(get(64, 8), 1000 + (1ull << 40));
        CHECK_EQ(get(64 + 12, 4), 0);
        for (size_t i = 0; i < sizeof w.ram; i++)
                CHECK(i / 64 == 1 || w.ram[i] == 0xa5);
}

/* What is stolen while nothing is registered is told later; INIT ends the registration. */
static void test_steal_before_registration(void)
{
        open_world();
        pv_steal_begin(&w.pv);
        CHECK(!pv_steal_end(&w.pv, 77));
        CHECK_EQ(wrmsr(STEAL, RAM_GPA + 1), 0);
        CHECK_EQ(get(0, 8), 77);
        pv_reset(&w.pv);
        CHECK_EQ(rdmsr(STEAL), 0);
        pv_steal_begin(&w.pv);
        CHECK(!pv_steal_end(&w.pv, 1));
        CHECK_EQ(get(0, 8), 77);
        CHECK_EQ(w.ram[16], 0);
        w.ram[16] = 1; /* what the guest left there is not ours */
        CHECK_EQ(wrmsr(STEAL, RAM_GPA + 1), 0);
        CHECK_EQ(get(0, 8), 78);
        CHECK_EQ(w.ram[16], 0);
        CHECK_EQ(wrmsr(STEAL, 0), 0);
        pv_steal_begin(&w.pv);
        CHECK_EQ(w.ram[16], 0);
}

static void test_eoi(void)
{
        open_world();
        pv_eoi_enter(&w.pv, true);
        CHECK(!pv_eoi_exit(&w.pv));
        CHECK_EQ(wrmsr(EOI, RAM_GPA + 4 + 1), 0);
        CHECK_EQ(rdmsr(EOI), RAM_GPA + 5);
        pv_eoi_enter(&w.pv, false);
        CHECK_EQ(w.ram[4], 0);
        CHECK(!pv_eoi_exit(&w.pv));
        pv_eoi_enter(&w.pv, true);
        CHECK_EQ(w.ram[4], 1);
        CHECK(!pv_eoi_exit(&w.pv)); /* not ended yet */
        pv_eoi_enter(&w.pv, true);
        CHECK_EQ(w.ram[4], 1);
        w.ram[4] = 0; /* the guest ends it */
        CHECK(pv_eoi_exit(&w.pv));
        CHECK(!pv_eoi_exit(&w.pv)); /* once */
        pv_eoi_enter(&w.pv, true);
        CHECK(!pv_eoi_exit(&w.pv));
        pv_eoi_enter(&w.pv, false); /* something became pending: a real EOI, please */
        CHECK_EQ(w.ram[4], 0);
        CHECK(!pv_eoi_exit(&w.pv));
        pv_eoi_enter(&w.pv, true);
        CHECK_EQ(wrmsr(EOI, 0), 0);
        w.ram[4] = 0;
        CHECK(!pv_eoi_exit(&w.pv));
        for (size_t i = 0; i < sizeof w.ram; i++)
                CHECK_EQ(w.ram[i], 0);
}

/* When the local APIC lets its EOI wait: edge-triggered, in service, nothing behind it. */
static void test_eoi_may_wait(void)
{
        struct vlapic l;

        vlapic_init(&l, 0, true, 8, NULL);
        CHECK_EQ(vlapic_msr_write(&l, 0x80f, 0x1ff, 0), 0);
        CHECK(!vlapic_eoi_may_wait(&l));
        vlapic_raise(&l, 0x50, false);
        CHECK(!vlapic_eoi_may_wait(&l));
        vlapic_accept(&l, 0x50);
        CHECK(vlapic_eoi_may_wait(&l));
        vlapic_raise(&l, 0x30, false);
        CHECK(!vlapic_eoi_may_wait(&l));
        vlapic_hand_over(&l, 0x30);
        vlapic_raise(&l, 0x60, true);
        vlapic_accept(&l, 0x60);
        CHECK(!vlapic_eoi_may_wait(&l)); /* level: the I/O APIC waits */
        vlapic_eoi(&l);
        CHECK(vlapic_eoi_may_wait(&l));
}

static void test_refused(void)
{
        static const uint64_t bad_steal[] = {1,
                                             3,
                                             RAM_GPA + 2,
                                             RAM_GPA + 32 + 1,
                                             RAM_GPA + 0x3e + 1,
                                             RAM_GPA + 4096 + 1,
                                             RAM_GPA - 64 + 1,
                                             UINT64_MAX,
                                             UINT64_MAX - 0x3e};
        static const uint64_t bad_eoi[] = {1,
                                           3,
                                           RAM_GPA + 2,
                                           RAM_GPA + 3,
                                           RAM_GPA + 4096 + 1,
                                           RAM_GPA - 4 + 1,
                                           UINT64_MAX,
                                           UINT64_MAX - 2};
        uint64_t v = 9;

        open_world();
        CHECK_EQ(wrmsr(STEAL, RAM_GPA + 4096 - 64 + 1), 0);
        CHECK_EQ(wrmsr(EOI, RAM_GPA + 4), 0); /* off, whatever the address */
        for (size_t i = 0; i < ARRAY_LEN(bad_steal); i++)
                CHECK_EQ(wrmsr(STEAL, bad_steal[i]), -EINVAL);
        for (size_t i = 0; i < ARRAY_LEN(bad_eoi); i++)
                CHECK_EQ(wrmsr(EOI, bad_eoi[i]), -EINVAL);
        CHECK_EQ(rdmsr(STEAL), RAM_GPA + 4096 - 64 + 1);
        CHECK_EQ(rdmsr(EOI), RAM_GPA + 4);
        pv_steal_begin(&w.pv);
        CHECK_EQ(w.ram[4096 - 64 + 16], 1); /* still the one registered */
        CHECK_EQ(wrmsr(0x4b564d02, 0), -EINVAL);
        CHECK_EQ(wrmsr(0x4b564d05, 0), -EINVAL);
        CHECK_EQ(pv_msr_read(&w.pv, ALL, 0x4b564d05, &v), -EINVAL);
        CHECK_EQ(pv_msr_write(&w.pv, ALL & ~(1u << 5), &w.mem, STEAL, 0), -EINVAL);
        CHECK_EQ(pv_msr_read(&w.pv, ALL & ~(1u << 6), EOI, &v), -EINVAL);
        CHECK_EQ(v, 9);
}

static int64_t call(struct pv_call *c, unsigned vcpus, const uint64_t *args)
{
        uint64_t regs[REG_COUNT] = {0};

        regs[REG_RAX] = args[0];
        regs[REG_RBX] = args[1];
        regs[REG_RCX] = args[2];
        regs[REG_RDX] = args[3];
        regs[REG_RSI] = args[4];
        return pv_hypercall(regs, 0, ALL, vcpus, c);
}

#define CALL(vcpus, ...) call(&c, vcpus, (const uint64_t[5]){__VA_ARGS__})

static void test_kick_and_yield(void)
{
        struct pv_call c;

        CHECK_EQ(CALL(4, KICK, 0, 3), 0);
        CHECK(c.verb == PV_KICK && c.id == 3);
        CHECK_EQ(CALL(4, KICK, 0, 4), -22);
        CHECK_EQ(c.verb, PV_NOTHING);
        CHECK_EQ(CALL(4, KICK, 0, 1ull << 32), -22);
        CHECK_EQ(CALL(4, YIELD, 2), 0);
        CHECK(c.verb == PV_YIELD && c.id == 2);
        CHECK_EQ(CALL(4, YIELD, UINT64_MAX), -22);
        CHECK_EQ(c.verb, PV_NOTHING);
}

static void test_ipi(void)
{
        struct pv_call c;

        CHECK_EQ(CALL(4, SEND_IPI, 0xa, 0, 0, 0xfd), 2);
        CHECK(c.verb == PV_IPI && c.mode == APIC_FIXED && c.vector == 0xfd);
        CHECK(c.targets[0] == 0xa && c.targets[1] == 0 && c.first_id == 0);
        CHECK_EQ(CALL(4, SEND_IPI, UINT64_MAX, UINT64_MAX, 1, 0x400), 3);
        CHECK(c.targets[0] == 7 && c.targets[1] == 0 && c.first_id == 1);
        CHECK_EQ(c.mode, APIC_NMI);
        CHECK_EQ(CALL(254, SEND_IPI, UINT64_MAX, UINT64_MAX, 128, 0x30), 126);
        CHECK(c.targets[0] == UINT64_MAX && c.targets[1] == UINT64_MAX >> 2);
        CHECK_EQ(CALL(64, SEND_IPI, UINT64_MAX, UINT64_MAX, 0, 0x30), 64);
        CHECK(c.targets[0] == UINT64_MAX && c.targets[1] == 0);
        CHECK_EQ(CALL(4, SEND_IPI, UINT64_MAX, UINT64_MAX, 4, 0x30), 0);
        CHECK_EQ(c.verb, PV_NOTHING);
        CHECK_EQ(CALL(4, SEND_IPI, UINT64_MAX, UINT64_MAX, 0xffffffff, 0x30), 0);
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0xf), -22); /* vectors below 16 */
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0x500), -22);
        CHECK_EQ(c.verb, PV_NOTHING);
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0x100 | 0x30), -22);
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0x800 | 0x30), -22);
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0x40000 | 0x30), -22);
        CHECK_EQ(CALL(4, SEND_IPI, 1, 0, 0, 0x80000 | 0x30), -22);
}

static void test_unknown_and_user_mode(void)
{
        static const uint32_t bit_of[] = {[KICK] = 7, [SEND_IPI] = 11, [YIELD] = 13};
        uint64_t regs[REG_COUNT] = {0};
        struct pv_call c;

        for (unsigned n = 0; n < 64; n++) {
                bool known = n == KICK || n == SEND_IPI || n == YIELD;

                CHECK_EQ(CALL(4, n, 0, 0, 0, 0x30) == -1000, !known);
                regs[REG_RAX] = n;
                regs[REG_RSI] = 0x30;
                CHECK_EQ(pv_hypercall(regs, 3, ALL, 4, &c), -1);
                CHECK_EQ(c.verb, PV_NOTHING);
                if (known) /* not offered */
                        CHECK_EQ(pv_hypercall(regs, 0, ALL & ~(1u << bit_of[n]), 4, &c), -1000);
        }
        CHECK_EQ(CALL(4, 1ull << 32 | KICK, 0, 0), -1000);
}

/* Whatever the registers hold: what comes out names vCPUs that exist only. */
static void test_random(void)
{
        uint64_t rng = unit_seed();

        for (unsigned i = 0; i < 200000; i++) {
                unsigned vcpus = 1 + (unsigned)(unit_random(&rng) % 254);
                uint64_t args[5];
                struct pv_call c;
                int64_t r;

                args[0] = unit_random(&rng) % 16;
                for (unsigned k = 1; k < 5; k++)
                        args[k] = unit_random(&rng) >> unit_random(&rng) % 64;
                r = call(&c, vcpus, args);
                CHECK(r >= 0 || c.verb == PV_NOTHING);
                if (c.verb == PV_KICK || c.verb == PV_YIELD)
                        CHECK(c.id < vcpus);
                for (unsigned n = 0; c.verb == PV_IPI && n < 128; n++)
                        if (c.targets[n / 64] >> n % 64 & 1)
                                CHECK(c.first_id + n < vcpus);
        }
}

int main(void)
{
        RUN(test_offers);
        RUN(test_steal_time);
        RUN(test_steal_before_registration);
        RUN(test_eoi);
        RUN(test_eoi_may_wait);
        RUN(test_refused);
        RUN(test_kick_and_yield);
        RUN(test_ipi);
        RUN(test_unknown_and_user_mode);
        RUN(test_random);
        return unit_done();
}
