; Interrupt and exception entry: 256 stubs that build one uniform frame (struct trap_frame in
; hv/trap/trap.h) and call trap_handle. SDM vol. 3 6.14.

bits 64
%include "hv/switch.inc"

section .text
extern trap_handle

align 16
trap_common:
        push_registers
        cld
        mov rdi, rsp
        call trap_handle
        pop rax
        pop_from_rcx
        add rsp, 16                     ; vector and error code
        iretq

; trap_handle steps over the HLT when an interrupt is to return to it.
global trap_wait_interrupt
global trap_wait_halt
trap_wait_interrupt:
        sti
trap_wait_halt:
        hlt
        cli
        ret

; Each stub is padded to 16 bytes: stub n stands at trap_stubs + 16 n.
align 16
global trap_stubs
trap_stubs:
%assign v 0
%rep 256
        align 16
%if v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21
%else
        push qword 0
%endif
        push qword v
        jmp near trap_common
%assign v v + 1
%endrep

section .note.GNU-stack noalloc noexec nowrite progbits
