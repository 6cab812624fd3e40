/* SPDX-License-Identifier: Apache-2.0
 *
 * parse: JSON (RFC 8259) → struct query. Comes from the API's body or the CLI. Refuses unknown and repeated
 * fields, wrong types, and whatever passes a bound of query.h; every refusal names the field and what is
 * allowed there.
 */
#include "query/bucket.h"
#include "query/compare.h"
#include "query/filter.h"
#include "query/when.h"

#include <stdio.h>
#include <stdlib.h>

struct parse {
    struct query *query;
    size_t json_bytes;
    int64_t now_us, since_us; /* since_us 0: not given */
    bool has_from, has_to, has_limit;
    const char *compare;
    bool is_refined; /* more than groups and measures is asked for */
    struct err *err;
};

static const char *string_of(const json_t *json)
{
    return json_is_string(json) ? json_string_value(json) : "(not a string)";
}

static int check_array(struct parse *parse, const json_t *json, const char *name, size_t min, size_t max)
{
    if (!json_is_array(json) || json_array_size(json) < min || json_array_size(json) > max)
        return err_set(parse->err, json_array_size(json) > max ? ERR_LIMIT : ERR_INVALID,
                       "%s: an array of %zu to %zu", name, min, max);
    return 0;
}

static const char *measure_names(void)
{
    static _Thread_local char text[192];
    size_t n = 0;
    for (unsigned m = 0; m < MEASURE_COUNT; m++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", m > 0 ? ", " : "", query_measure_name(m));
    return text;
}

/* "messages" or "messages.per_hour" */
static int read_figure(const char *text, enum measure *measure, enum figure_kind *kind)
{
    char name[QUERY_COLUMN_BYTES];
    for (unsigned m = 0; m < MEASURE_COUNT; m++)
        for (unsigned k = FIGURE_PLAIN; k <= FIGURE_PER_HOUR; k++) {
            (void)snprintf(name, sizeof name, "%s%s", query_measure_name(m), query_figure_suffix(k));
            if (strcmp(text, name) == 0) {
                *measure = m;
                *kind = k;
                return 0;
            }
        }
    return ERR_INVALID;
}

/* Which of query.measures it is, a new one if need be. */
static int measure_index(struct parse *parse, enum measure measure, size_t *out)
{
    struct query *query = parse->query;
    for (*out = 0; *out < query->measure_count; (*out)++)
        if (query->measures[*out] == measure)
            return 0;
    if (query->measure_count == QUERY_MEASURES)
        return err_set(parse->err, ERR_LIMIT, "measures: an array of 1 to %d different ones", QUERY_MEASURES);
    query->measures[query->measure_count++] = measure;
    return 0;
}

static int read_measures(struct parse *parse, const json_t *json)
{
    struct query *query = parse->query;
    int rc = check_array(parse, json, "measures", 1, QUERY_FIGURES);
    for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
        const char *text = string_of(json_array_get(json, i));
        struct query_figure *figure = &query->figures[i];
        enum measure measure;
        if (read_figure(text, &measure, &figure->kind) != 0)
            return err_set(parse->err, ERR_INVALID,
                           "measures[%zu]: '%s' is none of %s, nor one of them with .share, .per_second, "
                           ".per_minute or .per_hour",
                           i, value_shown(text), measure_names());
        rc = measure_index(parse, measure, &figure->measure);
        for (size_t k = 0; rc == 0 && k < i; k++)
            if (query->figures[k].measure == figure->measure && query->figures[k].kind == figure->kind)
                return err_set(parse->err, ERR_INVALID, "measures[%zu]: %s is asked for twice", i, text);
        parse->is_refined = parse->is_refined || figure->kind != FIGURE_PLAIN;
        query->figure_count++;
    }
    return rc;
}

static int read_flag(struct parse *parse, const json_t *json, const char *name, bool *out)
{
    *out = json_is_true(json);
    parse->is_refined = parse->is_refined || *out;
    return json_is_boolean(json) ? 0 : err_set(parse->err, ERR_INVALID, "%s: true or false", name);
}

static int read_totals(struct parse *parse, const json_t *json)
{
    return read_flag(parse, json, "totals", &parse->query->totals);
}

static int read_fill(struct parse *parse, const json_t *json)
{
    return read_flag(parse, json, "fill", &parse->query->fill);
}

static int read_rest(struct parse *parse, const json_t *json)
{
    return read_flag(parse, json, "rest", &parse->query->rest);
}

static int read_mode(struct parse *parse, const json_t *json)
{
    parse->query->fast = strcmp(string_of(json), "fast") == 0;
    if (!parse->query->fast && strcmp(string_of(json), "exact") != 0)
        return err_set(parse->err, ERR_INVALID, "mode: exact or fast");
    return 0;
}

static int read_top(struct parse *parse, const json_t *json)
{
    json_int_t top = json_integer_value(json);
    if (!json_is_integer(json) || top < 1 || top > QUERY_TOP)
        return err_set(parse->err, top > QUERY_TOP ? ERR_LIMIT : ERR_INVALID,
                       "top: a whole number from 1 to %d", QUERY_TOP);
    parse->query->top = (uint32_t)top;
    parse->is_refined = true;
    return 0;
}

static int read_compare(struct parse *parse, const json_t *json)
{
    parse->compare = json_string_value(json);
    parse->is_refined = true;
    return json_is_string(json)
               ? 0
               : err_set(parse->err, ERR_INVALID, "compare: previous, week, year, or a time, as a string");
}

static int read_by(struct parse *parse, const json_t *json)
{
    struct query *query = parse->query;
    int rc = check_array(parse, json, "by", 0, QUERY_DIMENSIONS);
    for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
        char name[32];
        enum column column;
        (void)snprintf(name, sizeof name, "by[%zu]", i);
        rc = filter_column(json_array_get(json, i), name, &column, parse->err);
        if (rc != 0)
            return rc;
        for (size_t k = 0; k < query->dimension_count; k++)
            if (query->dimensions[k] == column)
                return err_set(parse->err, ERR_INVALID, "%s: %s is there twice", name,
                               event_columns[column].name);
        query->dimensions[query->dimension_count++] = column;
    }
    return rc;
}

static int read_where(struct parse *parse, const json_t *json)
{
    return filter_parse_all(json, parse->json_bytes, parse->query, parse->err);
}

static int read_time(struct parse *parse, const json_t *json, const char *name, int64_t *out)
{
    if (!json_is_string(json) || when_parse(slice_of(json_string_value(json)), parse->now_us,
                                            parse->query->zone, parse->query->first_day, out) != 0)
        return err_set(parse->err, ERR_INVALID,
                       "%s: a time as in RFC 3339, such as 2026-03-12T14:05:09Z, a date, or one from now on "
                       "such as now-24h, now/d, now-1M/M",
                       name);
    return 0;
}

static int read_from(struct parse *parse, const json_t *json)
{
    parse->has_from = true;
    return read_time(parse, json, "from", &parse->query->from);
}

static int read_to(struct parse *parse, const json_t *json)
{
    parse->has_to = true;
    return read_time(parse, json, "to", &parse->query->to);
}

static int read_duration(struct parse *parse, const json_t *json, const char *name, int64_t *out)
{
    if (!json_is_string(json) || text_to_duration_us(slice_of(json_string_value(json)), out) != 0 ||
        *out < US_PER_SECOND || *out % US_PER_SECOND != 0)
        return err_set(parse->err, ERR_INVALID,
                       "%s: a duration of whole seconds, such as 30s, 5m, 1h, 7d, as a string, not '%s'",
                       name, value_shown(string_of(json)));
    return 0;
}

static int read_since(struct parse *parse, const json_t *json)
{
    return read_duration(parse, json, "since", &parse->since_us);
}

static int read_interval(struct parse *parse, const json_t *json)
{
    static const struct {
        const char *name;
        unsigned months;
        int64_t days; /* at least */
    } named[] = {{"day", 0, 1}, {"week", 0, 7}, {"month", 1, 28}, {"quarter", 3, 90}, {"year", 12, 365}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(string_of(json), named[i].name) == 0) {
            parse->query->interval_months = named[i].months;
            parse->query->interval_us = named[i].days * 24 * 3600 * US_PER_SECOND;
            return 0;
        }
    return read_duration(parse, json, "interval", &parse->query->interval_us);
}

static int read_timezone(struct parse *parse, const json_t *json)
{
    struct err why = {0};
    int rc = zone_open(slice_of(string_of(json)), &parse->query->zone, &why);
    return rc != 0
               ? err_set(parse->err, rc, "timezone: '%s': %s", value_shown(string_of(json)), err_detail(&why))
               : 0;
}

static int read_first_day(struct parse *parse, const json_t *json)
{
    static const char *const days[] = {"monday", "tuesday",  "wednesday", "thursday",
                                       "friday", "saturday", "sunday"};
    for (unsigned i = 0; i < 7; i++)
        if (strcmp(string_of(json), days[i]) == 0) {
            parse->query->first_day = i;
            return 0;
        }
    return err_set(parse->err, ERR_INVALID, "first_day: monday, tuesday, … or sunday");
}

/* Sets order's target to the column of the answer called name. */
static bool find_target(const struct query *query, const char *name, struct query_order *order)
{
    if (query->interval_us > 0 && strcmp(name, "time") == 0) {
        order->by_bucket = true;
        return true;
    }
    for (size_t i = 0; i < query->measure_count; i++)
        if (strcmp(name, query_measure_name(query->measures[i])) == 0) {
            order->by_measure = true;
            order->index = i;
            return true;
        }
    for (size_t i = 0; i < query->dimension_count; i++)
        if (strcmp(name, event_columns[query->dimensions[i]].name) == 0) {
            order->index = i;
            return true;
        }
    return false;
}

static int read_order_entry(struct parse *parse, const json_t *json, size_t i)
{
    const json_t *by = json_object_get(json, "by"), *desc = json_object_get(json, "desc");
    struct query_order *order = &parse->query->orders[i];
    if (!json_is_object(json) || !json_is_string(by) || json_object_size(json) != (desc == NULL ? 1U : 2U) ||
        (desc != NULL && !json_is_boolean(desc)))
        return err_set(parse->err, ERR_INVALID,
                       "order[%zu]: an object of by (a string) and desc (true or false; false when missing)",
                       i);
    *order = (struct query_order){.descending = json_is_true(desc)};
    if (!find_target(parse->query, json_string_value(by), order))
        return err_set(parse->err, ERR_INVALID,
                       "order[%zu].by: '%s' is not in the answer; take one of its measures, of by, or time "
                       "with an interval",
                       i, value_shown(json_string_value(by)));
    return 0;
}

static int read_order(struct parse *parse, const json_t *json)
{
    int rc = check_array(parse, json, "order", 0, QUERY_ORDERS);
    for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
        rc = read_order_entry(parse, json_array_get(json, i), i);
        parse->query->order_count++;
    }
    return rc;
}

static int read_limit(struct parse *parse, const json_t *json)
{
    json_int_t limit = json_integer_value(json);
    if (!json_is_integer(json) || limit < 1 || limit > QUERY_LIMIT)
        return err_set(parse->err, limit > QUERY_LIMIT ? ERR_LIMIT : ERR_INVALID,
                       "limit: a whole number from 1 to %d", QUERY_LIMIT);
    parse->query->limit = (uint32_t)limit;
    parse->has_limit = true;
    return 0;
}

/* In this order: dates look at timezone, order at measures, by and interval. */
static const struct field {
    const char *name;
    int (*read)(struct parse *parse, const json_t *json);
} fields[] = {
    {"timezone", read_timezone},
    {"first_day", read_first_day},
    {"measures", read_measures},
    {"by", read_by},
    {"where", read_where},
    {"from", read_from},
    {"to", read_to},
    {"since", read_since},
    {"interval", read_interval},
    {"order", read_order},
    {"limit", read_limit},
    {"totals", read_totals},
    {"fill", read_fill},
    {"top", read_top},
    {"rest", read_rest},
    {"compare", read_compare},
    {"mode", read_mode},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static int refuse_unknown(struct parse *parse, const json_t *json)
{
    void *at = json_object_iter((json_t *)json);
    for (; at != NULL; at = json_object_iter_next((json_t *)json, at)) {
        bool known = false;
        for (size_t i = 0; i < FIELDS && !known; i++)
            known = strcmp(json_object_iter_key(at), fields[i].name) == 0;
        if (!known)
            return err_set(parse->err, ERR_INVALID,
                           "'%s' is not a field; the fields are measures, by, where, from, to, since, "
                           "interval, timezone, first_day, order, limit, totals, fill, top, rest, compare, "
                           "mode",
                           value_shown(json_object_iter_key(at)));
    }
    return 0;
}

static int set_range(struct parse *parse)
{
    struct query *query = parse->query;
    if (parse->since_us > 0 && parse->has_from)
        return err_set(parse->err, ERR_INVALID, "since: give since or from, not both");
    if (!parse->has_to)
        query->to = parse->now_us;
    if (!parse->has_from) {
        int64_t length = parse->since_us > 0 ? parse->since_us : QUERY_DEFAULT_RANGE_US;
        query->from = length < query->to ? query->to - length : 0;
    }
    return 0;
}

/* What the question left open: its order, and the limit that its buckets need. */
static void set_defaults(struct parse *parse)
{
    struct query *query = parse->query;
    if (query->order_count == 0 && query->interval_us > 0)
        query->orders[query->order_count++] = (struct query_order){.by_bucket = true};
    else if (query->order_count == 0)
        query->orders[query->order_count++] = (struct query_order){.by_measure = true, .descending = true};
    if (!parse->has_limit)
        query->limit =
            query->interval_us > 0 && query->dimension_count == 0 ? QUERY_BUCKETS : QUERY_DEFAULT_ROWS;
}

static int read_document(struct parse *parse, const json_t *json)
{
    if (!json_is_object(json))
        return err_set(parse->err, ERR_INVALID, "the question must be a JSON object");
    if (json_object_get(json, "measures") == NULL)
        return err_set(parse->err, ERR_INVALID, "measures: missing; name one or more of %s", measure_names());
    int rc = refuse_unknown(parse, json);
    for (size_t i = 0; rc == 0 && i < FIELDS; i++) {
        const json_t *value = json_object_get(json, fields[i].name);
        if (value != NULL)
            rc = fields[i].read(parse, value);
    }
    if (rc == 0)
        rc = set_range(parse);
    if (rc != 0)
        return rc;
    set_defaults(parse);
    if (!parse->is_refined)
        parse->query->figure_count = 0;
    if (parse->compare != NULL && parse->query->from < parse->query->to)
        rc = compare_open(parse->query, parse->compare, parse->now_us, parse->err);
    if (rc != 0)
        return rc;
    if (parse->query->zone != NULL && parse->query->from < parse->query->to)
        rc = bucket_open(parse->query, parse->err);
    if (rc != 0)
        return rc;
    struct query checked = *parse->query; /* everything but the scope, which the caller sets */
    checked.scope = QUERY_SCOPE_ALL;
    return query_check(&checked, parse->err);
}

int query_parse(struct slice json, int64_t now_us, struct query **out, struct err *err)
{
    json_error_t error;
    *out = NULL;
    if (json.n > QUERY_JSON_BYTES)
        return err_set(err, ERR_LIMIT, "the question has %zu bytes; at most %d", json.n, QUERY_JSON_BYTES);
    json_t *document = json_loadb(json.n > 0 ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        return err_set(err, ERR_INVALID, "not JSON: %s, line %d, column %d", value_shown(error.text),
                       error.line, error.column);
    struct query *query = calloc(1, sizeof *query);
    struct parse parse = {.query = query, .json_bytes = json.n, .now_us = now_us, .err = err};
    int rc = query == NULL ? err_set(err, ERR_NO_MEMORY, "out of memory") : 0;
    if (rc == 0) {
        query->timeout_us = QUERY_DEFAULT_TIMEOUT_US;
        rc = read_document(&parse, document);
    }
    json_decref(document);
    if (rc != 0)
        query_destroy(&query);
    *out = query;
    return rc;
}
