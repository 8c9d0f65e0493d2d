/* The features that every CPU must have; contract in features.h. SDM vol. 2A CPUID. */
#include "hv/features.h"

#include "hv/cpu.h"
#include "hv/lib/format.h"

#define MONITOR (1u << 3)  /* of leaf 1's ECX: the firmware's choice, and no guest has it */
#define OSXSAVE (1u << 27) /* follows CR4 */
#define OSPKE   (1u << 4)  /* of leaf 7's ECX: the same */

enum reg { EBX, ECX, EDX };

static const struct {
        uint32_t leaf;
        enum reg reg;
        uint32_t ignored;
} words_of[FEATURE_WORDS] = {
    {1, ECX, MONITOR | OSXSAVE}, {1, EDX, 0},          {7, EBX, 0}, {7, ECX, OSPKE}, {7, EDX, 0},
    {0x80000001, ECX, 0},        {0x80000001, EDX, 0},
};

void features_read(uint32_t words[FEATURE_WORDS],
                   struct cpuid_regs (*cpuid)(uint32_t leaf, uint32_t subleaf))
{
        for (unsigned i = 0; i < FEATURE_WORDS; i++) {
                uint32_t leaf = words_of[i].leaf;
                bool has = cpuid(leaf & 0x80000000, 0).eax >= leaf;
                struct cpuid_regs r = has ? cpuid(leaf, 0) : (struct cpuid_regs){0};
                const uint32_t reg[] = {[EBX] = r.ebx, [ECX] = r.ecx, [EDX] = r.edx};

                words[i] = reg[words_of[i].reg] & ~words_of[i].ignored;
        }
}

bool features_suffice(const uint32_t first[FEATURE_WORDS], const uint32_t here[FEATURE_WORDS],
                      report_fn report, void *ctx)
{
        static const char *const name[] = {"EBX", "ECX", "EDX"};
        bool suffice = true;

        for (unsigned i = 0; i < FEATURE_WORDS; i++) {
                uint32_t lacks = first[i] & ~here[i];
                char line[80];

                if (!lacks)
                        continue;
                format_text(line, sizeof line, "CPUID.%x:%s lacks 0x%x of what the first CPU has",
                            words_of[i].leaf, name[words_of[i].reg], lacks);
                report(ctx, line);
                suffice = false;
        }
        return suffice;
}
