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
        bool operand_16;    /* prefix 66h */
        bool address_other; /* prefix 67h */
        uint8_t rex;
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

/* Prefixes up to the opcode's first byte; a REX counts only right before it. */
static int read_prefixes(struct cursor *c, uint8_t *opcode)
{
        uint8_t byte;

        while (next_byte(c, &byte) == 0) {
                switch (byte) {
                case 0x66:
                        c->operand_16 = true;
                        break;
                case 0x67:
                        c->address_other = true;
                        break;
                case 0x26:
                case 0x2e:
                case 0x36:
                case 0x3e:
                case 0x64:
                case 0x65: /* segments: the address is known from the exit */
                        break;
                case 0xf0: /* LOCK with a move is #UD */
                        return -EINVAL;
                case 0xf2:
                case 0xf3:
                        return -ENOTSUP;
                default:
                        if (c->mode_64 && (byte & 0xf0) == 0x40) {
                                c->rex = byte;
                                continue;
                        }
                        *opcode = byte;
                        return 0;
                }
                c->rex = 0;
        }
        return -EINVAL;
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
        *reg = ((modrm >> 3) & 7u) | (c->rex & REX_R ? 8u : 0);
        if (mod == 3) /* no memory operand at all */
                return -EINVAL;
        /* 67h outside 64-bit mode means the 16-bit forms; in it, the same forms with 32 bits. */
        if (c->address_other && !c->mode_64)
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
        if (c->rex & REX_W)
                return 8;
        return c->operand_16 ? 2 : 4;
}

/* Name the register operand of the given size as the encoding means it. */
static int set_register(const struct cursor *c, struct mmio_op *op, unsigned reg, uint8_t size)
{
        op->reg_size = size;
        if (size == 1 && c->rex == 0 && reg >= 4) {
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
                address = c->address_other ? 4 : 8;
        else
                address = c->address_other ? 2 : 4;
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
        case 0x88:
        case 0x89:
        case 0x8a:
        case 0x8b:
                return decode_mov(c, opcode, op);
        case 0xa0:
        case 0xa1:
        case 0xa2:
        case 0xa3:
                return decode_moffs(c, opcode, op);
        case 0xc6:
        case 0xc7:
                return decode_mov_imm(c, opcode, op);
        case 0x63: /* MOVSXD; ARPL outside 64-bit mode, and a plain 32-bit load without REX.W */
                if (!c->mode_64 || !(c->rex & REX_W))
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
            .code = code, .len = len < DECODE_BYTES_MAX ? len : DECODE_BYTES_MAX, .mode_64 = cs_l};
        uint8_t opcode = 0;
        int err;

        if (!cs_l && !cs_d)
                return -ENOTSUP;
        *op = (struct mmio_op){0};
        err = read_prefixes(&c, &opcode);
        if (err == 0)
                err = decode_opcode(&c, opcode, op);
        op->len = (uint8_t)c.at;
        return err;
}

static uint64_t truncated(uint64_t value, unsigned size)
{
        return size >= 8 ? value : value & ((1ull << (8 * size)) - 1);
}

uint64_t mmio_op_value(const struct mmio_op *op, const uint64_t regs[REG_COUNT])
{
        uint64_t value = op->immediate ? op->imm : regs[op->reg];

        if (op->high_byte)
                value >>= 8;
        return truncated(value, op->size);
}

void mmio_op_store(const struct mmio_op *op, uint64_t regs[REG_COUNT], uint64_t value)
{
        uint64_t *reg = &regs[op->reg];
        unsigned shift = op->high_byte ? 8 : 0;
        uint64_t kept;

        value = truncated(value, op->size);
        if (op->sign_extend && (value >> (8 * op->size - 1)) & 1)
                value |= ~0ull << (8 * op->size - 1);
        value = truncated(value, op->reg_size);
        /* 32-bit results clear the upper half, narrower ones leave the rest of the register. */
        if (op->reg_size >= 4) {
                *reg = value;
                return;
        }
        kept = *reg & ~(truncated(UINT64_MAX, op->reg_size) << shift);
        *reg = kept | value << shift;
}
