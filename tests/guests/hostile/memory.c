/* Operations on ports and memory, with any operand and prefix, and on the page tables below them.
 */
#include "tests/guests/hostile/kinds.h"

#include "tests/guests/hostile/operands.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define NX (1ull << 63)

/* Ports */

void op_port(void)
{
        enum mode mode = pick_mode();
        unsigned size = 1u << random_below(3);
        bool out = random_one_in(2);

        begin(mode, pick_level(mode));
        if (size > 1 &&
            (size == 2) != (mode == MODE_COMPAT_16 || mode == MODE_16 || mode >= MODE_V86))
                byte(0x66);
        byte((out ? 0xeeu : 0xecu) | (size > 1));
        finish();
        for (unsigned n = REPEATS; n; n--) {
                uint16_t port = pick_port();

                if (out && keep_off(port, size))
                        continue;
                run.reg[RDX] = port | (random_one_in(4) ? random_64() << 16 : 0);
                run.reg[RAX] = random_value();
                again();
        }
}

/* String I/O */

void op_string_io(void)
{
        static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2};
        enum mode mode = pick_mode();
        bool out = random_one_in(2);

        begin(mode, pick_level(mode));
        if (random_one_in(4))
                run.rflags |= RFLAGS_DF;
        if (random_one_in(8))
                run.rflags |= RFLAGS_TF;
        while (random_one_in(3))
                byte(prefixes[random_below(sizeof prefixes)]);
        if (!random_one_in(4))
                byte(0xf3);
        if (random_one_in(4) && mode == MODE_64)
                byte(0x40 | random_below(16));
        byte((out ? 0x6eu : 0x6cu) | random_below(2));
        finish();
        for (unsigned n = REPEATS / 2; n; n--) {
                uint16_t port = pick_port();

                if (out && keep_off(port, 4))
                        continue;
                run.reg[RDX] = port;
                run.reg[RDI] = pick_pointer(mode);
                run.reg[RSI] = pick_pointer(mode);
                run.reg[RCX] = pick_count();
                watch();
                again();
        }
}

/* Memory: instructions with a ModRM byte, which names [DI] and a register; imm: bytes behind it. */

struct instruction {
        uint8_t n, imm, wide; /* wide: the immediate is as wide as the operand */
        uint8_t byte[4];
};

static const struct instruction with_modrm[] = {
    {1, 0, 0, {0x88}},
    {1, 0, 0, {0x89}},
    {1, 0, 0, {0x8a}},
    {1, 0, 0, {0x8b}},
    {1, 1, 0, {0xc6}},
    {1, 0, 1, {0xc7}},
    {1, 0, 0, {0x00}},
    {1, 0, 0, {0x01}},
    {1, 0, 0, {0x02}},
    {1, 0, 0, {0x03}},
    {1, 0, 0, {0x08}},
    {1, 0, 0, {0x09}},
    {1, 0, 0, {0x0a}},
    {1, 0, 0, {0x0b}},
    {1, 0, 0, {0x11}},
    {1, 0, 0, {0x19}},
    {1, 0, 0, {0x20}},
    {1, 0, 0, {0x21}},
    {1, 0, 0, {0x23}},
    {1, 0, 0, {0x29}},
    {1, 0, 0, {0x2b}},
    {1, 0, 0, {0x30}},
    {1, 0, 0, {0x31}},
    {1, 0, 0, {0x33}},
    {1, 0, 0, {0x38}},
    {1, 0, 0, {0x39}},
    {1, 0, 0, {0x3b}},
    {1, 1, 0, {0x80}},
    {1, 0, 1, {0x81}},
    {1, 1, 0, {0x83}},
    {1, 0, 0, {0x84}},
    {1, 0, 0, {0x85}},
    {1, 0, 0, {0x86}},
    {1, 0, 0, {0x87}},
    {1, 0, 0, {0x8c}},
    {1, 0, 0, {0x8f}},
    {1, 1, 0, {0xc0}},
    {1, 0, 0, {0xd1}},
    {1, 0, 0, {0xd3}},
    {1, 0, 0, {0xd9}},
    {1, 0, 0, {0xdd}},
    {1, 1, 0, {0xf6}},
    {1, 0, 0, {0xf7}},
    {1, 0, 0, {0xfe}},
    {1, 0, 0, {0x62}},
    {1, 0, 0, {0x63}},
    {1, 1, 0, {0x6b}},
    {2, 0, 0, {0x0f, 0x10}},
    {2, 0, 0, {0x0f, 0x11}},
    {2, 0, 0, {0x0f, 0x2b}},
    {2, 0, 0, {0x0f, 0x6f}},
    {2, 0, 0, {0x0f, 0x7f}},
    {2, 0, 0, {0x0f, 0xa3}},
    {2, 0, 0, {0x0f, 0xab}},
    {2, 0, 0, {0x0f, 0xb3}},
    {2, 0, 0, {0x0f, 0xbb}},
    {2, 1, 0, {0x0f, 0xba}},
    {2, 0, 0, {0x0f, 0xae}},
    {2, 0, 0, {0x0f, 0xb0}},
    {2, 0, 0, {0x0f, 0xb1}},
    {2, 0, 0, {0x0f, 0xb6}},
    {2, 0, 0, {0x0f, 0xb7}},
    {2, 0, 0, {0x0f, 0xbe}},
    {2, 0, 0, {0x0f, 0xbf}},
    {2, 0, 0, {0x0f, 0xc0}},
    {2, 0, 0, {0x0f, 0xc1}},
    {2, 0, 0, {0x0f, 0xc3}},
    {2, 0, 0, {0x0f, 0xc7}},
    {2, 0, 0, {0x0f, 0xe7}},
    {2, 0, 0, {0x0f, 0x45}},
    {3, 0, 0, {0x0f, 0x38, 0xf0}},
    {3, 0, 0, {0x0f, 0x38, 0xf1}},
};

static const uint8_t string_opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
                                         0xab, 0xac, 0xad, 0xae, 0xaf};
static const uint8_t memory_prefixes[] = {0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e,
                                          0x64, 0x65, 0xf0, 0xf2, 0xf3};

/* QEMU 7.2 itself dies of IDIV, when it divides the smallest number by -1: DIV in its place. */
void memory_instruction(void)
{
        const struct instruction *in = &with_modrm[random_below(COUNT(with_modrm))];
        unsigned reg = random_below(8);

        if (in->n == 1 && in->byte[0] == 0xc6 && !random_one_in(8))
                reg = 0;
        if (in->n == 1 && in->byte[0] == 0xf7 && reg == 7)
                reg = 6;
        if (reg == RSP && stack_is_needed())
                reg = RBX;
        code(in->byte, in->n);
        modrm_di(reg);
        for (unsigned i = 0; i < in->imm + 4u * in->wide; i++)
                byte((unsigned)random_64());
}

/* One access to a place that the arena has, with these prefixes at most. */
static void access(enum mode mode, unsigned cpl, uint64_t pointer, unsigned prefix_odds)
{
        begin(mode, cpl);
        run.reg[RDI] = pointer;
        run.reg[RSI] = random_one_in(2) ? pointer : pick_pointer(mode);
        run.reg[RCX] = pick_count();
        while (random_one_in(prefix_odds))
                byte(memory_prefixes[random_below(sizeof memory_prefixes)]);
        if (mode == MODE_64 && random_one_in(2))
                byte(0x40 | random_below(2) << 3 | random_below(2) << 2);
        if (random_one_in(6))
                byte(string_opcodes[random_below(sizeof string_opcodes)]);
        else
                memory_instruction();
        finish();
        for (unsigned n = REPEATS / 4; n; n--) {
                watch();
                again();
                run.reg[RDI] = (run.reg[RDI] & ~(uint64_t)(PAGE - 1)) | random_below(PAGE);
                run.reg[RAX] = random_value();
                run.reg[RCX] = pick_count();
        }
}

void op_memory(void)
{
        enum mode mode = pick_mode();

        access(mode, pick_level(mode), pick_pointer(mode), 6);
}

/* The same with prefixes no compiler would give, at devices and at nothing. */
void op_odd(void)
{
        static const uint8_t pages[] = {8, 10, 11, 12, 15};
        enum mode mode = random_one_in(2) ? MODE_64 : MODE_COMPAT_32;
        unsigned page = pages[random_below(sizeof pages)];

        access(mode, pick_level(mode), ARENA + page * PAGE + random_below(PAGE), 2);
}

/* Page tables: an entry changed under the CPU, used with or without telling it. */

static uint64_t leaf(uint64_t gpa, unsigned level)
{
        uint64_t size = 1ull << (12 + 9 * level);
        uint64_t base = gpa & ~(size - 1) & 0x000ffffffffff000;
        uint64_t bits = random_64() & 0x87f0000000000e7full;

        if (level)
                bits |= 0x80 | (random_one_in(8) ? random_64() & 0x1ff000 & (size - 1) : 0);
        if (base < KEEP_LOW_END || (base < KEEP_END && base + size > KEEP_BASE))
                bits &= ~2ull;
        if (base + size > random_ram_end)
                bits |= NX; /* code there would end the VM */
        return base | bits | (random_one_in(8) ? 0 : 5);
}

static uint64_t entry(unsigned level)
{
        if (random_one_in(16))
                return random_64() & ~1ull;
        if (level && random_one_in(2))
                return (uintptr_t)machine_window_table(level - 1) | 7 | (random_64() & 0xe78);
        return leaf(random_address(), level);
}

void op_tables(void)
{
        static const uint8_t touch[] = {0x8a, 0x88, 0x8b, 0x89};

        begin(MODE_64, random_one_in(2) ? 0 : 3);
        if (run.cpl == 0 && random_one_in(2))
                CODE(0x0f, 0x01, 0x3f); /* INVLPG [RDI] */
        if (run.cpl == 0 && random_one_in(4))
                CODE(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8); /* CR3 once more */
        byte(touch[random_below(sizeof touch)]);
        modrm_di(random_below(4));
        finish();
        for (unsigned n = REPEATS; n; n--) {
                unsigned level = random_below(WINDOW_LEVELS), index = random_below(4),
                         shift = 12 + 9 * level;

                machine_window_table(level)[index] = entry(level);
                run.reg[RDI] = random_one_in(4) ? WINDOW_LOW : WINDOW_HIGH;
                run.reg[RDI] +=
                    ((uint64_t)index << shift) + (random_64() & ((1ull << shift) - 1) & 0x3fffffff);
                again();
        }
}

/* Registers of control */
