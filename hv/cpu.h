/*
 * Privileged x86-64 instructions as inline functions, and the architectural numbers more than one
 * file needs. Names follow the SDM. Nothing here keeps state.
 */
#pragma once

#include "hv/lib/types.h"

/* Control register bits, SDM vol. 3 2.5. */
#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_PSE     (1ull << 4)
#define CR4_PAE     (1ull << 5)
#define CR4_MCE     (1ull << 6)
#define CR4_OSFXSR  (1ull << 9)
#define CR4_UMIP    (1ull << 11)
#define CR4_LA57    (1ull << 12)
#define CR4_VMXE    (1ull << 13)
#define CR4_PCIDE   (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP    (1ull << 20)
#define CR4_SMAP    (1ull << 21)

#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF    (1ull << 8)
#define RFLAGS_IF    (1ull << 9)
#define RFLAGS_DF    (1ull << 10)
#define RFLAGS_RF    (1ull << 16)
#define RFLAGS_VM    (1ull << 17)
#define RFLAGS_AC    (1ull << 18)

#define DR7_FIXED 0x400ull /* always 1; all of DR7 after a reset */

/* Model-specific registers, SDM vol. 4. */
#define MSR_APIC_BASE       0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_TSC             0x10
#define MSR_SYSENTER_CS     0x174
#define MSR_SYSENTER_ESP    0x175
#define MSR_SYSENTER_EIP    0x176
#define MSR_MISC_ENABLE     0x1a0 /* Intel's */
#define MSR_PAT             0x277
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_EFER            0xc0000080
#define MSR_STAR            0xc0000081
#define MSR_LSTAR           0xc0000082
#define MSR_CSTAR           0xc0000083
#define MSR_FMASK           0xc0000084
#define MSR_FS_BASE         0xc0000100
#define MSR_GS_BASE         0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102
#define MSR_TSC_AUX         0xc0000103

#define APIC_BASE_BSP    (1ull << 8)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)

#define EFER_SCE  (1ull << 0)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

/* After a reset. */
#define DR6_RESET 0xffff0ff0ull
#define PAT_RESET 0x0007040600070406ull

/* Exception vectors, SDM vol. 3 table 6-1. */
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_OF  4
#define VECTOR_UD  6
#define VECTOR_DF  8
#define VECTOR_TS  10
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_AC  17
#define VECTOR_MC  18

/* CPUID bits that more than one file asks for. */
#define CPUID_1_ECX_VMX     (1u << 5)
#define CPUID_X1_EDX_NX     (1u << 20)
#define CPUID_X1_EDX_1G     (1u << 26)
#define CPUID_X1_EDX_RDTSCP (1u << 27)

struct cpuid_regs {
        uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpu_cpuid(uint32_t leaf, uint32_t subleaf)
{
        struct cpuid_regs r;

        __asm__ volatile("cpuid"
                         : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                         : "a"(leaf), "c"(subleaf));
        return r;
}

/* A leaf's subleaf 0; all 0 when the CPU does not have the leaf. */
static inline struct cpuid_regs cpu_leaf(uint32_t leaf)
{
        bool has = cpu_cpuid(leaf & 0x80000000, 0).eax >= leaf;

        return has ? cpu_cpuid(leaf, 0) : (struct cpuid_regs){0};
}

/* AMD's CPUs and Hygon's, which are made after them, by EBX of leaf 0. */
static inline bool cpu_maker_is_amd(uint32_t maker)
{
        return maker == 0x68747541 /* "Auth" */ || maker == 0x6f677948 /* "Hygo" */;
}

/* Their machine checks and weaknesses differ. */
static inline bool cpu_is_amd(void)
{
        return cpu_maker_is_amd(cpu_cpuid(0, 0).ebx);
}
static inline uint64_t cpu_rdmsr(uint32_t msr)
{
        uint32_t lo, hi;

        __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
        return (uint64_t)hi << 32 | lo;
}

static inline void cpu_wrmsr(uint32_t msr, uint64_t v)
{
        __asm__ volatile("wrmsr"
                         :
                         : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                         : "memory");
}

/*
 * Exceptions that are faults leave RFLAGS with RF set for the handler's IRET, so that a breakpoint
 * on their instruction does not come again (SDM vol. 3 17.3.1.1); an injected one pushes RFLAGS as
 * they are. #DB is either, and has been delivered as the one or the other by the CPU.
 */
static inline bool cpu_is_fault(uint8_t vector)
{
        static const uint32_t others = 1u << VECTOR_DB | 1u << VECTOR_NMI | 1u << VECTOR_BP |
                                       1u << VECTOR_OF | 1u << VECTOR_DF | 1u << VECTOR_MC;

        return vector < 32 && !(others >> vector & 1);
}

/*
 * Whether an exception has an error code outside of real mode (SDM vol. 3 table 6-1): #DF, #TS to
 * #PF, #AC; #CP, and AMD's #VC and #SX (APM vol. 2 table 8-1).
 */
static inline bool cpu_has_error_code(unsigned vector)
{
        static const uint32_t with =
            1u << VECTOR_DF | 0x1fu << VECTOR_TS | 1u << VECTOR_AC | 1u << 21 | 3u << 29;

        return vector < 32 && with >> vector & 1;
}

/* Addresses have 48 bits: the hypervisor switches on 57-bit paging neither for itself nor for
 * guests. */
static inline bool is_canonical(uint64_t address)
{
        return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static inline uint64_t cpu_rdtsc(void)
{
        uint32_t lo, hi;

        __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
        return (uint64_t)hi << 32 | lo;
}

#define CPU_DEFINE_PORT(letter, type)                                                              \
        static inline type cpu_in##letter(uint16_t port)                                           \
        {                                                                                          \
                type v;                                                                            \
                __asm__ volatile("in" #letter " %1, %0" : "=a"(v) : "Nd"(port));                   \
                return v;                                                                          \
        }                                                                                          \
        static inline void cpu_out##letter(uint16_t port, type v)                                  \
        {                                                                                          \
                __asm__ volatile("out" #letter " %0, %1" : : "a"(v), "Nd"(port));                  \
        }
CPU_DEFINE_PORT(b, uint8_t)
CPU_DEFINE_PORT(w, uint16_t)
CPU_DEFINE_PORT(l, uint32_t)

#define CPU_DEFINE_CR(n)                                                                           \
        static inline uint64_t cpu_read_cr##n(void)                                                \
        {                                                                                          \
                uint64_t v;                                                                        \
                __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                     \
                return v;                                                                          \
        }                                                                                          \
        static inline void cpu_write_cr##n(uint64_t v)                                             \
        {                                                                                          \
                __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                         \
        }

CPU_DEFINE_CR(0)
CPU_DEFINE_CR(2)
CPU_DEFINE_CR(3)
CPU_DEFINE_CR(4)

static inline void cpu_xsetbv(uint32_t index, uint64_t v)
{
        __asm__ volatile("xsetbv"
                         :
                         : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                         : "memory");
}

static inline uint64_t cpu_xgetbv(uint32_t index)
{
        uint32_t lo, hi;

        __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
        return (uint64_t)hi << 32 | lo;
}

static inline void cpu_pause(void)
{
        __asm__ volatile("pause");
}

static inline void cpu_halt(void)
{
        __asm__ volatile("hlt" : : : "memory");
}

static inline void cpu_cli(void)
{
        __asm__ volatile("cli" : : : "memory");
}

static inline void cpu_sti(void)
{
        __asm__ volatile("sti" : : : "memory");
}

/* Take the interrupts that are pending. */
static inline void cpu_let_in(void)
{
        __asm__ volatile("sti\n\t"
                         "nop\n\t"
                         "cli"
                         :
                         :
                         : "memory");
}

/* Stop this CPU for good; only an NMI, INIT or the reset line goes on. */
_Noreturn static inline void cpu_stop(void)
{
        for (;;) {
                cpu_cli();
                cpu_halt();
        }
}
