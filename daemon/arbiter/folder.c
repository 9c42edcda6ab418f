// SPDX-License-Identifier: GPL-2.0
/* The arbiter's store in a folder that both hosts see. */
#include "arbiter/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/file.h"

#define TRIES_MAX	100	/* lost races before a request gives up */
#define IDENTITY_MAX	256	/* bytes */

/* The newest image of a guest that was seen: history does not go back from there. */
struct seen {
	struct lockstep_uuid vm;
	uint64_t seq;
	uint64_t sum;
};

/**
 * struct lockstep_folder - a folder in use
 * @dir: path
 * @node: this node
 * @step: called before each step, or NULL
 * @arg: for @step
 * @store: UUID that was seen last
 * @identity: number of the file that told it; 0: none was seen yet
 * @seen: guests seen
 * @nseen: how many
 * @detail: what went wrong, in words
 * @root: the folder, open during a call
 * @guest: the guest's folder, likewise; -1: there is none
 * @image: of the last call
 * @spare: next image, or one to compare with
 * @buf: bytes of an image
 */
struct lockstep_folder {
	char dir[PATH_MAX];
	char node[LOCKSTEP_NODE_NAME_MAX + 1];
	lockstep_folder_step_fn *step;
	void *arg;
	struct lockstep_uuid store;
	unsigned int identity;
	struct seen *seen;
	size_t nseen;
	char detail[256];
	int root;
	int guest;
	struct lockstep_image image;
	struct lockstep_image spare;
	uint8_t buf[LOCKSTEP_IMAGE_SIZE_MAX + 1];
};

static int take_step(struct lockstep_folder *f, enum lockstep_folder_step step)
{
	return f->step ? f->step(step, f->arg) : 0;
}

static int failed(struct lockstep_folder *f, const char *what, int err)
{
	snprintf(f->detail, sizeof(f->detail), "%.180s: %s", what, strerror(-err));
	return err;
}

static int refused(struct lockstep_folder *f, const char *why)
{
	snprintf(f->detail, sizeof(f->detail), "%s", why);
	return 1;
}

/* --- files ---------------------------------------------------------------- */

static int sync_fd(struct lockstep_folder *f, int fd, const char *what)
{
	return fsync(fd) < 0 ? failed(f, what, -errno) : 0;
}

/* A name that no other process, and no earlier one of this node, has. */
static int temp_open(struct lockstep_folder *f, int dirfd, char *name, size_t size)
{
	char text[LOCKSTEP_UUID_STRLEN + 1];
	struct lockstep_uuid u;
	int fd, err;

	err = lockstep_uuid_random(&u);
	if (err)
		return failed(f, "no randomness", err);
	snprintf(name, size, ".%s.%s", f->node, lockstep_uuid_format(&u, text));
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? failed(f, "no file can be made in the folder", -errno) : fd;
}

static int temp_fill(struct lockstep_folder *f, int fd, const void *data, size_t len)
{
	int err;

	err = take_step(f, LOCKSTEP_FOLDER_WRITE);
	if (!err)
		err = lockstep_file_write_all(fd, data, len);
	if (!err)
		err = take_step(f, LOCKSTEP_FOLDER_SYNC);
	if (!err && fsync(fd) < 0)
		err = -errno;
	/* close() has errors of NFS too */
	if (close(fd) < 0 && !err)
		err = -errno;
	return err ? failed(f, "can't write", err) : 0;
}

/*
 * Names that are not there are remembered by a client of NFS. It forgets them
 * when the folder is not as it was, which it finds out when it changes it.
 */
static int look_anew(struct lockstep_folder *f, int dirfd)
{
	char name[128];
	int fd = temp_open(f, dirfd, name, sizeof(name));

	if (fd < 0)
		return fd;
	close(fd);
	return unlinkat(dirfd, name, 0) < 0 ? failed(f, "can't remove a file", -errno) : 0;
}

/* -ENOENT without words: it is for the caller to say what that means. */
static int read_at(struct lockstep_folder *f, int dirfd, const char *name, size_t max, size_t *len,
		   struct stat *st)
{
	size_t have = 0;
	ssize_t n = 1;
	int fd, err = 0;

	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : failed(f, name, -errno);
	if (st && fstat(fd, st) < 0)
		err = -errno;
	while (!err && n && have < max) {
		n = read(fd, f->buf + have, max - have);
		if (n < 0 && errno != EINTR)
			err = -errno;
		have += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	close(fd);
	*len = have;
	return err ? failed(f, name, err) : 0;
}

static void forget_dirs(struct lockstep_folder *f)
{
	if (f->guest >= 0)
		close(f->guest);
	if (f->root >= 0)
		close(f->root);
	f->guest = -1;
	f->root = -1;
}

static int open_root(struct lockstep_folder *f)
{
	/* By its path each time: something else may be mounted there by now. */
	f->root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->root < 0 ? failed(f, f->dir, -errno) : 0;
}

/* --- identity ------------------------------------------------------------- */

/*
 * A file and its copy have the same content, but not the same inode: a folder
 * that was put back from a copy, or is one, tells on itself. -ENOENT: no such
 * file; 1: it is a copy.
 */
static int identity_read(struct lockstep_folder *f, unsigned int n, struct lockstep_uuid *store)
{
	char name[32], uuid[LOCKSTEP_UUID_STRLEN + 1];
	uint64_t inode;
	struct stat st;
	size_t len;
	int ret;

	snprintf(name, sizeof(name), "identity.%u", n);
	ret = read_at(f, f->root, name, IDENTITY_MAX, &len, &st);
	if (ret)
		return ret;
	f->buf[len] = '\0';
	if (sscanf((char *)f->buf, "lockstep shared store 1\nuuid %36s\ninode %" SCNu64 "\n",
		   uuid, &inode) != 2 || lockstep_uuid_parse(uuid, store))
		return failed(f, name, -EUCLEAN);
	return inode == st.st_ino ? 0 :
	       refused(f, "the folder is a copy, maybe an old one: run lockstep-arbiter restore");
}

/* The highest one; its number, 0 for none. @ret: of reading it. */
static unsigned int identity_newest(struct lockstep_folder *f, struct lockstep_uuid *store,
				    int *ret)
{
	struct lockstep_uuid uuid;
	unsigned int n = 0;
	int r;

	*ret = -ENOENT;
	while ((r = identity_read(f, n + 1, &uuid)) != -ENOENT) {
		n++;
		*ret = r;
		*store = uuid;
		if (r < 0)
			break;
	}
	return n;
}

static int identity_check(struct lockstep_folder *f)
{
	struct lockstep_uuid store;
	unsigned int n;
	int ret;

	ret = look_anew(f, f->root);
	if (ret)
		return ret;
	n = identity_newest(f, &store, &ret);
	if (n < f->identity && (!n || ret >= 0))
		return refused(f, n ? "the folder is older than it was: run lockstep-arbiter restore" :
			       "the store that was in the folder is gone: is something else mounted there?");
	if (!n)
		return failed(f, "no store in the folder: not mounted, or lockstep-arbiter init was not run",
			      -ENOENT);
	if (ret)
		return ret;
	if (!lockstep_uuid_equal(&store, &f->store)) {
		/* What was seen belongs to another one. Its generations can't be claimed here. */
		f->nseen = 0;
		f->store = store;
	}
	f->identity = n;
	f->detail[0] = '\0';
	return 0;
}

static int identity_write(struct lockstep_folder *f, unsigned int n)
{
	char name[128], final[32], text[IDENTITY_MAX], uuid[LOCKSTEP_UUID_STRLEN + 1];
	struct lockstep_uuid store;
	struct stat st;
	int fd, ret;

	ret = lockstep_uuid_random(&store);
	if (ret)
		return failed(f, "no randomness", ret);
	fd = temp_open(f, f->root, name, sizeof(name));
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		ret = failed(f, name, -errno);
		close(fd);
		goto out_unlink;
	}
	snprintf(text, sizeof(text), "lockstep shared store 1\nuuid %s\ninode %" PRIu64 "\n",
		 lockstep_uuid_format(&store, uuid), (uint64_t)st.st_ino);
	ret = temp_fill(f, fd, text, strlen(text));
	if (ret)
		goto out_unlink;
	snprintf(final, sizeof(final), "identity.%u", n);
	if (linkat(f->root, name, f->root, final, 0) < 0)
		ret = failed(f, "link() in the folder", -errno);
out_unlink:
	unlinkat(f->root, name, 0);
	if (!ret)
		ret = sync_fd(f, f->root, f->dir);
	if (!ret) {
		f->identity = n;
		f->store = store;
		f->nseen = 0;
	}
	return ret;
}

/* --- images --------------------------------------------------------------- */

static struct seen *seen_find(struct lockstep_folder *f, const struct lockstep_uuid *vm)
{
	size_t i;

	for (i = 0; i < f->nseen; i++)
		if (lockstep_uuid_equal(&f->seen[i].vm, vm))
			return &f->seen[i];
	return NULL;
}

static int seen_note(struct lockstep_folder *f, const struct lockstep_image *im)
{
	struct seen *s = seen_find(f, &im->vm);

	if (!s) {
		s = reallocarray(f->seen, f->nseen + 1, sizeof(*s));
		if (!s)
			return failed(f, "memory", -ENOMEM);
		f->seen = s;
		s = &f->seen[f->nseen++];
		s->vm = im->vm;
	}
	s->seq = im->seq;
	s->sum = im->sum;
	return 0;
}

/* -ENOENT: there is none. */
static int image_read(struct lockstep_folder *f, const struct lockstep_uuid *vm, uint64_t seq,
		      struct lockstep_image *im)
{
	char name[32];
	size_t len;
	int ret;

	snprintf(name, sizeof(name), "%" PRIu64, seq);
	ret = read_at(f, f->guest, name, sizeof(f->buf), &len, NULL);
	if (ret)
		return ret;
	ret = lockstep_image_decode(f->buf, len, im);
	if (!ret && (!lockstep_uuid_equal(&im->vm, vm) || im->seq != seq))
		ret = -EUCLEAN;
	return ret ? failed(f, "a record is damaged", ret) : 0;
}

/* What a process of this node left when it died is of no use to anybody. */
static bool is_own_temp(const struct lockstep_folder *f, const char *name)
{
	size_t len = strlen(f->node);

	return name[0] == '.' && !strncmp(name + 1, f->node, len) && name[1 + len] == '.' &&
	       strlen(name + len + 2) == LOCKSTEP_UUID_STRLEN;
}

static int highest_listed(struct lockstep_folder *f, uint64_t *seq)
{
	struct dirent *e;
	uint64_t n;
	char *end;
	DIR *d;
	int fd;

	fd = openat(f->guest, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return failed(f, "can't list the folder", -errno);
	}
	while ((errno = 0, e = readdir(d))) {
		n = strtoull(e->d_name, &end, 10);
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && !*end && n > *seq)
			*seq = n;
		if (is_own_temp(f, e->d_name))
			unlinkat(f->guest, e->d_name, 0);
	}
	fd = -errno;
	closedir(d);
	return fd ? failed(f, "can't list the folder", fd) : 0;
}

/* The newest image, by listing and by trying the next numbers: lists may be old. */
static int newest_read(struct lockstep_folder *f, const struct lockstep_uuid *vm)
{
	struct lockstep_image *im = &f->image;
	const struct seen *s = seen_find(f, vm);
	uint64_t seq = 0;
	int ret;

	ret = highest_listed(f, &seq);
	if (ret)
		return ret;
	if (s && s->seq > seq)
		seq = s->seq;
	if (seq) {
		ret = image_read(f, vm, seq, im);
		if (ret == -ENOENT)
			return refused(f, "records are gone that were there before: the folder is an older copy");
	}
	while (!ret) {
		ret = image_read(f, vm, seq + 1, &f->spare);
		if (!ret) {
			*im = f->spare;
			seq++;
		}
	}
	return ret == -ENOENT ? 0 : ret;
}

/* Is it the history that was seen, gone on? */
static int history_check(struct lockstep_folder *f)
{
	const struct seen *s = seen_find(f, &f->image.vm);
	uint64_t sum = f->image.sum;
	int ret;

	if (!s)
		return 0;
	ret = 0;
	if (f->image.seq > s->seq) {
		ret = image_read(f, &f->image.vm, s->seq, &f->spare);
		sum = f->spare.sum;
	}
	if (ret < 0 && ret != -ENOENT)
		return ret;
	if (ret || f->image.seq < s->seq || sum != s->sum)
		return refused(f, "records differ from those seen before: the folder was replaced");
	return 0;
}

static int open_guest(struct lockstep_folder *f, const struct lockstep_uuid *vm, bool make)
{
	char name[LOCKSTEP_UUID_STRLEN + 1];
	int ret;

	lockstep_uuid_format(vm, name);
	if (make && mkdirat(f->root, name, 0700) < 0 && errno != EEXIST)
		return failed(f, "can't make a folder", -errno);
	f->guest = openat(f->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->guest < 0 && errno == ENOENT)
		return 0;
	if (f->guest < 0)
		return failed(f, "can't open the guest's folder", -errno);
	/* Its name has to be durable before anything in it counts. */
	ret = sync_fd(f, f->root, f->dir);
	return ret ? ret : look_anew(f, f->guest);
}

/* Each call begins with the folder itself: is it there, and the one it was? */
static int begin(struct lockstep_folder *f)
{
	int ret;

	f->detail[0] = '\0';
	ret = take_step(f, LOCKSTEP_FOLDER_READ);
	if (ret)
		return failed(f, "reading", ret);
	ret = open_root(f);
	return ret ? ret : identity_check(f);
}

/* Into f->image. What is answered from it must not be lost any more: fsync. */
static int load(struct lockstep_folder *f, const struct lockstep_uuid *vm, bool make)
{
	int ret;

	lockstep_image_init(&f->image, vm);
	ret = begin(f);
	if (!ret)
		ret = open_guest(f, vm, make);
	if (!ret && f->guest >= 0)
		ret = newest_read(f, vm);
	if (!ret)
		ret = history_check(f);
	if (!ret && f->image.seq)
		ret = sync_fd(f, f->guest, "fsync of the folder");
	if (!ret && f->image.seq)
		ret = seen_note(f, &f->image);
	return ret;
}

/* --- changes -------------------------------------------------------------- */

/*
 * Give the image in f->spare its number. 0: done; 1: another one has it; -errno:
 * not known, if LINK was passed.
 */
static int image_add(struct lockstep_folder *f)
{
	size_t len = lockstep_image_encode(&f->spare, f->buf);
	struct lockstep_uuid nonce = f->spare.nonce;
	uint64_t seq = f->spare.seq;
	char name[128], final[32];
	int fd, ret, linked = 0;

	snprintf(final, sizeof(final), "%" PRIu64, seq);
	ret = take_step(f, LOCKSTEP_FOLDER_CREATE);
	if (ret)
		return failed(f, "not made", ret);
	fd = temp_open(f, f->guest, name, sizeof(name));
	if (fd < 0)
		return fd;
	ret = temp_fill(f, fd, f->buf, len);
	if (!ret) {
		ret = take_step(f, LOCKSTEP_FOLDER_LINK);
		if (ret)
			failed(f, "not made", ret);
	}
	if (ret)
		goto out_unlink;
	if (linkat(f->guest, name, f->guest, final, 0) < 0)
		linked = -errno;
	ret = take_step(f, LOCKSTEP_FOLDER_BACK);
	if (ret)
		failed(f, "not read back", ret);
	else
		ret = image_read(f, &f->image.vm, seq, &f->spare);
	if (ret == -ENOENT)
		ret = failed(f, "link() in the folder", linked ? linked : -EIO);
	else if (!ret)
		ret = !lockstep_uuid_equal(&f->spare.nonce, &nonce);
	if (!ret) {
		ret = take_step(f, LOCKSTEP_FOLDER_DURABLE);
		if (ret)
			failed(f, "not durable", ret);
	}
out_unlink:
	unlinkat(f->guest, name, 0);
	if (!ret)
		ret = sync_fd(f, f->guest, "fsync of the folder");
	return ret;
}

static int attempt(struct lockstep_folder *f, const struct lockstep_rules_request *rq,
		   struct lockstep_verdict *v, bool *again)
{
	struct lockstep_rules_change c;
	struct lockstep_rules_guest g;
	int ret;

	*again = false;
	ret = load(f, &rq->key.vm, rq->op == LOCKSTEP_RULES_CREATE);
	if (ret)
		return ret;
	lockstep_image_guest(&f->image, &f->store, &g);
	ret = lockstep_rules_judge(&g, rq, v, &c);
	if (ret || (!c.nputs && !c.below))
		return ret;
	f->spare = f->image;
	ret = lockstep_image_apply(&f->spare, &c, &f->store);
	if (ret)
		return failed(f, "no randomness", ret);
	ret = image_add(f);
	if (!ret)
		ret = seen_note(f, &f->spare);
	*again = ret == 1;
	return ret == 1 ? 0 : ret;
}

int lockstep_folder_request(struct lockstep_folder *f, const struct lockstep_rules_request *rq,
			    struct lockstep_verdict *v)
{
	unsigned int tries = 0;
	bool again = true;
	int ret = 0;

	while (!ret && again && tries++ < TRIES_MAX) {
		ret = attempt(f, rq, v, &again);
		forget_dirs(f);
	}
	if (!ret && again)
		ret = failed(f, "others were always faster", -EAGAIN);
	if (!ret)
		ret = take_step(f, LOCKSTEP_FOLDER_DONE);
	return ret;
}

/* --- interface ------------------------------------------------------------ */

int lockstep_folder_load(struct lockstep_folder *f, const struct lockstep_uuid *vm,
			 const struct lockstep_image **im)
{
	int ret = load(f, vm, false);

	forget_dirs(f);
	*im = &f->image;
	return ret;
}

int lockstep_folder_identity(struct lockstep_folder *f)
{
	int ret = begin(f);

	forget_dirs(f);
	return ret;
}

int lockstep_folder_guests(struct lockstep_folder *f, struct lockstep_uuid **vms, size_t *count)
{
	struct lockstep_uuid vm, *array;
	struct dirent *e;
	int ret = 0;
	DIR *d;

	*vms = NULL;
	*count = 0;
	d = opendir(f->dir);
	if (!d)
		return failed(f, f->dir, -errno);
	while (!ret && (errno = 0, e = readdir(d))) {
		if (lockstep_uuid_parse(e->d_name, &vm))
			continue;
		array = reallocarray(*vms, *count + 1, sizeof(vm));
		if (!array) {
			ret = failed(f, "memory", -ENOMEM);
			break;
		}
		*vms = array;
		array[(*count)++] = vm;
	}
	if (!ret && errno)
		ret = failed(f, f->dir, -errno);
	closedir(d);
	if (ret) {
		free(*vms);
		*vms = NULL;
		*count = 0;
	}
	return ret;
}

int lockstep_folder_mint(struct lockstep_folder *f, bool restore)
{
	struct lockstep_uuid store;
	unsigned int n;
	int ret;

	f->detail[0] = '\0';
	ret = open_root(f);
	if (ret)
		return ret;
	n = identity_newest(f, &store, &ret);
	if (ret < 0 && ret != -ENOENT)
		goto out;
	if (restore && !n)
		ret = failed(f, "there is no store in the folder", -ENOENT);
	else if (!restore && n)
		ret = failed(f, "there is a store in the folder", -EEXIST);
	else
		ret = identity_write(f, n + 1);
out:
	forget_dirs(f);
	return ret;
}

int lockstep_folder_is_local(struct lockstep_folder *f)
{
	/* Of file systems that no two hosts can use at once; magic(5) has no such list. */
	static const unsigned long local[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, F2FS_SUPER_MAGIC,
		OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC, 0x2fc12fc1UL /* ZFS */,
	};
	struct statfs st;
	size_t i;

	if (statfs(f->dir, &st) < 0)
		return failed(f, f->dir, -errno);
	for (i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if ((unsigned long)st.f_type == local[i])
			return 1;
	return 0;
}

const char *lockstep_folder_detail(const struct lockstep_folder *f)
{
	return f->detail;
}

const struct lockstep_uuid *lockstep_folder_store(const struct lockstep_folder *f)
{
	return &f->store;
}

int lockstep_folder_open(const char *dir, const char *node, lockstep_folder_step_fn *step,
			 void *arg, struct lockstep_folder **out)
{
	struct lockstep_folder *f;

	if (dir[0] != '/' || strlen(dir) >= sizeof(f->dir) || !lockstep_node_name_valid(node))
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	strcpy(f->dir, dir);
	strcpy(f->node, node);
	f->step = step;
	f->arg = arg;
	f->root = -1;
	f->guest = -1;
	*out = f;
	return 0;
}

void lockstep_folder_close(struct lockstep_folder *f)
{
	if (!f)
		return;
	free(f->seen);
	free(f);
}
