/* SPDX-License-Identifier: Apache-2.0
 *
 * consolidate: scripts of events, one line each, with what each must become.
 */
#include "base/test.h"
#include "enrich/consolidate/consolidate.h"

#include <stdio.h>
#include <stdlib.h>

enum { IN = DIRECTION_IN, OUT = DIRECTION_OUT, UNKNOWN = DIRECTION_UNKNOWN, MIXED = DIRECTION_ABSENT };

struct line {
    /* what comes: epoch (a digit), seq, instance, stage, recipient, recipient_count, direction by classify */
    uint8_t epoch;
    uint64_t seq;
    const char *instance;
    enum stage stage;
    const char *recipient;
    uint32_t count;
    int direction;
    /* what must come of it */
    bool first;
    uint64_t retry_of;
    uint32_t recipients;
    int then;
};

static struct event make(const struct line *l, int64_t hub_ts)
{
    struct event e = {.seq = l->seq,
                      .hub_ts = hub_ts,
                      .stage = (event_stage)l->stage,
                      .direction = (event_direction)l->direction,
                      .instance = slice_of(l->instance),
                      .recipient = slice_of(l->recipient),
                      .recipient_count = l->count};
    e.epoch.b[0] = l->epoch;
    struct event_origin origin = {.edge = SLICE("mx1"), .epoch = e.epoch, .seq = l->seq};
    e.message_id = event_message_id(&origin, e.instance);
    return e;
}

static void feed(struct consolidate *c, const char *name, const struct line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct line *l = &lines[i];
        struct event e = make(l, 1700000000000000);
        consolidate_event(c, &e);
        if (e.first_of_message != l->first || e.retry_of != l->retry_of || e.recipients != l->recipients ||
            e.direction != l->then)
            fail_msg("%s, line %zu: first %d retry_of %lu recipients %u direction '%s'", name, i,
                     e.first_of_message, (unsigned long)e.retry_of, e.recipients,
                     event_direction_name(e.direction));
    }
}

#define EOM STAGE_END_OF_MESSAGE
static const struct line usual[] = {
    {1, 1, "", STAGE_CONNECT, "", 0, UNKNOWN, false, 0, 0, UNKNOWN},
    {1, 2, "", STAGE_EHLO, "", 0, UNKNOWN, false, 0, 0, UNKNOWN},
    {1, 3, "", STAGE_MAIL, "", 0, UNKNOWN, false, 0, 0, UNKNOWN},
    {1, 4, "a.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 5, "a.1", STAGE_RCPT, "u2@x", 0, IN, false, 0, 1, IN},
    {1, 6, "a.1", STAGE_VRFY, "u2@x", 0, IN, false, 0, 0, IN},
    {1, 7, "a.1", STAGE_DATA, "", 2, UNKNOWN, false, 0, 0, IN},
    {1, 8, "a.1", EOM, "", 2, UNKNOWN, false, 0, 0, IN},
    {1, 9, "", STAGE_VRFY, "u@x", 0, IN, false, 0, 0, IN},
    {1, 10, "", STAGE_ETRN, "", 0, UNKNOWN, false, 0, 0, UNKNOWN},
};
static const struct line mixed[] = {
    {1, 1, "a.1", STAGE_RCPT, "u1@x", 0, OUT, true, 0, 1, OUT},
    {1, 2, "a.1", STAGE_RCPT, "u2@y", 0, DIRECTION_INTERNAL, false, 0, 1, DIRECTION_INTERNAL},
    {1, 3, "a.1", STAGE_DATA, "", 2, UNKNOWN, false, 0, 0, MIXED},
    {1, 4, "a.1", EOM, "", 2, UNKNOWN, false, 0, 0, MIXED},
};
static const struct line one_accepted_of_two[] = {
    {1, 1, "a.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 2, "a.1", STAGE_RCPT, "u2@y", 0, DIRECTION_RELAY, false, 0, 1, DIRECTION_RELAY},
    {1, 3, "a.1", EOM, "u1@x", 1, IN, false, 0, 0, IN},
};
static const struct line end_only[] = {
    {1, 1, "a.1", EOM, "", 3, UNKNOWN, true, 0, 3, UNKNOWN},
    {1, 2, "a.2", EOM, "u@x", 1, IN, true, 0, 1, IN},
    {1, 3, "a.3", EOM, "u@x", 0, IN, true, 0, 1, IN}, /* no recipient_count: Postfix before 2.3 */
    {1, 4, "a.4", EOM, "", 0, UNKNOWN, true, 0, 0, UNKNOWN},
};
static const struct line end_retried[] = {
    {1, 1, "a.1", EOM, "", 3, UNKNOWN, true, 0, 3, UNKNOWN},
    {1, 2, "a.1", EOM, "", 3, UNKNOWN, false, 1, 0, UNKNOWN},
};
static const struct line data_only[] = {
    {1, 1, "a.1", STAGE_DATA, "", 2, UNKNOWN, true, 0, 0, UNKNOWN},
    {1, 2, "a.1", STAGE_DATA, "", 2, UNKNOWN, false, 1, 0, UNKNOWN},
    {1, 3, "a.2", STAGE_DATA, "u@x", 1, IN, true, 0, 0, IN},
};
static const struct line data_and_end[] = {
    {1, 1, "a.1", STAGE_DATA, "", 2, UNKNOWN, true, 0, 0, UNKNOWN},
    {1, 2, "a.1", EOM, "", 2, UNKNOWN, false, 0, 2, UNKNOWN},
};
static const struct line retries[] = {
    {1, 1, "a.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 2, "a.1", STAGE_RCPT, "u1@x", 0, IN, false, 1, 0, IN},
    {1, 3, "a.1", STAGE_RCPT, "u2@x", 0, IN, false, 0, 1, IN},
    {1, 4, "a.1", STAGE_RCPT, "u1@x", 0, IN, false, 1, 0, IN}, /* of the first one, not of the second */
    {1, 5, "a.1", STAGE_RCPT, "U1@x", 0, IN, false, 0, 1, IN}, /* another text */
    {1, 6, "a.1", STAGE_DATA, "", 2, UNKNOWN, false, 0, 0, IN},
    {1, 7, "a.1", STAGE_DATA, "", 2, UNKNOWN, false, 6, 0, IN},
};
static const struct line retry_across_a_restart[] = {
    {1, 900, "a.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {2, 1, "a.1", STAGE_RCPT, "u1@x", 0, IN, false, 900, 0, IN},
    {2, 2, "a.1", EOM, "", 1, UNKNOWN, false, 0, 0, IN},
    {3, 900, "a.1", STAGE_RCPT, "u1@x", 0, IN, false, 900, 0, IN}, /* the same seq, yet another event */
};
static const struct line interleaved[] = {
    {1, 1, "a.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 2, "b.1", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 3, "a.1", STAGE_RCPT, "u2@x", 0, OUT, false, 0, 1, OUT},
    {1, 4, "b.1", EOM, "", 1, UNKNOWN, false, 0, 0, IN},
    {1, 5, "a.1", EOM, "", 2, UNKNOWN, false, 0, 0, MIXED},
    {1, 6, "a.2", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN}, /* the next message of the session */
};
static const struct line mail_with_instance[] = {
    {1, 1, "a.1", STAGE_MAIL, "", 0, UNKNOWN, true, 0, 0, UNKNOWN},
    {1, 2, "a.1", STAGE_MAIL, "", 0, UNKNOWN, false, 1, 0, UNKNOWN},
    {1, 3, "a.1", STAGE_RCPT, "u1@x", 0, IN, false, 0, 1, IN},
};
static const struct line without_instance[] = {
    {1, 1, "", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 2, "", STAGE_RCPT, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 3, "", EOM, "u1@x", 0, IN, true, 0, 1, IN},
    {1, 4, "", STAGE_MAIL, "", 0, UNKNOWN, false, 0, 0, UNKNOWN},
};
static const struct line other_stage[] = {{1, 1, "a.1", STAGE_OTHER, "u@x", 0, IN, false, 0, 0, IN}};

static const struct {
    const char *name;
    const struct line *lines;
    size_t count;
} scripts[] = {
#define SCRIPT(name)                                                                                         \
    {                                                                                                        \
#name, name, ARRAY_LENGTH(name)                                                                      \
    }
    SCRIPT(usual),
    SCRIPT(mixed),
    SCRIPT(one_accepted_of_two),
    SCRIPT(end_only),
    SCRIPT(end_retried),
    SCRIPT(data_only),
    SCRIPT(data_and_end),
    SCRIPT(retries),
    SCRIPT(retry_across_a_restart),
    SCRIPT(interleaved),
    SCRIPT(mail_with_instance),
    SCRIPT(without_instance),
    SCRIPT(other_stage),
};

static void scripts_of_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(scripts); i++) {
        struct consolidate *c;
        assert_int_equal(consolidate_create(&c, 100), 0);
        feed(c, scripts[i].name, scripts[i].lines, scripts[i].count);
        consolidate_destroy(&c);
        assert_null(c);
    }
}

/* Everything fed, then everything from each line on once more, as after a rewind. */
static void a_rewind_answers_alike(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(scripts); i++)
        for (size_t cut = 0; cut < scripts[i].count; cut++) {
            struct consolidate *c;
            assert_int_equal(consolidate_create(&c, 100), 0);
            feed(c, scripts[i].name, scripts[i].lines, scripts[i].count);
            feed(c, scripts[i].name, scripts[i].lines + cut, scripts[i].count - cut);
            consolidate_destroy(&c);
        }
}

static void idle_messages_are_forgotten(void **state)
{
    (void)state;
    static const struct line rcpt = {
        .epoch = 1, .seq = 1, .instance = "a", .stage = STAGE_RCPT, .recipient = "u@x"};
    static const struct line again = {
        .epoch = 1, .seq = 2, .instance = "a", .stage = STAGE_RCPT, .recipient = "u@x"};
    static const struct line other = {
        .epoch = 1, .seq = 3, .instance = "b", .stage = STAGE_RCPT, .recipient = "u@x"};
    struct consolidate *c;
    assert_int_equal(consolidate_create(&c, 100), 0);
    int64_t t = 1700000000000000;
    struct event e = make(&rcpt, t);
    consolidate_event(c, &e);
    e = make(&again, t + CONSOLIDATE_IDLE_US); /* at the limit: still known, and seen again */
    consolidate_event(c, &e);
    assert_int_equal(e.retry_of, 1);
    e = make(&other, t + 2 * CONSOLIDATE_IDLE_US + 1);
    consolidate_event(c, &e);
    assert_int_equal(consolidate_messages(c), 1);
    e = make(&again, t + 2 * CONSOLIDATE_IDLE_US + 2);
    consolidate_event(c, &e);
    assert_int_equal(e.retry_of, 0);
    assert_true(e.first_of_message);
    consolidate_destroy(&c);
}

/* More messages than fit, then more requests of one message than fit: bounded, and the newest stay known. */
static void memory_is_bounded(void **state)
{
    (void)state;
    enum { MAX = 64 };
    struct consolidate *c;
    char instance[32], recipient[32];
    assert_int_equal(consolidate_create(&c, MAX), 0);
    for (uint64_t i = 1; i <= 10 * MAX; i++) {
        (void)snprintf(instance, sizeof instance, "m%lu", (unsigned long)i);
        struct line l = {.epoch = 1, .seq = i, .instance = instance, .stage = STAGE_RCPT, .recipient = "u@x"};
        struct event e = make(&l, 1700000000000000);
        consolidate_event(c, &e);
        assert_true(e.first_of_message);
        assert_in_range(consolidate_messages(c), 1, MAX);
        l.seq += 100000;
        e = make(&l, 1700000000000000);
        consolidate_event(c, &e);
        assert_int_equal(e.retry_of, i);
    }
    for (uint64_t i = 1; i <= 10 * MAX; i++) {
        (void)snprintf(recipient, sizeof recipient, "u%lu@x", (unsigned long)i);
        struct line l = {
            .epoch = 1, .seq = i, .instance = "big", .stage = STAGE_RCPT, .recipient = recipient};
        struct event e = make(&l, 1700000000000000);
        consolidate_event(c, &e);
        assert_int_equal(e.first_of_message, i == 1);
        assert_int_equal(e.retry_of, 0);
        assert_int_equal(e.recipients, 1);
    }
    assert_int_equal(consolidate_messages(c), 1); /* it pushed all others out */
    consolidate_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_of_events),
        cmocka_unit_test(a_rewind_answers_alike),
        cmocka_unit_test(idle_messages_are_forgotten),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
