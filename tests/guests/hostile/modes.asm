; The hostile guest's ways into every mode of the CPU and back. A run ends with any exception or interrupt: all tables
; lead to `ended`, which drops what the run left behind and returns from run_enter.

%include "modes.inc"

EFER            equ 0xc0000080
EFER_OWN        equ 0x900               ; NXE, LME; the rest is machine_restore's
CR4_OWN         equ 0x220               ; PAE, OSFXSR
CR0_OWN         equ 0x80010033          ; PG, WP, NE, ET, MP, PE
X2APIC_ID       equ 0x802
X2APIC_EOI      equ 0x80b
KERNEL_STACK32  equ 0x9000              ; of legacy modes, grows down
REAL_CODE       equ 0x8000              ; real_blob's place
REAL_FRAME      equ 0x8800              ; what real_down takes its registers from

extern machine_gdt, machine_gdt_pointer, machine_idt_pointer, machine_idt32_pointer, machine_root
global start, run_enter, machine_call, stubs, legacy_back, real_blob, real_blob_end, real_up, real_ivt_offset
extern guest_main

section .start
bits 64
start:
        mov esp, stack_top
        mov rdi, rsi                    ; boot parameters
        call guest_main
        hlt

section .text
; unsigned run_enter(const struct run *)
run_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [resume], rsp
        cmp qword [rdi + RUN_MODE], MODE_32
        jae legacy_down
        mov eax, [rdi + RUN_DS]
        mov ds, eax
        mov eax, [rdi + RUN_ES]
        mov es, eax
        mov eax, [rdi + RUN_FS]
        mov fs, eax
        mov eax, [rdi + RUN_GS]
        mov gs, eax
        push qword [rdi + RUN_SS]
        push qword [rdi + 4 * 8]
        push qword [rdi + RUN_RFLAGS]
        push qword [rdi + RUN_CS]
        push qword [rdi + RUN_RIP]
        mov rax, [rdi]
        mov rcx, [rdi + 8]
        mov rdx, [rdi + 16]
        mov rbx, [rdi + 24]
        mov rbp, [rdi + 40]
        mov rsi, [rdi + 48]
        mov r8, [rdi + 64]
        mov r9, [rdi + 72]
        mov r10, [rdi + 80]
        mov r11, [rdi + 88]
        mov r12, [rdi + 96]
        mov r13, [rdi + 104]
        mov r14, [rdi + 112]
        mov r15, [rdi + 120]
        mov rdi, [rdi + 56]
        iretq

; void machine_call(void (*)(void))
machine_call:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [resume], rsp
        mov rax, rdi
        sub rsp, 8
        call rax
        add rsp, 8
        jmp leave_run

; 256 entries of 10 bytes for the 64-bit table; the stack is that of the interrupt stack table
align 16
stubs:
%assign vector 0
%rep 256
        push strict dword vector
        jmp strict near ended
%assign vector vector + 1
%endrep

ended:
        cld
        pop rax
back64:
        mov rsp, [resume]
        mov ecx, DATA_0
        mov ds, ecx
        mov es, ecx
        mov ss, ecx
        mov fs, ecx
        mov gs, ecx
        cmp eax, 32
        jb .no_eoi
        mov r8d, eax
        mov ecx, X2APIC_EOI
        xor eax, eax
        xor edx, edx
        wrmsr
        mov eax, r8d
.no_eoi:
leave_run:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

legacy_down:
        mov [current], edi
        push CODE32_0
        push legacy_32
        retfq
bits 32
legacy_32:
        mov eax, DATA_0
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        mov ecx, EFER
        xor eax, eax
        xor edx, edx
        wrmsr
        mov edi, [current]
        mov eax, [edi + RUN_CR4]
        mov cr4, eax
        mov eax, [edi + RUN_CR3]
        mov cr3, eax
        cmp dword [edi + RUN_MODE], MODE_REAL
        je real_32
        mov eax, [edi + RUN_CR0]
        mov cr0, eax
        lidt [machine_idt32_pointer]
        and byte [machine_gdt + TSS32 + 5], ~2
        mov eax, TSS32
        ltr ax
        mov esp, KERNEL_STACK32 - 256
        cmp dword [edi + RUN_MODE], MODE_V86
        je .v86
        cmp dword [edi + RUN_CPL], 0
        je .ring_0
        push dword [edi + RUN_SS]
        push dword [edi + 4 * 8]
        jmp .frame
.ring_0:
        mov eax, [edi + 4 * 8]
        mov ss, [edi + RUN_SS]
        mov esp, eax
.frame: push dword [edi + RUN_RFLAGS]
        push dword [edi + RUN_CS]
        push dword [edi + RUN_RIP]
        push dword [edi + RUN_DS]
        push dword [edi + RUN_ES]
        push dword [edi + RUN_FS]
        push dword [edi + RUN_GS]
        call load_32
        pop gs
        pop fs
        pop es
        pop ds
        iretd
.v86:   push dword [edi + RUN_GS]
        push dword [edi + RUN_FS]
        push dword [edi + RUN_DS]
        push dword [edi + RUN_ES]
        push dword [edi + RUN_SS]
        push dword [edi + 4 * 8]
        or dword [edi + RUN_RFLAGS], 0x20000
        push dword [edi + RUN_RFLAGS]
        push dword [edi + RUN_CS]
        push dword [edi + RUN_RIP]
        call load_32
        iretd

load_32:
        mov eax, [edi]
        mov ecx, [edi + 8]
        mov edx, [edi + 16]
        mov ebx, [edi + 24]
        mov ebp, [edi + 40]
        mov esi, [edi + 48]
        mov edi, [edi + 56]
        ret

; Into real mode by a 16-bit segment at 0
real_32:
        mov eax, DATA16_LOW
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, REAL_FRAME
        jmp CODE16_LOW:REAL_CODE

; Out of any legacy mode: nothing but CS is known
legacy_back:
        mov eax, DATA_0
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esp, KERNEL_STACK32
        cld
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        mov eax, CR4_OWN
        mov cr4, eax
        mov eax, [machine_root]
        mov cr3, eax
        mov ecx, EFER
        mov eax, EFER_OWN
        xor edx, edx
        wrmsr
        mov eax, CR0_OWN
        mov cr0, eax
        jmp CODE64_0:.wide
bits 64
.wide:  lidt [machine_idt_pointer]
        and byte [machine_gdt + TSS64 + 5], ~2
        mov eax, TSS64
        ltr ax
        mov eax, 256
        jmp back64

; Copied to REAL_CODE
bits 16
real_blob:
        lidt [cs:REAL_CODE + .table - real_blob]
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:REAL_CODE + .real - real_blob
.real:  xor ax, ax
        mov ss, ax
        mov sp, REAL_FRAME
        pop gs
        pop fs
        pop es
        pop ds
        popad
        lss sp, [cs:REAL_FRAME + 40]
        push word [cs:REAL_FRAME + 48]
        push word [cs:REAL_FRAME + 46]
        push word [cs:REAL_FRAME + 44]
        iret
.table: dw 0x3ff
        dd 0
real_up:
        cli
        mov ecx, X2APIC_ID
        rdmsr
        test eax, eax
        jnz .astray
        o32 lgdt [cs:REAL_CODE + .gdt - real_blob]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE32_0:legacy_back
.astray:                                ; the second vCPU, started anywhere, would use the first one's stack
        hlt
        jmp .astray
.gdt:   dw GDT_LIMIT
        dd machine_gdt
real_blob_end:

section .rodata
real_ivt_offset: dd REAL_CODE + (real_up - real_blob)

section .bss
resume: resq 1
current: resq 1
alignb 16
        resb 16384
stack_top:
