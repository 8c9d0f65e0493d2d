/* CPU 0's loop; contract in cpu0.h. */
#include "guest/life/cpu0.h"

#include "guest/console/console.h"
#include "guest/exec/damage.h"
#include "guest/life/cpus.h"
#include "guest/life/idle.h"
#include "hv/lib/printk.h"
#include "hv/trap/mce.h"

static struct vms vms;
static bool attention; /* vm_machine.attention */
static void (*answer_hook)(void);

/* While a guest runs on CPU 0: whether something else is to be done there. */
static bool is_wanted(void)
{
        vms_take_input(&vms);
        return __atomic_load_n(&attention, __ATOMIC_SEQ_CST) || console_wants_service() ||
               mce_any() || vms_due(&vms);
}

static void amid_work(void)
{
        vms_take_input(&vms);
        if (__atomic_load_n(&attention, __ATOMIC_ACQUIRE))
                vms_serve_code(&vms);
}

/* CPU 0 has nothing to run: a granule of released NVRAM. */
static bool work_at_rest(uint64_t until)
{
        return is_wanted() || idle_scrub(vms.machine->pool, vms.machine->tsc_khz, until);
}

struct vms *cpu0_init(struct vm_machine *machine, const struct config *config, void (*answer)(void))
{
        static const struct cpus_hooks hooks = {is_wanted, work_at_rest, amid_work};

        answer_hook = answer;
        machine->sched = cpus_sched();
        machine->kick = cpus_kick;
        machine->service = cpus_service;
        machine->attention = &attention;
        vms_init(&vms, config, machine, cpus_turn);
        cpus_init(machine->tsc_khz, &hooks);
        return &vms;
}

void cpu0_serve(void)
{
        struct mce_place place;

        while (mce_any() && damage_next(vms.machine->pool, &place))
                vms_tell_damage(&vms, &place);
        vms_service(&vms);
        answer_hook();
}

void cpu0_wait(void)
{
        size_t before = log_lines();

        cpu0_serve();
        if (log_lines() == before)
                cpus_turn();
}

void cpu0_run(bool stay, void (*prompt)(void))
{
        if (stay && !console_can_input())
                printk(LOG_WARN, "monitor: nothing can be typed here: exit=monitor is exit=halt");
        for (;;) {
                cpu0_serve();
                if (console_in_monitor()) {
                        console_show_monitor(true);
                        prompt();
                        console_show_monitor(false);
                        continue;
                }
                if (vms_alive(&vms)) {
                        cpus_turn();
                        continue;
                }
                if (!vms.any)
                        printk(LOG_WARN, "permafrost: no VM was started");
                if (!stay || !console_can_input())
                        return;
                console_set_monitor(true);
        }
}
