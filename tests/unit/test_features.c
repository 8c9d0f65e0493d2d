/* Features of further CPUs: less than the first has is refused, more is not. */
#include "hv/features.h"

#include <string.h>

#include "hv/cpu.h"
#include "tests/unit/unit.h"

static char last[128];
static unsigned lines;

static void keep_line(void *ctx, const char *line)
{
        (void)ctx;
        strncpy(last, line, sizeof last - 1);
        lines++;
}

static uint32_t highest = 7;

static struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
        (void)subleaf;
        if (leaf == 0)
                return (struct cpuid_regs){.eax = highest};
        if (leaf == 0x80000000)
                return (struct cpuid_regs){.eax = 0x80000001};
        return (struct cpuid_regs){~0u, ~0u, ~0u, ~0u};
}

static void test_less_and_more(void)
{
        uint32_t first[FEATURE_WORDS], here[FEATURE_WORDS];

        features_read(first, cpuid);
        features_read(here, cpuid);
        CHECK(features_suffice(first, here, keep_line, NULL));
        first[2] = 0xf0;
        CHECK(features_suffice(first, here, keep_line, NULL));
        CHECK_EQ(lines, 0);
        here[2] = 0xd1;
        CHECK(!features_suffice(first, here, keep_line, NULL));
        CHECK_EQ(lines, 1);
        CHECK(strcmp(last, "CPUID.7:EBX lacks 0x20 of what the first CPU has") == 0);
}

/* What follows CR4, which is not set on each CPU yet, says nothing; nor does a leaf that is not
 * there. */
static void test_what_counts(void)
{
        uint32_t words[FEATURE_WORDS];

        features_read(words, cpuid);
        CHECK_EQ(words[0], ~(1u << 27 | 1u << 3));
        CHECK_EQ(words[3], ~(1u << 4));
        highest = 1;
        features_read(words, cpuid);
        CHECK_EQ(words[2] | words[3] | words[4], 0);
        CHECK_EQ(words[1], ~0u);
}

int main(void)
{
        RUN(test_less_and_more);
        RUN(test_what_counts);
        return unit_done();
}
