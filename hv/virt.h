/*
 * The one interface to the CPU's virtualization extension. A backend (VT-x in hv/vmx/, SVM in
 * hv/svm/) fills in a struct virt_ops; hv/virt.c binds one at boot by feature probe. Callers in
 * guest/ see exits as hv/exit.h tells them, and never a field of a VMCS or a VMCB.
 *
 * A vCPU is used by one CPU at a time, which its VM's scheduler decides; no call takes a lock.
 * Every call with a vCPU wants it loaded on the CPU that makes the call, unless it says otherwise.
 * Functions that return int give 0 or a negative errno value.
 */
#pragma once

#include "hv/exit.h"
#include "hv/lib/types.h"
#include "hv/regs.h"

struct cpu;
struct dram;

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
        int (*read_word)(void *vcpu, gpa_t gpa, uint64_t *out);
};

/*
 * Who may touch what: policy and the backend share regs, policy between runs and in the handlers of
 * struct vcpu_fast, the backend while the guest runs. The last four are the backend's to write; cpu
 * is read by policy, on the CPU that may load the vCPU.
 */
struct vcpu {
        uint64_t regs[REG_COUNT]; /* first: the world switch stores the guest's registers here */
        uint64_t host_rsp;        /* second: the hypervisor's stack while the guest runs */
        struct vcpu_fast fast;    /* policy's: set before the first run, as regs are */
        void *arch;               /* what the backend keeps of it */
        struct cpu *cpu;          /* that holds its state; NULL: the state is in memory */
        uint32_t fast_left;       /* exits to settle before the run is ended to look about */
};

/* What the machine's extension offers beyond the required minimum; written by probe alone. */
struct virt_caps {
        uint64_t page_max; /* largest second-level page, bytes: 2 MiB or 1 GiB */
        bool rdtscp;       /* instructions that guests can have if the CPU does */
        bool invpcid;
        bool fast_strings; /* REP MOVS and STOS are fast: IA32_MISC_ENABLE bit 0 (SDM vol. 4) */
        bool virtual_apic; /* there is virt_ops.apic */
        bool holds_irq;    /* interrupts go in by virt_ops.offer_irq, not by inject_irq */
        bool kick_by_nmi;  /* Only an NMI is sure to end a guest's run at once: an interrupt does
                              not on Bochs 2.7 while RFLAGS.IF is off, against SDM vol. 3 25.2. */
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
        /* Request an interrupt. The guest's end of a level-triggered one will exit. */
        void (*raise)(struct vcpu *vcpu, uint8_t vector, bool level);
        /* Whether an interrupt is requested that the processor priority lets through. */
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
         * the vCPU. Free that part; the vCPU may be loaded on this CPU or on none. */
        must_check int (*vcpu_create)(struct vcpu *vcpu, hpa_t root, struct dram *dram);
        void (*vcpu_destroy)(struct vcpu *vcpu);

        /* Load a vCPU that is in memory into this CPU, in the place of the one there if any. Bring
         * it back into memory, so that any CPU may load it. */
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

        /* Each of these is injected at the next run. Error codes count where the vector has one. */
        void (*inject_exception)(struct vcpu *vcpu, uint8_t vector, uint32_t error);
        void (*inject_page_fault)(struct vcpu *vcpu, uint64_t gva, uint32_t error);
        void (*inject_irq)(struct vcpu *vcpu, uint8_t vector);
        /* Returns whether the guest can take an NMI now, and it is injected. If not, the next run
         * ends when the guest can. */
        must_check bool (*inject_nmi)(struct vcpu *vcpu);
        /* Whether inject_irq may be called now: IF set, no shadow, nothing else to be injected. */
        bool (*can_take_irq)(struct vcpu *vcpu);
        void (*want_irq_window)(struct vcpu *vcpu, bool on);
        /*
         * Only with caps.holds_irq: offer an interrupt in place of the one before, or with 0 none.
         * The CPU delivers it by itself as soon as the guest can take it, and takes no look at the
         * task priority. offer_waits tells whether the one that was offered last still waits.
         */
        void (*offer_irq)(struct vcpu *vcpu, uint8_t vector);
        bool (*offer_waits)(struct vcpu *vcpu);

        /* The vCPU exits with VM_EXIT_TIMER once the TSC has reached this value; UINT64_MAX: never.
         */
        void (*set_deadline)(struct vcpu *vcpu, uint64_t tsc);

        /* Forget cached translations of this vCPU, its own and those of the second level. */
        void (*flush_tlb)(struct vcpu *vcpu);

        /* NULL without caps.virtual_apic. */
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

/* The same on another CPU. -ENODEV: it has not what the first one has, as was printed. */
must_check int virt_start_cpu(struct dram *dram);
