/* Instructions carried out in software; contract in emulate.h. */
#include "guest/exec/emulate.h"

#include "guest/exec/gva.h"
#include "guest/mem/decode.h"
#include "guest/vm/vm.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"

#define OPCODE_INS 0x6cu /* bit 0: wider than a byte; bit 1: OUTS */

int mmio_access(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        struct vm *vm = v->vm;
        uint8_t code[INSTRUCTION_MAX];
        struct vcpu_state s;
        struct bus_later later;
        struct mmio_op op;
        size_t len;
        int err;

        virt->get_state(&v->vcpu, &s);
        len = gva_fetch(v, &s, code);
        err = mmio_decode(code, len, gva_is_wide(&s), s.seg[SEG_CS].access & ACCESS_DB, &op);
        if (err)
                return err;
        if (op.write != access->write)
                return -EINVAL;
        spin_lock(&vm->devices);
        if (op.write)
                bus_mmio_write(&vm->bus, access->gpa, op.size, mmio_op_value(&op, v->vcpu.regs));
        else
                mmio_op_store(&op, v->vcpu.regs, bus_mmio_read(&vm->bus, access->gpa, op.size));
        later = bus_take_later(&vm->bus);
        spin_unlock(&vm->devices);
        if (bus_serve(&later))
                virt->advance(&v->vcpu, op.len);
        return 0;
}

/* A string instruction. */
struct string_op {
        enum vcpu_segment_name segment; /* of OUTS' source */
        unsigned address_bytes;
        bool rep;
};

/* -EINVAL: not, or no longer, the instruction that made this exit. */
static int decode_string(struct vm_vcpu *v, const struct vcpu_state *s, const struct vm_exit_io *io,
                         struct string_op *op)
{
        uint8_t code[INSTRUCTION_MAX];
        size_t n = gva_fetch(v, s, code), at;
        struct instruction_prefixes prefix;
        bool wide = gva_is_wide(s);

        at = instruction_prefixes(code, n, wide, &prefix);
        if (at == n || (code[at] & ~1u) != (OPCODE_INS | (io->in ? 0 : 2)) ||
            (code[at] & 1) != (io->size > 1) || prefix.rep != io->rep)
                return -EINVAL;
        *op = (struct string_op){.segment = SEG_DS, .rep = prefix.rep};
        /* Segment overrides but FS and GS mean nothing to 64-bit code. */
        if (prefix.segment != SEG_COUNT && (!wide || prefix.segment >= SEG_FS))
                op->segment = prefix.segment;
        if (wide)
                op->address_bytes = prefix.address_other ? 4 : 8;
        else
                op->address_bytes =
                    !(s->seg[SEG_CS].access & ACCESS_DB) == prefix.address_other ? 4 : 2;
        return 0;
}

/* Memory is looked at before the port: what faults has not touched the device. -EBUSY: the device
 * wants the same element once more. */
static int string_element(struct vm_vcpu *v, const struct vcpu_state *s,
                          const struct vm_exit_io *io, const struct string_op *op)
{
        uint64_t *index = &v->vcpu.regs[io->in ? REG_RDI : REG_RSI];
        uint64_t step = s->rflags & RFLAGS_DF ? 0ull - io->size : io->size;
        struct bus_later later;
        struct gva_operand memory;
        int err = gva_operand(v, s, io->in ? SEG_ES : op->segment,
                              low_bytes(*index, op->address_bytes), io->size, io->in, &memory);

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
                reg_store(index, *index + step, op->address_bytes);
        return err;
}

void string_io(struct vm_vcpu *v, const struct vm_exit_io *io)
{
        uint64_t *rcx = &v->vcpu.regs[REG_RCX];
        struct vcpu_state s;
        struct string_op op;
        unsigned bound;

        virt->get_state(&v->vcpu, &s);
        if (decode_string(v, &s, io, &op))
                return; /* another CPU has changed it: what stands there now is run */
        bound = s.rflags & RFLAGS_TF ? 1 : STRING_IO_BOUND;
        for (; vm_how_ended(v->vm) == VM_RUNNING; bound--) {
                if (op.rep && !low_bytes(*rcx, op.address_bytes))
                        break;
                if (!bound) {
                        virt->advance(&v->vcpu, 0);
                        return;
                }
                if (string_element(v, &s, io, &op))
                        return;
                if (!op.rep)
                        break;
                reg_store(rcx, *rcx - 1, op.address_bytes);
        }
        virt->skip(&v->vcpu);
}
