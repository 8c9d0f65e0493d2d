/*
 * What CPU 0 does beside running vCPUs, and its loop: it passes on what is typed, starts VMs and
 * takes them apart, puts damaged NVRAM on the bad list, scrubs what was released, and leads to the
 * prompt and back. All of it is done out of any guest; while one runs there, cpus.c asks whether
 * something is to be done (row D of its table).
 *
 * There is one CPU 0: the state is kept here. Called on it alone.
 */
#pragma once

#include "guest/life/vms.h"

/*
 * Once, when all CPUs are online: CPUs may run vCPUs from here on. The caller has filled machine
 * with the facts of the machine; sched, kick, service and attention are filled in here. It and
 * config stay in use. The VMs that can be started are queued. answer is called with each
 * cpu0_serve, after the VMs were served. Returns all VMs.
 */
struct vms *cpu0_init(struct vm_machine *machine, const struct config *config,
                      void (*answer)(void));

/* Serve the VMs, and tell those that have it mapped of NVRAM that has gone bad. */
void cpu0_serve(void);

/* Nothing is typed: serve, then run a guest or rest; not if that was logged, to be shown first. */
void cpu0_wait(void);

/*
 * Run what is queued until no VM is left. prompt is called when its user asks for it, and returns
 * when it is left again. stay: with no VM left it is called as well, and cpu0_run does not return,
 * unless nothing can be typed on this machine.
 */
void cpu0_run(bool stay, void (*prompt)(void));
