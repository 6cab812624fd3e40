/* SPDX-License-Identifier: Apache-2.0
 *
 * fields_fuzz: a line of text as what the api reads out of a request's head: a list of entity tags, cookies,
 * an origin, a query string. What is found lies within the line.
 */
#include "api/call.h"
#include "api/etag.h"
#include "api/login.h"
#include "fuzz.h"

#include <stdlib.h>

static bool tag_reached, cookie_reached, parameter_reached;

static void check_tags(struct slice line)
{
    bool strong = false, weak = false;
    int rc = etag_find(line, SLICE("\"a\""), false, &strong);
    if (etag_find(line, SLICE("\"a\""), true, &weak) != rc || (rc == 0 && strong && !weak))
        abort();
    tag_reached = tag_reached || (rc == 0 && weak);
}

static void check_cookies(struct slice line)
{
    for (int secure = 0; secure < 2; secure++) {
        struct slice token = login_token(line, secure != 0);
        if (token.n > 0 && (token.p < line.p || token.p + token.n > line.p + line.n))
            abort();
        if (memchr(token.p != NULL ? token.p : "", ';', token.n) != NULL)
            abort();
        cookie_reached = cookie_reached || token.n > 0;
    }
    if (login_same_site(line, line, line) && line.n > 0)
        abort(); /* no site is called so */
}

static void check_query(struct slice line)
{
    char out[16], longer[API_TEXT_BYTES];
    struct api_call call = {.query = line};
    int rc = call_parameter(&call, "a", out, sizeof out);
    int again = call_parameter(&call, "a", longer, sizeof longer);
    if (rc == 0 && (again != 0 || strcmp(out, longer) != 0))
        abort();
    if (rc == 0 && strlen(out) > line.n)
        abort();
    parameter_reached = parameter_reached || rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = {(const char *)data, size};
    if (size == 0)
        return 0;
    check_tags(line);
    check_cookies(line);
    check_query(line);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !tag_reached         ? "a list that holds the tag"
           : !cookie_reached    ? "a cookie"
           : !parameter_reached ? "a parameter"
                                : NULL;
}
