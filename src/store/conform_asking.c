/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_asking: what every engine must answer: by hand, and random questions against a recount.
 */
#include "store/checker.h"
#include "store/random_question.h"

#include <jansson.h>
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
        (void)checker_ask(place, &fixture, json, (uint32_t)fixture_below(&random, 4));
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
        (void)checker_ask(place, &fixture, json, (uint32_t)fixture_below(&random, 4));
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
            (void)checker_ask(place, &fixture, json, (uint32_t)i + 1);
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
