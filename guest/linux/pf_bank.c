/*
 * A transactional structure of libpmemobj: pf_bank cycle|verify FILE SEED
 *
 * A bank of accounts and a journal, a linked list that grows by one allocated entry a transfer.
 * Each transfer is one transaction that changes two accounts, the count of transfers and the list
 * (which is freed from its old end). Invariants: the accounts' sum never changes; the list is as
 * long as the count says; replaying what the seed determines for `transfers` transfers gives the
 * accounts that are there. cycle goes on for ever and acknowledges; verify checks.
 */
#include <inttypes.h>
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/linux/pf_util.h"

#define ACCOUNTS      64
#define START_BALANCE 1000
#define LIST_MAX      512
#define ACK_TRANSFERS 32
#define POOL_BYTES    (16 << 20)

POBJ_LAYOUT_BEGIN(bank);
POBJ_LAYOUT_ROOT(bank, struct bank);
POBJ_LAYOUT_TOID(bank, struct entry);
POBJ_LAYOUT_END(bank);

struct entry {
        TOID(struct entry) newer;
        uint64_t number;
        uint64_t checksum; /* of number with the seed */
};

struct bank {
        uint64_t opened;
        uint64_t transfers;
        int64_t balance[ACCOUNTS];
        TOID(struct entry) oldest;
        TOID(struct entry) newest;
        uint64_t length;
};

static const char name[] = "bank";
static uint64_t seed;
static PMEMobjpool *pool;
static TOID(struct bank) bank;

struct transfer {
        unsigned from, to;
        int64_t amount;
};

/* What transfer number n does is determined by the seed alone. */
static struct transfer plan_transfer(uint64_t n)
{
        uint64_t state = seed ^ n * 0x9e3779b97f4a7c15ull;
        struct transfer t;

        t.from = (unsigned)(pf_random(&state) % ACCOUNTS);
        t.to = (unsigned)(pf_random(&state) % ACCOUNTS);
        t.amount = (int64_t)(pf_random(&state) % 100);
        return t;
}

static uint64_t entry_checksum(uint64_t number)
{
        uint64_t words[2] = {seed, number};

        return pf_checksum(words, sizeof(words));
}

static void open_bank(const char *path)
{
        pool = pmemobj_open(path, POBJ_LAYOUT_NAME(bank));
        if (!pool)
                pool = pmemobj_create(path, POBJ_LAYOUT_NAME(bank), POOL_BYTES, 0600);
        if (!pool)
                pf_fail(name, "%s: %s", path, pmemobj_errormsg());
        bank = POBJ_ROOT(pool, struct bank);
        if (TOID_IS_NULL(bank))
                pf_fail(name, "no root object: %s", pmemobj_errormsg());
        if (D_RO(bank)->opened)
                return;
        TX_BEGIN(pool)
        {
                TX_ADD(bank);
                for (int i = 0; i < ACCOUNTS; i++)
                        D_RW(bank)->balance[i] = START_BALANCE;
                D_RW(bank)->opened = 1;
        }
        TX_ONABORT
        {
                pf_fail(name, "the bank cannot be opened: %s", pmemobj_errormsg());
        }
        TX_END
}

static void append_entry(uint64_t number)
{
        TOID(struct entry) e = TX_NEW(struct entry);

        D_RW(e)->number = number;
        D_RW(e)->checksum = entry_checksum(number);
        D_RW(e)->newer = TOID_NULL(struct entry);
        if (TOID_IS_NULL(D_RO(bank)->newest))
                D_RW(bank)->oldest = e;
        else
                TX_SET(D_RW(bank)->newest, newer, e);
        D_RW(bank)->newest = e;
        D_RW(bank)->length++;
}

static void drop_oldest(void)
{
        TOID(struct entry) old = D_RO(bank)->oldest;

        D_RW(bank)->oldest = D_RO(old)->newer;
        D_RW(bank)->length--;
        TX_FREE(old);
}

static void do_transfer(uint64_t number)
{
        struct transfer t = plan_transfer(number);

        TX_BEGIN(pool)
        {
                TX_ADD(bank);
                D_RW(bank)->balance[t.from] -= t.amount;
                append_entry(number);
                if (D_RO(bank)->length > LIST_MAX)
                        drop_oldest();
                D_RW(bank)->balance[t.to] += t.amount;
                D_RW(bank)->transfers = number;
        }
        TX_ONABORT
        {
                pf_fail(name, "transfer %" PRIu64 ": %s", number, pmemobj_errormsg());
        }
        TX_END
}

static void check_accounts(void)
{
        int64_t expected[ACCOUNTS];
        int64_t sum = 0;

        for (int i = 0; i < ACCOUNTS; i++)
                expected[i] = START_BALANCE;
        for (uint64_t n = 1; n <= D_RO(bank)->transfers; n++) {
                struct transfer t = plan_transfer(n);

                expected[t.from] -= t.amount;
                expected[t.to] += t.amount;
        }
        for (int i = 0; i < ACCOUNTS; i++) {
                sum += D_RO(bank)->balance[i];
                if (D_RO(bank)->balance[i] != expected[i])
                        pf_fail(name,
                                "account %d has %" PRId64 ", not %" PRId64 ", after %" PRIu64
                                " transfers",
                                i, D_RO(bank)->balance[i], expected[i], D_RO(bank)->transfers);
        }
        if (sum != (int64_t)ACCOUNTS * START_BALANCE)
                pf_fail(name, "the accounts' sum is %" PRId64, sum);
}

static void check_list(void)
{
        uint64_t length = 0;
        uint64_t number = D_RO(bank)->transfers - D_RO(bank)->length;
        TOID(struct entry) e;

        for (e = D_RO(bank)->oldest; !TOID_IS_NULL(e); e = D_RO(e)->newer) {
                length++;
                number++;
                if (D_RO(e)->number != number || D_RO(e)->checksum != entry_checksum(number))
                        pf_fail(name,
                                "entry %" PRIu64 " of the list has number %" PRIu64
                                ", not %" PRIu64,
                                length, D_RO(e)->number, number);
        }
        if (length != D_RO(bank)->length || number != D_RO(bank)->transfers)
                pf_fail(name, "the list has %" PRIu64 " entries, not %" PRIu64, length,
                        D_RO(bank)->length);
}

int main(int argc, char **argv)
{
        if (argc != 4)
                pf_fail(name, "usage: pf_bank cycle|verify FILE SEED");
        seed = strtoull(argv[3], NULL, 0);
        open_bank(argv[2]);
        check_accounts();
        check_list();
        printf("PF-STATE: bank transfers=%" PRIu64 " length=%" PRIu64 "\n", D_RO(bank)->transfers,
               D_RO(bank)->length);
        if (!strcmp(argv[1], "verify")) {
                printf("PF-TEST: bank-verify ok transfers=%" PRIu64 "\n", D_RO(bank)->transfers);
                pmemobj_close(pool);
                return 0;
        }
        fflush(stdout);
        for (uint64_t n = D_RO(bank)->transfers + 1;; n++) {
                do_transfer(n);
                if (n % ACK_TRANSFERS == 0)
                        pf_ack(name, "transfers=%" PRIu64, n);
        }
}
