/* The scheduler on simulated CPUs: shares by weight, pinning, latency of what wakes. */
#include "guest/vm/sched.h"

#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define SLICE 5000u
#define MANY  8u
#define TICK  250u /* of the simulation */

static struct sched s;
static struct sched_entity e[MANY];
static uint64_t now;

static struct cpu_set cpus_of(uint64_t bits)
{
        return (struct cpu_set){{bits}};
}

static void start(unsigned cpus, unsigned count, const uint32_t *weight)
{
        sched_init(&s, cpus, SLICE);
        memset(e, 0, sizeof e);
        now = 1000;
        for (unsigned i = 0; i < count; i++) {
                e[i].weight = weight[i];
                e[i].cpus = cpu_set_first(CPUS_MAX);
                sched_add(&s, &e[i], now);
                CHECK_EQ(e[i].state, SCHED_BLOCKED);
                (void)sched_wake(&s, &e[i], now);
        }
}

/* Everybody who runs wants to go on, for so many ticks. */
static void simulate(unsigned cpus, uint64_t ticks)
{
        for (uint64_t end = now + ticks; now < end; now += TICK)
                for (unsigned cpu = 0; cpu < cpus; cpu++) {
                        (void)sched_look(&s, cpu, now);
                        if (s.cpu[cpu].running && sched_yields(&s, cpu, now))
                                sched_put(&s, cpu, SCHED_READY, SCHED_NEVER, now);
                        if (!s.cpu[cpu].running)
                                (void)sched_pick(&s, cpu, now);
                }
}

static uint64_t had(const struct sched_entity *of)
{
        return of->measured.ran + (of->state == SCHED_RUNNING ? now - of->since : 0);
}

/* Within 2 % of the whole. */
static void expect_share(unsigned i, uint64_t whole, uint64_t weight, uint64_t sum)
{
        uint64_t want = whole * weight / sum, got = had(&e[i]);
        uint64_t off = got > want ? got - want : want - got;

        CHECK(off * 50 <= whole);
}

static void test_shares(void)
{
        static const uint32_t two[] = {100, 200};
        static const uint32_t eight[] = {100, 200, 400, 100, 200, 400, 100, 100};

        start(1, 2, two);
        simulate(1, 300 * SLICE);
        for (unsigned i = 0; i < 2; i++)
                expect_share(i, 300 * SLICE, two[i], 300);
        start(1, 8, eight);
        simulate(1, 2000 * SLICE);
        for (unsigned i = 0; i < 8; i++)
                expect_share(i, 2000 * SLICE, eight[i], 1600);
        start(2, 8, eight);
        simulate(2, 2000 * SLICE);
        for (unsigned i = 0; i < 8; i++)
                expect_share(i, 4000 * SLICE, eight[i], 1600);
}

/* More weight than a CPU is worth: the rest is the others'. */
static void test_no_more_than_a_cpu(void)
{
        static const uint32_t weight[] = {10000, 100, 100};

        start(2, 3, weight);
        simulate(2, 1000 * SLICE);
        expect_share(0, 1000 * SLICE, 1, 1);
        expect_share(1, 1000 * SLICE, 1, 2);
        expect_share(2, 1000 * SLICE, 1, 2);
}

static void test_pinned(void)
{
        static const uint32_t weight[] = {100, 100, 100};

        start(2, 3, weight);
        for (unsigned i = 0; i < 3; i++)
                e[i].cpus = cpus_of(i == 2 ? 2 : 1);
        simulate(2, 400 * SLICE);
        expect_share(0, 400 * SLICE, 1, 2);
        expect_share(1, 400 * SLICE, 1, 2);
        expect_share(2, 400 * SLICE, 1, 1);
        CHECK_EQ(e[2].cpu, 1);
}

/* Who comes new to a CPU is not behind those of another CPU that had less. */
static void test_newcomer(void)
{
        static const uint32_t weight[] = {100, 100, 300};

        start(2, 2, weight);
        e[0].cpus = cpus_of(1);
        e[1].cpus = cpus_of(2);
        CHECK(sched_pick(&s, 1, now) == &e[1]); /* CPU 0 has other things to do */
        now += 1000 * SLICE;
        CHECK(sched_pick(&s, 0, now) == &e[0]);
        e[2] = (struct sched_entity){.weight = 300, .cpus = cpus_of(2)};
        sched_add(&s, &e[2], now);
        CHECK_EQ(sched_wake(&s, &e[2], now), 1);
        simulate(2, 400 * SLICE);
        expect_share(2, 400 * SLICE, 3, 4);
}

/* What slept is let in at once, does not make up for its sleep, and is not kept out either. */
static void test_wakes(void)
{
        static const uint32_t weight[] = {100, 100};

        start(1, 2, weight);
        CHECK(sched_pick(&s, 0, now) != NULL);
        sched_put(&s, 0, SCHED_BLOCKED, SCHED_NEVER, now);
        simulate(1, 200 * SLICE);
        now += 1;
        for (unsigned i = 0; i < 2; i++)
                if (e[i].state == SCHED_BLOCKED) {
                        CHECK_EQ(sched_wake(&s, &e[i], now), 0);
                        CHECK_EQ(sched_wake(&s, &e[i], now), -1);
                        CHECK(sched_yields(&s, 0, now));
                        sched_put(&s, 0, SCHED_READY, SCHED_NEVER, now);
                        CHECK(sched_pick(&s, 0, now + 7) == &e[i]);
                        CHECK_EQ(e[i].measured.latency_max, 7);
                        CHECK_EQ(e[i].measured.wakes, 2);
                        memset(&e[i].measured, 0, sizeof e[i].measured);
                        simulate(1, 100 * SLICE);
                        CHECK(had(&e[i]) >= 48 * SLICE && had(&e[i]) <= 53 * SLICE);
                }
}

static void test_sleepers(void)
{
        static const uint32_t weight[] = {100, 100};

        start(2, 2, weight);
        CHECK(sched_pick(&s, 0, now));
        CHECK(sched_pick(&s, 1, now));
        CHECK_EQ(sched_look(&s, 0, now), SCHED_NEVER); /* nobody waits: no slice ends */
        sched_put(&s, 0, SCHED_BLOCKED, now + 100, now);
        CHECK(!sched_pick(&s, 0, now));
        CHECK_EQ(sched_look(&s, 0, now), now + 100);
        CHECK_EQ(sched_look(&s, 1, now), SCHED_NEVER); /* not its sleeper */
        sched_errand(&s, now + 50);
        CHECK_EQ(sched_look(&s, 0, now), now + 50);
        CHECK_EQ(sched_look(&s, 1, now), SCHED_NEVER); /* CPU 0's */
        sched_errand(&s, SCHED_NEVER);
        CHECK_EQ(sched_look(&s, 0, now + 100), SCHED_NEVER);
        CHECK(sched_pick(&s, 0, now + 100));
        CHECK_EQ(sched_spare(&s), -1);
}

static const struct sched_entity *asked;

static bool news(const struct sched_entity *of)
{
        asked = of;
        CHECK_EQ(of->state, SCHED_BLOCKED);
        return true;
}

/* Whoever blocks while something waits for it is ready at once. */
static void test_news(void)
{
        static const uint32_t weight[] = {100};

        start(1, 1, weight);
        s.has_news = news;
        CHECK(sched_pick(&s, 0, now));
        sched_put(&s, 0, SCHED_READY, SCHED_NEVER, now);
        CHECK(!asked);
        CHECK(sched_pick(&s, 0, now));
        sched_put(&s, 0, SCHED_BLOCKED, now + 100, now);
        CHECK(asked == &e[0]);
        CHECK_EQ(e[0].state, SCHED_READY);
        CHECK(!s.cpu[0].sleeping);
        CHECK(sched_pick(&s, 0, now));
}

/* A CPU at rest is asked to take what another one has no room for. */
static void test_spare(void)
{
        static const uint32_t weight[] = {100, 100};

        start(2, 1, weight);
        CHECK(sched_pick(&s, 0, now));
        CHECK(!sched_pick(&s, 1, now));
        CHECK_EQ(sched_spare(&s), -1);
        e[1].weight = 100;
        e[1].cpus = cpu_set_first(CPUS_MAX);
        sched_add(&s, &e[1], now);
        CHECK_EQ(sched_wake(&s, &e[1], now), 1);
        CHECK(sched_pick(&s, 1, now) == &e[1]);
        sched_put(&s, 1, SCHED_OFF, SCHED_NEVER, now);
        CHECK(!sched_pick(&s, 1, now));
        sched_put(&s, 0, SCHED_READY, SCHED_NEVER, now);
        CHECK_EQ(sched_spare(&s), 1);
        CHECK_EQ(sched_spare(&s), -1);
}

/* Random calls as the CPUs make them; no vCPU is ever lost, run twice, or run where it may not. */
static void test_random(void)
{
        uint64_t seed = unit_seed();
        static const uint32_t weight[MANY] = {1, 10, 100, 1000, 100, 100, 7, 10000};

        start(3, MANY, weight);
        for (unsigned i = 0; i < MANY; i++)
                e[i].cpus = i % 3 == 2 ? cpus_of(2) : cpu_set_first(CPUS_MAX);
        for (unsigned step = 0; step < 200000; step++) {
                unsigned cpu = (unsigned)(unit_random(&seed) % 3), what, i;
                unsigned running = 0, ready = 0;

                now += unit_random(&seed) % (SLICE / 2);
                what = (unsigned)(unit_random(&seed) % 8);
                i = (unsigned)(unit_random(&seed) % MANY);
                (void)sched_look(&s, cpu, now);
                if (what == 0)
                        (void)sched_wake(&s, &e[i], now);
                else if (!s.cpu[cpu].running)
                        (void)sched_pick(&s, cpu, now);
                else if (what < 3)
                        sched_put(&s, cpu, SCHED_BLOCKED, what == 1 ? SCHED_NEVER : now + SLICE,
                                  now);
                else if (sched_yields(&s, cpu, now))
                        sched_put(&s, cpu, SCHED_READY, SCHED_NEVER, now);
                for (const struct sched_entity *r = s.ready; r; r = r->next)
                        ready++;
                for (i = 0; i < MANY; i++) {
                        ready -= e[i].state == SCHED_READY;
                        if (e[i].state != SCHED_RUNNING)
                                continue;
                        running++;
                        CHECK(s.cpu[e[i].cpu].running == &e[i]);
                        CHECK(cpu_set_has(&e[i].cpus, e[i].cpu));
                }
                CHECK_EQ(ready, 0);
                CHECK_EQ(running, !!s.cpu[0].running + !!s.cpu[1].running + !!s.cpu[2].running);
        }
}

/* A machine as large as there may be: each finds its CPU, and nobody looks at CPUs that are not
 * there. */
static void test_many_cpus(void)
{
        static struct sched_entity many[CPUS_MAX];
        const unsigned pinned = CPUS_MAX - 1;

        sched_init(&s, CPUS_MAX, SLICE);
        memset(many, 0, sizeof many);
        now = 1000;
        for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++)
                CHECK(!sched_pick(&s, cpu, now));
        for (unsigned i = 0; i < CPUS_MAX; i++) {
                many[i].weight = 100;
                many[i].cpus = cpu_set_first(CPUS_MAX);
                sched_add(&s, &many[i], now);
        }
        many[0].cpus = (struct cpu_set){0};
        cpu_set_add(&many[0].cpus, pinned);
        many[0].cpu = pinned;
        for (unsigned i = 0; i < CPUS_MAX; i++) {
                int cpu = sched_wake(&s, &many[i], now);

                CHECK_EQ(cpu, i ? (int)i - 1 : (int)pinned);
                CHECK(sched_pick(&s, (unsigned)cpu, now) == &many[i]);
        }
        CHECK_EQ(sched_spare(&s), -1);
        sched_put(&s, 200, SCHED_READY, SCHED_NEVER, now);
        CHECK_EQ(sched_spare(&s), -1); /* CPU 200 has not asked in vain */
        CHECK(sched_pick(&s, 200, now) == &many[201]);
        sched_put(&s, 130, SCHED_BLOCKED, SCHED_NEVER, now);
        CHECK(!sched_pick(&s, 130, now));
        sched_put(&s, pinned, SCHED_READY, SCHED_NEVER, now);
        CHECK_EQ(sched_spare(&s), -1); /* it may not run there */
        sched_put(&s, 7, SCHED_READY, SCHED_NEVER, now);
        CHECK_EQ(sched_spare(&s), 130);
        CHECK_EQ(sched_spare(&s), -1); /* it is on its way */
}

int main(void)
{
        RUN(test_shares);
        RUN(test_no_more_than_a_cpu);
        RUN(test_pinned);
        RUN(test_newcomer);
        RUN(test_wakes);
        RUN(test_sleepers);
        RUN(test_news);
        RUN(test_spare);
        RUN(test_random);
        RUN(test_many_cpus);
        return unit_done();
}
