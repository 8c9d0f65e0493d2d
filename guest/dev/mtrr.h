/*
 * The memory type range registers of a vCPU (SDM vol. 3 12.11, APM vol. 2 7.7). A VM has no range,
 * only the default type, and all of its memory is write-back. Without MTRRs Linux 6.5 and later
 * takes all memory for uncachable. What the guest makes of the default type it reads back, but its
 * memory stays what the second level of page tables says.
 */
#pragma once

#include "hv/lib/types.h"

#define MSR_MTRR_CAP      0xfeu
#define MSR_MTRR_DEF_TYPE 0x2ffu

struct mtrr {
        uint64_t def_type; /* IA32_MTRR_DEF_TYPE; INIT keeps it */
};

void mtrr_init(struct mtrr *m);

static inline bool mtrr_owns_msr(uint32_t msr)
{
        return msr == MSR_MTRR_CAP || msr == MSR_MTRR_DEF_TYPE;
}

/* For an MSR that it owns. */
uint64_t mtrr_msr_read(const struct mtrr *m, uint32_t msr);

/* The same; -EINVAL: the guest gets #GP. */
must_check int mtrr_msr_write(struct mtrr *m, uint32_t msr, uint64_t value);
