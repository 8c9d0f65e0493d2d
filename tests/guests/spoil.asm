; A test guest whose two vCPUs share code: one executes instructions that the hypervisor has to look at, the other changes
; each of them to and fro between that and another one of the same length. Both are right at any time, whatever of the
; two is found: "spoil: ok" when each was found ROUNDS times, then it switches off. QEMU before 8.1 may keep the read that
; is gone and execute it again and again, until it is refused (#UD): that is told, and the guest tries anew.
%include "bzimage.inc"
%include "interrupts.inc"

TRAMPOLINE      equ 0x8000
CODE            equ 0x9000
NO_MEMORY       equ 0xf0000000          ; nothing is there: a read gives ones
ROUNDS          equ 3000
VECTOR_UD       equ 6

%macro flip 2                           ; the instruction at a label gets this second byte
        mov byte [%1 + 1 - code], %2
%endmacro

        lea rsp, [rel stack_top]
        lea rbx, [rel idt + VECTOR_UD * 16]
        lea rax, [rel take_ud]
        fill_gate
        load_idt
        wrapic APIC_SVR, 0x17f
        lea rsi, [rel second]
        mov edi, TRAMPOLINE
        mov ecx, second_end - second
        rep movsb
        lea rsi, [rel code]
        mov edi, CODE
        mov ecx, code_end - code
        rep movsb
        mov ecx, APIC_ICR
        mov edx, 1
        mov eax, 0x4500
        wrmsr
        mov eax, 0x4600 | TRAMPOLINE >> 12
        wrmsr
        xor ebp, ebp                    ; how often the read was refused
        xor r14d, r14d                  ; how often CPUID was there
        xor r15d, r15d                  ; and how often not
.next:  mov eax, CODE
        call rax
        cmp r14d, ROUNDS
        jb .next
        cmp r15d, ROUNDS
        jb .next
        test ebp, ebp
        jz .ok
        say "spoil: a read was refused"
.ok:    say "spoil: ok"
off:    switch_off
        hlt

take_ud:
        cmp qword [rsp], CODE + (at_4 - code)
        jne .other
        inc ebp
        iretq
.other: say "spoil: an instruction was refused"
        jmp off

        align 16, db 0
code:   xor eax, eax
        xor ebx, ebx
at_0:   cpuid                           ; 0F A2, or RDTSC 0F 31
        cmp ebx, 1                      ; the vendor's name
        sbb eax, eax
        sub r15d, eax
        inc eax
        add r14d, eax
        mov ecx, APIC_TPR
at_1:   rdmsr                           ; 0F 32, or RDTSC
        xor eax, eax
        xor edx, edx
        mov ecx, APIC_TPR
at_2:   wrmsr                           ; 0F 30, or RDTSC
at_3:   wbinvd                          ; 0F 09, or RDTSC
        mov ebx, NO_MEMORY
at_4:   mov eax, [rbx]                  ; 8B 03, or MOV EAX, EBX 8B C3
        ret
code_end:

        align 16, db 0
second:
        bits 16
        mov ax, CODE >> 4
        mov ds, ax
        mov ss, ax
        mov sp, 0x800
.flip:  flip at_0, 0x31
        flip at_1, 0x31
        flip at_2, 0x31
        flip at_3, 0x31
        flip at_4, 0xc3
        call wait_second
        flip at_0, 0xa2
        flip at_1, 0x32
        flip at_2, 0x30
        flip at_3, 0x09
        flip at_4, 0x03
        call wait_second
        jmp .flip

; A time that is not the same twice: on Bochs the two would keep step. An exit now and then: interrupts are off here,
; and Bochs' SVM holds the host's back then.
wait_second:
        imul bx, bx, 25173
        add bx, 13849
        test bh, bh
        jnz .wait
        in al, 0x80
.wait:  mov cl, bh
        mov ch, 0
        inc cx
        loop $
        ret
second_end:
        bits 64
        empty_idt 32
        times 4096 db 0
stack_top:
        align 16, db 0
image_end:
