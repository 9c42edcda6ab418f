/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys of a cluster.
 *
 * A cluster's key folder, which stays with the operator:
 *	ca.key, ca.crt			EC P-256; the CA signs nothing but nodes
 * A node's key folder, which is copied to that node:
 *	ca.crt, node.key, node.crt
 *
 * Keys have mode 0600, certificates 0644, folders 0700; each file is replaced
 * atomically. A node's certificate has CN and SAN (DNS) = node name, O = cluster
 * name, for client and server use. Certificates never expire: a wall clock must
 * not be able to stop a failover. To revoke one, remove the node from its peers'
 * configuration, or make a new CA.
 */
#ifndef LOCKSTEP_TRANSPORT_KEYS_H
#define LOCKSTEP_TRANSPORT_KEYS_H

#include <stddef.h>

#define LOCKSTEP_KEYS_CA_KEY	"ca.key"
#define LOCKSTEP_KEYS_CA_CERT	"ca.crt"
#define LOCKSTEP_KEYS_NODE_KEY	"node.key"
#define LOCKSTEP_KEYS_NODE_CERT	"node.crt"

/**
 * lockstep_keys_init() - make a CA
 * @dir: folder, made if need be
 * @cluster: cluster name, same rules as node names
 *
 * Return: 0; -EEXIST if there is a CA already (it is never overwritten);
 * -EINVAL for the name; other -errno.
 */
int lockstep_keys_init(const char *dir, const char *cluster);

/**
 * lockstep_keys_issue() - make a node's key and certificate
 * @dir: folder of the CA
 * @node_name: node name
 * @outdir: folder of the node's keys, made if need be; its node.key and
 *	node.crt are replaced
 *
 * Return: 0; -ENOENT without a CA; -EINVAL for the name; -EKEYREJECTED if
 * @outdir has another CA's ca.crt, or the CA's files don't fit together;
 * other -errno.
 */
int lockstep_keys_issue(const char *dir, const char *node_name, const char *outdir);

/**
 * lockstep_keys_identity() - names in a node's certificate
 * @dir: folder of the node's keys
 * @node: receives the node name, LOCKSTEP_NODE_NAME_MAX + 1 bytes
 * @cluster: receives the cluster name, as many
 *
 * Return: 0; -ENOENT without node.crt; -EKEYREJECTED if it is no node's
 * certificate.
 */
int lockstep_keys_identity(const char *dir, char *node, char *cluster);

/**
 * lockstep_keys_days_left() - how long a certificate says that it is valid
 * @path: file with a certificate
 * @days: receives whole days from now; less than 0: it is over
 *
 * For those who look after keys; connections don't ask, see above.
 *
 * Return: 0; -errno of opening; -EKEYREJECTED if no certificate with a date is in it.
 */
int lockstep_keys_days_left(const char *path, int *days);

/**
 * lockstep_keys_strerror() - what the last failure here was, with a remedy
 *
 * Return: text of the calling thread's last failed call, never NULL.
 */
const char *lockstep_keys_strerror(void);

#endif
