/* SPDX-License-Identifier: Apache-2.0
 *
 * noun: the verbs tenant, domain, network, apikey, edge and user: add, list, remove, import, reset. One table
 * says how each is written; import.c reads lines.
 */
#include "client.h"
#include "import.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>

enum noun_flag {
    TENANT,
    RELAYED,
    SUBDOMAINS,
    UNTRUSTED,
    COMMENT,
    SCOPE,
    ADDRESS,
    EXPIRES,
    ERASE,
    FLAG_COUNT
};
enum { KNOWS_ADD = 1 << FLAG_COUNT, KNOWS_IMPORT = KNOWS_ADD << 1, KNOWS_RESET = KNOWS_IMPORT << 1 };

static const struct noun {
    const char *verb, *path;
    unsigned knows; /* bits of noun_flag and actions */
    const char *columns[TABLE_COLUMNS];
} nouns[] = {
    {"tenant",
     "/api/v1/tenants",
     KNOWS_ADD | KNOWS_IMPORT | 1 << ERASE,
     {"name", "id", "rule_version", "created"}},
    {"domain",
     "/api/v1/domains",
     KNOWS_ADD | KNOWS_IMPORT | 1 << TENANT | 1 << RELAYED | 1 << SUBDOMAINS,
     {"tenant", "name", "kind", "subdomains"}},
    {"network",
     "/api/v1/networks",
     KNOWS_ADD | KNOWS_IMPORT | 1 << TENANT | 1 << UNTRUSTED | 1 << COMMENT,
     {"tenant", "prefix", "trusted", "comment"}},
    {"apikey",
     "/api/v1/apikeys",
     KNOWS_ADD | KNOWS_IMPORT | 1 << TENANT | 1 << SCOPE | 1 << ADDRESS | 1 << EXPIRES,
     {"id", "tenant", "name", "scopes", "addresses", "expires", "created", "revoked"}},
    {"edge",
     "/api/v1/edges",
     1 << TENANT,
     {"id", "tenant", "host", "version", "connected", "gone_since", "last_seq", "gaps", "dropped", "lag_us",
      "as_of"}},
    {"user", "/api/v1/users", KNOWS_ADD | KNOWS_RESET, {"name", "id", "created", "password_changed"}},
};

static const char *value(const struct flag *flags, enum noun_flag flag)
{
    return flags[flag].count > 0 ? flags[flag].values[0] : NULL;
}

static void set_list(json_t *item, const char *name, const struct flag *flag)
{
    json_t *list = json_array();
    for (size_t i = 0; i < flag->count; i++) {
        struct slice rest = slice_of(flag->values[i]), word;
        while (slice_split(&rest, ',', &word))
            (void)json_array_append_new(list, json_stringn_nocheck(word.p, word.n));
    }
    (void)json_object_set_new(item, name, list);
}

/* The object that a POST takes, from the operand and the flags. Texts are checked when it is written. */
static json_t *item_of(const struct noun *noun, const char *operand, const struct flag *flags)
{
    json_t *item = json_object();
    bool network = strcmp(noun->verb, "network") == 0;
    (void)json_object_set_new(item, network ? "prefix" : "name", json_string_nocheck(operand));
    if (flags[TENANT].count > 0)
        (void)json_object_set_new(item, "tenant", json_string_nocheck(flags[TENANT].values[0]));
    if (flags[RELAYED].count > 0)
        (void)json_object_set_new(item, "kind", json_string("relayed"));
    if (flags[SUBDOMAINS].count > 0)
        (void)json_object_set_new(item, "subdomains", json_true());
    if (flags[UNTRUSTED].count > 0)
        (void)json_object_set_new(item, "trusted", json_false());
    if (flags[COMMENT].count > 0)
        (void)json_object_set_new(item, "comment", json_string_nocheck(flags[COMMENT].values[0]));
    if (flags[SCOPE].count > 0)
        set_list(item, "scopes", &flags[SCOPE]);
    if (flags[ADDRESS].count > 0)
        set_list(item, "addresses", &flags[ADDRESS]);
    if (flags[EXPIRES].count > 0)
        (void)json_object_set_new(item, "expires", json_string_nocheck(flags[EXPIRES].values[0]));
    return item;
}

static int post(struct cli *cli, const char *path, const json_t *document, json_t **reply, long *index)
{
    char *body = json_dumps(document, JSON_COMPACT);
    if (body == NULL)
        return cli_fail(cli, ERR_USAGE, "what was given is not valid UTF-8");
    int rc = client_change(cli, "POST", path, slice_of(body), reply, index);
    free(body);
    return rc;
}

/* A secret stands alone, so that scripts can take it; it is never shown again. */
static void print_made(struct cli *cli, const struct noun *noun, const char *operand, const json_t *reply)
{
    const char *secret = json_string_value(json_object_get(reply, "key"));
    if (secret == NULL)
        secret = json_string_value(json_object_get(reply, "password"));
    if (cli->json)
        cli_print_json(reply);
    else if (secret != NULL)
        printf("%s\n", secret);
    else
        printf("added %s %s\n", noun->verb, operand);
}

static int add(struct cli *cli, const struct noun *noun, const char *operand, const struct flag *flags)
{
    json_t *item = item_of(noun, operand, flags), *reply = NULL;
    int rc = post(cli, noun->path, item, &reply, NULL);
    json_decref(item);
    if (rc != 0)
        return rc;
    print_made(cli, noun, operand, reply);
    json_decref(reply);
    return 0;
}

static json_t *column_list(const struct noun *noun)
{
    json_t *columns = json_array();
    for (size_t i = 0; i < TABLE_COLUMNS && noun->columns[i] != NULL; i++)
        (void)json_array_append_new(columns, json_string(noun->columns[i]));
    return columns;
}

static int list(struct cli *cli, const struct noun *noun, const char *none, const struct flag *flags)
{
    (void)none;
    char path[CLIENT_PATH_BYTES];
    json_t *reply = NULL;
    (void)snprintf(path, sizeof path, "%s", noun->path);
    if (client_parameter(path, "tenant", value(flags, TENANT)) != 0)
        return cli_fail(cli, ERR_USAGE, "--tenant is too long");
    int rc = client_ask(cli, "GET", path, SLICE(""), &reply, NULL);
    if (rc != 0)
        return rc;
    json_t *rows = json_object_get(reply, "rows"), *columns = column_list(noun);
    if (cli->json)
        cli_print_json(reply);
    else if (json_array_size(rows) == 0)
        printf("no %ss\n", noun->verb);
    else
        rc = table_print(stdout, columns, rows);
    json_decref(columns);
    json_decref(reply);
    return rc;
}

static int remove_one(struct cli *cli, const struct noun *noun, const char *operand, const struct flag *flags)
{
    char path[CLIENT_PATH_BYTES];
    json_t *reply = NULL;
    (void)snprintf(path, sizeof path, "%s/", noun->path);
    int rc = client_segment(path, operand);
    if (rc == 0)
        rc = client_parameter(path, "tenant", value(flags, TENANT));
    if (rc == 0)
        rc = client_parameter(path, "erase", flags[ERASE].count > 0 ? "1" : NULL);
    if (rc != 0)
        return cli_fail(cli, ERR_USAGE, "'%.60s' is too long", operand);
    rc = client_change(cli, "DELETE", path, SLICE(""), &reply, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(reply);
    else if (rc == 0)
        printf("removed %s %s\n", noun->verb, operand);
    const json_t *job = json_object_get(reply, "job");
    if (rc == 0 && !cli->json && job != NULL)
        printf("what it sent is erased by job %lld\n", (long long)json_integer_value(job));
    json_decref(reply);
    return rc;
}

static int reset(struct cli *cli, const struct noun *noun, const char *operand, const struct flag *flags)
{
    (void)flags;
    char path[CLIENT_PATH_BYTES];
    json_t *reply = NULL;
    (void)snprintf(path, sizeof path, "%s/", noun->path);
    if (client_segment(path, operand != NULL ? operand : "admin") != 0)
        return cli_fail(cli, ERR_USAGE, "'%.60s' is too long", operand);
    (void)strncat(path, "/password", sizeof path - strlen(path) - 1);
    int rc = client_ask(cli, "POST", path, SLICE(""), &reply, NULL);
    if (rc == 0)
        print_made(cli, noun, operand, reply);
    json_decref(reply);
    return rc;
}

/* "$[3].name: why" → "FILE:LINE: why". */
static int blame_line(struct cli *cli, int rc, const char *file, size_t line)
{
    char why[ERR_DETAIL_BYTES];
    const char *detail = cli->err.detail, *colon = strstr(detail, ": ");
    (void)snprintf(why, sizeof why, "%s",
                   strncmp(detail, "$[", 2) == 0 && colon != NULL ? colon + 2 : detail);
    return cli_fail(cli, rc, "%.200s:%zu: %.250s (nothing was changed)", file, line, why);
}

static int import(struct cli *cli, const struct noun *noun, const char *file, const struct flag *flags)
{
    struct buf text = {0};
    struct import_lines lines = {0};
    json_t *items = json_array();
    json_t *reply = NULL;
    long index = -1;
    int rc = cli_read(cli, file, IMPORT_BYTES, &text);
    while (rc == 0 && import_next(&lines, buf_slice(&text))) {
        json_t *item = item_of(noun, "", flags);
        rc = import_line(noun->verb, lines.line, item, &cli->err);
        if (rc != 0)
            json_decref(item);
        else if (json_array_append_new(items, item) != 0)
            rc = cli_fail(cli, ERR_NO_MEMORY, "out of memory");
        if (rc != 0)
            rc = blame_line(cli, rc, file, lines.number);
    }
    if (rc == 0 && json_array_size(items) > 0)
        rc = post(cli, noun->path, items, &reply, &index);
    if (rc != 0 && index >= 0)
        rc = blame_line(cli, rc, file, import_number_of(buf_slice(&text), (size_t)index));
    const json_t *rows = json_object_get(reply, "rows");
    if (rc == 0 && cli->json && reply != NULL)
        cli_print_json(reply);
    else if (rc == 0 && rows != NULL)
        for (size_t i = 0; i < json_array_size(rows); i++)
            printf("%s %s\n", json_string_value(json_object_get(json_array_get(rows, i), "name")),
                   json_string_value(json_object_get(json_array_get(rows, i), "key")));
    else if (rc == 0)
        printf("added %zu %ss\n", json_array_size(items), noun->verb);
    json_decref(reply);
    json_decref(items);
    buf_fini(&text);
    return rc;
}

static const struct action {
    const char *name;
    int (*run)(struct cli *cli, const struct noun *noun, const char *operand, const struct flag *flags);
    const char *operand; /* what it is; NULL: none */
    unsigned knows;
    bool optional; /* the operand */
} actions[] = {
    {"list", list, NULL, 0, false},
    {"remove", remove_one, "which one", 0, false},
    {"add", add, "the name", KNOWS_ADD, false},
    {"import", import, "the file", KNOWS_IMPORT, false},
    {"reset", reset, "which one", KNOWS_RESET, true},
};

static int check_action(struct cli *cli, const struct noun *noun, const struct action *action, bool operand,
                        const struct flag *flags)
{
    if (operand && action->operand == NULL)
        return cli_fail(cli, ERR_USAGE, "%s %s takes no name: try `mail-analytics help %s`", noun->verb,
                        action->name, noun->verb);
    if (!operand && action->operand != NULL && !action->optional)
        return cli_fail(cli, ERR_USAGE, "%s %s: %s is missing: try `mail-analytics help %s`", noun->verb,
                        action->name, action->operand, noun->verb);
    if (flags[ERASE].count > 0 && strcmp(action->name, "remove") != 0)
        return cli_fail(cli, ERR_USAGE, "%s %s: --erase goes with remove", noun->verb, action->name);
    if (operand && (noun->knows & 1U << TENANT) != 0 && flags[TENANT].count == 0)
        return cli_fail(cli, ERR_USAGE, "%s %s: --tenant NAME is missing", noun->verb, action->name);
    return 0;
}

static int check_flags(struct cli *cli, const struct noun *noun, const struct flag *flags)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (flags[i].count > 0 && (noun->knows & 1U << i) == 0)
            return cli_fail(cli, ERR_USAGE, "%s doesn't know --%s: try `mail-analytics help %s`", noun->verb,
                            flags[i].name, noun->verb);
    return 0;
}

static int run(struct cli *cli, const struct noun *noun)
{
    struct flag flags[FLAG_COUNT] = {
        [TENANT] = {.name = "tenant"},
        [RELAYED] = {.name = "relayed", .type = FLAG_TRUE},
        [SUBDOMAINS] = {.name = "subdomains", .type = FLAG_TRUE},
        [UNTRUSTED] = {.name = "untrusted", .type = FLAG_TRUE},
        [COMMENT] = {.name = "comment"},
        [SCOPE] = {.name = "scope", .type = FLAG_LIST},
        [ADDRESS] = {.name = "address", .type = FLAG_LIST},
        [EXPIRES] = {.name = "expires"},
        [ERASE] = {.name = "erase", .type = FLAG_TRUE},
    };
    const char *operands[2];
    size_t n;
    int rc = cli_flags(cli, flags, FLAG_COUNT, operands, 2, &n);
    if (rc == 0)
        rc = check_flags(cli, noun, flags);
    if (rc != 0)
        return rc;
    if (n == 0)
        return cli_fail(cli, ERR_USAGE, "%s: an action is missing: try `mail-analytics help %s`", noun->verb,
                        noun->verb);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(operands[0], actions[i].name) == 0 &&
            (noun->knows & actions[i].knows) == actions[i].knows) {
            rc = check_action(cli, noun, &actions[i], n > 1, flags);
            return rc != 0 ? rc : actions[i].run(cli, noun, n > 1 ? operands[1] : NULL, flags);
        }
    return cli_fail(cli, ERR_USAGE, "%s doesn't know '%.60s': try `mail-analytics help %s`", noun->verb,
                    operands[0], noun->verb);
}

int verb_tenant(struct cli *cli)
{
    return run(cli, &nouns[0]);
}

int verb_domain(struct cli *cli)
{
    return run(cli, &nouns[1]);
}

int verb_network(struct cli *cli)
{
    return run(cli, &nouns[2]);
}

int verb_apikey(struct cli *cli)
{
    return run(cli, &nouns[3]);
}

int verb_edge(struct cli *cli)
{
    return run(cli, &nouns[4]);
}

int verb_user(struct cli *cli)
{
    return run(cli, &nouns[5]);
}
