/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the verb that asks: flags to a question (query.h), the answer as a table or as it came.
 */
#include "client.h"
#include "table.h"
#include "where.h"

#include <stdio.h>
#include <stdlib.h>

enum query_flag {
    MEASURE,
    BY,
    WHERE,
    SINCE,
    FROM,
    TO,
    INTERVAL,
    TIMEZONE,
    FIRST_DAY,
    COMPARE,
    TOTALS,
    FILL,
    TOP,
    REST,
    FAST,
    ORDER,
    LIMIT,
    TENANT,
    FLAG_COUNT
};

/* Texts are taken unchecked here; what is no UTF-8 fails when the question is written (verb_query). */
static json_t *words(const struct flag *flag)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < flag->count; i++) {
        struct slice rest = slice_of(flag->values[i]), word;
        while (slice_split(&rest, ',', &word))
            (void)json_array_append_new(list, json_stringn_nocheck(word.p, word.n));
    }
    return list;
}

/* "messages:asc,sender_domain" → [{"by":"messages","desc":false},…]; measures fall, the rest rises. */
static int add_orders(struct cli *cli, json_t *question, const struct flag *flag, const json_t *measures)
{
    json_t *orders = json_array(), *all = words(flag);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(all); i++) {
        struct slice name = {NULL, 0}, way = slice_of(json_string_value(json_array_get(all, i)));
        (void)slice_split(&way, ':', &name);
        bool descending = false;
        for (size_t m = 0; m < json_array_size(measures); m++)
            descending |= slice_equal(name, slice_of(json_string_value(json_array_get(measures, m))));
        if (way.n > 0) {
            descending = slice_equal(way, SLICE("desc"));
            if (!descending && !slice_equal(way, SLICE("asc")))
                rc = cli_fail(cli, ERR_USAGE, "--order: write NAME, NAME:asc or NAME:desc");
        }
        json_t *order = json_object();
        (void)json_object_set_new(order, "by", json_stringn_nocheck(name.p != NULL ? name.p : "", name.n));
        (void)json_object_set_new(order, "desc", json_boolean(descending));
        (void)json_array_append_new(orders, order);
    }
    json_decref(all);
    if (json_array_size(orders) > 0 && rc == 0)
        return json_object_set_new(question, "order", orders) == 0 ? 0 : ERR_NO_MEMORY;
    json_decref(orders);
    return rc;
}

static int add_where(struct cli *cli, json_t *question, const struct flag *flag)
{
    json_t *filters = json_array();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < flag->count; i++)
        rc = where_parse(flag->values[i], filters, &cli->err);
    if (rc == 0 && json_array_size(filters) > 0)
        return json_object_set_new(question, "where", filters) == 0 ? 0 : ERR_NO_MEMORY;
    json_decref(filters);
    return rc;
}

static int compose(struct cli *cli, struct flag *flags, json_t *question)
{
    static const char *const plain[FLAG_COUNT] = {
        [SINCE] = "since",       [FROM] = "from",           [TO] = "to",          [INTERVAL] = "interval",
        [TIMEZONE] = "timezone", [FIRST_DAY] = "first_day", [COMPARE] = "compare"};
    static const char *const asked[FLAG_COUNT] = {[TOTALS] = "totals", [FILL] = "fill", [REST] = "rest"};
    uint64_t limit = 0;
    json_t *measures = words(&flags[MEASURE]);
    (void)json_object_set_new(question, "measures", measures);
    if (flags[BY].count > 0)
        (void)json_object_set_new(question, "by", words(&flags[BY]));
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (plain[i] != NULL && flags[i].count > 0)
            (void)json_object_set_new(question, plain[i], json_string_nocheck(flags[i].values[0]));
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (asked[i] != NULL && flags[i].count > 0)
            (void)json_object_set_new(question, asked[i], json_true());
    if (flags[FAST].count > 0)
        (void)json_object_set_new(question, "mode", json_string("fast"));
    if (flags[TOP].count > 0) {
        if (text_to_u64(slice_of(flags[TOP].values[0]), INT32_MAX, &limit) != 0)
            return cli_fail(cli, ERR_USAGE, "--top must be a number");
        (void)json_object_set_new(question, "top", json_integer((json_int_t)limit));
    }
    if (flags[LIMIT].count > 0) {
        if (text_to_u64(slice_of(flags[LIMIT].values[0]), INT32_MAX, &limit) != 0)
            return cli_fail(cli, ERR_USAGE, "--limit must be a number");
        (void)json_object_set_new(question, "limit", json_integer((json_int_t)limit));
    }
    int rc = add_orders(cli, question, &flags[ORDER], measures);
    return rc != 0 ? rc : add_where(cli, question, &flags[WHERE]);
}

/* What a reader must not take for exact. */
static void print_approximations(const json_t *names)
{
    if (json_array_size(names) == 0)
        return;
    fprintf(stderr, "mail-analytics: from roll-ups, these are approximations:");
    for (size_t i = 0; i < json_array_size(names); i++)
        fprintf(stderr, " %s", json_string_value(json_array_get(names, i)));
    fprintf(stderr, "\n");
}

static int print_answer(struct cli *cli, const json_t *answer)
{
    json_t *rows = json_object_get(answer, "rows"), *totals = json_object_get(answer, "totals");
    const json_t *columns = json_object_get(answer, "columns");
    if (json_array_size(rows) == 0) {
        printf("no rows from %s to %s\n", json_string_value(json_object_get(answer, "from")),
               json_string_value(json_object_get(answer, "to")));
        return 0;
    }
    if (totals != NULL) /* the last line; "-" stands where it has no column */
        (void)json_array_append(rows, totals);
    if (table_print(stdout, columns, rows) != 0)
        return cli_fail(cli, ERR_LIMIT, "too many columns for a table: use --json");
    if (json_is_true(json_object_get(answer, "truncated")))
        fprintf(stderr, "mail-analytics: there are more rows: raise --limit or ask more narrowly\n");
    print_approximations(json_object_get(answer, "approximate"));
    return 0;
}

int verb_query(struct cli *cli)
{
    struct flag flags[FLAG_COUNT] = {[MEASURE] = {.name = "measure", .type = FLAG_LIST},
                                     [BY] = {.name = "by", .type = FLAG_LIST},
                                     [WHERE] = {.name = "where", .type = FLAG_LIST},
                                     [SINCE] = {.name = "since"},
                                     [FROM] = {.name = "from"},
                                     [TO] = {.name = "to"},
                                     [INTERVAL] = {.name = "interval"},
                                     [TIMEZONE] = {.name = "timezone"},
                                     [FIRST_DAY] = {.name = "first-day"},
                                     [COMPARE] = {.name = "compare"},
                                     [TOTALS] = {.name = "totals", .type = FLAG_TRUE},
                                     [FILL] = {.name = "fill", .type = FLAG_TRUE},
                                     [TOP] = {.name = "top"},
                                     [REST] = {.name = "rest", .type = FLAG_TRUE},
                                     [FAST] = {.name = "fast", .type = FLAG_TRUE},
                                     [ORDER] = {.name = "order", .type = FLAG_LIST},
                                     [LIMIT] = {.name = "limit"},
                                     [TENANT] = {.name = "tenant"}};
    char path[CLIENT_PATH_BYTES] = "/api/v1/query";
    size_t operands;
    json_t *question = json_object(), *answer = NULL;
    char *body = NULL;
    int rc = cli_flags(cli, flags, FLAG_COUNT, NULL, 0, &operands);
    if (rc == 0 && flags[MEASURE].count == 0)
        rc = cli_fail(cli, ERR_USAGE, "--measure is missing, such as --measure messages,requests");
    if (rc == 0)
        rc = compose(cli, flags, question);
    if (rc == 0 &&
        client_parameter(path, "tenant", flags[TENANT].count > 0 ? flags[TENANT].values[0] : NULL) != 0)
        rc = cli_fail(cli, ERR_USAGE, "--tenant is too long");
    if (rc == 0 && (body = json_dumps(question, JSON_COMPACT)) == NULL)
        rc = cli_fail(cli, ERR_USAGE, "the question is not valid UTF-8");
    if (rc == 0)
        rc = client_ask(cli, "POST", path, slice_of(body), &answer, NULL);
    if (rc == 0 && cli->json)
        cli_print_json(answer);
    else if (rc == 0)
        rc = print_answer(cli, answer);
    json_decref(answer);
    json_decref(question);
    free(body);
    return rc;
}
