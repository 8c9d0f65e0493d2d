/* Tests of the KVM clock: what a guest computes from the structures, and which addresses are
 * refused. */
#include "guest/dev/kvmclock.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define RAM_GPA 0x10000ull

struct world {
        uint8_t ram[4096] __attribute__((aligned(4096)));
        struct gmem mem;
        struct kvmclock k;
        struct kvmclock_vcpu v;
};

static void world_init(struct world *w, uint32_t khz, uint64_t base)
{
        memset(w, 0, sizeof(*w));
        CHECK_EQ(gmem_add(&w->mem, GPA(RAM_GPA), sizeof(w->ram), w->ram), 0);
        CHECK_EQ(kvmclock_init(&w->k, khz, base, 1700000000), 0);
}

static uint64_t get(const struct world *w, size_t at, size_t n)
{
        uint64_t v = 0;

        memcpy(&v, &w->ram[at], n);
        return v;
}

/* pvclock as Linux reads it: shift, multiply, keep the bits from 32 up. */
static uint64_t guest_clock(const struct world *w, size_t at, uint64_t tsc)
{
        uint64_t delta = tsc - get(w, at + 8, 8);
        int8_t shift = (int8_t)w->ram[at + 28];

        delta = shift < 0 ? delta >> -shift : delta << shift;
        return get(w, at + 16, 8) +
               (uint64_t)(((unsigned __int128)delta * (uint32_t)get(w, at + 24, 4)) >> 32);
}

static void test_system_time(void)
{
        static const uint32_t khz[] = {1,       50000,   100000,  999999,  1000000,
                                       1000001, 1999999, 2000000, 2893210, 4200000};

        for (size_t i = 0; i < ARRAY_LEN(khz); i++) {
                struct world w;
                uint64_t hour = khz[i] * 3600000ull, ns, v;

                world_init(&w, khz[i], 777);
                CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 64 + 1), 0);
                CHECK_EQ(get(&w, 64, 4), 2);
                CHECK_EQ(w.ram[64 + 29], 1); /* stable */
                CHECK_EQ(guest_clock(&w, 64, 777), 0);
                ns = guest_clock(&w, 64, 777 + hour);
                /* within one part in 500 million, 8 us an hour */
                CHECK(ns <= 3600000000000ull && ns > 3600000000000ull - 8000);
                CHECK_EQ(kvmclock_msr_read(&w.v, 0x4b564d01, &v), 0);
                CHECK_EQ(v, RAM_GPA + 65);
        }
}

static void test_version(void)
{
        struct world w;

        world_init(&w, 1000000, 0);
        w.ram[0] = 7; /* a torn predecessor's odd version */
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 1), 0);
        CHECK_EQ(get(&w, 0, 4), 10);
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 1), 0);
        CHECK_EQ(get(&w, 0, 4), 12);
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, 0), 0); /* switched off */
        CHECK_EQ(get(&w, 0, 4), 12);
}

static void test_wall_clock(void)
{
        struct world w;
        uint64_t v;

        world_init(&w, 1000000, 0);
        memset(w.ram, 0xff, 64);
        w.ram[0] = w.ram[1] = w.ram[2] = w.ram[3] = 0;
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d00, RAM_GPA), 0);
        CHECK_EQ(get(&w, 0, 4), 2);
        CHECK_EQ(get(&w, 4, 4), 1700000000);
        CHECK_EQ(get(&w, 8, 4), 0);
        CHECK_EQ(w.ram[12], 0xff); /* nothing after it is touched */
        CHECK_EQ(kvmclock_msr_read(&w.v, 0x4b564d00, &v), 0);
        CHECK_EQ(v, RAM_GPA);
}

static void test_refused(void)
{
        static const uint64_t bad_time[] = {1,
                                            RAM_GPA + 3,
                                            RAM_GPA + 4096 + 1,
                                            UINT64_MAX,
                                            RAM_GPA + 4096 - 28 + 1,
                                            RAM_GPA - 4 + 1};
        static const uint64_t bad_wall[] = {0, RAM_GPA + 1, RAM_GPA + 2, RAM_GPA + 4096 - 8,
                                            UINT64_MAX - 3};
        struct kvmclock none;
        struct world w;
        uint64_t v = 1;

        world_init(&w, 1000000, 0);
        for (size_t i = 0; i < ARRAY_LEN(bad_time); i++)
                CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, bad_time[i]), -EINVAL);
        for (size_t i = 0; i < ARRAY_LEN(bad_wall); i++)
                CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d00, bad_wall[i]), -EINVAL);
        for (size_t i = 0; i < sizeof(w.ram); i++)
                CHECK_EQ(w.ram[i], 0);
        CHECK_EQ(kvmclock_msr_read(&w.v, 0x4b564d01, &v), 0);
        CHECK_EQ(v, 0);
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d02, RAM_GPA), -EINVAL);
        CHECK_EQ(kvmclock_msr_read(&w.v, 0x11, &v), -EINVAL);
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 4096 - 32 + 1), 0);
        CHECK_EQ(kvmclock_init(&none, 0, 0, 0), -EINVAL);
}

/* Every vCPU is told the same, whenever it registers, and has its own place. */
static void test_vcpus(void)
{
        struct kvmclock_vcpu second = {0};
        struct world w;
        uint64_t v;

        world_init(&w, 2893210, 12345);
        CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 1), 0);
        CHECK_EQ(kvmclock_msr_write(&second, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 64 + 1), 0);
        CHECK(memcmp(&w.ram[0], &w.ram[64], 32) == 0);
        CHECK_EQ(kvmclock_msr_read(&w.v, 0x4b564d01, &v), 0);
        CHECK_EQ(v, RAM_GPA + 1);
        CHECK_EQ(kvmclock_msr_read(&second, 0x4b564d01, &v), 0);
        CHECK_EQ(v, RAM_GPA + 65);
}

/* Time never runs backwards, and is the same wherever it is computed. */
static void test_random(void)
{
        uint64_t rng = unit_seed();

        for (unsigned round = 0; round < 200; round++) {
                uint64_t tsc = unit_random(&rng) >> 20, last = 0;
                struct world w;

                world_init(&w, 1 + (uint32_t)(unit_random(&rng) % 6000000), tsc);
                CHECK_EQ(kvmclock_msr_write(&w.v, &w.k, &w.mem, 0x4b564d01, RAM_GPA + 1), 0);
                for (unsigned step = 0; step < 500; step++) {
                        uint64_t ns;

                        tsc += unit_random(&rng) >> (28 + unit_random(&rng) % 36);
                        ns = guest_clock(&w, 0, tsc);
                        CHECK(ns >= last || w.k.shift > 0); /* a slow TSC overflows its shift */
                        last = ns;
                }
        }
}

int main(void)
{
        RUN(test_system_time);
        RUN(test_version);
        RUN(test_wall_clock);
        RUN(test_refused);
        RUN(test_vcpus);
        RUN(test_random);
        return unit_done();
}
