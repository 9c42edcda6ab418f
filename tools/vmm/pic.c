// SPDX-License-Identifier: GPL-2.0
/*
 * The pair of 8259 interrupt controllers
 */
#include <errno.h>
#include <stdlib.h>

#include "pic.h"
#include "state.h"
#include "vmm.h"

#define CASCADE		2	/* line of the first chip that the second one drives */
#define SPURIOUS	7

/* Which initialisation word comes next. */
enum icw { ICW_DONE = 0, ICW_2 = 2, ICW_3 = 3, ICW_4 = 4 };

/**
 * struct chip - one 8259
 * @irr:       requests
 * @imr:       masked lines
 * @isr:       in service
 * @lines:     levels of the lines, to find edges
 * @elcr:      level-triggered lines
 * @elcr_mask: lines that may be
 * @base:      vector of line 0
 * @lowest:    line of the lowest priority
 * @icw:       enum icw
 * @want_icw4: ICW1 announced an ICW4
 */
struct chip {
	uint8_t irr;
	uint8_t imr;
	uint8_t isr;
	uint8_t lines;
	uint8_t elcr;
	uint8_t elcr_mask;
	uint8_t base;
	uint8_t lowest;
	uint8_t icw;
	bool want_icw4;
	bool read_isr;
	bool poll;
	bool auto_eoi;
	bool special_mask;
	bool nested;		/* special fully nested mode */
};

struct vmm_pic {
	struct vmm_device dev;
	struct chip chips[2];
};

/* First set line in order of priority, or -1. */
static int highest(const struct chip *chip, uint8_t set)
{
	for (unsigned int i = 1; i <= 8; i++) {
		unsigned int line = (chip->lowest + i) & 7;

		if (set & 1U << line)
			return (int)line;
	}
	return -1;
}

/* The line that asks for service and is above what is in service, or -1. */
static int pending_line(const struct chip *chip, bool first)
{
	uint8_t in_service = chip->isr;
	int request = highest(chip, chip->irr & ~chip->imr);
	int serving;

	if (request < 0)
		return -1;
	if (chip->special_mask)
		in_service &= ~chip->imr;
	/* The second chip may have a more urgent line behind a cascade that is in service. */
	if (first && chip->nested)
		in_service &= ~(1U << CASCADE);
	serving = highest(chip, in_service);
	if (serving < 0)
		return request;
	return ((request - chip->lowest - 1) & 7) < ((serving - chip->lowest - 1) & 7) ? request : -1;
}

/* An edge is remembered until it is acknowledged, also when the line falls before. */
static void set_line(struct chip *chip, unsigned int line, bool level)
{
	uint8_t bit = (uint8_t)(1U << line);

	if (chip->elcr & bit)
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	else if (level && !(chip->lines & bit))
		chip->irr |= bit;
	chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

static void cascade(struct vmm_pic *pic)
{
	bool level = pending_line(&pic->chips[1], false) >= 0;

	/* The second chip's output falls at each acknowledge, so every request makes an edge. */
	set_line(&pic->chips[0], CASCADE, false);
	pic->chips[0].irr &= ~(1U << CASCADE);
	set_line(&pic->chips[0], CASCADE, level);
}

void vmm_irq_set(struct vmm *vmm, unsigned int irq, bool level)
{
	if (irq > 15)
		return;
	set_line(&vmm->pic->chips[irq >> 3], irq & 7, level);
	cascade(vmm->pic);
}

void vmm_pic_set_level(struct vmm *vmm, uint16_t lines)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct chip *chip = &vmm->pic->chips[i];

		chip->elcr = (uint8_t)(lines >> 8 * i) & chip->elcr_mask;
	}
}

bool vmm_pic_pending(const struct vmm *vmm)
{
	return pending_line(&vmm->pic->chips[0], true) >= 0;
}

static void acknowledge(struct chip *chip, int line)
{
	uint8_t bit = (uint8_t)(1U << line);

	if (!chip->auto_eoi)
		chip->isr |= bit;
	if (!(chip->elcr & bit))
		chip->irr &= ~bit;
}

uint8_t vmm_pic_ack(struct vmm *vmm)
{
	struct vmm_pic *pic = vmm->pic;
	struct chip *first = &pic->chips[0], *second = &pic->chips[1];
	int line = pending_line(first, true);
	int behind;

	if (line < 0)
		return first->base | SPURIOUS;
	acknowledge(first, line);
	if (line != CASCADE)
		return first->base | (uint8_t)line;
	behind = pending_line(second, false);
	if (behind >= 0)
		acknowledge(second, behind);
	else
		behind = SPURIOUS;
	cascade(pic);
	return second->base | (uint8_t)behind;
}

void vmm_pic_regs_get(const struct vmm *vmm, struct vmm_pic_regs *regs)
{
	const struct chip *chips = vmm->pic->chips;

	regs->irr = (uint16_t)(chips[1].irr << 8 | chips[0].irr);
	regs->imr = (uint16_t)(chips[1].imr << 8 | chips[0].imr);
	regs->isr = (uint16_t)(chips[1].isr << 8 | chips[0].isr);
}

static void write_icw1(struct chip *chip, uint8_t value)
{
	chip->icw = ICW_2;
	chip->want_icw4 = value & 1;
	chip->irr &= chip->elcr;	/* edges seen so far are forgotten */
	chip->imr = 0;
	chip->isr = 0;
	chip->lowest = 7;
	chip->read_isr = false;
	chip->poll = false;
	chip->auto_eoi = false;
	chip->special_mask = false;
	chip->nested = false;
}

static void write_ocw2(struct chip *chip, uint8_t value)
{
	int line = highest(chip, chip->isr);

	if (value & 0x40)
		line = value & 7;
	switch (value >> 5) {
	case 1:		/* EOI */
	case 3:		/* specific EOI */
	case 5:		/* EOI and rotate */
	case 7:		/* specific EOI and rotate */
		if (line < 0)
			break;
		chip->isr &= ~(1U << line);
		if (value & 0x80)
			chip->lowest = (uint8_t)line;
		break;
	case 6:		/* set priority */
		chip->lowest = (uint8_t)line;
		break;
	}
}

static void write_data(struct chip *chip, uint8_t value)
{
	switch (chip->icw) {
	case ICW_2:
		chip->base = value & 0xf8;
		chip->icw = ICW_3;
		break;
	case ICW_3:
		chip->icw = chip->want_icw4 ? ICW_4 : ICW_DONE;
		break;
	case ICW_4:
		chip->auto_eoi = value & 2;
		chip->nested = value & 0x10;
		chip->icw = ICW_DONE;
		break;
	default:
		chip->imr = value;
	}
}

static void pic_out(void *opaque, uint16_t port, uint8_t size, uint32_t value32)
{
	struct vmm_pic *pic = opaque;
	struct chip *chip = &pic->chips[port >> 7 & 1];
	uint8_t value = (uint8_t)value32;

	(void)size;
	if (port & 1) {
		write_data(chip, value);
	} else if (value & 0x10) {
		write_icw1(chip, value);
	} else if (value & 8) {		/* OCW3 */
		if (value & 2)
			chip->read_isr = value & 1;
		if (value & 0x40)
			chip->special_mask = value & 0x20;
		chip->poll = value & 4;
	} else {
		write_ocw2(chip, value);
	}
	cascade(pic);
}

static uint8_t poll_chip(struct vmm_pic *pic, struct chip *chip)
{
	int line = pending_line(chip, chip == pic->chips);

	chip->poll = false;
	if (line < 0)
		return 0;
	acknowledge(chip, line);
	cascade(pic);
	return 0x80 | (uint8_t)line;
}

static uint32_t pic_in(void *opaque, uint16_t port, uint8_t size)
{
	struct vmm_pic *pic = opaque;
	struct chip *chip = &pic->chips[port >> 7 & 1];

	(void)size;
	if (chip->poll)
		return poll_chip(pic, chip);
	if (port & 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void elcr_out(void *opaque, uint16_t port, uint8_t size, uint32_t value)
{
	struct vmm_pic *pic = opaque;
	struct chip *chip = &pic->chips[port & 1];

	(void)size;
	chip->elcr = (uint8_t)value & chip->elcr_mask;
}

static uint32_t elcr_in(void *opaque, uint16_t port, uint8_t size)
{
	struct vmm_pic *pic = opaque;

	(void)size;
	return pic->chips[port & 1].elcr;
}

static const struct vmm_pio_ops pic_ports = { .width = 1, .in = pic_in, .out = pic_out };
static const struct vmm_pio_ops elcr_ports = { .width = 1, .in = elcr_in, .out = elcr_out };

static int pic_save(struct vmm_device *dev, struct vmm_state *state)
{
	struct vmm_pic *pic = (struct vmm_pic *)dev;

	for (unsigned int i = 0; i < 2; i++) {
		const struct chip *chip = &pic->chips[i];

		vmm_state_put_u8(state, chip->irr);
		vmm_state_put_u8(state, chip->imr);
		vmm_state_put_u8(state, chip->isr);
		vmm_state_put_u8(state, chip->lines);
		vmm_state_put_u8(state, chip->elcr);
		vmm_state_put_u8(state, chip->base);
		vmm_state_put_u8(state, chip->lowest);
		vmm_state_put_u8(state, chip->icw);
		vmm_state_put_bool(state, chip->want_icw4);
		vmm_state_put_bool(state, chip->read_isr);
		vmm_state_put_bool(state, chip->poll);
		vmm_state_put_bool(state, chip->auto_eoi);
		vmm_state_put_bool(state, chip->special_mask);
		vmm_state_put_bool(state, chip->nested);
	}
	return vmm_state_error(state);
}

static int pic_load(struct vmm_device *dev, struct vmm_state *state)
{
	struct vmm_pic *pic = (struct vmm_pic *)dev;

	for (unsigned int i = 0; i < 2; i++) {
		struct chip *chip = &pic->chips[i];

		chip->irr = vmm_state_get_u8(state);
		chip->imr = vmm_state_get_u8(state);
		chip->isr = vmm_state_get_u8(state);
		chip->lines = vmm_state_get_u8(state);
		chip->elcr = vmm_state_get_u8(state) & chip->elcr_mask;
		chip->base = vmm_state_get_u8(state) & 0xf8;
		chip->lowest = vmm_state_get_u8(state) & 7;
		chip->icw = vmm_state_get_u8(state);
		chip->want_icw4 = vmm_state_get_bool(state);
		chip->read_isr = vmm_state_get_bool(state);
		chip->poll = vmm_state_get_bool(state);
		chip->auto_eoi = vmm_state_get_bool(state);
		chip->special_mask = vmm_state_get_bool(state);
		chip->nested = vmm_state_get_bool(state);
		if (chip->icw > ICW_4)
			vmm_state_fail(state, -EINVAL);
	}
	return vmm_state_error(state);
}

static void pic_destroy(struct vmm_device *dev)
{
	dev->vmm->pic = NULL;
	free(dev);
}

static const struct vmm_device_ops pic_ops = {
	.name = "pic",
	.save = pic_save,
	.load = pic_load,
	.destroy = pic_destroy,
};

int vmm_pic_create(struct vmm *vmm)
{
	struct vmm_pic *pic = calloc(1, sizeof(*pic));
	int err;

	if (!pic)
		return -ENOMEM;
	pic->dev = (struct vmm_device){ .ops = &pic_ops, .vmm = vmm, .unit = VMM_UNIT_NONE };
	for (unsigned int i = 0; i < 2; i++) {
		pic->chips[i].imr = 0xff;
		pic->chips[i].lowest = 7;
	}
	/* Timer, keyboard, cascade, clock and FPU lines are edge-triggered on every PC. */
	pic->chips[0].elcr_mask = 0xf8;
	pic->chips[1].elcr_mask = 0xde;
	err = vmm_device_add(vmm, &pic->dev);
	if (err) {
		free(pic);
		return err;
	}
	vmm->pic = pic;
	err = vmm_pio_add(vmm, 0x20, 2, &pic_ports, pic);
	if (!err)
		err = vmm_pio_add(vmm, 0xa0, 2, &pic_ports, pic);
	if (!err)
		err = vmm_pio_add(vmm, 0x4d0, 2, &elcr_ports, pic);
	return err;
}
