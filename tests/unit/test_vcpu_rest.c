/*
 * Rest and wake of a VM's two vCPUs on the scripted backend: when nothing can wake the VM any more,
 * and what another CPU does while a vCPU looks whether it can rest: after each of its instructions.
 */
#include "guest/exec/vcpu_rest.h"

#include <signal.h>
#include <ucontext.h>

#include "guest/exec/damage.h"
#include "guest/exec/run.h"
#include "hv/trap/mce_decode.h"
#include "tests/unit/run_steps.h"

#define RFLAGS_INDEX 17 /* in gregs, as sys/ucontext.h has it */

static struct vm first; /* only makes the machine */

/* What happens on another CPU, after so many instructions of this one since the last. */
struct event {
        unsigned after;
        void (*happens)(void); /* NULL: the end of a list */
};

static struct event *volatile next;

static void step(int sig, siginfo_t *info, void *context)
{
        greg_t *rflags = &((ucontext_t *)context)->uc_mcontext.gregs[RFLAGS_INDEX];

        (void)sig;
        (void)info;
        if (next->happens && next->after)
                next->after--;
        else if (next->happens && !vm.devices.held)
                (next++)->happens();
        if (next->happens)
                *rflags |= RFLAGS_TF;
        else
                *rflags &= ~(greg_t)RFLAGS_TF;
}

/* A vCPU looks whether it goes on, with that; false: the look has fewer instructions. */
static bool look_stepped(unsigned id, struct event *events)
{
        static struct event none;
        const struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
        bool all;

        sigaction(SIGTRAP, &action, NULL);
        next = events;
        raise(SIGTRAP);
        (void)vcpu_is_awake(vm.vcpu[id]);
        all = !next->happens;
        next = &none;
        return all;
}

static void begin(void)
{
        static struct vm_config config;

        fake_vm_create(&first);
        config = *fake_vm_config();
        config.vcpus = 2;
        CHECK_EQ(vm_create(&vm, &config, fake_vm_machine()), 0);
        fake.state.rflags = RFLAGS_FIXED;
}

static void end(void)
{
        vm_destroy(&vm);
        fake_vm_destroy(&first);
}

static void post(unsigned id, enum apic_mode mode)
{
        const struct apic_message m = {.dest = id, .mode = (uint8_t)mode};

        vcpu_post(&vm, NULL, &m);
}

/* One more exit of a vCPU, if it is entered; then it powers off. */
static enum vcpu_leave exit_of(unsigned id, enum vm_exit_kind kind)
{
        struct fake_step step = plain(kind);

        fake_load(&step, 1);
        return vcpu_run(vm.vcpu[id], 0);
}

/* The one that was never started cannot wake the one that boots. */
static void test_halted(void)
{
        begin();
        CHECK_EQ(exit_of(0, VM_EXIT_HALT), VCPU_STOPPED);
        CHECK_EQ(vm.end, VM_HALTED);
        end();
}

/* A start-up on its way does, and ends what it finds. */
static void test_started_by_the_last_one_awake(void)
{
        begin();
        post(1, APIC_STARTUP);
        CHECK_EQ(exit_of(0, VM_EXIT_HALT), VCPU_BLOCKED);
        CHECK_EQ(exit_of(1, VM_EXIT_HALT), VCPU_STOPPED);
        CHECK_EQ(fake.skips, 1); /* it ran */
        CHECK_EQ(vm.end, VM_HALTED);
        end();
}

/* An NMI as well, though interrupts are off. */
static void test_roused_by_nmi(void)
{
        begin();
        post(1, APIC_STARTUP);
        CHECK_EQ(exit_of(0, VM_EXIT_HALT), VCPU_BLOCKED);
        post(0, APIC_NMI);
        CHECK_EQ(exit_of(1, VM_EXIT_HALT), VCPU_BLOCKED);
        CHECK_EQ(exit_of(0, VM_EXIT_HALT), VCPU_STOPPED);
        CHECK_EQ(vm.end, VM_HALTED);
        end();
}

/* INIT for the last one awake: then nobody is. */
static void test_init_of_the_last_one_awake(void)
{
        begin();
        post(1, APIC_STARTUP);
        CHECK_EQ(exit_of(1, VM_EXIT_CACHE), VCPU_STOPPED); /* powered off behind it */
        vm.end = VM_RUNNING;
        post(1, APIC_INIT);
        CHECK_EQ(exit_of(0, VM_EXIT_HALT), VCPU_BLOCKED);
        CHECK_EQ(exit_of(1, VM_EXIT_CACHE), VCPU_STOPPED);
        CHECK_EQ(fake.skips, 0); /* it did not run */
        CHECK_EQ(vm.end, VM_HALTED);
        end();
}

/* INIT for the one that boots: the VM reboots, and its guest is not entered again. */
static void test_init_of_the_first(void)
{
        begin();
        post(0, APIC_INIT);
        CHECK_EQ(exit_of(0, VM_EXIT_CACHE), VCPU_STOPPED);
        CHECK_EQ(fake.skips, 0);
        CHECK_EQ(vm.end, VM_REBOOTED);
        end();
}

static void send_nmi(void)
{
        post(0, APIC_NMI);
}

static void halt_sender(void)
{
        (void)exit_of(1, VM_EXIT_HALT);
}

/* The last one awake sends an NMI to one that looks, and rests: the VM lives. */
static bool send_and_halt(unsigned sent, unsigned gap)
{
        struct event events[] = {{sent, send_nmi}, {gap, halt_sender}, {0, NULL}};
        bool met;

        vm.end = VM_RUNNING;
        vm.vcpu[0]->activity = VCPU_DEAF;
        vm.vcpu[0]->deaf = true;
        vm.vcpu[1]->activity = VCPU_RUNS;
        vm.vcpu[1]->deaf = false;
        met = look_stepped(0, events);
        CHECK(vm.end != VM_HALTED);
        (void)exit_of(0, VM_EXIT_CACHE); /* with what it has not seen yet */
        CHECK_EQ(vm.end, VM_POWERED_OFF);
        return met;
}

static void test_nmi_of_the_last_one_awake(void)
{
        begin();
        for (unsigned gap = 16; gap < 1000; gap *= 4)
                for (unsigned sent = 0; send_and_halt(sent, gap); sent++)
                        ;
        end();
}

/* As vms_tell_damage. */
static void tell_damage(void)
{
        mca_add(&vm.mca, GPA(0x1000));
        posted_nudge(&vm.vcpu[0]->posted);
}

static void test_damage_at_rest(void)
{
        struct vm_vcpu *v;

        begin();
        v = vm.vcpu[0];
        vm.mca.ctl = 1;
        fake.state.rflags = RFLAGS_FIXED | RFLAGS_IF;
        fake.state.cr4 = CR4_MCE;
        for (unsigned count = 0;; count++) {
                struct event events[] = {{count, tell_damage}, {0, NULL}};

                vm.end = VM_RUNNING;
                vm.mca.mcg_status = vm.mca.status = vm.mca.waiting = 0;
                v->activity = VCPU_HALTED;
                v->posted.any = false;
                if (!look_stepped(0, events))
                        break;
                CHECK(v->activity == VCPU_RUNS || vcpu_has_news(v));
        }
        end();
}

int main(void)
{
        RUN(test_halted);
        RUN(test_started_by_the_last_one_awake);
        RUN(test_roused_by_nmi);
        RUN(test_init_of_the_last_one_awake);
        RUN(test_init_of_the_first);
        RUN(test_nmi_of_the_last_one_awake);
        RUN(test_damage_at_rest);
        return unit_done();
}
