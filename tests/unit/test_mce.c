/* Machine checks: single banks judged, and whole scans of a CPU whose registers are an array. */
#include "hv/trap/mce.h"

#include <string.h>

#include "guest/dev/mca.h"
#include "tests/unit/unit.h"

#define ERROR    (MC_VAL | MC_UC | MC_EN | MC_ADDRV)
#define USED     (ERROR | MC_MISCV | MC_S) /* of one who can recover */
#define PHYSICAL (2ull << 6)
#define NVRAM    0x40000000ull

static const struct mce_machine intel = {.banks = 4, .recover = true, .address_modes = true};
static const struct mce_machine old = {.banks = 4, .address_modes = true};
static const struct mce_machine amd = {.banks = 4, .defers = true};
static const struct mce_machine smca = {.banks = 4, .scalable = true, .defers = true};

struct judged {
        const struct mce_machine *machine;
        uint64_t status, addr, misc;
        enum mce_verdict verdict;
        uint64_t hpa;
        unsigned order;
};

static const struct judged table[] = {
    {&intel, 0, 0, 0, MCE_EMPTY, 0, 0},
    {&intel, MC_UC | MC_PCC, 0, 0, MCE_EMPTY, 0, 0},
    {&intel, MC_VAL, 0, 0, MCE_CORRECTED, 0, 0},
    {&intel, MC_VAL | MC_EN | MC_OVER | MC_ADDRV, 0, 0, MCE_CORRECTED, 0, 0},
    {&intel, MC_VAL | MC_EN | MC_DEFER, 0, 0, MCE_CORRECTED, 0, 0}, /* a part of the count */
    {&old, MC_VAL | MC_UC | MC_ADDRV, 0, 0, MCE_EMPTY, 0, 0},
    {&old, MC_VAL | MC_UC | MC_EN, 0, 0, MCE_FATAL, 0, 0},
    {&old, ERROR | MC_MISCV, 0x12345678, PHYSICAL | 6, MCE_DATA, 0x12345640, 6},
    {&intel, MC_VAL | MC_UC | MC_PCC, 0, 0, MCE_FATAL, 0, 0},
    /* Intel: MISC must say that it is physical, and how much of it */
    {&intel, USED, 0x12345678, PHYSICAL | 6, MCE_DATA, 0x12345640, 6},
    {&intel, USED | MC_AR, 0x12345678, PHYSICAL | 12, MCE_DATA, 0x12345000, 12},
    {&intel, USED, 0x12345678, PHYSICAL | 30, MCE_DATA, 0, 30},
    {&intel, USED, 0x12345678, PHYSICAL | 31, MCE_FATAL, 0, 0},
    {&intel, USED, 0xfff0000012345678, PHYSICAL, MCE_DATA, 0x12345640, 6},
    {&intel, USED, 0x12345678, 1u << 6 | 6, MCE_FATAL, 0, 0},
    {&intel, USED & ~MC_MISCV, 0x12345678, PHYSICAL | 6, MCE_FATAL, 0, 0},
    {&intel, USED & ~MC_ADDRV, 0x12345678, PHYSICAL | 6, MCE_FATAL, 0, 0},
    {&intel, USED | MC_PCC, 0x12345678, PHYSICAL | 6, MCE_FATAL, 0, 0},
    {&intel, USED | MC_OVER, 0x12345678, PHYSICAL | 6, MCE_FATAL, 0, 0},
    /* found, but not used: neither S nor AR, or with the exception switched off */
    {&intel, ERROR | MC_MISCV, 0x12345678, PHYSICAL | 6, MCE_LATENT, 0x12345640, 6},
    {&intel, ERROR | MC_MISCV | MC_OVER, 0x12345678, PHYSICAL | 12, MCE_LATENT, 0x12345000, 12},
    {&intel, USED & ~MC_EN, 0x12345678, PHYSICAL | 6, MCE_LATENT, 0x12345640, 6},
    {&intel, MC_VAL | MC_UC | MC_ADDRV, 0x12345678, 0, MCE_LATENT, 0, 0},
    {&intel, ERROR, 0x12345678, PHYSICAL | 6, MCE_LATENT, 0, 0},
    {&intel, ERROR | MC_MISCV, 0x12345678, PHYSICAL | 31, MCE_LATENT, 0, 0},
    {&intel, ERROR | MC_MISCV | MC_PCC, 0x12345678, PHYSICAL | 6, MCE_FATAL, 0, 0},
    {&intel, MC_VAL | MC_UC | MC_PCC, 0, 0, MCE_FATAL, 0, 0},
    /* AMD: MISC is something else; with scalable MCA, only poison has a physical address */
    {&amd, ERROR, 0x12345678, 0, MCE_DATA, 0x12345640, 6},
    {&amd, ERROR | MC_MISCV, 0x12345678, 1u << 6 | 30, MCE_DATA, 0x12345640, 6},
    {&amd, MC_VAL | MC_UC | MC_EN, 0x12345678, 0, MCE_FATAL, 0, 0},
    {&smca, ERROR, 0x12345678, 0, MCE_FATAL, 0, 0},
    {&smca, ERROR | MC_POISON, 0x12345678, 0, MCE_DATA, 0x12345640, 6},
    {&amd, MC_VAL | MC_DEFER | MC_ADDRV, 0x12345678, 0, MCE_LATENT, 0x12345640, 6},
    {&amd, MC_VAL | MC_DEFER, 0x12345678, 0, MCE_LATENT, 0, 0},
    {&smca, MC_VAL | MC_DEFER | MC_ADDRV, 0x12345678, 0, MCE_LATENT, 0, 0},
    {&amd, ERROR | MC_DEFER, 0x12345678, 0, MCE_DATA, 0x12345640, 6},
};

static void test_banks(void)
{
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                const struct judged *t = &table[i];
                struct mce_bank bank = {0, t->status, t->addr, t->misc};
                struct mce_place place = {HPA(0), 0};
                enum mce_verdict verdict = mce_judge(t->machine, &bank, &place);

                if (verdict != t->verdict)
                        printf("row %zu\n", i);
                CHECK_EQ(verdict, t->verdict);
                if (t->verdict != MCE_DATA && t->verdict != MCE_LATENT)
                        continue;
                CHECK_EQ(place.hpa.v, t->hpa);
                CHECK_EQ(place.order, t->order);
        }
}

static uint64_t msr[0x20], mcg_status;
static struct mce_place queued[8];
static unsigned queue_length;

static uint64_t read_msr(uint32_t number)
{
        if (number == MSR_MCG_STATUS)
                return mcg_status;
        CHECK(number >= 0x400 && number < 0x410);
        /* where status does not say so, these need not be there */
        if (number % 4 == 2)
                CHECK(msr[number - 0x401] & MC_ADDRV);
        if (number % 4 == 3)
                CHECK(msr[number - 0x402] & MC_MISCV);
        return msr[number - 0x400];
}

static void write_msr(uint32_t number, uint64_t value)
{
        CHECK_EQ(value, 0);
        if (number == MSR_MCG_STATUS)
                mcg_status = 0;
        else
                msr[number - 0x400] = 0;
}

static bool is_nvram(const struct mce_place *place)
{
        return place->hpa.v >= NVRAM;
}

static void queue(const struct mce_place *place)
{
        queued[queue_length++] = *place;
}

static const struct mce_ops ops = {read_msr, write_msr, is_nvram, queue};

static void set_bank(unsigned bank, uint64_t status, uint64_t addr)
{
        msr[4 * bank + 1] = status;
        msr[4 * bank + 2] = addr;
        msr[4 * bank + 3] = PHYSICAL | 6;
}

static struct mce_result scan(uint64_t mcg, bool in_guest)
{
        struct mce_result result;

        mcg_status = mcg;
        queue_length = 0;
        mce_scan(&intel, &ops, in_guest, &result);
        return result;
}

static void expect_fatal(uint64_t mcg, bool in_guest, const char *why, unsigned bank)
{
        uint64_t status = msr[4 * bank + 1];
        struct mce_result r = scan(mcg, in_guest);

        CHECK(r.fatal && strstr(r.fatal, why));
        CHECK_EQ(r.bank.number, bank);
        CHECK_EQ(r.mcg_status, mcg);
        /* all is left for who looks at it after a reset */
        CHECK_EQ(msr[4 * bank + 1], status);
        CHECK_EQ(mcg_status, mcg);
        memset(msr, 0, sizeof msr);
}

static void test_bad_nvram(void)
{
        struct mce_result r;

        set_bank(0, MC_VAL | MC_EN, 0);
        set_bank(1, USED, NVRAM + 0x1234);
        set_bank(3, USED, NVRAM + 0x4000000);
        r = scan(MCG_MCIP | MCG_RIPV, false);
        CHECK(!r.fatal);
        CHECK_EQ(r.corrected, 1);
        CHECK_EQ(r.bad, 2);
        CHECK_EQ(queue_length, 2);
        CHECK_EQ(queued[0].hpa.v, NVRAM + 0x1200);
        CHECK_EQ(queued[1].hpa.v, NVRAM + 0x4000000);
        CHECK_EQ(mcg_status, 0);
        for (unsigned i = 0; i < 4; i++)
                CHECK_EQ(msr[4 * i + 1], 0);
}

static void test_fatal(void)
{
        set_bank(2, USED, NVRAM - 64);
        expect_fatal(MCG_MCIP | MCG_RIPV, true, "not NVRAM", 2);
        set_bank(1, USED | MC_PCC, NVRAM);
        expect_fatal(MCG_MCIP | MCG_RIPV, true, "state is corrupt", 1);
        set_bank(3, MC_VAL | MC_UC | MC_EN | MC_S, 0);
        expect_fatal(MCG_MCIP | MCG_RIPV, false, "nothing confines", 3);
        /* data that the program needs: a guest can do without, the hypervisor cannot */
        set_bank(1, USED | MC_AR, NVRAM);
        expect_fatal(MCG_MCIP | MCG_RIPV, false, "needs bad NVRAM", 1);
        set_bank(1, USED | MC_AR, NVRAM);
        CHECK(!scan(MCG_MCIP | MCG_RIPV, true).fatal);
        /* no return address */
        set_bank(1, USED, NVRAM);
        expect_fatal(MCG_MCIP, false, "cannot go on", 0);
        set_bank(1, USED, NVRAM);
        CHECK(!scan(MCG_MCIP, true).fatal);
        expect_fatal(MCG_MCIP, true, "no bank", 0);
}

/* On the way, what nobody has used yet: the granule is bad, or it is counted; no reason to stop. */
static void test_latent_beside(void)
{
        struct mce_result r;

        set_bank(0, ERROR | MC_MISCV, NVRAM + 0x1234);
        set_bank(1, ERROR, 0);
        set_bank(2, ERROR | MC_MISCV, NVRAM - 64);
        r = scan(MCG_MCIP | MCG_RIPV, false);
        CHECK(!r.fatal);
        CHECK_EQ(r.bad, 0);
        CHECK_EQ(r.latent, 1);
        CHECK_EQ(queue_length, 2);
        CHECK_EQ(queued[0].hpa.v, NVRAM + 0x1200);
        CHECK_EQ(queued[1].hpa.v, NVRAM - 64);
        /* but it does not tell why the program cannot go on */
        set_bank(0, ERROR | MC_MISCV, NVRAM);
        expect_fatal(MCG_MCIP, true, "no bank", 0);
}

static void test_poll(void)
{
        struct mce_result r;

        queue_length = 0;
        set_bank(0, MC_VAL | MC_EN, 0);
        set_bank(1, ERROR | MC_MISCV, NVRAM + 0x1234);
        set_bank(2, USED | MC_AR, NVRAM);
        set_bank(3, ERROR, 0);
        mcg_status = MCG_MCIP;
        mce_poll_banks(&intel, &ops, &r);
        CHECK_EQ(r.corrected, 1);
        CHECK_EQ(r.latent, 1);
        CHECK_EQ(queue_length, 1);
        CHECK_EQ(queued[0].hpa.v, NVRAM + 0x1200);
        /* what an exception will tell stays for it, and it alone says when it is done */
        CHECK_EQ(msr[1] | msr[5] | msr[13], 0);
        CHECK_EQ(msr[9], USED | MC_AR);
        CHECK_EQ(mcg_status, MCG_MCIP);
        mce_poll_banks(&intel, &ops, &r);
        CHECK_EQ(r.corrected + r.latent, 0);
        CHECK_EQ(queue_length, 1);
        memset(msr, 0, sizeof msr);
        mcg_status = 0;
}

/* Another CPU's machine check comes to all on Intel's: nothing in the own banks. */
static void test_nothing_here(void)
{
        struct mce_result r = scan(MCG_MCIP | MCG_RIPV, false);

        CHECK(!r.fatal);
        CHECK_EQ(r.bad + r.corrected, 0);
        CHECK_EQ(mcg_status, 0);
}

/* Told once, counted always, and over when it was taken. */
static void test_unexpected_nmi(void)
{
        struct mce_place place;

        CHECK(!mce_any());
        CHECK(!mce_take(&place));
        mce_count_nmi();
        CHECK(mce_any());
        CHECK(!mce_is_damaged()); /* nobody has to wait for that */
        CHECK(!mce_take(&place));
        CHECK(!mce_any());
        mce_count_nmi();
        CHECK_EQ(mce_nmis(), 2);
        CHECK(!mce_take(&place));
}

static uint64_t guest_read(const struct mca *mca, uint32_t number)
{
        uint64_t value = 0;

        CHECK(mca_owns_msr(number));
        CHECK_EQ(mca_msr_read(mca, number, &value), 0);
        return value;
}

static void test_guest_bank(void)
{
        struct mca mca = {0};
        struct mce_bank bank = {0};
        struct mce_place place;

        CHECK(!mca_is_due(&mca));
        mca_add(&mca, GPA(0x5678));
        mca_add(&mca, GPA(0x5678));
        mca_add(&mca, GPA(0x9000));
        CHECK_EQ(mca.waiting, 2);
        CHECK(mca_is_due(&mca));
        mca_raise(&mca);
        bank.status = guest_read(&mca, MSR_MC_STATUS(0));
        bank.addr = guest_read(&mca, MSR_MC_ADDR(0));
        bank.misc = guest_read(&mca, MSR_MC_MISC(0));
        /* a hypervisor in the guest's place would understand it */
        CHECK_EQ(mce_judge(&intel, &bank, &place), MCE_DATA);
        CHECK_EQ(place.hpa.v, 0x5640);
        CHECK_EQ(guest_read(&mca, MSR_MCG_STATUS), MCG_MCIP | MCG_RIPV);
        CHECK_EQ(guest_read(&mca, MSR_MCG_CAP), MCG_CAP_RECOVER | 1);
        /* the second waits until the guest is done with the first */
        CHECK(!mca_is_due(&mca));
        CHECK_EQ(mca_msr_write(&mca, MSR_MC_STATUS(0), 1), -22);
        CHECK_EQ(mca_msr_write(&mca, MSR_MC_STATUS(0), 0), 0);
        CHECK_EQ(mca_msr_write(&mca, MSR_MCG_STATUS, 0), 0);
        CHECK_EQ(mca_msr_write(&mca, MSR_MCG_CAP, 0), -22);
        CHECK_EQ(mca_msr_write(&mca, MSR_MC_ADDR(0), ~0ull), 0);
        CHECK_EQ(mca_msr_write(&mca, MSR_MC_MISC(0), 1), 0);
        CHECK_EQ(mca.addr, ~0ull);
        CHECK_EQ(mca.misc, 1);
        CHECK_EQ(guest_read(&mca, MSR_MC_STATUS(0)), 0);
        CHECK(mca_is_due(&mca));
        mca_raise(&mca);
        CHECK_EQ(guest_read(&mca, MSR_MC_ADDR(0)), 0x9000);
        CHECK_EQ(mca.waiting, 0);
        for (uint64_t i = 0; i < 2 * MCA_PLACES; i++)
                mca_add(&mca, GPA(i * PAGE_4K));
        CHECK_EQ(mca.waiting, MCA_PLACES);
        CHECK(!mca_owns_msr(MSR_MC_CTL(1)) && !mca_owns_msr(MSR_MCG_CTL));
}

/* What Linux' grading takes for a deferred error with an address: nothing that makes it panic. */
static void test_guest_bank_of_amd(void)
{
        struct mca mca = {.amd = true};
        uint64_t status;

        mca_add(&mca, GPA(0x5640));
        mca_add(&mca, GPA(0x9000));
        mca_raise(&mca);
        status = guest_read(&mca, MSR_MC_STATUS(0));
        CHECK_EQ(status & (MC_VAL | MC_EN | MC_ADDRV | MC_DEFER | MC_POISON),
                 MC_VAL | MC_EN | MC_ADDRV | MC_DEFER | MC_POISON);
        CHECK_EQ(status & (MC_UC | MC_PCC | MC_OVER | MC_MISCV | MC_S | MC_AR), 0);
        CHECK_EQ(guest_read(&mca, MSR_MC_ADDR(0)), 0x5640);
        CHECK_EQ(guest_read(&mca, MSR_MCG_STATUS), MCG_MCIP | MCG_RIPV);
        CHECK_EQ(guest_read(&mca, MSR_MCG_CAP), 1);
        /* the handler returns and leaves the bank to a poller, which empties it */
        CHECK_EQ(mca_msr_write(&mca, MSR_MCG_STATUS, 0), 0);
        CHECK(!mca_is_due(&mca));
        CHECK_EQ(guest_read(&mca, MSR_MC_ADDR(0)), 0x5640);
        CHECK_EQ(mca_msr_write(&mca, MSR_MC_STATUS(0), 0), 0);
        CHECK(mca_is_due(&mca));
}

int main(void)
{
        RUN(test_banks);
        RUN(test_bad_nvram);
        RUN(test_fatal);
        RUN(test_latent_beside);
        RUN(test_poll);
        RUN(test_nothing_here);
        RUN(test_unexpected_nmi);
        RUN(test_guest_bank);
        RUN(test_guest_bank_of_amd);
        return unit_done();
}
