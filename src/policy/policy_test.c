/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: requests of a real Postfix 3.7 (tests/samples), garbage and limits, split in every way.
 */
#include "base/buf.h"
#include "base/test.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define REQ "request=smtpd_access_policy\n"

/* The sample file without its comment lines: what Postfix sent, requests back to back. */
static void load_samples(struct buf *out)
{
    FILE *f = fopen(SAMPLES "/policy-requests.txt", "r");
    assert_non_null(f);
    char line[4096];
    buf_init(out, 1 << 20);
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '#')
            assert_int_equal(buf_add(out, line, strlen(line)), 0);
    (void)fclose(f);
}

/* Frames the same bytes whole and byte by byte; both must agree. The rc of the last call comes back. */
static int frame_both_ways(struct slice bytes, size_t *used, const char **why)
{
    int whole = policy_frame(bytes, NULL, used, why);
    size_t seen = 0, dripped_used = 0;
    int rc = ERR_MORE;
    for (size_t n = 0; n <= bytes.n && rc == ERR_MORE; n++)
        rc = policy_frame((struct slice){bytes.p, n}, &seen, &dripped_used, NULL);
    assert_int_equal(rc, whole);
    if (rc == 0) {
        assert_int_equal(dripped_used, *used);
        assert_int_equal(seen, 0);
    }
    return whole;
}

static void garbage_and_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct slice in;
        int frame, parse;
        size_t used;
    } cases[] = {
        {"nothing", SLICE(""), ERR_MORE, ERR_INVALID, 0},
        {"least", SLICE(REQ "\n"), 0, 0, sizeof REQ},
        {"request not first", SLICE("a=b\n" REQ "\n"), 0, 0, sizeof REQ + 4},
        {"request last of two", SLICE("request=other\n" REQ "\n"), 0, 0, sizeof REQ + 14},
        {"no empty line yet", SLICE(REQ), ERR_MORE, 0, 0},
        {"half a line", SLICE(REQ "sender=a"), ERR_MORE, ERR_INVALID, 0},
        {"next one follows", SLICE(REQ "\nrequ"), 0, ERR_INVALID, sizeof REQ},
        {"empty value", SLICE(REQ "sender=\n\n"), 0, 0, sizeof REQ + 8},
        {"= in value", SLICE(REQ "sender=a=b\n\n"), 0, 0, sizeof REQ + 11},
        {"unknown attribute", SLICE(REQ "from_the_future=1\n\n"), 0, 0, sizeof REQ + 18},
        {"raw bytes", SLICE(REQ "sender=\xff\xfe\x01\t \n\n"), 0, 0, sizeof REQ + 13},
        {"CR is part of the value", SLICE(REQ "sender=a\r\n\n"), 0, 0, sizeof REQ + 10},
        {"request with CR", SLICE("request=smtpd_access_policy\r\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"empty line with CR", SLICE(REQ "\r\n"), ERR_INVALID, ERR_INVALID, 0},
        {"no request line", SLICE("sender=a\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"request within a value", SLICE("x=" REQ "\n"), ERR_INVALID, ERR_INVALID, 0},
        {"request with more behind", SLICE("request=smtpd_access_policy2\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"other request", SLICE("request=junk\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"empty line at once", SLICE("\n"), ERR_INVALID, ERR_INVALID, 0},
        {"no =", SLICE(REQ "sender\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"no name", SLICE(REQ "=a\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"NUL in value", SLICE(REQ "sender=a\0b\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"NUL in name", SLICE(REQ "sen\0der=a\n\n"), ERR_INVALID, ERR_INVALID, 0},
        {"NUL before the end of its line", SLICE(REQ "a=\0"), ERR_INVALID, ERR_INVALID, 0},
        {"HTTP", SLICE("GET / HTTP/1.1\r\n"), ERR_INVALID, ERR_INVALID, 0},
        {"TLS", SLICE("\x16\x03\x01\x00\xa5\x01"), ERR_INVALID, ERR_INVALID, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        size_t used = 0;
        const char *why = NULL;
        int rc = frame_both_ways(cases[i].in, &used, &why);
        if (rc != cases[i].frame || (rc == 0 && used != cases[i].used))
            fail_msg("frame %s: %s, used %zu", cases[i].name, err_name(rc), used);
        if ((rc == ERR_INVALID || rc == ERR_LIMIT) != (why != NULL))
            fail_msg("frame %s: why is %s", cases[i].name, why);
        struct policy_request request;
        rc = policy_parse(cases[i].in, &request, &why);
        if (rc != cases[i].parse)
            fail_msg("parse %s: %s (%s)", cases[i].name, err_name(rc), why);
    }
}

/* A request made of REQ and lines of name_bytes + '=' + value_bytes + newline, and an empty line. */
static void make_request(struct buf *buf, size_t lines, size_t value_bytes)
{
    buf_init(buf, 1 << 20);
    assert_int_equal(buf_add_slice(buf, SLICE(REQ)), 0);
    for (size_t i = 0; i < lines; i++) {
        assert_int_equal(buf_add_slice(buf, SLICE("x=")), 0);
        assert_int_equal(buf_reserve(buf, value_bytes + 1), 0);
        memset(buf->p + buf->n, 'v', value_bytes);
        buf->n += value_bytes;
        assert_int_equal(buf_add_slice(buf, SLICE("\n")), 0);
    }
    assert_int_equal(buf_add_slice(buf, SLICE("\n")), 0);
}

static void limits_hold_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t lines, value_bytes;
        int rc;
    } cases[] = {
        {"lines at the limit", POLICY_ATTRS - 1, 1, 0},
        {"a line too many", POLICY_ATTRS, 1, ERR_LIMIT},
        {"line at the limit", 1, POLICY_LINE_BYTES - 2, 0},
        {"line over the limit", 1, POLICY_LINE_BYTES - 1, ERR_LIMIT},
        {"many long lines", 4, POLICY_LINE_BYTES - 2, ERR_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf buf;
        size_t used;
        const char *why = NULL;
        struct policy_request request;
        make_request(&buf, cases[i].lines, cases[i].value_bytes);
        int rc = frame_both_ways(buf_slice(&buf), &used, &why);
        if (rc != cases[i].rc)
            fail_msg("frame %s: %s", cases[i].name, err_name(rc));
        rc = policy_parse(buf_slice(&buf), &request, &why);
        if (rc != cases[i].rc)
            fail_msg("parse %s: %s", cases[i].name, err_name(rc));
        buf_fini(&buf);
    }
}

static void whole_request_limit_is_exact(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) { /* exactly 32 KiB, and one byte more */
        struct buf buf;
        size_t used = 0;
        make_request(&buf, 4, 8000);
        size_t rest = POLICY_REQUEST_BYTES - buf.n - 3 + extra;
        buf.n--; /* the empty line */
        assert_int_equal(buf_addf(&buf, "y=%0*d\n\n", (int)rest, 0), 0);
        assert_int_equal(buf.n, POLICY_REQUEST_BYTES + extra);
        struct policy_request request;
        int want = extra == 0 ? 0 : ERR_LIMIT;
        assert_int_equal(frame_both_ways(buf_slice(&buf), &used, NULL), want);
        assert_int_equal(policy_parse(buf_slice(&buf), &request, NULL), want);
        buf_fini(&buf);
    }
}

static void endless_line_is_refused_early(void **state)
{
    (void)state;
    char bytes[POLICY_LINE_BYTES + 1];
    size_t seen = 0, used;
    memset(bytes, 'a', sizeof bytes);
    assert_int_equal(policy_frame((struct slice){bytes, POLICY_LINE_BYTES}, &seen, &used, NULL), ERR_MORE);
    assert_int_equal(policy_frame((struct slice){bytes, sizeof bytes}, &seen, &used, NULL), ERR_LIMIT);
}

static void real_requests_in_one_segment(void **state)
{
    (void)state;
    struct buf buf;
    load_samples(&buf);
    static const char *stages[] = {"RCPT", "RCPT", "DATA", "END-OF-MESSAGE", "RCPT", "END-OF-MESSAGE"};
    struct slice rest = buf_slice(&buf);
    for (size_t i = 0; i < ARRAY_LENGTH(stages); i++) {
        size_t used;
        struct policy_request request;
        assert_int_equal(policy_frame(rest, NULL, &used, NULL), 0);
        assert_int_equal(policy_parse((struct slice){rest.p, used}, &request, NULL), 0);
        assert_true(slice_equal(request.attr[POLICY_ATTR_protocol_state], slice_of(stages[i])));
        assert_int_equal(request.other_count, 0);
        rest = (struct slice){rest.p + used, rest.n - used};
    }
    assert_int_equal(rest.n, 0);
    buf_fini(&buf);
}

/* The samples in two pieces, cut at every byte, as a connection would see them. */
static void real_requests_cut_at_every_byte(void **state)
{
    (void)state;
    struct buf buf;
    load_samples(&buf);
    for (size_t cut = 0; cut <= buf.n; cut++) {
        size_t at = 0, seen = 0, used, count = 0, ends[2] = {cut, buf.n};
        for (size_t piece = 0; piece < 2; piece++) {
            int rc;
            while ((rc = policy_frame((struct slice){buf.p + at, ends[piece] - at}, &seen, &used, NULL)) ==
                   0) {
                at += used;
                count++;
            }
            assert_int_equal(rc, ERR_MORE);
        }
        assert_int_equal(count, 6);
        assert_int_equal(at, buf.n);
    }
    buf_fini(&buf);
}

static void known_unknown_and_repeated_attributes(void **state)
{
    (void)state;
    struct policy_request r;
    struct slice in = SLICE("new=1\nsender=first\n" REQ "sender=second\nqueue_id=\nsender=\n\n");
    assert_int_equal(policy_parse(in, &r, NULL), 0);
    assert_true(slice_equal(r.attr[POLICY_ATTR_sender], SLICE("first")));
    assert_true(r.attr[POLICY_ATTR_queue_id].p != NULL && r.attr[POLICY_ATTR_queue_id].n == 0);
    assert_null(r.attr[POLICY_ATTR_recipient].p);
    static const struct policy_pair others[] = {
        {SLICE("new"), SLICE("1")}, {SLICE("sender"), SLICE("second")}, {SLICE("sender"), SLICE("")}};
    assert_int_equal(r.other_count, ARRAY_LENGTH(others));
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        assert_true(slice_equal(r.others[i].name, others[i].name));
        assert_true(slice_equal(r.others[i].value, others[i].value));
    }
}

static void every_attribute_is_found_in_any_order(void **state)
{
    (void)state;
    for (size_t step = 1; step < POLICY_ATTR_COUNT; step++) {
        if (step % 2 == 0 && POLICY_ATTR_COUNT % 2 == 0)
            continue; /* such a step would not visit all */
        struct buf buf;
        buf_init(&buf, POLICY_REQUEST_BYTES);
        for (size_t i = 0; i < POLICY_ATTR_COUNT; i++) {
            enum policy_attr attr = (enum policy_attr)(i * step % POLICY_ATTR_COUNT);
            assert_int_equal(
                buf_addf(&buf, "%s=%s\n", policy_attr_name(attr),
                         attr == POLICY_ATTR_request ? "smtpd_access_policy" : policy_attr_name(attr)),
                0);
        }
        struct policy_request r;
        assert_int_equal(policy_parse(buf_slice(&buf), &r, NULL), 0);
        for (enum policy_attr attr = 1; attr < POLICY_ATTR_COUNT; attr++)
            assert_true(slice_equal(r.attr[attr], slice_of(policy_attr_name(attr))));
        buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_and_requests),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(whole_request_limit_is_exact),
        cmocka_unit_test(endless_line_is_refused_early),
        cmocka_unit_test(real_requests_in_one_segment),
        cmocka_unit_test(real_requests_cut_at_every_byte),
        cmocka_unit_test(known_unknown_and_repeated_attributes),
        cmocka_unit_test(every_attribute_is_found_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
