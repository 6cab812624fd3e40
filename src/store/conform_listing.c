/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_listing: pages of events and of messages, against an array that is sorted and filtered the plain
 * way.
 */
#include "query/match.h"
#include "store/place.h"
#include "store/random_question.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* The rows that a scan must hand over, in their order. */
struct expected {
    const struct event **rows;
    size_t count, at;
    const struct store_scan *scan;
    const struct fixture *fixture;
    char wrong[256];
    struct store_key last;
    char edge[EVENT_EDGE_BYTES];
};

static const struct store_scan *sorting; /* qsort has no argument of ours */

static int compare_keys(const struct event *a, const struct event *b)
{
    struct store_key x = scan_key(a, sorting->order), y = scan_key(b, sorting->order);
    size_t n = x.edge.n < y.edge.n ? x.edge.n : y.edge.n;
    int edges = memcmp(x.edge.p, y.edge.p, n), epochs = memcmp(x.epoch.b, y.epoch.b, sizeof x.epoch.b);
    if (x.at != y.at)
        return x.at < y.at ? -1 : 1;
    if (x.tenant != y.tenant)
        return x.tenant < y.tenant ? -1 : 1;
    if (edges != 0 || x.edge.n != y.edge.n)
        return edges != 0 ? edges : x.edge.n < y.edge.n ? -1 : 1;
    return epochs != 0 ? epochs : x.seq < y.seq ? -1 : x.seq > y.seq;
}

static int compare_rows(const void *a, const void *b)
{
    int order = compare_keys(*(const struct event *const *)a, *(const struct event *const *)b);
    return sorting->descending ? -order : order;
}

/* Does an event of that message fit one filter of no group, alone? */
static bool one_fits(const struct expected *expected, const struct event *first, size_t at)
{
    const struct query *query = expected->scan->query;
    const struct query_filter *filter = &query->filters[at];
    size_t count = 1 + (filter->kind == FILTER_TEST ? 0 : filter->span);
    bool none = filter->kind == FILTER_NOT || (filter->kind == FILTER_TEST && filter->op == OP_NE);
    struct query *alone = malloc(sizeof *alone);
    bool all = true, any = false;
    assert_non_null(alone);
    *alone = *query;
    memcpy(alone->filters, filter, count * sizeof *filter);
    alone->filter_count = count;
    for (size_t i = 0; i < expected->fixture->count; i++) {
        const struct event *event = &expected->fixture->events[i];
        if (memcmp(event->message_id.b, first->message_id.b, sizeof first->message_id.b) != 0 ||
            event->tenant != first->tenant)
            continue;
        bool fits = query_match(alone, event);
        all = all && fits;
        any = any || fits;
    }
    bool is_of_first = scan_is_of_message(query, at), of_first = query_match(alone, first);
    free(alone);
    return is_of_first ? of_first : none ? all : any;
}

static bool message_fits(const struct expected *expected, const struct event *event)
{
    const struct query *query = expected->scan->query;
    bool fits =
        event->first_of_message && (query->scope == QUERY_SCOPE_ALL || event->tenant == query->tenant);
    for (size_t at = 0; fits && at < query->filter_count;) {
        fits = one_fits(expected, event, at);
        at += 1 + (query->filters[at].kind == FILTER_TEST ? 0 : query->filters[at].span);
    }
    return fits;
}

static void expect(struct expected *expected, const struct fixture *fixture, const struct store_scan *scan)
{
    const struct query *query = scan->query;
    *expected = (struct expected){
        .rows = calloc(fixture->count + 1, sizeof *expected->rows), .scan = scan, .fixture = fixture};
    assert_non_null(expected->rows);
    for (size_t i = 0; i < fixture->count; i++) {
        const struct event *event = &fixture->events[i];
        if (event->ts >= query->from && event->ts < query->to &&
            (scan->messages ? message_fits(expected, event) : query_match(query, event)))
            expected->rows[expected->count++] = event;
    }
    sorting = scan;
    qsort(expected->rows, expected->count, sizeof *expected->rows, compare_rows);
}

static bool same_text(struct slice a, struct slice b)
{
    return slice_equal(a, b);
}

static int check_row(void *arg, const struct event *event)
{
    struct expected *expected = arg;
    if (expected->at == expected->count) {
        (void)snprintf(expected->wrong, sizeof expected->wrong, "more than %zu rows", expected->count);
        return -7;
    }
    const struct event *wanted = expected->rows[expected->at++];
    bool has_sender = (expected->scan->columns & STORE_SCAN_BIT(COLUMN_sender)) != 0;
    bool has_more = (expected->scan->columns & STORE_SCAN_BIT(COLUMN_direction)) != 0;
    if (compare_keys(wanted, event) != 0 ||
        !same_text(event->sender, has_sender ? wanted->sender : (struct slice){NULL, 0}) ||
        (has_more &&
         (event->direction != wanted->direction || event->stage != wanted->stage ||
          event->size != wanted->size || event->retry_of != wanted->retry_of ||
          event->ts_corrected != wanted->ts_corrected || event->client_port != wanted->client_port ||
          ip_compare(&event->client_address, &wanted->client_address) != 0 ||
          !same_text(event->recipient, wanted->recipient)))) {
        (void)snprintf(expected->wrong, sizeof expected->wrong, "row %zu is not seq %llu but %llu",
                       expected->at - 1, (unsigned long long)wanted->seq, (unsigned long long)event->seq);
        return -7;
    }
    expected->last = scan_key(event, expected->scan->order);
    memcpy(expected->edge, event->edge.p, event->edge.n);
    expected->last.edge.p = expected->edge;
    return 0;
}

/* Page by page until one is not full. later: what is stored behind the first page, and must not show. */
static void read_pages(struct place *place, struct store_scan *scan, struct expected *expected,
                       const struct fixture *later, uint64_t offset, const char *json)
{
    struct err err = {0};
    for (size_t before = 0; scan->limit > 0; before = expected->at) {
        if (store_scan(place->store, scan, check_row, expected, &err) != 0)
            fail_msg("%s\n%s", json, expected->wrong[0] != '\0' ? expected->wrong : err_detail(&err));
        if (expected->at - before < scan->limit)
            break;
        scan->resumes = true;
        scan->after = expected->last;
        if (later != NULL && before == 0)
            place_store(place, later, offset);
    }
    if (expected->at != expected->count)
        fail_msg("%s\n%zu of %zu rows", json, expected->at, expected->count);
}

/* A random question's filters and range. */
static struct query *random_filters(const struct fixture *fixture, uint64_t *random, char **json)
{
    struct err err = {0};
    struct query *query = NULL;
    while (query == NULL) {
        *json = random_question(fixture, random);
        int rc = query_parse(slice_of(*json), FIXTURE_START_US, &query, &err);
        if (rc != 0 && strstr(err.detail, "same name") == NULL)
            fail_msg("%s: %s", *json, err_detail(&err));
        if (rc != 0)
            free(*json);
    }
    return query;
}

static void check_pages(struct place *place, const struct fixture *fixture, uint64_t *random, bool messages)
{
    char *json = NULL;
    struct query *query = random_filters(fixture, random, &json);
    uint32_t tenant = (uint32_t)fixture_below(random, 4);
    struct expected expected;
    struct store_scan scan = {.query = query,
                              .messages = messages,
                              .descending = fixture_below(random, 2) == 0,
                              .limit = 1 + (uint32_t)fixture_below(random, 400)};
    scan.order = !messages && fixture_below(random, 3) == 0 ? STORE_BY_LOADING : STORE_BY_TIME;
    scan.columns = fixture_below(random, 2) ? 0 : ~UINT64_C(0) >> (64 - COLUMN_COUNT);
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    query->tenant = tenant;
    expect(&expected, fixture, &scan);
    read_pages(place, &scan, &expected, NULL, 0, json);
    free(expected.rows);
    query_destroy(&query);
    free(json);
}

static void pages_are_what_a_sorted_list_is(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    uint64_t random = 20260302;
    fixture_init(&fixture, 31, 500);
    place_store(place, &fixture, 1);
    for (int i = 0; i < 150; i++)
        check_pages(place, &fixture, &random, false);
    fixture_fini(&fixture);
}

static void messages_are_those_of_which_events_fit(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    uint64_t random = 20260303;
    fixture_init(&fixture, 32, 250);
    place_store(place, &fixture, 1);
    for (int i = 0; i < 120; i++)
        check_pages(place, &fixture, &random, true);
    fixture_fini(&fixture);
}

/* What comes between two pages is behind the reader, or is his on the next pages; what was there he gets
 * once. */
static void pages_stay_while_events_arrive(void **state)
{
    struct place *place = *state;
    for (int i = 0; i < 4; i++) {
        struct fixture fixture, later;
        struct expected expected;
        struct err err = {0};
        struct query *query;
        struct store_scan scan = {.order = i < 2 ? STORE_BY_TIME : STORE_BY_LOADING, .limit = 50};
        scan.descending = scan.order == STORE_BY_TIME;
        fixture_init(&fixture, 50 + (uint64_t)i, 60);
        fixture_init(&later, 60 + (uint64_t)i, 60);
        for (size_t k = 0; k < fixture.count; k++)
            fixture.events[k].tenant = 10 + (uint32_t)i;
        for (size_t k = 0; k < later.count; k++) { /* behind all of it, in both orders */
            later.events[k].tenant = 10 + (uint32_t)i;
            later.events[k].ts += 30 * FIXTURE_RANGE_US;
            later.events[k].hub_ts += 30 * FIXTURE_RANGE_US;
        }
        place_store(place, &fixture, 2 * (uint64_t)i + 1);
        assert_int_equal(query_parse(SLICE("{\"measures\":[\"requests\"],\"from\":\"2026-01-01\",\"to\":"
                                           "\"2027-01-01\"}"),
                                     0, &query, &err),
                         0);
        query->scope = QUERY_SCOPE_TENANT;
        query->tenant = 10 + (uint32_t)i;
        scan.query = query;
        expect(&expected, &fixture, &scan);
        if (scan.order == STORE_BY_LOADING) { /* and the reader who goes on gets the rest, in its turn */
            struct expected rest;
            expect(&rest, &later, &scan);
            expected.rows = realloc(expected.rows, (expected.count + rest.count + 1) * sizeof *rest.rows);
            memcpy(expected.rows + expected.count, rest.rows, rest.count * sizeof *rest.rows);
            expected.count += rest.count;
            free(rest.rows);
        }
        read_pages(place, &scan, &expected, &later, 2 * (uint64_t)i + 2, "pages while events arrive");
        free(expected.rows);
        query_destroy(&query);
        fixture_fini(&fixture);
        fixture_fini(&later);
    }
}

static void a_scan_is_bounded(void **state)
{
    struct place *place = *state;
    struct query *query;
    struct expected none = {0};
    assert_int_equal(query_parse(SLICE("{\"measures\":[\"requests\"]}"), FIXTURE_START_US, &query, NULL), 0);
    struct store_scan scan = {.query = query, .limit = 10};
    assert_int_equal(store_scan(place->store, &scan, check_row, &none, NULL), ERR_DENIED); /* no scope */
    query->scope = QUERY_SCOPE_ALL;
    none.scan = &scan;
    assert_int_equal(store_scan(place->store, &scan, check_row, &none, NULL), 0);
    scan.limit = 0;
    assert_int_equal(store_scan(place->store, &scan, check_row, &none, NULL), ERR_LIMIT);
    scan.limit = STORE_SCAN_ROWS + 1;
    assert_int_equal(store_scan(place->store, &scan, check_row, &none, NULL), ERR_LIMIT);
    scan = (struct store_scan){.query = query, .limit = 10, .messages = true, .order = STORE_BY_LOADING};
    assert_int_equal(store_scan(place->store, &scan, check_row, &none, NULL), ERR_INVALID);
    query_destroy(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(pages_are_what_a_sorted_list_is),
        PLACE_TEST(messages_are_those_of_which_events_fit),
        PLACE_TEST(pages_stay_while_events_arrive),
        PLACE_TEST(a_scan_is_bounded),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " listing", tests, NULL, NULL);
}
