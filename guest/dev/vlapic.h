/*
 * Local APIC model in x2APIC mode (SDM vol. 3, 10.12), reached by MSRs only: IA32_APIC_BASE,
 * 800h-83Fh and IA32_TSC_DEADLINE. The guest finds the mode already enabled; xAPIC mode (MMIO) does
 * not exist, so the only mode change it can make is to switch the APIC off until the next reset.
 *
 * One struct vlapic a vCPU. Interrupts for other vCPUs leave through ops. Every time is a value of
 * the guest's TSC, passed in by the caller. Directed EOI, CMCI and xAPIC are not offered.
 */
#pragma once

#include "hv/cpu.h"
#include "hv/lib/types.h"

#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST  0x83fu
#define MSR_X2APIC_EOI   0x80bu
#define MSR_X2APIC_ICR   0x830u

#define APIC_BASE_ADDR 0xfee00000ull

/* Delivery modes, SDM 10.6.1. */
enum apic_mode {
        APIC_FIXED,
        APIC_LOWEST,
        APIC_SMI,
        APIC_NMI = 4,
        APIC_INIT = 5,
        APIC_STARTUP = 6,
        APIC_EXTINT = 7
};

#define APIC_DEST_ALL  0xffffffffu
#define APIC_NO_SENDER 0xffffffffu /* of an interrupt that no vCPU has sent */

/* Ticks between two periodic interrupts at least: a guest must get somewhere in between. */
#define VLAPIC_PERIOD_MIN 500000u

/* An interrupt on its way from an I/O APIC or another vCPU. */
struct apic_message {
        uint32_t dest; /* x2APIC ID, or logical address; APIC_DEST_ALL: everybody */
        bool logical;
        bool not_self; /* the sender is not meant */
        bool level;
        uint8_t mode; /* enum apic_mode */
        uint8_t vector;
};

/* Where the APIC's effects go; any may be NULL, the effect is dropped then. */
struct vlapic_ops {
        void *ctx;
        /* an IPI that (also) concerns other vCPUs than the sender, which is served already */
        void (*send)(void *ctx, const struct apic_message *message);
        /* NMI, SMI, INIT or start-up that this vCPU has sent to itself */
        void (*signal)(void *ctx, enum apic_mode mode, uint8_t vector);
        /* end of a level-triggered interrupt: for the I/O APIC */
        void (*eoi)(void *ctx, uint8_t vector);
};

enum vlapic_lvt {
        VLAPIC_LVT_TIMER,
        VLAPIC_LVT_THERMAL,
        VLAPIC_LVT_PERF,
        VLAPIC_LVT_LINT0,
        VLAPIC_LVT_LINT1,
        VLAPIC_LVT_ERROR,
        VLAPIC_LVTS
};

/* A set of vectors; bit n of words tells that word n is not zero, so that the top is found at once.
 */
struct vlapic_vectors {
        uint32_t word[8];
        uint32_t words;
};

struct vlapic {
        struct vlapic_vectors irr, isr;
        uint32_t tmr[8];
        uint8_t tpr, ppr;
        uint32_t svr, id;
        uint64_t base, icr;
        uint32_t esr, esr_pending;
        uint32_t lvt[VLAPIC_LVTS];
        uint32_t timer_initial, timer_divide;
        uint64_t timer_deadline; /* guest TSC of the next expiry; UINT64_MAX: not armed */
        uint32_t tsc_per_tick;
        struct vlapic_ops ops;
};

/*
 * State after reset, x2APIC enabled. id is the x2APIC ID; the vCPU with bsp boots the VM. The timer
 * counts once in tsc_per_tick (1 to 65535) TSC cycles before its divider. ops is copied.
 */
void vlapic_init(struct vlapic *l, uint32_t id, bool bsp, uint32_t tsc_per_tick,
                 const struct vlapic_ops *ops);

/* Back to the state after reset (machine reset or INIT); id, ticks and ops stay. */
void vlapic_reset(struct vlapic *l);

/* Whether msr is one of this model's. */
static inline bool vlapic_owns_msr(uint32_t msr)
{
        return (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST) || msr == MSR_TSC_DEADLINE ||
               msr == MSR_APIC_BASE;
}

/*
 * RDMSR and WRMSR of one of the MSRs above, at guest TSC now. -EINVAL: inject #GP, nothing has
 * changed. A deadline that has passed already raises its interrupt within the write.
 */
must_check int vlapic_msr_read(struct vlapic *l, uint32_t msr, uint64_t *value, uint64_t now);
must_check int vlapic_msr_write(struct vlapic *l, uint32_t msr, uint64_t value, uint64_t now);

/* The work of writing 0 to the EOI register, for the fast path. */
void vlapic_eoi(struct vlapic *l);

/* Whether the interrupt in service, of the highest vector, was level-triggered. There is one. */
bool vlapic_in_service_is_level(const struct vlapic *l);

/*
 * Whether the end of the interrupt in service may be learned later, at the next exit: there is one,
 * no I/O APIC wants to know of its end, and nothing waits for it.
 */
static inline bool vlapic_eoi_may_wait(const struct vlapic *l)
{
        return l->isr.words != 0 && l->irr.words == 0 && !vlapic_in_service_is_level(l);
}

/* The same of the vector that vlapic_next_irq told, once it is in service. */
bool vlapic_eoi_of_next_may_wait(const struct vlapic *l, uint8_t vector);

/* An interrupt for this vCPU arrives: level tells its trigger mode. Vectors below 16 are an error.
 */
void vlapic_raise(struct vlapic *l, uint8_t vector, bool level);

/*
 * Whether a message of the APIC sender_id (or APIC_NO_SENDER) is addressed to the one of target_id.
 * It looks at no APIC's state, so anybody may ask. All that match get it; of APIC_LOWEST the first.
 */
bool vlapic_matches(uint32_t target_id, uint32_t sender_id, const struct apic_message *message);

/* The slow half of vlapic_next_irq. */
int vlapic_highest_irq(const struct vlapic *l);

/* The vector to inject next, or -1: none is pending that the processor priority lets through. */
static inline int vlapic_next_irq(const struct vlapic *l)
{
        return l->irr.words == 0 ? -1 : vlapic_highest_irq(l);
}

/* The vector vlapic_next_irq told is injected: it goes from requested to in service. */
void vlapic_accept(struct vlapic *l, uint8_t vector);

/*
 * The vector vlapic_next_irq told goes to the local APIC that the CPU virtualizes instead: it is
 * not requested here any more. Whether it is level-triggered; then vlapic_ended tells its end.
 */
bool vlapic_hand_over(struct vlapic *l, uint8_t vector);
void vlapic_ended(struct vlapic *l, uint8_t vector);

/* The guest has sent itself an interrupt of an illegal vector, where the CPU virtualizes that. */
void vlapic_sent_illegal(struct vlapic *l);

/* Guest TSC at which vlapic_timer_expired wants to be called, UINT64_MAX for never. */
uint64_t vlapic_deadline(const struct vlapic *l);

/* Raise the timer's interrupt if its time has come by now, and start the next period. */
void vlapic_timer_expired(struct vlapic *l, uint64_t now);
