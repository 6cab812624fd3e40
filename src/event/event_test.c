/* SPDX-License-Identifier: Apache-2.0
 *
 * event: from requests to rows: the samples of a real Postfix, each column's absence, what goes to extra,
 * times, identities, and a batch's limits.
 */
#include "base/buf.h"
#include "base/test.h"
#include "event/event.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define REQ "request=smtpd_access_policy\n"

static const struct event_origin origin = {
    .tenant = 7,
    .edge = {"mx1", 3},
    .epoch = {{1, 2, 3}},
    .seq = 42,
    .edge_ts = 1700000000000000,
    .hub_ts = 1700000000500000,
};

/* The event of a request's text, in a batch of its own; the caller destroys the batch. */
static struct event *make(struct event_batch **batch, struct slice text)
{
    struct policy_request request;
    struct event *event = NULL;
    const char *why = "";
    if (policy_parse(text, &request, &why) != 0)
        fail_msg("%s", why);
    assert_int_equal(event_batch_create(batch, 4, 0), 0);
    assert_int_equal(event_from_request(*batch, &origin, &request, &event), 0);
    assert_ptr_equal(event, event_batch_rows(*batch));
    return event;
}

static void assert_text(const char *what, struct slice got, const char *want)
{
    if ((want == NULL) != (got.p == NULL) || (want != NULL && !slice_equal(got, slice_of(want))))
        fail_msg("%s: '%.*s', want '%s'", what, (int)got.n, got.p != NULL ? got.p : "",
                 want != NULL ? want : "(absent)");
}

static struct slice sample(struct buf *buf, size_t index)
{
    FILE *f = fopen(SAMPLES "/policy-requests.txt", "r");
    char line[4096];
    assert_non_null(f);
    buf_init(buf, 1 << 20);
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '#')
            assert_int_equal(buf_add(buf, line, strlen(line)), 0);
    (void)fclose(f);
    struct slice rest = buf_slice(buf);
    size_t used = 0;
    for (size_t i = 0; i <= index; i++) {
        rest = (struct slice){rest.p + used, rest.n - used};
        assert_int_equal(policy_frame(rest, NULL, &used, NULL), 0);
    }
    return (struct slice){rest.p, used};
}

static void a_real_recipient(void **state)
{
    (void)state;
    struct buf buf;
    struct event_batch *batch;
    struct ip ip;
    struct event *e = make(&batch, sample(&buf, 4));
    assert_int_equal(e->tenant, 7);
    assert_int_equal(e->seq, 42);
    assert_int_equal(e->epoch.b[2], 3);
    assert_text("edge", e->edge, "mx1");
    assert_int_equal(e->stage, STAGE_RCPT);
    assert_int_equal(ip_parse(SLICE("2001:db8::25"), &ip), 0);
    assert_int_equal(ip_compare(&e->client_address, &ip), 0);
    assert_int_equal(e->client_port, 42780);
    assert_int_equal(e->server_port, 587);
    assert_text("helo_name", e->helo_name, "[198.51.100.4]");
    assert_text("sasl_username", e->sasl_username, "alice");
    assert_text("sender_domain", e->sender_domain, "example.com");
    assert_text("recipient_domain", e->recipient_domain, "example.net");
    assert_text("queue_id", e->queue_id, NULL);
    assert_text("extra", e->extra, NULL);
    assert_int_equal(e->size, 0);
    assert_int_equal(e->direction, DIRECTION_ABSENT);
    assert_false(e->text_escaped);
    event_batch_destroy(&batch);
    buf_fini(&buf);
}

static void a_real_end_of_message(void **state)
{
    (void)state;
    struct buf buf;
    struct event_batch *batch;
    struct event *e = make(&batch, sample(&buf, 3));
    assert_int_equal(e->stage, STAGE_END_OF_MESSAGE);
    assert_int_equal(e->size, 268);
    assert_int_equal(e->recipient_count, 2);
    assert_text("recipient", e->recipient, NULL);
    assert_text("recipient_domain", e->recipient_domain, NULL);
    assert_text("queue_id", e->queue_id, "72020A72347");
    assert_text("extra", e->extra, NULL);
    event_batch_destroy(&batch);
    buf_fini(&buf);
}

static void domains_of_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address, *domain;
    } cases[] = {
        {"a@example.org", "example.org"},
        {"a@EXAMPLE.Org", "example.org"},
        {"\"a@b\"@c.test", "c.test"},
        {"a@[192.0.2.1]", "[192.0.2.1]"},
        {"a@[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"},
        {"postmaster", NULL},
        {"a@", NULL},
        {"@x.test", "x.test"},
        {"a@b\xc3\xbc"
         "cher.TEST",
         "b\xc3\xbc"
         "cher.test"},
        {"a@\xff"
         "X.test",
         "\\xffx.test"},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event_batch *batch;
        char text[512];
        (void)snprintf(text, sizeof text, REQ "sender=%s\nrecipient=%s\n\n", cases[i].address,
                       cases[i].address);
        struct event *e = make(&batch, slice_of(text));
        assert_text(cases[i].address, e->sender_domain, cases[i].domain);
        assert_text(cases[i].address, e->recipient_domain, cases[i].domain);
        event_batch_destroy(&batch);
    }
}

static void what_columns_cannot_hold_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *extra;
    } cases[] = {
        {"size=\nsize=\n", "{\"size\":\"\"}"},
        {"size=0\nrecipient_count=0\nencryption_keysize=0\n", NULL},
        {"size=18446744073709551615\n", NULL},
        {"size=18446744073709551616\n", "{\"size\":\"18446744073709551616\"}"},
        {"size=-1\n", "{\"size\":\"-1\"}"},
        {"recipient_count=4294967296\n", "{\"recipient_count\":\"4294967296\"}"},
        {"client_port=65535\n", NULL},
        {"client_port=65536\n", "{\"client_port\":\"65536\"}"},
        {"client_port=12ab\nclient_port=x\n", "{\"client_port\":[\"12ab\",\"x\"]}"},
        {"client_address=unknown\n", "{\"client_address\":\"unknown\"}"},
        {"client_address=::\n", "{\"client_address\":\"::\"}"},
        {"client_address=2001:DB8::1\n", "{\"client_address\":\"2001:DB8::1\"}"},
        {"client_address=::ffff:192.0.2.1\n", "{\"client_address\":\"::ffff:192.0.2.1\"}"},
        {"client_address=192.0.2.1\nserver_address=2001:db8::1\n", NULL},
        {"new=1\nother=\nnew=2\n", "{\"new\":[\"1\",\"2\"],\"other\":\"\"}"},
        {"sender=a\nsender=b\nsender=c\n", "{\"sender\":[\"b\",\"c\"]}"},
        {"protocol_state=BDAT\n", "{\"protocol_state\":\"BDAT\"}"},
        {"protocol_state=rcpt\n", "{\"protocol_state\":\"rcpt\"}"},
        {"request=smtpd_access_policy\n", NULL},
        {"request=other\n", "{\"request\":\"other\"}"},
        {"x=\"\\\x01\x7f/\t\n", "{\"x\":\"\\\"\\\\\\u0001\x7f/\\u0009\"}"},
        {"x=\xc3\xa9\xff\n", "{\"x\":\"\xc3\xa9\\\\xff\"}"},
        {"\xff=1\n", "{\"\\\\xff\":\"1\"}"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event_batch *batch;
        char text[512];
        (void)snprintf(text, sizeof text, REQ "%s\n", cases[i].lines);
        struct event *e = make(&batch, slice_of(text));
        assert_text(cases[i].lines, e->extra, cases[i].extra);
        if (strchr(cases[i].lines, '\xff') != NULL)
            assert_true(e->text_escaped);
        if (e->extra.n > 0) {
            json_t *json = json_loadb(e->extra.p, e->extra.n, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(json);
            json_decref(json);
        }
        event_batch_destroy(&batch);
    }
}

static void a_request_of_an_unexpected_kind_is_kept(void **state)
{
    (void)state;
    struct event_batch *batch;
    struct event *e = make(&batch, SLICE("request=first\n" REQ "\n"));
    assert_text("extra", e->extra, "{\"request\":\"first\"}");
    event_batch_destroy(&batch);
}

static void every_attribute_has_a_column_or_lands_in_extra(void **state)
{
    (void)state;
    for (enum policy_attr attr = 0; attr < POLICY_ATTR_COUNT; attr++) {
        struct event_batch *batch;
        char text[256], member[80];
        const char *name = policy_attr_name(attr);
        if (attr == POLICY_ATTR_request)
            continue;                                              /* has its own test */
        (void)snprintf(text, sizeof text, REQ "%s=7x!\n\n", name); /* no number, no address, no stage */
        struct event *e = make(&batch, slice_of(text));
        (void)snprintf(member, sizeof member, "{\"%s\":\"7x!\"}", name);
        enum column column;
        if (event_column(slice_of(name), &column) == 0 && event_columns[column].type == TYPE_TEXT) {
            struct slice *field = (struct slice *)(void *)((char *)e + event_columns[column].offset);
            assert_text(name, *field, "7x!");
            assert_string_equal(event_columns[column].source, "postfix");
        } else {
            assert_text(name, e->extra, member);
        }
        event_batch_destroy(&batch);
    }
}

static void raw_bytes_are_escaped_and_flagged(void **state)
{
    (void)state;
    struct event_batch *batch;
    struct event *e = make(&batch, SLICE(REQ "helo_name=\xe9t\xe9\nsender=caf\xc3\xa9@x.test\n\n"));
    assert_text("helo_name", e->helo_name, "\\xe9t\\xe9");
    assert_text("sender", e->sender, "caf\xc3\xa9@x.test");
    assert_true(e->text_escaped);
    event_batch_destroy(&batch);
    e = make(&batch, SLICE(REQ "sender=caf\xc3\xa9-and-more-bytes@x.test\n\n"));
    assert_false(e->text_escaped);
    event_batch_destroy(&batch);
}

static void clocks(void **state)
{
    (void)state;
    const int64_t s = 1000000, t = 1700000000 * s;
    static const struct policy_request empty;
    const struct {
        const char *name;
        int64_t edge_ts, hub_ts, offset, ts;
        bool corrected;
    } cases[] = {
        {"exact", t, t, 0, t, false},
        {"two seconds ahead", t, t, 2 * s, t, false},
        {"more than two ahead", t, t, 2 * s + 1, t - 2 * s - 1, true},
        {"two behind", t, t, -2 * s, t, false},
        {"an hour behind", t, t + 3600 * s, -3600 * s, t + 3600 * s, true},
        {"late delivery is no wrong clock", t, t + 86400 * s, 0, t, false},
        {"before 1970", -5, t, 0, t, true},
        {"beyond the year 9999", INT64_MAX, t, 0, t, true},
        {"offset that overflows", t, t, INT64_MIN, t, true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event_batch *batch;
        struct event *e;
        struct event_origin o = origin;
        o.edge_ts = cases[i].edge_ts;
        o.hub_ts = cases[i].hub_ts;
        o.clock_offset_us = cases[i].offset;
        assert_int_equal(event_batch_create(&batch, 1, 0), 0);
        assert_int_equal(event_from_request(batch, &o, &empty, &e), 0);
        if (e->ts != cases[i].ts || e->ts_corrected != cases[i].corrected)
            fail_msg("%s: ts %ld corrected %d", cases[i].name, (long)e->ts, e->ts_corrected);
        assert_in_range(e->edge_ts, 0, EVENT_TS_MAX);
        event_batch_destroy(&batch);
    }
}

static bool same(struct id128 a, struct id128 b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

static void message_identity(void **state)
{
    (void)state;
    struct event_origin other_edge = origin, other_tenant = origin, other_seq = origin, other_epoch = origin;
    other_edge.edge = SLICE("mx2");
    other_tenant.tenant++;
    other_seq.seq = 43;
    other_epoch.epoch.b[0] = 9;
    struct slice instance = SLICE("5863.6b0336b7.70396.0"), none = {NULL, 0};
    struct id128 id = event_message_id(&origin, instance), alone = event_message_id(&origin, none);
    assert_true(same(event_message_id(&other_seq, instance), id)); /* survives a restart of the edge */
    assert_true(same(event_message_id(&other_epoch, instance), id));
    assert_false(same(event_message_id(&other_edge, instance), id));
    assert_false(same(event_message_id(&other_tenant, instance), id));
    assert_false(same(event_message_id(&origin, SLICE("5863.6b0336b7.70396.1")), id));
    /* without an instance each is its own */
    assert_false(same(event_message_id(&other_seq, none), alone));
    assert_false(same(event_message_id(&other_tenant, none), alone));
    assert_false(same(event_message_id(&other_epoch, none), alone));
    char hex[33]; /* never changes: rows of all times are joined by it */
    text_to_hex(id.b, 16, hex);
    assert_string_equal(hex, "3cf1eaadb0f4ec01c9b2a8a1931ec6c8");
}

static void a_full_batch_says_so_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct event_batch *batch;
    struct event *e;
    struct policy_request r;
    assert_int_equal(policy_parse(SLICE(REQ "sender=A@B.test\n\n"), &r, NULL), 0);
    assert_int_equal(event_batch_create(&batch, 2, 0), 0);
    assert_int_equal(event_from_request(batch, &origin, &r, &e), 0);
    assert_int_equal(event_from_request(batch, &origin, &r, &e), 0);
    assert_int_equal(event_from_request(batch, &origin, &r, &e), ERR_LIMIT);
    assert_int_equal(event_batch_count(batch), 2);
    event_batch_pop(batch);
    assert_int_equal(event_batch_count(batch), 1);
    assert_int_equal(event_from_request(batch, &origin, &r, &e), 0);
    assert_text("edge", event_batch_rows(batch)[0].edge, "mx1");
    assert_text("edge", event_batch_rows(batch)[1].edge, "mx1");
    assert_text("domain", event_batch_rows(batch)[1].sender_domain, "b.test");
    event_batch_destroy(&batch);
    assert_null(batch);
}

/* The worst requests: everything has to be escaped; all in unknown attributes, or all in known ones. */
static void an_empty_batch_takes_any_request(void **state)
{
    (void)state;
    static const char *names[2] = {"sender", "unknown"};
    for (size_t i = 0; i < 2; i++) {
        struct buf buf;
        buf_init(&buf, POLICY_REQUEST_BYTES);
        assert_int_equal(buf_add_slice(&buf, SLICE(REQ)), 0);
        for (size_t line = 0; line < 4; line++) {
            static const char *known[4] = {"sender", "recipient", "helo_name", "instance"};
            assert_int_equal(buf_addf(&buf, "%s=@", i == 0 ? known[line] : names[i]), 0);
            assert_int_equal(buf_reserve(&buf, 8000), 0);
            memset(buf.p + buf.n, i == 0 ? '\xff' : '\x01', 7999);
            buf.p[buf.n + 7998] = 'X';
            buf.n += 7999;
            assert_int_equal(buf_addf(&buf, "\n"), 0);
        }
        struct event_batch *batch;
        struct event *e = make(&batch, buf_slice(&buf));
        if (i == 0)
            assert_int_equal(e->recipient_domain.n, 7998 * 4 + 1);
        else /* 8000 bytes become 48,000: one fits the array's bound, an array of four does not */
            assert_text("extra", e->extra, "{\"...\":\"4\"}");
        event_batch_destroy(&batch);
        buf_fini(&buf);
    }
}

static void text_space_runs_out_before_rows_do(void **state)
{
    (void)state;
    struct event_batch *batch;
    struct policy_request r;
    struct event *e;
    struct buf buf;
    buf_init(&buf, POLICY_REQUEST_BYTES);
    assert_int_equal(buf_addf(&buf, REQ "sender=%08000d\n\n", 1), 0);
    assert_int_equal(policy_parse(buf_slice(&buf), &r, NULL), 0);
    assert_int_equal(event_batch_create(&batch, 1000, 0), 0);
    size_t count = 0;
    int rc;
    while ((rc = event_from_request(batch, &origin, &r, &e)) == 0)
        count++;
    assert_int_equal(rc, ERR_LIMIT);
    assert_int_equal(count, EVENT_TEXT_BYTES / 8000);
    assert_int_equal(event_batch_count(batch), count);
    assert_int_equal(event_batch_rows(batch)[count - 1].sender.n, 8000);
    event_batch_clear(batch);
    assert_int_equal(event_from_request(batch, &origin, &r, &e), 0);
    event_batch_destroy(&batch);
    buf_fini(&buf);
}

static void names_of_columns_stages_directions(void **state)
{
    (void)state;
    enum column column;
    enum stage stage;
    enum direction direction;
    for (enum column c = 0; c < COLUMN_COUNT; c++) {
        assert_int_equal(event_column(slice_of(event_columns[c].name), &column), 0);
        assert_int_equal(column, c);
    }
    assert_int_equal(event_column(SLICE("size "), &column), ERR_NOT_FOUND);
    for (enum stage s = 0; s < STAGE_COUNT; s++) {
        assert_int_equal(event_stage_parse(slice_of(event_stage_name(s)), &stage), 0);
        assert_int_equal(stage, s);
    }
    for (enum direction d = 0; d < DIRECTION_COUNT; d++) {
        assert_int_equal(event_direction_parse(slice_of(event_direction_name(d)), &direction), 0);
        assert_int_equal(direction, d);
    }
    assert_int_equal(event_stage_parse(SLICE("rcpt"), &stage), ERR_NOT_FOUND);
    assert_int_equal(event_direction_parse(SLICE("IN"), &direction), ERR_NOT_FOUND);
    assert_string_equal(event_stage_name(STAGE_END_OF_MESSAGE), "END-OF-MESSAGE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_recipient),
        cmocka_unit_test(a_real_end_of_message),
        cmocka_unit_test(domains_of_addresses),
        cmocka_unit_test(what_columns_cannot_hold_is_kept),
        cmocka_unit_test(a_request_of_an_unexpected_kind_is_kept),
        cmocka_unit_test(every_attribute_has_a_column_or_lands_in_extra),
        cmocka_unit_test(raw_bytes_are_escaped_and_flagged),
        cmocka_unit_test(clocks),
        cmocka_unit_test(message_identity),
        cmocka_unit_test(a_full_batch_says_so_and_keeps_what_it_has),
        cmocka_unit_test(an_empty_batch_takes_any_request),
        cmocka_unit_test(text_space_runs_out_before_rows_do),
        cmocka_unit_test(names_of_columns_stages_directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
