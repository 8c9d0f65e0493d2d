/*
 * The loop of a CPU: what comes between its last look and its rest, and long work of CPU 0. The
 * test is CPU 0; its privileged instructions are played by a signal handler, and what would come
 * from another CPU comes where the loop calls out.
 */
#include "guest/life/cpus.h"

#include <asm/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "drivers/lapic.h"
#include "guest/vm/vcpu.h"
#include "guest/vm/vm.h"
#include "hv/cpu.h"
#include "hv/lib/work.h"
#include "hv/percpu.h"
#include "hv/trap/alarm.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define TSC_KHZ 1000000u

#define CLI 0xfa
#define STI 0xfb
#define HLT 0xf4
#define RIP 16 /* in gregs, as sys/ucontext.h has it by a name that the hypervisor also uses */

struct cpu cpus[CPUS_MAX];
unsigned cpu_count = 2;

static struct vm first, vm; /* the first only makes the machine */
static struct vm_machine machine;
static bool self_ipi; /* an interrupt waits for this CPU */
static bool nmi_on_kick;
static unsigned kicks_of[CPUS_MAX], rests, rests_without_end, amid;
static bool work_in_rest;

void alarm_set(uint64_t tsc)
{
        (void)tsc;
}

void mitigate_switch(void)
{
}

/* As hv/trap/trap.c. */
static void take_nmi(void)
{
        cpus[0].kicked = true;
        if (cpus[0].resting)
                self_ipi = true;
}

void lapic_send_nmi(uint32_t apic_id)
{
        kicks_of[apic_id]++;
        if (nmi_on_kick)
                take_nmi();
}

void lapic_send(uint32_t apic_id, uint8_t vector)
{
        (void)vector;
        lapic_send_nmi(apic_id);
}

static void play(int sig, siginfo_t *info, void *context)
{
        greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[RIP];
        const uint8_t *code = (const uint8_t *)*rip;

        (void)info;
        if (*code != CLI && *code != STI && *code != HLT) {
                signal(sig, SIG_DFL);
                return;
        }
        if (*code == HLT) {
                rests++;
                rests_without_end += !self_ipi;
        }
        if (*code != STI) /* which lets none in before the next instruction */
                self_ipi = false;
        (*rip)++;
}

static bool service(void)
{
        return false;
}

static bool at_rest(uint64_t until)
{
        (void)until;
        for (int i = 0; work_in_rest && i < 1000; i++)
                work_step();
        return work_in_rest;
}

static void amid_work(void)
{
        amid++;
}

static void let_time_pass(void)
{
        uint64_t end = cpu_rdtsc() + 20 * (uint64_t)TSC_KHZ;

        while (cpu_rdtsc() < end)
                ;
}

static void begin(void)
{
        static const struct cpus_hooks hooks = {service, at_rest, amid_work};
        struct sigaction action = {.sa_sigaction = play, .sa_flags = SA_SIGINFO | SA_NODEFER};

        sigaction(SIGSEGV, &action, NULL);
        for (unsigned i = 0; i < CPUS_MAX; i++)
                cpus[i] = (struct cpu){.self = &cpus[i], .index = i, .apic_id = i};
        syscall(SYS_arch_prctl, ARCH_SET_GS, &cpus[0]);
        fake_vm_create(&first);
        cpus_init(TSC_KHZ, &hooks);
        virt_caps.kick_by_nmi = true;
        machine = *fake_vm_machine();
        machine.sched = cpus_sched();
        machine.kick = cpus_kick;
        machine.service = cpus_service;
        CHECK_EQ(vm_create(&vm, fake_vm_config(), &machine), 0);
        let_time_pass(); /* building it was work */
        vm.vcpu[0]->sched.cpus = cpu_set_first(1);
        sched_add(cpus_sched(), &vm.vcpu[0]->sched, cpu_rdtsc());
        memset(kicks_of, 0, sizeof kicks_of);
        rests = rests_without_end = amid = 0;
}

static void end(void)
{
        work_hook = NULL;
        vm_destroy(&vm);
        fake_vm_destroy(&first);
}

/* Asleep on CPU 0's list, to run on CPU 1, which rests; its time comes at once. */
static struct sched_entity *put_to_sleep(void)
{
        static struct vm_vcpu sleeper;
        struct sched_entity *e = &sleeper.sched;
        struct sched *s = cpus_sched();

        sleeper.vm = &vm;
        *e = (struct sched_entity){.weight = CONFIG_WEIGHT, .cpus = cpu_set_first(1)};
        sched_add(s, e, cpu_rdtsc());
        (void)sched_wake(s, e, cpu_rdtsc());
        CHECK(sched_pick(s, 0, cpu_rdtsc()) == e);
        sched_put(s, 0, SCHED_BLOCKED, cpu_rdtsc() + 1, cpu_rdtsc());
        e->cpus = (struct cpu_set){.word[0] = 2};
        cpu_set_add(&s->idle, 1);
        return e;
}

/* A kick behind the look for work ends the rest that follows. */
static void test_kick_behind_the_look(void)
{
        begin();
        (void)put_to_sleep();
        nmi_on_kick = true;
        cpus_turn();
        nmi_on_kick = false;
        CHECK_EQ(kicks_of[1], 1);
        CHECK_EQ(rests, 1);
        CHECK_EQ(rests_without_end, 0);
        CHECK(!cpus[0].resting);
        end();
}

/* Long work wakes those that sleep on CPU 0, now and then. */
static void test_work_wakes_sleepers(void)
{
        const struct sched_entity *other;

        begin();
        other = put_to_sleep();
        work_step();
        CHECK_EQ(other->state, SCHED_READY);
        CHECK_EQ(kicks_of[1], 1);
        CHECK_EQ(amid, 1);
        work_step();
        CHECK_EQ(amid, 1); /* no millisecond has passed */
        end();
}

/* It lets a vCPU of CPU 0 run, and nobody is sent there otherwise. */
static void test_work_lends_the_cpu(void)
{
        const struct fake_step halt = {.exit = {.kind = VM_EXIT_HALT}};
        struct vm_vcpu *v;

        begin();
        v = vm.vcpu[0];
        cpus_turn();
        CHECK_EQ(rests, 1);
        CHECK(!cpu_set_has(&cpus_sched()->idle, 0));
        fake.state.rflags = RFLAGS_IF;
        fake_load(&halt, 1);
        vcpu_notify(v);
        CHECK_EQ(v->sched.state, SCHED_READY);
        work_step();
        CHECK_EQ(v->sched.state, SCHED_BLOCKED);
        CHECK_EQ(v->activity, VCPU_HALTED);
        CHECK(!cpu_set_has(&cpus_sched()->idle, 0));
        CHECK_EQ(cpus_sched()->errand, SCHED_NEVER);
        end();
}

/* Steps in a turn of the CPU, as of a granule scrubbed at rest, do nothing. */
static void test_no_step_in_a_turn(void)
{
        begin();
        work_in_rest = true;
        cpus_turn();
        work_in_rest = false;
        CHECK_EQ(amid, 0);
        end();
}

/* Between two pieces of work at rest interrupts come in: what is typed is not kept waiting. */
static void test_work_at_rest_lets_in(void)
{
        begin();
        work_in_rest = self_ipi = true;
        cpus_turn();
        work_in_rest = false;
        CHECK(!self_ipi);
        CHECK_EQ(rests, 0);
        end();
}

int main(void)
{
        RUN(test_kick_behind_the_look);
        RUN(test_work_wakes_sleepers);
        RUN(test_work_lends_the_cpu);
        RUN(test_no_step_in_a_turn);
        RUN(test_work_at_rest_lets_in);
        return unit_done();
}
