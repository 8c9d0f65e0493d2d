/* The table of VT-x features that the hypervisor cannot do without; contract in vmx_caps.h. */
#include "hv/vmx/vmx_caps.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"
#include "hv/vmx/vmcs.h"

/* SDM A.1 and A.6. */
#define BASIC_TRUE_MSRS  (1ull << 55)
#define MISC_TIMER_SHIFT 0x1full

/* A control's "may be 1" bit stands in the high half of its MSR, its "must be 1" bit in the low. */
#define MAY(control) ((uint64_t)(control) << 32)

enum requirement_kind {
        HAVE,    /* one of the mask's bits must be 1 */
        CONTROL, /* the same, and the control is set in the first control word */
        AVOID,   /* the bit must be 0 */
};

struct requirement {
        const char *name;
        uint64_t mask;
        enum vmx_msr msr;
        enum requirement_kind kind;
};

static const struct requirement requirements[] = {
    {"external-interrupt exiting", MAY(PIN_EXTERNAL_INTERRUPT), VMX_PIN, CONTROL},
    {"NMI exiting", MAY(PIN_NMI), VMX_PIN, CONTROL},
    {"virtual NMIs", MAY(PIN_VIRTUAL_NMI), VMX_PIN, CONTROL},
    {"preemption timer", MAY(PIN_PREEMPTION_TIMER), VMX_PIN, HAVE},
    {"interrupt-window exiting", MAY(CPU_INTERRUPT_WINDOW), VMX_CPU, HAVE},
    {"HLT exiting", MAY(CPU_HLT), VMX_CPU, CONTROL},
    {"guest CR3 loads without an exit", CPU_CR3_LOAD, VMX_CPU, AVOID},
    {"guest CR3 stores without an exit", CPU_CR3_STORE, VMX_CPU, AVOID},
    {"CR8-load exiting", MAY(CPU_CR8_LOAD), VMX_CPU, CONTROL},
    {"CR8-store exiting", MAY(CPU_CR8_STORE), VMX_CPU, CONTROL},
    {"unconditional I/O exiting", MAY(CPU_IO), VMX_CPU, CONTROL},
    {"MSR bitmaps", MAY(CPU_MSR_BITMAP), VMX_CPU, CONTROL},
    {"secondary controls (for EPT, VPID, unrestricted guest)", MAY(CPU_SECONDARY), VMX_CPU,
     CONTROL},
    {"extended page tables (EPT)", MAY(CPU2_EPT), VMX_CPU2, CONTROL},
    {"virtual-processor identifiers (VPID)", MAY(CPU2_VPID), VMX_CPU2, CONTROL},
    {"WBINVD exiting", MAY(CPU2_WBINVD), VMX_CPU2, CONTROL},
    {"unrestricted guest", MAY(CPU2_UNRESTRICTED), VMX_CPU2, CONTROL},
    {"EPT page walk of 4 levels", EPT_CAP_WALK_4, VMX_EPT_VPID, HAVE},
    {"EPT structures in write-back memory", EPT_CAP_WRITE_BACK, VMX_EPT_VPID, HAVE},
    {"EPT pages of 2 MiB", EPT_CAP_2M, VMX_EPT_VPID, HAVE},
    {"INVEPT", EPT_CAP_INVEPT, VMX_EPT_VPID, HAVE},
    {"INVEPT of one or all contexts", EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, VMX_EPT_VPID,
     HAVE},
    {"INVVPID", VPID_CAP_INVVPID, VMX_EPT_VPID, HAVE},
    {"INVVPID of one or all contexts", VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL, VMX_EPT_VPID,
     HAVE},
    {"saving debug controls on exit", MAY(EXIT_SAVE_DEBUG), VMX_EXIT, CONTROL},
    {"64-bit host", MAY(EXIT_HOST_64BIT), VMX_EXIT, CONTROL},
    {"acknowledging interrupts on exit", MAY(EXIT_ACK_INTERRUPT), VMX_EXIT, CONTROL},
    {"saving IA32_PAT on exit", MAY(EXIT_SAVE_PAT), VMX_EXIT, CONTROL},
    {"loading IA32_PAT on exit", MAY(EXIT_LOAD_PAT), VMX_EXIT, CONTROL},
    {"saving IA32_EFER on exit", MAY(EXIT_SAVE_EFER), VMX_EXIT, CONTROL},
    {"loading IA32_EFER on exit", MAY(EXIT_LOAD_EFER), VMX_EXIT, CONTROL},
    {"loading debug controls on entry", MAY(ENTRY_LOAD_DEBUG), VMX_ENTRY, CONTROL},
    {"IA-32e mode guest", MAY(ENTRY_GUEST_64BIT), VMX_ENTRY, HAVE},
    {"loading IA32_PAT on entry", MAY(ENTRY_LOAD_PAT), VMX_ENTRY, CONTROL},
    {"loading IA32_EFER on entry", MAY(ENTRY_LOAD_EFER), VMX_ENTRY, CONTROL},
};

static const char *const msr_names[VMX_MSR_COUNT] = {
    [VMX_BASIC] = "IA32_VMX_BASIC",
    [VMX_PIN] = "IA32_VMX_PINBASED_CTLS",
    [VMX_CPU] = "IA32_VMX_PROCBASED_CTLS",
    [VMX_EXIT] = "IA32_VMX_EXIT_CTLS",
    [VMX_ENTRY] = "IA32_VMX_ENTRY_CTLS",
    [VMX_MISC] = "IA32_VMX_MISC",
    [VMX_CR0_FIXED0] = "IA32_VMX_CR0_FIXED0",
    [VMX_CR0_FIXED1] = "IA32_VMX_CR0_FIXED1",
    [VMX_CR4_FIXED0] = "IA32_VMX_CR4_FIXED0",
    [VMX_CR4_FIXED1] = "IA32_VMX_CR4_FIXED1",
    [VMX_VMCS_ENUM] = "IA32_VMX_VMCS_ENUM",
    [VMX_CPU2] = "IA32_VMX_PROCBASED_CTLS2",
    [VMX_EPT_VPID] = "IA32_VMX_EPT_VPID_CAP",
    [VMX_TRUE_PIN] = "IA32_VMX_TRUE_PINBASED_CTLS",
    [VMX_TRUE_CPU] = "IA32_VMX_TRUE_PROCBASED_CTLS",
    [VMX_TRUE_EXIT] = "IA32_VMX_TRUE_EXIT_CTLS",
    [VMX_TRUE_ENTRY] = "IA32_VMX_TRUE_ENTRY_CTLS",
};

const char *vmx_caps_msr_name(enum vmx_msr msr)
{
        return msr_names[msr];
}

enum vmx_msr vmx_caps_control_msr(const struct vmx_msrs *m, enum vmx_msr plain)
{
        if (plain < VMX_PIN || plain > VMX_ENTRY || !(m->vmx[VMX_BASIC] & BASIC_TRUE_MSRS))
                return plain;
        return (enum vmx_msr)(plain - VMX_PIN + VMX_TRUE_PIN);
}

static uint64_t control_value(const struct vmx_msrs *m, enum vmx_msr plain)
{
        return m->vmx[vmx_caps_control_msr(m, plain)];
}

static bool has_secondary(const struct vmx_msrs *m)
{
        return control_value(m, VMX_CPU) & MAY(CPU_SECONDARY);
}

static bool msr_exists(const struct vmx_msrs *m, enum vmx_msr msr)
{
        if (msr == VMX_CPU2)
                return has_secondary(m);
        if (msr == VMX_EPT_VPID)
                return has_secondary(m) && (m->vmx[VMX_CPU2] & MAY(CPU2_EPT | CPU2_VPID));
        if (msr >= VMX_TRUE_PIN)
                return m->vmx[VMX_BASIC] & BASIC_TRUE_MSRS;
        return true;
}

void vmx_caps_read(struct vmx_msrs *m, uint32_t cpuid1_ecx, uint32_t cpuid_x1_edx,
                   uint8_t physical_bits, uint64_t (*rdmsr)(uint32_t msr))
{
        /* The TRUE MSRs may allow secondary controls, so they come before VMX_CPU2. */
        static const uint8_t order[] = {
            VMX_BASIC,     VMX_PIN,        VMX_CPU,        VMX_EXIT,       VMX_ENTRY,
            VMX_MISC,      VMX_CR0_FIXED0, VMX_CR0_FIXED1, VMX_CR4_FIXED0, VMX_CR4_FIXED1,
            VMX_VMCS_ENUM, VMX_TRUE_PIN,   VMX_TRUE_CPU,   VMX_TRUE_EXIT,  VMX_TRUE_ENTRY,
            VMX_CPU2,      VMX_EPT_VPID,
        };

        *m = (struct vmx_msrs){
            .cpuid1_ecx = cpuid1_ecx, .cpuid_x1_edx = cpuid_x1_edx, .physical_bits = physical_bits};
        if (!(cpuid1_ecx & CPUID_1_ECX_VMX))
                return;
        m->feature_control = rdmsr(MSR_FEATURE_CONTROL);
        for (size_t i = 0; i < ARRAY_LEN(order); i++)
                if (msr_exists(m, order[i]))
                        m->vmx[order[i]] = rdmsr(MSR_VMX_BASIC + order[i]);
}

/* A requirement under a feature that is itself missing has no meaning: one line is enough. */
static bool requirement_applies(const struct vmx_msrs *m, const struct requirement *r)
{
        if (!msr_exists(m, r->msr))
                return false;
        return r->msr != VMX_EPT_VPID ||
               (m->vmx[VMX_CPU2] & MAY(r->mask >> 32 ? CPU2_VPID : CPU2_EPT));
}

static bool requirement_met(const struct vmx_msrs *m, const struct requirement *r)
{
        bool found = control_value(m, r->msr) & r->mask;

        return r->kind == AVOID ? !found : found;
}

static void report_missing(const struct vmx_msrs *m, const struct requirement *r, report_fn report,
                           void *ctx)
{
        char line[160];
        const char *msr = vmx_caps_msr_name(vmx_caps_control_msr(m, r->msr));
        int first = __builtin_ctzll(r->mask);
        int last = 63 - __builtin_clzll(r->mask);

        if (first != last)
                format_text(line, sizeof line, "VT-x: missing: %s: %s bits %d and %d are 0",
                            r->name, msr, first, last);
        else
                format_text(line, sizeof line, "VT-x: missing: %s: %s bit %d is %d", r->name, msr,
                            first, r->kind == AVOID);
        report(ctx, line);
}

/* The bits of a control word that must be on from the start, from the table. */
static uint32_t required_controls(enum vmx_msr word)
{
        uint32_t bits = 0;

        for (size_t i = 0; i < ARRAY_LEN(requirements); i++)
                if (requirements[i].msr == word && requirements[i].kind == CONTROL)
                        bits |= (uint32_t)(requirements[i].mask >> 32);
        return bits;
}

static uint32_t control_word(const struct vmx_msrs *m, enum vmx_msr word, uint32_t optional)
{
        return vmx_caps_adjust(required_controls(word), optional, control_value(m, word));
}

static bool has_virtual_apic(const struct vmx_msrs *m)
{
        uint64_t cpu2 = MAY(CPU2_APIC);

        return control_value(m, VMX_CPU) & MAY(CPU_TPR_SHADOW) && (m->vmx[VMX_CPU2] & cpu2) == cpu2;
}

static void fill_in_caps(const struct vmx_msrs *m, struct vmx_caps *out)
{
        uint64_t ept_vpid = m->vmx[VMX_EPT_VPID];

        *out = (struct vmx_caps){
            .revision = (uint32_t)m->vmx[VMX_BASIC] & 0x7fffffff,
            .pin = control_word(m, VMX_PIN, 0),
            .cpu = control_word(m, VMX_CPU, CPU_MWAIT | CPU_RDPMC | CPU_MONITOR),
            .cpu2 = control_word(m, VMX_CPU2, CPU2_RDTSCP | CPU2_INVPCID),
            .exit = control_word(m, VMX_EXIT, 0),
            .entry = control_word(m, VMX_ENTRY, 0),
            .ept_1g = ept_vpid & EPT_CAP_1G,
            .ept_accessed_dirty = ept_vpid & EPT_CAP_AD,
            .save_timer = control_value(m, VMX_EXIT) & MAY(EXIT_SAVE_TIMER),
            .virtual_apic = has_virtual_apic(m),
            .invept_all = ept_vpid & EPT_CAP_INVEPT_ALL,
            .invvpid_all = ept_vpid & VPID_CAP_INVVPID_ALL,
            .timer_shift = (uint8_t)(m->vmx[VMX_MISC] & MISC_TIMER_SHIFT),
        };
        out->rdtscp = out->cpu2 & CPU2_RDTSCP;
        out->invpcid = out->cpu2 & CPU2_INVPCID;
}

int vmx_caps_check(const struct vmx_msrs *m, struct vmx_caps *out, report_fn report, void *ctx)
{
        bool missing = false;

        if (!(m->cpuid1_ecx & CPUID_1_ECX_VMX)) {
                report(ctx, "VT-x: missing: VMX: CPUID.1:ECX bit 5 is 0");
                return -ENODEV;
        }
        if ((m->feature_control & FEATURE_CONTROL_LOCK) &&
            !(m->feature_control & FEATURE_CONTROL_VMX)) {
                report(ctx, "VT-x: missing: VMX, switched off by the firmware: "
                            "IA32_FEATURE_CONTROL bit 2 is 0 and bit 0 (lock) is 1");
                missing = true;
        }
        if (!(m->cpuid_x1_edx & CPUID_X1_EDX_NX)) {
                report(ctx, "VT-x: missing: no-execute pages (NX): CPUID.80000001:EDX bit 20 is 0");
                missing = true;
        }
        for (size_t i = 0; i < ARRAY_LEN(requirements); i++) {
                const struct requirement *r = &requirements[i];

                if (!requirement_applies(m, r) || requirement_met(m, r))
                        continue;
                report_missing(m, r, report, ctx);
                missing = true;
        }
        if (missing)
                return -ENODEV;
        fill_in_caps(m, out);
        return 0;
}

static void report_other(const char *name, uint64_t first, uint64_t other, report_fn report,
                         void *ctx)
{
        char line[128];

        format_text(line, sizeof line, "VT-x: %s is 0x%lx here and 0x%lx on the first CPU", name,
                    other, first);
        report(ctx, line);
}

bool vmx_caps_same(const struct vmx_msrs *first, const struct vmx_msrs *other, report_fn report,
                   void *ctx)
{
        bool same = first->physical_bits == other->physical_bits;

        if (!same)
                report_other("the width of physical addresses", first->physical_bits,
                             other->physical_bits, report, ctx);
        for (unsigned i = 0; i < VMX_MSR_COUNT; i++) {
                enum vmx_msr msr = (enum vmx_msr)i;

                if (first->vmx[i] == other->vmx[i])
                        continue;
                report_other(vmx_caps_msr_name(msr), first->vmx[i], other->vmx[i], report, ctx);
                same = false;
        }
        return same;
}
