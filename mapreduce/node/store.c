// SPDX-License-Identifier: GPL-2.0
/* Files by their content, see store.h. */
#include "node/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/file.h"
#include "node/node.h"
#include "node/spec.h"

#define PIECE	(256 * 1024)

static uint64_t serial;

void mr_store_path(struct mr_node *node, const uint8_t *content, char *path)
{
	char hex[2 * MR_CONTENT_SIZE + 1];

	mr_content_format(content, hex);
	snprintf(path, PATH_MAX, "%s/files/%s", node->cfg.mr.state, hex);
}

bool mr_store_has(struct mr_node *node, const uint8_t *content)
{
	char path[PATH_MAX];

	mr_store_path(node, content, path);
	return !access(path, R_OK);
}

void mr_store_temporary(struct mr_node *node, char *path)
{
	snprintf(path, PATH_MAX, "%s/files/.new-%" PRIu64, node->cfg.mr.state, ++serial);
}

/* Copy @from to @to (or nowhere: -1) and tell whether it was @content. */
static int copy(int from, int to, const uint8_t *content)
{
	uint8_t digest[EVP_MAX_MD_SIZE], *piece = malloc(PIECE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ret = -ENOMEM;
	ssize_t n;

	if (!piece || !ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		goto out_free;
	ret = 0;
	while (!ret && (n = read(from, piece, PIECE))) {
		if (n < 0) {
			ret = -errno;
			break;
		}
		EVP_DigestUpdate(ctx, piece, (size_t)n);
		if (to >= 0)
			ret = lockstep_file_write_all(to, piece, (size_t)n);
	}
	EVP_DigestFinal_ex(ctx, digest, NULL);
	if (!ret && memcmp(digest, content, MR_CONTENT_SIZE))
		ret = -EILSEQ;
out_free:
	EVP_MD_CTX_free(ctx);
	free(piece);
	return ret;
}

int mr_store_add(struct mr_node *node, const char *path, const uint8_t *content)
{
	char final[PATH_MAX];
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ret = fd < 0 ? -errno : copy(fd, -1, content);
	/* a job that was taken must have its files after a power failure */
	if (!ret && fsync(fd))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	mr_store_path(node, content, final);
	if (!ret && rename(path, final))
		ret = -errno;
	if (ret) {
		unlink(path);
		return ret;
	}
	snprintf(final, sizeof(final), "%s/files", node->cfg.mr.state);
	return lockstep_file_sync_dir(final);
}

int mr_store_place(struct mr_node *node, const uint8_t *content, const char *path, bool executable)
{
	char from[PATH_MAX];
	int in, out, ret;

	mr_store_path(node, content, from);
	in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return -errno;
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0755 : 0644);
	if (out < 0) {
		ret = -errno;
		goto out_in;
	}
	ret = copy(in, out, content);
	close(out);
	if (ret == -EILSEQ)
		unlink(from);
	if (ret)
		unlink(path);
	else
		futimens(in, NULL);
out_in:
	close(in);
	return ret;
}

int mr_store_open(struct mr_node *node)
{
	time_t old = time(NULL) - MR_STORE_DAYS * 86400;
	char path[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *dir;
	int ret;

	snprintf(path, sizeof(path), "%s/files", node->cfg.mr.state);
	ret = lockstep_file_opendir(path, 0700, &dir);
	if (ret)
		return ret;
	while ((e = readdir(dir)))
		if (!fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		    !S_ISDIR(st.st_mode) && (e->d_name[0] == '.' || st.st_mtime < old))
			unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	return 0;
}
