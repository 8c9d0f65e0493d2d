/* The NFIT: a table as QEMU 7.2 makes it, tables made by hand, each refusal, and damaged bytes. */
#include "drivers/nfit.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

/* -machine nvdimm=on,nvdimm-persistence=cpu with two NVDIMMs of 256 MiB, the second unarmed. */
static const uint8_t qemu[] = {
    0x4e, 0x46, 0x49, 0x54, 0xa8, 0x01, 0x00, 0x00, 0x01, 0x7f, 0x42, 0x4f, 0x43, 0x48, 0x53, 0x20,
    0x42, 0x58, 0x50, 0x43, 0x20, 0x20, 0x20, 0x20, 0x01, 0x00, 0x00, 0x00, 0x42, 0x58, 0x50, 0x43,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x38, 0x00, 0x02, 0x00, 0x03, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40,
    0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x08, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x30, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x03, 0x00,
    0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x04, 0x00, 0x50, 0x00, 0x03, 0x00, 0x86, 0x80, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x56, 0x34, 0x12, 0x00, 0x01, 0x03, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x38, 0x00, 0x04, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb,
    0x00, 0x00, 0x00, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
    0x08, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x30, 0x00, 0x02, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0x00, 0x00, 0x04, 0x00, 0x50, 0x00, 0x05, 0x00, 0x86, 0x80,
    0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x57, 0x34, 0x12, 0x00, 0x01, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x10, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

#define QEMU_RANGE_2   224 /* offsets in it */
#define QEMU_MAPPING_2 280
#define QEMU_CAPS      408

static uint8_t table[32768];
static size_t used;
static struct nfit nfit;

static void put(size_t at, uint64_t value, unsigned bytes)
{
        for (unsigned i = 0; i < bytes; i++)
                table[at + i] = (uint8_t)(value >> 8 * i);
}

/* Parse a heap block of exactly the table's length, so that the sanitizer sees each byte too far.
 */
static int parse_bytes(const uint8_t *bytes, size_t len)
{
        uint8_t *copy = malloc(len ? len : 1);
        int err;

        memcpy(copy, bytes, len);
        err = nfit_parse(copy, len, &nfit);
        free(copy);
        return err;
}

static int parse(void)
{
        return parse_bytes(table, used);
}

static void begin(void)
{
        memset(table, 0, sizeof table);
        memcpy(table, "NFIT", 4);
        used = 40;
}

static size_t add(unsigned type, unsigned length)
{
        size_t at = used;

        put(at, type, 2);
        put(at + 2, length, 2);
        used += length;
        return at;
}

static size_t add_range(unsigned index, uint64_t start, uint64_t size)
{
        size_t at = add(0, 56);

        put(at + 4, index, 2);
        memcpy(table + at + 16, qemu + 40 + 16, 16);
        put(at + 32, start, 8);
        put(at + 40, size, 8);
        return at;
}

static size_t add_mapping(uint32_t handle, unsigned index, unsigned state)
{
        size_t at = add(1, 48);

        put(at + 4, handle, 4);
        put(at + 12, index, 2);
        put(at + 44, state, 2);
        return at;
}

static size_t add_hints(uint32_t handle, unsigned count, uint64_t first)
{
        size_t at = add(6, 16 + 8 * count);

        put(at + 4, handle, 4);
        put(at + 8, count, 2);
        for (unsigned i = 0; i < count; i++)
                put(at + 16 + 8 * i, first + 4096 * i, 8);
        return at;
}

static void add_capabilities(unsigned highest, uint32_t bits)
{
        size_t at = add(7, 16);

        table[at + 4] = (uint8_t)highest;
        put(at + 8, bits, 4);
}

static void test_qemu(void)
{
        CHECK_EQ(parse_bytes(qemu, sizeof qemu), 0);
        CHECK_EQ(nfit.ranges, 2);
        CHECK_EQ(nfit.range[0].start, 0x100000000);
        CHECK_EQ(nfit.range[0].size, 256 * MiB);
        CHECK_EQ(nfit.range[0].index, 2);
        CHECK_EQ(nfit.range[0].state, 0);
        CHECK_EQ(nfit.range[0].mapped, 1);
        CHECK_EQ(nfit.range[1].start, 0x110000000);
        CHECK_EQ(nfit.range[1].size, 256 * MiB);
        CHECK_EQ(nfit.range[1].state, NFIT_NOT_ARMED);
        CHECK_EQ(nfit.nvdimms, 2);
        CHECK_EQ(nfit.nvdimm[0].handle, 1);
        CHECK_EQ(nfit.nvdimm[1].handle, 2);
        CHECK_EQ(nfit.nvdimm[0].hint.v, 0);
        CHECK_EQ(nfit.domain, NFIT_DOMAIN_EADR);
        CHECK_EQ(nfit.refused, 0);
}

/* The state of a range is that of all its NVDIMMs, wherever the structures stand. */
static void test_interleaved(void)
{
        begin();
        add_hints(7, 3, 0x80001000);
        add_mapping(7, 1, NFIT_HEALTH_EVENT);
        add_mapping(8, 1, NFIT_SAVE_FAILED);
        add_mapping(9, 3, NFIT_NOT_ARMED);
        add_hints(9, 1, 0x80009000);
        add_hints(7, 1, 0x8000a000);
        put(add(0, 64) + 4, 9, 2); /* with a location cookie, of another GUID */
        add_range(1, 5 * GiB, 3 * GiB);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(nfit.ranges, 1);
        CHECK_EQ(nfit.range[0].state, NFIT_HEALTH_EVENT | NFIT_SAVE_FAILED);
        CHECK_EQ(nfit.range[0].mapped, 2);
        CHECK_EQ(nfit.nvdimms, 2); /* number 9 backs no persistent range */
        CHECK_EQ(nfit.nvdimm[0].hint.v, 0x80001000);
        CHECK_EQ(nfit.nvdimm[0].hints, 4);
        CHECK_EQ(nfit.nvdimm[1].hint.v, 0);
        CHECK_EQ(nfit.domain, NFIT_DOMAIN_UNKNOWN);
        CHECK_EQ(nfit.refused, 0);
}

/* The state is the NVDIMM's: it counts for all its ranges, whichever mapping has it. */
static void test_state_of_other_mappings(void)
{
        static const unsigned other[] = {0, 2,
                                         77}; /* none, a control region, one that is not told */

        for (size_t i = 0; i < ARRAY_LEN(other); i++) {
                begin();
                add_range(1, 4 * GiB, GiB);
                memset(table + add_range(2, 3 * GiB, 65536) + 16, 0x5a, 16);
                add_range(3, 8 * GiB, GiB);
                add_range(4, 16 * GiB, GiB);
                add_mapping(5, 1, 0);
                add_mapping(5, other[i], NFIT_SAVE_FAILED | NFIT_NOT_ARMED);
                add_mapping(5, 3, 0);
                add_mapping(6, 4, 0);
                CHECK_EQ(parse(), 0);
                CHECK_EQ(nfit.ranges, 3);
                CHECK_EQ(nfit.range[0].state, NFIT_SAVE_FAILED | NFIT_NOT_ARMED);
                CHECK_EQ(nfit.range[1].state, NFIT_SAVE_FAILED | NFIT_NOT_ARMED);
                CHECK_EQ(nfit.range[2].state, 0);
                CHECK_EQ(nfit.nvdimms, 2);
                CHECK(!nfit.incomplete && !nfit.range[2].doubtful);
        }
}

static void test_domains(void)
{
        static const struct {
                unsigned highest, bits;
                enum nfit_domain domain;
        } cases[] = {
            {1, 3, NFIT_DOMAIN_EADR},
            {1, 1, NFIT_DOMAIN_EADR},
            {1, 2, NFIT_DOMAIN_ADR},
            {31, 6, NFIT_DOMAIN_ADR},
            {2, 0, NFIT_DOMAIN_NONE},
            {0, 2, NFIT_DOMAIN_UNKNOWN},
            {0, 3, NFIT_DOMAIN_EADR},
            {0, 0, NFIT_DOMAIN_UNKNOWN},
            {255, 0x80000001, NFIT_DOMAIN_EADR},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                begin();
                add_capabilities(cases[i].highest, cases[i].bits);
                CHECK_EQ(parse(), 0);
                CHECK_EQ(nfit.domain, cases[i].domain);
        }
        CHECK(!strcmp(nfit_domain_word(NFIT_DOMAIN_ADR), "adr"));
        CHECK(!strcmp(nfit_domain_text(NFIT_DOMAIN_EADR), "eADR (CPU caches)"));
}

static void test_bad_chains(void)
{
        for (size_t len = 0; len < 40; len++)
                CHECK_EQ(parse_bytes(qemu, len), -EBADMSG);
        CHECK_EQ(parse_bytes(qemu, 40), 0);
        CHECK_EQ(nfit.ranges, 0);
        /* cut anywhere but between two structures: nothing of it is used */
        for (size_t len = 41; len < sizeof qemu; len++) {
                bool border = len == 96 || len == 144 || len == QEMU_RANGE_2 ||
                              len == QEMU_MAPPING_2 || len == 328 || len == QEMU_CAPS;

                CHECK_EQ(parse_bytes(qemu, len), border ? 0 : -EBADMSG);
                CHECK_EQ(nfit.incomplete, !border);
                if (!border)
                        CHECK_EQ(nfit.ranges + nfit.nvdimms, 0);
        }
        for (unsigned length = 0; length < 4; length++) {
                begin();
                add_range(1, 4 * GiB, GiB);
                put(add(9, 4) + 2, length, 2);
                CHECK_EQ(parse(), -EBADMSG);
                CHECK_EQ(nfit.ranges, 0);
        }
        begin();
        add_range(1, 4 * GiB, GiB);
        add(9, 4);
        add(200, 2000);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(nfit.ranges, 1);
}

/* A structure that ends before its kind does would hide a state. */
static void test_short_structures(void)
{
        static const struct {
                unsigned type, least;
        } kinds[] = {{0, 56}, {1, 48}, {6, 16}, {7, 16}};

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                begin();
                add_range(1, 4 * GiB, GiB);
                add(kinds[i].type, kinds[i].least - 1);
                CHECK_EQ(parse(), -EBADMSG);
                CHECK_EQ(nfit.ranges, 0);
        }
}

static void test_refused_ranges(void)
{
        static const struct {
                unsigned index;
                uint64_t start, size;
        } bad[] = {
            {2, 8 * GiB, 0},          {2, UINT64_MAX - 4095, 8192},
            {2, 8 * GiB, UINT64_MAX}, {2, (1ull << 52) - GiB, 2 * GiB},
            {2, 1ull << 52, GiB},     {1, 8 * GiB, GiB},
            {2, 4 * GiB, GiB},        {2, 5 * GiB - 1, 4096},
            {2, 3 * GiB, GiB + 1},    {2, 3 * GiB, 8 * GiB},
            {2, 4 * GiB + MiB, MiB},
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                begin();
                add_range(1, 4 * GiB, GiB);
                add_range(bad[i].index, bad[i].start, bad[i].size);
                add_range(3, 5 * GiB, GiB);
                add_mapping(1, 1, 0);
                add_mapping(1, 3, 0);
                CHECK_EQ(parse(), 0);
                CHECK_EQ(nfit.ranges, 2);
                CHECK_EQ(nfit.range[1].start, 5 * GiB);
                CHECK_EQ(nfit.refused, 1);
                CHECK(nfit.incomplete && !nfit.range[1].doubtful);
                /* its number or addresses may be meant for the other one's */
                CHECK_EQ(nfit.range[0].doubtful, i >= 5);
        }
        begin();
        for (unsigned i = 0; i < NFIT_RANGES_MAX + 20; i++)
                add_range(i + 1, i * GiB, GiB);
        add_mapping(1, 1, 0);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(nfit.ranges, NFIT_RANGES_MAX);
        CHECK_EQ(nfit.refused, 20);
        CHECK(nfit.incomplete && !nfit.range[0].doubtful);
        CHECK(nfit.range[1].doubtful); /* no NVDIMM is told */
        begin();
        add_range(1, 4 * GiB, GiB);
        for (unsigned i = 0; i < NFIT_NVDIMMS_MAX + 2; i++)
                add_mapping(i, 1, i > NFIT_NVDIMMS_MAX ? NFIT_NOT_ARMED : 0);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(nfit.nvdimms, NFIT_NVDIMMS_MAX);
        CHECK_EQ(nfit.range[0].state, NFIT_NOT_ARMED); /* even of one that was too many */
        CHECK(nfit.range[0].doubtful && !nfit.incomplete);
        CHECK_EQ(nfit.refused, 2);
}

static void test_refused_hints(void)
{
        static const uint64_t bad[] = {0, 0x80001004, 1ull << 52, UINT64_MAX - 7};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                begin();
                add_range(1, 4 * GiB, GiB);
                add_mapping(7, 1, 0);
                add_hints(7, 1, bad[i]);
                CHECK_EQ(parse(), 0);
                CHECK_EQ(nfit.nvdimm[0].hint.v, 0);
                CHECK_EQ(nfit.nvdimm[0].hints, 0);
                CHECK_EQ(nfit.refused, 1);
                CHECK(nfit.range[0].doubtful); /* no fence reaches it */
                add_capabilities(1, 2);
                CHECK_EQ(parse(), 0);
                CHECK(!nfit.range[0].doubtful); /* the platform drains it */
        }
        begin();
        add_range(1, 4 * GiB, GiB);
        add_mapping(7, 1, 0);
        put(add_hints(7, 1, 0x80001000) + 8, 2, 2); /* more than the structure holds */
        add_hints(7, 0, 0);
        CHECK_EQ(parse(), 0);
        CHECK_EQ(nfit.nvdimm[0].hint.v, 0);
        CHECK_EQ(nfit.refused, 1);
}

static void test_state_in_words(void)
{
        char buf[64];

        nfit_format_state(buf, sizeof buf, NFIT_NOT_ARMED | NFIT_FLUSH_FAILED | NFIT_HEALTH_EVENT);
        CHECK(!strcmp(buf, "not armed, flush failed"));
        nfit_format_state(buf, sizeof buf, 0);
        CHECK(!strcmp(buf, ""));
        CHECK_EQ(nfit_format_state(buf, sizeof buf, NFIT_NOT_DURABLE), 52);
        CHECK(!strcmp(buf, "not armed, save failed, restore failed, flush failed"));
        CHECK_EQ(nfit_format_state(buf, 14, NFIT_NOT_DURABLE), 52);
        CHECK(!strcmp(buf, "not armed, sa"));
}

static void check_sane(void)
{
        CHECK(nfit.ranges <= NFIT_RANGES_MAX && nfit.nvdimms <= NFIT_NVDIMMS_MAX);
        for (size_t i = 0; i < nfit.ranges; i++) {
                const struct nfit_range *r = &nfit.range[i];

                CHECK(r->size && r->start < 1ull << 52 && r->size <= (1ull << 52) - r->start);
                for (size_t j = 0; j < i; j++)
                        CHECK(r->start + r->size <= nfit.range[j].start ||
                              nfit.range[j].start + nfit.range[j].size <= r->start);
        }
}

static void test_damaged_bytes(void)
{
        uint64_t seed = unit_seed();
        unsigned good = 0;

        for (unsigned round = 0; round < 20000; round++) {
                memcpy(table, qemu, sizeof qemu);
                for (unsigned n = 1 + unit_random(&seed) % 4; n; n--)
                        table[unit_random(&seed) % sizeof qemu] = (uint8_t)unit_random(&seed);
                good += parse_bytes(table, sizeof qemu) == 0;
                check_sane();
        }
        CHECK(good > 10000 && good < 20000);
}

int main(void)
{
        RUN(test_qemu);
        RUN(test_interleaved);
        RUN(test_state_of_other_mappings);
        RUN(test_domains);
        RUN(test_bad_chains);
        RUN(test_short_structures);
        RUN(test_refused_ranges);
        RUN(test_refused_hints);
        RUN(test_state_in_words);
        RUN(test_damaged_bytes);
        return unit_done();
}
