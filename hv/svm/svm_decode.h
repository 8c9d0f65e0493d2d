/*
 * The instructions that SVM intercepts, from their bytes: CPUs without next-RIP saving or decode
 * assists tell neither length nor operand (APM vol. 2 15.7.1, 15.33; encodings: vol. 3).
 */
#pragma once

#include "hv/lib/types.h"

struct svm_instruction {
        uint8_t length; /* bytes */
        uint8_t reg;    /* of a MOV to or from a control register: enum vcpu_reg */
};

/*
 * Decode the instruction in n bytes of code that caused an exit of this code (enum svm_exit_code);
 * wide: 64-bit code. -EINVAL: the bytes are no such instruction, or end within it.
 */
must_check int svm_decode(const uint8_t *code, size_t n, bool wide, uint64_t exit_code,
                          struct svm_instruction *out);
