/* MMIO emulation: fetching a guest's instruction through its own page tables, and carrying it out.
 */
#include "guest/exec/emulate.h"

#include "guest/dev/platform.h"
#include "hv/lib/errno.h"
#include "hv/lib/string.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define ACCESS_32    0xc09b
#define ACCESS_64    0xa09b
#define ACCESS_16    0x009b
#define IOREGSEL     PLATFORM_IOAPIC_BASE
#define IOWIN        (PLATFORM_IOAPIC_BASE + 0x10)
#define JUNK         0x1122334455667788ull
#define RAM          (16 * MiB)
#define PAGE_TABLES  0x100000u
#define PTE_PRESENT  1u
#define CODE_VA      0xffffffff81000ffaull /* its last bytes lie in the next page */
#define CODE_FRAME   0x300000u
#define CODE_FRAME_2 0x500000u

static struct vm vm;

static void put(uint64_t gpa, const void *bytes, size_t n)
{
        CHECK_EQ(gmem_write(&vm.mem, GPA(gpa), bytes, n), 0);
}

static void put_entry(uint64_t table, unsigned index, uint64_t entry)
{
        put(table + 8ull * index, &entry, 8);
}

/* Protected mode without paging, code at an address; the accesses are by EBX. */
static void flat(uint64_t rip, const char *code, size_t n)
{
        memset(&fake.state, 0, sizeof fake.state);
        fake.advanced = 0;
        fake.state.cr0 = CR0_PE;
        fake.state.rip = rip;
        fake.state.seg[SEG_CS] = (struct vcpu_segment){.limit = UINT32_MAX, .access = ACCESS_32};
        put(rip, code, n);
}

static int access_at(uint64_t gpa, bool write)
{
        return mmio_access(vm.vcpu[0], &(struct vm_exit_memory){.gpa = GPA(gpa), .write = write});
}

static void write_register(uint32_t index, uint32_t value)
{
        vm.vcpu[0]->vcpu.regs[REG_RAX] = index;
        flat(0x1000, "\x89\x03", 2); /* mov [ebx], eax */
        CHECK_EQ(access_at(IOREGSEL, true), 0);
        CHECK_EQ(fake.advanced, 2);
        flat(0x1000, "\x89\x0b", 2); /* mov [ebx], ecx */
        vm.vcpu[0]->vcpu.regs[REG_RCX] = value;
        CHECK_EQ(access_at(IOWIN, true), 0);
}

static uint64_t read_register(uint32_t index)
{
        flat(0x1000, "\x89\x03", 2);
        vm.vcpu[0]->vcpu.regs[REG_RAX] = index;
        CHECK_EQ(access_at(IOREGSEL, true), 0);
        flat(0x1000, "\x8b\x13", 2); /* mov edx, [ebx] */
        vm.vcpu[0]->vcpu.regs[REG_RDX] = JUNK;
        CHECK_EQ(access_at(IOWIN, false), 0);
        return vm.vcpu[0]->vcpu.regs[REG_RDX];
}

static void test_device_registers(void)
{
        write_register(0x10, 0x10041);
        CHECK_EQ(read_register(0x10), 0x10041);
        write_register(0x10, 0x10042);
        CHECK_EQ(read_register(0x10), 0x10042);
}

static void test_nobody_there(void)
{
        flat(0x1000, "\x8b\x13", 2);
        vm.vcpu[0]->vcpu.regs[REG_RDX] = 0;
        CHECK_EQ(access_at(RAM, false), 0);
        CHECK_EQ(vm.vcpu[0]->vcpu.regs[REG_RDX], 0xffffffff);
        flat(0x1000, "\x88\x13", 2); /* mov [ebx], dl */
        CHECK_EQ(access_at(1 * TiB, true), 0);
        CHECK_EQ(fake.advanced, 2);
}

static void test_refusals_change_nothing(void)
{
        vm.vcpu[0]->vcpu.regs[REG_RDX] = JUNK;
        flat(0x1000, "\x8b\x13", 2);
        CHECK_EQ(access_at(IOWIN, true), -EINVAL); /* the exit was a write, this is a read */
        flat(0x1000, "\x01\x13", 2);               /* add [ebx], edx */
        CHECK_EQ(access_at(IOWIN, true), -ENOTSUP);
        flat(0x1000, "\x8b\x13", 2);
        fake.state.seg[SEG_CS].access = ACCESS_16;
        CHECK_EQ(access_at(IOWIN, false), -ENOTSUP);
        CHECK_EQ(vm.vcpu[0]->vcpu.regs[REG_RDX], JUNK);
        CHECK_EQ(fake.advanced, 0);
}

/* Code that ends with the VM's memory: what is there counts, what is not is not looked at. */
static void test_code_at_the_end_of_memory(void)
{
        flat(RAM - 2, "\x8b\x13", 2);
        CHECK_EQ(access_at(IOWIN, false), 0);
        flat(RAM - 1, "\x8b", 1);
        CHECK(access_at(IOWIN, false) < 0);
        fake.state.rip = RAM;
        CHECK(access_at(IOWIN, false) < 0);
        fake.state.rip = 1 * TiB;
        CHECK(access_at(IOWIN, false) < 0);
}

/* Outside 64-bit code the code segment's base counts. */
static void test_segment_base(void)
{
        flat(0x1000, "\x90\x90", 2);
        put(0x3000, "\x8b\x13", 2);
        fake.state.seg[SEG_CS].base = 0x2000;
        vm.vcpu[0]->vcpu.regs[REG_RDX] = JUNK;
        CHECK_EQ(access_at(RAM, false), 0);
        CHECK_EQ(vm.vcpu[0]->vcpu.regs[REG_RDX], 0xffffffff);
}

/* What lies beyond the code segment's limit is not fetched. */
static void test_segment_limit(void)
{
        flat(0x1000, "\x8b\x13", 2);
        fake.state.seg[SEG_CS].limit = 0x1001;
        CHECK_EQ(access_at(RAM, false), 0);
        CHECK_EQ(fake.advanced, 2);
        fake.state.seg[SEG_CS].limit = 0x1000;
        CHECK_EQ(access_at(RAM, false), -EINVAL);
        fake.state.seg[SEG_CS].limit = 0xfff;
        CHECK_EQ(access_at(RAM, false), -EINVAL);
        CHECK_EQ(fake.advanced, 2);
}

/* In compatibility mode linear addresses go on at 0 behind 4 GiB. */
static void test_wrap_at_4_gib(void)
{
        static const uint8_t code[] = {0xc7, 0x03, 0x41, 0, 1, 0};
        static const struct {
                unsigned table, index, next;
        } entries[] = {{0, 0, 1}, {1, 3, 2}, {2, 511, 3}, {1, 0, 4}, {4, 0, 5}};

        for (size_t i = 0; i < ARRAY_LEN(entries); i++)
                put_entry(PAGE_TABLES + entries[i].table * PAGE_4K, entries[i].index,
                          (PAGE_TABLES + entries[i].next * PAGE_4K) | PTE_PRESENT);
        put_entry(PAGE_TABLES + 3 * PAGE_4K, 511, CODE_FRAME | PTE_PRESENT);
        put_entry(PAGE_TABLES + 5 * PAGE_4K, 0, CODE_FRAME_2 | PTE_PRESENT);
        put(CODE_FRAME + PAGE_4K - 2, code, 2);
        put(CODE_FRAME_2, code + 2, sizeof code - 2);
        fake.advanced = 0;
        fake.state = (struct vcpu_state){.rip = 0xffffeffe,
                                         .cr0 = CR0_PE | CR0_PG,
                                         .cr3 = PAGE_TABLES,
                                         .cr4 = CR4_PAE,
                                         .efer = EFER_LME | EFER_LMA};
        fake.state.seg[SEG_CS] =
            (struct vcpu_segment){.base = 0x1000, .limit = UINT32_MAX, .access = ACCESS_32};
        CHECK_EQ(access_at(RAM, true), 0); /* mov dword [rbx], 10041h */
        CHECK_EQ(fake.advanced, sizeof code);
}

/* 64-bit code over two pages that are not neighbours, by the guest's own tables. */
static void test_paged_code_over_two_pages(void)
{
        const unsigned pml4e = 511, pdpte = 510, pde = 8, pte = 0;
        static const uint8_t code[] = {0x48, 0xc7, 0x83, 0, 0, 0, 0, 0x41, 0, 1, 0};

        for (unsigned level = 0; level < 3; level++) {
                static const unsigned index[] = {511, 510, 8};

                put_entry(PAGE_TABLES + level * PAGE_4K, index[level],
                          (PAGE_TABLES + (level + 1) * PAGE_4K) | PTE_PRESENT);
        }
        CHECK_EQ(CODE_VA >> 39 & 511, pml4e);
        CHECK_EQ(CODE_VA >> 30 & 511, pdpte);
        CHECK_EQ(CODE_VA >> 21 & 511, pde);
        CHECK_EQ(CODE_VA >> 12 & 511, pte);
        put_entry(PAGE_TABLES + 3 * PAGE_4K, pte, CODE_FRAME | PTE_PRESENT);
        put_entry(PAGE_TABLES + 3 * PAGE_4K, pte + 1, CODE_FRAME_2 | PTE_PRESENT);
        put(CODE_FRAME + CODE_VA % PAGE_4K, code, 6);
        put(CODE_FRAME_2, code + 6, sizeof code - 6);
        fake.advanced = 0;
        fake.state = (struct vcpu_state){.rip = CODE_VA,
                                         .cr0 = CR0_PE | CR0_PG,
                                         .cr3 = PAGE_TABLES,
                                         .cr4 = CR4_PAE,
                                         .efer = EFER_LME | EFER_LMA};
        fake.state.seg[SEG_CS].access = ACCESS_64;
        CHECK_EQ(access_at(RAM, true), 0); /* mov qword [rbx], 10041h */
        CHECK_EQ(fake.advanced, sizeof code);
        put_entry(PAGE_TABLES + 3 * PAGE_4K, pte + 1, 0);
        CHECK(access_at(RAM, true) < 0);
        put_entry(PAGE_TABLES + 3 * PAGE_4K, pte, (1 * TiB) | PTE_PRESENT);
        CHECK(access_at(RAM, true) < 0);
        fake.state.cr3 = 1 * TiB;
        CHECK(access_at(RAM, true) < 0);
        CHECK_EQ(fake.advanced, sizeof code);
}

int main(void)
{
        fake_vm_create(&vm);
        RUN(test_device_registers);
        RUN(test_nobody_there);
        RUN(test_refusals_change_nothing);
        RUN(test_code_at_the_end_of_memory);
        RUN(test_segment_base);
        RUN(test_segment_limit);
        RUN(test_wrap_at_4_gib);
        RUN(test_paged_code_over_two_pages);
        fake_vm_destroy(&vm);
        return unit_done();
}
