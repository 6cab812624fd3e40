/* SPDX-License-Identifier: Apache-2.0
 *
 * fail2ban_test: real log lines, written by the log itself to a file, go through Debian's fail2ban-regex with
 * the filter that is shipped (argument 1): strangers match with their address, edges with another trouble do
 * not.
 */
#include "base/log.h"
#include "base/test.h"
#include "refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char log_path[] = "fail2ban_test.log", journal_path[] = "fail2ban_test.journal";
static const char *filter;

static const struct {
    const char *address;
    enum refusal code;
    const char *edge;
    bool bans;
} cases[] = {
    {"203.0.113.7", REFUSAL_KEY, "mx1", true},     {"203.0.113.8", REFUSAL_BAD_FRAME, "", true},
    {"203.0.113.9", REFUSAL_LIMIT, "", true},      {"2001:db8::7", REFUSAL_KEY, "mx-2.example", true},
    {"2001:db8::8", REFUSAL_BAD_FRAME, "", true},  {"198.51.100.1", REFUSAL_ADDRESS, "mx3", false},
    {"198.51.100.2", REFUSAL_SCOPE, "mx3", false}, {"198.51.100.3", REFUSAL_PINNED, "mx3", false},
    {"198.51.100.4", REFUSAL_FULL, "mx3", false},  {"2001:db8::9", REFUSAL_REVOKED, "mx3", false},
    {"198.51.100.5", REFUSAL_VERSION, "", false},
};

static void write_log(void)
{
    struct refusal_log *log;
    char line[REFUSAL_LINE_BYTES], output[4096], dir[2048];
    struct ip address;
    struct err err;
    assert_non_null(getcwd(dir, sizeof dir));
    (void)unlink(log_path);
    (void)snprintf(output, sizeof output, "file:%s/%s", dir, log_path);
    assert_int_equal(log_open("mail-analytics", LOG_LEVEL_INFO, output, &err), 0);
    assert_int_equal(refusal_log_create(&log), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(ip_parse(slice_of(cases[i].address), &address), 0);
        assert_true(refusal_log_line(log, &address, cases[i].code, slice_of(cases[i].edge),
                                     "the API key is not known", US_PER_SECOND, line));
        log_warning("%s", line);
    }
    refusal_log_destroy(&log);
    log_info("edge greeted edge=mx1 tenant=1 version=\"peer refused address=192.0.2.1 code=key reason=\"");
}

/* The same lines as the systemd journal hands them to fail2ban: behind a prefix of its own. */
static void write_journal(void)
{
    char line[LOG_LINE_BYTES];
    FILE *from = fopen(log_path, "r"), *to = fopen(journal_path, "w");
    assert_true(from != NULL && to != NULL);
    while (fgets(line, sizeof line, from) != NULL)
        assert_true(fprintf(to, "2026-03-12T14:05:09.120000 hub.example mail-analytics[12]: %s", line) > 0);
    assert_int_equal(fclose(from) + fclose(to), 0);
}

static void expect_strangers(const char *path)
{
    char command[8192], found[64 * 1024];
    (void)snprintf(command, sizeof command, "fail2ban-regex --out ip %s %s 2>&1", path, filter);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(found, 1, sizeof found - 1, pipe), lines = 0, expected = 0;
    found[n] = '\0';
    if (pclose(pipe) != 0)
        fail_msg("%s: %s", command, found);
    for (const char *p = found; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "%s\n", cases[i].address);
        if ((strstr(found, line) != NULL) != cases[i].bans)
            fail_msg("%s %s: fail2ban found %s", cases[i].address, frame_refusal_name(cases[i].code), found);
        expected += cases[i].bans;
    }
    assert_int_equal(lines, expected);
}

static void strangers_match_and_edges_do_not(void **state)
{
    (void)state;
    write_log();
    expect_strangers(log_path);
    write_journal();
    expect_strangers(journal_path);
    (void)unlink(log_path);
    (void)unlink(journal_path);
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    filter = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(strangers_match_and_edges_do_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
