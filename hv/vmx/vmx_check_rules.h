/* Shared by the halves of the VM-entry checks (vmx_check.c, vmx_check_guest.c): values and
 * findings. */
#pragma once

#include "hv/vmx/vmx_check.h"

struct entry_check {
        const struct vmx_check *from;
        unsigned failed;
        uint32_t pin, cpu, cpu2, exit, entry; /* cpu2 is 0 while it is not activated */
        uint32_t inject;                      /* entry interruption information, 0 unless valid */
};

uint64_t entry_field(const struct entry_check *e, enum vmcs_field field);

/* Whatever is wrong: a line of text. */
void entry_fail(struct entry_check *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Fails unless ok: "NAME 0xVALUE RULE". */
void entry_rule(struct entry_check *e, bool ok, const char *name, uint64_t value, const char *rule);

/* Fails if any bit is wrong: "NAME 0xVALUE: bit N RULE". */
void entry_bits(struct entry_check *e, const char *name, uint64_t value, uint64_t wrong,
                const char *rule);

/* CR0 (or CR4) against the fixed-bit MSRs; bits in ignored are not looked at. */
void entry_fixed(struct entry_check *e, const char *name, uint64_t value, enum vmx_msr fixed0,
                 uint64_t ignored);

struct entry_name {
        enum vmcs_field field;
        const char *name;
};

/* Each field must hold a canonical address. */
void entry_canonical(struct entry_check *e, const struct entry_name *fields, size_t n,
                     const char *section);

/* IA32_PAT and IA32_EFER fields: reserved values and bits. */
void entry_pat(struct entry_check *e, const char *name, uint64_t value);
void entry_efer(struct entry_check *e, const char *name, uint64_t value);

/* Bits at and above the CPU's physical-address width. */
uint64_t entry_beyond(const struct entry_check *e);

/* The guest-state half, SDM 26.3.1. */
void vmx_check_guest(struct entry_check *e);
