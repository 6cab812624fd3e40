/* SPDX-License-Identifier: Apache-2.0
 *
 * epochs_test: what is new, known, partly known, forked; what a gap is; that nothing counts before its
 * fdatasync; and that snapshot and refusal log do as they say.
 */
#include "base/test.h"
#include "edges.h"
#include "knocks.h"
#include "refusal.h"
#include "session.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct epochs_batch batch_of(uint8_t epoch, uint64_t first_seq, uint32_t count, uint64_t hash)
{
    return (struct epochs_batch){{{epoch}}, first_seq, count, hash};
}

static void stage(struct epochs *epochs, struct epochs_batch batch)
{
    assert_int_equal(epochs_judge(epochs, &batch), EPOCHS_NEW);
    assert_int_equal(epochs_reserve(epochs, &batch.epoch), 0);
    epochs_stage(epochs, &batch);
}

static void batches_are_judged(void **state)
{
    (void)state;
    struct epochs epochs = {0};
    stage(&epochs, batch_of(1, 1, 10, 100));
    stage(&epochs, batch_of(1, 11, 10, 101));
    epochs_confirm(&epochs);
    const struct {
        const char *name;
        struct epochs_batch batch;
        enum epochs_verdict verdict;
    } cases[] = {
        {"the next", batch_of(1, 21, 5, 7), EPOCHS_NEW},
        {"behind a gap", batch_of(1, 30, 5, 7), EPOCHS_NEW},
        {"another epoch", batch_of(2, 1, 10, 100), EPOCHS_NEW},
        {"the last again", batch_of(1, 11, 10, 101), EPOCHS_KNOWN},
        {"the first again", batch_of(1, 1, 10, 100), EPOCHS_KNOWN},
        {"the last, altered", batch_of(1, 11, 10, 102), EPOCHS_FORKED},
        {"half of it new", batch_of(1, 15, 10, 9), EPOCHS_PARTIAL},
        {"inside", batch_of(1, 3, 2, 9), EPOCHS_PARTIAL},
        {"cut otherwise", batch_of(1, 1, 20, 9), EPOCHS_PARTIAL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (epochs_judge(&epochs, &cases[i].batch) != cases[i].verdict)
            fail_msg("%s", cases[i].name);
    epochs_fini(&epochs);
}

static void nothing_counts_before_its_fdatasync(void **state)
{
    (void)state;
    struct epochs epochs = {0};
    struct epoch one = {{1}};
    struct epochs_batch again = batch_of(1, 1, 10, 100);
    stage(&epochs, batch_of(1, 1, 10, 100));
    stage(&epochs, batch_of(1, 15, 5, 101));
    assert_int_equal(epochs_last(&epochs, &one), 0);
    assert_int_equal(epochs.gaps + epochs.gap_records + epochs.records, 0);
    assert_int_equal(epochs_judge(&epochs, &again), EPOCHS_KNOWN);
    epochs_confirm(&epochs);
    assert_int_equal(epochs_last(&epochs, &one), 19);
    assert_int_equal(epochs.gaps, 1);
    assert_int_equal(epochs.gap_records, 4);
    assert_int_equal(epochs.records, 15);
    epochs_confirm(&epochs);
    assert_int_equal(epochs.records, 15);
    epochs_fini(&epochs);
}

/* What a failed disk took was never there; with few batches staged, and with more than hashes are kept. */
static void what_was_staged_can_be_taken_back(void **state)
{
    (void)state;
    for (uint32_t staged = 1; staged <= 2 * EPOCHS_HASHES; staged += 5) {
        struct epochs epochs = {0};
        struct epoch one = {{1}}, two = {{2}};
        struct epochs_batch last = batch_of(1, 191, 10, 19), next = batch_of(1, 201, 10, 7);
        struct epochs_batch taken_back = batch_of(1, 241, 10, 203);
        for (uint32_t i = 0; i < 20; i++)
            stage(&epochs, batch_of(1, 1 + 10 * i, 10, i));
        epochs_confirm(&epochs);
        stage(&epochs, batch_of(2, 5, 5, 300));
        for (uint32_t i = 0; i < staged; i++)
            stage(&epochs, batch_of(1, 211 + 10 * i, 10, 200 + i));
        epochs_unstage(&epochs);
        assert_int_equal(epochs_judge(&epochs, &last),
                         staged < EPOCHS_HASHES ? EPOCHS_KNOWN : EPOCHS_PARTIAL);
        stage(&epochs, next); /* cut otherwise than before */
        assert_int_equal(epochs_judge(&epochs, &next), EPOCHS_KNOWN);
        epochs_confirm(&epochs);
        assert_int_equal(epochs_last(&epochs, &one), 210);
        assert_int_equal(epochs_last(&epochs, &two), 0);
        assert_int_equal(epochs.records, 210);
        assert_int_equal(epochs.gaps, 0);
        stage(&epochs, batch_of(1, 211, 100, 9));
        assert_int_equal(epochs_judge(&epochs, &taken_back), EPOCHS_PARTIAL);
        epochs_fini(&epochs);
    }
}

static void the_oldest_epochs_and_hashes_are_forgotten(void **state)
{
    (void)state;
    struct epochs epochs = {0};
    for (uint32_t i = 0; i <= EPOCHS_MAX; i++) {
        struct epochs_batch batch = {{{(uint8_t)i, (uint8_t)(i >> 8)}}, 1, 1, i};
        stage(&epochs, batch);
        epochs_confirm(&epochs);
    }
    assert_int_equal(epochs.count, EPOCHS_MAX);
    struct epoch first = {{0}}, second = {{1}};
    assert_int_equal(epochs_last(&epochs, &first), 0);
    assert_int_equal(epochs_last(&epochs, &second), 1);
    struct epochs_batch old = {second, 1, 1, 99};
    assert_int_equal(epochs_judge(&epochs, &old),
                     EPOCHS_PARTIAL); /* its hashes are gone, its progress is not */
    for (uint64_t i = 0; i <= EPOCHS_HASHES; i++)
        stage(&epochs, batch_of(7, 2 + i, 1, i));
    struct epochs_batch overwritten = batch_of(7, 2, 1, 0), kept = batch_of(7, 3, 1, 1);
    assert_int_equal(epochs_judge(&epochs, &overwritten), EPOCHS_PARTIAL);
    assert_int_equal(epochs_judge(&epochs, &kept), EPOCHS_KNOWN);
    epochs_fini(&epochs);
}

static const char path[] = "epochs_test.snapshot";

static struct edges *some_edges(void)
{
    struct edges *edges;
    char id[8];
    assert_int_equal(edges_create(&edges), 0);
    for (uint32_t i = 0; i < 4; i++) { /* the last two: of two tenants, with one id */
        (void)snprintf(id, sizeof id, "mx%u", i < 3 ? i : 2);
        struct commit commit = {
            .tenant = i, .edge = slice_of(id), .epoch = {{9}}, .first_seq = 5, .count = 2, .hash = i};
        assert_int_equal(edges_replay(edges, &commit), 0);
        assert_int_equal(edges_replay(edges, &commit), 0);
        struct edge *edge = edges_find(edges, i, slice_of(id));
        assert_int_equal(edge->epochs.gaps, 0); /* what it followed is retired */
        commit.first_seq = 11;
        assert_int_equal(edges_replay(edges, &commit), 0);
    }
    return edges;
}

static void the_snapshot_brings_everything_back(void **state)
{
    (void)state;
    struct edges *edges = some_edges(), *back;
    struct journal_pos pos;
    assert_int_equal(edges_save(edges, path, (struct journal_pos){3, 4}, NULL), 0);
    edges_destroy(&edges);
    assert_int_equal(edges_create(&back), 0);
    assert_int_equal(edges_load(back, path, &pos, NULL), 0);
    assert_int_equal(pos.segment, 3);
    assert_int_equal(pos.offset, 4);
    assert_null(edges_find(back, 1, SLICE("mx2")));
    for (uint32_t tenant = 2; tenant <= 3; tenant++) {
        struct edge *edge = edges_find(back, tenant, SLICE("mx2"));
        assert_non_null(edge);
        assert_int_equal(edge->tenant, tenant);
        assert_int_equal(edge->epochs.gap_records, 4);
        assert_int_equal(edge->epochs.records, 4);
        struct epochs_batch again = batch_of(9, 5, 2, tenant), altered = batch_of(9, 5, 2, 5 - tenant);
        assert_int_equal(epochs_judge(&edge->epochs, &again), EPOCHS_KNOWN);
        assert_int_equal(epochs_judge(&edge->epochs, &altered), EPOCHS_FORKED);
    }
    edges_destroy(&back);
    (void)unlink(path);
}

/* The only edge as it is shown at that time. */
static json_t *shown(struct edges *edges, int64_t now_us)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    assert_int_equal(edges_json(edges, 7, now_us, &text), 0);
    json_t *list = json_loadb(text.p, text.n, 0, NULL);
    assert_int_equal(json_array_size(list), 1);
    json_t *edge = json_incref(json_array_get(list, 0));
    json_decref(list);
    buf_fini(&text);
    return edge;
}

static void expect_shown(struct edges *edges, int64_t now_us, bool connected, const char *gone_since,
                         const char *as_of, json_int_t lag_us)
{
    json_t *edge = shown(edges, now_us), *lag = json_object_get(edge, "lag_us");
    const char *since = json_string_value(json_object_get(edge, "gone_since"));
    const char *told = json_string_value(json_object_get(edge, "as_of"));
    assert_int_equal(json_is_true(json_object_get(edge, "connected")), connected);
    if ((since == NULL) != (gone_since == NULL) || (since != NULL && strcmp(since, gone_since) != 0))
        fail_msg("gone since %s", since);
    if ((told == NULL) != (as_of == NULL) || (told != NULL && strcmp(told, as_of) != 0))
        fail_msg("as of %s", told);
    assert_int_equal(json_is_null(lag), as_of == NULL);
    assert_int_equal(json_integer_value(lag), lag_us);
    json_decref(edge);
}

static void a_gone_edge_is_shown_as_gone(void **state)
{
    (void)state;
    static const char heard[] = "2023-11-14T22:13:20.000000Z", told[] = "2023-11-14T22:13:17.000000Z";
    const int64_t now_us = INT64_C(1700000000) * US_PER_SECOND;
    struct session session = {0};
    struct edges *edges;
    assert_int_equal(edges_create(&edges), 0);
    struct edge *edge = edges_add(edges, 7, SLICE("mx1"));
    assert_non_null(edge);
    expect_shown(edges, now_us, false, NULL, NULL, 0); /* of a snapshot: nothing heard, nothing told */
    edge->session = &session;
    edge->seen_us = now_us;
    edge->figures_us = now_us - 3 * US_PER_SECOND;
    edge->figures.lag_us = 250;
    expect_shown(edges, now_us + EDGES_SILENT_US, true, NULL, told, 250);
    expect_shown(edges, now_us + EDGES_SILENT_US + 1, false, heard, told, 250); /* killed: no BYE came */
    edge->session = NULL;
    expect_shown(edges, now_us, false, heard, told, 250);
    edges_destroy(&edges);
}

static void a_tenant_has_a_bounded_number_of_edges(void **state)
{
    (void)state;
    struct edges *edges;
    char id[16];
    assert_int_equal(edges_create(&edges), 0);
    for (int i = 0; i < EDGES_TENANT_MAX; i++) {
        (void)snprintf(id, sizeof id, "mx%d", i);
        assert_true(edges_admit(edges, 1, slice_of(id)));
        assert_non_null(edges_add(edges, 1, slice_of(id)));
    }
    assert_false(edges_admit(edges, 1, SLICE("another")));
    assert_true(edges_admit(edges, 1, SLICE("mx7")));
    assert_true(edges_admit(edges, 2, SLICE("another")));
    edges_destroy(&edges);
}

static void a_damaged_snapshot_is_noticed(void **state)
{
    (void)state;
    struct edges *edges = some_edges();
    char bytes[4096];
    assert_int_equal(edges_save(edges, path, (struct journal_pos){3, 4}, NULL), 0);
    edges_destroy(&edges);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    for (size_t i = 0; i <= n; i++) { /* flip a bit of each byte; at last, cut one off */
        struct journal_pos pos;
        f = fopen(path, "w");
        assert_non_null(f);
        bytes[i] ^= 4;
        assert_int_equal(fwrite(bytes, 1, i < n ? n : n - 1, f), i < n ? n : n - 1);
        bytes[i] ^= 4;
        (void)fclose(f);
        assert_int_equal(edges_create(&edges), 0);
        assert_int_equal(edges_load(edges, path, &pos, NULL), ERR_CORRUPT);
        edges_destroy(&edges);
    }
    (void)unlink(path);
    assert_int_equal(edges_create(&edges), 0);
    struct journal_pos pos;
    assert_int_equal(edges_load(edges, path, &pos, NULL), ERR_NOT_FOUND);
    edges_destroy(&edges);
}

static void refusals_name_each_address_and_do_not_flood(void **state)
{
    (void)state;
    struct refusal_log *log;
    char line[REFUSAL_LINE_BYTES];
    struct ip one, two;
    assert_int_equal(ip_parse(SLICE("203.0.113.7"), &one), 0);
    assert_int_equal(ip_parse(SLICE("2001:db8::7"), &two), 0);
    assert_int_equal(refusal_log_create(&log), 0);
    int64_t now = US_PER_SECOND;
    assert_true(refusal_log_line(log, &one, REFUSAL_KEY, SLICE("mx1"), "why", now, line));
    assert_string_equal(line, "peer refused address=203.0.113.7 code=key edge=mx1 reason=\"why\"");
    int lines = 0;
    for (int i = 0; i < 1000; i++)
        lines += refusal_log_line(log, &one, REFUSAL_KEY, SLICE(""), "why", now, line);
    assert_int_equal(lines, REFUSAL_BURST - 1);
    assert_true(refusal_log_line(log, &two, REFUSAL_BAD_FRAME, SLICE(""), "why", now, line));
    assert_string_equal(line, "peer refused address=2001:db8::7 code=bad-frame reason=\"why\"");
    now += REFUSAL_REPEAT_US;
    assert_true(refusal_log_line(log, &one, REFUSAL_KEY, SLICE(""), "why", now, line));
    assert_string_equal(line, "peer refused address=203.0.113.7 code=key reason=\"why\" repeats=996");
    assert_false(refusal_log_line(log, &one, REFUSAL_KEY, SLICE(""), "why", now, line));
    struct ip host;
    lines = 0;
    for (int i = 0; i < 1000; i++) { /* each from another address of one network */
        char text[32];
        (void)snprintf(text, sizeof text, "2001:db8:1::%x", i + 1);
        assert_int_equal(ip_parse(slice_of(text), &host), 0);
        lines += refusal_log_line(log, &host, REFUSAL_KEY, SLICE(""), "why", now, line);
    }
    assert_int_equal(lines, REFUSAL_BURST);
    assert_false(refusal_log_line(log, &two, REFUSAL_NO_SESSION, SLICE(""), "why", now, line));
    refusal_log_destroy(&log);
}

static void strangers_knock_so_often(void **state)
{
    (void)state;
    struct knocks *knocks;
    struct ip one, two, host;
    int64_t now_us = 5;
    assert_int_equal(ip_parse(SLICE("203.0.113.7"), &one), 0);
    assert_int_equal(ip_parse(SLICE("203.0.113.8"), &two), 0);
    assert_int_equal(knocks_create(&knocks), 0);
    for (int i = 0; i < KNOCKS_BURST; i++)
        assert_true(knocks_admit(knocks, &one, now_us));
    assert_false(knocks_admit(knocks, &one, now_us));
    assert_false(knocks_admit(knocks, &one, now_us + KNOCKS_AGAIN_US - 1));
    assert_true(knocks_admit(knocks, &two, now_us)); /* another is not at fault */
    now_us += KNOCKS_AGAIN_US;
    assert_true(knocks_admit(knocks, &one, now_us));
    assert_false(knocks_admit(knocks, &one, now_us));
    now_us += 3 * KNOCKS_AGAIN_US + 1;
    for (int i = 0; i < 3; i++)
        assert_true(knocks_admit(knocks, &one, now_us));
    assert_false(knocks_admit(knocks, &one, now_us));
    knocks_forgive(knocks, &two);
    assert_false(knocks_admit(knocks, &one, now_us));
    knocks_forgive(knocks, &one);
    for (int i = 0; i < KNOCKS_BURST; i++)
        assert_true(knocks_admit(knocks, &one, now_us));
    assert_false(knocks_admit(knocks, &one, now_us));
    int admitted = 0;
    for (int i = 0; i < 1000; i++) { /* each from another address of one network */
        char text[32];
        (void)snprintf(text, sizeof text, "2001:db8:1::%x", i + 1);
        assert_int_equal(ip_parse(slice_of(text), &host), 0);
        admitted += knocks_admit(knocks, &host, now_us);
    }
    assert_int_equal(admitted, KNOCKS_BURST);
    knocks_destroy(&knocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_judged),
        cmocka_unit_test(nothing_counts_before_its_fdatasync),
        cmocka_unit_test(what_was_staged_can_be_taken_back),
        cmocka_unit_test(the_oldest_epochs_and_hashes_are_forgotten),
        cmocka_unit_test(the_snapshot_brings_everything_back),
        cmocka_unit_test(a_gone_edge_is_shown_as_gone),
        cmocka_unit_test(a_tenant_has_a_bounded_number_of_edges),
        cmocka_unit_test(a_damaged_snapshot_is_noticed),
        cmocka_unit_test(strangers_knock_so_often),
        cmocka_unit_test(refusals_name_each_address_and_do_not_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
