/* SPDX-License-Identifier: Apache-2.0
 *
 * mail-analytics: the hub and the operator's command line. Configuration, then a verb.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <sysexits.h>

int main(int argc, char **argv)
{
    struct config *config = NULL;
    struct err err = {0};
    int status = EX_OK;
    int rc = config_load(&config, PROGRAM_MAIL_ANALYTICS, &argc, argv, &err);
    if (rc != 0) {
        err.code = rc;
        fprintf(stderr, "mail-analytics: %s\n", err_detail(&err));
        return err_exit_status(rc);
    }
    const struct config_request *request = config_request(config);
    if (request->version)
        printf("mail-analytics " VERSION "\n");
    else if (request->print && !request->help)
        config_print(config);
    else if (request->check_only && !request->help)
        printf("the configuration is valid\n");
    else
        status = cli_run(config, argc, argv);
    config_destroy(&config);
    return status;
}
