/*
 * The local APIC's registers by number (SDM vol. 3 tables 10-1 and 10-6), for the driver of the
 * machine's own and for all that make a guest's: in x2APIC mode a register is MSR 800h + number, in
 * xAPIC mode and in VT-x' virtual-APIC page it stands at 16 * number.
 */
#pragma once

enum apic_register {
        APIC_REG_ID = 0x02,
        APIC_REG_VERSION = 0x03,
        APIC_REG_TPR = 0x08,
        APIC_REG_PPR = 0x0a,
        APIC_REG_EOI = 0x0b,
        APIC_REG_LDR = 0x0d,
        APIC_REG_SVR = 0x0f,
        APIC_REG_ISR = 0x10, /* 8 registers each of ISR, TMR and IRR, a bit a vector */
        APIC_REG_TMR = 0x18,
        APIC_REG_IRR = 0x20,
        APIC_REG_IRR_LAST = 0x27,
        APIC_REG_ESR = 0x28,
        APIC_REG_LVT_CMCI = 0x2f,
        APIC_REG_ICR = 0x30,
        APIC_REG_ICR_HIGH = 0x31, /* xAPIC only */
        APIC_REG_LVT_TIMER = 0x32,
        APIC_REG_LVT_THERMAL = 0x33,
        APIC_REG_LVT_PERF = 0x34,
        APIC_REG_LVT_LINT0 = 0x35,
        APIC_REG_LVT_LINT1 = 0x36,
        APIC_REG_LVT_ERROR = 0x37,
        APIC_REG_TIMER_INITIAL = 0x38,
        APIC_REG_TIMER_CURRENT = 0x39,
        APIC_REG_TIMER_DIVIDE = 0x3e,
        APIC_REG_SELF_IPI = 0x3f /* x2APIC only */
};
