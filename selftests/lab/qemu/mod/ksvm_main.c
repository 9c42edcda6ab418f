// SPDX-License-Identifier: GPL-2.0
/*
 * Runs its tests when it is loaded, as TAP in the kernel log with "ksvm: " in
 * front, and then refuses to stay (-EAGAIN).
 */
#define pr_fmt(fmt) "ksvm: " fmt

#include <linux/module.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/desc.h>

#include "ksvm.h"

struct vmcb *ksvm_vmcb;
u64 ksvm_memory[8];

static unsigned long hsave, msrpm, iopm, stack;
static gate_desc *idt;
static u64 host_dr7;
static unsigned int points;

void ksvm_ok(bool good, const char *what)
{
	pr_info("%sok %u - %s\n", good ? "" : "not ", ++points, what);
}

void ksvm_equal(const char *what, u64 got, u64 wanted)
{
	ksvm_ok(got == wanted, what);
	if (got != wanted)
		pr_info("# got %llx, wanted %llx\n", got, wanted);
}

/* The run ended as it should, and the host's DR7 is as #VMEXIT leaves it. */
void ksvm_ends(const char *what, u64 code, const void *rip, u64 next_rip)
{
	const struct vmcb_control_area *c = &ksvm_vmcb->control;
	bool good = c->exit_code == code && ksvm_vmcb->save.rip == (u64)rip &&
		    c->next_rip == next_rip && host_dr7 == DR7_FIXED;

	ksvm_ok(good, what);
	if (!good)
		pr_info("# exit %x for %llx, rip %llx for %lx, next_rip %llx for %llx, dr7 %llx\n",
			c->exit_code, code, ksvm_vmcb->save.rip, (long)rip, c->next_rip, next_rip,
			host_dr7);
}

/* The run went through, to the VMMCALL of its code. */
void ksvm_ends_at(const char *what, const void *vmmcall)
{
	ksvm_ends(what, EXIT_VMMCALL, vmmcall, (u64)vmmcall + 3);
}

/* Bits of the intercept words, by exit code: CRs, DRs, exceptions, then the rest. */
void ksvm_intercept(int code, bool on)
{
	u32 *words = ksvm_vmcb->control.intercepts;
	int bit;

	if (code < 0x40)
		bit = (code & 0xf) + (code & 0x10 ? 16 : 0) + (code & 0x20 ? 32 : 0);
	else if (code < 0x60)
		bit = 64 + code - 0x40;
	else if (code < 0x80)
		bit = 96 + code - 0x60;
	else
		bit = 128 + code - 0x80;
	if (on)
		words[bit / 32] |= 1u << bit % 32;
	else
		words[bit / 32] &= ~(1u << bit % 32);
}

void ksvm_gate(int vector, const void *handler)
{
	pack_gate(&idt[vector], GATE_TRAP, (unsigned long)handler, 0, 0, __KERNEL_CS);
}

/* A guest that looks like this host at @rip, with an IDT of ours where all vectors stop. */
void ksvm_fresh(const void *rip)
{
	struct vmcb_save_area *s = &ksvm_vmcb->save;
	struct vmcb_control_area *c = &ksvm_vmcb->control;
	struct desc_ptr gdt;
	int i;

	memset(ksvm_vmcb, 0, PAGE_SIZE);
	native_store_gdt(&gdt);
	s->gdtr.base = gdt.address;
	s->gdtr.limit = gdt.size;
	s->idtr.base = (u64)idt;
	s->idtr.limit = PAGE_SIZE - 1;
	s->cs = (struct vmcb_seg){ __KERNEL_CS, 0xa9b, ~0u, 0 };
	s->ss = (struct vmcb_seg){ __KERNEL_DS, 0xc93, ~0u, 0 };
	s->ds = s->ss;
	s->es = s->ss;
	s->efer = native_read_msr(MSR_EFER);
	s->cr0 = read_cr0();
	s->cr3 = __read_cr3();
	s->cr4 = __read_cr4();
	s->rflags = X86_EFLAGS_FIXED;
	s->rip = (u64)rip;
	s->rsp = stack + PAGE_SIZE - 96;
	s->rax = __pa(ksvm_vmcb);
	s->dr6 = DR6_RESERVED;
	s->dr7 = DR7_FIXED;
	c->asid = 1;
	c->next_rip = KSVM_NO_NEXT_RIP;
	c->msrpm_base_pa = __pa(msrpm);
	c->iopm_base_pa = __pa(iopm);
	ksvm_intercept(SVM_EXIT_VMRUN, true);
	ksvm_intercept(SVM_EXIT_VMMCALL, true);
	ksvm_intercept(SVM_EXIT_NMI, true);
	for (i = 0; i < 256; i++)
		ksvm_gate(i, ksvm_stop);
}

/* To the next #VMEXIT; the guest's RCX there. */
u64 ksvm_run(u64 rcx, void *rdi)
{
	u64 rax = __pa(ksvm_vmcb), rdx = 0;

	asm volatile("push %%rbp\n"
		     "push %%rbx\n"
		     "clgi\n"
		     "vmrun %%rax\n"
		     "stgi\n"
		     "pop %%rbx\n"
		     "pop %%rbp"
		     : "+a" (rax), "+c" (rcx), "+d" (rdx), "+D" (rdi)
		     :: "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	asm volatile("mov %%dr7, %0" : "=r" (host_dr7));
	return rcx;
}

/* A word of the guest's stack. */
u64 ksvm_stack(int slot)
{
	return ((u64 *)ksvm_vmcb->save.rsp)[slot];
}

static int pages_get(void)
{
	ksvm_vmcb = (void *)get_zeroed_page(GFP_KERNEL);
	hsave = get_zeroed_page(GFP_KERNEL);
	idt = (void *)get_zeroed_page(GFP_KERNEL);
	stack = get_zeroed_page(GFP_KERNEL);
	msrpm = __get_free_pages(GFP_KERNEL, 1);
	iopm = __get_free_pages(GFP_KERNEL, 2);
	if (!ksvm_vmcb || !hsave || !idt || !stack || !msrpm || !iopm)
		return -ENOMEM;
	memset((void *)msrpm, 0xff, 2 * PAGE_SIZE);
	memset((void *)iopm, 0xff, 4 * PAGE_SIZE);
	return 0;
}

static void pages_put(void)
{
	free_pages(iopm, 2);
	free_pages(msrpm, 1);
	free_page(stack);
	free_page((unsigned long)idt);
	free_page(hsave);
	free_page((unsigned long)ksvm_vmcb);
}

static void all_tests(void)
{
	u64 efer = native_read_msr(MSR_EFER), hsave_pa = native_read_msr(MSR_VM_HSAVE_PA);
	unsigned long flags, dr[5];
	int i;

	local_irq_save(flags);
	get_debugreg(dr[0], 0);
	get_debugreg(dr[1], 1);
	get_debugreg(dr[2], 2);
	get_debugreg(dr[3], 3);
	get_debugreg(dr[4], 7);
	set_debugreg(DR7_FIXED, 7);
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __pa(hsave));

	ksvm_test_insns();
	if (boot_cpu_has(X86_FEATURE_NRIPS)) {
		ksvm_test_inject();
		ksvm_test_debug();
	}

	wrmsrl(MSR_VM_HSAVE_PA, hsave_pa);
	wrmsrl(MSR_EFER, efer);
	for (i = 0; i < 4; i++)
		set_debugreg(dr[i], i);
	set_debugreg(DR6_RESERVED, 6);
	set_debugreg(dr[4], 7);
	local_irq_restore(flags);
	pr_info("1..%u\n", points);
}

static int __init ksvm_init(void)
{
	int ret = pages_get();

	if (!ret) {
		all_tests();
		ret = -EAGAIN;
	}
	pages_put();
	return ret;
}
module_init(ksvm_init);

MODULE_DESCRIPTION("tests of SVM in the lab's QEMU");
MODULE_LICENSE("GPL");
