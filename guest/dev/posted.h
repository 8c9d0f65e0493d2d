/*
 * Interrupts on their way to a vCPU: anyone posts them, on any CPU, and the CPU that runs the vCPU
 * takes them in before it enters the guest. So each local APIC model is used by one CPU at a time.
 */
#pragma once

#include "guest/dev/vlapic.h"

#define POSTED_NMI     (1u << 8)
#define POSTED_INIT    (1u << 9)
#define POSTED_STARTUP (1u << 10) /* bits 0 to 7 are the vector */

/* All zero: nothing is on its way. */
struct posted {
        uint32_t edge[8], level[8]; /* a bit a vector */
        uint32_t events;            /* POSTED_ */
        bool any;                   /* look at the others */
};

/*
 * Safe from every CPU; the address has been matched before. INIT withdraws what of NMI and start-up
 * came before it. The first start-up stays until it is drained: a second one would find the CPU
 * started. Modes that a vCPU does not know (SMI) are dropped.
 */
void posted_post(struct posted *p, const struct apic_message *message);

/* Have the vCPU look once at what is told to it elsewhere: stored before this call. From any CPU.
 */
static inline void posted_nudge(struct posted *p)
{
        __atomic_store_n(&p->any, true, __ATOMIC_SEQ_CST);
}

/* Whether something may be on its way. A post that came before this call is never overlooked. */
static inline bool posted_pending(const struct posted *p)
{
        return __atomic_load_n(&p->any, __ATOMIC_SEQ_CST);
}

/*
 * Move the vectors into the vCPU's local APIC; by the CPU that runs it alone. Returns the POSTED_
 * events, which are the caller's to serve in the order INIT, start-up, NMI.
 */
uint32_t posted_drain(struct posted *p, struct vlapic *lapic);
