/* Building runs of code; contract in run.h. */
#include "tests/guests/hostile/run.h"

#include "tests/guests/hostile/random.h"

#define WATCH_AMD   100000u /* ticks of a run; on an emulator of VT-x the TSC counts instructions */
#define WATCH_INTEL 20000u

struct run run;
uint64_t endings[VECTOR_UNKNOWN + 1];
uint64_t runs;

static unsigned at;

void begin(enum mode mode, unsigned cpl)
{
        at = ARENA_CODE + random_below(ARENA_ROOM - 512);
        if (random_one_in(16))
                at = ARENA_CODE + ARENA_ROOM - 1 - random_below(24);
        run_init(&run, mode, cpl, at);
        for (unsigned i = 0; i < REGISTERS; i++)
                if (i != RSP)
                        run.reg[i] = random_spare(random_value());
}

void byte(unsigned value)
{
        run_bytes((enum mode)run.mode)[at++] = (uint8_t)value;
}

void code(const uint8_t *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                byte(bytes[i]);
}

void modrm_di(unsigned reg)
{
        bool wide = run.mode == MODE_64 || run.mode == MODE_COMPAT_32 || run.mode == MODE_32;

        byte((wide ? 7u : 5u) | (reg & 7) << 3);
}

uint64_t here(void)
{
        return run_pointer((enum mode)run.mode, at);
}

unsigned again(void)
{
        unsigned vector = machine_run(&run);

        endings[vector]++;
        runs++;
        return vector;
}

void finish(void)
{
        CODE(0x0f, 0x0b);
}

unsigned go(void)
{
        finish();
        return again();
}

void write_msr(uint32_t msr, uint64_t value)
{
        begin(MODE_64, 0);
        run.reg[RCX] = msr;
        run.reg[RAX] = (uint32_t)value;
        run.reg[RDX] = value >> 32;
        CODE(0x0f, 0x30);
        go();
}

void watch(void)
{
        machine_watch(machine_is_amd() ? WATCH_AMD : WATCH_INTEL);
}

enum mode pick_mode(void)
{
        return random_one_in(2) ? MODE_64 : (enum mode)random_below(MODE_COUNT);
}

unsigned pick_level(enum mode mode)
{
        if (mode == MODE_REAL)
                return 0;
        if (mode == MODE_V86)
                return 3;
        return random_one_in(2) ? 0 : random_below(4);
}
