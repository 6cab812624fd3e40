/* SPDX-License-Identifier: Apache-2.0
 *
 * audience: exact counts and fair samples of what a publisher tells, also while the loop takes and clients
 * come and go.
 */
#include "audience.h"

#include "base/clock.h"
#include "base/test.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define NOW (INT64_C(1772366400) * US_PER_SECOND)

static struct event an_event(uint32_t tenant, uint64_t seq)
{
    return (struct event){.tenant = tenant,
                          .edge = SLICE("mx1"),
                          .seq = seq,
                          .ts = NOW - US_PER_SECOND / 2,
                          .hub_ts = NOW,
                          .stage = STAGE_RCPT,
                          .direction = DIRECTION_IN,
                          .first_of_message = true,
                          .recipients = 1,
                          .size = seq,
                          .sender = SLICE("ann\"@sender.example"),
                          .recipient = SLICE("u@example.com")};
}

static struct channel *joined(struct audience *audience, const char *json, uint32_t tenant)
{
    struct err err = {0};
    struct channel *channel = NULL;
    struct subscription subscription;
    if (subscription_parse(slice_of(json), tenant, &subscription, &err) != 0 ||
        audience_join(audience, &subscription, &channel, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    return channel;
}

static void counts_are_of_the_tenant_the_filter_and_the_second(void **state)
{
    (void)state;
    struct audience *audience;
    const struct slot *slot;
    assert_int_equal(audience_create(&audience), 0);
    struct channel *all = joined(audience, "{}", 7);
    struct channel *out =
        joined(audience, "{\"where\":[{\"column\":\"direction\",\"values\":[\"out\"]}],\"events\":false}", 7);
    struct channel *operator_ = joined(audience, "{}", 0);
    struct event rows[6];
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        rows[i] = an_event(7, i + 1);
    rows[1].direction = DIRECTION_OUT;
    rows[1].recipients = 0;
    rows[2].first_of_message = false;
    rows[3].ts = NOW - 3 * US_PER_SECOND;
    rows[4].ts = NOW - 6 * US_PER_SECOND; /* no news any more */
    rows[5].tenant = 8;
    audience_publish(audience, rows, ARRAY_LENGTH(rows), NOW);
    assert_true(channel_take(audience, all, &slot));
    assert_int_equal(slot->tally.matched, 4);
    assert_int_equal(slot->tally.late, 1);
    assert_int_equal(slot->tally.lag_us, 6 * US_PER_SECOND);
    assert_int_equal(slot->tally.second_count, 2);
    const struct tally_second *second = &slot->tally.seconds[0];
    assert_int_equal(second->second, NOW / US_PER_SECOND - 1);
    assert_int_equal(second->of[DIRECTION_IN].requests, 2);
    assert_int_equal(second->of[DIRECTION_IN].messages, 1);
    assert_int_equal(second->of[DIRECTION_IN].recipients, 2);
    assert_int_equal(second->of[DIRECTION_OUT].requests, 1);
    assert_int_equal(second->of[DIRECTION_OUT].recipients, 0);
    assert_int_equal(slot->tally.seconds[1].second, NOW / US_PER_SECOND - 3);
    assert_int_equal(slot->event_count, 4);
    assert_true(channel_take(audience, out, &slot));
    assert_int_equal(slot->tally.matched, 1);
    assert_int_equal(slot->event_count, 0);
    assert_true(channel_take(audience, operator_, &slot));
    assert_int_equal(slot->tally.matched, 5);
    assert_true(channel_take(audience, operator_, &slot)); /* and nothing twice */
    assert_int_equal(slot->tally.matched + slot->tally.late + slot->tally.second_count, 0);
    audience_leave(audience, &all);
    audience_leave(audience, &out);
    audience_leave(audience, &operator_);
    audience_destroy(&audience);
}

/* A thousand times ten of a hundred: each is shown about a hundred times. */
static void samples_are_fair_and_in_order(void **state)
{
    (void)state;
    enum { EVENTS = 100, ROUNDS = 1000, SHOWN = 10 };
    struct audience *audience;
    const struct slot *slot;
    unsigned seen[EVENTS] = {0};
    struct event rows[EVENTS];
    assert_int_equal(audience_create(&audience), 0);
    struct channel *channel = joined(audience, "{\"rate\":40}", 7);
    for (size_t i = 0; i < EVENTS; i++)
        rows[i] = an_event(7, i + 1);
    for (int round = 0; round < ROUNDS; round++) {
        audience_publish(audience, rows, EVENTS / 4, NOW);
        audience_publish(audience, rows + EVENTS / 4, EVENTS - EVENTS / 4, NOW);
        assert_true(channel_take(audience, channel, &slot));
        assert_int_equal(slot->event_count, SHOWN);
        assert_int_equal(slot->tally.matched, EVENTS);
        json_int_t before = 0;
        for (size_t i = 0; i < slot->event_count; i++) {
            json_error_t error;
            json_t *event = json_loadb(slot->events[i].json.p, slot->events[i].json.n, 0, &error);
            json_int_t size = json_integer_value(json_object_get(event, "size"));
            assert_true(size > before);
            assert_string_equal(json_string_value(json_object_get(event, "sender")), "ann\"@sender.example");
            assert_string_equal(json_string_value(json_object_get(event, "direction")), "in");
            assert_null(json_object_get(event, "queue_id"));
            assert_null(json_object_get(event, "tenant"));
            before = size;
            seen[size - 1]++;
            json_decref(event);
        }
    }
    for (size_t i = 0; i < EVENTS; i++) /* 6 deviations */
        assert_in_range(seen[i], ROUNDS * SHOWN / EVENTS - 57, ROUNDS * SHOWN / EVENTS + 57);
    audience_leave(audience, &channel);
    audience_destroy(&audience);
}

static void low_rates_leave_some_slots_without(void **state)
{
    (void)state;
    struct audience *audience;
    const struct slot *slot;
    size_t shown = 0;
    struct event row = an_event(7, 1);
    assert_int_equal(audience_create(&audience), 0);
    struct channel *channel = joined(audience, "{\"rate\":3}", 7);
    for (int i = 0; i < 40; i++) {
        audience_publish(audience, &row, 1, NOW);
        assert_true(channel_take(audience, channel, &slot));
        shown += slot->event_count;
    }
    assert_int_equal(shown, 30);
    audience_leave(audience, &channel);
    audience_destroy(&audience);
}

/* 8 KiB of text don't fit: the event counts, and isn't shown. */
static void what_is_too_long_is_not_shown(void **state)
{
    (void)state;
    struct audience *audience;
    const struct slot *slot;
    static char text[AUDIENCE_EVENT_BYTES];
    memset(text, 'x', sizeof text);
    struct event row = an_event(7, 1);
    row.helo_name = (struct slice){text, sizeof text};
    assert_int_equal(audience_create(&audience), 0);
    struct channel *channel = joined(audience, "{}", 7);
    audience_publish(audience, &row, 1, NOW);
    assert_true(channel_take(audience, channel, &slot));
    assert_int_equal(slot->tally.matched, 1);
    assert_int_equal(slot->event_count, 0);
    audience_leave(audience, &channel);
    audience_destroy(&audience);
}

static void the_same_share_and_others_are_bounded(void **state)
{
    (void)state;
    struct audience *audience;
    struct channel *channels[AUDIENCE_OF_TENANT], *again, *other;
    struct subscription subscription;
    struct err err = {0};
    char json[64];
    assert_int_equal(audience_create(&audience), 0);
    for (int i = 0; i < AUDIENCE_OF_TENANT; i++) {
        (void)snprintf(json, sizeof json, "{\"rate\":%d}", i + 1);
        channels[i] = joined(audience, json, 7);
    }
    again = joined(audience, "{\"rate\":1}", 7);
    assert_ptr_equal(again, channels[0]);
    assert_int_equal(subscription_parse(SLICE("{\"rate\":99}"), 7, &subscription, &err), 0);
    assert_int_equal(audience_join(audience, &subscription, &other, &err), ERR_LIMIT);
    assert_non_null(strstr(err.detail, "too many different subscriptions"));
    other = joined(audience, "{\"rate\":99}", 8);
    audience_leave(audience, &again);
    again = joined(audience, "{\"rate\":1}", 7); /* still there for the first one */
    assert_ptr_equal(again, channels[0]);
    audience_leave(audience, &again);
    for (int i = 0; i < AUDIENCE_OF_TENANT; i++)
        audience_leave(audience, &channels[i]);
    again = joined(audience, "{\"rate\":99}", 7); /* there is room again */
    audience_leave(audience, &again);
    audience_leave(audience, &other);
    audience_destroy(&audience);
}

struct race {
    struct audience *audience;
    atomic_bool done;
    uint64_t published;
};

static void *publish(void *arg)
{
    struct race *race = arg;
    struct event rows[64];
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        rows[i] = an_event(7 + (uint32_t)(i % 2), i + 1);
    for (int i = 0; i < 2000; i++) {
        audience_publish(race->audience, rows, ARRAY_LENGTH(rows), NOW);
        race->published += ARRAY_LENGTH(rows) / 2;
    }
    race->done = true;
    return NULL;
}

/* A channel that was there from the beginning counts everything, whoever else comes and goes. */
static void nothing_is_lost_between_two_threads(void **state)
{
    (void)state;
    struct race race = {.done = false};
    const struct slot *slot;
    uint64_t counted = 0;
    pthread_t thread;
    assert_int_equal(audience_create(&race.audience), 0);
    struct channel *steady = joined(race.audience, "{}", 7);
    assert_int_equal(pthread_create(&thread, NULL, publish, &race), 0);
    bool done = false;
    while (!done) {
        done = race.done;
        struct channel *passing = joined(race.audience, "{\"rate\":1}", 8);
        if (channel_take(race.audience, passing, &slot))
            assert_true(slot->event_count <= 1);
        if (channel_take(race.audience, steady, &slot))
            counted += slot->tally.matched;
        audience_leave(race.audience, &passing);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(channel_take(race.audience, steady, &slot));
    counted += slot->tally.matched;
    assert_int_equal(counted, race.published);
    audience_leave(race.audience, &steady);
    audience_destroy(&race.audience);
}

static void seconds_are_bounded_and_nothing_is_lost(void **state)
{
    (void)state;
    static struct tally tally, more;
    struct event event = an_event(7, 1);
    for (int i = 0; i < 3 * TALLY_SECONDS; i++)
        tally_add(&tally, &event, i);
    assert_int_equal(tally.second_count, TALLY_SECONDS);
    tally_add(&more, &event, 5);
    tally_merge(&tally, &more);
    uint64_t sum = 0;
    for (size_t i = 0; i < tally.second_count; i++)
        sum += tally_sum(&tally.seconds[i]).requests;
    assert_int_equal(sum, 3 * TALLY_SECONDS + 1);
    assert_int_equal(tally.matched, sum);
    assert_int_equal(tally.seconds[5].of[DIRECTION_IN].requests, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_of_the_tenant_the_filter_and_the_second),
        cmocka_unit_test(samples_are_fair_and_in_order),
        cmocka_unit_test(low_rates_leave_some_slots_without),
        cmocka_unit_test(what_is_too_long_is_not_shown),
        cmocka_unit_test(the_same_share_and_others_are_bounded),
        cmocka_unit_test(nothing_is_lost_between_two_threads),
        cmocka_unit_test(seconds_are_bounded_and_nothing_is_lost),
    };
    return cmocka_run_group_tests_name("hub/audience", tests, NULL, NULL);
}
