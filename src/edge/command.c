/* SPDX-License-Identifier: Apache-2.0
 *
 * command: one function a thing that can be asked for. See command.h.
 */
#include "command.h"

#include "base/clock.h"
#include "base/log.h"
#include "check.h"
#include "identity.h"
#include "loop/signals.h"
#include "records.h"

#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#define STOP_WAIT_US (30 * US_PER_SECOND)

static const char usage[] =
    "Usage: policy-proxy [flags]               answer Postfix (the same as -c start)\n"
    "       policy-proxy [flags] check         test spool, ring, hub and keys, a line for each\n"
    "       policy-proxy [flags] spool [--json]  print the requests in the spool\n"
    "\n"
    "Hears Postfix's check_policy_service, answers DUNNO at once, keeps each request and sends it to\n"
    "the mail-analytics hub.\n"
    "\n"
    "Flags:\n";

static const char examples[] =
    "\n"
    "Examples:\n"
    "  policy-proxy -H hub.example --server-key KEY --api-key-file /etc/mail-analytics/api.key\n"
    "  policy-proxy -D --log-output syslog     in the background\n"
    "  policy-proxy -c stop                    stop it\n"
    "  policy-proxy check                      what works, and what to do about what doesn't\n"
    "  policy-proxy --listen '[::]:9998' --allow 192.0.2.0/24,2001:db8::/32\n"
    "\n"
    "In Postfix's main.cf, first in the list:\n"
    "  smtpd_client_restrictions = warn_if_reject, check_policy_service\n"
    "      { inet:127.0.0.1:9998, timeout=2s, try_limit=2, default_action=DUNNO }, ...\n"
    "  smtpd_end_of_data_restrictions = warn_if_reject, check_policy_service\n"
    "      { inet:127.0.0.1:9998, timeout=2s, try_limit=2, default_action=DUNNO }\n";

int command_load(struct config **out, int *argc, char **argv, struct err *err)
{
    int rc = log_open("policy-proxy", LOG_LEVEL_INFO, "stderr", err);
    return rc == 0 ? config_load(out, PROGRAM_POLICY_PROXY, argc, argv, err) : rc;
}

static int help(void)
{
    (void)fputs(usage, stdout);
    config_print_flags(PROGRAM_POLICY_PROXY);
    (void)fputs(examples, stdout);
    return 0;
}

static int version(void)
{
    (void)printf("policy-proxy %s\n", VERSION);
    return 0;
}

/* The dry run goes as far as it can without touching anything. */
static int check_config(const struct proxy_config *settings, struct err *err)
{
    struct identity *identity;
    int rc = identity_create(&identity, settings, err);
    if (rc != 0)
        return rc;
    identity_destroy(&identity);
    (void)printf("the configuration is valid\n");
    return 0;
}

static int signal_running(const struct proxy_config *settings, int signum, int64_t wait_us, struct err *err)
{
    struct identity *identity;
    int rc = identity_create(&identity, settings, err);
    if (rc != 0)
        return rc;
    rc = pidfile_signal(identity->pid_file, signum, wait_us, err);
    /* One that was started when there was no runtime directory for it. */
    if (rc == ERR_UNAVAILABLE && settings->pid_file[0] == '\0' &&
        pidfile_signal(identity->pid_file_in_spool, signum, wait_us, NULL) == 0)
        rc = 0;
    identity_destroy(&identity);
    return rc;
}

static int verb_check(const struct proxy_config *settings, int argc, char **argv, struct err *err)
{
    int rc = config_no_more(argc, argv, 2, err);
    return rc == 0 ? check_all(settings, err) : rc;
}

static int verb_spool(const struct proxy_config *settings, int argc, char **argv, struct err *err)
{
    struct identity *identity;
    bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
    int rc = config_no_more(argc, argv, json ? 3 : 2, err);
    if (rc == 0)
        rc = identity_create(&identity, settings, err);
    if (rc != 0)
        return rc;
    rc = records_print(identity->spool_dir, json, err);
    identity_destroy(&identity);
    return rc;
}

static const struct verb {
    const char *name;
    int (*run)(const struct proxy_config *settings, int argc, char **argv, struct err *err);
} verbs[] = {{"check", verb_check}, {"spool", verb_spool}};
enum { VERBS = sizeof verbs / sizeof *verbs };

static int run_verb(const struct proxy_config *settings, int argc, char **argv, struct err *err)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(settings, argc, argv, err);
    return err_set(err, ERR_USAGE, "'%s' is not known (there are check and spool; see --help)", argv[1]);
}

int command_run(const struct config *config, int argc, char **argv, bool *served, struct err *err)
{
    const struct config_request *request = config_request(config);
    *served = true;
    if (request->help)
        return help();
    if (request->version)
        return version();
    const struct proxy_config *settings = config_proxy(config);
    if (request->print)
        config_print(config);
    if (request->check_only)
        return check_config(settings, err);
    if (request->print)
        return 0;
    if (request->command == CONFIG_COMMAND_STOP || request->command == CONFIG_COMMAND_RELOAD) {
        bool stop = request->command == CONFIG_COMMAND_STOP;
        int rc = config_no_more(argc, argv, 1, err);
        return rc == 0 ? signal_running(settings, stop ? SIGTERM : SIGHUP, stop ? STOP_WAIT_US : 0, err) : rc;
    }
    if (argc > 1)
        return run_verb(settings, argc, argv, err);
    *served = false;
    return 0;
}

int command_open_log(const struct proxy_config *settings, struct err *err)
{
    enum log_level level;
    int rc = log_level_parse(settings->log_level, &level);
    if (rc != 0)
        return err_set(err, ERR_CONFIG, "log_level '%s' is not known", settings->log_level);
    return log_open("policy-proxy", level, settings->log_output, err);
}

int command_open_directory(struct pidfile **out, const struct proxy_config *settings, struct err *err)
{
    struct identity *identity;
    int rc = identity_create(&identity, settings, err);
    if (rc != 0)
        return rc;
    rc = identity_prepare_directory(settings, err);
    signals_defer_reload();
    if (rc == 0)
        rc = pidfile_open(out, identity->pid_file, err);
    if (rc == ERR_FULL) { /* mail is answered all the same (opener.h) */
        log_warning("%s: there is no pid file until the next start, -c stop and -c reload will not work",
                    err_detail(err));
        rc = 0;
    }
    identity_destroy(&identity);
    return rc;
}

int command_end(int rc, const struct err *err)
{
    if (rc != 0)
        (void)fprintf(stderr, "policy-proxy: %s\n", err_detail(err));
    return err_exit_status(rc);
}
