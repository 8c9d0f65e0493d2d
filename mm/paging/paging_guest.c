/*
 * Translating through a guest's own page tables, which it keeps in its guest-physical memory, as
 * its CPU would (SDM vol. 3 4.6, 4.7).
 */
#include "hv/cpu.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "mm/paging/paging.h"
#include "mm/paging/paging_bits.h"

#define LEVELS_MAX 4

/* How a paging mode cuts an address, SDM vol. 3 4.1.1: as many levels of so many bits each. */
struct mode {
        unsigned levels;
        unsigned index_bits;
        unsigned entry_size;  /* bytes */
        unsigned large_level; /* entries up to this level may be leaves */
        uint64_t root_mask;   /* the table's address in CR3 */
};

static const struct mode long_mode = {4, 9, 8, 2, ENTRY_ADDR};
static const struct mode pae = {3, 9, 8, 1, 0xffffffe0};
static const struct mode pse = {2, 10, 4, 1, 0xfffff000};
static const struct mode small_pages = {2, 10, 4, 0, 0xfffff000};

/* The end of a walk. */
struct walk {
        uint64_t entry; /* the leaf, of this level */
        unsigned level;
        uint64_t rights; /* of all entries together */
};

/* Where a walk's entry of a level stands, so that it can be marked once the walk has come to its
 * end. */
struct step {
        uint64_t at, entry;
};

/* The mode that these registers select, with 4 levels for 5. */
static const struct mode *mode_of(const struct paging_guest_regs *regs)
{
        if (regs->efer & EFER_LMA)
                return &long_mode;
        if (regs->cr4 & CR4_PAE)
                return &pae;
        return regs->cr4 & CR4_PSE ? &pse : &small_pages;
}

/* PAE's topmost entries are no more than pointers: no rights, no marks (SDM vol. 3 4.4.1). */
static bool is_pointer_only(const struct mode *mode, unsigned level)
{
        return mode->levels == 3 && level == 2;
}

static bool is_reserved(const struct mode *mode, uint64_t efer, unsigned level, uint64_t entry)
{
        if (mode->entry_size == 4)
                return false;
        if (entry & PT_NX && !(efer & EFER_NXE))
                return true;
        if (!(entry & PT_PS) || !level)
                return false;
        if (level > mode->large_level)
                return mode->levels == 4 && level == 3;
        /* Bits between the PAT bit and the address of a large leaf. */
        return entry & ((1ull << (12 + mode->index_bits * level)) - 1) & ~0x1fffull;
}

static inline __attribute__((always_inline)) uint32_t
descend_in(const struct mode *mode, const struct paging_guest_regs *regs, uint64_t gva,
           paging_guest_read_fn read, void *ctx, struct step *steps, struct walk *w)
{
        uint64_t table = regs->cr3 & mode->root_mask, entry;
        unsigned level = mode->levels, shift = 12 + mode->index_bits * level;

        w->rights = PT_RW | PT_US;
        do {
                uint64_t at;

                level--;
                shift -= mode->index_bits;
                at = table + (gva >> shift & ((1ull << mode->index_bits) - 1)) * mode->entry_size;
                if (read(ctx, GPA(align_down(at, 8)), &entry))
                        return PAGING_FAULT | PAGING_FAULT_RESERVED | PAGING_FAULT_PRESENT;
                if (mode->entry_size == 4)
                        entry = at % 8 ? entry >> 32 : entry & UINT32_MAX;
                if (!(entry & PT_P))
                        return PAGING_FAULT;
                if (entry & (PT_PS | PT_NX) && is_reserved(mode, regs->efer, level, entry))
                        return PAGING_FAULT | PAGING_FAULT_RESERVED | PAGING_FAULT_PRESENT;
                if (!is_pointer_only(mode, level))
                        w->rights &= entry;
                if (steps)
                        steps[level] = (struct step){at, entry};
                table = entry & ENTRY_ADDR;
        } while (level && !(entry & PT_PS && level <= mode->large_level));
        w->entry = entry;
        w->level = level;
        return 0;
}

/*
 * The one walker; inlined, and once with the numbers of long mode, in which nearly all walks are:
 * SVM may have to read an instruction at each exit. steps: NULL where nothing will be marked.
 */
static inline __attribute__((always_inline)) uint32_t
descend(const struct mode *mode, const struct paging_guest_regs *regs, uint64_t gva,
        paging_guest_read_fn read, void *ctx, struct step *steps, struct walk *w)
{
        return mode == &long_mode ? descend_in(&long_mode, regs, gva, read, ctx, steps, w)
                                  : descend_in(mode, regs, gva, read, ctx, steps, w);
}

/* Where an address is behind the leaf at the end of its walk. */
static gpa_t place(const struct mode *mode, const struct walk *w, uint64_t gva)
{
        uint64_t size = 1ull << (12 + mode->index_bits * w->level);
        uint64_t base = align_down(w->entry & ENTRY_ADDR, size);

        /* A 4 MiB page keeps bits 39:32 of its address in bits 20:13 (PSE-36, SDM table 4-4). */
        if (mode->entry_size == 4 && w->level)
                base |= (w->entry >> 13 & 0xff) << 32;
        return GPA(base | (gva & (size - 1)));
}

static bool is_allowed(const struct paging_guest_regs *regs, const struct paging_access *access,
                       uint64_t rights)
{
        if (access->user && !(rights & PT_US))
                return false;
        if (!access->user && rights & PT_US && regs->cr4 & CR4_SMAP &&
            !(access->rflags & RFLAGS_AC))
                return false;
        return !access->write || rights & PT_RW || (!access->user && !(regs->cr0 & CR0_WP));
}

static void mark(const struct mode *mode, bool write, const struct paging_guest_memory *mem,
                 const struct step *steps, unsigned leaf)
{
        for (unsigned level = leaf; level < mode->levels; level++) {
                uint64_t bits = PT_A | (level == leaf && write ? PT_D : 0);
                uint64_t at = steps[level].at;

                if (!is_pointer_only(mode, level) && (steps[level].entry & bits) != bits)
                        mem->set(mem->ctx, GPA(align_down(at, 8)), bits << 8 * (at % 8));
        }
}

uint32_t paging_guest_access(const struct paging_guest_regs *regs, uint64_t gva,
                             const struct paging_access *access,
                             const struct paging_guest_memory *mem, gpa_t *out)
{
        const struct mode *mode = mode_of(regs);
        uint32_t fault, told = PAGING_FAULT | (access->write ? PAGING_FAULT_WRITE : 0) |
                               (access->user ? PAGING_FAULT_USER : 0);
        struct step steps[LEVELS_MAX] = {{0}};
        struct walk w;

        *out = GPA(gva);
        if (!(regs->cr0 & CR0_PG))
                return 0;
        fault = descend(mode, regs, gva, mem->read, mem->ctx, steps, &w);
        if (fault)
                return fault | told;
        if (!is_allowed(regs, access, w.rights))
                return PAGING_FAULT_PRESENT | told;
        mark(mode, access->write, mem, steps, w.level);
        *out = place(mode, &w, gva);
        return 0;
}

int paging_guest_walk(const struct paging_guest_regs *regs, uint64_t gva, paging_guest_read_fn read,
                      void *ctx, gpa_t *out)
{
        const struct mode *mode = mode_of(regs);
        struct walk w;

        if (mode != &long_mode)
                gva &= UINT32_MAX;
        *out = GPA(gva);
        if (!(regs->cr0 & CR0_PG))
                return 0;
        if (mode == &long_mode && regs->cr4 & CR4_LA57)
                return -ENOTSUP;
        if (!is_canonical(gva) || descend(mode, regs, gva, read, ctx, NULL, &w))
                return -EFAULT;
        *out = place(mode, &w, gva);
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
