/* What the rules of VM entry are told with; contract in vmx_check_rules.h. */
#include "hv/vmx/vmx_check_rules.h"

#include <stdarg.h>

#include "hv/cpu.h"
#include "hv/lib/format.h"

uint64_t entry_field(const struct entry_check *e, enum vmcs_field field)
{
        return e->from->read(e->from->read_ctx, field);
}

void entry_fail(struct entry_check *e, const char *fmt, ...)
{
        char line[224];
        va_list ap;

        va_start(ap, fmt);
        format_text_v(line, sizeof line, fmt, ap);
        va_end(ap);
        e->failed++;
        e->from->report(e->from->report_ctx, line);
}

void entry_rule(struct entry_check *e, bool ok, const char *name, uint64_t value, const char *rule)
{
        if (!ok)
                entry_fail(e, "%s 0x%lx %s", name, value, rule);
}

void entry_bits(struct entry_check *e, const char *name, uint64_t value, uint64_t wrong,
                const char *rule)
{
        if (!wrong)
                return;
        if (wrong & (wrong - 1))
                entry_fail(e, "%s 0x%lx: bits 0x%lx %s", name, value, wrong, rule);
        else
                entry_fail(e, "%s 0x%lx: bit %d %s", name, value, __builtin_ctzll(wrong), rule);
}

void entry_fixed(struct entry_check *e, const char *name, uint64_t value, enum vmx_msr fixed0,
                 uint64_t ignored)
{
        const uint64_t *msr = e->from->msrs->vmx;
        enum vmx_msr fixed1 = (enum vmx_msr)(fixed0 + 1);
        char rule[64];

        format_text(rule, sizeof rule, "must be 1 (%s; SDM A.7, A.8)", vmx_caps_msr_name(fixed0));
        entry_bits(e, name, value, msr[fixed0] & ~value & ~ignored, rule);
        format_text(rule, sizeof rule, "must be 0 (%s; SDM A.7, A.8)", vmx_caps_msr_name(fixed1));
        entry_bits(e, name, value, value & ~msr[fixed1] & ~ignored, rule);
}

void entry_canonical(struct entry_check *e, const struct entry_name *fields, size_t n,
                     const char *section)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t v = entry_field(e, fields[i].field);

                if (!is_canonical(v))
                        entry_fail(e, "%s 0x%lx is not canonical (SDM %s)", fields[i].name, v,
                                   section);
        }
}

void entry_pat(struct entry_check *e, const char *name, uint64_t value)
{
        for (unsigned i = 0; i < 8; i++) {
                unsigned type = value >> (8 * i) & 0xff;

                if (type > 7 || type == 2 || type == 3)
                        entry_fail(e, "%s 0x%lx: byte %u is no memory type (SDM 11.12.2)", name,
                                   value, i);
        }
}

void entry_efer(struct entry_check *e, const char *name, uint64_t value)
{
        entry_bits(e, name, value, value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE),
                   "is reserved (SDM 2.2.1)");
}

uint64_t entry_beyond(const struct entry_check *e)
{
        return ~0ull << e->from->msrs->physical_bits;
}
