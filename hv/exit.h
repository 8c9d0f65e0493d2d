/* Why a guest's run has ended, told alike for both vendors: what virt->run fills in. */
#pragma once

#include "hv/lib/types.h"

enum vm_exit_kind {
        VM_EXIT_HANDLED,      /* an interrupt, or done by the backend: just run again */
        VM_EXIT_CPUID,        /* counted only: see struct vcpu_fast */
        VM_EXIT_HYPERCALL,    /* VMCALL or VMMCALL, cpl is the guest's; skip after handling */
        VM_EXIT_IO,           /* port access, see io; skip after handling */
        VM_EXIT_MSR_READ,     /* RDMSR of regs[RCX]; skip after handling */
        VM_EXIT_MSR_WRITE,    /* WRMSR of regs[RCX]; skip after handling */
        VM_EXIT_MEMORY,       /* access that the second-level tables do not allow, see memory */
        VM_EXIT_HALT,         /* HLT; skip after handling */
        VM_EXIT_TIMER,        /* the deadline of set_deadline has passed */
        VM_EXIT_IRQ_WINDOW,   /* the guest can take an interrupt now, as asked by want_irq_window */
        VM_EXIT_XSETBV,       /* XSETBV; skip after handling */
        VM_EXIT_CR8,          /* MOV to or from CR8, see cr8; skip after handling */
        VM_EXIT_REFUSED,      /* a control register value the guest may not have: inject #GP */
        VM_EXIT_UNDEFINED,    /* an instruction the guest does not have: inject #UD */
        VM_EXIT_CACHE,        /* WBINVD or INVD; skip after handling */
        VM_EXIT_SHUTDOWN,     /* triple fault */
        VM_EXIT_ENTRY_FAILED, /* the CPU refused the guest state; the backend has printed why */
        VM_EXIT_APIC_END,     /* the guest has ended the level-triggered interrupt vector */
        VM_EXIT_APIC_SELF,    /* the guest has sent itself an IPI of a vector below 16 */
        VM_EXIT_TASK,         /* a task switch by hardware, which the backend cannot do */
        VM_EXIT_UNEXPECTED,   /* anything else; reason is the vendor's number */
        VM_EXIT_KINDS
};

struct vm_exit_io {
        uint16_t port;
        uint8_t size; /* 1, 2 or 4 bytes */
        bool in;
        bool string; /* INS/OUTS */
        bool rep;
};

struct vm_exit_memory {
        gpa_t gpa;
        bool write;
        bool fetch;
        bool implicit; /* the CPU's own: of a page table, or to deliver an event */
};

struct vm_exit_cr8 {
        uint8_t reg; /* enum vcpu_reg */
        bool write;
};

struct vm_exit {
        enum vm_exit_kind kind;
        uint32_t reason; /* the vendor's own exit reason, for statistics and reports */
        union {
                struct vm_exit_io io;
                struct vm_exit_memory memory;
                struct vm_exit_cr8 cr8;
                uint8_t cpl;
                uint8_t vector;
        };
};
