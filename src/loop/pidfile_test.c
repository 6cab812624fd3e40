/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of pidfile, with a real child that holds one.
 */
#include "pidfile.h"

#include "base/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static pid_t start_owner(void)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct pidfile *pidfile;
        if (pidfile_open(&pidfile, path, NULL) != 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void only_a_living_owner_is_signalled(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(pidfile_signal(path, SIGTERM, 0, &err), ERR_UNAVAILABLE);
    pid_t child = start_owner();
    struct pidfile *second;
    assert_int_equal(pidfile_open(&second, path, &err), ERR_BUSY);
    char pid[16];
    (void)snprintf(pid, sizeof pid, "%d", (int)child);
    assert_non_null(strstr(err.detail, pid));
    assert_int_equal(pidfile_signal(path, SIGTERM, INT64_C(30000000), &err), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    /* the number of the dead is still in the file; nobody is signalled */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "%d\n", (int)getpid()) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(pidfile_signal(path, SIGKILL, 0, &err), ERR_UNAVAILABLE);
}

/* The answer tells who came first, which is all the same here. */
static _Noreturn void ask_for_ever(void)
{
    alarm(60); /* ends it when the test could not */
    for (;;)
        (void)!pidfile_signal(path, 0, 0, NULL);
}

static void asking_keeps_nobody_out(void **state)
{
    (void)state;
    pid_t asker = fork();
    assert_true(asker >= 0);
    if (asker == 0)
        ask_for_ever();
    for (int i = 0; i < 2000; i++) {
        struct pidfile *pidfile;
        assert_int_equal(pidfile_open(&pidfile, path, NULL), 0);
        pidfile_close(&pidfile);
    }
    assert_int_equal(kill(asker, SIGKILL), 0);
    assert_int_equal(waitpid(asker, NULL, 0), asker);
}

static void who_does_not_stop_times_out(void **state)
{
    (void)state;
    struct err err = {0};
    pid_t child = start_owner();
    assert_int_equal(pidfile_signal(path, SIGCONT, 50000, &err), ERR_TIMEOUT);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void closing_lets_the_next_one_in(void **state)
{
    (void)state;
    struct pidfile *pidfile;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pidfile_open(&pidfile, path, NULL), 0);
        pidfile_close(&pidfile);
        assert_null(pidfile);
    }
    assert_int_equal(pidfile_open(&pidfile, "/nonexistent/p", NULL), ERR_NOT_FOUND);
}

/* A full disk must not keep a program from running: no byte can be written here. */
static void without_space_it_is_held_and_empty(void **state)
{
    (void)state;
    struct err err = {0};
    (void)unlink(path);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        struct pidfile *pidfile;
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &none) != 0 || pidfile_open(&pidfile, path, NULL) != 0)
            _exit(1);
        _exit(pidfile_signal(path, SIGKILL, 0, &err) == ERR_CORRUPT ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_link_is_refused(void **state)
{
    (void)state;
    struct pidfile *pidfile;
    char other[80];
    (void)snprintf(other, sizeof other, "%s.other", path);
    (void)unlink(path);
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    assert_true(fputs("precious", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(pidfile_open(&pidfile, path, NULL), ERR_DENIED);
    file = fopen(other, "r");
    assert_non_null(file);
    assert_int_equal(fgetc(file), 'p');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    char dir[] = "/tmp/pidfile-test-XXXXXX";
    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/p", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_living_owner_is_signalled),   cmocka_unit_test(asking_keeps_nobody_out),
        cmocka_unit_test(who_does_not_stop_times_out),        cmocka_unit_test(closing_lets_the_next_one_in),
        cmocka_unit_test(without_space_it_is_held_and_empty), cmocka_unit_test(a_link_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(dir);
    return failed;
}
