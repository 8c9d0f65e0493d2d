/*
 * Structure offsets for the assembler: compiled to assembly, never linked; the Makefile turns each
 * ".ascii" marker into a NASM definition.
 */
#include "hv/virt.h"

#define OFFSET(name, type, member)                                                                 \
        __asm__ volatile(".ascii \"@" #name " %c0@\"" : : "i"(offsetof(type, member)))

void offsets_emit(void);

void offsets_emit(void)
{
        OFFSET(VCPU_HOST_RSP, struct vcpu, host_rsp);
}
