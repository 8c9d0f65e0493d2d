/*
 * Operations on a virtio device, by ports alone: its registers through the window in its
 * configuration space. Rings, chains and tables of descriptors hold anything; what the device may
 * write is where the guest itself does not lie.
 */
#include "tests/guests/hostile/kinds.h"
#include "tests/guests/hostile/operands.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define CF8      0xcf8u
#define CFC      0xcfcu
#define DEVICE   0x80000800u /* 0:1.0 */
#define VENDOR   0x1af4u
#define COMMAND  0x04u
#define BAR_PORT 0x10u
#define MSIX     0x40u
#define WINDOW   0x90u
#define TABLE    0x1000u /* in BAR 1 */

#define FEATURE_SELECT 8u
#define FEATURE        12u
#define STATUS         20u
#define QUEUE_SIZE     24u
#define QUEUE_VECTOR   26u
#define QUEUE_ENABLE   28u
#define QUEUE_DESC     32u

#define ENTRIES 8u
#define RINGS                                                                                      \
        (ARENA_RAM + 0x8000u) /* descriptors, what is available, what is used: a page each         \
                               */

static void out32(uint16_t port, uint32_t value)
{
        __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t in32(uint16_t port)
{
        uint32_t value;

        __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
        return value;
}

static uint32_t config_read(unsigned reg)
{
        out32(CF8, DEVICE | reg);
        return in32(CFC);
}

static void config_write(unsigned reg, uint32_t value)
{
        out32(CF8, DEVICE | reg);
        out32(CFC, value);
}

static void choose(unsigned offset, unsigned size)
{
        config_write(WINDOW + 4, 1);
        config_write(WINDOW + 8, offset);
        config_write(WINDOW + 12, size);
}

static void write(unsigned offset, unsigned size, uint32_t value)
{
        choose(offset, size);
        config_write(WINDOW + 16, value);
}

static void write_64(unsigned offset, uint64_t value)
{
        write(offset, 4, (uint32_t)value);
        write(offset + 4, 4, (uint32_t)(value >> 32));
}

static uint8_t status(void)
{
        choose(STATUS, 1);
        return (uint8_t)config_read(WINDOW + 16);
}

/* As a driver starts it, and nearly so. */
static void start(void)
{
        static const uint8_t steps[] = {0, 1, 3, 11};

        config_write(COMMAND, 7);
        for (unsigned i = 0; i < COUNT(steps); i++) {
                if (steps[i] == 11) {
                        write(FEATURE_SELECT, 4, 0);
                        write(FEATURE, 4, random_below(4) << 28);
                        write(FEATURE_SELECT, 4, 1);
                        write(FEATURE, 4, !random_one_in(16));
                }
                write(STATUS, 1, steps[i]);
        }
        config_write(MSIX, 0x80000000u);
        write(TABLE, 4, 0xfee00000u | (random_one_in(4) ? (uint32_t)random_64() & 0xff00c : 0));
        write(TABLE + 8, 4, 0x30 + random_below(0xc0)); /* fixed: an NMI would not be a run's */
        write(TABLE + 12, 4, random_one_in(4));
        write(QUEUE_SIZE, 2, random_one_in(16) ? (uint32_t)random_value() & 0xffff : ENTRIES);
        write(QUEUE_VECTOR, 2, random_below(3));
        for (unsigned part = 0; part < 3; part++)
                write_64(QUEUE_DESC + 8 * part,
                         random_one_in(32) ? random_spare(random_value()) : RINGS + PAGE * part);
        write(QUEUE_ENABLE, 2, 1);
        write(STATUS, 1, 15);
}

static void fill_descriptor(unsigned index)
{
        volatile uint64_t *d = (volatile uint64_t *)(uintptr_t)(RINGS + 16 * index);
        uint32_t size = random_one_in(4) ? (uint32_t)random_value() : 1 + random_below(128);
        uint64_t flags = random_one_in(8) ? random_64() & 0xffff : random_below(4);
        uint64_t next = random_one_in(16) ? random_64() & 0xffff : random_below(ENTRIES);
        uint64_t at = random_one_in(4) ? random_value() : ARENA_RAM + pick_offset();

        if (random_one_in(8)) {
                flags = 4; /* a table of descriptors: this one */
                at = RINGS;
                size = 16 * random_below(ENTRIES + 1);
        }
        d[0] = random_spare(at);
        d[1] = size | flags << 32 | next << 48;
}

/* What is made available; the index goes on, or jumps. */
static void fill_rings(void)
{
        volatile uint16_t *avail = (volatile uint16_t *)(uintptr_t)(RINGS + PAGE);

        for (unsigned n = random_below(ENTRIES); n; n--)
                fill_descriptor(random_below(ENTRIES));
        for (unsigned n = 1 + random_below(3); n; n--)
                avail[2 + random_below(ENTRIES)] =
                    (uint16_t)(random_one_in(16) ? random_64() : random_below(ENTRIES));
        avail[2 + ENTRIES] = (uint16_t)random_64();
        avail[1] = (uint16_t)(random_one_in(16) ? random_64() : avail[1] + 1 + random_below(3));
}

static void disturb(void)
{
        switch (random_below(8)) {
        case 0:
                config_write(random_below(64) * 4, (uint32_t)random_value());
                break;
        case 1:
                write(random_below(64), 1u << random_below(3), (uint32_t)random_value());
                break;
        case 2:
                write(random_below(0x2000), 1u << random_below(3),
                      (uint32_t)random_value() & ~0x701u);
                break;
        case 3:
                write(STATUS, 1, random_one_in(2) ? 0 : (uint32_t)random_64());
                break;
        default:
                break;
        }
}

/* A reset must mend whatever it was: without it the guest ends itself, which is seen. */
void op_virtio(void)
{
        if ((config_read(0) & 0xffff) != VENDOR)
                return;
        ((volatile uint16_t *)(uintptr_t)(RINGS + PAGE))[1] = 0;
        start();
        for (unsigned n = REPEATS; n; n--) {
                fill_rings();
                out32((uint16_t)(config_read(BAR_PORT) & ~3u),
                      random_one_in(16) ? random_below(4) : 0);
                disturb();
                runs++;
        }
        config_write(MSIX, 0);
        write(STATUS, 1, 0);
        if (status())
                __asm__ volatile("ud2");
}
