; A test guest that rests between interrupts of its own timer, by TSC deadlines, and tells how it goes on:
; "guest: timer ticks" each TOLD of them.
%include "bzimage.inc"
%include "interrupts.inc"

TSC_DEADLINE equ 0x6e0
DEADLINES    equ 1 << 18                ; the timer's mode
TIMER        equ 0x51
SPURIOUS     equ 0x7f
STEP         equ 3000000                ; ticks of the TSC
TOLD         equ 10

        lea rsp, [rel stack_top]
        lea rax, [rel take_timer]
        lea rbx, [rel idt + TIMER * 16]
        fill_gate
        load_idt
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
