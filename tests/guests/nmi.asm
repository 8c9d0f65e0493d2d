; A test guest that sends itself NMIs, of each two the second from within the first one's handler: that one waits for the
; handler's IRET, and comes then. "nmi: ok" or "nmi: failed"; it switches off.
%include "bzimage.inc"
%include "interrupts.inc"

SELF_NMI        equ 1 << 18 | 4 << 8
VECTOR_NMI      equ 2
ROUNDS          equ 50
PATIENCE        equ 20000

        lea rsp, [rel stack_top]
        lea rax, [rel take_nmi]
        lea rbx, [rel idt + VECTOR_NMI * 16]
        fill_gate
        load_idt
        wrapic APIC_SVR, 0x17f
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
.off:   switch_off
        hlt

; An exit.
look:   mov dx, COM1 + 5
        in al, dx
        ret

send:   wrapic APIC_ICR, SELF_NMI
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

        empty_idt 32
        times 1024 db 0
stack_top:
        align 16, db 0
image_end:
