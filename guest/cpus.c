/* The loop of every CPU; contract in cpus.h. */
#include "guest/cpus.h"

#include "drivers/lapic.h"
#include "guest/run.h"
#include "hv/alarm.h"
#include "hv/cpu.h"
#include "hv/mce.h"
#include "hv/mitigate.h"
#include "hv/percpu.h"
#include "hv/trap.h"

#define SLICE_MS 5u

static struct sched sched;
static uint64_t last[CPUS_MAX]; /* serial of the VM whose vCPU was loaded last */
static bool (*rest_hook)(uint64_t until);

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
                host_lapic_send_nmi(cpus[cpu].apic_id);
        } else
                host_lapic_send(cpus[cpu].apic_id, TRAP_VECTOR_KICK);
}

/*
 * With interrupts off nothing gets lost between the last look and HLT: an interrupt that came waits
 * and ends it. For an NMI its handler sends one.
 */
static void rest(struct cpu *cpu, uint64_t look_at)
{
        cpu->resting = true;
        if (cpu->index != 0 || !rest_hook(look_at)) {
                alarm_set(look_at);
                cpu_wait_interrupt();
        }
        cpu->resting = false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
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
                sched_put(&sched, cpu->index, SCHED_BLOCKED, lapic_deadline(&v->lapic), now);
}

static struct vm_vcpu *vcpu_of(const struct sched_entity *e)
{
        return (struct vm_vcpu *)((uint64_t)e - offsetof(struct vm_vcpu, sched));
}

/* What was posted after its last look, when nobody saw that it rests. */
static bool has_news(const struct sched_entity *e)
{
        return vm_has_news(vcpu_of(e));
}

void cpus_init(uint32_t tsc_khz, bool (*hook)(uint64_t until))
{
        sched_init(&sched, cpu_count, (uint64_t)tsc_khz * SLICE_MS);
        sched.has_news = has_news;
        rest_hook = hook;
        trap_set_irq(TRAP_VECTOR_KICK, host_lapic_eoi);
}

void cpus_turn(void)
{
        struct cpu *cpu = this_cpu();
        uint64_t now = cpu_rdtsc();
        uint64_t look_at = earlier(sched_look(&sched, cpu->index, now), mce_poll(now));
        struct sched_entity *e = sched_pick(&sched, cpu->index, now);
        int spare = sched_spare(&sched);
        struct vm_vcpu *v;

        if (spare >= 0)
                cpus_kick((unsigned)spare);
        if (!e) {
                rest(cpu, look_at);
                return;
        }
        v = vcpu_of(e);
        load(v, cpu);
        leave(v, cpu, vcpu_run(v, cpu->index));
}

_Noreturn void cpus_work(void)
{
        for (;;)
                cpus_turn();
}
