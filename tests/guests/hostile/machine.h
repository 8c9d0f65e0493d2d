/*
 * The hostile guest's own machine: page tables, descriptors, and runs of a few bytes of code in any
 * mode of the CPU and at any privilege level, each of which comes back to 64-bit mode, whatever
 * the code did. All addresses are the guest's, the guest's RAM is mapped to itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The arena: 16 pages where the code runs and what it works on, in RAM at ARENA_RAM. With paging
 * they are seen at ARENA with neighbours of every kind, see arena[] in machine.c.
 */
#define ARENA      0x80000000u
#define ARENA_RAM  0x02000000u
#define ARENA_REAL 0x00030000u /* in real mode and V86 */
#define ARENA_SIZE 0x10000u

#define ARENA_STACK 0x3ff0u /* offsets in the arena */
#define ARENA_CODE  0x0000u
#define ARENA_DATA  0x4000u
#define ARENA_ROOM  0x2000u /* of code; unmapped behind it, with paging */

/* Windows whose tables are the operations' own to write: 1 GiB each, one below 4 GiB. */
#define WINDOW_HIGH 0x8000000000ull
#define WINDOW_LOW  0xc0000000ull

/* What no operation may write: the guest itself, below 1 MiB its way to real mode and back. */
#define KEEP_LOW_END 0x00030000ull
#define KEEP_BASE    0x01000000ull
#define KEEP_END     0x01100000ull

enum mode {
        MODE_64,
        MODE_COMPAT_32, /* segments of long mode */
        MODE_COMPAT_16,
        MODE_32, /* legacy protected mode: no long mode */
        MODE_16,
        MODE_V86,
        MODE_REAL,
        MODE_COUNT
};

enum gp_register { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R15 = 15, REGISTERS };

/* How one run of code begins; offsets in modes.asm. */
struct run {
        uint64_t reg[REGISTERS];
        uint64_t rip;
        uint64_t rflags;
        uint64_t cs, ss, ds, es, fs, gs;
        uint64_t cr0, cr3, cr4; /* of legacy modes */
        uint64_t mode;
        uint64_t cpl;
};

#define PAGE     0x1000u
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

#define RFLAGS_FIXED 0x002u
#define RFLAGS_TF    0x100u
#define RFLAGS_IF    0x200u
#define RFLAGS_DF    0x400u
#define RFLAGS_IOPL  0x3000u
#define RFLAGS_NT    0x4000u

#define VECTOR_UNKNOWN 256 /* out of a mode whose handlers do not tell */

void machine_init(void);

/*
 * Give a run its registers for a mode and level: code at offset `at` of the arena, all segments
 * flat over the arena as far as the mode can, interrupts on.
 */
void run_init(struct run *r, enum mode mode, unsigned cpl, unsigned at);

/* What a pointer register must hold in a mode to point to an offset of the arena. */
uint64_t run_pointer(enum mode mode, unsigned offset);

/* Paging for a run in a legacy protected mode: 32-bit tables, or PAE's. */
void run_page(struct run *r, bool extended);

/* Where the CPU finds the arena's bytes of a mode; written here, they are seen there. */
uint8_t *run_bytes(enum mode mode);

/* Run it until something comes: the vector that ended it, or VECTOR_UNKNOWN. */
unsigned machine_run(const struct run *r);

/* Call a function that an exception may leave: it returns then, too. */
void machine_call(void (*function)(void));

/* End each run from now on after so many ticks of the TSC, by an interrupt; 0: no more. */
void machine_watch(uint32_t ticks);

/* Everything that operations may bend: registers of control and debugging, MSRs, the local APIC. */
void machine_restore(void);

/* Entries of the window's tables, 512 each, level 0 is that of 4 KiB pages. */
uint64_t *machine_window_table(unsigned level);
#define WINDOW_LEVELS 3

/* The selectors of a mode and level. */
uint16_t machine_code_selector(enum mode mode, unsigned cpl);
uint16_t machine_data_selector(enum mode mode, unsigned cpl);
extern const uint16_t machine_task_selector; /* of a task state segment to switch to, legacy */

/* Let machine_task_selector and interrupt 31h switch tasks in legacy modes, from now on. */
void machine_allow_tasks(void);

/* Whether the CPU is AMD's. */
bool machine_is_amd(void);

static inline void out8(uint16_t port, uint8_t value)
{
        __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
        uint8_t value;

        __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
        return value;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
        __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t rdtsc(void)
{
        uint32_t low, high;

        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
        return (uint64_t)high << 32 | low;
}
