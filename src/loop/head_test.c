/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "head.h"

static void heads_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        int rc;
        size_t body_at, body_bytes;
    } cases[] = {
        {"plain", "GET /x HTTP/1.1\r\n\r\n", 0, 19, 0},
        {"bare newlines", "GET /x HTTP/1.1\n\n", 0, 17, 0},
        {"body", "POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\n\r\nabc", 0, 48, 3},
        {"nothing", "", ERR_MORE, 0, 0},
        {"half", "GET /x HTTP/1.1\r\n", ERR_MORE, 0, 0},
        {"no version", "GET /x\r\n\r\n", ERR_INVALID, 0, 0},
        {"other version", "GET /x HTTP/2.0\r\n\r\n", ERR_INVALID, 0, 0},
        {"no path", "GET x HTTP/1.1\r\n\r\n", ERR_INVALID, 0, 0},
        {"control byte", "GET /\x01 HTTP/1.1\r\n\r\n", ERR_INVALID, 0, 0},
        {"no colon", "GET /x HTTP/1.1\r\nabc\r\n\r\n", ERR_INVALID, 0, 0},
        {"negative", "GET /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ERR_INVALID, 0, 0},
        {"twice", "GET /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ERR_INVALID, 0, 0},
        {"at the limit", "GET /x HTTP/1.1\r\nContent-Length: 100\r\n\r\n", 0, 40, 100},
        {"over the limit", "GET /x HTTP/1.1\r\nContent-Length: 101\r\n\r\n", ERR_LIMIT, 0, 0},
        {"chunked", "GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_UNSUPPORTED, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct head head;
        struct err err = {0};
        int rc = head_parse(slice_of(cases[i].in), 100, &head, &err);
        if (rc != cases[i].rc ||
            (rc == 0 && (head.body_at != cases[i].body_at || head.body_bytes != cases[i].body_bytes)))
            fail_msg("%s: %s, body at %zu, %zu bytes", cases[i].name, err_name(rc), head.body_at,
                     head.body_bytes);
    }
}

static void a_head_without_end_is_bounded(void **state)
{
    (void)state;
    static char bytes[HEAD_BYTES];
    struct head head;
    memset(bytes, 'a', sizeof bytes);
    assert_int_equal(head_parse((struct slice){bytes, sizeof bytes - 1}, 0, &head, NULL), ERR_MORE);
    assert_int_equal(head_parse((struct slice){bytes, sizeof bytes}, 0, &head, NULL), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_judged),
        cmocka_unit_test(a_head_without_end_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
