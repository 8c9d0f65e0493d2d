/* Lengths and operands of intercepted instructions; contract in svm_decode.h. */
#include "hv/svm/svm_decode.h"

#include "hv/lib/errno.h"
#include "hv/svm/vmcb.h"

#define REX             0x40u
#define REX_MASK        0xf0u
#define REX_B           0x01u
#define MODRM_RM        0x07u
#define OPCODES_2       0x0fu
#define OPCODES_2_MODRM 0x01u /* 0F 01 /r: the third byte is a part of the opcode */

/* An exit and the bytes of its instruction after the prefixes. */
struct encoding {
        uint16_t exit_code;
        uint8_t length;
        uint8_t opcode[3];
        bool modrm; /* a ModRM byte follows, which names a register */
};

static const struct encoding encodings[] = {
    {SVM_EXIT_CPUID, 2, {OPCODES_2, 0xa2}, false},
    {SVM_EXIT_MSR, 2, {OPCODES_2, 0x32}, false}, /* RDMSR */
    {SVM_EXIT_MSR, 2, {OPCODES_2, 0x30}, false}, /* WRMSR */
    {SVM_EXIT_HLT, 1, {0xf4}, false},
    {SVM_EXIT_VMMCALL, 3, {OPCODES_2, OPCODES_2_MODRM, 0xd9}, false},
    {SVM_EXIT_XSETBV, 3, {OPCODES_2, OPCODES_2_MODRM, 0xd1}, false},
    {SVM_EXIT_INVD, 2, {OPCODES_2, 0x08}, false},
    {SVM_EXIT_WBINVD, 2, {OPCODES_2, 0x09}, false},
    {SVM_EXIT_READ_CR8, 2, {OPCODES_2, 0x20}, true},
    {SVM_EXIT_WRITE_CR8, 2, {OPCODES_2, 0x22}, true},
};

/* A REX counts only right before the opcode, elsewhere it is passed over (APM vol. 3 1.2.7). */
static bool is_rex(uint8_t byte, bool wide)
{
        return wide && (byte & REX_MASK) == REX;
}

static bool is_prefix(uint8_t byte)
{
        switch (byte) {
        case 0x26: /* segments */
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0x66: /* sizes */
        case 0x67:
        case 0xf0: /* LOCK, REPNE, REP */
        case 0xf2:
        case 0xf3:
                return true;
        default:
                return false;
        }
}

static bool matches(const struct encoding *e, const uint8_t *code, size_t n)
{
        if (n < (size_t)e->length + e->modrm)
                return false;
        for (unsigned i = 0; i < e->length; i++)
                if (code[i] != e->opcode[i])
                        return false;
        return true;
}

int svm_decode(const uint8_t *code, size_t n, bool wide, uint64_t exit_code,
               struct svm_instruction *out)
{
        uint8_t rex = 0;
        size_t at = 0;

        for (; at < n && (is_prefix(code[at]) || is_rex(code[at], wide)); at++)
                rex = is_rex(code[at], wide) ? code[at] : 0;
        for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
                const struct encoding *e = &encodings[i];
                size_t end = at + e->length + e->modrm;

                if (e->exit_code != exit_code || !matches(e, code + at, n - at) ||
                    end > SVM_INSTRUCTION_MAX)
                        continue;
                out->length = (uint8_t)end;
                out->reg = 0;
                if (e->modrm)
                        out->reg = (uint8_t)((code[end - 1] & MODRM_RM) | (rex & REX_B) << 3);
                return 0;
        }
        return -EINVAL;
}
