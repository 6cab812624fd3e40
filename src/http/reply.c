/* SPDX-License-Identifier: Apache-2.0
 *
 * reply: see reply.h. Statuses and reasons: RFC 9110, 15; problems: RFC 9457.
 */
#include "reply.h"

#include "base/clock.h"
#include "file_body.h"

#include <stdio.h>
#include <time.h>

#define PROBLEM_TYPE "application/problem+json"

/* code is the last part of a problem's type; those that errors.def has too are called as there. */
static const struct status {
    int status;
    const char *reason, *code, *title;
} statuses[] = {
    {200, "OK", "", ""},
    {201, "Created", "", ""},
    {204, "No Content", "", ""},
    {304, "Not Modified", "", ""},
    {400, "Bad Request", "invalid", "the input is not well formed"},
    {401, "Unauthorized", "unauthenticated", "credentials are missing or wrong"},
    {403, "Forbidden", "denied", "permission denied"},
    {404, "Not Found", "not-found", "no such thing"},
    {405, "Method Not Allowed", "method-not-allowed", "the path is there, the method isn't"},
    {408, "Request Timeout", "request-timeout", "the request took too long to arrive"},
    {409, "Conflict", "conflict", "it was changed meanwhile or contradicts what is known"},
    {411, "Length Required", "length-required", "a body's length has to be known"},
    {412, "Precondition Failed", "precondition", "it is not in the state that the request wants"},
    {413, "Content Too Large", "limit", "a limit was exceeded"},
    {414, "URI Too Long", "target-too-long", "the request line is too long"},
    {415, "Unsupported Media Type", "media-type", "the body is of a type that isn't taken"},
    {417, "Expectation Failed", "expectation", "that can't be expected"},
    {422, "Unprocessable Content", "mismatch", "the same key came with another request"},
    {426, "Upgrade Required", "upgrade-required", "this speaks another protocol"},
    {428, "Precondition Required", "precondition-required", "say which state is meant"},
    {429, "Too Many Requests", "busy", "in use by another process or over its quota"},
    {431, "Request Header Fields Too Large", "head-too-long", "the request's head is too long"},
    {500, "Internal Server Error", "io", "input or output failed"},
    {501, "Not Implemented", "unsupported", "this build or engine cannot do it"},
    {503, "Service Unavailable", "unavailable", "the service is not reachable"},
    {504, "Gateway Timeout", "timeout", "it took too long"},
    {505, "HTTP Version Not Supported", "version", "the protocol or file version is not supported"},
    {507, "Insufficient Storage", "full", "no space left"},
};

static const struct status *status_of(int status)
{
    static const struct status other = {0, "Other", "io", "input or output failed"};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return &statuses[i];
    return &other;
}

void http_problem(struct http_reply *reply, int status, const char *detail)
{
    const struct status *known = status_of(status);
    char safe[HTTP_DETAIL_BYTES]; /* quotes are the one thing that our own texts may have */
    (void)snprintf(safe, sizeof safe, "%s", detail);
    for (char *c = safe; *c != '\0'; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 0x20)
            *c = '\'';
    bool again = status == 408 || status == 429 || status >= 500;
    reply->status = status;
    reply->type = PROBLEM_TYPE;
    buf_clear(&reply->body);
    if (buf_addf(&reply->body,
                 "{\"type\":\"urn:mail-analytics:problem:%s\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\","
                 "\"retryable\":%s,\"detail\":\"%s\"}",
                 known->code, known->title, status, known->code,
                 again && status != 501 && status != 505 ? "true" : "false", safe) != 0)
        buf_clear(&reply->body); /* the status still tells */
}

static void write_date(int64_t now_us, char *out, size_t size)
{
    struct tm tm;
    time_t seconds = (time_t)(now_us / US_PER_SECOND);
    (void)gmtime_r(&seconds, &tm);
    if (strftime(out, size, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
        out[0] = '\0';
}

static int write_type(const struct http_reply *reply, struct buf *out)
{
    if (reply->type == NULL || reply->status == 204 || reply->status == 304)
        return 0;
    return buf_addf(out, "Content-Type: %s\r\n", reply->type);
}

int http_reply_head(const struct http_reply *reply, const struct http_reply_facts *facts, struct buf *out,
                    size_t *skip)
{
    char date[64], id[64] = "";
    const struct buf *body = &reply->body;
    *skip = 0;
    if (reply->status >= 400 && body->n > 2 && body->p[0] == '{') {
        (void)snprintf(id, sizeof id, "{\"request_id\":\"%s\",", facts->id);
        *skip = 1;
    }
    write_date(facts->now_us, date, sizeof date);
    int rc = buf_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", reply->status, status_of(reply->status)->reason,
                      date);
    if (rc == 0)
        rc = write_type(reply, out);
    if (rc == 0 && reply->file != NULL)
        rc = buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)file_body_bytes(reply->file));
    else if (rc == 0 && facts->streamed)
        rc = buf_addf(out, "%s", facts->old ? "" : "Transfer-Encoding: chunked\r\n");
    else if (rc == 0 && reply->status != 204 && reply->status != 304)
        rc = buf_addf(out, "Content-Length: %zu\r\n", body->n - *skip + strlen(id));
    if (rc == 0)
        rc = buf_addf(out, "X-Content-Type-Options: nosniff\r\nCache-Control: %s\r\nX-Request-Id: %s\r\n",
                      reply->cache != NULL ? reply->cache : "no-store", facts->id);
    if (rc == 0 && facts->secure)
        rc = buf_addf(out, "Strict-Transport-Security: max-age=31536000\r\n"); /* RFC 6797 */
    if (rc == 0 && (!facts->keep_alive || facts->old))
        rc = buf_addf(out, "Connection: %s\r\n", facts->keep_alive ? "keep-alive" : "close");
    if (rc == 0 && reply->fields.n > 0)
        rc = buf_add_slice(out, buf_slice(&reply->fields));
    if (rc == 0)
        rc = buf_add(out, "\r\n", 2);
    return rc != 0 || facts->head_only ? rc : buf_add(out, id, strlen(id));
}
