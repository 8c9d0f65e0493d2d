/* Translating through a guest's own page tables, which it keeps in its guest-physical memory. */
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/paging/paging.h"
#include "mm/paging/paging_guest_modes.h"

struct guest_mode guest_mode_of(const struct paging_guest_regs *regs)
{
        if (regs->efer & GUEST_EFER_LMA)
                return (struct guest_mode){4, 9, 8, 2, GUEST_ENTRY_ADDR};
        if (regs->cr4 & GUEST_CR4_PAE)
                return (struct guest_mode){3, 9, 8, 1, 0xffffffe0};
        return (struct guest_mode){2, 10, 4, (regs->cr4 & GUEST_CR4_PSE) ? 1 : 0, 0xfffff000};
}

static int read_entry(const struct guest_mode *mode, uint64_t table, uint64_t index,
                      paging_guest_read_fn read, void *ctx, uint64_t *out)
{
        uint64_t at = table + index * mode->entry_size;
        int err = read(ctx, GPA(align_down(at, 8)), out);

        if (err)
                return err;
        if (mode->entry_size == 4)
                *out = at % 8 ? *out >> 32 : *out & UINT32_MAX;
        return (*out & GUEST_ENTRY_P) ? 0 : -EFAULT;
}

uint64_t guest_leaf_base(const struct guest_mode *mode, uint64_t entry, unsigned shift)
{
        uint64_t base = align_down(entry & GUEST_ENTRY_ADDR, 1ull << shift);

        /* A 4 MiB page keeps bits 39:32 of its address in bits 20:13 (PSE-36, SDM table 4-4). */
        if (mode->entry_size == 4 && shift > 12)
                base |= (entry >> 13 & 0xff) << 32;
        return base;
}

int paging_guest_walk(const struct paging_guest_regs *regs, uint64_t gva, paging_guest_read_fn read,
                      void *ctx, gpa_t *out)
{
        struct guest_mode mode = guest_mode_of(regs);
        uint64_t entry = regs->cr3 & mode.root_mask;
        bool wide = regs->efer & GUEST_EFER_LMA;
        unsigned level = mode.levels, shift;

        if (!wide)
                gva &= UINT32_MAX;
        if (!(regs->cr0 & GUEST_CR0_PG)) {
                *out = GPA(gva);
                return 0;
        }
        if (wide && (regs->cr4 & GUEST_CR4_LA57))
                return -ENOTSUP;
        if (wide && (uint64_t)((int64_t)(gva << 16) >> 16) != gva)
                return -EFAULT;
        do {
                uint64_t table = level == mode.levels ? entry : entry & GUEST_ENTRY_ADDR;
                int err;

                level--;
                shift = 12 + mode.index_bits * level;
                err = read_entry(&mode, table, gva >> shift & ((1ull << mode.index_bits) - 1), read,
                                 ctx, &entry);
                if (err)
                        return err;
        } while (level && !(level <= mode.large_level && (entry & GUEST_ENTRY_PS)));
        *out = GPA(guest_leaf_base(&mode, entry, shift) | (gva & ((1ull << shift) - 1)));
        return 0;
}

size_t paging_guest_read(const struct paging_guest_regs *regs, uint64_t gva,
                         paging_guest_read_fn read, void *ctx, void *to, size_t len)
{
        gpa_t gpa = GPA(0);
        uint64_t word;
        size_t done = 0;

        while (done < len) {
                uint64_t at = (gva + done) % sizeof word;
                size_t part = sizeof word - at;

                if (part > len - done)
                        part = len - done;
                /* one walk a page */
                if ((done == 0 || (gva + done) % PAGE_4K == 0) &&
                    paging_guest_walk(regs, gva + done, read, ctx, &gpa))
                        break;
                if (read(ctx, GPA(gpa.v - at), &word))
                        break;
                memcpy((uint8_t *)to + done, (uint8_t *)&word + at, part);
                done += part;
                gpa.v += part;
        }
        return done;
}
