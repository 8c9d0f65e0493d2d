/*
 * Single exits of a VM's vCPU on the scripted backend, and what becomes of the instruction: for the
 * tests of the exit policy. Each test program has its own copy, and creates the VM.
 */
#pragma once

#include "guest/vm/vcpu.h"
#include "guest/vm/vm.h"
#include "hv/trap/trap.h"
#include "tests/unit/fake_virt.h"
#include "tests/unit/unit.h"

#define JUNK 0x1122334455667788ull /* in the registers that the policy has to leave alone */

static struct vm vm;

static inline enum vm_end play(const struct fake_step *steps, size_t count)
{
        return fake_play(&vm, steps, count);
}

static inline enum vm_end play_one(struct fake_step step)
{
        return play(&step, 1);
}

static inline struct fake_step plain(enum vm_exit_kind kind)
{
        return (struct fake_step){.exit = {.kind = kind}, .rax = JUNK, .rcx = JUNK, .rdx = JUNK};
}

static inline struct fake_step wrmsr(uint32_t msr, uint64_t value)
{
        return (struct fake_step){.exit = {.kind = VM_EXIT_MSR_WRITE},
                                  .rax = JUNK << 32 | (uint32_t)value,
                                  .rcx = JUNK << 32 | msr,
                                  .rdx = JUNK << 32 | value >> 32};
}

static inline struct fake_step rdmsr(uint32_t msr)
{
        return (struct fake_step){
            .exit = {.kind = VM_EXIT_MSR_READ}, .rax = JUNK, .rcx = msr, .rdx = JUNK};
}

/* The instruction raises #GP, and the guest stays at it. */
static inline void expect_gp(struct fake_step step)
{
        CHECK_EQ(play_one(step), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 1);
        CHECK_EQ(fake.exception, VECTOR_GP);
        CHECK_EQ(fake.skips, 0);
}

/* The instruction is done, and the guest goes on behind it. */
static inline void expect_skip(struct fake_step step)
{
        CHECK_EQ(play_one(step), VM_POWERED_OFF);
        CHECK_EQ(fake.exceptions, 0);
        CHECK_EQ(fake.skips, 1);
}
