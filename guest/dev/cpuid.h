/*
 * What a VM's CPUID tells: the machine's own features less what guests cannot have, Permafrost's
 * leaf and KVM's paravirtual one (Linux Documentation/virt/kvm/x86/cpuid.rst).
 */
#pragma once

#include "guest/dev/pv.h"
#include "hv/cpu.h"
#include "hv/virt.h"

#define CPUID_BASIC_MAX    0x17u
#define CPUID_EXTENDED_MAX 0x80000008u

/* What of leaf 1 is not in p->basic: bit OSXSAVE of the guest's CR4, and the vCPU's APIC ID. */
#define CPUID_1_ECX_OSXSAVE (1u << 27)
#define CPUID_1_EBX_ID(id)  ((uint32_t)(id) << 24)

/* Leaves that do not change while the VM lives, computed once: CPUID is a guest's cheapest exit. */
struct cpuid_policy {
        struct cpuid_regs basic[CPUID_BASIC_MAX + 1];
        struct cpuid_regs extended[(CPUID_EXTENDED_MAX & 0xff) + 1];
        uint32_t dynamic;  /* bit n: basic leaf n depends on the subleaf or on the vCPU's state */
        uint64_t xcr0;     /* what XSETBV may set */
        bool fast_strings; /* as the machine's IA32_MISC_ENABLE has it */
        unsigned vcpus;
        uint32_t pv_features; /* by default what every VM has; the caller's to set */
};

/* The machine's CPUID instruction, or a test's. */
typedef struct cpuid_regs (*cpuid_fn)(uint32_t leaf, uint32_t subleaf);

/*
 * The policy of a VM of vcpus (1 to 254) vCPUs: one thread a core, all cores in one package, and
 * APIC IDs from 0.
 */
void cpuid_policy_init(struct cpuid_policy *p, cpuid_fn native, const struct virt_caps *caps,
                       unsigned vcpus);

/* Whether its guests see a CPU of AMD's or Hygon's. */
bool cpuid_policy_is_amd(const struct cpuid_policy *p);

/* The answer to the vCPU of ID vcpu_id, for a leaf that is not in p->basic or is dynamic, but for
 * leaf 1: of that this gives all but OSXSAVE. */
struct cpuid_regs cpuid_policy_slow(const struct cpuid_policy *p, cpuid_fn native, uint32_t leaf,
                                    uint32_t subleaf, uint32_t vcpu_id);

/* Leaf 1 of a vCPU; osxsave: bit OSXSAVE of its CR4. */
static inline struct cpuid_regs cpuid_policy_leaf1(const struct cpuid_policy *p, uint32_t vcpu_id,
                                                   bool osxsave)
{
        struct cpuid_regs r = p->basic[1];

        r.ebx |= CPUID_1_EBX_ID(vcpu_id);
        r.ecx |= osxsave ? CPUID_1_ECX_OSXSAVE : 0;
        return r;
}

/* The cached answer for a leaf, or NULL: ask cpuid_policy_slow. */
static inline const struct cpuid_regs *cpuid_policy_fast(const struct cpuid_policy *p,
                                                         uint32_t leaf)
{
        if (leaf <= CPUID_BASIC_MAX && !(p->dynamic >> leaf & 1))
                return &p->basic[leaf];
        return NULL;
}
