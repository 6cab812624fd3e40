/* SPDX-License-Identifier: Apache-2.0
 *
 * serve: the verb that runs the hub, and the commands start, stop and reload of earlier versions.
 */
#include "cli.h"

#include "hub/hub.h"
#include "hub/paths.h"
#include "loop/pidfile.h"

#include <signal.h>

enum { STOP_WAIT_US = 60 * 1000000 };

#define LOG_DRAIN_US (1000000)

static int signal_running(struct cli *cli, int signum, int64_t wait_us)
{
    struct hub_paths paths;
    int rc = paths_of(cli->settings, &paths, &cli->err);
    if (rc == 0 && paths.pid_file[0] == '\0')
        return cli_fail(
            cli, ERR_CONFIG,
            "-c stop and -c reload need pid_file to be set, as it was at the start, or /run/mail-analytics");
    return rc != 0 ? rc : pidfile_signal(paths.pid_file, signum, wait_us, &cli->err);
}

static int run_hub(struct cli *cli)
{
    enum log_level level;
    if (log_level_parse(cli->settings->log_level, &level) != 0)
        return cli_fail(cli, ERR_CONFIG, "log_level must be error, warning, info or debug");
    int rc = log_open("mail-analytics", level, cli->settings->log_output, &cli->err);
    if (rc == 0)
        rc = log_background(&cli->err); /* a log that hangs holds neither edges nor Postfix */
    if (rc == 0)
        rc = hub_run(cli->config, &cli->err);
    log_drain(LOG_DRAIN_US);
    return rc;
}

int verb_serve(struct cli *cli)
{
    size_t n;
    int rc = cli_flags(cli, NULL, 0, NULL, 0, &n);
    if (rc != 0)
        return rc;
    switch (config_request(cli->config)->command) {
    case CONFIG_COMMAND_STOP:
        return signal_running(cli, SIGTERM, STOP_WAIT_US);
    case CONFIG_COMMAND_RELOAD:
        return signal_running(cli, SIGHUP, 0);
    default:
        return run_hub(cli);
    }
}
