/* What is done about weaknesses of CPUs; contract in mitigate_plan.h. */
#include "hv/safety/mitigate_plan.h"

#define L7_EBX_AVX2 (1u << 5)
#define L7_EBX_RTM  (1u << 11)
#define L7_MD_CLEAR (1u << 10)
#define L7_IBRS     (1u << 26) /* and IBPB */
#define L7_STIBP    (1u << 27)
#define L7_L1D      (1u << 28)
#define L7_2_BHI    (1u << 4)

#define X8_IBPB      (1u << 12)
#define X8_IBRS      (1u << 14)
#define X8_STIBP     (1u << 15)
#define X8_IBRS_LONG (1u << 16) /* IBRS may stay set */
#define X8_SSB_NO    (1u << 26)
#define X8_BTC_NO    (1u << 29)
#define X21_AUTO     (1u << 8)
#define X21_BRTYPE   (1u << 28) /* IBPB forgets what kind a branch is, too */
#define X21_SRSO_NO  (1u << 29)
#define X21_REDUCE   (1u << 31)
#define X21_VERW     (1u << 5)
#define X21C_TSA_NO  (3u << 1) /* ECX: of store queue and L1 cache */

#define CAPS_RDCL_NO    (1ull << 0)
#define CAPS_IBRS_ALL   (1ull << 1)
#define CAPS_SKIP_L1D   (1ull << 3) /* a hypervisor above flushes */
#define CAPS_SSB_NO     (1ull << 4)
#define CAPS_MDS_NO     (1ull << 5)
#define CAPS_PAGES_NO   (1ull << 6)
#define CAPS_TSX_CTRL   (1ull << 7)
#define CAPS_TAA_NO     (1ull << 8)
#define CAPS_MMIO_NO    (7ull << 13) /* SBDR_SSDP_NO, FBSDP_NO, PSDP_NO */
#define CAPS_FB_CLEAR   (1ull << 17)
#define CAPS_BHI_NO     (1ull << 20)
#define CAPS_GDS_NO     (1ull << 26)
#define CAPS_RFDS_NO    (1ull << 27)
#define CAPS_RFDS_CLEAR (1ull << 28)
#define CAPS_ITS_NO     (1ull << 62)

#define FAMILY_ZEN3 0x19u

/* A row for something that the CPU has not said it is safe from. */
static struct mitigate_row against(bool measure_there, bool off, const char *measure,
                                   const char *by)
{
        return (struct mitigate_row){
            .vulnerable = true,
            .state = !measure_there ? MITIGATE_MISSING
                     : off          ? MITIGATE_OFF
                                    : MITIGATE_ACTIVE,
            .measure = measure,
            .by = by,
        };
}

static struct mitigate_row safe(const char *by)
{
        return (struct mitigate_row){.state = MITIGATE_NOT_NEEDED, .measure = "none", .by = by};
}

static bool active(const struct mitigate_row *row)
{
        return row->state == MITIGATE_ACTIVE;
}

/* IBRS that is set once protects only where the CPU says so; written at each exit it always does.
 */
static void decide_branches(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *row = &plan->row[MITIGATE_BRANCHES];

        if (c->amd && c->x21_eax & X21_AUTO) {
                *row = against(true, off, "automatic IBRS", "CPUID.80000021h EAX 8");
                plan->auto_ibrs = active(row);
        } else if (c->amd) {
                *row = against((c->x8_ebx & X8_IBRS) && (c->x8_ebx & X8_IBRS_LONG), off,
                               "IBRS, always on", "CPUID.80000008h EBX 14, 16");
        } else {
                *row = against((c->l7_edx & L7_IBRS) && (c->arch_caps & CAPS_IBRS_ALL), off,
                               "enhanced IBRS", "CPUID.7 EDX 26, ARCH_CAPABILITIES 1");
        }
        if (active(row) && !plan->auto_ibrs)
                plan->spec_ctrl |= SPEC_CTRL_IBRS;
}

static void decide_switch(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *row = &plan->row[MITIGATE_SWITCH];

        *row = c->amd ? against(c->x8_ebx & X8_IBPB, off, "IBPB", "CPUID.80000008h EBX 12")
                      : against(c->l7_edx & L7_IBRS, off, "IBPB", "CPUID.7 EDX 26");
        plan->ibpb = active(row);
}

static void decide_threads(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *row = &plan->row[MITIGATE_THREADS];

        if (!c->threads) {
                *row = safe("CPUID.1 EDX 28: one thread");
                return;
        }
        *row = c->amd ? against(c->x8_ebx & X8_STIBP, off, "STIBP", "CPUID.80000008h EBX 15")
                      : against(c->l7_edx & L7_STIBP, off, "STIBP", "CPUID.7 EDX 27");
        if (active(row))
                plan->spec_ctrl |= SPEC_CTRL_STIBP;
}

/* Set for good: guests run with it as well, as with IBRS. */
static void decide_history(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *row = &plan->row[MITIGATE_HISTORY];

        if (c->amd)
                *row = safe("AMD's CPUs do not have it");
        else if (c->arch_caps & CAPS_BHI_NO)
                *row = safe("ARCH_CAPABILITIES 20");
        else
                *row = against(c->l7_2_edx & L7_2_BHI, off, "BHI_DIS_S", "CPUID.(7,2) EDX 4");
        if (active(row))
                plan->spec_ctrl |= SPEC_CTRL_BHI_DIS_S;
}

static struct mitigate_row retbleed_amd(const struct mitigate_cpu *c, bool off)
{
        if (c->x8_ebx & X8_BTC_NO)
                return safe("CPUID.80000008h EBX 29");
        if (c->family >= FAMILY_ZEN3)
                return safe("AMD's family 19h and later");
        return against(c->x8_ebx & X8_IBPB, off, "IBPB at each exit", "CPUID.80000008h EBX 12");
}

/* Up to Zen 2 every IBPB also forgets what kind a branch is. */
static struct mitigate_row srso_amd(const struct mitigate_cpu *c, bool off)
{
        if (c->x21_eax & X21_SRSO_NO)
                return safe("CPUID.80000021h EAX 29");
        if (c->x21_eax & X21_REDUCE)
                return against(true, off, "BpSpecReduce", "CPUID.80000021h EAX 31");
        if (c->x21_eax & X21_BRTYPE || c->family >= FAMILY_ZEN3)
                return against(c->x21_eax & X21_BRTYPE && c->x8_ebx & X8_IBPB, off,
                               "IBPB at each exit", "CPUID.80000021h EAX 28");
        return against(c->x8_ebx & X8_IBPB, off, "IBPB at each exit", "CPUID.80000008h EBX 12");
}

static void decide_returns(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *retbleed = &plan->row[MITIGATE_RETBLEED];
        struct mitigate_row *srso = &plan->row[MITIGATE_SRSO];

        if (!c->amd) {
                *retbleed = plan->row[MITIGATE_BRANCHES];
                *srso = safe("Intel's CPUs do not have it");
                return;
        }
        *retbleed = retbleed_amd(c, off);
        *srso = srso_amd(c, off);
        plan->reduce = active(srso) && c->x21_eax & X21_REDUCE;
        plan->ibpb_exit = active(retbleed) || (active(srso) && !plan->reduce);
}

static struct mitigate_row l1tf(const struct mitigate_cpu *c, bool off)
{
        if (c->arch_caps & CAPS_RDCL_NO)
                return safe("ARCH_CAPABILITIES 0");
        if (c->arch_caps & CAPS_SKIP_L1D)
                return safe("ARCH_CAPABILITIES 3");
        return against(c->l7_edx & L7_L1D, off, "L1D flush at each run", "CPUID.7 EDX 28");
}

static struct mitigate_row mds(const struct mitigate_cpu *c, bool off)
{
        if (c->arch_caps & CAPS_MDS_NO)
                return safe("ARCH_CAPABILITIES 5");
        return against(c->l7_edx & L7_MD_CLEAR, off, "VERW at each run", "CPUID.7 EDX 10");
}

/* With MDS_NO, MD_CLEAR does not promise what is needed here; guests are not offered TSX. */
static struct mitigate_row taa(const struct mitigate_cpu *c, bool off)
{
        if (c->arch_caps & CAPS_TAA_NO)
                return safe("ARCH_CAPABILITIES 8");
        if (!(c->l7_ebx & L7_EBX_RTM))
                return safe("CPUID.7 EBX 11: no TSX");
        if (c->arch_caps & CAPS_TSX_CTRL)
                return against(true, off, "TSX switched off", "ARCH_CAPABILITIES 7");
        return against(c->l7_edx & L7_MD_CLEAR && !(c->arch_caps & CAPS_MDS_NO), off,
                       "VERW at each run", "CPUID.7 EDX 10");
}

/* Of no use to guests without devices' registers but where they can sample buffers: done anyway. */
static struct mitigate_row mmio(const struct mitigate_cpu *c, bool off)
{
        bool with_mds =
            !(c->arch_caps & CAPS_MDS_NO) && c->l7_edx & L7_MD_CLEAR && c->l7_edx & L7_L1D;

        if ((c->arch_caps & CAPS_MMIO_NO) == CAPS_MMIO_NO)
                return safe("ARCH_CAPABILITIES 13 to 15");
        if (with_mds)
                return against(true, off, "VERW at each run", "CPUID.7 EDX 10, 28");
        return against(c->arch_caps & CAPS_FB_CLEAR, off, "VERW at each run",
                       "ARCH_CAPABILITIES 17");
}

static struct mitigate_row rfds(const struct mitigate_cpu *c, bool off)
{
        if (c->arch_caps & CAPS_RFDS_NO)
                return safe("ARCH_CAPABILITIES 27");
        return against(c->arch_caps & CAPS_RFDS_CLEAR, off, "VERW at each run",
                       "ARCH_CAPABILITIES 28");
}

/* The microcode protects unless it is told not to; the firmware may have locked either. */
static struct mitigate_row gds(const struct mitigate_cpu *c, bool off)
{
        bool locked = c->mcu_opt & MCU_OPT_GDS_LOCK;

        if (c->arch_caps & CAPS_GDS_NO)
                return safe("ARCH_CAPABILITIES 26");
        if (!(c->l7_ebx & L7_EBX_AVX2))
                return safe("CPUID.7 EBX 5: no gathers");
        return against(c->arch_caps & MITIGATE_CAPS_GDS_CTRL &&
                           !(locked && c->mcu_opt & MCU_OPT_GDS_OFF),
                       off && !locked, "by the microcode", "ARCH_CAPABILITIES 25");
}

/* Its CPUs have enhanced IBRS, and none BHI_DIS_S. */
static struct mitigate_row its(const struct mitigate_cpu *c)
{
        if (c->arch_caps & CAPS_ITS_NO)
                return safe("ARCH_CAPABILITIES 62");
        if (!(c->arch_caps & CAPS_IBRS_ALL))
                return safe("ARCH_CAPABILITIES 1: IBRS is not enhanced");
        if (c->l7_2_edx & L7_2_BHI)
                return safe("CPUID.(7,2) EDX 4: later CPUs");
        return against(false, false, "branches in safe places", "ARCH_CAPABILITIES 62");
}

/* Guests are the only code that can: the hypervisor's own pages keep their sizes. */
static struct mitigate_row pages(const struct mitigate_cpu *c, bool off)
{
        if (c->arch_caps & CAPS_PAGES_NO)
                return safe("ARCH_CAPABILITIES 6");
        return against(true, off, "4 KiB pages for guests' code", "ARCH_CAPABILITIES 6");
}

static struct mitigate_row tsa(const struct mitigate_cpu *c, bool off)
{
        if (c->family != FAMILY_ZEN3)
                return safe("AMD's family 19h alone");
        if ((c->x21_ecx & X21C_TSA_NO) == X21C_TSA_NO)
                return safe("CPUID.80000021h ECX 1, 2");
        return against(c->x21_eax & X21_VERW, off, "VERW at each run", "CPUID.80000021h EAX 5");
}

static void decide_entry(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *row = plan->row;

        if (c->amd) {
                for (unsigned i = MITIGATE_L1TF; i <= MITIGATE_PAGES; i++)
                        row[i] = safe("AMD's CPUs do not have it");
                row[MITIGATE_TSA] = tsa(c, off);
                plan->clear_buffers = active(&row[MITIGATE_TSA]);
                return;
        }
        row[MITIGATE_GDS] = gds(c, off);
        row[MITIGATE_TSA] = safe("Intel's CPUs do not have it");
        row[MITIGATE_ITS] = its(c);
        row[MITIGATE_PAGES] = pages(c, off);
        plan->gds_on = active(&row[MITIGATE_GDS]) && !(c->mcu_opt & MCU_OPT_GDS_LOCK);
        plan->gds_off = row[MITIGATE_GDS].state == MITIGATE_OFF;
        plan->small_code = active(&row[MITIGATE_PAGES]);
        row[MITIGATE_L1TF] = l1tf(c, off);
        row[MITIGATE_MDS] = mds(c, off);
        row[MITIGATE_TAA] = taa(c, off);
        row[MITIGATE_MMIO] = mmio(c, off);
        row[MITIGATE_RFDS] = rfds(c, off);
        plan->flush_l1d = active(&row[MITIGATE_L1TF]);
        plan->tsx_off = active(&row[MITIGATE_TAA]) && c->arch_caps & CAPS_TSX_CTRL;
        /* VERW against TAA is done against MDS already; the flush clears buffers, not registers */
        plan->clear_buffers =
            active(&row[MITIGATE_RFDS]) ||
            (!plan->flush_l1d && (active(&row[MITIGATE_MDS]) || active(&row[MITIGATE_MMIO])));
}

/* Of concern within one address space only: the hypervisor runs nobody else's code in its own. */
static void decide_stores(const struct mitigate_cpu *c, struct mitigate_plan *plan)
{
        bool no = c->amd ? c->x8_ebx & X8_SSB_NO : c->arch_caps & CAPS_SSB_NO;

        plan->row[MITIGATE_STORES] = safe("no foreign code in the hypervisor");
        plan->row[MITIGATE_STORES].vulnerable = !no;
}

void mitigate_decide(const struct mitigate_cpu *cpu, bool off, struct mitigate_plan *plan)
{
        *plan = (struct mitigate_plan){0};
        decide_branches(cpu, off, plan);
        decide_history(cpu, off, plan);
        decide_returns(cpu, off, plan);
        decide_switch(cpu, off, plan);
        decide_threads(cpu, off, plan);
        decide_entry(cpu, off, plan);
        decide_stores(cpu, plan);
}

const char *mitigate_name(enum mitigate_what what)
{
        static const char *const names[MITIGATE_COUNT] = {"guest's branches",
                                                          "branch history",
                                                          "Retbleed",
                                                          "SRSO",
                                                          "VM to VM",
                                                          "threads",
                                                          "L1TF",
                                                          "MDS",
                                                          "TAA",
                                                          "MMIO stale data",
                                                          "RFDS",
                                                          "GDS",
                                                          "TSA",
                                                          "ITS",
                                                          "ITLB multihit",
                                                          "store bypass"};

        return names[what];
}

const char *mitigate_state_name(enum mitigate_state state)
{
        static const char *const names[] = {"not needed", "active", "off", "missing"};

        return names[state];
}
