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

#define PERMAFROST_ABI_VERSION 1

#define PERMAFROST_HC_VERSION 0x50460000u /* returns PERMAFROST_ABI_VERSION */
#define PERMAFROST_HC_REGIONS 0x50460001u /* returns how many NVRAM regions the VM has */
/* RDI: index of a region; RSI: guest-physical address, 8-byte aligned, of a struct
 * permafrost_region that is filled in. Returns 0. */
#define PERMAFROST_HC_REGION 0x50460002u

#define PERMAFROST_ENOENT 2  /* no such region */
#define PERMAFROST_EPERM  1  /* not called from privilege level 0 */
#define PERMAFROST_EFAULT 14 /* the address is not the VM's own memory, or not aligned */
#define PERMAFROST_ENOSYS 38 /* no such hypercall */

#define PERMAFROST_REGION_SIMULATED 1u /* volatile memory plays NVRAM: gone with the power */
#define PERMAFROST_REGION_READ_ONLY 2u /* a store raises #GP */

struct permafrost_region {
        char name[32]; /* terminated */
        uint64_t gpa;  /* bytes */
        uint64_t size; /* bytes */
        uint32_t flags;
        uint32_t reserved; /* 0 */
};
