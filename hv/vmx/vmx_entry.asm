; VM entry and exit. The host's stack pointer during guest operation is the end of the vCPU's
; register array (struct vcpu in hv/virt.h), so that pushes on exit store the guest's registers in
; place. SDM vol. 3 26 and 27.

bits 64
%include "build/gen/offsets.inc"

section .text

extern vmx_exit_fast

; RSP is at the registers: load them all. LEA keeps the flags of a TEST before.
%macro load_guest 0
        pop rax
        pop rcx
        pop rdx
        pop rbx
        lea rsp, [rsp + 8]              ; the guest's RSP is in the VMCS
        pop rbp
        pop rsi
        pop rdi
        pop r8
        pop r9
        pop r10
        pop r11
        pop r12
        pop r13
        pop r14
        pop r15
%endmacro

; unsigned vmx_enter(struct vcpu *vcpu, unsigned launched)
; Returns 0 after a VM exit that vmx_exit_fast did not settle; 1 when VMLAUNCH or VMRESUME itself failed (reason in RFLAGS, and in the
; VMCS when there is a current one).
global vmx_enter
vmx_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rdi + VCPU_HOST_RSP], rsp
        mov rsp, rdi
        test esi, esi
        load_guest
        jz .launch
        vmresume
        jmp entry_failed
.launch:
        vmlaunch
entry_failed:
        mov rsp, [rsp]                  ; vcpu->host_rsp stands right behind the registers
        mov eax, 1
        jmp restore_host

global vmx_exit_entry
vmx_exit_entry:
        push r15
        push r14
        push r13
        push r12
        push r11
        push r10
        push r9
        push r8
        push rdi
        push rsi
        push rbp
        push rax                        ; the slot of RSP, not used
        push rbx
        push rdx
        push rcx
        push rax
        mov rdi, rsp
        mov rbx, rsp                    ; kept by the call
        mov rsp, [rsp + VCPU_HOST_RSP]
        call vmx_exit_fast
        test al, al
        jz restore_host                 ; EAX is 0
        mov rsp, rbx
        load_guest
        vmresume
        jmp entry_failed
restore_host:
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

section .note.GNU-stack noalloc noexec nowrite progbits
