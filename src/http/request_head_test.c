/* SPDX-License-Identifier: Apache-2.0
 *
 * request_head: what is a request and what isn't, and that cutting the bytes in two changes nothing.
 */
#include "request_head.h"

#include "base/buf.h"
#include "base/test.h"

#include <stdio.h>

#define HOST "Host: a\r\n"

static const struct {
    const char *name, *text;
    int status;
} cases[] = {
    {"simple", "GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"old without host", "GET / HTTP/1.0\r\n\r\n", 0},
    {"absolute form", "GET http://a:80/x?y HTTP/1.1\r\n" HOST "\r\n", 0},
    {"absolute form without path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form without host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"authority form", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"bare LF behind the request line", "GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"bare LFs only", "GET / HTTP/1.1\nHost: a\n\n", 400},
    {"bare CR in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
    {"obs-fold", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400},
    {"obs-fold as the first field", "GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n", 400},
    {"no name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400},
    {"no colon", "GET / HTTP/1.1\r\n" HOST "x\r\n\r\n", 400},
    {"control character in a value", "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", 400},
    {"bytes beyond ASCII in a value", "GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\r\n\r\n", 0},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"tab for space", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no version", "GET /\r\n" HOST "\r\n", 400},
    {"next version", "GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"minor beyond", "GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"version in small letters", "GET / http/1.1\r\n" HOST "\r\n", 400},
    {"quote in the target", "GET /\" HTTP/1.1\r\n" HOST "\r\n", 400},
    {"beyond ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"method with a colon", "GE:T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"long method", "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", 0},
    {"length twice the same", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
     400},
    {"length as a list", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400},
    {"length with a sign", "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400},
    {"length below zero", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
    {"length in hexadecimal", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400},
    {"empty length", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"length beyond 64 bits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n", 400},
    {"chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", 0},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {"chunked twice",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"gzip, chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"xchunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"another expectation", "POST / HTTP/1.1\r\n" HOST "Expect: cake\r\n\r\n", 417},
};

static int parse(struct slice bytes, struct http_head *head)
{
    const char *why = "";
    int status = http_head_parse(bytes, head, &why);
    assert_true((status != 0) == (why[0] != '\0'));
    return status;
}

static void test_cases(void **state)
{
    (void)state;
    struct http_head head;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct slice text = slice_of(cases[i].text);
        int status = parse(text, &head);
        if (status != cases[i].status)
            fail_msg("%s: %d, not %d", cases[i].name, status, cases[i].status);
        size_t whole = 0, scanned = 0, end = 0;
        assert_int_equal(http_head_end(text, &whole), text.n);
        for (size_t n = 0; n < text.n && end == 0; n++)
            end = http_head_end((struct slice){text.p, n}, &scanned);
        assert_int_equal(end, 0); /* not before its last byte */
        assert_int_equal(http_head_end(text, &scanned), text.n);
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct http_head head;
    struct slice text = SLICE("POST HTTPS://a/x/y?z=1?2 HTTP/1.1\r\nhost: a\r\nContent-Length:\t7 \r\n"
                              "Connection: te, Close\r\nExpect: 100-Continue\r\nX:\r\n\r\n");
    assert_int_equal(parse(text, &head), 0);
    assert_true(slice_equal(head.method, SLICE("POST")));
    assert_true(slice_equal(head.target, SLICE("/x/y?z=1?2")));
    assert_true(slice_equal(head.path, SLICE("/x/y")));
    assert_true(slice_equal(head.query, SLICE("z=1?2")));
    assert_int_equal(head.framing, HTTP_LENGTH);
    assert_int_equal(head.content_length, 7);
    assert_false(head.keep_alive);
    assert_true(head.expects_continue);
    assert_int_equal(head.field_count, 5);
    assert_true(slice_equal(http_head_field(&head, "HOST"), SLICE("a")));
    assert_null(http_head_field(&head, "Hos").p);
}

static void test_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keeps;
    } list[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    struct http_head head;
    for (size_t i = 0; i < ARRAY_LENGTH(list); i++) {
        assert_int_equal(parse(slice_of(list[i].text), &head), 0);
        assert_int_equal(head.keep_alive, list[i].keeps);
    }
}

/* As long as the limit, and one more. */
static void test_limits(void **state)
{
    (void)state;
    struct http_head head;
    static char text[2 * HTTP_HEAD_BYTES];
    for (int more = 0; more < 2; more++) {
        int n =
            snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", HTTP_LINE_BYTES - 14 + more, 0);
        assert_int_equal(parse((struct slice){text, (size_t)n}, &head), more ? 414 : 0);
        n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n",
                     HTTP_HEAD_BYTES - 32 + more, 0);
        assert_int_equal(n, HTTP_HEAD_BYTES + more);
        assert_int_equal(parse((struct slice){text, (size_t)n}, &head), more ? 431 : 0);
        struct buf many = {.limit = HTTP_HEAD_BYTES};
        assert_int_equal(buf_addf(&many, "GET / HTTP/1.1\r\n" HOST), 0);
        for (int i = 1; i < HTTP_FIELDS + more; i++)
            assert_int_equal(buf_addf(&many, "X: y\r\n"), 0);
        assert_int_equal(buf_addf(&many, "\r\n"), 0);
        assert_int_equal(parse(buf_slice(&many), &head), more ? 431 : 0);
        buf_fini(&many);
    }
}

static void test_nul(void **state)
{
    (void)state;
    struct http_head head;
    struct slice text = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n");
    assert_int_equal(parse(text, &head), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_parts), cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
