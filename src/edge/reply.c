/* SPDX-License-Identifier: Apache-2.0
 *
 * reply: see reply.h.
 */
#include "reply.h"

static bool take_line(struct slice *rest, struct slice *line)
{
    if (!slice_split(rest, '\n', line) || line->n == 0 || line->p[line->n - 1] != '\r')
        return false;
    line->n--;
    return true;
}

/* "HTTP/1.1 200 OK" */
static int parse_status(struct slice line, struct reply *out)
{
    uint64_t status;
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ' ||
        (line.n > 12 && line.p[12] != ' ') || text_to_u64((struct slice){line.p + 9, 3}, 599, &status) != 0 ||
        status < 100)
        return ERR_INVALID;
    out->keep_alive = line.p[7] == '1';
    out->status = (int)status;
    return 0;
}

static int parse_field(struct slice line, struct reply *out, bool *has_length)
{
    struct slice value = line, name;
    uint64_t number;
    if (memchr(line.p, ':', line.n) == NULL || !slice_split(&value, ':', &name) || name.n == 0)
        return ERR_INVALID;
    value = slice_trim(value);
    if (slice_equal_nocase(name, SLICE("Transfer-Encoding")))
        return ERR_UNSUPPORTED;
    if (slice_equal_nocase(name, SLICE("Content-Length"))) {
        if (*has_length || text_to_u64(value, SIZE_MAX / 2, &number) != 0)
            return ERR_INVALID;
        *has_length = true;
        out->body_bytes = (size_t)number;
    } else if (slice_equal_nocase(name, SLICE("Connection"))) {
        out->keep_alive &= !slice_equal_nocase(value, SLICE("close"));
    } else if (slice_equal_nocase(name, SLICE("Retry-After")) &&
               text_to_u64(value, UINT32_MAX, &number) == 0) { /* a date is not for us: the back-off holds */
        out->retry_after_s = number < REPLY_RETRY_S ? (uint32_t)number : REPLY_RETRY_S;
    }
    return 0;
}

static int parse_head(struct slice head, struct reply *out, bool *has_length)
{
    struct slice line;
    int rc = take_line(&head, &line) ? parse_status(line, out) : ERR_INVALID;
    while (rc == 0 && head.n > 0)
        rc = take_line(&head, &line) && line.n > 0 ? parse_field(line, out, has_length) : ERR_INVALID;
    return rc;
}

int reply_parse(struct slice bytes, size_t max_body_bytes, bool tunnel, struct reply *out)
{
    bool has_length = false;
    *out = (struct reply){0};
    const char *end = bytes.n == 0 ? NULL : memmem(bytes.p, bytes.n, "\r\n\r\n", 4);
    size_t head_bytes = end != NULL ? (size_t)(end - bytes.p) + 2 : bytes.n;
    if (head_bytes > REPLY_HEAD_BYTES)
        return ERR_LIMIT;
    if (end == NULL)
        return ERR_MORE;
    int rc = parse_head((struct slice){bytes.p, head_bytes}, out, &has_length);
    if (rc != 0)
        return rc;
    out->body_at = head_bytes + 2;
    if (tunnel || out->status == 204 || out->status == 304)
        out->body_bytes = 0;
    else if (!has_length)
        return out->status < 200 ? ERR_INVALID : ERR_UNSUPPORTED;
    if (out->body_bytes > max_body_bytes)
        return ERR_LIMIT;
    return bytes.n - out->body_at < out->body_bytes ? ERR_MORE : 0;
}
