/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: a WebSocket (RFC 6455) on a connection that was HTTP/1.1 until its upgrade; frames are libwslay's. What
 * its owner sees of it is http_socket in http.h. Of the http room only; loop thread.
 */
#ifndef HTTP_WS_H
#define HTTP_WS_H

#include "inside.h"

/* The exchange's reply is 101: the connection speaks WebSocket from now on; rest is what the client has sent
 * behind its request. The protocol before it is done with: its speaker is the caller's to free.
 * ERR_NO_MEMORY: nothing has changed. */
MUST_CHECK int ws_take_over(struct connection *connection, struct exchange *exchange, struct slice rest);

#endif
