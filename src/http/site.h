/* SPDX-License-Identifier: Apache-2.0
 *
 * site: a directory of files for browsers. It is opened once; below it only plain names are found (letters,
 * digits and "-_.~+@", none with a dot in front), no symbolic link is followed, and so no path leads out of
 * it. "NAME.br" and "NAME.gz" beside a file are the same, compressed. Names with a hash in them
 * ("app.3f9c21ab.js") never change and are kept by browsers; all else is asked for again each time, by ETag.
 * HTML may load what comes from here and nothing else (Content Security Policy).
 */
#ifndef HTTP_SITE_H
#define HTTP_SITE_H

#include "http.h"

enum { SITE_WHOLE_BYTES = 64 * 1024 }; /* longer files are read as the client takes them */

#define SITE_POLICY                                                                                          \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "      \
    "data:; "                                                                                                \
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "        \
    "frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

struct site;

/* ERR_NOT_FOUND, ERR_DENIED, ERR_CONFIG (no directory). */
MUST_CHECK int site_open(struct site **out, const char *directory, struct err *err);
void site_close(struct site **site); /* nulls *site; safe on NULL */

/* GET: 200, 304, or 404. Any thread; reads the disk. */
void site_answer(const struct site *site, const struct http_request *request, struct http_reply *reply);

/* Is there a hash in the name? Pure. */
bool site_is_hashed(struct slice name);

#endif
