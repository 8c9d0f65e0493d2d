/* What the rules of VM entry are told with; contract in vmx_check_rules.h. */
#include "hv/vmx/vmx_check_rules.h"

#include <stdarg.h>

#include "hv/cpu.h"
#include "hv/lib/format.h"

uint64_t vmx_check_read(const struct entry_check *e, enum vmcs_field field)
{
        return e->from->read(e->from->read_ctx, field);
}

void vmx_check_fail(struct entry_check *e, const char *fmt, ...)
{
        char line[224];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(line, sizeof line, fmt, ap);
        va_end(ap);
        e->failed++;
        e->from->report(e->from->report_ctx, line);
}

void vmx_check_rule(struct entry_check *e, bool ok, const char *name, uint64_t value,
                    const char *rule)
{
        if (!ok)
                vmx_check_fail(e, "%s 0x%llx %s", name, (unsigned long long)value, rule);
}

void vmx_check_bits(struct entry_check *e, const char *name, uint64_t value, uint64_t wrong,
                    const char *rule)
{
        if (!wrong)
                return;
        if (wrong & (wrong - 1))
                vmx_check_fail(e, "%s 0x%llx: bits 0x%llx %s", name, (unsigned long long)value,
                               (unsigned long long)wrong, rule);
        else
                vmx_check_fail(e, "%s 0x%llx: bit %d %s", name, (unsigned long long)value,
                               __builtin_ctzll(wrong), rule);
}

void vmx_check_fixed(struct entry_check *e, const char *name, uint64_t value, enum vmx_msr fixed0,
                     uint64_t ignored)
{
        const uint64_t *msr = e->from->msrs->vmx;
        enum vmx_msr fixed1 = (enum vmx_msr)(fixed0 + 1);
        char rule[64];

        format_text(rule, sizeof rule, "must be 1 (%s; SDM A.7, A.8)", vmx_caps_msr_name(fixed0));
        vmx_check_bits(e, name, value, msr[fixed0] & ~value & ~ignored, rule);
        format_text(rule, sizeof rule, "must be 0 (%s; SDM A.7, A.8)", vmx_caps_msr_name(fixed1));
        vmx_check_bits(e, name, value, value & ~msr[fixed1] & ~ignored, rule);
}

void vmx_check_canonical(struct entry_check *e, const struct vmx_check_field *fields, size_t n,
                         const char *section)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t v = vmx_check_read(e, fields[i].field);

                if (!vmx_check_is_canonical(v))
                        vmx_check_fail(e, "%s 0x%llx is not canonical (SDM %s)", fields[i].name,
                                       (unsigned long long)v, section);
        }
}

void vmx_check_pat(struct entry_check *e, const char *name, uint64_t value)
{
        for (unsigned i = 0; i < 8; i++) {
                unsigned type = value >> (8 * i) & 0xff;

                if (type > 7 || type == 2 || type == 3)
                        vmx_check_fail(e, "%s 0x%llx: byte %u is no memory type (SDM 11.12.2)",
                                       name, (unsigned long long)value, i);
        }
}

void vmx_check_efer_reserved(struct entry_check *e, const char *name, uint64_t value)
{
        vmx_check_bits(e, name, value, value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE),
                       "is reserved (SDM 2.2.1)");
}

uint64_t vmx_check_beyond_physical(const struct entry_check *e)
{
        return ~0ull << e->from->msrs->physical_bits;
}
