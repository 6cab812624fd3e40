/* SPDX-License-Identifier: Apache-2.0
 *
 * load: the verbs load and status.
 */
#include "client.h"

#include "api/api.h"

#include <stdio.h>
#include <unistd.h>

int verb_load(struct cli *cli)
{
    const char *file = NULL;
    size_t n;
    struct buf text = {0};
    json_t *reply = NULL;
    int rc = cli_flags(cli, NULL, 0, &file, 1, &n);
    if (rc == 0 && n == 0)
        rc = cli_fail(cli, ERR_USAGE, "which file? try `mail-analytics help load`");
    if (rc == 0)
        rc = cli_read(cli, file, API_BODY_BYTES, &text);
    if (rc == 0)
        rc = client_change(cli, "POST", "/api/v1/load", buf_slice(&text), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0) {
        static const char *const things[] = {"tenants", "domains", "networks", "apikeys"};
        const json_t *keys = json_object_get(reply, "keys");
        for (size_t i = 0; i < sizeof things / sizeof *things; i++)
            printf("%s%lld %s", i > 0 ? ", " : "loaded: ",
                   (long long)json_integer_value(json_object_get(reply, things[i])), things[i]);
        printf(" added or changed\n");
        for (size_t i = 0; i < json_array_size(keys); i++) {
            const json_t *key = json_array_get(keys, i);
            printf("%s %s %s\n", json_string_value(json_object_get(key, "tenant")),
                   json_string_value(json_object_get(key, "name")),
                   json_string_value(json_object_get(key, "key")));
        }
    }
    json_decref(reply);
    buf_fini(&text);
    return rc;
}

static void print_flat(const char *prefix, const json_t *object)
{
    const char *name;
    json_t *value;
    char path[256];
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        (void)snprintf(path, sizeof path, "%.200s%s%.50s", prefix, prefix[0] != '\0' ? "." : "", name);
        if (json_is_object(value))
            print_flat(path, value);
        else if (json_is_string(value))
            printf("%-28s %s\n", path, json_string_value(value));
        else if (json_is_integer(value))
            printf("%-28s %lld\n", path, (long long)json_integer_value(value));
        else if (json_is_real(value))
            printf("%-28s %.2f\n", path, json_real_value(value));
        else
            printf("%-28s %s\n", path, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
}

int verb_status(struct cli *cli)
{
    size_t n;
    int fd = -1;
    json_t *reply = NULL;
    int rc = cli_flags(cli, NULL, 0, NULL, 0, &n);
    if (rc == 0)
        rc = client_ask(cli, "GET", "/api/v1/status", SLICE(""), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0)
        print_flat("", reply);
    if (rc == 0 && json_is_false(json_object_get(reply, "running")))
        rc = client_connect(cli, &fd); /* says that there is none, and what to do */
    if (fd >= 0) {
        close(fd);
        rc = cli_fail(cli, ERR_UNAVAILABLE, "the hub is just starting: ask again");
    }
    if (rc == 0 && json_integer_value(json_object_get(json_object_get(reply, "store"), "opening")) != 0)
        rc =
            cli_fail(cli, ERR_UNAVAILABLE,
                     "the hub is just starting, it receives but answers no questions yet: the store is being "
                     "opened: ask again");
    json_decref(reply);
    return rc;
}
