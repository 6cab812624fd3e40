/* SPDX-License-Identifier: Apache-2.0
 *
 * curve_keys: key files of curve.h. The secret key is one line of Z85 (RFC 32 of the ZeroMQ project) in a
 * file that only its owner may read.
 */
#include "curve.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum { PATH_BYTES = 4096 };

int curve_key_check(const char *z85, struct err *err)
{
    uint8_t raw[32];
    if (strlen(z85) == CURVE_Z85_BYTES - 1 && zmq_z85_decode(raw, z85) != NULL)
        return 0;
    return err_set(
        err, ERR_CONFIG,
        "the server key must be the hub's public key, 40 characters: `mail-analytics key` prints it");
}

static int write_all(int fd, const char *text, struct err *err, const char *path)
{
    size_t n = strlen(text);
    if (write(fd, text, n) != (ssize_t)n || fsync(fd) != 0)
        return err_errno(err, errno, "key file %s cannot be written", path);
    return 0;
}

/* What root makes (`policy-proxy check` before the first start) belongs to the directory's owner, who is to
 * use it: a secret of root's would keep the service from starting. */
static int give_to_owner(int fd, const char *path, struct err *err)
{
    char copy[PATH_BYTES];
    struct stat dir;
    if (geteuid() != 0)
        return 0;
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (stat(dirname(copy), &dir) != 0 || fchown(fd, dir.st_uid, dir.st_gid) != 0)
        return err_errno(err, errno, "key file %s cannot be given to its directory's owner", path);
    return 0;
}

/* Writes a file whole or not at all. */
static int write_file(const char *path, const char *line, mode_t mode, struct err *err)
{
    char temporary[PATH_BYTES], text[CURVE_Z85_BYTES + 1];
    if (snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)getpid()) >= (int)sizeof temporary)
        return err_set(err, ERR_CONFIG, "key file %s: the path is too long", path);
    (void)snprintf(text, sizeof text, "%s\n", line);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, errno, "key file %s cannot be made", path);
    int rc = give_to_owner(fd, path, err);
    if (rc == 0)
        rc = write_all(fd, text, err, path);
    (void)close(fd);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_errno(err, errno, "key file %s cannot be made", path);
    if (rc != 0)
        (void)unlink(temporary);
    sodium_memzero(text, sizeof text);
    return rc;
}

static int make(struct curve_keys *out, const char *path, struct err *err)
{
    char public_path[PATH_BYTES];
    if (zmq_curve_keypair(out->public_key, out->secret_key) != 0)
        return err_set(err, ERR_UNSUPPORTED, "this libzmq has no CURVE");
    if (snprintf(public_path, sizeof public_path, "%s.pub", path) >= (int)sizeof public_path)
        return err_set(err, ERR_CONFIG, "key file %s: the path is too long", path);
    int rc = write_file(public_path, out->public_key, 0644, err); /* first: the secret file says it is done */
    return rc == 0 ? write_file(path, out->secret_key, 0600, err) : rc;
}

static int parse(struct curve_keys *out, const char *text, size_t n, const char *path, struct err *err)
{
    uint8_t raw[32];
    struct slice key = {text, n > 0 && text[n - 1] == '\n' ? n - 1 : n};
    if (key.n != CURVE_Z85_BYTES - 1 || slice_to_string(key, out->secret_key, CURVE_Z85_BYTES) != 0 ||
        zmq_z85_decode(raw, out->secret_key) == NULL ||
        zmq_curve_public(out->public_key, out->secret_key) != 0)
        return err_set(err, ERR_INVALID,
                       "key file %s holds no key: restore it from a backup, or remove it to get a new one",
                       path);
    sodium_memzero(raw, sizeof raw);
    return 0;
}

int curve_keys_load(struct curve_keys *out, const char *path, struct err *err)
{
    struct stat st;
    char text[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? make(out, path, err) : err_errno(err, errno, "key file %s", path);
    ssize_t n = read(fd, text, sizeof text);
    int rc = n < 0 || fstat(fd, &st) != 0 ? err_errno(err, errno, "key file %s", path) : 0;
    (void)close(fd);
    if (rc == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        rc = err_set(err, ERR_DENIED, "key file %s can be read by others: chmod 600 it", path);
    if (rc == 0)
        rc = parse(out, text, (size_t)n, path, err);
    sodium_memzero(text, sizeof text);
    return rc;
}
