/*
 * A guest's instruction, for those who carry out or step over one that the CPU tells too little of:
 * its bytes, as the guest's CPU finds them, and its prefixes (SDM vol. 2, chapter 2).
 *
 * Another vCPU may change the instruction at any time. So what cannot be fetched, or is not what it
 * should be, is no error here: the guest goes on where it stands, and its CPU raises the fault.
 */
#pragma once

#include "hv/regs.h"
#include "mm/paging/paging.h"

#define INSTRUCTION_MAX 15u /* bytes of an instruction */

/* Where a vCPU's instruction stands. base and limit, of CS, count outside of 64-bit code alone. */
struct instruction_place {
        struct paging_guest_regs regs;
        uint64_t rip, base;
        uint32_t limit;
        bool wide; /* 64-bit code */
};

/* The rest of instruction_fetch: code of 16 and 32 bits. */
size_t instruction_fetch_narrow(const struct instruction_place *place, paging_guest_read_fn read,
                                void *ctx, uint8_t *code, size_t want);

/*
 * Fetch up to want bytes (INSTRUCTION_MAX at most) over the borders of pages. Returns how many came
 * before the first that lies beyond CS' limit, is not mapped or that read does not give. Inline, as
 * SVM may need it at each exit.
 */
static inline size_t instruction_fetch(const struct instruction_place *place,
                                       paging_guest_read_fn read, void *ctx, uint8_t *code,
                                       size_t want)
{
        if (place->wide)
                return paging_guest_read(&place->regs, place->rip, read, ctx, code, want);
        return instruction_fetch_narrow(place, read, ctx, code, want);
}
struct instruction_prefixes {
        uint8_t segment;    /* enum vcpu_segment_name of the last override; SEG_COUNT: none */
        uint8_t rex;        /* the one right before the opcode, where alone it counts; 0: none */
        bool operand_16;    /* 66h */
        bool address_other; /* 67h */
        bool lock;          /* F0h */
        bool rep;           /* F2h, F3h */
};

/* The rest of instruction_prefixes: where there may be some. */
size_t instruction_take_prefixes(const uint8_t *code, size_t n, bool wide,
                                 struct instruction_prefixes *out);

/*
 * Read the prefixes of n bytes of code; returns where the opcode is, n where there is none. Inline
 * for what begins with an opcode below all prefixes, as those of two bytes do.
 */
static inline size_t instruction_prefixes(const uint8_t *code, size_t n, bool wide,
                                          struct instruction_prefixes *out)
{
        *out = (struct instruction_prefixes){.segment = SEG_COUNT};
        return n && code[0] < 0x26 ? 0 : instruction_take_prefixes(code, n, wide, out);
}
