; A test guest that switches its interrupts on and off in turn, so that every third of its instructions stands behind an
; STI: no interrupt may come before that one has been executed (SDM vol. 2, STI; APM vol. 2 15.21.5). Before an idle
; loop's HLT it would leave nothing that ends the HLT. "shadow: ok", or "shadow: failed"; it switches off.
%include "bzimage.inc"
%include "interrupts.inc"

VECTOR          equ 0x41
INTERRUPTS      equ 300

        lea rsp, [rel stack_top]
        lea rbx, [rel idt + VECTOR * 16]
        lea rax, [rel take]
        fill_gate
        load_idt
        mov ecx, APIC_BASE
        rdmsr
        or eax, 0xc00                   ; x2APIC mode
        wrmsr
        wrapic APIC_SVR, 0x1ff
        wrapic APIC_DIVIDE, 0xb
        wrapic APIC_TIMER, VECTOR
        lea rbx, [rel behind]
        mov r14d, INTERRUPTS
next:   xor r15d, r15d
        rdtsc
        and eax, 0x3ff
        add eax, 20000
        xor edx, edx
        mov ecx, APIC_INITIAL
        wrmsr
turn:   sti
behind: nop
        cli
        test r15, r15                   ; where it came
        jz turn
        cmp r15, rbx
        je failed
        dec r14d
        jnz next
        say "shadow: ok"
        jmp off
failed: say "shadow: failed"
off:    switch_off
        hlt
        jmp off

take:   push rax
        push rcx
        push rdx
        mov r15, [rsp + 24]
        wrapic APIC_EOI, 0
        pop rdx
        pop rcx
        pop rax
        iretq

        empty_idt 128
        times 1024 db 0
stack_top:
        align 16, db 0
image_end:
