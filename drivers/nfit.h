/*
 * The ACPI NVDIMM Firmware Interface Table: which ranges of addresses are persistent memory, the
 * state of the NVDIMMs behind them, the hints that flush their controllers, and what the platform
 * promises for a loss of power. ACPI 6.4, 5.2.25. The table comes from firmware and nothing in it
 * is believed unchecked.
 */
#pragma once

#include "hv/lib/limits.h"
#include "hv/lib/types.h"

/* How far a store must have come to outlive a loss of power, as the platform declares it. */
enum nfit_domain {
        NFIT_DOMAIN_UNKNOWN, /* nothing is declared */
        NFIT_DOMAIN_NONE,    /* the table says that neither of the two holds */
        NFIT_DOMAIN_ADR,     /* to the memory controller: flush and fence */
        NFIT_DOMAIN_EADR     /* to the CPU's caches: fence only */
};

/* The state of an NVDIMM, 5.2.25.3: bits as in the table. */
#define NFIT_SAVE_FAILED    0x01u
#define NFIT_RESTORE_FAILED 0x02u
#define NFIT_FLUSH_FAILED   0x04u
#define NFIT_NOT_ARMED      0x08u
#define NFIT_HEALTH_EVENT   0x10u /* tells to look at its health; nothing is lost yet */
#define NFIT_NOT_MAPPED     0x40u /* the addresses are not decoded */

/* With one of these an NVDIMM does not keep its contents, or has lost them. */
#define NFIT_NOT_DURABLE                                                                           \
        (NFIT_SAVE_FAILED | NFIT_RESTORE_FAILED | NFIT_FLUSH_FAILED | NFIT_NOT_ARMED)

struct nfit_range {
        uint64_t start;  /* bytes; below 2^52, no two ranges overlap */
        uint64_t size;   /* bytes, > 0 */
        uint16_t index;  /* its number in the table */
        uint16_t state;  /* NFIT_* of all its NVDIMMs together, wherever the table tells of them */
        unsigned mapped; /* mappings of NVDIMMs into it; 0: the table tells of none */
        bool doubtful;   /* whose state that is cannot be known: not to be taken for durable */
};

struct nfit_nvdimm {
        uint32_t handle; /* the NFIT device handle */
        uint16_t state;  /* NFIT_* of all its mappings, also those into other ranges or into none */
        hpa_t hint;      /* its first flush hint address, 8-byte aligned; 0: none */
        unsigned hints;  /* how many it has */
        bool undrained;  /* it has some that cannot be used */
};

struct nfit {
        struct nfit_range range[NFIT_RANGES_MAX];
        size_t ranges;
        struct nfit_nvdimm nvdimm[NFIT_NVDIMMS_MAX]; /* those with a mapping into a range */
        size_t nvdimms;
        enum nfit_domain domain;
        bool incomplete; /* persistent ranges are not in the list, or the table is bad: the state of
                            what others call persistent is not known */
        unsigned refused; /* structures that were passed over with a message, or without any more */
};

/*
 * Read the len bytes of a whole table, whose checksum was found right. A range that cannot be (of
 * size 0, wrapping, overlapping another, its number used before, too many) is passed over with a
 * message, and so are flush hints that cannot be; structures of other kinds are passed over. What
 * was passed over is not forgotten: the list is incomplete then, and a range of which the number or
 * addresses were told twice, of which no NVDIMM is told, or one that has no place in the list of
 * NVDIMMs, is doubtful. So is one whose NVDIMM cannot be drained as the table says, where the
 * platform does not promise to do that itself.
 * -EBADMSG: a structure is shorter than its kind or does not end in the table. What is behind it
 * may be what says that a range is not safe, so nothing is then used: logged, and *nfit is empty
 * and incomplete.
 */
must_check int nfit_parse(const void *table, size_t len, struct nfit *nfit);

/* The domain in a word, as guests are told it: "unknown", "none", "adr", "eadr". */
const char *nfit_domain_word(enum nfit_domain domain);

/* The domain for people. */
const char *nfit_domain_text(enum nfit_domain domain);

/* NFIT_NOT_DURABLE bits of state for people: "not armed, save failed". Returns as format_text. */
int nfit_format_state(char *buf, size_t size, unsigned state);
