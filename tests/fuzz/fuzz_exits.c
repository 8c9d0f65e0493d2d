/*
 * A guest that tries everything (guest/exec/run.c, emulate.c, msr.c, hypercall.c, kvmclock.c): the
 * input is the state of its CPU, a page of code, and a sequence of exits with the registers of
 * each. The guest's memory as the hypervisor sees it is one small block, so that ASan sees all
 * else.
 */
#include "guest/abi.h"
#include "guest/dev/platform.h"
#include "guest/exec/run.h"
#include "guest/mem/decode.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_virt.h"

#define RAM       (32 * KiB)
#define CODE_GPA  0x1000u
#define CODE_SIZE 64u
#define STEPS     64u

static struct vm vm, made; /* made: as every input finds it */
static struct vm_vcpu made_vcpu;
static uint8_t *ram;

static void make_vm(void)
{
        static struct pool pool = {.simulated = true};
        static struct vm_machine machine;

        fake_vm_create(&vm);
        ram = fuzz_alloc(RAM);
        vm.mem.count = 0;
        DEMAND(!gmem_add(&vm.mem, GPA(0), RAM, ram));
        machine = *vm.machine;
        machine.pool = &pool;
        vm.machine = &machine;
        vm.regions = 1;
        vm.layout.region[0] =
            (struct layout_region){.name = "region", .gpa = GPA(4 * GiB), .size = PAGE_2M};
        made = vm;
        made_vcpu = *vm.vcpu[0];
}

/* An address: in the memory, at a device, or any. */
static uint64_t take_gpa(struct fuzz_input *in)
{
        static const uint64_t place[] = {0, RAM, PLATFORM_IOAPIC_BASE, PLATFORM_LAPIC_BASE};
        uint64_t raw = fuzz_take(in, 2);

        if ((raw & 0xf000) == 0xf000)
                return fuzz_take(in, 8);
        return place[raw >> 14] + (raw & 0x3fff) - 64;
}

static uint32_t take_msr(struct fuzz_input *in)
{
        static const uint32_t base[] = {0x10,       0x800, 0x4b564d00, 0xc0000080,
                                        0xc0000100, 0x6e0, 0x1b,       0x1a0};
        uint64_t raw = fuzz_take(in, 1);

        return raw == 0xff ? (uint32_t)fuzz_take(in, 4) : base[raw >> 5] + (uint32_t)(raw & 31);
}

static struct fake_step take_step(struct fuzz_input *in)
{
        struct fake_step step = {.rax = fuzz_take(in, 4), .rdx = fuzz_take(in, 2)};
        unsigned what = (unsigned)fuzz_take(in, 2);

        /* the last kinds are the backend's own business, or an end */
        step.exit.kind = (enum vm_exit_kind)((what & 31) % VM_EXIT_ENTRY_FAILED);
        step.cpl = what >> 8 & 3;
        switch (step.exit.kind) {
        case VM_EXIT_IO:
                step.exit.io = (struct vm_exit_io){.port = (uint16_t)fuzz_take(in, 2),
                                                   .size = (uint8_t)(1u << (what >> 8) % 3),
                                                   .in = what >> 10 & 1,
                                                   .string = (what >> 11 & 7) == 7,
                                                   .rep = what >> 14 & 1};
                break;
        case VM_EXIT_MEMORY:
                step.exit.memory = (struct vm_exit_memory){.gpa = GPA(take_gpa(in)),
                                                           .write = what >> 8 & 1,
                                                           .fetch = (what >> 9 & 7) == 7,
                                                           .implicit = (what >> 12 & 15) == 15};
                break;
        case VM_EXIT_CR8:
                step.exit.cr8 = (struct vm_exit_cr8){what >> 8 & 15, what >> 12 & 1};
                break;
        case VM_EXIT_MSR_READ:
        case VM_EXIT_MSR_WRITE:
                step.rcx = take_msr(in);
                break;
        default:
                step.rcx = fuzz_take(in, 1);
        }
        return step;
}

static void take_state(struct fuzz_input *in)
{
        unsigned what = (unsigned)fuzz_take(in, 1);
        struct vcpu_state *s = &fake.state;

        memset(s, 0, sizeof *s);
        s->rip = CODE_GPA + fuzz_take(in, 1);
        s->cr0 = CR0_PE | (what & 1 ? CR0_PG : 0);
        s->seg[SEG_CS].limit = UINT32_MAX;
        s->seg[SEG_CS].access = what & 2 ? 0xa09b : what & 4 ? 0xc09b : (uint16_t)fuzz_take(in, 2);
        if (what & 1) {
                s->cr3 = take_gpa(in);
                s->cr4 = fuzz_take(in, 2);
                s->efer = fuzz_take(in, 2);
        }
        fake.irqs_blocked = what & 8;
        s->cpl = what >> 4 & 3;
        for (unsigned i = 0; i < SEG_COUNT && what & 64; i++)
                if (i != SEG_CS)
                        s->seg[i] = (struct vcpu_segment){
                            .base = take_gpa(in), .limit = UINT32_MAX, .access = 0xc093};
        vm.vcpu[0]->vcpu.regs[REG_RDI] = what & 128 ? take_gpa(in) : fuzz_take(in, 1);
        vm.vcpu[0]->vcpu.regs[REG_RSI] = take_gpa(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct fuzz_input in = {data, size};
        struct fake_step step[STEPS];
        unsigned steps = 0;
        enum vm_end end;

        if (!ram)
                make_vm();
        vm = made;
        *vm.vcpu[0] = made_vcpu;
        memset(ram, 0, RAM);
        take_state(&in);
        for (unsigned i = 0; i < CODE_SIZE; i += 8)
                memcpy(ram + CODE_GPA + i, &(uint64_t){fuzz_take(&in, 8)}, 8);
        while (in.left && steps < STEPS)
                step[steps++] = take_step(&in);
        end = fake_play(&vm, step, steps);
        DEMAND(end == VM_POWERED_OFF || end == VM_REBOOTED || end == VM_HALTED ||
               end == VM_CRASHED);
        DEMAND(!fake.exceptions || fake.exception == VECTOR_GP || fake.exception == VECTOR_UD ||
               fake.exception == VECTOR_PF);
        DEMAND(fake.advanced <= steps * INSTRUCTION_MAX);
        DEMAND(!fake.irqs || fake.irq >= 16);
        return 0;
}
