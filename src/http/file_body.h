/* SPDX-License-Identifier: Apache-2.0
 *
 * file_body: the body of a reply that is a file, read piece by piece as the client takes it, by libuv's
 * threads: a slow disk holds up this reply and nothing else. Of the http room only.
 */
#ifndef HTTP_FILE_BODY_H
#define HTTP_FILE_BODY_H

#include "inside.h"

/* Loop thread. Bytes that were read and not taken; when there are none, more are asked for, and the
 * exchange's owner hears of them (more). */
struct slice file_body_pending(struct http_file *file, struct exchange *exchange);
void file_body_taken(struct http_file *file, size_t n);
enum reply_end file_body_end(const struct http_file *file); /* broken: it became shorter, or can't be read */
uint64_t file_body_bytes(const struct http_file *file);     /* in all */

/* Nulls *file; safe on NULL; a read that is under way is awaited without it. */
void file_body_destroy(struct http_file **file);

#endif
