/* CRC-32C against the published test vectors and a bit-by-bit computation. */
#include "mm/pool/crc32c.c" /* NOLINT(bugprone-suspicious-include): the CPU takes only one way */

#include <string.h>

#include "tests/unit/unit.h"

static uint32_t bitwise(const uint8_t *p, size_t n)
{
        uint32_t crc = ~0u;

        while (n--) {
                crc ^= *p++;
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        }
        return ~crc;
}

/* RFC 3720 appendix B.4; the check value is of the nine digits. */
static void test_vectors(void)
{
        uint8_t buf[32];

        CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
        memset(buf, 0, sizeof buf);
        CHECK_EQ(crc32c(0, buf, sizeof buf), 0x8a9136aa);
        memset(buf, 0xff, sizeof buf);
        CHECK_EQ(crc32c(0, buf, sizeof buf), 0x62a8ab43);
        for (size_t i = 0; i < sizeof buf; i++)
                buf[i] = (uint8_t)i;
        CHECK_EQ(crc32c(0, buf, sizeof buf), 0x46dd794e);
}

static void test_random_pieces(void)
{
        uint64_t seed = unit_seed();
        uint8_t buf[300];

        for (int round = 0; round < 1000; round++) {
                size_t n = unit_random(&seed) % sizeof buf;
                size_t cut = n ? unit_random(&seed) % n : 0;

                for (size_t i = 0; i < n; i++)
                        buf[i] = (uint8_t)unit_random(&seed);
                CHECK_EQ(crc32c(0, buf, n), bitwise(buf, n));
                CHECK_EQ(~by_table(~0u, buf, n), bitwise(buf, n));
                CHECK_EQ(crc32c(crc32c(0, buf, cut), buf + cut, n - cut), bitwise(buf, n));
        }
}

int main(void)
{
        RUN(test_vectors);
        RUN(test_random_pieces);
        return unit_done();
}
