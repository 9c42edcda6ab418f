// SPDX-License-Identifier: GPL-2.0
/*
 * droppages - drop pages of a guest from under its feet, again and again
 *
 *   LD_PRELOAD=droppages.so DROP_PAGES=US,FROM,TO lockstep-vmm ...
 *
 * Guest memory becomes a shared mapping: there, MADV_DONTNEED takes a page out of the
 * page tables, KVM's too, and leaves what is in it. A thread does so each US microseconds
 * with all between guest addresses FROM and TO (hexadecimal), so that the guest's next
 * access to each is a nested page fault, also where it is the CPU that looks into a table
 * or pushes a frame. Tells at exit how often, and how many faults the process had.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define GUEST_MIN	(16UL << 20)	/* what is larger, private and ours is the guest's */

static unsigned long us, from, to, drops;
static char *guest;

static void *dropper(void *arg)
{
	struct timespec ts = { .tv_nsec = (long)us * 1000 };
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);		/* they are the program's */
	for (;;) {
		nanosleep(&ts, NULL);
		if (madvise(guest + from, to - from, MADV_DONTNEED_LOCKED)) {
			perror("droppages: madvise");
			return arg;
		}
		drops++;
	}
}

__attribute__((destructor)) static void tell(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	if (guest)
		fprintf(stderr, "droppages: %lu drops, %ld faults\n", drops, usage.ru_minflt);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	static void *(*orig)(void *, size_t, int, int, int, off_t);
	const char *how = getenv("DROP_PAGES");
	pthread_t thread;
	char *mem;

	if (!orig)
		orig = dlsym(RTLD_NEXT, "mmap");
	if (guest || len < GUEST_MIN || fd >= 0 || !(flags & MAP_PRIVATE) || !how)
		return orig(addr, len, prot, flags, fd, offset);
	mem = orig(addr, len, prot, (flags & ~MAP_PRIVATE) | MAP_SHARED, fd, offset);
	if (mem == MAP_FAILED)
		return mem;
	guest = mem;
	if (sscanf(how, "%lu,%lx,%lx", &us, &from, &to) != 3 || from >= to || to > len ||
	    pthread_create(&thread, NULL, dropper, NULL)) {
		fprintf(stderr, "droppages: DROP_PAGES=%s is of no use\n", how);
		_exit(2);
	}
	return mem;
}
