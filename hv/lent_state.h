/*
 * Registers that a guest has for itself while its vCPU is loaded and that no VMCS or VMCB switches:
 * FPU and vector state, XCR0, debug registers, TSC_AUX; for VT-x also CR2, DR6 and the MSRs of
 * system calls. The hypervisor uses none of them.
 */
#pragma once

#include "hv/lib/types.h"

#define LENT_VECTORS_SIZE                                                                          \
        3072u /* XSAVE area of every state that cpuid.c offers, standard format                    \
               */

struct vcpu;

struct lent_state {
        uint8_t vectors[LENT_VECTORS_SIZE] __attribute__((aligned(64)));
        uint64_t xcr0;
        uint64_t dr[4];
        uint64_t tsc_aux;
        uint64_t cr2, dr6;
        uint64_t msr[5];
};

/* Switch on what saving and loading need; once a CPU. -ENODEV: this one has not the same state as
 * the first (logged). */
must_check int lent_state_enable(void);

/* The state after a CPU's reset. */
void lent_state_reset(struct lent_state *s);

/* From this CPU, to this CPU. */
void lent_state_save(struct lent_state *s);
void lent_state_load(const struct lent_state *s);

/* virt_ops.set_xcr0 of both: the register stays the guest's while the hypervisor runs. */
void lent_set_xcr0(struct vcpu *vcpu, uint64_t value);

/* The part that SVM switches itself: CR2, DR6 and the MSRs of system calls. */
void lent_msrs_save(struct lent_state *s);
void lent_msrs_load(const struct lent_state *s);
