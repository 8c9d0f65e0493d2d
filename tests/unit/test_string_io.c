/* INS and OUTS against a fake CPU: registers, segments, pages, faults, and the bound of one exit.
 */
#include "guest/exec/emulate.h"

#include "guest/dev/platform.h"
#include "hv/cpu.h"
#include "hv/lib/string.h"
#include "mm/paging/paging.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define SCRATCH (PLATFORM_COM1_PORT + 7)
#define NOBODY  0x80

#define CODE    0x1000u
#define DATA    0x20000u
#define TABLES  0x100000u /* PML4, PDPT, PD, PT */
#define VA      0xffff800000000000ull
#define DATA_16 0x93u
#define DATA_32 0xc093u
#define CODE_32 0xc09bu
#define CODE_64 0xa09bu
#define DF      (1ull << 10)
#define P       1u
#define W       2u
#define U       4u
#define A       0x20u
#define D       0x40u
#define LARGE   0x80u

static struct vm vm;
static uint64_t *reg;

static void put(uint64_t gpa, const void *bytes, size_t n)
{
        CHECK_EQ(gmem_write(&vm.mem, GPA(gpa), bytes, n), 0);
}

static uint64_t get(uint64_t gpa, unsigned size)
{
        uint64_t value = 0;

        CHECK_EQ(gmem_read(&vm.mem, GPA(gpa), &value, size), 0);
        return value;
}

static uint64_t entry_of(unsigned page)
{
        return get(TABLES + 0x3000 + 8 * page, 8);
}

static void map(unsigned page, uint64_t entry)
{
        put(TABLES + 0x3000 + 8ull * page, &entry, 8);
}

static void segments(uint16_t code, uint16_t data)
{
        for (unsigned i = 0; i < SEG_COUNT; i++)
                fake.state.seg[i] = (struct vcpu_segment){.limit = UINT32_MAX, .access = data};
        fake.state.seg[SEG_CS].access = code;
}

static void begin(const char *code, size_t n)
{
        unsigned vcpus = fake.vcpus;

        memset(&fake, 0, sizeof fake);
        fake.vcpus = vcpus;
        memset(vm.vcpu[0]->vcpu.regs, 0, sizeof vm.vcpu[0]->vcpu.regs);
        put(CODE, code, n);
        fake.state.cr0 = CR0_PE;
        fake.state.rip = CODE;
        segments(CODE_32, DATA_32);
        vm.end = VM_RUNNING;
}

/* 64-bit code at CODE, seen at the same address; page i of VA is the i-th of DATA. */
static void begin_wide(const char *code, size_t n)
{
        static const uint64_t links[3] = {TABLES + 0x1000, TABLES + 0x2000, TABLES + 0x3000};
        static const uint8_t zero[0x8000];

        begin(code, n);
        CHECK_EQ(gmem_write(&vm.mem, GPA(TABLES), zero, sizeof zero), 0);
        for (unsigned i = 0; i < 3; i++) {
                uint64_t entry = links[i] | P | W | U;

                put(TABLES + 0x1000ull * i + (i ? 0 : 8 * 256), &entry, 8);
        }
        for (unsigned i = 0; i < 4; i++)
                map(i, (DATA + 0x1000 * i) | P | W | U);
        /* the code, by another PML4 entry and a large page */
        put(TABLES, &(uint64_t){(TABLES + 0x4000) | P | W}, 8);
        put(TABLES + 0x4000, &(uint64_t){(TABLES + 0x5000) | P | W}, 8);
        put(TABLES + 0x5000, &(uint64_t){LARGE | P | W}, 8);
        fake.state.cr0 = CR0_PE | CR0_PG | CR0_WP;
        fake.state.cr3 = TABLES;
        fake.state.cr4 = CR4_PAE;
        fake.state.efer = EFER_LMA | EFER_LME;
        segments(CODE_64, 0);
}

static void play(bool in, unsigned size, uint16_t port, bool rep)
{
        const struct vm_exit_io io = {
            .port = port, .size = (uint8_t)size, .in = in, .string = true, .rep = rep};

        string_io(vm.vcpu[0], &io);
}

static void expect_fault(uint8_t vector)
{
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, vector);
}

static void test_one_element(void)
{
        begin("\x6e", 1); /* OUTSB */
        put(DATA, "\xa7", 1);
        reg[REG_RSI] = DATA;
        reg[REG_RCX] = 5;
        play(false, 1, SCRATCH, false);
        CHECK_EQ(reg[REG_RSI], DATA + 1);
        CHECK_EQ(reg[REG_RCX], 5);
        CHECK_EQ(fake.skips, 1);
        begin("\x6c", 1); /* INSB */
        reg[REG_RDI] = DATA + 5;
        play(true, 1, SCRATCH, false);
        CHECK_EQ(get(DATA + 5, 1), 0xa7);
        CHECK_EQ(reg[REG_RDI], DATA + 6);
}

static void test_repeat(void)
{
        begin("\xf3\x66\x6d", 3); /* REP INSW */
        put(DATA, "\0\0\0\0\0\0\0\0", 8);
        reg[REG_RDI] = DATA;
        reg[REG_RCX] = 3;
        play(true, 2, NOBODY, true);
        CHECK_EQ(get(DATA, 8), 0x0000ffffffffffffll);
        CHECK_EQ(reg[REG_RDI], DATA + 6);
        CHECK_EQ(reg[REG_RCX], 0);
        CHECK_EQ(fake.skips, 1);
        play(true, 2, NOBODY, true); /* with a count of 0: nothing */
        CHECK_EQ(reg[REG_RDI], DATA + 6);
        CHECK_EQ(fake.skips, 2);
}

static void test_backwards(void)
{
        begin("\xf3\x6d", 2); /* REP INSD */
        fake.state.rflags = DF;
        put(DATA, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
        reg[REG_RDI] = DATA + 8;
        reg[REG_RCX] = 2;
        play(true, 4, NOBODY, true);
        CHECK_EQ(reg[REG_RDI], DATA);
        CHECK_EQ(get(DATA, 8), 0xffffffff00000000ull);
        CHECK_EQ(get(DATA + 8, 4), 0xffffffff);
}

static void test_bound(void)
{
        begin("\xf3\x6c", 2);
        reg[REG_RDI] = DATA;
        reg[REG_RCX] = STRING_IO_BOUND + 7;
        play(true, 1, NOBODY, true);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(reg[REG_RCX], 7);
        CHECK_EQ(reg[REG_RDI], DATA + STRING_IO_BOUND);
        play(true, 1, NOBODY, true);
        CHECK_EQ(fake.skips, 1);
        CHECK_EQ(reg[REG_RCX], 0);
        fake.state.rflags = RFLAGS_TF;
        reg[REG_RCX] = 2;
        fake.skips = 0;
        play(true, 1, NOBODY, true);
        CHECK_EQ(reg[REG_RCX], 1);
        CHECK_EQ(fake.skips, 0);
}

/* A guest that powers itself off by OUTS: the elements behind that do not come. */
static void test_end_within(void)
{
        begin("\xf3\x6e", 2);
        put(DATA, "\x34\x34\x34", 3);
        reg[REG_RSI] = DATA;
        reg[REG_RCX] = 3;
        play(false, 1, PLATFORM_ACPI_PM_PORT, true);
        CHECK_EQ(vm.end, VM_POWERED_OFF);
        CHECK_EQ(reg[REG_RCX], 2);
}

static void test_address_sizes(void)
{
        begin("\xf3\x67\x6c", 3); /* DI and CX */
        reg[REG_RDI] = 0xabcd0000 | 0xffff;
        reg[REG_RCX] = 0x12340001;
        play(true, 1, NOBODY, true);
        CHECK_EQ(reg[REG_RDI], 0xabcd0000);
        CHECK_EQ(reg[REG_RCX], 0x12340000);
        begin_wide("\xf3\x67\x6c", 3); /* EDI and ECX: upper halves go */
        reg[REG_RDI] = 0xffffffff00000000ull | 0x100;
        reg[REG_RCX] = 0x100000001ull;
        play(true, 1, NOBODY, true);
        CHECK_EQ(fake.exceptions, 0);
        CHECK_EQ(reg[REG_RDI], 0x101);
        CHECK_EQ(reg[REG_RCX], 0);
        begin("\x6e", 1);
        segments(DATA_16 | 8, DATA_16); /* 16-bit code */
        reg[REG_RSI] = 0x7777ffff;
        fake.state.seg[SEG_DS].base = DATA;
        play(false, 1, SCRATCH, false);
        CHECK_EQ(reg[REG_RSI], 0x77770000);
        CHECK_EQ(fake.skips, 1);
}

static void test_segments(void)
{
        begin("\x6e", 1);
        fake.state.seg[SEG_DS] = (struct vcpu_segment){DATA, 0xf, 0, DATA_32};
        reg[REG_RSI] = 0xf;
        play(false, 1, SCRATCH, false);
        CHECK_EQ(fake.exceptions, 0);
        reg[REG_RSI] = 0x10;
        fake.skips = 0;
        play(false, 1, SCRATCH, false);
        expect_fault(VECTOR_GP);
        begin("\x36\x6f", 2); /* OUTSD from SS */
        fake.state.seg[SEG_SS].limit = 2;
        play(false, 4, SCRATCH, false);
        expect_fault(12);
        begin("\x6c", 1);
        fake.state.seg[SEG_ES].access = CODE_32;
        reg[REG_RDI] = DATA;
        play(true, 1, NOBODY, false);
        expect_fault(VECTOR_GP);
        begin("\x6c", 1);
        fake.state.seg[SEG_ES].access = 0; /* a null selector */
        play(true, 1, NOBODY, false);
        expect_fault(VECTOR_GP);
        begin("\x6c", 1);
        fake.state.seg[SEG_ES].access = DATA_32 | 4; /* expand-down: above the limit */
        fake.state.seg[SEG_ES].limit = DATA;
        reg[REG_RDI] = DATA + 1;
        play(true, 1, NOBODY, false);
        CHECK_EQ(fake.exceptions, 0);
        reg[REG_RDI] = DATA;
        fake.skips = 0;
        play(true, 1, NOBODY, false);
        expect_fault(VECTOR_GP);
}

static void test_wide_addresses(void)
{
        begin_wide("\x64\x6e", 2); /* from FS */
        put(DATA + 0x123, "\x5a", 1);
        fake.state.seg[SEG_FS].base = VA + 0x100;
        reg[REG_RSI] = 0x23;
        play(false, 1, SCRATCH, false);
        CHECK_EQ(bus_port_read(&vm.bus, SCRATCH, 1), 0x5a);
        begin_wide("\x6e", 1);
        reg[REG_RSI] = 0x8000000000000000ull;
        play(false, 1, SCRATCH, false);
        expect_fault(VECTOR_GP);
        begin_wide("\x36\x6e", 2); /* SS means nothing: DS, #GP */
        reg[REG_RSI] = 0x8000000000000000ull;
        play(false, 1, SCRATCH, false);
        expect_fault(VECTOR_GP);
}

static void test_page_border(void)
{
        begin_wide("\x6d", 1);
        map(1, (DATA + 0x3000) | P | W | U); /* the second page lies elsewhere */
        put(DATA + 0xffe, "\0\0", 2);
        put(DATA + 0x3000, "\0\0\0\0", 4);
        reg[REG_RDI] = VA + 0xffe;
        play(true, 4, NOBODY, false);
        CHECK_EQ(get(DATA + 0xffe, 2), 0xffff);
        CHECK_EQ(get(DATA + 0x3000, 4), 0xffff);
        CHECK_EQ(entry_of(0) & (A | D), A | D);
        CHECK_EQ(entry_of(1) & (A | D), A | D);
}

static void test_fault_in_the_middle(void)
{
        begin_wide("\xf3\x6f", 2); /* REP OUTSD */
        map(1, 0);
        fake.state.cpl = 3;
        reg[REG_RSI] = VA + 0xff6;
        reg[REG_RCX] = 10;
        play(false, 4, NOBODY, true);
        expect_fault(VECTOR_PF);
        CHECK_EQ(reg[REG_RCX], 8);
        CHECK_EQ(reg[REG_RSI], VA + 0xffe);
        CHECK_EQ(fake.state.cr2, VA + 0x1000);
        CHECK_EQ(fake.error, PAGING_FAULT_USER);
        CHECK_EQ(entry_of(0) & (A | D), A);
}

/* Each right that a page may lack, and the error code that tells it. */
static void test_page_rights(void)
{
        static const struct {
                uint64_t entry;
                uint8_t cpl;
                bool in;
                uint32_t cr4;
                uint64_t cr0;
                uint32_t error; /* 0: none */
        } cases[] = {
            {P | W | U, 3, true, 0, CR0_WP, 0},
            {P | U, 3, true, 0, CR0_WP, P | W | U},
            {P | U, 3, false, 0, CR0_WP, 0},
            {P | W, 3, false, 0, CR0_WP, P | U},
            {P | W, 2, true, 0, CR0_WP, 0},
            {P, 0, true, 0, CR0_WP, P | W},
            {P, 0, true, 0, 0, 0},
            {P | U, 3, true, 0, 0, P | W | U},
            {0, 0, true, 0, CR0_WP, W},
            {P | W | U, 0, false, 1u << 21, CR0_WP, P},
            {P | W | U, 3, false, 1u << 21, CR0_WP, 0},
            {P | W | 1ull << 63, 0, false, 0, CR0_WP, P | PAGING_FAULT_RESERVED},
        };

        for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                begin_wide(cases[i].in ? "\x6c" : "\x6e", 1);
                fake.state.cr0 = CR0_PE | CR0_PG | cases[i].cr0;
                fake.state.cr4 = CR4_PAE | cases[i].cr4;
                fake.state.cpl = cases[i].cpl;
                map(2, cases[i].entry ? (DATA + 0x2000) | cases[i].entry : 0);
                reg[REG_RDI] = reg[REG_RSI] = VA + 0x2000;
                play(cases[i].in, 1, NOBODY, false);
                CHECK_EQ(fake.exceptions, cases[i].error != 0);
                CHECK_EQ(fake.error, cases[i].error);
                CHECK_EQ(fake.skips, !cases[i].error);
        }
}

/* Nobody's address reads as ones, and a device gets what is meant for it. */
static void test_no_memory(void)
{
        begin("\x6e", 1);
        reg[REG_RSI] = 0x80000000;
        play(false, 1, SCRATCH, false);
        CHECK_EQ(bus_port_read(&vm.bus, SCRATCH, 1), 0xff);
        begin("\x6d", 1); /* INSD into IOREGSEL */
        reg[REG_RDI] = PLATFORM_IOAPIC_BASE;
        play(true, 4, NOBODY, false);
        CHECK_EQ(bus_mmio_read(&vm.bus, GPA(PLATFORM_IOAPIC_BASE), 4) & 0xff, 0xff);
        CHECK_EQ(fake.skips, 1);
}

/* What stands there now is not what made the exit: it is run again. */
static void test_changed_code(void)
{
        static const char *const codes[] = {"\x90", "\x6e", "\x6d", "\xf3\x6c"};

        for (unsigned i = 0; i < 4; i++) {
                begin(codes[i], 2);
                reg[REG_RDI] = DATA;
                play(true, 1, NOBODY, false);
                CHECK_EQ(fake.skips + fake.exceptions, 0);
                CHECK_EQ(reg[REG_RDI], DATA);
        }
}

int main(void)
{
        fake_vm_create(&vm);
        reg = vm.vcpu[0]->vcpu.regs;
        RUN(test_one_element);
        RUN(test_repeat);
        RUN(test_backwards);
        RUN(test_bound);
        RUN(test_end_within);
        RUN(test_address_sizes);
        RUN(test_segments);
        RUN(test_wide_addresses);
        RUN(test_page_border);
        RUN(test_fault_in_the_middle);
        RUN(test_page_rights);
        RUN(test_no_memory);
        RUN(test_changed_code);
        fake_vm_destroy(&vm);
        return unit_done();
}
