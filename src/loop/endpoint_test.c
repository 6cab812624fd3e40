/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of endpoint: texts, and real sockets on loopback.
 */
#include "endpoint.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *formatted; /* NULL: refused */
        bool local;
    } cases[] = {
        {"IPv4", "127.0.0.1:9998", "127.0.0.1:9998", true},
        {"IPv6", "[::1]:9998", "[::1]:9998", true},
        {"all of 127/8", "127.9.9.9:1", "127.9.9.9:1", true},
        {"any, both families", "*:9998", "[::]:9998", false},
        {"any IPv4", "0.0.0.0:9998", "0.0.0.0:9998", false},
        {"a public address", "192.0.2.1:65535", "192.0.2.1:65535", false},
        {"port 0: the kernel chooses", "127.0.0.1:0", "127.0.0.1:0", true},
        {"unix", "unix:/run/p.sock", "unix:/run/p.sock", true},
        {"empty", "", NULL, false},
        {"no port", "127.0.0.1", NULL, false},
        {"empty port", "127.0.0.1:", NULL, false},
        {"port too large", "127.0.0.1:65536", NULL, false},
        {"signed port", "127.0.0.1:-1", NULL, false},
        {"a name", "localhost:9998", NULL, false},
        {"IPv6 without brackets", "::1:9998", NULL, false},
        {"relative path", "unix:p.sock", NULL, false},
        {"unix without path", "unix:", NULL, false},
        {"no host", ":9998", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct endpoint endpoint;
        struct err err = {0};
        char text[ENDPOINT_TEXT_BYTES];
        int rc = endpoint_parse(slice_of(cases[i].text), &endpoint, &err);
        if (rc != (cases[i].formatted != NULL ? 0 : ERR_CONFIG))
            fail_msg("%s: %s", cases[i].name, err_detail(&err));
        if (rc != 0)
            continue;
        endpoint_format(&endpoint, text);
        assert_string_equal(text, cases[i].formatted);
        assert_int_equal(endpoint_is_local(&endpoint), cases[i].local);
    }
    struct endpoint endpoint;
    char path[200] = "unix:/";
    memset(path + 6, 'x', sizeof path - 7);
    assert_int_equal(endpoint_parse((struct slice){path, 5 + 107}, &endpoint, NULL), 0);
    assert_int_equal(endpoint_parse((struct slice){path, 5 + 108}, &endpoint, NULL), ERR_CONFIG);
}

static int listen_on(const char *text, int *fd, struct err *err)
{
    struct endpoint endpoint;
    assert_int_equal(endpoint_parse(slice_of(text), &endpoint, err), 0);
    return endpoint_listen(&endpoint, fd, err);
}

static void a_busy_port_says_so(void **state)
{
    (void)state;
    int first, second;
    struct err err = {0};
    struct endpoint bound;
    char text[ENDPOINT_TEXT_BYTES];
    assert_int_equal(listen_on("127.0.0.1:0", &first, &err), 0);
    assert_int_equal(endpoint_of_fd(first, &bound, &err), 0);
    assert_true(bound.port != 0);
    endpoint_format(&bound, text);
    assert_int_equal(listen_on(text, &second, &err), ERR_BUSY);
    assert_non_null(strstr(err.detail, text));
    close(first);
    assert_int_equal(endpoint_of_fd(STDIN_FILENO, &bound, &err), ERR_CONFIG);
    assert_int_equal(listen_on("203.0.113.1:9998", &second, &err), ERR_CONFIG);
}

static void a_dead_socket_file_is_replaced_a_living_one_is_not(void **state)
{
    (void)state;
    char dir[] = "/tmp/endpoint-test-XXXXXX", text[64], *path = text + 5;
    int first, second;
    struct err err = {0};
    struct stat st;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(text, sizeof text, "unix:%s/s", dir);
    assert_int_equal(listen_on(text, &first, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    assert_int_equal(listen_on(text, &second, &err), ERR_BUSY);
    close(first);
    assert_int_equal(listen_on(text, &second, &err), 0);
    close(second);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(listen_on(text, &second, &err), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(a_busy_port_says_so),
        cmocka_unit_test(a_dead_socket_file_is_replaced_a_living_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
