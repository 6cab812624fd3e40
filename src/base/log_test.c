/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of log: a file that is rotated away under a running program.
 */
#include "log.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* Lines that are there, and in *lost those that the log says are not. */
static size_t count(const char *text, size_t *lost)
{
    size_t n = 0, more;
    *lost = 0;
    for (const char *line = text; (line = strstr(line, "]: ")) != NULL; line++) {
        n += strncmp(line, "]: info: line ", 14) == 0;
        if (sscanf(line, "]: warning: %zu lines were lost here", &more) == 1 && strchr(line, '\n') != NULL)
            *lost += more;
    }
    return n;
}

/* A pipe that nobody reads stands for a disk that hangs. */
static void a_log_that_hangs_holds_nobody(void **state)
{
    (void)state;
    enum { LINES = 2000, LOG_BYTES = 4 * 1024 * 1024 };
    char dir[] = "/tmp/log-test-XXXXXX", path[64], output[80], filler[800];
    char *text = calloc(1, LOG_BYTES);
    size_t n = 0;
    assert_non_null(text);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/log", dir);
    (void)snprintf(output, sizeof output, "file:%s", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(log_open("log_test", LOG_LEVEL_INFO, output, NULL), 0);
    assert_int_equal(log_background(NULL), 0);
    memset(filler, 'x', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    (void)alarm(60);
    for (int i = 0; i < LINES; i++)
        log_info("line %d %s", i, filler);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    size_t lost = 0;
    while (count(text, &lost) + lost < LINES) {
        ssize_t got = read(fd, text + n, LOG_BYTES - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    (void)alarm(0);
    assert_int_equal(count(text, &lost) + lost, LINES);
    assert_true(lost > 0);
    log_info("last");
    log_drain(30 * 1000000);
    assert_true(read(fd, text, LOG_BYTES - 1) > 0);
    close(fd);
    free(text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reopened_file_keeps_its_descriptor),
        cmocka_unit_test(a_log_that_hangs_holds_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
