/* What each physical CPU does: runs the vCPUs that the scheduler gives it, and rests in between. */
#pragma once

#include "guest/vm/sched.h"

/* What CPU 0 does beside running vCPUs. All are called on it alone, with interrupts off. */
struct cpus_hooks {
        /* While a guest runs there: look after the machine; whether the guest must wait for more.
         */
        bool (*service)(void);
        /* It has nothing to run before until: do a piece of work; whether it must not rest now. */
        bool (*rest)(uint64_t until);
        /* Amid long work, once a millisecond: serve what vCPUs, its own and others', wait for. */
        void (*amid_work)(void);
};

/*
 * Begin, with the CPUs that are online (hv/percpu.h). hooks is copied. From here on the long work
 * of CPU 0 is cut in slices (hv/lib/work.h): at a step it wakes those that sleep on it, and runs
 * its vCPUs for at most as long as it works.
 */
void cpus_init(uint32_t tsc_khz, const struct cpus_hooks *hooks);

/* On CPU 0, out of a guest: whether it has to do something else first (vm_machine.service). */
bool cpus_service(void);

struct sched *cpus_sched(void);

/* One turn of this CPU: a vCPU until it leaves, or a rest until something happens. */
void cpus_turn(void);

/* The life of every CPU but CPU 0. It may begin before cpus_init, for which it waits. */
_Noreturn void cpus_work(void);

/* Have another CPU leave the guest or the rest it is in; nothing for this one. */
void cpus_kick(unsigned cpu);
