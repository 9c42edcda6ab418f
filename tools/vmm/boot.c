// SPDX-License-Identifier: GPL-2.0
/*
 * The x86 Linux boot protocol
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "file.h"
#include "session.h"
#include "vcpu.h"
#include "vmm.h"

/* Where things lie in low memory. */
#define PARAMS		0x10000U	/* struct boot_params, the zero page */
#define CMDLINE		0x20000U
#define GDT		0x30000U
#define SEED		0x31000U	/* struct setup_data */
#define STACK		0x40000U
#define LOW_END		0x9f000U	/* of usable memory below 1 MiB */
#define KERNEL		0x100000U

#define CS_SELECTOR	0x10
#define DS_SELECTOR	0x18
#define SECTOR		512U
#define PROTOCOL_MIN	0x0206		/* cmdline_size */
#define PROTOCOL_INIT	0x020a		/* pref_address, init_size */
#define HIGH_BASE	(4ULL << 30)
#define SEED_TYPE	9		/* SETUP_RNG_SEED, newer than some headers */

struct image {
	const char *path;
	int fd;
	uint64_t size;
};

static int fail(struct vmm *vmm, const struct image *image, const char *what, int err)
{
	vmm_say(vmm, "%s: %s", image->path, what ? what : strerror(-err));
	return err;
}

static int open_image(struct vmm *vmm, struct image *image, const char *path)
{
	struct stat st;

	*image = (struct image){ .path = path };
	image->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (image->fd < 0)
		return fail(vmm, image, NULL, -errno);
	if (fstat(image->fd, &st) || !S_ISREG(st.st_mode)) {
		close(image->fd);
		return fail(vmm, image, "not a regular file", -EINVAL);
	}
	image->size = (uint64_t)st.st_size;
	return 0;
}

static int read_image(struct vmm *vmm, const struct image *image, uint64_t gpa, uint64_t len,
		      uint64_t at)
{
	void *to = vmm_memory(vmm, gpa, len);
	int err;

	if (!to)
		return fail(vmm, image, "does not fit into the guest's memory: raise --memory",
			    -ENOMEM);
	err = vmm_file_read(image->fd, to, len, (off_t)at);
	return err ? fail(vmm, image, NULL, err) : 0;
}

static int load_kernel(struct vmm *vmm, const struct image *image, struct setup_header *hdr)
{
	uint8_t head[0x290];
	uint64_t setup;
	int err;

	if (image->size < sizeof(head))
		return fail(vmm, image, "too short for a bzImage", -ENOEXEC);
	err = vmm_file_read(image->fd, head, sizeof(head), 0);
	if (err)
		return fail(vmm, image, NULL, err);
	memcpy(hdr, head + offsetof(struct boot_params, hdr), sizeof(*hdr));
	if (hdr->boot_flag != 0xaa55 || hdr->header != 0x53726448)
		return fail(vmm, image, "not a bzImage (no boot sector signature)", -ENOEXEC);
	if (hdr->version < PROTOCOL_MIN || !(hdr->loadflags & LOADED_HIGH))
		return fail(vmm, image, "a kernel too old for this boot loader", -ENOEXEC);
	setup = ((hdr->setup_sects ? hdr->setup_sects : 4) + 1) * (uint64_t)SECTOR;
	if (setup >= image->size)
		return fail(vmm, image, "cut short", -ENOEXEC);
	return read_image(vmm, image, KERNEL, image->size - setup, setup);
}

/* The kernel unpacks itself to its preferred place: what lies there is overwritten. */
static uint64_t kernel_end(const struct setup_header *hdr, uint64_t size)
{
	uint64_t end = KERNEL + size;

	if (hdr->version >= PROTOCOL_INIT) {
		uint64_t start = hdr->pref_address > KERNEL ? hdr->pref_address : KERNEL;

		if (start > UINT64_MAX - hdr->init_size)
			return UINT64_MAX;
		if (end < start + hdr->init_size)
			end = start + hdr->init_size;
	}
	return end;
}

static int load_initrd(struct vmm *vmm, const struct image *image, struct setup_header *hdr,
		       uint64_t above)
{
	uint64_t top = vmm->ram.low, at;

	if (top > (uint64_t)hdr->initrd_addr_max + 1)
		top = (uint64_t)hdr->initrd_addr_max + 1;
	if (image->size > top || ((top - image->size) & ~0xfffULL) < above)
		return fail(vmm, image,
			    "does not fit between the kernel and the end of memory: raise --memory",
			    -ENOMEM);
	at = (top - image->size) & ~0xfffULL;
	hdr->ramdisk_image = (uint32_t)at;
	hdr->ramdisk_size = (uint32_t)image->size;
	return read_image(vmm, image, at, image->size, 0);
}

static void put_params(struct vmm *vmm, const struct setup_header *hdr)
{
	struct boot_params *params = vmm_memory(vmm, PARAMS, sizeof(*params));
	struct boot_e820_entry *e820 = params->e820_table;

	memset(params, 0, sizeof(*params));
	params->hdr = *hdr;
	e820[0] = (struct boot_e820_entry){ .addr = 0, .size = LOW_END, .type = 1 };
	e820[1] = (struct boot_e820_entry){
		.addr = KERNEL, .size = vmm->ram.low - KERNEL, .type = 1,
	};
	params->e820_entries = 2;
	if (vmm->ram.high) {
		e820[2] = (struct boot_e820_entry){
			.addr = HIGH_BASE, .size = vmm->ram.high, .type = 1,
		};
		params->e820_entries = 3;
	}
}

static void put_seed(struct vmm *vmm, const uint8_t *seed)
{
	struct setup_data *data = vmm_memory(vmm, SEED, sizeof(*data) + VMM_SEED_LEN);

	*data = (struct setup_data){ .type = SEED_TYPE, .len = VMM_SEED_LEN };
	memcpy(data->data, seed, VMM_SEED_LEN);
}

static void put_gdt(struct vmm *vmm)
{
	uint64_t *gdt = vmm_memory(vmm, GDT, 4 * sizeof(*gdt));

	gdt[CS_SELECTOR / 8] = 0x00cf9b000000ffffULL;	/* flat, 32 bits, code */
	gdt[DS_SELECTOR / 8] = 0x00cf93000000ffffULL;	/* flat, 32 bits, data */
}

int vmm_boot_load(struct vmm *vmm, const char *cmdline, const uint8_t *seed)
{
	struct image kernel, initrd;
	struct setup_header hdr;
	size_t len = strlen(cmdline);
	int err;

	err = open_image(vmm, &kernel, vmm->config.kernel);
	if (err)
		return err;
	err = load_kernel(vmm, &kernel, &hdr);
	close(kernel.fd);
	if (err)
		return err;
	if (kernel_end(&hdr, kernel.size) > vmm->ram.low)
		return fail(vmm, &kernel, "unpacked, it does not fit into the guest's memory: raise --memory",
			    -ENOMEM);
	if (len > hdr.cmdline_size)
		return fail(vmm, &kernel, "the command line is longer than this kernel takes",
			    -E2BIG);
	if (vmm->config.initrd) {
		err = open_image(vmm, &initrd, vmm->config.initrd);
		if (err)
			return err;
		err = load_initrd(vmm, &initrd, &hdr, kernel_end(&hdr, kernel.size));
		close(initrd.fd);
		if (err)
			return err;
	}
	hdr.type_of_loader = 0xff;	/* one without a number of its own */
	hdr.cmd_line_ptr = CMDLINE;
	hdr.setup_data = SEED;
	memcpy(vmm_memory(vmm, CMDLINE, len + 1), cmdline, len + 1);
	put_params(vmm, &hdr);
	put_seed(vmm, seed);
	put_gdt(vmm);
	return 0;
}

int vmm_boot_registers(struct vmm *vmm)
{
	struct kvm_segment seg = {
		.limit = 0xffffffff, .selector = DS_SELECTOR, .type = 3,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_regs regs = {
		.rip = KERNEL, .rsi = PARAMS, .rsp = STACK, .rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(vmm->vcpu_fd, KVM_GET_SREGS, &sregs))
		goto fail;
	sregs.ds = seg;
	sregs.es = seg;
	sregs.fs = seg;
	sregs.gs = seg;
	sregs.ss = seg;
	seg.selector = CS_SELECTOR;
	seg.type = 11;
	sregs.cs = seg;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 31;
	sregs.cr0 |= 1;
	/* There is no APIC: else KVM would show one in CPUID. */
	sregs.apic_base = 0;
	if (ioctl(vmm->vcpu_fd, KVM_SET_SREGS, &sregs) || ioctl(vmm->vcpu_fd, KVM_SET_REGS, &regs))
		goto fail;
	return 0;
fail:
	vmm_say(vmm, "KVM refuses the start registers: %s", strerror(errno));
	return -EIO;
}

/*
 * What the machine is (no APIC, no ACPI, PCI by ports), that the TSC is the
 * clock and how fast it is, and that a reset goes through the i8042.  The
 * user's words come last and so win.
 */
int vmm_boot_cmdline(struct vmm *vmm, char *cmdline, size_t size)
{
	uint32_t khz = vmm->session->virtual_tsc ? LOCKSTEP_TSC_KHZ : vmm_vcpu_tsc_khz(vmm);
	const char *append = vmm->config.append;
	int len;

	len = snprintf(cmdline, size,
		       "console=ttyS0 noapic nolapic acpi=off pci=conf1 tsc=reliable tsc_early_khz=%u "
		       "no_timer_check i8042.noaux i8042.nokbd io_delay=none reboot=k panic=-1%s%s",
		       khz, append ? " " : "", append ? append : "");
	if (len >= 0 && (size_t)len < size)
		return 0;
	vmm_say(vmm, "--append makes the kernel's command line longer than %u bytes",
		VMM_CMDLINE_MAX);
	return -E2BIG;
}
