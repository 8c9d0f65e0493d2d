/* The hypervisor's descriptor tables and traps; contract in trap.h. SDM vol. 3 3.4.5, 6.11, 7.7. */
#include "hv/trap/trap.h"

#include "drivers/lapic.h"
#include "hv/cpu.h"
#include "hv/lib/printk.h"
#include "hv/lib/string.h"
#include "hv/percpu.h"
#include "hv/trap/mce.h"

#define IST_CRITICAL 1u /* NMI, double fault: may come on any stack */
#define IST_MACHINE  2u /* machine check: may come within an NMI, and an NMI within it */

struct gate {
        uint16_t offset_low, selector;
        uint8_t ist, type;
        uint16_t offset_mid;
        uint32_t offset_high, zero;
} __attribute__((packed));

struct tss {
        uint32_t reserved0;
        uint64_t rsp[3];
        uint64_t reserved1;
        uint64_t ist[7];
        uint64_t reserved2;
        uint16_t reserved3, io_map_base;
} __attribute__((packed));

struct table_pointer {
        uint16_t limit;
        uint64_t base;
} __attribute__((packed));

extern const uint8_t trap_stubs[];
extern const uint8_t trap_wait_halt[]; /* the HLT of trap_wait_interrupt, */
#define HLT_LENGTH 1u                  /* bytes */

/* A CPU's own. */
static struct {
        uint64_t gdt[5];
        struct tss tss;
} tables[CPUS_MAX];

static struct gate idt[256];
static trap_irq_fn irq_handlers[256];
static void (*end_run)(void);

/* SDM vol. 3 table 6-1; "?": reserved. */
static const char exception_names[32][4] = {
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "?",   "#TS",
    "#NP", "#SS", "#GP", "#PF", "?",   "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    "?",   "?",   "?",   "?",   "?",   "?",   "?",   "?",   "?",   "?",
};

static void build_gdt(uint64_t *gdt, const struct tss *tss)
{
        uint64_t base = (uint64_t)tss;

        gdt[TRAP_SELECTOR_CODE / 8] = 0x00af9b000000ffffull;
        gdt[TRAP_SELECTOR_DATA / 8] = 0x00cf93000000ffffull;
        gdt[TRAP_SELECTOR_TSS / 8] =
            (sizeof *tss - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
        gdt[TRAP_SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void build_idt(void)
{
        for (unsigned v = 0; v < 256; v++) {
                uint64_t stub = (uint64_t)trap_stubs + 16ull * v;
                bool critical = v == VECTOR_NMI || v == VECTOR_DF;

                idt[v] = (struct gate){
                    .offset_low = (uint16_t)stub,
                    .selector = TRAP_SELECTOR_CODE,
                    .ist = v == VECTOR_MC ? IST_MACHINE
                           : critical     ? IST_CRITICAL
                                          : 0,
                    .type = 0x8e,
                    .offset_mid = (uint16_t)(stub >> 16),
                    .offset_high = (uint32_t)(stub >> 32),
                };
        }
}

void trap_init(void)
{
        struct cpu *cpu = this_cpu();
        uint64_t *gdt = tables[cpu->index].gdt;
        struct tss *tss = &tables[cpu->index].tss;
        struct cpu_stacks *stacks = percpu_stacks(cpu->index);
        struct table_pointer gdtr = {sizeof tables[0].gdt - 1, (uint64_t)gdt};
        struct table_pointer idtr = {sizeof idt - 1, (uint64_t)idt};

        tss->ist[IST_CRITICAL - 1] = (uint64_t)(stacks->ist + CPU_IST_SIZE);
        tss->ist[IST_MACHINE - 1] = (uint64_t)(stacks->machine + CPU_IST_SIZE);
        tss->io_map_base = sizeof *tss;
        build_gdt(gdt, tss);
        if (cpu->index == 0)
                build_idt();
        __asm__ volatile("lgdt %0\n\t"
                         "lidt %1\n\t"
                         "pushq %2\n\t"
                         "leaq 1f(%%rip), %%rax\n\t"
                         "pushq %%rax\n\t"
                         "lretq\n"
                         "1:\n\t"
                         "movl %3, %%eax\n\t"
                         "movl %%eax, %%ds\n\t"
                         "movl %%eax, %%es\n\t"
                         "movl %%eax, %%ss\n\t"
                         "ltr %w4"
                         :
                         : "m"(gdtr), "m"(idtr), "i"(TRAP_SELECTOR_CODE), "i"(TRAP_SELECTOR_DATA),
                           "r"(TRAP_SELECTOR_TSS)
                         : "rax", "memory");
}

struct trap_tables trap_tables(void)
{
        unsigned i = this_cpu()->index;

        return (struct trap_tables){(uint64_t)tables[i].gdt, (uint64_t)idt,
                                    (uint64_t)&tables[i].tss};
}

void trap_set_irq(uint8_t vector, trap_irq_fn fn)
{
        irq_handlers[vector] = fn;
}

void trap_set_end_run(void (*fn)(void))
{
        end_run = fn;
}

static void take_nmi(void)
{
        if (panic_has_begun())
                cpu_stop();
        this_cpu()->kicked = true;
        if (this_cpu()->resting)
                lapic_send_self(TRAP_VECTOR_KICK);
        if (end_run)
                end_run();
        if (!__atomic_exchange_n(&this_cpu()->nmi_due, false, __ATOMIC_SEQ_CST))
                mce_count_nmi();
}

void trap_dispatch_irq(uint8_t vector)
{
        if (irq_handlers[vector])
                irq_handlers[vector]();
        else if (vector != TRAP_VECTOR_SPURIOUS)
                lapic_eoi();
}

static void print_frame(const struct trap_frame *f)
{
        const uint64_t *r = f->reg;

        printk(LOG_ERROR, "rip %016lx rsp %016lx rflags %08lx cr2 %016lx", f->rip, f->rsp,
               f->rflags, cpu_read_cr2());
        printk(LOG_ERROR, "rax %016lx rbx %016lx rcx %016lx rdx %016lx", r[REG_RAX], r[REG_RBX],
               r[REG_RCX], r[REG_RDX]);
        printk(LOG_ERROR, "rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r[REG_RSI], r[REG_RDI],
               r[REG_RBP], r[REG_R8]);
        printk(LOG_ERROR, "r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r[9], r[10], r[11], r[12]);
        printk(LOG_ERROR, "r13 %016lx r14 %016lx r15 %016lx", r[13], r[14], r[15]);
}

void trap_handle(struct trap_frame *frame)
{
        if (frame->vector >= 32) {
                trap_dispatch_irq((uint8_t)frame->vector);
                if (frame->rip == (uint64_t)trap_wait_halt)
                        frame->rip += HLT_LENGTH;
                return;
        }
        if (frame->vector == VECTOR_NMI) {
                take_nmi();
                return;
        }
        if (frame->vector == VECTOR_MC) {
                mce_handle(false);
                return;
        }
        print_frame(frame);
        panic("exception %lu (%s), error code 0x%lx, at 0x%lx", frame->vector,
              exception_names[frame->vector], frame->error, frame->rip);
}
