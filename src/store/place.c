/* SPDX-License-Identifier: Apache-2.0
 *
 * place: see place.h. Built once for each engine.
 */
#include "store/place.h"

#include <stdio.h>
#include <stdlib.h>

void place_reopen(struct place *place)
{
    struct err err = {0};
    const struct store_options options = {
        .engine = ENGINE, .dir = place->path, .memory_bytes = 256 << 20, .query_threads = 2};
    store_close(&place->store);
    if (store_open(&place->store, &options, &err) != 0)
        fail_msg("open: %s", err_detail(&err));
}

int place_set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    place->dir = fixture_directory();
    assert_true(asprintf(&place->path, "%s/store", place->dir) > 0);
    place_reopen(place);
    *state = place;
    return 0;
}

int place_tear_down(void **state)
{
    struct place *place = *state;
    store_close(&place->store);
    fixture_remove(place->dir);
    free(place->path);
    free(place);
    return 0;
}

struct store_cursor place_cursor(uint64_t offset)
{
    return (struct store_cursor){.pos = {.segment = 3, .offset = offset}, .skip = (uint32_t)offset % 7};
}

void place_store(struct place *place, const struct fixture *fixture, uint64_t offset)
{
    struct err err = {0};
    if (store_append(place->store, fixture->events, fixture->count, &err) != 0 ||
        store_commit(place->store, place_cursor(offset), &err) != 0)
        fail_msg("%s", err_detail(&err));
}

void place_cursor_is(struct place *place, uint64_t offset, uint64_t rows)
{
    struct store_cursor cursor, expected = place_cursor(offset);
    struct store_stats stats;
    if (offset == 0)
        expected = (struct store_cursor){0};
    assert_int_equal(store_cursor(place->store, &cursor, NULL), 0);
    assert_int_equal(journal_pos_compare(cursor.pos, expected.pos), 0);
    assert_int_equal(cursor.skip, expected.skip);
    store_get_stats(place->store, &stats);
    assert_int_equal(stats.rows, rows);
}

int place_take_row(void *arg, const struct cell *cells, size_t count)
{
    struct answer *answer = arg;
    fixture_row(&answer->text, cells, count);
    if (buf_add(&answer->text, "", 1) != 0)
        abort();
    answer->rows++;
    return answer->stop_after == answer->rows ? -7 : 0;
}

static int take_totals(void *arg, const struct cell *cells, size_t count)
{
    struct answer *answer = arg;
    buf_clear(&answer->totals);
    answer->totals.limit = 4096;
    fixture_row(&answer->totals, cells, count);
    return buf_add(&answer->totals, "", 1);
}

/* scope: a tenant, or 0 for all. */
int place_ask(struct place *place, const char *json, uint32_t tenant, struct answer *answer, struct err *err)
{
    struct query *query;
    struct query_sink sink = {.row = place_take_row, .arg = answer, .totals = take_totals};
    if (query_parse(slice_of(json), FIXTURE_START_US + FIXTURE_RANGE_US, &query, err) != 0)
        fail_msg("%s: %s", json, err_detail(err));
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    query->tenant = tenant;
    buf_clear(&answer->text);
    answer->text.limit = 64 << 20;
    answer->rows = 0;
    int rc = store_query(place->store, query, &sink, err);
    answer->truncated = sink.truncated;
    query_destroy(&query);
    return rc;
}

void place_answers(struct place *place, const char *json, uint32_t tenant, const char *first, size_t rows)
{
    struct answer answer = {0};
    struct err err = {0};
    if (place_ask(place, json, tenant, &answer, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    if (answer.rows != rows || (rows > 0 && strcmp(answer.text.p, first) != 0))
        fail_msg("%s: %zu rows, the first is %s; wanted %zu and %s", json, answer.rows,
                 answer.rows > 0 ? answer.text.p : "nothing", rows, first);
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
}
