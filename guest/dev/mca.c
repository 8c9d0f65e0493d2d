/* A vCPU's machine-check bank; contract in mca.h. */
#include "guest/dev/mca.h"

#include "hv/lib/errno.h"
#include "hv/trap/mce_decode.h"

#define BANKS         1u
#define SCRUB_ERROR   0xc0u  /* of memory, found by a scrubber: SDM table 16-8 */
#define BUS_ERROR     0xe03u /* generic, of memory, at no known level: APM vol. 2 9.3 */
#define MISC_PHYSICAL (2u << 6)
#define LINE_ORDER    6u

bool mca_owns_msr(uint32_t msr)
{
        return msr == MSR_MCG_CAP || msr == MSR_MCG_STATUS ||
               (msr >= MSR_MC_CTL(0) && msr < MSR_MC_CTL(BANKS));
}

int mca_msr_read(const struct mca *mca, uint32_t msr, uint64_t *value)
{
        if (!mca_owns_msr(msr))
                return -EINVAL;
        if (msr == MSR_MCG_CAP)
                *value = (mca->amd ? 0 : MCG_CAP_RECOVER) | BANKS;
        else
                *value = msr == MSR_MCG_STATUS ? mca->mcg_status : mca->bank[msr - MSR_MC_CTL(0)];
        return 0;
}

/*
 * The two of status can only be cleared (SDM vol. 3 16.3.2.2). ADDR and MISC keep what is written,
 * as AMD's CPUs and KVM do.
 */
int mca_msr_write(struct mca *mca, uint32_t msr, uint64_t value)
{
        bool clears = msr == MSR_MCG_STATUS || msr == MSR_MC_STATUS(0);

        if (!mca_owns_msr(msr) || msr == MSR_MCG_CAP || (clears && value))
                return -EINVAL;
        *(msr == MSR_MCG_STATUS ? &mca->mcg_status : &mca->bank[msr - MSR_MC_CTL(0)]) = value;
        return 0;
}

static void set_waiting(struct mca *mca, unsigned places)
{
        __atomic_store_n(&mca->waiting, places, __ATOMIC_RELAXED);
}

void mca_add(struct mca *mca, gpa_t gpa)
{
        for (unsigned i = 0; i < mca->waiting; i++)
                if (mca->place[i].v == gpa.v)
                        return;
        if (mca->waiting == MCA_PLACES)
                return;
        mca->place[mca->waiting] = gpa;
        set_waiting(mca, mca->waiting + 1);
}

bool mca_is_due(const struct mca *mca)
{
        return mca->waiting && !(mca->mcg_status & MCG_MCIP) && !(mca->status & MC_VAL);
}

/* AMD's UC has no recovery outside of user mode; POISON says that ADDR is a physical address. */
static void fill_bank(struct mca *mca)
{
        if (mca->amd) {
                mca->status = MC_VAL | MC_EN | MC_ADDRV | MC_DEFER | MC_POISON | BUS_ERROR;
                mca->misc = 0;
        } else {
                mca->status = MC_VAL | MC_UC | MC_EN | MC_MISCV | MC_ADDRV | MC_S | SCRUB_ERROR;
                mca->misc = MISC_PHYSICAL | LINE_ORDER;
        }
        mca->addr = mca->place[0].v;
}

void mca_raise(struct mca *mca)
{
        mca->mcg_status = MCG_MCIP | MCG_RIPV;
        fill_bank(mca);
        set_waiting(mca, mca->waiting - 1);
        for (unsigned i = 0; i < mca->waiting; i++)
                mca->place[i] = mca->place[i + 1];
}
