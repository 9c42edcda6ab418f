// SPDX-License-Identifier: GPL-2.0
/* See ko.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ko.h"

/* 0 or errno. */
int ko_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return errno;
	ret = syscall(SYS_finit_module, fd, "counter=none", 0) ? errno : 0;
	close(fd);
	return ret;
}

/* 0 or errno; EWOULDBLOCK is what rmmod calls "in use". */
int ko_unload(void)
{
	return syscall(SYS_delete_module, "lockstep", O_NONBLOCK) ? errno : 0;
}

static void *run(void *arg)
{
	struct bystander *b = arg;
	int ret;

	do
		ret = vm_enter(&b->vm);
	while (!b->quit && (ret == KVM_EXIT_IO || ret == -EINTR));
	if (!b->quit)
		b->end = ret;
	return NULL;
}

static void interrupted(int sig)
{
}

/* 0 or errno. */
int bystander_start(struct bystander *b)
{
	struct sigaction action = { .sa_handler = interrupted };

	sigaction(SIGUSR1, &action, NULL);
	b->quit = false;
	b->end = 0;
	return pthread_create(&b->thread, NULL, run, b);
}

/* Its guest counts; looks for 5 s at most. */
bool bystander_goes_on(struct bystander *b)
{
	uint32_t before = vm_data32(&b->vm, 0);
	int waited;

	for (waited = 0; vm_data32(&b->vm, 0) == before && waited < 500; waited++)
		usleep(10000);
	return vm_data32(&b->vm, 0) != before && !b->end;
}

/* Ends it and its VM; did it run until now? */
bool bystander_stop(struct bystander *b)
{
	b->quit = true;
	b->vm.run->immediate_exit = 1;
	pthread_kill(b->thread, SIGUSR1);
	pthread_join(b->thread, NULL);
	vm_destroy(&b->vm);
	return !b->end;
}

/* One of the module's parameters; 0 or -1. */
int ko_parameter_set(const char *name, const char *value)
{
	char path[96];
	FILE *file;
	int ret;

	snprintf(path, sizeof(path), "/sys/module/lockstep/parameters/%s", name);
	file = fopen(path, "w");
	if (!file)
		return -1;
	ret = fputs(value, file) < 0 ? -1 : 0;
	return fclose(file) ? -1 : ret;
}
