/*
 * The loop of every CPU; contract in cpus.h.
 *
 * How nothing that happens is overlooked. Whoever has something for a vCPU or a CPU first stores
 * it, then looks whether somebody is to be kicked; whoever goes to rest first stores that it will,
 * then looks whether something is there. The stores and loads are sequentially consistent, or stand
 * under the scheduler's lock, so that of the two at least one sees the other.
 *
 *      who brings it                           who goes to rest
 *
 *      A vCPU that stops running (vcpu_notify, sched_put)
 *      news: posted.any, unhalt, end           state = BLOCKED, under the lock
 *      state: RUNNING, kick its CPU            news? then READY at once
 *             BLOCKED, sched_wake              (a vCPU that runs looks before each entry)
 *             READY or OFF, nothing: it looks when it runs
 *
 *      B vCPU that can run (sched_wake, sched_spare)
 *      on the ready list                       idle = true, both under the lock, where sched_pick
 *      idle? then false, kick                  has found nothing
 *
 *      C kick (cpus_kick)
 *      interrupt                               interrupts are off from before the look to HLT: it
 *                                              waits, and ends HLT
 *      NMI, which nothing holds back:          resting = true, before the look
 *      kicked = true                           the look: sched_pick, CPU 0's flags
 *      resting? then an interrupt to itself    HLT, which that interrupt ends, or skips
 *      in a guest, or on the way into one: kicked makes the run end (hv/trap/trap.c)
 *
 *      D CPU 0's flags (attention, typed input, mce_any)
 *      flag, then kick 0                       resting, then rest_hook looks at the flags
 *
 *      E time
 *      wake_at, look_at                        sched_look, then the alarm, on this CPU alone
 *
 * The NMI's handler runs on the CPU that it interrupts, so C needs only the order of the program.
 * A sleeper is on the list of the CPU that ran it last, which alone wakes it: what CPU 0 does for
 * long is therefore cut by work_step.
 */
#include "guest/life/cpus.h"

#include "drivers/lapic.h"
#include "guest/exec/run.h"
#include "guest/vm/vm.h"
#include "hv/cpu.h"
#include "hv/lib/work.h"
#include "hv/percpu.h"
#include "hv/safety/mitigate.h"
#include "hv/trap/alarm.h"
#include "hv/trap/mce.h"
#include "hv/trap/trap.h"

#define SLICE_MS 5u

static struct sched sched;
static uint64_t last[CPUS_MAX]; /* serial of the VM whose vCPU was loaded last */
static struct cpus_hooks cpu0;
static bool begun; /* by cpus_init */

/* CPU 0's work and its vCPUs, between which it changes (step). */
static struct {
        bool in_turn;   /* in cpus_turn: what is done there is not long */
        bool lent;      /* amid work, to a vCPU that runs until end */
        uint64_t pace;  /* TSC ticks between two steps that count */
        uint64_t next;  /* TSC of the next of them */
        uint64_t again; /* TSC: not lent before */
        uint64_t end;
} work;

struct sched *cpus_sched(void)
{
        return &sched;
}

void cpus_kick(unsigned cpu)
{
        if (&cpus[cpu] == this_cpu())
                return;
        if (virt_caps.kick_by_nmi) {
                __atomic_store_n(&cpus[cpu].nmi_due, true, __ATOMIC_SEQ_CST);
                lapic_send_nmi(cpus[cpu].apic_id);
        } else
                lapic_send(cpus[cpu].apic_id, TRAP_VECTOR_KICK);
}

/* The CPU is marked as resting, and has found nothing to do since: C and D above. */
static void rest(const struct cpu *cpu, uint64_t look_at)
{
        if (cpu->index == 0 && cpu0.rest(look_at)) {
                cpu_let_in(); /* what is typed: there may be such work for hours */
                return;
        }
        alarm_set(look_at);
        trap_wait_interrupt();
}

static void load(struct vm_vcpu *v, const struct cpu *cpu)
{
        if (v->vcpu.cpu == cpu)
                return;
        if (last[cpu->index] != v->vm->serial) {
                last[cpu->index] = v->vm->serial;
                mitigate_switch();
        }
        virt->load(&v->vcpu);
}

/* Whether no other CPU could run it: then its state may stay. */
static bool is_bound(const struct vm_vcpu *v)
{
        unsigned first = cpu_set_next(&v->sched.cpus, 0);

        return cpu_set_next(&v->sched.cpus, first + 1) >= cpu_count;
}

static void leave(struct vm_vcpu *v, const struct cpu *cpu, enum vcpu_leave how)
{
        uint64_t now = cpu_rdtsc();

        if (how == VCPU_STOPPED || !is_bound(v))
                virt->unload(&v->vcpu);
        if (how == VCPU_STOPPED)
                sched_put(&sched, cpu->index, SCHED_OFF, SCHED_NEVER, now);
        else if (how == VCPU_READY)
                sched_put(&sched, cpu->index, SCHED_READY, SCHED_NEVER, now);
        else
                sched_put(&sched, cpu->index, SCHED_BLOCKED, vlapic_deadline(&v->lapic), now);
}

static struct vm_vcpu *vcpu_of(const struct sched_entity *e)
{
        return (struct vm_vcpu *)((uint64_t)e - offsetof(struct vm_vcpu, sched));
}

/* What was posted after its last look, when nobody saw that it rests. */
static bool has_news(const struct sched_entity *e)
{
        return vcpu_has_news(vcpu_of(e));
}

/* Run one that wants to, if there is one: whether there was. */
static bool run_one(struct cpu *cpu, uint64_t now)
{
        struct sched_entity *e = sched_pick(&sched, cpu->index, now);
        int spare = sched_spare(&sched);
        struct vm_vcpu *v;

        if (spare >= 0)
                cpus_kick((unsigned)spare);
        if (!e)
                return false;
        cpu->resting = false;
        v = vcpu_of(e);
        load(v, cpu);
        leave(v, cpu, vcpu_run(v, cpu->index));
        return true;
}

/* For a slice at most; the work has the CPU as long as that took before it is lent again. */
static void lend(struct cpu *cpu, uint64_t now)
{
        uint64_t errand = sched.errand, back;

        work.lent = true;
        work.end = now + sched.slice;
        sched_errand(&sched, work.end);
        if (!run_one(cpu, now))
                sched_away(&sched, cpu->index);
        sched_errand(&sched, errand);
        work.lent = false;
        back = cpu_rdtsc();
        work.again = back + (back - now);
}

/* The work_hook. What runs on other CPUs, or in a turn of this one, is a vCPU's own. */
static void step(void)
{
        struct cpu *cpu = this_cpu();
        uint64_t now = cpu_rdtsc();
        int spare;

        if (cpu->index != 0 || work.in_turn || now < work.next)
                return;
        work.in_turn = true;
        cpu_let_in(); /* what is typed */
        cpu0.amid_work();
        sched_look(&sched, cpu->index, now);
        spare = sched_spare(&sched);
        if (spare >= 0)
                cpus_kick((unsigned)spare);
        if (now >= work.again)
                lend(cpu, now);
        work.in_turn = false;
        work.next = cpu_rdtsc() + work.pace;
}

bool cpus_service(void)
{
        return work.lent ? cpu_rdtsc() >= work.end : cpu0.service();
}

void cpus_init(uint32_t tsc_khz, const struct cpus_hooks *hooks)
{
        sched_init(&sched, cpu_count, (uint64_t)tsc_khz * SLICE_MS);
        sched.has_news = has_news;
        cpu0 = *hooks;
        work.pace = tsc_khz;
        work_hook = step;
        trap_set_irq(TRAP_VECTOR_KICK, lapic_eoi);
        __atomic_store_n(&begun, true, __ATOMIC_RELEASE);
}

static void turn(struct cpu *cpu)
{
        uint64_t now = cpu_rdtsc();
        uint64_t look_at = min(sched_look(&sched, cpu->index, now), mce_poll(now));

        cpu->resting = true;
        if (!run_one(cpu, now))
                rest(cpu, look_at);
        cpu->resting = false;
}

void cpus_turn(void)
{
        struct cpu *cpu = this_cpu();

        if (cpu->index != 0) {
                turn(cpu);
                return;
        }
        work.in_turn = true;
        turn(cpu);
        sched_away(&sched, 0);
        work.in_turn = false;
}

_Noreturn void cpus_work(void)
{
        while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE))
                cpu_pause();
        for (;;)
                cpus_turn();
}
