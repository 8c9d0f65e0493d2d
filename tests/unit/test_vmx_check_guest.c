/* VM-entry checks of the guest state: each thing broken alone gives its one finding. */
#include "tests/unit/vmcs_fixture.h"

static void test_guest_registers(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_GUEST_CR0, 0x80050013, "guest CR0 0x80050013: bit 5 must be 1"),
            ONE(VMCS_GUEST_CR0, 0x180050033, "guest CR0 0x180050033: bit 32 must be 0"),
            ONE(VMCS_GUEST_CR0, 0x80050032, "has PG (bit 31) without PE"),
            ONE(VMCS_GUEST_CR0, 0x00050033, "lacks PG (bit 31)"),
            ONE(VMCS_GUEST_CR4, 0x6a0, "guest CR4 0x6a0: bit 13 must be 1 (IA32_VMX_CR4_FIXED0"),
            ONE(VMCS_GUEST_CR4, 0x4026a0, "guest CR4 0x4026a0: bit 22 must be 0"),
            ONE(VMCS_GUEST_CR4, 0x2680, "lacks PAE (bit 5)"),
            TWO(VMCS_GUEST_CR4, 0x8026a0, "CET (bit 23) without CR0.WP", VMCS_GUEST_CR0,
                0x80040033),
            ONE(VMCS_GUEST_CR3, 1ull << 39, "guest CR3 0x8000000000: bit 39"),
            ONE(VMCS_GUEST_DEBUGCTL, 0x10000, "guest DEBUGCTL 0x10000: bit 16 is reserved"),
            ONE(VMCS_GUEST_DR7, 1ull << 32, "guest DR7"),
            ONE(VMCS_GUEST_SYSENTER_ESP, 1ull << 47, "guest SYSENTER_ESP"),
            ONE(VMCS_GUEST_SYSENTER_EIP, 1ull << 47, "guest SYSENTER_EIP"),
            ONE(VMCS_GUEST_PAT, 8, "guest PAT 0x8: byte 0"),
            ONE(VMCS_GUEST_EFER, 0xd81, "guest EFER 0xd81: bit 7 is reserved"),
            ONE(VMCS_GUEST_EFER, 0xc01, "LMA (bit 10) differs from LME"),
            ONE(VMCS_GUEST_EFER, 0x801, "LMA (bit 10) differs from the entry control"),
            ONE(VMCS_GUEST_GDTR_BASE, 1ull << 47, "guest GDTR base"),
            ONE(VMCS_GUEST_IDTR_BASE, 1ull << 47, "guest IDTR base"),
            ONE(VMCS_GUEST_GDTR_LIMIT, 0x1007f, "guest GDTR limit"),
            ONE(VMCS_GUEST_IDTR_LIMIT, 0x10fff, "guest IDTR limit"),
            ONE(VMCS_GUEST_RIP, 1ull << 48, "guest RIP 0x1000000000000 has bits 63:48"),
            TWO(VMCS_GUEST_RIP, 1ull << 40, "is not below 4 GiB", SEG(VMCS_GUEST_ES_ACCESS, CS),
                0xc09b),
            ONE(VMCS_GUEST_RFLAGS, 0x244, "guest RFLAGS 0x244: bit 1 must be 1"),
            ONE(VMCS_GUEST_RFLAGS, 0x40024e, "guest RFLAGS 0x40024e: bits 0x400008 must be 0"),
            TWO(VMCS_GUEST_RFLAGS, 0x46, "lacks IF (bit 9)", VMCS_ENTRY_INTERRUPTION, 0x80000020),
        };

        check_broken(set_sound, cases, ARRAY_LEN(cases));
        /* The CPU leaves bit 47 alone: the guest itself takes the fault. */
        set_sound();
        set(VMCS_GUEST_RIP, 1ull << 47);
        CHECK_EQ(check_entry(), 0);
}

static void test_real_mode(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_GUEST_CR4, 0x22000, "PCIDE (bit 17) outside IA-32e mode"),
            ONE(VMCS_GUEST_RIP, 1ull << 32, "guest RIP 0x100000000 is not below 4 GiB"),
            TWO(SEG(VMCS_GUEST_ES_ACCESS, SS), 0xf3, "DPL must be 0 in real mode",
                SEG(VMCS_GUEST_ES_ACCESS, CS), 0x9f),
            ONE(SEG(VMCS_GUEST_ES_BASE, DS), 1ull << 32, "base must be below 4 GiB"),
            ONE(SEG(VMCS_GUEST_ES_BASE, CS), 1ull << 32, "base must be below 4 GiB"),
            ONE(VMCS_CPU_CONTROLS2, 0x106a, "guest CR0 0x30: bits 0x80000001 must be 1"),
        };

        check_broken(set_real_mode, cases, ARRAY_LEN(cases));
        /* A data segment as CS is what an unrestricted real-mode guest may have. */
        set_real_mode();
        set(SEG(VMCS_GUEST_ES_ACCESS, CS), 0x93);
        CHECK_EQ(check_entry(), 0);
}

static void test_virtual_8086(void)
{
        static const struct broken cases[] = {
            ONE(SEG(VMCS_GUEST_ES_BASE, GS), 0x10010, "base must be the selector * 16"),
            ONE(SEG(VMCS_GUEST_ES_LIMIT, CS), 0x1ffff, "limit must be 0xffff"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, SS), 0x93, "access must be 0xf3"),
            ONE(VMCS_GUEST_CR0, 0x30, "has VM (bit 17) in IA-32e or real mode"),
        };

        check_broken(set_virtual_8086, cases, ARRAY_LEN(cases));
}

static void test_segments(void)
{
        static const struct broken cases[] = {
            TWO(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa093,
                "CS (selector 0x10, base 0x0, limit "
                "0xffffffff, access 0xa093): type must",
                VMCS_CPU_CONTROLS2, 0x106a),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa091, "type must be 9, 11, 13 or 15"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa0f3, "DPL of a data segment as CS"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa0fb, "DPL must be that of SS"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa0fd, "DPL must not be above that of SS"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xe09b, "D/B (bit 14) must be 0"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa08b, "S (bit 4) must be 1"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa01b, "P (bit 7) must be 1"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa19b, "reserved access bits"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, CS), 0x209b, "G (bit 15) must be 1"),
            ONE(SEG(VMCS_GUEST_ES_LIMIT, CS), 0xffff0ffe, "G (bit 15) must be 0"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, SS), 0xc091,
                "SS (selector 0x18, base 0x0, limit "
                "0xffffffff, access 0xc091): type must be"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, SS), 0xc013, "P (bit 7) must be 1"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, DS), 0xc092, "must have the accessed bit"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, ES), 0xc099, "must not be execute-only code"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, GS), 0xc083, "S (bit 4) must be 1"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, FS), 0xc013, "guest FS"),
            ONE(SEG(VMCS_GUEST_ES_BASE, FS), 1ull << 47,
                "guest FS (selector 0x0, base "
                "0x800000000000"),
            ONE(SEG(VMCS_GUEST_ES_BASE, GS), 1ull << 47, "base is not canonical"),
            ONE(SEG(VMCS_GUEST_ES_SEL, TR), 0x44, "TI (selector bit 2) must be 0"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, TR), 0x89, "type must be 11, busy TSS"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, TR), 0x83, "type must be 11, busy TSS"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, TR), 0x9b, "S (bit 4) must be 0"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, TR), 0x1008b, "must not be unusable"),
            ONE(SEG(VMCS_GUEST_ES_BASE, TR), 1ull << 47, "guest TR"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, LDTR), 0x92, "S (bit 4) must be 0"),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, LDTR), 0x83, "type must be 2, LDT"),
            TWO(SEG(VMCS_GUEST_ES_ACCESS, LDTR), 0x82, "guest LDTR (selector 0x4",
                SEG(VMCS_GUEST_ES_SEL, LDTR), 4),
            TWO(SEG(VMCS_GUEST_ES_ACCESS, LDTR), 0x82, "base is not canonical",
                SEG(VMCS_GUEST_ES_BASE, LDTR), 1ull << 47),
        };
        static const struct broken restricted[] = {
            ONE(SEG(VMCS_GUEST_ES_SEL, CS), 0xb, "RPL must be that of CS"),
            TWO(SEG(VMCS_GUEST_ES_SEL, SS), 0x13, "DPL must be the RPL", SEG(VMCS_GUEST_ES_SEL, CS),
                0xb),
            ONE(SEG(VMCS_GUEST_ES_SEL, ES), 0x13, "DPL must not be below the RPL"),
        };

        check_broken(set_sound, cases, ARRAY_LEN(cases));
        check_broken(set_restricted, restricted, ARRAY_LEN(restricted));
        /* An unusable data segment may hold anything in its access rights. */
        set_sound();
        set(SEG(VMCS_GUEST_ES_ACCESS, DS), 0x1ff00);
        set(SEG(VMCS_GUEST_ES_BASE, DS), ~0ull);
        CHECK_EQ(check_entry(), 0);
}

static void test_non_register_state(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_GUEST_ACTIVITY, 3, "guest activity state 0x3 is not supported"),
            ONE(VMCS_GUEST_ACTIVITY, 4, "guest activity state 0x4 is not supported"),
            TWO(VMCS_GUEST_ACTIVITY, 1, "is not active while STI or MOV SS",
                VMCS_GUEST_INTERRUPTIBILITY, 1),
            TWO(VMCS_GUEST_ACTIVITY, 1, "does not allow the event", VMCS_ENTRY_INTERRUPTION,
                0x80000306),
            TWO(VMCS_GUEST_ACTIVITY, 2, "does not allow the event", VMCS_ENTRY_INTERRUPTION,
                0x80000020),
            ONE(VMCS_GUEST_INTERRUPTIBILITY, 0x20, "interruptibility state 0x20: bit 5"),
            ONE(VMCS_GUEST_INTERRUPTIBILITY, 4, "blocking by SMI"),
            ONE(VMCS_GUEST_INTERRUPTIBILITY, 3, "both STI and MOV SS"),
            TWO(VMCS_GUEST_INTERRUPTIBILITY, 1, "while RFLAGS.IF is 0", VMCS_GUEST_RFLAGS, 0x46),
            TWO(VMCS_GUEST_INTERRUPTIBILITY, 1, "blocks the external interrupt",
                VMCS_ENTRY_INTERRUPTION, 0x80000020),
            TWO(VMCS_GUEST_INTERRUPTIBILITY, 2, "blocks the NMI", VMCS_ENTRY_INTERRUPTION,
                0x80000202),
            TWO(VMCS_GUEST_INTERRUPTIBILITY, 8, "blocking by NMI while an NMI",
                VMCS_ENTRY_INTERRUPTION, 0x80000202),
            ONE(VMCS_GUEST_PENDING_DEBUG, 0x2000, "debug exceptions 0x2000: bit 13"),
            TWO(VMCS_GUEST_PENDING_DEBUG, 0x4000, "has BS (bit 14) without", VMCS_GUEST_ACTIVITY,
                1),
            TWO(VMCS_GUEST_RFLAGS, 0x346, "lacks BS (bit 14)", VMCS_GUEST_ACTIVITY, 1),
            ONE(VMCS_LINK_POINTER, 0x1800, "VMCS link pointer 0x1800: bit 11"),
        };
        static const struct broken pae[] = {
            ONE(VMCS_GUEST_PDPTE0, 0x3003, "guest PDPTE0 0x3003: bit 1 must be 0"),
            ONE(VMCS_GUEST_PDPTE0 + 6, 0x8000003001, "guest PDPTE3 0x8000003001: bit 39"),
        };

        check_broken(set_sound, cases, ARRAY_LEN(cases));
        check_broken(set_pae, pae, ARRAY_LEN(pae));
        set_sound();
        set(SEG(VMCS_GUEST_ES_ACCESS, SS), 0xc0f3);
        set(SEG(VMCS_GUEST_ES_ACCESS, CS), 0xa0fb);
        set(VMCS_GUEST_ACTIVITY, 1);
        CHECK_EQ(check_entry(), 1);
        CHECK(strstr(lines[0], "DPL of SS is not 0"));
        set_sound();
        set(VMCS_GUEST_RFLAGS, 0x346);
        set(VMCS_GUEST_PENDING_DEBUG, 0x4000);
        set(VMCS_GUEST_ACTIVITY, 1);
        CHECK_EQ(check_entry(), 0);
        /* Stepping by branches (DEBUGCTL.BTF) is no single step. */
        set(VMCS_GUEST_DEBUGCTL, 2);
        CHECK_EQ(check_entry(), 1);
        CHECK(strstr(lines[0], "has BS (bit 14) without"));
}

/* What looks odd and is allowed. */
static void test_sound_variations(void)
{
        static const struct broken long_mode[] = {
            TWO(VMCS_GUEST_RFLAGS, 0x346, NULL, VMCS_GUEST_PENDING_DEBUG, 0),
            TWO(VMCS_GUEST_RFLAGS, 0x246, NULL, VMCS_GUEST_PENDING_DEBUG, 0x4000),
            TWO(VMCS_GUEST_ACTIVITY, 1, NULL, VMCS_ENTRY_INTERRUPTION, 0x80000020),
            TWO(VMCS_GUEST_ACTIVITY, 1, NULL, VMCS_ENTRY_INTERRUPTION, 0x80000301),
            TWO(VMCS_GUEST_ACTIVITY, 1, NULL, VMCS_ENTRY_INTERRUPTION, 0x80000700),
            TWO(VMCS_GUEST_ACTIVITY, 2, NULL, VMCS_ENTRY_INTERRUPTION, 0x80000202),
            TWO(VMCS_GUEST_ACTIVITY, 2, NULL, VMCS_ENTRY_INTERRUPTION, 0x80000312),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, SS), 0x10000, NULL),
            ONE(VMCS_LINK_POINTER, 0x7000, NULL),
        };
        static const struct broken restricted[] = {
            TWO(SEG(VMCS_GUEST_ES_ACCESS, ES), 0x9f, NULL, SEG(VMCS_GUEST_ES_SEL, ES), 3),
            ONE(SEG(VMCS_GUEST_ES_ACCESS, TR), 0x83, NULL),
            ONE(VMCS_GUEST_PDPTE0, 0x3006, NULL),
        };
        static const struct broken real_mode[] = {
            ONE(VMCS_GUEST_EFER, 0x100, NULL), /* LME waits for paging */
        };
        static const struct broken no_caching[] = {
            ONE(VMCS_GUEST_CR0, 0xe0050033, NULL),
        };

        check_sound(set_sound, long_mode, ARRAY_LEN(long_mode));
        check_sound(set_restricted, restricted, ARRAY_LEN(restricted));
        check_sound(set_real_mode, real_mode, ARRAY_LEN(real_mode));
        msrs.vmx[VMX_CR0_FIXED1] &= ~0x60000000ull;
        check_sound(set_sound, no_caching, ARRAY_LEN(no_caching));
        msrs = haswell_msrs;
}

int main(void)
{
        RUN(test_guest_registers);
        RUN(test_real_mode);
        RUN(test_virtual_8086);
        RUN(test_segments);
        RUN(test_non_register_state);
        RUN(test_sound_variations);
        return unit_done();
}
