/* A guest CPU's registers by the names that both vendors and policy use for them. */
#pragma once

#include "hv/lib/types.h"

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

/* As an instruction's result of so many bytes: 32 bits clear the upper half, fewer leave the rest.
 */
static inline void reg_store(uint64_t *reg, uint64_t value, unsigned bytes)
{
        uint64_t kept = bytes >= 4 ? 0 : *reg & ~low_bytes(UINT64_MAX, bytes);

        *reg = kept | low_bytes(value, bytes);
}

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

/* Bits of access. */
#define ACCESS_ACCESSED (1u << 0)
#define ACCESS_RW       (1u << 1) /* data: writable; code: readable */
#define ACCESS_DOWN     (1u << 2) /* of data */
#define ACCESS_CODE     (1u << 3)
#define ACCESS_S        (1u << 4)
#define ACCESS_DPL(a)   ((uint8_t)((a) >> 5 & 3))
#define ACCESS_P        (1u << 7)
#define ACCESS_L        (1u << 13) /* 64-bit code */
#define ACCESS_DB       (1u << 14)
#define ACCESS_G        (1u << 15)

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
