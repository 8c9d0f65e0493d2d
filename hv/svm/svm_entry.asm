; World switch of SVM. While the guest runs, the host's stack pointer is at the end of the vCPU's
; register array (struct vcpu in hv/virt.h), so that pushes after an exit store the guest's registers
; in place. RAX and RSP are in the VMCB. APM vol. 2 15.5 and 15.6.

bits 64
%include "build/gen/offsets.inc"

section .text

extern svm_exit_fast
extern mitigate_exit

MSR_PRED_CMD equ 0x49

; void svm_enter(struct vcpu *vcpu, const struct vmcb *vmcb)
; GIF is 0 and IF 1 on entry and on return. Returns after an exit that svm_exit_fast did not settle.
global svm_enter
svm_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rdi + VCPU_HOST_RSP], rsp
        mov rax, rsi
        mov rsp, rdi
run_guest:
        lea rsp, [rsp + 8]              ; RAX is the VMCB's address
        pop rcx
        pop rdx
        pop rbx
        lea rsp, [rsp + 8]
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
        vmrun
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
        push rax                        ; svm_exit_fast puts the guest's here
        mov rdi, rsp
        mov rbx, rsp                    ; kept by the call
        mov rsp, [rsp + VCPU_HOST_RSP]
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
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

section .note.GNU-stack noalloc noexec nowrite progbits
