/* SPDX-License-Identifier: Apache-2.0
 *
 * check: the parts of the verb check. Rule of check --store: everything is looked at, and one thing that
 * isn't right makes the exit status that of stored data that is damaged.
 */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cli.h"

/* check --store: the running hub reads its store, or this process does when none runs. A line for each thing
 * as it is found. */
MUST_CHECK int check_store(struct cli *cli);

#endif
