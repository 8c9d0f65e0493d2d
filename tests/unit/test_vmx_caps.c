/* VT-x requirements: reading in stages, one line a missing feature, and the control words. */
#include <string.h>

#include "hv/lib/errno.h"
#include "hv/vmx/vmcs.h"
#include "hv/vmx/vmx_caps.h"
#include "tests/unit/unit.h"

#define LINES_MAX 64

static char lines[LINES_MAX][256];
static unsigned line_count;

static void keep_line(void *ctx, const char *line)
{
        (void)ctx;
        if (line_count < LINES_MAX)
                snprintf(lines[line_count++], sizeof lines[0], "%s", line);
}

static int check_caps(const struct vmx_msrs *m, struct vmx_caps *out)
{
        line_count = 0;
        return vmx_caps_check(m, out, keep_line, NULL);
}

static bool reported(const char *text)
{
        for (unsigned i = 0; i < line_count; i++)
                if (strstr(lines[i], text))
                        return true;
        return false;
}

/* In the manner of a Haswell client CPU, locked with VMX on by its firmware. */
static struct vmx_msrs haswell(void)
{
        return (struct vmx_msrs){
            .cpuid1_ecx = 0x7fbafbff,
            .cpuid_x1_edx = 0x2c100800,
            .physical_bits = 39,
            .feature_control = 5,
            .vmx =
                {
                    [VMX_BASIC] = 0x00da040000000012,
                    [VMX_PIN] = 0x0000007f00000016,
                    [VMX_CPU] = 0xfff9fffe0401e172,
                    [VMX_EXIT] = 0x007fffff00036dff,
                    [VMX_ENTRY] = 0x0000ffff000011ff,
                    [VMX_MISC] = 0x300481e5,
                    [VMX_CR0_FIXED0] = 0x80000021,
                    [VMX_CR0_FIXED1] = 0xffffffff,
                    [VMX_CR4_FIXED0] = 0x2000,
                    [VMX_CR4_FIXED1] = 0x1727ff,
                    [VMX_VMCS_ENUM] = 0x2a,
                    [VMX_CPU2] = 0x00007cff00000000,
                    [VMX_EPT_VPID] = 0x00000f0106334141,
                    [VMX_TRUE_PIN] = 0x0000007f00000016,
                    [VMX_TRUE_CPU] = 0xfff9fffe04006172,
                    [VMX_TRUE_EXIT] = 0x007fffff00036dfb,
                    [VMX_TRUE_ENTRY] = 0x0000ffff000011fb,
                },
        };
}

/* No A/D bits, no 1 GiB pages, no INVPCID. */
static struct vmx_msrs arrandale(void)
{
        struct vmx_msrs m = haswell();

        m.physical_bits = 36;
        m.vmx[VMX_MISC] = 0x000401e5;
        m.vmx[VMX_CPU2] = 0x000000ff00000000;
        m.vmx[VMX_EPT_VPID] = 0x00000f0106114141;
        return m;
}

/* Secondary controls, but only APIC accesses and WBINVD; no TRUE MSRs, no timer, no EFER switching.
 */
static struct vmx_msrs penryn(void)
{
        struct vmx_msrs m = haswell();

        m.vmx[VMX_BASIC] = 0x005a08000000000d;
        m.vmx[VMX_PIN] = 0x0000003f00000016;
        m.vmx[VMX_CPU] = 0xf7f9fffe0401e172;
        m.vmx[VMX_EXIT] = 0x0003ffff00036dff;
        m.vmx[VMX_ENTRY] = 0x00003fff000011ff;
        m.vmx[VMX_CPU2] = 0x0000004100000000;
        m.vmx[VMX_EPT_VPID] = 0;
        for (int i = VMX_TRUE_PIN; i < VMX_MSR_COUNT; i++)
                m.vmx[i] = 0;
        return m;
}

static void test_haswell_meets_everything(void)
{
        struct vmx_msrs m = haswell();
        struct vmx_caps c;

        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK_EQ(line_count, 0);
        CHECK_EQ(c.revision, 0x12);
        CHECK(c.ept_1g && c.ept_accessed_dirty && c.rdtscp && c.invpcid);
        CHECK(c.save_timer && c.invept_all && c.invvpid_all);
        CHECK_EQ(c.timer_shift, 5);
}

static void test_control_words(void)
{
        struct vmx_msrs m = haswell();
        struct vmx_caps c;

        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK_EQ(c.pin, 0x16 | PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI);
        CHECK_EQ(c.cpu, 0x04006172 | CPU_HLT | CPU_MWAIT | CPU_RDPMC | CPU_CR8_LOAD |
                            CPU_CR8_STORE | CPU_IO | CPU_MSR_BITMAP | CPU_MONITOR | CPU_SECONDARY);
        CHECK_EQ(c.cpu & (CPU_CR3_LOAD | CPU_CR3_STORE | CPU_INTERRUPT_WINDOW), 0);
        CHECK_EQ(c.cpu2, CPU2_EPT | CPU2_RDTSCP | CPU2_VPID | CPU2_WBINVD | CPU2_UNRESTRICTED |
                             CPU2_INVPCID);
        CHECK_EQ(c.exit, 0x00036dfb | EXIT_SAVE_DEBUG | EXIT_HOST_64BIT | EXIT_ACK_INTERRUPT |
                             EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER);
        CHECK_EQ(c.entry, 0x000011fb | ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
        CHECK_EQ(vmx_caps_adjust(1, 6, 0x0000000300000008), 1 | 2 | 8);
}

/* All of its parts, or none is used. */
static void test_virtual_apic(void)
{
        static const uint32_t parts[] = {CPU2_X2APIC, CPU2_APIC_REGISTERS, CPU2_INTERRUPT_DELIVERY};
        struct vmx_msrs m = haswell(), less;
        struct vmx_caps c;

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                m.vmx[VMX_CPU2] |= (uint64_t)parts[i] << 32;
        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK(c.virtual_apic);
        CHECK_EQ(c.cpu & CPU_TPR_SHADOW, 0); /* it is switched on vCPU by vCPU */
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
                less = m;
                less.vmx[VMX_CPU2] &= ~((uint64_t)parts[i] << 32);
                CHECK_EQ(check_caps(&less, &c), 0);
                CHECK(!c.virtual_apic);
        }
        m.vmx[VMX_TRUE_CPU] &= ~((uint64_t)CPU_TPR_SHADOW << 32);
        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK(!c.virtual_apic);
}

static void test_arrandale_has_no_extras(void)
{
        struct vmx_msrs m = arrandale();
        struct vmx_caps c;

        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK_EQ(line_count, 0);
        CHECK(!c.ept_1g && !c.ept_accessed_dirty && !c.invpcid);
        CHECK(c.rdtscp);
        CHECK_EQ(c.cpu2 & CPU2_INVPCID, 0);
}

static void test_penryn_is_refused_in_words(void)
{
        static const char *const expected[] = {
            "VT-x: missing: preemption timer: IA32_VMX_PINBASED_CTLS bit 38 is 0",
            "VT-x: missing: guest CR3 loads without an exit: IA32_VMX_PROCBASED_CTLS bit 15 is 1",
            "VT-x: missing: guest CR3 stores without an exit: IA32_VMX_PROCBASED_CTLS bit 16 is 1",
            "VT-x: missing: extended page tables (EPT): IA32_VMX_PROCBASED_CTLS2 bit 33 is 0",
            ("VT-x: missing: virtual-processor identifiers (VPID): IA32_VMX_PROCBASED_CTLS2 bit 37 "
             "is 0"),
            "VT-x: missing: unrestricted guest: IA32_VMX_PROCBASED_CTLS2 bit 39 is 0",
            "VT-x: missing: saving IA32_PAT on exit: IA32_VMX_EXIT_CTLS bit 50 is 0",
            "VT-x: missing: loading IA32_PAT on exit: IA32_VMX_EXIT_CTLS bit 51 is 0",
            "VT-x: missing: saving IA32_EFER on exit: IA32_VMX_EXIT_CTLS bit 52 is 0",
            "VT-x: missing: loading IA32_EFER on exit: IA32_VMX_EXIT_CTLS bit 53 is 0",
            "VT-x: missing: loading IA32_PAT on entry: IA32_VMX_ENTRY_CTLS bit 46 is 0",
            "VT-x: missing: loading IA32_EFER on entry: IA32_VMX_ENTRY_CTLS bit 47 is 0",
        };
        struct vmx_msrs m = penryn();
        struct vmx_caps c = {.revision = 0xabc};

        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(c.revision, 0xabc);
        CHECK_EQ(line_count, ARRAY_LEN(expected));
        for (unsigned i = 0; i < line_count && i < ARRAY_LEN(expected); i++)
                CHECK(!strcmp(lines[i], expected[i]));
}

static void test_without_vmx_is_one_line(void)
{
        struct vmx_msrs m = {0};
        struct vmx_caps c;

        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("VT-x: missing: VMX: CPUID.1:ECX bit 5 is 0"));
}

static void test_feature_control(void)
{
        struct vmx_msrs m = haswell();
        struct vmx_caps c;

        m.feature_control = 0;
        CHECK_EQ(check_caps(&m, &c), 0);
        CHECK_EQ(line_count, 0);

        /* Locked with VMX inside SMX only. */
        m.feature_control = 3;
        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("IA32_FEATURE_CONTROL bit 2 is 0 and bit 0 (lock) is 1"));
}

/* Another CPU, whose control words would be others: each difference is told. */
static void test_other_cpu(void)
{
        struct vmx_msrs first = haswell(), other = haswell();

        line_count = 0;
        other.feature_control = 0;
        CHECK(vmx_caps_same(&first, &other, keep_line, NULL));
        CHECK_EQ(line_count, 0);
        other.vmx[VMX_CPU2] ^= 1ull << (32 + 12);
        other.physical_bits--;
        CHECK(!vmx_caps_same(&first, &other, keep_line, NULL));
        CHECK_EQ(line_count, 2);
        CHECK(reported("VT-x: IA32_VMX_PROCBASED_CTLS2 is 0x"));
        CHECK(reported("VT-x: the width of physical addresses is 0x"));
}

struct single_fault {
        enum vmx_msr msr;
        uint64_t flip;
        const char *name, *bits;
};

/* Every requirement of the interface: with this bit turned, exactly this line. */
static const struct single_fault single_faults[] = {
    {VMX_TRUE_PIN, 1ull << 32, "external-interrupt", "TRUE_PINBASED_CTLS bit 32 is 0"},
    {VMX_TRUE_PIN, 1ull << 35, "NMI exiting", "TRUE_PINBASED_CTLS bit 35 is 0"},
    {VMX_TRUE_PIN, 1ull << 37, "virtual NMIs", "TRUE_PINBASED_CTLS bit 37 is 0"},
    {VMX_TRUE_PIN, 1ull << 38, "preemption timer", "TRUE_PINBASED_CTLS bit 38 is 0"},
    {VMX_TRUE_CPU, 1ull << 34, "interrupt-window", "TRUE_PROCBASED_CTLS bit 34 is 0"},
    {VMX_TRUE_CPU, 1ull << 39, "HLT exiting", "TRUE_PROCBASED_CTLS bit 39 is 0"},
    {VMX_TRUE_CPU, 1ull << 15, "CR3 loads", "TRUE_PROCBASED_CTLS bit 15 is 1"},
    {VMX_TRUE_CPU, 1ull << 16, "CR3 stores", "TRUE_PROCBASED_CTLS bit 16 is 1"},
    {VMX_TRUE_CPU, 1ull << 51, "CR8-load", "TRUE_PROCBASED_CTLS bit 51 is 0"},
    {VMX_TRUE_CPU, 1ull << 52, "CR8-store", "TRUE_PROCBASED_CTLS bit 52 is 0"},
    {VMX_TRUE_CPU, 1ull << 56, "I/O exiting", "TRUE_PROCBASED_CTLS bit 56 is 0"},
    {VMX_TRUE_CPU, 1ull << 60, "MSR bitmaps", "TRUE_PROCBASED_CTLS bit 60 is 0"},
    {VMX_TRUE_CPU, 1ull << 63, "secondary controls", "TRUE_PROCBASED_CTLS bit 63 is 0"},
    {VMX_CPU2, 1ull << 33, "(EPT)", "IA32_VMX_PROCBASED_CTLS2 bit 33 is 0"},
    {VMX_CPU2, 1ull << 37, "(VPID)", "IA32_VMX_PROCBASED_CTLS2 bit 37 is 0"},
    {VMX_CPU2, 1ull << 38, "WBINVD", "IA32_VMX_PROCBASED_CTLS2 bit 38 is 0"},
    {VMX_CPU2, 1ull << 39, "unrestricted", "IA32_VMX_PROCBASED_CTLS2 bit 39 is 0"},
    {VMX_EPT_VPID, 1ull << 6, "4 levels", "IA32_VMX_EPT_VPID_CAP bit 6 is 0"},
    {VMX_EPT_VPID, 1ull << 14, "write-back", "IA32_VMX_EPT_VPID_CAP bit 14 is 0"},
    {VMX_EPT_VPID, 1ull << 16, "2 MiB", "IA32_VMX_EPT_VPID_CAP bit 16 is 0"},
    {VMX_EPT_VPID, 1ull << 20, "INVEPT", "IA32_VMX_EPT_VPID_CAP bit 20 is 0"},
    {VMX_EPT_VPID, 3ull << 25, "INVEPT of one or all", "CAP bits 25 and 26 are 0"},
    {VMX_EPT_VPID, 1ull << 32, "INVVPID", "IA32_VMX_EPT_VPID_CAP bit 32 is 0"},
    {VMX_EPT_VPID, 3ull << 41, "INVVPID of one or all", "CAP bits 41 and 42 are 0"},
    {VMX_TRUE_EXIT, 1ull << 34, "debug controls on exit", "TRUE_EXIT_CTLS bit 34 is 0"},
    {VMX_TRUE_EXIT, 1ull << 41, "64-bit host", "TRUE_EXIT_CTLS bit 41 is 0"},
    {VMX_TRUE_EXIT, 1ull << 47, "acknowledging", "TRUE_EXIT_CTLS bit 47 is 0"},
    {VMX_TRUE_EXIT, 1ull << 50, "saving IA32_PAT", "TRUE_EXIT_CTLS bit 50 is 0"},
    {VMX_TRUE_EXIT, 1ull << 51, "loading IA32_PAT", "TRUE_EXIT_CTLS bit 51 is 0"},
    {VMX_TRUE_EXIT, 1ull << 52, "saving IA32_EFER", "TRUE_EXIT_CTLS bit 52 is 0"},
    {VMX_TRUE_EXIT, 1ull << 53, "loading IA32_EFER", "TRUE_EXIT_CTLS bit 53 is 0"},
    {VMX_TRUE_ENTRY, 1ull << 34, "debug controls on entry", "TRUE_ENTRY_CTLS bit 34 is 0"},
    {VMX_TRUE_ENTRY, 1ull << 41, "IA-32e mode guest", "TRUE_ENTRY_CTLS bit 41 is 0"},
    {VMX_TRUE_ENTRY, 1ull << 46, "loading IA32_PAT", "TRUE_ENTRY_CTLS bit 46 is 0"},
    {VMX_TRUE_ENTRY, 1ull << 47, "loading IA32_EFER", "TRUE_ENTRY_CTLS bit 47 is 0"},
};

static void test_each_missing_feature_alone(void)
{
        for (size_t i = 0; i < ARRAY_LEN(single_faults); i++) {
                const struct single_fault *f = &single_faults[i];
                struct vmx_msrs m = haswell();
                struct vmx_caps c;

                m.vmx[f->msr] ^= f->flip;
                CHECK_EQ(check_caps(&m, &c), -ENODEV);
                CHECK_EQ(line_count, 1);
                if (reported(f->name) && reported(f->bits))
                        continue;
                printf("expected %s: %s, got %s\n", f->name, f->bits, lines[0]);
                CHECK(false);
        }
}

static void test_no_execute_pages(void)
{
        struct vmx_msrs m = haswell();
        struct vmx_caps c;

        m.cpuid_x1_edx &= ~(1u << 20);
        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("VT-x: missing: no-execute pages (NX): CPUID.80000001:EDX bit 20 is 0"));
}

/* What a missing feature takes along is not told again. */
static void test_one_line_for_a_whole_group(void)
{
        struct vmx_msrs m = haswell();
        struct vmx_caps c;

        m.vmx[VMX_TRUE_CPU] &= ~(1ull << 63);
        m.vmx[VMX_CPU2] = m.vmx[VMX_EPT_VPID] = 0;
        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("secondary controls (for EPT, VPID, unrestricted guest)"));

        m = haswell();
        m.vmx[VMX_CPU2] &= ~(1ull << 33);
        m.vmx[VMX_EPT_VPID] &= ~0xffffffffull;
        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("(EPT)"));

        m = haswell();
        m.vmx[VMX_CPU2] &= ~(1ull << 37);
        m.vmx[VMX_EPT_VPID] &= 0xffffffffull;
        CHECK_EQ(check_caps(&m, &c), -ENODEV);
        CHECK_EQ(line_count, 1);
        CHECK(reported("(VPID)"));
}

/* Turning any other bit of the control MSRs must not refuse the machine: the table has no row more.
 */
static void test_other_bits_do_not_matter(void)
{
        static const enum vmx_msr msrs[] = {VMX_TRUE_PIN,   VMX_TRUE_CPU, VMX_TRUE_EXIT,
                                            VMX_TRUE_ENTRY, VMX_CPU2,     VMX_EPT_VPID};

        for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
                for (unsigned bit = 0; bit < 64; bit++) {
                        struct vmx_msrs m = haswell();
                        struct vmx_caps c;
                        bool required = false;

                        for (size_t f = 0; f < ARRAY_LEN(single_faults); f++)
                                required |= single_faults[f].msr == msrs[i] &&
                                            single_faults[f].flip == 1ull << bit;
                        m.vmx[msrs[i]] ^= 1ull << bit;
                        CHECK_EQ(check_caps(&m, &c), required ? -ENODEV : 0);
                }
        }
}

static struct vmx_msrs machine;
static unsigned faults;

static bool machine_has(uint32_t msr)
{
        uint64_t primary =
            machine.vmx[VMX_BASIC] & 1ull << 55 ? machine.vmx[VMX_TRUE_CPU] : machine.vmx[VMX_CPU];
        bool vmx = machine.cpuid1_ecx & 1u << 5;
        bool secondary = primary >> 63;

        if (msr == 0x3a)
                return vmx;
        if (msr == 0x48b)
                return vmx && secondary;
        if (msr == 0x48c)
                return vmx && secondary && (machine.vmx[VMX_CPU2] >> 32 & 0x22);
        if (msr >= 0x48d && msr <= 0x490)
                return vmx && machine.vmx[VMX_BASIC] & 1ull << 55;
        return vmx && msr >= 0x480 && msr <= 0x48a;
}

static uint64_t machine_rdmsr(uint32_t msr)
{
        faults += !machine_has(msr);
        return msr == 0x3a ? machine.feature_control : machine.vmx[msr - 0x480];
}

static void check_read_equals_machine(void)
{
        struct vmx_msrs m;

        memset(&m, 0xaa, sizeof m);
        faults = 0;
        vmx_caps_read(&m, machine.cpuid1_ecx, machine.cpuid_x1_edx, machine.physical_bits,
                      machine_rdmsr);
        CHECK_EQ(faults, 0);
        CHECK_EQ(m.cpuid1_ecx, machine.cpuid1_ecx);
        CHECK_EQ(m.cpuid_x1_edx, machine.cpuid_x1_edx);
        CHECK_EQ(m.physical_bits, machine.physical_bits);
        CHECK_EQ(m.feature_control, machine_has(0x3a) ? machine.feature_control : 0);
        for (uint32_t i = 0; i < VMX_MSR_COUNT; i++)
                CHECK_EQ(m.vmx[i], machine_has(0x480 + i) ? machine.vmx[i] : 0);
}

/* RDMSR of an MSR that is not there would fault: the stages must stop before. */
static void test_reading_stops_at_each_stage(void)
{
        machine = haswell();
        check_read_equals_machine();
        machine.cpuid1_ecx = 0;
        check_read_equals_machine();
        machine = penryn();
        check_read_equals_machine();
        machine.vmx[VMX_CPU] &= ~(1ull << 63);
        check_read_equals_machine();

        /* Only VPID, only EPT. */
        machine = haswell();
        machine.vmx[VMX_CPU2] &= ~(1ull << 33);
        check_read_equals_machine();
        machine = haswell();
        machine.vmx[VMX_CPU2] &= ~(1ull << 37);
        check_read_equals_machine();

        /* Only the TRUE MSR allows secondary controls. */
        machine = haswell();
        machine.vmx[VMX_CPU] &= ~(1ull << 63);
        check_read_equals_machine();
}

int main(void)
{
        RUN(test_haswell_meets_everything);
        RUN(test_control_words);
        RUN(test_virtual_apic);
        RUN(test_arrandale_has_no_extras);
        RUN(test_penryn_is_refused_in_words);
        RUN(test_without_vmx_is_one_line);
        RUN(test_feature_control);
        RUN(test_other_cpu);
        RUN(test_no_execute_pages);
        RUN(test_each_missing_feature_alone);
        RUN(test_one_line_for_a_whole_group);
        RUN(test_other_bits_do_not_matter);
        RUN(test_reading_stops_at_each_stage);
        return unit_done();
}
