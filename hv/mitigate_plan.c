/* What is done about weaknesses of CPUs; contract in mitigate_plan.h. */
#include "hv/mitigate_plan.h"

#define L7_MD_CLEAR (1u << 10)
#define L7_IBRS     (1u << 26) /* and IBPB */
#define L7_STIBP    (1u << 27)
#define L7_L1D      (1u << 28)

#define X8_IBPB      (1u << 12)
#define X8_IBRS      (1u << 14)
#define X8_STIBP     (1u << 15)
#define X8_IBRS_LONG (1u << 16) /* IBRS may stay set */
#define X8_SSB_NO    (1u << 26)
#define X21_AUTO     (1u << 8)

#define CAPS_IBRS_ALL (1ull << 1)
#define CAPS_RDCL_NO  (1ull << 0)
#define CAPS_SKIP_L1D (1ull << 3) /* a hypervisor above flushes */
#define CAPS_SSB_NO   (1ull << 4)
#define CAPS_MDS_NO   (1ull << 5)

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

static void decide_entry(const struct mitigate_cpu *c, bool off, struct mitigate_plan *plan)
{
        struct mitigate_row *l1tf = &plan->row[MITIGATE_L1TF];
        struct mitigate_row *mds = &plan->row[MITIGATE_MDS];

        if (c->amd) {
                *l1tf = *mds = safe("AMD's CPUs do not have it");
                return;
        }
        if (c->arch_caps & CAPS_RDCL_NO)
                *l1tf = safe("ARCH_CAPABILITIES 0");
        else if (c->arch_caps & CAPS_SKIP_L1D)
                *l1tf = safe("ARCH_CAPABILITIES 3");
        else
                *l1tf = against(c->l7_edx & L7_L1D, off, "L1D flush at each run", "CPUID.7 EDX 28");
        if (c->arch_caps & CAPS_MDS_NO)
                *mds = safe("ARCH_CAPABILITIES 5");
        else
                *mds = against(c->l7_edx & L7_MD_CLEAR, off, "VERW at each run", "CPUID.7 EDX 10");
        plan->flush_l1d = active(l1tf);
        /* the flush clears the buffers as well */
        plan->clear_buffers = active(mds) && !plan->flush_l1d;
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
        decide_switch(cpu, off, plan);
        decide_threads(cpu, off, plan);
        decide_entry(cpu, off, plan);
        decide_stores(cpu, plan);
}

const char *mitigate_name(enum mitigate_what what)
{
        static const char *const names[MITIGATE_COUNT] = {
            "guest's branches", "VM to VM", "threads", "L1TF", "MDS", "store bypass"};

        return names[what];
}

const char *mitigate_state_name(enum mitigate_state state)
{
        static const char *const names[] = {"not needed", "active", "off", "missing"};

        return names[state];
}
