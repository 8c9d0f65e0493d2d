/* What ends a VM, one way each: the hypervisor must end this VM alone, and say how. */
#include "tests/guests/hostile/operations.h"

#include "tests/guests/hostile/machine.h"
#include "tests/guests/hostile/random.h"
#include "tests/guests/hostile/run.h"

#define NOWHERE 0x8f00000000ull
#define IOAPIC  0xfec00000ull

struct pointer {
        uint16_t limit;
        uint64_t base;
} __attribute__((packed));

static void load_idt(uint64_t base, uint16_t limit)
{
        const struct pointer p = {limit, base};

        __asm__ volatile("lidt %0" : : "m"(p));
}

/* A page of the window at this guest-physical address: where it is seen. */
static uint64_t see(uint64_t gpa)
{
        machine_window_table(2)[0] = (uintptr_t)machine_window_table(1) | 7;
        machine_window_table(1)[0] = (uintptr_t)machine_window_table(0) | 7;
        machine_window_table(0)[0] = gpa | 7;
        __asm__ volatile("invlpg (%0)" : : "r"(WINDOW_HIGH) : "memory");
        return WINDOW_HIGH;
}

static void call(uint64_t at)
{
        __asm__ volatile("call *%0" : : "r"(at) : "memory");
}

static void no_table(void)
{
        load_idt(0, 0);
        __asm__ volatile("ud2");
}

static void halt(void)
{
        __asm__ volatile("cli; hlt");
}

static void reset_by_acpi(void)
{
        out8(0x604, 1); /* not the value that restarts */
        out8(0x64, 0xfe);
        out8(0xcf9, 6);
}

static void fetch_nowhere(void)
{
        call(see(NOWHERE));
}

static void fetch_device(void)
{
        call(see(IOAPIC));
}

static void table_nowhere(void)
{
        load_idt(see(NOWHERE), 0xfff);
        __asm__ volatile("ud2");
}

static void table_device(void)
{
        load_idt(see(IOAPIC), 0xfff);
        __asm__ volatile("ud2");
}

static void stack_nowhere(void)
{
        uint64_t at = see(NOWHERE) + 0x800;

        __asm__ volatile("mov %0, %%rsp; push %%rax; pop %%rax; push %%rax; ret" : : "r"(at));
}

static void pages_nowhere(void)
{
        machine_window_table(2)[1] = NOWHERE | 7;
        *(volatile uint64_t *)(WINDOW_HIGH + (1ull << 30)) = 1;
}

static void pages_device(void)
{
        machine_window_table(2)[1] = IOAPIC | 7;
        *(volatile uint64_t *)(WINDOW_HIGH + (1ull << 30)) = 1;
}

static void root_nowhere(void)
{
        __asm__ volatile("mov %0, %%cr3" : : "r"(NOWHERE) : "memory");
}

static void root_device(void)
{
        __asm__ volatile("mov %0, %%cr3" : : "r"(IOAPIC) : "memory");
}

static void root_garbage(void)
{
        uint64_t *page = (uint64_t *)(uintptr_t)(ARENA_RAM + ARENA_DATA);

        for (unsigned i = 0; i < 512; i++)
                page[i] = random_64();
        __asm__ volatile("mov %0, %%cr3" : : "r"((uintptr_t)page) : "memory");
}

static void paging_off(void)
{
        begin(MODE_COMPAT_32, 0);
        run.reg[RAX] = 0x33;
        load_idt(0, 0); /* what is in the 64-bit table means something else then */
        CODE(0x0f, 0x22, 0xc0);
        go();
}

static void real_table(void)
{
        __builtin_memset(run_bytes(MODE_REAL) + ARENA_DATA, 0, 6);
        begin(MODE_REAL, 0);
        CODE(0x0f, 0x01, 0x1e, ARENA_DATA & 0xff, ARENA_DATA >> 8); /* LIDT */
        go();
}

static void apic_off(void)
{
        wrmsr(0x1b, 0xfee00000);
        __asm__ volatile("cli; hlt");
}

static void init_itself(void)
{
        wrmsr(0x830, 5u << 8 | 1u << 14);
        for (unsigned i = 0; i < 1000000; i++)
                __asm__ volatile("pause");
}

/* On SVM it comes back. */
static void task(void)
{
        machine_allow_tasks();
        begin(MODE_32, 0);
        CODE(0xcd, 0x31);
        go();
}

static void any_code(void)
{
        begin(MODE_64, 0);
        for (unsigned i = 0; i < 256; i++)
                byte((unsigned)random_64());
        watch();
        for (unsigned i = 0; i < 64; i++)
                again();
}

/* In service for good where an end of interrupt leaves the spurious interrupt's vector alone. */
static void spurious(void)
{
        wrmsr(0x83f, 0xff);
        __asm__ volatile("sti; nop; nop");
}

const struct deadly deadly[] = {
    {"no-table", no_table},           {"halt", halt},
    {"reset-ports", reset_by_acpi},   {"fetch-nowhere", fetch_nowhere},
    {"fetch-device", fetch_device},   {"table-nowhere", table_nowhere},
    {"table-device", table_device},   {"stack-nowhere", stack_nowhere},
    {"pages-nowhere", pages_nowhere}, {"pages-device", pages_device},
    {"root-nowhere", root_nowhere},   {"root-device", root_device},
    {"root-garbage", root_garbage},   {"paging-off", paging_off},
    {"real-table", real_table},       {"apic-off", apic_off},
    {"init-itself", init_itself},     {"task", task},
    {"spurious", spurious},           {"any-code", any_code},
};
const unsigned deadly_count = COUNT(deadly);
