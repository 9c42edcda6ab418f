// SPDX-License-Identifier: GPL-2.0
/* TLS 1.3 with certificates of the cluster's CA on both sides. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "transport/internal.h"
#include "transport/keys.h"

/*
 * AES-GCM keys are changed after so many records, well below the 2^24.5 of
 * RFC 8446 section 5.5: connections of a guest live for months.
 */
#ifndef RECORDS_PER_KEY
#define RECORDS_PER_KEY	(1ULL << 22)
#endif

#define READ_AHEAD	(128 * 1024)	/* bytes taken from the socket at once */

static int complain(char *err, size_t errlen, int ret, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int complain(char *err, size_t errlen, int ret, const char *fmt, ...)
{
	va_list ap;

	if (errlen) {
		va_start(ap, fmt);
		vsnprintf(err, errlen, fmt, ap);
		va_end(ap);
	}
	ERR_clear_error();
	return ret;
}

static int check_own_certificate(struct lockstep_transport *t, const char *path,
				 char *err, size_t errlen)
{
	char node[LOCKSTEP_NODE_NAME_MAX + 1], cluster[LOCKSTEP_NODE_NAME_MAX + 1];

	if (lockstep_keys_names(SSL_CTX_get0_certificate(t->ssl_ctx), node, cluster))
		return complain(err, errlen, -EKEYREJECTED,
				"%s was not made by lockstepctl keys: issue this node a new one",
				path);
	if (strcmp(node, t->node))
		return complain(err, errlen, -EKEYREJECTED,
				"%s is node \"%s\"'s, but this node is called \"%s\": issue keys for it or mend its configuration",
				path, node, t->node);
	if (strcmp(cluster, t->cluster))
		return complain(err, errlen, -EKEYREJECTED,
				"%s is of cluster \"%s\", not \"%s\"", path, cluster, t->cluster);
	return 0;
}

static int load_keys(struct lockstep_transport *t, const char *dir, char *err, size_t errlen)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	struct stat st;

	if (snprintf(ca, PATH_MAX, "%s/%s", dir, LOCKSTEP_KEYS_CA_CERT) >= PATH_MAX ||
	    snprintf(cert, PATH_MAX, "%s/%s", dir, LOCKSTEP_KEYS_NODE_CERT) >= PATH_MAX ||
	    snprintf(key, PATH_MAX, "%s/%s", dir, LOCKSTEP_KEYS_NODE_KEY) >= PATH_MAX)
		return complain(err, errlen, -ENAMETOOLONG, "%s: path is too long", dir);
	if (stat(key, &st) < 0)
		return complain(err, errlen, -errno, "%s: %s; issue keys for this node (lockstepctl keys issue)",
				key, strerror(errno));
	if (st.st_mode & 077)
		return complain(err, errlen, -EKEYREJECTED,
				"%s can be read by others: chmod 600 it", key);
	if (!SSL_CTX_load_verify_file(t->ssl_ctx, ca))
		return complain(err, errlen, -EKEYREJECTED, "%s: not a readable CA certificate", ca);
	if (SSL_CTX_use_certificate_file(t->ssl_ctx, cert, SSL_FILETYPE_PEM) != 1)
		return complain(err, errlen, -EKEYREJECTED, "%s: not a readable certificate", cert);
	if (SSL_CTX_use_PrivateKey_file(t->ssl_ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(t->ssl_ctx) != 1)
		return complain(err, errlen, -EKEYREJECTED, "%s: not the key of %s", key, cert);
	return check_own_certificate(t, cert, err, errlen);
}

int lockstep_tls_init(struct lockstep_transport *t, const char *keys_dir, char *err,
		      size_t errlen)
{
	X509_VERIFY_PARAM *param;
	SSL_CTX *ctx;
	int ret;

	ctx = SSL_CTX_new(TLS_method());
	if (!ctx)
		return complain(err, errlen, -ENOMEM, "OpenSSL can't make a TLS context");
	t->ssl_ctx = ctx;
	/*
	 * No tickets and no cache: each connection proves itself anew. The
	 * time is not looked at: a wrong clock must not part a pair.
	 */
	if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") ||
	    !SSL_CTX_set_num_tickets(ctx, 0)) {
		ret = complain(err, errlen, -EOPNOTSUPP,
			       "this OpenSSL has no TLS 1.3 with AES-GCM: check its configuration");
		goto out_free;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx, 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	param = SSL_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);

	ret = load_keys(t, keys_dir, err, errlen);
	if (ret)
		goto out_free;
	return 0;

out_free:
	lockstep_tls_exit(t);
	return ret;
}

void lockstep_tls_exit(struct lockstep_transport *t)
{
	SSL_CTX_free(t->ssl_ctx);
	t->ssl_ctx = NULL;
}

static int tls_init(struct lockstep_conn *conn)
{
	ERR_clear_error();
	conn->ssl = SSL_new(conn->t->ssl_ctx);
	if (!conn->ssl || !SSL_set_fd(conn->ssl, conn->fd)) {
		lockstep_conn_explain(conn, "OpenSSL can't make a session");
		return -ENOMEM;
	}
	if (conn->outbound)
		SSL_set_connect_state(conn->ssl);
	else
		SSL_set_accept_state(conn->ssl);
	return 0;
}

/* Words for a TLS failure, the certificate's first. */
static int tls_explain(struct lockstep_conn *conn)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(conn->ssl);

	if (ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		lockstep_conn_explain(conn, "connection closed without a word");
		return -ECONNRESET;
	}
	if (verify != X509_V_OK) {
		lockstep_conn_explain(conn, "certificate not accepted: %s",
				      X509_verify_cert_error_string(verify));
		return -EKEYREJECTED;
	}
	lockstep_conn_explain(conn, "TLS: %s",
			      e ? ERR_reason_error_string(e) : "failed without a reason");
	/* A refusal of our certificate arrives as an alert. */
	if (ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET)
		return -EKEYREJECTED;
	return conn->state == LOCKSTEP_CONN_HANDSHAKE ? -EKEYREJECTED : -EPROTO;
}

/* What a failed SSL call means; @saved is errno right after it. */
static int tls_error(struct lockstep_conn *conn, int ret, int saved)
{
	switch (SSL_get_error(conn->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		conn->want_write = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		lockstep_conn_explain(conn, "%s", saved ? strerror(saved) :
				      "connection closed without a word");
		return saved ? -saved : -ECONNRESET;
	default:
		return tls_explain(conn);
	}
}

static int tls_check_peer(struct lockstep_conn *conn)
{
	char cluster[LOCKSTEP_NODE_NAME_MAX + 1];
	X509 *cert = SSL_get0_peer_certificate(conn->ssl);

	if (!cert || lockstep_keys_names(cert, conn->node, cluster)) {
		conn->node[0] = '\0';
		lockstep_conn_explain(conn, "certificate names no node");
		return -EKEYREJECTED;
	}
	if (strcmp(cluster, conn->t->cluster)) {
		lockstep_conn_explain(conn, "certificate is of another cluster, \"%s\"", cluster);
		return -EKEYREJECTED;
	}
	return 0;
}

static int tls_handshake(struct lockstep_conn *conn)
{
	int ret, err;

	ERR_clear_error();
	errno = 0;
	conn->want_write = false;
	ret = SSL_do_handshake(conn->ssl);
	if (ret == 1)
		return tls_check_peer(conn);
	err = tls_error(conn, ret, errno);
	if (!err) {
		lockstep_conn_explain(conn, "connection closed during the handshake");
		return -ECONNRESET;
	}
	return err;
}

static ssize_t tls_read(struct lockstep_conn *conn, void *buf, size_t len)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_read(conn->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
	if (ret > 0)
		return ret;
	return tls_error(conn, ret, errno);
}

static ssize_t tls_write(struct lockstep_conn *conn, const void *buf, size_t len)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	conn->want_write = false;
	/* The update goes out with the next record; it can't be in the middle of one. */
	if (conn->tx_records >= RECORDS_PER_KEY && !conn->out_retry) {
		if (!SSL_key_update(conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED))
			return tls_explain(conn);
		conn->tx_records = 0;
	}
	ret = SSL_write(conn->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
	if (ret > 0) {
		conn->tx_records++;
		return ret;
	}
	ret = tls_error(conn, ret, errno);
	if (!ret) {
		lockstep_conn_explain(conn, "connection closed");
		return -ECONNRESET;
	}
	return ret;
}

static bool tls_pending(struct lockstep_conn *conn)
{
	return SSL_has_pending(conn->ssl);
}

static int tls_export_key(struct lockstep_conn *conn, const char *label, void *out, size_t len)
{
	ERR_clear_error();
	if (SSL_export_keying_material(conn->ssl, out, len, label, strlen(label), NULL, 0, 0) != 1)
		return -EIO;
	return 0;
}

static void tls_release(struct lockstep_conn *conn)
{
	if (!conn->ssl)
		return;
	/* Tell an orderly end, if the session ever began; the answer is not awaited. */
	ERR_clear_error();
	if (SSL_is_init_finished(conn->ssl) && !conn->out_retry)
		SSL_shutdown(conn->ssl);
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	ERR_clear_error();
}

const struct lockstep_conn_io lockstep_conn_tls = {
	.name		= "tls",
	.init		= tls_init,
	.handshake	= tls_handshake,
	.read		= tls_read,
	.write		= tls_write,
	.pending	= tls_pending,
	.export_key	= tls_export_key,
	.release	= tls_release,
};
