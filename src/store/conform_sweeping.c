/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_sweeping: what was erased, or is too old, leaves the roll-ups and every file, without a restart;
 * all else that they answered they still answer, also about days whose events are gone.
 */
#include "store/checker.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_US (24 * 3600 * US_PER_SECOND)
#define LATER  (FIXTURE_START_US + 365 * DAY_US)
#define CANARY "canary-7731@many.test"
#define ERASED                                                                                               \
    {                                                                                                        \
        .tenant = 1, .address = {CANARY, sizeof CANARY - 1}, .before_us = INT64_MAX / 2                      \
    }

static bool holds(const char *path, const char *text)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    char *all = malloc((size_t)status.st_size + 1);
    assert_non_null(all);
    assert_int_equal(read(fd, all, (size_t)status.st_size), status.st_size);
    bool found = memmem(all, (size_t)status.st_size, text, strlen(text)) != NULL;
    free(all);
    (void)close(fd);
    return found;
}

/* How many files of the store whose names begin so have the canary somewhere. */
static unsigned files_with_canary(const struct place *place, const char *prefix)
{
    char path[4096];
    unsigned found = 0;
    DIR *dir = opendir(place->path);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_type != DT_REG || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", place->path, entry->d_name);
        found += holds(path, CANARY);
    }
    (void)closedir(dir);
    return found;
}

static void roll(struct place *place)
{
    struct err err = {0};
    if (store_roll(place->store, LATER, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

struct ids {
    uint64_t list[16];
    size_t count;
};

static int take_id(void *arg, const struct store_part *part)
{
    struct ids *ids = arg;
    assert_true(ids->count < ARRAY_LENGTH(ids->list));
    ids->list[ids->count++] = part->id;
    return 0;
}

static void rewrite_all(struct place *place, const struct store_rewrite *how)
{
    struct err err = {0};
    struct ids ids = {.count = 0};
    assert_int_equal(store_parts(place->store, take_id, &ids, NULL), 0);
    for (size_t i = 0; i < ids.count; i++)
        if (store_rewrite_part(place->store, ids.list[i], how, NULL, NULL, NULL, &err) != 0)
            fail_msg("%s", err_detail(&err));
}

static void sweep(struct place *place, const struct store_rewrite *how)
{
    struct err err = {0};
    if (store_sweep(place->store, how, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* Some whole messages of the first tenant are the canary's; the first half of all and the second in a part
 * each. */
static void make(struct place *place, struct fixture *fixture)
{
    fixture_init(fixture, 11, 1500);
    for (size_t i = 0; i < fixture->count; i++)
        if (fixture->events[i].message_id.b[0] % 7 == 3) {
            fixture->events[i].tenant = 1;
            fixture->events[i].sender = slice_of(CANARY);
        }
    size_t half = fixture->count / 2;
    assert_int_equal(store_append(place->store, fixture->events, half, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
    assert_int_equal(store_close_part(place->store, NULL), 0);
    assert_int_equal(store_append(place->store, fixture->events + half, fixture->count - half, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(2), NULL), 0);
    assert_int_equal(store_close_part(place->store, NULL), 0);
}

static void drop_canary(struct fixture *fixture)
{
    size_t kept = 0;
    for (size_t i = 0; i < fixture->count; i++)
        if (!slice_equal(fixture->events[i].sender, slice_of(CANARY)))
            fixture->events[kept++] = fixture->events[i];
    assert_true(kept < fixture->count);
    fixture->count = kept;
}

/* As a recount says, of both tenants. */
static void answers_are_right(struct place *place, const struct fixture *fixture, bool fast)
{
    static const char *const questions[] = {
        "\"measures\":[\"requests\",\"messages\",\"bytes\"],\"by\":[\"sender\"],\"totals\":true",
        "\"measures\":[\"requests\",\"recipients\"],\"by\":[\"direction\"],\"interval\":\"1h\"",
        "\"measures\":[\"messages\"],\"interval\":\"1d\"",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(questions); i++)
        for (uint32_t tenant = 1; tenant <= 2; tenant++) {
            char json[512];
            (void)snprintf(json, sizeof json,
                           "{%s,\"mode\":\"fast\",\"from\":\"2026-02-28\",\"to\":\"2026-03-05\"}",
                           questions[i]);
            bool was_fast = checker_ask(place, fixture, json, tenant).fast;
            if (fast && i == 2)
                assert_true(was_fast);
        }
}

static void what_is_erased_leaves_at_once(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    struct store_rewrite how = {.erasures = &erasure, .erasure_count = 1};
    make(place, &fixture);
    roll(place);
    sweep(place, NULL); /* and so it is in the file itself */
    assert_true(files_with_canary(place, "rollups") > 0 && files_with_canary(place, "events") > 0);
    answers_are_right(place, &fixture, true);
    rewrite_all(place, &how);
    drop_canary(&fixture);
    answers_are_right(place, &fixture, false);
    roll(place); /* that alone leaves bytes behind, */
    assert_int_equal(store_checkpoint(place->store, NULL), 0);
    assert_true(files_with_canary(place, "rollups") > 0);
    sweep(place, &how);
    assert_int_equal(files_with_canary(place, ""), 0);
    answers_are_right(place, &fixture, true);
    place_reopen(place);
    assert_int_equal(files_with_canary(place, ""), 0);
    answers_are_right(place, &fixture, true);
    fixture_fini(&fixture);
}

/* Straight after the rewriting nothing is rolled yet: the events answer, and then what is rolled of them. */
static void marks_go_with_it(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    struct store_rewrite how = {.erasures = &erasure, .erasure_count = 1};
    make(place, &fixture);
    roll(place);
    rewrite_all(place, &how);
    sweep(place, &how);
    assert_int_equal(files_with_canary(place, ""), 0);
    drop_canary(&fixture);
    answers_are_right(place, &fixture, false);
    roll(place);
    answers_are_right(place, &fixture, true);
    assert_int_equal(files_with_canary(place, ""), 0);
    fixture_fini(&fixture);
}

static uint64_t requests_of_first_day(struct place *place, uint32_t tenant, const char *more)
{
    struct answer answer = {0};
    struct err err = {0};
    char json[256];
    (void)snprintf(json, sizeof json,
                   "{\"measures\":[\"requests\"],\"mode\":\"fast\",\"from\":\"2026-03-01\",\"to\":\"2026-03-"
                   "02\"%s}",
                   more);
    if (place_ask(place, json, tenant, &answer, &err) != 0)
        fail_msg("%s", err_detail(&err));
    const char *bar = answer.rows > 0 ? strrchr(answer.text.p, '|') : NULL;
    uint64_t sum = answer.rows > 0 ? strtoull(bar != NULL ? bar + 1 : answer.text.p, NULL, 10) : 0;
    buf_fini(&answer.text);
    buf_fini(&answer.totals);
    return sum;
}

/* Events of the first day go; its roll-ups stay, lose a name, and go in their own time. */
static void roll_ups_outlive_events(void **state)
{
    static const char by_canary[] =
        ",\"where\":[{\"column\":\"sender\",\"op\":\"eq\",\"values\":[\"" CANARY "\"]}]";
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    int64_t second_day = FIXTURE_START_US + DAY_US;
    struct store_keep old = {0, STORE_KIND_EVENTS, second_day};
    struct store_rewrite erase = {.erasures = &erasure, .erasure_count = 1},
                         retain = {.keeps = &old, .keep_count = 1};
    make(place, &fixture);
    roll(place);
    uint64_t all[] = {0, requests_of_first_day(place, 1, ""), requests_of_first_day(place, 2, "")};
    assert_true(all[1] > 0 && all[2] > 0 && requests_of_first_day(place, 1, by_canary) > 0);
    rewrite_all(place, &retain);
    sweep(place, &retain);
    assert_int_equal(requests_of_first_day(place, 1, ""), all[1]);
    assert_true(requests_of_first_day(place, 1, by_canary) > 0);
    rewrite_all(place, &erase);
    roll(place);
    sweep(place, &erase);
    assert_int_equal(files_with_canary(place, ""), 0);
    assert_int_equal(requests_of_first_day(place, 1, by_canary), 0);
    assert_int_equal(requests_of_first_day(place, 1, ""), all[1]); /* nobody's figures */
    struct store_keep keeps[] = {{0, STORE_KIND_HOURLY, second_day},
                                 {1, STORE_KIND_DAILY, second_day},
                                 {2, STORE_KIND_DAILY, INT64_MIN}};
    struct store_rewrite forget = {.keeps = keeps, .keep_count = 3};
    sweep(place, &forget);
    assert_int_equal(requests_of_first_day(place, 1, ""), 0);
    assert_int_equal(requests_of_first_day(place, 2, ""), all[2]);
    place_reopen(place);
    assert_int_equal(requests_of_first_day(place, 2, ""), all[2]);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(what_is_erased_leaves_at_once),
        PLACE_TEST(marks_go_with_it),
        PLACE_TEST(roll_ups_outlive_events),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " sweeping", tests, NULL, NULL);
}
