/* SPDX-License-Identifier: Apache-2.0
 *
 * curve_keys: key files of curve.h. The secret key is one line of Z85 (RFC 32 of the ZeroMQ project) in a
 * file that only its owner may read.
 */
#include "curve.h"

#include "loop/keyfile.h"

#include <errno.h>
#include <fcntl.h>
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

static int write_file(const char *path, const char *line, mode_t mode, struct err *err)
{
    char text[CURVE_Z85_BYTES + 1];
    (void)snprintf(text, sizeof text, "%s\n", line);
    int rc = keyfile_write(path, slice_of(text), mode, err);
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
