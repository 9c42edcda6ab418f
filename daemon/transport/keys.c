// SPDX-License-Identifier: GPL-2.0
/* Keys of a cluster: a CA and node certificates, EC P-256. */
#include "transport/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/file.h"
#include "transport/internal.h"

static _Thread_local char last_error[512] = "no error";

/* Note a failure for lockstep_keys_strerror(); returns @err. */
static int fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return err;
}

const char *lockstep_keys_strerror(void)
{
	return last_error;
}

static int join_path(char *out, const char *dir, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return fail(-ENAMETOOLONG, "%s: path is too long", dir);
	return 0;
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext)
		return -ENOMEM;
	ok = X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok ? 0 : -ENOMEM;
}

static int set_serial(X509 *cert)
{
	BIGNUM *bn = BN_new();
	int ok;

	/* 127 random bits: positive, and no two nodes share one. */
	ok = bn && BN_rand(bn, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
	     BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok ? 0 : -ENOMEM;
}

static int set_subject(X509 *cert, const char *cluster, const char *cn)
{
	X509_NAME *name = X509_get_subject_name(cert);

	if (!X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
					(const unsigned char *)cluster, -1, -1, 0) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					(const unsigned char *)cn, -1, -1, 0))
		return -ENOMEM;
	return 0;
}

/* What CA and node certificates have in common; valid for ever (RFC 5280, 4.1.2.5). */
static X509 *new_certificate(const char *cluster, const char *cn, EVP_PKEY *key)
{
	X509 *cert = X509_new();

	if (!cert)
		return NULL;
	if (!X509_set_version(cert, X509_VERSION_3) || set_serial(cert) ||
	    set_subject(cert, cluster, cn) ||
	    !ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "19700101000000Z") ||
	    !ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") ||
	    !X509_set_pubkey(cert, key)) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static int write_key(const char *path, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data;
	long len;
	int err;

	if (!bio || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
		BIO_free(bio);
		return fail(-ENOMEM, "%s: can't encode the key", path);
	}
	len = BIO_get_mem_data(bio, &data);
	err = lockstep_file_replace(path, data, (size_t)len, 0600);
	BIO_free(bio);
	return err ? fail(err, "%s: can't be written: %s", path, strerror(-err)) : 0;
}

static int write_cert(const char *path, X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long len;
	int err;

	if (!bio || !PEM_write_bio_X509(bio, cert)) {
		BIO_free(bio);
		return fail(-ENOMEM, "%s: can't encode the certificate", path);
	}
	len = BIO_get_mem_data(bio, &data);
	err = lockstep_file_replace(path, data, (size_t)len, 0644);
	BIO_free(bio);
	return err ? fail(err, "%s: can't be written: %s", path, strerror(-err)) : 0;
}

static int sign_ca(X509 *cert, EVP_PKEY *key)
{
	if (!X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
	    add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
	    !X509_sign(cert, key, EVP_sha256()))
		return -ENOMEM;
	return 0;
}

static int sign_node(X509 *cert, const char *node, X509 *ca, EVP_PKEY *ca_key)
{
	char san[LOCKSTEP_NODE_NAME_MAX + 8];

	snprintf(san, sizeof(san), "DNS:%s", node);
	if (!X509_set_issuer_name(cert, X509_get_subject_name(ca)) ||
	    add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") ||
	    add_extension(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth") ||
	    add_extension(cert, ca, NID_subject_alt_name, san) ||
	    add_extension(cert, ca, NID_subject_key_identifier, "hash") ||
	    add_extension(cert, ca, NID_authority_key_identifier, "keyid") ||
	    !X509_sign(cert, ca_key, EVP_sha256()))
		return -ENOMEM;
	return 0;
}

int lockstep_keys_init(const char *dir, const char *cluster)
{
	char key_path[PATH_MAX], cert_path[PATH_MAX];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int err;

	if (!lockstep_node_name_valid(cluster))
		return fail(-EINVAL, "\"%s\" can't be a cluster name: use 1 to %d lower-case letters, digits, '.', '-', '_'",
			    cluster ? cluster : "", LOCKSTEP_NODE_NAME_MAX);
	err = join_path(key_path, dir, LOCKSTEP_KEYS_CA_KEY);
	if (!err)
		err = join_path(cert_path, dir, LOCKSTEP_KEYS_CA_CERT);
	if (err)
		return err;
	if (!access(key_path, F_OK) || !access(cert_path, F_OK))
		return fail(-EEXIST, "%s holds a CA already; a new one would shut out all its nodes: choose another folder, or move ca.key and ca.crt away",
			    dir);
	err = lockstep_file_mkdir(dir, 0700);
	if (err)
		return fail(err, "%s: can't be made: %s", dir, strerror(-err));

	err = fail(-ENOMEM, "OpenSSL can't make an EC P-256 key or certificate");
	key = EVP_EC_gen("P-256");
	if (!key)
		goto out;
	cert = new_certificate(cluster, "lockstep CA", key);
	if (!cert || sign_ca(cert, key))
		goto out;
	err = write_key(key_path, key);
	if (!err)
		err = write_cert(cert_path, cert);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

static int load_ca(const char *dir, X509 **cert, EVP_PKEY **key)
{
	char path[PATH_MAX];
	FILE *f;
	int err;

	err = join_path(path, dir, LOCKSTEP_KEYS_CA_CERT);
	if (err)
		return err;
	f = fopen(path, "re");
	if (!f)
		return fail(-errno, "%s: %s; make a CA first (lockstepctl keys init)",
			    path, strerror(errno));
	*cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	if (!*cert)
		return fail(-EKEYREJECTED, "%s: no certificate in it", path);

	err = join_path(path, dir, LOCKSTEP_KEYS_CA_KEY);
	if (err)
		return err;
	f = fopen(path, "re");
	if (!f)
		return fail(-errno, "%s: %s; certificates are issued where the CA was made",
			    path, strerror(errno));
	*key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	if (!*key)
		return fail(-EKEYREJECTED, "%s: no private key in it", path);
	if (!X509_check_private_key(*cert, *key))
		return fail(-EKEYREJECTED, "%s: ca.key and ca.crt are of different CAs", dir);
	return 0;
}

/* A folder must not end up with a node of one CA and the ca.crt of another. */
static int check_same_ca(const char *path, X509 *ca)
{
	X509 *other;
	FILE *f;
	int cmp;

	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : fail(-errno, "%s: %s", path, strerror(errno));
	other = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	cmp = other ? X509_cmp(other, ca) : -1;
	X509_free(other);
	if (cmp)
		return fail(-EKEYREJECTED, "%s is of another CA: choose another folder for this node's keys",
			    path);
	return 0;
}

static int issue(X509 *ca, EVP_PKEY *ca_key, const char *node, const char *outdir)
{
	char ca_path[PATH_MAX], key_path[PATH_MAX], cert_path[PATH_MAX], cluster[128];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int err;

	if (join_path(ca_path, outdir, LOCKSTEP_KEYS_CA_CERT) ||
	    join_path(key_path, outdir, LOCKSTEP_KEYS_NODE_KEY) ||
	    join_path(cert_path, outdir, LOCKSTEP_KEYS_NODE_CERT))
		return -ENAMETOOLONG;
	err = check_same_ca(ca_path, ca);
	if (err)
		return err;
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_organizationName,
				      cluster, sizeof(cluster)) <= 0)
		return fail(-EKEYREJECTED, "the CA's certificate names no cluster: it is not of lockstepctl keys init");
	err = lockstep_file_mkdir(outdir, 0700);
	if (err)
		return fail(err, "%s: can't be made: %s", outdir, strerror(-err));

	err = fail(-ENOMEM, "OpenSSL can't make an EC P-256 key or certificate");
	key = EVP_EC_gen("P-256");
	if (!key)
		goto out;
	cert = new_certificate(cluster, node, key);
	if (!cert || sign_node(cert, node, ca, ca_key))
		goto out;
	err = write_cert(ca_path, ca);
	if (!err)
		err = write_key(key_path, key);
	if (!err)
		err = write_cert(cert_path, cert);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

int lockstep_keys_issue(const char *dir, const char *node_name, const char *outdir)
{
	EVP_PKEY *ca_key = NULL;
	X509 *ca = NULL;
	int err;

	if (!lockstep_node_name_valid(node_name))
		return fail(-EINVAL, "\"%s\" can't be a node name: use 1 to %d lower-case letters, digits, '.', '-', '_', beginning and ending with a letter or digit",
			    node_name ? node_name : "", LOCKSTEP_NODE_NAME_MAX);
	err = load_ca(dir, &ca, &ca_key);
	if (!err)
		err = issue(ca, ca_key, node_name, outdir);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return err;
}

/*
 * Node and cluster name a certificate proves. It must have exactly one CN, and
 * a SAN that says the same.
 */
int lockstep_keys_names(X509 *cert, char *node, char *cluster)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int len, at;

	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return -EKEYREJECTED;
	len = X509_NAME_get_text_by_NID(subject, NID_commonName, node,
					LOCKSTEP_NODE_NAME_MAX + 1);
	/* A name with a zero byte inside is longer than its string. */
	if (len <= 0 || (size_t)len != strlen(node) || !lockstep_node_name_valid(node))
		return -EKEYREJECTED;
	if (X509_check_host(cert, node, (size_t)len, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
			    X509_CHECK_FLAG_NO_WILDCARDS, NULL) != 1)
		return -EKEYREJECTED;
	len = X509_NAME_get_text_by_NID(subject, NID_organizationName, cluster,
					LOCKSTEP_NODE_NAME_MAX + 1);
	if (len <= 0 || (size_t)len != strlen(cluster))
		return -EKEYREJECTED;
	return 0;
}

int lockstep_keys_identity(const char *dir, char *node, char *cluster)
{
	char path[PATH_MAX];
	X509 *cert;
	FILE *f;
	int err;

	err = join_path(path, dir, LOCKSTEP_KEYS_NODE_CERT);
	if (err)
		return err;
	f = fopen(path, "re");
	if (!f)
		return fail(-errno, "%s: %s; issue keys for this node (lockstepctl keys issue)",
			    path, strerror(errno));
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	err = cert ? lockstep_keys_names(cert, node, cluster) : -EKEYREJECTED;
	X509_free(cert);
	return err ? fail(err, "%s is not a certificate of lockstepctl keys issue", path) : 0;
}

int lockstep_keys_days_left(const char *path, int *days)
{
	int secs = 0, ok;
	X509 *cert;
	FILE *f;

	f = fopen(path, "re");
	if (!f)
		return fail(-errno, "%s: %s", path, strerror(errno));
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	ok = cert && ASN1_TIME_diff(days, &secs, NULL, X509_get0_notAfter(cert));
	X509_free(cert);
	if (!ok)
		return fail(-EKEYREJECTED, "%s: no certificate in it", path);
	/* both parts have the same sign: the hours behind the end are over too */
	if (secs < 0)
		--*days;
	return 0;
}
