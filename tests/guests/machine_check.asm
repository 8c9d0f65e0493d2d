; A test guest that takes machine checks: it tells the address in its bank, clears it, and goes on ticking.
%include "bzimage.inc"
MCG_STATUS equ 0x17a
MC_CTL     equ 0x400
MC_STATUS  equ 0x401
MC_ADDR    equ 0x402
CR4_MCE    equ 1 << 6
        lea rsp, [rel stack_top]
        lea rax, [rel machine_check]
        lea rbx, [rel gate]
        mov [rbx], ax
        mov [rbx + 2], cs
        shr rax, 16
        mov [rbx + 6], ax
        shr rax, 16
        mov [rbx + 8], eax
        sub rbx, 18 * 16
        mov [rel idt_pointer + 2], rbx
        lidt [rel idt_pointer]
        mov rax, cr4
        or rax, CR4_MCE
        mov cr4, rax
        mov ecx, MC_CTL
        mov eax, -1
        mov edx, eax
        wrmsr
        sti
        say "guest: waits"
.tick:  mov ecx, 20000000
        loop $
        say "guest: tick"
        jmp .tick

machine_check:
        push rax
        push rcx
        push rdx
        push rsi
        mov ecx, MC_STATUS
        rdmsr
        bt edx, 63 - 32
        jnc .empty
        mov ecx, MC_ADDR
        rdmsr
        shl rdx, 32
        or rdx, rax
        mov rcx, 16                     ; digits
        lea rsi, [rel digits]
.digit: rol rdx, 4
        mov eax, edx
        and eax, 15
        cmp al, 10
        sbb ah, ah
        and ah, '0' - 'a' + 10
        add al, ah
        add al, 'a' - 10
        mov [rsi], al
        inc rsi
        loop .digit
        mov dx, COM1
        lea rsi, [rel told]
        mov ecx, told_end - told
.char:  mov al, [rsi]
        out dx, al
        inc rsi
        loop .char
        xor eax, eax
        xor edx, edx
        mov ecx, MC_STATUS
        wrmsr
        mov ecx, MCG_STATUS
        wrmsr
        jmp .done
.empty: say "guest: a machine check without a reason"
.done:  pop rsi
        pop rdx
        pop rcx
        pop rax
        iretq

told:   db 13, 10, "guest: machine check at 0x"       ; on a line of its own, though it comes amid a tick
digits: times 16 db '?'
        db 13, 10
told_end:
idt_pointer:
        dw 19 * 16 - 1
        dq 0
        align 16, db 0
idt:    times 18 * 16 db 0
gate:   dq 0x00008e0000000000, 0        ; present, interrupt gate
        times 4096 db 0
stack_top:
        align 16, db 0
image_end:
