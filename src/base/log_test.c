/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of log: a file that is rotated away under a running program.
 */
#include "log.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The descriptor whose file is path; -1: none. */
static int descriptor_of(const char *path)
{
    char link[64], target[256];
    for (int fd = 3; fd < 64; fd++) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof target - 1);
        if (n > 0 && (size_t)n == strlen(path) && memcmp(target, path, (size_t)n) == 0)
            return fd;
    }
    return -1;
}

/* A thread that has read the number may write to it later: it must never be a file of somebody else's. */
static void a_reopened_file_keeps_its_descriptor(void **state)
{
    (void)state;
    char dir[] = "/tmp/log-test-XXXXXX", path[64], output[80], old[80], line[256] = "";
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/log", dir);
    (void)snprintf(old, sizeof old, "%s.1", path);
    (void)snprintf(output, sizeof output, "file:%s", path);
    assert_int_equal(log_open("log_test", LOG_LEVEL_INFO, output, NULL), 0);
    int fd = descriptor_of(path);
    assert_true(fd > 2);
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(log_reopen(NULL), 0);
    assert_int_equal(descriptor_of(path), fd);
    assert_int_equal(descriptor_of(old), -1);
    log_info("after");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_non_null(strstr(line, "info: after"));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reopened_file_keeps_its_descriptor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
