/* SPDX-License-Identifier: Apache-2.0
 *
 * key: the verb that prints by what the hub is known: its public wire key, and the pin of its certificate.
 */
#include "cli.h"

#include "http/certificate.h"
#include "hub/paths.h"
#include "wire/curve.h"

#include <stdio.h>

/* The public half lies beside the key for those who may not read the secret one; both are made when missing.
 */
static int find_wire_key(struct cli *cli, const struct hub_paths *paths, struct curve_keys *keys)
{
    char public_path[PATHS_BYTES + 8];
    struct buf text = {0};
    int rc;
    (void)snprintf(public_path, sizeof public_path, "%s.pub", paths->key);
    if (cli_read(cli, public_path, 256, &text) == 0 && text.n >= CURVE_Z85_BYTES - 1) {
        memcpy(keys->public_key, text.p, CURVE_Z85_BYTES - 1);
        rc = curve_key_check(keys->public_key, &cli->err);
    } else {
        rc = paths_make(paths, false, &cli->err);
        if (rc == 0)
            rc = curve_keys_load(keys, paths->key, &cli->err);
    }
    buf_fini(&text);
    return rc;
}

/* "" without https. */
static int find_pin(struct cli *cli, const struct hub_paths *paths, char pin[static CERTIFICATE_PIN_BYTES])
{
    int rc = 0;
    pin[0] = '\0';
    if (cli->settings->https[0] == '\0')
        return 0;
    if (cli->settings->tls_certificate[0] == '\0')
        rc = certificate_make(paths->certificate, paths->certificate_key, &cli->err);
    return rc == 0 ? certificate_pin_file(paths->certificate, pin, &cli->err) : rc;
}

/* Needs no hub. The wire key comes last: scripts take the last word. */
int verb_key(struct cli *cli)
{
    size_t n;
    struct hub_paths paths;
    struct curve_keys keys = {{0}, {0}};
    char pin[CERTIFICATE_PIN_BYTES];
    int rc = cli_flags(cli, NULL, 0, NULL, 0, &n);
    if (rc == 0)
        rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc == 0)
        rc = find_wire_key(cli, &paths, &keys);
    if (rc == 0)
        rc = find_pin(cli, &paths, pin);
    if (rc != 0)
        return rc;
    const char *pinned = pin[0] != '\0' ? pin : NULL;
    if (!cli->json)
        printf("%s%s%s\n", pin, pinned != NULL ? "\n" : "", keys.public_key);
    else if (pinned != NULL) /* neither Z85 nor Base64 has a quote or a backslash */
        printf("{\"server_key\":\"%s\",\"tls_pin\":\"%s\"}\n", keys.public_key, pin);
    else
        printf("{\"server_key\":\"%s\"}\n", keys.public_key);
    return 0;
}
