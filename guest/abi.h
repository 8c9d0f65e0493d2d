/*
 * Permafrost's own guest interface: CPUID leaves and hypercalls. Plain C with <stdint.h> only, so
 * that code inside a guest can include it.
 *
 * A guest finds Permafrost by CPUID leaf 40000000h: EAX is the highest leaf of the block, EBX, ECX
 * and EDX spell PERMAFROST_SIGNATURE. KVM's paravirtual block stands behind it at 40000100h.
 *
 * A hypercall is VMCALL on Intel's CPUs, VMMCALL on AMD's, in privilege level 0 with the number in
 * RAX and arguments in RDI, RSI and RDX. RAX returns a value that is not negative, or a negative
 * error number. All other registers are kept.
 */
#pragma once

#include <stdint.h>

#define PERMAFROST_CPUID_BASE 0x40000000u
#define PERMAFROST_SIGNATURE  "PermafrostHV"
/* The same as the registers hold it, four characters each. */
#define PERMAFROST_SIGNATURE_EBX 0x6d726550u
#define PERMAFROST_SIGNATURE_ECX 0x6f726661u
#define PERMAFROST_SIGNATURE_EDX 0x56487473u

#define PERMAFROST_ABI_VERSION 2 /* 1: without DOMAIN and DRAIN */

#define PERMAFROST_HC_VERSION 0x50460000u /* returns PERMAFROST_ABI_VERSION */
#define PERMAFROST_HC_REGIONS 0x50460001u /* returns how many NVRAM regions the VM has */
/* RDI: index of a region; RSI: guest-physical address, 8-byte aligned, of a struct
 * permafrost_region that is filled in. Returns 0. */
#define PERMAFROST_HC_REGION 0x50460002u
/* Returns the persistence domain that the platform declares, PERMAFROST_DOMAIN_*. */
#define PERMAFROST_HC_DOMAIN 0x50460003u
/* Drain the memory controllers into the NVRAM by the platform's flush hints, if it has any: what
 * the VM had flushed and fenced before is durable when this returns 0. Needed only where the
 * domain is neither ADR nor EADR. */
#define PERMAFROST_HC_DRAIN 0x50460004u

#define PERMAFROST_ENOENT 2  /* no such region */
#define PERMAFROST_EPERM  1  /* not called from privilege level 0 */
#define PERMAFROST_EFAULT 14 /* the address is not the VM's own memory, or not aligned */
#define PERMAFROST_ENOSYS 38 /* no such hypercall */

#define PERMAFROST_REGION_SIMULATED 1u /* volatile memory plays NVRAM: gone with the power */
#define PERMAFROST_REGION_READ_ONLY 2u /* a store raises #GP */
#define PERMAFROST_REGION_VOLATILE  4u /* not kept: simulated, or on an NVDIMM that is not armed */

/* How far a store must have come to outlive a loss of power. */
#define PERMAFROST_DOMAIN_UNKNOWN 0 /* the firmware does not tell: flush and fence */
#define PERMAFROST_DOMAIN_NONE    1 /* the firmware tells that neither of the two below holds */
#define PERMAFROST_DOMAIN_ADR     2 /* to the memory controller: flush and fence */
#define PERMAFROST_DOMAIN_EADR    3 /* to the CPU's caches: a fence is enough */

struct permafrost_region {
        char name[32]; /* terminated */
        uint64_t gpa;  /* bytes */
        uint64_t size; /* bytes */
        uint32_t flags;
        uint32_t reserved; /* 0 */
};
