/* SPDX-License-Identifier: Apache-2.0
 *
 * list: the verbs events, messages and message: what was heard, row by row. Pages are asked for until there
 * are as many rows as wanted.
 */
#include "client.h"
#include "table.h"
#include "where.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_ROWS = 1000, DEFAULT_ROWS = 100, ROWS_MAX = 100000 };
enum list_flag { WHERE, SEARCH, SINCE, FROM, TO, TIMEZONE, COLUMNS, SORT, LIMIT, TENANT, FLAG_COUNT };

struct list {
    struct cli *cli;
    char path[CLIENT_PATH_BYTES]; /* with all parameters but limit and cursor */
    uint64_t wanted;
    json_t *rows, *columns;
    bool more;
};

static int add_where(struct cli *cli, char path[CLIENT_PATH_BYTES], const struct flag *flag)
{
    json_t *filters = json_array();
    int rc = filters == NULL ? cli_fail(cli, ERR_NO_MEMORY, "out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < flag->count; i++)
        rc = where_parse(flag->values[i], filters, &cli->err);
    char *text = rc == 0 && flag->count > 0 ? json_dumps(filters, JSON_COMPACT) : NULL;
    if (rc == 0 && flag->count > 0 && text == NULL)
        rc = cli_fail(cli, ERR_USAGE, "the conditions are not valid UTF-8");
    if (rc == 0 && client_parameter(path, "where", text) != 0)
        rc = cli_fail(cli, ERR_USAGE, "the conditions are too long");
    free(text);
    json_decref(filters);
    return rc;
}

static int compose(struct list *list, const struct flag *flags)
{
    static const char *const names[FLAG_COUNT] = {
        [SEARCH] = "q",     [FROM] = "from", [TO] = "to",        [TIMEZONE] = "tz",
        [COLUMNS] = "cols", [SORT] = "sort", [TENANT] = "tenant"};
    char since[64];
    struct cli *cli = list->cli;
    list->wanted = DEFAULT_ROWS;
    if (flags[LIMIT].count > 0 &&
        (text_to_u64(slice_of(flags[LIMIT].values[0]), ROWS_MAX, &list->wanted) != 0 || list->wanted == 0))
        return cli_fail(cli, ERR_USAGE, "--limit: a number from 1 to %d", ROWS_MAX);
    if (flags[SINCE].count > 0 && flags[FROM].count > 0)
        return cli_fail(cli, ERR_USAGE, "give --since or --from, not both");
    if (flags[SINCE].count > 0 &&
        ((size_t)snprintf(since, sizeof since, "now-%s", flags[SINCE].values[0]) >= sizeof since ||
         client_parameter(list->path, "from", since) != 0))
        return cli_fail(cli, ERR_USAGE, "--since: such as 24h or 7d");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (names[i] != NULL && flags[i].count > 0 &&
            client_parameter(list->path, names[i], flags[i].values[0]) != 0)
            return cli_fail(cli, ERR_USAGE, "--%s is too long", flags[i].name);
    return add_where(cli, list->path, &flags[WHERE]);
}

/* One page behind the cursor (NULL: the first); *next is the one behind it, owned by *page. */
static int take_page(struct list *list, const char *cursor, json_t **page, const char **next)
{
    char path[CLIENT_PATH_BYTES], limit[24];
    uint64_t left = list->wanted - json_array_size(list->rows);
    (void)snprintf(path, sizeof path, "%s", list->path);
    (void)snprintf(limit, sizeof limit, "%llu", (unsigned long long)(left < PAGE_ROWS ? left : PAGE_ROWS));
    if (client_parameter(path, "limit", limit) != 0 || client_parameter(path, "cursor", cursor) != 0)
        return cli_fail(list->cli, ERR_USAGE, "the conditions are too long");
    int rc = client_ask(list->cli, "GET", path, (struct slice){NULL, 0}, page, NULL);
    if (rc != 0)
        return rc;
    (void)json_array_extend(list->rows, json_object_get(*page, "rows"));
    *next = json_string_value(json_object_get(*page, "next"));
    return 0;
}

static int take_pages(struct list *list)
{
    json_t *page = NULL, *before = NULL;
    const char *cursor = NULL;
    int rc;
    do {
        before = page;
        page = NULL;
        rc = take_page(list, cursor, &page, &cursor);
        json_decref(before);
    } while (rc == 0 && cursor != NULL && json_array_size(list->rows) < list->wanted);
    list->columns = json_incref(json_object_get(page, "columns"));
    list->more = cursor != NULL;
    json_decref(page);
    return rc;
}

/* A table has as many columns as a line can hold; --json has them all. */
static int print_rows(struct list *list, const json_t *columns)
{
    if (json_array_size(list->rows) == 0) {
        printf("no rows\n");
        return 0;
    }
    if (table_print(stdout, columns, list->rows) != 0)
        return cli_fail(list->cli, ERR_LIMIT, "too many columns for a table: use --json");
    if (list->more)
        fprintf(stderr, "mail-analytics: there are more rows: raise --limit or ask more narrowly\n");
    return 0;
}

static void print_json(const struct list *list)
{
    json_t *document = json_pack("{s:O, s:b}", "rows", list->rows, "more", list->more);
    cli_print_json(document);
    json_decref(document);
}

static int run(struct cli *cli, const char *route, const json_t *columns)
{
    struct flag flags[FLAG_COUNT] = {[WHERE] = {.name = "where", .type = FLAG_LIST},
                                     [SEARCH] = {.name = "search"},
                                     [SINCE] = {.name = "since"},
                                     [FROM] = {.name = "from"},
                                     [TO] = {.name = "to"},
                                     [TIMEZONE] = {.name = "timezone"},
                                     [COLUMNS] = {.name = "columns"},
                                     [SORT] = {.name = "sort"},
                                     [LIMIT] = {.name = "limit"},
                                     [TENANT] = {.name = "tenant"}};
    struct list list = {.cli = cli, .rows = json_array()};
    size_t operands;
    (void)snprintf(list.path, sizeof list.path, "%s", route);
    int rc = cli_flags(cli, flags, FLAG_COUNT, NULL, 0, &operands);
    if (rc == 0)
        rc = compose(&list, flags);
    if (rc == 0)
        rc = take_pages(&list);
    if (rc == 0 && cli->json)
        print_json(&list);
    else if (rc == 0)
        rc = print_rows(&list, columns != NULL ? columns : list.columns);
    json_decref(list.rows);
    json_decref(list.columns);
    return rc;
}

int verb_events(struct cli *cli)
{
    return run(cli, "/api/v1/events", NULL);
}

int verb_messages(struct cli *cli)
{
    json_t *columns = json_pack("[sssssssss]", "first_ts", "edge", "sender", "recipient", "recipients",
                                "directions", "size", "client_address", "id");
    int rc = run(cli, "/api/v1/messages", columns);
    json_decref(columns);
    return rc;
}

/* What a person looks for first, then its events in the order of time. */
static int print_message(struct cli *cli, const json_t *message)
{
    static const char *const facts[] = {
        "id",       "edge",           "first_ts",    "sender",    "recipients",    "directions", "size",
        "queue_id", "client_address", "client_name", "helo_name", "sasl_username", "tls"};
    char text[TABLE_CELL_BYTES];
    const json_t *timeline = json_object_get(message, "timeline");
    json_t *rows = json_array();
    json_t *columns =
        json_pack("[sssssss]", "ts", "stage", "direction", "recipient", "size", "queue_id", "retry_of");
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        (void)table_cell(json_object_get(message, facts[i]), text);
        printf("%-15s %s\n", facts[i], text);
    }
    for (size_t i = 0; i < json_array_size(timeline); i++)
        (void)json_array_append(rows, json_object_get(json_array_get(timeline, i), "event"));
    printf("\n");
    int rc = table_print(stdout, columns, rows);
    json_decref(columns);
    json_decref(rows);
    return rc != 0 ? cli_fail(cli, rc, "too many columns for a table: use --json") : 0;
}

int verb_message(struct cli *cli)
{
    struct flag flags[] = {{.name = "tenant"}};
    char path[CLIENT_PATH_BYTES] = "/api/v1/messages/";
    const char *id = NULL;
    size_t operands;
    json_t *message = NULL;
    int rc = cli_flags(cli, flags, 1, &id, 1, &operands);
    if (rc == 0 && operands != 1)
        rc = cli_fail(cli, ERR_USAGE, "the message's id is missing: `mail-analytics messages` shows ids");
    if (rc == 0 && (client_segment(path, id) != 0 ||
                    client_parameter(path, "tenant", flags[0].count > 0 ? flags[0].values[0] : NULL) != 0))
        rc = cli_fail(cli, ERR_USAGE, "the id is too long");
    if (rc == 0)
        rc = client_ask(cli, "GET", path, (struct slice){NULL, 0}, &message, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(message);
    else if (rc == 0)
        rc = print_message(cli, message);
    json_decref(message);
    return rc;
}
