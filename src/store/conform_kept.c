/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_kept: roll-ups of days whose events are gone are the only ones of their figures: nothing that comes
 * late, or is erased or classified anew around it, costs them.
 */
#include "store/sweeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t second_day = FIXTURE_START_US + DAY_US;

/* Lets go of the first day's events. */
static void retain_second_day(struct place *place)
{
    struct store_keep old = {0, STORE_KIND_EVENTS, second_day};
    struct store_rewrite retain = {.keeps = &old, .keep_count = 1};
    sweeper_rewrite(place, &retain);
    sweeper_sweep(place, &retain);
}

/* One event of a tenant's, of that time, as the next commit. */
static void store_late(struct place *place, const struct fixture *from, uint32_t tenant, int64_t ts,
                       const char *sender)
{
    static uint64_t offset = 100;
    struct event late = from->events[0];
    late.tenant = tenant;
    late.ts = ts;
    late.hub_ts = second_day + DAY_US / 2;
    late.sender = slice_of(sender);
    late.message_id.b[1] = (uint8_t)++offset;
    assert_int_equal(store_append(place->store, &late, 1, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(offset), NULL), 0);
}

static uint64_t exact_requests_of_first_day(struct place *place, uint32_t tenant)
{
    struct answer answer = {0};
    struct err err = {0};
    if (place_ask(place, "{\"measures\":[\"requests\"],\"from\":\"2026-03-01\",\"to\":\"2026-03-02\"}",
                  tenant, &answer, &err) != 0)
        fail_msg("%s", err_detail(&err));
    uint64_t sum = strtoull(answer.text.p, NULL, 10);
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    return sum;
}

/* Rolled, and the first day's events are gone: made once, and copied. old: its figures, by tenant. */
static struct place *origin;
static struct fixture fixture;
static uint64_t old[3];

static int make_origin(void **state)
{
    void *made = NULL;
    (void)state;
    assert_int_equal(place_set_up(&made), 0);
    origin = made;
    sweeper_fill(origin, &fixture);
    sweeper_roll(origin);
    for (uint32_t tenant = 1; tenant <= 2; tenant++)
        old[tenant] = sweeper_first_day(origin, tenant, "");
    retain_second_day(origin);
    store_close(&origin->store);
    return 0;
}

static int remove_origin(void **state)
{
    void *made = origin;
    (void)state;
    fixture_fini(&fixture);
    return place_tear_down(&made);
}

static void take_origin(struct place *place)
{
    char command[16384];
    store_close(&place->store);
    (void)snprintf(command, sizeof command, "rm -f %s/*.duckdb* && cp %s/*.duckdb* %s/", place->path,
                   origin->path, place->path);
    assert_int_equal(system(command), 0);
    place_reopen(place);
}

/* An hour of the middle of the first day; the first and the last hour mark the neighbours, too. */
static const int64_t late_us[] = {FIXTURE_START_US, FIXTURE_START_US + 13 * 3600 * US_PER_SECOND,
                                  FIXTURE_START_US + DAY_US - 1};

static void what_comes_late_costs_no_old_figures(void **state)
{
    struct place *place = *state;
    take_origin(place);
    assert_int_equal(exact_requests_of_first_day(place, 1), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(late_us); i++) {
        store_late(place, &fixture, 1, late_us[i], "late@many.test");
        assert_int_equal(sweeper_first_day(place, 1, ""), old[1]); /* before it is rolled, */
        sweeper_roll(place);
        assert_int_equal(sweeper_first_day(place, 1, ""), old[1]);
        assert_int_equal(exact_requests_of_first_day(place, 1), i + 1); /* events are there as such */
        if (i > 0)
            sweeper_sweep(place, NULL); /* which takes out what has a mark */
        place_reopen(place);
    }
    assert_int_equal(sweeper_first_day(place, 1, ""), old[1]);
    assert_int_equal(sweeper_first_day(place, 2, ""), old[2]);
}

/* Nothing was rolled when retention came, or some of it came after that. */
static void what_goes_is_rolled_first(void **state)
{
    struct place *place = *state;
    struct fixture own;
    sweeper_fill(place, &own);
    sweeper_roll(place);
    store_late(place, &own, 1, late_us[1], "late@many.test");
    uint64_t all[] = {0, exact_requests_of_first_day(place, 1), exact_requests_of_first_day(place, 2)};
    assert_int_equal(store_close_part(place->store, NULL), 0);
    retain_second_day(place);
    assert_int_equal(exact_requests_of_first_day(place, 1), 0);
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, 1, ""), all[1]);
    assert_int_equal(sweeper_first_day(place, 2, ""), all[2]);
    fixture_fini(&own);
}

/* An edge that was cut off: of its tenant there is nothing to lose. It delivers in more than one go. */
static void a_day_of_which_nothing_was_there_is_rolled(void **state)
{
    enum { CUT_OFF = 77 };
    struct place *place = *state;
    take_origin(place);
    for (size_t i = 0; i < ARRAY_LENGTH(late_us); i++) {
        store_late(place, &fixture, CUT_OFF, late_us[i], "late@many.test");
        sweeper_roll(place);
        assert_int_equal(sweeper_first_day(place, CUT_OFF, ""), i + 1);
    }
    assert_int_equal(store_close_part(place->store, NULL), 0);
    retain_second_day(place); /* and from here on it is kept */
    store_late(place, &fixture, CUT_OFF, late_us[0], "late@many.test");
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, CUT_OFF, ""), ARRAY_LENGTH(late_us));
}

static const char by_canary[] =
    ",\"where\":[{\"column\":\"sender\",\"op\":\"eq\",\"values\":[\"" CANARY "\"]}]";

/* Its events are there again, in a way: the late ones. */
static void an_erasure_reaches_days_with_late_events(void **state)
{
    struct place *place = *state;
    struct store_erasure erasure = ERASED;
    struct store_rewrite erase = {.erasures = &erasure, .erasure_count = 1};
    take_origin(place);
    for (size_t i = 0; i < ARRAY_LENGTH(late_us); i++)
        store_late(place, &fixture, 1, late_us[i], i == 1 ? CANARY : "late@many.test");
    assert_int_equal(store_close_part(place->store, NULL), 0);
    assert_true(sweeper_first_day(place, 1, by_canary) > 0);
    sweeper_rewrite(place, &erase);
    sweeper_roll(place);
    sweeper_sweep(place, &erase);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    assert_int_equal(sweeper_first_day(place, 1, by_canary), 0);
    assert_int_equal(sweeper_first_day(place, 1, ""), old[1]); /* nobody's figures */
    assert_int_equal(exact_requests_of_first_day(place, 1), ARRAY_LENGTH(late_us) - 1);
}

/* What was received after the erasure's moment is not erased, and its day is rolled of it. */
static void an_erased_tenant_begins_anew(void **state)
{
    struct place *place = *state;
    struct store_erasure erasure = {.tenant = 1, .before_us = second_day + DAY_US / 2};
    struct store_rewrite erase = {.erasures = &erasure, .erasure_count = 1};
    take_origin(place);
    store_late(place, &fixture, 1, late_us[1], "late@many.test");
    assert_int_equal(store_close_part(place->store, NULL), 0);
    sweeper_rewrite(place, &erase);
    sweeper_sweep(place, &erase);
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, 1, ""), 1);
    store_late(place, &fixture, 1, late_us[1], "late@many.test");
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, 1, ""), 2);
    assert_int_equal(sweeper_first_day(place, 2, ""), old[2]);
}

static int keep_class(void *arg, struct event *event)
{
    (void)arg;
    event->direction = DIRECTION_IN;
    return 0;
}

static void reclassifying_late_events_costs_no_old_figures(void **state)
{
    struct place *place = *state;
    struct store_rewrite reclassify = {.reclassify_tenant = 1, .classify = keep_class};
    take_origin(place);
    store_late(place, &fixture, 1, late_us[0], "late@many.test");
    store_late(place, &fixture, 1, late_us[2], "late@many.test");
    assert_int_equal(store_close_part(place->store, NULL), 0);
    sweeper_rewrite(place, &reclassify);
    sweeper_roll(place);
    sweeper_sweep(place, &reclassify);
    assert_int_equal(sweeper_first_day(place, 1, ""), old[1]);
}

/* So few events would be asked themselves, to be exact; of kept days an approximation is all there is. */
static void approximations_of_kept_days_are_told(void **state)
{
    enum { SENDERS = 200 };
    static char texts[SENDERS][24];
    static const char json[] = "{\"measures\":[\"requests\"],\"by\":[\"sender\"],\"top\":3,\"mode\":\"fast\","
                               "\"from\":\"2026-03-01\","
                               "\"to\":\"2026-03-02\"}";
    struct place *place = *state;
    struct fixture own;
    struct answer answer = {0};
    fixture_init(&own, 12, 500);
    for (size_t i = 0; i < SENDERS; i++)
        (void)snprintf(texts[i], sizeof texts[i], "s%zu@many.test", i);
    for (size_t i = 0; i < own.count; i++) {
        own.events[i].tenant = 1;
        own.events[i].sender = slice_of(texts[own.events[i].message_id.b[0] % SENDERS]);
    }
    place_store(place, &own, 1);
    assert_int_equal(store_close_part(place->store, NULL), 0);
    sweeper_roll(place);
    assert_int_equal(place_ask(place, json, 1, &answer, NULL), 0);
    assert_int_equal(answer.rows, 3);
    retain_second_day(place);
    assert_int_equal(place_ask(place, json, 1, &answer, NULL), 0);
    assert_int_equal(answer.rows, 3);
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    fixture_fini(&own);
}

/* --- between the parts of one retention ---------------------------------------------------------------- */

static const struct store_keep first_day_goes = {0, STORE_KIND_EVENTS, FIXTURE_START_US + DAY_US};
static const struct store_rewrite retention = {.keeps = &first_day_goes, .keep_count = 1};

static void retain_part(struct place *place, uint64_t id)
{
    struct err err = {0};
    if (store_rewrite_part(place->store, id, &retention, NULL, NULL, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* An edge that was cut off delivers: its events do not go with the second part, so its day is not closed.
 * They go with the third, which is noted for itself. */
static void parts_of_one_retention_are_noted_once(void **state)
{
    enum { CUT_OFF = 77 };
    struct place *place = *state;
    struct fixture own;
    sweeper_fill(place, &own);
    sweeper_roll(place);
    uint64_t all[] = {0, sweeper_first_day(place, 1, ""), sweeper_first_day(place, 2, "")};
    retain_part(place, 1);
    store_late(place, &own, CUT_OFF, late_us[1], "late@many.test");
    retain_part(place, 2);
    store_late(place, &own, CUT_OFF, late_us[1], "late@many.test");
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, CUT_OFF, ""), 2);
    store_late(place, &own, CUT_OFF, late_us[1], "late@many.test");
    assert_int_equal(store_close_part(place->store, NULL), 0);
    retain_part(place, 3);
    assert_int_equal(exact_requests_of_first_day(place, CUT_OFF), 0);
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, CUT_OFF, ""), 3);
    assert_int_equal(sweeper_first_day(place, 1, ""), all[1]);
    assert_int_equal(sweeper_first_day(place, 2, ""), all[2]);
    fixture_fini(&own);
}

/* Between the two the tenant is erased as a whole, but for what came after that. */
static void what_a_sweep_leaves_is_noted_again(void **state)
{
    struct place *place = *state;
    struct store_erasure erasure = {.tenant = 1, .before_us = second_day + DAY_US / 2};
    struct store_rewrite erase = {.erasures = &erasure, .erasure_count = 1};
    take_origin(place);
    store_late(place, &fixture, 1, late_us[1], "late@many.test");
    assert_int_equal(store_close_part(place->store, NULL), 0);
    sweeper_rewrite(place, &erase);
    retain_part(place, 1);
    sweeper_sweep(place, &erase);
    retain_part(place, 3);
    assert_int_equal(exact_requests_of_first_day(place, 1), 0);
    sweeper_roll(place);
    assert_int_equal(sweeper_first_day(place, 1, ""), 1);
    assert_int_equal(sweeper_first_day(place, 2, ""), old[2]);
}

/* --- copies -------------------------------------------------------------------------------------------- */

static int link_file(void *arg, const char *path, struct err *err)
{
    char to[4096];
    (void)snprintf(to, sizeof to, "%s/%s", (const char *)arg, strrchr(path, '/') + 1);
    return link(path, to) == 0 ? 0 : err_errno(err, errno, "%s", to);
}

static int link_rollups(void *arg, const char *path, struct err *err)
{
    char to[4096];
    (void)snprintf(to, sizeof to, "%s/" STORE_ROLLUPS_FILE, (const char *)arg);
    return link(path, to) == 0 ? 0 : err_errno(err, errno, "%s", to);
}

static uint64_t second_day_requests(struct place *place, const char *mode)
{
    char json[256];
    struct answer answer = {0};
    struct err err = {0};
    (void)snprintf(json, sizeof json,
                   "{\"measures\":[\"requests\"],\"mode\":\"%s\",\"from\":\"2026-03-02\",\"to\":\"2026-03-"
                   "03\"}",
                   mode);
    if (place_ask(place, json, 1, &answer, &err) != 0)
        fail_msg("%s", err_detail(&err));
    uint64_t sum = strtoull(answer.text.p, NULL, 10);
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    return sum;
}

/* Of the second day, some of which is rolled and some only marked. */
static void store_more(struct place *place, const struct fixture *from)
{
    store_late(place, from, 1, second_day + late_us[1] - FIXTURE_START_US, "late@many.test");
    sweeper_roll(place);
    store_late(place, from, 1, second_day + late_us[1] - FIXTURE_START_US, "late@many.test");
}

/* As a backup takes them while rows come in: the events first. The journal brings what they lack. */
static void a_copy_of_roll_ups_agrees_with_one_of_events(void **state)
{
    struct place *place = *state, copy = {.dir = fixture_directory()};
    struct err err = {0};
    take_origin(place);
    assert_true(asprintf(&copy.path, "%s/store", copy.dir) > 0);
    assert_int_equal(mkdir(copy.path, 0700), 0);
    assert_int_equal(store_files(place->store, link_file, copy.path, NULL), 0);
    store_more(place, &fixture);
    if (store_rollups(place->store, NULL, link_rollups, copy.path, &err) != 0)
        fail_msg("%s", err_detail(&err));
    uint64_t second = second_day_requests(place, "exact");
    assert_int_equal(second_day_requests(place, "fast"), second); /* it goes on, untouched */
    assert_int_equal(sweeper_first_day(place, 1, ""), old[1]);
    place_reopen(&copy);
    assert_int_equal(sweeper_first_day(&copy, 1, ""), old[1]);
    assert_int_equal(second_day_requests(&copy, "exact"), second - 2);
    store_more(&copy, &fixture); /* what the journal's copy has */
    sweeper_roll(&copy);
    assert_int_equal(second_day_requests(&copy, "exact"), second);
    assert_int_equal(second_day_requests(&copy, "fast"), second);
    store_late(&copy, &fixture, 1, late_us[0], "late@many.test");
    sweeper_roll(&copy);
    assert_int_equal(sweeper_first_day(&copy, 1, ""), old[1]);
    store_close(&copy.store);
    fixture_remove(copy.dir);
    free(copy.path);
}

/* What each() answers is answered, and nothing is left behind. */
static int refuse(void *arg, const char *path, struct err *err)
{
    (void)arg;
    (void)path;
    return err_set(err, ERR_DENIED, "no");
}

static void a_refused_copy_leaves_nothing(void **state)
{
    struct place *place = *state;
    char path[4096];
    assert_int_equal(store_rollups(place->store, NULL, refuse, NULL, NULL), ERR_DENIED);
    (void)snprintf(path, sizeof path, "%s/" STORE_ROLLUPS_FILE ".saved.tmp", place->path);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(store_sweep(place->store, NULL, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(what_comes_late_costs_no_old_figures),
        PLACE_TEST(what_goes_is_rolled_first),
        PLACE_TEST(a_day_of_which_nothing_was_there_is_rolled),
        PLACE_TEST(an_erasure_reaches_days_with_late_events),
        PLACE_TEST(an_erased_tenant_begins_anew),
        PLACE_TEST(reclassifying_late_events_costs_no_old_figures),
        PLACE_TEST(approximations_of_kept_days_are_told),
        PLACE_TEST(parts_of_one_retention_are_noted_once),
        PLACE_TEST(what_a_sweep_leaves_is_noted_again),
        PLACE_TEST(a_copy_of_roll_ups_agrees_with_one_of_events),
        PLACE_TEST(a_refused_copy_leaves_nothing),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " kept", tests, make_origin, remove_origin);
}
