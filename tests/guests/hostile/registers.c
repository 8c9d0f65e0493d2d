/* Operations on registers of the CPU: MSRs, CPUID, control and debug registers, hypercalls, IPIs,
 * the timer. */
#include "tests/guests/hostile/kinds.h"

#include "tests/guests/hostile/operands.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define APIC_BASE   0x1bu
#define EFER        0xc0000080u
#define APIC_MSRS   0x800u
#define ICR         0x830u
#define TIMER_LVT   0x832u
#define TIMER_COUNT 0x838u
#define TIMER_DIV   0x83eu
#define DEADLINE    0x6e0u
#define MODE_INIT   5u

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

void op_msr(void)
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

void op_cpuid(void)
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

/*
 * Without leaving the mode. QEMU 7.2 lets 64-bit code switch paging off, and takes NW without CD,
 * which its VMRUN then refuses.
 */
void op_control(void)
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

void op_debug(void)
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

void op_hypercall(void)
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

void op_interrupt(void)
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

/* Nothing but exits */
void op_storm(void)
{
        begin(random_one_in(2) ? MODE_64 : MODE_COMPAT_32, random_below(4));
        run.rflags &= ~RFLAGS_IF;
        run.reg[RBP] = random_below(2) ? 0 : random_value();
        run.reg[RSI] = random_one_in(1000) ? 100000 : 1 + random_below(200);
        CODE(0x89, 0xe8, 0x0f, 0xa2, 0xff, 0xce, 0x75, 0xf8);
        go();
}

void op_timer(void)
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
