/*
 * What a VM's CPUID tells: the machine's own features less what guests cannot have, Permafrost's
 * leaf and KVM's paravirtual one (Linux Documentation/virt/kvm/x86/cpuid.rst).
 */
#pragma once

#include "hv/cpu.h"
#include "hv/virt.h"

#define CPUID_BASIC_MAX    0x17u
#define CPUID_EXTENDED_MAX 0x80000008u

/* The one bit of leaf 1 that is not in p->basic: it tells bit OSXSAVE of the guest's CR4. */
#define CPUID_1_ECX_OSXSAVE (1u << 27)

/* Leaves that do not change while the VM lives, computed once: CPUID is a guest's cheapest exit. */
struct cpuid_policy {
        struct cpuid_regs basic[CPUID_BASIC_MAX + 1];
        struct cpuid_regs extended[(CPUID_EXTENDED_MAX & 0xff) + 1];
        uint32_t dynamic; /* bit n: basic leaf n depends on the subleaf or on the vCPU's state */
        uint64_t xcr0;    /* what XSETBV may set */
};

/* The machine's CPUID instruction, or a test's. */
typedef struct cpuid_regs (*cpuid_fn)(uint32_t leaf, uint32_t subleaf);

void cpuid_policy_init(struct cpuid_policy *p, cpuid_fn native, const struct virt_caps *caps);

/* The answer for a leaf that is not in p->basic or is dynamic, but for leaf 1 (see below). */
struct cpuid_regs cpuid_policy_slow(const struct cpuid_policy *p, cpuid_fn native, uint32_t leaf,
                                    uint32_t subleaf);

/* The cached answer for a leaf, or NULL: ask cpuid_policy_slow. */
static inline const struct cpuid_regs *cpuid_policy_fast(const struct cpuid_policy *p,
                                                         uint32_t leaf)
{
        if (leaf <= CPUID_BASIC_MAX && !(p->dynamic >> leaf & 1))
                return &p->basic[leaf];
        return NULL;
}
