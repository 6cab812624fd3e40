/* SPDX-License-Identifier: Apache-2.0
 *
 * accept_encoding: which coding of a file a client would rather have (RFC 9110, 12.5.3). Pure.
 */
#ifndef HTTP_ACCEPT_ENCODING_H
#define HTTP_ACCEPT_ENCODING_H

#include "base/text.h"

enum http_coding { HTTP_IDENTITY = 0, HTTP_GZIP = 1, HTTP_BR = 2 };

/* value: of the field, p NULL without one. available: HTTP_GZIP | HTTP_BR, which there are besides the plain
 * file. The one with the highest weight, of two alike br; the plain file when neither is taken, whatever is
 * said of it: a list that is not well formed means nothing. */
enum http_coding http_choose_coding(struct slice value, unsigned available);

#endif
