; A test guest that counts what may never happen: an interrupt while IF is 0, a vector within its own service or that
; nobody has asked for, an exception twice or without its cause, a breakpoint after the last one is gone from the code.
; "once=N,V" on its command line: N interrupts on V vCPUs, 1 or 2; each has a timer, two send each other an IPI in turn, and the
; first changes code that both execute, in the manner of Linux (a breakpoint, an IPI to all, the new code, an IPI to all).
; Its locked access to a word that is not aligned has QEMU stop all other CPUs at any place. It ends with the counts and
; "once: ok" or "once: failed", whatever the number of late breakpoints, which QEMU makes itself; and switches off.
%include "bzimage.inc"
%include "interrupts.inc"

BASE_X2APIC     equ 0xc00
TRAMPOLINE      equ 0x8000
CODE            equ 0x10                ; as Linux's boot protocol has it
DATA            equ 0x18
IF              equ 1 << 9
NOP_CODE        equ 0x90
INT3_CODE       equ 0xcc
NO_MSR          equ 0x12345
NO_MEMORY       equ 5 << 30             ; not mapped by the loader's tables
DEFAULT_COUNT         equ 100000

TIMER           equ 0x41
TOKEN           equ 0x51
SYNC            equ 0x61
SPURIOUS        equ 0x7f

; What a vCPU counts; R13 is where, also in handlers.
struc VCPU
.interrupts     resq 1
.breakpoints    resq 1
.armed          resq 1                  ; its timer is
.tokens_asked   resq 1                  ; by the other one
.tokens         resq 1
.token          resq 1                  ; it has one, to be sent back
.syncs_asked    resq 1
.syncs          resq 1
.serving        resq 1                  ; a bit a vector
.faults_asked   resq 1
.faults         resq 1
.fault_at       resq 1                  ; RIP of the last
.rounds         resq 1
.wrong:
.if_off         resq 1
.twice          resq 1
.unasked        resq 1
.fault_wrong    resq 1
.late           resq 1
.other          resq 1
.id             resq 1
                alignb 64
                resb 2
.split          resd 1
                alignb 64
endstruc

%macro gate 2                           ; vector, handler
        lea rax, [rel %2]
        mov ebx, %1
        call set_gate
%endmacro

%macro begin_irq 1                      ; bit in .serving
        push rax
        push rcx
        push rdx
        test dword [rsp + 24 + 16], IF
        jnz %%on
        inc qword [r13 + VCPU.if_off]
%%on:   bts dword [r13 + VCPU.serving], %1
        jnc %%once
        inc qword [r13 + VCPU.twice]
%%once: inc qword [r13 + VCPU.interrupts]
        mov ecx, 60                     ; a second one would come within
        loop $
%endmacro

%macro end_irq 1
        btr dword [r13 + VCPU.serving], %1
        wrapic APIC_EOI, 0
        pop rdx
        pop rcx
        pop rax
        iretq
%endmacro

; An instruction of two bytes that faults, and whether its exception came once.
%macro fault 1+
        inc qword [r13 + VCPU.faults_asked]
        lea rax, [rel %%at]
        mov [r13 + VCPU.fault_at], rax
%%at:   %1
        call check_fault
%endmacro

        lea rsp, [rel stack_0]
        call read_command
        call make_tables
        mov ecx, APIC_BASE
        rdmsr
        or eax, BASE_X2APIC
        wrmsr
        lea r13, [rel cpu_0]
        lea rax, [rel cpu_1]
        mov [r13 + VCPU.other], rax
        mov [rax + VCPU.other], r13
        mov qword [rax + VCPU.id], 1
        cmp byte [rel vcpus], 2
        jne start
        call start_second

start:  lgdt [rel gdt_pointer]
        lidt [rel idt_pointer]
        mov eax, DATA
        mov ss, eax
        wrapic APIC_SVR, 0x100 | SPURIOUS
        wrapic APIC_DIVIDE, 0xb
        wrapic APIC_TIMER, TIMER
        sti
        cmp byte [rel vcpus], 2
        jne round
        cmp qword [r13 + VCPU.id], 0
        jne .ready
        mov qword [r13 + VCPU.token], 1  ; one at all: of two, both IPIs could wait as one
.ready: lock inc byte [rel ready]
.wait:  pause
        cmp byte [rel ready], 2
        jne .wait

round:  inc qword [r13 + VCPU.rounds]
        call arm
        call patched
        fault ud2
        mov ecx, NO_MSR
        fault rdmsr
        mov rbx, NO_MEMORY
        fault mov al, [rbx]
        call send_token
        test dword [r13 + VCPU.rounds], 7
        jnz .first
        cli
        mov ecx, 100
        loop $
        sti
.first: cmp qword [r13 + VCPU.id], 0
        jne .rest
        lock inc dword [r13 + VCPU.split]
        call patch
        mov rax, [rel cpu_0 + VCPU.interrupts]
        add rax, [rel cpu_1 + VCPU.interrupts]
        cmp rax, [rel wanted]
        jae finish
.rest:  test dword [r13 + VCPU.rounds], 63
        jnz round
        cli
        call arm
        sti
        hlt                             ; the timer wakes it
        jmp round

send_token:
        cmp qword [r13 + VCPU.token], 0
        je no_token
        mov qword [r13 + VCPU.token], 0
        mov rbx, [r13 + VCPU.other]
        inc qword [rbx + VCPU.tokens_asked]
        mov eax, TOKEN
send:   mov edx, [rbx + VCPU.id]        ; EAX, the command, to the one at RBX
        mov ecx, APIC_ICR
        wrmsr
no_token:
        ret

; The one instruction that is changed, a NOP or a breakpoint.
patched:
        nop
site:   nop
        nop
        ret

; Puts the breakpoint in, has everybody see that, takes it out, has everybody see that.
patch:
        mov byte [rel poking], 1
        mov byte [rel site], INT3_CODE
        call sync
        mov byte [rel site], NOP_CODE
        call sync
        mov byte [rel poking], 0
        ret

sync:
        cpuid                           ; serializes
        cmp byte [rel vcpus], 2
        jne .done
        mov rbx, [r13 + VCPU.other]
        inc qword [rbx + VCPU.syncs_asked]
        mov eax, SYNC
        call send
        mov rax, [rbx + VCPU.syncs_asked]
.wait:  pause
        cmp [rbx + VCPU.syncs], rax
        jb .wait
.done:  ret

check_fault:
        mov rax, [r13 + VCPU.faults_asked]
        cmp [r13 + VCPU.faults], rax
        je .once
        inc qword [r13 + VCPU.fault_wrong]
        mov [r13 + VCPU.faults], rax
.once:  ret

; The timer, unless it runs, for a time that is not the same twice.
arm:    cmp qword [r13 + VCPU.armed], 0
        jne .done
        mov qword [r13 + VCPU.armed], 1
        rdtsc
        and eax, 0xfff
        add eax, 200
        xor edx, edx
        mov ecx, APIC_INITIAL
        wrmsr
.done:  ret

take_timer:
        begin_irq 0
        cmp qword [r13 + VCPU.armed], 1
        je .asked
        inc qword [r13 + VCPU.unasked]
.asked: mov qword [r13 + VCPU.armed], 0
        end_irq 0

take_token:
        begin_irq 1
        inc qword [r13 + VCPU.tokens]
        mov rax, [r13 + VCPU.tokens_asked]
        cmp [r13 + VCPU.tokens], rax
        je .asked
        inc qword [r13 + VCPU.unasked]
        mov [r13 + VCPU.tokens], rax
.asked: mov qword [r13 + VCPU.token], 1
        end_irq 1

take_sync:
        begin_irq 2
        mov rax, [r13 + VCPU.syncs]
        inc rax
        cmp [r13 + VCPU.syncs_asked], rax
        je .asked
        inc qword [r13 + VCPU.unasked]
        mov rax, [r13 + VCPU.syncs_asked]
.asked: btr dword [r13 + VCPU.serving], 2
        mov [r13 + VCPU.syncs], rax      ; the other one goes on
        end_irq 2

take_breakpoint:
        push rax
        inc qword [r13 + VCPU.breakpoints]
        cmp byte [rel poking], 0
        jne .due
        inc qword [r13 + VCPU.late]
.due:   lea rax, [rel site + 1]
        cmp [rsp + 8], rax
        je .here
        inc qword [r13 + VCPU.fault_wrong]
.here:  pop rax
        iretq

take_page_fault:
take_protection:
        add rsp, 8                      ; the error code
take_undefined:
        push rax
        inc qword [r13 + VCPU.faults]
        mov rax, [rsp + 8]
        cmp rax, [r13 + VCPU.fault_at]
        je .here
        inc qword [r13 + VCPU.fault_wrong]
.here:  add qword [rsp + 8], 2
        pop rax
        iretq

take_spurious:
        iretq

; The other vCPU, by way of real mode.
start_second:
        lea rsi, [rel second]
        mov edi, TRAMPOLINE
        mov ecx, second_end - second
        rep movsb
        mov rax, cr3
        mov [TRAMPOLINE + second_cr3 - second], eax
        lea rax, [rel second_begins]
        mov [TRAMPOLINE + second_entry - second], rax
        wrapic APIC_SVR, 0x100 | SPURIOUS
        lea rbx, [rel cpu_1]
        mov eax, 0x4500
        call send
        mov eax, 0x4600 | TRAMPOLINE >> 12
        jmp send

second_begins:
        lea rsp, [rel stack_1]
        lea r13, [rel cpu_1]
        jmp start

        align 8, db 0
second:
        bits 16
        cli
        mov ax, cs
        mov ds, ax
        o32 lgdt [second_gdt_pointer - second]
        mov eax, 0x20                   ; PAE
        mov cr4, eax
        mov eax, [second_cr3 - second]
        mov cr3, eax
        mov ecx, 0xc0000080
        mov eax, 0x100                  ; EFER.LME
        xor edx, edx
        wrmsr
        mov eax, 0x80000031             ; PG, NE, ET, PE
        mov cr0, eax
        jmp dword CODE:TRAMPOLINE + second_long - second
        bits 64
second_long:
        mov eax, DATA
        mov ds, eax
        mov es, eax
        mov ss, eax
        jmp [rel second_entry]
        align 8, db 0
second_gdt:
        dq 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
second_gdt_pointer:
        dw 31
        dd TRAMPOLINE + second_gdt - second
second_cr3:
        dd 0
second_entry:
        dq 0
second_end:

; RAX = the number at RSI, which is moved behind it.
read_number:
        xor eax, eax
.digit: movzx ecx, byte [rsi]
        sub ecx, '0'
        cmp ecx, 9
        ja .done
        imul rax, rax, 10
        add rax, rcx
        inc rsi
        jmp .digit
.done:  ret

; RSI = boot parameters
read_command:
        mov esi, [rsi + 0x228]
.next:  cmp byte [rsi], 0
        je .none
        inc rsi
        cmp dword [rsi - 1], 'once'
        jne .next
        cmp byte [rsi + 3], '='
        jne .next
        add rsi, 4
        call read_number
        mov [rel wanted], rax
        inc rsi
        call read_number
        mov [rel vcpus], al
.none:  ret

; An interrupt gate for vector EBX to the handler at RAX.
set_gate:
        shl ebx, 4
        lea rcx, [rel idt]
        add rbx, rcx
        fill_gate CODE
        ret

make_tables:
        gate 3, take_breakpoint
        gate 6, take_undefined
        gate 13, take_protection
        gate 14, take_page_fault
        gate TIMER, take_timer
        gate TOKEN, take_token
        gate SYNC, take_sync
        gate SPURIOUS, take_spurious
        lea rax, [rel idt]
        mov [rel idt_pointer + 2], rax
        lea rax, [rel gdt]
        mov [rel gdt_pointer + 2], rax
        ret

; The count at offset EBX in what the vCPUs count, of both, with the text at RSI before it; its sum to R12.
tell_count:
        call print
        lea rcx, [rel cpu_0]
        lea rdx, [rel cpu_1]
        mov rax, [rcx + rbx]
        add rax, [rdx + rbx]
        add r12, rax
        jmp print_number

%macro count 2                          ; text, offset
        lea rsi, [rel %%text]
        mov ebx, %2
        call tell_count
        jmp %%end
%%text: db "once: ", %1, " ", 0
%%end:
%endmacro

finish: cli
        count "interrupts", VCPU.interrupts
        count "breakpoints", VCPU.breakpoints
        count "faults", VCPU.faults
        xor r12d, r12d
        count "interrupts with IF off", VCPU.if_off
        count "interrupts within their own", VCPU.twice
        count "interrupts that nobody asked for", VCPU.unasked
        count "faults not once", VCPU.fault_wrong
        mov r15, r12
        count "breakpoints too late", VCPU.late
        test r15, r15
        jnz .bad
        say "once: ok"
        jmp .off
.bad:   say "once: failed"
.off:   switch_off
        hlt
        jmp .off

%include "print.inc"

wanted: dq DEFAULT_COUNT
vcpus:  db 1
ready:  db 0
poking: db 0
gdt_pointer:
        dw 31
        dq 0
idt_pointer:
        dw 128 * 16 - 1
        dq 0
        align 16, db 0
gdt:    dq 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
idt:    times 128 * 16 db 0
        align 64, db 0
cpu_0:  times VCPU_size db 0
cpu_1:  times VCPU_size db 0
        times 4096 db 0
stack_0:
        times 4096 db 0
stack_1:
        align 16, db 0
image_end:
