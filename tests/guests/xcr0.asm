; A test guest that tries XSETBV with good and bad values (SDM vol. 1 13.3; APM vol. 2 11.5.2): bad ones raise #GP and
; change nothing, good ones are what XGETBV reads then. "xcr0: ok", or "xcr0: failed at" the number of the try; it
; switches off.
%include "bzimage.inc"
%include "interrupts.inc"

CR4_OSXSAVE     equ 1 << 18
VECTOR_UD       equ 6
VECTOR_GP       equ 13

%macro try 3                            ; XCR's number, high half, low half
        dd %1, %3, %2
%endmacro

        lea rsp, [rel stack_top]
        lea rbx, [rel idt + VECTOR_UD * 16]
        lea rax, [rel take_ud]
        call set_gate
        lea rbx, [rel idt + VECTOR_GP * 16]
        lea rax, [rel take_gp]
        call set_gate
        load_idt
        mov eax, 13                     ; what may be set at all
        xor ecx, ecx
        cpuid
        mov r12d, eax

        ; without CR4.OSXSAVE there is no XSETBV
        mov ebp, 1
        xor ecx, ecx
        mov eax, 1
        xor edx, edx
        xor r15d, r15d
        xsetbv
        cmp r15d, VECTOR_UD
        jne failed
        mov rax, cr4
        or eax, CR4_OSXSAVE
        mov cr4, rax

        lea rsi, [rel bad]
        mov r14d, VECTOR_GP
        call try_all
        lea rsi, [rel good]
        xor r14d, r14d
        call try_all
        say "xcr0: ok"
        jmp off
failed: lea rsi, [rel told]
        call print
        mov eax, ebp
        call print_number
off:    switch_off
        hlt
        jmp off

; The tries at RSI, up to one of XCR -1, end in exception R14 (0: none). EBP counts them.
try_all:
        inc ebp
        mov ecx, [rsi]
        cmp ecx, -1
        je .done
        mov eax, [rsi + 4]
        mov edx, [rsi + 8]
        add rsi, 12
        test r14d, r14d
        jnz .set
        mov ebx, r12d                   ; good, where the CPU has that
        not ebx
        test eax, ebx
        jnz try_all
.set:   mov r8d, eax
        xor ecx, ecx
        xgetbv
        mov r9d, eax                    ; as it was
        mov eax, r8d
        mov edx, [rsi - 4]
        mov ecx, [rsi - 12]
        xor r15d, r15d
        xsetbv
        cmp r15d, r14d
        jne failed
        xor ecx, ecx
        xgetbv
        test edx, edx
        jnz failed
        test r14d, r14d
        cmovz r9d, r8d
        cmp eax, r9d
        jne failed
        jmp try_all
.done:  ret

bad:    try 0, 0, 0                     ; not without x87
        try 0, 0, 2
        try 0, 0, 5                     ; AVX needs SSE
        try 0, 0, 0x27                  ; a part of AVX-512
        try 0, 0, 0xc7
        try 0, 0, 1 << 19 | 7           ; nothing has that
        try 0, 1, 7
        try 0, 1 << 31, 7
        try 1, 0, 7                     ; there is no such register
        try 0x80000000, 0, 7
        dd -1
good:   try 0, 0, 1
        try 0, 0, 3
        try 0, 0, 7
        try 0, 0, 0xe7
        try 0, 0, 7
        try 0, 0, 1
        dd -1

; An interrupt gate at RBX to the handler at RAX.
set_gate:
        fill_gate
        ret

take_gp:
        add rsp, 8
        mov r15d, VECTOR_GP
        jmp over
take_ud:
        mov r15d, VECTOR_UD
over:   add qword [rsp], 3              ; XSETBV
        iretq

%include "print.inc"

told:   db "xcr0: failed at ", 0
        empty_idt 32
        times 1024 db 0
stack_top:
        align 16, db 0
image_end:
