/* The run loop: runs a vCPU on a CPU until another one is to have it. */
#pragma once

#include "guest/vm/vcpu.h"

/* Why a vCPU leaves its CPU. */
enum vcpu_leave {
        VCPU_READY,   /* another one's turn; it would go on */
        VCPU_BLOCKED, /* until something is posted to it, or its local APIC's timer expires */
        VCPU_STOPPED  /* vm_stands; a crash has been reported */
};

/* Run a vCPU that is loaded on this CPU, number cpu, until it has to leave it. */
enum vcpu_leave vcpu_run(struct vm_vcpu *v, unsigned cpu);
