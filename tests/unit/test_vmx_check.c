/* VM-entry checks: a sound VMCS has no finding; each thing broken alone gives its one finding. */
#include <string.h>

#include "hv/vmx/vmx_check.h"
#include "tests/unit/unit.h"

#define FIELDS    0x8000u
#define SEG(f, s) ((f) + (s)*VMCS_SEGMENT_STEP)

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

static uint64_t vmcs[FIELDS];
static bool present[FIELDS];
static unsigned unknown_reads;
static char lines[256][256];
static unsigned line_count;

static const struct vmx_msrs msrs = {
    .physical_bits = 39,
    .vmx =
        {
            [VMX_BASIC] = 0x00da040000000012,
            [VMX_MISC] = 0x000400e5, /* activity states HLT and shutdown; 4 CR3 targets */
            [VMX_CR0_FIXED0] = 0x80000021,
            [VMX_CR0_FIXED1] = 0xffffffff,
            [VMX_CR4_FIXED0] = 0x2000,
            [VMX_CR4_FIXED1] = 0x9727ff,
            [VMX_CPU2] = 0x00007cff00000000,
            [VMX_EPT_VPID] = 0x00000f0106134141,
            [VMX_TRUE_PIN] = 0x0000007f00000016,
            [VMX_TRUE_CPU] = 0xfff9fffe04006172,
            [VMX_TRUE_EXIT] = 0x007fffff00036dfb,
            [VMX_TRUE_ENTRY] = 0x0000ffff000011fb,
        },
};

static void set(uint32_t field, uint64_t value)
{
        vmcs[field] = value;
        present[field] = true;
}

static uint64_t get(void *ctx, enum vmcs_field field)
{
        (void)ctx;
        if (!present[field])
                unknown_reads++;
        return vmcs[field];
}

static void keep_line(void *ctx, const char *line)
{
        (void)ctx;
        if (line_count < ARRAY_LEN(lines))
                snprintf(lines[line_count++], sizeof lines[0], "%s", line);
}

static unsigned check_entry(void)
{
        const struct vmx_check c = {.read = get, .msrs = &msrs, .report = keep_line};
        unsigned failed;

        line_count = 0;
        unknown_reads = 0;
        failed = vmx_check_entry(&c);
        CHECK_EQ(failed, line_count);
        return failed;
}

static void set_segment(unsigned seg, uint64_t sel, uint64_t base, uint64_t limit, uint64_t access)
{
        set(SEG(VMCS_GUEST_ES_SEL, seg), sel);
        set(SEG(VMCS_GUEST_ES_BASE, seg), base);
        set(SEG(VMCS_GUEST_ES_LIMIT, seg), limit);
        set(SEG(VMCS_GUEST_ES_ACCESS, seg), access);
}

static void set_host(void)
{
        static const uint32_t canonical[] = {
            VMCS_HOST_SYSENTER_ESP, VMCS_HOST_SYSENTER_EIP, VMCS_HOST_FS_BASE,   VMCS_HOST_GS_BASE,
            VMCS_HOST_TR_BASE,      VMCS_HOST_GDTR_BASE,    VMCS_HOST_IDTR_BASE, VMCS_HOST_RIP,
        };
        static const uint32_t selectors[] = {VMCS_HOST_ES_SEL, VMCS_HOST_SS_SEL, VMCS_HOST_DS_SEL,
                                             VMCS_HOST_FS_SEL, VMCS_HOST_GS_SEL};

        for (size_t i = 0; i < ARRAY_LEN(canonical); i++)
                set(canonical[i], 0x100000);
        for (size_t i = 0; i < ARRAY_LEN(selectors); i++)
                set(selectors[i], 0x10);
        set(VMCS_HOST_CS_SEL, 8);
        set(VMCS_HOST_TR_SEL, 0x18);
        set(VMCS_HOST_CR0, 0x80010031);
        set(VMCS_HOST_CR3, 0x1000);
        set(VMCS_HOST_CR4, 0x2020);
        set(VMCS_HOST_PAT, 0x0007040600070406);
        set(VMCS_HOST_EFER, 0xd01);
}

static void set_controls(void)
{
        set(VMCS_PIN_CONTROLS, 0x16 | 0x29);
        set(VMCS_CPU_CONTROLS, 0x04006172 | 0xb1180c80);
        set(VMCS_CPU_CONTROLS2, 0x10ea);
        set(VMCS_EXIT_CONTROLS, 0x00036dfb | 0x3c8204);
        set(VMCS_ENTRY_CONTROLS, 0x000011fb | 0xc204);
        set(VMCS_CR3_TARGET_COUNT, 0);
        set(VMCS_MSR_BITMAP, 0x5000);
        set(VMCS_VPID, 1);
        set(VMCS_EPT_POINTER, 0x601e);
        set(VMCS_EXIT_MSR_STORE_COUNT, 0);
        set(VMCS_EXIT_MSR_LOAD_COUNT, 0);
        set(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
        set(VMCS_ENTRY_INTERRUPTION, 0);
}

/* A 64-bit Linux kernel at CPL 0. */
static void set_guest(void)
{
        for (unsigned s = ES; s <= GS; s++)
                set_segment(s, 0x18, 0, 0xffffffff, 0xc093);
        set_segment(CS, 0x10, 0, 0xffffffff, 0xa09b);
        set_segment(FS, 0, 0, 0xffffffff, 0x1c093);
        set_segment(GS, 0, 0xffff888000000000, 0xffffffff, 0xc093);
        set_segment(LDTR, 0, 0, 0, 0x10000);
        set_segment(TR, 0x40, 0xfffffe0000003000, 0x206f, 0x8b);
        set(VMCS_GUEST_CR0, 0x80050033);
        set(VMCS_GUEST_CR3, 0x2000);
        set(VMCS_GUEST_CR4, 0x26a0);
        set(VMCS_GUEST_EFER, 0xd01);
        set(VMCS_GUEST_PAT, 0x0407050600070106);
        set(VMCS_GUEST_DEBUGCTL, 0);
        set(VMCS_GUEST_DR7, 0x400);
        set(VMCS_GUEST_SYSENTER_ESP, 0xfffffe0000003000);
        set(VMCS_GUEST_SYSENTER_EIP, 0xffffffff81000000);
        set(VMCS_GUEST_GDTR_BASE, 0xfffffe0000001000);
        set(VMCS_GUEST_GDTR_LIMIT, 0x7f);
        set(VMCS_GUEST_IDTR_BASE, 0xfffffe0000000000);
        set(VMCS_GUEST_IDTR_LIMIT, 0xfff);
        set(VMCS_GUEST_RIP, 0xffffffff81000040);
        set(VMCS_GUEST_RFLAGS, 0x246);
        set(VMCS_GUEST_ACTIVITY, 0);
        set(VMCS_GUEST_INTERRUPTIBILITY, 0);
        set(VMCS_GUEST_PENDING_DEBUG, 0);
        set(VMCS_LINK_POINTER, ~0ull);
}

static void set_sound(void)
{
        memset(vmcs, 0, sizeof vmcs);
        memset(present, 0, sizeof present);
        set_controls();
        set_host();
        set_guest();
}

/* 16-bit real mode without paging, as after reset. */
static void set_real_mode(void)
{
        set_sound();
        for (unsigned s = ES; s <= GS; s++)
                set_segment(s, 0, 0, 0xffff, 0x93);
        set_segment(CS, 0xf000, 0xffff0000, 0xffff, 0x9b);
        set(VMCS_GUEST_CR0, 0x30);
        set(VMCS_GUEST_CR4, 0x2000);
        set(VMCS_GUEST_EFER, 0);
        set(VMCS_ENTRY_CONTROLS, 0x000011fb | 0xc004);
        set(VMCS_GUEST_RIP, 0xfff0);
        set(VMCS_GUEST_RFLAGS, 2);
}

static void set_pae(void)
{
        set_real_mode();
        set_segment(CS, 8, 0, 0xffffffff, 0xc09b);
        set_segment(SS, 0x10, 0, 0xffffffff, 0xc093);
        set(VMCS_GUEST_CR0, 0x80000031);
        set(VMCS_GUEST_CR4, 0x2020);
        for (unsigned i = 0; i < 4; i++)
                set(VMCS_GUEST_PDPTE0 + 2 * i, 0x3001);
}

static void set_virtual_8086(void)
{
        set_pae();
        for (unsigned s = ES; s <= GS; s++)
                set_segment(s, 0x1000, 0x10000, 0xffff, 0xf3);
        set(VMCS_GUEST_RFLAGS, 0x20002);
}

/* A PAE kernel under "unrestricted guest" = 0, where selectors and DPLs are looked at. */
static void set_restricted(void)
{
        set_pae();
        set(VMCS_CPU_CONTROLS2, 0x106a);
}

struct broken {
        uint32_t field;
        uint64_t value;
        const char *finding;
        uint32_t field2; /* 0: none */
        uint64_t value2;
};

#define ONE(field, value, finding)                                                                 \
        {                                                                                          \
                field, value, finding, 0, 0                                                        \
        }
#define TWO(field, value, finding, field2, value2)                                                 \
        {                                                                                          \
                field, value, finding, field2, value2                                              \
        }

static void check_broken(void (*base)(void), const struct broken *cases, size_t n)
{
        base();
        CHECK_EQ(check_entry(), 0);
        if (line_count)
                printf("the sound state gives: %s\n", lines[0]);
        CHECK_EQ(unknown_reads, 0);
        for (size_t i = 0; i < n; i++) {
                const struct broken *b = &cases[i];

                base();
                set(b->field, b->value);
                if (b->field2)
                        set(b->field2, b->value2);
                check_entry();
                if (line_count == 1 && strstr(lines[0], b->finding))
                        continue;
                printf("case %zu: expected one line with '%s', got %u\n", i, b->finding,
                       line_count);
                for (unsigned l = 0; l < line_count; l++)
                        printf("    %s\n", lines[l]);
                CHECK(false);
        }
}

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
        CHECK(strstr(vmx_check_instruction_error(28), "INVEPT"));
        CHECK(strstr(vmx_check_instruction_error(0), "does not list"));
        CHECK(strstr(vmx_check_instruction_error(14), "does not list"));
        CHECK(strstr(vmx_check_instruction_error(~0u), "does not list"));
        CHECK(!strcmp(vmx_check_qualification(4), "VMCS link pointer"));
        CHECK(strstr(vmx_check_qualification(1), "does not list"));
}

int main(void)
{
        RUN(test_controls);
        RUN(test_injection);
        RUN(test_host_state);
        RUN(test_guest_registers);
        RUN(test_real_mode);
        RUN(test_virtual_8086);
        RUN(test_segments);
        RUN(test_non_register_state);
        RUN(test_all_findings_are_told);
        RUN(test_random_contents);
        RUN(test_words);
        return unit_done();
}
