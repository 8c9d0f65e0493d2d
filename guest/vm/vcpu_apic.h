/*
 * The local APIC of a vCPU where the CPU virtualizes it (virt_apic_ops): the model in vlapic.h
 * keeps the registers whose writes exit, sends IPIs and runs the timer; what it has for the vCPU is
 * handed over to the CPU's, which knows of priorities. The vCPU is loaded on the caller's CPU.
 */
#pragma once

#include "guest/vm/vcpu.h"

/* After vcpu_create, where vm->virtual_apic. -ENOMEM. */
must_check int vcpu_apic_create(struct vm_vcpu *v);

/* The model was reset: so is what the CPU virtualizes. */
void vcpu_apic_reset(struct vm_vcpu *v);

/* The guest has written an MSR: what it reads from now on. */
void vcpu_apic_written(struct vm_vcpu *v, uint32_t msr);

/* Hand over all that the model has. Only with vm->virtual_apic. */
void vcpu_apic_hand_over(struct vm_vcpu *v);
