/* Sets of CPUs against a plain array. */
#include "hv/lib/cpu_set.h"

#include "tests/unit/unit.h"

static bool model[CPUS_MAX];

static void check_equals_model(const struct cpu_set *s)
{
        unsigned next = CPU_SET_NONE;
        bool any = false;

        for (unsigned i = CPUS_MAX; i-- > 0;) {
                CHECK_EQ(cpu_set_has(s, i), model[i]);
                next = model[i] ? i : next;
                any |= model[i];
                CHECK_EQ(cpu_set_next(s, i), next);
        }
        CHECK_EQ(cpu_set_is_empty(s), !any);
        CHECK_EQ(cpu_set_next(s, CPUS_MAX), CPU_SET_NONE);
}

static void test_random(void)
{
        uint64_t seed = unit_seed();
        struct cpu_set s = {0};

        check_equals_model(&s);
        for (int i = 0; i < 1000; i++) {
                unsigned cpu = (unsigned)(unit_random(&seed) % CPUS_MAX);

                model[cpu] = unit_random(&seed) % 3;
                if (model[cpu])
                        cpu_set_add(&s, cpu);
                else
                        cpu_set_remove(&s, cpu);
                check_equals_model(&s);
        }
}

static void test_first(void)
{
        for (unsigned count = 0; count <= CPUS_MAX; count++) {
                struct cpu_set s = cpu_set_first(count);

                for (unsigned i = 0; i < CPUS_MAX; i++)
                        model[i] = i < count;
                check_equals_model(&s);
        }
}

static void test_common(void)
{
        struct cpu_set low = cpu_set_first(130), high = {0}, both;

        CHECK(!cpu_set_meet(&low, &high));
        cpu_set_add(&high, 130);
        CHECK(!cpu_set_meet(&low, &high));
        cpu_set_add(&high, 129);
        CHECK(cpu_set_meet(&low, &high));
        both = cpu_set_common(&low, &high);
        CHECK_EQ(cpu_set_next(&both, 0), 129);
        CHECK_EQ(cpu_set_next(&both, 130), CPU_SET_NONE);
}

int main(void)
{
        RUN(test_random);
        RUN(test_first);
        RUN(test_common);
        return unit_done();
}
