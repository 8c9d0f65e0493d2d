/*
 * Machine checks, judged: what the banks of a CPU tell, and whether the harm stays where it is.
 * Pure; the CPU's side is in mce.h. SDM vol. 3 16.3, APM vol. 2 9.3.
 */
#pragma once

#include "hv/lib/types.h"

#define MSR_MCG_CAP         0x179
#define MSR_MCG_STATUS      0x17a
#define MSR_MCG_CTL         0x17b
#define MSR_MC_CTL(bank)    (0x400 + 4 * (bank))
#define MSR_MC_STATUS(bank) (0x401 + 4 * (bank))
#define MSR_MC_ADDR(bank)   (0x402 + 4 * (bank))
#define MSR_MC_MISC(bank)   (0x403 + 4 * (bank))

#define MCG_CAP_BANKS   0xffu
#define MCG_CAP_CTL     (1u << 8)
#define MCG_CAP_RECOVER (1u << 24) /* MCG_SER_P: status has S and AR */

#define MCG_RIPV (1ull << 0) /* the interrupted program can go on */
#define MCG_MCIP (1ull << 2)

#define MC_VAL    (1ull << 63)
#define MC_OVER   (1ull << 62) /* another error was lost */
#define MC_UC     (1ull << 61)
#define MC_EN     (1ull << 60)
#define MC_MISCV  (1ull << 59)
#define MC_ADDRV  (1ull << 58)
#define MC_PCC    (1ull << 57) /* the CPU's state is corrupt */
#define MC_S      (1ull << 56)
#define MC_AR     (1ull << 55) /* the program cannot go on before something was done */
#define MC_DEFER  (1ull << 44) /* AMD: bad data that nobody has used yet */
#define MC_POISON (1ull << 43) /* AMD: known bad data was used, ADDR is physical */

/* What the bits mean on this CPU. */
struct mce_machine {
        unsigned banks;
        bool recover;       /* MCG_CAP_RECOVER */
        bool address_modes; /* Intel: MISC tells what kind of address ADDR has */
        bool scalable;      /* AMD: ADDR is physical only with MC_POISON */
        bool defers;        /* AMD: status has DEFER, which is part of a count on Intel's */
};

/* A bank as it was read; addr and misc count where status says so. */
struct mce_bank {
        unsigned number;
        uint64_t status, addr, misc;
};

enum mce_verdict {
        MCE_EMPTY,     /* nothing, or nothing that raised a machine check */
        MCE_CORRECTED, /* no harm done */
        MCE_LATENT,    /* bad data that nobody has used yet, perhaps at a known physical address */
        MCE_DATA,      /* bad data at a known physical address, and nowhere else */
        MCE_FATAL,     /* anything else */
};

/* Memory that is bad: 2^order bytes, aligned; order 0: nobody knows where. */
struct mce_place {
        hpa_t hpa;
        unsigned order;
};

#define MCE_PLACE_ORDER_MAX 30u /* larger areas are fatal */

/* Judge one bank; fills in place for MCE_DATA and MCE_LATENT. */
enum mce_verdict mce_judge(const struct mce_machine *machine, const struct mce_bank *bank,
                           struct mce_place *place);

/* The registers, so that tests can have their own. */
struct mce_ops {
        uint64_t (*read)(uint32_t msr);
        void (*write)(uint32_t msr, uint64_t value);
        bool (*is_nvram)(const struct mce_place *place);
        void (*queue)(const struct mce_place *place);
};

/* What a machine check came to. */
struct mce_result {
        const char *fatal;    /* why the machine must stop, or NULL */
        struct mce_bank bank; /* which tells that, status 0: none */
        uint64_t mcg_status;
        unsigned corrected, bad; /* errors of these kinds */
        unsigned latent;         /* bad data that is not used yet, of which nobody knows where */
};

/*
 * Read all banks. Bad data that the machine can do without is queued; banks are cleared, and the
 * next machine check is let in, unless the machine must stop. in_guest: it came while a guest ran,
 * which need not go on.
 */
void mce_scan(const struct mce_machine *machine, const struct mce_ops *ops, bool in_guest,
              struct mce_result *result);

/*
 * Read all banks for what raises no machine check: errors that were corrected, and bad data that
 * nobody has used yet (SDM vol. 3 16.6.3 UCNA, APM vol. 2 9.3.2.2 deferred errors), which is queued
 * whatever memory it is in. Clears the banks that tell of such; leaves all others to the exception.
 */
void mce_poll_banks(const struct mce_machine *machine, const struct mce_ops *ops,
                    struct mce_result *result);
