/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/config_test.XXXXXX";

static void put(const char *name, const char *content, mode_t mode)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* Loads with `--config directory/name` and the words of `line`; argv is left in left[] for the caller. */
struct loaded {
    struct config *config;
    struct err err;
    int rc, argc;
    char *argv[32];
    char words[1024], path[256];
};

static void load(struct loaded *l, enum program program, const char *name, const char *line)
{
    memset(l, 0, sizeof *l);
    snprintf(l->path, sizeof l->path, "--config=%s/%s", directory, name);
    snprintf(l->words, sizeof l->words, "%s", line);
    l->argv[l->argc++] = (char *)"program";
    l->argv[l->argc++] = l->path;
    for (char *word = strtok(l->words, " "); word; word = strtok(NULL, " "))
        l->argv[l->argc++] = word;
    l->rc = config_load(&l->config, program, &l->argc, l->argv, &l->err);
}

static void later_sources_win(void **state)
{
    (void)state;
    struct loaded l;

    put("a.conf", "# both programs\n[policy-proxy]\nspool_max = 2G\nring = 1M\nwindow_is_not = here\n", 0644);
    load(&l, PROGRAM_POLICY_PROXY, "a.conf", "");
    assert_int_equal(l.rc, ERR_CONFIG);
    assert_non_null(strstr(l.err.detail, "a.conf:5: window_is_not: no such setting"));

    put("a.conf",
        "[policy-proxy]\r\nspool_max = 2G\r\nring = 1M\nlisten=127.0.0.1:7\n[mail-analytics]\nwindow = 3\n",
        0644);
    assert_int_equal(setenv("POLICY_PROXY_RING", "2M", 1), 0);
    assert_int_equal(setenv("POLICY_PROXY_MAX_CONNECTIONS", "7", 1), 0);
    load(&l, PROGRAM_POLICY_PROXY, "a.conf", "--max-connections 8 -H hub.example check");
    unsetenv("POLICY_PROXY_RING");
    unsetenv("POLICY_PROXY_MAX_CONNECTIONS");
    assert_int_equal(l.rc, 0);
    const struct proxy_config *proxy = config_proxy(l.config);
    assert_int_equal(proxy->spool_max, UINT64_C(2) << 30); /* file */
    assert_int_equal(proxy->ring, 2 << 20);                /* environment over file */
    assert_int_equal(proxy->max_connections, 8);           /* flag over environment */
    assert_int_equal(proxy->sync_interval, 100000);        /* default */
    assert_string_equal(proxy->listen, "127.0.0.1:7");
    assert_string_equal(proxy->server, "tcp://hub.example:4000");
    assert_int_equal(l.argc, 2);
    assert_string_equal(l.argv[1], "check");
    config_destroy(&l.config);
    assert_null(l.config);
}

static void a_directory_is_read_in_order(void **state)
{
    (void)state;
    struct loaded l;
    char path[256];

    snprintf(path, sizeof path, "%s/etc", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/etc/conf.d", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    put("etc/b.conf", "[mail-analytics]\nwindow = 2\nquery_threads = 2\nmax_sessions = 2\n", 0644);
    put("etc/a.conf", "[mail-analytics]\nwindow = 1\n", 0644);
    put("etc/ignored.txt", "nonsense\n", 0644);
    put("etc/conf.d/a.conf", "[mail-analytics]\nquery_threads = 3\n", 0644);
    load(&l, PROGRAM_MAIL_ANALYTICS, "etc", "--max-sessions=4");
    assert_int_equal(l.rc, 0);
    assert_int_equal(config_hub(l.config)->window, 2);
    assert_int_equal(config_hub(l.config)->query_threads, 3);
    assert_int_equal(config_hub(l.config)->max_sessions, 4);

    put("etc/conf.d/a.conf", "[mail-analytics]\nquery_threads = 5\n", 0644);
    struct config *again = NULL;
    assert_int_equal(config_reload(&again, l.config, &l.err), 0);
    assert_int_equal(config_hub(again)->query_threads, 5);
    assert_int_equal(config_hub(again)->max_sessions, 4); /* the flag of the start still holds */
    config_destroy(&again);
    config_destroy(&l.config);
}

static void wrong_values_say_where_and_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *name, *file;
        enum program program;
        const char *flags;
        int rc;
        const char *says;
    } cases[] = {
        {"choice", "[policy-proxy]\nsync = often\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "t.conf:2: sync = often: must be one of interval|always"},
        {"range", "[policy-proxy]\n\nsync_interval = 2m\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "t.conf:3: sync_interval = 2m: must be from 1ms to 1m"},
        {"size", "[policy-proxy]\nspool_max = big\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG, "a size such as"},
        {"power of two", "[policy-proxy]\nring = 300k\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "power of two"},
        {"negative", "[mail-analytics]\nwindow = -1\n", PROGRAM_MAIL_ANALYTICS, "", ERR_CONFIG,
         "a whole number"},
        {"zero", "[mail-analytics]\nwindow = 0\n", PROGRAM_MAIL_ANALYTICS, "", ERR_CONFIG, "from 1 to 1024"},
        {"beyond 64 bits", "[mail-analytics]\nwindow = 99999999999999999999999\n", PROGRAM_MAIL_ANALYTICS, "",
         ERR_CONFIG, "from 1 to 1024"},
        {"address", "[policy-proxy]\nlisten = localhost:1\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "an address, not a name"},
        {"endpoint", "[mail-analytics]\nserver_address = udp://x:1\n", PROGRAM_MAIL_ANALYTICS, "", ERR_CONFIG,
         "must be tcp://"},
        {"endpoint port", "[mail-analytics]\nserver_address = tcp://*:0\n", PROGRAM_MAIL_ANALYTICS, "",
         ERR_CONFIG, "must be tcp://"},
        {"key", "[policy-proxy]\nserver_key = abc\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "mail-analytics key"},
        {"networks", "[policy-proxy]\nallow = 192.0.2.1/24\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "host bits"},
        {"empty", "[mail-analytics]\ndata =\n", PROGRAM_MAIL_ANALYTICS, "", ERR_CONFIG, "must not be empty"},
        {"beyond loopback", "[policy-proxy]\nlisten = 0.0.0.0:9998\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "t.conf:2: listen = 0.0.0.0:9998 is beyond loopback: set allow"},
        {"no section", "listen = 127.0.0.1:1\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "before the first section"},
        {"section", "[proxy]\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG, "unknown section"},
        {"no equals", "[policy-proxy]\nlisten\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG, "write key = value"},
        {"control", "[policy-proxy]\nuser = a\x01\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "control character"},
        {"other program's key", "[mail-analytics]\nring = 1M\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "no such setting"},
        {"unknown flag", "", PROGRAM_POLICY_PROXY, "--frobnicate", ERR_USAGE, "unknown flag"},
        {"flag of the other", "", PROGRAM_POLICY_PROXY, "--store null", ERR_USAGE, "unknown flag"},
        {"no value", "", PROGRAM_POLICY_PROXY, "--listen", ERR_USAGE, "a value is missing"},
        {"value too many", "", PROGRAM_POLICY_PROXY, "--check-config=yes", ERR_USAGE, "takes no value"},
        {"wrong flag value", "", PROGRAM_POLICY_PROXY, "--sync never", ERR_USAGE,
         "flag --sync: sync = never"},
        {"command", "", PROGRAM_POLICY_PROXY, "-c restart", ERR_USAGE, "start, stop or reload"},
        {"both keys", "[policy-proxy]\napi_key = a\napi_key_file = /etc/hostname\n", PROGRAM_POLICY_PROXY, "",
         ERR_CONFIG, "keep one"},
        {"key file", "[policy-proxy]\napi_key_file = /nonexistent\n", PROGRAM_POLICY_PROXY, "", ERR_CONFIG,
         "/nonexistent: can't be read"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct loaded l;
        put("t.conf", cases[i].file, 0600);
        load(&l, cases[i].program, "t.conf", cases[i].flags);
        if (l.rc != cases[i].rc || l.err.code != cases[i].rc || !strstr(l.err.detail, cases[i].says))
            fail_msg("%s: %d %s", cases[i].name, l.rc, l.err.detail);
        assert_null(l.config);
    }
}

static void a_named_path_must_be_there(void **state)
{
    (void)state;
    struct loaded l;

    load(&l, PROGRAM_POLICY_PROXY, "missing", "");
    assert_int_equal(l.rc, ERR_CONFIG);
    assert_non_null(strstr(l.err.detail, "--config"));
}

static void known_flags_of_earlier_versions(void **state)
{
    (void)state;
    struct loaded l;

    put("e.conf", "", 0644);
    load(&l, PROGRAM_MAIL_ANALYTICS, "e.conf",
         "-A tcp://*:5000 -L tcp://127.0.0.1:5001 -D -c stop serve --print-config");
    assert_int_equal(l.rc, 0);
    assert_string_equal(config_hub(l.config)->server_address, "tcp://*:5000");
    assert_string_equal(config_hub(l.config)->server_local_address, "tcp://127.0.0.1:5001");
    assert_string_equal(config_hub(l.config)->log_level, "debug");
    assert_int_equal(config_request(l.config)->command, CONFIG_COMMAND_STOP);
    assert_true(config_request(l.config)->print);
    assert_false(config_request(l.config)->daemonise);
    config_destroy(&l.config);

    load(&l, PROGRAM_POLICY_PROXY, "e.conf", "-D -c start -H 192.0.2.9:4444");
    assert_int_equal(l.rc, 0);
    assert_true(config_request(l.config)->daemonise);
    assert_string_equal(config_proxy(l.config)->server, "tcp://192.0.2.9:4444");
    config_destroy(&l.config);
}

static void a_verb_keeps_its_own_flags(void **state)
{
    (void)state;
    struct loaded l;

    put("e.conf", "", 0644);
    load(&l, PROGRAM_MAIL_ANALYTICS, "e.conf",
         "query --measure messages --window 5 --order -clients --json -- --data x");
    assert_int_equal(l.rc, 0);
    static const char *const left[] = {"program",  "query",  "--measure", "messages", "--order",
                                       "-clients", "--json", "--data",    "x"};
    assert_int_equal(l.argc, ARRAY_LENGTH(left));
    for (size_t i = 0; i < ARRAY_LENGTH(left); i++)
        assert_string_equal(l.argv[i], left[i]);
    assert_null(l.argv[l.argc]);
    assert_int_equal(config_hub(l.config)->window, 5);
    assert_int_equal(config_no_more(l.argc, l.argv, l.argc, &l.err), 0);
    assert_int_equal(config_no_more(l.argc, l.argv, 6, &l.err), ERR_USAGE);
    assert_non_null(strstr(l.err.detail, "--json"));
    config_destroy(&l.config);
}

/* Runs fn with fd pointing into a file and gives back what it wrote. */
static void capture(int fd, void (*fn)(void *), void *arg, char *out, size_t size)
{
    char path[256];

    snprintf(path, sizeof path, "%s/captured", directory);
    (void)fflush(NULL);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup(fd);
    assert_true(file >= 0 && saved >= 0 && dup2(file, fd) == fd);
    fn(arg);
    (void)fflush(NULL);
    assert_int_equal(dup2(saved, fd), fd);
    ssize_t n = pread(file, out, size - 1, 0);
    assert_true(n >= 0);
    out[n] = '\0';
    close(file);
    close(saved);
}

static void print(void *arg)
{
    config_print(arg);
}

static void secrets_are_hidden_and_origins_shown(void **state)
{
    (void)state;
    struct loaded l;
    char out[16384];

    put("s.conf", "[policy-proxy]\napi_key = ma_secret\n", 0600);
    load(&l, PROGRAM_POLICY_PROXY, "s.conf", "--sync always");
    assert_int_equal(l.rc, 0);
    assert_string_equal(config_proxy(l.config)->api_key, "ma_secret");
    capture(STDOUT_FILENO, print, l.config, out, sizeof out);
    assert_null(strstr(out, "ma_secret"));
    assert_non_null(strstr(out, "api_key = (hidden)"));
    assert_non_null(strstr(out, "s.conf:2\n"));
    assert_non_null(strstr(out, "# flag --sync\n"));
    assert_non_null(strstr(out, "# default\n"));
    config_destroy(&l.config);
}

static void load_secret(void *arg)
{
    load(arg, PROGRAM_POLICY_PROXY, "s.conf", "");
}

static void a_secret_open_to_all_is_warned_about(void **state)
{
    (void)state;
    struct loaded l;
    char out[4096];

    put("s.conf", "[policy-proxy]\napi_key = ma_secret\n", 0644);
    capture(STDERR_FILENO, load_secret, &l, out, sizeof out);
    assert_int_equal(l.rc, 0);
    assert_non_null(strstr(out, "chmod o-r"));
    assert_null(strstr(out, "ma_secret"));
    config_destroy(&l.config);
    put("s.conf", "[policy-proxy]\napi_key = ma_secret\n", 0640);
    capture(STDERR_FILENO, load_secret, &l, out, sizeof out);
    assert_string_equal(out, "");
    config_destroy(&l.config);
}

static void the_key_comes_from_its_file(void **state)
{
    (void)state;
    struct loaded l;
    char flags[512];

    put("key", "  ma_filed \nsecond line\n", 0600);
    put("e.conf", "", 0644);
    snprintf(flags, sizeof flags, "--api-key-file %s/key", directory);
    load(&l, PROGRAM_POLICY_PROXY, "e.conf", flags);
    assert_int_equal(l.rc, 0);
    assert_string_equal(config_proxy(l.config)->api_key, "ma_filed");
    config_destroy(&l.config);
    put("key", "\n", 0600);
    load(&l, PROGRAM_POLICY_PROXY, "e.conf", flags);
    assert_int_equal(l.rc, ERR_CONFIG);
}

static void files_are_bounded(void **state)
{
    (void)state;
    struct loaded l;
    char *large = calloc(1, CONFIG_FILE_BYTES + 2);

    assert_non_null(large);
    memset(large, '\n', CONFIG_FILE_BYTES + 1);
    put("large.conf", large, 0644);
    load(&l, PROGRAM_POLICY_PROXY, "large.conf", "");
    assert_int_equal(l.rc, ERR_CONFIG);
    assert_non_null(strstr(l.err.detail, "larger than"));
    memset(large, 'x', CONFIG_LINE_BYTES + 1);
    large[CONFIG_LINE_BYTES + 1] = '\0';
    put("large.conf", large, 0644);
    load(&l, PROGRAM_POLICY_PROXY, "large.conf", "");
    assert_non_null(strstr(l.err.detail, "large.conf:1: longer than"));
    free(large);
}

static void help_reads_nothing(void **state)
{
    (void)state;
    struct loaded l;

    load(&l, PROGRAM_MAIL_ANALYTICS, "missing", "--help");
    assert_int_equal(l.rc, 0);
    assert_true(config_request(l.config)->help);
    config_destroy(&l.config);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command); /* NOLINT: a fixed path of our own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(a_directory_is_read_in_order),
        cmocka_unit_test(wrong_values_say_where_and_what_to_do),
        cmocka_unit_test(a_named_path_must_be_there),
        cmocka_unit_test(known_flags_of_earlier_versions),
        cmocka_unit_test(a_verb_keeps_its_own_flags),
        cmocka_unit_test(secrets_are_hidden_and_origins_shown),
        cmocka_unit_test(a_secret_open_to_all_is_warned_about),
        cmocka_unit_test(the_key_comes_from_its_file),
        cmocka_unit_test(files_are_bounded),
        cmocka_unit_test(help_reads_nothing),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
