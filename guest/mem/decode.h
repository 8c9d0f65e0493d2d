/*
 * Decoder for the instruction behind an MMIO access: the moves between a register or an immediate
 * and memory that drivers' accessors compile to (SDM vol. 2, chapter 2). What it does not know it
 * refuses: string moves, read-modify-write, 16-bit code, RSP as the register (it is kept outside
 * regs).
 */
#pragma once

#include "hv/instruction.h"
#include "hv/lib/types.h"
#include "hv/virt.h"

struct mmio_op {
        uint8_t len;      /* of the instruction */
        uint8_t size;     /* of the access: 1, 2, 4 or 8 bytes */
        uint8_t reg_size; /* of the destination register, reads only */
        uint8_t reg;      /* enum vcpu_reg, unless immediate */
        bool high_byte;   /* the register is AH, CH, DH or BH */
        bool write;
        bool immediate;
        bool sign_extend;
        uint64_t imm;
};

/*
 * Decode the instruction at code, of which len bytes are readable (those beyond INSTRUCTION_MAX are
 * not looked at). cs_l and cs_d are bits L and D of the code segment in long mode; outside of it
 * cs_l is false. -ENOTSUP: not a move this decoder knows, or 16-bit code; -EINVAL: an encoding no
 * CPU executes as a memory access, or the bytes end too early.
 */
must_check int mmio_decode(const uint8_t *code, size_t len, bool cs_l, bool cs_d,
                           struct mmio_op *op);

/* The value a write stores, zero-extended from its size. */
uint64_t mmio_op_value(const struct mmio_op *op, const uint64_t regs[REG_COUNT]);

/* Put what a read returned into its register, with the instruction's extension. */
void mmio_op_store(const struct mmio_op *op, uint64_t regs[REG_COUNT], uint64_t value);
