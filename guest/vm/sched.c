/* Weighted fair sharing of CPUs; contract in sched.h. */
#include "guest/vm/sched.h"

#include "hv/lib/string.h"

#define SCALE 1024u /* virtual time of a vCPU with weight 1 passes so many times faster */

static void list_add(struct sched_entity **head, struct sched_entity *e)
{
        e->next = *head;
        e->link = head;
        if (e->next)
                e->next->link = &e->next;
        *head = e;
}

static void list_remove(struct sched_entity *e)
{
        if (!e->link)
                return;
        *e->link = e->next;
        if (e->next)
                e->next->link = e->link;
        e->next = NULL;
        e->link = NULL;
}

static void set_state(struct sched_entity *e, enum sched_state state, uint64_t now)
{
        e->since = now;
        __atomic_store_n(&e->state, state, __ATOMIC_SEQ_CST);
}

static uint64_t virtual_ticks(const struct sched_entity *e, uint64_t ticks)
{
        return ticks * SCALE / e->weight;
}

/* Up to now, of one that may be running. */
static uint64_t virtual_time(const struct sched_entity *e, uint64_t now)
{
        bool runs = e->state == SCHED_RUNNING && now > e->since;

        return e->virtual_time + (runs ? virtual_ticks(e, now - e->since) : 0);
}

static bool may_run(const struct sched_entity *e, unsigned cpu)
{
        return cpu_set_has(&e->cpus, cpu);
}

/* The least time of those that want to run where e may; its own, when there are none. */
static uint64_t least_time(const struct sched *s, const struct sched_entity *e, uint64_t now)
{
        uint64_t least = UINT64_MAX;

        for (const struct sched_entity *r = s->ready; r; r = r->next)
                if (cpu_set_meet(&r->cpus, &e->cpus) && r->virtual_time < least)
                        least = r->virtual_time;
        for (unsigned i = cpu_set_next(&s->busy, 0); i != CPU_SET_NONE;
             i = cpu_set_next(&s->busy, i + 1)) {
                const struct sched_entity *r = s->cpu[i].running;

                if (cpu_set_meet(&r->cpus, &e->cpus) && virtual_time(r, now) < least)
                        least = virtual_time(r, now);
        }
        return least == UINT64_MAX ? e->virtual_time : least;
}

/* Of the same time, the one that has waited longer. */
static bool is_before(const struct sched_entity *a, const struct sched_entity *b)
{
        if (a->virtual_time != b->virtual_time)
                return a->virtual_time < b->virtual_time;
        return a->since < b->since;
}

/* The first in line for this CPU. */
static struct sched_entity *first(const struct sched *s, unsigned cpu)
{
        struct sched_entity *best = NULL;

        for (struct sched_entity *e = s->ready; e; e = e->next)
                if (may_run(e, cpu) && (!best || is_before(e, best)))
                        best = e;
        return best;
}

void sched_init(struct sched *s, unsigned cpus, uint64_t slice)
{
        memset(s, 0, sizeof *s);
        s->cpus = cpus;
        s->slice = slice;
        s->errand = SCHED_NEVER;
}

void sched_add(struct sched *s, struct sched_entity *e, uint64_t now)
{
        spin_lock(&s->lock);
        e->wake_at = SCHED_NEVER;
        set_state(e, SCHED_BLOCKED, now);
        spin_unlock(&s->lock);
}

/* It was away: its time stood still, but it is not let in further ahead than a slice. */
static void make_ready(struct sched *s, struct sched_entity *e, uint64_t now)
{
        uint64_t credit = virtual_ticks(e, s->slice), least = least_time(s, e, now);
        uint64_t floor = least > credit ? least - credit : 0;

        list_remove(e);
        if (e->virtual_time < floor)
                e->virtual_time = floor;
        e->woken = true;
        e->measured.wakes++;
        list_add(&s->ready, e);
        set_state(e, SCHED_READY, now);
}

/* One that rests, the last one first; else the one whose vCPU has had the most. */
static int cpu_for(const struct sched *s, const struct sched_entity *e, uint64_t now)
{
        struct cpu_set fit = cpu_set_common(&s->idle, &e->cpus);
        uint64_t most = 0;
        int found = -1;

        if (cpu_set_has(&fit, e->cpu))
                return (int)e->cpu;
        if (!cpu_set_is_empty(&fit))
                return (int)cpu_set_next(&fit, 0);
        fit = cpu_set_common(&s->busy, &e->cpus);
        for (unsigned i = cpu_set_next(&fit, 0); i != CPU_SET_NONE; i = cpu_set_next(&fit, i + 1)) {
                const struct sched_entity *r = s->cpu[i].running;

                if (found < 0 || virtual_time(r, now) > most) {
                        most = virtual_time(r, now);
                        found = (int)i;
                }
        }
        return found;
}

int sched_wake(struct sched *s, struct sched_entity *e, uint64_t now)
{
        int cpu = -1;

        spin_lock(&s->lock);
        if (e->state == SCHED_BLOCKED) {
                make_ready(s, e, now);
                cpu = cpu_for(s, e, now);
                if (cpu >= 0)
                        cpu_set_remove(&s->idle, (unsigned)cpu); /* it is on its way */
        }
        spin_unlock(&s->lock);
        return cpu;
}

static void note_wait(struct sched_entity *e, uint64_t now)
{
        uint64_t waited = now > e->since ? now - e->since : 0;

        e->measured.waited += waited;
        if (!e->woken)
                return;
        e->measured.latency_sum += waited;
        if (waited > e->measured.latency_max)
                e->measured.latency_max = waited;
}

struct sched_entity *sched_pick(struct sched *s, unsigned cpu, uint64_t now)
{
        struct sched_entity *e;

        spin_lock(&s->lock);
        e = first(s, cpu);
        if (e) {
                list_remove(e);
                note_wait(e, now);
                __atomic_store_n(&e->cpu, cpu, __ATOMIC_RELAXED);
                set_state(e, SCHED_RUNNING, now);
                s->cpu[cpu].running = e;
                cpu_set_add(&s->busy, cpu);
                cpu_set_remove(&s->idle, cpu);
        } else {
                cpu_set_add(&s->idle, cpu);
        }
        spin_unlock(&s->lock);
        return e;
}

void sched_put(struct sched *s, unsigned cpu, enum sched_state state, uint64_t wake_at,
               uint64_t now)
{
        struct sched_entity *e;

        spin_lock(&s->lock);
        e = s->cpu[cpu].running;
        if (now > e->since)
                e->measured.ran += now - e->since;
        e->virtual_time = virtual_time(e, now);
        s->cpu[cpu].running = NULL;
        cpu_set_remove(&s->busy, cpu);
        e->woken = false;
        e->wake_at = wake_at;
        if (state == SCHED_READY)
                list_add(&s->ready, e);
        else if (state == SCHED_BLOCKED && wake_at != SCHED_NEVER)
                list_add(&s->cpu[cpu].sleeping, e);
        set_state(e, state, now);
        if (state == SCHED_BLOCKED && s->has_news && s->has_news(e))
                make_ready(s, e, now);
        spin_unlock(&s->lock);
}

void sched_away(struct sched *s, unsigned cpu)
{
        spin_lock(&s->lock);
        cpu_set_remove(&s->idle, cpu);
        spin_unlock(&s->lock);
}

/* One that woke is let in before the slice ends, unless it has had more than the running one. */
bool sched_yields(struct sched *s, unsigned cpu, uint64_t now)
{
        const struct sched_entity *running, *next;
        bool yields = false;

        spin_lock(&s->lock);
        running = s->cpu[cpu].running;
        next = first(s, cpu);
        if (running && next && next->virtual_time < virtual_time(running, now))
                yields = next->woken || now - running->since >= s->slice;
        spin_unlock(&s->lock);
        return yields;
}

uint64_t sched_look(struct sched *s, unsigned cpu, uint64_t now)
{
        struct sched_cpu *c = &s->cpu[cpu];
        uint64_t next;

        spin_lock(&s->lock);
        next = cpu == 0 ? s->errand : SCHED_NEVER;
        for (struct sched_entity *e = c->sleeping, *after; e; e = after) {
                after = e->next;
                if (e->wake_at <= now)
                        make_ready(s, e, now);
                else if (e->wake_at < next)
                        next = e->wake_at;
        }
        if (c->running && first(s, cpu)) {
                uint64_t end = c->running->since + s->slice;

                /* a slice that is over goes on only while it is behind: look again soon */
                if (end <= now)
                        end = now + s->slice;
                if (end < next)
                        next = end;
        }
        spin_unlock(&s->lock);
        return next;
}

void sched_errand(struct sched *s, uint64_t at)
{
        spin_lock(&s->lock);
        s->errand = at;
        spin_unlock(&s->lock);
}

int sched_spare(struct sched *s)
{
        int found = -1;

        spin_lock(&s->lock);
        for (const struct sched_entity *e = s->ready; e && found < 0; e = e->next) {
                struct cpu_set fit = cpu_set_common(&s->idle, &e->cpus);

                if (!cpu_set_is_empty(&fit))
                        found = (int)cpu_set_next(&fit, 0);
        }
        if (found >= 0)
                cpu_set_remove(&s->idle, (unsigned)found);
        spin_unlock(&s->lock);
        return found;
}

struct sched_figures sched_figures(struct sched *s, const struct sched_entity *e, uint64_t now)
{
        struct sched_figures figures;

        spin_lock(&s->lock);
        figures = e->measured;
        if (e->state == SCHED_RUNNING && now > e->since)
                figures.ran += now - e->since;
        spin_unlock(&s->lock);
        return figures;
}
