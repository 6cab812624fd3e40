/* SPDX-License-Identifier: Apache-2.0
 *
 * route: which route a request takes, and what is refused before its body is read.
 */
#include "route.h"

#include "base/test.h"

static const struct http_route routes[] = {
    {"GET", "/a", 0, 0, NULL},
    {"POST", "/a", 10, HTTP_JSON, NULL},
    {"GET", "/a/*", 0, HTTP_CREDENTIALS, NULL},
    {"DELETE", "/a/*", 0, 0, NULL},
    {"GET", "/a/*/b", 0, 0, NULL},
    {"PUT", "/c/*", 10, 0, NULL},
    {"PUT", "/c/d", 10, 0, NULL},
    {"PATCH", "/c/*", 10, HTTP_JSON, NULL},
};

static const struct {
    const char *name, *text;
    int status, route; /* route: its index when status is 0 */
    const char *allow;
} cases[] = {
    {"get", "GET /a?b HTTP/1.0\r\n\r\n", 0, 0, NULL},
    {"head is get", "HEAD /a HTTP/1.0\r\n\r\n", 0, 0, NULL},
    {"methods have large letters", "get /a HTTP/1.0\r\n\r\n", 405, 0, "GET, HEAD, POST"},
    {"part", "DELETE /a/x HTTP/1.0\r\n\r\n", 0, 3, NULL},
    {"empty part", "DELETE /a/ HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"part in the middle", "GET /a/x/b HTTP/1.0\r\n\r\n", 0, 4, NULL},
    {"other end", "GET /a/x/c HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"the first that fits", "PUT /c/d HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 0, 5, NULL},
    {"two parts", "DELETE /a/x/y HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"other path", "GET /aa HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"dots are no way up", "GET /x/../a HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"encoded letter", "GET /%61 HTTP/1.0\r\n\r\n", 404, 0, ""},
    {"other method", "PUT /a/x HTTP/1.0\r\n\r\n", 405, 0, "GET, HEAD, DELETE"},
    {"without a key", "GET /a/x HTTP/1.0\r\n\r\n", 401, 0, NULL},
    {"other scheme", "GET /a/x HTTP/1.0\r\nAuthorization: Basic YTpi\r\n\r\n", 401, 0, NULL},
    {"key", "GET /a/x HTTP/1.0\r\nauthorization: bearer x\r\n\r\n", 0, 2, NULL},
    {"cookie", "GET /a/x HTTP/1.0\r\nCookie: session=x\r\n\r\n", 0, 2, NULL},
    {"another scheme with a cookie", "GET /a/x HTTP/1.0\r\nAuthorization: Basic YTpi\r\nCookie: a=b\r\n\r\n",
     401, 0, NULL},
    {"body for none", "GET /a HTTP/1.0\r\nContent-Length: 1\r\n\r\n", 413, 0, NULL},
    {"empty body for none", "GET /a HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 0, 0, NULL},
    {"chunks for none", "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413, 0, NULL},
    {"no length", "POST /a HTTP/1.0\r\n\r\n", 411, 0, NULL},
    {"longest body",
     "POST /a HTTP/1.0\r\nContent-Length: 10\r\nContent-Type: Application/JSON; charset=utf-8\r\n\r\n", 0, 1,
     NULL},
    {"longer body", "POST /a HTTP/1.0\r\nContent-Length: 11\r\nContent-Type: application/json\r\n\r\n", 413,
     0, NULL},
    {"a patch by its name",
     "PATCH /c/x HTTP/1.0\r\nContent-Length: 2\r\nContent-Type: application/merge-patch+json\r\n\r\n", 0, 7,
     NULL},
    {"a patch that is posted",
     "POST /a HTTP/1.0\r\nContent-Length: 2\r\nContent-Type: application/merge-patch+json\r\n\r\n", 415, 0,
     NULL},
    {"no type", "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\n", 415, 0, NULL},
    {"form", "POST /a HTTP/1.0\r\nContent-Length: 2\r\nContent-Type: application/jsonx\r\n\r\n", 415, 0,
     NULL},
    {"compressed",
     "POST /a HTTP/1.0\r\nContent-Length: 2\r\nContent-Type: application/json\r\nContent-Encoding: "
     "gzip\r\n\r\n",
     415, 0, NULL},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct http_head head;
        const struct http_route *route = NULL;
        const char *why = NULL;
        char allow[HTTP_ALLOW_BYTES];
        assert_int_equal(http_head_parse(slice_of(cases[i].text), &head, &why), 0);
        int status = http_route_find(routes, ARRAY_LENGTH(routes), &head, &route, allow, &why);
        if (status != cases[i].status || (status == 0 && route != &routes[cases[i].route]))
            fail_msg("%s: %d", cases[i].name, status);
        if (cases[i].allow != NULL)
            assert_string_equal(allow, cases[i].allow);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
