/*
 * Guests that try everything: random hypercalls, MSRs, ports and instructions on addresses without
 * memory. Whatever they do ends in an answer, an exception or the end of this VM; ASan and UBSan
 * watch, and answers are checked against what the interfaces say.
 */
#include "guest/exec/run.h"

#include "guest/abi.h"
#include "guest/dev/platform.h"
#include "guest/mem/decode.h"
#include "hv/lib/string.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define ROUNDS   100000u
#define RAM      (16 * MiB)
#define REGIONS  2u
#define CODE_GPA 0x5000u
#define JUNK     0x1122334455667788ull

static struct vm vm;
static uint64_t seed;

static uint64_t pick(uint64_t n)
{
        return unit_random(&seed) % n;
}

/* Mostly near the borders of what the VM has, where checks are off by one. */
static uint64_t random_gpa(void)
{
        static const uint64_t borders[] = {0, RAM, PAGE_4K, UINT64_MAX, 1ull << 63, 1ull << 40};

        return pick(4) ? borders[pick(ARRAY_LEN(borders))] + pick(257) - 128 : unit_random(&seed);
}

static void give_regions(void)
{
        static struct pool pool = {.simulated = true};
        static struct vm_machine machine;

        machine = *vm.machine;
        machine.pool = &pool;
        machine.domain = NFIT_DOMAIN_ADR;
        vm.machine = &machine;
        vm.regions = REGIONS;
        for (unsigned i = 0; i < REGIONS; i++) {
                struct layout_region *r = &vm.layout.region[i];

                memset(r->name, 'a' + (int)i, sizeof r->name - 1);
                r->gpa = GPA((i + 4) * GiB);
                r->size = (i + 1) * PAGE_2M;
                vm.region[i].is_volatile = true;
        }
}

static int64_t expected_region_answer(uint64_t index, uint64_t gpa)
{
        if (index >= REGIONS)
                return -PERMAFROST_ENOENT;
        if (gpa % 8 || gpa > RAM - sizeof(struct permafrost_region))
                return -PERMAFROST_EFAULT;
        return 0;
}

static void check_region(uint64_t index, uint64_t gpa)
{
        const struct layout_region *want = &vm.layout.region[index];
        struct permafrost_region got;

        CHECK_EQ(gmem_read(&vm.mem, GPA(gpa), &got, sizeof got), 0);
        CHECK(memcmp(got.name, want->name, sizeof got.name) == 0);
        CHECK_EQ(got.gpa, want->gpa.v);
        CHECK_EQ(got.size, want->size);
        CHECK_EQ(got.flags, PERMAFROST_REGION_SIMULATED | PERMAFROST_REGION_VOLATILE);
        CHECK_EQ(got.reserved, 0);
}

static int64_t hypercall(uint64_t number, uint64_t rdi, uint64_t rsi, uint8_t cpl)
{
        struct fake_step step = {.exit = {.kind = VM_EXIT_HYPERCALL},
                                 .cpl = cpl,
                                 .rax = number,
                                 .rcx = JUNK,
                                 .rdx = JUNK};

        vm.vcpu[0]->vcpu.regs[REG_RDI] = rdi;
        vm.vcpu[0]->vcpu.regs[REG_RSI] = rsi;
        vm.vcpu[0]->vcpu.regs[REG_RBX] = JUNK;
        CHECK_EQ(fake_play(&vm, &step, 1), VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 1);
        CHECK_EQ(fake.exceptions, 0);
        CHECK(fake.regs[REG_RDI] == rdi && fake.regs[REG_RSI] == rsi);
        CHECK(fake.regs[REG_RBX] == JUNK && fake.regs[REG_RCX] == JUNK &&
              fake.regs[REG_RDX] == JUNK);
        return (int64_t)fake.regs[REG_RAX];
}

static void test_hypercalls(void)
{
        for (unsigned i = 0; i < ROUNDS; i++) {
                uint64_t number = pick(8) ? PERMAFROST_HC_VERSION + pick(6) : unit_random(&seed);
                uint64_t index = pick(4) ? pick(REGIONS + 2) : unit_random(&seed);
                uint64_t gpa = random_gpa();
                uint8_t cpl = pick(8) ? 0 : (uint8_t)pick(4);
                int64_t answer = hypercall(number, index, gpa, cpl);

                if (cpl)
                        CHECK_EQ(answer, -PERMAFROST_EPERM);
                else if (number == PERMAFROST_HC_VERSION)
                        CHECK_EQ(answer, PERMAFROST_ABI_VERSION);
                else if (number == PERMAFROST_HC_REGIONS)
                        CHECK_EQ(answer, REGIONS);
                else if (number == PERMAFROST_HC_REGION)
                        CHECK_EQ(answer, expected_region_answer(index, gpa));
                else if (number == PERMAFROST_HC_DOMAIN)
                        CHECK_EQ(answer, PERMAFROST_DOMAIN_ADR);
                else if (number == PERMAFROST_HC_DRAIN)
                        CHECK_EQ(answer, 0);
                else
                        CHECK_EQ(answer, -PERMAFROST_ENOSYS);
                if (number == PERMAFROST_HC_REGION && answer == 0)
                        check_region(index, gpa);
        }
}

/* A refused region call writes nothing. */
static void test_refused_hypercall_leaves_memory(void)
{
        uint8_t before[PAGE_4K], after[PAGE_4K];
        gpa_t top = GPA(RAM - PAGE_4K);

        memset(before, 0x5a, sizeof before);
        CHECK_EQ(gmem_write(&vm.mem, top, before, sizeof before), 0);
        for (uint64_t gpa = top.v; gpa < RAM + 64; gpa++)
                if (gpa % 8 || gpa > RAM - sizeof(struct permafrost_region))
                        CHECK_EQ(hypercall(PERMAFROST_HC_REGION, 0, gpa, 0), -PERMAFROST_EFAULT);
        CHECK_EQ(hypercall(PERMAFROST_HC_REGION, 0, top.v, 3), -PERMAFROST_EPERM);
        CHECK_EQ(hypercall(PERMAFROST_HC_REGION, REGIONS, top.v, 0), -PERMAFROST_ENOENT);
        CHECK_EQ(gmem_read(&vm.mem, top, after, sizeof after), 0);
        CHECK(memcmp(before, after, sizeof before) == 0);
}

static uint32_t random_msr(void)
{
        static const uint32_t bases[] = {0x10, 0x800, 0x4b564d00, 0xc0000080, 0x1a0, 0x6e0, 0x1b};

        return pick(8) ? bases[pick(ARRAY_LEN(bases))] + (uint32_t)pick(64)
                       : (uint32_t)unit_random(&seed);
}

/* #GP and nothing changed, or stepped over: there is no third. */
static void test_msrs(void)
{
        for (unsigned i = 0; i < ROUNDS; i++) {
                bool write = pick(2);
                struct fake_step step = {
                    .exit = {.kind = write ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ},
                    .rax = pick(2) ? random_gpa() : pick(512),
                    .rcx = random_msr(),
                    .rdx = pick(2) ? 0 : unit_random(&seed)};

                fake.irqs_blocked = pick(2);
                CHECK_EQ(fake_play(&vm, &step, 1), VM_POWERED_OFF);
                CHECK_EQ(fake.skips + fake.exceptions, 1);
                CHECK(!fake.exceptions || fake.exception == VECTOR_GP);
                CHECK_EQ(fake.regs[REG_RCX], step.rcx);
                if (fake.exceptions || write)
                        CHECK(fake.regs[REG_RAX] == step.rax && fake.regs[REG_RDX] == step.rdx);
                else
                        CHECK(fake.regs[REG_RAX] >> 32 == 0 && fake.regs[REG_RDX] >> 32 == 0);
        }
        fake.irqs_blocked = false;
}

/* Every port in every size both ways; only the power ports end the run, and not with a crash. */
static void test_ports(void)
{
        for (uint64_t i = 0; i < 65536 * 3 * 2; i++) {
                struct fake_step step = {.exit = {.kind = VM_EXIT_IO,
                                                  .io = {.port = (uint16_t)(i / 6),
                                                         .size = (uint8_t)(1u << i / 2 % 3),
                                                         .in = i & 1}},
                                         .rax = unit_random(&seed)};
                uint64_t kept = step.exit.io.size == 4 ? 0 : ~0ull << 8 * step.exit.io.size;
                enum vm_end end = fake_play(&vm, &step, 1);

                CHECK(end == VM_POWERED_OFF || end == VM_REBOOTED);
                CHECK_EQ(fake.exceptions, 0);
                if (end == VM_POWERED_OFF && step.exit.io.in)
                        CHECK_EQ(fake.regs[REG_RAX] & kept, step.rax & kept);
                if (step.exit.io.in && step.exit.io.size == 4)
                        CHECK_EQ(fake.regs[REG_RAX] >> 32, 0);
        }
}

static void random_state(struct vcpu_state *s)
{
        memset(s, 0, sizeof *s);
        s->rip = pick(4) ? CODE_GPA + pick(PAGE_4K) : random_gpa();
        s->cr0 = CR0_PE;
        s->seg[SEG_CS].access = pick(4) ? 0xc09b : (uint16_t)unit_random(&seed);
        s->seg[SEG_CS].base = pick(8) ? 0 : unit_random(&seed);
        s->seg[SEG_CS].limit = pick(8) ? UINT32_MAX : (uint32_t)unit_random(&seed);
        if (pick(3) == 0) {
                s->cr0 |= CR0_PG;
                s->cr4 = unit_random(&seed);
                s->cr3 = random_gpa();
                s->efer = unit_random(&seed);
        }
}

/* An instruction that is not known is looked at anew some times, as another vCPU may change it. */
static enum vm_end play_until_settled(const struct fake_step *step)
{
        enum vm_end end = VM_POWERED_OFF;

        for (unsigned i = 0; i < 32 && end == VM_POWERED_OFF; i++) {
                end = fake_play(&vm, step, 1);
                if (fake.advanced || fake.exceptions)
                        break;
        }
        return end;
}

/* An instruction is carried out and stepped over, or it gets #UD; RAM is as before. */
static void test_instructions_without_memory(void)
{
        static const uint8_t moves[] = {0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1,
                                        0xa2, 0xa3, 0xc6, 0xc7, 0x66, 0x48};
        static const uint64_t places[] = {PLATFORM_IOAPIC_BASE, PLATFORM_LAPIC_BASE, RAM,
                                          PLATFORM_IOAPIC_BASE + 0x10, 1ull << 45};
        uint8_t code[PAGE_4K], after[PAGE_4K];
        unsigned carried_out = 0;

        for (unsigned i = 0; i < ROUNDS; i++) {
                struct fake_step step = {.exit = {.kind = VM_EXIT_MEMORY}};

                for (unsigned k = 0; k < 64; k++)
                        code[k] = pick(2) ? moves[pick(sizeof moves)] : (uint8_t)pick(256);
                memset(code + 64, code[0], sizeof code - 64);
                CHECK_EQ(gmem_write(&vm.mem, GPA(CODE_GPA), code, sizeof code), 0);
                random_state(&fake.state);
                step.exit.memory = (struct vm_exit_memory){
                    .gpa = GPA(places[pick(ARRAY_LEN(places))] + pick(32)), .write = pick(2)};
                CHECK_EQ(play_until_settled(&step), VM_POWERED_OFF);
                CHECK_EQ(fake.exceptions, fake.advanced == 0);
                CHECK(!fake.exceptions || fake.exception == VECTOR_UD);
                CHECK(fake.advanced <= INSTRUCTION_MAX);
                CHECK_EQ(gmem_read(&vm.mem, GPA(CODE_GPA), after, sizeof after), 0);
                CHECK(memcmp(code, after, sizeof code) == 0);
                carried_out += !fake.exceptions;
        }
        CHECK(carried_out > ROUNDS / 100); /* else nothing was tried */
}

int main(void)
{
        seed = unit_seed();
        fake_vm_create(&vm);
        give_regions();
        RUN(test_hypercalls);
        RUN(test_refused_hypercall_leaves_memory);
        RUN(test_msrs);
        RUN(test_ports);
        RUN(test_instructions_without_memory);
        vm.regions = 0; /* they are not the pool's */
        fake_vm_destroy(&vm);
        return unit_done();
}
