; A test guest that tries its local APIC: requests, priority, nesting, the end, errors, the timer and HLT. It tells the
; step that failed, or that all is well, and ticks on. A byte on its serial port makes it switch the APIC off and rest.
%include "bzimage.inc"
%include "interrupts.inc"
LOW           equ 0x41
HIGH          equ 0x61
TIMER         equ 0x51
SPURIOUS      equ 0x7f               ; a real one may come when the priority rises
LEVEL         equ 0x31
ROUNDS        equ 1000
IOAPIC        equ 0xfec00000
VIOAPIC_DATA   equ 0x10
COM1_PIN      equ 4
COM1_IER      equ COM1 + 1
IER_THRE      equ 2
MCR_OUT2      equ 8

%macro rdapic 1                         ; to EAX
        mov ecx, %1
        rdmsr
%endmacro

%macro window 0                         ; what can be taken is
        sti
        nop
        nop
        cli
%endmacro

; The step fails unless the value is equal.
%macro want 3                           ; step, register, value
        cmp %2, %3
        mov r15d, %1
        jne failed
%endmacro

        lea rsp, [rel stack_top]
        lea rbx, [rel idt + LOW * 16]
        lea rax, [rel take_low]
        call gate
        lea rbx, [rel idt + HIGH * 16]
        lea rax, [rel take_high]
        call gate
        lea rbx, [rel idt + TIMER * 16]
        lea rax, [rel take_timer]
        call gate
        lea rbx, [rel idt + LEVEL * 16]
        lea rax, [rel take_level]
        call gate
        lea rbx, [rel idt + SPURIOUS * 16]
        lea rax, [rel take_spurious]
        call gate
        load_idt
        cli
        xor r12d, r12d                  ; the vectors taken, the last in the lowest byte
        wrapic APIC_SVR, 0x100 | SPURIOUS
        rdapic APIC_SVR
        want 1, eax, 0x100 | SPURIOUS

        ; two requests wait and come by priority
        wrapic APIC_SELF_IPI, LOW
        wrapic APIC_SELF_IPI, HIGH
        rdapic APIC_IRR + LOW / 32
        want 2, eax, 1 << (LOW % 32)
        rdapic APIC_IRR + HIGH / 32
        want 3, eax, 1 << (HIGH % 32)
        window
        want 4, r12d, HIGH << 8 | LOW
        rdapic APIC_IRR + LOW / 32
        want 5, eax, 0

        ; the task priority holds back what is not above it, by either name
        xor r12d, r12d
        mov eax, HIGH >> 4
        mov cr8, rax
        wrapic APIC_SELF_IPI, HIGH
        window
        want 6, r12d, 0
        rdapic APIC_TPR
        want 7, eax, HIGH & 0xf0
        rdapic APIC_PPR
        want 8, eax, HIGH & 0xf0
        wrapic APIC_TPR, 0
        mov rax, cr8
        want 9, eax, 0
        window
        want 10, r12d, HIGH

        ; the higher one interrupts the lower one's handler, not the other way round
        xor r12d, r12d
        mov byte [rel nest], 1
        wrapic APIC_SELF_IPI, LOW
        window
        mov byte [rel nest], 0
        want 11, r12d, LOW << 8 | HIGH
        rdapic APIC_ISR + LOW / 32
        want 12, eax, 0

        ; an IPI by the command register
        xor r12d, r12d
        wrapic APIC_ICR, 1 << 18 | LOW
        rdapic APIC_ICR
        want 13, eax, 1 << 18 | LOW
        window
        want 14, r12d, LOW

        ; an illegal vector is an error
        wrapic APIC_ESR, 0
        wrapic APIC_SELF_IPI, 5
        wrapic APIC_ESR, 0
        rdapic APIC_ESR
        want 15, eax, 0x20
        wrapic APIC_ESR, 0
        rdapic APIC_ESR
        want 16, eax, 0

        ; the timer ends a rest
        xor r12d, r12d
        wrapic APIC_TIMER, TIMER
        wrapic APIC_INITIAL, 1000
        sti
        hlt
        cli
        want 17, r12d, TIMER
        rdapic APIC_INITIAL
        want 18, eax, 1000

        ; one that waits already, too
        xor r12d, r12d
        wrapic APIC_SELF_IPI, LOW
        sti
        hlt
        cli
        want 19, r12d, LOW

        ; often
        mov ebp, ROUNDS
.round: xor r12d, r12d
        wrapic APIC_SELF_IPI, LOW
        mov eax, 4
        mov cr8, rax
        window
        want 20, r12d, 0
        xor eax, eax
        mov cr8, rax
        window
        want 21, r12d, LOW
        dec ebp
        jnz .round
        ; a line of the I/O APIC that is level-triggered comes again after its end, and only then
        mov eax, IOAPIC
        mov dword [rax], 0x10 + 2 * COM1_PIN
        mov dword [rax + VIOAPIC_DATA], 1 << 15 | LEVEL
        mov dx, COM1 + 4
        mov al, MCR_OUT2
        out dx, al
        mov ebp, 3
.level: xor r12d, r12d
        mov dx, COM1_IER
        mov al, IER_THRE
        out dx, al
        window
        want 22, r12d, LEVEL
        dec ebp
        jnz .level
        say "guest: apic ok"
        jmp ticks

failed: mov eax, r15d
        mov ecx, 10
        xor edx, edx
        div ecx
        add al, '0'
        add dl, '0'
        mov [rel step], al
        mov [rel step + 1], dl
        lea rsi, [rel told]
        mov ecx, told_end - told
        mov dx, COM1
.char:  mov al, [rsi]
        out dx, al
        inc rsi
        loop .char
ticks:  sti
.tick:  mov ecx, 20000000
        loop $
        say "guest: tick"
        mov dx, COM1 + 5
        in al, dx
        test al, 1
        jz .tick

        ; what was requested before the APIC went off does not end a rest
        cli
        wrapic APIC_SELF_IPI, LOW
        wrapic APIC_BASE, 0xfee00100
        say "guest: apic off"
        sti
.rest:  hlt
        say "guest: woken"
        jmp .rest

take_low:
        push rax
        push rcx
        push rdx
        shl r12d, 8
        or r12d, LOW
        cmp byte [rel nest], 0
        je .end
        rdapic APIC_PPR
        mov r14d, eax
        rdapic APIC_ISR + LOW / 32
        shl eax, 8
        or eax, r14d
        cmp eax, 1 << (LOW % 32 + 8) | LOW & 0xf0
        jne .end                        ; then the nested one is missed
        wrapic APIC_SELF_IPI, HIGH
        wrapic APIC_SELF_IPI, LOW - 1   ; no gate: it must not come
        sti
        nop
        nop
        cli
        wrapic APIC_TPR, LOW & 0xf0
.end:   wrapic APIC_EOI, 0
        cmp byte [rel nest], 0
        je .done
        lea rbx, [rel idt + (LOW - 1) * 16]
        lea rax, [rel take_unseen]
        call gate
        wrapic APIC_TPR, 0
.done:  pop rdx
        pop rcx
        pop rax
        iretq

take_high:
        push rax
        push rcx
        push rdx
        shl r12d, 8
        or r12d, HIGH
        jmp end_of_interrupt

take_level:
        push rax
        push rcx
        push rdx
        shl r12d, 8
        or r12d, LEVEL
        mov dx, COM1_IER
        xor eax, eax
        out dx, al
        jmp end_of_interrupt

take_timer:
        push rax
        push rcx
        push rdx
        shl r12d, 8
        or r12d, TIMER
        jmp end_of_interrupt

take_unseen:
        push rax
        push rcx
        push rdx
end_of_interrupt:
        wrapic APIC_EOI, 0
        pop rdx
        pop rcx
        pop rax
take_spurious:
        iretq

; An interrupt gate at RBX to the handler at RAX.
gate:   fill_gate
        mov dword [rbx + 12], 0
        ret

nest:   db 0
told:   db 13, 10, "guest: apic failed at step "
step:   db '??', 13, 10
told_end:
        empty_idt 128
        times 4096 db 0
stack_top:
        align 16, db 0
image_end:
