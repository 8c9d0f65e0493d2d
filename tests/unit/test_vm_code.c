/* What a guest may execute where the size of a page that is executed must not change. */
#include "guest/vm/vm_code.h"

#include <errno.h>

#include "guest/exec/run.h"
#include "hv/lib/work.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define CODE (4 * MiB + 3 * PAGE_4K)

static struct vm first, vm; /* the first only makes the machine */
static struct vm_machine machine;
static struct vm_vcpu *v;

static void begin(bool small_code)
{
        fake_vm_create(&first);
        machine = *fake_vm_machine();
        machine.small_code = small_code;
        CHECK_EQ(vm_create(&vm, fake_vm_config(), &machine), 0);
        v = vm.vcpu[0];
        __atomic_store_n(machine.attention, false, __ATOMIC_SEQ_CST);
}

static void end(void)
{
        vm_destroy(&vm);
        fake_vm_destroy(&first);
}

static struct paging_leaf leaf_at(uint64_t gpa)
{
        struct paging_leaf leaf = {.size = 0};

        CHECK_EQ(paging_walk(&vm.second_level, gpa, &leaf), 0);
        return leaf;
}

static struct fake_step fetch(uint64_t gpa)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_MEMORY, .memory = {.gpa = GPA(gpa), .fetch = true}}};
}

static void test_other_cpus(void)
{
        begin(false);
        CHECK_EQ(leaf_at(CODE).prot, PAGING_RWX);
        CHECK(!vm_code_fault(v, GPA(CODE)));
        CHECK(!vm_code_waits(v));
        end();
}

static void test_a_page_opens(void)
{
        begin(true);
        CHECK_EQ(leaf_at(CODE).prot, PAGING_RW);
        CHECK_EQ(leaf_at(CODE).size, PAGE_2M);
        CHECK(vm_code_fault(v, GPA(CODE + 5)));
        CHECK(vm_code_waits(v));
        CHECK_EQ(leaf_at(CODE).prot, PAGING_RW);
        vm_code_serve(&vm);
        CHECK(!vm_code_waits(v));
        for (uint64_t at = 4 * MiB; at < 6 * MiB; at += PAGE_4K) {
                CHECK_EQ(leaf_at(at).prot, PAGING_RWX);
                CHECK_EQ(leaf_at(at).size, PAGE_4K);
        }
        CHECK_EQ(leaf_at(2 * MiB).prot, PAGING_RW);
        CHECK_EQ(leaf_at(6 * MiB).size, PAGE_2M);
        /* another vCPU that had the same in mind */
        CHECK(vm_code_fault(v, GPA(CODE + PAGE_4K)));
        CHECK(!vm_code_waits(v));
        v->code = (4 * MiB) | 1;
        vm_code_serve(&vm);
        CHECK(!vm_code_waits(v));
        CHECK_EQ(vm.end, VM_RUNNING);
        CHECK_EQ(leaf_at(CODE).prot, PAGING_RWX);
        end();
}

static void test_nothing_there(void)
{
        begin(true);
        CHECK(!vm_code_fault(v, GPA(1ull << 39)));
        CHECK(!vm_code_waits(v));
        end();
}

static void test_no_memory(void)
{
        begin(true);
        CHECK(vm_code_fault(v, GPA(CODE)));
        dram_fail_after(machine.dram, 1);
        vm_code_serve(&vm);
        CHECK_EQ(dram_fail_after(machine.dram, 0), 0);
        CHECK_EQ(vm.end, VM_CRASHED);
        CHECK(!vm_code_waits(v));
        CHECK_EQ(leaf_at(CODE).prot, PAGING_RW);
        end();
}

/* The vCPU does not run while it waits, and CPU 0 is told; then the guest executes. */
static void test_the_run_waits(void)
{
        struct fake_step steps[] = {fetch(CODE), {.exit = {.kind = VM_EXIT_CPUID}}};

        begin(true);
        fake_load(steps, 2);
        CHECK_EQ(vcpu_run(v, 0), VCPU_READY);
        CHECK(*machine.attention);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(vcpu_run(v, 0), VCPU_READY);
        CHECK_EQ(fake.skips, 0);
        vm_code_serve(&vm);
        CHECK_EQ(vcpu_run(v, 0), VCPU_STOPPED);
        CHECK_EQ(vm.end, VM_POWERED_OFF);
        CHECK_EQ(fake.skips, 1);
        end();
}

static unsigned steps;

static void count_step(void)
{
        steps++;
}

/* Who waits does not wait until another VM is built: a step each 2 MiB at least. */
static void test_served_while_another_is_built(void)
{
        begin(true);
        vm_destroy(&vm);
        work_hook = count_step;
        CHECK_EQ(vm_create(&vm, fake_vm_config(), &machine), 0);
        work_hook = NULL;
        CHECK(steps >= fake_vm_config()->mem / (2 * MiB));
        end();
}

int main(void)
{
        RUN(test_other_cpus);
        RUN(test_a_page_opens);
        RUN(test_nothing_there);
        RUN(test_no_memory);
        RUN(test_the_run_waits);
        RUN(test_served_while_another_is_built);
        return unit_done();
}
