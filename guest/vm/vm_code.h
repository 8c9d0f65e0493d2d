/*
 * What a guest executes, on CPUs (vm->machine->small_code) that stop by a machine check when the
 * size of a page changes under their instruction TLB ("ITLB multihit", which a guest brings about
 * at will): there its memory is mapped without the right to execute, and what it does execute gets
 * pages of 4 KiB, 2 MiB at a time. On other CPUs all of its memory is executable.
 */
#pragma once

#include "guest/vm/vcpu.h"

/*
 * A vCPU, which runs here, was to execute at gpa. Whether that is memory of the VM: then it is or
 * becomes executable, and the guest may try again when vm_code_waits says no more.
 */
bool vm_code_fault(struct vm_vcpu *v, gpa_t gpa);

/* Whether the vCPU may not go on before CPU 0 has called vm_code_serve. */
static inline bool vm_code_waits(const struct vm_vcpu *v)
{
        return __atomic_load_n(&v->code, __ATOMIC_ACQUIRE) != 0;
}

/* On the CPU that owns the DRAM: give a VM's vCPUs what they wait for. Without memory it ends. */
void vm_code_serve(struct vm *vm);
