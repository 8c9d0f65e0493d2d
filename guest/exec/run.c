/* The run loop of a vCPU; contract in run.h. */
#include "guest/exec/run.h"

#include "guest/exec/exits.h"
#include "guest/exec/vcpu_irq.h"
#include "guest/exec/vcpu_rest.h"
#include "guest/vm/vm.h"
#include "guest/vm/vm_code.h"
#include "hv/cpu.h"
#include "hv/trap/mce.h"

/* Whether another is to have the CPU. */
static bool must_leave(struct vm_vcpu *v, unsigned cpu)
{
        const struct vm_machine *machine = v->vm->machine;
        uint64_t now = cpu_rdtsc(), poll_at = mce_poll(now);
        int spare;

        v->look = false;
        if (mce_is_damaged() || vm_code_waits(v)) { /* first CPU 0 sees to it */
                v->look = true;
                if (!__atomic_exchange_n(machine->attention, true, __ATOMIC_SEQ_CST))
                        machine->kick(0);
                return true;
        }
        v->look_at = sched_look(machine->sched, cpu, now);
        if (poll_at < v->look_at)
                v->look_at = poll_at;
        spare = sched_spare(machine->sched);
        if (spare >= 0)
                machine->kick((unsigned)spare);
        vlapic_timer_expired(&v->lapic, now);
        if (v->vm->config->watchdog)
                vcpu_watch(v, now);
        vcpu_arm(v);
        return (cpu == 0 && machine->service()) || sched_yields(machine->sched, cpu, now);
}

/* It has its CPU again: the guest learns how long it waited, and its TLB what others asked of it.
 */
static void come_back(struct vm_vcpu *v)
{
        uint64_t waited = v->sched.measured.waited - v->stolen;

        v->stolen += waited;
        if (pv_steal_end(&v->pv, waited * 1000000 / v->vm->machine->tsc_khz))
                virt->flush_tlb(&v->vcpu);
}

static enum vcpu_leave run_until(struct vm_vcpu *v, unsigned cpu)
{
        struct vm *vm = v->vm;
        struct vm_exit exit;

        while (!vm_stands(vm)) {
                if (v->look && must_leave(v, cpu))
                        return VCPU_READY;
                if (!vcpu_is_awake(v))
                        return vm_stands(vm) ? VCPU_STOPPED : VCPU_BLOCKED;
                vcpu_offer_interrupt(v);
                pv_eoi_enter(&v->pv, vcpu_eoi_may_wait(v));
                virt->run(&v->vcpu, &exit);
                vcpu_learn_irq(v);
                v->exits[exit.kind]++;
                exits_handle(v, &exit);
        }
        return VCPU_STOPPED;
}

enum vcpu_leave vcpu_run(struct vm_vcpu *v, unsigned cpu)
{
        enum vcpu_leave how;

        v->vcpu.fast = exits_fast;
        v->look = true;
        come_back(v);
        how = run_until(v, cpu);
        pv_steal_begin(&v->pv);
        return how;
}
