/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate: the one that this server shows: its pin (RFC 7469: SHA-256 of the public key, as `curl
 * --pinnedpubkey` takes it), and a self-signed one for who has none.
 */
#ifndef HTTP_CERTIFICATE_H
#define HTTP_CERTIFICATE_H

#include "base/err.h"

enum { CERTIFICATE_PIN_BYTES = 64 }; /* "sha256//" and 44 characters, with NUL */

/* Makes a key (EC P-256, 0600) and a certificate for it (0644) of this host's name, localhost and the
 * loopback addresses, unless there is a key already. The certificate ends long after whoever reads this: it
 * is known by its pin, and a date would only be a day on which everything stops. ERR_DENIED, ERR_FULL,
 * ERR_NOT_FOUND (no such directory), ERR_IO. Any thread. */
MUST_CHECK int certificate_make(const char *certificate_path, const char *key_path, struct err *err);

/* The pin of the first certificate in a PEM file. ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID, ERR_IO. */
MUST_CHECK int certificate_pin_file(const char *path, char out[static CERTIFICATE_PIN_BYTES],
                                    struct err *err);

/* Likewise of a certificate that is open. ERR_INVALID. */
struct x509_st;
MUST_CHECK int certificate_pin(struct x509_st *certificate, char out[static CERTIFICATE_PIN_BYTES]);

#endif
