/*
 * The one interface to the CPU's virtualization extension. A backend (VT-x in hv/vmx/, SVM in
 * hv/svm/) fills in a struct virt_ops; hv/virt.c binds one at boot by feature probe. Callers in
 * guest/ see normalised exits and never a field of a VMCS or a VMCB.
 *
 * A vCPU is used by one CPU at a time, and every call that takes one wants it loaded on the CPU
 * that makes the call. Functions returning int give 0 or a negative errno value.
 */
#pragma once

#include "hv/lib/types.h"

struct cpu;
struct dram;

/* General registers in the order of their x86 encoding; RSP stands in struct vcpu_state instead. */
enum vcpu_reg {
        REG_RAX,
        REG_RCX,
        REG_RDX,
        REG_RBX,
        REG_RSP,
        REG_RBP,
        REG_RSI,
        REG_RDI,
        REG_R8,
        REG_R15 = 15,
        REG_COUNT
};

enum vcpu_segment_name {
        SEG_ES,
        SEG_CS,
        SEG_SS,
        SEG_DS,
        SEG_FS,
        SEG_GS,
        SEG_LDTR,
        SEG_TR,
        SEG_COUNT
};

struct vcpu_segment {
        uint64_t base;
        uint32_t limit;
        uint16_t selector;
        uint16_t access; /* descriptor bits 40-47 and 52-55 as the SDM's access rights, 24.4.1; bit
                            16 of them (unusable) is told by access == 0 */
};

/* The register state outside the general registers; used at reset, for decoding and for reports. */
struct vcpu_state {
        uint64_t rip, rsp, rflags;
        uint64_t cr0, cr2, cr3, cr4, efer;
        struct vcpu_segment seg[SEG_COUNT];
        uint64_t gdt_base, idt_base;
        uint16_t gdt_limit, idt_limit;
        uint64_t dr7;
        uint8_t cpl; /* told only, never taken: it follows from the segments */
};

enum vm_exit_kind {
        VM_EXIT_HOST,         /* the host's own event (an interrupt), handled: just run again */
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

struct vcpu;

/*
 * Exits that policy answers from the vCPU's registers alone, without leaving run: the most frequent
 * ones cost only the round trip. Afterwards the instruction is stepped over and the guest goes on.
 * hypercall and msr_read return whether they have answered; if not, run returns the exit. The
 * handlers may not make an interrupt pending nor ask which CPU this is, and of virt they may call
 * get_cr4 only.
 *
 * read_word reads 8 bytes, aligned to 8, of the guest's memory, for backends that must look at an
 * instruction themselves: 0, or a negative errno value when they are not the guest's.
 */
struct vcpu_fast {
        void (*cpuid)(struct vcpu *vcpu);
        bool (*hypercall)(struct vcpu *vcpu, unsigned cpl);
        bool (*msr_read)(struct vcpu *vcpu);
        int (*read_word)(struct vcpu *vcpu, gpa_t gpa, uint64_t *out);
};

struct vcpu {
        uint64_t regs[REG_COUNT]; /* first: the backend's exit code pushes the registers here */
        uint64_t host_rsp;        /* second: the backend's, while the guest runs */
        void *arch;               /* the backend's own */
        struct cpu *cpu;          /* that holds its state; NULL: it is in memory */
        struct vcpu_fast fast;    /* set before the first run, as the registers are */
        uint32_t fast_left;       /* the backend's: exits to settle before it looks about */
};

/* What the machine's extension offers beyond the required minimum; filled in by probe. */
struct virt_caps {
        uint64_t page_max; /* largest second-level page, bytes: 2 MiB or 1 GiB */
        bool rdtscp;       /* instructions that guests can have if the CPU does */
        bool invpcid;
        bool fast_strings; /* REP MOVS and STOS are fast: IA32_MISC_ENABLE bit 0 (SDM vol. 4) */
        bool virtual_apic; /* there is virt_ops.apic */
        bool holds_irq;    /* interrupts go in by virt_ops.offer_irq, not by inject_irq */
        /* only an NMI is sure to end a guest's run at once: an interrupt does not on Bochs 2.7
         * while the guest has RFLAGS.IF off, against SDM vol. 3 25.2 */
        bool kick_by_nmi;
};

/*
 * A local APIC in x2APIC mode that the CPU virtualizes (SDM vol. 3 29): it delivers interrupts by
 * priority as soon as the guest can take them, and the guest reads all registers but the timer's
 * current count, writes TPR, CR8 and EOI and sends IPIs to itself without exits. Other writes exit
 * as ever; IRR, ISR, TMR, TPR and PPR are the CPU's, the values of the others are told by set.
 */
struct virt_apic_ops {
        /* Give a vCPU its APIC, for its whole life; as after reset. -ENOMEM. */
        must_check int (*create)(struct vcpu *vcpu);
        /* As after a reset of the vCPU: all registers are 0; it works again after stop. */
        void (*reset)(struct vcpu *vcpu);
        /* The guest has switched its APIC off: all accesses exit. */
        void (*stop)(struct vcpu *vcpu);
        /* The guest is to read this in a register, by its x2APIC number: MSR - 800h. */
        void (*set)(struct vcpu *vcpu, unsigned reg, uint64_t value);
        /* Request an interrupt; the end of one that is level-triggered will exit. */
        void (*raise)(struct vcpu *vcpu, uint8_t vector, bool level);
        /* Whether one is requested that the processor priority lets through. */
        bool (*irq_waits)(struct vcpu *vcpu);
};

struct virt_ops {
        const char *name;
        const struct paging_format *second_level;

        /* Whether this CPU has the extension at all. */
        bool (*present)(void);

        /*
         * Check every required capability of this CPU. Prints one line for each that is missing
         * with the bit that says so, and returns -ENODEV if any is. Fills in caps. On a CPU that is
         * not the first: the same when it differs from the first, whose capabilities stay those of
         * the machine.
         */
        must_check int (*probe)(bool first, struct virt_caps *caps);

        /* Switch the extension on on this CPU, for good; the memory it takes from dram stays. */
        must_check int (*cpu_enable)(struct dram *dram);

        /* Allocate (from DRAM) the backend's part of a vCPU that translates through root, and load
         * it; free it, of a vCPU that may be loaded on this CPU or on none. */
        must_check int (*vcpu_create)(struct vcpu *vcpu, hpa_t root, struct dram *dram);
        void (*vcpu_destroy)(struct vcpu *vcpu);

        /*
         * Bring a vCPU that is in memory into this CPU, in the place of the one there if any; back
         * into memory, so that any CPU may load it.
         */
        void (*load)(struct vcpu *vcpu);
        void (*unload)(struct vcpu *vcpu);

        uint64_t (*get_cr4)(struct vcpu *vcpu);
        void (*get_state)(struct vcpu *vcpu, struct vcpu_state *state);
        void (*set_state)(struct vcpu *vcpu, const struct vcpu_state *state);

        /* Set the guest's XCR0; the caller has checked the value against SDM vol. 1 13.3. */
        void (*set_xcr0)(struct vcpu *vcpu, uint64_t value);

        /* Run the guest until something needs the caller; exit is filled in on every return. */
        void (*run)(struct vcpu *vcpu, struct vm_exit *exit);

        /*
         * Step over the instruction that caused the last exit: skip by the length that the CPU
         * tells, advance by bytes (after VM_EXIT_MEMORY it tells none; 0 between the elements of
         * string I/O). RIP wraps outside of 64-bit code, an STI or MOV SS shadow and RFLAGS.RF end,
         * and the trap of single-stepping follows.
         */
        void (*skip)(struct vcpu *vcpu);
        void (*advance)(struct vcpu *vcpu, unsigned bytes);

        /* Inject at the next run: an exception (error code where the vector has one), an interrupt.
         */
        void (*inject_exception)(struct vcpu *vcpu, uint8_t vector, uint32_t error);
        /* A page fault, with its address in CR2. */
        void (*inject_page_fault)(struct vcpu *vcpu, uint64_t gva, uint32_t error);
        void (*inject_irq)(struct vcpu *vcpu, uint8_t vector);
        /* Inject an NMI at the next run if the guest can take one now; whether it does. If not,
         * that run ends when the guest can. */
        must_check bool (*inject_nmi)(struct vcpu *vcpu);
        /* Whether inject_irq may be called now: IF set, no shadow, nothing else to be injected. */
        bool (*can_take_irq)(struct vcpu *vcpu);
        void (*want_irq_window)(struct vcpu *vcpu, bool on);
        /*
         * Only with caps.holds_irq: offer an interrupt, in place of the one before; 0: none any
         * more. The CPU delivers it by itself as soon as the guest can take it, and takes no look
         * at the task priority. Whether the one that was offered last still waits.
         */
        void (*offer_irq)(struct vcpu *vcpu, uint8_t vector);
        bool (*offer_waits)(struct vcpu *vcpu);

        /* Exit with VM_EXIT_TIMER once the TSC has reached this value; UINT64_MAX: never. */
        void (*set_deadline)(struct vcpu *vcpu, uint64_t tsc);

        /* Forget cached translations of this vCPU, its own and those of the second level. */
        void (*flush_tlb)(struct vcpu *vcpu);

        /* Only with caps.virtual_apic. */
        const struct virt_apic_ops *apic;
};

/* The bound backend; NULL until virt_init has succeeded. */
extern const struct virt_ops *virt;
extern struct virt_caps virt_caps;

/*
 * Bind the backend whose extension this CPU has, and switch it on. -ENODEV: what is missing has
 * been printed, for every backend when the CPU has none of the extensions.
 */
must_check int virt_init(struct dram *dram);

/*
 * The same on another CPU: -ENODEV when it has not what the first one has (printed).
 */
must_check int virt_start_cpu(struct dram *dram);
