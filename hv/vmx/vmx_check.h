/*
 * Why did VM entry fail? The CPU's own checks of SDM vol. 3 26.2 (controls, host state) and 26.3
 * (guest state) once more in software, each failed one told in words. Reads, never writes.
 *
 * Section numbers are those of the SDM editions in which the VMCS is chapter 24. Rules of controls
 * that the hypervisor never sets (APIC virtualization, VM functions, SMM...) are not repeated here.
 */
#pragma once

#include "hv/lib/types.h"
#include "hv/vmx/vmcs.h"
#include "hv/vmx/vmx_caps.h"

/* VMREAD of the current VMCS, or a test's table. Asked only for fields that the CPU has. */
typedef uint64_t (*vmcs_reader)(void *ctx, enum vmcs_field field);

struct vmx_check {
        vmcs_reader read;
        void *read_ctx;
        const struct vmx_msrs *msrs;
        report_fn report; /* one line a failed check: field, value, rule and SDM section */
        void *report_ctx;
};

/* Go through all checks in the CPU's order; returns how many fail. */
unsigned vmx_check_entry(const struct vmx_check *check);

/* VMCS_INSTRUCTION_ERROR of VMLAUNCH and VMRESUME in words (SDM 30.4). */
const char *vmx_check_instruction_error(uint32_t number);

/* What the exit qualification adds to an entry failure for invalid guest state (SDM 26.3). */
const char *vmx_check_qualification(uint64_t qualification);
