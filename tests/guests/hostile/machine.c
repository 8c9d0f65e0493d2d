/* Tables of the hostile guest's machine and the set-up of its runs; contract in machine.h. */
#include "tests/guests/hostile/machine.h"

/* Selectors; those that modes.asm names are in modes.inc. */
#define CODE64_0   0x08
#define CODE32_0   0x10
#define DATA_0     0x18
#define CODE16_LOW 0x20
#define DATA16_LOW 0x28
#define TSS64      0x30 /* two entries */
#define TSS32      0x40
#define TSS_OTHER  0x48
#define LEVELS     0x50 /* from here on eight descriptors a privilege level */

enum {
        SEL_CODE64,
        SEL_CODE32,
        SEL_DATA32,
        SEL_CODE16,
        SEL_DATA16,
        SEL_OLD16,
        SEL_OLD_DATA16,
        SEL_COUNT = 8
};

#define GDT_ENTRIES 64
#define ENTRY_P     0x01ull
#define ENTRY_W     0x02ull
#define ENTRY_U     0x04ull
#define ENTRY_LARGE 0x80ull
#define ENTRY_NX    (1ull << 63)
#define LARGE_PAGE  0x200000u

#define CR0_OWN  0x80010033ull /* PG, WP, NE, ET, MP, PE */
#define CR0_OLD  0x00000033ull
#define CR4_OWN  0x220ull /* PAE, OSFXSR */
#define EFER     0xc0000080u
#define EFER_OWN 0x901ull /* NXE, LME, SCE */
#define PAT      0x277u
#define PAT_OWN  0x0007040600070406ull

#define APIC_EOI      0x80bu
#define APIC_TPR      0x808u
#define APIC_SPURIOUS 0x80fu
#define APIC_LVT      0x832u /* timer; the others follow */
#define APIC_LVTS     6u
#define TSC_DEADLINE  0x6e0u
#define LVT_MASKED    0x10000u
#define LVT_DEADLINE  0x40000u
#define WATCH_VECTOR  0xe0u

#define REAL_CODE  0x8000u
#define REAL_FRAME 0x8800u
#define STACK32    0x9000u
#define TASK_GATE  0x31u

/* What the guest's CPU may find wherever it looks: the arena's pages with paging. */
static const struct {
        uint64_t gpa; /* of the page; RAM: the page of the arena itself */
        uint64_t bits;
} arena[16] = {
    [0] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [1] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [2] = {0, 0}, /* code may end here */
    [3] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [4] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [5] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [6] = {0, 0},
    [7] = {0, ENTRY_P | ENTRY_W | ENTRY_U},
    [8] = {0, ENTRY_P | ENTRY_U},
    [9] = {0, ENTRY_P | ENTRY_W},
    [10] = {0xfec00000, ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_NX},
    [11] = {0xfee00000, ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_NX},
    [12] = {0x8f00000000, ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_NX},
    [13] = {0xe0000, ENTRY_P | ENTRY_W | ENTRY_U}, /* ACPI tables */
    [14] = {0xd0000, ENTRY_P | ENTRY_W | ENTRY_U},
    [15] = {0x000f000000000000, ENTRY_P | ENTRY_W | ENTRY_U | ENTRY_NX},
};

struct pointer {
        uint16_t limit;
        uint64_t base;
} __attribute__((packed));

struct gate64 {
        uint16_t low, selector, type, middle;
        uint32_t high, zero;
};

struct tss64 {
        uint32_t reserved;
        uint64_t rsp[3], zero, ist[7], zero2;
        uint16_t zero3, bitmap;
        uint8_t ports[8192 + 1];
} __attribute__((packed));

struct tss32 {
        uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, reg[8];
        uint32_t es, cs, ss, ds, fs, gs, ldt;
        uint16_t trap, bitmap;
        uint8_t ports[8192 + 1];
} __attribute__((packed));

#define TABLE __attribute__((aligned(4096)))

uint64_t machine_gdt[GDT_ENTRIES] TABLE;
uint32_t machine_root;
struct pointer machine_gdt_pointer, machine_idt_pointer, machine_idt32_pointer;
const uint16_t machine_task_selector = TSS_OTHER;

static struct gate64 idt[256] TABLE;
static uint64_t idt32[256] TABLE;
static uint64_t pml4[512] TABLE, pdpt[512] TABLE, low[512] TABLE, arena_directory[512] TABLE;
static uint64_t arena_table[512] TABLE, window[WINDOW_LEVELS][512] TABLE;
static uint32_t pse[1024] TABLE; /* 32-bit paging: all 4 GiB by pages of 4 MiB */
static uint64_t pae[4] TABLE, pae_directory[512] TABLE;
static struct tss64 tss64 TABLE;
static struct tss32 tss32 TABLE, tss_other TABLE;
static uint8_t ist[4096] TABLE;
static bool amd, has_tasks;

extern const uint8_t stubs[], real_blob[], real_blob_end[];
extern const uint32_t real_ivt_offset;
extern void legacy_back(void);
extern unsigned run_enter(const struct run *r);

/* The compiler asks for it where it clears a structure. */
void *memset(void *to, int value, size_t n);

void *memset(void *to, int value, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((volatile uint8_t *)to)[i] = (uint8_t)value;
        return to;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access)
{
        return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
               (uint64_t)(access & 0xff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
               (uint64_t)(access >> 8 & 15) << 52 | (uint64_t)(base >> 24) << 56;
}

#define CODE_ACCESS(dpl) (0x9bu | (dpl) << 5)
#define DATA_ACCESS(dpl) (0x93u | (dpl) << 5)
#define WIDE             0xa00u /* G, L */
#define FLAT             0xc00u /* G, D */

static void set_level(uint32_t dpl)
{
        uint64_t *d = &machine_gdt[LEVELS / 8 + dpl * SEL_COUNT];

        d[SEL_CODE64] = descriptor(0, 0xfffff, CODE_ACCESS(dpl) | WIDE);
        d[SEL_CODE32] = descriptor(0, 0xfffff, CODE_ACCESS(dpl) | FLAT);
        d[SEL_DATA32] = descriptor(0, 0xfffff, DATA_ACCESS(dpl) | FLAT);
        d[SEL_CODE16] = descriptor(ARENA, 0xffff, CODE_ACCESS(dpl));
        d[SEL_DATA16] = descriptor(ARENA, 0xffff, DATA_ACCESS(dpl));
        d[SEL_OLD16] = descriptor(ARENA_RAM, 0xffff, CODE_ACCESS(dpl));
        d[SEL_OLD_DATA16] = descriptor(ARENA_RAM, 0xffff, DATA_ACCESS(dpl));
}

static void set_descriptors(void)
{
        machine_gdt[CODE64_0 / 8] = descriptor(0, 0xfffff, CODE_ACCESS(0u) | WIDE);
        machine_gdt[CODE32_0 / 8] = descriptor(0, 0xfffff, CODE_ACCESS(0u) | FLAT);
        machine_gdt[DATA_0 / 8] = descriptor(0, 0xfffff, DATA_ACCESS(0u) | FLAT);
        machine_gdt[CODE16_LOW / 8] = descriptor(0, 0xffff, CODE_ACCESS(0u));
        machine_gdt[DATA16_LOW / 8] = descriptor(0, 0xffff, DATA_ACCESS(0u));
        machine_gdt[TSS64 / 8] = descriptor((uint32_t)(uintptr_t)&tss64, sizeof tss64 - 1, 0x89);
        machine_gdt[TSS32 / 8] = descriptor((uint32_t)(uintptr_t)&tss32, sizeof tss32 - 1, 0x89);
        for (uint32_t dpl = 0; dpl < 4; dpl++)
                set_level(dpl);
        machine_gdt_pointer = (struct pointer){sizeof machine_gdt - 1, (uintptr_t)machine_gdt};
        machine_idt_pointer = (struct pointer){sizeof idt - 1, (uintptr_t)idt};
        machine_idt32_pointer = (struct pointer){sizeof idt32 - 1, (uintptr_t)idt32};
}

static void set_gates(void)
{
        uint64_t back = (uintptr_t)legacy_back;

        for (unsigned v = 0; v < 256; v++) {
                uintptr_t at = (uintptr_t)stubs + 10 * v;

                idt[v] =
                    (struct gate64){(uint16_t)at, CODE64_0, 0x8e01, (uint16_t)(at >> 16), 0, 0};
                idt32[v] = (back & 0xffff) | CODE32_0 << 16 | 0x8e00ull << 32 | back >> 16 << 48;
        }
}

void machine_allow_tasks(void)
{
        idt32[TASK_GATE] = (uint64_t)TSS_OTHER << 16 | 0xe500ull << 32;
        has_tasks = true;
}

/* Ports that end the VM or flood the console are not for code that nobody has looked at. */
static void close_ports(uint8_t *bitmap)
{
        bitmap[0x3f8 / 8] = 0xff;
        bitmap[0x600 / 8] = 0xff;
        bitmap[0x64 / 8] |= 1u << 4;
        bitmap[0xcf9 / 8] |= 1u << 1;
        bitmap[8192] = 0xff;
}

static void set_tasks(void)
{
        tss64.ist[0] = (uintptr_t)ist + sizeof ist;
        tss64.bitmap = offsetof(struct tss64, ports);
        close_ports(tss64.ports);
        tss32.esp0 = tss32.esp1 = tss32.esp2 = STACK32;
        tss32.ss0 = DATA_0;
        tss32.bitmap = offsetof(struct tss32, ports);
        close_ports(tss32.ports);
}

static void set_page_tables(void)
{
        const uint64_t all = ENTRY_P | ENTRY_W | ENTRY_U;

        for (unsigned i = 0; i < 32; i++)
                low[i] = i * (uint64_t)LARGE_PAGE | ENTRY_P | ENTRY_W | ENTRY_LARGE;
        for (unsigned i = 0; i < 16; i++)
                if (arena[i].bits)
                        arena_table[i] =
                            (arena[i].gpa ? arena[i].gpa : ARENA_RAM + i * PAGE) | arena[i].bits;
        for (uint32_t i = 0; i < 1024; i++)
                pse[i] = i << 22 | (uint32_t)(all | ENTRY_LARGE);
        pse[KEEP_BASE >> 22] &= ~(uint32_t)ENTRY_U;
        for (unsigned i = 0; i < 512; i++)
                pae_directory[i] = i * (uint64_t)LARGE_PAGE | all | ENTRY_LARGE;
        pae[0] = (uintptr_t)pae_directory | ENTRY_P;
        arena_directory[0] = (uintptr_t)arena_table | all;
        pdpt[0] = (uintptr_t)low | all;
        pdpt[ARENA >> 30] = (uintptr_t)arena_directory | all;
        pdpt[WINDOW_LOW >> 30] = (uintptr_t)window[1] | all;
        pml4[0] = (uintptr_t)pdpt | all;
        pml4[WINDOW_HIGH >> 39] = (uintptr_t)window[2] | all;
        machine_root = (uint32_t)(uintptr_t)pml4;
}

/* The vectors of real mode, and the way there and back. */
static void set_real_mode(void)
{
        uintptr_t vectors = 0; /* a null pointer to the compiler: stored by hand */

        for (size_t i = 0; i < (size_t)(real_blob_end - real_blob); i++)
                ((volatile uint8_t *)(uintptr_t)REAL_CODE)[i] = real_blob[i];
        for (unsigned v = 0; v < 256; v++)
                __asm__ volatile("movl %0, (%1)"
                                 :
                                 : "r"(real_ivt_offset), "r"(vectors + 4 * v)
                                 : "memory");
}

bool machine_is_amd(void)
{
        return amd;
}

static bool is_amd(void)
{
        uint32_t a = 0, b, c = 0, d;

        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        return b == 0x68747541; /* "Auth" */
}

void machine_init(void)
{
        amd = is_amd();
        set_descriptors();
        set_gates();
        set_tasks();
        set_page_tables();
        if (amd)
                machine_allow_tasks(); /* on VT-x they end the VM */
        __asm__ volatile("mov %0, %%cr3" : : "r"((uint64_t)machine_root) : "memory");
        __asm__ volatile("lgdt %0" : : "m"(machine_gdt_pointer));
        __asm__ volatile("lidt %0" : : "m"(machine_idt_pointer));
        __asm__ volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:"
                         :
                         : "i"(CODE64_0)
                         : "rax", "memory");
        __asm__ volatile("ltr %w0" : : "r"(TSS64));
        machine_restore();
}

void machine_watch(uint32_t ticks)
{
        wrmsr(TSC_DEADLINE, ticks ? rdtsc() + ticks : 0);
}

static void restore_apic(void)
{
        wrmsr(APIC_SPURIOUS, 0x1ff);
        wrmsr(APIC_TPR, 0);
        wrmsr(APIC_EOI, 0);
        for (uint32_t i = 1; i < APIC_LVTS; i++)
                wrmsr(APIC_LVT + i, LVT_MASKED | 0xff);
        wrmsr(APIC_LVT, LVT_DEADLINE | WATCH_VECTOR);
}

void machine_restore(void)
{
        uint64_t zero = 0;

        __asm__ volatile("mov %0, %%cr0" : : "r"(CR0_OWN));
        __asm__ volatile("mov %0, %%cr4" : : "r"(CR4_OWN));
        __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
        __asm__ volatile("mov %0, %%dr6" : : "r"(zero));
        wrmsr(EFER, EFER_OWN);
        wrmsr(PAT, PAT_OWN);
        restore_apic();
}

uint64_t *machine_window_table(unsigned level)
{
        return window[level];
}

uint16_t machine_code_selector(enum mode mode, unsigned cpl)
{
        static const uint8_t index[] = {[MODE_64] = SEL_CODE64,
                                        [MODE_COMPAT_32] = SEL_CODE32,
                                        [MODE_COMPAT_16] = SEL_CODE16,
                                        [MODE_32] = SEL_CODE32,
                                        [MODE_16] = SEL_OLD16};

        if (mode >= MODE_V86)
                return ARENA_REAL / 16;
        return (uint16_t)(LEVELS + (cpl * SEL_COUNT + index[mode]) * 8 + cpl);
}

uint16_t machine_data_selector(enum mode mode, unsigned cpl)
{
        static const uint8_t index[] = {[MODE_64] = SEL_DATA32,
                                        [MODE_COMPAT_32] = SEL_DATA32,
                                        [MODE_COMPAT_16] = SEL_DATA16,
                                        [MODE_32] = SEL_DATA32,
                                        [MODE_16] = SEL_OLD_DATA16};

        if (mode >= MODE_V86)
                return ARENA_REAL / 16;
        return (uint16_t)(LEVELS + (cpl * SEL_COUNT + index[mode]) * 8 + cpl);
}

uint64_t run_pointer(enum mode mode, unsigned offset)
{
        switch (mode) {
        case MODE_64:
        case MODE_COMPAT_32:
                return ARENA + offset;
        case MODE_32:
                return ARENA_RAM + offset;
        default:
                return offset;
        }
}

uint8_t *run_bytes(enum mode mode)
{
        return (uint8_t *)(uintptr_t)(mode >= MODE_V86 ? ARENA_REAL : ARENA_RAM);
}

void run_init(struct run *r, enum mode mode, unsigned cpl, unsigned at)
{
        uint16_t data = machine_data_selector(mode, cpl);

        *r = (struct run){.rip = run_pointer(mode, at),
                          .rflags = RFLAGS_FIXED | RFLAGS_IF,
                          .cs = machine_code_selector(mode, cpl),
                          .ss = data,
                          .ds = data,
                          .es = data,
                          .fs = data,
                          .gs = data,
                          .cr0 = CR0_OLD,
                          .mode = mode,
                          .cpl = cpl};
        r->reg[RSP] = run_pointer(mode, ARENA_STACK);
}

void run_page(struct run *r, bool extended)
{
        r->cr0 |= 1ull << 31;
        r->cr3 = (uintptr_t)(extended ? (void *)pae : (void *)pse);
        r->cr4 = extended ? 1u << 5 : 1u << 4;
}

/* The other task does nothing but go back; what a switch left in it is undone. */
static void reset_other_task(uint64_t cr3)
{
        tss_other = (struct tss32){.cr3 = (uint32_t)cr3,
                                   .eip = (uint32_t)(uintptr_t)legacy_back,
                                   .eflags = RFLAGS_FIXED,
                                   .es = DATA_0,
                                   .cs = CODE32_0,
                                   .ss = DATA_0,
                                   .ds = DATA_0,
                                   .fs = DATA_0,
                                   .gs = DATA_0,
                                   .bitmap = offsetof(struct tss32, ports)};
        tss_other.reg[RSP] = STACK32;
        if (has_tasks)
                machine_gdt[TSS_OTHER / 8] =
                    descriptor((uint32_t)(uintptr_t)&tss_other, sizeof tss_other - 1, 0xe9);
}

/* real_down takes its registers from here. */
static void fill_real_frame(const struct run *r)
{
        struct {
                uint16_t gs, fs, es, ds;
                uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
                uint16_t sp, ss, ip, cs, flags;
        } __attribute__((packed)) *frame = (void *)(uintptr_t)REAL_FRAME;

        frame->gs = (uint16_t)r->gs;
        frame->fs = (uint16_t)r->fs;
        frame->es = (uint16_t)r->es;
        frame->ds = (uint16_t)r->ds;
        frame->edi = (uint32_t)r->reg[RDI];
        frame->esi = (uint32_t)r->reg[RSI];
        frame->ebp = (uint32_t)r->reg[RBP];
        frame->ebx = (uint32_t)r->reg[RBX];
        frame->edx = (uint32_t)r->reg[RDX];
        frame->ecx = (uint32_t)r->reg[RCX];
        frame->eax = (uint32_t)r->reg[RAX];
        frame->sp = (uint16_t)r->reg[RSP];
        frame->ss = (uint16_t)r->ss;
        frame->ip = (uint16_t)r->rip;
        frame->cs = (uint16_t)r->cs;
        frame->flags = (uint16_t)r->rflags;
}

unsigned machine_run(const struct run *r)
{
        if (r->mode >= MODE_32)
                reset_other_task(r->cr3);
        if (r->mode == MODE_REAL) {
                set_real_mode(); /* runs in V86 may have written there */
                fill_real_frame(r);
        }
        return run_enter(r);
}
