; Multiboot2 header and the way from the loader's 32-bit protected mode to C in 64-bit mode.
; Multiboot2 specification 3.1 (header) and 3.3 (machine state: EAX magic, EBX information structure).
; Our own EFI loader enters in 64-bit mode (boot_info.h) and is led to the same way.

bits 32

MB2_MAGIC       equ 0xe85250d6
MB2_LOADED_BY   equ 0x36d76289
CR0_PG          equ 1 << 31
CR0_ON          equ 0x80010033          ; PG WP NE ET MP PE
INFO_MAGIC      equ 0x6f666e69          ; BOOT_INFO_MAGIC
CR4_PAE         equ 1 << 5
CR4_PCIDE_CET   equ (1 << 17) | (1 << 23)
MSR_EFER        equ 0xc0000080
EFER_LME        equ 1 << 8
EFER_NXE        equ 1 << 11
MSR_MISC_ENABLE equ 0x1a0
XD_DISABLE      equ 34 - 32             ; in EDX
X1_EDX_NX       equ 20
GENU            equ 0x756e6547          ; "Genu", of Intel's CPUs
PTE_RW          equ 3                   ; present, writable
PTE_RW_LARGE    equ 0x83                ; and a 2 MiB page
EARLY_GIB       equ 4                   ; identity-mapped until boot/main.c builds the real tables

section .multiboot2 align=8
header:
        dd MB2_MAGIC, 0, header_end - header, -(MB2_MAGIC + (header_end - header)) & 0xffffffff
        align 8
        dw 1, 0                         ; information request: command line and memory map
        dd 16
        dd 1, 6
        align 8
        ; No framebuffer tag: BIOS machines keep their text mode (asked for a mode, GRUB 2.06 crashes
        ; on Bochs), and UEFI machines get a framebuffer from GRUB in any case.
        dw 4, 1                         ; console flags: EGA text is supported (optional tag)
        dd 12
        dd 2
        align 8
        dw 6, 0                         ; modules on page borders
        dd 8
        align 8
        dw 0, 0
        dd 8
header_end:

section .text.entry progbits alloc exec nowrite
global boot_entry
extern boot_main, smp_main

boot_entry:
        cli
        cld
        mov esp, boot_stack_top
        mov esi, ebx                    ; second argument of boot_main
        mov edi, eax                    ; first argument
        mov eax, 0x80000000             ; is there a long mode at all?
        cpuid
        cmp eax, 0x80000001
        jb .no_long_mode
        mov eax, 0x80000001
        cpuid
        bt edx, 29
        jnc .no_long_mode
        ; PML4[0] -> PDPT -> EARLY_GIB page directories of 2 MiB pages
        mov eax, early_pdpt + PTE_RW
        mov [early_pml4], eax
        mov ecx, 0
.pdpt:
        mov eax, ecx
        shl eax, 12
        add eax, early_pd + PTE_RW
        mov [early_pdpt + ecx * 8], eax
        inc ecx
        cmp ecx, EARLY_GIB
        jb .pdpt
        mov ecx, 0
.pd:
        mov eax, ecx
        shl eax, 21
        or eax, PTE_RW_LARGE
        mov [early_pd + ecx * 8], eax
        inc ecx
        cmp ecx, EARLY_GIB * 512
        jb .pd
        mov ebx, early_pml4
        mov ebp, .call_main
        jmp to_long_mode
.no_long_mode:
        mov edi, 0xb8000                ; nothing else is known to be there yet
        mov esi, no_long_mode_text
        mov ah, 0x0f
.text:
        lodsb
        test al, al
        jz .stop
        stosw
        mov dx, 0x3f8
        out dx, al
        jmp .text
.stop:
        hlt
        jmp .stop

bits 64
.call_main:
        mov esp, boot_stack_top
        xor ebp, ebp
        call boot_main
        ud2

; From 32-bit mode without paging to EBP in 64-bit mode, with the page tables EBX. Nothing is inherited from the firmware:
; neither levels of paging, protection keys and the like in CR4, nor bits of CR0 and EFER.
bits 32
to_long_mode:
        mov eax, CR4_PAE
        mov cr4, eax
        mov cr3, ebx
        xor eax, eax                    ; an Intel CPU may have been told to hide NX: SDM vol. 4, table 2-2
        cpuid
        cmp ebx, GENU
        jne .ask
        mov ecx, MSR_MISC_ENABLE
        rdmsr
        btr edx, XD_DISABLE
        jnc .ask
        wrmsr
.ask:
        mov eax, 0x80000001
        cpuid
        and edx, 1 << X1_EDX_NX
        shr edx, X1_EDX_NX - 11         ; EFER_NXE, where there is NX
        lea eax, [edx + EFER_LME]
        xor edx, edx
        mov ecx, MSR_EFER
        wrmsr
        mov eax, CR0_ON
        mov cr0, eax
        lgdt [early_gdt_pointer]
        jmp 0x08:.long_mode
bits 64
.long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov ebp, ebp                    ; the high half is not defined
        jmp rbp

; RDI: struct boot_info, below 4 GiB. The firmware's page tables map this code one to one, but may have five levels, and
; LA57 can be changed with paging off only: back to 32-bit mode, where all tables are our own.
global boot_entry_info
boot_entry_info:
        endbr64                         ; the firmware may have told the CPU to demand it
        cli
        cld
        mov rax, cr4                    ; what would keep paging from being switched off, and RET from returning
        and eax, ~CR4_PCIDE_CET
        mov cr4, rax
        mov ebx, edi
        mov esp, boot_stack_top
        lgdt [early_gdt_pointer]
        push 0x18
        push .protected
        o64 retf

bits 32
.protected:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, cr0
        and eax, ~CR0_PG
        mov cr0, eax
        mov eax, INFO_MAGIC
        jmp boot_entry

; The other CPUs, started one at a time by smp.c, which copies this code below 1 MiB: real mode,
; CS is where it stands. All control registers are as INIT left them, CR0.CD and NW set.
bits 16
global smp_code, smp_code_end
smp_code:
        cli
        mov ax, cs
        mov ds, ax
        o32 lgdt [smp_gdt_pointer - smp_code]
        mov eax, 1
        mov cr0, eax
        jmp dword 0x18:smp_protected
smp_gdt_pointer:
        dw early_gdt_pointer - early_gdt - 1
        dd early_gdt
smp_code_end:

bits 32
smp_protected:
        mov eax, 0x10
        mov ds, eax
        mov ebx, [smp_cr3]
        mov ebp, .take_stack
        jmp to_long_mode
bits 64
.take_stack:
        xor eax, eax
        xchg rax, [smp_stack]
        test rax, rax
        jz .stop                        ; too late: nobody waits
        mov rsp, rax
        xor ebp, ebp
        call smp_main
.stop:
        cli
        hlt
        jmp .stop

section .rodata
no_long_mode_text:
        db "permafrost: error: no 64-bit mode: CPUID.80000001:EDX bit 29 is 0", 0
        align 8
early_gdt:
        dq 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
early_gdt_pointer:
        dw early_gdt_pointer - early_gdt - 1
        dq early_gdt

section .bss
global smp_cr3, smp_stack
smp_cr3:        resd 1
        alignb 8
smp_stack:      resq 1
        alignb 4096
early_pml4:     resb 4096
early_pdpt:     resb 4096
early_pd:       resb 4096 * EARLY_GIB
global boot_stack
boot_stack:     resb 4096               ; guard page, left out of the real page tables
                resb 32768
global boot_stack_top
boot_stack_top:

section .note.GNU-stack noalloc noexec nowrite progbits
