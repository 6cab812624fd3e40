/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_rewriting: closed parts written anew: what is left out is gone, what is changed is right, all else
 * stays as it was, and neither questions nor the writer notice.
 */
#include "store/place.h"

#include "enrich/classify/rules.h"
#include "enrich/consolidate/consolidate.h"
#include "store/recount.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT(text)                                                                                           \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
enum { PARTS = 32, TENANTS = 3 };

struct listed {
    struct store_part parts[PARTS];
    size_t count;
};

static int take_part(void *arg, const struct store_part *part)
{
    struct listed *listed = arg;
    assert_true(listed->count < PARTS);
    listed->parts[listed->count++] = *part;
    return 0;
}

static struct listed parts_of(struct place *place)
{
    struct listed listed = {.count = 0};
    assert_int_equal(store_parts(place->store, take_part, &listed, NULL), 0);
    return listed;
}

/* The fixture in three closed parts, cut wherever that falls, and its last rows in the open one. */
static void put_in_parts(struct place *place, const struct fixture *fixture)
{
    for (size_t i = 0; i < 4; i++) {
        size_t first = fixture->count * i / 4, end = fixture->count * (i + 1) / 4;
        assert_int_equal(store_append(place->store, fixture->events + first, end - first, NULL), 0);
        assert_int_equal(store_commit(place->store, place_cursor(i + 1), NULL), 0);
        if (i % 2 == 0) /* what was in the checkpoint already is closed all the same */
            assert_int_equal(store_checkpoint(place->store, NULL), 0);
        if (i < 3)
            assert_int_equal(store_close_part(place->store, NULL), 0);
    }
}

static void rewrite_all(struct place *place, const struct store_rewrite *how)
{
    struct err err = {0};
    struct listed listed = parts_of(place);
    for (size_t i = 0; i < listed.count; i++)
        if (!listed.parts[i].open &&
            store_rewrite_part(place->store, listed.parts[i].id, how, NULL, NULL, NULL, &err) != 0)
            fail_msg("%s", err_detail(&err));
}

static void close_and_rewrite_all(struct place *place, const struct store_rewrite *how)
{
    assert_int_equal(store_close_part(place->store, NULL), 0);
    rewrite_all(place, how);
}

static int take_finding(void *arg, const char *part, const char *what, bool good)
{
    size_t *things = arg;
    if (!good)
        fail_msg("%s: %s", part, what);
    ++*things;
    return 0;
}

static int take_first(void *arg, const char *part, const char *what, bool good)
{
    (void)part;
    (void)what;
    *(bool *)arg = good;
    return -7;
}

/* Nothing is found that is not right. */
static void is_whole(struct place *place)
{
    struct err err = {0};
    size_t things = 0;
    bool good = false;
    if (store_verify(place->store, take_finding, &things, &err) != 0)
        fail_msg("%s", err_detail(&err));
    assert_true(things >= (ANSWERS ? 2 * parts_of(place).count : 1));
    assert_int_equal(store_verify(place->store, take_first, &good, &err), -7);
    assert_true(good);
}

static void add_expected(struct buf *out, const struct event *event, const enum column *columns, size_t count)
{
    struct cell cells[8];
    char texts[8][QUERY_CELL_BYTES];
    for (size_t i = 0; i < count; i++)
        cells[i] = recount_cell(NULL, event, columns[i], texts[i]);
    cells[count] = (struct cell){.type = CELL_U64, .u64 = 1};
    fixture_row(out, cells, count + 1);
    assert_int_equal(buf_add(out, "", 1), 0);
}

/* Every event is there once, and no other; the columns are told apart by what each question shows. */
static void rows_are(struct place *place, const struct event *events, size_t count)
{
    static const struct {
        const char *by;
        enum column columns[4];
    } looks[] = {
        {"\"seq\",\"tenant\",\"direction\",\"rule_version\"",
         {COLUMN_seq, COLUMN_tenant, COLUMN_direction, COLUMN_rule_version}},
        {"\"seq\",\"sender\",\"recipient\",\"extra\"",
         {COLUMN_seq, COLUMN_sender, COLUMN_recipient, COLUMN_extra}},
        {"\"seq\",\"message_id\",\"client_address\",\"ts\"",
         {COLUMN_seq, COLUMN_message_id, COLUMN_client_address, COLUMN_ts}},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++) {
        struct answer answer = {0};
        struct buf expected;
        char question[256];
        buf_init(&expected, 64 << 20);
        for (size_t k = 0; k < count; k++)
            add_expected(&expected, &events[k], looks[i].columns, 4);
        (void)snprintf(question, sizeof question,
                       "{\"measures\":[\"requests\"],\"by\":[%s],\"from\":\"2026-02-27\",\"to\":\"2026-03-"
                       "05\",\"limit\":100000}",
                       looks[i].by);
        assert_int_equal(place_ask(place, question, 0, &answer, NULL), 0);
        assert_int_equal(answer.rows, count);
        assert_int_equal(answer.text.n, expected.n);
        assert_memory_equal(answer.text.p, expected.p, expected.n);
        buf_fini(&answer.text);
        buf_fini(&answer.totals);
        buf_fini(&expected);
    }
}

static void all_else_stays_as_it_was(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    fixture_init(&fixture, 1, 500);
    put_in_parts(place, &fixture);
    is_whole(place);
    struct listed before = parts_of(place);
    for (unsigned round = 2; ANSWERS && round < 5; round++) {
        rewrite_all(place, NULL);
        struct listed after = parts_of(place);
        assert_int_equal(after.count, before.count);
        for (size_t i = 0; i < after.count; i++) {
            const struct store_part *old = &before.parts[i], *new = &after.parts[i];
            assert_int_equal(new->id, old->id);
            assert_int_equal(new->generation, old->open ? 1 : round);
            assert_int_equal(new->ordered, !old->open);
            assert_int_equal(new->open, old->open);
            assert_int_equal(new->rows, old->rows);
            assert_int_equal(new->min_ts, old->min_ts);
            assert_int_equal(new->max_ts, old->max_ts);
            assert_int_equal(new->min_hub_ts, old->min_hub_ts);
            assert_int_equal(new->max_hub_ts, old->max_hub_ts);
            assert_int_equal(store_cursor_compare(new->begin, old->begin), 0);
            assert_int_equal(store_cursor_compare(new->end, old->end), 0);
        }
        rows_are(place, fixture.events, fixture.count);
        place_cursor_is(place, 4, fixture.count);
        is_whole(place);
        if (round == 3)
            place_reopen(place);
    }
    fixture_fini(&fixture);
}

static void what_can_t_be_rewritten_is_refused(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct err err = {0};
    atomic_bool cancelled = true;
    fixture_init(&fixture, 2, 100);
    assert_int_equal(store_rewrite_part(place->store, 1, NULL, NULL, NULL, NULL, &err), ERR_NOT_FOUND);
    put_in_parts(place, &fixture);
    struct listed listed = parts_of(place);
    for (size_t i = 0; i < listed.count; i++) {
        uint64_t id = listed.parts[i].id;
        assert_int_equal(store_rewrite_part(place->store, id, NULL, &cancelled, NULL, NULL, &err),
                         listed.parts[i].open ? ERR_CONFLICT : ERR_CANCELLED);
    }
    if (ANSWERS)
        rows_are(place, fixture.events, fixture.count);
    struct listed after = parts_of(place);
    for (size_t i = 0; i < after.count; i++)
        assert_int_equal(after.parts[i].generation, 1);
    fixture_fini(&fixture);
}

static bool is_same(struct slice text, const char *lower)
{
    char copy[256];
    if (text.n != strlen(lower))
        return false;
    text_lower(text, copy);
    return memcmp(copy, lower, text.n) == 0;
}

/* As store.h says it. */
static bool is_erased(const struct event *event, const struct store_erasure *erasure, const char *in_extra)
{
    if (event->tenant != erasure->tenant || event->hub_ts >= erasure->before_us)
        return false;
    if (erasure->address.n == 0)
        return true;
    const struct slice *texts[] = {&event->sender, &event->recipient, &event->sasl_username,
                                   &event->sasl_sender};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (is_same(*texts[i], erasure->address.p))
            return true;
    return in_extra != NULL && event->extra.n > 0 && strstr(event->extra.p, in_extra) != NULL;
}

static void what_is_erased_is_gone(void **state)
{
    static const int64_t ever = FIXTURE_START_US * 2, half = FIXTURE_START_US + FIXTURE_RANGE_US / 2;
    static const struct {
        struct store_erasure erasures[3];
        size_t count;
        const char *in_extra; /* of the first one */
    } cases[] = {
        {{{1, TEXT("ann@one.test"), ever}}, 1, "Ann@One"},
        {{{2, TEXT("rik@home.test"), half}}, 1, NULL},
        {{{3, TEXT(""), half}}, 1, NULL},
        {{{1, TEXT("ann"), ever}, {2, TEXT(""), ever}, {3, TEXT("q'uote@home.test"), ever}}, 3, "Ann@One"},
        {{{1, TEXT("back\\slash@three.test"), ever}}, 1, "back\\\\slash"},
        {{{1, TEXT("nobody@one.test"), ever}, {9, TEXT(""), ever}}, 2, NULL},
    };
    for (size_t i = 0; ANSWERS && i < ARRAY_LENGTH(cases); i++) {
        struct place *place = *state;
        struct fixture fixture;
        struct event *left;
        size_t count = 0;
        fixture_init(&fixture, 3 + i, 400);
        for (size_t k = 0; k < fixture.count; k++) {
            if (k % 50 == 7)
                fixture.events[k].extra = SLICE("{\"x_first\":\"Ann@One.test\"}");
            if (k % 50 == 9)
                fixture.events[k].extra = SLICE("{\"x_first\":\"back\\\\slash@three.test\"}");
            if (k % 50 == 11)
                fixture.events[k].sender = SLICE("ANN@one.TEST");
        }
        put_in_parts(place, &fixture);
        close_and_rewrite_all(
            place, &(struct store_rewrite){.erasures = cases[i].erasures, .erasure_count = cases[i].count});
        left = calloc(fixture.count, sizeof *left);
        assert_non_null(left);
        for (size_t k = 0; k < fixture.count; k++) {
            bool gone = false;
            for (size_t e = 0; e < cases[i].count; e++)
                gone = gone || is_erased(&fixture.events[k], &cases[i].erasures[e],
                                         e == 0 ? cases[i].in_extra : NULL);
            if (!gone)
                left[count++] = fixture.events[k];
        }
        assert_true(i + 1 == ARRAY_LENGTH(cases) ? count == fixture.count : count < fixture.count);
        rows_are(place, left, count);
        place_cursor_is(place, 4, count);
        place_reopen(place);
        rows_are(place, left, count);
        free(left);
        fixture_fini(&fixture);
        (void)place_tear_down(state);
        assert_int_equal(place_set_up(state), 0);
    }
}

static void what_is_too_old_is_gone(void **state)
{
    static const int64_t quarter = FIXTURE_START_US + FIXTURE_RANGE_US / 4,
                         half = FIXTURE_START_US + FIXTURE_RANGE_US / 2;
    static const struct {
        struct store_keep keeps[4];
        size_t count;
        int64_t before[TENANTS + 1]; /* by tenant */
    } cases[] = {
        {{{0, STORE_KIND_EVENTS, half}}, 1, {0, half, half, half}},
        {{{0, STORE_KIND_EVENTS, half}, {2, STORE_KIND_EVENTS, quarter}}, 2, {0, half, quarter, half}},
        {{{2, STORE_KIND_EVENTS, half}, {1, STORE_KIND_EVENTS, INT64_C(1) << 60}},
         2,
         {0, INT64_C(1) << 60, half, 0}},
        {{{0, STORE_KIND_HOURLY, half}, {1, STORE_KIND_DAILY, half}}, 2, {0, 0, 0, 0}},
        {{{0, STORE_KIND_EVENTS, INT64_C(1) << 60}},
         1,
         {0, INT64_C(1) << 60, INT64_C(1) << 60, INT64_C(1) << 60}},
    };
    for (size_t i = 0; ANSWERS && i < ARRAY_LENGTH(cases); i++) {
        struct place *place = *state;
        struct fixture fixture;
        size_t count = 0;
        fixture_init(&fixture, 20 + i, 300);
        put_in_parts(place, &fixture);
        close_and_rewrite_all(place,
                              &(struct store_rewrite){.keeps = cases[i].keeps, .keep_count = cases[i].count});
        for (size_t k = 0; k < fixture.count; k++)
            if (fixture.events[k].ts >= cases[i].before[fixture.events[k].tenant])
                fixture.events[count++] = fixture.events[k];
        rows_are(place, fixture.events, count);
        place_cursor_is(place, 4, count);
        fixture_fini(&fixture);
        (void)place_tear_down(state);
        assert_int_equal(place_set_up(state), 0);
    }
}

static struct rules *make_rules(const char *own, const char *relayed, const char *trusted, uint32_t version)
{
    struct rules *rules;
    struct ip_prefix prefix;
    assert_int_equal(rules_create(&rules), 0);
    assert_int_equal(ip_prefix_parse(slice_of(trusted), &prefix), 0);
    for (uint32_t tenant = 1; tenant <= TENANTS; tenant++) {
        assert_int_equal(rules_set_version(rules, tenant, version), 0);
        assert_int_equal(rules_add_domain(rules, tenant, slice_of(own), DOMAIN_OWN, true), 0);
        assert_int_equal(rules_add_domain(rules, tenant, slice_of(relayed), DOMAIN_RELAYED, true), 0);
        assert_int_equal(rules_add_network(rules, tenant, prefix, true), 0);
    }
    rules_seal(rules);
    return rules;
}

/* What the loader would have made of them under these rules. */
static void load(struct event *events, size_t count, const struct rules *rules)
{
    struct consolidate *consolidate;
    assert_int_equal(consolidate_create(&consolidate, 1000), 0);
    for (size_t i = 0; i < count; i++) {
        rules_classify(rules, &events[i]);
        consolidate_event(consolidate, &events[i]);
    }
    consolidate_destroy(&consolidate);
}

static int classify(void *arg, struct event *event)
{
    rules_classify(arg, event);
    return 0;
}

static int refuse(void *arg, struct event *event)
{
    (void)arg;
    (void)event;
    return ERR_UNAVAILABLE;
}

/* Also where a message's recipients are in one part and its end in the next. */
static void what_is_classified_anew_is_as_if_loaded_so(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct event *anew;
    struct rules *before = make_rules("home.test", "relay.test", "192.0.0.0/22", 4),
                 *after = make_rules("away.test", "home.test", "2001:db8:1::/48", 5);
    fixture_init(&fixture, 40, 700);
    load(fixture.events, fixture.count, before);
    anew = calloc(fixture.count, sizeof *anew);
    assert_non_null(anew);
    memcpy(anew, fixture.events, fixture.count * sizeof *anew);
    load(anew, fixture.count, after);
    size_t changed = 0;
    for (size_t i = 0; i < fixture.count; i++)
        if (anew[i].tenant != 2)
            anew[i] = fixture.events[i];
        else
            changed += anew[i].direction != fixture.events[i].direction;
    assert_true(changed > 100);
    put_in_parts(place, &fixture);
    if (ANSWERS) {
        struct store_rewrite how = {.reclassify_tenant = 2, .classify = refuse};
        assert_int_equal(store_rewrite_part(place->store, 1, &how, NULL, NULL, NULL, NULL), ERR_UNAVAILABLE);
        rows_are(place, fixture.events, fixture.count);
        how.classify = classify;
        how.classify_arg = after;
        close_and_rewrite_all(place, &how);
        rows_are(place, anew, fixture.count);
        rewrite_all(place, &how); /* and again, as after a kill */
        rows_are(place, anew, fixture.count);
    }
    rules_destroy(&before);
    rules_destroy(&after);
    free(anew);
    fixture_fini(&fixture);
}

struct told {
    uint64_t done, all;
    size_t calls;
};

static void take_progress(void *arg, uint64_t done, uint64_t all)
{
    struct told *told = arg;
    assert_true(done >= told->done && done <= all && (told->calls == 0 || all == told->all));
    *told = (struct told){done, all, told->calls + 1};
}

struct asker {
    struct place *place;
    atomic_bool stop;
    uint64_t expected, asked, tenant;
};

static int take_number(void *arg, const struct cell *cells, size_t count)
{
    (void)count;
    *(uint64_t *)arg = cells[0].u64;
    return 0;
}

/* The rows of one tenant that is not written meanwhile: always as many. */
static void *ask_on(void *arg)
{
    struct asker *asker = arg;
    do {
        uint64_t rows = 0;
        struct query *query;
        struct query_sink sink = {.row = take_number, .arg = &rows};
        struct err err = {0};
        if (query_parse(SLICE("{\"measures\":[\"requests\"],\"since\":\"200h\"}"),
                        FIXTURE_START_US + 2 * FIXTURE_RANGE_US, &query, NULL) != 0)
            abort();
        query->scope = QUERY_SCOPE_TENANT;
        query->tenant = (uint32_t)asker->tenant;
        int rc = store_query(asker->place->store, query, &sink, &err);
        query_destroy(&query);
        if (rc != 0 || rows != asker->expected) {
            (void)fprintf(stderr, "%d %s: %lu rows of %lu\n", rc, err.detail, (unsigned long)rows,
                          (unsigned long)asker->expected);
            abort();
        }
        asker->asked++;
    } while (!atomic_load(&asker->stop));
    return NULL;
}

/* More rows than one stretch, so that they pass twice. */
static void a_large_part_is_rewritten_while_all_goes_on(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct told told = {0};
    pthread_t threads[2];
    struct asker askers[2] = {{.place = place, .tenant = 1}, {.place = place, .tenant = 2}};
    if (!ANSWERS)
        return;
    fixture_init(&fixture, 50, 4000);
    for (uint64_t i = 1; i <= 24; i++) {
        for (size_t k = 0; k < fixture.count; k++)
            askers[0].expected += fixture.events[k].tenant == 1,
                askers[1].expected += fixture.events[k].tenant == 2;
        place_store(place, &fixture, i);
    }
    assert_true(24 * fixture.count > 250000);
    assert_int_equal(store_close_part(place->store, NULL), 0);
    struct listed before = parts_of(place);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &askers[i]), 0);
    assert_int_equal(store_rewrite_part(place->store, 1, NULL, NULL, take_progress, &told, NULL), 0);
    assert_int_equal(told.done, told.all);
    assert_int_equal(told.all, 2 * before.parts[0].rows);
    assert_int_equal(store_rewrite_part(place->store, 1, NULL, NULL, NULL, NULL, NULL), 0);
    size_t thirds = 0;
    for (size_t i = 0; i < fixture.count; i++)
        if (fixture.events[i].tenant == 3)
            fixture.events[thirds++] = fixture.events[i];
    fixture.count = thirds;
    place_store(place, &fixture, 30); /* the writer goes on, too */
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&askers[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(askers[i].asked > 0);
    }
    struct listed after = parts_of(place);
    assert_int_equal(after.count, 2);
    assert_int_equal(after.parts[0].rows, before.parts[0].rows);
    assert_true(after.parts[0].ordered);
    assert_int_equal(after.parts[0].generation, 3);
    assert_true(after.parts[0].bytes <= before.parts[0].bytes);
    is_whole(place); /* which looks at the order, too */
    place_cursor_is(place, 30, before.parts[0].rows + thirds);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(all_else_stays_as_it_was),
        PLACE_TEST(what_can_t_be_rewritten_is_refused),
        PLACE_TEST(what_is_erased_is_gone),
        PLACE_TEST(what_is_too_old_is_gone),
        PLACE_TEST(what_is_classified_anew_is_as_if_loaded_so),
        PLACE_TEST(a_large_part_is_rewritten_while_all_goes_on),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " rewriting", tests, NULL, NULL);
}
