/* The memory type range registers of a vCPU; contract in mtrr.h. */
#include "guest/dev/mtrr.h"

#include "hv/lib/errno.h"

#define DEF_TYPE_ENABLE       (1ull << 11)
#define DEF_TYPE_FIXED_ENABLE (1ull << 10)
#define DEF_TYPE_TYPE         0xffull
#define TYPE_WRITE_BACK       6ull
#define TYPES                 (1u << 0 | 1u << 4 | 1u << 5 | 1u << 6) /* UC, WT, WP, WB */

void mtrr_init(struct mtrr *m)
{
        m->def_type = DEF_TYPE_ENABLE | TYPE_WRITE_BACK;
}

/* The capabilities: no variable ranges, no fixed ones, no write-combining. */
uint64_t mtrr_msr_read(const struct mtrr *m, uint32_t msr)
{
        return msr == MSR_MTRR_CAP ? 0 : m->def_type;
}

int mtrr_msr_write(struct mtrr *m, uint32_t msr, uint64_t value)
{
        uint64_t type = value & DEF_TYPE_TYPE;

        if (msr == MSR_MTRR_CAP ||
            value & ~(DEF_TYPE_ENABLE | DEF_TYPE_FIXED_ENABLE | DEF_TYPE_TYPE) ||
            type > TYPE_WRITE_BACK || !(TYPES >> type & 1))
                return -EINVAL;
        m->def_type = value;
        return 0;
}
