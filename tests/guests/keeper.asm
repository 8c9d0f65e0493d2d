; A test guest that keeps a count in its first NVRAM region, for ever: each number goes to a line of its own, flushed and
; fenced, then to the region's first word, flushed and fenced, and only then is told: "keeper: count 0000002a". At its
; start it tells what it finds and whether number and line agree: "keeper: found 00000029 ok" (or "no").
%include "bzimage.inc"

REGION          equ 0x50460002          ; PERMAFROST_HC_REGION, guest/abi.h
REGION_GPA      equ 32                  ; in struct permafrost_region
LSR             equ COM1 + 5
ROUND           equ 2000000             ; instructions between two numbers
LINES           equ 4096
FIRST_LINE      equ 4096                ; bytes
DIRECTORY       equ 0x400000            ; a page of zeroed RAM
PRESENT_WRITE   equ 3
LARGE           equ 0x80

        lea rsp, [rel stack_end]
        sti
        mov eax, REGION
        xor edi, edi
        lea rsi, [rel region]
        hypercall
        test rax, rax
        jnz .none
        mov rbp, [rel region + REGION_GPA]
        call map_region
        mov ebx, [rbp]
        call line_of
        mov dword [rel found_end - 5], ' ok' | 13 << 24
        cmp [rdi], ebx
        je .tell
        mov dword [rel found_end - 5], ' no' | 13 << 24
.tell:  lea rsi, [rel found]
        mov ecx, found_end - found
        call tell_number
.next:  inc ebx
        call line_of
        mov [rdi], ebx
        clflush [rdi]
        sfence
        mov [rbp], ebx
        clflush [rbp]
        sfence
        lea rsi, [rel count]
        mov ecx, count_end - count
        call tell_number
        mov ecx, ROUND / 2
.more:  dec ecx
        jnz .more
        mov dx, LSR                     ; an exit, so that what is typed is taken
        in al, dx
        jmp .next
.none:  say "keeper: no region"
.stop:  hlt
        jmp .stop

; The loader's tables (CR3) end at 4 GiB, where regions begin: map the first 4 MiB of the one at RBP to itself
map_region:
        mov rax, cr3
        mov rax, [rax]                  ; entry 0 of the PML4: the table of GiBs
        and rax, ~4095
        mov rcx, rbp
        shr rcx, 30
        mov qword [rax + rcx * 8], DIRECTORY + PRESENT_WRITE
        lea rax, [rbp + LARGE + PRESENT_WRITE]
        mov [DIRECTORY], rax
        add rax, 0x200000
        mov [DIRECTORY + 8], rax
        ret

; RDI = where number EBX has its line
line_of:
        mov edi, ebx
        and edi, LINES - 1
        shl edi, 6
        lea rdi, [rbp + rdi + FIRST_LINE]
        ret

; The text of ECX bytes at RSI, EBX put in as 8 digits 14 bytes behind its start
tell_number:
        lea rdi, [rsi + 14]
        mov eax, ebx
        mov r8d, 8
.digit: rol eax, 4
        mov edx, eax
        and edx, 15
        cmp dl, 10
        jb .low
        add dl, 'a' - '0' - 10
.low:   add dl, '0'
        mov [rdi], dl
        inc rdi
        dec r8d
        jnz .digit
        mov dx, COM1
.next:  mov al, [rsi]
        out dx, al
        inc rsi
        loop .next
        ret

found:  db "keeper: found 00000000 ok", 13, 10
found_end:
count:  db "keeper: count 00000000", 13, 10
count_end:
        align 16, db 0
region: times 64 db 0
        times 128 db 0
stack_end:
image_end:
