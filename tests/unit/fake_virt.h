/*
 * A virtualization backend without a CPU: its run plays a script of exits, its other operations
 * record what the policy did. It also stands in for the machine's local APIC and trap tables, which
 * only exist on bare metal.
 *
 * A struct vm for the policy is built by fake_vm_create with the real vm_create, from hosted
 * memory.
 */
#pragma once

#include "guest/vm/vcpu.h"
#include "guest/vm/vm.h"

/* An exit, and what the guest has in the registers that instructions with an exit use. */
struct fake_step {
        struct vm_exit exit;
        uint64_t rax, rcx, rdx;
        uint8_t cpl; /* of a hypercall */
};

/* All since the last fake_play, but state and the fields up to it, which are the test's. */
struct fake_virt {
        struct vcpu_state state; /* what get_state tells */
        bool irqs_blocked;       /* what can_take_irq tells, negated */
        bool window;             /* asked for by want_irq_window */
        uint8_t offered;         /* by offer_irq, and not taken by the test; 0: none */
        unsigned skips, halts;
        unsigned skips_at_set; /* how many were before the last set_state */
        unsigned advanced;     /* bytes */
        unsigned exceptions;
        uint8_t exception; /* the last */
        uint32_t error;    /* of the last page fault; its address is in state */
        unsigned irqs;
        uint8_t irq; /* the last */
        uint64_t deadline;
        unsigned xcr0_writes;
        uint64_t xcr0;
        unsigned nmis, flushes;
        unsigned apic_resets, apic_stops, apic_irqs; /* of the virtualized local APIC */
        bool level;                                  /* of the last interrupt */
        uint64_t apic[64];                           /* its registers, kept from play to play */
        uint64_t regs[REG_COUNT];                    /* the guest's after the last step */
        unsigned vcpus;                              /* alive */
};

extern struct fake_virt fake;

/* Bind the backend and build the VM, with 16 MiB. Panics when that fails. */
void fake_vm_create(struct vm *vm);
void fake_vm_destroy(struct vm *vm);

/* What the VM was built from: for tests that build others. */
const struct vm_machine *fake_vm_machine(void);
const struct vm_config *fake_vm_config(void);

/* CPU 0 runs a vCPU of the built VMs until it leaves, if one wants to run. */
void fake_turn(void);

/* Let the next run go through count steps; then the guest powers off. */
void fake_load(const struct fake_step *steps, size_t count);

/*
 * Run the VM through count steps; then the guest powers off. Returns how the run ended, which is
 * VM_POWERED_OFF unless a step ended it.
 */
enum vm_end fake_play(struct vm *vm, const struct fake_step *steps, size_t count);
