/* RDSEED and RDRAND; contract in random.h. */
#include "hv/random.h"

#include "hv/cpu.h"

#define CPUID_1_ECX_RDRAND (1u << 30)
#define CPUID_7_EBX_RDSEED (1u << 18)

/* SDM vol. 1 7.3.17.1: ten failures of RDRAND in a row are a broken CPU's. RDSEED may fail often,
 * when other CPUs use it too. */
#define RDRAND_TRIES 10
#define RDSEED_TRIES 8

bool random_generated(uint64_t *out)
{
        uint64_t value;
        bool ok = false;

        for (int i = 0; !ok && i < RDRAND_TRIES; i++)
                __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
        if (ok)
                *out = value;
        return ok;
}

static bool seeded(uint64_t *out)
{
        uint64_t value;
        bool ok;

        for (int i = 0; i < RDSEED_TRIES; i++) {
                __asm__ volatile("rdseed %0" : "=r"(value), "=@ccc"(ok));
                if (ok) {
                        *out = value;
                        return true;
                }
                cpu_pause();
        }
        return false;
}

static bool seeded_or_generated(uint64_t *out)
{
        return seeded(out) || random_generated(out);
}

random_fn random_source(struct cpuid_regs (*cpuid)(uint32_t leaf, uint32_t subleaf))
{
        bool rdrand = cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND;
        bool rdseed = cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED;

        if (rdseed)
                return rdrand ? seeded_or_generated : seeded;
        return rdrand ? random_generated : NULL;
}
