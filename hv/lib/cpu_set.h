/* Sets of physical CPUs by their number, of up to CPUS_MAX. A zeroed one is empty. */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

#define CPU_SET_WORDS (CPUS_MAX / 64)
#define CPU_SET_NONE  CPUS_MAX /* the number of no CPU */

struct cpu_set {
        uint64_t word[CPU_SET_WORDS];
};

static inline void cpu_set_add(struct cpu_set *s, unsigned cpu)
{
        s->word[cpu / 64] |= 1ull << (cpu % 64);
}

static inline void cpu_set_remove(struct cpu_set *s, unsigned cpu)
{
        s->word[cpu / 64] &= ~(1ull << (cpu % 64));
}

static inline bool cpu_set_has(const struct cpu_set *s, unsigned cpu)
{
        return s->word[cpu / 64] >> (cpu % 64) & 1;
}

/* The CPUs 0 to count - 1. */
static inline struct cpu_set cpu_set_first(unsigned count)
{
        struct cpu_set s = {0};

        for (unsigned i = 0; i < CPU_SET_WORDS && count > 64 * i; i++)
                s.word[i] = count - 64 * i < 64 ? (1ull << (count % 64)) - 1 : UINT64_MAX;
        return s;
}

static inline struct cpu_set cpu_set_common(const struct cpu_set *a, const struct cpu_set *b)
{
        struct cpu_set s;

        for (unsigned i = 0; i < CPU_SET_WORDS; i++)
                s.word[i] = a->word[i] & b->word[i];
        return s;
}

/* Whether a CPU is in both. */
static inline bool cpu_set_meet(const struct cpu_set *a, const struct cpu_set *b)
{
        uint64_t any = 0;

        for (unsigned i = 0; i < CPU_SET_WORDS; i++)
                any |= a->word[i] & b->word[i];
        return any;
}

/* The lowest one of the set from a number on, CPU_SET_NONE when there is none. */
static inline unsigned cpu_set_next(const struct cpu_set *s, unsigned from)
{
        uint64_t left = ~0ull << (from % 64);

        for (unsigned i = from / 64; i < CPU_SET_WORDS; i++, left = ~0ull)
                if (s->word[i] & left)
                        return 64 * i + (unsigned)__builtin_ctzll(s->word[i] & left);
        return CPU_SET_NONE;
}

static inline bool cpu_set_is_empty(const struct cpu_set *s)
{
        return cpu_set_next(s, 0) == CPU_SET_NONE;
}
