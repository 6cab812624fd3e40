/* SPDX-License-Identifier: Apache-2.0
 *
 * check: `policy-proxy check`: says for each step, one line on stdout, whether it works and otherwise what to
 * do: spool, ring, keys, then what uplink_check() finds between here and the hub. Needs no running proxy and
 * disturbs none.
 */
#ifndef EDGE_CHECK_H
#define EDGE_CHECK_H

#include "config/config.h"

/* 0, or the error of the first step that failed (all steps are tried). */
MUST_CHECK int check_all(const struct proxy_config *settings, struct err *err);

#endif
