/*
 * A vCPU's machine-check registers: one bank, which tells of memory that has gone bad. SDM vol. 3
 * 16.3, APM vol. 2 9.3; the error is one that a scrubber found, on AMD a deferred one, so nothing
 * is lost for the guest but the memory.
 */
#pragma once

#include "hv/lib/types.h"

#define MCA_PLACES 8u /* that wait to be told, more are dropped: the bad list has them all */

struct mca {
        bool amd; /* the guest's CPU is AMD's; the maker's to set */
        uint64_t mcg_status;
        union { /* the bank's registers, in the order of their MSRs */
                struct {
                        uint64_t ctl, status, addr, misc;
                };
                uint64_t bank[4];
        };
        gpa_t place[MCA_PLACES];
        unsigned waiting; /* of them; mca_waits looks at it without the VM's lock */
};

bool mca_owns_msr(uint32_t msr);

/* -EINVAL: #GP for the guest. */
must_check int mca_msr_read(const struct mca *mca, uint32_t msr, uint64_t *value);
must_check int mca_msr_write(struct mca *mca, uint32_t msr, uint64_t value);

/* The guest's memory at gpa is bad: it waits to be told so. */
void mca_add(struct mca *mca, gpa_t gpa);

/* Whether the guest has switched its bank on: before, its errors raise no machine check. */
static inline bool mca_is_on(const struct mca *mca)
{
        return mca->ctl != 0;
}

/* Whether any place waits. What was added before is never overlooked. */
static inline bool mca_waits(const struct mca *mca)
{
        return __atomic_load_n(&mca->waiting, __ATOMIC_RELAXED) != 0;
}

/* Whether a machine check can be raised now: something waits, the guest is not in one, and has
 * emptied the bank (Linux on AMD leaves a deferred error there until it polls). */
bool mca_is_due(const struct mca *mca);

/* Fill the bank for the place that waits longest; the caller raises the exception. */
void mca_raise(struct mca *mca);
