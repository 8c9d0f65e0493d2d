/*
 * Power cuts inside every pool operation, from several states of the pool: each crash image that
 * the rules allow mounts, is wholly before or wholly after, and hands out nothing that is not
 * clean.
 *
 * At each fence all subsets of what is in doubt are tried up to 2^POWER, beyond that as many seeded
 * samples; $POWER is 13 or, in make soak, 16 in the optimised build of this test, less under the
 * sanitizers.
 */
#include <stdlib.h>

#include "tests/unit/pool_cut.h"

#define POWER 7u
#define NEST  61u /* cut recovery itself in every so many images */

static unsigned int power(void)
{
        const char *env = getenv("POWER");

        return env ? (unsigned int)atoi(env) : POWER;
}

static uint64_t nest(void)
{
        return power() > 8 ? NEST * NEST : NEST;
}

static uint64_t total;

static void judge(const char *scene, const char *op, struct cut_result result)
{
        printf("# %s, %s: %llu crash images, %llu wrong\n", scene, op,
               (unsigned long long)result.images, (unsigned long long)result.wrong);
        CHECK_EQ(result.wrong, 0);
        CHECK(result.images > 0);
        total += result.images;
}

/* One test a scene, all operations. */
static void run_scene(size_t i)
{
        uint64_t seed = unit_seed();

        for (size_t op = 0; op < cut_op_count; op++)
                judge(cut_scenes[i].name, cut_ops[op].name,
                      cut_run(&cut_scenes[i], &cut_ops[op], power(), seed, nest()));
}

static void test_empty(void)
{
        run_scene(0);
}

static void test_unscrubbed(void)
{
        run_scene(1);
}

static void test_fragmented(void)
{
        run_scene(2);
}

static void test_nearly_full(void)
{
        run_scene(3);
}

static void test_several_ranges(void)
{
        run_scene(4);
}

static void test_mounts(void)
{
        uint64_t seed = unit_seed();

        for (size_t i = 0; i < cut_mount_count; i++)
                judge("mount", cut_mounts[i].name,
                      cut_run_mount(&cut_mounts[i], power() < 10 ? power() : 10, seed, nest()));
}

int main(void)
{
        RUN(test_empty);
        RUN(test_unscrubbed);
        RUN(test_fragmented);
        RUN(test_nearly_full);
        RUN(test_several_ranges);
        RUN(test_mounts);
        printf("# total: %llu crash images, all subsets up to 2^%u\n", (unsigned long long)total,
               power());
        return unit_done();
}
