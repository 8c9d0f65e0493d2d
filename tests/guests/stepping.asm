; A test guest that looks at what an instruction leaves behind that is emulated: single-steps and breakpoints behind it,
; also behind HLT and string I/O, the trap of ICEBP, and the wrap of EIP at 4 GiB. It tells the step that failed, or that
; all is well.
%include "bzimage.inc"
%include "interrupts.inc"
IOAPIC      equ 0xfec00000
FLAG_TF     equ 0x100
FLAG_RF     equ 0x10000
DR6_BS      equ 0x4000
DR6_HIT     equ 0xf
DR7_FIRST   equ 0x402                   ; an instruction at DR0
DR7_BOTH    equ 0x40a                   ; or at DR1
TRAPS_MAX   equ 16

%macro step_on 0                        ; the trap comes behind the instruction that follows
        xor eax, eax
        mov [rel count], eax
        mov dr6, rax
        pushfq
        or dword [rsp], FLAG_TF
        popfq
%endmacro

%macro step_off 0
        pushfq                          ; traps
        and dword [rsp], ~FLAG_TF       ; traps
        popfq                           ; traps
%endmacro
STEP_OFF equ 3

; The step fails unless the value is equal.
%macro want 3                           ; step, register or memory, value
        mov r15d, %1
        cmp dword %2, %3
        jne failed
%endmacro

; The step fails unless trap number %2 was one of %4 in DR6 at %3.
%macro want_trap 4
        mov r15d, %1
        lea rax, [rel %3]
        cmp [rel where + %2 * 8], rax
        jne failed
        mov eax, [rel why + %2 * 4]
        and eax, DR6_BS | DR6_HIT
        cmp eax, %4
        jne failed
%endmacro

        lea rsp, [rel stack_top]
        lea rax, [rel take_trap]
        lea rbx, [rel idt + 16]
        fill_gate
        load_idt

        ; one trap behind each instruction
        mov r9d, IOAPIC
        step_on
        cpuid
.a1:    mov edx, COM1 + 5
.a2:    in al, dx
.a3:    mov ecx, APIC_BASE
.a4:    rdmsr
.a5:    mov r8, cr8
.a6:    mov eax, [r9]
.a7:    step_off
        want 1, [rel count], 7 + STEP_OFF
        want_trap 2, 0, .a1, DR6_BS
        want_trap 3, 1, .a2, DR6_BS
        want_trap 4, 2, .a3, DR6_BS
        want_trap 5, 4, .a5, DR6_BS
        want_trap 6, 5, .a6, DR6_BS
        want_trap 7, 6, .a7, DR6_BS

        ; the trap behind HLT ends the rest
        sti
        step_on
        hlt
.b1:    cli
.b2:    step_off
        want 8, [rel count], 2 + STEP_OFF
        want_trap 9, 0, .b1, DR6_BS
        want_trap 10, 1, .b2, DR6_BS

        ; the shadow of MOV SS holds traps back, by one instruction
        mov ebx, ss
        step_on
        mov ss, ebx
        cpuid
.c1:    nop
.c2:    step_off
        want 12, [rel count], 2 + STEP_OFF
        want_trap 13, 0, .c1, DR6_BS
        want_trap 14, 1, .c2, DR6_BS

        ; string I/O traps behind each element
        lea rsi, [rel dots]
        mov ecx, 2
        mov edx, COM1
        step_on
.d1:    rep outsb
.d2:    step_off
        want 15, [rel count], 2 + STEP_OFF
        want_trap 16, 0, .d1, DR6_BS
        want_trap 17, 1, .d2, DR6_BS

        ; ICEBP: a trap, and no single-step; not on AMD's, as QEMU 7.2 stops there
        xor eax, eax
        cpuid
        cmp ebx, 'Auth'
        je .e2
        xor eax, eax
        mov [rel count], eax
        mov dr6, rax
        db 0xf1
.e1:    nop
        want 18, [rel count], 1
        want_trap 19, 0, .e1, 0
.e2:

        ; breakpoints on an emulated instruction and on the next: RF is for one only
        lea rax, [rel .f1]
        mov dr0, rax
        lea rax, [rel .f2]
        mov dr1, rax
        xor eax, eax
        mov [rel count], eax
        mov dr6, rax
        mov eax, DR7_BOTH
        mov dr7, rax
.f1:    cpuid
.f2:    nop
        mov eax, 0x400
        mov dr7, rax
        want 20, [rel count], 2
        want_trap 21, 0, .f1, 1
        want_trap 22, 1, .f2, 2

        ; the same for an access to a device
        lea rax, [rel .g1]
        mov dr0, rax
        xor eax, eax
        mov [rel count], eax
        mov dr6, rax
        mov eax, DR7_FIRST
        mov dr7, rax
        mov eax, [r9]
.g1:    nop
        mov eax, 0x400
        mov dr7, rax
        want 23, [rel count], 1
        want_trap 24, 0, .g1, 1

        ; 32-bit code goes on at 0 behind the last bytes of 4 GiB
        mov rax, 0x1800083              ; a 2 MiB page at 24 MiB
        mov rbx, 0x15000 + 511 * 8
        mov [rbx], rax
        mov rax, cr3
        mov cr3, rax
        mov eax, 0x1800000 + 0x1ffffe
        mov word [rax], 0xa20f          ; CPUID
        xor ebx, ebx
        mov al, 0xe9                    ; at 0: jump to back
        mov [rbx], al
        lea rax, [rel back]
        sub eax, 5
        mov [rbx + 1], eax
        lea rax, [rel gdt]
        mov [rel gdt_pointer + 2], rax
        lgdt [rel gdt_pointer]
        mov eax, 0xfffffffe
        push 0x08
        push rax
        xor eax, eax
        retfq

back:                                   ; 32-bit code: the bytes of the macros mean the same
bits 32
        call .here
.here:  pop edi
        lea esi, [edi + well - .here]
        mov ecx, well_end - well
        mov edx, COM1
        rep outsb
        cli
        hlt

bits 64
failed: lea rdi, [rel number]
        mov eax, r15d
        mov cl, 10
        div cl
        add ax, '00'
        mov [rdi], ax
        lea rsi, [rel told]
        mov ecx, told_end - told
        mov edx, COM1
        rep outsb
        cli
        hlt

; Notes where and why; a breakpoint does not hit again at once, and too many end the stepping.
take_trap:
        push rax
        push rcx
        push rdx
        mov ecx, [rel count]
        cmp ecx, TRAPS_MAX
        jae .enough
        lea rdx, [rel where]
        mov rax, [rsp + 24]
        mov [rdx + rcx * 8], rax
        lea rdx, [rel why]
        mov rax, dr6
        mov [rdx + rcx * 4], eax
        inc dword [rel count]
        test eax, DR6_HIT
        jz .clear
        or dword [rsp + 24 + 16], FLAG_RF
.clear: xor eax, eax
        mov dr6, rax
        pop rdx
        pop rcx
        pop rax
        iretq
.enough:
        and dword [rsp + 24 + 16], ~FLAG_TF
        mov eax, 0x400
        mov dr7, rax
        jmp .clear

count:  dd 0
        align 8, db 0
where:  times TRAPS_MAX dq 0
why:    times TRAPS_MAX dd 0
dots:   db ".."
told:   db 13, 10, "guest: stepping failed at step "
number: db '??', 13, 10
told_end:
well:   db 13, 10, "guest: stepping is exact", 13, 10
well_end:
        align 8, db 0
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; 32-bit code
        dq 0x00cf93000000ffff
gdt_pointer: dw 23
        dq 0
idt_pointer: dw 2 * 16 - 1
        dq 0
idt:    times 2 * 16 db 0
        times 4096 db 0
stack_top:
        align 16, db 0
image_end:
