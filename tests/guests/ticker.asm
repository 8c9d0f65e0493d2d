; A test guest that rests between interrupts of its own timer, by TSC deadlines, and tells how it goes on:
; "guest: timer ticks" each TOLD of them.
%include "bzimage.inc"

APIC_EOI     equ 0x80b
APIC_SVR     equ 0x80f
APIC_TIMER   equ 0x832
TSC_DEADLINE equ 0x6e0
DEADLINES    equ 1 << 18                ; the timer's mode
TIMER        equ 0x51
SPURIOUS     equ 0x7f
STEP         equ 3000000                ; ticks of the TSC
TOLD         equ 10

%macro wrapic 2                         ; MSR, value
        mov ecx, %1
        mov eax, %2
        xor edx, edx
        wrmsr
%endmacro

        lea rsp, [rel stack_top]
        lea rax, [rel take_timer]
        lea rbx, [rel idt + TIMER * 16] ; an interrupt gate
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
        wrapic APIC_SVR, 0x100 | SPURIOUS
        wrapic APIC_TIMER, DEADLINES | TIMER
        say "guest: ticker"
tell:   mov r14d, TOLD
.tick:  rdtsc
        add eax, STEP
        adc edx, 0
        mov ecx, TSC_DEADLINE
        wrmsr
        xor r12d, r12d
.rest:  sti
        hlt
        cli
        test r12d, r12d
        jz .rest
        dec r14d
        jnz .tick
        say "guest: timer ticks"
        jmp tell

take_timer:
        push rax
        push rcx
        push rdx
        mov r12d, 1
        wrapic APIC_EOI, 0
        pop rdx
        pop rcx
        pop rax
        iretq

        align 16, db 0
idt:    times (TIMER + 1) * 16 db 0
idt_pointer:
        dw (TIMER + 1) * 16 - 1
        dq 0
        align 16, db 0
        times 4096 db 0
stack_top:
image_end:
