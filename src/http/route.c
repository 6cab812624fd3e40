/* SPDX-License-Identifier: Apache-2.0
 *
 * route: see route.h.
 */
#include "route.h"

#include "base/pattern.h"

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

static void allow_method(char *allow, const char *method)
{
    size_t used = strlen(allow), n = strlen(method);
    if (used + n + 3 > HTTP_ALLOW_BYTES)
        return;
    if (used > 0) {
        memcpy(allow + used, ", ", 3);
        used += 2;
    }
    memcpy(allow + used, method, n + 1);
    if (strcmp(method, "GET") == 0)
        allow_method(allow, "HEAD");
}

/* A PATCH may call its body by its own name (RFC 7396). */
static bool is_json(struct slice type, struct slice method)
{
    struct slice rest = type, media;
    if (!slice_split(&rest, ';', &media))
        return false;
    media = slice_trim(media);
    return slice_equal_nocase(media, SLICE("application/json")) ||
           (slice_equal(method, SLICE("PATCH")) &&
            slice_equal_nocase(media, SLICE("application/merge-patch+json")));
}

static bool has_credentials(const struct http_head *head)
{
    struct slice value = http_head_field(head, "Authorization");
    return (value.p == NULL && http_head_field(head, "Cookie").n > 0) ||
           (value.n > 7 && slice_equal_nocase((struct slice){value.p, 7}, SLICE("Bearer ")));
}

static int check_body(const struct http_route *route, const struct http_head *head, const char **why)
{
    bool comes = head->framing == HTTP_CHUNKED || head->content_length > 0;
    struct slice coding = http_head_field(head, "Content-Encoding");
    if (!comes && (route->body_bytes == 0 || head->framing != HTTP_NO_BODY ||
                   head->method.p[0] != 'P')) /* POST, PUT, PATCH */
        return 0;
    if (route->body_bytes == 0)
        return refuse(413, "this takes no body", why);
    if (head->framing == HTTP_NO_BODY)
        return refuse(411, "say with Content-Length how long the body is", why);
    if (head->content_length > route->body_bytes)
        return refuse(413, "the body is longer than this takes", why);
    if (coding.n > 0 && !slice_equal_nocase(coding, SLICE("identity")))
        return refuse(415, "the body must not be compressed", why);
    if ((route->flags & HTTP_JSON) != 0 && !is_json(http_head_field(head, "Content-Type"), head->method))
        return refuse(415, "the body has to be application/json", why);
    return 0;
}

int http_route_check(const struct http_route *route, const struct http_head *head, const char **why)
{
    if ((route->flags & HTTP_CREDENTIALS) != 0 && !has_credentials(head))
        return refuse(401, "an API key is needed: Authorization: Bearer ma_…", why);
    return check_body(route, head, why);
}

int http_route_find(const struct http_route *routes, size_t count, const struct http_head *head,
                    const struct http_route **out, char allow[static HTTP_ALLOW_BYTES], const char **why)
{
    const struct http_route *found = NULL;
    struct slice method = head->method, part;
    if (slice_equal(method, SLICE("HEAD")))
        method = SLICE("GET");
    allow[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!pattern_fits(routes[i].path, head->path, &part))
            continue;
        allow_method(allow, routes[i].method);
        if (found == NULL && slice_equal(method, slice_of(routes[i].method)))
            found = &routes[i];
    }
    if (found == NULL)
        return allow[0] != '\0' ? refuse(405, "this path doesn't take that method", why)
                                : refuse(404, "there is no such path", why);
    *out = found;
    return http_route_check(found, head, why);
}
