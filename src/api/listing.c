/* SPDX-License-Identifier: Apache-2.0
 *
 * listing: see listing.h. The query string becomes the JSON of a question, so that filters are judged in one
 * place.
 */
#include "listing.h"

#include "search.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_BYTES = 8192 };

struct reading {
    const struct listing_kind *kind;
    struct listing *out;
    json_t *question, *where;
    unsigned seen; /* of parameters that may come once */
    struct err *err;
};

static int refuse(struct reading *reading, const char *name, const char *what)
{
    return err_set(reading->err, ERR_INVALID, "?%s=: %s", name, what);
}

static json_t *value_of(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

/* "1000..5000", either side may be missing. */
static json_t *range_of(char *text)
{
    char *dots = strstr(text, "..");
    if (dots == NULL)
        return NULL;
    *dots = '\0';
    return json_pack("[o, o]", value_of(text), value_of(dots + 2));
}

/* The values of an "eq" of that column that is there already: one more makes it "in". */
static json_t *values_before(const json_t *where, const char *column)
{
    for (size_t i = 0; i < json_array_size(where); i++) {
        json_t *test = json_array_get(where, i);
        const char *name = json_string_value(json_object_get(test, "column"));
        const char *op = json_string_value(json_object_get(test, "op"));
        if (name != NULL && op != NULL && strcmp(name, column) == 0 && strcmp(op, "in") == 0)
            return json_object_get(test, "values");
    }
    return NULL;
}

static int add_test(struct reading *reading, const char *column, const char *op, json_t *values, bool not )
{
    json_t *test = strcmp(op, "empty") == 0
                       ? json_pack("{s:s, s:s}", "column", column, "op", op)
                       : json_pack("{s:s, s:s, s:O}", "column", column, "op", op, "values", values);
    json_decref(values);
    if (not )
        test = json_pack("{s:o}", "not", test);
    if (test == NULL)
        return refuse(reading, "f", "texts are UTF-8");
    return json_array_append_new(reading->where, test) == 0
               ? 0
               : err_set(reading->err, ERR_NO_MEMORY, "out of memory");
}

/* column:operator:value, cut at the first two colons; '!' before the operator: does not hold. */
static int read_filter(struct reading *reading, char *text)
{
    char *op = strchr(text, ':'), *value = op != NULL ? strchr(op + 1, ':') : NULL;
    if (op == NULL)
        return refuse(reading, "f", "write COLUMN:OPERATOR:VALUE");
    *op++ = '\0';
    if (value != NULL)
        *value++ = '\0';
    else
        value = op + strlen(op);
    bool not = op[0] == '!';
    op += not ;
    json_t *before = strcmp(op, "eq") == 0 && !not ? values_before(reading->where, text) : NULL;
    if (before != NULL)
        return json_array_append_new(before, value_of(value)) == 0 ? 0
                                                                   : refuse(reading, "f", "texts are UTF-8");
    if (strcmp(op, "range") == 0) {
        json_t *range = range_of(value);
        return range != NULL ? add_test(reading, text, op, range, not )
                             : refuse(reading, "f", "a range is written 1000..5000, 1000.. or ..5000");
    }
    return add_test(reading, text, strcmp(op, "eq") == 0 ? "in" : op, json_pack("[o]", value_of(value)),
                    not );
}

/* Filters as a question has them, for what COLUMN:OPERATOR:VALUE can't say. */
static int read_where(struct reading *reading, char *text)
{
    json_error_t error;
    json_t *filters = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    int rc = json_is_array(filters)
                 ? json_array_extend(reading->where, filters)
                 : refuse(reading, "where", "a JSON array of filters, as a question has it");
    json_decref(filters);
    return rc;
}

static int read_search(struct reading *reading, char *text)
{
    struct slice trimmed = slice_trim(slice_of(text));
    if (trimmed.n == 0)
        return 0;
    if (!text_is_utf8(trimmed))
        return refuse(reading, "q", "texts are UTF-8");
    return json_array_append_new(reading->where, search_filter(trimmed)) == 0
               ? 0
               : err_set(reading->err, ERR_NO_MEMORY, "out of memory");
}

static int set_text(struct reading *reading, const char *field, const char *text)
{
    return json_object_set_new(reading->question, field, json_string(text)) == 0
               ? 0
               : refuse(reading, field, "texts are UTF-8");
}

static int read_from(struct reading *reading, char *text)
{
    return set_text(reading, "from", text);
}

static int read_to(struct reading *reading, char *text)
{
    return set_text(reading, "to", text);
}

static int read_zone(struct reading *reading, char *text)
{
    return set_text(reading, "timezone", text);
}

static int read_sort(struct reading *reading, char *text)
{
    reading->out->descending = strcmp(text, "-time") == 0;
    return reading->out->descending || strcmp(text, "time") == 0 ? 0
                                                                 : refuse(reading, "sort", "time or -time");
}

static int read_limit(struct reading *reading, char *text)
{
    uint64_t limit;
    if (text_to_u64(slice_of(text), UINT32_MAX, &limit) != 0 || limit < 1 || limit > LISTING_LIMIT)
        return err_set(reading->err, ERR_INVALID, "?limit=: a whole number from 1 to %d", LISTING_LIMIT);
    reading->out->limit = (uint32_t)limit;
    return 0;
}

static int read_cursor(struct reading *reading, char *text)
{
    reading->out->resumes = true;
    return bookmark_read(slice_of(text), &reading->out->bookmark) == 0
               ? 0
               : refuse(reading, "cursor", "not one that a page had as its next");
}

static int add_column(struct reading *reading, struct slice name)
{
    struct listing *out = reading->out;
    const struct listing_kind *kind = reading->kind;
    for (size_t i = 0; i < kind->column_count; i++) {
        if (!slice_equal(name, slice_of(event_columns[kind->columns[i]].name)))
            continue;
        for (size_t k = 0; k < out->column_count; k++)
            if (out->columns[k] == kind->columns[i])
                return refuse(reading, "cols", "a column is there twice");
        out->columns[out->column_count++] = kind->columns[i];
        return 0;
    }
    return err_set(reading->err, ERR_INVALID, "?cols=: '%.*s' is not a column of this list",
                   name.n < 40 ? (int)name.n : 40, name.p);
}

static int read_columns(struct reading *reading, char *text)
{
    struct slice rest = slice_of(text), name;
    struct listing *out = reading->out;
    const struct listing_kind *kind = reading->kind;
    int rc = 0;
    out->column_count = 0;
    if (strcmp(text, "all") == 0) {
        out->column_count = kind->column_count;
        memcpy(out->columns, kind->columns, kind->column_count * sizeof *out->columns);
        return 0;
    }
    while (rc == 0 && slice_split(&rest, ',', &name))
        rc = add_column(reading, name);
    return rc == 0 && out->column_count == 0 ? refuse(reading, "cols", "names of columns, or all") : rc;
}

static int pass_over(struct reading *reading, char *text)
{
    (void)reading;
    (void)text;
    return 0;
}

static const struct parameter {
    const char *name;
    int (*read)(struct reading *reading, char *text);
    bool repeats;
} parameters[] = {
    {"f", read_filter, true},      {"where", read_where, false}, {"q", read_search, false},
    {"from", read_from, false},    {"to", read_to, false},       {"tz", read_zone, false},
    {"sort", read_sort, false},    {"limit", read_limit, false}, {"cursor", read_cursor, false},
    {"cols", read_columns, false}, {"tenant", pass_over, false},
};

static int read_parameter(struct reading *reading, struct slice pair)
{
    char text[VALUE_BYTES];
    struct slice value = pair, name;
    if (!slice_split(&value, '=', &name))
        return 0;
    for (unsigned i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        if (!slice_equal(name, slice_of(parameters[i].name)))
            continue;
        if (!parameters[i].repeats && (reading->seen & 1U << i) != 0)
            return refuse(reading, parameters[i].name, "it is there twice");
        reading->seen |= 1U << i;
        int rc = text_from_percent(value, text, sizeof text);
        return rc != 0 ? err_set(reading->err, rc, "?%s=: too long, or not well formed", parameters[i].name)
                       : parameters[i].read(reading, text);
    }
    return err_set(
        reading->err, ERR_INVALID,
        "'%.*s' is not a parameter here; there are f, where, q, from, to, tz, sort, limit, cursor, cols and "
        "tenant",
        name.n < 40 ? (int)name.n : 40, name.p);
}

/* What makes one list another: not its range, which bookmarks hold, nor its columns. */
static int take_hash(struct reading *reading)
{
    char *text = json_dumps(reading->where, JSON_COMPACT | JSON_SORT_KEYS);
    struct buf all = {.limit = QUERY_JSON_BYTES};
    int rc = text != NULL ? buf_addf(&all, "%s %d %s", reading->kind->name, reading->out->descending, text)
                          : ERR_NO_MEMORY;
    reading->out->hash = rc == 0 ? bookmark_hash(buf_slice(&all)) : 0;
    free(text);
    buf_fini(&all);
    if (rc != 0)
        return err_set(reading->err, rc, "the filters are too long");
    if (reading->out->resumes && reading->out->bookmark.question != reading->out->hash)
        return refuse(reading, "cursor", "it belongs to a list with other filters or another order");
    return 0;
}

static int make_query(struct reading *reading, int64_t now_us)
{
    struct listing *out = reading->out;
    int rc = json_object_set(reading->question, "where", reading->where);
    if (out->resumes) { /* the question stays what it was, though its "now" has moved on */
        char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
        clock_format(out->bookmark.from, from);
        clock_format(out->bookmark.to, to);
        rc |= json_object_set_new(reading->question, "from", json_string(from));
        rc |= json_object_set_new(reading->question, "to", json_string(to));
    }
    char *text = rc == 0 ? json_dumps(reading->question, JSON_COMPACT) : NULL;
    if (text == NULL)
        return err_set(reading->err, ERR_NO_MEMORY, "out of memory");
    rc = query_parse(slice_of(text), now_us, &out->query, reading->err);
    free(text);
    return rc;
}

static int read_all(struct reading *reading, struct slice rest)
{
    struct slice pair;
    int rc = 0;
    while (rc == 0 && slice_split(&rest, '&', &pair))
        rc = read_parameter(reading, pair);
    return rc != 0 ? rc : take_hash(reading);
}

int listing_parse(struct slice query_string, const struct listing_kind *kind, int64_t now_us,
                  struct listing *out, struct err *err)
{
    struct reading reading = {.kind = kind, .out = out, .err = err};
    *out = (struct listing){.descending = true, .limit = LISTING_DEFAULT, .column_count = kind->shown};
    for (size_t i = 0; i < kind->shown; i++)
        out->columns[i] = kind->columns[i];
    reading.question = json_pack("{s:[s]}", "measures", "requests");
    reading.where = json_array();
    int rc = reading.question == NULL || reading.where == NULL ? err_set(err, ERR_NO_MEMORY, "out of memory")
                                                               : read_all(&reading, query_string);
    if (rc == 0)
        rc = make_query(&reading, now_us);
    json_decref(reading.question);
    json_decref(reading.where);
    if (rc != 0)
        listing_fini(out);
    return rc;
}

void listing_fini(struct listing *listing)
{
    query_destroy(&listing->query);
    *listing = (struct listing){0};
}
