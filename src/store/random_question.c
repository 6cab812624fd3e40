/* SPDX-License-Identifier: Apache-2.0
 *
 * random_question: see random_question.h.
 */
#include "store/random_question.h"

#include "base/test.h"
#include "store/recount.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const struct query utc; /* values of the time come by its clocks; the question may have others */

/* A JSON value as a filter would have it: the event's own, or one that fits rarely. */
static json_t *json_value(const struct event *event, enum column column, uint64_t *random)
{
    char text[128];
    struct cell cell = recount_cell(&utc, event, column, text);
    if (cell.type == CELL_NULL)
        return event_columns[column].nullable && event_columns[column].type != TYPE_ID128 ? json_null()
                                                                                          : NULL;
    if (cell.type == CELL_BOOL)
        return json_boolean(cell.u64);
    if (cell.type == CELL_U64)
        return fixture_below(random, 2) ? json_integer((json_int_t)cell.u64)
                                        : json_sprintf("%llu", (unsigned long long)cell.u64);
    if (cell.type == CELL_TS) {
        clock_format(cell.ts, text);
        return json_string(text);
    }
    return json_stringn(cell.text.p, cell.text.n);
}

static const enum column asked_columns[] = {
    COLUMN_tenant,
    COLUMN_edge,
    COLUMN_epoch,
    COLUMN_seq,
    COLUMN_hub_ts,
    COLUMN_ts_corrected,
    COLUMN_stage,
    COLUMN_direction,
    COLUMN_message_id,
    COLUMN_first_of_message,
    COLUMN_retry_of,
    COLUMN_recipients,
    COLUMN_sender_domain,
    COLUMN_recipient_domain,
    COLUMN_client_address,
    COLUMN_client_name,
    COLUMN_client_port,
    COLUMN_helo_name,
    COLUMN_sender,
    COLUMN_recipient,
    COLUMN_recipient_count,
    COLUMN_queue_id,
    COLUMN_instance,
    COLUMN_size,
    COLUMN_sasl_username,
    COLUMN_direction,
    COLUMN_recipient_domain,
    COLUMN_sender_domain,
    COLUMN_hour_of_day,
    COLUMN_day_of_week,
    COLUMN_day_of_month,
    COLUMN_month_of_year,
    COLUMN_year,
    COLUMN_client_family,
    COLUMN_client_network,
    COLUMN_client_block,
    COLUMN_tls,
    COLUMN_authenticated,
    COLUMN_sender_tld,
    COLUMN_recipient_tld,
    COLUMN_size_class,
};

static enum column any_column(uint64_t *random)
{
    return asked_columns[fixture_below(random, ARRAY_LENGTH(asked_columns))];
}

static json_t *random_range(enum column column, const struct fixture *fixture, uint64_t *random)
{
    char a[CLOCK_TEXT_BYTES], b[CLOCK_TEXT_BYTES];
    if (event_columns[column].type == TYPE_TS) {
        int64_t from = FIXTURE_START_US + (int64_t)fixture_below(random, FIXTURE_RANGE_US);
        clock_format(from, a);
        clock_format(from + 1 + (int64_t)fixture_below(random, FIXTURE_RANGE_US), b);
        return fixture_below(random, 4) ? json_pack("[ss]", a, b) : json_pack("[ns]", a) /* open */;
    }
    bool is_small = event_columns[column].type == TYPE_U8;
    json_int_t from = (json_int_t)fixture_below(random, is_small                ? 20
                                                        : column == COLUMN_size ? 50000
                                                                                : fixture->count);
    json_int_t to = from + 1 + (json_int_t)fixture_below(random, is_small ? 10 : 50000);
    return fixture_below(random, 4) ? json_pack("[II]", from, to) : json_pack("[In]", from);
}

/* prefix, suffix or contains, of a piece of a text that is there. NULL: this one has none to cut. */
static json_t *random_part(const struct fixture *fixture, enum column column, uint64_t *random)
{
    static const char *const ops[] = {"prefix", "suffix", "contains"};
    const struct event *event = &fixture->events[fixture_below(random, fixture->count)];
    char text[QUERY_CELL_BYTES];
    struct cell cell = recount_cell(&utc, event, column, text);
    if (cell.type != CELL_TEXT || cell.text.n < 2)
        return NULL;
    uint64_t op = fixture_below(random, ARRAY_LENGTH(ops)), cut = fixture_below(random, 3); /* where from */
    size_t length = 1 + fixture_below(random, cell.text.n < 6 ? cell.text.n : 6);
    size_t from = cut == 0   ? 0
                  : cut == 1 ? cell.text.n - length
                             : fixture_below(random, cell.text.n - length + 1);
    struct slice part = {cell.text.p + from, length};
    if (!text_is_utf8(part))
        return NULL;
    return json_pack("{sssss[s%]}", "column", event_columns[column].name, "op", ops[op], "values", part.p,
                     part.n);
}

static json_t *random_filter(const struct fixture *fixture, uint64_t *random)
{
    static const char *const match[] = {"eq", "ne", "in", "ne", "in"};
    enum column column = any_column(random);
    enum column_type type = event_columns[column].type;
    const char *op = match[fixture_below(random, ARRAY_LENGTH(match))];
    if (type == TYPE_IP && fixture_below(random, 2))
        return json_pack("{sssss[ss]}", "column", event_columns[column].name, "op", "cidr", "values",
                         fixture_below(random, 2) ? "192.0.2.0/24" : "192.0.0.0/23",
                         fixture_below(random, 2) ? "2001:db8:1::/48" : "2001:db8:2::3");
    if (event_columns[column].nullable && fixture_below(random, 6) == 0)
        return json_pack("{ssss}", "column", event_columns[column].name, "op", "empty");
    if (type == TYPE_TEXT && fixture_below(random, 2) == 0)
        return random_part(fixture, column, random);
    if ((type == TYPE_TS || type == TYPE_U8 || type == TYPE_U16 || type == TYPE_U32 || type == TYPE_U64) &&
        fixture_below(random, 2))
        return json_pack("{ssssso}", "column", event_columns[column].name, "op", "range", "values",
                         random_range(column, fixture, random));
    json_t *values = json_array();
    size_t count = strcmp(op, "eq") == 0 ? 1 : 1 + fixture_below(random, 4);
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_value(&fixture->events[fixture_below(random, fixture->count)], column, random);
        if (value == NULL || json_array_append_new(values, value) != 0) {
            json_decref(values);
            return NULL;
        }
    }
    return json_pack("{ssssso}", "column", event_columns[column].name, "op", op, "values", values);
}

/* A filter, or a group of filters, at most depth groups deep. NULL: none this time. */
static json_t *random_tree(const struct fixture *fixture, uint64_t *random, unsigned depth)
{
    uint64_t kind = depth > 0 ? fixture_below(random, 6) : 5;
    if (kind > 2)
        return random_filter(fixture, random);
    if (kind == 0) {
        json_t *own = random_tree(fixture, random, depth - 1);
        return own != NULL ? json_pack("{so}", "not", own) : NULL;
    }
    json_t *list = json_array();
    for (uint64_t i = 1 + fixture_below(random, 3); i > 0; i--) {
        json_t *own = random_tree(fixture, random, depth - 1);
        if (own != NULL)
            assert_int_equal(json_array_append_new(list, own), 0);
    }
    if (json_array_size(list) > 0)
        return json_pack("{so}", kind == 1 ? "and" : "or", list);
    json_decref(list);
    return NULL;
}

static json_t *random_names(uint64_t *random, const char *(*name)(uint64_t *random), size_t count)
{
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++) {
        const char *text = name(random);
        bool twice = false;
        for (size_t k = 0; k < json_array_size(names); k++)
            twice = twice || strcmp(json_string_value(json_array_get(names, k)), text) == 0;
        if (!twice)
            assert_int_equal(json_array_append_new(names, json_string(text)), 0);
    }
    return names;
}

static const char *measure_name(uint64_t *random)
{
    static char name[QUERY_COLUMN_BYTES];
    enum figure_kind kind =
        fixture_below(random, 3) > 0 ? FIGURE_PLAIN : (enum figure_kind)fixture_below(random, 5);
    (void)snprintf(name, sizeof name, "%s%s",
                   query_measure_name((enum measure)fixture_below(random, MEASURE_COUNT)),
                   query_figure_suffix(kind));
    return name;
}

static const char *dimension_name(uint64_t *random)
{
    enum column column = any_column(random);
    return event_columns[column == COLUMN_recipients ? COLUMN_sender : column].name;
}

static void set_range(json_t *question, uint64_t *random)
{
    static const char *const intervals[] = {"1h", "5m", "6h", "1d", "7d", "12h"};
    char text[CLOCK_TEXT_BYTES];
    int64_t from = FIXTURE_START_US + (int64_t)fixture_below(random, FIXTURE_RANGE_US / 2);
    clock_format(from, text);
    assert_int_equal(json_object_set_new(question, "from", json_string(text)), 0);
    clock_format(from + 1 + (int64_t)fixture_below(random, FIXTURE_RANGE_US), text);
    assert_int_equal(json_object_set_new(question, "to", json_string(text)), 0);
    if (fixture_below(random, 2))
        assert_int_equal(
            json_object_set_new(question, "interval",
                                json_string(intervals[fixture_below(random, ARRAY_LENGTH(intervals))])),
            0);
}

static void set_flags(json_t *question, uint64_t *random)
{
    if (fixture_below(random, 3) == 0)
        assert_int_equal(
            json_object_set_new(question, "limit", json_integer(1 + (json_int_t)fixture_below(random, 30))),
            0);
    if (fixture_below(random, 3) == 0)
        assert_int_equal(json_object_set_new(question, "totals", json_true()), 0);
    if (json_object_get(question, "interval") != NULL &&
        json_array_size(json_object_get(question, "by")) == 0 && fixture_below(random, 2))
        assert_int_equal(json_object_set_new(question, "fill", json_true()), 0);
}

static char *written(json_t *question)
{
    char *text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    assert_non_null(text);
    return text;
}

char *random_question(const struct fixture *fixture, uint64_t *random)
{
    static const char *const compared[] = {"previous", "previous", "week", "2026-03-01T03:00:00Z",
                                           "2026-03-02"};
    json_t *question = json_object(), *where = json_array();
    assert_int_equal(json_object_set_new(question, "measures",
                                         random_names(random, measure_name, 1 + fixture_below(random, 5))),
                     0);
    assert_int_equal(
        json_object_set_new(question, "by", random_names(random, dimension_name, fixture_below(random, 4))),
        0);
    for (uint64_t i = fixture_below(random, 3); i > 0; i--) {
        json_t *filter = random_tree(fixture, random, 3);
        if (filter != NULL)
            assert_int_equal(json_array_append_new(where, filter), 0);
    }
    assert_int_equal(json_object_set_new(question, "where", where), 0);
    set_range(question, random);
    set_flags(question, random);
    if (fixture_below(random, 4) == 0)
        assert_int_equal(
            json_object_set_new(question, "compare",
                                json_string(compared[fixture_below(random, ARRAY_LENGTH(compared))])),
            0);
    return written(question);
}

/* The columns of rollup.def, and two that are not. */
static const enum column panel_columns[] = {
    COLUMN_direction,     COLUMN_stage,     COLUMN_edge,      COLUMN_sender,         COLUMN_sender_domain,
    COLUMN_recipient,     COLUMN_direction, COLUMN_direction, COLUMN_client_address, COLUMN_client_name,
    COLUMN_sasl_username, COLUMN_helo_name, COLUMN_instance,  COLUMN_size,           COLUMN_recipient_domain,
};

static json_t *panel_filter(const struct fixture *fixture, enum column column, uint64_t *random)
{
    static const char *const ops[] = {"eq", "in", "ne", "ne"};
    const char *op = ops[fixture_below(random, ARRAY_LENGTH(ops))];
    json_t *values = json_array();
    for (size_t i = strcmp(op, "eq") == 0 ? 1 : 1 + fixture_below(random, 3); i > 0; i--) {
        json_t *value = json_value(&fixture->events[fixture_below(random, fixture->count)], column, random);
        if (value != NULL)
            assert_int_equal(json_array_append_new(values, value), 0);
    }
    if (json_array_size(values) > 0)
        return json_pack("{ssssso}", "column", event_columns[column].name, "op", op, "values", values);
    json_decref(values);
    return NULL;
}

/* What counts different values is asked for more rarely: roll-ups have it only of everything and by
 * direction. */
static const char *panel_measure_name(uint64_t *random)
{
    const char *name;
    do
        name = measure_name(random);
    while (strncmp(name, "requests", 8) != 0 && strncmp(name, "messages", 8) != 0 &&
           strncmp(name, "recipients", 10) != 0 && strncmp(name, "bytes", 5) != 0 &&
           fixture_below(random, 5) > 0);
    return name;
}

/* Whole hours or days, or not. */
static void set_panel_range(json_t *question, uint64_t *random)
{
    static const char *const intervals[] = {"1h", "1h", "1d", "6h", "1d", "7d", "30m"};
    static const int64_t units[] = {3600 * US_PER_SECOND, 24 * 3600 * US_PER_SECOND, 3600 * US_PER_SECOND, 1};
    char text[CLOCK_TEXT_BYTES];
    int64_t unit = units[fixture_below(random, ARRAY_LENGTH(units))];
    int64_t from = FIXTURE_START_US - unit + (int64_t)fixture_below(random, FIXTURE_RANGE_US);
    int64_t to = from + unit + (int64_t)fixture_below(random, (uint64_t)(FIXTURE_RANGE_US + 3 * unit));
    clock_format(from - from % unit, text);
    assert_int_equal(json_object_set_new(question, "from", json_string(text)), 0);
    clock_format(to - to % (fixture_below(random, 3) ? unit : 1), text);
    assert_int_equal(json_object_set_new(question, "to", json_string(text)), 0);
    if (fixture_below(random, 2))
        assert_int_equal(
            json_object_set_new(question, "interval",
                                json_string(intervals[fixture_below(random, ARRAY_LENGTH(intervals))])),
            0);
}

char *random_panel(const struct fixture *fixture, uint64_t *random)
{
    enum column column = panel_columns[fixture_below(random, ARRAY_LENGTH(panel_columns))];
    json_t *where = json_array(), *by = json_array(), *filter = NULL;
    json_t *question =
        json_pack("{soss}", "measures",
                  random_names(random, panel_measure_name, 1 + fixture_below(random, 4)), "mode", "fast");
    uint64_t kind = fixture_below(random, 5);
    if (kind > 1)
        assert_int_equal(json_array_append_new(by, json_string(event_columns[column].name)), 0);
    if (kind % 2 == 1)
        filter = panel_filter(fixture, column, random);
    if (filter != NULL)
        assert_int_equal(json_array_append_new(where, filter), 0);
    assert_int_equal(json_object_set_new(question, "by", by), 0);
    assert_int_equal(json_object_set_new(question, "where", where), 0);
    set_panel_range(question, random);
    set_flags(question, random);
    if (kind > 1 && fixture_below(random, 3) == 0) {
        assert_int_equal(
            json_object_set_new(question, "top", json_integer(1 + (json_int_t)fixture_below(random, 4))), 0);
        if (json_object_get(question, "limit") == NULL && fixture_below(random, 2))
            assert_int_equal(json_object_set_new(question, "rest", json_true()), 0);
    }
    return written(question);
}
