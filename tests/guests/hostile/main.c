/*
 * A hostile guest: random operations against the hypervisor, the same for the same seed. Its kernel
 * command line tells seed=N (0: by the TSC), ops=N, only=NAME (one kind of operation) and deadly=N
 * (the Nth of those that end the VM comes at the end). The last line tells what was done; then it
 * powers off.
 */
#include "tests/guests/hostile/machine.h"
#include "tests/guests/hostile/operations.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define TOLD_MOST 4096 /* operations between two words on how many there were, at most */

#define COM1         0x3f8u
#define COM1_STATUS  (COM1 + 5)
#define COM1_EMPTY   0x20u
#define PM_CONTROL   0x600u
#define PM_POWER_OFF 0x34u /* SLP_EN, S5 */

/* Of the boot parameters: Linux, Documentation/arch/x86/boot.rst and zero-page.rst */
#define BOOT_CMDLINE      0x228u
#define BOOT_E820_ENTRIES 0x1e8u
#define BOOT_E820         0x2d0u
#define E820_SIZE         20u
#define OPERATIONS_MAX    32

void guest_main(const uint8_t *boot);

static uint64_t done[OPERATIONS_MAX];
static uint64_t ticks[OPERATIONS_MAX]; /* spent, of the TSC */

static void put(char c)
{
        while (!(in8(COM1_STATUS) & COM1_EMPTY)) {
        }
        out8(COM1, (uint8_t)c);
}

static void say(const char *text)
{
        for (; *text; text++)
                put(*text);
}

static void say_number(uint64_t n)
{
        char digits[20];
        unsigned len = 0;

        do {
                digits[len++] = (char)('0' + n % 10);
                n /= 10;
        } while (n);
        while (len)
                put(digits[--len]);
}

static void say_counted(const char *name, uint64_t n)
{
        say(" ");
        say(name);
        say("=");
        say_number(n);
}

/* The operations may have left the port in any state. */
static void begin_line(void)
{
        out8(COM1 + 1, 0);
        out8(COM1 + 3, 3);
        out8(COM1 + 1, 0);
        out8(COM1 + 4, 3);
        say("\r\nhostile:");
}

static void end_line(void)
{
        say("\r\n");
}

/* Where the value of key= begins in the command line, or NULL. */
static const char *option(const char *line, const char *key)
{
        for (; *line; line++) {
                unsigned i = 0;

                while (key[i] && line[i] == key[i])
                        i++;
                if (!key[i] && line[i] == '=')
                        return line + i + 1;
        }
        return NULL;
}

static uint64_t number(const char *line, const char *key, uint64_t otherwise)
{
        const char *at = option(line, key);
        uint64_t n = 0;

        if (!at)
                return otherwise;
        for (; *at >= '0' && *at <= '9'; at++)
                n = n * 10 + (uint64_t)(*at - '0');
        return n;
}

static bool is_word(const char *at, const char *name)
{
        while (*name && *at == *name) {
                at++;
                name++;
        }
        return !*name && (*at == ' ' || !*at);
}

static void read_ram_end(const uint8_t *boot)
{
        const uint8_t *e = boot + BOOT_E820;
        uint64_t base, size;
        uint32_t type;

        for (unsigned i = 0; i < boot[BOOT_E820_ENTRIES]; i++, e += E820_SIZE) {
                __builtin_memcpy(&base, e, 8);
                __builtin_memcpy(&size, e + 8, 8);
                __builtin_memcpy(&type, e + 16, 4);
                if (type == 1 && base < 0xc0000000)
                        random_ram_end = base + size;
        }
}

static unsigned pick(const char *only)
{
        unsigned total = 0, i, drawn;

        for (i = 0; i < operation_count; i++) {
                if (only && is_word(only, operations[i].name))
                        return i;
                total += operations[i].weight;
        }
        drawn = random_below(total);
        for (i = 0; drawn >= operations[i].weight; i++)
                drawn -= operations[i].weight;
        return i;
}

static void attack(uint64_t ops, const char *only)
{
        uint64_t begun;

        for (uint64_t told = 1024; runs < ops;) {
                uint64_t before = runs;
                unsigned i = pick(only);

                if (runs >= told) {
                        begin_line();
                        say_counted("progress", runs);
                        end_line();
                        told = runs + (runs < TOLD_MOST ? runs : TOLD_MOST);
                }
                begun = rdtsc();
                operations[i].run();
                done[i] += runs - before;
                if (operations[i].bends)
                        machine_restore();
                ticks[i] += rdtsc() - begun;
        }
}

static void tell(uint64_t seed)
{
        begin_line();
        for (unsigned i = 0; i < operation_count; i++)
                say_counted(operations[i].name, done[i]);
        end_line();
        begin_line();
        say(" mean ticks");
        for (unsigned i = 0; i < operation_count; i++)
                if (done[i])
                        say_counted(operations[i].name, ticks[i] / done[i]);
        end_line();
        begin_line();
        say(" ended by");
        for (unsigned v = 0; v <= VECTOR_UNKNOWN; v++) {
                if (!endings[v])
                        continue;
                say(" ");
                say_number(v);
                say(":");
                say_number(endings[v]);
        }
        end_line();
        begin_line();
        say(" done");
        say_counted("ops", runs);
        say_counted("seed", seed);
        end_line();
}

static void die(uint64_t number)
{
        const struct deadly *d = &deadly[(number - 1) % deadly_count];
        static const uint16_t nothing[5];

        begin_line();
        say(" deadly ");
        say(d->name);
        end_line();
        machine_call(d->run);
        begin_line();
        say(" survived");
        end_line();
        __asm__ volatile("lidt %0; ud2" : : "m"(nothing));
}

void guest_main(const uint8_t *boot)
{
        const char *line;
        uint32_t line_at;
        uint64_t seed, ops, end;

        __builtin_memcpy(&line_at, boot + BOOT_CMDLINE, 4);
        line = (const char *)(uintptr_t)line_at;
        seed = number(line, "seed", 1);
        if (!seed)
                seed = rdtsc() & 0xffffffff;
        ops = number(line, "ops", 100000);
        end = number(line, "deadly", 0);
        read_ram_end(boot);
        random_seed(seed);
        machine_init();
        begin_line();
        say_counted("seed", seed);
        say_counted("ops", ops);
        end_line();
        attack(ops, option(line, "only"));
        machine_restore();
        tell(seed);
        if (end)
                die(end);
        out8(PM_CONTROL, PM_POWER_OFF);
}
