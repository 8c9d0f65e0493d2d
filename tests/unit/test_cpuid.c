/*
 * The CPUID policy over made-up machines: what is let through, what is hidden, over every leaf, on
 * a CPU that claims every feature and on random ones.
 */
#include "guest/dev/cpuid.h"

#include "guest/abi.h"
#include "hv/lib/string.h"
#include "tests/unit/unit.h"

#define ALL 0xffffffffu

static struct cpuid_policy policy;
static uint32_t asker; /* the vCPU that asks */
static const struct virt_caps all_caps = {
    .page_max = PAGE_1G, .rdtscp = true, .invpcid = true, .fast_strings = true};

/* A CPU with every leaf and every bit. */
static struct cpuid_regs claims_all(uint32_t leaf, uint32_t subleaf)
{
        (void)subleaf;
        if (leaf == 0)
                return (struct cpuid_regs){0x20, 'G', 'n', 'I'};
        if (leaf == 0x80000000)
                return (struct cpuid_regs){.eax = 0x80000020};
        return (struct cpuid_regs){ALL, ALL, ALL, ALL};
}

/* An old one: no leaf 7, no XSAVE, no address size leaf. */
static struct cpuid_regs claims_little(uint32_t leaf, uint32_t subleaf)
{
        (void)subleaf;
        if (leaf == 0)
                return (struct cpuid_regs){.eax = 4};
        if (leaf == 0x80000000)
                return (struct cpuid_regs){.eax = 0x80000004};
        if (leaf == 1)
                return (struct cpuid_regs){ALL, ALL, ~(1u << 26), ALL};
        return (struct cpuid_regs){ALL, ALL, ALL, ALL};
}

static uint64_t machine;

static struct cpuid_regs random_cpu(uint32_t leaf, uint32_t subleaf)
{
        uint64_t state = machine + ((uint64_t)leaf << 32 | subleaf);
        uint64_t a = unit_random(&state), b = unit_random(&state);

        if (leaf == 0)
                return (struct cpuid_regs){.eax = (uint32_t)(a % 0x30)};
        if (leaf == 0x80000000)
                return (struct cpuid_regs){.eax = 0x80000000 + (uint32_t)(a % 0x30)};
        return (struct cpuid_regs){(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b,
                                   (uint32_t)(b >> 32)};
}

static struct cpuid_regs ask(cpuid_fn native, uint32_t leaf, uint32_t subleaf)
{
        const struct cpuid_regs *fast = cpuid_policy_fast(&policy, leaf);

        return fast ? *fast : cpuid_policy_slow(&policy, native, leaf, subleaf, asker);
}

static bool is_zero(struct cpuid_regs r)
{
        return !(r.eax | r.ebx | r.ecx | r.edx);
}

/* Features whose instructions exit to nowhere or whose MSRs a guest does not have. */
static void test_hidden_features(void)
{
        struct cpuid_regs r;

        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        r = ask(claims_all, 1, 0);
        CHECK_EQ(r.ecx & (1u << 3), 0);             /* MONITOR */
        CHECK_EQ(r.ecx & (1u << 5 | 1u << 6), 0);   /* VMX, SMX */
        CHECK_EQ(r.ecx & (1u << 15 | 1u << 18), 0); /* PDCM, DCA */
        CHECK_EQ(r.edx & (1u << 21 | 1u << 28), 0); /* DS, more than one thread */
        CHECK_EQ(r.ebx >> 16, 1);                   /* one thread, APIC ID 0 */
        /* machine checks are the hypervisor's own, see guest/dev/mca.h */
        CHECK_EQ(r.edx & (1u << 7 | 1u << 14), 1u << 7 | 1u << 14);
        r = ask(claims_all, 7, 0);
        CHECK_EQ(r.ebx & (1u << 2 | 1u << 14), 0); /* SGX, MPX */
        CHECK_EQ(r.ebx & (1u << 4 | 1u << 11), 0); /* transactions */
        CHECK(is_zero((struct cpuid_regs){r.eax, 0, r.ecx, r.edx}));
        CHECK(is_zero(ask(claims_all, 5, 0)));    /* MWAIT */
        CHECK(is_zero(ask(claims_all, 0xa, 0)));  /* performance counters */
        CHECK(is_zero(ask(claims_all, 0x12, 0))); /* SGX */
        CHECK(is_zero(ask(claims_all, 0x14, 0))); /* processor trace */
        CHECK(is_zero(ask(claims_all, 0x15, 0))); /* a TSC frequency that may be wrong */
        CHECK(is_zero(ask(claims_all, 0x16, 0)));
        r = ask(claims_all, 0x80000001, 0);
        CHECK_EQ(r.ecx & (1u << 2), 0); /* SVM */
        r = ask(claims_all, 0x80000008, 0);
        CHECK_EQ(r.eax, ALL);               /* the sizes of addresses */
        CHECK_EQ(r.ebx | r.ecx | r.edx, 0); /* features, and how many cores */
        r = ask(claims_all, 0x80000007, 0); /* scalable MCA and MSRs of power management */
        CHECK_EQ(r.edx, 1u << 8);           /* but a TSC that always counts */
        CHECK_EQ(r.eax | r.ebx | r.ecx, 0);
}

static void test_what_permafrost_gives(void)
{
        struct cpuid_regs r;

        cpuid_policy_init(&policy, claims_little, &all_caps, 1);
        r = ask(claims_little, 1, 0);
        CHECK(r.ecx >> 21 & 1);                    /* x2APIC */
        CHECK(r.ecx >> 24 & 1);                    /* TSC deadline */
        CHECK(r.ecx >> 31 & 1);                    /* a hypervisor is present */
        CHECK(r.edx >> 12 & 1);                    /* MTRR, without which PAT means little */
        CHECK_EQ(ask(claims_little, 6, 0).eax, 4); /* ARAT */
        r = ask(claims_little, PERMAFROST_CPUID_BASE, 0);
        CHECK(memcmp(&r.ebx, PERMAFROST_SIGNATURE, 12) == 0);
        CHECK_EQ(r.eax, PERMAFROST_CPUID_BASE);
        r = ask(claims_little, PERMAFROST_CPUID_BASE + 0x100, 0);
        CHECK(memcmp(&r.ebx, "KVMKVMKVM\0\0\0", 12) == 0);
        CHECK_EQ(r.eax, PERMAFROST_CPUID_BASE + 0x101);
        r = ask(claims_little, PERMAFROST_CPUID_BASE + 0x101, 0);
        CHECK_EQ(r.eax, KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 |
                            KVM_FEATURE_CLOCKSOURCE_STABLE | KVM_FEATURE_STEAL_TIME);
}

static struct cpuid_regs has_no_invariant_tsc(uint32_t leaf, uint32_t subleaf)
{
        if (leaf == 0x80000007)
                return (struct cpuid_regs){0};
        return claims_all(leaf, subleaf);
}

/* Linux trusts an invariant TSC without looking at it twice a second if nobody can have adjusted
 * it. */
static void test_tsc_adjust(void)
{
        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        CHECK(ask(claims_all, 7, 0).ebx >> 1 & 1);
        cpuid_policy_init(&policy, has_no_invariant_tsc, &all_caps, 1);
        CHECK_EQ(ask(has_no_invariant_tsc, 7, 0).ebx >> 1 & 1, 0);
        cpuid_policy_init(&policy, claims_little, &all_caps, 1);
        CHECK(is_zero(ask(claims_little, 7, 0)));
}

static void test_instructions_follow_the_extension(void)
{
        const struct virt_caps none = {.page_max = PAGE_2M};

        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        CHECK(ask(claims_all, 7, 0).ebx >> 10 & 1);
        CHECK(ask(claims_all, 7, 0).ebx >> 9 & 1); /* ERMS */
        CHECK(policy.fast_strings);
        CHECK(ask(claims_all, 0x80000001, 0).edx >> 27 & 1);
        cpuid_policy_init(&policy, claims_all, &none, 1);
        CHECK_EQ(ask(claims_all, 7, 0).ebx >> 9 & 3, 0);
        CHECK(!policy.fast_strings);
        CHECK_EQ(ask(claims_all, 0x80000001, 0).edx >> 27 & 1, 0);
}

/* The policy never tells it: the run loop adds it from the guest's CR4. */
static void test_osxsave_is_left_out(void)
{
        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        CHECK_EQ(ask(claims_all, 1, 0).ecx >> 27 & 1, 0);
}

static void test_xsave_leaf(void)
{
        struct cpuid_regs r;

        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        CHECK_EQ(policy.xcr0, 0xe7);
        r = ask(claims_all, 0xd, 0);
        CHECK_EQ(r.eax, 0xe7);
        CHECK_EQ(r.edx, 0);
        r = ask(claims_all, 0xd, 1);
        CHECK_EQ(r.eax, 7); /* no XSAVES: it wants MSRs that guests do not have */
        CHECK_EQ(r.ebx | r.ecx | r.edx, 0);
        for (uint32_t sub = 2; sub < 200; sub++)
                CHECK_EQ(is_zero(ask(claims_all, 0xd, sub)), !(sub == 2 || (sub >= 5 && sub <= 7)));
        cpuid_policy_init(&policy, claims_little, &all_caps, 1);
        CHECK_EQ(policy.xcr0, 0);
        CHECK(is_zero(ask(claims_little, 0xd, 0)));
}

static void test_subleaves(void)
{
        cpuid_policy_init(&policy, claims_all, &all_caps, 1);
        CHECK(!is_zero(ask(claims_all, 7, 0)));
        CHECK(is_zero(ask(claims_all, 7, 1)));
        CHECK_EQ(ask(claims_all, 4, 0).eax, 0x3fff);
        CHECK_EQ(ask(claims_all, 0xb, 0).ecx, 0x100);
        CHECK_EQ(ask(claims_all, 0xb, 1).ecx, 0x201);
        CHECK_EQ(ask(claims_all, 0xb, 2).ecx, 2);
        CHECK_EQ(ask(claims_all, 0xb, 0).ebx, 1);
}

/* The same CPU with a name of four characters in EBX. */
static uint32_t vendor;

static struct cpuid_regs claims_vendor(uint32_t leaf, uint32_t subleaf)
{
        struct cpuid_regs r = claims_all(leaf, subleaf);

        if (leaf == 0)
                r.ebx = vendor;
        if (leaf == 4 && subleaf < 4) /* data, code, second and third level */
                r.eax = 0xfffffc01 | (subleaf + (subleaf < 2)) << 5;
        if (leaf == 4 && subleaf >= 4)
                r.eax = 0;
        return r;
}

/* As Linux reads the topology: every vCPU is a core of its own in one package. */
static void test_topology(void)
{
        static const struct {
                unsigned vcpus, bits, ids;
        } table[] = {{1, 0, 1},   {2, 1, 2},   {3, 2, 4},     {4, 2, 4},    {5, 3, 8},
                     {16, 4, 16}, {17, 5, 32}, {129, 8, 255}, {254, 8, 255}};

        vendor = 0x756e6547; /* "Genu" */
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                unsigned n = table[i].vcpus;

                cpuid_policy_init(&policy, claims_vendor, &all_caps, n);
                CHECK(!cpuid_policy_fast(&policy, 1));
                for (asker = 0; asker < n; asker += 1 + n / 5) {
                        struct cpuid_regs r = ask(claims_vendor, 1, 0), core;

                        CHECK_EQ(r.ebx >> 24, asker);
                        CHECK_EQ(r.ebx >> 16 & 0xff, table[i].ids);
                        CHECK_EQ(r.edx >> 28 & 1, n > 1);
                        CHECK_EQ(r.ecx >> 27 & 1, 0);
                        r = cpuid_policy_leaf1(&policy, asker, true);
                        CHECK_EQ(r.ebx >> 24, asker);
                        CHECK_EQ(r.ecx >> 27 & 1, 1);
                        r = ask(claims_vendor, 0xb, 0);
                        core = ask(claims_vendor, 0xb, 1);
                        CHECK_EQ(r.eax, 0); /* one thread a core */
                        CHECK_EQ(r.ebx, 1);
                        CHECK_EQ(r.ecx, 0x100);
                        CHECK_EQ(core.eax, table[i].bits);
                        CHECK_EQ(core.ebx, n);
                        CHECK_EQ(core.ecx, 0x201);
                        CHECK(asker >> core.eax == 0); /* one package */
                        CHECK_EQ(r.edx, asker);
                        CHECK_EQ(core.edx, asker);
                        CHECK_EQ(ask(claims_vendor, 0xb, 2).edx, asker);
                }
        }
        asker = 0;
}

static void test_caches(void)
{
        cpuid_policy_init(&policy, claims_vendor, &all_caps, 6);
        CHECK_EQ(ask(claims_vendor, 4, 0).eax, 7u << 26 | 0x3c21); /* a core's own */
        CHECK_EQ(ask(claims_vendor, 4, 2).eax, 7u << 26 | 0x3c41);
        CHECK_EQ(ask(claims_vendor, 4, 3).eax, 7u << 26 | 7u << 14 | 0x3c61); /* everybody's */
        CHECK_EQ(ask(claims_vendor, 4, 4).eax, 0);
        cpuid_policy_init(&policy, claims_vendor, &all_caps, 254);
        CHECK_EQ(ask(claims_vendor, 4, 3).eax, 63u << 26 | 255u << 14 | 0x3c61);
}

static void test_cores_of_amd(void)
{
        vendor = 0x68747541;
        cpuid_policy_init(&policy, claims_vendor, &all_caps, 1);
        CHECK_EQ(ask(claims_vendor, 0x80000008, 0).ecx, 0);
        CHECK_EQ(ask(claims_vendor, 0x80000001, 0).ecx & 2, 0);
        cpuid_policy_init(&policy, claims_vendor, &all_caps, 3);
        CHECK_EQ(ask(claims_vendor, 0x80000008, 0).ecx, 0x2002);
        CHECK_EQ(ask(claims_vendor, 0x80000001, 0).ecx & 2, 2);
        vendor = 0x756e6547;
        cpuid_policy_init(&policy, claims_vendor, &all_caps, 3);
        CHECK_EQ(ask(claims_vendor, 0x80000008, 0).ecx, 0);
        CHECK_EQ(ask(claims_vendor, 0x80000001, 0).ecx & 2, 0);
}

static void test_paravirtual_offer(void)
{
        struct cpuid_regs r;

        cpuid_policy_init(&policy, claims_all, &all_caps, 2);
        policy.pv_features = 0x12345678;
        r = ask(claims_all, PERMAFROST_CPUID_BASE + 0x101, 0);
        CHECK_EQ(r.eax, 0x12345678);
        CHECK_EQ(r.ebx | r.ecx | r.edx, 0);
}

/* Leaves that a CPU does not have are its highest one's data there: never passed on. */
static void test_old_cpu(void)
{
        cpuid_policy_init(&policy, claims_little, &all_caps, 1);
        CHECK_EQ(ask(claims_little, 0, 0).eax, 4);
        CHECK(is_zero(ask(claims_little, 7, 0)));
        CHECK_EQ(ask(claims_little, 0x80000000, 0).eax, 0x80000004);
        for (uint32_t leaf = 0x80000005; leaf <= 0x80000040; leaf++)
                CHECK(is_zero(ask(claims_little, leaf, 0)));
}

/* Every leaf outside the three blocks reads as zero, on whatever CPU. */
static void test_all_leaves(void)
{
        uint64_t seed = unit_seed();

        for (unsigned round = 0; round < 300; round++) {
                machine = unit_random(&seed);
                cpuid_policy_init(&policy, random_cpu, &all_caps, 1);
                CHECK(ask(random_cpu, 0, 0).eax <= CPUID_BASIC_MAX);
                CHECK(ask(random_cpu, 0x80000000, 0).eax <= CPUID_EXTENDED_MAX);
                CHECK_EQ(policy.xcr0 & ~0xe7ull, 0);
                for (unsigned i = 0; i < 3000; i++) {
                        static const uint32_t blocks[] = {0, 0x40000000, 0x80000000, 0x7ffffff0,
                                                          0xc0000000};
                        uint32_t at = blocks[unit_random(&seed) % ARRAY_LEN(blocks)];
                        uint32_t leaf = at + (uint32_t)(unit_random(&seed) % 0x300);
                        bool known = leaf <= CPUID_BASIC_MAX ||
                                     leaf - 0x80000000 <= CPUID_EXTENDED_MAX - 0x80000000 ||
                                     leaf == 0x40000000 || leaf == 0x40000100 || leaf == 0x40000101;
                        struct cpuid_regs r = ask(random_cpu, leaf, (uint32_t)unit_random(&seed));

                        CHECK(known || is_zero(r));
                        CHECK(leaf != 1 || !(r.ecx & (1u << 5)));
                }
        }
}

int main(void)
{
        RUN(test_hidden_features);
        RUN(test_what_permafrost_gives);
        RUN(test_tsc_adjust);
        RUN(test_instructions_follow_the_extension);
        RUN(test_osxsave_is_left_out);
        RUN(test_xsave_leaf);
        RUN(test_subleaves);
        RUN(test_topology);
        RUN(test_caches);
        RUN(test_cores_of_amd);
        RUN(test_paravirtual_offer);
        RUN(test_old_cpu);
        RUN(test_all_leaves);
        return unit_done();
}
