/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked: see chunked.h. A table would be longer than the seven states.
 */
#include "chunked.h"

enum state {
    SIZE,         /* hexadecimal digits */
    EXTENSION,    /* from ';' to the end of the line */
    SIZE_LF,      /* after the line's CR */
    DATA,         /* `left` bytes */
    DATA_CR,      /* then CR */
    DATA_LF,      /* and LF */
    TRAILER,      /* at the start of a line behind the last chunk */
    TRAILER_LINE, /* within one */
    TRAILER_LF,   /* after its CR */
    END_LF,       /* after the CR of the empty line */
};

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int in_size(struct http_chunked *chunked, char c)
{
    int digit = hex(c);
    if (digit >= 0 && chunked->line <= HTTP_CHUNK_DIGITS) {
        chunked->left = chunked->left << 4 | (uint32_t)digit;
        return 0;
    }
    if (chunked->line == 1) /* not one digit */
        return ERR_INVALID;
    if (c == '\r')
        chunked->state = SIZE_LF;
    else if (c == ';' || c == ' ' || c == '\t')
        chunked->state = EXTENSION;
    else
        return ERR_INVALID;
    return 0;
}

/* One byte that is not data. */
static int step(struct http_chunked *chunked, char c)
{
    chunked->line++;
    switch ((enum state)chunked->state) {
    case SIZE:
        return in_size(chunked, c);
    case EXTENSION:
        if (chunked->line > HTTP_CHUNK_LINE_BYTES || (c != '\r' && !is_text(c)))
            return ERR_INVALID;
        if (c == '\r')
            chunked->state = SIZE_LF;
        return 0;
    case SIZE_LF:
        chunked->state = chunked->left > 0 ? DATA : TRAILER;
        chunked->line = 0;
        return c == '\n' ? 0 : ERR_INVALID;
    case DATA_CR:
        chunked->state = DATA_LF;
        return c == '\r' ? 0 : ERR_INVALID;
    case DATA_LF:
        chunked->state = SIZE;
        chunked->line = 0;
        return c == '\n' ? 0 : ERR_INVALID;
    case TRAILER:
    case TRAILER_LINE:
        if (chunked->line > HTTP_TRAILER_BYTES || (c != '\r' && !is_text(c)))
            return ERR_INVALID;
        chunked->state = c != '\r' ? TRAILER_LINE : chunked->state == TRAILER ? END_LF : TRAILER_LF;
        return 0;
    case TRAILER_LF:
        chunked->state = TRAILER;
        return c == '\n' ? 0 : ERR_INVALID;
    default:
        return ERR_INVALID;
    }
}

int http_chunked_decode(struct http_chunked *chunked, struct slice bytes, size_t *used, struct buf *body)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && at < bytes.n) {
        if (chunked->state == DATA) {
            size_t n = bytes.n - at < chunked->left ? bytes.n - at : chunked->left;
            rc = buf_add(body, bytes.p + at, n);
            at += n;
            chunked->left -= (uint32_t)n;
            if (chunked->left == 0)
                chunked->state = DATA_CR;
        } else if (chunked->state == END_LF) {
            *used = at + 1;
            return bytes.p[at] == '\n' ? 0 : ERR_INVALID;
        } else {
            rc = step(chunked, bytes.p[at++]);
        }
    }
    *used = at;
    return rc != 0 ? rc : ERR_MORE;
}
