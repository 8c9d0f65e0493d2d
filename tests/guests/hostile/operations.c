/* The operations of the hostile guest: each draws what it does at random. */
#include "tests/guests/hostile/operations.h"

#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"
#include "tests/guests/hostile/second.h"

#define COM1_DATA   0x3f8u
#define COM1_END    0x400u
#define PM_PORTS    0x600u
#define PM_END      0x606u
#define KEYBOARD    0x64u
#define PC_RESET    0xcf9u
#define APIC_BASE   0x1bu
#define EFER        0xc0000080u
#define APIC_MSRS   0x800u
#define ICR         0x830u
#define TIMER_LVT   0x832u
#define TIMER_COUNT 0x838u
#define TIMER_DIV   0x83eu
#define DEADLINE    0x6e0u
#define MODE_INIT   5u
#define PAGE        0x1000u
#define NX          (1ull << 63)
/* In 0F 00 /3. QEMU 7.2 takes a null selector for it, and aborts at the next change of levels. */
#define LTR 3
/* Selectors of task state segments. */
#define FIRST_TASK 0x30u
#define END_TASKS  0x50u

/* Model-specific registers */

static uint32_t pick_msr(void)
{
        static const uint32_t special[] = {
            0x10,       0x11,       0x12,       0x1b,       0x3a,       0x8b,       0x174,
            0x175,      0x176,      0x1a0,      0x1d9,      0x277,      0x2ff,      0x480,
            0x48b,      0x6e0,      0x808,      0x80b,      0x80f,      0x830,      0x83f,
            0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
            0xc0000103, 0xc0010114, 0xc0010117, 0xc0010015, 0xc0011029};

        switch (random_below(8)) {
        case 0:
                return 0x4b564d00 + random_below(16);
        case 1:
                return 0x40000000 + random_below(0x200);
        case 2:
                return 0xc0010000 + random_below(0x2000);
        case 3:
                return 0xc0000000 + random_below(0x2000);
        case 4:
                return 0x800 + random_below(0x40);
        case 5:
                return special[random_below(COUNT(special))];
        case 6:
                return (uint32_t)random_value();
        default:
                return random_below(0x2001);
        }
}

/* An INIT for this vCPU itself would only stop it; the others are welcome. */
static bool stops_itself(uint64_t icr)
{
        return (icr >> 8 & 7) == MODE_INIT && (icr >> 18 & 3) != 3;
}

/*
 * Bochs 2.7 leaves the vector of spurious interrupts in service for good: one that got it would be
 * deaf to all interrupts of the local APIC, the watch's too. deadly.c has it at the end.
 */
static uint64_t not_spurious(uint64_t icr)
{
        return (icr & 0xff) == 0xff && !machine_is_amd() ? icr ^ 1 : icr;
}

/* The same code with other operands costs an emulator much less than other code. */
#define REPEATS 16u

static void op_msr(void)
{
        bool write = random_one_in(2);

        begin(MODE_64, random_one_in(8) ? 3 : 0);
        CODE(0x0f, write ? 0x30 : 0x32);
        finish();
        for (unsigned n = REPEATS; n; n--) {
                uint32_t msr = pick_msr();
                uint64_t value = random_spare(random_value());

                if (write && (msr == APIC_BASE || (msr == ICR && stops_itself(value))))
                        continue;
                if (write && (msr & ~0x3fu) == APIC_MSRS)
                        value = not_spurious(value);
                run.reg[RCX] = msr | (random_one_in(8) ? random_64() << 32 : 0);
                run.reg[RAX] = (uint32_t)value;
                run.reg[RDX] = value >> 32;
                again();
        }
}

/* Ports */

static bool meets(uint32_t port, unsigned size, uint32_t first, uint32_t end)
{
        return port < end && port + size > first;
}

/* Whether an OUT there may end the VM or flood the console. */
static bool keep_off(uint32_t port, unsigned size)
{
        return meets(port, size, COM1_DATA, COM1_DATA + 1) || meets(port, size, PM_PORTS, PM_END) ||
               meets(port, size, KEYBOARD, KEYBOARD + 1) ||
               meets(port, size, PC_RESET, PC_RESET + 1);
}

static uint16_t pick_port(void)
{
        static const uint16_t known[] = {0x20,  0x21,  0x40,  0x43,  0x60,  0x61,  0x64,  0x70,
                                         0x71,  0x80,  0x92,  0xcf8, 0xcfa, 0xcfc, 0xcfe, 0x3f6,
                                         0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff,
                                         0x5fd, 0x600, 0x604, 0xb2,  0,     0xffff};

        return random_one_in(2) ? known[random_below(COUNT(known))] : (uint16_t)random_64();
}

static void op_port(void)
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

static unsigned pick_offset(void)
{
        if (random_one_in(2))
                return random_below(ARENA_SIZE);
        return (ARENA_DATA + random_below(12) * PAGE - 8 + random_below(16)) & (ARENA_SIZE - 1);
}

static uint64_t pick_pointer(enum mode mode)
{
        if (random_one_in(8))
                return random_spare(random_value());
        if (random_one_in(8) && mode == MODE_64)
                return WINDOW_HIGH + random_below(8) * PAGE + random_below(PAGE);
        return run_pointer(mode, pick_offset());
}

/* Long on SVM only: on Bochs with long counts, too, seed=51200 ops=500 comes to a loop of the
 * guest's own, with its interrupts off and without exits. */
static uint64_t pick_count(void)
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

static void op_string_io(void)
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

static void op_cpuid(void)
{
        static const uint32_t bases[] = {0,          0x40000000, 0x40000100, 0x80000000,
                                         0x8fffffff, 0xc0000000, 0xffffffff};
        enum mode mode = pick_mode();

        begin(mode, pick_level(mode));
        CODE(0x0f, 0xa2);
        finish();
        for (unsigned n = REPEATS; n; n--) {
                run.reg[RAX] = random_one_in(8)
                                   ? random_value()
                                   : bases[random_below(COUNT(bases))] + random_below(64);
                run.reg[RCX] = random_one_in(4) ? random_value() : random_below(70);
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

/* Where there is no other stack to take an exception on than the code's own. */
static bool stack_is_needed(void)
{
        return run.mode >= MODE_32 && run.cpl == 0;
}

static void memory_instruction(void)
{
        const struct instruction *in = &with_modrm[random_below(COUNT(with_modrm))];
        unsigned reg = random_below(8);

        if (in->n == 1 && in->byte[0] == 0xc6 && !random_one_in(8))
                reg = 0;
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

static void op_memory(void)
{
        enum mode mode = pick_mode();

        access(mode, pick_level(mode), pick_pointer(mode), 6);
}

/* The same with prefixes no compiler would give, at devices and at nothing. */
static void op_odd(void)
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

static void op_tables(void)
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

/*
 * Without leaving the mode. QEMU 7.2 lets 64-bit code switch paging off, and takes NW without CD,
 * which its VMRUN then refuses.
 */
static uint64_t pick_cr0(bool paging)
{
        uint64_t value = random_one_in(4) ? random_value() : 0x80010033 ^ 1ull << random_below(32);

        value |= value << 1 & 1ull << 30;
        return paging ? value | 0x80000001 : (value & ~(1ull << 31)) | 1;
}

static void op_control(void)
{
        static const uint8_t which[] = {0xe0, 0xd0}; /* ModRM: CR4, CR2 of RAX */
        unsigned pick = random_below(8);

        begin(MODE_64, random_one_in(16) ? 3 : 0);
        run.reg[RAX] = random_one_in(2) ? 0x220 ^ 1ull << random_below(32) : random_value();
        switch (pick) {
        case 0:
                run.reg[RAX] = pick_cr0(true);
                CODE(0x0f, 0x22, 0xc0);
                break;
        case 1:
                CODE(0x0f, 0x20, 0xd9, 0x48, 0x31, 0xc8, 0x0f, 0x22,
                     0xd8); /* CR3 = CR3 ^ RAX, low bits */
                run.reg[RAX] = random_64() & 0x8000000000000fff;
                break;
        case 2:
                byte(0x41 & (0x40 | random_below(2)));
                CODE(0x44, 0x0f, random_one_in(2) ? 0x20 : 0x22, 0xc0 | random_below(8)); /* CR8 */
                break;
        case 3: /* XSETBV, with OSXSAVE on */
                run.reg[RBX] = 0x40220;
                run.reg[RAX] = random_one_in(2) ? random_64() & 0xff : random_value();
                run.reg[RDX] = random_one_in(4) ? random_value() : 0;
                run.reg[RCX] = random_one_in(8) ? random_value() : 0;
                CODE(0x0f, 0x22, 0xe3, 0x0f, 0x01, 0xd1, 0x0f, 0x01, 0xd0);
                break;
        case 4:
                run.reg[RCX] = EFER;
                run.reg[RAX] = random_one_in(2) ? 0xd01 ^ 1ull << random_below(32) : random_value();
                run.reg[RDX] = random_one_in(4) ? random_value() : 0;
                CODE(0x0f, 0x30, 0x0f, 0x32);
                break;
        case 5:
                CODE(0x0f, 0x01, 0xf0, 0x0f, 0x06); /* LMSW, CLTS */
                break;
        case 6: /* any register of control, there and back */
                CODE(0x0f, 0x20, 0xc0 | random_below(64));
                break;
        default:
                run.reg[RAX] = (run.reg[RAX] | 0x20) & ~0x1000ull; /* and in QEMU it can lose PAE */
                CODE(0x0f, 0x22, which[random_below(sizeof which)]);
                break;
        }
        CODE(0x0f, 0xa2);
        go();
}

static void op_debug(void)
{
        static const uint8_t traps[] = {0xf1, 0xcc, 0x90, 0xec, 0x8a};

        begin(MODE_64, random_one_in(8) ? 3 : 0);
        run.reg[RBX] = ARENA + pick_offset();
        run.reg[RDI] = random_one_in(2) ? run.reg[RBX] : pick_pointer(MODE_64);
        run.reg[RDX] = random_one_in(2) ? run.reg[RBX] & 0xffff : pick_port();
        run.reg[RAX] = random_one_in(2) ? random_64() & 0xffff27ff : random_value();
        if (random_one_in(2))
                run.rflags |= RFLAGS_TF;
        CODE(0x0f, 0x23, 0xc3 | random_below(4) << 3);
        CODE(0x0f, random_one_in(4) ? 0x21 : 0x23, random_one_in(4) ? 0xf0 : 0xf8); /* DR6 or DR7 */
        byte(traps[random_below(sizeof traps)]);
        byte(7);
        CODE(0x0f, 0xa2);
        go();
}

/* Hypercalls */

static uint64_t pick_hypercall(void)
{
        switch (random_below(4)) {
        case 0:
                return random_below(16); /* KVM's */
        case 1:
                return random_value();
        default:
                return 0x50460000 + random_below(16);
        }
}

static void op_hypercall(void)
{
        enum mode mode = pick_mode();
        bool amd = random_one_in(4) ? !machine_is_amd() : machine_is_amd();

        begin(mode, pick_level(mode));
        CODE(0x0f, 0x01, amd ? 0xd9 : 0xc1);
        finish();
        for (unsigned n = REPEATS; n; n--) {
                run.reg[RAX] = pick_hypercall();
                run.reg[RBX] = random_spare(random_value());
                run.reg[RDX] = random_spare(random_value());
                run.reg[RDI] = random_one_in(2) ? random_below(4) : random_spare(random_value());
                run.reg[RSI] = not_spurious(
                    random_spare(random_one_in(2) ? random_address() & ~7ull : random_value()));
                again();
        }
}

/* Interrupts for nobody, for everybody, for itself: all kinds */

static void op_interrupt(void)
{
        static const uint32_t targets[] = {0, 1, 2, 7, 0xff, 0x10000, 0xfffffffe, 0xffffffff};
        unsigned times = random_one_in(8) ? 1 + random_below(32) : 1;
        uint64_t icr = not_spurious(random_64() & 0xcfff);

        icr |= (uint64_t)random_below(4) << 18;
        icr |= (uint64_t)(random_one_in(4) ? (uint32_t)random_64()
                                           : targets[random_below(COUNT(targets))])
               << 32;
        if (stops_itself(icr))
                icr |= 3u << 18;
        begin(MODE_64, 0);
        run.reg[RAX] = (uint32_t)icr;
        run.reg[RDX] = icr >> 32;
        run.reg[RCX] = random_one_in(4) ? 0x83f : ICR;
        run.reg[RBP] = times;
        if (random_one_in(2))
                run.rflags &= ~RFLAGS_IF;
        CODE(0x0f, 0x30, 0xff, 0xcd, 0x75, 0xfa, 0xfb, 0x90);
        go();
}

/* Any bytes at all, unprivileged */
static void op_code(void)
{
        static const enum mode modes[] = {MODE_64, MODE_COMPAT_32, MODE_COMPAT_16, MODE_16,
                                          MODE_V86};
        enum mode mode = modes[random_one_in(2) ? 0 : random_below(COUNT(modes))];

        begin(mode, 3);
        if (mode >= MODE_32)
                run_page(&run, false); /* the guest itself is kept from it */
        for (unsigned i = 0; i < REGISTERS; i++)
                if (random_one_in(2))
                        run.reg[i] = pick_pointer(mode);
        for (unsigned i = 8 + random_below(48); i; i--)
                byte((unsigned)random_64());
        watch();
        go();
}

/* Virtualization and its neighbours: a guest has none of it */

static const uint8_t system_opcodes[][4] = {
    {3, 0x0f, 0x01, 0xc1}, {3, 0x0f, 0x01, 0xc2}, {3, 0x0f, 0x01, 0xc3}, {3, 0x0f, 0x01, 0xc4},
    {3, 0x0f, 0x01, 0xd4}, {3, 0x0f, 0x01, 0xd8}, {3, 0x0f, 0x01, 0xd9}, {3, 0x0f, 0x01, 0xda},
    {3, 0x0f, 0x01, 0xdb}, {3, 0x0f, 0x01, 0xdc}, {3, 0x0f, 0x01, 0xdd}, {3, 0x0f, 0x01, 0xde},
    {3, 0x0f, 0x01, 0xdf}, {3, 0x0f, 0x01, 0xc0}, {3, 0x0f, 0x01, 0xcf}, {3, 0x0f, 0x01, 0xd7},
    {3, 0x0f, 0x01, 0xee}, {3, 0x0f, 0x01, 0xef}, {3, 0x0f, 0x01, 0xf8}, {3, 0x0f, 0x01, 0xf9},
    {3, 0x0f, 0x01, 0xfa}, {3, 0x0f, 0x01, 0xfb}, {3, 0x0f, 0x01, 0xfc}, {3, 0x0f, 0x01, 0xfd},
    {3, 0x0f, 0x01, 0xfe}, {3, 0x0f, 0x01, 0xff}, {3, 0x0f, 0x01, 0xc8}, {3, 0x0f, 0x01, 0xc9},
    {3, 0x0f, 0x01, 0xd0}, {3, 0x0f, 0x01, 0xd1}, {3, 0x0f, 0x01, 0xd5}, {3, 0x0f, 0x01, 0xd6},
    {2, 0x0f, 0x37, 0},    {2, 0x0f, 0xaa, 0},    {2, 0x0f, 0x33, 0},    {2, 0x0f, 0x08, 0},
    {2, 0x0f, 0x09, 0},    {2, 0x0f, 0x77, 0},    {2, 0x0f, 0x0b, 0},    {2, 0x0f, 0xff, 0},
    {2, 0x0f, 0x31, 0},    {2, 0x0f, 0x05, 0},    {2, 0x0f, 0x07, 0},    {2, 0x0f, 0x34, 0},
    {2, 0x0f, 0x35, 0},    {1, 0xf4, 0, 0},       {1, 0xf1, 0, 0},       {1, 0xce, 0, 0},
    {1, 0x9b, 0, 0},
};

/* With a memory operand: VMCLEAR and the like, INVEPT, INVVPID, INVPCID, XSAVES, descriptor
 * tables... */
static const uint8_t system_groups[][4] = {
    {2, 0x0f, 0xc7, 0},    {2, 0x0f, 0x78, 0},    {2, 0x0f, 0x79, 0}, {3, 0x0f, 0x38, 0x80},
    {3, 0x0f, 0x38, 0x81}, {3, 0x0f, 0x38, 0x82}, {2, 0x0f, 0x00, 0}, {2, 0x0f, 0x02, 0},
    {2, 0x0f, 0x03, 0},    {2, 0x0f, 0xae, 0},
};

static void op_system(void)
{
        static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0};
        enum mode mode = pick_mode();

        begin(mode, pick_level(mode));
        run.reg[RDI] = pick_pointer(mode);
        run.reg[RAX] =
            random_one_in(2) ? ARENA_RAM + ARENA_DATA + random_below(4) * 0x800 : run.reg[RAX];
        run.reg[RCX] = random_one_in(2) ? run_pointer(mode, ARENA_DATA) : run.reg[RCX];
        run.reg[RDX] = random_one_in(2) ? run_pointer(mode, ARENA_DATA) : run.reg[RDX];
        if (random_one_in(3))
                byte(prefixes[random_below(sizeof prefixes)]);
        if (random_one_in(3)) {
                unsigned reg;
                const uint8_t *group = system_groups[random_below(COUNT(system_groups))];

                code(group + 1, group[0]);
                reg = random_below(8);
                modrm_di(group[2] || reg != LTR ? reg : 0);
        } else {
                const uint8_t *one = system_opcodes[random_below(COUNT(system_opcodes))];

                code(one + 1, one[0]);
        }
        watch();
        go();
}

/* A code segment to go to. Where the code's offset means something else in another one: none, or
 * the same. */
static unsigned pick_target(void)
{
        enum mode mode = (enum mode)run.mode;
        unsigned target;

        if (mode >= MODE_V86)
                return (unsigned)run.cs;
        if (run.cpl == 0 && mode != MODE_64 && mode != MODE_COMPAT_32)
                return random_one_in(2) ? (unsigned)run.ds : 0x1000 | random_below(0x1000);
        target = random_one_in(2) ? random_below(0x200) : (uint16_t)random_64();
        return target >= FIRST_TASK && target < END_TASKS && !machine_is_amd() ? (unsigned)run.ds
                                                                               : target;
}

static void far_jump(unsigned target)
{
        bool small = run.mode == MODE_COMPAT_16 || run.mode == MODE_16 || run.mode >= MODE_V86;
        uint64_t to = here() + (small ? 5 : 7);

        CODE(0xea, (unsigned)to, (unsigned)to >> 8);
        if (!small)
                CODE((unsigned)to >> 16, (unsigned)to >> 24);
        CODE(target, target >> 8);
}

/* Segments and transfers of control, in every mode */
static void op_segments(void)
{
        enum mode mode = pick_mode();
        unsigned reg;

        begin(mode, pick_level(mode));
        run.reg[RAX] = random_one_in(2) ? random_below(0x200) : random_value();
        switch (random_below(8)) {
        case 0: /* MOV to a segment, or MOV CS */
                reg = random_below(64);
                CODE(0x8e, 0xc0 | (stack_is_needed() && reg >> 3 == 2 ? 0 : reg));
                break;
        case 1:
                CODE(0x50, 0x9d); /* PUSH AX, POPF */
                run.reg[RAX] = random_64() & ~(uint64_t)RFLAGS_TF;
                break;
        case 2:
                CODE(0xcd, (unsigned)random_64());
                break;
        case 3: /* RETF to the code's end */
                run.reg[RAX] = pick_target();
                run.reg[RBX] = here() + 4;
                CODE(0x50, 0x53, 0x90, 0xcb);
                break;
        case 4:
                far_jump(pick_target());
                break;
        case 5:
                CODE(0xfa, 0xfb, 0xf4); /* CLI, STI, HLT */
                break;
        case 6: /* SLDT to VERW, of registers */
                reg = 0xc0 | random_below(64);
                if ((reg >> 3 & 7) == LTR)
                        run.reg[reg & 7] = run.ds;
                CODE(0x0f, 0x00, stack_is_needed() && (reg & 7) == RSP ? 0xc0 : reg);
                break;
        default: /* ENTER, with the stack left even */
                CODE(0xc8, (unsigned)random_64() & 0xfe, (unsigned)random_64(),
                     (unsigned)random_64());
                break;
        }
        watch();
        go();
}

/* Values of registers of control where there is no long mode */
static void op_legacy(void)
{
        static const enum mode modes[] = {MODE_32, MODE_16, MODE_REAL};
        enum mode mode = modes[random_below(COUNT(modes))];

        begin(mode, 0);
        if (mode != MODE_REAL && random_one_in(2))
                run_page(&run, random_one_in(2));
        run.reg[RDI] = run_pointer(mode, pick_offset());
        switch (random_below(3)) {
        case 0:
                run.reg[RAX] = (pick_cr0(false) & ~0x80000001ull) |
                               (mode == MODE_REAL ? 0 : run.cr0 & 0x80000001);
                CODE(0x0f, 0x22, 0xc0);
                break;
        case 1:
                run.reg[RAX] = (random_64() & ~0x30ull) | run.cr4;
                CODE(0x0f, 0x22, 0xe0);
                break;
        default:
                CODE(0x0f, 0xa2, 0xe4, 0x80, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);
                break;
        }
        memory_instruction();
        watch();
        go();
}

/* A switch of tasks by hardware, four ways */
static void op_task(void)
{
        enum mode mode = random_one_in(2) ? MODE_32 : MODE_16;
        unsigned far = random_one_in(2) ? 0xea : 0x9a; /* JMP or CALL */

        begin(mode, 0);
        if (random_one_in(2))
                run_page(&run, random_one_in(2));
        if (random_one_in(4))
                CODE(0xcd, 0x31);
        else if (random_one_in(4))
                CODE(0x9c, 0x58, 0x80, 0xcc, 0x40, 0x50, 0x9d, 0xcf); /* NT set, then IRET */
        else if (mode == MODE_32)
                CODE(far, 0, 0, 0, 0, (unsigned)machine_task_selector & 0xff, 0);
        else
                CODE(far, 0, 0, (unsigned)machine_task_selector & 0xff, 0);
        watch();
        go();
}

/* Nothing but exits */
static void op_storm(void)
{
        begin(random_one_in(2) ? MODE_64 : MODE_COMPAT_32, random_below(4));
        run.rflags &= ~RFLAGS_IF;
        run.reg[RBP] = random_below(2) ? 0 : random_value();
        run.reg[RSI] = random_one_in(1000) ? 100000 : 1 + random_below(200);
        CODE(0x89, 0xe8, 0x0f, 0xa2, 0xff, 0xce, 0x75, 0xf8);
        go();
}

static void op_timer(void)
{
        static const uint8_t counts[] = {0, 1, 2, 3, 16, 255};

        write_msr(TIMER_LVT,
                  not_spurious(random_64() & 0x600ff) | (random_one_in(8) ? 0x10000 : 0));
        write_msr(TIMER_DIV, random_64() & 0xb);
        write_msr(TIMER_COUNT,
                  random_one_in(4) ? random_value() : counts[random_below(sizeof counts)]);
        write_msr(DEADLINE, random_one_in(2) ? rdtsc() - random_below(1000) : random_value());
        begin(MODE_64, 0);
        if (random_one_in(2))
                run.rflags &= ~RFLAGS_IF;
        run.reg[RCX] = 1 + random_below(2000);
        CODE(0xe2, 0xfe, 0xfb, 0x90); /* LOOP, STI */
        for (unsigned n = random_below(8); n; n--)
                go();
        go();
}

const struct operation operations[] = {
    {"msr", 10, 1, op_msr},
    {"port", 10, 0, op_port},
    {"string-io", 10, 0, op_string_io},
    {"cpuid", 6, 0, op_cpuid},
    {"memory", 14, 0, op_memory},
    {"odd", 10, 0, op_odd},
    {"tables", 14, 0, op_tables},
    {"control", 6, 1, op_control},
    {"debug", 4, 1, op_debug},
    {"hypercall", 8, 0, op_hypercall},
    {"interrupt", 6, 0, op_interrupt},
    {"code", 10, 0, op_code},
    {"system", 8, 0, op_system},
    {"segments", 8, 0, op_segments},
    {"legacy", 4, 0, op_legacy},
    {"task", 2, 0, op_task},
    {"storm", 1, 0, op_storm},
    {"timer", 2, 1, op_timer},
    {"second", 1, 0, op_second},
};
const unsigned operation_count = COUNT(operations);
