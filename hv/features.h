/*
 * What CPUID tells of instructions and state that guests may use: it is asked on the CPU that boots
 * and answered for all, so a CPU that has less cannot run guests. One that has more can.
 */
#pragma once

#include "hv/lib/printk.h"
#include "hv/lib/types.h"

#define FEATURE_WORDS 7u

struct cpuid_regs;

/* The words of this CPU; those of a leaf that it does not have are 0. */
void features_read(uint32_t words[FEATURE_WORDS],
                   struct cpuid_regs (*cpuid)(uint32_t leaf, uint32_t subleaf));

/* Whether a CPU has all that the first one has; report gets a line for each word that lacks bits.
 */
must_check bool features_suffice(const uint32_t first[FEATURE_WORDS],
                                 const uint32_t here[FEATURE_WORDS], report_fn report, void *ctx);
