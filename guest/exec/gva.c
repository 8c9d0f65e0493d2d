/* Segments, pages and what is behind them; contract in gva.h. */
#include "guest/exec/gva.h"

#include "guest/vm/vm.h"
#include "guest/vm/vm_nvram.h"
#include "hv/cpu.h"
#include "hv/lib/errno.h"

bool gva_is_wide(const struct vcpu_state *s)
{
        return s->efer & EFER_LMA && s->seg[SEG_CS].access & ACCESS_L;
}

static bool in_limit(const struct vcpu_segment *seg, uint64_t offset, unsigned size)
{
        uint64_t last = offset + size - 1;

        if (!(seg->access & ACCESS_CODE) && seg->access & ACCESS_DOWN)
                return offset > seg->limit &&
                       last <= (seg->access & ACCESS_DB ? UINT32_MAX : UINT16_MAX);
        return last <= seg->limit;
}

/* Real mode and V86 know no types of segments. */
static bool has_type(const struct vcpu_state *s, const struct vcpu_segment *seg, bool write)
{
        if (!(s->cr0 & CR0_PE) || s->rflags & RFLAGS_VM)
                return true;
        if (write)
                return !(seg->access & ACCESS_CODE) && seg->access & ACCESS_RW;
        return !(seg->access & ACCESS_CODE) || seg->access & ACCESS_RW;
}

static bool linear_address(const struct vcpu_state *s, enum vcpu_segment_name name, uint64_t offset,
                           unsigned size, bool write, uint64_t *out)
{
        const struct vcpu_segment *seg = &s->seg[name];

        if (gva_is_wide(s)) {
                *out = offset + (name == SEG_FS || name == SEG_GS ? seg->base : 0);
                return is_canonical(*out) && is_canonical(*out + size - 1);
        }
        *out = (uint32_t)(seg->base + offset);
        return seg->access && has_type(s, seg, write) && in_limit(seg, offset, size);
}

int gva_read_word(void *vcpu, gpa_t gpa, uint64_t *out)
{
        const struct vm_vcpu *v = vcpu;

        return gmem_read_word(&v->vm->mem, gpa, out);
}

static struct paging_guest_regs paging_regs(const struct vcpu_state *s)
{
        return (struct paging_guest_regs){s->cr0, s->cr3, s->cr4, s->efer};
}

size_t gva_fetch(struct vm_vcpu *v, const struct vcpu_state *s, uint8_t code[INSTRUCTION_MAX])
{
        const struct instruction_place place = {
            .regs = paging_regs(s),
            .rip = s->rip,
            .base = s->seg[SEG_CS].base,
            .limit = s->seg[SEG_CS].limit,
            .wide = gva_is_wide(s),
        };

        return instruction_fetch(&place, gva_read_word, v, code, INSTRUCTION_MAX);
}

static void set_word(void *ctx, gpa_t gpa, uint64_t bits)
{
        const struct vm_vcpu *v = ctx;
        uint64_t *word = gmem_ptr(&v->vm->mem, gpa, sizeof *word);

        if (word)
                __atomic_fetch_or(word, bits, __ATOMIC_RELAXED);
}

static bool translate(struct vm_vcpu *v, const struct vcpu_state *s, uint64_t gva, bool write,
                      gpa_t *gpa)
{
        const struct paging_guest_regs regs = paging_regs(s);
        const struct paging_guest_memory mem = {gva_read_word, set_word, v};
        const struct paging_access access = {write, s->cpl == 3, s->rflags};
        uint32_t fault = paging_guest_access(&regs, gva, &access, &mem, gpa);

        if (fault)
                virt->inject_page_fault(&v->vcpu, gva, fault & ~PAGING_FAULT);
        return !fault;
}

int gva_operand(struct vm_vcpu *v, const struct vcpu_state *s, enum vcpu_segment_name seg,
                uint64_t offset, unsigned size, bool write, struct gva_operand *out)
{
        uint64_t gva, next;

        if (!linear_address(s, seg, offset, size, write, &gva)) {
                virt->inject_exception(&v->vcpu, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
                return -EFAULT;
        }
        *out = (struct gva_operand){.size = size, .split = size};
        if (!translate(v, s, gva, write, &out->gpa[0]))
                return -EFAULT;
        next = align_up(gva + 1, PAGE_4K);
        if (next - gva >= size)
                return 0;
        out->split = (unsigned)(next - gva);
        if (!gva_is_wide(s))
                next &= UINT32_MAX;
        return translate(v, s, next, write, &out->gpa[1]) ? 0 : -EFAULT;
}

/* A device gets an access whole, unless it lies over two pages. */
static uint64_t read_part(struct vm_vcpu *v, gpa_t gpa, unsigned size)
{
        uint64_t value = 0;

        if (gmem_read(&v->vm->mem, gpa, &value, size))
                value = bus_mmio_read(&v->vm->bus, gpa, size);
        return value;
}

static void write_part(struct vm_vcpu *v, gpa_t gpa, unsigned size, uint64_t value)
{
        if (gmem_write(&v->vm->mem, gpa, &value, size))
                bus_mmio_write(&v->vm->bus, gpa, size, value);
}

static gpa_t byte_at(const struct gva_operand *operand, unsigned i)
{
        return i < operand->split ? GPA(operand->gpa[0].v + i)
                                  : GPA(operand->gpa[1].v + i - operand->split);
}

uint64_t gva_read(struct vm_vcpu *v, const struct gva_operand *operand)
{
        uint64_t value = 0;

        if (operand->split == operand->size)
                return read_part(v, operand->gpa[0], operand->size);
        for (unsigned i = 0; i < operand->size; i++)
                value |= read_part(v, byte_at(operand, i), 1) << 8 * i;
        return value;
}

int gva_write(struct vm_vcpu *v, const struct gva_operand *operand, uint64_t value)
{
        for (unsigned i = 0; i < operand->size; i += operand->size - 1 ? operand->size - 1 : 1)
                if (vm_nvram_is_read_only(v->vm, byte_at(operand, i))) {
                        virt->inject_exception(&v->vcpu, VECTOR_GP, 0);
                        return -EFAULT;
                }
        if (operand->split == operand->size) {
                write_part(v, operand->gpa[0], operand->size, value);
                return 0;
        }
        for (unsigned i = 0; i < operand->size; i++)
                write_part(v, byte_at(operand, i), 1, value >> 8 * i & 0xff);
        return 0;
}
