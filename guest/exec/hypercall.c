/* Hypercalls: all checks first, then what cannot fail. */
#include "guest/exec/hypercall.h"

#include "guest/abi.h"
#include "guest/vm/vm.h"
#include "hv/lib/string.h"
#include "mm/pool/pm.h"

static int64_t tell_region(const struct vm *vm, uint64_t index, uint64_t gpa)
{
        const struct layout_region *region;
        struct permafrost_region r = {0};

        if (index >= vm->regions)
                return -PERMAFROST_ENOENT;
        if (!is_aligned(gpa, 8) || !gmem_ptr(&vm->mem, GPA(gpa), sizeof r))
                return -PERMAFROST_EFAULT;
        region = &vm->layout.region[index];
        memcpy(r.name, region->name, sizeof region->name);
        r.gpa = region->gpa.v;
        r.size = region->size;
        r.flags = vm->machine->pool->simulated ? PERMAFROST_REGION_SIMULATED : 0;
        r.flags |= region->read_only ? PERMAFROST_REGION_READ_ONLY : 0;
        r.flags |= vm->region[index].is_volatile ? PERMAFROST_REGION_VOLATILE : 0;
        memcpy(gmem_ptr(&vm->mem, GPA(gpa), sizeof r), &r, sizeof r);
        return 0;
}

_Static_assert((int)PERMAFROST_DOMAIN_UNKNOWN == (int)NFIT_DOMAIN_UNKNOWN, "told unchanged");
_Static_assert((int)PERMAFROST_DOMAIN_NONE == (int)NFIT_DOMAIN_NONE, "told unchanged");
_Static_assert((int)PERMAFROST_DOMAIN_ADR == (int)NFIT_DOMAIN_ADR, "told unchanged");
_Static_assert((int)PERMAFROST_DOMAIN_EADR == (int)NFIT_DOMAIN_EADR, "told unchanged");

/* Apart, so that the short calls save no registers for these. */
__attribute__((noinline)) static int64_t serve_rare(const struct vm *vm, const uint64_t *regs)
{
        switch (regs[REG_RAX]) {
        case PERMAFROST_HC_REGION:
                return tell_region(vm, regs[REG_RDI], regs[REG_RSI]);
        case PERMAFROST_HC_DOMAIN:
                return vm->machine->domain;
        case PERMAFROST_HC_DRAIN:
                pm_fence();
                return 0;
        default:
                return -PERMAFROST_ENOSYS;
        }
}

/* The carrying out of a call that has been checked. */
static void carry_out(struct vm_vcpu *v, const struct pv_call *call)
{
        const struct apic_message message = {.mode = call->mode, .vector = call->vector};
        struct vm *vm = v->vm;

        switch (call->verb) {
        case PV_NOTHING:
                break;
        case PV_KICK:
                __atomic_store_n(&vm->vcpu[call->id]->unhalt, true, __ATOMIC_SEQ_CST);
                vcpu_notify(vm->vcpu[call->id]);
                break;
        case PV_YIELD:
                v->look = true;
                break;
        case PV_IPI:
                for (unsigned i = 0; i < 128; i++)
                        if (call->targets[i / 64] >> i % 64 & 1) {
                                posted_post(&vm->vcpu[call->first_id + i]->posted, &message);
                                vcpu_notify(vm->vcpu[call->first_id + i]);
                        }
                break;
        }
        __atomic_fetch_add(&vm->sent, 1, __ATOMIC_SEQ_CST);
}

void hypercall_serve_pv(struct vm_vcpu *v, unsigned cpl)
{
        struct pv_call call;
        int64_t result =
            pv_hypercall(v->vcpu.regs, cpl, v->vm->cpuid.pv_features, v->vm->vcpus, &call);

        carry_out(v, &call);
        v->vcpu.regs[REG_RAX] = (uint64_t)result;
}

bool hypercall_serve(struct vm_vcpu *v, unsigned cpl)
{
        const struct vm *vm = v->vm;
        uint64_t *regs = v->vcpu.regs;
        int64_t result;

        if (regs[REG_RAX] < PERMAFROST_HC_VERSION && vm->vcpus > 1)
                return false;
        if (cpl != 0)
                result = -PERMAFROST_EPERM;
        else if (regs[REG_RAX] == PERMAFROST_HC_VERSION)
                result = PERMAFROST_ABI_VERSION;
        else if (regs[REG_RAX] == PERMAFROST_HC_REGIONS)
                result = (int64_t)vm->regions;
        else
                result = serve_rare(vm, regs);
        regs[REG_RAX] = (uint64_t)result;
        return true;
}
