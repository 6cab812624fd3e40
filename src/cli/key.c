/* SPDX-License-Identifier: Apache-2.0
 *
 * key: the verb that prints the hub's public wire key.
 */
#include "cli.h"

#include "hub/paths.h"
#include "wire/curve.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made by root in a directory of the hub's user, the key is that user's, or the hub couldn't read it. */
static int give_to_owner(const struct hub_paths *paths, const char *public_path, struct err *err)
{
    struct stat dir;
    if (geteuid() != 0 || stat(paths->data, &dir) != 0 || dir.st_uid == 0)
        return 0;
    if (lchown(paths->key, dir.st_uid, dir.st_gid) != 0 || lchown(public_path, dir.st_uid, dir.st_gid) != 0)
        return err_errno(err, errno, "%s can't be given to the owner of %s", paths->key, paths->data);
    return 0;
}

/* The key file needs no hub; the public half lies beside it for those who may not read the secret one. */
int verb_key(struct cli *cli)
{
    size_t n;
    struct hub_paths paths;
    struct curve_keys keys = {{0}, {0}};
    char public_path[PATHS_BYTES + 8];
    struct buf text = {0};
    int rc = cli_flags(cli, NULL, 0, NULL, 0, &n);
    if (rc == 0)
        rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc != 0)
        return rc;
    (void)snprintf(public_path, sizeof public_path, "%s.pub", paths.key);
    if (cli_read(cli, public_path, 256, &text) == 0 && text.n >= CURVE_Z85_BYTES - 1) {
        memcpy(keys.public_key, text.p, CURVE_Z85_BYTES - 1);
        rc = curve_key_check(keys.public_key, &cli->err);
    } else {
        rc = paths_make(&paths, false, &cli->err);
        if (rc == 0)
            rc = curve_keys_load(&keys, paths.key, &cli->err);
        if (rc == 0)
            rc = give_to_owner(&paths, public_path, &cli->err);
    }
    if (rc == 0 && cli->json)
        printf("{\"server_key\":\"%s\"}\n", keys.public_key); /* Z85 has no quote and no backslash */
    else if (rc == 0)
        printf("%s\n", keys.public_key);
    buf_fini(&text);
    return rc;
}
