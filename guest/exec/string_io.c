/* INS and OUTS; contract in string_io.h. The instruction is read from the guest's memory again. */
#include "guest/exec/string_io.h"

#include "guest/exec/gva.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"

#define CODE_BYTES_MAX 15
#define ACCESS_D       (1u << 14)
#define RFLAGS_DF      (1ull << 10)
#define OPCODE_INS     0x6cu /* bit 0: wider than a byte; bit 1: OUTS */

/* What the prefixes have told. */
struct string_op {
        enum vcpu_segment_name segment; /* of OUTS' source */
        unsigned address_bytes;
        bool rep;
};

static int read_word(void *ctx, gpa_t gpa, uint64_t *out)
{
        const struct vm_vcpu *v = ctx;

        return gmem_read_word(&v->vm->mem, gpa, out);
}

static size_t fetch(struct vm_vcpu *v, const struct vcpu_state *s, uint8_t code[CODE_BYTES_MAX])
{
        const struct paging_guest_regs regs = {s->cr0, s->cr3, s->cr4, s->efer};
        uint64_t gva = gva_is_wide(s) ? s->rip : (uint32_t)(s->seg[SEG_CS].base + s->rip);

        return paging_guest_read(&regs, gva, read_word, v, code, CODE_BYTES_MAX);
}

/* Segment overrides but FS and GS mean nothing to 64-bit code. */
static bool take_segment(uint8_t byte, bool wide, struct string_op *op)
{
        static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

        for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
                if (byte == prefixes[i]) {
                        op->segment = wide && i < SEG_FS ? SEG_DS : (enum vcpu_segment_name)i;
                        return true;
                }
        return false;
}

static bool take_prefix(uint8_t byte, bool wide, bool *address_other, struct string_op *op)
{
        if (take_segment(byte, wide, op))
                return true;
        if (byte == 0x67)
                *address_other = true;
        else if (byte == 0xf2 || byte == 0xf3)
                op->rep = true;
        else
                return byte == 0x66 || byte == 0xf0 || (wide && (byte & 0xf0) == 0x40);
        return true;
}

/* -EINVAL: not, or no longer, the instruction that made this exit. */
static int decode(struct vm_vcpu *v, const struct vcpu_state *s, const struct vm_exit_io *io,
                  struct string_op *op)
{
        uint8_t code[CODE_BYTES_MAX];
        size_t n = fetch(v, s, code), at = 0;
        bool wide = gva_is_wide(s), other = false;

        *op = (struct string_op){.segment = SEG_DS};
        while (at < n && take_prefix(code[at], wide, &other, op))
                at++;
        if (at == n || (code[at] & ~1u) != (OPCODE_INS | (io->in ? 0 : 2)) ||
            (code[at] & 1) != (io->size > 1) || op->rep != io->rep)
                return -EINVAL;
        if (wide)
                op->address_bytes = other ? 4 : 8;
        else
                op->address_bytes = !(s->seg[SEG_CS].access & ACCESS_D) == other ? 4 : 2;
        return 0;
}

static uint64_t masked(uint64_t value, unsigned bytes)
{
        return bytes == 8 ? value : value & ((1ull << 8 * bytes) - 1);
}

/* Results of 32 bits clear the upper half, those of 16 leave the rest. */
static void set_register(uint64_t *reg, uint64_t value, unsigned bytes)
{
        *reg = bytes == 2 ? (*reg & ~0xffffull) | (value & 0xffff) : masked(value, bytes);
}

/* Memory is looked at before the port: what faults has not touched the device. -EBUSY: the device
 * wants the same element once more. */
static int element(struct vm_vcpu *v, const struct vcpu_state *s, const struct vm_exit_io *io,
                   const struct string_op *op)
{
        uint64_t *index = &v->vcpu.regs[io->in ? REG_RDI : REG_RSI];
        uint64_t step = s->rflags & RFLAGS_DF ? 0ull - io->size : io->size;
        struct bus_later later;
        struct gva_operand memory;
        int err = gva_operand(v, s, io->in ? SEG_ES : op->segment,
                              masked(*index, op->address_bytes), io->size, io->in, &memory);

        if (err)
                return err;
        spin_lock(&v->vm->devices);
        if (io->in)
                err = gva_write(v, &memory, bus_port_read(&v->vm->bus, io->port, io->size));
        else
                bus_port_write(&v->vm->bus, io->port, io->size, gva_read(v, &memory));
        later = bus_take_later(&v->vm->bus);
        spin_unlock(&v->vm->devices);
        if (!err && !bus_serve(&later))
                err = -EBUSY;
        if (!err)
                set_register(index, *index + step, op->address_bytes);
        return err;
}

void string_io(struct vm_vcpu *v, const struct vm_exit_io *io)
{
        uint64_t *rcx = &v->vcpu.regs[REG_RCX];
        struct vcpu_state s;
        struct string_op op;
        unsigned bound;

        virt->get_state(&v->vcpu, &s);
        if (decode(v, &s, io, &op))
                return; /* another CPU has changed it: what stands there now is run */
        bound = s.rflags & RFLAGS_TF ? 1 : STRING_IO_BOUND;
        for (; v->vm->end == VM_RUNNING; bound--) {
                if (op.rep && !masked(*rcx, op.address_bytes))
                        break;
                if (!bound) {
                        virt->advance(&v->vcpu, 0);
                        return;
                }
                if (element(v, &s, io, &op))
                        return;
                if (!op.rep)
                        break;
                set_register(rcx, *rcx - 1, op.address_bytes);
        }
        virt->skip(&v->vcpu);
}
