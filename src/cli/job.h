/* SPDX-License-Identifier: Apache-2.0
 *
 * job: waiting for a job of the hub, with a bar at a terminal.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "client.h"

/* Posts the question to /api/v1/jobs and, when wait is true and a hub runs, waits for its end. Prints what
 * came of it: JSON with --json, else a line. ERR_CANCELLED, or ERR_ENGINE with the reason: it failed. */
MUST_CHECK int job_ask(struct cli *cli, const json_t *question, bool wait);
/* Waits for the job; *out is the last answer (json_decref it). */
MUST_CHECK int job_wait(struct cli *cli, json_int_t id, json_t **out);

#endif
