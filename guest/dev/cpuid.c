/* The CPUID of a VM: lists of what is let through, everything else is hidden. SDM vol. 2 CPUID. */
#include "guest/dev/cpuid.h"

#include "guest/abi.h"
#include "hv/lib/string.h"

#define BIT(n) (1u << (n))

/* Leaf 1. Forced bits are features that Permafrost itself provides. */
#define L1_ECX_PASS                                                                                \
        (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) |    \
         BIT(23) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define L1_ECX_X2APIC     BIT(21)
#define L1_ECX_DEADLINE   BIT(24)
#define L1_ECX_XSAVE      BIT(26)
#define L1_ECX_HYPERVISOR BIT(31)
#define L1_EDX_PASS                                                                                \
        (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) |          \
         BIT(11) | BIT(12) | BIT(13) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | \
         BIT(25) | BIT(26))
#define L1_EDX_HTT BIT(28) /* more than one APIC ID in the package */
/* Machine checks: guest/dev/mca.h. */
#define L1_EDX_MCA (BIT(7) | BIT(14))
/* Leaf 6: ARAT, as the timer model never stops. */
#define L6_EAX_ARAT BIT(2)
/* Leaf 7: FSGSBASE BMI1 AVX2 SMEP BMI2 RDSEED ADX SMAP CLFLUSHOPT CLWB SHA and AVX-512. */
#define L7_EBX_PASS                                                                                \
        (BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(16) | BIT(17) | BIT(18) | BIT(19) |      \
         BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define L7_EBX_TSC_ADJUST                                                                          \
        BIT(1) /* the MSR is 0 for ever; with an invariant TSC, Linux trusts it then */
#define L7_EBX_INVPCID BIT(10)
#define L7_EBX_ERMS    BIT(9) /* fast REP MOVSB and STOSB; counts with fast strings only */
/* Leaf 0Dh, subleaf 1: XSAVEOPT, XSAVEC, XGETBV(1); not XSAVES. */
#define LD_EAX_PASS (BIT(0) | BIT(1) | BIT(2))
/* Leaf 80000001h: LAHF LZCNT PREFETCHW; SYSCALL NX 1-GiB-pages long-mode. */
#define X1_ECX_PASS   (BIT(0) | BIT(5) | BIT(8))
#define X1_EDX_PASS   (BIT(11) | BIT(20) | BIT(26) | BIT(29))
#define X1_EDX_RDTSCP BIT(27)
/* AMD: the IDs of leaf 1 are those of cores, not of threads. */
#define X1_ECX_CMP_LEGACY BIT(1)
/* Leaf 80000007h: the invariant TSC; not the banks and MSRs that AMD tells of there. */
#define X7_EDX_PASS BIT(8)
/* x87, SSE, AVX and AVX-512 state. */
#define XCR0_PASS 0xe7ull

#define LEAF_CACHE    4u
#define LEAF_TOPOLOGY 0xbu
#define LEAF_XSAVE    0xdu

/* Bits of an APIC ID that tell the cores apart. */
static unsigned id_bits(unsigned vcpus)
{
        return vcpus > 1 ? 32 - (unsigned)__builtin_clz(vcpus - 1) : 0;
}

static uint32_t at_most(uint32_t value, uint32_t limit)
{
        return value < limit ? value : limit;
}

static void fill_basic(struct cpuid_policy *p, cpuid_fn native, const struct virt_caps *caps)
{
        uint32_t max = native(0, 0).eax;
        struct cpuid_regs r;

        p->basic[0] = native(0, 0);
        if (p->basic[0].eax > CPUID_BASIC_MAX)
                p->basic[0].eax = CPUID_BASIC_MAX;
        r = native(1, 0);
        r.ebx = (r.ebx & 0xff00) | at_most(1u << id_bits(p->vcpus), 0xff) << 16;
        r.ecx = (r.ecx & L1_ECX_PASS) | L1_ECX_X2APIC | L1_ECX_DEADLINE | L1_ECX_HYPERVISOR;
        r.edx = (r.edx & L1_EDX_PASS) | (p->vcpus > 1 ? L1_EDX_HTT : 0) | L1_EDX_MCA;
        p->basic[1] = r;
        if (max >= 2)
                p->basic[2] = native(2, 0);
        p->basic[6].eax = L6_EAX_ARAT;
        if (max >= 7) {
                p->basic[7].ebx =
                    native(7, 0).ebx & (L7_EBX_PASS | (caps->invpcid ? L7_EBX_INVPCID : 0) |
                                        (caps->fast_strings ? L7_EBX_ERMS : 0));
        }
        p->dynamic = BIT(1) | BIT(LEAF_CACHE) | BIT(7) | BIT(LEAF_TOPOLOGY) | BIT(LEAF_XSAVE);
}

bool cpuid_policy_is_amd(const struct cpuid_policy *p)
{
        return cpu_maker_is_amd(p->basic[0].ebx);
}

static void fill_extended(struct cpuid_policy *p, cpuid_fn native, const struct virt_caps *caps)
{
        uint32_t max = native(0x80000000, 0).eax;

        for (uint32_t i = 0; i < ARRAY_LEN(p->extended); i++)
                if (0x80000000 + i <= max)
                        p->extended[i] = native(0x80000000 + i, 0);
        if (max > CPUID_EXTENDED_MAX)
                p->extended[0].eax = CPUID_EXTENDED_MAX;
        p->extended[1].ecx &= X1_ECX_PASS;
        p->extended[1].edx &= X1_EDX_PASS | (caps->rdtscp ? X1_EDX_RDTSCP : 0);
        p->extended[7] = (struct cpuid_regs){.edx = p->extended[7].edx & X7_EDX_PASS};
        if (p->extended[7].edx && p->basic[0].eax >= 7)
                p->basic[7].ebx |= L7_EBX_TSC_ADJUST;
        p->extended[8] = (struct cpuid_regs){.eax = p->extended[8].eax};
        if (cpuid_policy_is_amd(p) && p->vcpus > 1) {
                p->extended[1].ecx |= X1_ECX_CMP_LEGACY;
                if (max >= CPUID_EXTENDED_MAX) /* APM vol. 3 E.4.7: ApicIdSize, NC */
                        p->extended[8].ecx = id_bits(p->vcpus) << 12 | (p->vcpus - 1);
        }
}

void cpuid_policy_init(struct cpuid_policy *p, cpuid_fn native, const struct virt_caps *caps,
                       unsigned vcpus)
{
        memset(p, 0, sizeof *p);
        p->vcpus = vcpus;
        p->fast_strings = caps->fast_strings;
        p->pv_features = pv_features(1, false);
        fill_basic(p, native, caps);
        fill_extended(p, native, caps);
        if (p->basic[1].ecx & L1_ECX_XSAVE && p->basic[0].eax >= LEAF_XSAVE) {
                struct cpuid_regs r = native(LEAF_XSAVE, 0);

                p->xcr0 = ((uint64_t)r.edx << 32 | r.eax) & XCR0_PASS;
        }
}

static struct cpuid_regs xsave_leaf(const struct cpuid_policy *p, cpuid_fn native, uint32_t subleaf)
{
        struct cpuid_regs r = {0};

        if (!p->xcr0)
                return r;
        if (subleaf < 2 || (subleaf < 64 && p->xcr0 >> subleaf & 1))
                r = native(LEAF_XSAVE, subleaf);
        if (subleaf == 0) {
                r.eax &= (uint32_t)p->xcr0;
                r.edx &= (uint32_t)(p->xcr0 >> 32);
        }
        if (subleaf == 1)
                r = (struct cpuid_regs){.eax = r.eax & LD_EAX_PASS};
        return r;
}

/* The levels thread and core: how many bits of the ID stand below the next one, and how many IDs.
 */
static struct cpuid_regs topology_leaf(const struct cpuid_policy *p, uint32_t subleaf,
                                       uint32_t vcpu_id)
{
        struct cpuid_regs r = {.ecx = subleaf & 0xff, .edx = vcpu_id};

        if (subleaf < 2) {
                r.ebx = subleaf == 0 ? 1 : p->vcpus;
                r.eax = subleaf == 0 ? 0 : id_bits(p->vcpus);
                r.ecx |= (subleaf + 1) << 8;
        }
        return r;
}

/* Caches from the third level up are everybody's, the others a core's own (SDM vol. 2 CPUID). */
static struct cpuid_regs cache_leaf(const struct cpuid_policy *p, cpuid_fn native, uint32_t subleaf)
{
        struct cpuid_regs r = native(LEAF_CACHE, subleaf);
        uint32_t ids = 1u << id_bits(p->vcpus);

        r.eax &= 0x3fff;
        if ((r.eax & 0x1f) != 0) {
                r.eax |= at_most(ids - 1, 0x3f) << 26;
                r.eax |= (r.eax >> 5 & 7) >= 3 ? (ids - 1) << 14 : 0;
        }
        return r;
}

static struct cpuid_regs hypervisor_leaf(const struct cpuid_policy *p, uint32_t leaf)
{
        struct cpuid_regs r = {0};

        switch (leaf) {
        case PERMAFROST_CPUID_BASE:
                r = (struct cpuid_regs){leaf, PERMAFROST_SIGNATURE_EBX, PERMAFROST_SIGNATURE_ECX,
                                        PERMAFROST_SIGNATURE_EDX};
                break;
        case PERMAFROST_CPUID_BASE + 0x100:
                r = (struct cpuid_regs){leaf + 1, KVM_CPUID_SIGNATURE_EBX, KVM_CPUID_SIGNATURE_ECX,
                                        KVM_CPUID_SIGNATURE_EDX};
                break;
        case PERMAFROST_CPUID_BASE + 0x101:
                r.eax = p->pv_features;
                break;
        default:
                break;
        }
        return r;
}

static struct cpuid_regs dynamic_leaf(const struct cpuid_policy *p, cpuid_fn native, uint32_t leaf,
                                      uint32_t subleaf, uint32_t vcpu_id)
{
        struct cpuid_regs r = p->basic[leaf];

        switch (leaf) {
        case 1:
                return cpuid_policy_leaf1(p, vcpu_id, false);
        case LEAF_CACHE:
                return cache_leaf(p, native, subleaf);
        case LEAF_TOPOLOGY:
                return topology_leaf(p, subleaf, vcpu_id);
        case LEAF_XSAVE:
                return xsave_leaf(p, native, subleaf);
        default:
                if (subleaf)
                        memset(&r, 0, sizeof r);
                return r;
        }
}

struct cpuid_regs cpuid_policy_slow(const struct cpuid_policy *p, cpuid_fn native, uint32_t leaf,
                                    uint32_t subleaf, uint32_t vcpu_id)
{
        if (leaf <= CPUID_BASIC_MAX)
                return p->dynamic >> leaf & 1 ? dynamic_leaf(p, native, leaf, subleaf, vcpu_id)
                                              : p->basic[leaf];
        if (leaf >= PERMAFROST_CPUID_BASE && leaf < PERMAFROST_CPUID_BASE + 0x200)
                return hypervisor_leaf(p, leaf);
        if (leaf >= 0x80000000 && leaf <= CPUID_EXTENDED_MAX)
                return p->extended[leaf & 0xff];
        return (struct cpuid_regs){0};
}
