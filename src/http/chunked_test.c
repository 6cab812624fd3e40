/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked: whole and byte by byte come to the same.
 */
#include "chunked.h"

#include "base/test.h"

static const struct {
    const char *name, *text, *body;
    int rc;
    size_t rest; /* bytes that are not the body's own */
} cases[] = {
    {"none", "0\r\n\r\n", "", 0, 0},
    {"one", "5\r\nhello\r\n0\r\n\r\n", "hello", 0, 0},
    {"several, one looks like an end", "3\r\na\r\n\r\nA\r\n0123456789\r\n000\r\n\r\nGET", "a\r\n0123456789",
     0, 3},
    {"extensions", "2;a=b;c=\"d\"\r\nhi\r\n0 ;x\r\n\r\n", "hi", 0, 0},
    {"trailers", "2\r\nhi\r\n0\r\nX: y\r\nZ: 1\r\n\r\n.", "hi", 0, 1},
    {"not at its end", "2\r\nhi\r\n0\r\n", "hi", ERR_MORE, 0},
    {"no size", "\r\nhi\r\n", "", ERR_INVALID, 0},
    {"extension without a size", ";a\r\nhi\r\n", "", ERR_INVALID, 0},
    {"no number", "x\r\n", "", ERR_INVALID, 0},
    {"a sign", "-1\r\n", "", ERR_INVALID, 0},
    {"hexadecimal prefix", "0x2\r\nhi\r\n0\r\n\r\n", "", ERR_INVALID, 0},
    {"nine digits", "000000002\r\nhi\r\n0\r\n\r\n", "", ERR_INVALID, 0},
    {"bare LF behind the size", "2\nhi\r\n0\r\n\r\n", "", ERR_INVALID, 0},
    {"bare LF behind the data", "2\r\nhi\n0\r\n\r\n", "hi", ERR_INVALID, 0},
    {"another byte for the data's CR", "2\r\nhix\n0\r\n\r\n", "hi", ERR_INVALID, 0},
    {"bare LF at the end", "2\r\nhi\r\n0\r\n\n", "hi", ERR_INVALID, 0},
    {"bare LF in a trailer", "0\r\nX: y\n\r\n", "", ERR_INVALID, 0},
    {"CR in an extension", "2;a\rb\r\nhi\r\n", "", ERR_INVALID, 0},
    {"longer than its size", "2\r\nhello\r\n0\r\n\r\n", "he", ERR_INVALID, 0},
    {"more than the limit", "14\r\n01234567890123456789\r\n0\r\n\r\n", "", ERR_LIMIT, 0},
    {"more than memory", "ffffffff\r\n01234567890123456789\r\n", "", ERR_LIMIT, 0},
};

enum { LIMIT = 16 };

static int decode(const char *name, struct slice text, size_t step, struct buf *body, size_t *used)
{
    struct http_chunked chunked = {0};
    int rc = ERR_MORE;
    *used = 0;
    for (size_t n; rc == ERR_MORE && *used < text.n; *used += n) {
        size_t part = text.n - *used < step ? text.n - *used : step;
        rc = http_chunked_decode(&chunked, (struct slice){text.p + *used, part}, &n, body);
        if (n > part || (rc == ERR_MORE && n != part))
            fail_msg("%s: %zu of %zu bytes used", name, n, part);
    }
    return rc;
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct slice text = slice_of(cases[i].text);
        for (size_t step = 1; step <= text.n; step++) {
            struct buf body = {.limit = LIMIT};
            size_t used;
            int rc = decode(cases[i].name, text, step, &body, &used);
            if (rc != cases[i].rc || (rc == 0 && text.n - used != cases[i].rest))
                fail_msg("%s by %zu: %d, %zu bytes used", cases[i].name, step, rc, used);
            if (rc != ERR_LIMIT && !slice_equal(buf_slice(&body), slice_of(cases[i].body)))
                fail_msg("%s by %zu: '%.*s'", cases[i].name, step, (int)body.n, body.p);
            buf_fini(&body);
        }
    }
}

/* Lines that never end are not read on for ever. */
static void test_endless_lines(void **state)
{
    (void)state;
    static const char *const starts[] = {"1;", "0\r\nX:"};
    for (size_t i = 0; i < 2; i++) {
        struct http_chunked chunked = {0};
        struct buf body = {.limit = LIMIT};
        size_t used, n = 0;
        assert_int_equal(http_chunked_decode(&chunked, slice_of(starts[i]), &used, &body), ERR_MORE);
        while (http_chunked_decode(&chunked, SLICE("x"), &used, &body) == ERR_MORE)
            assert_true(++n <= HTTP_TRAILER_BYTES);
        buf_fini(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_endless_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
