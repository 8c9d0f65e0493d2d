; Starts a multiboot (version 1) image of its own kind as the VM's kernel: an ELF file for 32-bit code, which stands in the
; initrd behind 512 bytes of text. The text becomes the image's one module, the kernel's command line its own, and the
; E820 map its memory map (Multiboot Specification 0.6.96: 3.2 machine state, 3.3 boot information).
%define PREF_ADDRESS 0x4000000          ; out of the way of what is loaded
%include "bzimage.inc"

%define AT(label)   (PREF_ADDRESS - KERNEL + (label))   ; where it stands in memory

E820_COUNT      equ 0x1e8               ; in the boot parameters
RAMDISK         equ 0x218
COMMAND_LINE    equ 0x228
E820_TABLE      equ 0x2d0

MODULE_SIZE     equ 512
INFO            equ 0x90000
MODULES         equ 0x90100
MAP             equ 0x90200
MODULE_TEXT     equ 0x91000

        mov ebp, esi
        lgdt [rel gdt_pointer]
        mov esp, AT(stack_top)
        push 0x08
        push AT(leave_long_mode)
        retfq

bits 32
leave_long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, cr0
        and eax, 0x7fffffff             ; paging off
        mov cr0, eax
        mov ecx, 0xc0000080             ; EFER.LME off
        rdmsr
        and ah, ~1
        wrmsr
        xor eax, eax
        mov cr4, eax

        cld
        mov esi, [ebp + RAMDISK]
        mov edi, MODULE_TEXT
        mov ecx, MODULE_SIZE
        rep movsb
        call write_info
        mov esi, [ebp + RAMDISK]
        add esi, MODULE_SIZE
        call load_elf
        mov edx, [esi + 24]             ; e_entry
        mov ebx, INFO
        mov eax, 0x2badb002
        jmp edx

; The segments of the ELF file at ESI.
load_elf:
        mov edx, [esi + 28]             ; e_phoff
        add edx, esi
        movzx eax, word [esi + 44]      ; e_phnum
.next:  cmp dword [edx], 1              ; PT_LOAD
        jne .skip
        push esi
        add esi, [edx + 4]
        mov edi, [edx + 12]             ; p_paddr
        mov ecx, [edx + 16]             ; p_filesz
        rep movsb
        mov ecx, [edx + 20]             ; p_memsz
        sub ecx, [edx + 16]
        push eax
        xor eax, eax
        rep stosb
        pop eax
        pop esi
.skip:  movzx ecx, word [esi + 42]      ; e_phentsize
        add edx, ecx
        dec eax
        jnz .next
        ret

; The boot information: memory, command line, one module, the memory map.
write_info:
        mov edi, INFO
        xor eax, eax
        mov ecx, 30
        rep stosd
        mov dword [INFO], 1 | 4 | 8 | 0x40
        mov dword [INFO + 4], 640       ; KiB from 0
        mov eax, [ebp + COMMAND_LINE]
        mov [INFO + 16], eax
        mov dword [INFO + 20], 1
        mov dword [INFO + 24], MODULES
        mov dword [MODULES], MODULE_TEXT
        mov dword [MODULES + 4], MODULE_TEXT + MODULE_SIZE
        mov dword [MODULES + 8], AT(empty)
        mov dword [MODULES + 12], 0
        lea esi, [ebp + E820_TABLE]
        mov edi, MAP
        movzx edx, byte [ebp + E820_COUNT]
.next:  mov eax, 20
        stosd
        cmp dword [esi], 0x100000       ; RAM above the first MiB
        jne .copy
        cmp dword [esi + 4], 0
        jne .copy
        mov eax, [esi + 8]
        shr eax, 10
        mov [INFO + 8], eax
.copy:  mov ecx, 5
        rep movsd
        dec edx
        jnz .next
        mov dword [INFO + 48], MAP
        sub edi, MAP
        mov [INFO + 44], edi
        ret

empty:  db 0
        align 16, db 0
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; 32-bit code
        dq 0x00cf93000000ffff
gdt_pointer: dw 23
        dq AT(gdt)
        align 16, db 0
        times 256 db 0
stack_top:
        align 16, db 0
image_end:
