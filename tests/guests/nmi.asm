; A test guest that sends itself NMIs, of each two the second from within the first one's handler: that one waits for the
; handler's IRET, and comes then. "nmi: ok" or "nmi: failed"; it switches off.
%include "bzimage.inc"

APIC_SVR        equ 0x80f
APIC_ICR        equ 0x830
SELF_NMI        equ 1 << 18 | 4 << 8
VECTOR_NMI      equ 2
SLEEP_CONTROL   equ 0x600
S5              equ 5 << 2 | 0x20
ROUNDS          equ 50
PATIENCE        equ 20000

        lea rsp, [rel stack_top]
        lea rax, [rel take_nmi]
        lea rbx, [rel idt + VECTOR_NMI * 16]
        mov [rbx], ax
        mov [rbx + 2], cs
        mov word [rbx + 4], 0x8e00
        shr rax, 16
        mov [rbx + 6], ax
        shr rax, 16
        mov [rbx + 8], eax
        lea rax, [rel idt]
        mov [rel idt_pointer + 2], rax
        lidt [rel idt_pointer]
        mov ecx, APIC_SVR
        mov eax, 0x17f
        xor edx, edx
        wrmsr
        xor r13d, r13d                  ; those that came within another
        xor r14d, r14d                  ; in a handler
        mov ebp, ROUNDS
.round: xor r12d, r12d                  ; those of this round
        call send
        mov ebx, PATIENCE
.wait:  cmp r12d, 2
        je .both
        call look
        dec ebx
        jnz .wait
        jmp .bad
.both:  mov ecx, 100                    ; a third one would come
.more:  call look
        loop .more
        cmp r12d, 2
        jne .bad
        dec ebp
        jnz .round
        test r13d, r13d
        jnz .bad
        say "nmi: ok"
        jmp .off
.bad:   say "nmi: failed"
.off:   mov dx, SLEEP_CONTROL
        mov al, S5
        out dx, al
        hlt

; An exit.
look:   mov dx, COM1 + 5
        in al, dx
        ret

send:   mov ecx, APIC_ICR
        mov eax, SELF_NMI
        xor edx, edx
        wrmsr
        ret

take_nmi:
        push rax
        push rcx
        push rdx
        test r14d, r14d
        jz .alone
        inc r13d
.alone: inc r14d
        inc r12d
        cmp r12d, 1
        jne .end
        call send
        mov ecx, 100
.more:  call look
        loop .more
.end:   dec r14d
        pop rdx
        pop rcx
        pop rax
        iretq

idt_pointer:
        dw 32 * 16 - 1
        dq 0
        align 16, db 0
idt:    times 32 * 16 db 0
        times 1024 db 0
stack_top:
        align 16, db 0
image_end:
