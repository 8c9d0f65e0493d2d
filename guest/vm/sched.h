/*
 * Which vCPU runs on which CPU: one list for all CPUs, shared by weight. Each vCPU has a virtual
 * time that passes faster the smaller its weight is; the ready one whose time is the least, and
 * that may run on a CPU, is that CPU's next. So whoever wants to run gets weight / sum of weights,
 * as far as one CPU a vCPU goes. What sleeps costs nothing, and when it wakes it is at most a
 * slice ahead of the others.
 *
 * Pure: nothing here touches a CPU. Times are TSC values. One lock, taken by every call; calls come
 * at switches, wakes and slice ends, not at exits.
 */
#pragma once

#include "hv/lib/cpu_set.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/types.h"

#define SCHED_NEVER UINT64_MAX

enum sched_state {
        SCHED_OFF,     /* not the scheduler's */
        SCHED_BLOCKED, /* waits for sched_wake, or for wake_at */
        SCHED_READY,
        SCHED_RUNNING
};

/* What was measured of one, TSC ticks. */
struct sched_figures {
        uint64_t ran, waited;
        uint64_t wakes, latency_sum, latency_max;
};

/*
 * Zero but for weight and cpus before sched_add; these stay as they are then. All others are
 * changed under the lock, and read under it but for three: state and cpu are looked at atomically
 * by who wakes it (of one that is seen to run, cpu is not older), and the CPU that runs it reads
 * measured.waited.
 */
struct sched_entity {
        struct sched_entity *next, **link; /* of the list it is on */
        uint32_t weight;                   /* at least 1 */
        struct cpu_set cpus;               /* it may run on */
        enum sched_state state;
        unsigned cpu; /* runs there, or ran there last */
        uint64_t virtual_time;
        uint64_t since;   /* in this state */
        uint64_t wake_at; /* SCHED_BLOCKED: by itself, SCHED_NEVER */
        bool woken;       /* SCHED_READY: out of SCHED_BLOCKED, not a spent slice */
        struct sched_figures measured;
};

struct sched_cpu {
        struct sched_entity *running;  /* NULL: none */
        struct sched_entity *sleeping; /* blocked ones with a wake_at, that ran here last */
};

struct sched {
        struct spinlock lock;
        /* Whether something waits for a vCPU that has just been marked as blocked: it is ready
         * then. Under the lock, as the vCPU may be gone right behind it. NULL: never. */
        bool (*has_news)(const struct sched_entity *e);
        unsigned cpus;
        uint64_t slice;  /* ticks that one runs while others wait */
        uint64_t errand; /* sched_errand */
        struct sched_entity *ready;
        struct cpu_set busy; /* CPUs that run one */
        struct cpu_set idle; /* those that have asked for work in vain since */
        struct sched_cpu cpu[CPUS_MAX];
};

void sched_init(struct sched *s, unsigned cpus, uint64_t slice);

/* Give the scheduler a vCPU; it is blocked at first. */
void sched_add(struct sched *s, struct sched_entity *e, uint64_t now);

/*
 * It can run. Returns the CPU that should look again (sched_pick if it rests, else sched_yields),
 * or -1: the vCPU was not blocked.
 */
int sched_wake(struct sched *s, struct sched_entity *e, uint64_t now);

/* The next one for this CPU, which runs nobody; it is running now. NULL: none, the CPU rests. */
struct sched_entity *sched_pick(struct sched *s, unsigned cpu, uint64_t now);

/* The one that runs on this CPU stops: for READY, BLOCKED (until wake_at at most) or OFF. */
void sched_put(struct sched *s, unsigned cpu, enum sched_state state, uint64_t wake_at,
               uint64_t now);

/* This CPU, which runs nobody, does something else: nobody is sent to it until it has asked again.
 */
void sched_away(struct sched *s, unsigned cpu);

/* Whether the one that runs on this CPU should make room for another now. */
bool sched_yields(struct sched *s, unsigned cpu, uint64_t now);

/*
 * Wake those sleepers of this CPU whose time has come. Returns when the CPU must look again:
 * SCHED_NEVER, or the next sleeper's time, or the end of the running one's slice while others wait,
 * or CPU 0's errand.
 */
uint64_t sched_look(struct sched *s, unsigned cpu, uint64_t now);

/* CPU 0 has something else to do at this time: sched_look tells it. SCHED_NEVER: nothing. */
void sched_errand(struct sched *s, uint64_t at);

/* What was measured of it so far, all at one time; the ticks that it is running now are in it. */
struct sched_figures sched_figures(struct sched *s, const struct sched_entity *e, uint64_t now);

/*
 * A CPU that rests though one waits that may run there: it should look again. -1: none. To be asked
 * after sched_put and sched_look.
 */
int sched_spare(struct sched *s);
