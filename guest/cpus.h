/* What each physical CPU does: runs the vCPUs that the scheduler gives it, and rests in between. */
#pragma once

#include "guest/sched.h"

/*
 * Begin, with the CPUs that are online (hv/percpu.h). rest_hook is called on CPU 0 when it has
 * nothing to run before until, with interrupts off: it may do a piece of work; whether CPU 0 must
 * not rest now.
 */
void cpus_init(uint32_t tsc_khz, bool (*rest_hook)(uint64_t until));

struct sched *cpus_sched(void);

/* One turn of this CPU: a vCPU until it leaves, or a rest until something happens. */
void cpus_turn(void);

/* The life of every CPU but CPU 0. */
_Noreturn void cpus_work(void);

/* Have another CPU leave the guest or the rest it is in; nothing for this one. */
void cpus_kick(unsigned cpu);
