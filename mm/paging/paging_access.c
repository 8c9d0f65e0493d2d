/* Translating as a guest's CPU does for an access, with rights, faults and the marks in the tables
 * (SDM vol. 3 4.6, 4.7). */
#include "hv/lib/errno.h"
#include "mm/paging/paging.h"
#include "mm/paging/paging_guest_modes.h"

#define CR0_WP    (1ull << 16)
#define CR4_SMAP  (1ull << 21)
#define RFLAGS_AC (1ull << 18)
#define EFER_NXE  (1ull << 11)

#define ENTRY_W  (1ull << 1)
#define ENTRY_U  (1ull << 2)
#define ENTRY_A  (1ull << 5)
#define ENTRY_D  (1ull << 6)
#define ENTRY_NX (1ull << 63)

/* One walk: where its entries stand, so that they can be marked once it has come to its end. */
struct walk {
        uint64_t at[GUEST_LEVELS_MAX];
        uint64_t entry[GUEST_LEVELS_MAX];
        unsigned level; /* of the leaf; the others are above */
        uint64_t rights;
};

/* PAE's topmost entries are no more than pointers: no rights, no marks (SDM vol. 3 4.4.1). */
static bool is_pointer_only(const struct guest_mode *mode, unsigned level)
{
        return mode->levels == 3 && level == 2;
}

static bool is_reserved(const struct guest_mode *mode, const struct paging_guest_regs *regs,
                        unsigned level, uint64_t entry)
{
        if (mode->entry_size == 8 && entry & ENTRY_NX && !(regs->efer & EFER_NXE))
                return true;
        if (mode->levels == 4 && level == 3 && entry & GUEST_ENTRY_PS)
                return true;
        /* Bits between the PAT bit and the address of a large leaf. */
        if (mode->entry_size == 8 && level && level <= mode->large_level && entry & GUEST_ENTRY_PS)
                return entry & ((1ull << (12 + mode->index_bits * level)) - 1) & ~0x1fffull;
        return false;
}

static uint32_t descend(const struct guest_mode *mode, const struct paging_guest_regs *regs,
                        uint64_t gva, const struct paging_guest_memory *mem, struct walk *w)
{
        uint64_t table = regs->cr3 & mode->root_mask;

        w->rights = ENTRY_W | ENTRY_U;
        for (w->level = mode->levels; w->level;) {
                unsigned shift = 12 + mode->index_bits * --w->level;
                uint64_t index = gva >> shift & ((1ull << mode->index_bits) - 1);
                uint64_t *entry = &w->entry[w->level];

                w->at[w->level] = table + index * mode->entry_size;
                if (mem->read(mem->ctx, GPA(align_down(w->at[w->level], 8)), entry))
                        return PAGING_FAULT_RESERVED | PAGING_FAULT_PRESENT;
                if (mode->entry_size == 4)
                        *entry = w->at[w->level] % 8 ? *entry >> 32 : *entry & UINT32_MAX;
                if (!(*entry & GUEST_ENTRY_P))
                        return PAGING_FAULT;
                if (is_reserved(mode, regs, w->level, *entry))
                        return PAGING_FAULT_RESERVED | PAGING_FAULT_PRESENT;
                if (!is_pointer_only(mode, w->level))
                        w->rights &= *entry;
                if (w->level <= mode->large_level && *entry & GUEST_ENTRY_PS)
                        break;
                table = *entry & GUEST_ENTRY_ADDR;
        }
        return 0;
}

static bool is_allowed(const struct paging_guest_regs *regs, const struct paging_access *access,
                       uint64_t rights)
{
        if (access->user && !(rights & ENTRY_U))
                return false;
        if (!access->user && rights & ENTRY_U && regs->cr4 & CR4_SMAP &&
            !(access->rflags & RFLAGS_AC))
                return false;
        return !access->write || rights & ENTRY_W || (!access->user && !(regs->cr0 & CR0_WP));
}

static void mark(const struct guest_mode *mode, const struct paging_access *access,
                 const struct paging_guest_memory *mem, const struct walk *w)
{
        for (unsigned level = w->level; level < mode->levels; level++) {
                uint64_t bits = ENTRY_A | (level == w->level && access->write ? ENTRY_D : 0);
                uint64_t at = w->at[level];

                if (!is_pointer_only(mode, level) && (w->entry[level] & bits) != bits)
                        mem->set(mem->ctx, GPA(align_down(at, 8)), bits << 8 * (at % 8));
        }
}

uint32_t paging_guest_access(const struct paging_guest_regs *regs, uint64_t gva,
                             const struct paging_access *access,
                             const struct paging_guest_memory *mem, gpa_t *out)
{
        struct guest_mode mode = guest_mode_of(regs);
        struct walk w = {0};
        uint32_t fault, told = (access->write ? PAGING_FAULT_WRITE : 0) |
                               (access->user ? PAGING_FAULT_USER : 0);
        unsigned shift;

        *out = GPA(gva);
        if (!(regs->cr0 & GUEST_CR0_PG))
                return 0;
        fault = descend(&mode, regs, gva, mem, &w);
        if (fault)
                return fault | told | PAGING_FAULT;
        if (!is_allowed(regs, access, w.rights))
                return PAGING_FAULT_PRESENT | told | PAGING_FAULT;
        mark(&mode, access, mem, &w);
        shift = 12 + mode.index_bits * w.level;
        *out = GPA(guest_leaf_base(&mode, w.entry[w.level], shift) | (gva & ((1ull << shift) - 1)));
        return 0;
}
