/*
 * The VMCS of the VM-entry check tests: a table of fields, sound states to start from, and a runner
 * that breaks one thing at a time. Each test program has its own copy.
 */
#pragma once

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

static const struct vmx_msrs haswell_msrs = {
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

static struct vmx_msrs msrs; /* what the checks are given */

static inline void set(uint32_t field, uint64_t value)
{
        vmcs[field] = value;
        present[field] = true;
}

static inline uint64_t get(void *ctx, enum vmcs_field field)
{
        (void)ctx;
        if (!present[field])
                unknown_reads++;
        return vmcs[field];
}

static inline void keep_line(void *ctx, const char *line)
{
        (void)ctx;
        if (line_count < ARRAY_LEN(lines))
                snprintf(lines[line_count++], sizeof lines[0], "%s", line);
}

static inline unsigned check_entry(void)
{
        const struct vmx_check c = {.read = get, .msrs = &msrs, .report = keep_line};
        unsigned failed;

        line_count = 0;
        unknown_reads = 0;
        failed = vmx_check_entry(&c);
        CHECK_EQ(failed, line_count);
        return failed;
}

static inline void set_segment(unsigned seg, uint64_t sel, uint64_t base, uint64_t limit,
                               uint64_t access)
{
        set(SEG(VMCS_GUEST_ES_SEL, seg), sel);
        set(SEG(VMCS_GUEST_ES_BASE, seg), base);
        set(SEG(VMCS_GUEST_ES_LIMIT, seg), limit);
        set(SEG(VMCS_GUEST_ES_ACCESS, seg), access);
}

static inline void set_host(void)
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

static inline void set_controls(void)
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
static inline void set_guest(void)
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

static inline void set_sound(void)
{
        memset(vmcs, 0, sizeof vmcs);
        memset(present, 0, sizeof present);
        if (!msrs.physical_bits)
                msrs = haswell_msrs;
        set_controls();
        set_host();
        set_guest();
}

/* 16-bit real mode without paging, as after reset. */
static inline void set_real_mode(void)
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

static inline void set_pae(void)
{
        set_real_mode();
        set_segment(CS, 8, 0, 0xffffffff, 0xc09b);
        set_segment(SS, 0x10, 0, 0xffffffff, 0xc093);
        set(VMCS_GUEST_CR0, 0x80000031);
        set(VMCS_GUEST_CR4, 0x2020);
        for (unsigned i = 0; i < 4; i++)
                set(VMCS_GUEST_PDPTE0 + 2 * i, 0x3001);
}

static inline void set_virtual_8086(void)
{
        set_pae();
        for (unsigned s = ES; s <= GS; s++)
                set_segment(s, 0x1000, 0x10000, 0xffff, 0xf3);
        set(VMCS_GUEST_RFLAGS, 0x20002);
}

/* A PAE kernel under "unrestricted guest" = 0, where selectors and DPLs are looked at. */
static inline void set_restricted(void)
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

static inline void check_broken(void (*base)(void), const struct broken *cases, size_t n)
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

/* The changes of each row, made alone, leave the state sound. */
static inline void check_sound(void (*base)(void), const struct broken *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                base();
                set(cases[i].field, cases[i].value);
                if (cases[i].field2)
                        set(cases[i].field2, cases[i].value2);
                if (!check_entry())
                        continue;
                printf("sound case %zu gives: %s\n", i, lines[0]);
                CHECK(false);
        }
}
