/*
 * Random numbers of the CPU (SDM vol. 1, 7.3.17). RDSEED gives what its entropy source has, and for
 * some time nothing when it is used up; RDRAND is a generator that the source seeds.
 */
#pragma once

#include "hv/lib/types.h"

struct cpuid_regs;

/* 64 random bits. False: the CPU has none just now; out is untouched. */
typedef bool (*random_fn)(uint64_t *out);

/* By RDRAND, which the CPU must have. */
bool random_generated(uint64_t *out);

/* The best source that CPUID tells of: RDSEED, RDRAND; NULL: the CPU has neither. */
random_fn random_source(struct cpuid_regs (*cpuid)(uint32_t leaf, uint32_t subleaf));
