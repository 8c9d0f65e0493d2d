/* VM-entry checks: controls (SDM 26.2.1), host state (26.2.2 to 26.2.4), error numbers in words. */
#include "hv/vmx/vmx_check.h"

#include "hv/cpu.h"
#include "hv/lib/format.h"
#include "hv/vmx/vmx_check_rules.h"

#define BASIC_ANY_ERROR_CODE (1ull << 56)
#define MISC_ZERO_LENGTH     (1ull << 30)
#define EPTP_AD              (1ull << 6)
#define EPTP_RESERVED        0xf80ull
#define EPT_TYPE_UC          0u
#define EPT_TYPE_WB          6u
#define INTR_RESERVED_BITS   0x7ffff000u
#define SELECTOR_TI_AND_RPL  7u

static void check_control_word(struct entry_check *e, const char *name, uint32_t value,
                               enum vmx_msr plain)
{
        enum vmx_msr msr = vmx_caps_control_msr(e->from->msrs, plain);
        uint64_t allowed = e->from->msrs->vmx[msr];
        char rule[80];

        format_text(rule, sizeof rule, "must be 1 (%s; SDM 26.2.1)", vmx_caps_msr_name(msr));
        entry_bits(e, name, value, (uint32_t)allowed & ~value, rule);
        format_text(rule, sizeof rule, "must be 0 (%s; SDM 26.2.1)", vmx_caps_msr_name(msr));
        entry_bits(e, name, value, value & ~(uint32_t)(allowed >> 32), rule);
}

static void check_control_words(struct entry_check *e)
{
        check_control_word(e, "pin-based controls", e->pin, VMX_PIN);
        check_control_word(e, "primary controls", e->cpu, VMX_CPU);
        check_control_word(e, "secondary controls", e->cpu2, VMX_CPU2);
        check_control_word(e, "exit controls", e->exit, VMX_EXIT);
        check_control_word(e, "entry controls", e->entry, VMX_ENTRY);

        entry_rule(e, (e->pin & PIN_NMI) || !(e->pin & PIN_VIRTUAL_NMI), "pin-based controls",
                   e->pin, "have virtual NMIs without NMI exiting (SDM 26.2.1.1)");
        entry_rule(e, (e->pin & PIN_VIRTUAL_NMI) || !(e->cpu & CPU_NMI_WINDOW), "primary controls",
                   e->cpu, "have NMI-window exiting without virtual NMIs (SDM 26.2.1.1)");
        entry_rule(e, (e->cpu & CPU_TPR_SHADOW) || !(e->cpu2 & CPU2_APIC), "secondary controls",
                   e->cpu2, "have a virtual local APIC without the TPR shadow (SDM 26.2.1.1)");
        entry_rule(e, (e->pin & PIN_EXTERNAL_INTERRUPT) || !(e->cpu2 & CPU2_INTERRUPT_DELIVERY),
                   "secondary controls", e->cpu2,
                   "deliver virtual interrupts without external-interrupt exiting "
                   "(SDM 26.2.1.1)");
        entry_rule(e, (e->cpu2 & CPU2_EPT) || !(e->cpu2 & CPU2_UNRESTRICTED), "secondary controls",
                   e->cpu2, "have unrestricted guest without EPT (SDM 26.2.1.1)");
        entry_rule(e, (e->pin & PIN_PREEMPTION_TIMER) || !(e->exit & EXIT_SAVE_TIMER),
                   "exit controls", e->exit,
                   "save the preemption timer, which is not activated (SDM 26.2.1.2)");
        entry_bits(e, "entry controls", e->entry, e->entry & (ENTRY_SMM | ENTRY_DUAL_MONITOR),
                   "must be 0 outside SMM (SDM 26.2.1.3)");
}

static void check_ept_pointer(struct entry_check *e)
{
        uint64_t cap = e->from->msrs->vmx[VMX_EPT_VPID];
        uint64_t eptp = entry_field(e, VMCS_EPT_POINTER);
        unsigned type = eptp & 7;

        entry_rule(e,
                   (type == EPT_TYPE_WB && (cap & EPT_CAP_WRITE_BACK)) ||
                       (type == EPT_TYPE_UC && (cap & EPT_CAP_UNCACHED)),
                   "EPT pointer", eptp,
                   "bits 2:0 are no memory type of IA32_VMX_EPT_VPID_CAP (SDM 26.2.1.1)");
        entry_rule(e, (eptp >> 3 & 7) == 3, "EPT pointer", eptp,
                   "bits 5:3 are not 3, a page walk of 4 levels (SDM 26.2.1.1)");
        if (!(cap & EPT_CAP_AD))
                entry_bits(e, "EPT pointer", eptp, eptp & EPTP_AD,
                           "needs accessed and dirty flags (IA32_VMX_EPT_VPID_CAP bit 21)");
        entry_bits(e, "EPT pointer", eptp, eptp & (EPTP_RESERVED | entry_beyond(e)),
                   "is reserved (SDM 26.2.1.1)");
}

static void check_page(struct entry_check *e, const char *name, enum vmcs_field field)
{
        uint64_t address = entry_field(e, field);

        entry_bits(e, name, address, address & (0xfff | entry_beyond(e)),
                   "must be 0 (SDM 26.2.1.1)");
}

static void check_control_fields(struct entry_check *e)
{
        uint64_t targets = entry_field(e, VMCS_CR3_TARGET_COUNT);
        uint64_t most = e->from->msrs->vmx[VMX_MISC] >> 16 & 0x1ff;

        entry_rule(e, targets <= most, "CR3-target count", targets,
                   "is above what IA32_VMX_MISC bits 24:16 allow (SDM 26.2.1.1)");
        if (e->cpu & CPU_MSR_BITMAP)
                check_page(e, "MSR-bitmap address", VMCS_MSR_BITMAP);
        if (e->cpu & CPU_TPR_SHADOW)
                check_page(e, "virtual-APIC address", VMCS_VIRTUAL_APIC_ADDRESS);
        if (e->cpu2 & CPU2_VPID) {
                uint64_t vpid = entry_field(e, VMCS_VPID);

                entry_rule(e, vpid, "VPID", vpid, "must not be 0 (SDM 26.2.1.1)");
        }
        if (e->cpu2 & CPU2_EPT)
                check_ept_pointer(e);
}

/* The three areas of MSRs to be saved and loaded; an empty one may have any address. */
static void check_msr_lists(struct entry_check *e)
{
        static const struct {
                enum vmcs_field count, address;
                const char *name;
        } lists[] = {
            {VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE_ADDRESS, "exit MSR-store address"},
            {VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD_ADDRESS, "exit MSR-load address"},
            {VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_ADDRESS, "entry MSR-load address"},
        };

        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                uint64_t count = entry_field(e, lists[i].count);
                uint64_t address, last;

                if (!count)
                        continue;
                address = entry_field(e, lists[i].address);
                last = address + count * 16 - 1;
                entry_bits(e, lists[i].name, address, address & 0xf,
                           "must be 0 (SDM 26.2.1.2, 26.2.1.3)");
                entry_rule(e, !((address | last) & entry_beyond(e)), lists[i].name, address,
                           "or its list's end is beyond the physical-address width "
                           "(SDM 26.2.1.2, 26.2.1.3)");
        }
}

static void check_error_code(struct entry_check *e)
{
        bool protected_mode =
            !(e->cpu2 & CPU2_UNRESTRICTED) || (entry_field(e, VMCS_GUEST_CR0) & CR0_PE);
        bool can = protected_mode && INTR_TYPE(e->inject) == INTR_EXCEPTION;
        bool has = e->inject & INTR_ERROR_CODE;
        bool any = can && (e->from->msrs->vmx[VMX_BASIC] & BASIC_ANY_ERROR_CODE);
        uint64_t code;

        entry_rule(e, any || has == (can && cpu_has_error_code(e->inject & 0xff)),
                   "entry interruption information", e->inject,
                   has ? "delivers an error code with an event that has none (SDM 26.2.1.3)"
                       : "lacks the error code of its exception (SDM 26.2.1.3)");
        if (!has)
                return;
        code = entry_field(e, VMCS_ENTRY_EXCEPTION_ERROR);
        entry_bits(e, "entry exception error code", code, code & ~0xffffull,
                   "must be 0 (SDM 26.2.1.3)");
}

static void check_injection(struct entry_check *e)
{
        static const char name[] = "entry interruption information";
        unsigned type = INTR_TYPE(e->inject);
        unsigned vector = e->inject & 0xff;

        if (!e->inject)
                return;
        entry_rule(e, type != 1, name, e->inject, "has the reserved type 1 (SDM 26.2.1.3)");
        entry_rule(e, type != INTR_NMI || vector == VECTOR_NMI, name, e->inject,
                   "is an NMI with a vector other than 2 (SDM 26.2.1.3)");
        entry_rule(e, type != INTR_EXCEPTION || vector <= 31, name, e->inject,
                   "is an exception with a vector above 31 (SDM 26.2.1.3)");
        entry_rule(e, type != INTR_OTHER || vector == 0, name, e->inject,
                   "is an 'other event' with a vector other than 0 (SDM 26.2.1.3)");
        entry_bits(e, name, e->inject, e->inject & INTR_RESERVED_BITS,
                   "is reserved (SDM 26.2.1.3)");
        check_error_code(e);
        if (type == INTR_SOFT_INT || type == INTR_PRIV_SOFT || type == INTR_SOFT_EXC) {
                uint64_t length = entry_field(e, VMCS_ENTRY_INSTRUCTION_LENGTH);
                bool zero = e->from->msrs->vmx[VMX_MISC] & MISC_ZERO_LENGTH;

                entry_rule(e, length <= 15 && (length || zero), "entry instruction length", length,
                           "is not that of an instruction (SDM 26.2.1.3)");
        }
}

static void check_host_registers(struct entry_check *e)
{
        static const struct entry_name addresses[] = {
            {VMCS_HOST_SYSENTER_ESP, "host SYSENTER_ESP"},
            {VMCS_HOST_SYSENTER_EIP, "host SYSENTER_EIP"},
            {VMCS_HOST_FS_BASE, "host FS base"},
            {VMCS_HOST_GS_BASE, "host GS base"},
            {VMCS_HOST_TR_BASE, "host TR base"},
            {VMCS_HOST_GDTR_BASE, "host GDTR base"},
            {VMCS_HOST_IDTR_BASE, "host IDTR base"},
            {VMCS_HOST_RIP, "host RIP"},
        };
        uint64_t cr3 = entry_field(e, VMCS_HOST_CR3);
        uint64_t cr4 = entry_field(e, VMCS_HOST_CR4);
        uint64_t efer;

        entry_fixed(e, "host CR0", entry_field(e, VMCS_HOST_CR0), VMX_CR0_FIXED0, CR0_CD | CR0_NW);
        entry_fixed(e, "host CR4", cr4, VMX_CR4_FIXED0, 0);
        entry_bits(e, "host CR3", cr3, cr3 & entry_beyond(e), "must be 0 (SDM 26.2.2)");
        entry_canonical(e, addresses, ARRAY_LEN(addresses), "26.2.2 to 26.2.4");
        entry_rule(e, e->exit & EXIT_HOST_64BIT, "exit controls", e->exit,
                   "return to a 32-bit host from a 64-bit hypervisor (SDM 26.2.4)");
        entry_rule(e, cr4 & CR4_PAE, "host CR4", cr4,
                   "lacks PAE (bit 5), which a 64-bit host needs (SDM 26.2.4)");
        if (e->exit & EXIT_LOAD_PAT)
                entry_pat(e, "host PAT", entry_field(e, VMCS_HOST_PAT));
        if (!(e->exit & EXIT_LOAD_EFER))
                return;
        efer = entry_field(e, VMCS_HOST_EFER);
        entry_efer(e, "host EFER", efer);
        entry_bits(e, "host EFER", efer, ~efer & (EFER_LMA | EFER_LME),
                   "must be 1 for a 64-bit host (SDM 26.2.2)");
}

static void check_host_selectors(struct entry_check *e)
{
        static const struct entry_name selectors[] = {
            {VMCS_HOST_CS_SEL, "host CS selector"}, {VMCS_HOST_TR_SEL, "host TR selector"},
            {VMCS_HOST_ES_SEL, "host ES selector"}, {VMCS_HOST_SS_SEL, "host SS selector"},
            {VMCS_HOST_DS_SEL, "host DS selector"}, {VMCS_HOST_FS_SEL, "host FS selector"},
            {VMCS_HOST_GS_SEL, "host GS selector"},
        };
        const size_t never_null = 2; /* the first ones */

        for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
                uint64_t sel = entry_field(e, selectors[i].field);

                entry_bits(e, selectors[i].name, sel, sel & SELECTOR_TI_AND_RPL,
                           "(TI, RPL) must be 0 (SDM 26.2.3)");
                entry_rule(e, sel || i >= never_null, selectors[i].name, sel,
                           "must not be 0 (SDM 26.2.3)");
        }
}

unsigned vmx_check_entry(const struct vmx_check *check)
{
        struct entry_check e = {.from = check};

        e.pin = (uint32_t)entry_field(&e, VMCS_PIN_CONTROLS);
        e.cpu = (uint32_t)entry_field(&e, VMCS_CPU_CONTROLS);
        if (e.cpu & CPU_SECONDARY)
                e.cpu2 = (uint32_t)entry_field(&e, VMCS_CPU_CONTROLS2);
        e.exit = (uint32_t)entry_field(&e, VMCS_EXIT_CONTROLS);
        e.entry = (uint32_t)entry_field(&e, VMCS_ENTRY_CONTROLS);
        e.inject = (uint32_t)entry_field(&e, VMCS_ENTRY_INTERRUPTION);
        if (!(e.inject & INTR_VALID))
                e.inject = 0;

        check_control_words(&e);
        check_control_fields(&e);
        check_msr_lists(&e);
        check_injection(&e);
        check_host_registers(&e);
        check_host_selectors(&e);
        vmx_check_guest(&e);
        return e.failed;
}

const char *vmx_check_instruction_error(uint32_t number)
{
        static const char *const words[] = {
            [4] = "VMLAUNCH with a VMCS that is not clear",
            [5] = "VMRESUME with a VMCS that was not launched",
            [6] = "VMRESUME after VMXOFF",
            [7] = "VM entry with invalid control fields",
            [8] = "VM entry with invalid host-state fields",
            [16] = "VM entry with an invalid executive-VMCS pointer",
            [17] = "VM entry with an executive VMCS that was not launched",
            [18] = "VM entry with an executive-VMCS pointer that is not the VMXON pointer",
            [25] = "VM entry with invalid execution controls in the executive VMCS",
            [26] = "VM entry with events blocked by MOV SS",
        };

        if (number >= ARRAY_LEN(words) || !words[number])
                return "a number that is none of VM entry's";
        return words[number];
}

const char *vmx_check_qualification(uint64_t qualification)
{
        switch (qualification) {
        case 0:
                return "guest state";
        case 2:
                return "loading of the PDPTEs";
        case 3:
                return "NMI injection while MOV SS blocks events";
        case 4:
                return "VMCS link pointer";
        default:
                return "an exit qualification that the SDM does not list";
        }
}
