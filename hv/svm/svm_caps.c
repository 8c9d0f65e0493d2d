/* The SVM features that the hypervisor cannot do without; contract in svm_caps.h. */
#include "hv/svm/svm_caps.h"

#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/format.h"

#define XA_EDX_NP            (1u << 0)
#define XA_EDX_NEXT_RIP      (1u << 3)
#define XA_EDX_FLUSH_BY_ASID (1u << 6)
#define XA_EDX_DECODE        (1u << 7)
#define ASIDS_MIN            2u

int svm_caps_check(const struct svm_features *f, struct svm_caps *out, report_fn report, void *ctx)
{
        const struct {
                bool missing;
                const char *text;
        } needs[] = {
            {f->vm_cr & VM_CR_SVMDIS && f->vm_cr & VM_CR_LOCK,
             "SVM: missing: SVM, switched off by the firmware: VM_CR bit 4 (SVMDIS) is 1 and bit 3 "
             "(LOCK) is 1"},
            {!(f->xa_edx & XA_EDX_NP),
             "SVM: missing: nested paging (NPT): CPUID.8000000A:EDX bit 0 is 0"},
            {!(f->x1_edx & CPUID_X1_EDX_NX),
             "SVM: missing: no-execute pages (NX): CPUID.80000001:EDX bit 20 is 0"},
            {f->asids < ASIDS_MIN,
             "SVM: missing: address space identifiers (ASID): CPUID.8000000A:EBX is below 2"},
        };
        bool missing = false;
        if (!(f->x1_ecx & CPUID_X1_ECX_SVM)) {
                report(ctx, "SVM: missing: SVM: CPUID.80000001:ECX bit 2 is 0");
                return -ENODEV;
        }
        for (size_t i = 0; i < ARRAY_LEN(needs); i++)
                if (needs[i].missing) {
                        report(ctx, needs[i].text);
                        missing = true;
                }
        if (missing)
                return -ENODEV;
        *out = (struct svm_caps){
            .asids = f->asids,
            .page_1g = f->x1_edx & CPUID_X1_EDX_1G,
            .rdtscp = f->x1_edx & CPUID_X1_EDX_RDTSCP,
            .next_rip = f->xa_edx & XA_EDX_NEXT_RIP,
            .decode_assists = f->xa_edx & XA_EDX_DECODE,
            .flush_by_asid = f->xa_edx & XA_EDX_FLUSH_BY_ASID,
        };
        return 0;
}

static bool is_same(const char *name, uint32_t first, uint32_t other, report_fn report, void *ctx)
{
        char line[128];

        if (first == other)
                return true;
        format_text(line, sizeof line, "SVM: CPUID.%s is 0x%x here and 0x%x on the first CPU", name,
                    other, first);
        report(ctx, line);
        return false;
}

bool svm_caps_same(const struct svm_features *first, const struct svm_features *other,
                   report_fn report, void *ctx)
{
        bool same = is_same("80000001:ECX", first->x1_ecx, other->x1_ecx, report, ctx);

        same &= is_same("80000001:EDX", first->x1_edx, other->x1_edx, report, ctx);
        same &= is_same("8000000A:EBX", first->asids, other->asids, report, ctx);
        return same & is_same("8000000A:EDX", first->xa_edx, other->xa_edx, report, ctx);
}
