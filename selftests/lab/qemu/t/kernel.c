// SPDX-License-Identifier: GPL-2.0
/* Overflow stops of a counter that a kernel module made (mod/kpmu.c), as ours does. */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "../mod/kpmu.h"
#include "vm.h"

#define TURNS	40000000u
#define RUNS	400

static volatile sig_atomic_t kicks;

static void on_kick(int sig)
{
	(void)sig;
	kicks++;
}

/* Short ways first, then longer ones with host ticks on the way. */
static uint64_t way(int i)
{
	static uint64_t seed = 1;
	uint64_t most = i < RUNS / 2 ? 100000 : i < RUNS - 20 ? 3000000 : 70000000;

	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return 2 + (seed >> 33) % most;
}

int main(void)
{
	/* mov ecx,N; L: dec ecx; jnz L; hlt */
	static const uint8_t code[] = { 0x66, 0xb9, 0x00, 0x5a, 0x62, 0x02, 0x66, 0x49, 0x75, 0xfc, 0xf4 };
	struct sigaction sa = { .sa_handler = on_kick };
	int late = 0, miscounted = 0, lost = 0, dev;
	struct vm vm;

	dev = open("/dev/kpmu", O_RDWR);
	if (dev < 0)
		give_up("/dev/kpmu");
	sigaction(KPMU_SIGNAL, &sa, NULL);
	vm_create(&vm, 0x10000, 0);
	vm_put(&vm, 0x1000, code, sizeof(code));
	for (int i = 0; i < RUNS; i++) {
		uint64_t period = way(i), turns, done;
		struct kpmu_state st;

		vm_start(&vm, 0x1000, 0);
		kicks = 0;
		if (ioctl(dev, KPMU_ARM, period))
			give_up("KPMU_ARM");
		vm_enter(&vm);
		if (ioctl(dev, KPMU_READ, &st) || ioctl(dev, KPMU_RELEASE, 0))
			give_up("KPMU_READ");
		turns = TURNS - (uint32_t)vm.regs.rcx;
		done = vm.regs.rip == 0x1000 ? 0 : 2 * turns + (vm.regs.rip == 0x1006);
		late += done != period;
		miscounted += st.count != done;
		lost += st.overflows != 1 || st.in_nmi != 1 || !kicks;
	}
	equal(late, 0, "of %d random stops, off their place", RUNS);
	equal(miscounted, 0, "with another count than was executed");
	equal(lost, 0, "without exactly one overflow, in NMI context");
	return tap_end();
}
