/* VM-entry checks of controls and host state: each thing broken alone gives its one finding. */
#include "tests/unit/vmcs_fixture.h"

static void test_controls(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_PIN_CONTROLS, 0x3d,
                "pin-based controls 0x3d: bit 1 must be 1 "
                "(IA32_VMX_TRUE_PINBASED_CTLS"),
            ONE(VMCS_PIN_CONTROLS, 0xbf, "pin-based controls 0xbf: bit 7 must be 0"),
            ONE(VMCS_CPU_CONTROLS, 0xb5186df0, "primary controls 0xb5186df0: bit 1 must be 1"),
            ONE(VMCS_CPU_CONTROLS, 0xb51a6df2, "primary controls 0xb51a6df2: bit 17 must be 0"),
            ONE(VMCS_CPU_CONTROLS2, 0x90ea, "secondary controls 0x90ea: bit 15 must be 0"),
            ONE(VMCS_EXIT_CONTROLS, 0xbfefff, "exit controls 0xbfefff: bit 23 must be 0"),
            ONE(VMCS_ENTRY_CONTROLS, 0x1d3ff, "entry controls 0x1d3ff: bit 16 must be 0"),
            ONE(VMCS_PIN_CONTROLS, 0x37, "virtual NMIs without NMI exiting"),
            TWO(VMCS_CPU_CONTROLS, 0xb5586df2, "NMI-window exiting without virtual NMIs",
                VMCS_PIN_CONTROLS, 0x1f),
            ONE(VMCS_CPU_CONTROLS2, 0x10e8, "unrestricted guest without EPT"),
            ONE(VMCS_EXIT_CONTROLS, 0x7fefff, "save the preemption timer"),
            ONE(VMCS_ENTRY_CONTROLS, 0xd7ff, "entry controls 0xd7ff: bit 10 must be 0 outside"),
            ONE(VMCS_CR3_TARGET_COUNT, 5, "CR3-target count 0x5 is above"),
            ONE(VMCS_MSR_BITMAP, 0x5800, "MSR-bitmap address 0x5800: bit 11 must be 0"),
            ONE(VMCS_MSR_BITMAP, 1ull << 39, "bit 39 must be 0"),
            ONE(VMCS_VPID, 0, "VPID 0x0 must not be 0"),
            ONE(VMCS_EPT_POINTER, 0x601d, "EPT pointer 0x601d bits 2:0"),
            ONE(VMCS_EPT_POINTER, 0x6016, "EPT pointer 0x6016 bits 5:3"),
            ONE(VMCS_EPT_POINTER, 0x605e, "needs accessed and dirty flags"),
            ONE(VMCS_EPT_POINTER, 0x609e, "EPT pointer 0x609e: bit 7 is reserved"),
            ONE(VMCS_EPT_POINTER, 0x800000601e, "bit 39 is reserved"),
            TWO(VMCS_EXIT_MSR_STORE_COUNT, 1, "exit MSR-store address 0x1008: bit 3",
                VMCS_EXIT_MSR_STORE_ADDRESS, 0x1008),
            TWO(VMCS_EXIT_MSR_LOAD_COUNT, 1, "exit MSR-load address 0x8000000000 or its list",
                VMCS_EXIT_MSR_LOAD_ADDRESS, 1ull << 39),
            TWO(VMCS_ENTRY_MSR_LOAD_COUNT, 2, "entry MSR-load address 0x7ffffffff0 or its list",
                VMCS_ENTRY_MSR_LOAD_ADDRESS, 0x7ffffffff0),
        };

        check_broken(set_sound, cases, ARRAY_LEN(cases));
}

static void set_virtual_apic(void)
{
        set_sound();
        msrs.vmx[VMX_CPU2] |= 0x310ull << 32;
        set(VMCS_CPU_CONTROLS, 0x04006172 | 0xb1380c80);
        set(VMCS_CPU_CONTROLS2, 0x13fa);
        set(VMCS_VIRTUAL_APIC_ADDRESS, 0x7000);
}

static void test_virtual_apic(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_CPU_CONTROLS, 0x04006172 | 0xb1180c80, "without the TPR shadow"),
            ONE(VMCS_PIN_CONTROLS, 0x7e, "without external-interrupt exiting"),
            ONE(VMCS_VIRTUAL_APIC_ADDRESS, 0x7800, "virtual-APIC address 0x7800: bit 11 must be 0"),
        };

        check_broken(set_virtual_apic, cases, ARRAY_LEN(cases));
        msrs = haswell_msrs;
}

static void test_injection(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_ENTRY_INTERRUPTION, 0x80000120, "reserved type 1"),
            ONE(VMCS_ENTRY_INTERRUPTION, 0x80000203, "NMI with a vector other than 2"),
            ONE(VMCS_ENTRY_INTERRUPTION, 0x80000320, "exception with a vector above 31"),
            ONE(VMCS_ENTRY_INTERRUPTION, 0x80000701, "'other event'"),
            ONE(VMCS_ENTRY_INTERRUPTION, 0x80001020, "0x80001020: bit 12 is reserved"),
            ONE(VMCS_ENTRY_INTERRUPTION, 0x8000030d, "lacks the error code"),
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000b06, "event that has none",
                VMCS_ENTRY_EXCEPTION_ERROR, 0),
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000b0d, "error code 0x10000: bit 16 must be 0",
                VMCS_ENTRY_EXCEPTION_ERROR, 0x10000),
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000603, "instruction length 0x0",
                VMCS_ENTRY_INSTRUCTION_LENGTH, 0),
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000480, "instruction length 0x10",
                VMCS_ENTRY_INSTRUCTION_LENGTH, 16),
        };
        static const uint32_t sound[] = {0x80000020, 0x80000202, 0x80000306, 0x80000b0d,
                                         0x80000b08, 0x80000b11, 0x80000603, 0x00000fff};

        check_broken(set_sound, cases, ARRAY_LEN(cases));
        for (size_t i = 0; i < ARRAY_LEN(sound); i++) {
                set_sound();
                set(VMCS_ENTRY_INTERRUPTION, sound[i]);
                set(VMCS_ENTRY_EXCEPTION_ERROR, 0);
                set(VMCS_ENTRY_INSTRUCTION_LENGTH, 1);
                CHECK_EQ(check_entry(), 0);
        }
        /* In real mode no exception pushes an error code. */
        set_real_mode();
        set(VMCS_ENTRY_INTERRUPTION, 0x8000030d);
        CHECK_EQ(check_entry(), 0);
        set(VMCS_ENTRY_INTERRUPTION, 0x80000b0d);
        set(VMCS_ENTRY_EXCEPTION_ERROR, 0);
        CHECK_EQ(check_entry(), 1);
}

static void test_host_state(void)
{
        static const struct broken cases[] = {
            ONE(VMCS_HOST_CR0, 0x80010011,
                "host CR0 0x80010011: bit 5 must be 1 "
                "(IA32_VMX_CR0_FIXED0"),
            ONE(VMCS_HOST_CR0, 0x180010031, "bit 32 must be 0 (IA32_VMX_CR0_FIXED1"),
            ONE(VMCS_HOST_CR4, 0x20, "host CR4 0x20: bit 13 must be 1 (IA32_VMX_CR4_FIXED0"),
            ONE(VMCS_HOST_CR4, 0x402020, "bit 22 must be 0 (IA32_VMX_CR4_FIXED1"),
            ONE(VMCS_HOST_CR4, 0x2000, "lacks PAE"),
            ONE(VMCS_HOST_CR3, 0x8000001000, "host CR3 0x8000001000: bit 39 must be 0"),
            ONE(VMCS_HOST_SYSENTER_ESP, 1ull << 47, "host SYSENTER_ESP"),
            ONE(VMCS_HOST_SYSENTER_EIP, 1ull << 63, "host SYSENTER_EIP"),
            ONE(VMCS_HOST_FS_BASE, 1ull << 47, "host FS base"),
            ONE(VMCS_HOST_GS_BASE, 1ull << 47, "host GS base"),
            ONE(VMCS_HOST_TR_BASE, 1ull << 47, "host TR base"),
            ONE(VMCS_HOST_GDTR_BASE, 1ull << 47, "host GDTR base"),
            ONE(VMCS_HOST_IDTR_BASE, 1ull << 47, "host IDTR base"),
            ONE(VMCS_HOST_RIP, 1ull << 47, "host RIP 0x800000000000 is not canonical"),
            ONE(VMCS_EXIT_CONTROLS, 0x3fedff, "32-bit host"),
            ONE(VMCS_HOST_PAT, 0x0002040600070406, "host PAT 0x2040600070406: byte 6"),
            ONE(VMCS_HOST_EFER, 0xd03, "host EFER 0xd03: bit 1 is reserved"),
            ONE(VMCS_HOST_EFER, 0x901, "host EFER 0x901: bit 10 must be 1"),
            ONE(VMCS_HOST_EFER, 0xc01, "host EFER 0xc01: bit 8 must be 1"),
            ONE(VMCS_HOST_CS_SEL, 0, "host CS selector 0x0 must not be 0"),
            ONE(VMCS_HOST_TR_SEL, 0, "host TR selector 0x0 must not be 0"),
            ONE(VMCS_HOST_CS_SEL, 9, "host CS selector 0x9: bit 0"),
            ONE(VMCS_HOST_SS_SEL, 0x12, "host SS selector 0x12: bit 1"),
            ONE(VMCS_HOST_DS_SEL, 0x14, "host DS selector 0x14: bit 2"),
            ONE(VMCS_HOST_ES_SEL, 0x13, "host ES selector 0x13: bits 0x3"),
            ONE(VMCS_HOST_FS_SEL, 1, "host FS selector"),
            ONE(VMCS_HOST_GS_SEL, 1, "host GS selector"),
            ONE(VMCS_HOST_TR_SEL, 0x1c, "host TR selector"),
        };

        check_broken(set_sound, cases, ARRAY_LEN(cases));
}

/* Newer CPUs take any error code and instruction length 0; CR0.CD and NW are nobody's business. */
static void test_liberties(void)
{
        static const struct broken sound[] = {
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000b06, NULL, VMCS_ENTRY_EXCEPTION_ERROR, 0),
            TWO(VMCS_ENTRY_INTERRUPTION, 0x80000603, NULL, VMCS_ENTRY_INSTRUCTION_LENGTH, 0),
            ONE(VMCS_HOST_CR0, 0xe0010031, NULL),
        };

        msrs.vmx[VMX_BASIC] |= 1ull << 56;
        msrs.vmx[VMX_MISC] |= 1ull << 30;
        msrs.vmx[VMX_CR0_FIXED1] &= ~0x60000000ull;
        check_sound(set_sound, sound, ARRAY_LEN(sound));
        msrs = haswell_msrs;
}

/* Fields of controls that are off may not exist, and nothing in them matters. */
static void test_unused_fields_are_not_read(void)
{
        static const uint32_t unused[] = {
            VMCS_CPU_CONTROLS2, VMCS_EPT_POINTER,      VMCS_VPID,
            VMCS_MSR_BITMAP,    VMCS_GUEST_PAT,        VMCS_GUEST_EFER,
            VMCS_HOST_PAT,      VMCS_HOST_EFER,        VMCS_GUEST_DR7,
            VMCS_GUEST_PDPTE0,  VMCS_GUEST_PDPTE0 + 2,
        };

        set_pae();
        set(VMCS_CPU_CONTROLS, 0x04006172 | 0x21180c80);
        set(VMCS_EXIT_CONTROLS, 0x00036dfb | 0x8204);
        set(VMCS_ENTRY_CONTROLS, 0x000011fb);
        set(VMCS_GUEST_DEBUGCTL, ~0ull);
        for (size_t i = 0; i < ARRAY_LEN(unused); i++) {
                vmcs[unused[i]] = ~0ull;
                present[unused[i]] = false;
        }
        CHECK_EQ(check_entry(), 0);
        CHECK_EQ(unknown_reads, 0);
}

/* Several faults at once are all told, and each line fits the log. */
static void test_all_findings_are_told(void)
{
        set_sound();
        set(VMCS_VPID, 0);
        set(VMCS_HOST_CR4, 0x20);
        set(VMCS_GUEST_CR4, 0x20);
        set(VMCS_GUEST_RFLAGS, 0);
        CHECK_EQ(check_entry(), 4);
        CHECK(strstr(lines[0], "VPID") && strstr(lines[1], "host CR4"));
        CHECK(strstr(lines[2], "guest CR4") && strstr(lines[3], "guest RFLAGS"));
}

/* Whatever stands in the VMCS: no fault of our own, every line whole and with its section. */
static void test_random_contents(void)
{
        uint64_t seed = unit_seed();

        for (unsigned round = 0; round < 2000; round++) {
                set_sound();
                for (uint32_t f = 0; f < FIELDS; f++)
                        if (present[f] && unit_random(&seed) % 4 == 0)
                                vmcs[f] = unit_random(&seed);
                check_entry();
                for (unsigned i = 0; i < line_count; i++)
                        CHECK(strlen(lines[i]) < 200 && lines[i][strlen(lines[i]) - 1] == ')');
        }
}

static void test_words(void)
{
        CHECK(!strcmp(vmx_check_instruction_error(7), "VM entry with invalid control fields"));
        CHECK(strstr(vmx_check_instruction_error(26), "MOV SS"));
        CHECK(strstr(vmx_check_instruction_error(28), "is none"));
        CHECK(strstr(vmx_check_instruction_error(0), "is none"));
        CHECK(strstr(vmx_check_instruction_error(14), "is none"));
        CHECK(strstr(vmx_check_instruction_error(~0u), "is none"));
        CHECK(!strcmp(vmx_check_qualification(4), "VMCS link pointer"));
        CHECK(strstr(vmx_check_qualification(1), "does not list"));
}

int main(void)
{
        RUN(test_controls);
        RUN(test_virtual_apic);
        RUN(test_injection);
        RUN(test_host_state);
        RUN(test_liberties);
        RUN(test_unused_fields_are_not_read);
        RUN(test_all_findings_are_told);
        RUN(test_random_contents);
        RUN(test_words);
        return unit_done();
}
