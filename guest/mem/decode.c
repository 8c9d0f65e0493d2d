/* Decoder for the instruction behind an MMIO access (SDM vol. 2: 2.1 formats, 2.2.1 REX prefixes).
 */
#include "guest/mem/decode.h"

#include "hv/lib/errno.h"

#define REX_W 8u
#define REX_R 4u

#define MODRM_RM_SIB  4u /* a SIB byte follows */
#define MODRM_RM_DISP 5u /* with mod 0: no base, a 32-bit displacement */
#define SIB_BASE_DISP 5u /* likewise */

/* The bytes not yet looked at, and what the prefixes have told. */
struct cursor {
        const uint8_t *code;
        size_t len, at;
        bool mode_64;
        struct instruction_prefixes prefix;
};

static int next_byte(struct cursor *c, uint8_t *byte)
{
        if (c->at >= c->len)
                return -EINVAL;
        *byte = c->code[c->at++];
        return 0;
}

static int skip_bytes(struct cursor *c, size_t n)
{
        if (c->len - c->at < n)
                return -EINVAL;
        c->at += n;
        return 0;
}

/* An immediate of n bytes, sign-extended to 64 bits. */
static int next_immediate(struct cursor *c, unsigned n, uint64_t *value)
{
        const uint8_t *from = c->code + c->at;
        uint64_t v = 0;

        if (skip_bytes(c, n) != 0)
                return -EINVAL;
        for (unsigned i = 0; i < n; i++)
                v |= (uint64_t)from[i] << (8 * i);
        if (n < 8 && (v >> (8 * n - 1)) & 1)
                v |= ~0ull << (8 * n);
        *value = v;
        return 0;
}

/* Pass ModRM, SIB and displacement; reg gets the register field with REX.R. */
static int read_modrm(struct cursor *c, unsigned *reg)
{
        uint8_t modrm, sib;
        unsigned mod, rm;
        size_t disp;

        if (next_byte(c, &modrm) != 0)
                return -EINVAL;
        mod = modrm >> 6;
        rm = modrm & 7;
        *reg = ((modrm >> 3) & 7u) | (c->prefix.rex & REX_R ? 8u : 0);
        if (mod == 3) /* no memory operand at all */
                return -EINVAL;
        /* 67h outside 64-bit mode means the 16-bit forms; in it, the same forms with 32 bits. */
        if (c->prefix.address_other && !c->mode_64)
                return -ENOTSUP;
        disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
        if (mod == 0 && rm == MODRM_RM_DISP)
                disp = 4;
        if (rm == MODRM_RM_SIB) {
                if (next_byte(c, &sib) != 0)
                        return -EINVAL;
                if (mod == 0 && (sib & 7) == SIB_BASE_DISP)
                        disp = 4;
        }
        return skip_bytes(c, disp);
}

static uint8_t operand_size(const struct cursor *c)
{
        if (c->prefix.rex & REX_W)
                return 8;
        return c->prefix.operand_16 ? 2 : 4;
}

/* Name the register operand of the given size as the encoding means it. */
static int set_register(const struct cursor *c, struct mmio_op *op, unsigned reg, uint8_t size)
{
        op->reg_size = size;
        if (size == 1 && c->prefix.rex == 0 && reg >= 4) {
                op->high_byte = true;
                reg -= 4;
        }
        if (reg == REG_RSP)
                return -ENOTSUP;
        op->reg = (uint8_t)reg;
        return 0;
}

/* 88-8B: between a register and memory. */
static int decode_mov(struct cursor *c, uint8_t opcode, struct mmio_op *op)
{
        unsigned reg = 0;
        int err = read_modrm(c, &reg);

        if (err != 0)
                return err;
        op->size = opcode & 1 ? operand_size(c) : 1;
        op->write = !(opcode & 2);
        return set_register(c, op, reg, op->size);
}

/* C6 /0 and C7 /0: an immediate to memory, at most 32 bits of it in the code. */
static int decode_mov_imm(struct cursor *c, uint8_t opcode, struct mmio_op *op)
{
        unsigned reg = 0;
        int err = read_modrm(c, &reg);

        if (err != 0)
                return err;
        if ((reg & 7) != 0)
                return -ENOTSUP;
        op->size = opcode & 1 ? operand_size(c) : 1;
        op->write = true;
        op->immediate = true;
        return next_immediate(c, op->size < 4 ? op->size : 4, &op->imm);
}

/* A0-A3: between the accumulator and an absolute address as wide as addresses are. */
static int decode_moffs(struct cursor *c, uint8_t opcode, struct mmio_op *op)
{
        size_t address;

        if (c->mode_64)
                address = c->prefix.address_other ? 4 : 8;
        else
                address = c->prefix.address_other ? 2 : 4;
        op->size = opcode & 1 ? operand_size(c) : 1;
        op->write = (opcode & 2) != 0;
        op->reg = REG_RAX;
        op->reg_size = op->size;
        return skip_bytes(c, address);
}

/* 0F B6, B7, BE, BF and 63 in 64-bit mode: a load that widens. */
static int decode_widening(struct cursor *c, uint8_t size, bool sign, struct mmio_op *op)
{
        unsigned reg = 0;
        int err = read_modrm(c, &reg);

        if (err != 0)
                return err;
        op->size = size;
        op->sign_extend = sign;
        return set_register(c, op, reg, operand_size(c));
}

static int decode_two_byte(struct cursor *c, struct mmio_op *op)
{
        uint8_t opcode;

        if (next_byte(c, &opcode) != 0)
                return -EINVAL;
        switch (opcode) {
        case 0xb6:
        case 0xbe:
                return decode_widening(c, 1, opcode == 0xbe, op);
        case 0xb7:
        case 0xbf:
                return decode_widening(c, 2, opcode == 0xbf, op);
        default:
                return -ENOTSUP;
        }
}

static int decode_opcode(struct cursor *c, uint8_t opcode, struct mmio_op *op)
{
        switch (opcode) {
        case 0x88 ... 0x8b:
                return decode_mov(c, opcode, op);
        case 0xa0 ... 0xa3:
                return decode_moffs(c, opcode, op);
        case 0xc6:
        case 0xc7:
                return decode_mov_imm(c, opcode, op);
        case 0x63: /* MOVSXD; ARPL outside 64-bit mode, and a plain 32-bit load without REX.W */
                if (!c->mode_64 || !(c->prefix.rex & REX_W))
                        return -ENOTSUP;
                return decode_widening(c, 4, true, op);
        case 0x0f:
                return decode_two_byte(c, op);
        default:
                return -ENOTSUP;
        }
}

int mmio_decode(const uint8_t *code, size_t len, bool cs_l, bool cs_d, struct mmio_op *op)
{
        struct cursor c = {
            .code = code, .len = len < INSTRUCTION_MAX ? len : INSTRUCTION_MAX, .mode_64 = cs_l};
        uint8_t opcode = 0;
        int err;

        if (!cs_l && !cs_d)
                return -ENOTSUP;
        *op = (struct mmio_op){0};
        c.at = instruction_prefixes(code, c.len, cs_l, &c.prefix);
        if (c.prefix.lock) /* with a move it is #UD */
                return -EINVAL;
        if (c.prefix.rep)
                return -ENOTSUP;
        err = next_byte(&c, &opcode);
        if (err == 0)
                err = decode_opcode(&c, opcode, op);
        op->len = (uint8_t)c.at;
        return err;
}

uint64_t mmio_op_value(const struct mmio_op *op, const uint64_t regs[REG_COUNT])
{
        uint64_t value = op->immediate ? op->imm : regs[op->reg];

        if (op->high_byte)
                value >>= 8;
        return low_bytes(value, op->size);
}

void mmio_op_store(const struct mmio_op *op, uint64_t regs[REG_COUNT], uint64_t value)
{
        uint64_t *reg = &regs[op->reg];

        value = low_bytes(value, op->size);
        if (op->sign_extend && (value >> (8 * op->size - 1)) & 1)
                value |= ~0ull << (8 * op->size - 1);
        if (op->high_byte)
                *reg = (*reg & ~0xff00ull) | value << 8;
        else
                reg_store(reg, value, op->reg_size);
}
