/* What a guest executes; contract in vm_code.h. */
#include "guest/vm/vm_code.h"

#include "guest/vm/vm.h"
#include "hv/lib/printk.h"

#define CODE_WAITS 1ull /* beside an address, which is a multiple of 4 KiB */

bool vm_code_fault(struct vm_vcpu *v, gpa_t gpa)
{
        struct paging_leaf leaf;

        if (!v->vm->machine->small_code || paging_walk(&v->vm->second_level, gpa.v, &leaf))
                return false;
        if (!(leaf.prot & PAGING_X)) { /* else another vCPU was first */
                __atomic_store_n(&v->code, align_down(gpa.v, PAGE_4K) | CODE_WAITS,
                                 __ATOMIC_RELEASE);
                v->look = true;
        }
        return true;
}

static int open_page(struct vm *vm, uint64_t gpa)
{
        struct paging_leaf leaf;
        int err = paging_walk(&vm->second_level, gpa, &leaf);

        return err ? err : paging_protect_small(&vm->second_level, gpa, leaf.prot | PAGING_X);
}

/* No TLB holds anything that the guest may do less than before (SDM vol. 3 28.4.3.3). */
void vm_code_serve(struct vm *vm)
{
        for (unsigned i = 0; i < vm->vcpus; i++) {
                struct vm_vcpu *v = vm->vcpu[i];
                int err;

                if (!vm_code_waits(v))
                        continue;
                err = open_page(vm, v->code & ~CODE_WAITS);
                if (err) {
                        printk(LOG_ERROR, "vm %s: no memory for page tables (error %d)",
                               vm->config->name, -err);
                        vm_finish(vm, VM_CRASHED);
                }
                __atomic_store_n(&v->code, 0, __ATOMIC_RELEASE);
        }
}
