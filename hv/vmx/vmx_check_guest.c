/* VM-entry checks of the guest state, SDM 26.3.1; contract in vmx_check_rules.h. */
#include "hv/cpu.h"
#include "hv/regs.h"
#include "hv/vmx/vmx_check_rules.h"

#define CR4_CET (1ull << 23)

#define RFLAGS_RESERVED 0xffffffffffc08028ull

#define DEBUGCTL_BTF      (1ull << 1)
#define DEBUGCTL_RESERVED (~0xffc7ull)

#define PENDING_BS       (1ull << 14)
#define PENDING_RESERVED 0xfffffffffffeaff0ull

#define ACTIVITY_SHUTDOWN  2u
#define ACTIVITY_WAIT_SIPI 3u

#define INTERRUPTIBILITY_RESERVED 0xfffffff0u
#define PDPTE_PRESENT             1ull
#define PDPTE_RESERVED            0x1e6ull

/* Access rights, SDM table 24-2. */
#define ACCESS_TYPE(a)       ((a)&0xf)
#define ACCESS_RESERVED      0xfffe0f00u
#define ACCESS_VIRTUAL_8086  0xf3u
#define TYPE_DATA_RW         3u
#define TYPE_DATA_RW_DOWN    7u
#define TYPE_CODE            9u
#define TYPE_CODE_READ       11u
#define TYPE_CONFORMING      13u
#define TYPE_CONFORMING_READ 15u
#define TYPE_LDT             2u
#define TYPE_BUSY_TSS16      3u
#define TYPE_BUSY_TSS        11u

#define SELECTOR_TI     4u
#define SELECTOR_RPL(s) ((s)&3)

struct segment {
        const char *name;
        uint64_t selector, base;
        uint32_t limit, access;
};

struct guest {
        struct entry_check *e;
        struct segment seg[SEG_COUNT];
        uint64_t cr0, cr4, rflags, debugctl;
        bool unrestricted, long_mode, virtual_8086;
};

static void read_guest(struct guest *g, struct entry_check *e)
{
        static const char *const names[SEG_COUNT] = {"ES", "CS", "SS",   "DS",
                                                     "FS", "GS", "LDTR", "TR"};

        *g = (struct guest){
            .e = e,
            .cr0 = entry_field(e, VMCS_GUEST_CR0),
            .cr4 = entry_field(e, VMCS_GUEST_CR4),
            .rflags = entry_field(e, VMCS_GUEST_RFLAGS),
            .debugctl = entry_field(e, VMCS_GUEST_DEBUGCTL),
            .unrestricted = e->cpu2 & CPU2_UNRESTRICTED,
            .long_mode = e->entry & ENTRY_GUEST_64BIT,
        };
        g->virtual_8086 = g->rflags & RFLAGS_VM;
        for (unsigned i = 0; i < SEG_COUNT; i++) {
                unsigned step = i * VMCS_SEGMENT_STEP;

                g->seg[i].name = names[i];
                g->seg[i].selector = entry_field(e, VMCS_GUEST_ES_SEL + step);
                g->seg[i].base = entry_field(e, VMCS_GUEST_ES_BASE + step);
                g->seg[i].limit = (uint32_t)entry_field(e, VMCS_GUEST_ES_LIMIT + step);
                g->seg[i].access = (uint32_t)entry_field(e, VMCS_GUEST_ES_ACCESS + step);
        }
}

static void check_control_registers(struct guest *g)
{
        struct entry_check *e = g->e;
        uint64_t cr3 = entry_field(e, VMCS_GUEST_CR3);
        uint64_t ignored = CR0_CD | CR0_NW | (g->unrestricted ? CR0_PE | CR0_PG : 0);

        entry_fixed(e, "guest CR0", g->cr0, VMX_CR0_FIXED0, ignored);
        entry_fixed(e, "guest CR4", g->cr4, VMX_CR4_FIXED0, 0);
        entry_rule(e, !(g->cr0 & CR0_PG) || (g->cr0 & CR0_PE), "guest CR0", g->cr0,
                   "has PG (bit 31) without PE (bit 0) (SDM 26.3.1.1)");
        entry_rule(e, !(g->cr4 & CR4_CET) || (g->cr0 & CR0_WP), "guest CR4", g->cr4,
                   "has CET (bit 23) without CR0.WP (SDM 26.3.1.1)");
        if (g->long_mode) {
                entry_rule(e, g->cr0 & CR0_PG, "guest CR0", g->cr0,
                           "lacks PG (bit 31), which an IA-32e guest needs (SDM 26.3.1.1)");
                entry_rule(e, g->cr4 & CR4_PAE, "guest CR4", g->cr4,
                           "lacks PAE (bit 5), which an IA-32e guest needs (SDM 26.3.1.1)");
        } else {
                entry_rule(e, !(g->cr4 & CR4_PCIDE), "guest CR4", g->cr4,
                           "has PCIDE (bit 17) outside IA-32e mode (SDM 26.3.1.1)");
        }
        entry_bits(e, "guest CR3", cr3, cr3 & entry_beyond(e), "must be 0 (SDM 26.3.1.1)");
}

static void check_efer(struct guest *g)
{
        uint64_t efer = entry_field(g->e, VMCS_GUEST_EFER);
        bool lma = efer & EFER_LMA;

        entry_efer(g->e, "guest EFER", efer);
        entry_rule(g->e, lma == g->long_mode, "guest EFER", efer,
                   "LMA (bit 10) differs from the entry control 'IA-32e mode guest' "
                   "(SDM 26.3.1.1)");
        entry_rule(g->e, !(g->cr0 & CR0_PG) || lma == !!(efer & EFER_LME), "guest EFER", efer,
                   "LMA (bit 10) differs from LME (bit 8) while CR0.PG is 1 (SDM 26.3.1.1)");
}

static void check_msrs(struct guest *g)
{
        static const struct entry_name addresses[] = {
            {VMCS_GUEST_SYSENTER_ESP, "guest SYSENTER_ESP"},
            {VMCS_GUEST_SYSENTER_EIP, "guest SYSENTER_EIP"},
        };
        struct entry_check *e = g->e;

        if (e->entry & ENTRY_LOAD_DEBUG) {
                uint64_t dr7 = entry_field(e, VMCS_GUEST_DR7);

                entry_bits(e, "guest DEBUGCTL", g->debugctl, g->debugctl & DEBUGCTL_RESERVED,
                           "is reserved (SDM 26.3.1.1)");
                entry_bits(e, "guest DR7", dr7, dr7 >> 32 << 32, "must be 0 (SDM 26.3.1.1)");
        }
        entry_canonical(e, addresses, ARRAY_LEN(addresses), "26.3.1.1");
        if (e->entry & ENTRY_LOAD_PAT)
                entry_pat(e, "guest PAT", entry_field(e, VMCS_GUEST_PAT));
        if (e->entry & ENTRY_LOAD_EFER)
                check_efer(g);
}

static bool is_usable(const struct segment *s)
{
        return !(s->access & SEGMENT_UNUSABLE);
}

static void segment_rule(struct guest *g, bool ok, const struct segment *s, const char *rule)
{
        if (!ok)
                entry_fail(g->e,
                           "guest %s (selector 0x%lx, base 0x%lx, limit 0x%x, access 0x%x): "
                           "%s (SDM 26.3.1.2)",
                           s->name, s->selector, s->base, s->limit, s->access, rule);
}

/* Rules that every usable segment has in common. */
static void check_descriptor(struct guest *g, const struct segment *s, bool system)
{
        bool pages = s->access & ACCESS_G;

        segment_rule(g, !(s->access & ACCESS_S) == system, s,
                     system ? "S (bit 4) must be 0" : "S (bit 4) must be 1");
        segment_rule(g, s->access & ACCESS_P, s, "P (bit 7) must be 1");
        segment_rule(g, !(s->access & ACCESS_RESERVED), s, "reserved access bits must be 0");
        segment_rule(g, !pages || (s->limit & 0xfff) == 0xfff, s,
                     "G (bit 15) must be 0 with such low limit bits");
        segment_rule(g, pages || !(s->limit >> 20), s,
                     "G (bit 15) must be 1 with such high limit bits");
}

static void check_cs(struct guest *g)
{
        const struct segment *cs = &g->seg[SEG_CS];
        unsigned type = ACCESS_TYPE(cs->access);
        unsigned dpl = ACCESS_DPL(cs->access);
        unsigned ss_dpl = ACCESS_DPL(g->seg[SEG_SS].access);
        bool data = type == TYPE_DATA_RW && g->unrestricted;
        bool plain = type == TYPE_CODE || type == TYPE_CODE_READ;
        bool conforming = type == TYPE_CONFORMING || type == TYPE_CONFORMING_READ;

        check_descriptor(g, cs, false);
        segment_rule(g, data || plain || conforming, cs,
                     "type must be 9, 11, 13 or 15 (or 3 in an unrestricted guest)");
        segment_rule(g, !data || dpl == 0, cs, "DPL of a data segment as CS must be 0");
        segment_rule(g, !plain || dpl == ss_dpl, cs, "DPL must be that of SS");
        segment_rule(g, !conforming || dpl <= ss_dpl, cs, "DPL must not be above that of SS");
        segment_rule(g, !g->long_mode || !(cs->access & ACCESS_L) || !(cs->access & ACCESS_DB), cs,
                     "D/B (bit 14) must be 0 with L (bit 13) in IA-32e mode");
}

static void check_ss(struct guest *g)
{
        const struct segment *cs = &g->seg[SEG_CS];
        const struct segment *ss = &g->seg[SEG_SS];
        unsigned type = ACCESS_TYPE(ss->access);
        unsigned dpl = ACCESS_DPL(ss->access);

        if (is_usable(ss)) {
                check_descriptor(g, ss, false);
                segment_rule(g, type == TYPE_DATA_RW || type == TYPE_DATA_RW_DOWN, ss,
                             "type must be 3 or 7");
        }
        segment_rule(g, g->unrestricted || SELECTOR_RPL(ss->selector) == SELECTOR_RPL(cs->selector),
                     ss, "RPL must be that of CS");
        segment_rule(g, g->unrestricted || dpl == SELECTOR_RPL(ss->selector), ss,
                     "DPL must be the RPL");
        segment_rule(g, dpl == 0 || (ACCESS_TYPE(cs->access) != TYPE_DATA_RW && (g->cr0 & CR0_PE)),
                     ss, "DPL must be 0 in real mode or with a data segment as CS");
}

static void check_data_segment(struct guest *g, const struct segment *s)
{
        unsigned type = ACCESS_TYPE(s->access);

        if (!is_usable(s))
                return;
        check_descriptor(g, s, false);
        segment_rule(g, type & ACCESS_ACCESSED, s, "type must have the accessed bit");
        segment_rule(g, !(type & ACCESS_CODE) || (type & ACCESS_RW), s,
                     "type must not be execute-only code");
        segment_rule(g,
                     g->unrestricted || type > TYPE_CODE_READ ||
                         ACCESS_DPL(s->access) >= SELECTOR_RPL(s->selector),
                     s, "DPL must not be below the RPL");
}

static void check_system_segments(struct guest *g)
{
        const struct segment *ldtr = &g->seg[SEG_LDTR];
        const struct segment *tr = &g->seg[SEG_TR];
        unsigned type = ACCESS_TYPE(tr->access);

        check_descriptor(g, tr, true);
        segment_rule(g, is_usable(tr), tr, "must not be unusable (bit 16)");
        segment_rule(g, !(tr->selector & SELECTOR_TI), tr, "TI (selector bit 2) must be 0");
        segment_rule(g, type == TYPE_BUSY_TSS || (type == TYPE_BUSY_TSS16 && !g->long_mode), tr,
                     "type must be 11, busy TSS (or 3 outside IA-32e mode)");
        segment_rule(g, is_canonical(tr->base), tr, "base is not canonical");
        if (!is_usable(ldtr))
                return;
        check_descriptor(g, ldtr, true);
        segment_rule(g, !(ldtr->selector & SELECTOR_TI), ldtr, "TI (selector bit 2) must be 0");
        segment_rule(g, ACCESS_TYPE(ldtr->access) == TYPE_LDT, ldtr, "type must be 2, LDT");
        segment_rule(g, is_canonical(ldtr->base), ldtr, "base is not canonical");
}

static void check_segments(struct guest *g)
{
        for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
                const struct segment *s = &g->seg[i];
                bool wide = i == SEG_FS || i == SEG_GS;

                segment_rule(g, !wide || is_canonical(s->base), s, "base is not canonical");
                segment_rule(g, wide || (i != SEG_CS && !is_usable(s)) || !(s->base >> 32), s,
                             "base must be below 4 GiB");
                if (!g->virtual_8086)
                        continue;
                segment_rule(g, s->base == s->selector << 4, s,
                             "base must be the selector * 16 in virtual-8086 mode");
                segment_rule(g, s->limit == 0xffff, s, "limit must be 0xffff in virtual-8086 mode");
                segment_rule(g, s->access == ACCESS_VIRTUAL_8086, s,
                             "access must be 0xf3 in virtual-8086 mode");
        }
        check_system_segments(g);
        if (g->virtual_8086)
                return;
        check_cs(g);
        check_ss(g);
        check_data_segment(g, &g->seg[SEG_ES]);
        check_data_segment(g, &g->seg[SEG_DS]);
        check_data_segment(g, &g->seg[SEG_FS]);
        check_data_segment(g, &g->seg[SEG_GS]);
}

static void check_descriptor_tables(struct guest *g)
{
        static const struct entry_name bases[] = {
            {VMCS_GUEST_GDTR_BASE, "guest GDTR base"},
            {VMCS_GUEST_IDTR_BASE, "guest IDTR base"},
        };
        static const struct entry_name limits[] = {
            {VMCS_GUEST_GDTR_LIMIT, "guest GDTR limit"},
            {VMCS_GUEST_IDTR_LIMIT, "guest IDTR limit"},
        };

        entry_canonical(g->e, bases, ARRAY_LEN(bases), "26.3.1.3");
        for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
                uint64_t limit = entry_field(g->e, limits[i].field);

                entry_bits(g->e, limits[i].name, limit, limit & ~0xffffull,
                           "must be 0 (SDM 26.3.1.3)");
        }
}

static void check_rip_and_rflags(struct guest *g)
{
        struct entry_check *e = g->e;
        uint64_t rip = entry_field(e, VMCS_GUEST_RIP);
        uint64_t top = rip >> 48;

        if (g->long_mode && (g->seg[SEG_CS].access & ACCESS_L))
                entry_rule(e, top == 0 || top == 0xffff, "guest RIP", rip,
                           "has bits 63:48 that are not all the same (SDM 26.3.1.4)");
        else
                entry_rule(e, !(rip >> 32), "guest RIP", rip,
                           "is not below 4 GiB outside 64-bit mode (SDM 26.3.1.4)");

        entry_bits(e, "guest RFLAGS", g->rflags, g->rflags & RFLAGS_RESERVED,
                   "must be 0 (SDM 26.3.1.4)");
        entry_bits(e, "guest RFLAGS", g->rflags, ~g->rflags & RFLAGS_FIXED,
                   "must be 1 (SDM 26.3.1.4)");
        entry_rule(e, !g->virtual_8086 || (!g->long_mode && (g->cr0 & CR0_PE)), "guest RFLAGS",
                   g->rflags, "has VM (bit 17) in IA-32e or real mode (SDM 26.3.1.4)");
        entry_rule(e,
                   !e->inject || INTR_TYPE(e->inject) != INTR_EXTERNAL || (g->rflags & RFLAGS_IF),
                   "guest RFLAGS", g->rflags,
                   "lacks IF (bit 9) while an external interrupt is injected (SDM 26.3.1.4)");
}

/* Whether an event may be injected into an inactive CPU. */
static bool activity_allows(uint64_t activity, uint32_t inject)
{
        unsigned type = INTR_TYPE(inject);
        unsigned vector = inject & 0xff;
        bool machine_check = type == INTR_EXCEPTION && vector == VECTOR_MC;

        if (activity == ACTIVITY_HLT)
                return type == INTR_EXTERNAL || type == INTR_NMI || machine_check ||
                       (type == INTR_EXCEPTION && vector == 1) ||
                       (type == INTR_OTHER && vector == 0);
        if (activity == ACTIVITY_SHUTDOWN)
                return type == INTR_NMI || machine_check;
        return activity == ACTIVITY_ACTIVE;
}

static void check_activity(struct guest *g, uint64_t activity, uint64_t blocked)
{
        struct entry_check *e = g->e;
        /* IA32_VMX_MISC bits 6 to 8 tell of the states 1 to 3. */
        uint64_t states = (e->from->msrs->vmx[VMX_MISC] >> 6 & 7) << 1 | 1u << ACTIVITY_ACTIVE;

        entry_rule(e, activity <= ACTIVITY_WAIT_SIPI && (states >> activity & 1),
                   "guest activity state", activity,
                   "is not supported (IA32_VMX_MISC bits 8:6; SDM 26.3.1.5)");
        entry_rule(e, activity != ACTIVITY_HLT || !ACCESS_DPL(g->seg[SEG_SS].access),
                   "guest activity state", activity,
                   "is HLT while the DPL of SS is not 0 (SDM 26.3.1.5)");
        entry_rule(e,
                   activity == ACTIVITY_ACTIVE || !(blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)),
                   "guest activity state", activity,
                   "is not active while STI or MOV SS blocks events (SDM 26.3.1.5)");
        entry_rule(e, !e->inject || activity_allows(activity, e->inject), "guest activity state",
                   activity, "does not allow the event that is injected (SDM 26.3.1.5)");
}

static void check_interruptibility(struct guest *g, uint64_t blocked)
{
        static const char name[] = "guest interruptibility state";
        struct entry_check *e = g->e;
        bool sti = blocked & BLOCKED_BY_STI;
        bool mov_ss = blocked & BLOCKED_BY_MOV_SS;
        bool irq = e->inject && INTR_TYPE(e->inject) == INTR_EXTERNAL;
        bool nmi = e->inject && INTR_TYPE(e->inject) == INTR_NMI;

        entry_bits(e, name, blocked, blocked & INTERRUPTIBILITY_RESERVED,
                   "must be 0 (SDM 26.3.1.5)");
        entry_bits(e, name, blocked, blocked & BLOCKED_BY_SMI,
                   "(blocking by SMI) must be 0 outside SMM (SDM 26.3.1.5)");
        entry_rule(e, !sti || !mov_ss, name, blocked,
                   "has blocking by both STI and MOV SS (SDM 26.3.1.5)");
        entry_rule(e, !sti || (g->rflags & RFLAGS_IF), name, blocked,
                   "has blocking by STI while RFLAGS.IF is 0 (SDM 26.3.1.5)");
        entry_rule(e, !irq || (!sti && !mov_ss), name, blocked,
                   "blocks the external interrupt that is injected (SDM 26.3.1.5)");
        entry_rule(e, !nmi || (!sti && !mov_ss), name, blocked,
                   "blocks the NMI that is injected (SDM 26.3.1.5)");
        entry_rule(e, !nmi || !(e->pin & PIN_VIRTUAL_NMI) || !(blocked & BLOCKED_BY_NMI), name,
                   blocked, "has blocking by NMI while an NMI is injected (SDM 26.3.1.5)");
}

static void check_pending_debug(struct guest *g, uint64_t activity, uint64_t blocked)
{
        struct entry_check *e = g->e;
        uint64_t pending = entry_field(e, VMCS_GUEST_PENDING_DEBUG);
        bool stepping = (g->rflags & RFLAGS_TF) && !(g->debugctl & DEBUGCTL_BTF);
        bool held = (blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) || activity == ACTIVITY_HLT;

        entry_bits(e, "guest pending debug exceptions", pending, pending & PENDING_RESERVED,
                   "must be 0 (SDM 26.3.1.5)");
        entry_rule(e, !held || !!(pending & PENDING_BS) == stepping,
                   "guest pending debug exceptions", pending,
                   stepping ? "lacks BS (bit 14) of a single step (SDM 26.3.1.5)"
                            : "has BS (bit 14) without a single step (SDM 26.3.1.5)");
}

static void check_link_pointer(struct guest *g)
{
        uint64_t link = entry_field(g->e, VMCS_LINK_POINTER);

        if (link != ~0ull)
                entry_bits(g->e, "VMCS link pointer", link, link & (0xfff | entry_beyond(g->e)),
                           "must be 0 unless all are 1 (SDM 26.3.1.5)");
}

/* With EPT the entries of PAE paging come from the VMCS, not from memory. */
static void check_pdptes(struct guest *g)
{
        static const char *const names[] = {"guest PDPTE0", "guest PDPTE1", "guest PDPTE2",
                                            "guest PDPTE3"};
        bool pae = (g->cr0 & CR0_PG) && (g->cr4 & CR4_PAE) && !g->long_mode;

        if (!pae || !(g->e->cpu2 & CPU2_EPT))
                return;
        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
                uint64_t pdpte = entry_field(g->e, VMCS_GUEST_PDPTE0 + 2 * i);

                if (pdpte & PDPTE_PRESENT)
                        entry_bits(g->e, names[i], pdpte,
                                   pdpte & (PDPTE_RESERVED | entry_beyond(g->e)),
                                   "must be 0 (SDM 26.3.1.6)");
        }
}

void vmx_check_guest(struct entry_check *e)
{
        struct guest g;
        uint64_t activity = entry_field(e, VMCS_GUEST_ACTIVITY);
        uint64_t blocked = entry_field(e, VMCS_GUEST_INTERRUPTIBILITY);

        read_guest(&g, e);
        check_control_registers(&g);
        check_msrs(&g);
        check_segments(&g);
        check_descriptor_tables(&g);
        check_rip_and_rflags(&g);
        check_activity(&g, activity, blocked);
        check_interruptibility(&g, blocked);
        check_pending_debug(&g, activity, blocked);
        check_link_pointer(&g);
        check_pdptes(&g);
}
