/*
 * VMCS field encodings (SDM vol. 3 appendix B), execution-control bits (24.6 to 24.8) and basic
 * exit reasons (appendix C): only those that the VT-x backend uses. Values, no behaviour.
 */
#pragma once

enum vmcs_field {
        /* 16-bit */
        VMCS_VPID = 0x0000,
        VMCS_GUEST_ES_SEL = 0x0800,
        VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
        VMCS_HOST_ES_SEL = 0x0c00,
        VMCS_HOST_CS_SEL = 0x0c02,
        VMCS_HOST_SS_SEL = 0x0c04,
        VMCS_HOST_DS_SEL = 0x0c06,
        VMCS_HOST_FS_SEL = 0x0c08,
        VMCS_HOST_GS_SEL = 0x0c0a,
        VMCS_HOST_TR_SEL = 0x0c0c,
        /* 64-bit */
        VMCS_MSR_BITMAP = 0x2004,
        VMCS_EXIT_MSR_STORE_ADDRESS = 0x2006,
        VMCS_EXIT_MSR_LOAD_ADDRESS = 0x2008,
        VMCS_ENTRY_MSR_LOAD_ADDRESS = 0x200a,
        VMCS_VIRTUAL_APIC_ADDRESS = 0x2012,
        VMCS_EPT_POINTER = 0x201a,
        VMCS_EOI_EXIT_BITMAP = 0x201c, /* the first of four */
        VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
        VMCS_LINK_POINTER = 0x2800,
        VMCS_GUEST_DEBUGCTL = 0x2802,
        VMCS_GUEST_PAT = 0x2804,
        VMCS_GUEST_EFER = 0x2806,
        VMCS_GUEST_PDPTE0 = 0x280a,
        VMCS_HOST_PAT = 0x2c00,
        VMCS_HOST_EFER = 0x2c02,
        /* 32-bit */
        VMCS_PIN_CONTROLS = 0x4000,
        VMCS_CPU_CONTROLS = 0x4002,
        VMCS_EXCEPTION_BITMAP = 0x4004,
        VMCS_PF_ERROR_MASK = 0x4006,
        VMCS_PF_ERROR_MATCH = 0x4008,
        VMCS_CR3_TARGET_COUNT = 0x400a,
        VMCS_EXIT_CONTROLS = 0x400c,
        VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
        VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
        VMCS_ENTRY_CONTROLS = 0x4012,
        VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
        VMCS_ENTRY_INTERRUPTION = 0x4016,
        VMCS_ENTRY_EXCEPTION_ERROR = 0x4018,
        VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401a,
        VMCS_TPR_THRESHOLD = 0x401c,
        VMCS_CPU_CONTROLS2 = 0x401e,
        VMCS_INSTRUCTION_ERROR = 0x4400,
        VMCS_EXIT_REASON = 0x4402,
        VMCS_EXIT_INTERRUPTION = 0x4404,
        VMCS_EXIT_INTERRUPTION_ERROR = 0x4406,
        VMCS_IDT_VECTORING = 0x4408,
        VMCS_IDT_VECTORING_ERROR = 0x440a,
        VMCS_EXIT_INSTRUCTION_LENGTH = 0x440c,
        VMCS_GUEST_ES_LIMIT = 0x4800,
        VMCS_GUEST_GDTR_LIMIT = 0x4810,
        VMCS_GUEST_IDTR_LIMIT = 0x4812,
        VMCS_GUEST_ES_ACCESS = 0x4814,
        VMCS_GUEST_CS_ACCESS = 0x4816,
        VMCS_GUEST_SS_ACCESS = 0x4818,
        VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
        VMCS_GUEST_ACTIVITY = 0x4826,
        VMCS_GUEST_SYSENTER_CS = 0x482a,
        VMCS_PREEMPTION_TIMER = 0x482e,
        VMCS_HOST_SYSENTER_CS = 0x4c00,
        /* natural width */
        VMCS_CR0_MASK = 0x6000,
        VMCS_CR4_MASK = 0x6002,
        VMCS_CR0_SHADOW = 0x6004,
        VMCS_CR4_SHADOW = 0x6006,
        VMCS_EXIT_QUALIFICATION = 0x6400,
        VMCS_GUEST_CR0 = 0x6800,
        VMCS_GUEST_CR3 = 0x6802,
        VMCS_GUEST_CR4 = 0x6804,
        VMCS_GUEST_ES_BASE = 0x6806,
        VMCS_GUEST_GDTR_BASE = 0x6816,
        VMCS_GUEST_IDTR_BASE = 0x6818,
        VMCS_GUEST_DR7 = 0x681a,
        VMCS_GUEST_RSP = 0x681c,
        VMCS_GUEST_RIP = 0x681e,
        VMCS_GUEST_RFLAGS = 0x6820,
        VMCS_GUEST_PENDING_DEBUG = 0x6822,
        VMCS_GUEST_SYSENTER_ESP = 0x6824,
        VMCS_GUEST_SYSENTER_EIP = 0x6826,
        VMCS_HOST_CR0 = 0x6c00,
        VMCS_HOST_CR3 = 0x6c02,
        VMCS_HOST_CR4 = 0x6c04,
        VMCS_HOST_FS_BASE = 0x6c06,
        VMCS_HOST_GS_BASE = 0x6c08,
        VMCS_HOST_TR_BASE = 0x6c0a,
        VMCS_HOST_GDTR_BASE = 0x6c0c,
        VMCS_HOST_IDTR_BASE = 0x6c0e,
        VMCS_HOST_SYSENTER_ESP = 0x6c10,
        VMCS_HOST_SYSENTER_EIP = 0x6c12,
        VMCS_HOST_RSP = 0x6c14,
        VMCS_HOST_RIP = 0x6c16,
};

/* The guest's segment fields go in steps of 2 in the order ES CS SS DS FS GS LDTR TR, which is the
 * order of enum vcpu_segment_name. */
#define VMCS_SEGMENT_STEP 2u

/* Pin-based controls, SDM 24.6.1. */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI                (1u << 3)
#define PIN_VIRTUAL_NMI        (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)

/* Primary processor-based controls, SDM 24.6.2. */
#define CPU_INTERRUPT_WINDOW (1u << 2)
#define CPU_HLT              (1u << 7)
#define CPU_MWAIT            (1u << 10)
#define CPU_RDPMC            (1u << 11)
#define CPU_CR3_LOAD         (1u << 15)
#define CPU_CR3_STORE        (1u << 16)
#define CPU_CR8_LOAD         (1u << 19)
#define CPU_CR8_STORE        (1u << 20)
#define CPU_TPR_SHADOW       (1u << 21)
#define CPU_NMI_WINDOW       (1u << 22)
#define CPU_IO               (1u << 24)
#define CPU_MSR_BITMAP       (1u << 28)
#define CPU_MONITOR          (1u << 29)
#define CPU_SECONDARY        (1u << 31)

/* Secondary processor-based controls, SDM 24.6.2. */
#define CPU2_EPT                (1u << 1)
#define CPU2_RDTSCP             (1u << 3)
#define CPU2_X2APIC             (1u << 4)
#define CPU2_VPID               (1u << 5)
#define CPU2_WBINVD             (1u << 6)
#define CPU2_UNRESTRICTED       (1u << 7)
#define CPU2_APIC               (CPU2_X2APIC | CPU2_APIC_REGISTERS | CPU2_INTERRUPT_DELIVERY)
#define CPU2_APIC_REGISTERS     (1u << 8)
#define CPU2_INTERRUPT_DELIVERY (1u << 9)
#define CPU2_INVPCID            (1u << 12)

/* VM-exit controls, SDM 24.7.1, and VM-entry controls, 24.8.1. */
#define EXIT_SAVE_DEBUG    (1u << 2)
#define EXIT_HOST_64BIT    (1u << 9)
#define EXIT_ACK_INTERRUPT (1u << 15)
#define EXIT_SAVE_PAT      (1u << 18)
#define EXIT_LOAD_PAT      (1u << 19)
#define EXIT_SAVE_EFER     (1u << 20)
#define EXIT_LOAD_EFER     (1u << 21)
#define EXIT_SAVE_TIMER    (1u << 22)
#define ENTRY_LOAD_DEBUG   (1u << 2)
#define ENTRY_GUEST_64BIT  (1u << 9)
#define ENTRY_SMM          (1u << 10)
#define ENTRY_DUAL_MONITOR (1u << 11)
#define ENTRY_LOAD_PAT     (1u << 14)
#define ENTRY_LOAD_EFER    (1u << 15)

/* Interruption information, SDM 24.8.3 and 24.9.2. */
#define INTR_VALID      (1u << 31)
#define INTR_ERROR_CODE (1u << 11)
#define INTR_TYPE(i)    (((i) >> 8) & 7)
#define INTR_EXTERNAL   0u
#define INTR_NMI        2u
#define INTR_EXCEPTION  3u
#define INTR_SOFT_INT   4u
#define INTR_PRIV_SOFT  5u
#define INTR_SOFT_EXC   6u
#define INTR_OTHER      7u

/* Interruptibility state, SDM table 24-3; access rights, table 24-2. */
#define BLOCKED_BY_STI    (1u << 0)
#define BLOCKED_BY_MOV_SS (1u << 1)
#define BLOCKED_BY_SMI    (1u << 2)
#define BLOCKED_BY_NMI    (1u << 3)
#define SEGMENT_UNUSABLE  (1u << 16)

#define ACTIVITY_ACTIVE 0u
#define ACTIVITY_HLT    1u

#define EXIT_REASON_ENTRY_FAILURE (1u << 31)

enum vmx_exit_reason {
        REASON_EXCEPTION_OR_NMI = 0,
        REASON_EXTERNAL_INTERRUPT = 1,
        REASON_TRIPLE_FAULT = 2,
        REASON_INTERRUPT_WINDOW = 7,
        REASON_NMI_WINDOW = 8,
        REASON_TASK_SWITCH = 9,
        REASON_CPUID = 10,
        REASON_GETSEC = 11,
        REASON_HLT = 12,
        REASON_INVD = 13,
        REASON_RDPMC = 15,
        REASON_VMCALL = 18,
        REASON_VMCLEAR = 19,
        REASON_VMXON = 27,
        REASON_CR_ACCESS = 28,
        REASON_IO = 30,
        REASON_RDMSR = 31,
        REASON_WRMSR = 32,
        REASON_MWAIT = 36,
        REASON_MONITOR = 39,
        REASON_MACHINE_CHECK_ENTRY = 41,
        REASON_VIRTUALIZED_EOI = 45,
        REASON_EPT_VIOLATION = 48,
        REASON_INVEPT = 50,
        REASON_PREEMPTION_TIMER = 52,
        REASON_INVVPID = 53,
        REASON_WBINVD = 54,
        REASON_XSETBV = 55,
        REASON_APIC_WRITE = 56,
};
