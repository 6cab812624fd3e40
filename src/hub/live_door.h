/* SPDX-License-Identifier: Apache-2.0
 *
 * live_door: who may open a live connection, and whose events it shows. A browser sends cookies with a
 * WebSocket that any page opens, so the page has to be ours, or of an origin that the operator has named;
 * who sends no Origin is no browser and has to have an API key. A key sees its tenant; the operator sees all
 * tenants, or the one in ?tenant=NAME.
 */
#ifndef HUB_LIVE_DOOR_H
#define HUB_LIVE_DOOR_H

#include "caller.h"
#include "live.h"

/* Whether that still holds; any thread. For live_check_with. */
bool live_may_stay(struct account *account, const struct account_session_limits *limits,
                   const struct live_pass *pass);

/* origins: of other sites, separated by commas. Answers: 101, or 403, 404, 503. Any thread. */
void live_enter(struct live *live, struct account *account, const struct caller *caller, const char *origins,
                const struct http_request *request, struct http_reply *reply);

#endif
