/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: the Postfix policy delegation protocol (SMTPD_POLICY_README), the server's side, pure. A request is
 * a block of "name=value" lines ended by an empty line; a reply is "action=…" and an empty line. Names and
 * values are raw bytes (Postfix passes what the SMTP client sent); no NUL, no newline. Attribute sets of
 * Postfix 2.1 to 3.12 are known by name, others are kept as they are. Two steps, for two rooms: the edge only
 * frames (policy_frame) and keeps the bytes; the hub's loader parses (policy_parse). No sockets, clock, log
 * or allocation.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/text.h"

enum {
    POLICY_REQUEST_BYTES = 32 * 1024, /* a whole request, with its empty line */
    POLICY_LINE_BYTES = 8 * 1024,     /* one line */
    POLICY_ATTRS = 128,               /* lines in a request */
};

#define POLICY_ANSWER_DUNNO "action=DUNNO\n\n"

/* The attributes known by name: POLICY_ATTR_<name>. One table (attributes.def), in the order in which Postfix
 * sends them: ATTRIBUTE(name, since, doc). */
enum policy_attr {
#define ATTRIBUTE(name, since, doc) POLICY_ATTR_##name,
#include "attributes.def"
#undef ATTRIBUTE
    POLICY_ATTR_COUNT
};

struct policy_pair {
    struct slice name, value;
};

/* All slices point into the parsed bytes. An attribute that is missing has p == NULL; one that was sent empty
 * has p != NULL and n == 0. Unknown attributes, and every repetition of a known one after its first, are in
 * `others`. */
struct policy_request {
    struct slice attr[POLICY_ATTR_COUNT];
    size_t other_count;
    struct policy_pair others[POLICY_ATTRS];
};

/* Finds the first whole request in bytes (which may hold part of one, or several). Returns
 *   0                       and *used = its length with the empty line; the bytes are well formed: every line
 *                           has a '=' with a non-empty name, no NUL, within the limits, and one line is
 *                           "request=smtpd_access_policy"
 *   ERR_MORE                it is not all here; what is here could become one (the number of lines is looked
 *                           at when the request is whole; its bytes are bounded all the way)
 *   ERR_INVALID, ERR_LIMIT  garbage: the connection is to be closed; *why (may be NULL) gets a static text
 * Lines end with LF, as Postfix sends them; a CR is part of the value. `seen` (may be NULL) is the caller's
 * memory of how many bytes were already looked at and found incomplete: a call then costs the new bytes and
 * at most one line. Start with 0; it is 0 again after a whole request. */
MUST_CHECK int policy_frame(struct slice bytes, size_t *seen, size_t *used, const char **why);

/* Parses one request, with or without its empty line and with nothing behind it. Same checks as policy_frame.
 * ERR_INVALID, ERR_LIMIT; *why (may be NULL) gets a static text. */
MUST_CHECK int policy_parse(struct slice bytes, struct policy_request *out, const char **why);

/* The attribute's name as on the wire, a static text. */
const char *policy_attr_name(enum policy_attr attr);

#endif
