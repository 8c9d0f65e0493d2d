; The tiny VM of the benchmark: tells the TSC of its first instruction, and powers off. It fits in 2 MiB.
%define PREF_ADDRESS     0x100000
%define KERNEL_ALIGNMENT 0x1000
%include "bzimage.inc"

STACK_TOP       equ 0x80000

        rdtsc
        shl rdx, 32
        lea rbx, [rax + rdx]
        cld
        lea rsp, [rel $$ + KERNEL + STACK_TOP]
        lea rsi, [rel text]
        call print
        mov rax, rbx
        call print_number
        switch_off
.ended: hlt
        jmp .ended

%include "print.inc"

text:   db "PF-BENCH: first-tsc ", 0
        align 16, db 0
image_end:
