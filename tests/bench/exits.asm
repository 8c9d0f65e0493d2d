; The bench kernel: what an exit costs, counted with RDTSC on an emulator whose TSC counts instructions. It runs alone
; in its VM with interrupts off, prints "PF-BENCH: NAME MINIMUM" lines on COM1 and powers off. Nothing is subtracted:
; the RDTSC at the end and the moves around the measured instruction count too (line "nothing" says how much that is).
%include "bzimage.inc"

ROUNDS          equ 10000
CHEAPEST_EXIT   equ 40                  ; instructions; no way out of a VM and back is so short, no plain access so long
REGION_ROOM     equ 0x80000             ; of the 1 MiB that INIT_SIZE reserves: a struct permafrost_region
STACK_TOP       equ 0x80000
MSR_APIC_BASE   equ 0x1b
MSR_DEADLINE    equ 0x6e0
MSR_EFER        equ 0xc0000080
MSR_STAR        equ 0xc0000081
MSR_LSTAR       equ 0xc0000082
EFER_SCE        equ 1
PAGE_USER       equ 4
PAGE_LARGE      equ 0x83                ; present, writable
HC_VERSION      equ 0x50460000          ; guest/abi.h
HC_REGION       equ 0x50460002
UNUSED_PORT     equ 0x80
SLEEP_STATUS    equ 0x601               ; guest/dev/platform.h, acpi_pm.h
KERNEL_CS       equ 0x10
USER_CS_BASE    equ 0x18                ; SYSRET adds 16 for CS and 8 for SS; no descriptor is read

; measure INSTRUCTIONS: leaves in R12D the minimum over ROUNDS. They may use all registers but RBP, RSP and R12 to R14.
%macro measure 1
        mov r12d, -1
        mov r13d, ROUNDS
        align 64
%%again:
        rdtsc
        mov r14d, eax
        %1
        rdtsc
        sub eax, r14d
        cmp eax, r12d
        cmovb r12d, eax
        dec r13d
        jnz %%again
%endmacro

; report NAME: prints the line with the number in R12D.
%macro report 1
        lea rsi, [rel %%text]
        call print
        mov eax, r12d
        call print_number
        jmp %%end
%%text: db "PF-BENCH: ", %1, " ", 0
%%end:
%endmacro

%macro cpuid_of 1
        mov eax, %1
        xor ecx, ecx
        cpuid
%endmacro

%macro vmcall_of 1
        mov eax, %1
        vmcall
%endmacro

%macro vmmcall_of 1
        mov eax, %1
        vmmcall
%endmacro

; measure_hypercall NUMBER: by the instruction of the CPU's vendor, chosen before the loop.
%macro measure_hypercall 1
        cmp byte [rel on_amd], 0
        jne %%amd
        measure {vmcall_of %1}
        jmp %%done
%%amd:  measure {vmmcall_of %1}
%%done:
%endmacro

%macro read_msr 1
        mov ecx, %1
        rdmsr
%endmacro

%macro write_msr_zero 1
        mov ecx, %1
        xor eax, eax
        xor edx, edx
        wrmsr
%endmacro

%macro port_out 1
        mov edx, %1
        xor eax, eax
        out dx, al
%endmacro

%macro port_in 1
        mov edx, %1
        in al, dx
%endmacro

%macro nothing 0
%endmacro

; in_user_mode MEASUREMENT: at CPL 3, as a program of a guest's user would.
%macro in_user_mode 1
        lea rcx, [rel %%kernel]
        call enter_user_mode_at
        lea rcx, [rel %%user]
        mov r11d, 2                     ; RFLAGS: interrupts stay off
        o64 sysret
%%user:
        %1
        syscall
%%kernel:
%endmacro

start:
        lea rbp, [rel $$ + KERNEL]
        lea rsp, [rbp + STACK_TOP]
        cld
        xor eax, eax
        cpuid
        cmp ebx, 'Auth'                 ; AuthenticAMD
        sete [rel on_amd]
        measure nothing
        report "nothing"
        measure {cpuid_of 0}
        report "cpuid-0"
        measure {cpuid_of 1}
        report "cpuid-1"
        measure {cpuid_of 0x40000000}
        report "cpuid-40000000"
        measure_hypercall HC_VERSION
        report "hypercall"
        measure {read_msr MSR_APIC_BASE}
        report "rdmsr-apic-base"
        measure {write_msr_zero MSR_DEADLINE}
        report "wrmsr-tsc-deadline"
        measure {port_out UNUSED_PORT}
        report "out-unused-port"
        measure {port_in SLEEP_STATUS}
        report "in-sleep-status"

        call allow_user_mode
        in_user_mode {measure {cpuid_of 0}}
        report "user-cpuid-0"
        in_user_mode {measure {cpuid_of 1}}
        report "user-cpuid-1"
        in_user_mode {measure_hypercall HC_VERSION}
        report "user-hypercall"

        call pass_over_nvram

        switch_off
.ended: hlt
        jmp .ended

; SYSCALL and SYSRET on, and the pages of this 2 MiB open to CPL 3. Uses RAX, RCX, RDX, RDI.
allow_user_mode:
        mov ecx, MSR_EFER
        rdmsr
        or eax, EFER_SCE
        wrmsr
        mov ecx, MSR_STAR
        xor eax, eax
        mov edx, USER_CS_BASE << 16 | KERNEL_CS
        wrmsr
        mov rdi, cr3
        or qword [rdi], PAGE_USER       ; this kernel is in the first GiB
        mov rdi, [rdi]
        and rdi, ~0xfff
        or qword [rdi], PAGE_USER
        mov rdi, [rdi]
        and rdi, ~0xfff
        mov rax, rbp
        shr rax, 21
        or qword [rdi + rax * 8], PAGE_USER
        mov rax, cr3
        mov cr3, rax
        ret

; SYSCALL will go to RCX. Uses RAX, RCX, RDX.
enter_user_mode_at:
        mov rax, rcx
        mov rdx, rcx
        shr rdx, 32
        mov ecx, MSR_LSTAR
        wrmsr
        ret

; Reads and writes one word of each 4 KiB of the first NVRAM region and counts those that took so long that they must
; have left the VM.
pass_over_nvram:
        mov eax, HC_REGION
        xor edi, edi
        lea rsi, [rbp + REGION_ROOM]
        hypercall
        test rax, rax
        js .none
        mov rdi, [rsi + 32]             ; gpa
        mov r15, [rsi + 40]             ; size
        add r15, rdi
        mov rax, cr3                    ; the loader's page tables end at 4 GiB: map the region's 1 GiB
        mov rax, [rax]
        and rax, ~0xfff
        mov rcx, rdi
        shr rcx, 30
        lea rdx, [rdi + PAGE_LARGE]     ; regions start on a 1 GiB border
        mov [rax + rcx * 8], rdx
        xor r12d, r12d
        xor r13d, r13d
.next:
        rdtsc
        mov r14d, eax
        mov rax, [rdi]
        mov [rdi], rax
        rdtsc
        sub eax, r14d
        cmp eax, CHEAPEST_EXIT
        setae al
        movzx eax, al
        add r12d, eax
        inc r13d
        add rdi, 4096
        cmp rdi, r15
        jb .next
        report "nvram-exits"
        mov r12d, r13d
        report "nvram-pages"
.none:  ret

%include "print.inc"

on_amd: db 0                            ; hypercalls are VMMCALL, not VMCALL
        align 16, db 0
image_end:
