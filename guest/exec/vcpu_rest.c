/* Rest, wake and watchdog of a vCPU; contract in vcpu_rest.h. */
#include "guest/exec/vcpu_rest.h"

#include "guest/exec/damage.h"
#include "guest/exec/exits.h"
#include "guest/exec/vcpu_irq.h"
#include "guest/vm/vcpu_apic.h"
#include "guest/vm/vm.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"

/*
 * Whether nothing can wake this VM any more. What somebody sent meanwhile speaks against it: it is
 * counted behind the posting and before the sender rests, so he looks himself when he does.
 */
static bool all_deaf(const struct vm *vm)
{
        uint64_t sent = __atomic_load_n(&vm->sent, __ATOMIC_SEQ_CST);

        for (unsigned i = 0; i < vm->vcpus; i++)
                if (vcpu_has_news(vm->vcpu[i]) ||
                    !__atomic_load_n(&vm->vcpu[i]->deaf, __ATOMIC_SEQ_CST))
                        return false;
        return __atomic_load_n(&vm->sent, __ATOMIC_SEQ_CST) == sent;
}

/* It rests, and no interrupt ends that. When all of its VM do, the VM ends as halted. */
static void rest_deaf(struct vm_vcpu *v)
{
        __atomic_store_n(&v->deaf, true, __ATOMIC_SEQ_CST);
        if (all_deaf(v->vm))
                vm_finish(v->vm, VM_HALTED);
}

/* As INIT leaves a CPU, and where the start-up IPI sends it (SDM vol. 3 table 9-1, 8.4.3). */
static void start_vcpu(struct vm_vcpu *v, uint8_t page)
{
        const struct vcpu_segment data = {0, 0xffff, 0, 0x93};
        struct vcpu_state s = {.rflags = RFLAGS_FIXED, .cr0 = CR0_ET, .gdt_limit = 0xffff};

        for (unsigned i = 0; i < SEG_COUNT; i++)
                s.seg[i] = data;
        s.seg[SEG_CS] =
            (struct vcpu_segment){(uint64_t)page << 12, 0xffff, (uint16_t)(page << 8), 0x9b};
        s.seg[SEG_LDTR].access = 0x82;
        s.seg[SEG_TR].access = 0x8b;
        s.idt_limit = 0xffff;
        memset(v->vcpu.regs, 0, sizeof v->vcpu.regs);
        virt->set_state(&v->vcpu, &s);
        virt->flush_tlb(&v->vcpu);
        v->activity = VCPU_RUNS;
}

/* INIT of the vCPU that boots is the VM's reset, as there is no firmware to start it again. */
static void take_events(struct vm_vcpu *v, uint32_t events)
{
        if (events & POSTED_INIT && v->id == 0) {
                vm_finish(v->vm, VM_REBOOTED);
                return;
        }
        if (events & POSTED_INIT) {
                vlapic_reset(&v->lapic);
                vcpu_apic_reset(v);
                pv_reset(&v->pv);
                v->clock = (struct kvmclock_vcpu){0};
                v->activity = VCPU_WAITS;
                v->nmi = false;
        }
        if (events & POSTED_STARTUP && v->activity == VCPU_WAITS)
                start_vcpu(v, (uint8_t)events);
        if (events & POSTED_NMI && v->activity != VCPU_WAITS)
                v->nmi = true;
}

/* Once; a kick that comes while it runs ends its next HLT. */
static bool is_kicked(struct vm_vcpu *v)
{
        return __atomic_load_n(&v->unhalt, __ATOMIC_RELAXED) &&
               __atomic_exchange_n(&v->unhalt, false, __ATOMIC_SEQ_CST);
}

/* What ends its HLT. */
static bool is_roused(struct vm_vcpu *v)
{
        return v->nmi || is_kicked(v) || (v->activity == VCPU_HALTED && vcpu_irq_waits(v));
}

/* While it is looked at what was posted, the vCPU is not deaf: that may rouse it. */
static bool take_posted(struct vm_vcpu *v)
{
        uint32_t events;

        if (v->deaf)
                __atomic_store_n(&v->deaf, false, __ATOMIC_SEQ_CST);
        events = posted_drain(&v->posted, &v->lapic);
        if (events) {
                take_events(v, events);
                if (vm_stands(v->vm))
                        return false;
        }
        if (v->activity == VCPU_RUNS)
                return true;
        if (v->activity != VCPU_WAITS && is_roused(v)) {
                v->activity = VCPU_RUNS;
                return true;
        }
        if (v->activity != VCPU_HALTED)
                rest_deaf(v);
        return false;
}

/* Damage is looked at behind what was posted: the nudge that follows it may be taken there. */
bool vcpu_is_awake(struct vm_vcpu *v)
{
        bool awake = take_posted(v);

        if (v->id != 0 || !mca_waits(&v->vm->mca))
                return awake;
        if (damage_offer(v))
                vcpu_crash(v, "its memory is damaged, and it takes no machine checks");
        return v->activity == VCPU_RUNS && !vm_stands(v->vm);
}

/*
 * The watchdog: a vCPU that was found with its interrupts off at every look for so long does
 * nothing any more that a kernel should. It is told once; what to do is the administrator's.
 */
void vcpu_watch(struct vm_vcpu *v, uint64_t now)
{
        const struct vm *vm = v->vm;
        uint64_t second = (uint64_t)vm->machine->tsc_khz * 1000;
        struct vcpu_state s;

        virt->get_state(&v->vcpu, &s);
        if (s.rflags & RFLAGS_IF) {
                v->off_since = 0;
                __atomic_store_n(&v->hung, false, __ATOMIC_RELAXED);
        } else if (!v->off_since) {
                v->off_since = now;
        } else if (!v->hung && now - v->off_since >= vm->config->watchdog * second) {
                printk(LOG_WARN, "vm %s: vCPU %u has had its interrupts off for %u s, at 0x%lx",
                       vm->config->name, v->id, vm->config->watchdog, s.rip);
                __atomic_store_n(&v->hung, true, __ATOMIC_RELAXED);
        }
        if (now + second < v->look_at)
                v->look_at = now + second;
}
