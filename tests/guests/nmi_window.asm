; A test guest that sends itself NMIs and makes no exits meanwhile: one within the handler of another, which is to come right
; behind its IRET, and one beside a single-step trap. It tells the step that failed, or that all is well.
%include "bzimage.inc"
%include "interrupts.inc"
ICR_SELF    equ 0x40000
ICR_NMI     equ 0x400
FLAG_TF     equ 0x100
VECTOR_DB   equ 1
VECTOR_NMI  equ 2
ROUNDS      equ 100000

%macro send_nmi 0
        wrapic APIC_ICR, ICR_SELF | ICR_NMI
%endmacro

; The step fails unless the value is equal, after a while at last.
%macro want 3                           ; step, memory, value
        mov r15d, %1
        mov r14d, ROUNDS
%%wait: cmp dword %2, %3
        je %%done
        dec r14d
        jnz %%wait
        jmp failed
%%done:
%endmacro

        lea rsp, [rel stack_top]
        lea rax, [rel take_trap]
        mov ebx, VECTOR_DB
        call gate
        lea rax, [rel take_nmi]
        mov ebx, VECTOR_NMI
        call gate
        load_idt
        wrapic APIC_SVR, 0x1ff

        send_nmi                        ; its handler sends the second
        want 1, [rel taken], 2
        want 2, [rel nested], 0
        want 3, [rel early], 0

        pushfq
        or dword [rsp], FLAG_TF
        mov ecx, APIC_ICR
        mov eax, ICR_SELF | ICR_NMI
        xor edx, edx
        popfq
        wrmsr                           ; traps
        pushfq                          ; traps
        and dword [rsp], ~FLAG_TF       ; traps
        popfq                           ; traps
        want 4, [rel taken], 3
        want 5, [rel traps], 4

        lea rsi, [rel well]
        mov ecx, well_end - well
        jmp tell
failed: add [rel number], r15b
        lea rsi, [rel told]
        mov ecx, told_end - told
tell:   mov edx, COM1
        rep outsb
        cli
        hlt

; Vector EBX's handler is RAX.
gate:   shl ebx, 4
        lea rdx, [rel idt]
        add rbx, rdx
        fill_gate
        ret

take_nmi:
        push rax
        push rbx
        push rcx
        push rdx
        inc dword [rel taken]
        cmp dword [rel inside], 0
        je .first
        inc dword [rel nested]
.first: inc dword [rel inside]
        cmp dword [rel taken], 1
        jne .done
        send_nmi
        mov eax, ROUNDS
.wait:  dec eax
        jnz .wait
        cmp dword [rel taken], 1
        je .done
        inc dword [rel early]
.done:  dec dword [rel inside]
        pop rdx
        pop rcx
        pop rbx
        pop rax
        iretq

take_trap:
        inc dword [rel traps]
        iretq

taken:  dd 0
inside: dd 0
nested: dd 0
early:  dd 0
traps:  dd 0
told:   db 13, 10, "guest: NMIs failed at step "
number: db '0', 13, 10
told_end:
well:   db 13, 10, "guest: NMIs are exact", 13, 10
well_end:
        align 8, db 0
idt_pointer: dw 3 * 16 - 1
        dq 0
idt:    times 3 * 16 db 0
        times 4096 db 0
stack_top:
        align 16, db 0
image_end:
