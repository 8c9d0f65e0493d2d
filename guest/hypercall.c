/* Hypercalls: all checks first, then what cannot fail. */
#include "guest/hypercall.h"

#include "guest/abi.h"
#include "hv/lib/string.h"

/* Apart, so that the short calls save no registers for it. */
__attribute__((noinline)) static int64_t tell_region(const struct vm *vm, uint64_t index,
                                                     uint64_t gpa)
{
        struct permafrost_region r = {0};

        if (index >= vm->regions)
                return -PERMAFROST_ENOENT;
        if (!is_aligned(gpa, 8) || !gmem_ptr(&vm->mem, GPA(gpa), sizeof r))
                return -PERMAFROST_EFAULT;
        memcpy(r.name, vm->layout.region[index].name, sizeof vm->layout.region[index].name);
        r.gpa = vm->layout.region[index].gpa.v;
        r.size = vm->layout.region[index].size;
        r.flags = vm->host->pool->simulated ? PERMAFROST_REGION_SIMULATED : 0;
        r.flags |= vm->layout.region[index].read_only ? PERMAFROST_REGION_READ_ONLY : 0;
        memcpy(gmem_ptr(&vm->mem, GPA(gpa), sizeof r), &r, sizeof r);
        return 0;
}

void hypercall_serve(struct vm *vm, unsigned cpl)
{
        uint64_t *regs = vm->vcpu.regs;
        int64_t result;

        if (cpl != 0)
                result = -PERMAFROST_EPERM;
        else if (regs[REG_RAX] == PERMAFROST_HC_VERSION)
                result = PERMAFROST_ABI_VERSION;
        else if (regs[REG_RAX] == PERMAFROST_HC_REGIONS)
                result = (int64_t)vm->regions;
        else if (regs[REG_RAX] == PERMAFROST_HC_REGION)
                result = tell_region(vm, regs[REG_RDI], regs[REG_RSI]);
        else
                result = -PERMAFROST_ENOSYS;
        regs[REG_RAX] = (uint64_t)result;
}
