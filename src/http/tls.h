/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: the server's side of TLS (1.2 and 1.3): its certificate and key, which are read anew while connections
 * go on with what they began with; and the keys of session tickets (RFC 5077), which change each
 * TLS_TICKET_US, so that no stolen memory opens what was said days ago. Loop thread.
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include "base/clock.h"
#include "certificate.h"

#define TLS_TICKET_US (12 * 60 * 60 * (int64_t)US_PER_SECOND)

struct tls;

/* PEM: the certificate with what leads to its authority, and its key. ERR_CONFIG (they aren't, or don't
 * belong together), ERR_NOT_FOUND, ERR_DENIED, ERR_NO_MEMORY. */
MUST_CHECK int tls_open(struct tls **out, const char *certificate_path, const char *key_path,
                        struct err *err);
void tls_close(struct tls **tls); /* after the last secure; nulls *tls; safe on NULL */

/* Reads the files when they changed since they were last looked at, or anyway. *changed: connections from now
 * on see the new certificate. After an error the old one stays. As tls_open. */
MUST_CHECK int tls_reload(struct tls *tls, bool anyway, bool *changed, struct err *err);
/* Once in a while: new ticket keys when it is time. The old ones open what they closed for as long again. */
void tls_turn_ticket_keys(struct tls *tls, int64_t now_us);

const char *tls_pin(const struct tls *tls); /* until it is read anew */

/* For secure.c: a new session of the certificate of now. NULL: no memory. */
struct ssl_st;
struct ssl_st *tls_session(struct tls *tls);

#endif
