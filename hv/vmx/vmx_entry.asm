; World switch of VT-x. While the guest runs, the host's stack pointer in the VMCS is the end of the vCPU's register array
; (struct vcpu in hv/virt.h), so that pushes after an exit store the guest's registers in place. The guest's RSP is in
; the VMCS. SDM vol. 3 26 and 27.

bits 64
%include "build/gen/offsets.inc"
%include "hv/switch.inc"

section .text

extern vmx_exit_fast

; unsigned vmx_enter(struct vcpu *vcpu, unsigned launched)
; Returns 0 after a VM exit that vmx_exit_fast did not settle; 1 when VMLAUNCH or VMRESUME itself failed (the reason is in
; RFLAGS, and in the VMCS when there is a current one).
global vmx_enter
vmx_enter:
        push_callers
        mov [rdi + VCPU_HOST_RSP], rsp
        mov rsp, rdi
        test esi, esi
        pop rax
        pop_from_rcx
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
        push_registers
        switch_to_host_stack
        call vmx_exit_fast
        test al, al
        jz restore_host                 ; EAX is 0
        mov rsp, rbx
        pop rax
        pop_from_rcx
        vmresume
        jmp entry_failed
restore_host:
        pop_callers
        ret

section .note.GNU-stack noalloc noexec nowrite progbits
