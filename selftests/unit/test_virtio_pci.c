// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI bus as a guest without ACPI finds it
 *
 * Sources: selftests/unit/virtio_machine.c tools/vmm/pci.c tools/vmm/state.c
 * Sources: selftests/unit/fuzz.c
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "virtio_machine.h"
#include "vmm/state.h"

/* Remembers the last access behind its BAR. */
struct card {
	struct pci_function fn;
	uint16_t offset;
	uint8_t size;
	uint32_t value;
	unsigned int accesses;
};

static uint32_t card_in(void *opaque, uint16_t offset, uint8_t size)
{
	struct card *card = opaque;

	card->offset = offset;
	card->size = size;
	card->accesses++;
	return 0xa1b2c3d4;
}

static void card_out(void *opaque, uint16_t offset, uint8_t size, uint32_t value)
{
	struct card *card = opaque;

	card->offset = offset;
	card->size = size;
	card->value = value;
	card->accesses++;
}

static const struct pci_bar_ops card_ops = { .in = card_in, .out = card_out };

static const struct pci_ids card_ids = {
	.vendor = 0x1af4,
	.device = 0x1000,
	.subsystem_vendor = 0x1af4,
	.subsystem = 1,
	.class_code = 0x020000,
};

static void card_add(struct vmm *m, struct card *card, uint16_t bar_size)
{
	memset(card, 0, sizeof(*card));
	assert_int_equal(pci_function_add(machine_bus(m), &card->fn, &card_ids, bar_size, &card_ops,
					  card), 0);
}

/* What Linux does in pci_check_type1() and pci_sanity_check(). */
static void test_mechanism(void **state)
{
	struct vmm *m = machine_new();

	(void)state;
	machine_out(m, 0xcfb, 1, 1);
	machine_out(m, 0xcf8, 4, 0x80000000);
	assert_int_equal(machine_in(m, 0xcf8, 4), 0x80000000);
	assert_int_equal(machine_config_in(m, 0, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_not_equal(machine_config_in(m, 0, PCI_VENDOR_ID, 2), 0xffff);
	/* Absent: another slot, function, bus; and with the enable bit off. */
	assert_int_equal(machine_config_in(m, 1, PCI_VENDOR_ID, 4), 0xffffffff);
	machine_out(m, 0xcf8, 4, 0x80000100);
	assert_int_equal(machine_in(m, 0xcfc, 4), 0xffffffff);
	machine_out(m, 0xcf8, 4, 0x80010000);
	assert_int_equal(machine_in(m, 0xcfc, 2), 0xffff);
	machine_out(m, 0xcf8, 4, 0);
	assert_int_equal(machine_in(m, 0xcfc, 1), 0xff);
	machine_exit(m);
}

static void test_identity(void **state)
{
	struct vmm *m = machine_new();
	struct card card;

	(void)state;
	card_add(m, &card, 128);
	assert_int_equal(machine_config_in(m, 1, PCI_VENDOR_ID, 4), 0x10001af4);
	assert_int_equal(machine_config_in(m, 1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x00011af4);
	assert_int_equal(machine_config_in(m, 1, PCI_CLASS_REVISION, 4), 0x02000000);
	assert_int_equal(machine_config_in(m, 1, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(machine_config_in(m, 1, PCI_INTERRUPT_PIN, 1), 1);
	assert_true(pci_bus_level_irqs() >> machine_config_in(m, 1, PCI_INTERRUPT_LINE, 1) & 1);
	assert_int_equal(machine_config_in(m, 1, PCI_COMMAND, 2), PCI_COMMAND_IO);
	assert_int_equal(machine_config_in(m, 1, PCI_CAPABILITY_LIST, 1), 0);
	/* Identity is not writable; bytes and words reach the right place. */
	machine_config_out(m, 1, PCI_VENDOR_ID, 4, 0);
	machine_config_out(m, 1, PCI_INTERRUPT_PIN, 1, 4);
	assert_int_equal(machine_config_in(m, 1, PCI_VENDOR_ID, 4), 0x10001af4);
	assert_int_equal(machine_config_in(m, 1, PCI_DEVICE_ID, 2), 0x1000);
	assert_int_equal(machine_config_in(m, 1, PCI_DEVICE_ID + 1, 1), 0x10);
	assert_int_equal(machine_config_in(m, 1, PCI_INTERRUPT_PIN, 1), 1);
	machine_exit(m);
}

static void test_bar(void **state)
{
	struct vmm *m = machine_new();
	struct card card;
	uint16_t base;

	(void)state;
	card_add(m, &card, 128);
	base = machine_config_in(m, 1, PCI_BASE_ADDRESS_0, 4) & 0xfffc;
	assert_true(base >= PCI_WINDOW_BASE);
	assert_int_equal(machine_in(m, base, 4), 0xa1b2c3d4);
	assert_int_equal(machine_in(m, base + 127, 1), 0xd4);
	assert_int_equal(card.offset, 127);

	/* Sizing. */
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(machine_config_in(m, 1, PCI_BASE_ADDRESS_0, 4), 0xffffff81);
	assert_int_equal(machine_config_in(m, 1, PCI_BASE_ADDRESS_1, 4), 0);
	machine_config_out(m, 1, PCI_BASE_ADDRESS_1, 4, 0xffffffff);
	assert_int_equal(machine_config_in(m, 1, PCI_BASE_ADDRESS_1, 4), 0);

	/* Moved: the old place is empty; outside the window nothing decodes. */
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0xc080);
	assert_int_equal(machine_in(m, base, 2), 0xffff);
	machine_out(m, 0xc084, 2, 0x12345678);
	assert_int_equal(card.offset, 4);
	assert_int_equal(card.value, 0x5678);
	card.accesses = 0;
	assert_int_equal(machine_in(m, 0xc0fe, 4), 0xffffffff);
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0x380);
	machine_out(m, 0x384, 2, 1);
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0xffffff80);
	machine_out(m, 0xff84, 2, 1);
	assert_int_equal(card.accesses, 0);

	/* Decoding off. */
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0xc080);
	machine_config_out(m, 1, PCI_COMMAND, 2, 0);
	assert_int_equal(machine_in(m, 0xc084, 4), 0xffffffff);
	assert_int_equal(card.accesses, 0);
	machine_exit(m);
}

static void test_lines(void **state)
{
	struct vmm *m = machine_new();
	struct card cards[5];
	uint16_t line;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		card_add(m, &cards[i], 32);
	line = (uint16_t)(1u << machine_config_in(m, 1, PCI_INTERRUPT_LINE, 1));
	assert_int_equal(1u << machine_config_in(m, 5, PCI_INTERRUPT_LINE, 1), line);
	assert_int_not_equal(1u << machine_config_in(m, 2, PCI_INTERRUPT_LINE, 1), line);

	/* Two on one line: it falls when neither pulls. */
	pci_function_irq(&cards[0].fn, true);
	assert_int_equal(machine_lines(m), line);
	pci_function_irq(&cards[4].fn, true);
	pci_function_irq(&cards[0].fn, false);
	assert_int_equal(machine_lines(m), line);
	assert_true(machine_config_in(m, 5, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	assert_false(machine_config_in(m, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	machine_config_out(m, 5, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(machine_lines(m), 0);
	machine_config_out(m, 5, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(machine_lines(m), line);
	pci_function_irq(&cards[4].fn, false);
	assert_int_equal(machine_lines(m), 0);

	/* What the guest writes there is a note of its own. */
	machine_config_out(m, 1, PCI_INTERRUPT_LINE, 1, 3);
	pci_function_irq(&cards[0].fn, true);
	assert_int_equal(machine_lines(m), line);
	machine_exit(m);
}

static void test_slots(void **state)
{
	struct vmm *m = machine_new();
	struct card cards[PCI_SLOTS];

	(void)state;
	assert_int_equal(pci_function_add(machine_bus(m), &cards[0].fn, &card_ids, 0, &card_ops,
					  NULL), -EINVAL);
	assert_int_equal(pci_function_add(machine_bus(m), &cards[0].fn, &card_ids, 48, &card_ops,
					  NULL), -EINVAL);
	assert_int_equal(pci_function_add(machine_bus(m), &cards[0].fn, &card_ids, 512, &card_ops,
					  NULL), -EINVAL);
	for (unsigned int i = 1; i < PCI_SLOTS; i++) {
		uint16_t base;

		card_add(m, &cards[i], 256);
		base = machine_config_in(m, i, PCI_BASE_ADDRESS_0, 4) & 0xfffc;
		machine_out(m, base + 255, 1, 1);
		assert_int_equal(cards[i].accesses, 1);
	}
	assert_int_equal(pci_function_add(machine_bus(m), &cards[0].fn, &card_ids, 4, &card_ops,
					  NULL), -ENOSPC);
	machine_exit(m);
}

static void test_state(void **state)
{
	struct vmm *m = machine_new(), *n = machine_new();
	struct card a, b;
	struct vmm_state saved, read;

	(void)state;
	card_add(m, &a, 64);
	card_add(n, &b, 64);
	machine_config_out(m, 1, PCI_BASE_ADDRESS_0, 4, 0xd040);
	pci_function_irq(&a.fn, true);

	vmm_state_init(&saved);
	pci_function_save(&a.fn, &saved);
	vmm_state_init_read(&read, saved.data, saved.len);
	pci_function_load(&b.fn, &read);
	assert_int_equal(vmm_state_end(&read), 0);
	assert_int_equal(machine_config_in(n, 1, PCI_BASE_ADDRESS_0, 4), 0xd041);
	assert_true(machine_config_in(n, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	/* The PIC has its own; but from now on the line falls and rises. */
	assert_int_equal(machine_lines(n), 0);
	pci_function_irq(&b.fn, false);
	pci_function_irq(&b.fn, true);
	assert_int_equal(machine_lines(n), machine_lines(m));

	/* Another card's, and one cut short. */
	saved.data[1 + PCI_DEVICE_ID] ^= 1;
	vmm_state_init_read(&read, saved.data, saved.len);
	pci_function_load(&b.fn, &read);
	assert_int_equal(vmm_state_error(&read), -EINVAL);
	vmm_state_init_read(&read, saved.data, saved.len - 1);
	pci_function_load(&b.fn, &read);
	assert_int_equal(vmm_state_error(&read), -EINVAL);
	vmm_state_exit(&saved);
	machine_exit(m);
	machine_exit(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mechanism),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_bar),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests_name("virtio_pci", tests, NULL, NULL);
}
