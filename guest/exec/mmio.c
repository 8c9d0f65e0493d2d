/* Instruction fetch and emulation for MMIO; contract in mmio.h. */
#include "guest/exec/mmio.h"

#include "guest/mem/decode.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"

#define ACCESS_L (1u << 13) /* 64-bit code, SDM table 24-2 */
#define ACCESS_D (1u << 14) /* 32-bit code */

static int read_word(void *ctx, gpa_t gpa, uint64_t *out)
{
        const struct gmem *mem = ctx;

        return gmem_read_word(mem, gpa, out);
}

/* Bytes at the guest's RIP, as many as can be read up to the longest instruction. */
static size_t fetch(struct vm *vm, const struct vcpu_state *s, uint8_t code[DECODE_BYTES_MAX])
{
        const struct paging_guest_regs regs = {s->cr0, s->cr3, s->cr4, s->efer};
        bool wide = s->efer & EFER_LMA && s->seg[SEG_CS].access & ACCESS_L;
        uint64_t gva = wide ? s->rip : (uint32_t)(s->seg[SEG_CS].base + s->rip);

        return paging_guest_read(&regs, gva, read_word, &vm->mem, code, DECODE_BYTES_MAX);
}

int mmio_access(struct vm_vcpu *v, const struct vm_exit_memory *access)
{
        struct vm *vm = v->vm;
        uint8_t code[DECODE_BYTES_MAX];
        struct vcpu_state s;
        struct bus_later later;
        struct mmio_op op;
        size_t len;
        int err;

        virt->get_state(&v->vcpu, &s);
        len = fetch(vm, &s, code);
        err = mmio_decode(code, len, s.efer & EFER_LMA && s.seg[SEG_CS].access & ACCESS_L,
                          s.seg[SEG_CS].access & ACCESS_D, &op);
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
