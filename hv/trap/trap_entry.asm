; Interrupt and exception entry: 256 stubs that build one uniform frame (struct trap_frame in
; hv/trap/trap.h) and call trap_handle. SDM vol. 3 6.14.

bits 64
section .text
extern trap_handle

%macro push_all 0
        push rax
        push rcx
        push rdx
        push rbx
        push rbp
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
%endmacro

%macro pop_all 0
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        pop rdx
        pop rcx
        pop rax
%endmacro

align 16
trap_common:
        push_all
        cld
        mov rdi, rsp
        call trap_handle
        pop_all
        add rsp, 16                     ; vector and error code
        iretq

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
