/* SPDX-License-Identifier: Apache-2.0
 *
 * text: slices (borrowed bytes with a length, not NUL-terminated) and what is done with them: comparing,
 * splitting, numbers, hexadecimal, ASCII case, UTF-8. Everything here is pure and safe on any thread.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "err.h"

#include <stdint.h>
#include <string.h>

/* Borrowed bytes. p may be NULL when n is 0. The bytes belong to whoever made the slice. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII only */
struct slice slice_trim(struct slice s);                 /* spaces and tabs off both ends */

/* Cuts the part before the next sep off *rest into *part; false when *rest is used up. An empty input has no
 * parts. */
bool slice_split(struct slice *rest, char sep, struct slice *part);

/* Copies s with a NUL behind it into out (size bytes). ERR_LIMIT when it doesn't fit. */
MUST_CHECK int slice_to_string(struct slice s, char *out, size_t size);

/* Decimal digits only, the whole slice, no sign, no space. ERR_INVALID or ERR_LIMIT (over max). */
MUST_CHECK int text_to_u64(struct slice s, uint64_t max, uint64_t *out);

/* "250ms" "30s" "15m" "24h" "7d" (a bare number: seconds) → microseconds; ERR_INVALID, ERR_LIMIT. */
MUST_CHECK int text_to_duration_us(struct slice s, int64_t *out);

/* "512" "64k" "16M" "2G" (powers of 1024) → bytes; ERR_INVALID, ERR_LIMIT. */
MUST_CHECK int text_to_bytes(struct slice s, uint64_t *out);

/* Lower-case hexadecimal; out takes 2n+1 bytes. */
void text_to_hex(const void *bytes, size_t n, char *out);
/* Exactly 2n hexadecimal digits → n bytes; ERR_INVALID. */
MUST_CHECK int text_from_hex(struct slice s, void *out, size_t n);

/* Percent-decoding (RFC 3986, 2.1), '+' is a space as forms write it; with a NUL behind. ERR_INVALID (also
 * for %00), ERR_LIMIT (size). */
MUST_CHECK int text_from_percent(struct slice s, char *out, size_t size);

/* Writes s with ASCII letters lowered into out (s.n bytes, no NUL). out may be s.p. */
void text_lower(struct slice s, char *out);

/* True when s is well-formed UTF-8 (RFC 3629: no overlongs, no surrogates, ≤ U+10FFFF) without NUL. */
bool text_is_utf8(struct slice s);

/* Bytes that text_escape_invalid needs at most for n bytes of input. */
#define TEXT_ESCAPED_MAX(n) ((n)*4)

/* Copies s to out with every byte that is not part of well-formed UTF-8, and NUL, as \xNN; returns the bytes
 * written. */
size_t text_escape_invalid(struct slice s, char *out);

#endif
