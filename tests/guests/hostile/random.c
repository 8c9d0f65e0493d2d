/* Xorshift64* and what is drawn from it; contract in random.h. */
#include "tests/guests/hostile/random.h"

#include "tests/guests/hostile/machine.h"

#define MARGIN 0x100000ull

uint64_t random_ram_end = 0x4000000;

static uint64_t state;

void random_seed(uint64_t seed)
{
        state = seed * 0x9e3779b97f4a7c15ull + 0x632be59bd9b4e019ull;
        if (!state)
                state = 1;
}

uint64_t random_64(void)
{
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return state * 0x2545f4914f6cdd1dull;
}

uint32_t random_below(uint32_t n)
{
        return (uint32_t)((random_64() >> 32) * n >> 32);
}

uint64_t random_address(void)
{
        static const uint64_t places[] = {0,           0x9fc00,          0xa0000,      0xe0000,
                                          0xf0000,     0xfec00000,       0xfec00010,   0xfee00000,
                                          0xfee00300,  0xfed00000,       0xc0000000,   0xffff0000,
                                          0x100000000, 0x140000000,      0x8f00000000, 1ull << 36,
                                          1ull << 39,  (1ull << 40) - 8, 1ull << 46,   1ull << 51};

        switch (random_below(4)) {
        case 0:
                return places[random_below(sizeof places / sizeof places[0])] + random_below(64);
        case 1:
                return random_64() % random_ram_end;
        case 2:
                return random_ram_end - 32 + random_below(64);
        default:
                return random_64() >> (12 + random_below(40));
        }
}

uint64_t random_spare(uint64_t value)
{
        uint64_t at[2] = {value, (uint32_t)value};

        for (unsigned i = 0; i < 2; i++)
                if (at[i] < KEEP_LOW_END || (at[i] >= KEEP_BASE - MARGIN && at[i] < KEEP_END))
                        value = ARENA_RAM + ARENA_DATA + (value & 0xfff);
        return value;
}

uint64_t random_value(void)
{
        static const uint64_t edges[] = {0,
                                         1,
                                         2,
                                         0x7f,
                                         0x80,
                                         0xff,
                                         0x7fff,
                                         0xffff,
                                         0x10000,
                                         0x7fffffff,
                                         0x80000000,
                                         0xffffffff,
                                         0x100000000,
                                         0x00007fffffffffff,
                                         0x0000800000000000,
                                         0xffff800000000000,
                                         0x7fffffffffffffff,
                                         0x8000000000000000,
                                         0xfffffffffffffff8,
                                         0xffffffffffffffff};

        switch (random_below(6)) {
        case 0:
        case 1:
                return edges[random_below(sizeof edges / sizeof edges[0])];
        case 2:
                return 1ull << random_below(64);
        case 3:
                return random_below(256);
        case 4:
                return random_address();
        default:
                return random_64();
        }
}
