/*
 * What the CPU and the compiler do against the hypervisor's own mistakes: a canary in the frames of
 * functions with arrays, and no execution of, or access to, anything that were mapped as a user's.
 */
#pragma once

#include "hv/lib/types.h"

/*
 * Give the stack protector its secret, from RDRAND or else the TSC. The first call of all: no
 * function that has begun with the old value may return to its caller afterwards.
 */
void harden_stacks(void);

/*
 * Switch on, on this CPU, what CPUID leaf 7 tells of SMEP, SMAP and UMIP. Before virt->cpu_enable:
 * a VMCS takes its host CR4 from the CPU. The first call logs one line, later ones only where their
 * CPU differs from the first.
 */
void harden_cpu(void);
