/* Random operands; contract in operands.h. */
#include "tests/guests/hostile/operands.h"

#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define COM1_DATA 0x3f8u
#define PM_PORTS  0x600u
#define PM_END    0x606u
#define KEYBOARD  0x64u
#define PC_RESET  0xcf9u

static bool meets(uint32_t port, unsigned size, uint32_t first, uint32_t end)
{
        return port < end && port + size > first;
}

/* Whether an OUT there may end the VM or flood the console. */
bool keep_off(uint32_t port, unsigned size)
{
        return meets(port, size, COM1_DATA, COM1_DATA + 1) || meets(port, size, PM_PORTS, PM_END) ||
               meets(port, size, KEYBOARD, KEYBOARD + 1) ||
               meets(port, size, PC_RESET, PC_RESET + 1);
}

uint16_t pick_port(void)
{
        static const uint16_t known[] = {0x20,  0x21,  0x40,  0x43,  0x60,  0x61,  0x64,  0x70,
                                         0x71,  0x80,  0x92,  0xcf8, 0xcfa, 0xcfc, 0xcfe, 0x3f6,
                                         0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff,
                                         0x5fd, 0x600, 0x604, 0xb2,  0,     0xffff};

        return random_one_in(2) ? known[random_below(COUNT(known))] : (uint16_t)random_64();
}

unsigned pick_offset(void)
{
        if (random_one_in(2))
                return random_below(ARENA_SIZE);
        return (ARENA_DATA + random_below(12) * PAGE - 8 + random_below(16)) & (ARENA_SIZE - 1);
}

uint64_t pick_pointer(enum mode mode)
{
        if (random_one_in(8))
                return random_spare(random_value());
        if (random_one_in(8) && mode == MODE_64)
                return WINDOW_HIGH + random_below(8) * PAGE + random_below(PAGE);
        return run_pointer(mode, pick_offset());
}

/* Long on SVM only: on Bochs with long counts, too, seed=51200 ops=500 comes to a loop of the
 * guest's own, with its interrupts off and without exits. */
uint64_t pick_count(void)
{
        switch (random_below(8) + (machine_is_amd() ? 0u : 3u)) {
        case 0:
                return 0;
        case 1:
                return random_value();
        case 2:
                return (1ull << 32) + random_below(3);
        default:
                return 1 + random_below(random_one_in(8) ? 4096 : 32);
        }
}

/* Where there is no other stack to take an exception on than the code's own. */
bool stack_is_needed(void)
{
        return run.mode >= MODE_32 && run.cpl == 0;
}

uint64_t pick_cr0(bool paging)
{
        uint64_t value = random_one_in(4) ? random_value() : 0x80010033 ^ 1ull << random_below(32);

        value |= value << 1 & 1ull << 30;
        return paging ? value | 0x80000001 : (value & ~(1ull << 31)) | 1;
}
