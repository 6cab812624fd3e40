/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_rolled: fast questions say what a recount says, but for figures that they call approximate;
 * whatever comes late, and however often the store is opened again.
 */
#include "store/checker.h"
#include "store/random_question.h"

#include <stdio.h>
#include <stdlib.h>

#define FAR_FUTURE (FIXTURE_START_US + 365 * 24 * 3600 * US_PER_SECOND)

static void roll(struct place *place, int64_t now_us)
{
    struct err err = {0};
    if (store_roll(place->store, now_us, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* Stores events[from, to) as one commit. */
static void store_some(struct place *place, const struct fixture *fixture, size_t from, size_t to)
{
    struct fixture part = *fixture;
    part.events += from;
    part.count = to - from;
    place_store(place, &part, to + 1);
}

/* In any order: the neighbours of a message come in another commit, or days late. */
static void shuffle(struct fixture *fixture, uint64_t *random)
{
    for (size_t i = fixture->count; i > 1; i--) {
        size_t k = fixture_below(random, i);
        struct event event = fixture->events[i - 1];
        fixture->events[i - 1] = fixture->events[k];
        fixture->events[k] = event;
    }
}

struct tally {
    unsigned asked, fast, approximate;
};

static void ask_some(struct place *place, const struct fixture *fixture, unsigned count, uint64_t *random,
                     struct tally *tally)
{
    for (unsigned i = 0; i < count; i++) {
        char *json = random_panel(fixture, random);
        struct checked checked = checker_ask(place, fixture, json, 1 + (uint32_t)fixture_below(random, 3));
        tally->asked++;
        tally->fast += checked.fast;
        tally->approximate += checked.approximate != 0;
        free(json);
    }
}

static void fast_answers_agree_with_a_recount(void **state)
{
    struct place *place = *state;
    const char *given = getenv("STORE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20260301, random = seed;
    struct fixture fixture, stored;
    struct tally tally = {0};
    const char *more = getenv("STORE_SCALE"); /* so many times as many questions */
    unsigned scale = more != NULL ? (unsigned)strtoul(more, NULL, 10) : 1;
    print_message("seed %llu (STORE_SEED sets it)\n", (unsigned long long)seed);
    fixture_init(&fixture, seed, 200);
    stored = fixture;
    for (size_t done = 0; done < fixture.count;) { /* in order first, the last third in any */
        size_t some = 1 + fixture_below(&random, fixture.count / 3);
        struct fixture late = fixture;
        if (done > fixture.count * 2 / 3 && stored.count > done) {
            late.events += done;
            late.count -= done;
            shuffle(&late, &random);
        }
        some = some < fixture.count - done ? some : fixture.count - done;
        store_some(place, &fixture, done, done + some);
        stored.count = done += some;
        if (fixture_below(&random, 3) == 0)
            place_reopen(place);
        if (fixture_below(&random, 3) > 0)
            roll(place, fixture_below(&random, 2)
                            ? FAR_FUTURE
                            : FIXTURE_START_US + (int64_t)fixture_below(&random, FIXTURE_RANGE_US));
        ask_some(place, &stored, scale * 4, &random, &tally);
    }
    roll(place, FAR_FUTURE);
    ask_some(place, &fixture, scale * 30, &random, &tally);
    print_message("%u asked, %u fast, %u approximate\n", tally.asked, tally.fast, tally.approximate);
    assert_true(tally.fast * 8 > tally.asked);
    fixture_fini(&fixture);
}

/* Days with more values than are kept, and enough events that sketches are. */
static void make_many(struct fixture *fixture)
{
    enum { SENDERS = 4096 };
    static char texts[SENDERS][24];
    fixture_init(fixture, 4, 20000);
    for (size_t i = 0; i < SENDERS; i++)
        (void)snprintf(texts[i], sizeof texts[i], "s%zu@many.test", i);
    for (size_t i = 0; i < fixture->count; i++) {
        struct event *event = &fixture->events[i];
        uint64_t x = (uint64_t)event->message_id.b[0] << 8 | event->message_id.b[1];
        event->sender = slice_of(texts[x * x >> 20]); /* of some there is much, of many little */
        event->client_address.b[13] = event->message_id.b[2];
        event->tenant = 1;
    }
}

static void approximations_are_called_so_and_are_near(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    static const struct {
        const char *json;
        uint32_t approximate;
        double off;
    } cases[] = {
        {"\"measures\":[\"clients\",\"messages\"],\"totals\":true", 1, 0.1},
        {"\"measures\":[\"clients\",\"messages\"],\"by\":[\"direction\"],\"totals\":true", 1, 0.1},
        {"\"measures\":[\"clients\",\"senders\"],\"by\":[\"direction\"],\"interval\":\"1d\"", 0, 0},
        {"\"measures\":[\"messages\",\"bytes\"],\"by\":[\"direction\"],\"interval\":\"1d\",\"totals\":true",
         0, 0},
        {"\"measures\":[\"messages\",\"requests\"],\"by\":[\"sender\"],\"top\":5,\"rest\":true,\"totals\":"
         "true",
         3, 0.02},
        {"\"measures\":[\"messages\"],\"by\":[\"recipient\"],\"top\":3,\"rest\":true", 1, 0},
    };
    make_many(&fixture);
    place_store(place, &fixture, 1);
    roll(place, FAR_FUTURE);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char json[512];
        (void)snprintf(
            json, sizeof json,
            "{%s,\"mode\":\"fast\",\"from\":\"2026-03-01T00:00:00Z\",\"to\":\"2026-03-02T21:30:00Z\"}",
            cases[i].json);
        struct checked checked = checker_ask(place, &fixture, json, 1);
        print_message("%s: off by %.3f\n", cases[i].json, checked.off);
        assert_true(checked.fast);
        assert_int_equal(checked.approximate, cases[i].approximate);
        assert_true(checked.off <= cases[i].off);
    }
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(fast_answers_agree_with_a_recount),
        PLACE_TEST(approximations_are_called_so_and_are_near),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " rolled", tests, NULL, NULL);
}
