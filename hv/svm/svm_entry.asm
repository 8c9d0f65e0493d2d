; World switch of SVM. While the guest runs, the host's stack pointer is the end of the vCPU's register array (struct vcpu
; in hv/virt.h), so that pushes after an exit store the guest's registers in place. The guest's RAX and RSP are in the
; VMCB. APM vol. 2 15.5 and 15.6.

bits 64
%include "build/gen/offsets.inc"
%include "hv/switch.inc"

section .text

extern svm_exit_fast
extern mitigate_exit

MSR_PRED_CMD equ 0x49

; void svm_enter(struct vcpu *vcpu, const struct vmcb *vmcb)
; GIF is 0 and IF 1 on entry and on return. Returns after an exit that svm_exit_fast did not settle.
global svm_enter
svm_enter:
        push_callers
        mov [rdi + VCPU_HOST_RSP], rsp
        mov rax, rsi
        mov rsp, rdi
run_guest:
        lea rsp, [rsp + 8]              ; RAX is the VMCB's address
        pop_from_rcx
        vmrun
        push_registers                  ; svm_exit_fast puts the guest's RAX in its place
        switch_to_host_stack
        mov eax, [rel mitigate_exit]    ; before the first return of the host's
        test eax, eax
        jz predictions_kept
        mov ecx, MSR_PRED_CMD
        xor edx, edx
        wrmsr
predictions_kept:
        call svm_exit_fast
        test rax, rax                   ; the VMCB to go on with, or NULL
        mov rcx, rsp
        mov rsp, rbx
        jnz run_guest
        mov rsp, rcx
        pop_callers
        ret

section .note.GNU-stack noalloc noexec nowrite progbits
