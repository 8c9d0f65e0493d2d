; Test firmware: an option ROM that answers INT 15h AX=E820h with a table given at build time, so that a machine
; without NVRAM reports some. Build: nasm -f bin -DTABLE='"file"', the file holding `range BASE, LENGTH, TYPE` rows.
; The checksum byte (the last one) is filled in by the builder. ACPI 6.4, 15.1; PCI firmware 3.0, 5.2.

bits 16
org 0

SMAP            equ 0x534d4150
ROW_BYTES       equ 20
; A ROM may be read-only and the original vector must be kept somewhere: INT 64h is one of the vectors left to users.
VECTOR_15       equ 0x15 * 4
VECTOR_SAVED    equ 0x64 * 4

%macro range 3
        dq %1
        dq %2
        dd %3
%endmacro

        db 0x55, 0xaa
        db ROM_BYTES / 512
        jmp near init

; Called by the firmware's POST with a far call, interrupts as they are.
init:
        pushf
        cli
        push ds
        push eax
        xor ax, ax
        mov ds, ax
        mov eax, [VECTOR_15]
        mov [VECTOR_SAVED], eax
        mov word [VECTOR_15], handler
        mov [VECTOR_15 + 2], cs
        pop eax
        pop ds
        popf
        retf

; EAX=E820h, EDX='SMAP', EBX=row (0 first), ECX=buffer size, ES:DI=buffer
; -> EAX='SMAP', EBX=next row or 0, ECX=20, carry clear.
handler:
        cmp eax, 0xe820
        jne .others
        cmp edx, SMAP
        jne .others
        cmp ecx, ROW_BYTES
        jb .bad
        cmp ebx, ROWS
        jae .bad
        push si
        push di
        cld
        imul si, bx, ROW_BYTES
        add si, table
        mov cx, ROW_BYTES / 2
.copy:
        mov ax, [cs:si]
        stosw
        add si, 2
        loop .copy
        pop di
        pop si
        inc ebx
        cmp ebx, ROWS
        jb .more
        xor ebx, ebx
.more:
        mov eax, SMAP
        mov ecx, ROW_BYTES
        push bp
        mov bp, sp
        and byte [bp + 6], 0xfe         ; carry in the caller's saved flags
        pop bp
        iret
.bad:
        push bp
        mov bp, sp
        or byte [bp + 6], 0x01
        pop bp
        iret
.others:
        push eax                        ; leaves room for the far address below the saved registers
        push bp
        push ds
        xor bp, bp
        mov ds, bp
        mov bp, sp
        push eax
        mov eax, [VECTOR_SAVED]
        mov [bp + 4], eax
        pop eax
        pop ds
        pop bp
        retf

table:
%include TABLE
ROWS equ ($ - table) / ROW_BYTES
ROM_BYTES equ ($ - $$) / 2048 * 2048 + 2048
%if ROWS == 0
%error "the table has no rows"
%endif

        times ROM_BYTES - 1 - ($ - $$) db 0
        db 0                            ; checksum, filled in by the builder
