/*
 * Registers that a guest has for itself while it runs and that no VMCS or VMCB switches: FPU and
 * vector state, XCR0, debug registers, and the system-call MSRs. The hypervisor uses none of them.
 */
#pragma once

/* Put all of them into their reset state, so that a vCPU finds nothing of the one before it. */
void lent_state_reset(void);
