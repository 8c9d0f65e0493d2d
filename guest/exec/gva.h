/* A guest's memory by segment and offset, and by linear address, as its CPU would reach it. */
#pragma once

#include "guest/vm/vcpu.h"
#include "hv/instruction.h"

/* An operand in memory: where each of its bytes is. Bytes from `split` on are at gpa[1]. */
struct gva_operand {
        gpa_t gpa[2];
        unsigned size, split;
};

/*
 * Find the memory of size bytes (1 to 8) at an offset of a segment, for this access, by
 * all checks of segment and pages. -EFAULT: one has failed, and its exception has been injected.
 */
must_check int gva_operand(struct vm_vcpu *v, const struct vcpu_state *s,
                           enum vcpu_segment_name seg, uint64_t offset, unsigned size, bool write,
                           struct gva_operand *out);

/* Read and write it, memory or device. -EFAULT: a read-only region; #GP has been injected. */
uint64_t gva_read(struct vm_vcpu *v, const struct gva_operand *operand);
must_check int gva_write(struct vm_vcpu *v, const struct gva_operand *operand, uint64_t value);

/* The bytes of the instruction that it stands at; fewer, as instruction_fetch tells. */
size_t gva_fetch(struct vm_vcpu *v, const struct vcpu_state *s, uint8_t code[INSTRUCTION_MAX]);

/* Guest-physical memory for walks and fetches of a vCPU, of struct vm_vcpu or its struct vcpu. */
must_check int gva_read_word(void *vcpu, gpa_t gpa, uint64_t *out);

/* Whether the CPU runs 64-bit code. */
bool gva_is_wide(const struct vcpu_state *s);
