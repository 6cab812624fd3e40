/* SPDX-License-Identifier: Apache-2.0
 *
 * retention: the verbs retention (how long a tenant's data is kept) and reclassify.
 */
#include "job.h"

#include "table.h"

#include <stdio.h>
#include <stdlib.h>

enum { TENANT, KIND, KEEP, NO_WAIT, FLAG_COUNT };

static const char *value(const struct flag *flag)
{
    return flag->count > 0 ? flag->values[0] : NULL;
}

static int list_retention(struct cli *cli, const char *tenant)
{
    char path[CLIENT_PATH_BYTES] = "/api/v1/retention";
    json_t *reply = NULL, *columns = json_pack("[s, s, s]", "tenant", "kind", "keep_seconds");
    int rc = client_parameter(path, "tenant", tenant);
    rc = rc != 0 ? cli_fail(cli, ERR_USAGE, "--tenant is too long")
                 : client_ask(cli, "GET", path, SLICE(""), &reply, NULL);
    const json_t *rows = json_object_get(reply, "rows");
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0 && json_array_size(rows) == 0)
        printf("every tenant's data is kept as the settings say\n");
    else if (rc == 0)
        rc = table_print(stdout, columns, rows);
    json_decref(columns);
    json_decref(reply);
    return rc;
}

static int set_retention(struct cli *cli, const struct flag *flags)
{
    json_t *reply = NULL, *question = json_object();
    (void)json_object_set_new(question, "tenant", json_string_nocheck(value(&flags[TENANT])));
    (void)json_object_set_new(question, "kind", json_string_nocheck(value(&flags[KIND])));
    (void)json_object_set_new(question, "keep", json_string_nocheck(value(&flags[KEEP])));
    char *body = json_dumps(question, JSON_COMPACT);
    int rc = body == NULL ? cli_fail(cli, ERR_USAGE, "what was given is not valid UTF-8")
                          : client_ask(cli, "POST", "/api/v1/retention", slice_of(body), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0)
        printf("%s of %s: kept for %s\n", value(&flags[KIND]), value(&flags[TENANT]), value(&flags[KEEP]));
    free(body);
    json_decref(question);
    json_decref(reply);
    return rc;
}

static int unset_retention(struct cli *cli, const struct flag *flags)
{
    char path[CLIENT_PATH_BYTES] = "/api/v1/retention";
    json_t *reply = NULL;
    if (client_parameter(path, "tenant", value(&flags[TENANT])) != 0 ||
        client_parameter(path, "kind", value(&flags[KIND])) != 0)
        return cli_fail(cli, ERR_USAGE, "--tenant or --kind is too long");
    int rc = client_ask(cli, "DELETE", path, SLICE(""), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0)
        printf("%s of %s: kept as the settings say\n", value(&flags[KIND]), value(&flags[TENANT]));
    json_decref(reply);
    return rc;
}

static int apply_retention(struct cli *cli, const struct flag *flags)
{
    json_t *question = json_pack("{s:s}", "kind", "retain");
    int rc = job_ask(cli, question, flags[NO_WAIT].count == 0);
    json_decref(question);
    return rc;
}

int verb_retention(struct cli *cli)
{
    struct flag flags[FLAG_COUNT] = {[TENANT] = {.name = "tenant"},
                                     [KIND] = {.name = "kind"},
                                     [KEEP] = {.name = "keep"},
                                     [NO_WAIT] = {.name = "no-wait", .type = FLAG_TRUE}};
    const char *action = NULL;
    size_t n;
    int rc = cli_flags(cli, flags, FLAG_COUNT, &action, 1, &n);
    if (rc != 0)
        return rc;
    bool named = flags[TENANT].count > 0 && flags[KIND].count > 0;
    if (n == 1 && strcmp(action, "list") == 0)
        return list_retention(cli, value(&flags[TENANT]));
    if (n == 1 && strcmp(action, "set") == 0 && named && flags[KEEP].count > 0)
        return set_retention(cli, flags);
    if (n == 1 && strcmp(action, "unset") == 0 && named)
        return unset_retention(cli, flags);
    if (n == 1 && strcmp(action, "apply") == 0)
        return apply_retention(cli, flags);
    return cli_fail(
        cli, ERR_USAGE,
        "retention: say list, set or unset with --tenant and --kind, or apply: try `mail-analytics help "
        "retention`");
}

int verb_reclassify(struct cli *cli)
{
    static const char *const names[] = {"tenant", "from", "to"};
    struct flag flags[] = {
        {.name = "tenant"}, {.name = "from"}, {.name = "to"}, {.name = "no-wait", .type = FLAG_TRUE}};
    size_t n;
    int rc = cli_flags(cli, flags, 4, NULL, 0, &n);
    if (rc == 0 && flags[0].count == 0)
        rc = cli_fail(cli, ERR_USAGE, "reclassify: --tenant NAME is missing");
    if (rc != 0)
        return rc;
    json_t *question = json_pack("{s:s}", "kind", "reclassify");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (flags[i].count > 0)
            (void)json_object_set_new(question, names[i], json_string_nocheck(flags[i].values[0]));
    rc = job_ask(cli, question, flags[3].count == 0);
    json_decref(question);
    return rc;
}
