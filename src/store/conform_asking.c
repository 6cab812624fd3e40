/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_asking: what every engine must answer: by hand, and random questions against a recount.
 */
#include "store/place.h"
#include "store/random_question.h"
#include "store/recount.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A small message of two directions and one of one, by hand. */
static void a_mixed_message_counts_once_in_each_and_once_in_all(void **state)
{
    struct place *place = *state;
    struct event rows[7];
    struct fixture fixture;
    fixture_init(&fixture, 5, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        rows[i] = fixture.events[0];
        rows[i].tenant = 1;
        rows[i].seq = i + 1;
        rows[i].ts = FIXTURE_START_US + (int64_t)i * US_PER_SECOND;
        rows[i].stage = STAGE_RCPT;
        rows[i].recipients = 1;
        rows[i].retry_of = 0;
        rows[i].first_of_message = i == 0 || i == 5;
        rows[i].message_id.b[0] = i < 5 ? 1 : 2;
        rows[i].direction = i == 1 ? DIRECTION_OUT : DIRECTION_IN;
        rows[i].size = 9; /* announced: never counted */
    }
    rows[3].retry_of = 1; /* rows 0, 1, 2 are recipients, 3 repeats one */
    rows[3].recipients = 0;
    for (size_t i = 4; i <= 6; i += 2) { /* END-OF-MESSAGE of both messages */
        rows[i].stage = STAGE_END_OF_MESSAGE;
        rows[i].recipients = 0;
        rows[i].size = i == 4 ? 1000 : 50;
    }
    rows[4].direction = DIRECTION_ABSENT;
    assert_int_equal(store_append(place->store, rows, ARRAY_LENGTH(rows), NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
#define ALL "\"measures\":[\"messages\",\"recipients\",\"bytes\"],\"since\":\"72h\""
    place_answers(place, "{" ALL "}", 1, "2|4|1050", 1);
    place_answers(place, "{" ALL ",\"by\":[\"direction\"]}", 1, "in|2|3|1050", 2);
    place_answers(place, "{" ALL ",\"by\":[\"direction\"],\"order\":[{\"by\":\"messages\"}]}", 1,
                  "out|1|1|1000", 2);
    place_answers(place, "{" ALL ",\"where\":[{\"column\":\"direction\",\"values\":[\"out\"]}]}", 1,
                  "1|1|1000", 1);
    place_answers(place, "{" ALL ",\"where\":[{\"column\":\"direction\",\"values\":[null]}]}", 1, "0|0|0", 1);
    place_answers(place,
                  "{\"measures\":[\"requests\",\"messages\"],\"since\":\"72h\",\"by\":[\"direction\"]}", 1,
                  "in|5|2", 3);
    place_answers(place, "{" ALL ",\"interval\":\"1h\"}", 1, "2026-03-01T00:00:00.000000Z|2|4|1050", 1);
    place_answers(place, "{" ALL ",\"by\":[\"stage\"],\"order\":[{\"by\":\"bytes\",\"desc\":true}]}", 1,
                  "RCPT|2|4|1050", 2);
    place_answers(place, "{" ALL "}", 2, "0|0|0", 1);
    fixture_fini(&fixture);
}

/* What is wrong is told after the answer: to jump out of the sink would leave the engine waiting for it. */
struct check {
    char wrong[512];
    const struct query *query;
    const struct recount *recount;
    const struct recount *before; /* of the period that is compared with, or NULL */
    size_t rows, keys;
    uint64_t last, requests; /* of all rows, the rest's too */
    bool totals;
};

#define WRONG(check, ...) ((void)snprintf((check)->wrong, sizeof(check)->wrong, __VA_ARGS__), -7)

/* A figure from the measures as they were recounted, slowly and plainly. */
static double figure_of(const struct recount *recount, const struct query_figure *figure,
                        const struct recount_row *row, int64_t from, int64_t to)
{
    enum measure measure = recount->query->measures[figure->measure];
    double value = row != NULL ? (double)row->measures[measure] : 0, seconds = (double)(to - from) / 1e6;
    uint64_t total = recount->total.measures[measure];
    switch (figure->kind) {
    case FIGURE_SHARE:
        return total > 0 ? value / (double)total : 0;
    case FIGURE_PER_SECOND:
        return value / seconds;
    case FIGURE_PER_MINUTE:
        return value / (seconds / 60);
    case FIGURE_PER_HOUR:
        return value / (seconds / 3600);
    default:
        return value;
    }
}

static int check_figures(struct check *check, const struct cell *cells, const struct recount_row *row,
                         int64_t from, int64_t to, const char *key)
{
    const struct query *query = check->query;
    size_t count = query->figure_count > 0 ? query->figure_count : query->measure_count;
    size_t each = query->compares ? 3 : 1;
    for (size_t i = 0; i < count; i++, cells += each) {
        struct query_figure figure = {.measure = i};
        if (query->figure_count > 0)
            figure = query->figures[i];
        double expected = figure_of(check->recount, &figure, row, from, to);
        double got = cells[0].type == CELL_F64 ? cells[0].f64 : (double)cells[0].u64;
        if (cells[0].type != (figure.kind == FIGURE_PLAIN ? CELL_U64 : CELL_F64) ||
            fabs(got - expected) > 1e-9 * fabs(expected))
            return WRONG(check, "%s%s of %s: %.12g, recounted %.12g",
                         query_measure_name(query->measures[figure.measure]),
                         query_figure_suffix(figure.kind), key, got, expected);
    }
    return 0;
}

/* What stands beside the figures: those of the period before, and the change. from < to: there was one. */
static int check_beside(struct check *check, const struct cell *cells, const struct recount_row *row,
                        int64_t from, int64_t to, const char *key)
{
    const struct query *query = check->query;
    for (size_t i = 0; i < query->figure_count; i++, cells += 3) {
        double now = cells[0].type == CELL_F64 ? cells[0].f64 : (double)cells[0].u64;
        double got = cells[1].type == CELL_F64 ? cells[1].f64 : (double)cells[1].u64;
        double before = figure_of(check->before, &query->figures[i], row, from, to);
        if (from >= to && (cells[1].type != CELL_NULL || cells[2].type != CELL_NULL))
            return WRONG(check, "%s: there was no such bucket before", key);
        if (from >= to)
            continue;
        if (cells[1].type != cells[0].type || fabs(got - before) > 1e-9 * fabs(before))
            return WRONG(check, "before %s of %s: %.12g, recounted %.12g",
                         query_measure_name(query->measures[query->figures[i].measure]), key, got, before);
        if (before == 0 ? cells[2].type != CELL_NULL
                        : cells[2].type != CELL_F64 ||
                              fabs(cells[2].f64 - (now - before) / before) > 1e-9 * (1 + fabs(now / before)))
            return WRONG(check, "change of %s: %.12g from %.12g to %.12g", key, cells[2].f64, before, now);
    }
    return 0;
}

static int check_totals(void *arg, const struct cell *cells, size_t count)
{
    struct check *check = arg;
    check->totals = true;
    if (count != check->query->figure_count * (check->query->compares ? 3 : 1) || check->rows > 0)
        return WRONG(check, "totals of %zu figures behind %zu rows", count, check->rows);
    int rc = check_figures(check, cells, &check->recount->total, check->query->from, check->query->to, "all");
    return rc != 0 || check->before == NULL
               ? rc
               : check_beside(check, cells, &check->before->total, check->before->query->from,
                              check->before->query->to, "all");
}

/* The bucket of that row as far as the range reaches, as the recount has it. */
static void span_of(const struct recount *recount, const struct cell *cells, int64_t *from, int64_t *to)
{
    const struct query *query = recount->query;
    *from = query->from;
    *to = query->to;
    for (size_t i = 0; query->interval_us > 0 && i < recount->bucket_count; i++)
        if (recount->buckets[i] == cells[0].ts) {
            *from = cells[0].ts > *from ? cells[0].ts : *from;
            if (i + 1 < recount->bucket_count)
                *to = recount->buckets[i + 1];
        }
}

/* Which bucket of the range begins then: its number among those that reach into it. */
static size_t first_bucket(const struct recount *recount)
{
    size_t i = 0;
    while (i + 1 < recount->bucket_count && recount->buckets[i + 1] <= recount->query->from)
        i++;
    return i;
}

/* The group of the period before that stands where this one does. */
static int check_before(struct check *check, const struct cell *cells)
{
    const struct recount *now = check->recount, *before = check->before;
    struct cell keys[1 + QUERY_DIMENSIONS];
    struct buf key;
    int64_t from = before->query->from, to = before->query->to;
    memcpy(keys, cells, check->keys * sizeof *keys);
    if (check->query->interval_us > 0) {
        size_t i = first_bucket(now), first = first_bucket(before), at;
        for (at = i; now->buckets[at] != cells[0].ts; at++)
            ;
        at = at - i + first;
        if (at >= before->bucket_count)
            return check_beside(check, cells + check->keys, NULL, 0, 0, "a bucket too many");
        keys[0].ts = before->buckets[at];
        span_of(before, keys, &from, &to);
    }
    buf_init(&key, 1 << 20);
    fixture_row(&key, keys, check->keys);
    int rc = buf_add(&key, "", 1);
    if (rc == 0)
        rc = check_beside(check, cells + check->keys, recount_find(before, key.p), from, to, key.p);
    buf_fini(&key);
    return rc;
}

/* One row against the recount's row of the same key, and against the row before it. */
static int check_row(void *arg, const struct cell *cells, size_t count)
{
    struct check *check = arg;
    const struct query *query = check->query;
    struct buf key;
    int64_t from, to;
    const struct cell *figures = cells + check->keys;
    if (count != query_column_count(query))
        return WRONG(check, "%zu cells", count);
    check->rows++;
    check->requests += figures[0].u64;
    if (query->rest && cells[count - 1].u64 != 0)
        return 0;
    buf_init(&key, 1 << 20);
    fixture_row(&key, cells, check->keys);
    int rc = buf_add(&key, "", 1);
    const struct recount_row *row = recount_find(check->recount, key.p);
    if (row == NULL && !query->fill)
        rc = WRONG(check, "no such group: %s", key.p);
    span_of(check->recount, cells, &from, &to);
    if (rc == 0)
        rc = check_figures(check, figures, row, from, to, key.p);
    if (rc == 0 && check->before != NULL)
        rc = check_before(check, cells);
    uint64_t at = query->interval_us > 0 ? (uint64_t)cells[0].ts : UINT64_MAX - figures[0].u64;
    if (rc == 0 && at < check->last && figures[0].type == CELL_U64)
        rc = WRONG(check, "out of order at %s", key.p);
    check->last = at;
    buf_fini(&key);
    return rc;
}

static size_t buckets_in_range(const struct recount *recount)
{
    size_t count = 0;
    for (size_t i = 0; i < recount->bucket_count; i++)
        count += i + 1 == recount->bucket_count || recount->buckets[i + 1] > recount->query->from;
    return count;
}

/* Series, each in every bucket, with the rest. */
static size_t filled_rows(const struct check *check)
{
    const struct recount *recount = check->recount;
    struct query flat = *check->query;
    struct recount series;
    size_t buckets = buckets_in_range(recount);
    if (flat.dimension_count == 0)
        return buckets;
    flat.interval_us = 0;
    recount_init(&series, &flat, recount->events, recount->event_count);
    size_t shown = series.rows < flat.top ? series.rows : flat.top;
    recount_fini(&series);
    return buckets * (shown + (flat.rest && shown > 0));
}

static void check_question(struct place *place, const struct fixture *fixture, const char *json,
                           uint32_t tenant)
{
    struct err err = {0};
    struct query *query, earlier;
    struct recount recount, before;
    int rc = query_parse(slice_of(json), FIXTURE_START_US, &query, &err);
    if (rc != 0 && strstr(err.detail, "same name") != NULL)
        return;
    if (rc != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    query->tenant = tenant;
    recount_init(&recount, query, fixture->events, fixture->count);
    struct check check = {.query = query, .recount = &recount, .keys = query_first_figure(query)};
    if (query->compares) {
        assert_int_equal(query_before_open(query, &earlier, &err), 0);
        recount_init(&before, &earlier, fixture->events, fixture->count);
        check.before = &before;
    }
    struct query_sink sink = {.row = check_row, .arg = &check, .totals = check_totals};
    if (store_query(place->store, query, &sink, &err) != 0)
        fail_msg("%s\n%s", json, check.wrong[0] != '\0' ? check.wrong : err_detail(&err));
    size_t all = query->fill ? filled_rows(&check) : recount.rows;
    size_t expected = all < query->limit ? all : query->limit;
    if ((query->top == 0 || query->fill) &&
        (check.rows != expected || sink.truncated != (all > query->limit)))
        fail_msg("%s\n%zu rows of %zu, limit %u, truncated %d", json, check.rows, all, query->limit,
                 sink.truncated);
    if (query->rest && check.requests != recount.total.measures[MEASURE_requests])
        fail_msg("%s\ntop and rest have %llu requests, recounted %llu", json,
                 (unsigned long long)check.requests,
                 (unsigned long long)recount.total.measures[MEASURE_requests]);
    assert_int_equal(check.totals, query->totals);
    if (query->compares) {
        recount_fini(&before);
        query_before_close(&earlier);
    }
    recount_fini(&recount);
    query_destroy(&query);
}

static void random_questions_agree_with_a_recount(void **state)
{
    struct place *place = *state;
    const char *given = getenv("STORE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20260301, random = seed;
    struct fixture fixture;
    print_message("seed %llu (STORE_SEED sets it)\n", (unsigned long long)seed);
    fixture_init(&fixture, seed, 700);
    place_store(place, &fixture, 1);
    for (int i = 0; i < 400; i++) {
        char *json = random_question(&fixture, &random);
        check_question(place, &fixture, json, (uint32_t)fixture_below(&random, 4));
        free(json);
    }
    fixture_fini(&fixture);
}

/* Requests add up: what top leaves is in the rest, bucket by bucket. */
static void top_and_rest_are_all(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    uint64_t random = 77;
    static const char *const columns[] = {"sender",
                                          "direction",
                                          "client_address",
                                          "stage",
                                          "message_id",
                                          "recipients",
                                          "queue_id",
                                          "first_of_message",
                                          "hub_ts",
                                          "helo_name",
                                          "sender\",\"stage",
                                          "direction\",\"client_network\",\"hour_of_day",
                                          "sender_tld\",\"queue_id",
                                          "tls\",\"recipient\",\"edge\",\"stage"};
    static const char *const more[] = {"", ",\"interval\":\"6h\"", ",\"interval\":\"6h\",\"fill\":true",
                                       ",\"interval\":\"1d\",\"fill\":true,\"compare\":\"2026-03-02\"",
                                       ",\"compare\":\"previous\""};
    fixture_init(&fixture, 8, 150);
    place_store(place, &fixture, 1);
    for (size_t i = 0; i < 5 * ARRAY_LENGTH(columns); i++) {
        char json[768];
        (void)snprintf(
            json, sizeof json,
            "{\"measures\":[\"requests\",\"requests.share\"],\"by\":[\"%s\"],\"top\":%u,\"rest\":true,"
            "\"totals\":%s,\"limit\":100000,\"from\":\"2026-03-01\",\"to\":\"2026-03-04\"%s}",
            columns[i % ARRAY_LENGTH(columns)], 1 + (unsigned)fixture_below(&random, 5),
            i % 3 == 0 ? "true" : "false", more[i % ARRAY_LENGTH(more)]);
        check_question(place, &fixture, json, (uint32_t)fixture_below(&random, 4));
    }
    fixture_fini(&fixture);
}

/* What does not add up: the message of two directions is in the first of them, in the rest, and once in all.
 */
static void the_rest_is_counted_not_subtracted(void **state)
{
    struct place *place = *state;
    struct event rows[4];
    struct fixture fixture;
    fixture_init(&fixture, 5, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        rows[i] = fixture.events[0];
        rows[i].tenant = 1;
        rows[i].seq = i + 1;
        rows[i].ts = FIXTURE_START_US + (int64_t)i * 3600 * US_PER_SECOND;
        rows[i].stage = STAGE_RCPT;
        rows[i].recipients = 1;
        rows[i].retry_of = 0;
        rows[i].first_of_message = i == 0 || i == 3;
        rows[i].message_id.b[0] = i < 3 ? 1 : 2;
        rows[i].direction = i == 1 ? DIRECTION_OUT : i == 2 ? DIRECTION_RELAY : DIRECTION_IN;
    }
    assert_int_equal(store_append(place->store, rows, ARRAY_LENGTH(rows), NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
#define TOP                                                                                                  \
    "\"measures\":[\"messages\",\"messages.share\"],\"from\":\"2026-03-01\",\"to\":\"2026-03-01T04:00:00Z\""
    struct answer answer = {0};
    assert_int_equal(place_ask(place,
                               "{" TOP ",\"by\":[\"direction\"],\"top\":1,\"rest\":true,\"totals\":true}", 1,
                               &answer, NULL),
                     0);
    assert_int_equal(answer.rows, 2);
    assert_string_equal(answer.text.p, "in|2|1|false");
    assert_string_equal(answer.text.p + strlen(answer.text.p) + 1,
                        "NULL|1|0.5|true"); /* out and relay: one message */
    assert_string_equal(answer.totals.p, "2|1");
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    place_answers(place, "{" TOP ",\"by\":[\"direction\"],\"top\":3,\"rest\":true}", 1, "in|2|1|false", 3);
    place_answers(place, "{" TOP ",\"by\":[\"direction\"],\"top\":1,\"interval\":\"2h\",\"rest\":true}", 1,
                  "2026-03-01T00:00:00.000000Z|in|1|0.5|false", 4);
    place_answers(place,
                  "{\"measures\":[\"requests.per_hour\"],\"interval\":\"1d\",\"from\":\"2026-02-27\",\"to\":"
                  "\"2026-03-01T02:00:00Z\",\"fill\":true}",
                  1, "2026-02-27T00:00:00.000000Z|0", 3);
    place_answers(place,
                  "{\"measures\":[\"requests.per_minute\"],\"from\":\"2026-03-01\",\"to\":"
                  "\"2026-03-01T02:00:00Z\"}",
                  1, "0.0166666666667", 1);
    place_answers(
        place,
        "{\"measures\":[\"requests\",\"requests.per_minute\"],\"interval\":\"1d\",\"from\":\"2026-03-01\","
        "\"to\":\"2026-03-01T02:00:00Z\"}",
        1, "2026-03-01T00:00:00.000000Z|2|0.0166666666667", 1);
    fixture_fini(&fixture);
}

/* The same traffic around changes of the clocks, near and spread over months, asked in zones. */
static void questions_in_zones_agree_with_a_recount(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *zone, *around;
    } cases[] = {
        {"Europe/Paris", "2026-03-29T01:00:00Z"},     {"Europe/Paris", "2026-10-25T01:00:00Z"},
        {"America/New_York", "2026-03-08T07:00:00Z"}, {"America/New_York", "2026-11-01T06:00:00Z"},
        {"Asia/Kolkata", "2026-03-29T01:00:00Z"},     {"Australia/Lord_Howe", "2026-04-04T15:00:00Z"},
        {"America/Nuuk", "2026-10-25T01:00:00Z"},     {"Africa/Cairo", "2026-04-23T22:00:00Z"},
    };
    static const char *const intervals[] = {"30m", "1h",   "2h",    "6h",      "1d",
                                            "3d",  "week", "month", "quarter", "year"};
    static const char *const by[] = {"", "\"direction\"", "\"hour_of_day\",\"day_of_week\"",
                                     "\"day_of_month\",\"month_of_year\"", "\"year\",\"hour_of_day\""};
    static const char *const compared[] = {"", ",\"compare\":\"previous\"", "", ",\"compare\":\"week\"", "",
                                           "", ",\"compare\":\"year\""};
    uint64_t random = 20261025;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct fixture fixture;
        int64_t around;
        fixture_init(&fixture, 40 + i, 60);
        assert_int_equal(clock_parse(slice_of(cases[i].around), &around), 0);
        for (size_t k = 0; k < fixture.count; k++) {
            int64_t away = fixture.events[k].ts - FIXTURE_START_US - FIXTURE_RANGE_US / 2;
            fixture.events[k].ts = around + (k % 8 == 0 ? away * 90 : k % 2 == 0 ? away / 4 : away);
            fixture.events[k].tenant = (uint32_t)i + 1;
        }
        place_store(place, &fixture, i + 1);
        (void)setenv("TZ", cases[i].zone, 1);
        tzset();
        for (size_t k = 0; k < 40; k++) {
            char json[640], from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
            const char *interval = intervals[fixture_below(&random, ARRAY_LENGTH(intervals))];
            bool is_long = strlen(interval) > 3;
            int64_t day = 24 * 3600 * US_PER_SECOND, length = is_long ? 100 * day : 2 * day;
            clock_format(around - (int64_t)fixture_below(&random, (uint64_t)length), from);
            clock_format(around + 1 + (int64_t)fixture_below(&random, (uint64_t)length), to);
            (void)snprintf(
                json, sizeof json,
                "{\"measures\":[\"requests\",\"messages\"],\"by\":[%s],\"timezone\":\"%s\",\"interval\":"
                "\"%s\",\"first_day\":\"%s\",\"from\":\"%s\",\"to\":\"%s\"%s,\"where\":[{\"column\":"
                "\"hour_of_day\",\"op\":\"range\",\"values\":[%d,null]}]}",
                by[k % ARRAY_LENGTH(by)], cases[i].zone, interval, k % 2 == 0 ? "monday" : "sunday", from, to,
                compared[k % ARRAY_LENGTH(compared)], k % 4 == 0 ? 7 : 0);
            check_question(place, &fixture, json, (uint32_t)i + 1);
        }
        fixture_fini(&fixture);
    }
    (void)unsetenv("TZ");
    tzset();
}

static void hostile_texts_stay_texts(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct answer answer = {0};
    char *large = malloc(8193);
    assert_non_null(large);
    memset(large, '\'', 8192);
    large[8192] = '\0';
    const char *texts[] = {"'",
                           "\"",
                           "'; DROP TABLE events; --",
                           "$1",
                           "%_\\",
                           "\342\200\256txt.exe",
                           "a\nb\tc\x01",
                           large,
                           "{\"a\":[1]}",
                           "NULL",
                           "\xf0\x9f\x93\xa7"};
    fixture_init(&fixture, 6, 10);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        fixture.events[0].sender = slice_of(texts[i]);
        assert_int_equal(store_append(place->store, fixture.events, 1, NULL), 0);
    }
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        if (strlen(texts[i]) > QUERY_VALUE_BYTES)
            continue;
        json_t *question = json_pack("{s[s]s[s]sss[{sss[s]}]}", "measures", "requests", "by", "sender",
                                     "since", "96h", "where", "column", "sender", "values", texts[i]);
        char *json = json_dumps(question, 0);
        json_decref(question);
        assert_non_null(json);
        struct err err = {0};
        if (place_ask(place, json, 0, &answer, &err) != 0)
            fail_msg("%s: %s", json, err_detail(&err));
        assert_int_equal(answer.rows, 1);
        assert_memory_equal(answer.text.p, texts[i], strlen(texts[i]));
        assert_string_equal(answer.text.p + strlen(texts[i]), "|1");
        free(json);
    }
    place_answers(place, "{\"measures\":[\"requests\"],\"since\":\"96h\"}", 0, "11",
                  1); /* the table is still there */
    buf_fini(&answer.text);
    free(large);
    fixture_fini(&fixture);
}

static void the_sink_can_stop(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct answer answer = {.stop_after = 3};
    fixture_init(&fixture, 7, 300);
    place_store(place, &fixture, 1);
    assert_int_equal(place_ask(place, "{\"measures\":[\"requests\"],\"by\":[\"instance\"],\"since\":\"96h\"}",
                               0, &answer, NULL),
                     -7);
    assert_int_equal(answer.rows, 3);
    answer.stop_after = 0;
    assert_int_equal(
        place_ask(place, "{\"measures\":[\"requests\"],\"by\":[\"instance\"],\"since\":\"96h\",\"limit\":5}",
                  0, &answer, NULL),
        0);
    assert_int_equal(answer.rows, 5);
    assert_true(answer.truncated);
    buf_fini(&answer.text);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(a_mixed_message_counts_once_in_each_and_once_in_all),
        PLACE_TEST(random_questions_agree_with_a_recount),
        PLACE_TEST(top_and_rest_are_all),
        PLACE_TEST(the_rest_is_counted_not_subtracted),
        PLACE_TEST(questions_in_zones_agree_with_a_recount),
        PLACE_TEST(hostile_texts_stay_texts),
        PLACE_TEST(the_sink_can_stop),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " asking", tests, NULL, NULL);
}
