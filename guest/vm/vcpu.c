/* A vCPU is made, woken and freed; contract in vcpu.h. */
#include "guest/vm/vcpu.h"

#include "guest/vm/vcpu_apic.h"
#include "guest/vm/vm.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/printk.h"
#include "mm/dram/dram.h"

#define VLAPIC_TSC_PER_TICK 1u

static void lapic_send(void *ctx, const struct apic_message *message)
{
        const struct vm_vcpu *v = ctx;

        vcpu_post(v->vm, v, message);
}

/* To the vCPU itself: as from another one. */
static void lapic_signal(void *ctx, enum apic_mode mode, uint8_t vector)
{
        struct vm_vcpu *v = ctx;
        const struct apic_message message = {.mode = (uint8_t)mode, .vector = vector};

        posted_post(&v->posted, &message);
}

static void lapic_level_eoi(void *ctx, uint8_t vector)
{
        struct vm *vm = ((struct vm_vcpu *)ctx)->vm;

        spin_lock(&vm->devices);
        vioapic_eoi(&vm->ioapic, vector);
        spin_unlock(&vm->devices);
}

int vcpu_create(struct vm *vm, unsigned id)
{
        const struct vm_config *c = vm->config;
        struct vlapic_ops ops = {NULL, lapic_send, lapic_signal, lapic_level_eoi};
        struct vm_vcpu *v;
        hpa_t frame;
        int err = dram_alloc_zeroed(vm->machine->dram, 0, &frame);

        if (err)
                return err;
        v = ops.ctx = (void *)frame.v;
        v->vm = vm;
        v->id = id;
        v->activity = id == 0 ? VCPU_RUNS : VCPU_WAITS;
        v->deaf = id != 0;
        v->sched.weight = c->weight ? c->weight : CONFIG_WEIGHT;
        v->sched.cpus = cpu_set_is_empty(&c->cpus) ? cpu_set_first(CPUS_MAX) : c->cpus;
        mtrr_init(&v->mtrr);
        vlapic_init(&v->lapic, id, id == 0, VLAPIC_TSC_PER_TICK, &ops);
        err = virt->vcpu_create(&v->vcpu, vm->second_level.root, vm->machine->dram);
        if (!err && vm->virtual_apic) {
                err = vcpu_apic_create(v);
                if (err)
                        virt->vcpu_destroy(&v->vcpu);
        }
        if (err) {
                if (dram_free(vm->machine->dram, frame, 0))
                        panic("vm %s: a frame just allocated cannot be freed", c->name);
                return err;
        }
        vm->vcpu[vm->vcpus++] = v;
        return 0;
}

void vcpu_destroy(struct vm_vcpu *v)
{
        const struct vm *vm = v->vm;

        virt->vcpu_destroy(&v->vcpu);
        if (dram_free(vm->machine->dram, HPA((uint64_t)v), 0))
                panic("vm %s: a vCPU cannot be freed", vm->config->name);
}

bool vcpu_has_news(const struct vm_vcpu *v)
{
        return posted_pending(&v->posted) || vm_stands(v->vm) ||
               __atomic_load_n(&v->unhalt, __ATOMIC_SEQ_CST);
}

void vcpu_notify(struct vm_vcpu *v)
{
        const struct vm_machine *machine = v->vm->machine;
        enum sched_state state = __atomic_load_n(&v->sched.state, __ATOMIC_SEQ_CST);
        int cpu = -1;

        if (state == SCHED_RUNNING)
                cpu = (int)__atomic_load_n(&v->sched.cpu, __ATOMIC_RELAXED);
        else if (state == SCHED_BLOCKED)
                cpu = sched_wake(machine->sched, &v->sched, cpu_rdtsc());
        if (cpu >= 0)
                machine->kick((unsigned)cpu);
}

void vcpu_post(struct vm *vm, const struct vm_vcpu *sender, const struct apic_message *message)
{
        uint32_t from = sender ? sender->id : APIC_NO_SENDER;

        for (unsigned i = 0; i < vm->vcpus; i++) {
                struct vm_vcpu *v = vm->vcpu[i];

                if (!vlapic_matches(v->id, from, message))
                        continue;
                posted_post(&v->posted, message);
                if (v != sender)
                        vcpu_notify(v);
                if (message->mode == APIC_LOWEST)
                        break;
        }
        __atomic_fetch_add(&vm->sent, 1, __ATOMIC_SEQ_CST);
}
