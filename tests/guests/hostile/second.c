/*
 * The second vCPU, if the VM has one: INIT and start-up IPIs bring it to code in real mode that
 * disturbs the first for as long as it lasts. It has an interrupt table of its own, which returns.
 */
#include "tests/guests/hostile/kinds.h"

#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define ICR      0x830u
#define INIT     0x4500u
#define START_UP 0x4600u
#define TO_IT    (1ull << 32)

#define FIRST_PAGE 0xau /* of its code; all below KEEP_LOW_END */
#define TABLE      0xe000u
#define RETURN     0xe400u
#define TABLE_AT   0xe410u

#define OWN_TABLE 0x0f, 0x01, 0x1e, TABLE_AT & 0xff, TABLE_AT >> 8 /* LIDT [TABLE_AT] */

/* Each does its round DI times and is deaf then. */
#define TIMES(n)    0xbf, (n)&0xff, (n) >> 8
#define AGAIN(back) 0x4f, 0x75, 256 - (back)
#define DEAF        0xfa, 0xf4, 0xeb, 0xfd

/* Vectors but exceptions' and the spurious one to the first vCPU, with a pause in between. */
static const uint8_t flood[] = {
    OWN_TABLE, TIMES(300), 0x66, 0xb9, 0x30, 0x08, 0,    0,    0x66, 0x31,      0xd2, 0x66,
    0xb8,      0x20,       0x40, 0,    0,    0xbb, 0x00, 0x02, 0x4b, 0x75,      0xfd, 0x0f,
    0x30,      0xfe,       0xc0, 0x3c, 0xfe, 0x72, 0x02, 0xb0, 0x20, AGAIN(19), DEAF};

/* CPUID, OUT and RDMSR. */
static const uint8_t exits[] = {OWN_TABLE, TIMES(100), 0x66, 0x31, 0xc0, 0x0f,      0xa2,
                                0xba,      0x80,       0x00, 0xee, 0x66, 0xb9,      0x1b,
                                0,         0,          0,    0x0f, 0x32, AGAIN(20), DEAF};

/* The first one's code in real mode turns over while it runs, and while it is decoded. */
static const uint8_t spoil[] = {OWN_TABLE,
                                TIMES(ARENA_ROOM / 4),
                                0xb8,
                                ARENA_REAL >> 4 & 0xff,
                                ARENA_REAL >> 12,
                                0x8e,
                                0xd8,
                                0x31,
                                0xf6,
                                0xf6,
                                0x14,
                                0x46,
                                AGAIN(6),
                                DEAF};

static const uint8_t rest[] = {OWN_TABLE, DEAF};

static const struct {
        const uint8_t *code;
        size_t size;
} codes[] = {
    {flood, sizeof flood}, {exits, sizeof exits}, {spoil, sizeof spoil}, {rest, sizeof rest}};

static void put(uint32_t at, const void *from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((volatile uint8_t *)(uintptr_t)at)[i] = ((const uint8_t *)from)[i];
}

static void prepare(void)
{
        static const uint8_t iret = 0xcf, table_at[] = {0xff, 0x03, TABLE & 0xff, TABLE >> 8, 0, 0};
        static const uint32_t entry = RETURN;

        for (unsigned i = 0; i < COUNT(codes); i++)
                put((FIRST_PAGE + i) * PAGE, codes[i].code, codes[i].size);
        for (unsigned vector = 0; vector < 256; vector++)
                put(TABLE + 4 * vector, &entry, sizeof entry);
        put(RETURN, &iret, sizeof iret);
        put(TABLE_AT, table_at, sizeof table_at);
}

void op_second(void)
{
        prepare();
        for (unsigned n = 1 + random_below(4); n; n--) {
                if (random_one_in(2))
                        write_msr(ICR, TO_IT | INIT);
                write_msr(ICR, TO_IT | START_UP | (FIRST_PAGE + random_below(COUNT(codes))));
        }
}
