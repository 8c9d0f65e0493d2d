/* The consistency checks of VMRUN; contract in svm_check.h. */
#include "hv/svm/svm_check.h"

#include "hv/cpu.h"
#include "hv/lib/format.h"

#define HIGH(x)      ((x) >> 32)
#define CR3_RESERVED 0xfff0000000000000ull
#define EVENT_TYPE_1 1u
#define EVENT_TYPE_5 5u

struct check {
        report_fn report;
        void *ctx;
        unsigned failed;
};

static void rule(struct check *c, bool holds, const char *text, uint64_t value)
{
        char line[120];

        if (holds)
                return;
        format_text(line, sizeof line, "%s: 0x%lx", text, value);
        c->report(c->ctx, line);
        c->failed++;
}

static void check_registers(struct check *c, const struct vmcb *v)
{
        rule(c, v->efer & EFER_SVME, "EFER.SVME is 0", v->efer);
        rule(c, !(v->cr0 & CR0_NW) || v->cr0 & CR0_CD, "CR0.NW is 1 and CR0.CD 0", v->cr0);
        rule(c, !HIGH(v->cr0), "CR0 bits 63:32 are not 0", v->cr0);
        rule(c, !(v->cr3 & CR3_RESERVED), "CR3 has reserved bits", v->cr3);
        rule(c, !HIGH(v->dr6), "DR6 bits 63:32 are not 0", v->dr6);
        rule(c, !HIGH(v->dr7), "DR7 bits 63:32 are not 0", v->dr7);
}

static void check_modes(struct check *c, const struct vmcb *v)
{
        bool long_paging = v->efer & EFER_LME && v->cr0 & CR0_PG;

        rule(c, !long_paging || v->cr4 & CR4_PAE, "long mode without CR4.PAE", v->cr4);
        rule(c, !long_paging || v->cr0 & CR0_PE, "long mode without CR0.PE", v->cr0);
        rule(c, !long_paging || !(v->cs.attrib & ATTRIB_L) || !(v->cs.attrib & ATTRIB_D),
             "64-bit code segment with CS.D", v->cs.attrib);
}

static void check_controls(struct check *c, const struct vmcb *v)
{
        uint64_t type = EVENT_TYPE(v->event);

        rule(c, v->intercept2 & INTERCEPT2_VMRUN, "VMRUN is not intercepted", v->intercept2);
        rule(c, v->asid, "ASID is 0", v->asid);
        rule(c, is_aligned(v->nested_cr3, PAGE_4K), "nested CR3 is not the address of a frame",
             v->nested_cr3);
        rule(c, !(v->event & EVENT_VALID) || (type != EVENT_TYPE_1 && type < EVENT_TYPE_5),
             "EVENTINJ has a reserved type", v->event);
}

unsigned svm_check_entry(const struct vmcb *vmcb, report_fn report, void *ctx)
{
        struct check c = {.report = report, .ctx = ctx};

        check_registers(&c, vmcb);
        check_modes(&c, vmcb);
        check_controls(&c, vmcb);
        return c.failed;
}
